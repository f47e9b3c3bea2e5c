"""The sweeper composes trials faster than Hydra, and to the same configs."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from initlab.config import PROJECT, register
from initlab.sweep.compose import Composer


@pytest.fixture(scope="module")
def composers():
    """Return the sweeper's way to compose a trial, and Hydra's."""
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        typed = ["init=xavier,he", "hydra.verbose=true", "hydra/launcher=basic"]
        multirun = loader.load_configuration("config", typed, run_mode=RunMode.MULTIRUN)
        yield (
            Composer(loader, multirun),
            lambda overrides: loader.load_sweep_config(multirun, overrides),
        )


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["seed=1"],
        ["init=xavier", "seed=1"],
        ["init=xavier", "seed=2", "optimizer.lr=0.1"],
        ["optimizer.lr=0.1", "optimizer=adam"],
        ["model.hidden=[3,4]", "init=he", "hydra.job.name='a b=c'"],
        ["+train.foo={a: 1}", "++seed=3"],
        ["init={gain: 2}"],
        ["hydra.job.config.override_dirname.exclude_keys=[seed]", "seed=4"],
        ["tracking.experiment='a, b'"],
    ],
)
def test_a_trial_is_composed_as_hydra_does(composers, overrides):
    quick, plain = composers
    assert OmegaConf.to_yaml(quick(overrides)) == OmegaConf.to_yaml(plain(overrides))


def test_trials_share_nothing(composers):
    quick, plain = composers
    first = quick(["seed=1"])
    first.train.steps = 5
    first.hydra.sweep.dir = "elsewhere"
    assert OmegaConf.to_yaml(quick(["seed=1"])) == OmegaConf.to_yaml(plain(["seed=1"]))


@pytest.mark.parametrize(
    "overrides",
    [["seed=abc"], ["nothing=1"], ["init=nothing"], ["init@there=he"], ["+init=he"], ["~seed=7"]],
)
def test_a_mistake_is_told_as_hydra_does(composers, overrides):
    told = []
    for compose in composers:
        with pytest.raises(HydraException) as error:
            compose(overrides)
        told.append((str(error.value), str(error.value.__cause__)))
    assert told[0] == told[1]
