"""Valley: the surface f = x²/20 + y², the field of its slopes, and the paths of the runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator

from initlab import figures
from initlab.figures import BLUE, CONTOUR, INK
from initlab.nn.quadratic import gradient, value
from initlab.report.charts.layout import (
    Chart,
    Head,
    panel_grid,
    titled_figure,
)
from initlab.report.charts.scales import Floats
from initlab.report.charts.styles import DIM, colors
from initlab.report.charts.words import SMALL, compact, sentences
from initlab.report.comparison import Comparison, Setting
from initlab.report.formatting import format_count
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Run

PATHS, VALLEY = "paths in the valley", "the valley"  # titles
BEST = 12  # settings whose paths are drawn
HEIGHT = 1.25  # of a panel with a path
MARKED = 50  # points of a path up to which each is marked
FAR = 100.0  # times the ends of the axes, beyond which a point is drawn nearer
ARROWS = 13  # in a row of the field, with two that lie on the frame
CAPTION = (
    "Above: the surface f = x²/20 + y². Below: arrows along −gradient, the longer the steeper, "
    "over contours; rings: starts; +: the minimum. Away from the floor of the valley the arrows "
    "point across it and hardly to the minimum."
)


def draw_paths(comparison: Comparison) -> Chart | None:
    """Draw the path of each setting over the contours, best first; None if there is none."""
    found = first_paths(comparison)
    if not found:
        return None
    shown, styles = found[:BEST], colors(comparison)
    ends = axis_ends(run.path for _, run in found)
    heads = [path_head(setting, run, ends) for setting, run in shown]
    figure, panels = panel_grid(PATHS, heads, (2, HEIGHT), ("x", "y"))
    panels[0].set(xlim=(-ends[0], ends[0]), ylim=(-ends[1], ends[1]))
    label_values(panels[0].xaxis, panels[0].yaxis)
    for panel, (setting, run) in zip(panels, shown):
        style = styles[setting.number]
        draw_contours(panel, ends)
        draw_path(panel, run.path, ends, style.color if style.own else DIM)
    notes = "; ".join(f"{name}: {', '.join(lines)}" for name, lines in heads)
    cut = any(points_outside(run.path, ends) for _, run in shown)
    return Chart(
        "paths",
        PATHS,
        sentences(
            "Ring: the start; filled: the end; +: the minimum of x²/20 + y².",
            "What lies outside the axes is cut." if cut else "",
            f"The best {BEST} of {len(found)} settings are shown." if len(found) > BEST else "",
        ),
        f"Paths over the contours of x²/20 + y² of {format_count(len(shown), 'setting')}. {notes}.",
        figure,
    )


def first_paths(comparison: Comparison) -> list[tuple[Setting, Run]]:
    """Return each setting that has a path with the first run that has it, the best first."""
    return [
        (setting, run)
        for setting in comparison.ranked
        if (run := next((run for run in setting.runs if len(run.path)), None))
    ]


def axis_ends(found: Iterable[Floats]) -> Floats:
    """Return half the width and height of axes that depend only on where paths start."""
    starts = np.array([path[0] for path in found])
    ends: Floats = np.maximum(np.abs(starts).max(axis=0) * figures.PATH_ROOM, 1.0)
    return ends


def points_outside(path: Floats, ends: Floats) -> int:
    """Return how many points lie outside the axes."""
    return int((np.abs(path) > ends).any(axis=-1).sum())


def path_head(setting: Setting, run: Run, ends: Floats) -> Head:
    """Return the name of a setting, where its path ended, and how much of it is cut."""
    path = run.path
    steps = len(path) - 1
    x, y = path[-1]
    end = f"({compact(x, 2)}, {compact(y, 2)}) after {format_count(steps, 'step')}"
    if run.outcome != Outcome.FINISHED:
        last = steps if run.ended_step is None else run.ended_step
        end = f"{run.outcome} at step {last:,}"
    outside = points_outside(path, ends)
    return setting.name, [end, f"{format_count(outside, 'point')} outside"] if outside else [end]


def draw_contours(panel: Axes, ends: Floats) -> None:
    """Draw the contours of f and its minimum."""
    x, y = np.meshgrid(*(np.linspace(-end, end, 81) for end in ends))
    f = value(x, y)
    levels = f.max() * np.linspace(0.02, 1, 12) ** 2
    panel.contour(x, y, f, levels=levels, colors=CONTOUR, linewidths=0.6)
    panel.plot(0, 0, "+", color=INK, ms=6, mew=1, zorder=4)
    panel.grid(visible=False)


def draw_path(panel: Axes, path: Floats, ends: Floats, color: str) -> None:
    """Draw a path; a point far away keeps its direction."""
    far = np.abs(path / ends).max(axis=-1, keepdims=True)
    near = path * np.minimum(1, FAR / np.maximum(far, FAR))
    marker = "o" if len(path) <= MARKED else ""
    panel.plot(*near.T, color=color, marker=marker, ms=2.2, lw=1)
    panel.plot(*near[-1], "o", mfc=color, mec=INK, ms=4.5, mew=1, zorder=5)
    panel.plot(*near[0], "o", mfc="white", mec=INK, ms=4.5, mew=1, zorder=5)


def label_values(*axes: Axis) -> None:
    """Give axes a few ticks."""
    for axis in axes:
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(lambda value, _: compact(value))


def draw_valley(comparison: Comparison) -> Chart | None:
    """Draw the surface, and below it the field; None if no run descended it."""
    found = [run.path for _, run in first_paths(comparison)]
    if not found:
        return None
    end = float(axis_ends(found).max())
    figure = titled_figure(VALLEY, 6.6)
    grid = figure.add_gridspec(2, 1)
    draw_surface(figure.add_subplot(grid[0], projection="3d"), end)
    draw_field(figure.add_subplot(grid[1]), end, np.unique([path[0] for path in found], axis=0))
    return Chart(
        "valley",
        VALLEY,
        CAPTION,
        f"The surface f = x²/20 + y² for x and y from {-end:g} to {end:g}, a valley along x, and "
        "the field of its negative gradient, which points to the floor of the valley.",
        figure,
    )


def draw_surface(panel: Any, end: float) -> None:
    """Draw f above the plane."""
    x, y = np.meshgrid(*2 * [np.linspace(-end, end, 41)])
    f = value(x, y)
    panel.plot_surface(x, y, f, cmap="viridis", rcount=41, ccount=41, lw=0.15, edgecolor="white")
    panel.view_init(elev=32, azim=-58)
    panel.set_box_aspect((1, 1, 0.62), zoom=1.06)
    label_values(panel.xaxis, panel.yaxis, panel.zaxis)
    panel.set(xlabel="x", ylabel="y", zlabel="f")
    for axis in (panel.xaxis, panel.yaxis, panel.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
        axis.labelpad = -6
    panel.tick_params(labelsize=SMALL, pad=-2)


def draw_field(panel: Axes, end: float, starts: Floats) -> None:
    """Draw the negative gradient as arrows, as long as the root of its size."""
    draw_contours(panel, np.array([end, end]))
    grid = np.linspace(-end, end, ARROWS)[1:-1]
    w = np.array(np.meshgrid(grid, grid)).reshape(2, -1)
    slope = np.empty_like(w)
    gradient(w, out=slope)
    size = np.sqrt(np.hypot(*slope))
    arrows = -slope / np.maximum(size, 1e-9) * (0.9 * (grid[1] - grid[0]) / size.max())
    panel.quiver(
        *w, *arrows, color=BLUE, angles="xy", scale_units="xy", scale=1, width=0.004,
        headwidth=4, headlength=5, headaxislength=4.5, minlength=0.1,
    )  # fmt: skip
    panel.plot(*starts.T, "o", mfc="white", mec=INK, ms=5, mew=1)
    panel.set(xlim=(-end, end), ylim=(-end, end), xlabel="x", ylabel="y")
    label_values(panel.xaxis, panel.yaxis)
