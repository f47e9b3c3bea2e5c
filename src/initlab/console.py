"""The terminal: progress while a run trains, and its results when it has ended."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from initlab import process
from initlab.checks import UserError
from initlab.nn.diagnostics import Snapshot
from initlab.nn.metrics import Statistic
from initlab.nn.prediction import Prediction
from initlab.nn.training import Step
from initlab.nn.verdict import Diagnosis, Verdict
from initlab.text import mask_password, printable_lines
from initlab.tracking.names import Outcome
from initlab.tracking.record import RECENT, Record

REFRESH_SECONDS = 0.25
PLAIN_LINES = 10


def make_console(**options: Any) -> Console:
    """Return a console that prints texts as they are: [red] and :smile: may be part of a name."""
    return Console(highlight=False, markup=False, emoji=False, **options)


out = make_console()
err = make_console(stderr=True)


class Enduring(io.FileIO):
    """A file that is written as long as that is possible; what it does not take is lost.

    Nothing that is printed is worth a training: a disk may be full, and whoever reads may be gone.

    failure  what ended it, None so far
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes, or drop them once that has failed."""
        while self.failure is None:
            try:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])  # it does not block by itself, and is busy
            except OSError as error:
                self.failure = error
                self.failed(error)
        return len(data)

    def failed(self, error: OSError) -> None:
        """Take note of the failure, once."""

    def close(self) -> None:
        """Close it; a network disk may find only then that it is full."""
        with contextlib.suppress(OSError):
            super().close()

    def text(self, **options: Any) -> TextIO:
        """Return the same for text; what its encoding lacks becomes a question mark."""
        return Masked(io.BufferedWriter(self), errors="replace", **options)


class Masked(io.TextIOWrapper):
    """A file of text without passwords: libraries, too, print addresses of stores."""

    def write(self, text: str) -> int:
        """Write a text."""
        return super().write(mask_password(text))


class StandardOutput(Enduring):
    """Standard output, whose failure is reported on standard error."""

    def failed(self, error: OSError) -> None:
        """Say what happened."""
        err.print(f"standard output: {error.strerror}; the rest of it is lost", soft_wrap=True)


def open_enduring(file: Path) -> TextIO:
    """Open a file for text that nothing depends on; where there cannot be one, the text is lost."""
    try:
        return Enduring(file, "w").text(encoding="utf-8")
    except OSError:
        return Enduring(os.devnull, "w").text(encoding="utf-8")


def begin_command() -> None:
    """Make this process independent of where it was started; raises `UserError` if it cannot be.

    From here on Ctrl-C, SIGTERM and SIGHUP are exceptions, which let a run be closed.
    Matplotlib fails where the environment names a backend that it does not know, and needs none.
    """
    process.handle_stops()
    endure()
    os.environ["MPLBACKEND"] = "agg"
    try:
        Path.cwd()
    except OSError as error:
        raise UserError(f"the current folder is gone ({error.strerror}): go to another") from error


def endure() -> None:
    """Let this process go on where standard output or error is full, closed or in plain ASCII."""
    for number, name, kind in ((1, "stdout", StandardOutput), (2, "stderr", Enduring)):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):  # somebody else's, or done before
            continue
        if stream is None:  # closed; or the next file that is opened would be printed into
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            if null != number:
                os.close(null)
        elif sys.platform == "win32":  # a console there is no file
            stream.reconfigure(errors="replace")
            continue
        encoding, lines = (
            getattr(stream, "encoding", None),
            getattr(stream, "line_buffering", False),
        )
        new = kind(number, "w", closefd=False).text(encoding=encoding, line_buffering=lines)
        setattr(sys, name, new)


class Parser(argparse.ArgumentParser):
    """Reads a command line, and reports mistakes like the rest of the project."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError`."""
        raise UserError(f"{message}\nSee python src/{self.prog} --help")


def watch(steps: Iterable[Step], total: int) -> Iterator[Step]:
    """Yield the steps and show progress: a bar on a terminal, a few plain lines elsewhere."""
    return _bar(steps, total) if out.is_terminal else _lines(steps, total)


def _bar(steps: Iterable[Step], total: int) -> Iterator[Step]:
    width = len(f"{total:,}")
    columns = (
        TextColumn(f"step {{task.completed:>{width},}}/{{task.total:,}}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(compact=True),
    )
    # Rich would refresh the bar in a thread, which takes time from training.
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


STYLES: dict[str, str] = {
    Diagnosis.HEALTHY: "bold green",
    Outcome.FINISHED: "",
    Outcome.PRUNED: "dim",
    Outcome.DIVERGED: "bold red",
    Outcome.FAILED: "bold red",
    Outcome.KILLED: "bold red",
}


def style_of(word: str) -> str:
    """Return the style of a verdict or an outcome; several in one text are yellow."""
    return STYLES.get(word, "bold yellow")


def print_heading(name: str) -> None:
    """Print the name of a run that begins."""
    out.print(Text(name, style="bold"))


def print_summary(record: Record, verdict: Verdict | None, seconds: float) -> None:
    """Print the results of a run: losses and accuracies, the layers, the verdict."""
    count = record.steps[-1].number
    if record.evaluation and record.diverged_step is None:
        out.print(evaluation_table(record))
    if record.points:
        x, y = record.points[-1]
        out.print(f"f {record.steps[-1].loss:.4g} at x {x:.4g}, y {y:.4g}")
    out.print(Text(f"{count:,} steps in {seconds:.1f} s", style="dim"))
    for note in record.notes:
        out.print(note)
    if record.snapshots:
        out.print(layer_table(record.snapshots[-1], record.prediction))
    if verdict:
        word = (verdict.word, style_of(verdict.word))
        out.print(Text.assemble(word, f": {verdict.sentence}"))


def evaluation_table(record: Record) -> Table:
    """Return the table of losses and accuracies."""
    table = Table(box=None, pad_edge=False, show_header=False)
    if last := record.evaluation:
        accuracy = f"accuracy {last.train_accuracy:.1%}"
        if record.loss is None:
            table.add_row("train", "", accuracy)
        else:
            batches = min(RECENT, record.steps[-1].number)
            note = Text(f"(loss: mean of the last {batches} batches)", style="dim")
            table.add_row("train", f"loss {record.loss:.4g}", accuracy, note)
        if last.validation_accuracy is not None:
            shown = f"accuracy {last.validation_accuracy:.1%}"
            table.add_row("validation", f"loss {last.validation_loss:.4g}", shown)
        table.add_row("test", f"loss {last.test_loss:.4g}", f"accuracy {last.test_accuracy:.1%}")
    return table


def layer_table(snapshot: Snapshot, prediction: Prediction | None = None) -> Table:
    """Return the table of a snapshot: a row for each hidden layer.

    prediction  of the std at step 0
    """
    title = f"hidden layers at step {snapshot.step:,}"
    if prediction:
        title += "; theory: std at step 0"
    table = Table(
        title=title,
        title_justify="left",
        title_style="dim",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    columns = {
        "mean": (Statistic.UNIT_MEAN, "{:.3g}"),
        "std": (Statistic.UNIT_STD, "{:.3g}"),
        "theory": (Statistic.UNIT_STD_THEORY, "{:.3g}"),
        "saturated": (Statistic.UNIT_SATURATED, "{:.0%}"),
        "dead": (Statistic.UNIT_DEAD, "{:.0%}"),
        "gradient std": (Statistic.UNIT_GRADIENT_STD, "{:.2g}"),
        "update": (Statistic.UPDATE_RATIO, "{:.2g}"),
    }
    numbers = snapshot.statistics | (prediction.statistics if prediction else {})
    present = {
        title: (numbers[name], form) for title, (name, form) in columns.items() if name in numbers
    }
    table.add_column("layer", justify="right")
    for title in present:
        table.add_column(title, justify="right")
    for index in range(len(snapshot.asymmetry)):
        cells = [form.format(values[index]) for values, form in present.values()]
        table.add_row(str(index + 1), *cells)
    return table


def print_pair(name: str, value: str) -> None:
    """Print a name and its value."""
    out.print(Text.assemble((f"{name} ", "dim"), value), soft_wrap=True)


def print_run_id(run_id: str) -> None:
    """Print the id of a run."""
    out.print(Text.assemble(("run   ", "dim"), run_id))


def print_link(page: str, command: str | None) -> None:
    """Print how to serve and open a page of the UI."""
    if command:
        out.print(Text.assemble(("serve ", "dim"), command), soft_wrap=True)
    out.print(Text.assemble(("open  ", "dim"), page), soft_wrap=True)


def print_folder(folder: Path) -> None:
    """Print where the files of a run are."""
    out.print(Text.assemble(("files ", "dim"), str(folder)), soft_wrap=True)


def print_report(file: Path) -> None:
    """Print where a report is."""
    out.print(Text.assemble(("report ", "dim"), str(file)), soft_wrap=True)


def error(message: str) -> None:
    """Print an error. It may repeat what was typed, and what a server answered."""
    err.print(
        Text.assemble(("error: ", "bold red"), printable_lines(mask_password(message))),
        soft_wrap=True,
    )
