"""The terminal: progress while a run trains, and what to read when it has ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from initlab.comparison import Comparison, Run, Setting, Spread, short
from initlab.diagnostics import Snapshot
from initlab.findings import Finding
from initlab.record import RECENT, Record
from initlab.training import Step
from initlab.verdict import Verdict

REFRESH_SECONDS = 0.25
PLAIN_LINES = 10
MOST_SETTINGS, BEST, WORST = 30, 20, 5  # of more settings the best and the worst are shown
MOST_FAILURES = 5
MOST_LAYERS = 6  # whose activations are told
MOST_LETTERS = 120  # of what a run died of
UNBOUNDED = 10_000  # columns, more than any table has
# Columns of the table of results that hold numbers, beside those of layers.
NUMBERS = {"n", "f", "loss", "train loss", "validation accuracy", "test accuracy", "seconds"}

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def watch(steps: Iterable[Step], total: int) -> Iterator[Step]:
    """Pass steps on, and show how they go: a bar on a terminal, a few plain lines elsewhere."""
    return _bar(steps, total) if out.is_terminal else _lines(steps, total)


def _bar(steps: Iterable[Step], total: int) -> Iterator[Step]:
    width = len(f"{total:,}")
    columns = (
        TextColumn(f"step {{task.completed:>{width},}}/{{task.total:,}}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(compact=True),
    )
    # Rich's own refreshing thread would take time from training.
    with Progress(*columns, console=out, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=total, numbers="")
        accuracy, shown = "", 0.0
        for step in steps:
            if step.evaluation:
                accuracy = f"test {step.evaluation.test_accuracy:<6.1%} "
            now = time.monotonic()
            if now - shown > REFRESH_SECONDS and step.loss is not None:
                speed = progress.tasks[task].speed or 0.0
                numbers = f"{_loss(step)} {accuracy}{speed:>6,.0f} steps/s"
                progress.update(task, completed=step.number, numbers=numbers, refresh=True)
                shown = now
            yield step


def _lines(steps: Iterable[Step], total: int) -> Iterator[Step]:
    every = max(1, total // PLAIN_LINES)
    width = len(f"{total:,}")
    for step in steps:
        if step.number % every == 0 and step.loss is not None:
            line = f"step {step.number:>{width},}/{total:,}  {_loss(step)}"
            if step.evaluation:
                line += f"  test accuracy {step.evaluation.test_accuracy:.1%}"
            out.print(line)
        yield step


def _loss(step: Step) -> str:
    return f"{'f' if step.point else 'loss'} {step.loss:<8.4g}"


STYLES = {
    "healthy": "bold green",
    "finished": "",
    "pruned": "dim",
    "diverged": "bold red",
    "failed": "bold red",
    "killed": "bold red",
}


def heading(name: str) -> None:
    """Open a run."""
    out.print(Text(name, style="bold"))


def summary(record: Record, verdict: Verdict | None, seconds: float) -> None:
    """Print what came of a run: losses and accuracies, its layers, the verdict."""
    count = record.steps[-1].number
    if record.evaluation and record.diverged_step is None:
        out.print(outcome(record))
    if record.points:
        x, y = record.points[-1]
        out.print(f"f {record.steps[-1].loss:.4g} at x {x:.4g}, y {y:.4g}")
    out.print(Text(f"{count:,} steps in {seconds:.1f} s", style="dim"))
    for note in record.notes:
        out.print(note)
    if record.snapshots:
        out.print(layer_table(record.snapshots[-1]))
    if verdict:
        style = STYLES.get(verdict.word, "bold yellow")
        out.print(Text.assemble((verdict.word, style), f": {verdict.sentence}"))


def outcome(record: Record) -> Table:
    """Return the table of losses and accuracies."""
    table = Table(box=None, pad_edge=False, show_header=False)
    if found := record.evaluation:
        accuracy = f"accuracy {found.train_accuracy:.1%}"
        if record.loss is None:
            table.add_row("train", "", accuracy)
        else:
            batches = min(RECENT, record.steps[-1].number)
            note = Text(f"(loss: mean of the last {batches} batches)", style="dim")
            table.add_row("train", f"loss {record.loss:.4g}", accuracy, note)
        if found.validation_accuracy is not None:
            shown = f"accuracy {found.validation_accuracy:.1%}"
            table.add_row("validation", f"loss {found.validation_loss:.4g}", shown)
        table.add_row("test", f"loss {found.test_loss:.4g}", f"accuracy {found.test_accuracy:.1%}")
    return table


def layer_table(snapshot: Snapshot) -> Table:
    """Return the table of a snapshot: one row a hidden layer."""
    table = Table(
        title=f"hidden layers at step {snapshot.step:,}",
        title_justify="left",
        title_style="dim",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    columns = {
        "mean": ("unit_mean", "{:.3g}"),
        "std": ("unit_std", "{:.3g}"),
        "saturated": ("unit_saturated", "{:.0%}"),
        "dead": ("unit_dead", "{:.0%}"),
        "gradient std": ("unit_gradient_std", "{:.2g}"),
        "update/weight": ("update_ratio", "{:.2g}"),
    }
    present = {
        title: (snapshot.statistics[name], form)
        for title, (name, form) in columns.items()
        if name in snapshot.statistics
    }
    table.add_column("layer", justify="right")
    for title in present:
        table.add_column(title, justify="right")
    for index in range(len(snapshot.asymmetry)):
        cells = [form.format(values[index]) for values, form in present.values()]
        table.add_row(str(index + 1), *cells)
    return table


def results(comparison: Comparison) -> None:
    """Print what came of many runs: a row a setting, best first, then those that never finished."""
    if not comparison.runs:
        out.print("no runs")
        return
    ranked = comparison.ranked
    hidden = len(ranked) - BEST - WORST if len(ranked) > MOST_SETTINGS else 0
    shown = ranked[:BEST] + ranked[-WORST:] if hidden else ranked
    unbounded = out.options.update(width=UNBOUNDED)
    for merged, separator in ((False, " "), (False, "\n"), (True, "\n")):
        table = result_table(result_columns(comparison, shown, merged), separator, bool(hidden))
        if out.measure(table, options=unbounded).minimum <= out.width:
            break
    out.print(table)
    if hidden:
        out.print(Text(f"⋮ {hidden} of {len(ranked)} settings are not shown", style="dim"))
    notes = (different_data, own_rates, layers_told)
    for note in (said for about in notes for said in about(comparison)):
        out.print(Text(note, style="dim"))
    results = ("finished", "diverged", "pruned")
    unfinished = [run for run in comparison.runs if run.outcome not in results]
    if unfinished:
        out.print(failures(unfinished, comparison.varies))


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
    losses = {"f" if "f" in run.curves else "train loss" for run in comparison.runs if run.curves}
    title = min(losses) if len(losses) == 1 else "loss"
    columns[title] = spreads([setting.loss for setting in shown], "{:.4g}", "{:.1g}")
    held_out = [setting.validation for setting in shown]
    columns["validation accuracy"] = spreads(held_out, "{:.1%}", "{:.1%}")
    accuracies = [setting.accuracy for setting in shown]
    columns["test accuracy"] = spreads(accuracies, "{:.1%}", "{:.1%}")
    if not losses:
        columns |= layer_stds(shown)
    words = [setting.word for setting in shown]
    judged = any(run.verdict for run in comparison.runs if run.outcome == "finished")
    if judged or any(word != "finished" for word in words):
        texts = [Text(word, STYLES.get(word, "bold yellow")) for word in words]
        columns["verdict" if judged else "outcome"] = texts
    seconds = [setting.seconds if losses else None for setting in shown]
    columns["seconds"] = [Text(f"{spread.mean:,.1f}" if spread else "") for spread in seconds]
    return {title: cells for title, cells in columns.items() if any(cells)}


def layer_stds(shown: Sequence[Setting]) -> dict[str, list[Text]]:
    """Return a column a layer: the std of its activations, of some layers where there are many."""
    names = {name for setting in shown for run in setting.finished for name in run.metrics}
    layers = sum(name.startswith("unit_std/layer_") for name in names)
    columns = {}
    for layer in np.linspace(1, layers, min(layers, MOST_LAYERS)).round().astype(int):
        name = f"unit_std/layer_{layer}"
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


def pair(name: str, words: str) -> None:
    """Print some words after what they are of."""
    out.print(Text.assemble((f"{name} ", "dim"), words), soft_wrap=True)


def findings(found: Sequence[Finding]) -> None:
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
    out.print()
    out.print(table)
    out.print()


def recorded(run_id: str) -> None:
    """Say which run it is."""
    out.print(Text.assemble(("run   ", "dim"), run_id))


def opened(page: str, command: str | None) -> None:
    """Say how to open a page of the UI."""
    if command:
        out.print(Text.assemble(("serve ", "dim"), command), soft_wrap=True)
    out.print(Text.assemble(("open  ", "dim"), page), soft_wrap=True)


def kept(folder: Path) -> None:
    """Say where the files of a run are."""
    out.print(Text.assemble(("files ", "dim"), str(folder)), soft_wrap=True)


def reported(file: Path) -> None:
    """Say where a report is."""
    out.print(Text.assemble(("report ", "dim"), str(file)), soft_wrap=True)


def error(message: str) -> None:
    """Print what is wrong."""
    err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
