"""Lines: a metric over the steps, a line for each setting."""

from __future__ import annotations

from collections.abc import Sequence

from initlab.nn.metrics import Metric
from initlab.report.charts.curves import (
    BANDED,
    SINGLES,
    MeanCurve,
    drawn_values,
    hidden_curves,
    mean_curves,
    value_scale,
)
from initlab.report.charts.layout import Chart, line_handles, titled_figure
from initlab.report.charts.scales import Scale, label_steps
from initlab.report.charts.styles import (
    colors,
    enough_colors,
    grey_note,
    legend_entries,
    middle_note,
)
from initlab.report.charts.words import sentences
from initlab.report.comparison import MOST_RUNS, Comparison
from initlab.report.formatting import format_count
from initlab.report.speed import smoothing_window
from initlab.tracking.names import Outcome

TITLES = {
    Metric.TRAIN_LOSS: "training loss",
    Metric.F: "value of f",
    Metric.TEST_ACCURACY: "test accuracy",
}
FILES = {Metric.TRAIN_LOSS: "loss", Metric.F: "f", Metric.TEST_ACCURACY: "accuracy"}
HEIGHT = 2.95


def draw_lines(comparison: Comparison, metric: Metric) -> Chart | None:
    """Draw a metric over the steps: a line for each setting, and the band of its mean.

    Runs that did not finish are drawn by themselves, thin, up to a cross. None if no run has the
    metric.
    """
    curves = mean_curves(comparison, metric)
    if not curves:
        return None
    scale = value_scale(curves, metric)
    styles = colors(comparison)
    banded = enough_colors(comparison)
    entries = legend_entries(comparison, [each.setting for each in curves])
    figure = titled_figure(TITLES[metric], HEIGHT, line_handles(entries))
    panel = figure.subplots()
    for curve in reversed(curves):  # the best lies over the others
        curve.plot(panel, styles[curve.setting.number], scale, banded, singles=banded)
    # All charts have the same axis of steps, so that they can stand side by side.
    last = int(max(curve.steps[-1] for run in comparison.runs for curve in run.curves.values()))
    label_steps(panel, last)
    panel.set_xlabel("step")
    scale.apply(panel, "y")

    caption = sentences(middle_note(comparison), curve_caption(comparison, curves, metric, scale))
    alt = description(TITLES[metric], curves, "{:.1%}" if scale.share else "{:.3g}")
    return Chart(FILES[metric], TITLES[metric], caption, alt, figure)


def curve_caption(
    comparison: Comparison, curves: Sequence[MeanCurve], metric: Metric, scale: Scale
) -> str:
    """Say what one must know to read the lines of some curves."""
    banded = enough_colors(comparison)
    several = any(len(curve.runs) > 1 for curve in curves)
    broke = any(run.outcome != Outcome.RUNNING for curve in curves for run, *_ in curve.unfinished)
    cut = not scale.share and scale.cuts_off(drawn_values(curves))
    return sentences(
        smoothing_note(comparison) if metric == Metric.TRAIN_LOSS else "",
        grey_note(comparison),
        f"{BANDED} {SINGLES}" if several and banded else "",
        runs_note(comparison) if banded else "",
        "Line: mean over the runs of a setting." if several and not banded else "",
        hidden_curves(curves, scale) if banded else "",
        "Thin lines up to a ×: runs that diverged or broke off." if broke else "",
        "What lies beyond the axis is cut." if cut else "",
    )


def runs_note(comparison: Comparison) -> str:
    """Say that not all runs of a setting have a line, "" if all have."""
    if all(len(setting.runs) <= MOST_RUNS for setting in comparison.settings):
        return ""
    return f"Of a setting of more runs, {MOST_RUNS} have a line."


def smoothing_note(comparison: Comparison) -> str:
    """Say over how many steps the running mean is taken, "" if over single ones."""
    losses = [
        run.curves[Metric.TRAIN_LOSS] for run in comparison.runs if Metric.TRAIN_LOSS in run.curves
    ]
    widths = {smoothing_window(curve) for curve in losses}
    if widths == {1}:
        return ""
    end = "." if len(widths) == 1 else " at the most."
    return f"Running mean over a fiftieth of each run: {format_count(max(widths), 'step')}{end}"


def description(title: str, curves: Sequence[MeanCurve], form: str) -> str:
    """Say how many settings a chart shows, and which ended highest and lowest."""
    subject = f"{title} over the steps of {format_count(len(curves), 'setting')}"
    ends = [(float(each.mean[-1]), each.setting.name) for each in curves if each.mean.size]
    if not ends:
        return f"{subject}; none finished."
    (low, lowest), (high, highest) = min(ends), max(ends)
    if len(ends) == 1:
        return f"{subject}; {lowest} ended at {form.format(low)}."
    return (
        f"{subject}; {highest} ended highest at {form.format(high)}, "
        f"{lowest} lowest at {form.format(low)}."
    )
