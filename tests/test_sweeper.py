"""The sweeper composes trials faster than Hydra, and to the same configs."""

import os
import subprocess
import sys

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


def test_an_option_from_elsewhere_is_taken_for_one(composers, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.yaml").write_text("# @package _global_\nseed: 7\n")
    loader = GlobalHydra.instance().config_loader()
    typed = [f"hydra.searchpath=[{tmp_path.as_uri()}]"]
    multirun = loader.load_configuration("config", typed, run_mode=RunMode.MULTIRUN)
    quick = Composer(loader, multirun)(["+mine=x", "init=xavier"])
    assert quick.seed == 7
    plain = loader.load_sweep_config(multirun, ["+mine=x", "init=xavier"])
    assert OmegaConf.to_yaml(quick) == OmegaConf.to_yaml(plain)


FOREIGN = """
import hydra
@hydra.main(version_base="1.3", config_path=None)
def main(config):
    print("a", config.a)
main()
"""


def test_other_apps_of_hydra_in_the_same_environment_sweep_as_before(tmp_path):
    (tmp_path / "app.py").write_text(FOREIGN)
    command = [sys.executable, "app.py", "-m", "+a=1,2"]
    path = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    plugins = [sys.executable, "app.py", "--info", "plugins"]
    found = subprocess.run(plugins, cwd=tmp_path, env=path, capture_output=True, text=True)
    assert "GridSweeper" in found.stdout  # so that ours could be in the way
    done = subprocess.run(command, cwd=tmp_path, env=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("a ")] == ["a 1", "a 2"]


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
