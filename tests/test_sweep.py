"""Sweeps: grids on all cores, which go on where they were stopped."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from conftest import lab_after, wait_for

from initlab.config import PROJECT
from initlab.nn.optimizers import SGD
from initlab.process import identity, is_gone
from initlab.report.charts.styles import PALETTE
from initlab.sweep import execute, sharing
from initlab.sweep.plan import Grid
from initlab.tracking import provenance
from initlab.tracking.store import Store

ON_ALL_CORES = ["hydra/launcher=cores", "hydra.launcher.processes=2"]
TINY = ["train.steps=20", "model.hidden=[20]", "tracking.pictures=false"]


def names(runs):
    return [run.info.run_name for run in runs]


def statuses(runs):
    return [run.info.status for run in runs]


def artifact(lab, run, name):
    """The text of an artifact."""
    return Path(lab.client.download_artifacts(run.info.run_id, name, str(lab.folder))).read_text()


def count(lab, status):
    """How many trials have a status, read without disturbing whoever writes."""
    query = (
        "SELECT count(*) FROM runs JOIN tags USING (run_uuid) "
        "WHERE tags.key = 'role' AND tags.value = 'trial' AND runs.status = ?"
    )
    with sqlite3.connect(lab.database) as store:
        return store.execute(query, [status]).fetchone()[0]


@pytest.fixture(scope="module")
def swept(tmp_path_factory, empty_store, request):
    """Return a lab with a sweep of four trials, and what was printed."""
    typed = ["seed=1,2", "init=xavier,he", "activation=tanh", *TINY]
    return lab_after(tmp_path_factory, empty_store, request, "-m", *typed)


@pytest.fixture
def again(lab, swept):
    """Return a lab in which that sweep has been run."""
    shutil.copy(swept[0].database, lab.database)
    return lab


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


def test_a_sweep_is_flat_and_its_trials_are_named_by_what_varies(swept):
    lab, printed = swept
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
    assert len(re.findall(r"^\d/4  init=(he|xavier) seed=[12] ", printed, re.M)) == 4
    assert "step 10/20" not in printed
    outputs = sorted((lab.outputs / "sweep").glob("*/output.txt"))
    assert len(outputs) == 4
    assert "10/20" in outputs[0].read_text()


def test_trials_on_all_cores_lose_nothing_and_give_the_same_losses(lab):
    arguments = ["init=xavier,he", "seed=0,1", "optimizer=adam", *TINY]
    assert lab.run("-m", *arguments) == 0
    assert lab.run("-m", *ON_ALL_CORES, "sweep.existing=rerun", *arguments) == 0
    here, there = lab.runs()[:4], lab.runs()[4:]
    assert len({run.data.tags["process.pid"] for run in here}) == 1
    assert {run.data.tags["process.pid"] for run in there}.isdisjoint({str(os.getpid())})
    found = {run.info.run_name: lab.values(run, "train/loss") for run in there}
    assert found == {run.info.run_name: lab.values(run, "train/loss") for run in here}
    assert len(found) == 4


def test_processes_run_the_code_that_was_started_in_its_folder_also_under_a_profiler(lab):
    # which becomes the main module in place of train.py, so that the processes do not import that
    for part in ("src", "conf"):
        shutil.copytree(PROJECT / part, lab.folder / "copy" / part)
    module = lab.folder / "copy" / "src" / "initlab" / "run.py"
    module.write_text(module.read_text().replace("Tag.ROLE: Role.TRIAL", 'Tag.ROLE: "copy"'))
    script = str(lab.folder / "copy" / "src" / "train.py")
    command = [sys.executable, "-m", "cProfile", "-o", "profile", script]
    typed = lab.line(["-m", *ON_ALL_CORES, "seed=1,2", "tracking.uri=sqlite:///mlflow.db", *TINY])
    subprocess.run([*command, *typed], check=True, cwd=lab.folder, stdout=subprocess.DEVNULL)
    assert statuses(lab.found("tags.role = 'copy'")) == ["FINISHED"] * 2
    assert [*lab.folder.rglob("mlflow.db")] == [lab.database]


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
            (
                ["hydra/launcher=cores", f"hydra.launcher.processes={wrong}", "seed=1,2"],
                ["processes must be null, for"],
            )
            for wrong in ("0", "-1", "1.5", "two", "true")
        ),
    ],
)
def test_a_sweep_with_a_mistake_in_it_does_not_start_and_leaves_nothing(lab, capsys, typed, words):
    lab.refuses(capsys, words, "-m", *typed)


def test_a_trial_whose_numbers_are_there_is_not_run_again(again, capsys):
    tanh = ["activation=tanh", "seed=1", *TINY]
    assert again.run("-m", "init=he,std001", *tanh) == 0
    assert [name.split()[0] for name in names(again.runs())[4:]] == ["init=std001"]
    assert again.run("init=he", *tanh) == 0  # a single run always runs
    assert len(again.runs()) == 6
    assert again.run("-m", "init=he,std001", "sweep.existing=rerun", *tanh) == 0
    assert len(again.runs()) == 8
    capsys.readouterr()
    assert again.run("-m", "init=he,lecun", "sweep.existing=error", *tanh) == 2
    error = capsys.readouterr().err
    assert "sweep.existing=error: 1 of 2 trials have been run" in error
    assert "init=he is run" in error
    assert len(again.runs()) == 8


def states(lab, capsys, *arguments):
    """Return the state of each trial of a sweep that is only looked at."""
    capsys.readouterr()
    assert lab.run("-m", *arguments, "sweep.dry_run=true") == 0
    found = re.findall(r"(new|cached|\w+ before|running)\b", capsys.readouterr().out)
    return [state.removesuffix(" before") for state in found]


def test_only_a_finished_run_of_the_same_numbers_is_taken_for_one(again, capsys, monkeypatch):
    line = ["init=xavier,he", "seed=1,2", "activation=tanh", *TINY]
    assert states(again, capsys, *line) == ["cached"] * 4
    failed, deleted = again.runs()[:2]
    again.client.set_terminated(failed.info.run_id, "FAILED")
    again.client.delete_run(deleted.info.run_id)
    assert states(again, capsys, *line) == ["failed", "cached", "new", "cached"]
    assert again.run("-m", *line) == 0
    assert len(again.runs()) == 5
    monkeypatch.setattr(provenance, "numerics", lambda: "other code")
    assert states(again, capsys, *line) == ["new"] * 4


def test_a_dry_run_tells_the_states_and_starts_nothing(again, capsys):
    again.client.set_terminated(again.runs()[1].info.run_id, "KILLED")
    line = ["init=xavier,he,std001", "seed=1", "activation=tanh"]
    assert again.run("-m", *line, "sweep.dry_run=true", *TINY) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"init=xavier +cached +[0-9a-f]{32}", lines[1])
    assert re.search(r"init=he +killed before", lines[2])
    assert re.search(r"init=std001 +new", lines[3])
    assert len(again.runs()) == 4
    assert not again.outputs.exists()


def test_a_dry_run_makes_no_store(lab, capsys):
    lab.database.unlink()
    assert lab.run("-m", "init=xavier,he", "sweep.dry_run=true") == 0
    assert capsys.readouterr().out.count("new") == 2
    assert not lab.database.exists()


def test_a_dry_run_of_a_single_run_is_refused(lab, capsys):
    assert lab.run("sweep.dry_run=true") == 2
    assert "add -m" in capsys.readouterr().err
    assert lab.runs() == []


def test_two_sweeps_never_share_a_folder_or_an_id(again):
    (again.outputs / "sweep-2").mkdir(parents=True)
    (again.outputs / "sweep-2" / "multirun.yaml").touch()  # of a sweep without a store
    assert again.run("-m", "seed=1,2", *TINY) == 0
    assert {run.data.tags["sweep"] for run in again.runs()[:4]} == {"sweep"}
    assert {run.data.tags["sweep"] for run in again.runs()[4:]} == {"sweep-3"}
    assert {folder.name for folder in again.outputs.iterdir()} == {"sweep-2", "sweep-3"}


def test_a_trial_that_raises_does_not_stop_the_others(lab, capsys, monkeypatch):
    fail_where(lambda sgd: sgd.lr == 0.03, monkeypatch)
    assert lab.run("-m", "optimizer.lr=0.02,0.03,0.04", *TINY) == 1
    runs = lab.runs()
    assert statuses(runs) == ["FINISHED", "FAILED", "FINISHED"]
    failed = runs[1]
    assert "ZeroDivisionError: on purpose" in artifact(lab, failed, "traceback.txt")
    assert failed.data.tags["error"] == "ZeroDivisionError: on purpose"
    folder = lab.outputs / "sweep" / "1"
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
    assert lab.run("-m", "optimizer.lr=1e30,0.1", *TINY) == 0
    runs = lab.runs()
    assert statuses(runs) == ["FINISHED"] * 2
    assert [run.data.tags["outcome"] for run in runs] == ["diverged", "finished"]


def test_a_mistake_that_only_three_settings_make_is_told_while_a_large_grid_runs(
    lab, monkeypatch, capsys
):
    monkeypatch.setattr(execute, "MOST_BEFORE", 3)
    monkeypatch.setattr(Grid, "covering", lambda grid, most: [0])
    swept = ["train.batch_size=10,5000", "seed=0,1", *TINY]
    assert lab.run("-m", *swept) == 1
    printed = capsys.readouterr().out
    assert printed.count("cannot be run: train.batch_size must be at most") == 2
    assert "no trial was started" not in printed
    assert "not run" not in printed
    assert statuses(lab.runs()) == ["FINISHED"] * 2


def test_a_large_grid_skips_what_was_run_before(lab, monkeypatch, capsys):
    assert lab.run("-m", "seed=1,3", *TINY) == 0
    monkeypatch.setattr(execute, "MOST_BEFORE", 3)
    capsys.readouterr()
    assert lab.run("-m", "seed=range(0,5)", *TINY) == 0
    printed = capsys.readouterr().out
    assert "2 of 5 trials had been run before" in printed
    assert "3/3" in printed
    assert statuses(lab.runs()) == ["FINISHED"] * 5


def test_a_sweep_may_stop_at_the_first_error_and_go_on_later(lab, monkeypatch):
    with monkeypatch.context() as patch:
        fail_where(lambda sgd: sgd.lr == 0.02, patch)
        swept = "optimizer.lr=0.01,0.02,0.03"
        assert lab.run("-m", swept, "sweep.on_error=stop", *TINY) == 1
    assert statuses(lab.runs()) == ["FINISHED", "FAILED"]
    assert lab.run("-m", swept, *TINY) == 0
    assert statuses(lab.runs()) == ["FINISHED", "FAILED", *["FINISHED"] * 2]
    assert len({run.data.tags["fingerprint"] for run in lab.runs()}) == 3


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


@pytest.mark.parametrize(
    ("number", "status", "launcher", "running"),
    [
        (signal.SIGINT, 130, "cores", 2),
        (signal.SIGTERM, 143, "basic", 1),
        (signal.SIGHUP, 129, "cores", 2),
    ],
)
def test_an_interrupted_sweep_closes_its_runs_and_goes_on_later(
    lab, capsys, number, status, launcher, running
):
    line = [f"hydra/launcher={launcher}", *TINY, "train.steps=20,10000000", "seed=0,1"]
    line += ["model.hidden=[500]", "train.eval_every=10000000"]
    line += ["hydra.launcher.processes=2"] if running == 2 else []
    process = lab.start("-m", *line, start_new_session=True)
    wait_for(lambda: lab.begun == 2 + running)
    assert (count(lab, "FINISHED"), count(lab, "RUNNING")) == (2, running)
    os.killpg(process.pid, number)  # as a terminal does
    _, error = process.communicate(timeout=120)
    assert process.returncode == status, error
    assert "Traceback" not in error
    assert (count(lab, "FINISHED"), count(lab, "KILLED"), count(lab, "RUNNING")) == (2, running, 0)
    left = ["killed"] * running + ["new"] * (2 - running)
    assert states(lab, capsys, *line) == ["cached"] * 2 + left


def test_two_sweeps_at_once_into_a_fresh_database_lose_nothing_whatever_the_folder(lab):
    lab.database.unlink()
    sweeps = [
        lab.start("-m", *launcher, f"seed={seeds}", *TINY, cwd="/")
        for launcher, seeds in ((ON_ALL_CORES, "0,1,2,3"), ([], "4,5,6,7"))
    ]
    for each in sweeps:
        _, error = each.communicate(timeout=120)
        assert each.returncode == 0, error
        assert "locked" not in error
    runs = lab.runs()
    assert statuses(runs) == ["FINISHED"] * 8
    assert len({run.info.experiment_id for run in runs}) == 1
    assert sorted(run.data.tags["sweep"] for run in runs) == ["sweep"] * 4 + ["sweep-2"] * 4
    assert all(list(lab.values(run, "train/loss")) == list(range(20)) for run in runs)


@pytest.mark.parametrize("finishes", [True, False])
def test_sweeps_at_once_share_their_trials(lab, finishes):
    line = ["-m", "seed=0,1,2", *TINY, "train.eval_every=10000000", "model.hidden=[500]"]
    first = lab.start(*line, "train.steps=400")
    wait_for(lambda: lab.begun == 1)
    os.kill(first.pid, signal.SIGSTOP)  # in the middle of its first trial
    second = lab.start(*line, "train.steps=400")
    wait_for(lambda: count(lab, "FINISHED") == 2)
    wait_for(lambda: "waiting for seed=0, which another sweep runs" in second.printed())
    os.kill(first.pid, signal.SIGCONT if finishes else signal.SIGKILL)
    output, error = second.communicate(timeout=120)
    assert second.returncode == 0, error
    first.communicate(timeout=120)
    seeds = [run.data.params["seed"] for run in lab.runs() if run.info.status == "FINISHED"]
    assert sorted(seeds) == ["0", "1", "2"]
    assert count(lab, "RUNNING") == 0
    shared = "1 of 3 trials had been run before"
    assert (shared in output) == finishes
    (results,) = lab.outputs.glob("sweep-2/results.csv")
    assert len(results.read_text().splitlines()) == 1 + 3


@pytest.mark.parametrize("ends", ["finished", "deleted", "lost"])
def test_a_trial_that_runs_on_another_host_is_waited_for_while_its_numbers_move(
    lab, capsys, monkeypatch, ends
):
    line = ["-m", "seed=0,1", *TINY]
    assert lab.run(*line) == 0
    old = lab.runs()[0]
    client, info = lab.client, old.info
    client.delete_run(info.run_id)
    tags = {name: old.data.tags[name] for name in ("role", "fingerprint")}
    tags |= {"process.host": "another", "process.pid": "1", "process.started": "1.0"}
    other = client.create_run(info.experiment_id, tags=tags).info.run_id
    looks = []

    def sleep(seconds):  # half of what counts as lost; meanwhile the other host goes on
        looks.append(len(looks))
        clock[0] += 0.5 * sharing.LEASE_SECONDS
        if len(looks) < 5:
            client.log_metric(other, "train/loss", 1.0, step=len(looks))
        elif ends == "finished":
            client.set_terminated(other)
        elif ends == "deleted":
            client.delete_run(other)

    clock = [0.0]
    monkeypatch.setattr(Store, "is_sqlite", False)
    monkeypatch.setattr(sharing.time, "sleep", sleep)
    monkeypatch.setattr(sharing.time, "monotonic", lambda: clock[0])
    capsys.readouterr()
    assert lab.run(*line) == 0
    printed = capsys.readouterr().out
    assert "waiting for seed=0, which another sweep runs" in printed
    assert len(looks) == {"finished": 5, "deleted": 5, "lost": 6}[ends]
    assert client.get_run(other).info.status == {
        "finished": "FINISHED", "deleted": "RUNNING", "lost": "KILLED"
    }[ends]  # fmt: skip
    assert count(lab, "FINISHED") == 3
    assert ("2 of 2 trials had been run before" in printed) == (ends == "finished")


def test_a_sweep_may_run_again_what_another_one_runs(lab):
    line = ["-m", "seed=0", *TINY, "sweep.existing=rerun"]
    assert lab.run(*line) == lab.run(*line) == 0
    assert count(lab, "FINISHED") == 2


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
    output, error = process.communicate(timeout=120)
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


def test_the_folder_of_a_trial_may_be_named_by_its_settings(lab):
    named = "hydra.sweep.subdir=${hydra:job.override_dirname}"
    excluded = "hydra.job.config.override_dirname.exclude_keys=[tracking.uri,tracking.pictures]"
    line = [named, excluded, "seed=1,2", "train.steps=20", "tracking.pictures=false"]
    assert lab.run("-m", *line) == 0
    folders = {file.parent.name for file in lab.outputs.glob("sweep/*/output.txt")}
    assert folders == {"seed=1,train.steps=20", "seed=2,train.steps=20"}


def test_runs_have_the_colours_of_the_report_in_the_ui(swept):
    found = {run.info.run_name: run.data.tags["mlflow.runColor"] for run in swept[0].runs()}
    assert found["init=xavier seed=1"] == found["init=xavier seed=2"]
    assert found["init=he seed=1"] == found["init=he seed=2"]
    assert {*found.values()} == {*PALETTE[:2]}


def test_a_setting_typed_twice_is_run_once_and_seeds_of_one_setting_have_no_common_colour(lab):
    assert lab.run("-m", "optimizer.lr=0.1,1e-1", "seed=1,2", *TINY) == 0
    runs = lab.runs()
    assert [run.data.params["optimizer.lr"] for run in runs] == ["0.1"] * 2
    assert not any("mlflow.runColor" in run.data.tags for run in runs)


def test_a_worker_that_is_killed_fails_one_trial(lab, capsys):
    victims = []

    def kill():
        wait_for(lambda: "10000000" in [run.data.params.get("train.steps") for run in lab.runs()])
        (victim,) = [run for run in lab.runs() if run.data.params["train.steps"] == "10000000"]
        victims.append(victim.info.run_name)
        os.kill(int(victim.data.tags["process.pid"]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert lab.run("-m", *ON_ALL_CORES, *TINY, "train.steps=20,10000000,21,22") == 1
    killer.join()
    assert f"{victims[0]}  failed: its process ended by SIGKILL" in capsys.readouterr().out
    assert sorted(statuses(lab.runs())) == ["FINISHED"] * 3 + ["KILLED"]


def test_a_sweep_that_is_refused_after_its_store_was_tried_leaves_no_folder_for_files(lab, capsys):
    lab.typed = [word for word in lab.typed if not word.startswith("hydra.sweep.dir")]
    before = {*lab.folder.rglob("*")}
    assert lab.run("-m", "seed=0,1", *TINY, "hydra.sweep.dir=/proc/nope/x") == 2
    assert "cannot be written" in capsys.readouterr().err
    left = {path for path in lab.folder.rglob("*") if not path.name.startswith("mlflow.db")}
    assert left <= before
