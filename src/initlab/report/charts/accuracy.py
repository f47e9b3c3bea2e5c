"""Accuracy: small panels of it over the steps, by a key with many values, or with its gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from matplotlib.axes import Axes

from initlab import figures
from initlab.nn.metrics import Metric
from initlab.report.charts.curves import BANDED, MeanCurve, held_out
from initlab.report.charts.keys import assignment, most_values_first, values_of, varied_keys
from initlab.report.charts.layout import PANEL, Chart, line_handles, panel_grid
from initlab.report.charts.scales import SHARES, label_steps
from initlab.report.charts.styles import DASHES, DIM, PALETTE, Style, colors
from initlab.report.charts.words import SMALL, sentences, wrap
from initlab.report.comparison import Comparison, Setting, Spread
from initlab.report.formatting import format_count, format_value
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Run

FEW, MANY = 4, len(PALETTE)  # values of one key at the most, and more than these of the other
MOST = 24  # panels
SEVERAL = 3  # evaluations that make a curve
TITLES = {Metric.TRAIN_ACCURACY: "training accuracy", Metric.TEST_ACCURACY: "test accuracy"}
TRAINED = Metric.TRAIN_ACCURACY
WIDE_GAP = 0.05  # the least gap that is drawn
BEST = 20  # settings whose gaps are drawn
HEIGHT = 1.1
AXES = "step", ""


def draw_accuracy(comparison: Comparison) -> Chart | None:
    """Draw the accuracy, in training where it is known, in a panel for each value of a key.

    None unless two keys vary, one of few values, which are lines, and one of many.
    """
    keys = most_values_first(comparison, varied_keys(comparison))
    if len(keys) != 2:
        return None
    many, few = (values_of(comparison, key) for key in keys)
    metric = recorded_accuracy(comparison)
    if not metric or len(many) <= MANY or not 2 <= len(few) <= FEW:
        return None
    shown = [many[place] for place in figures.spaced(len(many), MOST)]
    styles = {value: Style(color, dashes) for value, color, dashes in zip(few, PALETTE, DASHES)}
    handles = line_handles((assignment(keys[1], value), style) for value, style in styles.items())
    title = f"{TITLES[metric]} by {keys[0]}"
    heads = [(format_value(value) or "none", ()) for value in shown]
    figure, panels = panel_grid(title, heads, (4, HEIGHT), AXES, handles)
    last = label_panels(panels[0], comparison.runs, {metric})
    drawn = [
        MeanCurve.of(setting, metric)
        for setting in comparison.settings
        if setting.values.get(keys[0], "") in shown
    ]
    for panel, value in zip(panels, shown):
        curves = [each for each in drawn if each.setting.values.get(keys[0], "") == value]
        for curve in curves:
            style = styles[curve.setting.values.get(keys[1], "")]
            curve.plot(panel, style, SHARES, marked=0)
        if not any(curve.mean.size or curve.unfinished for curve in curves):
            lost = Counter(run.word for curve in curves for run in curve.setting.runs)
            lines = (f"{count} {word}" for word, count in lost.items())
            note = "\n".join(wrap(line, PANEL, SMALL, lines=1) for line in lines)
            panel.text(last / 2, 0.5, note, size=SMALL, color=DIM, ha="center", va="center")
    several = any(len(curve.setting.finished) > 1 for curve in drawn)
    broke = any(run.outcome != Outcome.RUNNING for curve in drawn for run, *_ in curve.unfinished)
    part = f"{len(shown)} of {len(many)} values are shown, evenly spaced."
    return Chart(
        "accuracy_panels",
        title,
        sentences(
            f"Above each panel: {keys[0]}.",
            BANDED if several else "",
            "Thin lines up to a ×: runs that diverged or broke off." if broke else "",
            part if shown != many else "",
        ),
        f"{title}, a panel for each of {format_count(len(shown), 'value')} and a line for each "
        f"{keys[1]}. {'; '.join(map(end_of, drawn))}.",
        figure,
    )


def recorded_accuracy(comparison: Comparison) -> Metric | None:
    """Return the accuracy that is drawn: the first that is known at several steps."""
    for metric in TITLES:
        lengths = [len(run.curves[metric].steps) for run in comparison.runs if metric in run.curves]
        if max(lengths, default=0) >= SEVERAL:
            return metric
    return None


def end_of(curve: MeanCurve) -> str:
    """Say where a setting ended."""
    end = f"{curve.mean[-1]:.1%}" if curve.mean.size else curve.setting.word
    return f"{curve.setting.name}: {end}"


def label_panels(panel: Axes, runs: Iterable[Run], metrics: set[Metric]) -> int:
    """Give panels, of which one is given, their axes; return the last step of some metrics."""
    curves = (curve for run in runs for key, curve in run.curves.items() if key in metrics)
    last = int(max(curve.steps[-1] for curve in curves))
    SHARES.apply(panel, "y")
    panel.set_yticks([0, 0.5, 1])
    label_steps(panel, last, ticks=3)
    return last


def draw_gaps(comparison: Comparison) -> Chart | None:
    """Draw the accuracy in training and on held-out examples, a panel a setting, best first.

    None if no setting that finished does better in training by five points.
    """
    if max((gap(each) or 0.0 for each in comparison.settings), default=0.0) < WIDE_GAP:
        return None
    found = [each for each in comparison.ranked if gap(each) is not None]
    shown, styles = found[:BEST], colors(comparison)
    name = "test" if {held_out(each) for each in shown} == {Metric.TEST_ACCURACY} else "validation"
    title = f"training against {name} accuracy"
    heads = [(each.name, [gap_note(each)]) for each in shown]
    handles = line_handles([("training", Style(DIM, DASHES[1])), (name, Style(DIM))])
    figure, panels = panel_grid(title, heads, (5, HEIGHT), AXES, handles)
    runs = [run for each in shown for run in each.runs]
    label_panels(panels[0], runs, {TRAINED, *map(held_out, shown)})
    for panel, setting in zip(panels, shown):
        style = styles[setting.number]
        color = style.color if style.own else DIM
        for metric, dashes in ((TRAINED, DASHES[1]), (held_out(setting), ())):
            MeanCurve.of(setting, metric).plot(panel, Style(color, dashes), SHARES, marked=0)
    several = any(len(each.finished) > 1 for each in shown)
    broke = any(run.outcome != Outcome.FINISHED for run in runs)
    notes = "; ".join(f"{each.name}: {gap_note(each)}" for each in shown)
    return Chart(
        "gaps",
        title,
        sentences(
            "The gap is that of the last accuracies.",
            BANDED if several else "",
            "Thin lines: runs that did not finish." if broke else "",
            f"The best {BEST} of {len(found)} settings are shown." if len(found) > BEST else "",
        ),
        f"{title} over the steps of {format_count(len(shown), 'setting')}. {notes}.",
        figure,
    )


def gap(setting: Setting) -> float | None:
    """Return by how much the last accuracy in training exceeds the held-out one, None if unknown.

    It is the difference of the means over the runs that finished.
    """
    metrics = TRAINED, held_out(setting)
    runs = [run for run in setting.finished if {*metrics} <= run.metrics.keys()]
    trained, held = (Spread.of(run.metrics[metric] for run in runs) for metric in metrics)
    return trained.mean - held.mean if trained and held else None


def gap_note(setting: Setting) -> str:
    """Say how large the gap is."""
    return f"gap {format_count(round(100 * (gap(setting) or 0.0)), 'point')}"
