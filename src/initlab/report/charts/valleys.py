"""Valleys: the surface that is descended, and the field of its steepest descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from initlab.figures import BLUE, INK
from initlab.nn.quadratic import gradient, value
from initlab.report.charts.paths import descents, frame, terrain, ticks
from initlab.report.charts.pictures import Chart
from initlab.report.charts.scales import Floats
from initlab.report.charts.sheets import MARGIN, TOP, WIDTH, Sheet
from initlab.report.charts.styles import DIM
from initlab.report.charts.words import SIZE, SMALL
from initlab.report.comparison import Comparison

TITLE = "the valley"
SURFACE, FIELD = 2.9, 3.1  # their heights
LEFT, BOTTOM = 0.56, 0.46
ARROWS = 13  # in a row
CAPTION = (
    "Above: the surface f = x²/20 + y². Below: arrows along −gradient, the longer the steeper, "
    "over contours; rings: starts; +: the minimum. Away from the floor of the valley the arrows "
    "point across it and hardly to the minimum."
)


def valley(comparison: Comparison) -> Chart | None:
    """Draw the surface, and below it the field; None if no run descended it."""
    found = [run.path for _, run in descents(comparison)]
    if not found:
        return None
    end = float(frame(found).max())
    sheet = Sheet(WIDTH, TOP + SURFACE + 0.2 + FIELD + BOTTOM, TITLE)
    surface(sheet, end)
    side = LEFT, TOP + SURFACE + 0.2, WIDTH - LEFT - 2 * MARGIN, FIELD
    starts = np.unique([path[0] for path in found], axis=0)
    field(sheet.panel(*side), end, starts)
    return Chart(
        "valley",
        TITLE,
        CAPTION,
        f"The surface f = x²/20 + y² for x and y from {-end:g} to {end:g}, a valley along x, and "
        "the field of its negative gradient, which points to the floor of the valley.",
        sheet.figure,
    )


def surface(sheet: Sheet, end: float) -> None:
    """Draw f above the plane."""
    panel: Any = sheet.panel(0.2, TOP, WIDTH - 0.6, SURFACE, projection="3d")
    x, y = np.meshgrid(*2 * [np.linspace(-end, end, 41)])
    f = value(x, y)
    panel.plot_surface(x, y, f, cmap="viridis", rcount=41, ccount=41, lw=0.15, edgecolor="white")
    panel.view_init(elev=32, azim=-58)
    panel.set_box_aspect((1, 1, 0.62), zoom=1.12)
    for axis, name in zip((panel.xaxis, panel.yaxis, panel.zaxis), ("x", "y", "f")):
        axis.set_label_text(name, fontsize=SIZE, color=INK)
        axis.set_pane_color((1, 1, 1, 0))
        axis.labelpad = -6
    flat, up = ticks(-end, end), ticks(0, f.max())
    for axis, found in zip((panel.xaxis, panel.yaxis, panel.zaxis), (flat, flat, up)):
        axis.set_ticks([*found], [*found.values()])
    panel.tick_params(labelsize=SMALL, colors=DIM, pad=-2)


def field(panel: Axes, end: float, starts: Floats) -> None:
    """Draw the negative gradient as arrows, as long as the root of its size."""
    terrain(panel, np.array([end, end]))
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
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_ticks([*ticks(-end, end)], [*ticks(-end, end).values()])
    panel.tick_params(labelsize=SIZE, color=DIM, length=2.5)
    panel.set_xlabel("x", fontsize=SIZE, color=INK, labelpad=2)
    panel.set_ylabel("y", fontsize=SIZE, color=INK, labelpad=0)
    panel.spines[["top", "right"]].set_visible(False)
