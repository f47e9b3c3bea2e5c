"""The trials of a grid that wait to be run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from initlab.config import ConfigError, Sweep
from initlab.sweep.plan import Grid, TrialPlan, look_up
from initlab.sweep.progress import SweepProgress

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.tracking.store import Store


class Waiting:
    """The trials of a grid that have not been run before.

    known  all trials, where all were looked up before the first one starts; empty for a large grid,
           whose trials are checked and looked up while others run
    sweep  the settings of the sweep

    count   how many have to run, as far as is known
    cached  the ids of the runs that have the numbers of the others, "" for a duplicate
    unfit   how many could not be run after all
    """

    def __init__(
        self, grid: Grid, known: Sequence[TrialPlan], store: Store | None, sweep: Sweep
    ) -> None:
        self.grid = grid
        self.store = store
        self.sweep = sweep
        self.known = [trial for trial in known if not self.is_needless(trial)]
        self.cached = [trial.existing_run_id for trial in known if self.is_needless(trial)]
        self.streamed = not known
        self.count = len(grid) - len(self.cached)
        self.unfit = 0
        self.longest = max(map(len, grid.names))

    def is_needless(self, trial: TrialPlan) -> bool:
        """Return whether a trial need not run."""
        return trial.needless and self.sweep.existing != "rerun"

    def trials(self, progress: SweepProgress) -> Iterator[TrialPlan]:
        """Yield them."""
        found = look_up(self.fit(progress), self.store) if self.streamed else iter(self.known)
        for trial in found:
            if self.is_needless(trial):
                self.cached.append(trial.existing_run_id)
                self.count -= 1
                progress.skipped()
            else:
                yield trial

    def fit(self, progress: SweepProgress) -> Iterator[TrialPlan]:
        """Yield the trials that can be run, and tell of the others."""
        for index, name in enumerate(self.grid.names):
            try:
                yield self.grid.check(index, begun=True)
            except ConfigError as error:
                self.unfit += 1
                self.count -= 1
                progress.unfit()
                progress.say(f"{name} cannot be run: {error}")
                if self.sweep.on_error == "stop":
                    return
