"""Launching: trials handed to Hydra's launcher, reported as they end, and stopped in order."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobStatus
from omegaconf import DictConfig, OmegaConf

from initlab import process
from initlab.checks import one_line
from initlab.config import output_folder
from initlab.run import OpenPruner, Result, RunSpec, attempt
from initlab.sweep.plan import TrialPlan, quote_override
from initlab.sweep.pool import Interrupted, Started
from initlab.sweep.progress import SweepProgress
from initlab.tracking.names import Outcome

if TYPE_CHECKING:
    from initlab.sweep.pool import Pool

# What a trial takes by itself and a step, as measured on digits, and how long a sweep must take to
# be faster in several processes: three trials of 1,000 steps are faster in one, eight in two.
TRIAL_SECONDS, STEP_SECONDS, PAYS_SECONDS = 0.5, 0.0008, 5.0
ONE_SIGNAL_SECONDS = 0.5


@dataclass(frozen=True)
class Ending:
    """A trial that came to an end, and how."""

    trial: TrialPlan
    result: Result


@dataclass(frozen=True)
class Launched:
    """What became of trials.

    ended      those that were run, in the order of their ends
    elsewhere  those that another sweep has run meanwhile, or is running
    caught     the signals that stopped the others
    """

    ended: list[Ending]
    elsewhere: list[Ending]
    caught: list[int]


def launch(
    trials: Iterable[TrialPlan],
    launcher: Any,
    folder: Path,
    progress: SweepProgress,
    report: Callable[[int, Result], None] = lambda index, result: None,
) -> Launched:
    """Run trials.

    report  is called with the index of a trial and its result, before another trial is taken
    """
    taken: list[TrialPlan] = []
    launched = Launched([], [], [])
    pool = getattr(launcher, "pool", None)

    def remembered() -> Iterator[TrialPlan]:
        for trial in trials:
            taken.append(trial)
            yield trial

    with progress, stopping(pool, progress.say, launched.caught):
        try:
            for index, event in events(launcher, remembered(), folder):
                if isinstance(event, Started):
                    progress.started()
                    continue
                trial, result = taken[index], result_of(event)
                if result.taken:
                    launched.elsewhere.append(Ending(trial, result))
                    progress.elsewhere()
                    continue
                launched.ended.append(Ending(trial, result))
                report(index, result)
                progress.ended(trial.name, result)
                failed = result.outcome == Outcome.FAILED
                if failed and trial.config.sweep.on_error == "stop" and pool:
                    pool.drain()
        except KeyboardInterrupt:
            if not launched.caught:
                raise
    return launched


def events(launcher: Any, trials: Iterable[TrialPlan], folder: Path) -> Iterator[tuple[int, Any]]:
    """Run trials by any launcher; yield (index, `Started`), later (index, the answer).

    Our own launcher takes each trial as it was checked. Others compose it again from its overrides,
    and return all answers at the end.
    """
    if hasattr(launcher, "stream"):
        yield from launcher.stream(job_of(trial, folder) for trial in trials)
        return
    place = f"hydra.sweep.dir={quote_override(folder)}"
    overrides = [[*trial.overrides, place] for trial in trials]
    for index, answer in enumerate(launcher.launch(overrides, initial_job_idx=0)):
        yield index, Started()
        yield index, answer


def job_of(trial: TrialPlan, folder: Path) -> tuple[DictConfig, Callable[[DictConfig], Result]]:
    """Return the config of a trial, and what Hydra is to call with it."""
    OmegaConf.set_readonly(trial.composed.hydra, None)  # as Hydra left it, if launched before
    trial.composed.hydra.sweep.dir = str(folder)
    spec = replace(trial.spec, sweep=folder.name)
    return trial.composed, partial(run_trial, spec, trial.open_pruner)


def run_trial(spec: RunSpec, open_pruner: OpenPruner | None, composed: DictConfig) -> Result:
    """Run a trial in the folder that Hydra has given it."""
    return attempt(replace(spec, folder=output_folder(HydraConfig.get())), open_pruner)


def needs_processes(trials: Sequence[TrialPlan], pool: Pool) -> bool:
    """Return whether trials are faster in several processes, or were asked to run in several."""
    steps = sum(trial.config.train.steps for trial in trials)
    seconds = TRIAL_SECONDS * len(trials) + STEP_SECONDS * steps
    return pool.needed or (len(trials) > 1 and seconds > PAYS_SECONDS)


@contextlib.contextmanager
def stopping(pool: Any, say: Callable[[str], None], caught: list[int]) -> Iterator[None]:
    """Stop a pool in order at the first Ctrl-C, SIGTERM or SIGHUP, and at once at the second.

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
        if pool is None or pool.processes == 1:
            process.stops.append(number)
            raise KeyboardInterrupt
        if len(caught) == 1:
            say("stopping: closing the running trials; Ctrl-C again ends them at once")
            pool.stop()
        else:
            pool.kill()

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
