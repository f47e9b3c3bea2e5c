"""Curves: a metric over the steps, averaged over the runs of a setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from initlab.nn.metrics import Metric
from initlab.report.charts.scales import HUGE, SHARES, Floats, Scale
from initlab.report.charts.styles import THIN, Style
from initlab.report.comparison import Comparison, Setting
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Curve, Run

FIFTIETH = 50  # a running mean is over such a part of a run
POINTS = 600  # of a line, about as many as it has pixels
MARKED = 30  # points of a line up to which each is marked
BEYOND = 10.0  # the axis reaches at most so many times as high as the runs that finished
HELD_OUT = (Metric.VALIDATION_ACCURACY, Metric.TEST_ACCURACY)  # in order of preference
BANDED = "Line: mean over the runs of a setting; band: from the lowest to the highest of them."
ALIKE = 0.01  # lines closer than this share of the axis cannot be told apart


@dataclass(frozen=True, eq=False)
class MeanCurve:
    """A metric over the steps in the runs of a setting.

    steps            (S,)
    mean, low, high  of the runs that finished: (S,), empty if none did
    unfinished       each of the other runs with its steps and values
    """

    setting: Setting
    steps: Floats
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
        values = [np.interp(steps, *one, left=np.nan, right=np.nan) for one in done] or [steps]
        return cls(
            setting,
            steps,
            np.nanmean(values, axis=0),
            np.nanmin(values, axis=0),
            np.nanmax(values, axis=0),
            [(run, *points) for run, points in found.items()],
        )

    def plot(
        self, panel: Axes, style: Style, scale: Scale, banded: bool = True, marked: int = MARKED
    ) -> None:
        """Draw the mean, a band around it and the unfinished runs.

        marked  how many points a line may have for each to be marked
        """
        if self.mean.size:
            marker = "o" if style.own and len(self.steps) <= marked else ""
            mean = scale.clip(self.mean)
            panel.plot(self.steps, mean, marker=marker, markersize=2.5, **style.line)
            if banded and len(self.setting.finished) > 1:
                low, high = scale.clip(self.low), scale.clip(self.high)
                panel.fill_between(self.steps, low, high, color=style.color, alpha=0.2, lw=0)
        for run, steps, values in self.unfinished:
            panel.plot(steps, scale.clip(values), **style.line | {"linewidth": THIN})
            if run.outcome != Outcome.RUNNING:
                end = np.clip(values[-1:], scale.low, scale.high)
                panel.plot(steps[-1:], end, "x", color=style.color, markersize=5, clip_on=False)


def smooth(curve: Curve, metric: Metric) -> tuple[Floats, Floats]:
    """Return steps and values as they are drawn: the noisy loss of batches as a running mean."""
    width = smoothing_window(curve) if metric == Metric.TRAIN_LOSS else 1
    kernel = np.full(width, 1 / width)
    values = np.clip(curve.values, -HUGE, HUGE)
    return np.convolve(curve.steps, kernel, "valid"), np.convolve(values, kernel, "valid")


def smoothing_window(curve: Curve) -> int:
    """Return over how many steps the running mean is taken."""
    return max(1, len(curve.steps) // FIFTIETH)


def mean_curves(comparison: Comparison, metric: Metric) -> list[MeanCurve]:
    """Return the curve of each setting that has a metric, the best first."""
    found = (MeanCurve.of(setting, metric) for setting in comparison.ranked)
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
            for values in (curve.low, curve.high, *(each for *_, each in curve.unfinished))
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
    ends = [value for each in curves for value in each.high[-1:]]
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
