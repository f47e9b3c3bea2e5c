"""Comparison: many runs, what varies between them, and which setting is best."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from initlab.config import GROUPS
from initlab.nn.verdict import Diagnosis
from initlab.report.formatting import format_value
from initlab.report.score import Score
from initlab.report.speed import MEASURED, Level, half_way
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Run

SEED = "seed"
MOST_PICTURED, ENDS = 1000, 50  # of more settings, pictures are made of the best and the worst
MOST_RUNS = 100  # of a setting that pictures show singly, and whose histograms are read
RANKS = {Outcome.FINISHED: 0, Outcome.PRUNED: 1}  # of outcomes; all others come last


@dataclass(frozen=True)
class Spread:
    """The mean over runs and its standard deviation, None for a single run."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Return the spread of the values that are not None, None if there are none."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None)


@dataclass(frozen=True, eq=False)
class Setting:
    """The runs that differ only in their seed.

    number  its place in the comparison, from 0, which fixes its color
    values  the keys that vary, except the seed: key → value
    by      what it is ranked by
    """

    number: int
    values: dict[str, str]
    runs: list[Run]
    by: Score = field(default_factory=Score)

    @cached_property
    def name(self) -> str:
        """Its values as typed; without any, the name of its first run without the seed."""
        first = self.runs[0]
        chosen = (f"{group}={first.params[group]}" for group in GROUPS if group in first.params)
        return (
            " ".join(f"{key}={format_value(value)}" for key, value in self.values.items())
            or re.sub(r"(^| )seed=\S*", "", first.name).strip()
            or next(chosen, first.name)
        )

    @cached_property
    def finished(self) -> list[Run]:
        """The runs that trained to the end without diverging."""
        return [run for run in self.runs if run.outcome == Outcome.FINISHED]

    @property
    def pictured(self) -> list[Run]:
        """The runs that pictures show singly, and whose histograms are read."""
        return self.runs[:MOST_RUNS]

    @cached_property
    def loss(self) -> Spread | None:
        """The final training loss of the finished runs."""
        return Spread.of(run.loss for run in self.finished)

    @cached_property
    def accuracy(self) -> Spread | None:
        """The final test accuracy of the finished runs."""
        return Spread.of(run.accuracy for run in self.finished)

    @cached_property
    def validation(self) -> Spread | None:
        """The final validation accuracy of the finished runs."""
        return Spread.of(run.validation for run in self.finished)

    @cached_property
    def score(self) -> Spread | None:
        """What it is ranked by."""
        return Spread.of(self.by.of(run) for run in self.finished)

    @cached_property
    def data(self) -> str:
        """Its data set, "" for a function."""
        return self.runs[0].params.get("data", "")

    def by_seed(self, measure: Callable[[Run], float | None]) -> dict[str, float]:
        """Return a number of the finished runs by seed; the mean, where a seed was run again."""
        found: dict[str, list[float]] = {}
        for run in self.finished:
            value = measure(run)
            if value is not None and SEED in run.params:
                found.setdefault(run.params[SEED], []).append(value)
        return {seed: float(np.mean(values)) for seed, values in found.items()}

    @cached_property
    def seconds(self) -> Spread | None:
        """The duration of a run, whatever its outcome."""
        return Spread.of(run.seconds for run in self.runs)

    @cached_property
    def words(self) -> list[str]:
        """The verdict or outcome of its runs; where they differ, counted: 2 healthy, 1 diverged."""
        words = Counter(run.word for run in self.runs).most_common()
        return [word if len(words) == 1 else f"{count} {word}" for word, count in words]

    @cached_property
    def word(self) -> str:
        """The same as one text."""
        return ", ".join(self.words)


class Comparison:
    """Runs side by side.

    runs        sorted by the keys that vary: numbers by size, names alphabetically
    varies      the keys that differ between the runs, `seed` last
    axes        the same without `seed`
    fixed       the params that all runs share: key → value
    settings    the runs grouped by `axes`, in the order of `runs`
    experiment  the published experiment that they belong to, "" for none
    by          what settings are ranked by
    levels      what the training loss and the test accuracy must reach for speed to be compared
    command     that ran the sweep, "" for runs of several or an unknown one
    """

    def __init__(
        self,
        runs: Sequence[Run],
        experiment: str = "",
        by: Score | None = None,
        levels: Iterable[Level] = (),
        command: str = "",
    ) -> None:
        self.experiment = experiment
        self.by = by or Score.usual(runs)
        self.command = command
        self.varies = varying([run.params for run in runs])
        self.runs = sorted(
            runs, key=lambda run: [natural(run.params.get(key, "")) for key in self.varies]
        )
        first = runs[0].params if runs else {}
        self.fixed = {
            key: value
            for key, value in first.items()
            if all(run.params.get(key) == value for run in runs)
        }
        grouped: dict[tuple[str, ...], list[Run]] = {}
        self.axes = [key for key in self.varies if key != SEED]
        for run in self.runs:
            grouped.setdefault(tuple(run.params.get(key, "") for key in self.axes), []).append(run)
        self.settings = [
            Setting(
                number,
                {key: value for key, value in zip(self.axes, values) if value},
                members,
                self.by,
            )
            for number, (values, members) in enumerate(grouped.items())
        ]
        self.chosen_levels = {level.metric: level for level in levels}

    @cached_property
    def data(self) -> list[str]:
        """The data sets, "" for a function. Results on different data cannot be compared."""
        return [*dict.fromkeys(run.params.get("data", "") for run in self.runs)]

    @property
    def rates(self) -> dict[str, str]:
        """The learning rate of each optimizer, if every optimizer has one of its own."""
        if "optimizer" not in self.varies or "optimizer.lr" in self.varies:
            return {}
        keys = {"optimizer", "optimizer.lr"}
        params = [run.params for run in self.runs if keys <= run.params.keys()]
        found = {each["optimizer"]: each["optimizer.lr"] for each in params}
        return found if len({*found.values()}) > 1 else {}

    @cached_property
    def levels(self) -> list[Level]:
        """The levels by which speed is compared: those that were chosen, else half of the way."""
        if len(self.data) > 1:
            return [*self.chosen_levels.values()]
        finished = [setting.finished for setting in self.settings]
        found = (
            self.chosen_levels.get(metric) or half_way(metric, finished) for metric in MEASURED
        )
        return [level for level in found if level]

    @cached_property
    def ranked(self) -> list[Setting]:
        """The settings, best first: by score, then by loss; then pruned ones, then all others.

        If nothing was trained, those with more healthy runs come first. Settings with the same data
        stay together.
        """
        sign = -1 if self.by.higher else 1

        def place(setting: Setting) -> tuple[int, int, float, float, int]:
            score, loss = setting.score, setting.loss
            return (
                self.data.index(setting.data),
                min(RANKS.get(run.outcome, len(RANKS)) for run in setting.runs),
                sign * score.mean if score else np.inf,
                loss.mean if loss else np.inf,
                -sum(run.verdict == Diagnosis.HEALTHY for run in setting.finished),
            )

        return sorted(self.settings, key=place)

    @cached_property
    def pictured(self) -> list[Setting]:
        """The settings of which pictures are made, best first: all unless they are too many."""
        if len(self.ranked) <= MOST_PICTURED:
            return self.ranked
        return [*self.ranked[:ENDS], *self.ranked[-ENDS:]]

    @property
    def unpictured(self) -> int:
        """How many settings of the middle have no place in pictures."""
        return len(self.settings) - len(self.pictured)

    def label(self, run: Run) -> str:
        """Return what distinguishes a run from the others, such as init=he seed=0."""
        keys = (key for key in self.varies if key in run.params)
        return " ".join(f"{key}={format_value(run.params[key])}" for key in keys) or run.name


def varying(params: Sequence[dict[str, str]]) -> list[str]:
    """Return the keys whose values differ: groups, other keys, then seed.

    A value of an option (init.scale) counts only if it differs between runs with the same choice
    (init); otherwise the choice determines it. The same holds for keys that some models lack.
    """
    keys = sorted({key for each in params for key in each})
    differ = [key for key in keys if len({each.get(key) for each in params}) > 1]

    def implied(key: str) -> bool:
        group = key.partition(".")[0]
        choices = {group} & {*GROUPS}
        if any(key not in each for each in params):
            choices.add("model")
        return any(follows(key, choice) for choice in choices - {key})

    def follows(key: str, choice: str) -> bool:
        pairs = {(each.get(choice), each.get(key)) for each in params}
        return len(pairs) == len({chosen for chosen, _ in pairs})

    return ordered(key for key in differ if not implied(key))


def ordered(keys: Iterable[str]) -> list[str]:
    """Sort keys as they are shown: groups in their order, then other keys, `seed` last."""
    ranks = {group: rank for rank, group in enumerate(GROUPS)}
    return sorted(keys, key=lambda key: (key == SEED, ranks.get(key, len(ranks)), key))


def natural(value: str) -> tuple[bool, list[float], str]:
    """Return a sort key: numbers and lists of numbers by size, then names alphabetically."""
    try:
        numbers = [float(item) for item in value.strip("[]").split(",")]
    except ValueError:
        return True, [], value
    return (False, numbers, value) if np.isfinite(numbers).all() else (True, [], value)
