"""Paths: where each setting went in the valley, panel beside panel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from initlab import figures
from initlab.figures import CONTOUR, INK
from initlab.nn.quadratic import value
from initlab.report.charts.panels import Head, Panels
from initlab.report.charts.pictures import Chart
from initlab.report.charts.scales import Floats
from initlab.report.charts.styles import DIM, colors
from initlab.report.charts.words import brief, counted
from initlab.report.comparison import Comparison, Setting
from initlab.tracking.runs import Run

TITLE = "paths in the valley"
BEST = 12  # settings whose paths are drawn
HEIGHT = 1.25
MARKED = 50  # points of a path up to which each is marked
FAR = 100.0  # times the ends of the axes, beyond which a point is drawn nearer


def paths(comparison: Comparison) -> Chart | None:
    """Draw the path of each setting over the contours, best first; None if there is none."""
    found = descents(comparison)
    if not found:
        return None
    shown, styles = found[:BEST], colors(comparison)
    ends = frame(run.path for _, run in found)
    heads = [head(setting, run, ends) for setting, run in shown]
    across, up = (ticks(-end, end) for end in ends)
    panels = Panels(TITLE, heads, (min(2, len(shown)), HEIGHT))
    for index, (setting, run) in enumerate(shown):
        panel = panels.panel(index)
        terrain(panel, ends)
        style = styles[setting.number]
        draw(panel, run.path, ends, style.color if style.own else DIM)
        panels.measure(index, panel, ("x", across), ("y", up))
        panel.grid(visible=False)
    caption = (
        "Ring: the start; filled: the end; +: the minimum of x²/20 + y².",
        "What lies outside the axes is cut."
        if any(outside(run.path, ends) for _, run in shown)
        else "",
        f"The best {BEST} of {len(found)} settings are shown." if len(found) > BEST else "",
    )
    ended = "; ".join(f"{name}: {', '.join(notes)}" for name, notes in heads)
    return Chart(
        "paths",
        TITLE,
        " ".join(filter(None, caption)),
        f"Paths over the contours of x²/20 + y² of {counted(len(shown), 'setting')}. {ended}.",
        panels.sheet.figure,
    )


def descents(comparison: Comparison) -> list[tuple[Setting, Run]]:
    """Return each setting that has a path with the first run that has it, the best first."""
    return [
        (setting, run)
        for setting in comparison.ranked
        if (run := next((run for run in setting.runs if len(run.path)), None))
    ]


def frame(found: Iterable[Floats]) -> Floats:
    """Return half the width and height of axes that depend on the starts alone."""
    starts = np.array([path[0] for path in found])
    farthest: Floats = np.abs(starts).max(axis=0)
    ends: Floats = np.maximum(farthest * figures.PATH_ROOM, 1.0)
    return ends


def outside(path: Floats, ends: Floats) -> int:
    """Return how many points lie outside the axes."""
    return int((np.abs(path) > ends).any(axis=-1).sum())


def head(setting: Setting, run: Run, ends: Floats) -> Head:
    """Return the name of a path, where it ended, and how much of it is not to be seen."""
    path = run.path
    steps = len(path) - 1
    x, y = path[-1]
    ended = f"({brief(x, 2)}, {brief(y, 2)}) after {counted(steps, 'step')}"
    if run.outcome != "finished":
        ended = run.reason if run.outcome in run.reason else f"{run.outcome} at step {steps:,}"
    beyond = outside(path, ends)
    return setting.name, [ended, f"{counted(beyond, 'point')} outside"] if beyond else [ended]


def terrain(panel: Axes, ends: Floats) -> None:
    """Draw the contours and the minimum of the valley."""
    x, y = np.meshgrid(*(np.linspace(-end, end, 161) for end in ends))
    f = value(x, y)
    levels = f.max() * np.linspace(0.02, 1, 12) ** 2
    panel.contour(x, y, f, levels=levels, colors=CONTOUR, linewidths=0.6)
    panel.plot(0, 0, "+", color=INK, ms=6, mew=1, zorder=4)
    panel.set_xlim(-ends[0], ends[0])
    panel.set_ylim(-ends[1], ends[1])


def draw(panel: Axes, path: Floats, ends: Floats, color: str) -> None:
    """Draw a path; what is far away keeps its direction."""
    far = np.abs(path / ends).max(axis=-1, keepdims=True)
    near = path * np.minimum(1, FAR / np.maximum(far, FAR))
    marker = "o" if len(path) <= MARKED else ""
    panel.plot(*near.T, color=color, marker=marker, ms=2.2, lw=1)
    panel.plot(*near[-1], "o", mfc=color, mec=INK, ms=4.5, mew=1, zorder=5)
    panel.plot(*near[0], "o", mfc="white", mec=INK, ms=4.5, mew=1, zorder=5)


def ticks(low: float, high: float) -> dict[float, str]:
    """Return a few ticks on an axis."""
    found: Sequence[float] = MaxNLocator(4).tick_values(low, high)
    return {tick: brief(tick) for tick in found if low <= tick <= high}
