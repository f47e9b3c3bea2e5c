"""Heat maps: how well each setting did, over the two keys that vary."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.collections import PolyCollection

from initlab import figures
from initlab.figures import INK
from initlab.report.charts.keys import axes, by_count, options, searched
from initlab.report.charts.pictures import Chart
from initlab.report.charts.scales import HUGE
from initlab.report.charts.sheets import LEADING, MARGIN, TIGHT, TOP, WIDTH, Sheet
from initlab.report.charts.styles import DIM
from initlab.report.charts.words import SIZE, SMALL, length, wrapped
from initlab.report.comparison import Comparison, Setting

Color = tuple[float, float, float]

SHADES = matplotlib.colormaps["viridis"]
EMPTY = "#ececec"  # a cell without a number
LUMINANCE = (0.2126, 0.7152, 0.0722)
MOST_ROWS, MOST_COLUMNS = 60, 20
FEW_ROWS = 8  # whose cells are high
CELL, WIDE_CELL, CELL_HEIGHT, LOW_CELL = 0.56, 0.95, 0.36, 0.3
WIDEST_NAME = 1.9  # of a row


def heat_map(comparison: Comparison) -> Chart | None:
    """Draw the accuracy that settings are ranked by, else the loss, over the two keys that vary.

    The better, the lighter; a frame marks the best, and a cell without a number says why. None if
    other than two keys vary, or if they are of a random search or have more values than a page has
    room for.
    """
    keys = axes(comparison)
    if len(keys) != 2 or searched(comparison):
        return None
    down, across = by_count(comparison, keys)
    rows, columns = options(comparison, down), options(comparison, across)
    if len(rows) > MOST_ROWS or len(columns) > MOST_COLUMNS:
        return None
    title, share = measured(comparison)
    spreads = [each.score if share else each.loss for each in comparison.settings]
    values = [min(spread.mean, HUGE) if spread else None for spread in spreads]
    shade = shades([value for value in values if value is not None], share)
    placed = {
        (setting.values.get(down, ""), setting.values.get(across, "")): setting
        for setting in comparison.settings
    }
    lattice = Lattice(f"{title}, %" if share else title, (down, rows), (across, columns))
    best = comparison.ranked[0]
    told = []
    for row, column in np.ndindex(len(rows), len(columns)):
        setting = placed.get((rows[row], columns[column]))
        value = values[setting.number] if setting else None
        words = cell_words(setting, value, share)
        color = None if value is None else shade(value)
        lattice.fill(row, column, words, color, framed=setting is best)
        told.append(f"{named(rows[row])}, {named(columns[column])}: {' '.join(words)}")
    return Chart(
        "heat_map",
        f"{title} by {down} and {across}",
        "The lighter, the better; a frame marks the best." if any(spreads) else "",
        f"{title} by {down} and {across}. {'; '.join(told)}.",
        lattice.sheet.figure,
    )


def measured(comparison: Comparison) -> tuple[str, bool]:
    """Return what settings are coloured by, and whether it is an accuracy."""
    settings = comparison.settings
    if any(setting.score for setting in settings):
        held_out = any(setting.validation for setting in settings)
        return "validation accuracy" if held_out else "test accuracy", True
    return "final loss" if any(setting.loss for setting in settings) else "verdict", False


def shades(values: Sequence[float], share: bool) -> Callable[[float], Color]:
    """Return what gives a value its colour: the higher a share, the lower a loss, the lighter."""
    log = not share and figures.logarithmic(np.array(values))

    def scale(value: float) -> float:
        return math.log(value) if log else value

    low, high = (scale(end(values, default=1.0)) for end in (min, max))

    def shade(value: float) -> Color:
        place = (scale(value) - low) / (high - low) if high > low else float(share)
        red, green, blue, _ = SHADES(place if share else 1 - place)
        return red, green, blue

    return shade


def cell_words(setting: Setting | None, value: float | None, share: bool) -> list[str]:
    """Return the lines of a cell: its number and what did not finish, or why there is none."""
    if setting is None:
        return ["not run"]
    if value is None:
        return setting.word.split(", ")
    broken = Counter(run.outcome for run in setting.runs if run.outcome != "finished")
    return [
        f"{100 * value:.1f}" if share else f"{value:.3g}",
        *(f"{count} {outcome}" for outcome, count in broken.items()),
    ]


def named(value: str) -> str:
    """Return a value, or the word for a setting that does without."""
    return value or "none"


class Lattice:
    """A sheet of cells under the names of columns and beside the names of rows.

    title   of the sheet
    down    the key of the rows, and their values
    across  the key of the columns, and their values
    """

    def __init__(
        self, title: str, down: tuple[str, list[str]], across: tuple[str, list[str]]
    ) -> None:
        rows, columns = (list(map(named, values)) for _, values in (down, across))
        self.left = min(max(map(length, [*rows, down[0]])) + 0.2, WIDEST_NAME)
        widest = max(map(length, columns)) + 0.1
        room = (WIDTH - self.left - MARGIN) / len(columns)
        self.width = max(CELL, min(widest, WIDE_CELL), room)
        self.height = CELL_HEIGHT if len(rows) <= FEW_ROWS else LOW_CELL
        heads = [wrapped(text, self.width - 0.06) for text in columns]
        self.top = TOP + LEADING * (1 + max(map(len, heads)))
        across_all, down_all = self.width * len(columns), self.height * len(rows)
        self.sheet = Sheet(self.left + across_all + MARGIN, self.top + down_all + 0.1, title)

        (key,) = wrapped(across[0], across_all, lines=1)
        middle = self.left + across_all / 2
        self.sheet.write(middle, TOP + LEADING / 2, key, color=DIM, ha="center")
        (key,) = wrapped(down[0], self.left - 0.2, lines=1)
        self.sheet.write(self.left - 0.08, self.top - LEADING / 2, key, color=DIM, ha="right")
        for column, words in enumerate(heads):
            for line, text in enumerate(reversed(words)):
                x, y = self.left + self.width * (column + 0.5), self.top - LEADING * (line + 0.5)
                self.sheet.write(x, y, text, ha="center")
        for row, text in enumerate(rows):
            (shown,) = wrapped(text, self.left - 0.2, lines=1)
            y = self.top + self.height * (row + 0.5)
            self.sheet.write(self.left - 0.08, y, shown, ha="right")

    def fill(
        self, row: int, column: int, words: Sequence[str], color: Color | None, framed: bool
    ) -> None:
        """Draw a cell with as many words as it has room for; one without a colour is empty."""
        x, y = self.left + self.width * column, self.top + self.height * row
        right, foot = x + self.width, y + self.height
        ink = DIM if color is None else INK if np.dot(color, LUMINANCE) > 0.45 else "white"
        ring = [(x, y), (right, y), (right, foot), (x, foot)]
        fill = color or EMPTY
        self.sheet.add(
            PolyCollection([ring], facecolors=[fill], edgecolors="white", lw=1, zorder=0)
        )
        if framed and color:
            inner = np.array(ring) + 0.025 * np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
            self.sheet.add(PolyCollection([inner], facecolors="none", edgecolors=ink, lw=1.2))
        words = words[: round(self.height / TIGHT)]
        for line, text in enumerate(words):
            below = (line - (len(words) - 1) / 2) * TIGHT
            size = SIZE if color and not line else SMALL
            middle = x + self.width / 2, y + self.height / 2 + below
            self.sheet.write(*middle, text, size, ink, ha="center")
