"""Hydra's grid sweeper, which checks every combination before the first one starts."""

from __future__ import annotations

from collections.abc import Mapping

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override


class GridSweeper(BasicSweeper):
    """Runs the Cartesian product of all swept values, less what has been run before."""

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that was typed; exits with its status if that is not 0."""
        from initlab import sweep  # not needed by a single run's discovery of plug-ins
        from initlab.composer import Composer
        from initlab.config import ConfigError

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        if not isinstance(self.params, Mapping):
            raise ConfigError(f"hydra.sweeper.params must map keys to values; got {self.params!r}")
        typed = parser.parse_overrides([*self._parse_config(), *arguments])
        for override in filter(Override.is_sweep_override, typed):
            if fault := fault_of(override):
                raise ConfigError(f"{override.input_line}: {fault}")
        (grid,) = self.split_arguments(typed, None)
        status = sweep.run(grid, Composer(loader, self.config), self.launcher, self.config)
        if status:
            raise SystemExit(status)


def fault_of(override: Override) -> str:
    """Return why the values of an override cannot be swept, "" if they can."""
    if not override.is_discrete_sweep():
        return "an interval has no end of values; name them, as in choice(0.1, 0.01)"
    try:
        return "" if any(True for _ in override.sweep_string_iterator()) else "no value fits"
    except ValueError as error:  # range(1, 2, 0)
        return str(error)


for name in ("grid", "basic"):  # Hydra's own basic one would tell nothing of what became of trials
    ConfigStore.instance().store(
        group="hydra/sweeper",
        name=name,
        node={"_target_": f"{__name__}.GridSweeper", "max_batch_size": None, "params": None},
        provider="initlab",
    )
