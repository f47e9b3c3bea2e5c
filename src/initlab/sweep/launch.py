"""A launch: trials handed to Hydra's launcher, reported as they end, and stopped in good order."""

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
from omegaconf import DictConfig

from initlab.checks import one_line
from initlab.config import output_folder
from initlab.run import Pruner, Result, RunSpec, attempt
from initlab.sweep.plan import TrialPlan, quoted
from initlab.sweep.pool import Interrupted, Started
from initlab.sweep.progress import SweepProgress
from initlab.tracking.names import Outcome

if TYPE_CHECKING:
    from initlab.sweep.pool import Pool

# What a trial takes by itself and for a step, as measured on digits, and when a second process is
# worth the two seconds of its start: three trials of 1,000 steps are faster in one, eight in two.
TRIAL_SECONDS, STEP_SECONDS, PAYS_SECONDS = 0.5, 0.0008, 5.0
ONE_SIGNAL_SECONDS = 0.5


@dataclass(frozen=True)
class Ending:
    """A trial that came to an end, and how."""

    trial: TrialPlan
    result: Result


def launch(
    trials: Iterable[TrialPlan],
    launcher: Any,
    folder: Path,
    progress: SweepProgress,
    open_pruner: Callable[[TrialPlan], Callable[[], Pruner]] | None = None,
    tell: Callable[[int, Result], None] = lambda index, result: None,
) -> tuple[list[Ending], list[int]]:
    """Run trials; return those that came to an end, and the signals that stopped the others.

    open_pruner  makes, of a trial, what opens its pruner in the process that runs it
    tell         is called with the number of a trial and its result, before another trial is taken
    """
    taken: list[TrialPlan] = []
    ended: list[Ending] = []
    pool = getattr(launcher, "pool", None)

    def remembered() -> Iterator[TrialPlan]:
        for trial in trials:
            taken.append(trial)
            yield trial

    with progress, stopping(pool, progress.say) as caught:
        try:
            for index, event in events(launcher, remembered(), folder, open_pruner):
                if isinstance(event, Started):
                    progress.started()
                    continue
                trial, result = taken[index], result_of(event)
                ended.append(Ending(trial, result))
                tell(index, result)
                progress.ended(trial.name, result)
                failed = result.outcome == Outcome.FAILED
                if failed and trial.config.sweep.on_error == "stop" and pool:
                    pool.drain()
        except KeyboardInterrupt:
            if not caught:
                raise
    return ended, caught


def events(
    launcher: Any,
    trials: Iterable[TrialPlan],
    folder: Path,
    open_pruner: Callable[[TrialPlan], Callable[[], Pruner]] | None,
) -> Iterator[tuple[int, Any]]:
    """Run trials by whatever launcher; yield (index, `Started`), later (index, the answer).

    Our own is handed each trial as it was checked. Launchers of others compose it again from its
    overrides, and hand over all that they return at the end.
    """
    if hasattr(launcher, "stream"):
        yield from launcher.stream(
            (in_folder(trial.composed, folder), task(trial, folder, open_pruner))
            for trial in trials
        )
        return
    place = f"hydra.sweep.dir={quoted(folder)}"
    overrides = [[*trial.overrides, place] for trial in trials]
    for index, answer in enumerate(launcher.launch(overrides, initial_job_idx=0)):
        yield index, Started()
        yield index, answer


def in_folder(composed: DictConfig, folder: Path) -> DictConfig:
    """Return the config of a trial, told the folder of its sweep."""
    composed.hydra.sweep.dir = str(folder)
    return composed


def task(
    trial: TrialPlan,
    folder: Path,
    open_pruner: Callable[[TrialPlan], Callable[[], Pruner]] | None,
) -> Callable[[DictConfig], Result]:
    """Return what Hydra is to call as the job of a trial."""
    spec = replace(trial.spec, sweep=folder.name)
    return partial(run_trial, spec, open_pruner(trial) if open_pruner else None)


def run_trial(
    spec: RunSpec, open_pruner: Callable[[], Pruner] | None, composed: DictConfig
) -> Result:
    """Run a trial in the folder that Hydra has given it."""
    return attempt(replace(spec, folder=output_folder(HydraConfig.get())), open_pruner)


def pays(trials: Sequence[TrialPlan], pool: Pool) -> bool:
    """Return whether trials are worth more than one process."""
    steps = sum(trial.config.train.steps for trial in trials)
    seconds = TRIAL_SECONDS * len(trials) + STEP_SECONDS * steps
    return pool.needed or (len(trials) > 1 and seconds > PAYS_SECONDS)


@contextlib.contextmanager
def stopping(pool: Any, say: Callable[[str], None]) -> Iterator[list[int]]:
    """Stop a pool in good order at the first Ctrl-C or SIGTERM, and at once at the second.

    Yields the list of the signals caught so far. One right after the other counts as one: a
    terminal sends it to all, and whatever started this process may pass on its own.
    """
    caught: list[int] = []
    last = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if caught and now < last + ONE_SIGNAL_SECONDS:
            return
        last = now
        caught.append(number)
        if pool is None or pool.processes == 1:
            raise KeyboardInterrupt
        if len(caught) == 1:
            say("stopping: what runs is being closed; once more ends it at once")
            pool.stop()
        else:
            pool.kill()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def result_of(event: Any) -> Result:
    """Return what became of a trial from what its launcher handed back."""
    if isinstance(event, Interrupted):
        if event.reason:
            return Result(Outcome.FAILED, reason=event.reason)
        return Result(Outcome.KILLED)
    if event.status == JobStatus.COMPLETED and isinstance(event.return_value, Result):
        return event.return_value
    return Result(Outcome.FAILED, reason=one_line(event._return_value))
