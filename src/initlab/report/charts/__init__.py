"""Charts: many runs in one picture, where every setting has its own colour.

Pictures are drawn as wide as a phone, so that their letters can be read there. What is told of
them stands beside the panels and covers no curve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from initlab.report.charts.contact_sheets import activations
from initlab.report.charts.gaps import gaps
from initlab.report.charts.heat_maps import heat_map
from initlab.report.charts.line_charts import TITLES, line_chart
from initlab.report.charts.multiples import multiples
from initlab.report.charts.paths import paths
from initlab.report.charts.pictures import Chart, png
from initlab.report.charts.scatters import scatter
from initlab.report.charts.sheets import WIDTH
from initlab.report.charts.styles import Style, colors
from initlab.report.charts.valleys import valley
from initlab.report.comparison import Comparison

__all__ = ["WIDTH", "Chart", "Style", "colors", "drawn", "png"]


def drawn(comparison: Comparison) -> Iterator[Chart]:
    """Yield each chart that there is something for."""
    made: tuple[Callable[[Comparison], Chart | None], ...] = (
        *(partial(line_chart, metric=metric) for metric in TITLES),
        paths,
        valley,
        multiples,
        gaps,
        heat_map,
        scatter,
    )
    for make in made:
        if chart := make(comparison):
            yield chart
    yield from activations(comparison)
