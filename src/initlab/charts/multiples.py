"""Small multiples: the accuracy over the steps, a panel for each of many values of a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from initlab import figures
from initlab.charts.courses import BANDED, Course
from initlab.charts.keys import axes, by_count, options, said, shortened
from initlab.charts.line_charts import draw
from initlab.charts.panels import Panels, columns_of, measure_steps
from initlab.charts.pictures import Chart
from initlab.charts.scales import SHARES
from initlab.charts.styles import DASHES, DIM, PALETTE, Style
from initlab.charts.words import SMALL, counted
from initlab.comparison import Comparison, Setting

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
    settings = [each for each in comparison.settings if each.values.get(keys[0], "") in shown]
    title = f"{TITLES[metric]} by {keys[0]}"
    heads = [(name, ()) for name in shortened(shown)]
    panels = Panels(title, heads, (min(COLUMNS, columns_of(len(shown))), HEIGHT), entries)
    last = max(run.curves[metric].steps[-1] for run in comparison.runs if metric in run.curves)
    for index, value in enumerate(shown):
        panel = panels.panel(index)
        inside = [each for each in settings if each.values.get(keys[0], "") == value]
        found = [Course.of(each, metric) for each in inside]
        for course in found:
            style = styles[course.setting.values.get(keys[1], "")]
            draw(panel, course, style, SHARES, banded=True, most=0)
        if not any(course.mean.size or course.broken for course in found):
            lost = Counter(run.word for each in inside for run in each.runs)
            words = "\n".join(f"{count} {word}" for word, count in lost.items())
            panel.text(last / 2, 0.5, words, fontsize=SMALL, color=DIM, ha="center", va="center")
        measure_steps(panels, index, panel, int(last))
    return Chart(
        "accuracy_panels",
        title,
        caption(settings, (keys[0], len(shown), len(many))),
        f"{title}, a panel for each of {counted(len(shown), 'value')} and a line for each "
        f"{keys[1]}. {ends(settings, metric)}.",
        panels.sheet.figure,
    )


def measured(comparison: Comparison) -> str | None:
    """Return the accuracy that is drawn: the first that is known at several steps."""
    for metric in TITLES:
        lengths = [len(run.curves[metric].steps) for run in comparison.runs if metric in run.curves]
        if max(lengths, default=0) >= SEVERAL:
            return metric
    return None


def caption(settings: Sequence[Setting], panels: tuple[str, int, int]) -> str:
    """Say what one must know to read the panels: of a key, so many of all values."""
    key, shown, count = panels
    runs = [run for setting in settings for run in setting.runs]
    several = any(len(setting.finished) > 1 for setting in settings)
    broke = any(run.outcome not in ("finished", "running") for run in runs if run.curves)
    words = (
        f"Above each panel: {key}.",
        BANDED if several else "",
        "Thin lines up to a ×: runs that diverged or broke off." if broke else "",
        f"{shown} of {count} values are shown, evenly spaced." if shown < count else "",
    )
    return " ".join(filter(None, words))


def ends(settings: Sequence[Setting], metric: str) -> str:
    """Say where each setting ended."""
    found = ((setting, Course.of(setting, metric).mean) for setting in settings)
    return "; ".join(
        f"{each.name}: {f'{mean[-1]:.1%}' if mean.size else each.word}" for each, mean in found
    )
