"""Errors of Hydra and OmegaConf in words that a user can act on."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import (
    BooleanNode,
    DictConfig,
    FloatNode,
    IntegerNode,
    ListConfig,
    StringNode,
    UnionNode,
)
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from initlab.checks import UserError, choices, first_line, no_such_option
from initlab.config.schema import GROUPS, SCHEMAS


def explain(error: Exception) -> str:
    """Return the message to show for an error of Hydra or OmegaConf."""
    file = re.match(r"In '(.+?)': \w+ raised while composing config:", str(error))
    if file and isinstance(error.__context__, Exception):
        return f"{file[1]}.yaml: {explain(error.__context__)}"
    cause = error.__cause__ or error
    if isinstance(cause, UserError):
        return str(cause)
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        return no_such_option(group, option, error.options)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}: settings have the form key=value"
    if isinstance(cause, (ConfigKeyError, AttributeError)) and isinstance(
        cause, OmegaConfBaseException
    ):
        parent = cause.parent_node
        siblings = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
        key = cause.full_key or str(cause.key)
        group, _, name = key.rpartition(".")
        classes = SCHEMAS.get(group, {}).values()
        if classes and cause.object_type not in classes and not name.startswith("_"):
            return f"{key}: the option names no class.{class_line(group)}"
        return unknown_key(key, siblings)
    if isinstance(cause, ValidationError) and cause.full_key:
        return wrong_type(cause)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {first_line(cause)}"
    return first_line(error) if error is cause else f"{first_line(error)}: {first_line(cause)}"


def unknown_key(key: str, siblings: Iterable[str]) -> str:
    """Return that a dotted key does not exist, and which keys do."""
    group, _, name = key.rpartition(".")
    known = [sibling for sibling in siblings if sibling != "hydra"]
    what = f"{group} has no key {name!r}" if group else f"there is no key or group {name!r}"
    if name.startswith("_"):  # such as _target_, which makes Hydra call any function
        return f"{key}: {what}: a config is data and cannot name code.{class_line(group)}"
    return f"{key}: {what}.{choices(name, known)}"


def class_line(key: str) -> str:
    """Return how an option of the key's group names its class."""
    group = key.partition(".")[0]
    if group not in GROUPS:
        return ""
    return (
        f"\nThe file of an option names its class like this (see docs/extending.md):\n"
        f"  defaults:\n    - /schema/{group}@_here_: <class>\n    - _self_\n"
        f"Classes: {', '.join(SCHEMAS[group])}"
    )


EXPECTED = {
    FloatNode: "a number",
    IntegerNode: "an integer",
    BooleanNode: "true or false",
    StringNode: "a string",
    UnionNode: "a number or a string",
    ListConfig: "a list, such as [200, 200]",
    DictConfig: "a group of keys",
}


def wrong_type(error: OmegaConfBaseException) -> str:
    """Return which type a key must have."""
    for node, expected in EXPECTED.items():
        if isinstance(error.child_node, node):
            value = "null" if error.value is None else repr(error.value)
            return f"{error.full_key} must be {expected}; got {value}"
    return f"{error.full_key}: {first_line(error)}"
