"""Importance: bars for the shares of the variance of the score that each setting explains."""

from __future__ import annotations

from matplotlib.colors import to_rgb

from initlab.figures import BLUE
from initlab.report.charts.layout import LINE, MARGIN, WIDTH, Chart, line_count, titled_figure
from initlab.report.charts.styles import GREY
from initlab.report.charts.words import sentences, text_width, wrap
from initlab.report.comparison import Comparison
from initlab.report.formatting import format_count, join_words
from initlab.report.importance import Importance, Share, importance

MOST = 8  # bars
NAME = 1.7  # inches that the name of a bar may take
BAR, SPACE = 0.62, 0.1  # the height of a bar, as a fraction of its place, and inches between names
PALE = tuple(0.35 * each + 0.65 for each in to_rgb(BLUE))


def draw_importance(comparison: Comparison) -> Chart | None:
    """Draw how much of the variance of the score each setting explains, the largest share first.

    None where that is not known.
    """
    found = importance(comparison)
    if not found:
        return None
    bars = [*shown(found), *found.rest]
    own = len(bars) - len(found.rest)
    names = [wrap(each.name, NAME) for each in bars]
    left = max(text_width(line) for name in names for line in name.split("\n")) + 0.12
    right = text_width("100%") + 0.06
    rows = LINE * max(map(line_count, names)) + SPACE
    title = f"which setting matters for the {found.score}"
    if text_width(title) > WIDTH - 2 * MARGIN - 0.3:
        title = "which setting matters"
    figure = titled_figure(title, rows * len(bars) + MARGIN)
    panel = figure.subplots()
    colors = [(PALE if each.chance else BLUE) if n < own else GREY for n, each in enumerate(bars)]
    drawn = panel.barh(range(len(bars)), [each.share for each in bars], BAR, color=colors)
    panel.bar_label(drawn, [each.percent for each in bars], padding=3)
    room = WIDTH - 2 * MARGIN - left
    panel.set_xlim(0, max(each.share for each in bars) * room / (room - right))
    panel.set_yticks(range(len(bars)), names)
    panel.invert_yaxis()
    panel.grid(visible=False)
    panel.xaxis.set_visible(False)
    panel.spines["bottom"].set_visible(False)
    panel.tick_params(length=0)
    listed = ", ".join(
        f"{each.name} {each.percent}{' (may be chance)' if each.chance else ''}" for each in bars
    )
    return Chart(
        "importance",
        title,
        caption(found, bars),
        f"Shares of the variance of the {found.score} that each setting explains: {listed}.",
        figure,
    )


def shown(found: Importance) -> list[Share]:
    """Return the largest shares, and the sum of those that have no bar of their own."""
    room = MOST - len(found.rest)
    if len(found.shares) <= room:
        return [*found.shares]
    others = found.shares[room - 1 :]
    chance = all(each.chance for each in others)
    total = sum(each.share for each in others)
    return [*found.shares[: room - 1], Share(f"{len(others)} others", total, chance)]


def caption(found: Importance, bars: list[Share]) -> str:
    """Say how the shares were found, and what their names stand for."""
    by, test = "by analysis of variance", "F"
    if found.estimated:
        by, test = "estimated by Optuna (fANOVA)", "Kruskal-Wallis"
    names = [each.name for each in bars]
    pair = any(" × " in each for each in names)
    together = [each for each in names if " with " in each and " × " not in each]
    return sentences(
        f"Share of the variance of the {found.score} over {format_count(found.runs, 'run')} that "
        f"each setting explains, {by}.",
        "×: what a combination adds." if pair else "",
        "With one run a setting, chance is part of that." if pair and not found.rest else "",
        f"{join_words(together)}: they change together." if together else "",
        *(f"{each.name}: {each.meaning}." for each in found.rest),
        f"Pale: no more than chance may give ({test} test, p ≥ 0.05)."
        if any(each.chance for each in bars)
        else "",
        f"{found.unused} of {format_count(found.runs + found.unused, 'run')} did not finish with a "
        "score and are not used."
        if found.unused
        else "",
    )
