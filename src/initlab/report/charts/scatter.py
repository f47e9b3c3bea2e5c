"""Scatter: how well each setting of a random search did, over the two keys that vary."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from initlab.figures import INK
from initlab.report.charts.heat_map import color_scale, ranking_metric, result
from initlab.report.charts.keys import numeric_values, search_keys
from initlab.report.charts.layout import Chart, titled_figure
from initlab.report.charts.scales import Floats, Scale
from initlab.report.charts.styles import DIM
from initlab.report.charts.words import SMALL, compact, wrap
from initlab.report.comparison import Comparison
from initlab.report.formatting import format_count
from initlab.report.score import Score
from initlab.tracking.names import Outcome

HEIGHT = 4.0  # of the panel and the bar of colors
NAME = 2.5  # inches that the name of an axis may take
STOPPED = (
    Outcome.PRUNED,
    Outcome.KILLED,
    Outcome.RUNNING,
    Outcome.FINISHED,
)  # not because of their own numbers
DOT, RING = 5.0, 9.0  # points


def draw_scatter(comparison: Comparison) -> Chart | None:
    """Draw each setting of a random search as a point, as light as it is good.

    None if the values that vary are those of a grid, or other than two numbers.
    """
    keys = search_keys(comparison)
    if not keys:
        return None
    subject, share = ranking_metric(comparison)
    places = np.column_stack([numeric_values(comparison, key) or [] for key in keys])
    done = [each for each in reversed(comparison.ranked) if result(each) is not None]
    values = np.array([result(each) for each in done], np.float64)
    outcomes = {
        each.number: Counter(run.outcome for run in each.runs).most_common(1)[0][0]
        for each in comparison.settings
        if each not in done
    }
    marks = []
    for best in done[-1:]:
        where = ", ".join(f"{key} {compact(float(best.values[key]))}" for key in keys)
        note = f"best: {result_label(values[-1], share)} at {where}"
        marks.append(hollow_marks("o", places[[best.number]], note, INK, RING))
    for mark, stopped in (("o", True), ("x", False)):
        lost = {key: word for key, word in outcomes.items() if (word in STOPPED) == stopped}
        note = ", ".join(f"{n} {word}" for word, n in Counter(lost.values()).most_common())
        if lost:
            marks.append(hollow_marks(mark, places[[*lost]], note, DIM, DOT))
    title = f"{subject} by {keys[1]} and {keys[0]}"
    figure = titled_figure(title, HEIGHT, marks)
    panel = figure.subplots()
    for each in marks:
        panel.add_line(each)
    if done:
        draw_results(figure, places[[each.number for each in done]], values, comparison.by)
    for name, key, column in zip("xy", keys, places.T):
        Scale.around(column).apply(panel, name)
        panel.set(**{f"{name}label": wrap(key, NAME, lines=1)})
    notes = "; ".join(str(each.get_label()) for each in marks)
    return Chart(
        "scatter",
        title,
        "The lighter, the better.",
        f"{subject} of {format_count(len(comparison.settings), 'setting')} over {keys[0]} and "
        f"{keys[1]}; {notes}.",
        figure,
    )


def hollow_marks(mark: str, places: Floats, note: str, color: str, size: float) -> Line2D:
    """Return marks at some places, and their note for the legend."""
    x, y = places.T
    return Line2D(x, y, ls="", marker=mark, mfc="none", mec=color, ms=size, label=note, zorder=4)


def draw_results(figure: Figure, places: Floats, values: Floats, score: Score) -> None:
    """Draw points in the colors of their values, and a bar that explains these.

    places  (N, 2)
    """
    colormap, norm = color_scale(values, score)
    x, y = places.T
    points = figure.axes[0].scatter(
        x, y, DOT**2, values, cmap=colormap, norm=norm, edgecolors=INK, lw=0.5, zorder=3
    )
    low, high = float(values.min()), float(values.max())
    middle = float(np.sqrt(low * high)) if isinstance(norm, LogNorm) else (low + high) / 2
    ticks = {tick: result_label(tick, score.share) for tick in (low, middle, high)}
    bar = figure.colorbar(points, orientation="horizontal", aspect=36, pad=0.03)
    bar.set_ticks([*ticks], labels=[*ticks.values()], fontsize=SMALL)
    bar.minorticks_off()
    bar.outline.set_visible(False)


def result_label(value: float, share: bool) -> str:
    """Return an accuracy in percent, or a loss."""
    return f"{value:.1%}" if share else compact(value)
