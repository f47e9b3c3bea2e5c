"""Keys: what varies between the settings of a comparison, and the values that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from initlab.report.charts.words import brief
from initlab.report.comparison import Comparison, natural

DISTINCT = 5  # values of a key from which on a search is random
SPARSE = 3  # times as many points has the grid of all values, if a search is random


def axes(comparison: Comparison) -> list[str]:
    """Return what varies but for the seed."""
    return [key for key in comparison.varies if key != "seed"]


def by_count(comparison: Comparison, keys: Iterable[str]) -> list[str]:
    """Return keys in the order of how many values they have, the most first."""
    return sorted(keys, key=lambda key: -len(options(comparison, key)))


def options(comparison: Comparison, key: str) -> list[str]:
    """Return the values of a key in order, "" among them if a setting does without."""
    return sorted({setting.values.get(key, "") for setting in comparison.settings}, key=natural)


def said(key: str, value: str) -> str:
    """Return a value as it is typed; one that is not there is told in words."""
    return f"{key}={value}" if value else f"no {key}"


def numbers(comparison: Comparison, key: str) -> list[float] | None:
    """Return the value of a key in each setting, None unless all are finite numbers."""
    try:
        found = [float(setting.values.get(key, "")) for setting in comparison.settings]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def searched(comparison: Comparison) -> tuple[str, str] | None:
    """Return the two keys of a random search, None of a grid.

    Both are numbers of many values, of which few are met with each other.
    """
    keys = axes(comparison)
    if len(keys) != 2 or not all(numbers(comparison, key) for key in keys):
        return None
    first, second = (len(options(comparison, key)) for key in keys)
    random = first * second >= SPARSE * len(comparison.settings)
    return (keys[0], keys[1]) if min(first, second) >= DISTINCT and random else None


def shortened(values: Sequence[str]) -> list[str]:
    """Return numbers in as few digits as tell them apart, two at the least; names as they are."""
    for digits in range(2, 8):
        found = [short(value, digits) for value in values]
        if len({*found}) == len(values):
            return found
    return [value or "none" for value in values]


def short(value: str, digits: int) -> str:
    """Return a number in so many digits; what is none stays as it is."""
    try:
        return brief(float(value), digits)
    except ValueError:
        return value or "none"
