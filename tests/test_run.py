"""A run is described once, for the sweep that plans it and for the process that trains it."""

import os
import pickle
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir

from initlab import run
from initlab.config import PROJECT, register
from initlab.run import RunSpec
from initlab.sweep.plan import check
from initlab.tracking import provenance


@pytest.fixture(scope="module")
def composed():
    """Return a function that composes overrides as a sweep does."""
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        yield lambda overrides=(): compose("config", [*overrides], return_hydra_config=True)


def test_a_spec_is_sent_to_another_process_without_its_data(composed):
    config = composed(["init=lsuv", "optimizer=adam", "seed=3"])
    spec = RunSpec.of(config, config.hydra)
    sent = pickle.loads(pickle.dumps(spec))
    assert spec.data is not None
    assert sent.data is None
    assert vars(sent) == vars(spec) | {"data": None}
    assert sent.config.optimizer is not spec.config.optimizer


def test_a_plan_of_many_trials_keeps_no_files_open(composed):
    trials = [check("", [], composed)]
    before = len(os.listdir("/dev/fd"))
    trials += [check("", [f"seed={seed}"], composed) for seed in range(5)]
    assert len(os.listdir("/dev/fd")) == before
    assert len({trial.spec.fingerprint for trial in trials}) == 5


def test_settings_that_the_model_does_not_use_are_not_recorded(composed):
    config = composed(["model=quadratic", "init=zeros"])
    spec = RunSpec.of(config, config.hydra)
    assert spec.data is None
    assert not {"init", "activation", "data", "seed", "train.batch_size"} & spec.params.keys()
    assert {"model", "optimizer.lr", "train.steps", "model.start"} <= spec.params.keys()


def test_the_tags_say_which_sweep_and_experiment_a_run_is_of(composed):
    config = composed(["experiment=zeros_minibatch", "data=digits"])
    spec = RunSpec.of(config, config.hydra)
    assert spec.tags["experiment"] == "zeros_minibatch"
    assert spec.tags["role"] == "trial"
    assert not {"sweep", "study"} & spec.tags.keys()


def test_a_worker_on_another_host_makes_no_database_where_it_sees_none(lab, composed, monkeypatch):
    missing = lab.folder / "elsewhere" / "mlflow.db"
    config = composed([f"tracking.uri=sqlite:///{missing}", "train.steps=2", "model.hidden=[4]"])
    spec = replace(RunSpec.of(config, config.hydra), sweep="s", folder=lab.folder)
    there = replace(spec, origin=provenance.origin(PROJECT) | {"head.host": "another"})
    result = run.attempt(there)
    assert result.outcome == "failed"
    assert "there is no such database" in result.reason
    assert not missing.parent.exists()
    assert run.attempt(spec).outcome == "finished"
