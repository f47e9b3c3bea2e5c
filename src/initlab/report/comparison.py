"""Comparison: many runs, what varies between them, and which setting did best."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from initlab.config import GROUPS
from initlab.nn.verdict import Diagnosis
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Run

MOST_DIGITS = 6  # of a number that is shown as it is
RANKS = {Outcome.FINISHED: 0, Outcome.PRUNED: 1}  # of outcomes; the others come after them


@dataclass(frozen=True)
class Spread:
    """The mean of some runs and their standard deviation, None of a single one."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Return the spread of the values there are, None where there are none."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None)


@dataclass(frozen=True, eq=False)
class Setting:
    """The runs that differ in their seed alone.

    number  of the setting in the comparison, from 0, which fixes its colour
    values  what varies, but for the seed: key → value
    """

    number: int
    values: dict[str, str]
    runs: list[Run]

    @property
    def name(self) -> str:
        """What it is, as typed; of the only setting, the name of its first run, less the seed."""
        first = self.runs[0]
        chosen = (f"{group}={first.params[group]}" for group in GROUPS if group in first.params)
        return (
            " ".join(f"{key}={short(value)}" for key, value in self.values.items())
            or re.sub(r"(^| )seed=\S*", "", first.name).strip()
            or next(chosen, first.name)
        )

    @property
    def finished(self) -> list[Run]:
        """The runs that came to their end without diverging."""
        return [run for run in self.runs if run.outcome == Outcome.FINISHED]

    @property
    def loss(self) -> Spread | None:
        """The final training loss of the runs that finished."""
        return Spread.of(run.loss for run in self.finished)

    @property
    def accuracy(self) -> Spread | None:
        """The final test accuracy of the runs that finished."""
        return Spread.of(run.accuracy for run in self.finished)

    @property
    def validation(self) -> Spread | None:
        """The final validation accuracy of the runs that finished."""
        return Spread.of(run.validation for run in self.finished)

    @property
    def score(self) -> Spread | None:
        """The accuracy that it is ranked by."""
        return Spread.of(run.score for run in self.finished)

    @property
    def seconds(self) -> Spread | None:
        """What a run took, whatever became of it."""
        return Spread.of(run.seconds for run in self.runs)

    @property
    def word(self) -> str:
        """The word of its runs, such as healthy; where they differ, 2 healthy, 1 diverged."""
        words = Counter(run.word for run in self.runs).most_common()
        if len(words) == 1:
            return words[0][0]
        return ", ".join(f"{count} {word}" for word, count in words)


class Comparison:
    """Runs side by side.

    runs        in the order of what varies: numbers by size, names by the alphabet
    varies      the keys that differ between them, `seed` last
    fixed       what is the same in all: key → value
    settings    the runs grouped by all that varies but the seed, in the order of `runs`
    experiment  the published experiment that they are of, "" for none
    """

    def __init__(self, runs: Sequence[Run], experiment: str = "") -> None:
        self.experiment = experiment
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
        axes = [key for key in self.varies if key != "seed"]
        for run in self.runs:
            grouped.setdefault(tuple(run.params.get(key, "") for key in axes), []).append(run)
        self.settings = [
            Setting(number, {key: value for key, value in zip(axes, values) if value}, members)
            for number, (values, members) in enumerate(grouped.items())
        ]

    @cached_property
    def data(self) -> list[str]:
        """What the runs learn from, "" for a function: of different data, none is the better."""
        return [*dict.fromkeys(run.params.get("data", "") for run in self.runs)]

    @property
    def rates(self) -> dict[str, str]:
        """The learning rate of each optimizer, where that differs with it."""
        if "optimizer" not in self.varies or "optimizer.lr" in self.varies:
            return {}
        params = [run.params for run in self.runs if "optimizer.lr" in run.params]
        found = {each["optimizer"]: each["optimizer.lr"] for each in params}
        return found if len({*found.values()}) > 1 else {}

    @cached_property
    def ranked(self) -> list[Setting]:
        """The settings, best first: by score, then by loss; then the pruned, then the others.

        Where nothing was trained, by how many runs are healthy. Those of the same data follow each
        other.
        """

        def place(setting: Setting) -> tuple[int, int, float, float, int]:
            score, loss = setting.score, setting.loss
            return (
                self.data.index(setting.runs[0].params.get("data", "")),
                min(RANKS.get(run.outcome, len(RANKS)) for run in setting.runs),
                -score.mean if score else 0.0,
                loss.mean if loss else np.inf,
                -sum(run.verdict == Diagnosis.HEALTHY for run in setting.finished),
            )

        return sorted(self.settings, key=place)


def varying(params: Sequence[dict[str, str]]) -> list[str]:
    """Return the keys whose values differ: groups, other keys, then seed.

    A setting of an option (init.scale) counts only where it differs within one choice of its group,
    for otherwise the choice (init) says it all. So it is with a key that some models do without.
    """
    keys = sorted({key for each in params for key in each})
    differ = [key for key in keys if len({each.get(key) for each in params}) > 1]

    def implied(key: str) -> bool:
        group = key.partition(".")[0]
        tellers = {group} & {*GROUPS}
        if any(key not in each for each in params):
            tellers.add("model")
        return any(follows(key, teller) for teller in tellers - {key})

    def follows(key: str, choice: str) -> bool:
        pairs = {(each.get(choice), each.get(key)) for each in params}
        return len(pairs) == len({chosen for chosen, _ in pairs})

    return ordered(key for key in differ if not implied(key))


def ordered(keys: Iterable[str]) -> list[str]:
    """Sort keys as they are shown: the groups in their order, others, `seed` last."""
    ranks = {group: rank for rank, group in enumerate(GROUPS)}
    return sorted(keys, key=lambda key: (key == "seed", ranks.get(key, len(ranks)), key))


def short(value: str) -> str:
    """Return a value as tables show it: a number of more digits than people type, with four."""
    digits = re.match(r"-?0*\.?0*([\d.]*)", value)
    try:
        long = digits is not None and len(digits[1].replace(".", "")) > MOST_DIGITS
        return f"{float(value):.4g}" if long and "." in value else value
    except ValueError:
        return value


def natural(value: str) -> tuple[bool, list[float], str]:
    """Return what sorts numbers, and lists of numbers, by size and before names."""
    try:
        numbers = [float(item) for item in value.strip("[]").split(",")]
    except ValueError:
        return True, [], value
    return (False, numbers, value) if np.isfinite(numbers).all() else (True, [], value)
