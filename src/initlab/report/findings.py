"""Findings: whether runs confirm a claim, and what claims are computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from initlab.nn.metrics import Metric
from initlab.report.comparison import SEED, Comparison, Setting
from initlab.report.formatting import format_p
from initlab.report.statistics import compare_pairs
from initlab.tracking.runs import Curve, Run

DEPTH = "model.depth"  # the key of the number of hidden layers


@dataclass(frozen=True)
class Finding:
    """A claim of a source, whether it holds here, and the measurement in words."""

    claim: str
    holds: bool
    measured: str

    @property
    def word(self) -> str:
        """Whether the claim holds, for a table."""
        return "holds" if self.holds else "does not hold"


class MissingRunsError(LookupError):
    """The runs that a claim is about are missing."""


Claim = Callable[[Comparison], Finding]


def pick(comparison: Comparison, **values: str) -> Setting:
    """Return the only setting with these params and a finished run."""
    found = [
        setting
        for setting in comparison.settings
        if setting.finished and values.items() <= setting.runs[0].params.items()
    ]
    if len(found) != 1:
        raise MissingRunsError(values)
    return found[0]


def by_value(settings: Iterable[Setting], key: str) -> dict[float, Setting]:
    """Return the settings with finished runs by their value of a numeric key, ascending.

    Raises `MissingRunsError` if there are fewer than two, or if two have the same value.
    """
    found = [
        (float(setting.runs[0].params[key]), setting)
        for setting in settings
        if setting.finished and key in setting.runs[0].params
    ]
    numbers = dict(sorted(found, key=lambda pair: pair[0]))
    if len(numbers) < 2 or len(numbers) != len(found):
        raise MissingRunsError(key)
    return numbers


def depth_scale(setting: Setting) -> float | None:
    """Return the depth scale ξ_c that is predicted for a setting, None where there is none."""
    found = [run.depth_scale for run in setting.runs if run.depth_scale is not None]
    return float(np.mean(found)) if found else None


def mean_over_runs(setting: Setting, measure: Callable[[Run], float | None]) -> float:
    """Return the mean of a measure over the finished runs of a setting; all must have it."""
    values = [measure(run) for run in setting.finished]
    if not values or None in values:
        raise MissingRunsError(setting.name)
    return float(np.mean(np.array(values, float)))


def loss(setting: Setting) -> float:
    """Return the mean training loss at the end."""
    return mean_over_runs(setting, loss_of)


def certainty(
    better: Setting,
    other: Setting,
    measure: Callable[[Run], float | None],
    higher: bool = True,
) -> str:
    """Say how many seeds agree that one setting is better than another, and what they can carry.

    A run whose number is infinite does not count.
    """

    def finite(run: Run) -> float | None:
        value = measure(run)
        return value if value is not None and np.isfinite(value) else None

    (paired,) = compare_pairs([(better.by_seed(finite), other.by_seed(finite))], higher)
    if paired is None:
        return "no common seed, so that chance may explain it"
    if paired.n == 1:
        return "one seed, so that chance may explain it"
    words = f"{paired.wins} of {paired.n} seeds, p {format_p(paired.p)}"
    if paired.decidable:
        return words
    least = 2.0 ** (1 - paired.n)
    if paired.p > least:
        return f"{words} (with {paired.n} seeds p is {least:g} at least)"
    return f"{words}, the least that {paired.n} seeds can give"


def paired_losses(first: Setting, second: Setting) -> list[tuple[float, float]]:
    """Return the final losses of two settings, paired by seed: the same seed, the same batches."""
    found = [
        (one.loss, other.loss)
        for one in first.finished
        for other in second.finished
        if one.params.get(SEED) == other.params.get(SEED)
    ]
    pairs = [(one, other) for one, other in found if one is not None and other is not None]
    if not pairs:
        raise MissingRunsError(first.name, second.name)
    return pairs


def accuracy(setting: Setting) -> float:
    """Return the mean test accuracy at the end."""
    return last(setting, Metric.TEST_ACCURACY)


def last(setting: Setting, metric: str) -> float:
    """Return the mean of the last value of a metric."""
    return mean_over_runs(setting, lambda run: run.metrics.get(metric))


def curve_of(run: Run, metric: str) -> Curve:
    """Return a metric of a run by step."""
    if metric not in run.curves:
        raise MissingRunsError(metric)
    return run.curves[metric]


def loss_between(setting: Setting, start: int, end: int) -> float:
    """Return the mean training loss over the steps from `start` to before `end`."""

    return mean_over_runs(setting, mean_loss(start, end))


def mean_loss(start: int, end: int) -> Callable[[Run], float | None]:
    """Return the measure of a run's mean training loss from a step to before another."""

    def measure(run: Run) -> float | None:
        losses = curve_of(run, Metric.TRAIN_LOSS)
        inside = losses.values[(losses.steps >= start) & (losses.steps < end)]
        return float(inside.mean()) if inside.size else None

    return measure


def steps_to_loss(setting: Setting, limit: float) -> float:
    """Return the mean of the first steps with a loss below a limit, inf if a run has none."""
    return mean_over_runs(setting, first_below(limit))


def first_below(limit: float) -> Callable[[Run], float]:
    """Return the measure of the first step at which a run's loss is below a limit, else inf."""

    def measure(run: Run) -> float:
        losses = curve_of(run, Metric.TRAIN_LOSS)
        below = losses.steps[losses.values < limit]
        return float(below[0]) if below.size else np.inf

    return measure


def loss_of(run: Run) -> float | None:
    """Return the final training loss of a run."""
    return run.loss


def accuracy_of(run: Run) -> float | None:
    """Return the final test accuracy of a run."""
    return run.accuracy
