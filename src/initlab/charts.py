"""Charts: many runs in one picture, where every setting has its own colour.

Pictures are drawn as wide as a phone, so that their letters can be read there. What is told of
them stands beside the panels and covers no curve.
"""

from __future__ import annotations

import io
import math
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from PIL import Image

from initlab import figures
from initlab.comparison import Comparison, Curve, Run, Setting, natural
from initlab.figures import BLUE, GREEN, GRID, INK, ORANGE

Floats = NDArray[np.float64]
Color = tuple[float, float, float]

# Okabe & Ito's palette without black, which is for words, and yellow, which is lost on white. The
# last is of Paul Tol's, the farthest from the others in the eyes of the colour-blind.
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#661100")
DASHES = ((), (4, 1.6), (1.2, 1.4), (5, 1.5, 1.2, 1.5))  # in widths of the line
GREY, DIM, EMPTY = "#c2c2c2", "#5f5f5f", "#ececec"
SHADES = matplotlib.colormaps["viridis"]
LUMINANCE = (0.2126, 0.7152, 0.0722)
LINE, THIN = 1.5, 0.6  # points

WIDTH, DPI = 4.4, 200  # inches, as all lengths but those of letters and lines
LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 0.56, 0.26, 0.34, 0.44, 2.5  # around a panel, and its own
MARGIN = 0.12  # of words
TITLE, SIZE, SMALL = 10.0, 9.0, 7.5  # points
LEADING, TIGHT = 0.175, 0.12  # from line to line, of usual and of small words
STROKE, HANDLE = 0.32, 0.42  # of a line in a legend, and from its start to its words
LINES, LETTERS = 3, 400  # of a name, before it is cut

TITLES = {"train/loss": "training loss", "f": "value of f", "test/accuracy": "test accuracy"}
FILES = {"train/loss": "loss", "f": "f", "test/accuracy": "accuracy"}
FIFTIETH = 50  # a running mean is over such a part of a run
POINTS = 600  # of a line, about as many as it has pixels
MARKED = 30  # points of a line up to which each is marked
BEYOND = 10.0  # times the highest that finished, up to where the others are shown
ALIKE = 0.01  # of the axis that lines are apart which cannot be told from each other
DECADES = 12  # of a logarithmic axis at the most
HUGE = 1e100

MOST_ROWS, MOST_COLUMNS = 60, 20  # of a heat map
CELL, WIDE_CELL, CELL_HEIGHT, LOW_CELL = 0.56, 0.95, 0.36, 0.3
WIDEST_NAME = 1.9  # of a row

BEST = 24  # settings whose histograms are drawn
ROWS = 8  # of them in one picture
BARS = 0.4  # the height of a histogram
GAP = 0.08  # between two


@dataclass(frozen=True)
class Style:
    """How a setting is drawn.

    color   as #rrggbb
    dashes  ink and gap by turns, in widths of the line; empty for a solid one
    own     whether it can be told from the others; a grey one cannot
    """

    color: str
    dashes: tuple[float, ...] = ()
    own: bool = True

    @property
    def line(self) -> dict[str, Any]:
        """The same as Matplotlib names it."""
        return {
            "color": self.color,
            "linestyle": (0, self.dashes) if self.dashes else "-",
            "linewidth": LINE if self.own else THIN,
        }


@dataclass(frozen=True, eq=False)
class Chart:
    """One picture, and what is to be said of it.

    name     of its file, less .png
    title    its subject; charts of one title follow each other
    caption  what one must know to read it
    alt      what it shows, for those who cannot see it
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure


def drawn(comparison: Comparison) -> Iterator[Chart]:
    """Yield each chart that there is something for."""
    for metric in TITLES:
        if chart := courses(comparison, metric):
            yield chart
    if chart := heat_map(comparison):
        yield chart
    yield from activations(comparison)


def colors(comparison: Comparison) -> list[Style]:
    """Return the style of each setting, by its number.

    Up to seven settings have a colour each, in the order of their numbers. If there are more and
    just two keys vary, the one with more values is told by colours, the other by dashes. Otherwise
    the best seven have colours, the best the first, and the others are grey.
    """
    if keys := crossed(comparison):
        hues, strokes = (options(comparison, key) for key in keys)
        return [
            Style(
                PALETTE[hues.index(setting.values.get(keys[0], ""))],
                DASHES[strokes.index(setting.values.get(keys[1], ""))],
            )
            for setting in comparison.settings
        ]
    styles = [Style(GREY, own=False)] * len(comparison.settings)
    for color, setting in zip(PALETTE, colored(comparison)):
        styles[setting.number] = Style(color)
    return styles


def colored(comparison: Comparison) -> list[Setting]:
    """Return the settings that have a colour of their own, in the order of the palette."""
    few = len(comparison.settings) <= len(PALETTE)
    return comparison.settings if few else comparison.ranked[: len(PALETTE)]


def crossed(comparison: Comparison) -> tuple[str, str] | None:
    """Return the keys that colours and dashes tell, None where colours do for all."""
    keys = axes(comparison)
    if len(keys) != 2 or len(comparison.settings) <= len(PALETTE):
        return None
    more, fewer = by_count(comparison, keys)
    fits = len(options(comparison, more)) <= len(PALETTE)
    return (more, fewer) if fits and len(options(comparison, fewer)) <= len(DASHES) else None


def axes(comparison: Comparison) -> list[str]:
    """Return what varies but for the seed."""
    return [key for key in comparison.varies if key != "seed"]


def by_count(comparison: Comparison, keys: Iterable[str]) -> list[str]:
    """Return keys in the order of how many values they have, the most first."""
    return sorted(keys, key=lambda key: -len(options(comparison, key)))


def options(comparison: Comparison, key: str) -> list[str]:
    """Return the values of a key in order, "" among them if a setting does without."""
    return sorted({setting.values.get(key, "") for setting in comparison.settings}, key=natural)


def legend(comparison: Comparison) -> list[tuple[str, Style]]:
    """Return what the lines mean."""
    if keys := crossed(comparison):
        hues, strokes = (options(comparison, key) for key in keys)
        return [
            *((said(keys[0], value), Style(color)) for value, color in zip(hues, PALETTE)),
            *((said(keys[1], value), Style(DIM, dash)) for value, dash in zip(strokes, DASHES)),
        ]
    styles, own = colors(comparison), colored(comparison)
    entries = [(setting.name, styles[setting.number]) for setting in own]
    others = len(comparison.settings) - len(own)
    return [*entries, (f"{others} others", Style(GREY, own=False))] if others else entries


def said(key: str, value: str) -> str:
    """Return a value as it is typed; one that is not there is told in words."""
    return f"{key}={value}" if value else f"no {key}"


@dataclass(frozen=True, eq=False)
class Course:
    """What a metric did in the runs of a setting.

    steps            (S,)
    mean, low, high  of the runs that finished: (S,), empty if none did
    broken           each of the others with its steps and values
    """

    setting: Setting
    steps: Floats
    mean: Floats
    low: Floats
    high: Floats
    broken: list[tuple[Run, Floats, Floats]]

    @classmethod
    def of(cls, setting: Setting, metric: str) -> Course:
        """Average the runs of a setting, which may have steps of their own."""
        found = {
            run: line(run.curves[metric], metric) for run in setting.runs if metric in run.curves
        }
        done = [found.pop(run) for run in setting.finished if run in found]
        steps = np.unique(np.concatenate([steps for steps, _ in done] or [np.empty(0)]))
        if len(steps) > POINTS:
            steps = steps[np.linspace(0, len(steps) - 1, POINTS).round().astype(np.intp)]
        values = [np.interp(steps, *one, left=np.nan, right=np.nan) for one in done] or [steps]
        return cls(
            setting,
            steps,
            np.nanmean(values, axis=0),
            np.nanmin(values, axis=0),
            np.nanmax(values, axis=0),
            [(run, *points) for run, points in found.items()],
        )


def line(curve: Curve, metric: str) -> tuple[Floats, Floats]:
    """Return steps and values as they are drawn: of the noisy loss of batches, a running mean."""
    width = window(curve) if metric == "train/loss" else 1
    kernel = np.full(width, 1 / width)
    values = np.clip(curve.values, -HUGE, HUGE)
    return np.convolve(curve.steps, kernel, "valid"), np.convolve(values, kernel, "valid")


def window(curve: Curve) -> int:
    """Return over how many steps the mean runs."""
    return max(1, len(curve.steps) // FIFTIETH)


def courses(comparison: Comparison, metric: str) -> Chart | None:
    """Draw a metric over the steps: a line a setting, and a band over its runs.

    Runs that did not finish are drawn by themselves, thin, up to a cross.
    """
    found = [Course.of(setting, metric) for setting in comparison.ranked]
    found = [course for course in found if course.mean.size or course.broken]
    if not found:
        return None
    share = metric == "test/accuracy"
    low, high, log = (0.0, 1.0, False) if share else limits(found, metric)
    styles = colors(comparison)
    banded = len(comparison.settings) <= len(PALETTE)
    sheet, panel = framed(TITLES[metric], legend(comparison))
    for course in reversed(found):  # the best lies over the others
        draw(panel, course, styles[course.setting.number], (low, high), banded)
    # All charts have the same axis of steps, so that they can stand side by side.
    last = max(curve.steps[-1] for run in comparison.runs for curve in run.curves.values())
    measure(panel, int(last), (low, high), log, share)

    several = any(len(course.setting.finished) > 1 for course in found)
    broke = any(run.outcome != "running" for course in found for run, *_ in course.broken)
    values = np.concatenate([*bounds(found)])
    caption = (
        smoothing(comparison) if metric == "train/loss" else "",
        greyness(comparison),
        "Line: mean over the runs of a setting." if several else "",
        "Band: from the lowest to the highest of them." if several and banded else "",
        covered(found, (low, high), log) if banded else "",
        "Thin lines up to a ×: runs that diverged or broke off." if broke else "",
        "What lies beyond the axis is cut." if not share and cut(values, low, high) else "",
    )
    return Chart(
        FILES[metric],
        TITLES[metric],
        " ".join(filter(None, caption)),
        courses_told(TITLES[metric], found, "{:.1%}" if share else "{:.3g}"),
        sheet.figure,
    )


def limits(found: Sequence[Course], metric: str) -> tuple[float, float, bool]:
    """Return the lower and the upper end of the axis, and whether it is logarithmic.

    On it lies where the runs that finish start and end. What comes between, and the others, may
    rise to ten times as high. It has twelve decades at the most.
    """
    runs = [run for each in found for run in each.setting.runs if metric in run.curves]
    done = [run for run in runs if run.outcome == "finished"]
    starts = [run.curves[metric].values[0] for run in done or runs]
    ends = [value for each in found for value in each.high[-1:]]
    most = BEYOND * min(float(max(starts + ends)), HUGE)
    values = np.concatenate([*bounds(found)])
    top = min(most, float(values.max())) if most > 0 else float(values.max())
    values = np.minimum(values, top)
    positive = values[values > 0]
    if values.min() >= 0 and figures.logarithmic(positive):
        return max(float(positive.min()), top / 10**DECADES) / 1.15, top * 1.15, True
    low = min(0.0, float(values.min()))
    return low, (low + 1.05 * (top - low)) or 1.0, False


def bounds(found: Sequence[Course]) -> Iterator[Floats]:
    """Yield all that is drawn."""
    for course in found:
        yield from (course.low, course.high)
        yield from (values for _, _, values in course.broken)


def cut(values: Floats, low: float, high: float) -> bool:
    """Tell whether anything lies beyond the axis."""
    return bool(((values < low) | (values > high)).any())


def draw(
    panel: Axes, course: Course, style: Style, ends: tuple[float, float], banded: bool
) -> None:
    """Draw the course of a setting."""
    floor = ends[0] / 10 if ends[0] > 0 else 2 * ends[0] - ends[1]

    def near(values: Floats) -> Floats:
        """Keep what lies far beyond the axis from overflowing."""
        return np.clip(values, floor, ends[1] * 10)

    if course.mean.size:
        marker = "o" if style.own and len(course.steps) <= MARKED else ""
        panel.plot(course.steps, near(course.mean), marker=marker, markersize=2.5, **style.line)
        if banded and len(course.setting.finished) > 1:
            low, high = near(course.low), near(course.high)
            panel.fill_between(course.steps, low, high, color=style.color, alpha=0.2, lw=0)
    for run, steps, values in course.broken:
        panel.plot(steps, near(values), **style.line | {"linewidth": THIN})
        if run.outcome != "running":
            where = np.clip(values[-1:], *ends)
            panel.plot(steps[-1:], where, "x", color=style.color, markersize=5, clip_on=False)


def covered(found: Sequence[Course], ends: tuple[float, float], log: bool) -> str:
    """Say which settings cannot be seen because a better one looks the same, "" if all can."""

    def heights(values: Floats) -> Floats:
        """Return where values lie on the axis, from 0 to 1."""
        if not log:
            return (values - ends[0]) / (ends[1] - ends[0])
        return np.log(np.maximum(values, ends[0]) / ends[0]) / math.log(ends[1] / ends[0])

    lines = [each for each in found if each.mean.size]
    words = []
    for place, course in enumerate(lines):
        own = heights(course.mean)
        for better in lines[:place]:
            other = np.interp(course.steps, better.steps, heights(better.mean))
            if np.abs(own - other).max() < ALIKE:
                words.append(f"{course.setting.name} lies behind {better.setting.name}.")
                break
    return " ".join(words)


def measure(panel: Axes, last: int, ends: tuple[float, float], log: bool, share: bool) -> None:
    """Give a panel of steps its axes, with few ticks, which take most of the time."""
    if log:
        panel.set_yscale("log")
    panel.set_xlim(-0.01 * (last or 1), 1.01 * (last or 1))
    panel.set_ylim(ends[0], ends[1] + 0.02 * share)
    steps = [
        step
        for step in MaxNLocator(5, steps=[1, 2, 5, 10], integer=True).tick_values(0, last)
        if 0 <= step <= last
    ]
    panel.set_xticks(steps, [f"{step:,.0f}" for step in steps])
    ticks = decades(*ends) if log else MaxNLocator(5).tick_values(*ends)
    ticks = [tick for tick in ticks if ends[0] <= tick <= ends[1]]
    panel.set_yticks(ticks, [f"{tick:.0%}" if share else number(tick) for tick in ticks])
    panel.minorticks_off()
    panel.tick_params(labelsize=SIZE, color=DIM, length=2.5)
    panel.set_xlabel("step", fontsize=SIZE, color=INK, labelpad=2)
    panel.grid(color=GRID, lw=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def decades(low: float, high: float) -> list[float]:
    """Return powers of ten between the ends of an axis, or if they are few, numbers between."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    digits = (1, 2, 5) if last - first < 3 else (1,)
    every = math.ceil((last - first) / 7) or 1
    return [digit * 10.0**power for power in range(first, last + 1, every) for digit in digits]


def number(value: float) -> str:
    """Return a number of an axis."""
    power = math.log10(abs(value)) if value else 0.0
    return f"{value:g}" if abs(power) <= 3 or power % 1 else figures.power(power)


def smoothing(comparison: Comparison) -> str:
    """Say over how many steps the mean runs, "" if over single ones."""
    losses = [run.curves["train/loss"] for run in comparison.runs if "train/loss" in run.curves]
    widths = {window(curve) for curve in losses}
    if widths == {1}:
        return ""
    return f"Running mean over a fiftieth of each run: {plural(max(widths), 'step')}" + (
        "." if len(widths) == 1 else " at the most."
    )


def greyness(comparison: Comparison) -> str:
    """Say which settings are grey, "" if none is."""
    count, own = len(comparison.settings), len(colored(comparison))
    grey = count > own and not crossed(comparison)
    return f"The best {own} of {count} settings are in colour, the others grey." if grey else ""


def courses_told(title: str, found: Sequence[Course], form: str) -> str:
    """Say what a chart shows: how many settings, and which ended highest and lowest."""
    words = f"{title} over the steps of {plural(len(found), 'setting')}"
    ended = [(float(each.mean[-1]), each.setting.name) for each in found if each.mean.size]
    if not ended:
        return f"{words}; none finished."
    (low, lowest), (high, highest) = min(ended), max(ended)
    if len(ended) == 1:
        return f"{words}; {lowest} ended at {form.format(low)}."
    return (
        f"{words}; {highest} ended highest at {form.format(high)}, "
        f"{lowest} lowest at {form.format(low)}."
    )


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def heat_map(comparison: Comparison) -> Chart | None:
    """Draw the test accuracy, or the loss where there is none, over the two keys that vary.

    The better, the lighter; a frame marks the best, and a cell without a number says why. None if
    other than two keys vary, or if they have more values than a page has room for.
    """
    keys = axes(comparison)
    if len(keys) != 2:
        return None
    down, across = by_count(comparison, keys)
    rows, columns = options(comparison, down), options(comparison, across)
    if len(rows) > MOST_ROWS or len(columns) > MOST_COLUMNS:
        return None
    share = any(setting.accuracy for setting in comparison.settings)
    title = "test accuracy" if share else "final loss"
    spreads = [each.accuracy if share else each.loss for each in comparison.settings]
    values = [min(spread.mean, HUGE) if spread else None for spread in spreads]
    shade = shades([value for value in values if value is not None], share)
    placed = {
        (setting.values.get(down, ""), setting.values.get(across, "")): setting
        for setting in comparison.settings
    }
    sheet, place = lattice(f"{title}, %" if share else title, (down, rows), (across, columns))
    best = comparison.ranked[0]
    told = []
    for row, column in np.ndindex(len(rows), len(columns)):
        setting = placed.get((rows[row], columns[column]))
        value = values[setting.number] if setting else None
        words = cell_words(setting, value, share)
        fill = EMPTY if value is None else shade(value)
        fill_cell(sheet, place(row, column), words, fill, setting is best and value is not None)
        told.append(f"{rows[row] or 'none'}, {columns[column] or 'none'}: {' '.join(words)}")
    return Chart(
        "heat_map",
        f"{title} by {down} and {across}",
        "The lighter, the better; a frame marks the best.",
        f"{title} by {down} and {across}. {'; '.join(told)}.",
        sheet.figure,
    )


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


def fill_cell(
    sheet: Sheet, place: tuple[float, float, float, float], words: list[str], fill: Any, best: bool
) -> None:
    """Draw a cell at x, y of a width and a height, with as many words as it has room for."""
    x, y, width, height = place
    words = words[: round(height / TIGHT)]
    empty = fill == EMPTY
    ink = DIM if empty else INK if np.dot(fill, LUMINANCE) > 0.45 else "white"
    ring = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    sheet.add(PolyCollection([ring], facecolors=[fill], edgecolors="white", lw=1, zorder=0))
    if best:
        inner = np.array(ring) + 0.025 * np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
        sheet.add(PolyCollection([inner], facecolors="none", edgecolors=ink, lw=1.2))
    for line, text in enumerate(words):
        below = (line - (len(words) - 1) / 2) * TIGHT
        size = SMALL if empty or line else SIZE
        sheet.write(x + width / 2, y + height / 2 + below, text, size, ink, ha="center")


def lattice(
    title: str, down: tuple[str, list[str]], across: tuple[str, list[str]]
) -> tuple[Sheet, Callable[[int, int], tuple[float, float, float, float]]]:
    """Return a sheet with the names of rows and columns, and what tells the place of a cell."""
    rows, columns = ([value or "none" for value in values] for _, values in (down, across))
    left = min(max(length(text) for text in [*rows, down[0]]) + 0.2, WIDEST_NAME)
    widest = max(map(length, columns)) + 0.1
    width = max(CELL, min(widest, WIDE_CELL), (WIDTH - left - MARGIN) / len(columns))
    height = CELL_HEIGHT if len(rows) <= ROWS else LOW_CELL
    heads = [wrapped(text, width - 0.06) for text in columns]
    top = TOP + LEADING * (1 + max(map(len, heads)))
    middle = left + width * len(columns) / 2
    sheet = Sheet(left + width * len(columns) + MARGIN, top + height * len(rows) + 0.1)

    sheet.write(MARGIN, 0.18, title, TITLE)
    (key,) = wrapped(across[0], width * len(columns), lines=1)
    sheet.write(middle, TOP + LEADING / 2, key, color=DIM, ha="center")
    (key,) = wrapped(down[0], left - 0.2, lines=1)
    sheet.write(left - 0.08, top - LEADING / 2, key, color=DIM, ha="right")
    for column, words in enumerate(heads):
        for line, text in enumerate(reversed(words)):
            x, y = left + width * (column + 0.5), top - LEADING * (line + 0.5)
            sheet.write(x, y, text, ha="center")
    for row, text in enumerate(rows):
        (shown,) = wrapped(text, left - 0.2, lines=1)
        sheet.write(left - 0.08, top + height * (row + 0.5), shown, ha="right")

    def place(row: int, column: int) -> tuple[float, float, float, float]:
        return left + width * column, top + height * row, width, height

    return sheet, place


def activations(comparison: Comparison) -> Iterator[Chart]:
    """Draw the histograms of activations, a row a setting, best first, and a column a layer.

    Of each setting it is the first run that has any: the last snapshot filled, the first a line.
    """
    found = [
        (setting, run)
        for setting in comparison.ranked
        if (run := next(filter(recorded, setting.runs), None))
    ]
    shown = found[:BEST]
    styles = colors(comparison)
    columns = max((len(chosen(run)) for _, run in shown), default=0)
    pictures = math.ceil(len(shown) / ROWS)
    rows = math.ceil(len(shown) / max(1, pictures))
    for index in range(pictures):
        part = shown[index * rows : (index + 1) * rows]
        names = ", ".join(setting.name for setting, _ in part)
        yield Chart(
            f"activations_{index + 1}" if index else "activations",
            "activations",
            "" if index else activations_told(shown, len(found)),
            f"Histograms of the activations of each layer, from top to bottom of {names}.",
            contact_sheet(part, columns, styles).figure,
        )


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


def activations_told(shown: Sequence[tuple[Setting, Run]], count: int) -> str:
    """Say what one must know to read the histograms."""
    started = any(len(run.histograms["steps"]) > 1 for _, run in shown)
    several = any(len(setting.runs) > 1 for setting, _ in shown)
    deep = any(len(chosen(run)) < run.histograms["activations/counts"].shape[1] for _, run in shown)
    caption = (
        "Filled: at the end; line: at the start." if started else "",
        "Each is as high as its room; a bin that towers over the others is cut.",
        "Of a setting of several runs, the first is shown." if several else "",
        f"Of a deep network, {figures.MOST_LAYERS} layers are shown." if deep else "",
        f"The best {len(shown)} of {count} settings are shown." if len(shown) < count else "",
    )
    return " ".join(filter(None, caption))


def contact_sheet(
    rows: Sequence[tuple[Setting, Run]], columns: int, styles: Sequence[Style]
) -> Sheet:
    """Draw the histograms of some runs below each other, in so many columns."""
    alike = len({tuple(chosen(run)) for _, run in rows}) == 1
    shared = len({tuple(run.histograms["activations/edges"]) for _, run in rows}) == 1
    strips = [
        Strip(
            setting,
            run,
            labelled=not alike or run is rows[0][1],
            scaled=not shared or run is rows[-1][1],
        )
        for setting, run in rows
    ]
    sheet = Sheet(WIDTH, TOP + sum(strip.height for strip in strips))
    sheet.write(MARGIN, 0.18, "activations", TITLE)
    y = TOP
    for strip in strips:
        strip.draw(sheet, y, (WIDTH - 2 * MARGIN + GAP) / columns, styles[strip.setting.number])
        y += strip.height
    return sheet


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


def framed(title: str, entries: Sequence[tuple[str, Style]]) -> tuple[Sheet, Axes]:
    """Return a sheet with a panel under its title and over its legend."""
    room = WIDTH - 2 * MARGIN
    widest = HANDLE + max(length(name) for name, _ in entries) + MARGIN
    columns = min(max(1, int(room / widest)), len(entries))
    rows = math.ceil(len(entries) / columns)
    names = [wrapped(name, room - HANDLE) for name, _ in entries]
    lines = [max(map(len, names[row::rows])) for row in range(rows)]
    top = TOP + HEIGHT + BOTTOM
    sheet = Sheet(WIDTH, top + LEADING * sum(lines) + 0.06)
    sheet.write(MARGIN, 0.18, title, TITLE)
    for index, (name, (_, style)) in enumerate(zip(names, entries)):
        column, row = divmod(index, rows)
        x = MARGIN + room / columns * column
        y = top + LEADING * (sum(lines[:row]) + 0.5)
        sheet.add(Line2D((x, x + STROKE), (y, y), **style.line))
        for line, text in enumerate(name):
            sheet.write(x + HANDLE, y + LEADING * line, text)
    return sheet, sheet.panel(LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT)


class Sheet:
    """A figure whose places are inches from its top left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.size = np.array([width, height])
        self.figure = Figure((width, height), dpi=DPI)
        self.inches = Affine2D().scale(1, -1).translate(0, height) + self.figure.dpi_scale_trans

    def panel(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes."""
        all_across, all_down = self.size
        corner = (x / all_across, 1 - (y + height) / all_down)
        return self.figure.add_axes((*corner, width / all_across, height / all_down))

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


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file of 256 colours, a quarter of what all take."""
    image = Image.fromarray(figures.pixels(figure)).quantize(256, Image.Quantize.FASTOCTREE)
    levels = image.getpalette() or []
    image.putpalette([255 if level == 254 else level for level in levels])  # white is white
    buffer = io.BytesIO()
    image.save(buffer, format="png", dpi=(DPI, DPI))
    return buffer.getvalue()


@lru_cache(maxsize=4096)
def length(text: str, size: float = SIZE) -> float:
    """Return how wide a text is."""
    font = FontProperties(size=size)
    width, *_ = text_to_path.get_text_width_height_descent(clean(text), font, ismath=False)
    return float(width) / 72


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """Return a text in one line, with a mark for each letter that the font does not have."""
    font = get_font(findfont(FontProperties()))
    words = " ".join(text[:LETTERS].split())
    return "".join(c if font.get_char_index(ord(c)) else "\N{WHITE SQUARE}" for c in words)


def wrapped(text: str, room: float, size: float = SIZE, lines: int = LINES) -> list[str]:
    """Break a text into a few lines, between words if it can be; what is too long is cut."""
    found = [""]
    for word in clean(text).split(" "):
        joined = f"{found[-1]} {word}".strip()
        if length(joined, size) <= room:
            found[-1] = joined
            continue
        if found[-1]:
            found.append("")
        while length(word, size) > room:
            sizes = range(2, len(word))
            fits = 1 + bisect(sizes, room, key=lambda end: length(word[:end], size))
            found[-1] = word[:fits]
            found.append("")
            word = word[fits:]
        found[-1] = word
    if len(found) > lines:
        last = found[lines - 1]
        while last and length(f"{last}…", size) > room:
            last = last[:-1]
        found = [*found[: lines - 1], f"{last}…"]
    return found
