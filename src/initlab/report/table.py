"""The table of results: a row for each setting, as data. The terminal, the page and the gallery
each render it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from initlab.nn.metrics import Metric, Statistic
from initlab.report.comparison import Comparison, Setting, Spread
from initlab.report.formatting import (
    format_accuracy,
    format_loss,
    format_loss_std,
    format_points,
    format_positive,
    format_value,
)
from initlab.tracking.names import Outcome

MAX_LAYERS = 6  # columns; of deeper networks, evenly spaced layers are shown
SECONDS = "seconds"


@dataclass(frozen=True)
class Cell:
    """One cell.

    text  its content; for a number that is a mean, the mean
    std   the standard deviation, "" if there is none
    word  the verdict or outcome that gives it its color, "" if it has none
    """

    text: str = ""
    std: str = ""
    word: str = ""

    def __str__(self) -> str:
        return f"{self.text} ± {self.std}" if self.std else self.text


@dataclass(frozen=True)
class Column:
    """One column, with a cell for each row."""

    title: str
    cells: list[Cell]
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """The results of some settings.

    settings  the setting of each row
    keys      the columns that identify a setting: one for each key that varies
    results   the columns of what was measured; those without any content are left out
    """

    settings: list[Setting]
    keys: list[Column]
    results: list[Column]

    @property
    def columns(self) -> list[Column]:
        """All columns, from left to right."""
        return self.keys + self.results

    @property
    def merged(self) -> Table:
        """The same table with the keys in one column, which takes less space."""
        names = [Cell(setting.name) for setting in self.settings]
        return Table(self.settings, [Column("setting", names)], self.results)


def table_of(comparison: Comparison, settings: Sequence[Setting]) -> Table:
    """Return the table of some settings of a comparison, in their order."""
    keys = [
        Column(key, [Cell(format_value(setting.values.get(key, ""))) for setting in settings])
        for key in comparison.axes
    ]
    results = [
        *run_counts(comparison, settings),
        Column(loss_title(comparison), [loss_cell(each.loss) for each in settings], numeric=True),
        accuracies("validation accuracy", [setting.validation for setting in settings]),
        accuracies("test accuracy", [setting.accuracy for setting in settings]),
        *([] if has_curves(comparison) else layer_stds(settings)),
        *verdicts(comparison, settings),
        *durations(comparison, settings),
    ]
    filled = [column for column in results if any(cell.text for cell in column.cells)]
    table = Table(
        [*settings], [key for key in keys if any(cell.text for cell in key.cells)], filled
    )
    return table if comparison.axes else table.merged


def has_curves(comparison: Comparison) -> bool:
    """Tell whether any run was trained."""
    return any(run.curves for run in comparison.runs)


def run_counts(comparison: Comparison, settings: Sequence[Setting]) -> list[Column]:
    """Return the column of how many runs the means are over, if any setting has several."""
    if all(len(setting.runs) == 1 for setting in comparison.settings):
        return []
    counts = [(len(setting.finished), len(setting.runs)) for setting in settings]
    cells = [Cell(f"{done}" if done == total else f"{done}/{total}") for done, total in counts]
    return [Column("n", cells, numeric=True)]


def loss_title(comparison: Comparison) -> str:
    """Return what the final loss is called; f for runs of model=quadratic."""
    titles = {
        "f" if Metric.F in run.curves else "train loss" for run in comparison.runs if run.curves
    }
    return titles.pop() if len(titles) == 1 else "loss"


def loss_cell(spread: Spread | None) -> Cell:
    """Return a loss as a cell."""
    if not spread:
        return Cell()
    std = "" if spread.std is None else format_loss_std(spread.std)
    return Cell(format_loss(spread.mean), std)


def accuracy_cell(spread: Spread | None) -> Cell:
    """Return an accuracy in percent as a cell."""
    if not spread:
        return Cell()
    std = "" if spread.std is None else format_points(spread.std)
    return Cell(format_accuracy(spread.mean), std)


def accuracies(title: str, spreads: Sequence[Spread | None]) -> Column:
    """Return a column of accuracies."""
    return Column(title, [accuracy_cell(spread) for spread in spreads], numeric=True)


def layer_stds(settings: Sequence[Setting]) -> list[Column]:
    """Return a column of the std of the activations for each layer."""
    names = {name for setting in settings for run in setting.finished for name in run.metrics}
    depth = sum(name.startswith(f"{Statistic.UNIT_STD}/") for name in names)
    columns = []
    for layer in np.linspace(1, depth, min(depth, MAX_LAYERS)).round().astype(int):
        name = Statistic.UNIT_STD.of_layer(layer)
        stds = [Spread.of(run.metrics.get(name) for run in each.finished) for each in settings]
        cells = [Cell(format_positive(std.mean) if std else "") for std in stds]
        columns.append(Column(f"std {layer}", cells, numeric=True))
    return columns


def verdicts(comparison: Comparison, settings: Sequence[Setting]) -> list[Column]:
    """Return the column of verdicts, or of outcomes where no run was judged.

    It is left out if it would say nothing but finished.
    """
    judged = any(run.verdict for run in comparison.runs if run.outcome == Outcome.FINISHED)
    words = [setting.word for setting in settings]
    if not judged and {*words} == {Outcome.FINISHED}:
        return []
    return [Column("verdict" if judged else "outcome", [Cell(word, word=word) for word in words])]


def durations(comparison: Comparison, settings: Sequence[Setting]) -> list[Column]:
    """Return the column of how long a run took, if any was trained."""
    if not has_curves(comparison):
        return []
    means = [setting.seconds for setting in settings]
    cells = [Cell(f"{mean.mean:,.1f}" if mean else "") for mean in means]
    return [Column(SECONDS, cells, numeric=True)]
