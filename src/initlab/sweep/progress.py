"""The terminal while a sweep runs: a line for each trial that ends, and a bar for all."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track
from rich.table import Table
from rich.text import Text

from initlab.console import make_console, style_of
from initlab.run import Result
from initlab.sweep.plan import State, TrialPlan
from initlab.tracking.names import Outcome

MOST_ROWS, FIRST_ROWS, LAST_ROWS = 200, 20, 5  # of a plan at a terminal
MAX_NAME = 44  # characters; longer names are shortened in the middle
DONE = (Outcome.FINISHED, Outcome.DIVERGED, Outcome.PRUNED)

Item = TypeVar("Item")


class SweepProgress:
    """Shows the progress of a sweep; a context manager.

    total    number of trials that will run
    longest  length of their longest name
    cached   number of trials that need no run
    """

    def __init__(self, total: int, longest: int, cached: int) -> None:
        # Trials that run in this process print into files, through another sys.stdout.
        self.console = make_console(file=sys.stdout)
        self.total = total
        self.cached = cached
        self.width = min(MAX_NAME, longest)
        self.running = 0
        self.ends: Counter[str] = Counter()  # of the trials that ended, by outcome
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
            transient=True,
            refresh_per_second=2,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(self.counts(), total=self.total)

    def counts(self) -> str:
        """Return how many trials are done, pruned, running and so on, without zeros."""
        others = {
            Outcome.PRUNED: self.ends[Outcome.PRUNED],
            Outcome.FAILED: self.ends[Outcome.FAILED],
            Outcome.KILLED: self.ends[Outcome.KILLED],
            "cached": self.cached,
            Outcome.RUNNING: self.running,
        }
        parts = [f"{count} {word}" for word, count in others.items() if count]
        done = sum(self.ends[outcome] for outcome in DONE)
        return ", ".join([f"{done} of {self.total} done", *parts])

    def skipped(self) -> None:
        """Count a trial that turned out to need no run."""
        self.total -= 1
        self.cached += 1
        self.bar.update(self.task, description=self.counts(), total=self.total)

    def unfit(self) -> None:
        """Count a trial that turned out not to be possible."""
        self.total -= 1
        self.bar.update(self.task, total=self.total, description=self.counts())

    def elsewhere(self) -> None:
        """Count a trial that started, but turned out to run elsewhere."""
        self.running -= 1
        self.skipped()

    def started(self) -> None:
        """Count a trial that started."""
        self.running += 1
        self.bar.update(self.task, description=self.counts())

    def ended(self, name: str, result: Result) -> None:
        """Count a trial that ended, and print its line."""
        self.running -= 1
        self.ends[result.outcome] += 1
        self.bar.update(self.task, description=self.counts(), completed=self.ends.total())
        number = f"{self.ends.total():>{len(str(self.total))}}/{self.total}"
        half = self.width // 2
        shown = name if len(name) <= self.width else f"{name[: half - 1]}…{name[-half:]}"
        word = result.verdict or result.outcome
        line = Text.assemble((number, "dim"), f"  {shown:<{self.width}}")
        if result.outcome in DONE:
            accuracy = "" if result.accuracy is None else f"{result.accuracy:.1%}"
            if result.outcome == Outcome.DIVERGED:
                accuracy = ""
            line.append(f"  {accuracy:>6} {result.seconds:>6.1f} s  ")
            line.append(word, style_of(word))
        else:
            line.append(f"  {result.outcome}", style_of(result.outcome))
            line.append(f": {result.reason}" if result.reason else "")
            line.truncate(self.console.width, overflow="ellipsis")
        self.console.print(line, soft_wrap=True)

    def say(self, words: str) -> None:
        """Print a line above the bar."""
        self.console.print(words, soft_wrap=True)

    def __enter__(self) -> SweepProgress:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()


def checking(items: Sequence[Item]) -> Iterable[Item]:
    """Yield the items that are being checked, with a progress bar on a terminal."""
    console = make_console()
    return track(
        items, "checking", console=console, transient=True, disable=not console.is_terminal
    )


def busy(words: str) -> AbstractContextManager[object]:
    """Show on a terminal what takes a while."""
    console = make_console()
    return console.status(words) if console.is_terminal else nullcontext()


def print_plan(trials: Sequence[TrialPlan]) -> None:
    """Print the trials of a sweep that is only planned, with the state of each.

    A terminal gets the first and the last of a large grid, and how many have each state.
    """
    console = make_console()
    numbered = [*enumerate(trials, 1)]
    large = len(trials) > MOST_ROWS
    if large and console.is_terminal:
        numbered = [*numbered[:FIRST_ROWS], *numbered[-LAST_ROWS:]]
    if large:
        print_lines(numbered, console)
        counts = Counter(trial.state for trial in trials)
        words = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
        console.print(f"{len(trials):,} trials: {words}")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    for title in ("trial", "state", "run"):
        table.add_column(title)
    for number, trial in numbered:
        style = {State.CACHED: "dim", State.NEW: ""}.get(trial.state, "yellow")
        state = Text(state_of(trial), style)
        table.add_row(str(number), Text(trial.name), state, Text(trial.existing_run_id, "dim"))
    console.print(table)


def state_of(trial: TrialPlan) -> str:
    """Return the state of a planned trial in words."""
    return f"{trial.state} {trial.twin}".strip()


def print_lines(numbered: Sequence[tuple[int, TrialPlan]], console: Console) -> None:
    """Print a line for each planned trial, without measuring them all for a table first."""
    width = len(str(numbered[-1][0]))
    longest = max(len(trial.name) for _, trial in numbered)
    before = 0
    for number, trial in numbered:
        if number != before + 1:
            console.print(f"{'…':>{width}}  {number - before - 1:,} more", style="dim")
        line = f"{number:>{width}}  {trial.name:<{longest}}  {state_of(trial)}"
        console.out(f"{line} {trial.existing_run_id}".rstrip(), highlight=False)
        before = number
