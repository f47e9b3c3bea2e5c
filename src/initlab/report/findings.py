"""Findings: what the runs of a published experiment say of the claims of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from initlab.report.comparison import Comparison, Setting
from initlab.tracking.runs import Curve, Run


@dataclass(frozen=True)
class Finding:
    """A claim, whether it holds here, and by what that was measured, in words."""

    claim: str
    holds: bool
    measured: str

    @property
    def word(self) -> str:
        """What became of the claim."""
        return "holds" if self.holds else "not here"


class MissingError(LookupError):
    """There is no run that a claim speaks of."""


Claim = Callable[[Comparison], Finding]


def pick(comparison: Comparison, **values: str) -> Setting:
    """Return the one setting whose runs have these params, at least one of them finished."""
    found = [
        setting
        for setting in comparison.settings
        if setting.finished and values.items() <= setting.runs[0].params.items()
    ]
    if len(found) != 1:
        raise MissingError(values)
    return found[0]


def by_value(settings: Iterable[Setting], key: str) -> dict[float, Setting]:
    """Return finished settings by the number that a key has, ascending; those without it left out.

    Raises `MissingError` if there are not two, or if two have the same.
    """
    found = [
        (float(setting.runs[0].params[key]), setting)
        for setting in settings
        if setting.finished and key in setting.runs[0].params
    ]
    numbers = dict(sorted(found, key=lambda pair: pair[0]))
    if len(numbers) < 2 or len(numbers) != len(found):
        raise MissingError(key)
    return numbers


def mean(setting: Setting, measure: Callable[[Run], float | None]) -> float:
    """Return the mean of something over the finished runs of a setting, which all must have it."""
    values = [measure(run) for run in setting.finished]
    if not values or None in values:
        raise MissingError(setting.name)
    return float(np.mean(np.array(values, float)))


def loss(setting: Setting) -> float:
    """Return the mean training loss at the end."""
    return mean(setting, lambda run: run.loss)


def paired(first: Setting, second: Setting) -> list[tuple[float, float]]:
    """Return the training losses of two settings by seed: the same seed has the same batches."""
    found = [
        (one.loss, other.loss)
        for one in first.finished
        for other in second.finished
        if one.params.get("seed") == other.params.get("seed")
    ]
    pairs = [(one, other) for one, other in found if one is not None and other is not None]
    if not pairs:
        raise MissingError(first.name, second.name)
    return pairs


def accuracy(setting: Setting) -> float:
    """Return the mean test accuracy at the end."""
    return last(setting, "test/accuracy")


def last(setting: Setting, metric: str) -> float:
    """Return the mean of the last value of a metric."""
    return mean(setting, lambda run: run.metrics.get(metric))


def curve(run: Run, metric: str) -> Curve:
    """Return a metric of a run by step."""
    if metric not in run.curves:
        raise MissingError(metric)
    return run.curves[metric]


def early(setting: Setting, first: int, end: int) -> float:
    """Return the mean training loss over the steps from `first` to before `end`."""

    def measure(run: Run) -> float | None:
        losses = curve(run, "train/loss")
        inside = losses.values[(losses.steps >= first) & (losses.steps < end)]
        return float(inside.mean()) if inside.size else None

    return mean(setting, measure)


def reached(setting: Setting, bar: float) -> float:
    """Return the mean of the first steps with a training loss below a bar, inf if one has none."""

    def measure(run: Run) -> float:
        losses = curve(run, "train/loss")
        below = losses.steps[losses.values < bar]
        return float(below[0]) if below.size else np.inf

    return mean(setting, measure)
