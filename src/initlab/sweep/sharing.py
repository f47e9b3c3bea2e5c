"""Sharing: sweeps that have trials in common run each of them once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initlab.process import HEAD, is_elsewhere, is_here, is_this_process
from initlab.sweep.launch import Ending, Launched, Launcher, launch, stopping
from initlab.sweep.plan import TrialPlan
from initlab.sweep.progress import SweepProgress
from initlab.sweep.waiting import Waiting
from initlab.tracking.names import Outcome, Status

if TYPE_CHECKING:  # MLflow takes a second to import
    from mlflow.entities import Run as TrackedRun

    from initlab.tracking.store import Store

LEASE_SECONDS = 120.0  # after which a run on another host counts as lost if it sends no numbers
POLL_SECONDS = 0.5


def launch_shared(
    waiting: Waiting, launcher: Launcher, folder: Path, store: Store | None
) -> Launched:
    """Run trials; those that another sweep runs are waited for, and run here if it fails.

    Of `Launched.elsewhere`, only those stay that were finished.
    """
    whole = Launched([], [], [])
    taken: list[Ending] = []
    progress = SweepProgress(waiting.count, waiting.longest, len(waiting.cached))
    trials: Iterable[TrialPlan] = waiting.trials(progress)
    while waiting.count:
        launched = launch(trials, launcher, folder, progress, store)
        whole.ended.extend(launched.ended)
        whole.caught.extend(launched.caught)
        whole.untold += launched.untold
        whole.broken = whole.broken or launched.broken
        taken.extend(launched.elsewhere)
        failed = any(each.result.outcome == Outcome.FAILED for each in launched.ended)
        stops = failed and waiting.sweep.on_error == "stop"
        if store is None or whole.caught or whole.broken or stops:
            break
        try:
            with stopping(None, progress.say, whole.caught):
                finished, lost = wait_for_others(store, taken, progress)
        except KeyboardInterrupt:
            if not whole.caught:
                raise
            break
        whole.elsewhere.extend(finished)
        if not lost:
            break
        trials = [each.trial for each in lost]
        progress = SweepProgress(len(lost), waiting.longest, len(waiting.cached))
        known = {each.result.taken for each in (*finished, *lost)}
        taken = [each for each in taken if each.result.taken not in known]
    return whole


def wait_for_others(
    store: Store, taken: Sequence[Ending], progress: SweepProgress
) -> tuple[list[Ending], list[Ending]]:
    """Return trials that others have finished, and some that others have lost, if any.

    Returns when all have been finished, or some were lost and can be run here meanwhile.
    """
    finished: list[Ending] = []
    lost: list[Ending] = []
    pulses: dict[str, Pulse] = {}
    waiting = [*taken]
    while waiting and not lost:
        runs = store.runs_of([each.result.taken for each in waiting])
        still = []
        for each in waiting:
            run_id = each.result.taken
            run = runs.get(run_id)  # None if it was deleted, as by one that gave way to another
            if run and run.info.status == Status.FINISHED:
                finished.append(each)
            elif not run or run.info.status != Status.RUNNING:
                lost.append(each)
            elif is_alive(run, pulses.get(run_id) or Pulse()):
                still.append(each)
            else:
                store.close(run_id)
                lost.append(each)
        for each in still:
            if each.result.taken not in pulses:
                progress.say(f"waiting for {each.trial.name}, which another sweep runs")
                pulses[each.result.taken] = Pulse()
        waiting = still
        if waiting and not lost:
            time.sleep(POLL_SECONDS)
    return finished, lost


class Pulse:
    """What shows that a run on another host goes on: its numbers change.

    Clocks of hosts differ, so only that of this process is asked: how long nothing has changed.
    """

    def __init__(self) -> None:
        self.seen: Any = None
        self.since = time.monotonic()

    def beats(self, run: TrackedRun) -> bool:
        """Return whether the last metrics of a run have changed within `LEASE_SECONDS`."""
        now = {(each.key, each.step, each.timestamp) for each in run.data.to_proto().metrics}
        if now != self.seen:
            self.seen, self.since = now, time.monotonic()
        return time.monotonic() - self.since < LEASE_SECONDS


def is_alive(run: TrackedRun, pulse: Pulse) -> bool:
    """Return whether a run that is RUNNING goes on in another process."""
    tags = run.data.tags
    if is_here(tags):
        return is_elsewhere(tags)
    if is_here(tags, HEAD) and not is_this_process(tags, HEAD):
        return is_elsewhere(tags, HEAD)  # which closes the run if its process is lost
    return pulse.beats(run)
