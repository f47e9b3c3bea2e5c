"""Stored configs: the config.yaml of a recorded run, which is not trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initlab.checks import choices, first_line, no_such_option
from initlab.config.build import build
from initlab.config.explain import explain
from initlab.config.schema import (
    GROUPS,
    PROJECT,
    Config,
    ConfigError,
    essential,
    nothing_chosen,
    options,
)


def restore(chosen: Mapping[str, str], text: str) -> tuple[Config, dict[str, Any]]:
    """Return the config of a recorded run, as the objects that run and as nested plain values.

    chosen  the option of each group that the run used
    text    its config.yaml, from which only the settings that decide the numbers are taken; where
            things are and how they are fetched is as in conf/ now

    Neither is trusted, and neither can execute code. Raises `ConfigError` for what `build` refuses,
    and for a text with more than names and plain values.
    """
    for group, option in chosen.items():
        if option not in options(group):
            raise ConfigError(no_such_option(group, option, options(group)))
    document = read_plain(text)
    unused = {*GROUPS} - {*chosen}
    initialized = GlobalHydra.instance().is_initialized()  # at most once in a process
    folder = str(PROJECT / "conf")
    try:
        with nullcontext() if initialized else initialize_config_dir(folder, version_base="1.3"):
            local = compose("config", [f"{group}={option}" for group, option in chosen.items()])
        composed = OmegaConf.merge(local, essential_part(document, local, unused))
        assert isinstance(composed, DictConfig)
        config = build(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
    for group in sorted(unused - config.model.unused):
        raise ConfigError(nothing_chosen(group))
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    return config, {str(key): value for key, value in plain.items()}


def essential_part(document: dict[str, Any], local: DictConfig, unused: set[str]) -> dict[str, Any]:
    """Return the settings in a config.yaml that decide the numbers, without the unused groups."""
    names = [str(name) for name in local]
    taken: dict[str, Any] = {}
    for name, value in document.items():
        if name not in names:
            raise ConfigError(f"there is no key or group {name!r}.{choices(name, names)}")
        if not OmegaConf.is_config(local[name]):
            taken[name] = value
        elif not isinstance(value, dict):
            raise ConfigError(f"{name} must be a group of keys; got {str(value)[:80]}")
        elif name not in unused:
            kept = essential({f"{name}.{key}": key for key in value})
            taken[name] = {key: value[key] for key in kept.values()}
    return taken


MAX_CONFIG_CHARS = 1_000_000  # a usual config.yaml has 700
REFUSED_TOKENS = {
    yaml.AliasToken: "an alias (*)",  # a few lines of aliases can expand to a billion values
    yaml.AnchorToken: "an anchor (&)",
    yaml.TagToken: "a tag (!)",  # which may name a class
    yaml.DirectiveToken: "a directive (%)",
}
PLAIN = (str, int, float, bool, type(None))


class UniqueKeyLoader(yaml.SafeLoader):  # type: ignore[misc]
    """PyYAML's safe loader, which also refuses duplicate keys and keys that are not names."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        """Return a mapping; raises `ConfigError` at the first invalid key."""
        names = set()
        for key, _ in node.value:
            name, line = key.value, key.start_mark.line + 1
            if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z_][\w.-]{0,99}", name)):
                raise ConfigError(f"config.yaml, line {line}: a key must be a name")
            if name in names:
                raise ConfigError(f"config.yaml, line {line}: {name} is set twice")
            names.add(name)
        mapping: dict[str, Any] = super().construct_mapping(node, deep)
        return mapping


def read_plain(text: str) -> dict[str, Any]:
    """Return the mapping in a YAML text, which may have only names and plain values.

    Raises `ConfigError` for every other feature of YAML, for keys that name code, for
    interpolations, and for text that is not YAML.
    """
    if len(text) > MAX_CONFIG_CHARS:
        raise ConfigError(
            f"config.yaml must have at most {MAX_CONFIG_CHARS:,} characters; got {len(text):,}"
        )
    try:
        for token in yaml.scan(text, yaml.SafeLoader):
            if refused := REFUSED_TOKENS.get(type(token)):
                line = token.start_mark.line + 1
                raise ConfigError(
                    f"config.yaml, line {line}: {refused} is not allowed, a config is plain data"
                )
        document = yaml.load(text, UniqueKeyLoader)
    except RecursionError as error:
        raise ConfigError("config.yaml: lists and keys are nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(
            f"config.yaml, line {error.problem_mark.line + 1}: {error.problem}"
        ) from error
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError) as error:
        # Such as an integer of 5,000 digits.
        raise ConfigError(f"config.yaml: a value cannot be read: {first_line(error)}") from error
    if not isinstance(document, dict):
        raise ConfigError("config.yaml must be a mapping of keys to values")
    refuse_code(document, "")
    return document


def refuse_code(value: Any, path: str) -> None:
    """Raise `ConfigError` for anything at `path` that is not a name or a plain value."""
    if isinstance(value, dict):
        for key, item in value.items():
            name = f"{path}.{key}" if path else key
            if key.startswith("_"):
                raise ConfigError(f"{name}: a config is data and cannot name code")
            refuse_code(item, name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            refuse_code(item, f"{path}[{index}]")
    elif not isinstance(value, PLAIN) or value == "???":
        raise ConfigError(f"{path} must be a plain value; got {str(value)[:80]!r}")
    elif isinstance(value, str):
        if "${" in value:
            raise ConfigError(f"{path}: an interpolation is not allowed; got {value[:80]!r}")
        if not value.isprintable():
            raise ConfigError(f"{path} must be a plain value; got {value[:80]!r}")
