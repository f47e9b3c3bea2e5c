"""Scales: from where to where an axis of values reaches, and what is written along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from initlab import figures

Floats = NDArray[np.float64]

DECADES = 12  # of a logarithmic axis at the most
HUGE = 1e100  # what is larger is drawn as this, so that nothing overflows


@dataclass(frozen=True)
class Scale:
    """An axis of values.

    low, high  its ends
    log        whether it is logarithmic
    share      whether it is written in percent
    """

    low: float
    high: float
    log: bool = False
    share: bool = False

    @classmethod
    def of(cls, values: Floats, top: float) -> Scale:
        """Return one that shows values up to a top, over twelve decades at the most."""
        top = min(top, float(values.max()))
        values = np.minimum(values, top)
        positive = values[values > 0]
        if values.min() >= 0 and figures.logarithmic(positive):
            return cls(max(float(positive.min()), top / 10**DECADES) / 1.15, top * 1.15, log=True)
        low = min(0.0, float(values.min()))
        return cls(low, (low + 1.05 * (top - low)) or 1.0)

    def heights(self, values: Floats) -> Floats:
        """Return where values lie, from 0 at the low end to 1 at the high one."""
        if not self.log:
            return (values - self.low) / (self.high - self.low)
        return np.log(np.maximum(values, self.low) / self.low) / math.log(self.high / self.low)

    def near(self, values: Floats) -> Floats:
        """Return values, less what lies so far beyond the ends that it would overflow."""
        below = self.low / 10 if self.low > 0 else 2 * self.low - self.high
        return np.clip(values, below, 10 * self.high)

    def cuts(self, values: Floats) -> bool:
        """Tell whether any values lie beyond the ends."""
        return bool(((values < self.low) | (values > self.high)).any())

    @property
    def ticks(self) -> dict[float, str]:
        """The values that are written along it, and how: few, as they take most of the time."""
        ends = self.low, self.high
        found = decades(*ends) if self.log else MaxNLocator(5).tick_values(*ends)
        return {
            tick: f"{tick:.0%}" if self.share else number(tick)
            for tick in found
            if self.low <= tick <= self.high
        }


SHARES = Scale(0.0, 1.0, share=True)


def step_ticks(last: int, most: int = 5) -> dict[float, str]:
    """Return the same of an axis of steps, about as many as asked for at the most."""
    found = MaxNLocator(most, steps=[1, 2, 5, 10], integer=True).tick_values(0, last)
    return {step: f"{step:,.0f}" for step in found if 0 <= step <= last}


def decades(low: float, high: float) -> list[float]:
    """Return powers of ten between the ends of an axis, or if they are few, numbers between."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    digits = (1, 2, 5) if last - first < 3 else (1,)
    every = math.ceil((last - first) / 7) or 1
    return [digit * 10.0**power for power in range(first, last + 1, every) for digit in digits]


def number(value: float) -> str:
    """Return a number of an axis."""
    power = math.log10(abs(value)) if value else 0.0
    return f"{value:g}" if abs(power) <= 3 or power % 1 else figures.power(power)
