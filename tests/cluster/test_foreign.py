"""Launchers of others: they run trials, and nothing false is said of those they do not tell of."""

import os
import signal

import pytest

from .test_engines import ENDLESS, SECONDS, TINY, begun, wait_for

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def test_joblib_runs_trials_and_says_beforehand_what_it_cannot_do(place):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    printed = place.run(*JOBLIB, "seed=0,1,2", *TINY)
    assert printed.startswith("hydra/launcher=joblib tells of no trial before all have ended. ")
    assert "3/3" in printed
    assert place.statuses() == ["FINISHED"] * 3
    assert "3 of 3 trials had been run before" in place.run(*JOBLIB, "seed=0,1,2", *TINY)


def test_submitit_runs_trials_on_slurm(place, slurm):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    typed = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10")
    folder = f"hydra.launcher.submitit_folder={place.folder}/jobs"
    printed = place.run(*typed, folder, "seed=0,1", *TINY)
    assert "2/2" in printed
    assert place.statuses() == ["FINISHED"] * 2


def test_trials_that_may_still_run_are_not_said_not_to_have_run(place, slurm):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    typed = ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10")
    folder = f"hydra.launcher.submitit_folder={place.folder}/jobs"
    process = place.start(*typed, folder, "seed=0,1", *ENDLESS)
    wait_for(lambda: len(begun(place)) == 2)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, printed
    assert "not known: 2 of 2 trials, which may still be running" in printed
    assert "not run" not in printed
    slurm.run("scancel", "--user", "root")
    wait_for(lambda: not slurm.run("squeue", "--noheader"))


def test_a_search_refuses_a_launcher_that_tells_of_trials_at_the_end(place):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    typed = ("hydra/sweeper=search", "optimizer.lr=interval(0.1,0.2)", *TINY)
    printed = place.run(*JOBLIB, *typed, status=2)
    assert "error: hydra/launcher must be one of cores, ray, slurm, basic" in printed
