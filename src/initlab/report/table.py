"""The table of results: a row for each setting, as data. The terminal, the page and the gallery
each render it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from initlab.nn.metrics import Metric, Statistic
from initlab.report.comparison import Comparison, Setting, Spread
from initlab.report.differences import Differences
from initlab.report.formatting import (
    format_accuracy,
    format_difference,
    format_half_width,
    format_loss,
    format_loss_std,
    format_points,
    format_positive,
    format_value,
)
from initlab.report.speed import Level
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
    """One column, with a cell for each row.

    spare  whether a narrow screen may do without it
    """

    title: str
    cells: list[Cell]
    numeric: bool = False
    spare: bool = False


@dataclass(frozen=True)
class Table:
    """The results of some settings.

    settings  the setting of each row
    ranks     the column of their places, empty where nothing is ranked
    keys      the columns that identify a setting: one for each key that varies
    results   the columns of what was measured; those without any content are left out
    """

    settings: list[Setting]
    ranks: list[Column]
    keys: list[Column]
    results: list[Column]

    @property
    def columns(self) -> list[Column]:
        """All columns, from left to right."""
        return self.ranks + self.keys + self.results

    @property
    def merged(self) -> Table:
        """The same table with the keys in one column, which takes less space."""
        names = [Cell(setting.name) for setting in self.settings]
        return replace(self, keys=[Column("setting", names)])

    @property
    def narrower(self) -> Iterator[Table]:
        """The same table with less and less of what can be spared."""
        table = self
        for column in (each for each in self.results if each.title.endswith("loss")):
            plain = replace(column, cells=[replace(cell, std="") for cell in column.cells])
            results = [plain if each is column else each for each in table.results]
            yield (table := replace(table, results=results))
        for column in (each for each in self.results if each.spare):
            yield (
                table := replace(table, results=[each for each in table.results if each != column])
            )


def table_of(comparison: Comparison, settings: Sequence[Setting]) -> Table:
    """Return the table of some settings of a comparison, in their order."""
    keys = [
        Column(key, [Cell(format_value(setting.values.get(key, ""))) for setting in settings])
        for key in comparison.axes
    ]
    differences = Differences.in_score(comparison)
    results = [
        *run_counts(comparison, settings),
        Column(loss_title(comparison), [loss_cell(each.loss) for each in settings], numeric=True),
        accuracies("validation accuracy", [setting.validation for setting in settings]),
        accuracies("test accuracy", [setting.accuracy for setting in settings]),
        *other_score(comparison, settings),
        *differences_from_best(comparison, differences, settings),
        *([] if has_curves(comparison) else layer_stds(settings)),
        *verdicts(comparison, settings),
        *steps_to_levels(comparison, settings),
        *durations(comparison, settings),
    ]
    filled = [column for column in results if any(cell.text for cell in column.cells)]
    table = Table(
        [*settings],
        ranks(differences, settings),
        [key for key in keys if any(cell.text for cell in key.cells)],
        filled,
    )
    return table if comparison.axes else table.merged


def ranks(differences: Differences, settings: Sequence[Setting]) -> list[Column]:
    """Return the column of places on each data set, of tied settings as 1–3.

    It is left out where no data set has two settings to rank.
    """
    places = differences.places
    if max((last for _, last in places.values()), default=0) < 2:
        return []
    texts = {
        setting: f"{first}–{last}" if first < last else f"{first}"
        for setting, (first, last) in places.items()
    }
    return [Column("rank", [Cell(texts.get(each, "")) for each in settings], numeric=True)]


def other_score(comparison: Comparison, settings: Sequence[Setting]) -> list[Column]:
    """Return the column of what settings are ranked by, if it is none of the usual ones."""
    score = comparison.by
    usual = (Metric.TRAIN_LOSS, Metric.F, Metric.VALIDATION_ACCURACY, Metric.TEST_ACCURACY)
    if score.metric in usual and not score.best:
        return []
    cells = [score_cell(comparison, setting) for setting in settings]
    return [Column(score.title, cells, numeric=True)]


def score_cell(comparison: Comparison, setting: Setting) -> Cell:
    """Return the score of a setting as a cell."""
    return accuracy_cell(setting.score) if comparison.by.share else loss_cell(setting.score)


def differences_from_best(
    comparison: Comparison, differences: Differences, settings: Sequence[Setting]
) -> list[Column]:
    """Return the column of differences from the best, with half the width of their intervals.

    It is left out if no two settings share two seeds.
    """
    share, texts = comparison.by.share, {}
    for setting, each in differences.from_best.items():
        value, *_ = differences.behind_best(setting) or (0.0,)
        if each.paired.n > 1:
            half = format_half_width(each.paired.half_width, share)
            texts[setting] = Cell(format_difference(value, share), half)
    if not texts:
        return []
    cells = [texts.get(setting, Cell()) for setting in settings]
    return [Column("to the best (95 %)", cells, numeric=True)]


def steps_to_levels(comparison: Comparison, settings: Sequence[Setting]) -> list[Column]:
    """Return a column of the steps to each level, if settings can be compared."""
    if sum(bool(setting.finished) for setting in comparison.settings) < 2:
        return []
    return [
        Column(
            f"steps to {level.text}",
            [steps_cell(level, setting) for setting in settings],
            numeric=True,
            spare=level.metric.is_accuracy,
        )
        for level in comparison.levels
    ]


def steps_cell(level: Level, setting: Setting) -> Cell:
    """Return the mean steps to a level over runs; with > if some never reached it."""
    steps = [level.steps(run) for run in setting.finished]
    spread = Spread.of(level.counted(run) for run in setting.finished)
    if not spread:
        return Cell()
    if inf not in steps:
        return Cell(f"{spread.mean:,.0f}", "" if spread.std is None else f"{spread.std:,.0f}")
    return Cell("never" if {*steps} == {inf} else f"> {spread.mean:,.0f}")


def has_curves(comparison: Comparison) -> bool:
    """Tell whether any run was trained."""
    return any(run.curves for run in comparison.runs)


def run_counts(comparison: Comparison, settings: Sequence[Setting]) -> list[Column]:
    """Return the column of how many runs the means are over, if any setting has several."""
    if all(len(setting.runs) == 1 for setting in comparison.settings):
        return []
    counts = [(len(setting.finished), len(setting.runs)) for setting in settings]
    if len({*counts}) == 1 and counts[0][0] == counts[0][1] and len(settings) > 1:
        return []
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
    return [Column(SECONDS, cells, numeric=True, spare=True)]
