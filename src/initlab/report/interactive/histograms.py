"""Histograms: the distributions of each layer at each recorded step, a row for each setting."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from initlab import figures
from initlab.nn.metrics import Quantity
from initlab.report.charts.activations import (
    BAR,
    RIM,
    bar_heights,
    has_histograms,
    hidden_shares,
    trained,
)
from initlab.report.charts.styles import Style, colors
from initlab.report.charts.words import sentences
from initlab.report.comparison import MOST_RUNS, Comparison, Setting

WIDTH, HEIGHT, GAP = 440, 46, 8  # pixels of a row on a phone, and of a layer's bars
TOP, BOTTOM = 28, 14  # room for the words above the bars, and for the ends of the axis below
ROWS, ENDS = 24, 10  # of more settings, only so many of the best and of the worst are drawn
LEVELS = 255
TITLES = {
    Quantity.ACTIVATIONS: "activations",
    Quantity.GRADIENTS: "gradients",
    Quantity.WEIGHTS: "weights",
}


@dataclass(frozen=True, eq=False)
class Row:
    """The histograms of a setting.

    steps    at which they were recorded (S,)
    heights  of the bars, 0 to 255: (S, L, K+4), with the two bars beyond the ends
    words    what stands above each layer, at each step: S lists of L
    x        the ends of the bars within a layer, 0 to 1: (K+5,)
    ends     the ends of the axis, as text
    """

    name: str
    note: str
    style: Style
    steps: list[int]
    heights: NDArray[np.uint8]
    words: list[list[str]]
    layers: list[int]
    x: NDArray[np.float64]
    ends: tuple[str, str]

    @property
    def column(self) -> float:
        """The width of a layer, with the gap beside it."""
        return (WIDTH + GAP) / len(self.layers)

    @property
    def svg(self) -> Markup:
        """The histograms at the last step, with those of the first as an outline."""
        width = self.column - GAP
        parts = []
        for place, layer in enumerate(self.layers):
            left = place * self.column
            word = self.words[-1][place]
            bars, line = (
                outline(self.heights[step, place], self.x, left, width) for step in (-1, 0)
            )
            parts += [
                f'<text class="tick" x="{left:.1f}" y="10">layer {layer + 1}</text>',
                f'<text class="word" x="{left:.1f}" y="23">{escape(word)}</text>',
                f'<path class="bars" fill="{self.style.color}" d="{bars}"/>',
                f'<path class="start" d="{line}"/>' if len(self.steps) > 1 else "",
                f'<path class="axis" d="M{left:.1f} {TOP + HEIGHT}h{width:.1f}"/>',
                f'<text class="tick" x="{left:.1f}" y="{TOP + HEIGHT + 11}">{self.ends[0]}</text>',
                f'<text class="tick" x="{left + width:.1f}" y="{TOP + HEIGHT + 11}" '
                f'text-anchor="end">{self.ends[1]}</text>',
            ]
        label = f"{self.name}: {'; '.join(filter(None, self.words[-1]))}"
        return Markup(
            f'<svg class="histogram" viewBox="0 0 {WIDTH} {TOP + HEIGHT + BOTTOM}" role="img" '
            f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
        )

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws other steps from."""
        return {
            "steps": self.steps,
            "bars": base64.b64encode(self.heights.tobytes()).decode(),
            "words": self.words,
            "x": np.round(self.x, 4).tolist(),
            "column": self.column,
            "gap": GAP,
            "top": TOP,
            "height": HEIGHT,
        }


@dataclass(frozen=True, eq=False)
class Histograms:
    """The histograms of one quantity."""

    quantity: Quantity
    rows: list[Row]
    caption: str

    @property
    def title(self) -> str:
        """What they are of."""
        return TITLES[self.quantity]

    @property
    def steps(self) -> list[int]:
        """All steps that any row has."""
        return sorted({step for row in self.rows for step in row.steps})


def outline(heights: NDArray[np.uint8], x: NDArray[np.float64], left: float, width: float) -> str:
    """Return the bars of a layer as one path."""
    base = TOP + HEIGHT
    pieces = [f"M{left:.1f} {base}"]
    for height, end, start in zip(heights, x[1:], x):
        y = base - HEIGHT * int(height) / LEVELS
        pieces.append(f"L{left + start * width:.1f} {y:.1f}H{left + end * width:.1f}")
    return "".join([*pieces, f"V{base}"])


def histograms(comparison: Comparison) -> list[Histograms]:
    """Return the histograms of each quantity that runs have, as means over the seeds."""
    ranked = comparison.pictured
    if not trained(comparison):
        ranked = sorted(ranked, key=lambda setting: setting.number)
    found = []
    for quantity in TITLES:
        having = [setting for setting in ranked if usable(setting, quantity)]
        shown = having if len(having) <= ROWS else [*having[:ENDS], *having[-ENDS:]]
        if not shown:
            continue
        count = len(having) + comparison.unpictured
        styles = colors(comparison)
        rows = [row_of(setting, quantity, styles[setting.number]) for setting in shown]
        found.append(Histograms(quantity, rows, caption(quantity, rows, count, comparison)))
    return found


def caption(quantity: Quantity, rows: Sequence[Row], count: int, comparison: Comparison) -> str:
    """Say what one must know to read the histograms."""
    several = any(len(setting.runs) > 1 for setting in comparison.settings)
    return sentences(
        "Filled: at the last step, or at the one that the slider is at; line: at the start."
        if any(len(row.steps) > 1 for row in rows)
        else "At the start; nothing was trained.",
        "Gradients are counted by their power of ten." if quantity == Quantity.GRADIENTS else "",
        "Each is as high as its room; a bin that towers over the others is cut.",
        "A bar beside an axis is all that lies beyond it."
        if any(row.heights[..., [0, -1]].any() for row in rows)
        else "",
        "Of several seeds, the counts are summed." if several else "",
        f"They are of {MOST_RUNS} runs of a setting at the most."
        if any(len(setting.runs) > MOST_RUNS for setting in comparison.settings)
        else "",
        f"The best {ENDS} and the worst {ENDS} of {count:,} settings are shown."
        if len(rows) < count
        else "",
        f"Of a deep network, {figures.MOST_LAYERS} layers are shown."
        if any(row.layers[-1] + 1 > len(row.layers) for row in rows)
        else "",
    )


def usable(setting: Setting, quantity: Quantity) -> list[Any]:
    """Return the histograms of a setting's runs that are as initlab writes them, and alike."""
    found = [
        (
            run.histograms["steps"].astype(int),
            run.histograms[f"{quantity}/edges"].astype(np.float64),
            run.histograms[f"{quantity}/counts"].astype(np.int64),
        )
        for run in setting.pictured
        if has_histograms(run, quantity)
    ]
    return [
        each
        for each in found
        if each[2].shape[1:] == found[0][2].shape[1:] and np.array_equal(each[1], found[0][1])
    ]


def row_of(setting: Setting, quantity: Quantity, style: Style) -> Row:
    """Return the histograms of a setting, summed over its runs."""
    found = usable(setting, quantity)
    edges, layers = found[0][1], figures.spaced(found[0][2].shape[1])
    counts: dict[int, NDArray[np.int64]] = {}
    for steps, _, each in found:
        for step, count in zip(steps.tolist(), each):
            counts[step] = counts.get(step, 0) + count[layers]
    steps = sorted(counts)
    inner = np.interp(edges, edges[[0, -1]], (RIM, 1 - RIM))
    x = np.array([0.0, BAR, *inner, 1 - BAR, 1.0])
    heights = [[bar_heights(layer, x) for layer in counts[step]] for step in steps]
    words = [[first_word(hidden_shares(layer, edges)) for layer in counts[step]] for step in steps]
    accuracy = f"{setting.accuracy.mean:.1%}" if setting.accuracy else ""
    return Row(
        setting.name,
        ", ".join(filter(None, (accuracy, setting.word))),
        style,
        steps,
        np.round(LEVELS * np.clip(heights, 0, 1)).astype(np.uint8),
        words,
        layers.tolist(),
        x,
        axis_ends(quantity, edges),
    )


def first_word(words: Iterable[str]) -> str:
    """Return the most telling of some remarks."""
    return next(iter(words), "")


def axis_ends(quantity: Quantity, edges: NDArray[np.float64]) -> tuple[str, str]:
    """Return the ends of an axis as text."""
    low, high = float(edges[0]), float(edges[-1])
    if quantity == Quantity.GRADIENTS:
        return figures.power(low), figures.power(high)
    return f"{low:g}", f"{high:g}"
