"""Contact sheets: the histograms of the activations of many runs, below each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from initlab import figures
from initlab.charts.pictures import Chart
from initlab.charts.sheets import MARGIN, TOP, WIDTH, Sheet
from initlab.charts.strips import GAP, Strip, chosen, recorded
from initlab.charts.styles import Style, colors
from initlab.comparison import Comparison, Run, Setting

BEST = 24  # settings whose histograms are drawn
ROWS = 8  # of them in one picture


def activations(comparison: Comparison) -> Iterator[Chart]:
    """Draw the histograms of activations, a row a setting, best first, and a column a layer.

    Of each setting it is the first run that has any: the last snapshot filled, the first a line.
    """
    found = [
        (setting, run)
        for setting in comparison.ranked
        if (run := next(filter(recorded, setting.runs), None))
    ]
    shown = found[:BEST]
    styles = colors(comparison)
    columns = max((len(chosen(run)) for _, run in shown), default=0)
    pictures = math.ceil(len(shown) / ROWS)
    rows = math.ceil(len(shown) / max(1, pictures))
    for index in range(pictures):
        part = shown[index * rows : (index + 1) * rows]
        names = ", ".join(setting.name for setting, _ in part)
        yield Chart(
            f"activations_{index + 1}" if index else "activations",
            "activations",
            "" if index else told(shown, len(found)),
            f"Histograms of the activations of each layer, from top to bottom of {names}.",
            contact_sheet(part, columns, styles).figure,
        )


def told(shown: Sequence[tuple[Setting, Run]], count: int) -> str:
    """Say what one must know to read the histograms."""
    started = any(len(run.histograms["steps"]) > 1 for _, run in shown)
    several = any(len(setting.runs) > 1 for setting, _ in shown)
    deep = any(len(chosen(run)) < run.histograms["activations/counts"].shape[1] for _, run in shown)
    caption = (
        "Filled: at the last step recorded; line: at the start." if started else "",
        "Each is as high as its room; a bin that towers over the others is cut.",
        "Of a setting of several runs, the first is shown." if several else "",
        f"Of a deep network, {figures.MOST_LAYERS} layers are shown." if deep else "",
        f"The best {len(shown)} of {count} settings are shown." if len(shown) < count else "",
    )
    return " ".join(filter(None, caption))


def contact_sheet(
    rows: Sequence[tuple[Setting, Run]], columns: int, styles: Sequence[Style]
) -> Sheet:
    """Draw the histograms of some runs below each other, in so many columns."""
    alike = len({tuple(chosen(run)) for _, run in rows}) == 1
    shared = len({tuple(run.histograms["activations/edges"]) for _, run in rows}) == 1
    strips = [
        Strip(
            setting,
            run,
            labelled=not alike or run is rows[0][1],
            scaled=not shared or run is rows[-1][1],
        )
        for setting, run in rows
    ]
    sheet = Sheet(WIDTH, TOP + sum(strip.height for strip in strips), "activations")
    y = TOP
    for strip in strips:
        strip.draw(sheet, y, (WIDTH - 2 * MARGIN + GAP) / columns, styles[strip.setting.number])
        y += strip.height
    return sheet
