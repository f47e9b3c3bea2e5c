"""Engines, as far as they can be shown without a cluster."""

import pytest

from hydra_plugins.initlab_launcher import CoresLauncher
from hydra_plugins.initlab_ray import RayLauncher
from hydra_plugins.initlab_slurm import SlurmLauncher
from initlab.config import ConfigError
from initlab.sweep import remote
from initlab.sweep.engine import Here, Restarted
from initlab.sweep.on_slurm import parsed
from initlab.sweep.pool import Pool

RAY = {"address": None, "processes": None, "num_cpus": 1.0, "num_gpus": 0.0, "resources": {}}
SLURM = {"processes": 2, "additional": {}, "time": None, "cpus_per_task": None}


def test_few_short_calls_are_made_here_and_more_in_processes():
    pool = Pool(2, needed=False)
    assert isinstance(pool.fit(3, 4.0), Here)
    assert isinstance(pool.fit(1, 4000.0), Here)
    assert isinstance(Pool(1).fit(3, 4000.0), Here)
    assert isinstance(Pool(2).fit(0, 0.0), Pool)


@pytest.mark.parametrize(
    ("launcher", "settings", "words"),
    [
        (CoresLauncher, {"processes": 0}, "processes must be null, for all cores, or a number"),
        (RayLauncher, RAY | {"processes": -1}, "processes must be null, for as many as there are"),
        (RayLauncher, RAY | {"num_cpus": -1.0}, "num_cpus must be 0 or more; got -1"),
        (RayLauncher, RAY | {"num_cpus": 0.0}, "num_cpus must be above 0"),
        (RayLauncher, RAY | {"resources": {"big": float("nan")}}, "big must be 0 or more"),
        (SlurmLauncher, SLURM | {"processes": 0}, "processes must be at least 1; got 0"),
        (SlurmLauncher, SLURM | {"time": 0}, "time must be at least 1; got 0"),
    ],
)
def test_invalid_settings_of_a_launcher_are_refused(launcher, settings, words, monkeypatch):
    monkeypatch.setattr("hydra_plugins._launchers.find_spec", lambda name: True)
    with pytest.raises(ConfigError, match=f"^hydra.launcher.{words}"):
        launcher(**settings)


@pytest.mark.parametrize(
    ("launcher", "settings", "words"),
    [
        (RayLauncher, RAY, r"hydra/launcher=ray needs the package ray, .*: pip install .*\[ray\]"),
        (SlurmLauncher, SLURM, r"hydra/launcher=slurm needs the package submitit, .*\[slurm\]"),
    ],
)
def test_what_an_engine_needs_is_said_where_it_is_missing(launcher, settings, words, monkeypatch):
    monkeypatch.setattr("hydra_plugins._launchers.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=words):
        launcher(**settings)


def test_a_worker_with_other_versions_says_which():
    mine = remote.versions()
    remote.refuse_other(mine)
    with pytest.raises(remote.OtherVersionError) as caught:
        remote.refuse_other({**mine, "numpy": "1.0", "abacus": "3"})
    assert f"numpy {mine['numpy']}, where 1.0 is wanted" in str(caught.value)
    assert "abacus missing, where 3 is wanted" in str(caught.value)


def test_a_worker_takes_over_the_command_and_the_variables_of_a_run(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["src/train.py", "-m"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere")
    monkeypatch.setenv("HOME_OF_OTHERS", "kept to itself")
    setting = remote.Setting()
    assert setting.argv == ["src/train.py", "-m"]
    assert setting.environment["MLFLOW_TRACKING_URI"] == "http://somewhere"
    assert "HOME_OF_OTHERS" not in setting.environment
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert remote.Setting().environment["MLFLOW_TRACKING_URI"].endswith("mlflow.db")


LINES = """
JobId=7 JobName=one UserId=root(0) JobState=RUNNING Reason=None
JobId=9 ArrayJobId=8 ArrayTaskId=0 JobName=initlab JobState=COMPLETED Reason=None
JobId=8 ArrayJobId=8 ArrayTaskId=1-3,5%4 JobName=initlab JobState=PENDING Reason=Resources
"""


def test_the_states_of_single_jobs_and_of_the_tasks_of_an_array_are_read():
    assert parsed(LINES) == {
        "7": "RUNNING",
        "8_0": "COMPLETED",
        "8_1": "PENDING",
        "8_2": "PENDING",
        "8_3": "PENDING",
        "8_5": "PENDING",
    }


TINY = ("train.steps=5", "model.hidden=[4]", "tracking.pictures=false")


def test_a_sweep_whose_engine_breaks_reports_what_has_ended(lab, monkeypatch, capsys):
    answers, calls = Here.answers, []

    def breaking(engine):
        calls.append(engine)
        if len(calls) == 2:
            raise ConfigError("the cluster is gone")
        yield from answers(engine)

    monkeypatch.setattr(Here, "answers", breaking)
    assert lab.run("-m", "seed=0,1,2", *TINY) == 1
    printed = capsys.readouterr().out
    assert "error: the cluster is gone" in printed
    assert "not run: 2 of 3 trials. The same command resumes here." in printed
    assert "not known" not in printed
    assert (lab.outputs / "sweep" / "report.html").exists()


def test_an_engine_that_breaks_before_anything_has_ended_is_one_error(lab, monkeypatch, capsys):
    def breaking(engine):
        raise ConfigError("the cluster is gone")

    monkeypatch.setattr(Here, "answers", breaking)
    assert lab.run("-m", "seed=0,1,2", *TINY) == 2
    assert capsys.readouterr().err == "error: the cluster is gone\n"
    assert lab.runs() == []


def test_the_run_of_a_trial_that_is_made_once_more_is_closed_first(lab, monkeypatch, capsys):
    answers, left = Here.answers, []

    def restarting(engine):
        if not left:  # as of a worker on a host that has failed
            tags = {"role": "trial", "sweep": "sweep", "process.host": "another"}
            fingerprint = engine.begun[0][1].task.args[0].fingerprint
            experiment = lab.client.get_experiment_by_name("initlab").experiment_id
            left.append(lab.client.create_run(experiment, tags=tags | {"fingerprint": fingerprint}))
            yield engine.begun[0][0], Restarted()
        yield from answers(engine)

    monkeypatch.setattr(Here, "answers", restarting)
    assert lab.run("-m", "seed=0,1", *TINY) == 0
    assert lab.client.get_run(left[0].info.run_id).info.status == "KILLED"
    assert [run.info.status for run in lab.runs()].count("FINISHED") == 2
