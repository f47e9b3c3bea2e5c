"""A space: what a search may choose each key from."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep

from initlab.checks import is_finite
from initlab.config import ConfigError
from initlab.report.comparison import ordered
from initlab.report.formatting import format_value
from initlab.sweep.plan import Compose, TrialPlan, check, count_values, refuse_large


@dataclass(frozen=True)
class Dimension:
    """What one key is chosen from.

    kind     float, int or choice
    low      the smallest value of a float or an int; `high` is the largest
    step     between two values, None for a continuous range
    log      whether it is sampled on a logarithmic scale
    choices  the values, as typed; empty where they cannot be listed
    """

    key: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()

    @classmethod
    def of(cls, override: Override) -> Dimension:
        """Read the values of a key; raises `ConfigError` if nothing can be chosen from them."""
        key, value = override.get_key_element(), override.value()
        try:
            if isinstance(value, IntervalSweep):
                return interval(key, value)
            if isinstance(value, RangeSweep):
                return steps(key, value)
            choices = (*dict.fromkeys(override.sweep_string_iterator()),)
            if not choices:
                raise ValueError("no value fits")
            if isinstance(value, Sweep) and value.tags:
                raise ValueError("tag(log, …) is for interval and range")
        except ValueError as error:
            raise ConfigError(f"{override.input_line}: {error}") from error
        return cls(key, "choice", choices=choices)

    def text(self, value: Any) -> str:
        """Return a value as it is typed, with every digit."""
        return value if isinstance(value, str) else repr(value)

    @property
    def ends(self) -> tuple[str, ...]:
        """The values to check before a search starts, as typed: all choices, or both ends."""
        number = int if self.kind == "int" else float
        return self.choices or (self.text(number(self.low)), self.text(number(self.high)))

    @property
    def description(self) -> str:
        """The range in words."""
        if self.kind == "choice":
            return ", ".join(self.choices)
        low, high = self.ends
        gaps = (
            f" in steps of {self.step:g}"
            if self.step and (self.kind, self.step) != ("int", 1)
            else ""
        )
        logarithmic = ", logarithmic" * self.log
        return f"{low} to {high}{gaps}{logarithmic}" + " (integers)" * (self.kind == "int")


def interval(key: str, value: IntervalSweep) -> Dimension:
    """Return the dimension of interval(a,b), of int(interval(a,b)) that of its integers."""
    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    log = refuse_ends(low, high, value.tags)
    kind = "int" if isinstance(low, int) and isinstance(high, int) else "float"
    return Dimension(key, kind, low, high, 1 if kind == "int" else None, log)


def steps(key: str, value: RangeSweep) -> Dimension:
    """Return the dimension of range(a,b,step), which excludes b, as in Hydra."""
    values = [*value.range()]
    if not values:
        raise ValueError("no value fits")
    low, high, step = min(values), max(values), abs(value.step)
    log = refuse_ends(low, high, value.tags)
    integers = all(isinstance(each, int) for each in values)
    if log and not (integers and step == 1):
        raise ValueError("a logarithmic range has integers in steps of 1; take an interval")
    choices = tuple(map(str, values)) if integers and not log else ()
    return Dimension(key, "int" if integers else "float", low, high, step, log, choices)


def refuse_ends(low: float, high: float, tags: Iterable[str]) -> bool:
    """Return whether a range is logarithmic; raises `ValueError` if it cannot be."""
    if unknown := {*tags} - {"log"}:
        raise ValueError(f"the only tag is log; got {', '.join(sorted(unknown))}")
    if not (is_finite(low) and is_finite(high) and low <= high):
        raise ValueError("the ends must be finite numbers, the lower one first")
    if tags and low <= 0:
        raise ValueError(f"the ends of a logarithmic range must be greater than 0; got {low:g}")
    return bool(tags)


class Space:
    """All dimensions, and what is fixed beside them.

    fixed  overrides, as typed
    limit  how many values a key may have, and how many combinations a grid
    """

    def __init__(self, overrides: Sequence[Override], limit: int) -> None:
        last = {override.key_or_group: override for override in overrides}
        swept = {key: each for key, each in last.items() if each.is_sweep_override()}
        for key, each in swept.items():
            if each.is_discrete_sweep():
                refuse_large({key: count_values(each)}, limit)
        self.limit = limit
        self.dimensions = [Dimension.of(swept[key]) for key in ordered(swept)]
        self.fixed = [str(each.input_line) for key, each in last.items() if key not in swept]
        if not self.dimensions:
            raise ConfigError(
                "there is nothing to search: give a key an interval, a range or choices, such as "
                "'optimizer.lr=tag(log,interval(1e-4,1))'"
            )

    @property
    def combinations(self) -> list[dict[str, Any]]:
        """All points of a grid; raises `ConfigError` if they cannot be listed, or are too many."""
        for each in self.dimensions:
            if not each.choices:
                raise ConfigError(
                    f"{each.key}: hydra.sweeper.sampler=grid needs values that can be listed, as "
                    f"in choice(0.1,0.01) or range(1,10); got {each.description}"
                )
        refuse_large({each.key: len(each.choices) for each in self.dimensions}, self.limit)
        values = [[self.value(each, text) for text in each.choices] for each in self.dimensions]
        keys = [each.key for each in self.dimensions]
        return [dict(zip(keys, point)) for point in itertools.product(*values)]

    def value(self, dimension: Dimension, text: str) -> Any:
        """Return a choice as a study keeps it."""
        return int(text) if dimension.kind == "int" else text

    def texts(self, point: Mapping[str, Any]) -> dict[str, str]:
        """Return a point as it is typed."""
        return {each.key: each.text(point[each.key]) for each in self.dimensions}

    def overrides(self, point: Mapping[str, Any]) -> list[str]:
        """Return the overrides that run a point."""
        return [*self.fixed, *(f"{key}={text}" for key, text in self.texts(point).items())]

    def name(self, texts: Mapping[str, str]) -> str:
        """Return a short name of a point, with the last word of each key where that is unique."""
        last = [key.rpartition(".")[2] for key in texts]
        plain = len({*last}) == len(last)
        keys = last if plain else [*texts]
        return " ".join(f"{key}={format_value(text)}" for key, text in zip(keys, texts.values()))

    @property
    def longest(self) -> int:
        """The length of the longest name."""
        texts = {
            each.key: max(map(format_value, each.choices), key=len, default="-1.234e-05")
            for each in self.dimensions
        }
        return len(self.name(texts))

    def checked(self, compose: Compose) -> list[TrialPlan]:
        """Return trials at both ends of each dimension, or raise `ConfigError` if one cannot run.

        The first has the first end of all; each other differs from it in one key.
        """
        first = {each.key: each.ends[0] for each in self.dimensions}
        return [
            check(
                " ".join(f"{key}={text}" for key, text in point.items()),
                [*self.fixed, *(f"{key}={text}" for key, text in point.items())],
                compose,
            )
            for point in self.corners(first)
        ]

    def corners(self, first: dict[str, str]) -> Iterator[dict[str, str]]:
        """Yield a point, and those that differ from it in one end."""
        yield first
        for each in self.dimensions:
            for end in each.ends[1:]:
                yield first | {each.key: end}

    @property
    def plain(self) -> list[dict[str, Any]]:
        """The dimensions as plain values."""
        return [asdict(each) for each in self.dimensions]
