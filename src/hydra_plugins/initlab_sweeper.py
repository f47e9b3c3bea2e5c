"""Hydra's grid sweeper, which checks every combination before the first one starts."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig


class GridSweeper(BasicSweeper):
    """Runs the Cartesian product of all swept values, less what has been run before."""

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that was typed; exits with its status if that is not 0."""
        from initlab import sweep  # not needed by a single run's discovery of plug-ins
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


class Composer:
    """Composes the trials of a sweep as Hydra does, and several times as fast.

    Hydra reads and merges all files for each trial. Here that is done once for each choice of
    options; the plain values of a trial are then put into a copy.
    """

    def __init__(self, loader: Any, multirun: DictConfig) -> None:
        from initlab.job import typed  # not needed when Hydra looks for plug-ins

        self.loader = loader
        self.multirun = multirun
        self.typed = typed(multirun.hydra.overrides.hydra)
        self.parser = OverridesParser.create()
        self.begun: dict[tuple[str, ...], bytes] = {}  # pickles, which are faster than copies

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Return the config of a trial; raises `HydraException` if it cannot be composed."""
        parsed = self.parser.parse_overrides(list(overrides))
        values = [override for override in parsed if self.is_value(override)]
        first = [text for text, one in zip(overrides, parsed) if one not in values]
        if tuple(first) not in self.begun:
            whole = self.loader.load_sweep_config(self.multirun, first)
            self.begun[tuple(first)] = pickle.dumps(whole)
        config: DictConfig = pickle.loads(self.begun[tuple(first)])
        self.loader._apply_overrides_to_config(values, config)
        hydra = config.hydra
        task = [override for override in parsed if not override.is_hydra_override()]
        hydra.overrides.task = [override.input_line for override in task]
        hydra.overrides.hydra = [
            *self.typed,
            *(override.input_line for override in parsed if override.is_hydra_override()),
        ]
        hydra.job.override_dirname = get_overrides_dirname(
            task, **hydra.job.config.override_dirname
        )
        return config

    def is_value(self, override: Override) -> bool:
        """Tell whether an override sets a plain value, which changes nothing else of the config."""
        key = override.key_or_group
        if override.is_hydra_override():
            return key == "hydra.job.name"
        return override.package is None and not self.loader.repository.group_exists(key)


for name in ("grid", "basic"):  # Hydra's own basic one would tell nothing of what became of trials
    ConfigStore.instance().store(
        group="hydra/sweeper",
        name=name,
        node={"_target_": f"{__name__}.GridSweeper", "max_batch_size": None, "params": None},
        provider="initlab",
    )
