"""Curves: a metric over the steps, averaged over the runs of a setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from matplotlib.axes import Axes

from initlab.nn.metrics import Metric
from initlab.report.charts.scales import HUGE, SHARES, Floats, Scale
from initlab.report.charts.styles import THIN, Style
from initlab.report.comparison import MOST_RUNS, Comparison, Setting
from initlab.report.speed import smooth
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Run

POINTS = 600  # of a line, about as many as it has pixels
MARKED = 30  # points of a line up to which each is marked
BEYOND = 10.0  # the axis reaches at most so many times as high as the runs that finished
HELD_OUT = (Metric.VALIDATION_ACCURACY, Metric.TEST_ACCURACY)  # in order of preference
BANDED = "Line: mean over the runs of a setting. Band: 95 % interval of that mean (Student's t)."
SINGLES = "Thin lines: single runs."
PALE = 0.35  # the opacity of a single run
ALIKE = 0.01  # lines closer than this share of the axis cannot be told apart


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """A metric over the steps in the runs of a setting.

    steps       (S,)
    runs        the values of the runs that finished (R, S), NaN where one has none; R may be 0
    mean        over these runs: (S,), empty if none finished
    low, high   the 95 % interval of the mean, by Student's t; the mean itself where one run is left
    unfinished  each of the other runs with its steps and values; of many, the first ones
    """

    setting: Setting
    steps: Floats
    runs: Floats
    mean: Floats
    low: Floats
    high: Floats
    unfinished: list[tuple[Run, Floats, Floats]]

    @classmethod
    def of(cls, setting: Setting, metric: Metric) -> MeanCurve:
        """Average the runs of a setting, whose steps may differ."""
        found = {
            run: smooth(run.curves[metric], metric) for run in setting.runs if metric in run.curves
        }
        done = [found.pop(run) for run in setting.finished if run in found]
        steps = np.unique(np.concatenate([steps for steps, _ in done] or [np.empty(0)]))
        if len(steps) > POINTS:
            steps = steps[np.linspace(0, len(steps) - 1, POINTS).round().astype(np.intp)]
        values = np.empty((len(done), len(steps)))
        for row, one in zip(values, done):
            row[:] = np.interp(steps, *one, left=np.nan, right=np.nan)
        mean = np.nanmean(values, axis=0) if done else np.empty(0)
        half = half_interval(values) if done else np.empty(0)
        unfinished = [(run, *points) for run, points in islice(found.items(), MOST_RUNS)]
        return cls(setting, steps, values, mean, mean - half, mean + half, unfinished)

    def plot(
        self,
        panel: Axes,
        style: Style,
        scale: Scale,
        banded: bool = True,
        marked: int = MARKED,
        singles: bool = False,
    ) -> None:
        """Draw the mean, a band around it and the unfinished runs.

        marked   how many points a line may have for each to be marked
        singles  whether the single runs are drawn behind the mean
        """
        if self.mean.size:
            marker = "o" if style.own and len(self.steps) <= marked else ""
            mean = scale.clip(self.mean)
            panel.plot(self.steps, mean, marker=marker, markersize=2.5, **style.line)
            if singles and len(self.runs) > 1:
                singly = scale.clip(self.runs[:MOST_RUNS]).T
                panel.plot(self.steps, singly, color=style.color, lw=THIN, alpha=PALE, zorder=1.5)
            if banded and len(self.runs) > 1:
                low, high = scale.clip(self.low), scale.clip(self.high)
                panel.fill_between(self.steps, low, high, color=style.color, alpha=0.2, lw=0)
        for run, steps, values in self.unfinished:
            panel.plot(steps, scale.clip(values), **style.line | {"linewidth": THIN})
            if run.outcome != Outcome.RUNNING:
                end = np.clip(values[-1:], scale.low, scale.high)
                panel.plot(steps[-1:], end, "x", color=style.color, markersize=5, clip_on=False)


def half_interval(values: Floats) -> Floats:
    """Return half the width of the 95 % interval of the mean of R runs (R, S) at each step: (S,).

    It is 0 where only one run has a value.
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    count = np.isfinite(values).sum(axis=0)
    several = count > 1
    half = np.zeros(values.shape[1])
    if several.any():
        std = np.nanstd(values[:, several], axis=0, ddof=1)
        half[several] = stdtrit(count[several] - 1, 0.975) * std / np.sqrt(count[several])
    return half


def mean_curves(comparison: Comparison, metric: Metric) -> list[MeanCurve]:
    """Return the curve of each setting in pictures that has a metric, the best first."""
    found = (MeanCurve.of(setting, metric) for setting in comparison.pictured)
    return [curve for curve in found if curve.mean.size or curve.unfinished]


def held_out(setting: Setting) -> Metric:
    """Return the metric of a setting on examples that it was not trained on."""
    known = {name for run in setting.runs for name in run.curves}
    return next((name for name in HELD_OUT if name in known), HELD_OUT[-1])


def drawn_values(curves: Iterable[MeanCurve]) -> Floats:
    """Return all values that are drawn."""
    return np.concatenate(
        [
            values
            for curve in curves
            for values in (
                curve.runs[np.isfinite(curve.runs)],
                *(each for *_, each in curve.unfinished),
            )
        ]
    )


def value_scale(curves: Sequence[MeanCurve], metric: Metric) -> Scale:
    """Return the scale of the values of some curves.

    It shows where the runs that finished start and end. Anything else may reach ten times as high;
    what is higher is cut.
    """
    if metric.is_accuracy:
        return SHARES
    runs = [run for each in curves for run in each.setting.runs if metric in run.curves]
    done = [run for run in runs if run.outcome == Outcome.FINISHED]
    starts = [run.curves[metric].values[0] for run in done or runs]
    ends = [float(np.nanmax(each.runs[:, -1])) for each in curves if each.mean.size]
    ends = [value for value in ends if value <= BEYOND * max(starts)]  # or one would hide the rest
    most = BEYOND * min(float(max(starts + ends)), HUGE)
    return Scale.of(drawn_values(curves), most if most > 0 else math.inf)


def hidden_curves(curves: Sequence[MeanCurve], scale: Scale) -> str:
    """Say which settings lie behind a better one that looks the same, "" if none does."""
    lines = [each for each in curves if each.mean.size]
    found = []
    for place, curve in enumerate(lines):
        own = scale.fractions(scale.clip(curve.mean))
        for better in lines[:place]:
            other = scale.fractions(scale.clip(better.mean))
            if np.abs(own - np.interp(curve.steps, better.steps, other)).max() < ALIKE:
                found.append(f"{curve.setting.name} lies behind {better.setting.name}.")
                break
    return " ".join(found)
