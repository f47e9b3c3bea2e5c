"""Sheets: figures under a title, on which everything has its place in inches."""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D

from initlab.figures import INK
from initlab.report.charts.words import SIZE, TITLE, clean, wrapped

WIDTH, DPI = 4.4, 200  # inches, as all lengths but those of letters and lines
TOP, MARGIN = 0.34, 0.12  # the room of the title, and beside words
LEADING, TIGHT = 0.175, 0.12  # from line to line, of usual and of small words


class Sheet:
    """A figure whose places are inches from its top left corner."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.figure = Figure((width, height), dpi=DPI)
        self.inches = Affine2D().scale(1, -1).translate(0, height) + self.figure.dpi_scale_trans
        (shown,) = wrapped(title, width - 2 * MARGIN, TITLE, lines=1)
        self.write(MARGIN, 0.18, shown, TITLE)

    def panel(self, x: float, y: float, width: float, height: float, **kind: Any) -> Axes:
        """Add axes, flat ones if no other kind is asked for."""
        all_across, all_down = self.figure.get_size_inches()
        corner = (x / all_across, 1 - (y + height) / all_down)
        return self.figure.add_axes((*corner, width / all_across, height / all_down), **kind)

    def write(
        self, x: float, y: float, text: str, size: float = SIZE, color: Any = INK, ha: str = "left"
    ) -> None:
        """Write a line of text about the height y."""
        y += 0.36 * size / 72  # from the middle of its small letters to their foot
        place: Any = {"transform": self.inches, "ha": ha, "va": "baseline"}
        words = self.figure.text(x, y, clean(text), fontsize=size, color=color, **place)
        words.set_parse_math(False)

    def add(self, artist: Artist) -> None:
        """Add anything else."""
        artist.set_transform(self.inches)
        self.figure.add_artist(artist)
