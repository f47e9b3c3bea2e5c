"""Checks that refuse a bad setting where it is made, naming the setting, the choices and the value.

Each raises `ValueError` with a message that begins with the setting's name, so that the config can
put the group in front of it: "lr must be greater than 0; got -1.0" becomes "optimizer.lr must …".
"""

from __future__ import annotations

import difflib
import math
import re
import traceback
from collections.abc import Iterable

from initlab.text import mask_password, printable


class UserError(Exception):
    """An error that the user can fix; its message says how, in one line or several."""


def one_line(error: BaseException) -> str:
    """Return the type and the message of an error in one line, which a server may have written."""
    first = printable(first_line(error))
    if isinstance(error, UserError):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without passwords."""
    return mask_password(str(error).partition("\n")[0])


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error, without passwords: a library may name where it wrote to."""
    return mask_password("".join(traceback.format_exception(error)))


def shorten(text: str) -> str:
    """Return a text in which words that would fill lines are cut, with their lengths."""
    return re.sub(r"\S{300,}", lambda word: f"{word[0][:100]}… ({len(word[0])} characters)", text)


def is_finite(value: float) -> bool:
    """Return whether a number is one that floating point can hold."""
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of three hundred digits
        return False


def positive(name: str, value: float) -> None:
    """Refuse anything but a finite number above zero."""
    if not (is_finite(value) and value > 0):
        raise ValueError(f"{name} must be greater than 0; got {value}")


def positive_or(name: str, value: float | str, words: tuple[str, ...]) -> None:
    """Refuse anything but a finite number above zero or one of these words."""
    if value in words:
        return
    if isinstance(value, str) or not (is_finite(value) and value > 0):
        choices = f"{', '.join(words)} or a number greater than 0"
        raise ValueError(f"{name} must be {choices}; got {value!r}")


LARGEST = 2**63 - 1  # the largest integer that a database can hold
LARGEST_SIZE = 100_000_000  # of an axis: NumPy can count what an array of two such axes holds


def at_least(name: str, value: float, low: float, high: int = LARGEST) -> None:
    """Refuse anything but a finite number of at least `low`, and integers above `high`."""
    if isinstance(value, int) and value > high:
        raise ValueError(f"{name} must be at most {high}; got {value}")
    if not (is_finite(value) and value >= low):
        raise ValueError(f"{name} must be at least {low}; got {value}")


def within(name: str, value: float, low: float, high: float) -> None:
    """Refuse anything outside [low, high]."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be at least {low} and at most {high}; got {value}")


def share(name: str, value: float) -> None:
    """Refuse anything outside (0, 1], the range of a factor that makes smaller or nothing."""
    if not 0 < value <= 1:
        raise ValueError(f"{name} must be greater than 0 and at most 1; got {value}")


def fraction(name: str, value: float) -> None:
    """Refuse anything outside [0, 1), the range of a decay rate."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and less than 1; got {value}")


def finite(name: str, value: float) -> None:
    """Refuse infinities and NaN."""
    if not is_finite(value):
        raise ValueError(f"{name} must be a finite number; got {value}")


def one_of(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse anything but one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def no_such_option(key: str, option: str, names: Iterable[str]) -> str:
    """Return the message for an option that a key does not have, with those that it has."""
    return f"{key}={option}: there is no such option.{choices(option, names)}"


def choices(name: str, names: Iterable[str]) -> str:
    """Return the end of a message: the names nearest to `name`, then all names."""
    names = list(names)
    if not names:
        return " It has none."
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"{hint}\nChoices: {', '.join(names)}"
