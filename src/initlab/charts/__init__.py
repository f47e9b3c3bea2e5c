"""Charts: many runs in one picture, where every setting has its own colour.

Pictures are drawn as wide as a phone, so that their letters can be read there. What is told of
them stands beside the panels and covers no curve.
"""

from __future__ import annotations

from collections.abc import Iterator

from initlab.charts.contact_sheets import activations
from initlab.charts.heat_maps import heat_map
from initlab.charts.line_charts import TITLES, line_chart
from initlab.charts.pictures import Chart, png
from initlab.charts.sheets import WIDTH
from initlab.charts.styles import Style, colors
from initlab.comparison import Comparison

__all__ = ["WIDTH", "Chart", "Style", "colors", "drawn", "png"]


def drawn(comparison: Comparison) -> Iterator[Chart]:
    """Yield each chart that there is something for."""
    for metric in TITLES:
        if chart := line_chart(comparison, metric):
            yield chart
    if chart := heat_map(comparison):
        yield chart
    yield from activations(comparison)
