"""What Slurm does to its jobs: they are preempted, run out of time, and are refused."""

import os
import signal

import pytest

from .test_engines import ENDLESS, LONG, SECONDS, begun, wait_for


@pytest.fixture
def typed(slurm):
    return ["hydra/launcher=slurm", "hydra.launcher.processes=1", "hydra.launcher.partition=low"]


def jobs(slurm):
    return slurm.run("squeue", "--noheader", "--format=%i").split()


def test_the_trial_of_a_preempted_job_is_closed_and_runs_again(typed, slurm, place):
    process = place.start(*typed, "seed=0,1", *LONG)
    wait_for(lambda: begun(place))
    slurm.run(
        "sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap", "sleep 3"
    )
    printed, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, printed
    assert "was preempted; its trial will run again" in printed
    assert place.statuses() == ["FINISHED"] * 2 + ["KILLED"]


def test_a_trial_that_its_job_has_no_time_left_for_runs_again_in_another(typed, slurm, place):
    process = place.start(*typed, "seed=0,1,2", *LONG)
    wait_for(lambda: place.statuses() == ["FINISHED", "RUNNING"] and begun(place))
    slurm.run("scancel", "--signal=USR2", *jobs(slurm))  # as Slurm warns a job
    printed, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, printed
    assert "has used up its time; its trial will run again" in printed
    assert place.statuses() == ["FINISHED"] * 3 + ["KILLED"]


def test_a_trial_that_does_not_fit_into_a_job_fails(typed, slurm, place):
    process = place.start(*typed, "seed=0,1", *ENDLESS)
    wait_for(lambda: begun(place))
    slurm.run("scancel", "--signal=USR2", *jobs(slurm))
    wait_for(lambda: place.statuses() == ["KILLED", "RUNNING"])
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=SECONDS)
    assert "its job's time was over: raise hydra.launcher.time" in printed


def test_a_job_that_somebody_cancels_loses_its_trial(typed, slurm, place):
    process = place.start(*typed, "seed=0,1", *LONG)
    wait_for(lambda: begun(place))
    slurm.run("scancel", *jobs(slurm))
    printed, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, printed
    assert "ended: cancelled" in printed
    assert place.statuses() == ["FINISHED", "KILLED"]


def test_what_keeps_jobs_waiting_is_told(typed, slurm, place):
    slurm.run("sbatch", "--exclusive", "--output=/dev/null", "--wrap", "sleep 15")
    printed = place.run(*typed, "seed=0", "train.steps=5")
    assert "waiting for Slurm: 1 job is pending (" in printed


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("hydra.launcher.partition=nowhere", "invalid partition specified: nowhere"),
        ("+hydra.launcher.additional.no_such_option=1", "no-such-option"),
    ],
)
def test_what_sbatch_refuses_is_one_error_and_opens_no_run(typed, place, setting, words):
    printed = place.run(*typed, "seed=0,1", setting, status=2)
    assert "error: hydra/launcher=slurm: sbatch refuses the jobs" in printed
    assert words in printed
    assert place.runs() == []
