"""Hydra's grid sweeper, which checks every combination before the first one starts."""

# Hydra loads plug-ins so that annotations of a dataclass must not be put off by `__future__`.
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override


@dataclass
class GridConfig:
    """What to sweep: the `hydra.sweeper.*` keys of a grid.

    params  key → values, swept as if they had been typed; the command line overrides them
    where   such as `optimizer=adam` → {key: value}: settings of the trials that have this choice;
            the command line overrides them
    """

    _target_: str = f"{__name__}.GridSweeper"
    params: Any = None
    where: Any = None


class GridSweeper(BasicSweeper):
    """Runs the Cartesian product of all swept values, except trials that have been run before."""

    def __init__(self, params: Any, where: Any) -> None:
        super().__init__(max_batch_size=None, params=params)
        self.where = where or {}

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that was typed; exits with its status if that is not 0."""
        from initlab.config import ConfigError
        from initlab.sweep import execute  # not needed by a single run's discovery of plug-ins
        from initlab.sweep.compose import Composer

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        if not isinstance(self.params, Mapping):
            raise ConfigError(f"hydra.sweeper.params must map keys to values; got {self.params!r}")
        if not isinstance(self.where, Mapping) or not all(
            "=" in setting and isinstance(others, Mapping) for setting, others in self.where.items()
        ):
            raise ConfigError(
                "hydra.sweeper.where must map choices to their settings, as in "
                f"{{optimizer=adam: {{optimizer.lr: 0.1}}}}; got {self.where!r}"
            )
        typed = parser.parse_overrides([*self._parse_config(), *arguments])
        for override in filter(Override.is_sweep_override, typed):
            if fault := fault_of(override):
                raise ConfigError(f"{override.input_line}: {fault}")
            if override.key_or_group == "experiment":
                raise ConfigError(f"{override.input_line}: each has a grid of its own; name one")
        (grid,) = self.split_arguments(typed, None)
        grid = [[*settings, *self.settings_where(settings)] for settings in grid]
        status = execute.run_grid(grid, Composer(loader, self.config), self.launcher, self.config)
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


def fault_of(override: Override) -> str:
    """Return why the values of an override cannot be swept, "" if they can."""
    if not override.is_discrete_sweep():
        return "an interval cannot be listed; name the values, as in choice(0.1, 0.01)"
    try:
        return "" if any(True for _ in override.sweep_string_iterator()) else "no value fits"
    except ValueError as error:  # range(1, 2, 0)
        return str(error)


for name in ("grid", "basic"):  # Hydra's own `basic` reports no failures
    ConfigStore.instance().store(
        group="hydra/sweeper", name=name, node=GridConfig, provider="initlab"
    )
