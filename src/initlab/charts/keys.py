"""Keys: what varies between the settings of a comparison, and the values that it takes."""

from __future__ import annotations

from collections.abc import Iterable

from initlab.comparison import Comparison, natural


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
