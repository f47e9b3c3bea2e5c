"""Curves: losses and accuracies over the steps, as plots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from initlab.nn.metrics import Metric
from initlab.report.charts.curves import MeanCurve, value_scale
from initlab.report.charts.lines import FILES, TITLES, curve_caption, description
from initlab.report.charts.styles import colors, enough_colors
from initlab.report.charts.words import sentences
from initlab.report.comparison import MOST_RUNS, Comparison, Setting
from initlab.report.interactive.plot import Line, Plot

MOST, ENDS = 30, 10  # of more settings, only so many of the best and of the worst are drawn


def best_and_worst(settings: Sequence[Setting]) -> list[Setting]:
    """Return the settings that are drawn, of which the best come first."""
    return [*settings] if len(settings) <= MOST else [*settings[:ENDS], *settings[-ENDS:]]


def left_out(count: int) -> str:
    """Say which settings are drawn, "" if all are."""
    if count <= MOST:
        return ""
    return f"The best {ENDS} and the worst {ENDS} of {count:,} settings are drawn."


def curve_plot(comparison: Comparison, metric: Metric) -> Plot | None:
    """Return a metric over the steps, a line a setting; None if no run has it."""
    having = [
        setting
        for setting in comparison.ranked
        if any(metric in run.curves for run in setting.runs)
    ]
    shown = best_and_worst(having)
    curves = [MeanCurve.of(setting, metric) for setting in shown]
    if not curves:
        return None
    scale, styles = value_scale(curves, metric), colors(comparison)
    banded = enough_colors(comparison)
    lines = []
    for curve in curves:
        several = len(curve.runs) > 1
        lines.append(
            Line(
                curve.setting.name,
                styles[curve.setting.number],
                curve.steps,
                curve.mean,
                [
                    point_text(*numbers, metric.is_accuracy, several)
                    for numbers in zip(curve.mean, curve.high - curve.mean)
                ],
                curve.low if banded and several else np.empty(0),
                curve.high if banded and several else np.empty(0),
                [(curve.steps, each) for each in curve.runs[:MOST_RUNS]]
                if banded and several
                else (),
                [(steps, values) for _, steps, values in curve.unfinished],
            )
        )
    last = max(curve.steps[-1] for run in comparison.runs for curve in run.curves.values())
    caption = sentences(left_out(len(having)), curve_caption(comparison, curves, metric, scale))
    return Plot(
        FILES[metric],
        TITLES[metric],
        "step",
        "step",
        lines,
        scale,
        (0.0, float(last) or 1.0),
        caption,
        description(TITLES[metric], curves, "{:.1%}" if scale.share else "{:.3g}"),
        "high" if metric.is_accuracy else "low",
    )


def point_text(mean: float, half: float, share: bool, several: bool) -> str:
    """Return a mean with half the width of its interval."""
    text = f"{mean:.1%}" if share else f"{mean:.3g}"
    if not several:
        return text
    return f"{text} ± {100 * half:.1f}" if share else f"{text} ± {half:.2g}"
