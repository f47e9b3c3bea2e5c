"""Sweeps: grids on all cores, which go on where they were stopped."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from initlab.config import PROJECT
from initlab.nn.optimizers import SGD
from initlab.process import identity, is_gone
from initlab.report.charts.styles import PALETTE
from initlab.tracking import provenance

ON_ALL_CORES = ["hydra/launcher=cores", "hydra.launcher.processes=2"]
TINY = ["train.steps=20", "model.hidden=[20]", "tracking.pictures=false"]


def names(runs):
    return [run.info.run_name for run in runs]


def statuses(runs):
    return [run.info.status for run in runs]


def artifact(lab, run, name):
    """The text of an artifact."""
    return Path(lab.client.download_artifacts(run.info.run_id, name, str(lab.folder))).read_text()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def count(lab, status):
    """How many trials have a status, read without disturbing whoever writes."""
    query = (
        "SELECT count(*) FROM runs JOIN tags USING (run_uuid) "
        "WHERE tags.key = 'role' AND tags.value = 'trial' AND runs.status = ?"
    )
    with sqlite3.connect(lab.database) as store:
        return store.execute(query, [status]).fetchone()[0]


def fail_where(condition, monkeypatch):
    """Let the third update of SGD raise where a condition of its optimizer is true."""
    update = SGD.update
    calls = {}

    def failing(self, w, g, lr):
        calls[id(self)] = calls.get(id(self), 0) + 1
        if condition(self) and calls[id(self)] == 3:
            raise ZeroDivisionError("on purpose")
        update(self, w, g, lr)

    monkeypatch.setattr(SGD, "update", failing)


def test_a_sweep_is_flat_and_its_trials_are_named_by_what_varies(lab, capsys):
    assert lab.run("-m", "seed=1,2", "activation=tanh", "init=xavier,he", *TINY) == 0
    runs = lab.runs()
    assert names(runs) == [
        "init=xavier seed=1",
        "init=he seed=1",
        "init=xavier seed=2",
        "init=he seed=2",
    ]
    assert {run.data.tags["sweep"] for run in runs} == {"sweep"}
    assert {run.data.tags["role"] for run in runs} == {"trial"}
    assert len({run.data.tags["fingerprint"] for run in runs}) == 4
    assert all("mlflow.parentRunId" not in run.data.tags for run in runs)
    printed = capsys.readouterr().out
    assert len(re.findall(r"^\d/4  init=(he|xavier) seed=[12] ", printed, re.M)) == 4
    assert "step 10/20" not in printed
    outputs = sorted((lab.outputs / "sweep").glob("*/output.txt"))
    assert len(outputs) == 4
    assert "10/20" in outputs[0].read_text()


def test_trials_on_all_cores_lose_nothing_and_give_the_same_losses(lab):
    arguments = ["init=xavier,he", "seed=0,1,2", "optimizer=adam", *TINY]
    assert lab.run("-m", *arguments) == 0
    assert lab.run("-m", *ON_ALL_CORES, "sweep.existing=rerun", *arguments) == 0
    here, there = lab.runs()[:6], lab.runs()[6:]
    assert len({run.data.tags["process.pid"] for run in here}) == 1
    assert {run.data.tags["process.pid"] for run in there}.isdisjoint({str(os.getpid())})
    found = {run.info.run_name: lab.values(run, "train/loss") for run in there}
    assert found == {run.info.run_name: lab.values(run, "train/loss") for run in here}
    assert len(found) == 6


def test_processes_stay_in_the_folder_of_the_sweep_also_under_a_profiler(lab):
    # which becomes the main module in place of train.py, so that the processes do not import that
    command = [sys.executable, "-m", "cProfile", "-o", "profile", str(PROJECT / "src" / "train.py")]
    typed = lab.line(["-m", *ON_ALL_CORES, "seed=1,2", "tracking.uri=sqlite:///mlflow.db", *TINY])
    subprocess.run([*command, *typed], check=True, cwd=lab.folder, stdout=subprocess.DEVNULL)
    assert statuses(lab.runs()) == ["FINISHED"] * 2
    assert [*lab.folder.rglob("mlflow.db")] == [lab.database]


def test_processes_run_the_code_that_was_started_whatever_is_installed(lab):
    for part in ("src", "conf"):
        shutil.copytree(PROJECT / part, lab.folder / "copy" / part)
    module = lab.folder / "copy" / "src" / "initlab" / "run.py"
    module.write_text(module.read_text().replace("Tag.ROLE: Role.TRIAL", 'Tag.ROLE: "copy"'))
    typed = lab.line(["-m", *ON_ALL_CORES, "seed=1,2", *TINY])
    command = [sys.executable, str(lab.folder / "copy" / "src" / "train.py")]
    subprocess.run([*command, *typed], check=True, stdout=subprocess.DEVNULL)
    assert statuses(lab.found("tags.role = 'copy'")) == ["FINISHED"] * 2


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["init=he,hee"], ["init=hee", "Did you mean he"]),
        (
            ["init=he,xavier", "optimizer.lr=0.1,-1"],
            ["optimizer.lr must be greater than 0; got -1", "in the trial init=he optimizer.lr=-1"],
        ),
        (["data.train_size=50,200"], ["train.batch_size must be at most 50", "train_size=50"]),
        (["tracking.experiment=a,b"], ["tracking.* cannot be swept"]),
        (["sweep.existing=no", "seed=1,2"], ["sweep.existing must be one of skip, rerun, error"]),
        (["--info=all"], ["Only one of --run, --multirun"]),
        (["seed=range(0)"], ["seed=range(0): no value fits"]),
        (["seed=range(1,2,0)"], ["seed=range(1,2,0): ", "must not be zero"]),
        (["init=glob(zzz*)"], ["init=glob(zzz*): no value fits"]),
        (["optimizer.lr=interval(0,1)"], ["optimizer.lr=interval(0,1): an interval"]),
        (["hydra.sweeper.params=foo"], ["hydra.sweeper.params must map keys", "'foo'"]),
        (["hydra.sweep.dir=", "seed=1,2"], ["hydra.sweep.dir must name a folder"]),
        (["hydra.sweep.dir=/", "seed=1,2"], ["hydra.sweep.dir must name a folder", "'/'"]),
        *(
            ([f"hydra.launcher.processes={wrong}", "seed=1,2"], ["processes must be null, for"])
            for wrong in ("0", "-1", "1.5", "two", "true")
        ),
    ],
)
def test_a_sweep_with_a_mistake_in_it_does_not_start_and_leaves_nothing(lab, capsys, typed, words):
    lab.refuses(capsys, words, "-m", *typed)


def test_a_trial_whose_numbers_are_there_is_not_run_again(lab, capsys):
    assert lab.run("-m", "init=xavier,he", *TINY) == 0
    assert lab.run("-m", "init=he,std001", *TINY) == 0
    assert names(lab.runs()) == ["init=xavier", "init=he", "init=std001"]
    assert lab.run("init=he", *TINY) == 0  # a single run always runs
    assert len(lab.runs()) == 4
    assert lab.run("-m", "init=he,std001", "sweep.existing=rerun", *TINY) == 0
    assert len(lab.runs()) == 6
    capsys.readouterr()
    assert lab.run("-m", "init=he,lecun", "sweep.existing=error", *TINY) == 2
    error = capsys.readouterr().err
    assert "sweep.existing=error: 1 of 2 trials have been run" in error
    assert "init=he is run" in error
    assert len(lab.runs()) == 6


def test_only_a_finished_run_of_the_same_numbers_is_taken_for_one(lab, monkeypatch):
    assert lab.run("-m", "seed=0,1", *TINY) == 0
    first, second = lab.runs()
    lab.client.set_terminated(first.info.run_id, "FAILED")
    lab.client.delete_run(second.info.run_id)
    assert lab.run("-m", "seed=0,1", *TINY) == 0
    assert names(lab.runs()) == ["seed=0", "seed=0", "seed=1"]
    monkeypatch.setattr(provenance, "numerics", lambda: "other code")
    assert lab.run("-m", "seed=0,1", *TINY) == 0
    assert len(lab.runs()) == 5


def test_a_setting_typed_twice_is_run_once(lab, capsys):
    assert lab.run("-m", "optimizer.lr=0.1,1e-1", *TINY) == 0
    (run,) = lab.runs()
    assert run.data.params["optimizer.lr"] == "0.1"


def test_a_dry_run_tells_the_states_and_starts_nothing(lab, capsys):
    assert lab.run("-m", "init=xavier,he", *TINY) == 0
    lab.client.set_terminated(lab.runs()[1].info.run_id, "KILLED")
    capsys.readouterr()
    before = sorted(lab.outputs.rglob("*"))
    assert lab.run("-m", "init=xavier,he,std001", "sweep.dry_run=true", *TINY) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"init=xavier +cached +[0-9a-f]{32}", lines[1])
    assert re.search(r"init=he +killed before", lines[2])
    assert re.search(r"init=std001 +new", lines[3])
    assert len(lab.runs()) == 2
    assert sorted(lab.outputs.rglob("*")) == before


def test_a_dry_run_makes_no_store(lab, capsys):
    lab.database.unlink()
    assert lab.run("-m", "init=xavier,he", "sweep.dry_run=true") == 0
    assert capsys.readouterr().out.count("new") == 2
    assert not lab.database.exists()


def test_a_dry_run_of_a_single_run_is_refused(lab, capsys):
    assert lab.run("sweep.dry_run=true") == 2
    assert "add -m" in capsys.readouterr().err
    assert lab.runs() == []


def test_two_sweeps_never_share_a_folder_or_an_id(lab):
    for seed in (1, 2):
        assert lab.run("-m", f"seed={seed}", "init=he,xavier", *TINY) == 0
    assert [run.data.tags["sweep"] for run in lab.runs()] == [
        "sweep",
        "sweep",
        "sweep-2",
        "sweep-2",
    ]
    assert {folder.name for folder in lab.outputs.iterdir()} == {"sweep", "sweep-2"}


def test_a_trial_that_raises_does_not_stop_the_others(lab, capsys, monkeypatch):
    fail_where(lambda sgd: sgd.lr == 0.03, monkeypatch)
    swept = "optimizer.lr=0.01,0.02,0.03,0.04,0.05,0.06"
    assert lab.run("-m", swept, *TINY) == 1
    runs = lab.runs()
    assert statuses(runs) == ["FINISHED"] * 2 + ["FAILED"] + ["FINISHED"] * 3
    failed = runs[2]
    assert "ZeroDivisionError: on purpose" in artifact(lab, failed, "traceback.txt")
    assert failed.data.tags["error"] == "ZeroDivisionError: on purpose"
    folder = lab.outputs / "sweep" / "2"
    assert "ZeroDivisionError: on purpose" in (folder / "traceback.txt").read_text()
    printed = capsys.readouterr().out
    assert "optimizer.lr=0.03  failed: ZeroDivisionError: on purpose" in printed


def test_a_trial_that_cannot_be_made_ready_is_recorded_as_failed(lab):
    assert lab.run("-m", "model.hidden=[20],[9000000,9000000]", "train.steps=5") == 1
    fine, failed = lab.runs()
    assert statuses([fine, failed]) == ["FINISHED", "FAILED"]
    assert "MemoryError" in artifact(lab, failed, "traceback.txt")
    assert failed.data.tags["error"].startswith("MemoryError: Unable to allocate")


def test_a_trial_that_diverges_is_a_result(lab):
    assert lab.run("-m", "optimizer.lr=0.1,0.2,0.3,0.4,0.5,1e30", *TINY) == 0
    runs = lab.runs()
    assert statuses(runs) == ["FINISHED"] * 6
    assert [run.data.tags["outcome"] for run in runs] == ["finished"] * 5 + ["diverged"]


def test_a_sweep_may_stop_at_the_first_error_and_go_on_later(lab, monkeypatch):
    with monkeypatch.context() as patch:
        fail_where(lambda sgd: sgd.lr == 0.02, patch)
        swept = "optimizer.lr=0.01,0.02,0.03,0.04"
        assert lab.run("-m", swept, "sweep.on_error=stop", *TINY) == 1
    assert statuses(lab.runs()) == ["FINISHED", "FAILED"]
    assert lab.run("-m", swept, *TINY) == 0
    assert statuses(lab.runs()) == ["FINISHED", "FAILED", *["FINISHED"] * 3]
    assert len({run.data.tags["fingerprint"] for run in lab.runs()}) == 4


def test_runs_of_processes_that_are_gone_are_closed_and_others_left_alone(lab):
    experiment = lab.client.create_experiment("initlab")
    gone = subprocess.Popen(["true"])
    gone.wait()
    parent = psutil.Process(os.getppid())
    alive = {"process.pid": str(parent.pid), "process.started": str(parent.create_time())}
    owners = {
        "gone": identity() | {"process.pid": str(gone.pid)},
        "another since": identity() | {"process.started": "1.0"},
        "alive": identity() | alive,
        "of this process": identity(),
        "elsewhere": identity() | {"process.host": "elsewhere", "process.pid": str(gone.pid)},
        "unknown": {},
    }
    for name, tags in owners.items():
        lab.client.create_run(experiment, tags={"role": "trial", **tags}, run_name=name)
    assert lab.run("-m", "seed=0,1", *TINY) == 0
    found = {run.info.run_name: run.info for run in lab.runs()}
    assert {name: found[name].status for name in owners} == {
        "gone": "KILLED",
        "another since": "KILLED",
        "alive": "RUNNING",
        "of this process": "KILLED",  # which has none under way when a sweep begins or ends
        "elsewhere": "RUNNING",
        "unknown": "RUNNING",
    }
    assert found["gone"].end_time >= found["gone"].start_time


GRID = ["-m", *ON_ALL_CORES, "init=xavier,he,std001", "activation=relu,tanh", "seed=0,1,2,3"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("launcher", ["cores", "basic"])
def test_an_interrupted_sweep_closes_its_runs_and_goes_on_later(lab, number, status, launcher):
    line = [
        "-m",
        f"hydra/launcher={launcher}",
        "seed=0,1,2,3,4,5",
        "train.steps=300,301",
        "train.eval_every=300",
        "tracking.pictures=false",
    ]
    process = lab.start(*line, start_new_session=True)
    wait_for(lambda: count(lab, "FINISHED") >= 3)
    os.killpg(process.pid, number)  # as a terminal does
    _, error = process.communicate(timeout=60)
    assert process.returncode == status, error
    assert "Traceback" not in error
    assert count(lab, "RUNNING") == 0
    assert count(lab, "KILLED") <= 2
    assert 3 <= count(lab, "FINISHED") < 12
    assert lab.run(*line) == 0
    assert count(lab, "FINISHED") == 12


def test_a_sweep_killed_three_times_goes_on_where_it_stopped(lab):
    rng = np.random.default_rng()
    line = [*GRID, "train.steps=60", "tracking.pictures=false"]
    finished = 0
    for _ in range(3):
        process = lab.start(*line, start_new_session=True)
        wait_for(lambda: count(lab, "FINISHED") > finished)  # noqa: B023
        time.sleep(rng.uniform(0, 1))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        finished = count(lab, "FINISHED")
        assert finished < 24, "it was killed too late to show anything"
    process = lab.start(*line)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    done = [run for run in lab.runs() if run.info.status == "FINISHED"]
    assert len(done) == 24
    assert len({run.data.tags["fingerprint"] for run in done}) == 24
    assert all(list(lab.values(run, "train/loss")) == list(range(60)) for run in done)
    assert set(statuses(lab.runs())) <= {"FINISHED", "KILLED"}


def test_two_sweeps_at_once_into_a_fresh_database_lose_nothing(lab):
    lab.database.unlink()
    sweeps = [
        lab.start("-m", *ON_ALL_CORES, "init=he,xavier", f"seed={seeds}", *TINY)
        for seeds in ("0,1,2,3", "4,5,6,7")
    ]
    for each in sweeps:
        _, error = each.communicate(timeout=120)
        assert each.returncode == 0, error
        assert "locked" not in error
    runs = lab.runs()
    assert statuses(runs) == ["FINISHED"] * 16
    assert len({run.info.experiment_id for run in runs}) == 1
    assert sorted(run.data.tags["sweep"] for run in runs) == ["sweep"] * 8 + ["sweep-2"] * 8
    assert all(list(lab.values(run, "train/loss")) == list(range(20)) for run in runs)


def test_a_second_interrupt_ends_a_sweep_at_once(lab):
    process = lab.start("-m", *ON_ALL_CORES, "seed=0,1", "train.steps=50000")
    wait_for(lambda: count(lab, "RUNNING") == 2)
    trials = [int(run.data.tags["process.pid"]) for run in lab.runs()]
    for trial in trials:
        os.kill(trial, signal.SIGSTOP)  # as one that waits for a server, it closes no run
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # together they count as one
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert output.startswith("stopping: ")
    assert error == "error: interrupted. Results so far: python src/compare.py sweep\n"
    assert all(is_gone(run.data.tags) for run in lab.runs())


def test_a_sweep_whose_store_goes_away_tells_what_it_knows(lab, capsys, monkeypatch):
    def losing(self, w, g, lr):
        lab.database.unlink(missing_ok=True)
        lab.database.mkdir(exist_ok=True)

    monkeypatch.setattr(SGD, "update", losing)
    assert lab.run("-m", "seed=1,2", *TINY) == 2
    said = capsys.readouterr()
    assert "unable to open database file" in said.err  # as a folder is there
    assert "failed  seed=2: " in said.out
    assert f"files {lab.outputs / 'sweep'}" in said.out


def test_a_database_that_cannot_be_written_is_refused_before_any_trial(lab, capsys):
    with lab.database.open("r+b") as file:
        file.seek(18)  # above 2, the version that it is written by makes a database read only
        file.write(b"\3")
    assert lab.run("-m", "seed=1,2", *TINY) == 2
    assert "readonly database" in capsys.readouterr().err
    assert not lab.outputs.exists()


def test_hydras_own_name_of_a_sweeper_gives_the_same_one(lab, capsys):
    assert lab.run("-m", "hydra/sweeper=basic", "seed=1,2", *TINY) == 0
    assert "report " in capsys.readouterr().out


def test_the_folder_of_a_trial_may_be_named_by_its_settings(lab):
    named = "hydra.sweep.subdir=${hydra:job.override_dirname}"
    excluded = "hydra.job.config.override_dirname.exclude_keys=[tracking.uri]"
    assert lab.run("-m", named, excluded, "seed=1,2", "train.steps=20") == 0
    folders = {file.parent.name for file in lab.outputs.glob("sweep/*/output.txt")}
    assert folders == {"seed=1,train.steps=20", "seed=2,train.steps=20"}


def test_runs_have_the_colours_of_the_report_in_the_ui(lab):
    assert lab.run("-m", "init=he,xavier", "seed=1,2", *TINY) == 0
    found = {run.info.run_name: run.data.tags["mlflow.runColor"] for run in lab.runs()}
    assert found["init=he seed=1"] == found["init=he seed=2"] == PALETTE[0]
    assert found["init=xavier seed=1"] == found["init=xavier seed=2"] == PALETTE[1]


def test_seeds_of_one_setting_can_be_told_from_each_other_in_the_ui(lab):
    assert lab.run("-m", "seed=1,2", *TINY) == 0
    assert not any("mlflow.runColor" in run.data.tags for run in lab.runs())


def test_a_worker_that_is_killed_fails_one_trial(lab):
    process = lab.start("-m", *ON_ALL_CORES, "seed=0,1,2,3", "train.steps=2000")
    wait_for(lambda: count(lab, "RUNNING"))
    (victim, *_) = [run for run in lab.runs() if run.info.status == "RUNNING"]
    os.kill(int(victim.data.tags["process.pid"]), signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"{victim.info.run_name}  failed: its process ended by SIGKILL" in output
    assert sorted(statuses(lab.runs())) == ["FINISHED"] * 3 + ["KILLED"]
