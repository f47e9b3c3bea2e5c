"""Errors of Hydra and OmegaConf in words that a user can act on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from hydra.core.override_parser.types import Quote, QuotedString
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
from omegaconf.errors import (
    ConfigKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

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
        return unreadable(error)
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
        if isinstance(cause, InterpolationResolutionError):
            return f"{cause.full_key}: its interpolation fails: {resolver_words(cause)}"
        return f"{cause.full_key}: {first_line(cause)}"
    return first_line(error) if error is cause else f"{first_line(error)}: {first_line(cause)}"


def resolver_words(error: InterpolationResolutionError) -> str:
    """Return why an interpolation failed, without the type of the error and the quotes of it."""
    text = re.sub(r"^\w+ raised while resolving interpolation: ", "", first_line(error))
    whole = re.fullmatch('"(.*)"', text)
    return whole[1] if whole else text


def unreadable(error: OverrideParseException) -> str:
    """Return why Hydra's grammar cannot read a setting, and how its value is quoted."""
    text = error.override
    key, equals, value = text.partition("=")
    if error.__cause__:  # what a function says, as in int(abc)
        return f"{text}: {first_line(error.__cause__)}"
    if not equals:
        return f"cannot read {text!r}: settings have the form key=value"
    if not re.fullmatch(r"[+~]*[\w$-]+([./@:][\w$-]+)*", key, re.ASCII):
        return f"cannot read {text!r}: {key!r} cannot be a key"
    return (
        f"cannot read {text!r}: brackets and quotes must come in pairs, and a text with special "
        f"characters needs quotes, around which the shell needs its own:\n"
        f"  {shlex.quote(quoted(key, value))}"
    )


def quoted(key: str, value: str) -> str:
    """Return a setting whose value is a text, in the grammar of Hydra."""
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


def unknown_key(key: str, siblings: Iterable[str]) -> str:
    """Return that a dotted key does not exist, and which keys do."""
    group, _, name = key.rpartition(".")
    known = [each for each in siblings if each != "hydra" and not each.startswith("_")]
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
