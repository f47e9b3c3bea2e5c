"""Speed of learning: how many steps a run takes to a level, and the area under its loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from initlab.checks import UserError
from initlab.nn.metrics import Metric
from initlab.tracking.runs import Curve, Run

Floats = NDArray[np.float64]

FIFTIETH = 50  # a running mean is over such a part of a run
HUGE = 1e100  # larger values count as this, so that nothing overflows
MEASURED = (Metric.TRAIN_LOSS, Metric.TEST_ACCURACY)


@dataclass(frozen=True)
class Level:
    """What a metric must reach."""

    metric: Metric
    value: float
    known: WeakKeyDictionary[Run, float | None] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )  # the steps of runs: tables and files ask for them over and over

    @classmethod
    def parse(cls, text: str) -> Level:
        """Read METRIC=VALUE; raises `UserError`."""
        name, _, number = text.partition("=")
        try:
            return cls(next(metric for metric in MEASURED if metric == name), float(number))
        except (StopIteration, ValueError):
            raise UserError(
                f"--level {text}: write train/loss or test/accuracy, and what it must reach, as in "
                "train/loss=0.5"
            ) from None

    @property
    def text(self) -> str:
        """The level as in a title: loss 1.16, 54%."""
        return f"{self.value:.0%}" if self.metric.is_accuracy else f"loss {self.value:.3g}"

    def steps(self, run: Run) -> float | None:
        """Return the step at which a run first passes the level.

        The training loss counts as the running mean that the charts show. Between the steps at
        which the test accuracy was measured, it counts as a straight line. A run that never passes
        the level gets infinity, one without the metric None.
        """
        if run not in self.known:
            self.known[run] = self.find_step(run)
        return self.known[run]

    def find_step(self, run: Run) -> float | None:
        """Return the same, from the curve of the run."""
        if self.metric not in run.curves:
            return None
        steps, values = smooth(run.curves[self.metric], self.metric)
        ahead = (values - self.value) * (1 if self.metric.is_accuracy else -1)
        passed = np.flatnonzero(ahead >= 0)
        if not passed.size:
            return float("inf")
        at = int(passed[0])
        if not at or ahead[at] == ahead[at - 1]:
            return float(steps[at])
        part = ahead[at] / (ahead[at] - ahead[at - 1])
        return float(steps[at] - part * (steps[at] - steps[at - 1]))

    def counted(self, run: Run) -> float | None:
        """Return the same, but the length of the run where it never passes the level.

        So what is compared is finite, and no run seems slower than it may be.
        """
        steps = self.steps(run)
        return float(run.curves[self.metric].steps[-1]) if steps == np.inf else steps


def smooth(curve: Curve, metric: str) -> tuple[Floats, Floats]:
    """Return steps and values as they are drawn: the noisy loss of batches as a running mean."""
    width = smoothing_window(curve) if metric == Metric.TRAIN_LOSS else 1
    values = np.clip(curve.values, -HUGE, HUGE)
    if width == 1:
        return curve.steps.astype(np.float64), values
    kernel = np.full(width, 1 / width)
    return np.convolve(curve.steps, kernel, "valid"), np.convolve(values, kernel, "valid")


def smoothing_window(curve: Curve) -> int:
    """Return over how many steps the running mean is taken."""
    return max(1, len(curve.steps) // FIFTIETH)


def half_way(metric: Metric, settings: Iterable[Sequence[Run]]) -> Level | None:
    """Return the level half of the way from the start of all runs to the best end of a setting.

    None if no run has the metric at two steps, or none gets better. The start is the median over
    the runs, so that a single wild one does not move it.
    """
    found = (
        [run.curves[metric] for run in runs if metric in run.curves and len(run.curves[metric]) > 1]
        for runs in settings
    )
    groups = [curves for curves in found if curves]
    if not groups:
        return None
    start = float(np.median([curve.values[0] for curves in groups for curve in curves]))
    ends = [np.mean([smooth(curve, metric)[1][-1] for curve in curves]) for curves in groups]
    best = float(max(ends) if metric.is_accuracy else min(ends))
    better = best > start if metric.is_accuracy else best < start
    return Level(metric, (start + best) / 2) if better else None


def loss_area(run: Run) -> float | None:
    """Return the area under the training loss over the steps, None without one."""
    curve = run.curves.get(Metric.TRAIN_LOSS)
    return float(np.trapezoid(curve.values, curve.steps)) if curve else None
