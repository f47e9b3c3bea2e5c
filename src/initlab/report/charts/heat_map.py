"""Heat map: how well each setting did, over the two keys that vary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from initlab import figures
from initlab.figures import INK
from initlab.nn.metrics import Metric
from initlab.nn.theory import TRAINABLE
from initlab.report.charts.keys import (
    most_values_first,
    numeric_values,
    search_keys,
    values_of,
    varied_keys,
)
from initlab.report.charts.layout import LINE, MARGIN, WIDTH, Chart, line_count, titled_figure
from initlab.report.charts.scales import HUGE, Floats
from initlab.report.charts.styles import DIM
from initlab.report.charts.words import SIZE, SMALL, compact, sentences, text_width, wrap
from initlab.report.comparison import Comparison, Setting
from initlab.report.findings import DEPTH, depth_scale
from initlab.report.score import Score
from initlab.tracking.names import Outcome

EMPTY = "#ececec"  # a cell without a number
LUMINANCE = (0.2126, 0.7152, 0.0722, 0.0)
MOST_ROWS, MOST_COLUMNS = 60, 20
FEW_ROWS = 8  # whose cells are high
CELL, HIGH_CELL, LOW_CELL = 0.7, 0.36, 0.3  # the width that names may take, and the heights
EDGE = 0.1  # of a cell, beside its text
NAME, WORD = 1.7, 1.4  # of a row and of a line in a cell, at most
LINE_WIDTH, HALO = 2.0, 2.5  # points
BEYOND = 1000  # cells that a line leaves the picture by, at most


def draw_heat_map(comparison: Comparison) -> Chart | None:
    """Draw the accuracy that settings are ranked by, else the loss, over the two keys that vary.

    The better, the lighter; a frame marks the best, and a cell without a number says why. None if
    other than two keys vary, or if they are of a random search or have more values than a page has
    room for. None as well if most cells were not run, or no more than one for each value of a key,
    as where two keys were walked together.
    """
    keys = varied_keys(comparison)
    if len(keys) != 2 or search_keys(comparison):
        return None
    down, across = most_values_first(comparison, keys)
    predicted = predicted_depths(comparison, keys)
    if predicted and down != DEPTH and len(values_of(comparison, down)) <= MOST_COLUMNS:
        down, across = across, down  # a phase diagram is usually drawn with its depth upright
    rows, columns = values_of(comparison, down), values_of(comparison, across)
    if len(rows) > MOST_ROWS or len(columns) > MOST_COLUMNS:
        return None
    filled = len(comparison.settings)
    if 2 * filled < len(rows) * len(columns) or filled <= max(len(rows), len(columns)):
        return None
    subject, share = ranking_metric(comparison)
    placed = {
        (setting.values.get(down, ""), setting.values.get(across, "")): setting
        for setting in comparison.settings
    }
    grid = [[placed.get((row, column)) for column in columns] for row in rows]
    values = np.array([[result(setting) for setting in row] for row in grid], np.float64)
    texts = [[cell_text(setting, share) for setting in row] for row in grid]

    figure, panel = labeled_map(
        f"{subject}, %" if share else subject, (down, rows), (across, columns), texts
    )
    colormap, norm = color_scale(values[np.isfinite(values)], comparison.by)
    panel.pcolormesh(values, cmap=colormap, norm=norm, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(values):
        light = np.dot(colormap(norm(value)), LUMINANCE) > 0.45
        ink = DIM if np.isnan(value) else INK if light else "white"
        lines = texts[row][column][: 2 if len(rows) > FEW_ROWS else 3]
        size = SMALL if np.isnan(value) or len(lines) > 1 else SIZE
        place: dict[str, Any] = {
            "ha": "center",
            "va": "center_baseline",
            "in_layout": False,
        }  # within its cell
        if predicted:  # a line may go through it
            place["path_effects"] = [withStroke(linewidth=HALO, foreground=colormap(norm(value)))]
        text = "\n".join(lines)
        panel.text(column + 0.5, row + 0.5, text, size=size, color=ink, linespacing=1.0, **place)
        if grid[row][column] is comparison.ranked[0] and np.isfinite(value):
            frame = Rectangle((column + 0.02, row + 0.07), 0.96, 0.86)
            frame.set(fill=False, edgecolor=ink, linewidth=1.2)
            panel.add_patch(frame)
    captions = []
    if np.isfinite(values).any():
        captions.append("The lighter, the better; a frame marks the best.")
    alts = []
    if predicted:
        straight = numeric_values(comparison, across if down == DEPTH else down) is not None
        draw_depths(panel, (down, rows), (across, columns), predicted, straight)
        what = f"{TRAINABLE:g} ξ_c, the depth that theory expects networks to train to"
        reach = (f"{value or 'none'}: {compact(depth)}" for value, depth in predicted.items())
        captions.append(f"The white line is {what}.")
        alts.append(f"A white line, {what}, is at {', '.join(reach)}.")
    title = f"{subject} by {down} and {across}"
    cells = "; ".join(
        f"{row or 'none'}, {column or 'none'}: {' '.join(lines)}"
        for row, line in zip(rows, texts)
        for column, lines in zip(columns, line)
    )
    return Chart(
        "heat_map",
        title,
        sentences(*captions),
        sentences(f"{title}. {cells}.", *alts),
        figure,
    )


def labeled_map(
    title: str,
    down: tuple[str, list[str]],
    across: tuple[str, list[str]],
    cells: list[list[list[str]]],
) -> tuple[Figure, Axes]:
    """Return a panel with room for some cells, and the names and values of the two keys around."""
    names = [wrap(value or "none", NAME, lines=1) for value in (down[0], *down[1])]
    left = max(map(text_width, names)) + 0.2
    widest = max(text_width(line, SMALL) for row in cells for cell in row for line in cell) + 0.08
    longest = max(text_width(value or "none") for value in across[1]) + EDGE
    width = max(min(CELL, longest), widest, (WIDTH - left - MARGIN) / len(cells[0]))
    heads = [wrap(value or "none", width - 0.06) for value in across[1]]
    height = (LOW_CELL if len(cells) > FEW_ROWS else HIGH_CELL) * len(cells)
    above = LINE * (1 + max(map(line_count, heads))) + 0.2
    figure = titled_figure(title, above + height, width=left + width * len(heads) + MARGIN)
    panel = figure.subplots()
    panel.invert_yaxis()
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    panel.set_xticks(np.arange(len(heads)) + 0.5, heads)
    panel.set_yticks(np.arange(len(cells)) + 0.5, names[1:])
    panel.xaxis.set_label_position("top")
    panel.set_xlabel(wrap(across[0], width * len(heads), lines=1), color=DIM, labelpad=4)
    panel.annotate(
        names[0], (0, 1), (-3.5, 4), "axes fraction", "offset points", ha="right", color=DIM
    )
    return figure, panel


def predicted_depths(comparison: Comparison, keys: Sequence[str]) -> dict[str, float]:
    """Return the depth that is predicted for each value of the key beside `DEPTH`.

    Empty if `DEPTH` is neither of the two keys, or no number, if no run has a prediction, and if
    all predictions are beyond the depths that were run, on the same side.
    """
    if DEPTH not in keys or not numeric_values(comparison, DEPTH):
        return {}
    (key,) = (key for key in keys if key != DEPTH)
    found: dict[str, list[float]] = {}
    for setting in comparison.settings:
        if (scale := depth_scale(setting)) is not None:
            found.setdefault(setting.values.get(key, ""), []).append(TRAINABLE * scale)
    predicted = {value: float(np.mean(depths)) for value, depths in found.items()}
    run = [float(value) for value in values_of(comparison, DEPTH)]
    beyond = not predicted or min(predicted.values()) > run[-1] or max(predicted.values()) < run[0]
    return {} if beyond else predicted


def draw_depths(
    panel: Axes,
    down: tuple[str, list[str]],
    across: tuple[str, list[str]],
    predicted: dict[str, float],
    straight: bool,
) -> None:
    """Draw a line through the predicted depths: straight, or else a step for each value."""
    (_, depths), (_, values) = (down, across) if down[0] == DEPTH else (across, down)
    places = depth_places(
        np.array([float(depth) for depth in depths]),
        np.array([predicted.get(value, np.nan) for value in values]),
    )
    middles = np.arange(len(values)) + 0.5
    if not straight:
        ends = np.stack([middles - 0.5, middles + 0.5, np.full(len(values), np.nan)], axis=-1)
        middles, places = ends.ravel(), np.repeat(places, 3)
    x, y = (middles, places) if down[0] == DEPTH else (places, middles)
    limits = panel.get_xlim(), panel.get_ylim()
    outline = withStroke(linewidth=LINE_WIDTH + 1.4, foreground=INK)
    panel.plot(x, y, color="white", lw=LINE_WIDTH, path_effects=[outline])
    panel.set(xlim=limits[0], ylim=limits[1])


def depth_places(depths: Floats, predicted: Floats) -> Floats:
    """Return where depths lie between the cells of some depths (ascending), in cells.

    Beyond the outer cells, the places go on as between the last two.
    """
    cells = np.arange(len(depths)) + 0.5
    before = np.minimum((predicted - depths[0]) / (depths[1] - depths[0]), 0.0)
    after = np.clip((predicted - depths[-1]) / (depths[-1] - depths[-2]), 0.0, BEYOND)
    return np.asarray(np.interp(predicted, depths, cells) + before + after, np.float64)


def ranking_metric(comparison: Comparison) -> tuple[str, bool]:
    """Return what settings are colored by, and whether it is an accuracy."""
    score = comparison.by
    if not any(setting.score for setting in comparison.settings):
        return "verdict", False
    usual = score.metric in (Metric.TRAIN_LOSS, Metric.F) and not score.best
    return "final loss" if usual else score.title, score.share


def result(setting: Setting | None) -> float | None:
    """Return the score of a setting, None if it has none."""
    return min(setting.score.mean, HUGE) if setting and setting.score else None


def color_scale(values: Sequence[float] | Floats, score: Score) -> tuple[Colormap, Normalize]:
    """Return the colors of scores: the better, the lighter."""
    name = "viridis" if score.higher else "viridis_r"
    colormap = matplotlib.colormaps[name].with_extremes(bad=EMPTY)
    found = np.asarray(values, np.float64)
    low, high = (float(end(found)) if found.size else 1.0 for end in (np.min, np.max))
    if not score.share and figures.logarithmic(found):
        return colormap, LogNorm(low, high)
    return colormap, Normalize(low - (score.higher and low == high), high)


def cell_text(setting: Setting | None, share: bool) -> list[str]:
    """Return the lines of a cell: its number and what did not finish, or why there is none."""
    if setting is None:
        return ["not run"]
    value = result(setting)
    if value is None:
        return [wrap(word, WORD, SMALL, lines=1) for word in setting.words]
    broken = Counter(run.outcome for run in setting.runs if run.outcome != Outcome.FINISHED)
    return [
        f"{100 * value:.1f}" if share else f"{value:.3g}",
        *(f"{count} {outcome}" for outcome, count in broken.items()),
    ]
