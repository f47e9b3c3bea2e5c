"""Strips: the histograms of the activations of one run, layer beside layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import NDArray

from initlab import figures
from initlab.figures import INK
from initlab.report.charts.layers import SEEN, chosen, deviations, hidden
from initlab.report.charts.scales import Floats
from initlab.report.charts.sheets import LEADING, MARGIN, TIGHT, WIDTH, Sheet
from initlab.report.charts.styles import DIM, GREY, Style
from initlab.report.charts.words import SMALL, brief, length, wrapped
from initlab.report.comparison import Setting
from initlab.tracking.runs import Run

BARS = 0.4  # the height of a histogram
GAP = 0.08  # between two
RIM, BAR = 0.08, 0.055  # beside an axis, for what lies beyond it, and of the bar in it


@dataclass(frozen=True, eq=False)
class Strip:
    """The histograms of a run beside each other, under the name of its setting.

    named     what it is
    labelled  whether its layers are named
    scaled    whether it has an axis
    rims      the room on both sides of an axis
    """

    setting: Setting
    run: Run
    named: str
    labelled: bool
    scaled: bool
    rims: tuple[float, float]

    @property
    def note(self) -> str:
        """What came of the setting."""
        accuracy = self.setting.accuracy
        words = (f"{accuracy.mean:.1%}" if accuracy else "", self.setting.word)
        return ", ".join(filter(None, words))

    @property
    def name(self) -> list[str]:
        """The name of the setting, in lines."""
        return wrapped(self.named, WIDTH - 3 * MARGIN - length(self.note, SMALL))

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
        """What the last histogram of each layer hides, and its standard deviation."""
        return [
            hidden(counts, self.edges) + ([f"std {brief(std)}"] if std is not None else [])
            for std, counts in zip(deviations(self.setting, self.run), self.counts[-1])
        ]

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
                first, last = left + self.rims[0], right - self.rims[1]
                ticks = edges[0], (edges[0] + edges[-1]) / 2, edges[-1]
                for side, share, tick in zip(("left", "center", "right"), (0, 0.5, 1), ticks):
                    x = first + share * (last - first)
                    sheet.write(x, base + TIGHT * 0.6, f"{tick:g}", SMALL, DIM, ha=side)
            self.draw_bars(sheet, column, (left, right, base), style)

    def draw_bars(
        self, sheet: Sheet, column: int, place: tuple[float, float, float], style: Style
    ) -> None:
        """Draw a histogram between left and right, from its base upwards."""
        left, right, base = place
        ends = left + self.rims[0], right - self.rims[1]
        inner = np.interp(self.edges, self.edges[[0, -1]], ends)
        below, above = (BAR * (rim > 0) for rim in self.rims)
        across = np.repeat([left, left + below, *inner, right - above, right], 2)
        wide = np.array([below, *np.diff(inner), above]) / (inner[1] - inner[0])
        start, end = (
            np.column_stack([across, base - np.pad(np.repeat(up, 2), 1)])
            for up in (bars(counts, wide) for counts in self.counts[[0, -1], column])
        )
        sheet.add(PolyCollection([end], facecolors=style.color, edgecolors=style.color, lw=0.3))
        if len(self.counts) > 1:
            sheet.add(LineCollection([start[1:-1]], colors=INK, lw=0.6))
        sheet.add(LineCollection([[(left, base), (right, base)]], colors=GREY, lw=0.6))


def bars(counts: NDArray[np.int64], wide: Floats) -> Floats:
    """Return the heights of the bins of K, of what lies beyond, and of two gaps beside: (K+4,).

    wide  (K+2,) how many bins wide each is; as large as its share is the area of each
    """
    shares = counts / max(1, counts.sum())
    heights = figures.heights(np.divide(shares, wide, out=np.zeros_like(shares), where=wide > 0))
    return np.insert(BARS / figures.ROOM * heights, [1, len(counts) - 1], 0.0)


def rims(run: Run) -> tuple[float, float]:
    """Return the room on both sides of an axis that what lies beyond it takes."""
    counts = run.histograms["activations/counts"][[0, -1]][:, chosen(run)]
    beyond = counts[..., [0, -1]] / np.maximum(1, counts.sum(axis=-1, keepdims=True))
    below, above = RIM * (beyond.max(axis=(0, 1)) >= SEEN)
    return float(below), float(above)
