"""Charts: many runs in one picture, where every setting has its own color.

Pictures are drawn as wide as a phone, so that their letters can be read there. Legends and notes
stand beside the panels and cover no curve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import matplotlib

from initlab.nn.metrics import Metric
from initlab.report.charts.accuracy import draw_accuracy, draw_gaps
from initlab.report.charts.activations import draw_activations
from initlab.report.charts.depth_profile import draw_depth_profile
from initlab.report.charts.heat_map import draw_heat_map
from initlab.report.charts.importance import draw_importance
from initlab.report.charts.layout import RC, WIDTH, Chart, png, pngs
from initlab.report.charts.lines import draw_lines
from initlab.report.charts.scatter import draw_scatter
from initlab.report.charts.styles import Style, colors
from initlab.report.charts.valley import draw_paths, draw_valley
from initlab.report.comparison import Comparison

__all__ = ["WIDTH", "Chart", "Style", "colors", "drawn", "png", "pngs"]

CHARTS: tuple[Callable[[Comparison], Chart | None], ...] = (
    partial(draw_lines, metric=Metric.TRAIN_LOSS),
    draw_depth_profile,
    partial(draw_lines, metric=Metric.F),
    partial(draw_lines, metric=Metric.TEST_ACCURACY),
    draw_paths,
    draw_valley,
    draw_accuracy,
    draw_gaps,
    draw_heat_map,
    draw_scatter,
    draw_importance,
)


def drawn(comparison: Comparison) -> Iterator[Chart]:
    """Yield each chart that the runs have numbers for."""
    for make in CHARTS:
        with matplotlib.rc_context(RC):
            chart = make(comparison)
        if chart:
            yield chart
    with matplotlib.rc_context(RC):
        sheets = [*draw_activations(comparison)]
    yield from sheets
