"""Runs of a grid that are combined from settings are those that Hydra composes."""

import itertools
from dataclasses import replace

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from initlab.config import PROJECT, register
from initlab.run import RunSpec
from initlab.sweep import compose
from initlab.sweep.compose import Combiner, Composer
from initlab.sweep.plan import Grid


@pytest.fixture(scope="module")
def composer():
    register()
    before = HydraConfig.instance().cfg
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        typed = ["hydra.sweep.dir=/tmp/of a sweep", "train.steps=30"]
        yield Composer(
            loader, loader.load_configuration("config", typed, run_mode=RunMode.MULTIRUN)
        )
    HydraConfig.instance().cfg = before


def product(*axes):
    return [[*settings] for settings in itertools.product(*axes)]


GRIDS = {
    "options and values": product(
        ["init=he", "init=lsuv", "init=zeros"],
        ["activation=relu", "activation=gelu"],
        ["optimizer=adam", "optimizer=sgd"],
        ["optimizer.lr=1", "optimizer.lr=1e-3"],
        ["seed=0", "seed=7"],
    ),
    "lists, null, texts and numbers of other types": product(
        ["model=mlp", "model=mlp_residual"],
        ["model.dropout=0.5", "model.dropout=0"],
        ["train.snapshots=[0,30]", "train.snapshots=[0]"],
        ["model.input_init=std1", "model.input_init=null"],
        ["dtype=float64", "dtype=float32"],
    ),
    "data": product(["data=digits", "data=gaussian"], ["train.steps=0"], ["seed=1", "seed=2"]),
    "parts of data": product(["data.validation=0.1", "data.validation=0"], ["data.train_size=200"]),
    "no network": product(["model=quadratic"], ["optimizer.lr=0.1", "optimizer.lr=0.2"]),
    "an experiment": product(["experiment=optimizer_paths"], ["seed=0", "seed=1"]),
    "texts that need quotes": product(["tracking.experiment='a = b, c'"], ["seed=0", "seed=1"]),
    "a key and a part of it": product(["init={scale:3}", "init={scale:2}"], ["init.scale=2"]),
    "a value by another": product(["seed=3", "seed=4"], ["train.probe_size=${seed}00"]),
    "keys of Hydra": product(["hydra.sweep.subdir=x"], ["seed=3", "seed=4"]),
}


@pytest.mark.parametrize("name", GRIDS)
def test_combined_runs_are_those_that_are_composed(composer, name):
    grid = Grid(GRIDS[name], composer)
    for index in range(len(grid)):
        trial = grid.check(index)
        whole = composer(trial.overrides)
        wanted = replace(RunSpec.of(whole, whole.hydra), data=None)
        assert vars(trial.spec) == vars(wanted)
        assert trial.spec.yaml == wanted.yaml
        assert trial.fingerprint == wanted.fingerprint


def test_hydra_composes_a_setting_once_however_many_combinations_have_it(composer, monkeypatch):
    calls = []
    apply = Composer.apply
    monkeypatch.setattr(
        Composer, "apply", lambda *given: (calls.append(given[1]), apply(*given))[1]
    )
    seeds = [f"seed={seed}" for seed in range(20)]
    rates = [f"optimizer.lr={rate}" for rate in range(1, 21)]
    grid = Grid(product(seeds, rates), composer)
    assert len({grid.check(index).fingerprint for index in range(400)}) == 400
    assert len(calls) == 40


def test_random_data_are_not_kept_and_others_are_loaded_once(composer, monkeypatch):
    loaded = []
    monkeypatch.setattr(compose, "load", lambda config: loaded.append(config.data))
    describe = Combiner(composer)
    for seed in range(3):
        describe(f"seed={seed}", [f"seed={seed}"])
    assert len(loaded) == 1
    for seed in range(3):
        describe(f"seed={seed}", ["data=gaussian", "train.steps=0", f"seed={seed}"])
    assert len(loaded) == 4


def test_every_two_settings_are_tried_together_before_a_large_grid_begins(composer):
    axes = [[f"{key}={value}" for value in range(5)] for key in ("seed", "a", "b", "c")]
    grid = Grid(product(*axes), composer)
    tried = [grid.combinations[index] for index in grid.covering()]
    pairs = {pair for settings in tried for pair in itertools.combinations(settings, 2)}
    assert pairs == {
        pair for settings in grid.combinations for pair in itertools.combinations(settings, 2)
    }
    assert len(tried) < len(grid) / 3
