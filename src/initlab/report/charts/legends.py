"""Legends: what each kind of line stands for, below the panels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.lines import Line2D

from initlab.report.charts.sheets import LEADING, MARGIN, Sheet
from initlab.report.charts.styles import Style
from initlab.report.charts.words import length, wrapped

STROKE, HANDLE = 0.32, 0.42  # of a line, and from its start to its words


class Legend:
    """Lines beside their names, in as many columns as a width has room for."""

    def __init__(self, entries: Sequence[tuple[str, Style]], width: float) -> None:
        self.entries = entries
        self.room = width - 2 * MARGIN
        widest = HANDLE + max((length(name) for name, _ in entries), default=0.0) + MARGIN
        self.columns = min(max(1, int(self.room / widest)), max(1, len(entries)))
        self.rows = math.ceil(len(entries) / self.columns)
        self.names = [wrapped(name, self.room - HANDLE) for name, _ in entries]
        self.lines = [max(map(len, self.names[row :: self.rows])) for row in range(self.rows)]

    @property
    def height(self) -> float:
        """The room of all."""
        return LEADING * sum(self.lines)

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draw it."""
        for index, (name, (_, style)) in enumerate(zip(self.names, self.entries)):
            column, row = divmod(index, self.rows)
            x = MARGIN + self.room / self.columns * column
            y = top + LEADING * (sum(self.lines[:row]) + 0.5)
            sheet.add(Line2D((x, x + STROKE), (y, y), **style.line))
            for line, text in enumerate(name):
                sheet.write(x + HANDLE, y + LEADING * line, text)
