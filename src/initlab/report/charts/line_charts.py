"""Line charts: a metric over the steps, a line a setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from initlab.figures import GRID, INK
from initlab.report.charts.courses import Course, courses, covered, scale_of, values_of, window
from initlab.report.charts.legends import Legend
from initlab.report.charts.pictures import Chart
from initlab.report.charts.scales import Scale, step_ticks
from initlab.report.charts.sheets import TOP, WIDTH, Sheet
from initlab.report.charts.styles import DIM, THIN, Style, colors, few, greyness, legend
from initlab.report.charts.words import SIZE, counted
from initlab.report.comparison import Comparison

TITLES = {"train/loss": "training loss", "f": "value of f", "test/accuracy": "test accuracy"}
FILES = {"train/loss": "loss", "f": "f", "test/accuracy": "accuracy"}
LEFT, RIGHT, BOTTOM, HEIGHT = 0.56, 0.26, 0.44, 2.5  # around a panel, and its own
MARKED = 30  # points of a line up to which each is marked


def line_chart(comparison: Comparison, metric: str) -> Chart | None:
    """Draw a metric over the steps: a line a setting, and a band over its runs.

    Runs that did not finish are drawn by themselves, thin, up to a cross. None if no run has the
    metric.
    """
    found = courses(comparison, metric)
    if not found:
        return None
    scale = scale_of(found, metric)
    styles = colors(comparison)
    banded = few(comparison)
    sheet, panel = framed(TITLES[metric], legend(comparison, [each.setting for each in found]))
    for course in reversed(found):  # the best lies over the others
        draw(panel, course, styles[course.setting.number], scale, banded)
    # All charts have the same axis of steps, so that they can stand side by side.
    last = max(curve.steps[-1] for run in comparison.runs for curve in run.curves.values())
    measure(panel, int(last), scale)

    several = any(len(course.setting.finished) > 1 for course in found)
    broke = any(run.outcome != "running" for course in found for run, *_ in course.broken)
    cut = not scale.share and scale.cuts(values_of(found))
    caption = (
        smoothing(comparison) if metric == "train/loss" else "",
        greyness(comparison),
        "Line: mean over the runs of a setting." if several else "",
        "Band: from the lowest to the highest of them." if several and banded else "",
        covered(found, scale) if banded else "",
        "Thin lines up to a ×: runs that diverged or broke off." if broke else "",
        "What lies beyond the axis is cut." if cut else "",
    )
    return Chart(
        FILES[metric],
        TITLES[metric],
        " ".join(filter(None, caption)),
        told(TITLES[metric], found, "{:.1%}" if scale.share else "{:.3g}"),
        sheet.figure,
    )


def framed(title: str, entries: Sequence[tuple[str, Style]]) -> tuple[Sheet, Axes]:
    """Return a sheet with a panel under its title and over its legend."""
    key, top = Legend(entries, WIDTH), TOP + HEIGHT + BOTTOM
    sheet = Sheet(WIDTH, top + key.height + 0.06, title)
    key.draw(sheet, top)
    return sheet, sheet.panel(LEFT, TOP, WIDTH - LEFT - RIGHT, HEIGHT)


def draw(
    panel: Axes, course: Course, style: Style, scale: Scale, banded: bool, most: int = MARKED
) -> None:
    """Draw the course of a setting, its points marked if there are not more than the most."""
    if course.mean.size:
        marker = "o" if style.own and len(course.steps) <= most else ""
        mean = scale.near(course.mean)
        panel.plot(course.steps, mean, marker=marker, markersize=2.5, **style.line)
        if banded and len(course.setting.finished) > 1:
            low, high = scale.near(course.low), scale.near(course.high)
            panel.fill_between(course.steps, low, high, color=style.color, alpha=0.2, lw=0)
    for run, steps, values in course.broken:
        panel.plot(steps, scale.near(values), **style.line | {"linewidth": THIN})
        if run.outcome != "running":
            end = np.clip(values[-1:], scale.low, scale.high)
            panel.plot(steps[-1:], end, "x", color=style.color, markersize=5, clip_on=False)


def measure(panel: Axes, last: int, scale: Scale) -> None:
    """Give a panel its axes: of steps, up to the last, and of values."""
    if scale.log:
        panel.set_yscale("log")
    panel.set_xlim(-0.01 * (last or 1), 1.01 * (last or 1))
    panel.set_ylim(scale.low, scale.high + 0.02 * scale.share)
    steps, values = step_ticks(last), scale.ticks
    panel.set_xticks([*steps], [*steps.values()])
    panel.set_yticks([*values], [*values.values()])
    panel.minorticks_off()
    panel.tick_params(labelsize=SIZE, color=DIM, length=2.5)
    panel.set_xlabel("step", fontsize=SIZE, color=INK, labelpad=2)
    panel.grid(color=GRID, lw=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def smoothing(comparison: Comparison) -> str:
    """Say over how many steps the mean runs, "" if over single ones."""
    losses = [run.curves["train/loss"] for run in comparison.runs if "train/loss" in run.curves]
    widths = {window(curve) for curve in losses}
    if widths == {1}:
        return ""
    end = "." if len(widths) == 1 else " at the most."
    return f"Running mean over a fiftieth of each run: {counted(max(widths), 'step')}{end}"


def told(title: str, found: Sequence[Course], form: str) -> str:
    """Say what a chart shows: how many settings, and which ended highest and lowest."""
    words = f"{title} over the steps of {counted(len(found), 'setting')}"
    ended = [(float(each.mean[-1]), each.setting.name) for each in found if each.mean.size]
    if not ended:
        return f"{words}; none finished."
    (low, lowest), (high, highest) = min(ended), max(ended)
    if len(ended) == 1:
        return f"{words}; {lowest} ended at {form.format(low)}."
    return (
        f"{words}; {highest} ended highest at {form.format(high)}, "
        f"{lowest} lowest at {form.format(low)}."
    )
