"""The grid of a sweep: all combinations of what was typed and of what an experiment sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from initlab.config import ConfigError, as_typed, read_overrides
from initlab.sweep.plan import refuse_unlistable


def read(params: Any, arguments: Sequence[str], loader: ConfigLoader) -> list[Override]:
    """Return the settings of `hydra.sweeper.params` and those that were typed.

    Raises `ConfigError`.
    """
    if OmegaConf.is_config(params):
        params = OmegaConf.to_container(params)
    if not isinstance(params, Mapping):
        raise ConfigError(f"hydra.sweeper.params must map keys to values; got {params!r}")
    given = [f"{key}={as_typed(value)}" for key, value in params.items()]
    return read_overrides([*given, *arguments], loader)


def combinations(settings: Sequence[Override], where: Any, limit: int) -> list[list[str]]:
    """Return the settings of every trial.

    where  such as `optimizer=adam` → {key: value}, for trials with this choice; what was typed
           overrides them
    limit  the largest number of trials

    Raises `ConfigError`, before any is listed if there are too many.
    """
    if not isinstance(where, Mapping) or not all(
        "=" in setting and isinstance(others, Mapping) for setting, others in where.items()
    ):
        raise ConfigError(
            "hydra.sweeper.where must map choices to their settings, as in "
            f"{{optimizer=adam: {{optimizer.lr: 0.1}}}}; got {where!r}"
        )
    refuse_unlistable(settings, limit)
    (grid,) = BasicSweeper.split_arguments(list(settings), None)
    return [[*trial, *settings_where(trial, where)] for trial in grid]


def settings_where(trial: Sequence[str], where: Mapping[str, Any]) -> list[str]:
    """Return what `where` adds to the settings of a trial."""
    typed = {text.partition("=")[0] for text in trial}
    return [
        f"{key}={as_typed(value)}"
        for setting, others in where.items()
        if setting in trial
        for key, value in others.items()
        if key not in typed
    ]
