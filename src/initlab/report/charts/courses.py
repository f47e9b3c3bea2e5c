"""Courses: what a metric did in the runs of each setting, averaged as it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from initlab.report.charts.scales import HUGE, SHARES, Floats, Scale
from initlab.report.comparison import Comparison, Setting
from initlab.tracking.runs import Curve, Run

FIFTIETH = 50  # a running mean is over such a part of a run
POINTS = 600  # of a line, about as many as it has pixels
BEYOND = 10.0  # times the highest that finished, up to where the others are shown
HELD_OUT = ("validation/accuracy", "test/accuracy")  # the first that a setting has
BANDED = "Line: mean over the runs of a setting; band: from the lowest to the highest of them."
ALIKE = 0.01  # of the axis that lines are apart which cannot be told from each other


@dataclass(frozen=True, eq=False)
class Course:
    """What a metric did in the runs of a setting.

    steps            (S,)
    mean, low, high  of the runs that finished: (S,), empty if none did
    broken           each of the others with its steps and values
    """

    setting: Setting
    steps: Floats
    mean: Floats
    low: Floats
    high: Floats
    broken: list[tuple[Run, Floats, Floats]]

    @classmethod
    def of(cls, setting: Setting, metric: str) -> Course:
        """Average the runs of a setting, which may have steps of their own."""
        found = {
            run: line(run.curves[metric], metric) for run in setting.runs if metric in run.curves
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


def line(curve: Curve, metric: str) -> tuple[Floats, Floats]:
    """Return steps and values as they are drawn: of the noisy loss of batches, a running mean."""
    width = window(curve) if metric == "train/loss" else 1
    kernel = np.full(width, 1 / width)
    values = np.clip(curve.values, -HUGE, HUGE)
    return np.convolve(curve.steps, kernel, "valid"), np.convolve(values, kernel, "valid")


def window(curve: Curve) -> int:
    """Return over how many steps the mean runs."""
    return max(1, len(curve.steps) // FIFTIETH)


def courses(comparison: Comparison, metric: str) -> list[Course]:
    """Return the course of a metric in each setting that has it, the best first."""
    found = (Course.of(setting, metric) for setting in comparison.ranked)
    return [course for course in found if course.mean.size or course.broken]


def held_out(setting: Setting) -> str:
    """Return the metric that tells how well a setting does on what it was not trained on."""
    known = {name for run in setting.runs for name in run.curves}
    return next((name for name in HELD_OUT if name in known), HELD_OUT[-1])


def values_of(found: Iterable[Course]) -> Floats:
    """Return all values that are drawn."""
    return np.concatenate(
        [
            values
            for course in found
            for values in (course.low, course.high, *(each for *_, each in course.broken))
        ]
    )


def scale_of(found: Sequence[Course], metric: str) -> Scale:
    """Return the axis of some courses.

    On it lies where the runs that finish start and end. What comes between, and the others, may
    rise to ten times as high.
    """
    if metric.endswith("/accuracy"):
        return SHARES
    runs = [run for each in found for run in each.setting.runs if metric in run.curves]
    done = [run for run in runs if run.outcome == "finished"]
    starts = [run.curves[metric].values[0] for run in done or runs]
    ends = [value for each in found for value in each.high[-1:]]
    ends = [value for value in ends if value <= BEYOND * max(starts)]  # or one would hide the rest
    most = BEYOND * min(float(max(starts + ends)), HUGE)
    return Scale.of(values_of(found), most if most > 0 else math.inf)


def covered(found: Sequence[Course], scale: Scale) -> str:
    """Say which settings cannot be seen because a better one looks the same, "" if all can."""
    lines = [each for each in found if each.mean.size]
    words = []
    for place, course in enumerate(lines):
        own = scale.heights(scale.near(course.mean))
        for better in lines[:place]:
            other = np.interp(course.steps, better.steps, scale.heights(scale.near(better.mean)))
            if np.abs(own - other).max() < ALIKE:
                words.append(f"{course.setting.name} lies behind {better.setting.name}.")
                break
    return " ".join(words)
