"""Combining: the runs of a grid, described without composing the config of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.types import OverrideType
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
)
from initlab.data import Data
from initlab.nn.models import NetworkModel
from initlab.nn.preparation import load
from initlab.run import RunSpec
from initlab.sweep.compose import MOST_CONFIGS, MOST_SETTINGS, Choices, Composer, named
from initlab.text import printable

MOST_DATA = 16  # sets of examples, each of which is an open file
MOST_BYTES = 10_000_000  # of random examples that are kept
SETS = (OverrideType.CHANGE, OverrideType.FORCE_ADD)


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
    """Describes the runs of a grid from what each of its settings is by itself.

    That is a hundred times as fast as to compose and to build the whole config, and gives the same
    objects, values and fingerprints. The whole config is composed where settings depend on each
    other or one is invalid, so that all errors are those of Hydra, OmegaConf and `build`.
    """

    def __init__(self, compose: Composer) -> None:
        self.compose = compose
        self.base = lru_cache(MOST_CONFIGS)(self.make_base)
        self.lone = lru_cache(MOST_CONFIGS)(self.make_lone)
        self.value = lru_cache(MOST_SETTINGS)(self.convert)
        self.schemas: dict[tuple[str, type | None], DictConfig] = {}
        self.data: dict[str, Data | None] = {}

    def __call__(self, name: str, overrides: Sequence[str]) -> RunSpec:
        """Return a run without its data; raises what composing, building or loading may raise.

        name  "" for the name that a run has by itself
        """
        spec = self.combined(name, overrides)
        if spec is None:
            composed = self.compose(named(name, overrides))
            spec = RunSpec.of(composed, composed.hydra, self.load)
        return replace(spec, data=None)

    def combined(self, name: str, overrides: Sequence[str]) -> RunSpec | None:
        """Return a run, None if its config has to be composed."""
        if not name or any(mark in name for mark in "$\\"):  # Hydra might make another of it
            return None
        try:
            whole = self.whole(overrides)
            if whole is None:
                return None
            base, values = whole
            config = assemble(values, base.classes)
            spec = RunSpec.restored(printable(name), config, base.choices, values, self.load)
        except (UserError, HydraException, OmegaConfBaseException, TypeError):
            return None
        return replace(spec, sweep=base.sweep, experiment=base.experiment)

    def whole(self, overrides: Sequence[str]) -> tuple[Base, dict[str, Any]] | None:
        """Return what a run shares with others, and its own nested plain values."""
        settings = {text: self.compose.sets_value(text) for text in overrides}
        base = self.base(tuple(text for text, sets in settings.items() if not sets))
        if base is None:
            return None
        values = dict(base.values)
        own: set[str] = set()
        for text in (text for text, sets in settings.items() if sets):
            section, _, key = self.compose.read(text).key_or_group.rpartition(".")
            part = values.get(section) if section else values
            if not isinstance(part, dict) or key not in part or isinstance(part[key], dict):
                return None
            converted = self.value(text, base.classes.get(section))
            if converted is None:
                return None
            if section and section not in own:
                own.add(section)
                part = values[section] = dict(part)
            part[key] = converted[0]
        return base, values

    def make_base(self, choices: Choices) -> Base | None:
        """Return what all runs with some choices share, None if that is not to be known."""
        family = self.compose.family(choices)
        changes = self.compose.changes(family, choices)
        if changes is None:
            return self.lone(choices)
        base = self.lone(family.first)
        for group, option in changes.items():
            other = self.lone(family.choices_with(group, option))
            if base is None or other is None:
                return None
            base = replace(
                base,
                values=base.values | {group: other.values[group]},
                classes=base.classes | {group: other.classes[group]},
                choices=base.choices | {group: option},
            )
        return base

    def make_lone(self, choices: Choices) -> Base | None:
        """Do the same by composing a config."""
        try:
            config = self.compose.base(choices)
            if any(has_interpolation(config[key]) for key in config if key != "hydra"):
                return None
            check_structure(config)
            chosen = chosen_options(config.hydra)
        except (UserError, HydraException, OmegaConfBaseException):
            return None  # it may be invalid by itself only
        values = plain_values(config)
        parts = {key: part for key, part in values.items() if isinstance(part, dict)}
        classes: dict[str, Any] = {key: OmegaConf.get_type(config[key]) for key in parts}
        for key, part in parts.items():
            nested = any(is_dataclass(OmegaConf.get_type(config[key], name)) for name in part)
            if nested or not all(each.init for each in fields(classes[key])):
                return None  # its object has objects as parts, or more than its settings
        experiment = str(config.hydra.runtime.choices.get("experiment") or "")
        return Base(values, classes, chosen, experiment, sweep_id(config.hydra))

    def convert(self, text: str, schema: type | None) -> tuple[Any] | None:
        """Return the plain value that a setting gives a key, as its only item.

        schema  the class of the section in which the key is, None for a key of the whole config

        None if it is invalid, or might do anything else.
        """
        override = self.compose.read(text)
        if override.type not in SETS or any(mark in text for mark in ("${", "???")):
            return None
        section, _, key = override.key_or_group.rpartition(".")
        if (section, schema) not in self.schemas:
            node = OmegaConf.structured(schema or Config)
            self.schemas[section, schema] = OmegaConf.create({section: node}) if section else node
        config = self.schemas[section, schema]
        try:
            self.compose.apply([override], config)
            found = config[section][key] if section else config[key]
        except (HydraException, OmegaConfBaseException, AttributeError, TypeError):
            return None
        value = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
        items = value if isinstance(value, list) else [value]
        return None if any(isinstance(item, (dict, list)) for item in items) else (value,)

    def load(self, config: Config) -> Data | None:
        """Load data, or return those that were loaded before; raises a `UserError`."""
        if not isinstance(config.model, NetworkModel):
            return load(config)
        known = repr(config.data) if config.data.labelled else f"{config.data!r} {config.seed}"
        if known in self.data:
            return self.data[known]
        data = load(config)
        if len(self.data) >= MOST_DATA:
            self.data.clear()
        if data and (config.data.labelled or data.train.x.nbytes <= MOST_BYTES):
            self.data[known] = data
        return data


def has_interpolation(node: Any) -> bool:
    """Return whether a value, or one within it, is given by others."""
    if not OmegaConf.is_config(node):
        return isinstance(node, str) and "${" in node
    return "${" in str(OmegaConf.to_container(node, resolve=False))
