"""Composing: the configs of many trials, for which Hydra reads the files once."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initlab.config import GROUPS, typed_overrides

Choices = tuple[str, ...]  # the settings of a trial that choose options, as typed
MOST_CONFIGS = 1000
MOST_SETTINGS = 20_000


@dataclass(frozen=True)
class Section:
    """What an option makes of a config.

    config   has the section of its group alone
    choices  how Hydra notes the option
    """

    config: DictConfig
    choices: dict[str, str]


@dataclass
class Family:
    """Configs that differ only in the options of our groups.

    first     the choices of one of them, with which each other is compared
    chosen    the option of each group that they choose
    pickled   its config
    sections  group and option → the section of the group with it; None for an option that does not
              change this section alone
    """

    first: Choices
    chosen: dict[str, str]
    pickled: bytes
    sections: dict[tuple[str, str], Section | None] = field(default_factory=dict)

    def choices_with(self, group: str, option: str) -> Choices:
        """Return the choices of the first config with another option of a group."""
        chosen = f"{group}={self.chosen[group]}"
        return tuple(f"{group}={option}" if text == chosen else text for text in self.first)


class Composer:
    """Composes the trials of a sweep to the same configs as Hydra, several times as fast.

    Hydra reads and merges all files for each trial. Here that is done once for each option of a
    group, the sections of the options are put together, and the plain values of a trial are set in
    a copy. Uses private functions of Hydra 1.3.8; a test compares the configs with Hydra's own.
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
        self.read = lru_cache(MOST_SETTINGS)(self.parse)
        self.sets_value = lru_cache(MOST_SETTINGS)(lambda text: self.is_value(self.read(text)))
        # Pickles, which are faster than copies.
        self.pickled = lru_cache(MOST_CONFIGS)(self.compose)
        self.families: dict[Choices, Family] = {}

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

    def parse(self, text: str) -> Override:
        """Return a setting; raises `HydraException`."""
        (override,) = self.parser.parse_overrides([text])
        return override

    def compose(self, choices: Choices) -> bytes:
        """Return the pickle of a config as Hydra composes it; raises `HydraException`."""
        return pickle.dumps(self.loader.load_sweep_config(self.multirun, list(choices)))

    def base(self, choices: Choices) -> DictConfig:
        """Return a config in which all values are the usual ones of these choices.

        Raises `HydraException` if it cannot be composed.
        """
        family = self.family(choices)
        changes = self.changes(family, choices)
        if changes is None:
            composed: DictConfig = pickle.loads(self.pickled(choices))
            return composed
        config: DictConfig = pickle.loads(family.pickled)
        for group, option in changes.items():
            section = family.sections[group, option]
            assert section is not None
            config[group] = section.config[group]
            config.hydra.runtime.choices.update(section.choices)
        return config

    def family(self, choices: Choices) -> Family:
        """Return the family of a config; raises `HydraException` if it cannot be composed."""
        chosen = self.options(choices)
        key = tuple(text.partition("=")[0] if self.option(text) else text for text in choices)
        if key not in self.families:
            self.families[key] = Family(choices, chosen, self.compose(choices))
        return self.families[key]

    def options(self, choices: Choices) -> dict[str, str]:
        """Return the option of each of our groups that is chosen by its name alone."""
        return dict(found for text in choices if (found := self.option(text)))

    def option(self, text: str) -> tuple[str, str] | None:
        """Return a group of ours and its option, if a setting chooses one by its name alone."""
        override = self.read(text)
        group, option = override.key_or_group, override.value()
        plain = override.type == OverrideType.CHANGE and override.package is None
        return (group, option) if plain and group in GROUPS and type(option) is str else None

    def changes(self, family: Family, choices: Choices) -> dict[str, str] | None:
        """Return the options in which a config differs from the first one of its family.

        None if one of them changes more than the section of its group.
        """
        options = self.options(choices)
        if len(options) < sum(1 for text in choices if self.option(text)):  # one is chosen twice
            return None
        changes = {group: own for group, own in options.items() if own != family.chosen[group]}
        for group, option in changes.items():
            if (group, option) not in family.sections:
                family.sections[group, option] = self.section(family, group, option)
            if family.sections[group, option] is None:
                return None
        return changes

    def section(self, family: Family, group: str, option: str) -> Section | None:
        """Return the section of a group with an option, None if it is not all that this changes."""
        first: DictConfig = pickle.loads(family.pickled)
        try:
            other: DictConfig = pickle.loads(self.compose(family.choices_with(group, option)))
        except (HydraException, OmegaConfBaseException):
            return None  # it is told for the trial that has it
        if rest(first, group) != rest(other, group):
            return None
        choices = other.hydra.runtime.choices
        noted = {key: choices[key] for key in notes_of(group) if key in choices}
        return Section(OmegaConf.masked_copy(other, group), noted)

    def apply(self, values: Sequence[Override], config: DictConfig) -> None:
        """Set values in a config; raises `HydraException` if it has no such keys."""
        self.loader._apply_overrides_to_config(list(values), config)

    def is_value(self, override: Override) -> bool:
        """Return whether an override only sets a value, and changes nothing else of the config."""
        key = override.key_or_group
        if override.is_hydra_override():
            return key == "hydra.job.name"
        return override.package is None and not self.repository.group_exists(key)


def notes_of(group: str) -> tuple[str, str]:
    """Return the names under which Hydra notes the option of a group, and the class of that."""
    return group, f"schema/{group}@{group}"


def rest(config: DictConfig, group: str) -> Any:
    """Return all that an option of a group must leave as it is, to be compared."""
    types = {key: OmegaConf.get_type(config, str(key)) for key in config if key != group}
    values: Any = OmegaConf.to_container(config, resolve=False)
    del values[group]
    choices = values["hydra"]["runtime"]["choices"]
    choices |= {key: "" for key in notes_of(group) if key in choices}
    # Which option was chosen, in words that are set for each trial.
    del values["hydra"]["overrides"]["task"]
    del values["hydra"]["job"]["override_dirname"]
    return types, values


def named(name: str, overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a run, with that of its name if it has one."""
    return [*overrides, f"hydra.job.name={quote_override(name)}"] if name else [*overrides]


def quote_override(text: object) -> str:
    """Return a text in quotes, for an override of Hydra."""
    return QuotedString(str(text), Quote.single).with_quotes()
