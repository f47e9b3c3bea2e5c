"""Composing: the configs of many trials, for which Hydra reads the files once.

A `Composer` makes the config that Hydra would make. A `Combiner` makes the objects that run and the
plain values of it alone, which is a hundred times as fast, and is all that must be known of a trial
before it is its turn.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initlab.checks import UserError
from initlab.config import (
    Config,
    assemble,
    check_structure,
    chosen_options,
    plain_values,
    sweep_id,
    typed_overrides,
)
from initlab.data import Data
from initlab.nn.models import NetworkModel
from initlab.nn.preparation import load
from initlab.run import RunSpec
from initlab.text import printable

Keys = tuple[str, ...]
MOST_DATA = 16


class Composer:
    """Composes the trials of a sweep to the same configs as Hydra, several times as fast.

    Hydra reads and merges all files for each trial. Here that is done once for each choice of
    options, and the plain values of a trial are set in a copy. Uses private functions of Hydra
    1.3.8; a test compares the configs with Hydra's own.
    """

    def __init__(self, loader: Any, multirun: DictConfig) -> None:
        self.loader = loader
        self.multirun = multirun
        self.typed = typed_overrides(multirun.hydra.overrides.hydra)
        # All places where options may be, those of hydra.searchpath included.
        _, self.repository = loader._parse_overrides_and_create_caching_repo(
            multirun.hydra.job.config_name, self.typed
        )
        self.parser = OverridesParser.create()
        self.composed: dict[tuple[str, ...], bytes] = {}  # pickles, which are faster than copies

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Return the config of a trial; raises `HydraException` if it cannot be composed."""
        parsed = self.parser.parse_overrides(list(overrides))
        values = [override for override in parsed if self.is_value(override)]
        choices = [text for text, one in zip(overrides, parsed) if one not in values]
        config = self.base(tuple(choices))
        self.apply(values, config)
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

    def base(self, choices: tuple[str, ...]) -> DictConfig:
        """Return a copy of the config with these choices, in which all values are the usual ones.

        Raises `HydraException` if it cannot be composed.
        """
        if choices not in self.composed:
            whole = self.loader.load_sweep_config(self.multirun, list(choices))
            self.composed[choices] = pickle.dumps(whole)
        config: DictConfig = pickle.loads(self.composed[choices])
        return config

    def apply(self, values: Sequence[Override], config: DictConfig) -> None:
        """Set values in a config; raises `HydraException` if it has no such keys."""
        self.loader._apply_overrides_to_config(list(values), config)

    def is_value(self, override: Override) -> bool:
        """Return whether an override only sets a value, and changes nothing else of the config."""
        key = override.key_or_group
        if override.is_hydra_override():
            return key == "hydra.job.name"
        return override.package is None and not self.repository.group_exists(key)


@dataclass(frozen=True)
class Base:
    """What all runs with the same choices share.

    values   nested plain values, those that are usual with these choices
    classes  of the parts of the config that are objects
    """

    values: dict[str, Any]
    classes: dict[str, type]
    choices: dict[str, str]
    experiment: str
    sweep: str


class Combiner:
    """Describes the runs of a grid by combining settings, each of which is composed by itself once.

    Where that is not possible, because settings depend on each other or one is invalid, the whole
    config of the run is composed.
    """

    def __init__(self, compose: Composer) -> None:
        self.compose = compose
        self.values: dict[str, Override | None] = {}
        self.bases: dict[tuple[str, ...], Base | None] = {}
        self.parts: dict[tuple[tuple[str, ...], str], tuple[Keys, Any] | None] = {}
        self.data: dict[str, Data | None] = {}

    def __call__(self, name: str, overrides: Sequence[str]) -> RunSpec:
        """Return a run without its data; raises what composing, building or loading may raise."""
        combined = self.combined(overrides) if name else None
        if combined is None:
            composed = self.compose(named(name, overrides))
            return replace(RunSpec.of(composed, composed.hydra, self.load), data=None)
        base, values = combined
        config = assemble(values, base.classes)
        spec = RunSpec.restored(printable(name), config, base.choices, values, self.load)
        return replace(spec, data=None, sweep=base.sweep, experiment=base.experiment)

    def combined(self, overrides: Sequence[str]) -> tuple[Base, dict[str, Any]] | None:
        """Return what a run shares with others, and its own plain values."""
        settings = [text for text in overrides if self.as_value(text)]
        choices = tuple(text for text in overrides if not self.as_value(text))
        base = self.base(choices)
        if base is None:
            return None
        values, taken = base.values, set[Keys]()
        for text in settings:
            part = self.part(choices, base, text)
            if part is None:
                return None
            keys, value = part
            if any(keys[: len(each)] == each[: len(keys)] for each in taken):
                return None  # one sets a part of what the other sets
            taken.add(keys)
            values = with_value(values, keys, value)
        return base, values

    def as_value(self, text: str) -> Override | None:
        """Return a setting if it only sets a value, else None."""
        if text not in self.values:
            (override,) = self.compose.parser.parse_overrides([text])
            self.values[text] = override if self.compose.is_value(override) else None
        return self.values[text]

    def base(self, choices: tuple[str, ...]) -> Base | None:
        """Return what all runs with some choices share, None if that is not to be known."""
        if choices not in self.bases:
            try:
                config = self.compose.base(choices)
                values = self.plain(config)
            except (UserError, HydraException, OmegaConfBaseException):
                values = None  # it may be invalid by itself only
            self.bases[choices] = None if values is None else make_base(config, values)
        return self.bases[choices]

    def part(self, choices: tuple[str, ...], base: Base, text: str) -> tuple[Keys, Any] | None:
        """Return the keys that lead to a value, and the value that a setting gives it there.

        None if it is invalid, or changes another value as well.
        """
        if (choices, text) not in self.parts:
            override = self.as_value(text)
            assert override is not None
            keys = tuple(override.key_or_group.split("."))
            try:
                config = self.compose.base(choices)
                self.compose.apply([override], config)
                values = self.plain(config)
                value = value_at(values, keys)
                alone = values is not None and with_value(base.values, keys, value) == values
            except (UserError, HydraException, OmegaConfBaseException, KeyError, TypeError):
                alone = False
            self.parts[choices, text] = (keys, value) if alone else None
        return self.parts[choices, text]

    def plain(self, config: DictConfig) -> dict[str, Any] | None:
        """Return nested plain values, None if some depend on others; raises as `build` does."""
        if any(has_interpolation(config[key]) for key in config if key != "hydra"):
            return None
        check_structure(config)
        return plain_values(config)

    def load(self, config: Config) -> Data | None:
        """Load data, or return those that were loaded before; random ones are not kept."""
        if not config.data.labelled:
            return load(config)
        known = f"{config.data!r} {isinstance(config.model, NetworkModel)}"
        if known not in self.data:
            if len(self.data) >= MOST_DATA:  # each is an open file
                self.data.clear()
            self.data[known] = load(config)
        return self.data[known]


def make_base(config: DictConfig, values: dict[str, Any]) -> Base | None:
    """Return what runs with this config share, None if their objects cannot be made one by one."""
    classes: dict[str, type] = {}
    for key, part in values.items():
        if isinstance(part, dict):
            schema: Any = OmegaConf.get_type(config[key])
            if any(isinstance(value, dict) for value in part.values()):
                return None
            if not all(each.init for each in fields(schema)):
                return None
            classes[key] = schema
    hydra = config.hydra
    experiment = str(hydra.runtime.choices.get("experiment") or "")
    return Base(values, classes, chosen_options(hydra), experiment, sweep_id(hydra))


def has_interpolation(node: Any) -> bool:
    """Return whether a value, or one within it, is given by others."""
    if not OmegaConf.is_config(node):
        return isinstance(node, str) and "${" in node
    return "${" in str(OmegaConf.to_container(node, resolve=False))


def value_at(values: Any, keys: Keys) -> Any:
    """Return a value of nested ones."""
    for key in keys:
        values = values[key]
    return values


def with_value(values: dict[str, Any], keys: Keys, value: Any) -> dict[str, Any]:
    """Return nested values with another value; what stays is shared."""
    first, *rest = keys
    return {**values, first: with_value(values[first], tuple(rest), value) if rest else value}


def named(name: str, overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a run, with that of its name if it has one."""
    return [*overrides, f"hydra.job.name={quote_override(name)}"] if name else [*overrides]


def quote_override(text: object) -> str:
    """Return a text in quotes, for an override of Hydra."""
    return QuotedString(str(text), Quote.single).with_quotes()
