"""Launchers: ours as Hydra calls it, and those of others."""

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, RunMode

from hydra_plugins.initlab_launcher import CoresLauncher
from initlab.config import PROJECT, register
from initlab.run import Result
from initlab.sweep.engine import Started
from initlab.sweep.foreign import Foreign
from initlab.sweep.launch import job_of, result_of
from initlab.sweep.plan import check
from initlab.tracking.names import Outcome


@pytest.fixture
def loader():
    register()
    before = HydraConfig.instance().cfg
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()
    HydraConfig.instance().cfg = before


def test_our_launcher_composes_and_runs_jobs_for_any_sweeper(loader, tmp_path):
    typed = [f"hydra.sweep.dir={tmp_path}", "hydra/launcher=basic"]
    multirun = loader.load_configuration("config", typed, run_mode=RunMode.MULTIRUN)
    launcher = CoresLauncher(1)
    context = HydraContext(config_loader=loader, callbacks=Callbacks())
    launcher.setup(hydra_context=context, task_function=lambda config: config.seed, config=multirun)
    answers = launcher.launch([["seed=3"], ["seed=4"]], initial_job_idx=7)
    assert [answer.return_value for answer in answers] == [3, 4]
    assert [answer.hydra_cfg.hydra.job.num for answer in answers] == [7, 8]


class Other:
    """A launcher that hands over all that its jobs return at the end."""

    def launch(self, job_overrides, initial_job_idx):
        self.overrides = job_overrides
        answers = [JobReturn(), JobReturn()]
        answers[0].status = answers[1].status = JobStatus.COMPLETED
        answers[0].return_value = Result(Outcome.FINISHED, accuracy=0.9)
        answers[1].status = JobStatus.FAILED
        answers[1].return_value = ZeroDivisionError("on purpose")
        return answers


def test_a_foreign_launcher_gets_overrides_and_its_answers_become_results(loader, tmp_path):
    multirun = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    trials = [
        check("", [f"seed={seed}"], lambda typed: loader.load_sweep_config(multirun, [*typed]))
        for seed in (1, 2)
    ]
    launcher, told = Other(), []
    engine = Foreign(launcher, "other")
    engine.say = told.append
    jobs = [job_of(trial, tmp_path / "a sweep", n, {}) for n, trial in enumerate(trials)]
    found = [*engine.run(print, jobs)]
    assert found[:2] == [(0, Started()), (1, Started())]
    assert [index for index, _ in found[2:]] == [0, 1]
    assert result_of(found[2][1]) == Result(Outcome.FINISHED, accuracy=0.9)
    failed = result_of(found[3][1])
    assert "hydra/launcher=other tells of no trial before all have ended" in told[0]
    assert (failed.outcome, failed.reason) == ("failed", "ZeroDivisionError: on purpose")
    place = f"hydra.sweep.dir='{tmp_path / 'a sweep'}'"
    assert launcher.overrides == [["seed=1", place], ["seed=2", place]]
