"""The table of results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

from initlab import console
from initlab.console import STYLES
from initlab.nn.metrics import Metric, Statistic
from initlab.report.comparison import Comparison, Setting, Spread, short
from initlab.report.findings import Finding
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Run

MOST_SETTINGS, BEST, WORST = 30, 20, 5  # of more settings the best and the worst are shown
MOST_FAILURES = 5
MOST_LAYERS = 6  # whose activations are told
MOST_LETTERS = 120  # of what a run died of
UNBOUNDED = 10_000  # columns, more than any table has
# Columns of the table of results that hold numbers, beside those of layers.
NUMBERS = {"n", "f", "loss", "train loss", "validation accuracy", "test accuracy", "seconds"}


def print_results(comparison: Comparison) -> None:
    """Print what came of many runs: a row a setting, best first, then those that never finished."""
    if not comparison.runs:
        console.out.print("no runs")
        return
    ranked = comparison.ranked
    hidden = len(ranked) - BEST - WORST if len(ranked) > MOST_SETTINGS else 0
    shown = ranked[:BEST] + ranked[-WORST:] if hidden else ranked
    unbounded = console.out.options.update(width=UNBOUNDED)
    for merged, separator in ((False, " "), (False, "\n"), (True, "\n")):
        table = result_table(result_columns(comparison, shown, merged), separator, bool(hidden))
        if console.out.measure(table, options=unbounded).minimum <= console.out.width:
            break
    console.out.print(table)
    if hidden:
        console.out.print(Text(f"⋮ {hidden} of {len(ranked)} settings are not shown", style="dim"))
    notes = (different_data, own_rates, layers_told)
    for note in (said for about in notes for said in about(comparison)):
        console.out.print(Text(note, style="dim"))
    results = (Outcome.FINISHED, Outcome.DIVERGED, Outcome.PRUNED)
    unfinished = [run for run in comparison.runs if run.outcome not in results]
    if unfinished:
        console.out.print(failures(unfinished, comparison.varies))


def different_data(comparison: Comparison) -> list[str]:
    """Say, where it is so, that not all settings can be compared."""
    if len(comparison.data) < 2:
        return []
    return ["Losses on different data cannot be compared: each is ranked by itself."]


def own_rates(comparison: Comparison) -> list[str]:
    """Say, where it is so, that optimizers differ in their learning rates as well."""
    rates = ", ".join(f"{name} {rate}" for name, rate in comparison.rates.items())
    return [f"Each optimizer has its own learning rate: {rates}."] if rates else []


def layers_told(comparison: Comparison) -> list[str]:
    """Say what the columns of layers are, where there are any."""
    told = not any(run.curves for run in comparison.runs) and layer_stds(comparison.settings)
    return ["std k: standard deviation of the activations of layer k."] if told else []


def numeric(title: str) -> bool:
    """Tell whether a column of the table of results holds numbers."""
    return title in NUMBERS or title.startswith("std ")


def result_columns(
    comparison: Comparison, shown: Sequence[Setting], merged: bool
) -> dict[str, list[Text]]:
    """Return the cells of each column by its title: what varies, merged or not, and what came."""
    axes = [key for key in comparison.varies if key != "seed"]
    columns = {key: [Text(short(setting.values.get(key, ""))) for setting in shown] for key in axes}
    if merged or not axes:
        columns = {"setting": [Text(setting.name) for setting in shown]}
    if any(len(setting.runs) > 1 for setting in comparison.settings):
        columns["n"] = [Text(finished(setting)) for setting in shown]
    losses = {
        "f" if Metric.F in run.curves else "train loss" for run in comparison.runs if run.curves
    }
    title = min(losses) if len(losses) == 1 else "loss"
    columns[title] = spreads([setting.loss for setting in shown], "{:.4g}", "{:.1g}")
    held_out = [setting.validation for setting in shown]
    columns["validation accuracy"] = spreads(held_out, "{:.1%}", "{:.1%}")
    accuracies = [setting.accuracy for setting in shown]
    columns["test accuracy"] = spreads(accuracies, "{:.1%}", "{:.1%}")
    if not losses:
        columns |= layer_stds(shown)
    words = [setting.word for setting in shown]
    judged = any(run.verdict for run in comparison.runs if run.outcome == Outcome.FINISHED)
    if judged or any(word != Outcome.FINISHED for word in words):
        texts = [Text(word, STYLES.get(word, "bold yellow")) for word in words]
        columns["verdict" if judged else "outcome"] = texts
    seconds = [setting.seconds if losses else None for setting in shown]
    columns["seconds"] = [Text(f"{spread.mean:,.1f}" if spread else "") for spread in seconds]
    return {title: cells for title, cells in columns.items() if any(cells)}


def layer_stds(shown: Sequence[Setting]) -> dict[str, list[Text]]:
    """Return a column a layer: the std of its activations, of some layers where there are many."""
    names = {name for setting in shown for run in setting.finished for name in run.metrics}
    layers = sum(name.startswith(f"{Statistic.UNIT_STD}/") for name in names)
    columns = {}
    for layer in np.linspace(1, layers, min(layers, MOST_LAYERS)).round().astype(int):
        name = Statistic.UNIT_STD.of_layer(layer)
        found = [Spread.of(run.metrics.get(name) for run in each.finished) for each in shown]
        columns[f"std {layer}"] = [Text(compact(each.mean) if each else "") for each in found]
    return columns


def result_table(columns: dict[str, list[Text]], separator: str, cut: bool) -> Table:
    """Return a table of columns, whose lists and sentences alone may be wrapped.

    separator  between the words of a title
    cut        whether settings are left out above the worst
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, cells in columns.items():
        if cut:
            cells.insert(BEST, Text("⋮", "dim"))
        lines = title.replace(" ", separator)
        if separator == "\n":
            lines = lines.replace(".", "\n.")
        heads = [Text(line) for line in lines.split("\n")]
        width = max(text.cell_len for text in (*heads, *cells))
        if numeric(title):
            for text in (*heads, *cells):  # Rich would strip what aligns the ± of one with others
                text.pad_left(width - text.cell_len)
            whole = True
        else:
            whole = not any(" " in cell for cell in cells)
        table.add_column(
            Text("\n").join(heads),
            overflow="fold",
            no_wrap=whole,
            min_width=width if whole else None,
        )
    for row in zip(*columns.values()):
        table.add_row(*row)
    return table


def finished(setting: Setting) -> str:
    """Return how many runs of a setting its means are of."""
    count, total = len(setting.finished), len(setting.runs)
    return f"{count}" if count == total else f"{count}/{total}"


def spreads(values: Sequence[Spread | None], mean: str, std: str) -> list[Text]:
    """Return mean ± std by their formats, one below the other; that of a percentage in points."""
    means = [mean.format(value.mean) if value else "" for value in values]
    stds = [
        f" ± {plain(std.format(value.std).rstrip('%'))}" if value and value.std is not None else ""
        for value in values
    ]
    width = max(map(len, stds))
    return [
        Text.assemble(one, (f"{other:<{width}}" if one else "", "dim"))
        for one, other in zip(means, stds)
    ]


def compact(value: float) -> str:
    """Write a positive number in seven letters at the most, with two digits or three."""
    return f"{value:.3g}" if 1e-3 <= value < 1e3 else plain(f"{value:.2g}")


def plain(number: str) -> str:
    """Write 2e+01 as 20."""
    return f"{float(number):g}" if "e+" in number else number


def failures(runs: Sequence[Run], varies: Sequence[str]) -> Table:
    """Return the list of runs that never finished and what they died of, as far as it is known."""
    table = Table.grid(padding=(0, 2))
    for run in runs[:MOST_FAILURES]:
        own = " ".join(f"{key}={short(run.params[key])}" for key in varies if key in run.params)
        reason = Text(run.reason)
        reason.truncate(MOST_LETTERS, overflow="ellipsis")
        what = Text.assemble(own or run.name, ": " if run.reason else "", reason)
        table.add_row(Text(run.outcome, STYLES.get(run.outcome, "bold yellow")), what)
    if len(runs) > MOST_FAILURES:
        table.add_row("", Text(f"and {len(runs) - MOST_FAILURES} more", "dim"))
    return table


def print_findings(found: Sequence[Finding]) -> None:
    """Print what became of the claims of a source, and what was measured."""
    if not found:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("claim of the source, and what was measured here")
    for finding in found:
        style = "bold green" if finding.holds else "bold yellow"
        said = Text.assemble(finding.claim, "\n", (finding.measured, "dim"))
        table.add_row(Text(finding.word, style), said)
    console.out.print()
    console.out.print(table)
    console.out.print()
