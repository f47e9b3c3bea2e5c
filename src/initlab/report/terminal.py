"""Results in the terminal: the table of settings, the runs without a result, the claims."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from rich import table as rich
from rich.text import Text

from initlab import console
from initlab.console import style_of
from initlab.report.answers import notes
from initlab.report.comparison import Comparison
from initlab.report.conclusions import MORE_SEEDS, conclusions, more_seeds, short_name
from initlab.report.differences import Differences
from initlab.report.findings import Finding
from initlab.report.formatting import format_count, format_difference
from initlab.report.table import Column, Table, table_of
from initlab.tracking.names import Outcome

MAX_SETTINGS, BEST, WORST = 30, 20, 5  # of more settings, only the best and the worst are shown
MAX_FAILURES = 5
MAX_PAIRS = 45  # those of ten settings
MAX_REASON = 120  # characters
TITLE_WIDTH = 8  # that a wrapped title may have at least
UNBOUNDED = 10_000  # columns, wider than any table
RESULTS = (Outcome.FINISHED, Outcome.DIVERGED, Outcome.PRUNED)


def print_results(comparison: Comparison) -> None:
    """Print the results of runs: a row a setting, best first, then the runs without a result."""
    if not comparison.runs:
        console.out.print("no runs")
        return
    ranked = comparison.ranked
    hidden = len(ranked) - BEST - WORST if len(ranked) > MAX_SETTINGS else 0
    shown = ranked[:BEST] + ranked[-WORST:] if hidden else ranked
    console.out.print(render_terminal(table_of(comparison, shown), gap=bool(hidden)))
    if hidden:
        left_out = f"⋮ {hidden:,} of {len(ranked):,} settings are not shown; settings.csv has all"
        console.out.print(Text(left_out, style="dim"))
    for note in notes(comparison):
        console.out.print(Text(note, style="dim"))
    if any(run.outcome not in RESULTS for run in comparison.runs):
        console.out.print(failure_table(comparison))


def render_terminal(table: Table, gap: bool = False) -> rich.Table:
    """Return a table as Rich prints it, in the first layout that fits the screen.

    The layouts are: titles in one line, wrapped titles, less of what can be spared, and all keys
    in one column as well.

    gap  whether settings are left out between the best and the worst
    """
    unbounded = console.out.options.update(width=UNBOUNDED)
    merged = table.merged
    layouts = (table, *table.narrower, merged, *merged.narrower)
    for number, layout in enumerate((table, *layouts)):
        rendered = rich_table(layout.columns, wrap=number > 0, gap=gap)
        if console.out.measure(rendered, options=unbounded).minimum <= console.out.width:
            break
    return rendered


def rich_table(columns: Sequence[Column], wrap: bool, gap: bool) -> rich.Table:
    """Return columns as a table in which only lists and sentences may be folded."""
    table = rich.Table(box=None, pad_edge=False, header_style="dim")
    texts = []
    for column in columns:
        cells = column_texts(column)
        narrow = max((text.cell_len for text in cells), default=0)
        title = wrapped(column.title, narrow) if wrap else column.title
        heads = [Text(line) for line in title.split("\n")]
        if gap:
            cells.insert(BEST, Text("⋮", "dim"))
        width = max(text.cell_len for text in (*heads, *cells))
        if column.numeric:
            for text in (*heads, *cells):  # Rich's own alignment would strip trailing spaces
                text.pad_left(width - text.cell_len)
        whole = column.numeric or not any(" " in cell for cell in cells)
        table.add_column(
            Text("\n").join(heads),
            overflow="fold",
            no_wrap=whole,
            min_width=width if whole else None,
        )
        texts.append(cells)
    for row in zip(*texts):
        table.add_row(*row)
    return table


def wrapped(title: str, width: int) -> str:
    """Return a title in lines that are hardly wider than the cells; a key breaks at its dots."""
    lines = textwrap.wrap(title, max(width, TITLE_WIDTH), break_long_words=False) or [""]
    return re.sub(r"(?<=\w)(?=\.[a-z])", "\n", "\n".join(lines))


def column_texts(column: Column) -> list[Text]:
    """Return the cells of a column, with the standard deviations below each other."""
    stds = [f" ± {cell.std}" if cell.std else "" for cell in column.cells]
    width = max(map(len, stds))
    return [
        Text.assemble(
            (cell.text, style_of(cell.word) if cell.word else ""),
            (f"{std:<{width}}" if cell.text else "", "dim"),
        )
        for cell, std in zip(column.cells, stds)
    ]


def failure_table(comparison: Comparison) -> rich.Table:
    """Return the list of runs without a result, with the reason where it is known."""
    failed = [run for run in comparison.runs if run.outcome not in RESULTS]
    table = rich.Table.grid(padding=(0, 2))
    for run in failed[:MAX_FAILURES]:
        reason = Text(run.reason)
        reason.truncate(MAX_REASON, overflow="ellipsis")
        name = Text.assemble(comparison.label(run), ": " if run.reason else "", reason)
        table.add_row(Text(run.outcome, style_of(run.outcome)), name)
    if len(failed) > MAX_FAILURES:
        table.add_row("", Text(f"and {len(failed) - MAX_FAILURES:,} more", "dim"))
    return table


def print_conclusions(comparison: Comparison) -> None:
    """Print which differences are real, and how to find out."""
    for sentence in conclusions(comparison):
        console.out.print(Text(sentence))
    if command := more_seeds(comparison):
        console.out.print(Text(f"{MORE_SEEDS}\n{command}"), soft_wrap=True)


def print_pairs(comparison: Comparison) -> None:
    """Print the difference of every pair of settings, with its interval and p."""
    table = rich.Table(box=None, pad_edge=False, header_style="dim")
    for title in ("better", "than"):
        table.add_column(title, overflow="fold")
    for title in ("by", "low", "high", "seeds", "p", "Holm", ""):
        table.add_column(title, justify="right", no_wrap=True)
    share = comparison.by.share
    pairs = Differences.in_score(comparison).of_all_pairs
    for each in pairs[:MAX_PAIRS]:
        paired = each.paired
        numbers = (paired.difference, paired.low, paired.high)
        cells = (
            short_name(comparison, each.better),
            short_name(comparison, each.other),
            *("" if number is None else format_difference(number, share) for number in numbers),
            f"{paired.wins} of {paired.n}",
            f"{paired.p:.2g}",
            f"{paired.p_holm:.2g}",
            "tied" if paired.tied else "",
        )
        table.add_row(*map(Text, cells))
    console.out.print()
    console.out.print(table)
    unit = "points of " if share else ""
    explained = (
        f"by, low, high: {unit}{comparison.by.title} and its 95 % interval; Holm: p corrected"
    )
    console.out.print(Text(f"{explained} for {format_count(len(pairs), 'pair')}", "dim"))
    if len(pairs) > MAX_PAIRS:
        left = len(pairs) - MAX_PAIRS
        console.out.print(Text(f"and {left:,} more pairs, in comparison.json", "dim"))


def print_findings(findings: Sequence[Finding]) -> None:
    """Print the claims of a source, whether each holds here, and the measurements."""
    if not findings:
        return
    table = rich.Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("claim of the source, and what was measured here")
    for finding in findings:
        style = "bold green" if finding.holds else "bold yellow"
        claim = Text.assemble(finding.claim, "\n", (finding.measured, "dim"))
        table.add_row(Text(finding.word, style), claim)
    console.out.print()
    console.out.print(table)
    console.out.print()
