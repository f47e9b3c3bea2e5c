"""Hydra's grid sweeper, which checks every combination before the first one starts."""

# Hydra loads plug-ins so that annotations of a dataclass must not be put off by `__future__`.
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
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
    """Runs the Cartesian product of all swept values, except trials that have been run before."""

    def __init__(self, params: Any, where: Any, limit: int) -> None:
        self.params = params or {}
        self.where = where or {}
        self.limit = limit

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that was typed; exits with its status if that is not 0."""
        from initlab.config import ConfigError
        from initlab.sweep import execute, plan  # not needed by a single run's discovery
        from initlab.sweep.compose import Composer

        typed = self.read(arguments)
        if not isinstance(self.where, Mapping) or not all(
            "=" in setting and isinstance(others, Mapping) for setting, others in self.where.items()
        ):
            raise ConfigError(
                "hydra.sweeper.where must map choices to their settings, as in "
                f"{{optimizer=adam: {{optimizer.lr: 0.1}}}}; got {self.where!r}"
            )
        plan.refuse_unlistable(typed, self.limit)
        (grid,) = BasicSweeper.split_arguments(typed, None)
        grid = [[*settings, *self.settings_where(settings)] for settings in grid]
        compose = Composer(self.context.config_loader, self.config)
        status = execute.run_grid(grid, compose, self.launcher, self.config)
        if status:
            raise SystemExit(status)

    def settings_where(self, settings: Sequence[str]) -> list[str]:
        """Return what `where` adds to the settings of a trial."""
        from initlab.config import as_typed

        typed = {text.partition("=")[0] for text in settings}
        return [
            f"{key}={as_typed(value)}"
            for setting, others in self.where.items()
            if setting in settings
            for key, value in others.items()
            if key not in typed
        ]


ConfigStore.instance().store(
    group="hydra/sweeper", name="grid", node=GridConfig, provider="initlab"
)
