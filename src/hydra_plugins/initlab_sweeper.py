"""Hydra's grid sweeper, which checks every combination before the first one starts."""

# Hydra loads plug-ins so that annotations of a dataclass must not be put off by `__future__`.
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore

from hydra_plugins._sweepers import CheckedSweeper


@dataclass
class GridConfig:
    """What to sweep: the `hydra.sweeper.*` keys of a grid.

    params  key → values, swept as if they had been typed; the command line overrides them
    where   such as `optimizer=adam` → {key: value}: settings of the trials that have this choice;
            the command line overrides them
    limit   how many trials a grid may have, so that a slip of the pen is not a million trials
    """

    _target_: str = f"{__name__}.GridSweeper"
    params: Any = None
    where: Any = None
    limit: int = 100_000


class GridSweeper(CheckedSweeper):
    """Runs the Cartesian product of all swept values, except trials that have been run before.

    Keys that `sweep.zip` names are walked together.
    """

    def __init__(self, params: Any, where: Any, limit: int) -> None:
        self.params = params or {}
        self.where = where or {}
        self.limit = limit

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that was typed; exits with its status if that is not 0."""
        from initlab.sweep import execute, grid  # not needed by a single run's discovery
        from initlab.sweep.compose import Composer

        zipped = grid.zipped_in(self.config)
        combinations = grid.combinations(self.read(arguments), self.where, self.limit, zipped)
        compose = Composer(self.context.config_loader, self.config)
        status = execute.run_grid(combinations, compose, self.launcher, self.config)
        if status:
            raise SystemExit(status)


ConfigStore.instance().store(
    group="hydra/sweeper", name="grid", node=GridConfig, provider="initlab"
)
