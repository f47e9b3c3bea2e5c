"""A grid's runs are combined from its settings, and are those that Hydra's whole configs make."""

import itertools
from dataclasses import replace

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initlab.checks import UserError
from initlab.config import PROJECT, read_overrides, register
from initlab.run import RunSpec
from initlab.sweep import combine, grid
from initlab.sweep.combine import Combiner
from initlab.sweep.compose import Composer, named
from initlab.sweep.plan import name_trials


@pytest.fixture(scope="module")
def loader():
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


class Sweep:
    """A grid, and both ways to describe its runs."""

    def __init__(self, loader, *typed, where=None, zipped=(), fixed=()):
        fixed = ["hydra.sweep.dir=somewhere", *fixed]
        self.multirun = loader.load_configuration("config", [*fixed], run_mode=RunMode.MULTIRUN)
        self.compose = Composer(loader, self.multirun)
        self.combine = Combiner(self.compose)
        found = grid.combinations(read_overrides(typed, loader), where or {}, 1000, zipped)
        self.trials = [*zip(name_trials(found), found)]
        self.whole = lambda overrides: loader.load_sweep_config(self.multirun, overrides)

    def combined(self):
        """Return the runs as they are combined; each must be, without its config."""
        found = [self.combine.combined(name, settings) for name, settings in self.trials]
        return [replace(spec, data=None) for spec in found]

    def composed(self):
        """Return the runs as their configs make them, which Hydra composes each as a whole."""
        for name, settings in self.trials:
            config = self.whole(named(name, settings))
            yield replace(RunSpec.of(config, config.hydra), data=None)


EQUAL = ["name", "config", "choices", "values", "fingerprint", "params", "folder", "sweep",
         "search", "experiment", "yaml", "notes"]  # fmt: skip


@pytest.mark.parametrize(
    "typed",
    [
        ["init=xavier,lsuv", "activation=tanh,relu", "optimizer=adam,sgd", "seed=range(2)"],
        ["optimizer=momentum,lion", "init=he,identity", "schedule=step,cosine"],
        ["data=gaussian", "train.steps=0", "seed=0,1,2", "data.samples=10,20"],
        ["data=digits,gaussian", "train.steps=0", "seed=0,1"],
        ["model=quadratic,mlp_small", "optimizer.lr=0.1,1", "train.steps=5"],
        ["init=xavier", "init.gain=auto,2", "model.hidden=[5],[4,3]", "train.snapshots=null,[0,2]"],
        ["model.hidden=[5]", "model=mlp,mlp_small", "++model.dropout=0,0.5,1e-1"],
        ["model.input_init=null,he,xavier", "model.output_init=zeros,lecun", "seed=1"],
        ["model.bias=true,false,True,no", "dtype=float32,'float64'", "model.bias_std=0"],
        ["train.batch_size=10,20,1_0", "optimizer.lr=1,1.0,1e0", "train.eval_every=null,5"],
        ["init=variance_scaling", "init.scale=1,2,3.5", "init.mode=fan_in,fan_out"],
        ["tracking.experiment='a, b'", "seed=0,1", "tracking.uri=null"],
        ["sweep.zip=[seed,init]", "seed=0,1", "init=he,xavier"],
        ["data.train_size=null,500", "data.validation=0,0.2", "init.scale=1e-1,2"],
        ["experiment=three_inits", "init=he,xavier", "train.steps=2,3", "data=digits"],
        ["experiment=batch_norm", "model.batch_norm=true,false", "data=digits", "seed=0"],
        ["hydra.sweep.subdir='${hydra.job.num}'", "init=he,xavier", "seed=0,1"],
    ],
)  # fmt: skip
def test_combined_runs_are_those_of_whole_configs(loader, typed):
    sweep = Sweep(loader, *typed)
    for combined, composed in zip(sweep.combined(), sweep.composed(), strict=True):
        for name in EQUAL:
            assert getattr(combined, name) == getattr(composed, name), name
        assert repr(combined.values) == repr(composed.values)  # 1, 1.0 and true are equal
        assert repr(combined.config) == repr(composed.config)
        assert {*map(type, combined.params.values())} == {str}


def test_settings_that_go_with_a_choice_and_zipped_keys_are_combined_as_well(loader):
    where = {"optimizer=adam": {"optimizer.lr": 0.001, "train.steps": 7}}
    typed = ["optimizer=adam,sgd", "init=he,xavier", "activation=relu,tanh", "seed=0,1"]
    sweep = Sweep(loader, *typed, where=where, zipped=[["init", "activation"]])
    combined = sweep.combined()
    assert [each.values["train"]["steps"] for each in combined] == [7] * 4 + [1000] * 4
    for one, other in zip(combined, sweep.composed(), strict=True):
        assert (one.fingerprint, one.yaml) == (other.fingerprint, other.yaml)


def test_each_option_is_composed_once(loader, monkeypatch):
    sweep = Sweep(loader, "init=he,xavier,lecun", "activation=relu,tanh,elu", "optimizer=sgd,adam")
    composed = []
    compose = loader.load_sweep_config
    monkeypatch.setattr(
        loader, "load_sweep_config", lambda *line: composed.append(line) or compose(*line)
    )
    assert len({each.fingerprint for each in sweep.combined()}) == 18
    assert len(composed) == 1 + 2 + 2 + 1
    for name, settings in sweep.trials:
        sweep.compose(named(name, settings))
    assert len(composed) == 6


def test_a_setting_is_converted_once_however_many_combinations_have_it(loader, monkeypatch):
    sweep = Sweep(loader, "seed=range(10)", "optimizer.lr=range(1,11)", "optimizer=sgd,adam,lion")
    applied = []
    apply = Composer.apply
    monkeypatch.setattr(Composer, "apply", lambda *given: applied.append(given) or apply(*given))
    assert len({each.fingerprint for each in sweep.combined()}) == 300
    assert len(applied) == 10 + 3 * 10


def test_data_are_loaded_once(loader, monkeypatch):
    loaded = []
    load = combine.load
    monkeypatch.setattr(combine, "load", lambda config: loaded.append(config.data) or load(config))
    Sweep(loader, "seed=range(5)", "data.train_size=100,200").combined()
    assert len(loaded) == 2
    loaded.clear()
    typed = ["data=gaussian", "train.steps=0", "init=he,xavier,lecun", "seed=0,1"]
    Sweep(loader, *typed).combined()
    assert len(loaded) == 2


SCHEMA = "# @package _global_\ndefaults: [/schema/init@_global_.init: VarianceScaling, _self_]\n"
OPTIONS = {
    # Sets a value elsewhere.
    "init/mine.yaml": f"{SCHEMA}seed: 7\n",
    # Is another file with another activation, as long as there is one.
    "init/yours.yaml": "defaults: [he, optional /activation_own@_here_: '${activation}']\n",
    "activation_own/tanh.yaml": "scale: 9.0\n",
    # Takes a value from elsewhere.
    "init/theirs.yaml": "defaults: [he]\nscale: ${optimizer.lr}\n",
    # Sets how Hydra names folders.
    "init/ours.yaml": f"{SCHEMA}hydra: {{sweep: {{subdir: own}}}}\n",
}


@pytest.mark.parametrize("option", ["mine", "yours", "theirs", "ours"])
def test_options_that_change_more_than_their_section_are_composed(loader, tmp_path, option):
    for name, text in OPTIONS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    fixed = [f"hydra.searchpath=[{tmp_path.as_uri()}]"]
    typed = [f"init=xavier,{option}", "activation=relu,tanh", "optimizer.lr=0.1,0.2"]
    sweep = Sweep(loader, *typed, fixed=fixed)
    for (name, settings), composed in zip(sweep.trials, sweep.composed(), strict=True):
        spec = sweep.combine(name, settings)
        assert (spec.fingerprint, spec.yaml) == (composed.fingerprint, composed.yaml)
        quick, whole = (each(named(name, settings)) for each in (sweep.compose, sweep.whole))
        assert OmegaConf.to_yaml(quick) == OmegaConf.to_yaml(whole)


@pytest.mark.parametrize(
    "typed",
    [
        ["seed=0,abc"],
        ["seed=-1,0"],
        ["seed=null,0"],
        ["init.nothing=1,2"],
        ["+init.more=1,2"],
        ["+init.scale=1,2"],
        ["nothing=1,2"],
        ["~seed", "train.steps=1,2"],
        ["init=he,nothing", "seed=1,2"],
        ["init=he,xavier", "init@there=he"],
        ["model.hidden=[5],[[5]]"],
        ["model.hidden=[5],[0]"],
        ["model.hidden=5,6"],
        ["train.batch_size=10,2000"],
        ["train.steps=???,2"],
        ["train.steps='${seed}',2", "seed=abc"],
        ["data.train_size=100000,5"],
        ["data=gaussian,digits"],
        ["model=mlp,quadratic", "train.weight_decay=0.1"],
        ["optimizer=adam,sgd", "optimizer.beta1=0.5"],
        ["init=he,zeros", "init.gain=0.3,nope"],
        ["sweep.zip=[seed]", "seed=1,2"],
        ["data=mnist", "data.root=/nowhere,/nothing"],
    ],
)
def test_a_mistake_is_told_as_the_whole_config_tells_it(loader, typed):
    sweep = Sweep(loader, *typed)
    assert first_error(map(sweep.combine, *zip(*sweep.trials))) == first_error(sweep.composed())


def first_error(runs):
    """Return how many runs there are before an error, and the error."""
    for count in itertools.count():
        try:
            next(runs)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            return count, type(error), str(error), str(error.__cause__)


@pytest.mark.parametrize(
    "typed",
    [
        ["train.steps='${seed}',5", "seed=0,1"],
        ["data={train_size:100},{train_size:200}", "seed=0,1"],
        ["init={gain:2},{gain:3}", "optimizer=adam,sgd"],
        ["train={steps:3,batch_size:7},{steps:4}", "seed=1"],
        ["hydra.job.chdir=true,false", "seed=1,2"],
        ["init=he,xavier", "seed=1,2", "++optimizer={lr:0.5}"],
        ["sweep={on_error:stop}", "seed=1,2"],
        ["seed=2"],
    ],
)
def test_what_cannot_be_combined_is_composed_to_the_same_runs(loader, typed):
    sweep = Sweep(loader, *typed)
    for (name, settings), composed in zip(sweep.trials, sweep.composed(), strict=True):
        spec = sweep.combine(name, settings)
        assert (spec.name, spec.fingerprint) == (composed.name, composed.fingerprint)
        assert (spec.params, spec.yaml) == (composed.params, composed.yaml)
