"""A launch: trials handed to Hydra's launcher, told as they end, and stopped in good order."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobStatus

from initlab.checks import told
from initlab.grid import Trial, quoted
from initlab.pool import Interrupted, Started
from initlab.progress import SweepProgress
from initlab.trial import Result

if TYPE_CHECKING:
    from initlab.pool import Pool

# What a trial takes by itself and for a step, as measured on digits, and when a second process is
# worth the two seconds of its start: three trials of 1,000 steps are faster in one, eight in two.
TRIAL_SECONDS, STEP_SECONDS, PAYS_SECONDS = 0.5, 0.0008, 5.0
ONE_SIGNAL_SECONDS = 0.5


def launch(
    trials: Iterable[Trial],
    launcher: Any,
    folder: Path,
    shown: SweepProgress,
    tell: Callable[[int, Result], None] = lambda index, result: None,
) -> tuple[list[tuple[Trial, Result]], list[int]]:
    """Run trials; return what became of each that came to an end, and the signals that stopped it.

    tell  is called with the number of a trial and its result, before another trial is taken
    """
    taken: list[Trial] = []
    ended: list[tuple[Trial, Result]] = []
    pool = getattr(launcher, "pool", None)

    def jobs() -> Iterator[list[str]]:
        for trial in trials:
            taken.append(trial)
            overrides = [*trial.overrides, f"hydra.sweep.dir={quoted(folder)}"]
            if pool:
                trial.composed.hydra.sweep.dir = str(folder)
                launcher.composed[tuple(overrides)] = trial.composed
            yield overrides

    with shown, stopping(pool, shown.say) as caught:
        try:
            for index, event in events(launcher, jobs()):
                if isinstance(event, Started):
                    shown.started()
                    continue
                trial, result = taken[index], result_of(event)
                ended.append((trial, result))
                tell(index, result)
                shown.ended(trial.name, result)
                if result.outcome == "failed" and trial.config.sweep.on_error == "stop" and pool:
                    pool.drain()
        except KeyboardInterrupt:
            if not caught:
                raise
    return ended, caught


def pays(trials: Sequence[Trial], pool: Pool) -> bool:
    """Return whether trials are worth more than one process."""
    steps = sum(trial.config.train.steps for trial in trials)
    seconds = TRIAL_SECONDS * len(trials) + STEP_SECONDS * steps
    return pool.needed or (len(trials) > 1 and seconds > PAYS_SECONDS)


def events(launcher: Any, jobs: Iterable[list[str]]) -> Iterator[tuple[int, Any]]:
    """Run jobs by whatever launcher; those of others hand over all that they return at the end."""
    if hasattr(launcher, "stream"):
        yield from launcher.stream(jobs)
    else:
        for index, answer in enumerate(launcher.launch([*jobs], initial_job_idx=0)):
            yield index, Started()
            yield index, answer


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
        return Result("failed", reason=event.reason) if event.reason else Result("killed")
    if event.status == JobStatus.COMPLETED and isinstance(event.return_value, Result):
        return event.return_value
    return Result("failed", reason=told(event._return_value))
