"""Plots: lines over an axis as SVG, and for the script of the page what a read-out says of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

from initlab.report.charts.scales import Floats, Scale
from initlab.report.charts.styles import Style

WIDTH, HEIGHT = 440, 270  # pixels on a phone; a wider window scales them
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 8, 36
POINTS = 200  # of a line


@dataclass(frozen=True, eq=False)
class Line:
    """One line, and all that is switched on and off with it.

    x, y          its points (N,); NaN in y for none
    texts         what the read-out says of each point; none for a line without a read-out
    low, high     the band around it (N,), empty for none
    singles       thin lines behind it, each x and y
    broken        thin lines that end with a cross, each x and y
    open, filled  points at x that are drawn as circles and dots, empty for none
    """

    name: str
    style: Style
    x: Floats
    y: Floats
    texts: Sequence[str] = ()
    low: Floats = field(default_factory=lambda: np.empty(0))
    high: Floats = field(default_factory=lambda: np.empty(0))
    singles: Sequence[tuple[Floats, Floats]] = ()
    broken: Sequence[tuple[Floats, Floats]] = ()
    open: Floats = field(default_factory=lambda: np.empty(0))
    filled: Floats = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, eq=False)
class Plot:
    """A plot.

    name     of the plot, for ids
    title    its subject
    label    of the horizontal axis, and `unit` of what the read-out is at: step 100
    lines    the best first, which is drawn above the others
    scale    of the vertical axis
    ends     of the horizontal axis
    best     which end of the vertical axis is better: "high", "low", "" for neither
    folded   whether the page has it out of sight at first
    """

    name: str
    title: str
    label: str
    unit: str
    lines: Sequence[Line]
    scale: Scale
    ends: tuple[float, float]
    caption: str
    alt: str
    best: str = ""
    folded: bool = False

    @property
    def svg(self) -> Markup:
        """The picture."""
        parts = [
            f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" '
            f'aria-label="{escape(self.alt)}" data-plot="{self.name}">',
            f'<clipPath id="clip-{self.name}"><rect x="{LEFT}" y="{TOP - 3}" '
            f'width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM + 6}"/></clipPath>',
            *self.axes(),
            f'<g clip-path="url(#clip-{self.name})">',
        ]
        for number in range(len(self.lines) - 1, -1, -1):
            parts += self.drawn(number)
        return Markup("".join([*parts, "</g></svg>"]))

    def axes(self) -> Iterable[str]:
        """Yield the grid, the ticks and the labels of both axes."""
        bottom = HEIGHT - BOTTOM
        for value, text in self.scale.ticks.items():
            y = float(self.y(np.array([value]))[0])
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            yield f'<text class="tick end" x="{LEFT - 6}" y="{y + 4:.1f}">{text}</text>'
        ticks = MaxNLocator(6, steps=[1, 2, 5, 10], integer=True).tick_values(*self.ends)
        for value in (each for each in ticks if self.ends[0] <= each <= self.ends[1]):
            x = float(self.x(np.array([value]))[0])
            yield f'<path class="axis" d="M{x:.1f} {bottom}v4"/>'
            yield (
                f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">'
                f"{value:,.0f}</text>"
            )
        yield f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}"/>'
        yield (
            f'<text class="label" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">'
            f"{escape(self.label)}</text>"
        )

    def x(self, values: Floats) -> Floats:
        """Return where values are from the left, in pixels."""
        low, high = self.ends
        share = (values - low) / (high - low) if high > low else np.full(np.shape(values), 0.5)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, values: Floats) -> Floats:
        """Return where values are from the top, in pixels."""
        bottom = HEIGHT - BOTTOM
        return bottom - self.scale.fractions(self.scale.clip(values)) * (bottom - TOP)

    def drawn(self, number: int) -> Iterable[str]:
        """Yield a line with its band, the lines behind it and its points."""
        line = self.lines[number]
        style = line.style
        color = f'stroke="{style.color}" fill="none"'
        yield f'<g data-line="{number}">'
        for x, y in line.singles:
            yield f'<path {color} stroke-width=".6" opacity=".4" d="{self.path(x, y)}"/>'
        for x, y in line.broken:
            path = self.path(x, y)
            if path:
                at, height = float(self.x(x[-1:])[0]), float(self.y(y[-1:])[0])
                height = min(max(height, TOP), HEIGHT - BOTTOM)
                cross = f"M{at - 3:.1f} {height - 3:.1f}l6 6m0 -6l-6 6"
                yield f'<path {color} stroke-width=".8" d="{path}"/>'
                yield f'<path {color} stroke-width="1.2" d="{cross}"/>'
        if line.low.size:
            there = self.path(line.x, line.low)
            back = self.path(line.x[::-1], line.high[::-1]).replace("M", "L", 1)
            yield f'<path fill="{style.color}" opacity=".18" d="{there}{back}Z"/>'
        dashes = " ".join(f"{2 * length:g}" for length in style.dashes)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        width = 1.8 if style.own else 0.7
        yield f'<path {color} stroke-width="{width}"{dashed} d="{self.path(line.x, line.y)}"/>'
        for points, fill in ((line.open, "#fff"), (line.filled, style.color)):
            if points.size:
                look = f'r="2.4" stroke="{style.color}" fill="{fill}"'
                heights = np.clip(self.y(points), TOP, HEIGHT - BOTTOM)
                for x, y in zip(self.x(line.x), heights):
                    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" {look}/>'
        yield "</g>"

    def path(self, x: Floats, y: Floats) -> str:
        """Return points as a path; it is broken where y is NaN."""
        x, y = thinned(x, y)
        pieces, pen = [], "M"
        for at, height in zip(self.x(x), self.y(y)):
            if not math.isfinite(height):
                pen = "M"
                continue
            pieces.append(f"{pen}{at:.1f} {height:.1f}")
            pen = "L"
        return "".join(pieces)

    @property
    def legend(self) -> list[tuple[str, Style, list[int]]]:
        """The entries of the legend, and the lines that each switches; the grey ones share one."""
        entries = [
            (line.name, line.style, [number])
            for number, line in enumerate(self.lines)
            if line.style.own
        ]
        grey = [number for number, line in enumerate(self.lines) if not line.style.own]
        if grey:
            entries.append((f"{len(grey)} others", self.lines[grey[0]].style, grey))
        return entries

    @property
    def data(self) -> dict[str, Any]:
        """What the script needs for read-outs: where points are, and what is said of them."""
        lines = []
        for number, line in enumerate(self.lines):
            if not len(line.texts):
                continue
            known = np.flatnonzero(np.isfinite(line.y))
            keep = known[spread(len(known), POINTS)] if known.size else known
            lines.append(
                {
                    "line": number,
                    "name": line.name,
                    "color": line.style.color,
                    "x": np.round(self.x(line.x[keep]), 1).tolist(),
                    "y": np.round(self.y(line.y[keep]), 1).tolist(),
                    "at": np.round(line.x[keep]).astype(int).tolist(),
                    "text": [line.texts[int(each)] for each in keep],
                }
            )
        box = [LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM]
        return {"unit": self.unit, "best": self.best, "box": box, "lines": lines}


def thinned(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return about as many points as can be told apart."""
    keep = spread(len(x), POINTS)
    return x[keep], y[keep]


def spread(count: int, most: int) -> Any:
    """Return the indices of at most so many of some points, the ends among them."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.intp)
