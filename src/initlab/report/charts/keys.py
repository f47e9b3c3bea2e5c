"""Keys: what varies between the settings of a comparison, and the values that it takes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from initlab.report.comparison import Comparison, natural

DISTINCT = 5  # a random search has at least so many values of each key
SPARSE = 3  # and its full grid would have so many times as many points


def varied_keys(comparison: Comparison) -> list[str]:
    """Return the keys that vary, without the seed."""
    return [key for key in comparison.varies if key != "seed"]


def most_values_first(comparison: Comparison, keys: Iterable[str]) -> list[str]:
    """Sort keys by how many values they have."""
    return sorted(keys, key=lambda key: -len(values_of(comparison, key)))


def values_of(comparison: Comparison, key: str) -> list[str]:
    """Return the values of a key in order, "" among them if a setting does without the key."""
    return sorted({setting.values.get(key, "") for setting in comparison.settings}, key=natural)


def assignment(key: str, value: str) -> str:
    """Return key=value, or "no key" if there is no value."""
    return f"{key}={value}" if value else f"no {key}"


def numeric_values(comparison: Comparison, key: str) -> list[float] | None:
    """Return the value of a key in each setting, None unless all are finite numbers."""
    try:
        found = [float(setting.values.get(key, "")) for setting in comparison.settings]
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None


def search_keys(comparison: Comparison) -> tuple[str, str] | None:
    """Return the two keys of a random search, None if the settings are a grid.

    In a search both keys are numbers with many values, and few pairs of them occur.
    """
    keys = varied_keys(comparison)
    if len(keys) != 2 or not all(numeric_values(comparison, key) for key in keys):
        return None
    first, second = (len(values_of(comparison, key)) for key in keys)
    sparse = first * second >= SPARSE * len(comparison.settings)
    return (keys[0], keys[1]) if min(first, second) >= DISTINCT and sparse else None
