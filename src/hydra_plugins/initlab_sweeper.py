"""Hydra's grid sweeper, which checks every combination before the first one starts."""

from __future__ import annotations

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser


class GridSweeper(BasicSweeper):
    """Runs the Cartesian product of all swept values, less what has been run before."""

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that was typed; exits with its status if that is not 0."""
        from initlab import sweep  # not needed by a single run's discovery of plug-ins

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        loader, multirun = self.hydra_context.config_loader, self.config
        parser = OverridesParser.create(config_loader=loader)
        typed = parser.parse_overrides([*self._parse_config(), *arguments])
        (grid,) = self.split_arguments(typed, None)
        status = sweep.run(
            grid,
            lambda overrides: loader.load_sweep_config(multirun, list(overrides)),
            self.launcher,
            multirun,
        )
        if status:
            raise SystemExit(status)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="grid",
    node={"_target_": f"{__name__}.GridSweeper", "max_batch_size": None, "params": None},
    provider="initlab",
)
