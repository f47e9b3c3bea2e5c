"""The grid of a sweep: all combinations of what was typed and of what an experiment sweeps.

Keys that `sweep.zip` names are walked together instead, as a single axis of the grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from initlab.config import ConfigError, as_typed, read_overrides, zipped_keys
from initlab.sweep.plan import axes_of, refuse_unlistable


def read(params: Any, arguments: Sequence[str], loader: ConfigLoader) -> list[Override]:
    """Return the settings of `hydra.sweeper.params` and those that were typed.

    Raises `ConfigError`.
    """
    if OmegaConf.is_config(params):
        params = OmegaConf.to_container(params)
    if not isinstance(params, Mapping):
        raise ConfigError(f"hydra.sweeper.params must map keys to values; got {params!r}")
    if "sweep.zip" in params:
        raise ConfigError(
            "hydra.sweeper.params: sweep.zip stands in the config itself, as in\n"
            f"  sweep:\n    zip: {params['sweep.zip']}"
        )
    given = [f"{key}={as_typed(value)}" for key, value in params.items()]
    return read_overrides([*given, *arguments], loader)


def zipped_in(multirun: DictConfig) -> list[list[str]]:
    """Return the lists of keys that `sweep.zip` names in the config of a sweep.

    Raises `ConfigError`.
    """
    value = OmegaConf.select(multirun, "sweep.zip")
    plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    try:
        return zipped_keys(plain)
    except ValueError as error:
        raise ConfigError(f"sweep.{error}") from error


def combinations(
    settings: Sequence[Override], where: Any, limit: int, zipped: Sequence[Sequence[str]]
) -> list[list[str]]:
    """Return the settings of every trial, in the order of Hydra's own sweeper.

    where   such as `optimizer=adam` → {key: value}, for trials with this choice; what was typed
            overrides them
    limit   the largest number of trials
    zipped  lists of keys, each of which is one axis, in the place of the first of its keys

    Raises `ConfigError`, before any is listed if there are too many.
    """
    if not isinstance(where, Mapping) or not all(
        "=" in setting and isinstance(others, Mapping) for setting, others in where.items()
    ):
        raise ConfigError(
            "hydra.sweeper.where must map choices to their settings, as in "
            f"{{optimizer=adam: {{optimizer.lr: 0.1}}}}; got {where!r}"
        )
    refuse_unlistable(settings, limit, zipped)
    texts = {each.get_key_element(): listed(each) for each in settings}
    axes = [
        [dict(zip(keys, values)) for values in zip(*(texts[key] for key in keys), strict=True)]
        for keys in axes_of(texts, zipped)
    ]
    trials = []
    for point in itertools.product(*axes):
        chosen = {key: text for part in point for key, text in part.items()}
        trial = [chosen[key] for key in texts]  # in the order in which they were typed
        trials.append([*trial, *settings_where(trial, where)])
    return trials


def listed(override: Override) -> list[str]:
    """Return a setting once for each of its values, as Hydra's own sweeper does."""
    (grid,) = BasicSweeper.split_arguments([override], None)
    return [text for (text,) in grid]


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
