"""Scales: the range of an axis, and its ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from initlab import figures
from initlab.report.speed import HUGE as HUGE

Floats = NDArray[np.float64]

DECADES = 12  # of a logarithmic axis at the most


@dataclass(frozen=True)
class Scale:
    """An axis of values.

    low, high  its ends
    log        whether it is logarithmic
    share      whether its ticks are in percent
    """

    low: float
    high: float
    log: bool = False
    share: bool = False

    @classmethod
    def of(cls, values: Floats, top: float) -> Scale:
        """Return a scale that shows values up to a top, over twelve decades at the most."""
        top = min(top, float(values.max()))
        values = np.minimum(values, top)
        positive = values[values > 0]
        if values.min() >= 0 and figures.logarithmic(positive):
            return cls(max(float(positive.min()), top / 10**DECADES) / 1.15, top * 1.15, log=True)
        low = min(0.0, float(values.min()))
        return cls(low, (low + 1.05 * (top - low)) or 1.0)

    @classmethod
    def around(cls, values: Floats) -> Scale:
        """Return a scale that shows all values, with a margin."""
        low, high = float(values.min()), float(values.max())
        if figures.logarithmic(values):
            margin = (high / low) ** 0.04
            return cls(low / margin, high * margin, log=True)
        margin = 0.04 * (high - low)
        return cls(low - margin, high + margin)

    def fractions(self, values: Floats) -> Floats:
        """Return where values lie, from 0 at the low end to 1 at the high one."""
        if not self.log:
            return (values - self.low) / (self.high - self.low)
        return np.log(np.maximum(values, self.low) / self.low) / math.log(self.high / self.low)

    def clip(self, values: Floats) -> Floats:
        """Return values, clipped far beyond the ends, where drawing them would overflow."""
        below = self.low / 10 if self.low > 0 else 2 * self.low - self.high
        return np.clip(values, below, 10 * self.high)

    def cuts_off(self, values: Floats) -> bool:
        """Return whether any values lie beyond the ends."""
        return bool(((values < self.low) | (values > self.high)).any())

    def apply(self, panel: Axes, name: str) -> None:
        """Give the axis "x" or "y" of a panel this range, and a few ticks."""
        panel.set(**{f"{name}scale": "log" if self.log else "linear"})
        panel.set(**{f"{name}lim": (self.low, self.high)})
        axis = panel.xaxis if name == "x" else panel.yaxis
        axis.set_major_locator(self.locator)
        if self.log:
            axis.set_major_formatter(log_label)
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_formatter("{x:.0%}" if self.share else "{x:g}")

    @property
    def locator(self) -> Locator:
        """What places a few ticks."""
        if self.log:
            digits = (1, 2, 5) if self.high < 100 * self.low else (1,)
            return LogLocator(subs=digits, numticks=8)
        return MaxNLocator(6, steps=[1, 2, 5, 10])

    @property
    def ticks(self) -> dict[float, str]:
        """Ticks within the range, and their labels."""
        places = self.locator.tick_values(self.low, self.high)
        inside = [float(each) for each in places if self.low <= each <= self.high]
        if self.log:
            return {each: log_label(each) for each in inside}
        return {each: f"{each:.0%}" if self.share else f"{each:g}" for each in inside}


SHARES = Scale(0.0, 1.02, share=True)


def label_steps(panel: Axes, last: int, ticks: int = 6) -> None:
    """Give a panel an axis of steps, with about so many ticks."""
    panel.set_xlim(-0.01 * (last or 1), 1.01 * (last or 1))
    panel.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=True))
    panel.xaxis.set_major_formatter("{x:,.0f}")


def log_label(value: float, _: float = 0) -> str:
    """Return the label of a tick of a logarithmic axis."""
    power = math.log10(value)
    return f"{value:g}" if abs(power) <= 3 or power % 1 else figures.power(power)
