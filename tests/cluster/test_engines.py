"""Engines: the same sweep on the cores of this machine, on Ray and on Slurm."""

import contextlib
import os
import signal
import subprocess
import time

import psutil
import pytest

from .place import Place

TINY = (
    "model=mlp_small",
    "train.steps=40",
    "train.eval_every=20",
    "train.snapshots=[0,40]",
    "tracking.pictures=false",
)
ENDLESS = (
    "train.steps=100000000",
    "train.eval_every=100000000",
    "train.snapshots=[0]",
    "tracking.pictures=false",
)
GRID = ("init=he,xavier,std001,lecun", "activation=relu,tanh", "seed=0,1,2", *TINY)
SEARCH = (
    "hydra/sweeper=search",
    "hydra.sweeper.trials=20",
    "optimizer.lr=tag(log,interval(0.001,1))",
    "init=he,xavier",
    "hydra.sweeper.pruner=none",
    *TINY,
)
LONG = (
    "train.steps=12000",
    "train.eval_every=12000",
    "train.snapshots=[0]",
    "tracking.pictures=false",
)
SECONDS = 240


def wait_for(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def nothing_is_left(engine):
    """Return whether an engine has no task or job of ours any more."""
    if "slurm" in engine[0]:
        return not subprocess.check_output(["squeue", "--noheader"], text=True)
    if "ray" in engine[0]:  # which calls the processes of tasks by the function of the task
        names = (process.info["cmdline"] for process in psutil.process_iter(["cmdline"]))
        return not any(name and name[0].startswith("ray::call") for name in names)
    return True


def begun(place):
    """Return the pids of the running trials that have recorded their params."""
    running = [run for run in place.runs() if run.info.status == "RUNNING" and run.data.params]
    return [int(run.data.tags["process.pid"]) for run in running]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """What the grid and the search give in one process of this machine."""
    places = {}
    for name, typed in (("grid", GRID), ("search", SEARCH)):
        places[name] = Place(tmp_path_factory.mktemp(name))
        places[name].run("hydra/launcher=basic", *typed)
    return {name: place.losses() for name, place in places.items()}


def test_a_grid_gives_the_same_losses_bit_for_bit_one_sweep_and_one_report(engine, place, wanted):
    printed = place.run(*engine, *GRID)
    assert "24/24" in printed
    assert place.statuses() == ["FINISHED"] * 24
    assert place.losses() == wanted["grid"]
    assert {run.data.tags["sweep"] for run in place.runs()} == {"sweep"}
    assert len(place.runs("summary")) == 1
    assert (place.folder / "multirun/sweep/report.html").exists()
    assert "24 of 24 trials had been run before" in place.run(*engine, *GRID)
    assert nothing_is_left(engine)


def test_a_search_tries_the_same_points_with_the_same_losses(engine, place, wanted):
    printed = place.run(*engine, *SEARCH)
    assert "20/20" in printed
    assert place.losses() == wanted["search"]
    assert len(place.runs("summary")) == 1


def test_trainings_are_pruned(engine, place):
    rates = "optimizer.lr=tag(log,interval(0.00001,1))"
    typed = [*SEARCH, rates, "hydra.sweeper.pruner=median", "hydra.sweeper.startup_trials=2"]
    place.run(*engine, *typed)
    assert "pruned" in {run.data.tags.get("outcome") for run in place.runs()}


def test_a_worker_killed_in_mid_trial_loses_one_trial(engine, place):
    process = place.start(*engine, *ENDLESS, "seed=0,1,2,3")
    wait_for(lambda: len(begun(place)) == 2)
    os.kill(begun(place)[0], signal.SIGKILL)
    wait_for(lambda: "KILLED" in place.statuses())
    wait_for(lambda: len(begun(place)) == 2)  # another trial has begun in its place
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=SECONDS)
    assert "1/4" in printed
    assert printed.count("  failed: ") == 1, printed
    assert place.statuses() == ["KILLED"] * 3


def test_the_same_command_completes_a_sweep_that_has_lost_a_trial(engine, place):
    typed = [*engine, "seed=0,1,2", *LONG]
    process = place.start(*typed)
    wait_for(lambda: begun(place))
    os.kill(begun(place)[0], signal.SIGKILL)
    printed, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, printed
    assert place.statuses() == ["FINISHED"] * 2 + ["KILLED"]
    place.run(*typed)
    assert place.statuses() == ["FINISHED"] * 3 + ["KILLED"]


def test_ctrl_c_closes_the_running_trials_and_leaves_nothing_on_the_engine(engine, place):
    process = place.start(*engine, *ENDLESS, "seed=0,1,2,3")
    wait_for(lambda: len(begun(place)) == 2)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, printed
    assert place.statuses() == ["KILLED"] * 2
    assert "not run: 2 of 4 trials. The same command resumes here." in printed
    wait_for(lambda: nothing_is_left(engine))


def test_a_second_ctrl_c_ends_the_trials_at_once(engine, place):
    process = place.start(*engine, *ENDLESS, "seed=0,1")
    wait_for(lambda: len(begun(place)) == 2)
    pids = begun(place)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # so that they close nothing
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=SECONDS)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert process.returncode == 130, printed
    wait_for(lambda: nothing_is_left(engine))
    assert place.statuses() == ["KILLED"] * 2


def test_a_trial_that_raises_fails_alone_and_one_that_diverges_is_a_result(engine, place):
    huge = "model.hidden=[10],[100000000,100000000]"
    printed = place.run(*engine, huge, "optimizer.lr=0.1,1e30", *TINY, status=1)
    assert printed.count("MemoryError") >= 2, printed
    outcomes = sorted(run.data.tags.get("outcome", run.info.status) for run in place.runs())
    assert outcomes == ["FAILED", "FAILED", "diverged", "finished"]


def test_a_sweep_may_stop_at_the_first_error(engine, place):
    sizes = "model.hidden=[100000000,100000000],[10],[11],[12],[13],[14],[15],[16]"
    long = ("train.steps=3000", "train.eval_every=3000", "train.snapshots=[0]")
    printed = place.run(*engine, sizes, "sweep.on_error=stop", *long, status=1)
    assert "not run: " in printed
    assert place.statuses().count("FAILED") == 1
    assert len(place.runs()) < 8
    assert "RUNNING" not in place.statuses()


def test_the_next_sweep_closes_what_a_killed_head_has_left(engine, place):
    process = place.start(*engine, *ENDLESS, "seed=0,1")
    wait_for(lambda: len(begun(place)) == 2)
    process.kill()
    wait_for(lambda: nothing_is_left(engine))
    place.run(*engine, *TINY, "seed=5", name="next")
    assert place.statuses() == ["FINISHED", "KILLED", "KILLED"]
