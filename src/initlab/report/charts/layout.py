"""Layout: figures as wide as a phone, with a title, a legend below and panels in rows."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from initlab.figures import GRID, INK
from initlab.report.charts.styles import DIM, Style
from initlab.report.charts.words import SIZE, SMALL, TITLE, text_width, wrap

WIDTH, DPI = 4.4, 200  # inches, as all lengths but those of letters and lines
TITLE_GAP = 0.02  # inches below a title
TOP, MARGIN = 0.34, 0.12  # the height of the title, and the space beside text
LINE, SMALL_LINE = 0.175, 0.125  # the heights of a line of text
HANDLE = 0.42  # of a legend entry, beside its text
LEFT, RIGHT, BOTTOM = 0.56, 0.22, 0.44  # around all panels
PANEL, GAP = 1.6, 0.24  # the least width of a panel, and the gap between two

# Names of settings may hold a $, which must not be read as mathematics.
RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelpad": 2,
    "axes.labelsize": SIZE,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": SIZE,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": DPI,
    "font.size": SIZE,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.borderaxespad": 0.9,
    "legend.borderpad": 0,
    "legend.columnspacing": 1.2,
    "legend.fontsize": SIZE,
    "legend.frameon": False,
    "legend.handlelength": 2.5,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": DIM,
    "xtick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.color": DIM,
    "ytick.labelcolor": INK,
    "ytick.major.size": 2.5,
}


@dataclass(frozen=True, eq=False)
class Chart:
    """One picture and the text about it.

    name     of its file, without .png
    title    its subject; charts of one title follow each other
    caption  what one must know to read it
    alt      what it shows, for those who cannot see it
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file of 256 colors, a quarter of the size of a full one."""
    return encoded(render(figure))


def pngs(figure: Figure) -> tuple[bytes, bytes, float]:
    """Return a figure as a file, and without its title, of a height in inches, for a page."""
    picture = render(figure)
    title = figure.texts[0].get_window_extent()
    top = max(0, round(picture.height - title.y0 + TITLE_GAP * DPI))
    untitled = picture.crop((0, top, picture.width, picture.height))
    return encoded(picture), encoded(untitled), untitled.height / DPI


def render(figure: Figure) -> Image.Image:
    """Return a figure as pixels."""
    canvas = FigureCanvasAgg(figure)
    with matplotlib.rc_context(RC):  # some ticks are made only now
        canvas.draw()  # type: ignore[no-untyped-call]
    return Image.fromarray(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]


def encoded(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file of 256 colors."""
    image = picture.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)
    levels = image.getpalette() or []
    image.putpalette([255 if level == 254 else level for level in levels])  # white is white
    buffer = io.BytesIO()
    image.save(buffer, format="png", dpi=(DPI, DPI), compress_level=3)
    return buffer.getvalue()


def titled_figure(
    title: str,
    height: float,
    handles: Sequence[Line2D] = (),
    width: float = WIDTH,
    layout: Any = "constrained",
) -> Figure:
    """Return a figure with a title, a `height` for the rest, and a legend below."""
    room = width - 2 * MARGIN
    names = [str(handle.get_label()) for handle in handles]
    labels = [wrap(name, room - HANDLE) for name in names]
    widest = max(map(text_width, names), default=0.0) + HANDLE + MARGIN
    columns = min(max(1, int(room / widest)), max(1, len(labels)))
    lines = sum(map(line_count, labels)) if columns == 1 else math.ceil(len(labels) / columns)
    full = TOP + height + LINE * lines
    figure = Figure((width, full), layout=layout)
    figure.suptitle(wrap(title, room, TITLE, 1), x=MARGIN / width, ha="left", size=TITLE)
    if layout == "none":
        set_height(figure, full)
    if labels:
        figure.legend(handles, labels, loc="outside lower left", ncols=columns)
    return figure


def set_height(figure: Figure, height: float) -> None:
    """Give a figure without constrained layout its height, and its title the place at the top."""
    figure.set_figheight(height)
    figure.texts[0].set_y(1 - 0.09 / height)


def line_handles(entries: Iterable[tuple[str, Style]]) -> list[Line2D]:
    """Return a line for each entry of a legend."""
    return [Line2D([], [], label=name, **style.line) for name, style in entries]


def line_count(text: str) -> int:
    """Return how many lines a text has."""
    return text.count("\n") + bool(text)


Head = tuple[str, Sequence[str]]  # the name of a panel, and notes on it


def panel_grid(
    title: str,
    heads: Sequence[Head],
    size: tuple[int, float],
    axes: tuple[str, str],
    handles: Sequence[Line2D] = (),
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each head, row by row, which share their axes.

    size  the largest number of columns, and the height of a panel
    axes  the names of the two axes

    The margins are explicit: with so many panels, constrained layout would double the time.
    """
    most, height = size
    columns = min(most, len(heads), max(2, math.isqrt(len(heads) - 1) + 1))
    rows = math.ceil(len(heads) / columns)
    width = max(WIDTH, LEFT + columns * (PANEL + GAP) - GAP + RIGHT)
    room = (width - LEFT - RIGHT + GAP) / columns - GAP
    names = [wrap(name, room) for name, _ in heads]
    notes = ["\n".join(wrap(note, room, SMALL) for note in lines) for _, lines in heads]
    below = [SMALL_LINE * line_count(note) for note in notes]
    above = 0.1 + max(LINE * line_count(name) + each for name, each in zip(names, below))
    figure = titled_figure(title, rows * (above + height) + BOTTOM, handles, width, layout="none")
    full = figure.get_figheight()
    margins = {
        "left": LEFT / width,
        "right": 1 - RIGHT / width,
        "bottom": 1 - (TOP + rows * (above + height)) / full,
        "top": 1 - (TOP + above) / full,
        "wspace": GAP / room,
        "hspace": above / height,
    }
    grid = figure.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False, gridspec_kw=margins
    )
    panels = grid.ravel().tolist()
    for panel in panels[len(heads) :]:
        panel.remove()
    for place, (panel, name, note) in enumerate(zip(panels, names, notes)):
        panel.tick_params(labelsize=SMALL, labelcolor=DIM, length=2)
        if place + columns >= len(heads):
            panel.tick_params(labelbottom=True)
            panel.set_xlabel(axes[0])
        if place % columns == 0:
            panel.set_ylabel(axes[1], labelpad=1)
        panel.set_title(name, pad=3 + 72 * below[place])
        panel.text(0, 1 + 0.04 / height, note, size=SMALL, color=DIM, transform=panel.transAxes)
    return figure, panels[: len(heads)]
