"""Scatters: how well each setting of a random search did, over the two keys that vary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from initlab import figures
from initlab.figures import GRID, INK
from initlab.report.charts.heat_maps import measured, shades
from initlab.report.charts.keys import numbers, searched
from initlab.report.charts.pictures import Chart
from initlab.report.charts.scales import HUGE, Floats, Scale
from initlab.report.charts.sheets import LEADING, MARGIN, TIGHT, TOP, WIDTH, Sheet
from initlab.report.charts.styles import DIM
from initlab.report.charts.words import SIZE, SMALL, brief, counted, wrapped
from initlab.report.comparison import Comparison, Setting, Spread

LEFT, RIGHT, BOTTOM, HEIGHT = 0.72, 0.26, 0.46, 2.9  # around the panel, and its own
BAR = 0.1  # the height of the bar of colours
STOPPED = ("pruned", "killed", "running", "finished")  # not by their own numbers
MARKS = {"best": "o", "stopped": "o", "broken": "x"}
DOT, RING = 5.0, 9.0  # points


def scatter(comparison: Comparison) -> Chart | None:
    """Draw each setting of a random search as a point, as light as it is good.

    None if the values that vary are those of a grid, or other than two numbers.
    """
    keys = searched(comparison)
    if not keys:
        return None
    title, share = measured(comparison)
    places = np.column_stack([numbers(comparison, key) or [] for key in keys])
    done = [each for each in reversed(comparison.ranked) if result(each, share)]
    values = [spread.mean for each in done if (spread := result(each, share))]
    lost = [each for each in comparison.settings if not result(each, share)]
    kinds = {
        "stopped": [each for each in lost if outcome(each) in STOPPED],
        "broken": [each for each in lost if outcome(each) not in STOPPED],
    }
    notes = {kind: told(each) for kind, each in kinds.items() if each}
    if done:
        where = ", ".join(f"{key} {brief(float(done[-1].values[key]))}" for key in keys)
        notes = {"best": f"best: {said(values[-1], share)} at {where}"} | notes
    sheet, panel, bar = framed(f"{title} by {keys[1]} and {keys[0]}", notes)
    for kind, settings in kinds.items():
        at = places[[each.number for each in settings]]
        panel.plot(*at.T, MARKS[kind], mfc="none", mec=DIM, ms=DOT, mew=0.9)
    if done:
        draw(panel, bar, places[[each.number for each in done]], values, share)
    bar.set_visible(bool(done))
    for axis, key, column in zip("xy", keys, places.T):
        measure(panel, axis, key, reach(column))
    return Chart(
        "scatter",
        f"{title} by {keys[1]} and {keys[0]}",
        "The lighter, the better.",
        f"{title} of {counted(len(comparison.settings), 'setting')} over {keys[0]} and {keys[1]}; "
        f"{'; '.join(notes.values())}.",
        sheet.figure,
    )


def draw(panel: Axes, bar: Axes, places: Floats, values: Sequence[float], share: bool) -> None:
    """Draw points in the colours of their values, which a bar explains; the last is the best.

    places  (N, 2)
    """
    found = np.minimum(values, HUGE)
    shade = shades([*found], share)
    panel.plot(*places[-1], "o", mfc="none", mec=INK, ms=RING, mew=1.2, zorder=4)
    colors = [shade(value) for value in found]
    x, y = places.T
    panel.scatter(x, y, s=DOT**2, c=colors, edgecolors=INK, linewidths=0.5, zorder=3)
    log = not share and figures.logarithmic(found)
    low, high = found.min(), found.max()
    steps = np.geomspace(low, high, 101) if log else np.linspace(low, high, 101)
    bar.imshow([[shade(value) for value in steps]], aspect="auto", extent=(0, 1, 0, 1))
    bar.set_xticks([0, 0.5, 1], [said(float(steps[place]), share) for place in (0, 50, 100)])
    bar.set_yticks([])
    bar.tick_params(labelsize=SMALL, length=2, pad=2)
    bar.spines[:].set_visible(False)


def result(setting: Setting, share: bool) -> Spread | None:
    """Return what a setting is coloured by, None if it did not finish."""
    return setting.score if share else setting.loss


def said(value: float, share: bool) -> str:
    """Return a result in words."""
    return f"{value:.1%}" if share else brief(value)


def outcome(setting: Setting) -> str:
    """Return what became of most runs of a setting."""
    return Counter(run.outcome for run in setting.runs).most_common(1)[0][0]


def told(settings: Sequence[Setting]) -> str:
    """Say what became of some settings that have no result."""
    words = Counter(map(outcome, settings)).most_common()
    return ", ".join(f"{count} {word}" for word, count in words)


def framed(title: str, notes: dict[str, str]) -> tuple[Sheet, Axes, Axes]:
    """Return a sheet with a panel, a bar of colours below, and marks beside what they mean."""
    room = WIDTH - 3 * MARGIN - 0.1
    lines = {kind: wrapped(text, room) for kind, text in notes.items()}
    top = TOP + HEIGHT + BOTTOM
    y = top + BAR + TIGHT + 0.16
    sheet = Sheet(WIDTH, y + LEADING * sum(map(len, lines.values())) + 0.06, title)
    width = WIDTH - LEFT - RIGHT
    for kind, words in lines.items():
        color, size = (INK, RING - 2) if kind == "best" else (DIM, DOT)
        mark = Line2D([MARGIN + 0.06], [y + LEADING / 2], marker=MARKS[kind], ms=size, mec=color)
        mark.set_markerfacecolor("none")
        sheet.add(mark)
        for text in words:
            sheet.write(2 * MARGIN + 0.06, y + LEADING / 2, text)
            y += LEADING
    return sheet, sheet.panel(LEFT, TOP, width, HEIGHT), sheet.panel(LEFT, top, width, BAR)


def reach(values: Floats) -> Scale:
    """Return an axis of the values of a key: logarithmic where they ask for it."""
    low, high = float(values.min()), float(values.max())
    if figures.logarithmic(values):
        margin = (high / low) ** 0.04
        return Scale(low / margin, high * margin, log=True)
    margin = 0.04 * (high - low)
    return Scale(low - margin, high + margin)


def measure(panel: Axes, axis: str, key: str, scale: Scale) -> None:
    """Give one axis of a panel its scale, its ticks and its name."""
    panel.set(**{f"{axis}scale": "log" if scale.log else "linear"})
    panel.set(**{f"{axis}lim": (scale.low, scale.high)})
    ticks = scale.ticks
    panel.set(**{f"{axis}ticks": [*ticks], f"{axis}ticklabels": [*ticks.values()]})
    (name,) = wrapped(key, HEIGHT, lines=1)
    panel.set(**{f"{axis}label": name})
    for part in (panel.xaxis, panel.yaxis):
        part.label.set(fontsize=SIZE, color=INK, parse_math=False)
        part.labelpad = 2
    panel.minorticks_off()
    panel.tick_params(labelsize=SIZE, color=DIM, length=2.5)
    panel.grid(color=GRID, lw=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
