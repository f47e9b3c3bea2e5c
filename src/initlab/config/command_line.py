"""The command line: read before Hydra reads it, and refused where Hydra would not say why.

Uses `get_args_parser`, a private function of Hydra 1.3.8.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
    Sweep,
)
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initlab.checks import first_line, is_finite, no_such_option
from initlab.config.explain import quoted, unreadable
from initlab.config.schema import GROUPS, ConfigError, is_path, options

COMMAND = ("python", "src/train.py")
OTHERS = (dict, Sweep, Glob)  # what may stand for an option or its settings beside a text
SHELLS = ("bash", "fish", "zsh")
LONGEST_KEY = 200  # characters: Hydra looks for a file of each name
FOLDERS = ("hydra.output_subdir", "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
LONGEST_NAME = 255  # bytes that file systems allow
DEEPEST = 20  # levels of lists and groups; ours have one


def refuse_invalid(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` for flags and settings that Hydra cannot make anything of."""
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        flags, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    refuse_rest(arguments, flags.overrides, rest)
    if flags.experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun would run code from a pickle: python src/reproduce.py runs a "
            "recorded run again"
        )
    if flags.resolve and not (flags.cfg or flags.help):
        raise ConfigError("--resolve goes with --cfg or --help, as in --cfg job --resolve")
    if flags.package is not None and not flags.cfg:
        raise ConfigError("--package goes with --cfg, as in --cfg job --package init")
    if flags.shell_completion:
        refuse_completion(flags.overrides)
        return
    overrides = read_overrides(flags.overrides)
    if not flags.multirun and all(each.key_or_group != "hydra.mode" for each in overrides):
        refuse_sweeps(overrides)


def refuse_sweeps(overrides: Sequence[Override]) -> None:
    """Raise `ConfigError` for what only a sweep can do, where a single run was asked for."""
    for each in overrides:
        if each.key_or_group == "sweep.zip" and isinstance(each.value(), list) and each.value():
            raise ConfigError(f"{each.input_line} is for sweeps: add -m")
    for each in filter(Override.is_sweep_override, overrides):
        key, _, values = str(each.input_line).partition("=")
        raise ConfigError(
            f"{each.input_line}: several values are a sweep: add -m. A list stands in brackets, "
            f"and a text with commas in quotes, around which the shell needs its own:\n"
            f"  {shlex.quote(f'{key}=[{values}]')}\n  {shlex.quote(quoted(key, values))}"
        )


def refuse_rest(arguments: Sequence[str], settings: Sequence[str], rest: Sequence[str]) -> None:
    """Raise `ConfigError` if arguments were left over, which are unknown flags or misplaced."""
    for word in rest:
        if word.startswith("-"):
            name = word.lstrip("-")
            hint = f". Settings have no dashes: {name}" if "=" in name else "; see --help"
            raise ConfigError(f"{word}: there is no such flag{hint}")
    if rest:
        ordered = [*settings, *rest]
        first = [word for word in arguments if word not in ordered]
        raise ConfigError(
            "flags such as -m must stand before all settings:\n"
            f"  {shlex.join([*COMMAND, *first, *ordered])}"
        )


def refuse_completion(words: Sequence[str]) -> None:
    """Raise `ConfigError` if -sc does not say what for."""
    match [word.split("=") for word in words]:
        case [["install" | "uninstall" | "query" as action, shell]] if shell in SHELLS:
            if action == "query" and "COMP_LINE" not in os.environ:
                raise ConfigError(
                    f"-sc query={shell} is called by the shell itself, with the line in COMP_LINE; "
                    f'set it up by: eval "$({shlex.join(COMMAND)} -sc install={shell})"'
                )
        case _:
            raise ConfigError(
                f"-sc must be followed by install=, uninstall= or query=, and one of "
                f"{', '.join(SHELLS)}; got {shlex.join(words) or 'nothing'}"
            )


def read_overrides(texts: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Return settings as Hydra reads them; raises `ConfigError` for what Hydra would trip over.

    loader  finds the options that a glob stands for
    """
    parser = OverridesParser.create(config_loader=loader)
    return [read_override(text, parser) for text in texts]


def read_override(text: str, parser: OverridesParser) -> Override:
    """Return a setting; raises `ConfigError`."""
    if "=" in text and not text.partition("=")[0].strip("~+ "):
        raise ConfigError(f"{text}: a key must stand before the =, as in optimizer.lr=0.1")
    try:
        (override,) = parser.parse_overrides([text])
        refuse_unusable(override)
    except OverrideParseException as error:
        raise ConfigError(unreadable(error)) from error
    except RecursionError as error:
        raise ConfigError(f"{text}: brackets are nested too deeply") from error
    except (ValueError, ArithmeticError) as error:  # such as an integer of 5,000 digits
        raise ConfigError(f"{text}: {first_line(error)}") from error
    return override


def refuse_unusable(override: Override) -> None:
    """Raise `ValueError` for a setting at which Hydra or OmegaConf would raise a bare error."""
    key, value = override.key_or_group, override.value()
    if len(key) > LONGEST_KEY:
        raise ValueError(f"a key has at most {LONGEST_KEY} characters")
    if not key:
        raise ValueError("a group must stand before the @")
    if override.package is not None and isinstance(value, (bool, int, float, dict)):
        raise ValueError("a config group wants one of its options")
    names_code = any(part.startswith("_") for part in key.split("."))
    for item, depth in walk(value):
        if depth > DEEPEST:
            raise ValueError("brackets are nested too deeply")
        if depth and isinstance(item, Sweep):
            raise ValueError("choice(), range() and the like must stand alone, as in choice(1,2,3)")
        if isinstance(item, int) and not is_finite(item):
            raise ValueError("a number has too many digits")
        if isinstance(item, str):
            refuse_unusable_text(item)
        if isinstance(item, dict):
            names_code |= any(str(name).startswith("_") for name in item)
    if isinstance(value, (RangeSweep, IntervalSweep)):
        ends = [getattr(value, name, 1) for name in ("start", "stop", "end", "step")]
        if not all(map(is_finite, ends)):
            raise ValueError("the ends must be finite numbers")
    if key.split(".")[0] == "hydra" or key.startswith("hydra/"):
        refuse_unusable_of_hydra(key, value, names_code)
    elif key in (*GROUPS, "experiment") and not override.is_delete():
        for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
            refuse_unnamed(key, choice)


def unquoted(value: Any) -> Any:
    """Return a value, of one in quotes its text."""
    return value.text if isinstance(value, QuotedString) else value


def refuse_unusable_text(text: str) -> None:
    """Raise `ValueError` for a text in which OmegaConf would not find its way."""
    if "\0" in text:
        raise ValueError("a text cannot have a null character")
    if "${" in text:
        try:
            OmegaConf.create([text])
        except OmegaConfBaseException as error:
            raise ValueError(f"its interpolation cannot be read: {first_line(error)}") from error


def refuse_unnamed(group: str, choice: Any) -> None:
    """Raise `ConfigError` for a choice that is not a name; a mapping sets keys of the group."""
    choice = unquoted(choice)
    if isinstance(choice, str):
        may_be_name = not is_path(choice) and "${" not in choice
    else:
        may_be_name = isinstance(choice, OTHERS)
    if not may_be_name:
        typed = "null" if choice is None else str(choice)
        raise ConfigError(no_such_option(group, typed, options(group)))


def refuse_unusable_of_hydra(key: str, value: Any, names_code: bool) -> None:
    """Raise `ValueError` for settings of Hydra itself that it should not be given."""
    if names_code:
        raise ValueError("a config is data and cannot name code")
    if key in FOLDERS:
        parts = str(unquoted(value)).split("/")
        if any(len(part.encode()) > LONGEST_NAME for part in parts):  # or bytes that are no text
            raise ValueError(f"a file or a folder has a name of at most {LONGEST_NAME} bytes")
    if key.startswith("hydra/") and not (value is None or isinstance(value, str)):
        raise ValueError("a config group wants one of its options")
    if key in ("hydra", "hydra.sweeper", "hydra.launcher") and not isinstance(value, dict):
        raise ValueError(f"{key} must be a group of keys")
    if key == "hydra/sweeper" and value == "basic":
        raise ValueError(
            "the choices are grid and search; Hydra's own sweeper would check no trial beforehand, "
            "skip none that has been run, and report nothing"
        )


def walk(value: Any, depth: int = 0) -> Iterator[tuple[Any, int]]:
    """Yield a value and all that is in it, `unquoted`, each with the number of brackets around."""
    yield unquoted(value), depth
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, ChoiceSweep):
        inner = value.list
    else:
        inner = value if isinstance(value, list) else []
    for item in inner:
        yield from walk(item, depth + 1)
