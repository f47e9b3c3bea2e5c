"""Sharing: sweeps of this host that have trials in common run each of them once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from initlab.process import is_elsewhere
from initlab.sweep.launch import Ending, Launched, Launcher, launch, stopping
from initlab.sweep.plan import TrialPlan
from initlab.sweep.progress import SweepProgress
from initlab.sweep.waiting import Waiting
from initlab.tracking.names import Outcome, Status

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.tracking.store import Store

POLL_SECONDS = 0.5


def launch_shared(
    waiting: Waiting, launcher: Launcher, folder: Path, store: Store | None
) -> Launched:
    """Run trials; those that another sweep runs are waited for, and run here if it fails.

    Of `Launched.elsewhere`, only those stay that were finished.
    """
    whole = Launched([], [], [])
    progress = SweepProgress(waiting.count, waiting.longest, len(waiting.cached))
    trials: Iterable[TrialPlan] = waiting.trials(progress)
    while waiting.count:
        launched = launch(trials, launcher, folder, progress, store)
        whole.ended.extend(launched.ended)
        whole.caught.extend(launched.caught)
        whole.untold += launched.untold
        failed = any(each.result.outcome == Outcome.FAILED for each in launched.ended)
        stops = failed and waiting.sweep.on_error == "stop"
        if store is None or whole.caught or stops:
            break
        again: list[TrialPlan] = []
        try:
            with stopping(None, progress.say, whole.caught):
                for each in launched.elsewhere:
                    if is_finished(store, each, progress):
                        whole.elsewhere.append(each)
                    else:
                        again.append(each.trial)
        except KeyboardInterrupt:
            if not whole.caught:
                raise
            break
        if not again:
            break
        trials = again
        progress = SweepProgress(len(again), waiting.longest, len(waiting.cached))
    return whole


def is_finished(store: Store, each: Ending, progress: SweepProgress) -> bool:
    """Return whether the run of a trial that is taken was finished, once it has ended."""
    from initlab.tracking.store import explained

    reported = False
    while True:
        with explained(store.uri):
            run = store.client.get_run(each.result.taken)
        if run.info.status != Status.RUNNING or not is_elsewhere(run.data.tags):
            return bool(run.info.status == Status.FINISHED)
        if not reported:
            progress.say(f"waiting for {each.trial.name}, which another sweep runs")
            reported = True
        time.sleep(POLL_SECONDS)
