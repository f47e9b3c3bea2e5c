"""Panels: small pictures in columns, each under its words, on axes that all of them share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from initlab.figures import GRID, INK
from initlab.report.charts.legends import Legend
from initlab.report.charts.scales import SHARES, step_ticks
from initlab.report.charts.sheets import LEADING, TIGHT, TOP, WIDTH, Sheet
from initlab.report.charts.styles import DIM, Style
from initlab.report.charts.words import SIZE, SMALL, clean, length, wrapped

LEFT, RIGHT, BOTTOM = 0.56, 0.22, 0.44  # around all panels
ACROSS, WIDEST = 1.5, 2.0  # of a panel where there are many columns, and for the longest word
BETWEEN = 0.24  # from one to the next
FEW_TICKS = 2  # of an axis of steps, beside its start

Head = tuple[str, Sequence[str]]  # the name of a panel, and notes on it


class Panels:
    """A sheet of panels, row by row.

    heads    what stands above each
    size     how many columns there are, and the height of a panel
    entries  of the legend below
    """

    def __init__(
        self,
        title: str,
        heads: Sequence[Head],
        size: tuple[int, float],
        entries: Sequence[tuple[str, Style]] = (),
    ) -> None:
        self.columns, self.height = size
        self.count = len(heads)
        longest = max(length(word) for name, _ in heads for word in clean(name).split())
        across = min(max(ACROSS, longest + 0.02), WIDEST)
        width = max(WIDTH, LEFT + self.columns * (across + BETWEEN) - BETWEEN + RIGHT)
        self.step = (width - LEFT - RIGHT + BETWEEN) / self.columns
        room = self.step - BETWEEN
        self.heads = [
            (wrapped(name, room), [line for note in notes for line in wrapped(note, room, SMALL)])
            for name, notes in heads
        ]
        self.tops = [TOP]
        for row in range(math.ceil(self.count / self.columns)):
            self.tops.append(self.tops[-1] + self.above(row) + self.height + 0.1)
        foot = self.tops[-1] - 0.1 + BOTTOM
        legend = Legend(entries, width)
        self.sheet = Sheet(width, foot + legend.height + 0.06, title)
        legend.draw(self.sheet, foot)

    def above(self, row: int) -> float:
        """Return the room of the words above the panels of a row."""
        heads = self.heads[row * self.columns : (row + 1) * self.columns]
        return 0.05 + max(LEADING * len(name) + TIGHT * len(notes) for name, notes in heads)

    def panel(self, index: int) -> Axes:
        """Add a panel under its words, which stand upon it."""
        row, column = divmod(index, self.columns)
        x, y = LEFT + self.step * column, self.tops[row] + self.above(row)
        name, notes = self.heads[index]
        top = y - 0.05 - TIGHT * len(notes)
        for line, text in enumerate(reversed(name)):
            self.sheet.write(x, top - LEADING * (line + 0.5), text)
        for line, text in enumerate(notes):
            self.sheet.write(x, top + TIGHT * (line + 0.4), text, SMALL, DIM)
        return self.sheet.panel(x, y, self.step - BETWEEN, self.height)

    def measure(
        self,
        index: int,
        panel: Axes,
        across: tuple[str, Mapping[float, str]],
        up: tuple[str, Mapping[float, str]],
    ) -> None:
        """Give a panel ticks on both axes, and where it is the outermost their names and words."""
        outer = index + self.columns >= self.count, index % self.columns == 0
        for axis, (name, ticks), shown in zip((panel.xaxis, panel.yaxis), (across, up), outer):
            axis.set_ticks([*ticks], [*ticks.values()] if shown else [""] * len(ticks))
            if shown:
                axis.set_label_text(name, fontsize=SIZE, color=INK)
        panel.xaxis.labelpad, panel.yaxis.labelpad = 2, 1
        panel.minorticks_off()
        panel.tick_params(labelsize=SMALL, color=DIM, length=2)
        panel.grid(color=GRID, lw=0.5)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)


def columns_of(count: int) -> int:
    """Return how many columns so many panels stand in."""
    return min(count, max(2, math.isqrt(max(count - 1, 0)) + 1))


def measure_steps(panels: Panels, index: int, panel: Axes, last: int) -> None:
    """Give a panel an axis of steps up to the last, and one of shares."""
    panel.set_xlim(-0.01 * (last or 1), 1.01 * (last or 1))
    panel.set_ylim(SHARES.low, SHARES.high + 0.02)
    shares = {tick: f"{tick:.0%}" for tick in (0.0, 0.5, 1.0)}
    panels.measure(index, panel, ("step", step_ticks(last, FEW_TICKS)), ("", shares))
