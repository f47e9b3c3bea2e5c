"""Contact sheets: the histograms of the activations of many runs, below each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from initlab import figures
from initlab.report.charts.keys import axes, options
from initlab.report.charts.layers import chosen, deviations, recorded
from initlab.report.charts.pictures import Chart
from initlab.report.charts.sheets import MARGIN, TOP, WIDTH, Sheet
from initlab.report.charts.strips import GAP, Strip, rims
from initlab.report.charts.styles import Style, colors
from initlab.report.comparison import Comparison, Setting
from initlab.tracking.runs import Run

BEST = 24  # settings whose histograms are drawn, by turns of each activation
ROWS = 8  # of them in one picture

Row = tuple[Setting, Run]


def activations(comparison: Comparison) -> Iterator[Chart]:
    """Draw the histograms of activations, a row a setting and a column a layer.

    Of each setting it is the first run that has any: the last snapshot filled, the first a line.
    The best come first, and where nothing was trained, they follow the keys that vary. Where the
    activation is one of several of these, each has pictures of its own, on one axis.
    """
    groups = grouped(comparison)
    most = max(ROWS, BEST // max(1, len(groups)))
    shown = [row for rows in groups.values() for row in rows[:most]]
    columns = max((len(chosen(run)) for _, run in shown), default=0)
    caption = told(shown, groups, most, "best" if trained(comparison) else "first")
    number = 0
    for activation, rows in groups.items():
        title = f"activations of {activation}" if activation else "activations"
        for part in parts(rows[:most]):
            number += 1
            names = ", ".join(setting.name for setting, _ in part)
            yield Chart(
                f"activations_{number}" if number > 1 else "activations",
                "activations",
                caption if number == 1 else "",
                f"Histograms of the activations of each layer, from top to bottom of {names}.",
                contact_sheet(title, part, columns, colors(comparison)).figure,
            )


def grouped(comparison: Comparison) -> dict[str, list[Row]]:
    """Return the settings to draw by their activation, or all by "" if they are not told by it."""
    found = [
        (setting, run)
        for setting in (comparison.ranked if trained(comparison) else comparison.settings)
        if (run := next(filter(recorded, setting.runs), None))
    ]
    keys = axes(comparison)
    if "activation" not in keys or len(keys) == 1:
        return {"": found} if found else {}
    groups = {
        value: [row for row in found if row[0].values.get("activation", "") == value]
        for value in options(comparison, "activation")
    }
    return {value: rows for value, rows in groups.items() if rows}


def trained(comparison: Comparison) -> bool:
    """Tell whether any run made a step."""
    return any(curve.steps[-1] > 0 for run in comparison.runs for curve in run.curves.values())


def parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield rows in parts of about the same size, which fit a picture."""
    pictures = math.ceil(len(rows) / ROWS)
    size = math.ceil(len(rows) / pictures)
    yield from (rows[start : start + size] for start in range(0, len(rows), size))


def told(shown: Sequence[Row], groups: dict[str, list[Row]], most: int, first: str) -> str:
    """Say what one must know to read the histograms, of which the first are shown."""
    started = any(len(run.histograms["steps"]) > 1 for _, run in shown)
    several = any(len(setting.runs) > 1 for setting, _ in shown)
    deep = any(len(chosen(run)) < run.histograms["activations/counts"].shape[1] for _, run in shown)
    beyond = any(any(rims(run)) for _, run in shown)
    count = max(map(len, groups.values()), default=0)
    each = " of each activation" if len(groups) > 1 else ""
    caption = (
        "Filled: at the last step recorded; line: at the start." if started else "",
        "Each is as high as its room; a bin that towers over the others is cut.",
        "A bar beside an axis: all that lies beyond its end." if beyond else "",
        "Of a setting of several runs, the first is shown." if several else "",
        "std: the mean over all of them." if several and any(map(deviated, shown)) else "",
        f"Of a deep network, {figures.MOST_LAYERS} layers are shown." if deep else "",
        f"The {first} {most} of {count} settings{each} are shown." if most < count else "",
    )
    return " ".join(filter(None, caption))


def deviated(row: Row) -> bool:
    """Tell whether the standard deviation of any layer is known."""
    return any(deviations(*row))


def contact_sheet(title: str, rows: Sequence[Row], columns: int, styles: Sequence[Style]) -> Sheet:
    """Draw the histograms of some runs below each other, in so many columns."""
    alike = len({tuple(chosen(run)) for _, run in rows}) == 1
    shared = len({tuple(run.histograms["activations/edges"]) for _, run in rows}) == 1
    sides = [rims(run) for _, run in rows]
    strips = [
        Strip(
            setting,
            run,
            named=named(setting, title),
            labelled=not alike or run is rows[0][1],
            scaled=not shared or run is rows[-1][1],
            rims=(max(below for below, _ in sides), max(above for _, above in sides)),
        )
        for setting, run in rows
    ]
    sheet = Sheet(WIDTH, TOP + sum(strip.height for strip in strips), title)
    y = TOP
    for strip in strips:
        strip.draw(sheet, y, (WIDTH - 2 * MARGIN + GAP) / columns, styles[strip.setting.number])
        y += strip.height
    return sheet


def named(setting: Setting, title: str) -> str:
    """Return the name of a setting, less the activation if the title tells it."""
    if title == "activations":
        return setting.name
    values = {key: value for key, value in setting.values.items() if key != "activation"}
    return " ".join(f"{key}={value}" for key, value in values.items()) or setting.name
