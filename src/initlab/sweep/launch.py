"""Launching: trials handed to an engine, reported as they end, and stopped in order."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from hydra import version
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from initlab import process
from initlab.checks import UserError, one_line
from initlab.config import PROJECT, output_folder
from initlab.run import OpenPruner, Result, RunSpec, attempt
from initlab.sweep.compose import quote_override
from initlab.sweep.engine import Engine, Interrupted, Restarted, Started
from initlab.sweep.plan import TrialPlan
from initlab.sweep.progress import SweepProgress
from initlab.tracking import provenance
from initlab.tracking.names import Outcome

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.tracking.store import Store

# What a trial takes by itself and a step, as measured on digits: three trials of 1,000 steps are
# faster in one process, eight in two.
TRIAL_SECONDS, STEP_SECONDS = 0.5, 0.0008
ONE_SIGNAL_SECONDS = 0.5


@dataclass(frozen=True)
class Ending:
    """A trial that came to an end, and how."""

    trial: TrialPlan
    result: Result


@dataclass
class Launched:
    """What became of trials.

    ended      those that were run, in the order of their ends
    elsewhere  those that another sweep has run meanwhile, or is running
    caught     the signals that stopped the others
    untold     how many were started, and may still run: their launcher has not told of them
    broken     whether the engine could not go on
    """

    ended: list[Ending]
    elsewhere: list[Ending]
    caught: list[int]
    untold: int = 0
    broken: bool = False


class Launcher(Protocol):
    """A launcher of Hydra that has an engine."""

    engine: Engine
    context: HydraContext


def launch(
    trials: Iterable[TrialPlan],
    launcher: Launcher,
    folder: Path,
    progress: SweepProgress,
    store: Store | None,
    report: Callable[[int, Result], None] = lambda index, result: None,
) -> Launched:
    """Run trials.

    store   in which the runs of lost trials are closed
    report  is called with the index of a trial and its result, before another trial is taken
    """
    taken: list[TrialPlan] = []
    launched = Launched([], [], [])
    engine = launcher.engine
    engine.say = progress.say
    origin = provenance.origin(PROJECT)
    if engine.remote:  # or nobody could tell whether a run of another host is still under way
        origin |= process.identity("head")

    def jobs() -> Iterator[Job]:
        for trial in trials:
            taken.append(trial)
            yield job_of(trial, folder, len(taken) - 1, origin)

    with progress, stopping(engine, progress.say, launched.caught):
        try:
            for index, event in engine.run(partial(run_job_of, launcher.context), jobs()):
                if isinstance(event, Started):
                    launched.untold += 1
                    progress.started()
                    continue
                if isinstance(event, (Restarted, Interrupted)) and store:
                    close(store, folder.name, taken[index])
                if isinstance(event, Restarted):
                    continue
                launched.untold -= 1
                trial, result = taken[index], result_of(event)
                if result.taken:
                    launched.elsewhere.append(Ending(trial, result))
                    progress.elsewhere()
                    continue
                launched.ended.append(Ending(trial, result))
                report(index, result)
                progress.ended(trial.name, result)
                failed = result.outcome == Outcome.FAILED
                if failed and trial.config.sweep.on_error == "stop":
                    engine.drain()
        except KeyboardInterrupt:
            if not launched.caught:
                raise
        except UserError as error:  # of the engine; what has ended so far is worth a report
            if not launched.ended:
                raise
            progress.say(f"error: {error}")
            launched.broken, launched.untold = True, 0  # it has ended what ran
    return launched


def close(store: Store, sweep: str, trial: TrialPlan) -> None:
    """Close the run that a trial may have open in a process that is gone.

    If the store cannot be reached, the next sweep does it.
    """
    with contextlib.suppress(UserError):
        store.close_trial(sweep, trial.fingerprint)


@dataclass(frozen=True)
class Job:
    """What an engine is given for a trial: a config, and what Hydra is to call with it.

    overrides  that compose the config again, for launchers of others
    """

    number: int
    composed: DictConfig
    task: Callable[[DictConfig], Result]
    overrides: list[str]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what the process of a worker does not need."""
        return {**vars(self), "overrides": []}


def job_of(trial: TrialPlan, folder: Path, number: int, origin: Mapping[str, str]) -> Job:
    """Return the job of a trial in the folder of a sweep; `origin` as in `RunSpec`."""
    composed = trial.compose()
    OmegaConf.set_readonly(composed.hydra, None)  # as Hydra left it, if launched before
    composed.hydra.sweep.dir = str(folder)
    spec = replace(trial.spec, sweep=folder.name, origin=origin)
    place = f"hydra.sweep.dir={quote_override(folder)}"
    return Job(
        number, composed, partial(run_trial, spec, trial.open_pruner), [*trial.overrides, place]
    )


def run_trial(spec: RunSpec, open_pruner: OpenPruner | None, composed: DictConfig) -> Result:
    """Run a trial in the folder that Hydra has given it."""
    return attempt(replace(spec, folder=output_folder(HydraConfig.get())), open_pruner)


def run_job_of(context: HydraContext, job: Job) -> JobReturn:
    """Run a job as Hydra does, in this process or another."""
    config = job.composed
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = job.number
    setup_globals()
    version.setbase(config.hydra.runtime.version_base)  # or jobs might change the working folder
    return run_job(
        hydra_context=context,
        task_function=job.task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        configure_logging=False,
    )


def seconds_of(trials: Sequence[TrialPlan]) -> float:
    """Return about how long trials take one after another."""
    return TRIAL_SECONDS * len(trials) + STEP_SECONDS * sum(trial.steps for trial in trials)


@contextlib.contextmanager
def stopping(
    engine: Engine | None, say: Callable[[str], None], caught: list[int]
) -> Iterator[None]:
    """Stop an engine in order at the first Ctrl-C, SIGTERM or SIGHUP, and at once at the second.

    Adds the signals to `caught`. Two in quick succession count as one: a terminal signals all
    processes, and a parent process may pass the signal on.
    """
    last = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if caught and now < last + ONE_SIGNAL_SECONDS:
            return
        last = now
        caught.append(number)
        if engine is None or engine.alone:
            process.stops.append(number)
            raise KeyboardInterrupt
        if len(caught) == 1:
            words = "stopping: closing the running trials; Ctrl-C again ends them at once"
            # By a thread: the main one may be in the middle of printing, and cannot begin again.
            threading.Thread(target=say, args=[words]).start()
            engine.stop()
        else:
            engine.kill()

    before = {number: signal.signal(number, stop) for number in process.listened_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def result_of(event: Any) -> Result:
    """Return how a trial ended, from what its launcher returned."""
    if isinstance(event, Interrupted):
        if event.reason:
            return Result(Outcome.FAILED, reason=event.reason)
        return Result(Outcome.KILLED)
    if event.status == JobStatus.COMPLETED and isinstance(event.return_value, Result):
        return event.return_value
    return Result(Outcome.FAILED, reason=one_line(event._return_value))
