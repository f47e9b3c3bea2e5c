"""Activations: the histograms of each layer, a row for each setting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from numpy.typing import NDArray

from initlab import figures
from initlab.figures import INK
from initlab.nn.metrics import Quantity
from initlab.report.charts.keys import values_of, varied_keys
from initlab.report.charts.layout import (
    LINE,
    MARGIN,
    SMALL_LINE,
    TOP,
    WIDTH,
    Chart,
    line_count,
    set_height,
    titled_figure,
)
from initlab.report.charts.scales import Floats
from initlab.report.charts.styles import DIM, GREY, Style, colors
from initlab.report.charts.words import SMALL, compact, sentences, text_width, wrap
from initlab.report.comparison import Comparison, Setting, Spread
from initlab.tracking.runs import Run

BEST = 24  # settings whose histograms are drawn, shared out among the activations
ROWS = 8  # of them in one picture
ROOM = WIDTH - 2 * MARGIN
BARS = 0.4  # the height of a histogram
GAP = 0.08  # between two
RIM, BAR = 0.08, 0.055  # beside an axis, for what lies beyond it, and of the bar in it
SEEN = 0.005  # share from which on what lies beyond the edges is drawn and named

SMALL_TEXT = {"size": SMALL, "color": DIM}

Row = tuple[Setting, Run]


def draw_activations(comparison: Comparison) -> Iterator[Chart]:
    """Draw the histograms of activations, a row a setting and a column a layer.

    Of each setting it is the first run that has any: the last snapshot filled, the first a line.
    The best come first, and where nothing was trained, they follow the keys that vary. Where the
    activation is one of several of these, each has pictures of its own, on one axis.
    """
    groups = by_activation(comparison)
    most = max(ROWS, BEST // max(1, len(groups)))
    shown = [row for rows in groups.values() for row in rows[:most]]
    columns = max((len(drawn_layers(run)) for _, run in shown), default=0)
    first_ones = "best" if trained(comparison) else "first"
    caption = explanation(shown, groups, most, first_ones, not comparison.unpictured)
    number = 0
    for activation, rows in groups.items():
        title = f"activations of {activation}" if activation else "activations"
        rows = rows[:most]
        size = math.ceil(len(rows) / math.ceil(len(rows) / ROWS))  # that of all is about the same
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            number += 1
            names = ", ".join(setting.name for setting, _ in part)
            yield Chart(
                f"activations_{number}" if number > 1 else "activations",
                "activations",
                caption if number == 1 else "",
                f"Histograms of the activations of each layer, from top to bottom of {names}.",
                contact_sheet(title, part, columns, colors(comparison)),
            )


def by_activation(comparison: Comparison) -> dict[str, list[Row]]:
    """Return the settings to draw by their activation, or all under "" where that is no key."""
    found = [
        (setting, run)
        for setting in comparison.pictured
        if (run := next(filter(has_histograms, setting.pictured), None))
    ]
    if not trained(comparison):
        found.sort(key=lambda row: row[0].number)
    keys = varied_keys(comparison)
    if "activation" not in keys or len(keys) == 1:
        return {"": found} if found else {}
    groups = {
        value: [row for row in found if row[0].values.get("activation", "") == value]
        for value in values_of(comparison, "activation")
    }
    return {value: rows for value, rows in groups.items() if rows}


def trained(comparison: Comparison) -> bool:
    """Return whether any run made a step."""
    return any(curve.steps[-1] > 0 for run in comparison.runs for curve in run.curves.values())


def has_histograms(run: Run, quantity: str = Quantity.ACTIVATIONS) -> bool:
    """Return whether a run has histograms of a quantity, in the shape that initlab writes."""
    steps, edges, counts = (
        run.histograms.get(name, np.empty(0))
        for name in ("steps", f"{quantity}/edges", f"{quantity}/counts")
    )
    return (
        counts.ndim == 3
        and counts.size > 0
        and edges.ndim == steps.ndim == 1
        and counts.shape[-1] == len(edges) + 1 > 3
        and len(counts) == len(steps)
    )


def drawn_layers(run: Run) -> NDArray[np.intp]:
    """Return the indices of the layers that are drawn."""
    return figures.spaced(run.histograms["activations/counts"].shape[1])


def explanation(
    shown: Sequence[Row], groups: dict[str, list[Row]], most: int, first: str, counted: bool
) -> str:
    """Say what one must know to read the histograms, of which the first are shown.

    counted  whether the groups are of all settings
    """
    started = any(len(run.histograms["steps"]) > 1 for _, run in shown)
    several = any(len(setting.runs) > 1 for setting, _ in shown)
    deviations = any(
        layer_deviation(setting, layer) for setting, run in shown for layer in drawn_layers(run)
    )
    layers = max((run.histograms["activations/counts"].shape[1] for _, run in shown), default=0)
    count = max(map(len, groups.values()), default=0)
    each = " of each activation" if len(groups) > 1 else ""
    of = f" of {count:,}" if counted else ""
    return sentences(
        "Filled: at the last step recorded; line: at the start." if started else "",
        "Each is as high as its room; a bin that towers over the others is cut.",
        "A bar beside an axis: all that lies beyond its end."
        if any(beyond_edges(run).any() for _, run in shown)
        else "",
        "Of a setting of several runs, the first is shown." if several else "",
        "std: the mean over all of them." if several and deviations else "",
        f"Of a deep network, {figures.MOST_LAYERS} layers are shown."
        if layers > figures.MOST_LAYERS
        else "",
        f"The {first} {most}{of} settings{each} are shown." if most < count else "",
    )


def beyond_edges(run: Run) -> NDArray[np.bool_]:
    """Return whether anything to draw lies below the lowest edge, and above the highest."""
    counts = run.histograms["activations/counts"][[0, -1]][:, drawn_layers(run)]
    beyond = counts[..., [0, -1]] / np.maximum(1, counts.sum(axis=-1, keepdims=True))
    seen: NDArray[np.bool_] = beyond.max(axis=(0, 1)) >= SEEN
    return seen


def contact_sheet(title: str, rows: Sequence[Row], columns: int, styles: Sequence[Style]) -> Figure:
    """Draw the histograms of some runs below each other, in so many columns.

    All are in one panel whose units are inches: a panel for each row would take twice the time.
    """
    same_layers = len({tuple(drawn_layers(run)) for _, run in rows}) == 1
    same_edges = len({tuple(run.histograms["activations/edges"]) for _, run in rows}) == 1
    rims = np.where(np.any([beyond_edges(run) for _, run in rows], axis=0), RIM, 0.0)
    figure = titled_figure(title, 0.0, layout="none")
    panel = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    y = 0.0
    for place, (setting, run) in enumerate(rows):
        accuracy = f"{setting.accuracy.mean:.1%}" if setting.accuracy else ""
        note = wrap(", ".join(filter(None, (accuracy, setting.word))), ROOM / 2, SMALL, lines=1)
        name = setting.name
        if title != "activations":  # but those of one activation
            values = {key: value for key, value in setting.values.items() if key != "activation"}
            name = " ".join(f"{key}={value}" for key, value in values.items())
        name = wrap(name, ROOM - MARGIN - text_width(note, SMALL))
        y -= LINE * line_count(name)
        panel.text(0, y + 0.04, name)
        panel.text(ROOM, y + 0.04, note, SMALL_TEXT, ha="right")
        y = draw_histograms(
            panel,
            y,
            (setting, run),
            (ROOM + GAP) / columns,
            rims,
            styles[setting.number],
            named_layers=place == 0 or not same_layers,
            named_values=place == len(rows) - 1 or not same_edges,
        )
    panel.set(xlim=(0, ROOM), ylim=(y, 0))
    set_height(figure, TOP - y)
    panel.set_position((MARGIN / WIDTH, 0, ROOM / WIDTH, y / (y - TOP)))
    return figure


def draw_histograms(
    panel: Axes,
    top: float,
    row: Row,
    column: float,
    rims: Floats,
    style: Style,
    *,
    named_layers: bool,
    named_values: bool,
) -> float:
    """Draw the histograms of a run from a top downwards, and return where they end.

    column        the width of a histogram with the gap beside it
    rims          the room on both sides of an axis for what lies beyond it
    named_layers  whether the names of the layers stand above
    named_values  whether ticks stand below
    """
    setting, run = row
    edges = run.histograms["activations/edges"].astype(np.float64)
    counts = run.histograms["activations/counts"].astype(np.int64)
    layers = drawn_layers(run)
    remarks = []
    for layer in layers:
        std = layer_deviation(setting, layer)
        lines = hidden_shares(counts[-1, layer], edges)
        lines += [f"std {compact(std)}"] if std is not None else []
        remarks.append("\n".join(wrap(line, column - GAP, SMALL) for line in lines))
    base = top - SMALL_LINE * (max(map(line_count, remarks)) + named_layers) - BARS
    for place, (layer, remark) in enumerate(zip(layers, remarks)):
        left, right = column * place, column * (place + 1) - GAP
        ends = left + rims[0], right - rims[1]
        bars = left + BAR * (rims[0] > 0), right - BAR * (rims[1] > 0)
        x = np.array([left, bars[0], *np.interp(edges, edges[[0, -1]], ends), bars[1], right])
        start, last = (base + BARS * bar_heights(each[layer], x) for each in counts[[0, -1]])
        # Not by `panel.stairs`, which would take ten times as long, to fit the axes.
        panel.add_artist(StepPatch(last, x, baseline=base, fill=True, color=style.color, lw=0.3))
        if len(counts) > 1:
            outline: Any = {"baseline": None, "fill": False, "ec": INK, "lw": 0.6}
            panel.add_artist(StepPatch(start, x, **outline))
        panel.add_artist(Line2D((left, right), (base, base), color=GREY, lw=0.6))
        panel.text(right, base + BARS + 0.03, remark, size=SMALL, linespacing=1.1, ha="right")
        if named_layers:
            panel.text(left, top - SMALL_LINE + 0.03, f"layer {layer + 1}", SMALL_TEXT)
        if named_values:
            middle = sum(ends) / 2, (edges[0] + edges[-1]) / 2
            ticks = (ends[0], edges[0], "left"), (*middle, "center"), (ends[1], edges[-1], "right")
            for tick, value, side in ticks:
                panel.text(tick, base - 0.03, f"{value:g}", SMALL_TEXT, ha=side, va="top")
    return base - SMALL_LINE * named_values - 0.1


def layer_deviation(setting: Setting, layer: int) -> float | None:
    """Return the standard deviation of a layer, the mean over the runs of a setting."""
    spread = Spread.of(run.metrics.get(f"unit_std/layer_{layer + 1}") for run in setting.runs)
    return spread.mean if spread else None


def bar_heights(counts: NDArray[np.int64], edges: Floats) -> Floats:
    """Return the heights of bars whose areas are as large as their shares: (K+4,).

    counts  (K+2,) in K bins, and beyond both ends
    edges   (K+5,) of a bar for what lies below, a gap, K bins, a gap, and a bar for what lies above

    The highest is 1, and a bin that towers over the others is cut.
    """
    widths = np.delete(np.diff(edges), [1, -2]) / (edges[3] - edges[2])
    shares = counts / max(1, counts.sum())
    areas = np.divide(shares, widths, out=np.zeros_like(shares), where=widths > 0)
    return np.insert(figures.heights(areas) / figures.ROOM, [1, len(counts) - 1], 0.0)


def hidden_shares(counts: NDArray[np.int64], edges: Floats) -> list[str]:
    """Return what a histogram does not show: how many share one bin, and what lies beyond."""
    if not counts.sum():
        return ["not finite"]
    shares, beyond = figures.within(counts), counts[[0, -1]].sum() / counts.sum()
    remarks = []
    if shares.max() >= figures.TELLING:
        remarks.append(f"{shares.max():.0%} at {figures.place_of(shares, edges):.2g}")
    if beyond >= SEEN:
        remarks.append(f"{beyond:.0%} beyond")
    return remarks
