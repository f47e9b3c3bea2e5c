"""Gaps: how much better a setting does on what it was trained on than on what it was not."""

from __future__ import annotations

from initlab.report.charts.courses import BANDED, Course, held_out
from initlab.report.charts.line_charts import draw
from initlab.report.charts.panels import Panels, columns_of, measure_steps
from initlab.report.charts.pictures import Chart
from initlab.report.charts.scales import SHARES
from initlab.report.charts.styles import DASHES, DIM, Style, colors
from initlab.report.charts.words import counted
from initlab.report.comparison import Comparison, Setting, Spread

TRAINED = "train/accuracy"
TELLING = 0.05  # from which on a gap is worth a picture
BEST = 20  # settings
COLUMNS = 5
HEIGHT = 1.15


def gaps(comparison: Comparison) -> Chart | None:
    """Draw the accuracy in training and on held-out examples, a panel a setting, best first.

    None if no setting that finished does better in training by five points.
    """
    if max((gap(each) or 0.0 for each in comparison.settings), default=0.0) < TELLING:
        return None
    found = [each for each in comparison.ranked if gap(each) is not None]
    shown, styles = found[:BEST], colors(comparison)
    name = "test" if {held_out(each) for each in shown} == {"test/accuracy"} else "validation"
    title = f"training against {name} accuracy"
    heads = [(each.name, [told(each)]) for each in shown]
    entries = [("training", Style(DIM, DASHES[1])), (name, Style(DIM))]
    panels = Panels(title, heads, (min(COLUMNS, columns_of(len(shown))), HEIGHT), entries)
    metrics = {TRAINED, *map(held_out, shown)}
    curves = [run.curves for each in shown for run in each.runs]
    last = max(found.steps[-1] for each in curves for key, found in each.items() if key in metrics)
    for index, setting in enumerate(shown):
        panel = panels.panel(index)
        own = styles[setting.number]
        color = own.color if own.own else DIM
        for metric, dashes in ((TRAINED, DASHES[1]), (held_out(setting), ())):
            course = Course.of(setting, metric)
            draw(panel, course, Style(color, dashes), SHARES, banded=True, most=0)
        measure_steps(panels, index, panel, int(last))
    several = any(len(each.finished) > 1 for each in shown)
    broke = any(run.outcome != "finished" for each in shown for run in each.runs)
    caption = (
        "The gap is that of the last accuracies.",
        BANDED if several else "",
        "Thin lines: runs that did not finish." if broke else "",
        f"The best {BEST} of {len(found)} settings are shown." if len(found) > BEST else "",
    )
    return Chart(
        "gaps",
        title,
        " ".join(filter(None, caption)),
        f"{title} over the steps of {counted(len(shown), 'setting')}. "
        f"{'; '.join(f'{each.name}: {told(each)}' for each in shown)}.",
        panels.sheet.figure,
    )


def last_ones(setting: Setting) -> tuple[Spread, Spread] | None:
    """Return the last accuracies of the runs that finished, in training and held out."""
    metrics = TRAINED, held_out(setting)
    runs = [run for run in setting.finished if {*metrics} <= run.metrics.keys()]
    first, second = (Spread.of(run.metrics[metric] for run in runs) for metric in metrics)
    return (first, second) if first and second else None


def gap(setting: Setting) -> float | None:
    """Return the difference of the two, None where either is not known."""
    found = last_ones(setting)
    return found[0].mean - found[1].mean if found else None


def told(setting: Setting) -> str:
    """Say how large the gap is."""
    return f"gap {counted(round(100 * (gap(setting) or 0.0)), 'point')}"
