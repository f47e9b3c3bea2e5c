"""Charts: many runs in one picture, where every setting has its own color.

Pictures are drawn as wide as a phone, so that their letters can be read there. Legends and notes
stand beside the panels and cover no curve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import matplotlib

from initlab.report.charts.accuracy import accuracy_panels, gap_panels
from initlab.report.charts.activations import activations
from initlab.report.charts.heat_map import heat_map
from initlab.report.charts.layout import RC, WIDTH, Chart, png
from initlab.report.charts.lines import TITLES, line_chart
from initlab.report.charts.scatter import scatter
from initlab.report.charts.styles import Style, colors
from initlab.report.charts.valley import paths, valley
from initlab.report.comparison import Comparison

__all__ = ["WIDTH", "Chart", "Style", "colors", "drawn", "png"]

CHARTS: tuple[Callable[[Comparison], Chart | None], ...] = (
    *(partial(line_chart, metric=metric) for metric in TITLES),
    paths,
    valley,
    accuracy_panels,
    gap_panels,
    heat_map,
    scatter,
)


def drawn(comparison: Comparison) -> Iterator[Chart]:
    """Yield each chart that the runs have numbers for."""
    for make in CHARTS:
        with matplotlib.rc_context(RC):
            chart = make(comparison)
        if chart:
            yield chart
    with matplotlib.rc_context(RC):
        sheets = [*activations(comparison)]
    yield from sheets
