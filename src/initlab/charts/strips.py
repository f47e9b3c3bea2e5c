"""Strips: the histograms of the activations of one run, layer beside layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import NDArray

from initlab import figures
from initlab.charts.scales import Floats
from initlab.charts.sheets import LEADING, MARGIN, TIGHT, WIDTH, Sheet
from initlab.charts.styles import DIM, GREY, Style
from initlab.charts.words import SMALL, length, wrapped
from initlab.comparison import Run, Setting
from initlab.figures import INK

BARS = 0.4  # the height of a histogram
GAP = 0.08  # between two


@dataclass(frozen=True, eq=False)
class Strip:
    """The histograms of a run beside each other, under the name of its setting.

    labelled  whether its layers are named
    scaled    whether it has an axis
    """

    setting: Setting
    run: Run
    labelled: bool
    scaled: bool

    @property
    def note(self) -> str:
        """What came of the setting."""
        accuracy = self.setting.accuracy
        words = (f"{accuracy.mean:.1%}" if accuracy else "", self.setting.word)
        return ", ".join(filter(None, words))

    @property
    def name(self) -> list[str]:
        """The name of the setting, in lines."""
        return wrapped(self.setting.name, WIDTH - 3 * MARGIN - length(self.note, SMALL))

    @property
    def edges(self) -> Floats:
        """Of the bins: (K+1,)."""
        return self.run.histograms["activations/edges"].astype(np.float64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Of the layers that are drawn, with what lies beyond the edges: (S, L, K+2)."""
        return self.run.histograms["activations/counts"][:, chosen(self.run)].astype(np.int64)

    @property
    def remarks(self) -> list[list[str]]:
        """What the last histogram of each layer hides."""
        return [hidden(counts, self.edges) for counts in self.counts[-1]]

    @property
    def above(self) -> float:
        """The room from the top to the bars."""
        lines = max(map(len, self.remarks)) + self.labelled
        return LEADING * len(self.name) + TIGHT * lines + 0.02

    @property
    def height(self) -> float:
        """The room of all."""
        return self.above + BARS + TIGHT * self.scaled + 1.5 * GAP

    def draw(self, sheet: Sheet, top: float, width: float, style: Style) -> None:
        """Draw it, in columns of a width."""
        for line, text in enumerate(self.name):
            sheet.write(MARGIN, top + LEADING * (line + 0.5), text)
        sheet.write(WIDTH - MARGIN, top + LEADING / 2, self.note, SMALL, DIM, ha="right")
        base = top + self.above + BARS
        edges = self.edges
        for column, (layer, remarks) in enumerate(zip(chosen(self.run), self.remarks)):
            left = MARGIN + width * column
            right = left + width - GAP
            if self.labelled:
                y = top + LEADING * len(self.name) + TIGHT / 2
                sheet.write(left, y, f"layer {layer + 1}", SMALL, DIM)
            for line, text in enumerate(reversed(remarks)):
                sheet.write(right, base - BARS - TIGHT * (line + 0.6), text, SMALL, ha="right")
            if self.scaled:
                ticks = edges[0], (edges[0] + edges[-1]) / 2, edges[-1]
                for side, share, tick in zip(("left", "center", "right"), (0, 0.5, 1), ticks):
                    x = left + share * (right - left)
                    sheet.write(x, base + TIGHT * 0.6, f"{tick:g}", SMALL, DIM, ha=side)
            self.draw_bars(sheet, column, (left, right, base), style)

    def draw_bars(
        self, sheet: Sheet, column: int, place: tuple[float, float, float], style: Style
    ) -> None:
        """Draw a histogram between left and right, from its base upwards."""
        left, right, base = place
        ends = self.edges[[0, -1]]
        across = np.repeat(np.interp(self.edges, ends, (left, right)), 2)
        first, last = (
            np.pad(np.repeat(figures.heights(figures.within(counts)), 2), 1)
            for counts in self.counts[[0, -1], column]
        )
        start, end = (
            np.column_stack([across, base - BARS / figures.ROOM * up]) for up in (first, last)
        )
        sheet.add(PolyCollection([end], facecolors=style.color, edgecolors=style.color, lw=0.3))
        if len(self.counts) > 1:
            sheet.add(LineCollection([start[1:-1]], colors=INK, lw=0.6))
        sheet.add(LineCollection([end[[0, -1]]], colors=GREY, lw=0.6))


def hidden(counts: NDArray[np.int64], edges: Floats) -> list[str]:
    """Return what a histogram does not show: how many share one bin, and what lies beyond."""
    if not counts.sum():
        return ["not finite"]
    shares, beyond = figures.within(counts), counts[[0, -1]].sum() / counts.sum()
    remarks = []
    if shares.max() >= figures.TELLING:
        remarks.append(f"{shares.max():.0%} at {figures.place_of(shares, edges):.2g}")
    if beyond >= 0.005:
        remarks.append(f"{beyond:.0%} beyond")
    return remarks


def recorded(run: Run) -> bool:
    """Tell whether a run has histograms of activations, as initlab leaves them."""
    steps, edges, counts = (
        run.histograms.get(name, np.empty(0))
        for name in ("steps", "activations/edges", "activations/counts")
    )
    return (
        counts.ndim == 3
        and counts.size > 0
        and edges.ndim == steps.ndim == 1
        and counts.shape[-1] == len(edges) + 1 > 3
        and len(counts) == len(steps)
    )


def chosen(run: Run) -> NDArray[np.intp]:
    """Return the indices of the layers that are drawn."""
    return figures.spaced(run.histograms["activations/counts"].shape[1])
