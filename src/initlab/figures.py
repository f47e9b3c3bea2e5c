"""The figures of one run, small and square, as MLflow's compare page shows them.

Layers are stacked on one axis that is the same for every run, so that two figures can be compared
by eye. The state shown is filled, the start of training is an outline.
"""

from __future__ import annotations

import functools
import io
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, StepPatch
from matplotlib.text import Text
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from PIL import Image

from initlab.nn.diagnostics import Snapshot
from initlab.nn.metrics import Quantity, Statistic
from initlab.nn.prediction import Prediction
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
PROFILES = {
    Statistic.UNIT_STD: ("signal: std of activations", BLUE),
    Statistic.UNIT_GRADIENT_STD: ("gradient: std of ∂loss/∂z", ORANGE),
}
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MOST_LAYERS = 6  # of a deeper network, this many evenly spaced layers are drawn
ROOM = 0.7  # fraction of a layer's height for its histogram; the rest is for its label
TELLING = 0.2  # a single bin with at least this share of all activations is named in the label
TOWERING = 1.5  # a bin higher than this many times the second is cut, or the rest would look flat
LONGEST = 42  # characters of a run's name that fit
BEYOND = 100.0  # a profile's axis reaches at most so many times beyond what was measured
MOST_DECADES, MOST_TICKS = 5, 7  # steps between labels of a profile's axes, at most
PROFILE_LEFT, PROFILE_WIDTH = 0.13, 0.84  # of its panels; the sides of a picture are 1
PROFILE_BOTTOM, PROFILE_HEIGHT, PROFILE_GAP = 0.1, 0.8, 0.075  # of all panels, and above each
PATH_ROOM = np.array([10 / 7, 2.0])  # half the width and height of the valley over the start
SIDE, DPI = 3.2, 150  # inches and dots per inch: 480 pixels, readable at 300 to 500


class Stage:
    """A picture without its contents, which is drawn once and reused for many.

    Axes and their names take most of the time that Matplotlib needs for a picture.

    home   what the marks of a picture are added to
    title  a text that each picture has of its own
    """

    def __init__(self, figure: Figure, home: Figure | Axes, title: Text) -> None:
        self.figure, self.home, self.title = figure, home, title
        self.canvas = FigureCanvasAgg(figure)
        self.canvas.draw()  # type: ignore[no-untyped-call]
        self.empty = self.canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]

    def picture(self, name: str, title: str, marks: Iterable[Artist]) -> Image.Image:
        """Return a picture of `marks` under the name of the run and a title."""
        self.canvas.restore_region(self.empty)  # type: ignore[no-untyped-call]
        for text, words in ((self.figure.texts[0], shortened(name)), (self.title, title)):
            text.set_text(words)
            self.figure.draw_artist(text)
        for mark in marks:
            self.home.add_artist(mark)
            self.home.draw_artist(mark)
            mark.remove()
        return image_of(self.canvas)


@functools.lru_cache(maxsize=12)
def stage_of(quantity: Quantity, layers: int, low: float, high: float) -> Stage:
    """Return the stage of histograms; each layer is one unit high, from the bottom up."""
    figure = square("")
    panel = figure.add_axes((0.05, 0.125, 0.9, 0.765))
    panel.set_ylim(0, layers)
    panel.yaxis.set_visible(False)
    panel.spines[["top", "right", "left"]].set_visible(False)
    value_axis(panel, quantity, low, high)
    return Stage(figure, panel, panel.set_title("", fontsize=7.5, color=INK, pad=3))


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


def depth_profile(
    start: Snapshot,
    end: Snapshot | None = None,
    prediction: Prediction | None = None,
    name: str = "",
) -> Image.Image:
    """Draw how large activations and gradients are in each hidden layer, on logarithmic axes.

    Open points are the start and filled ones the end; the line and the band of 95 % are what theory
    predicts for the start. What is zero lies just below its panel, and what is infinite just above.
    """
    panels = profile_panels(start, end, prediction)
    words = f"○ step {start.step:,}" + (f"   ● step {end.step:,}" if end else "")
    words += "   ― theory, 95 % band" if prediction else ""
    marks = (mark for panel, profile in panels for mark in panel.marks(profile))
    return profile_stage(tuple(panel for panel, _ in panels)).picture(name, words, marks)


def profile_panels(
    start: Snapshot, end: Snapshot | None, prediction: Prediction | None
) -> list[tuple[ProfilePanel, Profile]]:
    """Return a panel for each statistic that was measured, and what it shows."""
    statistics = [statistic for statistic in PROFILES if statistic in start.statistics]
    found = []
    for place, statistic in enumerate(statistics):
        profile = Profile(
            np.array([shot.statistics[statistic] for shot in (start, end) if shot]),
            np.array(prediction.bands[statistic] if prediction else np.empty((0, 3))).T,
        )
        size = len(statistics), profile.layers
        found.append((ProfilePanel(statistic, place, *size, *profile.decades), profile))
    return found


@dataclass(frozen=True, eq=False)
class Profile:
    """A statistic of each hidden layer.

    measured   at the start and, where there is one, at the end: (1 or 2, L)
    predicted  value, low and high: (3, L), or (3, 0) where theory predicts nothing
    """

    measured: NDArray[np.float64]
    predicted: NDArray[np.float64]

    @property
    def layers(self) -> int:
        """The number of hidden layers."""
        return len(self.measured[0])

    @property
    def before(self) -> Profile:
        """The same at the start alone."""
        return Profile(self.measured[:1], self.predicted)

    @property
    def shown(self) -> NDArray[np.float64]:
        """What its axis should show: all that was measured, and predictions not far from it."""
        known, predicted = sized(self.measured), self.predicted
        if known.size:
            predicted = predicted.clip(known.min() / BEYOND, known.max() * BEYOND)
        return np.concatenate([known, sized(predicted)])

    @property
    def decades(self) -> tuple[int, int]:
        """The powers of ten around what is shown."""
        exponents = np.log10(self.shown if self.shown.size else [1.0])
        low, high = math.floor(exponents.min()), math.ceil(exponents.max())
        return low, max(high, low + 1)

    @property
    def lost(self) -> str:
        """In how many layers the last number is zero, and in how many not finite, "" if in none."""
        last = self.measured[-1]
        found = {"zero": np.sum(last == 0), "not finite": np.sum(~np.isfinite(last))}
        return ", ".join(
            f"{word} in {count} of {self.layers} layers" for word, count in found.items() if count
        )


@dataclass(frozen=True)
class ProfilePanel:
    """Where a profile is drawn, in a figure whose sides are 1.

    place, count  of this panel among all, from the top
    layers        on its horizontal axis
    low, high     powers of ten, the ends of its vertical axis
    """

    statistic: Statistic
    place: int
    count: int
    layers: int
    low: int
    high: int

    @property
    def height(self) -> float:
        """From its lower to its upper end."""
        return PROFILE_HEIGHT / self.count - PROFILE_GAP

    @property
    def bottom(self) -> float:
        """Its lower end."""
        return PROFILE_BOTTOM + PROFILE_HEIGHT * (1 - (self.place + 1) / self.count)

    def x(self, layer: NDArray[np.intp] | float) -> Any:
        """Return where a layer lies, counted from 1."""
        return PROFILE_LEFT + PROFILE_WIDTH * (layer - 0.5) / self.layers

    def y(self, number: NDArray[np.float64] | float) -> Any:
        """Return where a number lies, zero just below the panel and infinity above; nan is nan."""
        with np.errstate(divide="ignore", invalid="ignore"):
            exponent = np.log10(number)
        share = (exponent - self.low) / (self.high - self.low)
        return self.bottom + self.height * np.clip(share, -0.03, 1.03)

    def grid(self) -> Iterator[Artist]:
        """Yield what does not depend on the numbers."""
        right, above = PROFILE_LEFT + PROFILE_WIDTH, self.bottom + self.height + 0.012
        yield small_text(PROFILE_LEFT, above, PROFILES[self.statistic][0], ha="left", size=7.5)
        for tick, label in decade_ticks(self.low, self.high).items():
            y = self.y(tick)
            yield Line2D((PROFILE_LEFT, right), (y, y), color=GRID, lw=0.6)
            yield small_text(PROFILE_LEFT - 0.015, y, label, ha="right", va="center_baseline")
        if self.place == self.count - 1:
            for layer in layer_ticks(self.layers):
                yield small_text(self.x(layer), self.bottom - 0.015, f"{layer}", va="top")
            middle = (PROFILE_LEFT + right) / 2
            yield small_text(middle, 0.045, "hidden layer", va="top", size=7.5)

    def marks(self, profile: Profile) -> Iterator[Artist]:
        """Yield the prediction, and the points over it."""
        _, color = PROFILES[self.statistic]
        layers = self.x(np.arange(1, self.layers + 1))
        if profile.predicted.size:
            x = layers if self.layers > 1 else self.x(np.array([0.8, 1.2]))  # a point is no line
            rows = self.y(np.broadcast_to(profile.predicted, (3, len(x))))
            known = np.isfinite(rows).all(axis=0)
            x, (value, low, high) = x[known], rows[:, known]
            if x.size:
                around = np.column_stack([[*x, *x[::-1]], [*low, *high[::-1]]])
                yield Polygon(around, color=color, alpha=0.2, lw=0)
                yield Line2D(x, value, color=color, lw=0.9)
        size = float(np.clip(100 / self.layers, 1.6, 4.2))
        for numbers, ink, fill, share in zip(
            profile.measured, (INK, color), ("none", color), (1, 0.75)
        ):
            style: dict[str, Any] = {"mec": ink, "mfc": fill, "ms": share * size, "mew": 0.6}
            yield Line2D(layers, self.y(numbers), ls="", marker="o", **style)
        if profile.lost:
            above = self.bottom + self.height + 0.012
            yield small_text(PROFILE_LEFT + PROFILE_WIDTH, above, profile.lost, ha="right")


@functools.lru_cache(maxsize=4)
def profile_stage(panels: tuple[ProfilePanel, ...]) -> Stage:
    """Return the stage of depth profiles, whose lines and texts stand in the figure itself."""
    figure = square("")
    for panel in panels:
        for mark in panel.grid():
            figure.add_artist(mark)
    words = {"ha": "center", "va": "top", "fontsize": 7.5, "color": INK}
    return Stage(figure, figure, figure.text(0.5, 0.935, "", words))


def sized(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the numbers that have a place on a logarithmic axis."""
    return numbers[(numbers > 0) & np.isfinite(numbers)]


def small_text(
    x: float,
    y: float,
    words: str,
    ha: Literal["left", "center", "right"] = "center",
    va: Literal["baseline", "center_baseline", "top"] = "baseline",
    size: float = 7,
) -> Text:
    """Return a text in or beside a panel."""
    return Text(x, y, words, fontsize=size, color=INK, ha=ha, va=va)


def decade_ticks(low: int, high: int) -> dict[float, str]:
    """Return some numbers from one power of ten to another, with their labels."""
    step = math.ceil((high - low) / MOST_DECADES)
    ticks = [(1, exponent) for exponent in range(low, high + 1, step)]
    if high - low == 1:
        ticks += [(2, low), (5, low)]
    plain = max(abs(low), abs(high)) <= 3
    found = {}
    for digit, exponent in ticks:
        number = digit * 10.0**exponent
        long = f"{digit}·{power(exponent)}".removeprefix("1·")
        found[number] = f"{number:g}" if plain else long
    return found


def layer_ticks(layers: int) -> list[int]:
    """Return the layers that an axis names."""
    steps = (digit * 10**exponent for exponent in itertools.count() for digit in (1, 2, 5))
    step = next(step for step in steps if layers <= step * MOST_TICKS)
    return [1] * (step > 2) + [*range(step, layers + 1, step)]


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
