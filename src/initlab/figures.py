"""The figures of one run, small and square, as MLflow's compare page shows them.

Layers are stacked on one axis that is the same for every run, so that two figures can be compared
by eye. The state shown is filled, the start of training is an outline.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from PIL import Image

from initlab.nn.diagnostics import Snapshot
from initlab.nn.metrics import Quantity, Statistic
from initlab.nn.quadratic import value
from initlab.nn.training import Step
from initlab.text import printable

# From Okabe & Ito's colour-blind safe palette.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, GRID, CONTOUR = "#222222", "#e6e6e6", "#bbbbbb"

COLORS = {"activations": BLUE, "gradients": ORANGE, "weights": GREEN}
AXES = {
    Quantity.ACTIVATIONS: "activation",
    Quantity.GRADIENTS: "size of ∂loss/∂pre-activation",
    Quantity.WEIGHTS: "weight",
}
SPREADS = {
    Quantity.ACTIVATIONS: Statistic.UNIT_STD,
    Quantity.GRADIENTS: Statistic.UNIT_GRADIENT_STD,
    Quantity.WEIGHTS: Statistic.WEIGHT_STD,
}
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_LAYERS = 6  # of a deeper network, this many evenly spaced layers are drawn
ROOM = 0.7  # fraction of a layer's height for its histogram; the rest is for its label
TELLING = 0.2  # a single bin with at least this share of all activations is named in the label
TOWERING = 1.5  # a bin higher than this many times the second is cut, or the rest would look flat
LONGEST = 42  # characters of a run's name that fit
PATH_ROOM = np.array([10 / 7, 2.0])  # half the width and height of the valley over the start
SIDE, DPI = 3.2, 150  # inches and dots per inch: 480 pixels, readable at 300 to 500


class Stage:
    """An empty panel whose axis is drawn once and reused for many pictures.

    The axis takes most of the time that Matplotlib needs for a picture of histograms. Each layer is
    one unit high, from the bottom up.
    """

    def __init__(self, quantity: Quantity, layers: int, low: float, high: float) -> None:
        self.figure = square("")
        self.panel = self.figure.add_axes((0.05, 0.125, 0.9, 0.765))
        self.panel.set_ylim(0, layers)
        self.panel.yaxis.set_visible(False)
        self.panel.spines[["top", "right", "left"]].set_visible(False)
        self.panel.set_title("", fontsize=7.5, color=INK, pad=3)
        value_axis(self.panel, quantity, low, high)
        self.canvas = FigureCanvasAgg(self.figure)
        self.canvas.draw()  # type: ignore[no-untyped-call]
        self.empty = self.canvas.copy_from_bbox(self.figure.bbox)  # type: ignore[no-untyped-call]

    def picture(self, name: str, title: str, marks: Iterable[StepPatch | Text]) -> Image.Image:
        """Return a picture of `marks` under the name of the run and a title."""
        self.canvas.restore_region(self.empty)  # type: ignore[no-untyped-call]
        for text, words in ((self.figure.texts[0], shortened(name)), (self.panel.title, title)):
            text.set_text(words)
            self.figure.draw_artist(text)
        for mark in marks:
            self.panel.add_artist(mark)
            self.panel.draw_artist(mark)
            mark.remove()
        return image_of(self.canvas)


stage_of = functools.lru_cache(maxsize=12)(Stage)


def distributions(
    quantity: Quantity, now: Snapshot, start: Snapshot | None = None, name: str = ""
) -> Image.Image:
    """Draw the histograms of "activations", "gradients" or "weights", one layer above the other.

    `start` is an outline over `now`; `name` is the name of the run. The axis has the same range in
    every run; labels say how much is outside it, and how much is in a single bin.
    """
    histogram = now.histograms[quantity]
    low, high = histogram.edges[[0, -1]].tolist()
    stage = stage_of(quantity, len(spaced(len(histogram.counts))), low, high)
    title = f"{quantity} at step {now.step:,}" + (f" (line: step {start.step:,})" if start else "")
    return stage.picture(name, title, marks(quantity, now, start))


def marks(quantity: Quantity, now: Snapshot, start: Snapshot | None) -> Iterator[StepPatch | Text]:
    """Yield the bars and the label of each drawn layer, from the bottom up."""
    edges, layers = now.histograms[quantity].edges, len(now.histograms[quantity].counts)
    for place, index in enumerate(reversed(spaced(layers))):
        counts = now.histograms[quantity].counts[index]
        shares = within(counts)
        bars = place + heights(shares)
        yield StepPatch(bars, edges, baseline=place, fill=True, color=COLORS[quantity], lw=0)
        if start:
            before = place + heights(within(start.histograms[quantity].counts[index]))
            outline = {"baseline": None, "fill": False, "ec": INK, "lw": 0.7}
            yield StepPatch(before, edges, **outline)  # type: ignore[arg-type]
        layer = (
            "output"
            if quantity == Quantity.WEIGHTS and index == layers - 1
            else f"layer {index + 1}"
        )
        words = [f"std {now.statistics[SPREADS[quantity]][index]:.2g}"]
        if quantity == Quantity.ACTIVATIONS and shares.max() >= TELLING:
            words.append(f"{shares.max():.0%} at {place_of(shares, edges):.2g}")
        below, above = counts[[0, -1]] / max(1, counts.sum())
        if quantity == Quantity.GRADIENTS:
            for share, where in ((below, "below"), (above, "above")):
                if share >= 0.005:
                    words.append(f"{share:.0%} {where}")
        elif below + above >= 0.005:
            words.append(f"{below + above:.0%} beyond")
        label = f"{layer}: {', '.join(words)}"
        yield Text(edges[-1], place + 0.93, label, color=INK, ha="right", va="top", fontsize=7)


def loss_curves(steps: Sequence[Step], name: str = "") -> Figure:
    """Draw the loss of each batch, its running mean and the test loss; below, the accuracies."""
    figure = square(name)
    above = figure.add_axes((0.17, 0.46, 0.79, 0.46))
    below = figure.add_axes((0.17, 0.12, 0.79, 0.28), sharex=above)
    above.locator_params(nbins=5)  # ticks take most of the time
    below.locator_params("y", nbins=4)
    losses = np.array([step.loss for step in steps if step.loss is not None], float)
    losses = losses[np.isfinite(losses)]
    above.plot(losses, color=BLUE, alpha=0.3, lw=0.5)
    width = max(1, len(losses) // 50)
    if len(losses) > width:
        mean = np.convolve(losses, np.full(width, 1 / width), "valid")
        above.plot(np.arange(len(mean)) + (width - 1) / 2, mean, color=BLUE, lw=1.2, label="train")
    evaluated = [step for step in steps if step.evaluation and not step.diverged]
    numbers = [step.number for step in evaluated]
    evaluations = [step.evaluation for step in evaluated if step.evaluation]
    above.plot(
        numbers, [e.test_loss for e in evaluations], "o-", color=ORANGE, ms=2, lw=1, label="test"
    )
    below.plot(numbers, [e.train_accuracy for e in evaluations], "o-", color=BLUE, ms=2, lw=1)
    below.plot(numbers, [e.test_accuracy for e in evaluations], "o-", color=ORANGE, ms=2, lw=1)
    if logarithmic(losses):
        above.set_yscale("log")
        above.yaxis.set_major_formatter(lambda loss, _: f"{loss:g}")  # math text is slow
        above.yaxis.set_minor_locator(NullLocator())
    above.set_ylabel("loss", fontsize=7.5)
    above.legend(frameon=False, fontsize=7)
    above.tick_params(labelbottom=False)
    below.set_ylabel("accuracy", fontsize=7.5)
    below.set_ylim(0, 1.02)
    below.set_xlabel("step", fontsize=7.5, labelpad=1)
    for panel in (above, below):
        panel.tick_params(labelsize=7)
        panel.yaxis.get_offset_text().set_fontsize(6)
        panel.grid(color=GRID, lw=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def descent(points: Sequence[tuple[float, float]], name: str = "") -> Figure:
    """Draw the path of a `model=quadratic` run over the contours of x² / 20 + y².

    The axes depend only on the first point, so that paths from the same start can be compared.
    """
    path = np.array(points)
    path = path[np.isfinite(path).all(axis=-1)]
    ends = np.maximum(np.abs(path[0]) * PATH_ROOM, 1.0)
    shown = np.clip(path, -100 * ends, 100 * ends)  # a divergent path would overflow
    figure = square(name)
    panel = figure.add_axes((0.15, 0.125, 0.81, 0.765))
    x, y = np.meshgrid(*(np.linspace(-end, end, 101) for end in ends))
    f = value(x, y)
    panel.contour(
        x, y, f, levels=f.max() * np.linspace(0.02, 1, 12) ** 2, colors=CONTOUR, linewidths=0.7
    )
    panel.plot(0, 0, "+", color=INK, ms=7)
    panel.plot(*shown.T, "o-", color=BLUE, ms=2.2, lw=0.8)
    panel.plot(*path[0], "o", color=ORANGE, ms=4)
    panel.set_xlim(-ends[0], ends[0])
    panel.set_ylim(-ends[1], ends[1])
    panel.locator_params(nbins=5)
    panel.xaxis.get_offset_text().set_fontsize(6)
    panel.yaxis.get_offset_text().set_fontsize(6)
    panel.set_xlabel("x", fontsize=7.5, labelpad=1)
    panel.set_ylabel("y", fontsize=7.5, labelpad=1)
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)
    last = path[-1]
    words = f"{len(path) - 1:,} steps on x²/20 + y², to ({last[0]:.2g}, {last[1]:.2g})"
    panel.set_title(words, fontsize=7.5, color=INK, pad=3)
    return figure


def image(figure: Figure) -> Image.Image:
    """Return a figure as an RGB image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return image_of(canvas)


def image_of(canvas: FigureCanvasAgg) -> Image.Image:
    """Return the contents of a canvas as an RGB image."""
    rgba: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return Image.fromarray(rgba[..., :3])


def png(picture: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    # Compression level 1 is faster than the default, for 10 % more bytes.
    picture.save(buffer, format="png", dpi=(DPI, DPI), compress_level=1)
    return buffer.getvalue()


def square(name: str) -> Figure:
    """Return an empty figure with the name of a run; panels are placed by hand, for speed."""
    figure = Figure((SIDE, SIDE), dpi=DPI)
    words = {"ha": "center", "va": "top", "fontsize": 7.5, "weight": "bold", "color": INK}
    figure.text(0.5, 0.985, shortened(name), words, parse_math=False)  # a $ is part of a name
    return figure


def shortened(name: str) -> str:
    """Return the name of a run, cut to the length that fits."""
    return drawable(f"{name[:LONGEST]}…" if len(name) > LONGEST else name)


@functools.lru_cache(maxsize=4096)
def drawable(text: str) -> str:
    """Return a text in one line, with a square for each letter that the font lacks."""
    font = get_font(findfont(FontProperties()))
    line = " ".join(printable(text).split())
    return "".join(c if font.get_char_index(ord(c)) else "\N{WHITE SQUARE}" for c in line)


def logarithmic(values: NDArray[np.float64]) -> bool:
    """Return whether values need a logarithmic axis."""
    return bool(values.size and values.min() > 0 and values.max() > 20 * values.min())


def spaced(count: int, most: int = MOST_LAYERS) -> NDArray[np.intp]:
    """Return the indices of what is drawn, such as layers: at most `most`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def power(exponent: float) -> str:
    """Return a power of ten as text; Matplotlib's math text takes as long as a whole picture."""
    return "10" + f"{exponent:.0f}".translate(SUPERSCRIPT)


def within(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each bin, without the two counts outside the edges."""
    shares: NDArray[np.float64] = counts[1:-1] / max(1, counts.sum())
    return shares


def place_of(shares: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """Return where the highest bin is: its value nearest to zero, or its end of the axis."""
    highest = int(shares.argmax())
    if highest in (0, len(shares) - 1):
        return float(edges[-1 if highest else 0])
    return round(float(np.clip(0.0, *edges[highest : highest + 2])), 9) + 0.0


def scale(shares: NDArray[np.float64]) -> float:
    """Return the factor that makes the highest bin 1; a bin that towers over the rest exceeds 1."""
    highest, second = np.sort(shares)[[-1, -2]]
    return float(1 / (min(highest, TOWERING * second) or highest or 1.0))


def heights(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the height of each bin within its layer."""
    return ROOM * np.minimum(shares * scale(shares), 1)


def value_axis(panel: Axes, quantity: Quantity, low: float, high: float) -> None:
    """Set up the axis that all layers share, with few ticks."""
    panel.set_xlim(low, high)
    if quantity == Quantity.GRADIENTS:
        ticks = np.arange(low + 2, high, 4)
        panel.set_xticks(ticks, [power(tick) for tick in ticks])
    else:
        ticks = np.linspace(low, high, 3)
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.tick_params(axis="x", labelsize=7)
    panel.set_xlabel(AXES[quantity], fontsize=7.5, color=INK, labelpad=1)
