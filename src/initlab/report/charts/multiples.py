"""Small multiples: the accuracy over the steps, a panel for each of many values of a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from initlab import figures
from initlab.report.charts.courses import BANDED, Course
from initlab.report.charts.keys import axes, by_count, options, said, shortened
from initlab.report.charts.line_charts import draw
from initlab.report.charts.panels import Panels, columns_of, measure_steps
from initlab.report.charts.pictures import Chart
from initlab.report.charts.scales import SHARES
from initlab.report.charts.styles import DASHES, DIM, PALETTE, Style
from initlab.report.charts.words import SMALL, counted
from initlab.report.comparison import Comparison

FEW, MANY = 4, len(PALETTE)  # values of one key at the most, and more than these of the other
MOST = 24  # panels
COLUMNS = 4
HEIGHT = 1.05
SEVERAL = 3  # steps of a curve that is worth its panel
TITLES = {"train/accuracy": "training accuracy", "test/accuracy": "test accuracy"}


def multiples(comparison: Comparison) -> Chart | None:
    """Draw the accuracy, in training where it is known, in a panel for each value of a key.

    None unless two keys vary, one of few values, which are lines, and one of many.
    """
    keys = by_count(comparison, axes(comparison))
    if len(keys) != 2:
        return None
    many, few = (options(comparison, key) for key in keys)
    metric = measured(comparison)
    if not metric or len(many) <= MANY or not 2 <= len(few) <= FEW:
        return None
    shown = [many[place] for place in figures.spaced(len(many), MOST)]
    styles = {value: Style(color, dashes) for value, color, dashes in zip(few, PALETTE, DASHES)}
    entries = [(said(keys[1], value), style) for value, style in styles.items()]
    found = [
        Course.of(setting, metric)
        for setting in comparison.settings
        if setting.values.get(keys[0], "") in shown
    ]
    title = f"{TITLES[metric]} by {keys[0]}"
    heads = [(name, ()) for name in shortened(shown)]
    panels = Panels(title, heads, (min(COLUMNS, columns_of(len(shown))), HEIGHT), entries)
    last = max(run.curves[metric].steps[-1] for run in comparison.runs if metric in run.curves)
    for index, value in enumerate(shown):
        panel = panels.panel(index)
        inside = [each for each in found if each.setting.values.get(keys[0], "") == value]
        for course in inside:
            style = styles[course.setting.values.get(keys[1], "")]
            draw(panel, course, style, SHARES, banded=True, most=0)
        if not any(course.mean.size or course.broken for course in inside):
            lost = Counter(run.word for course in inside for run in course.setting.runs)
            words = "\n".join(f"{count} {word}" for word, count in lost.items())
            panel.text(last / 2, 0.5, words, fontsize=SMALL, color=DIM, ha="center", va="center")
        measure_steps(panels, index, panel, int(last))
    return Chart(
        "accuracy_panels",
        title,
        caption(found, keys[0], f"{len(shown)} of {len(many)}" if shown != many else ""),
        f"{title}, a panel for each of {counted(len(shown), 'value')} and a line for each "
        f"{keys[1]}. {'; '.join(map(ended, found))}.",
        panels.sheet.figure,
    )


def measured(comparison: Comparison) -> str | None:
    """Return the accuracy that is drawn: the first that is known at several steps."""
    for metric in TITLES:
        lengths = [len(run.curves[metric].steps) for run in comparison.runs if metric in run.curves]
        if max(lengths, default=0) >= SEVERAL:
            return metric
    return None


def caption(found: Sequence[Course], key: str, part: str) -> str:
    """Say what one must know to read the panels: by which key, and what part of all they are."""
    several = any(len(course.setting.finished) > 1 for course in found)
    broke = any(run.outcome != "running" for course in found for run, *_ in course.broken)
    words = (
        f"Above each panel: {key}.",
        BANDED if several else "",
        "Thin lines up to a ×: runs that diverged or broke off." if broke else "",
        f"{part} values are shown, evenly spaced." if part else "",
    )
    return " ".join(filter(None, words))


def ended(course: Course) -> str:
    """Say where a setting ended."""
    end = f"{course.mean[-1]:.1%}" if course.mean.size else course.setting.word
    return f"{course.setting.name}: {end}"
