"""Differences: which settings are better than which others, and which are tied."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations, takewhile
from statistics import fmean

from initlab.report.comparison import Comparison, Setting
from initlab.report.speed import Level
from initlab.report.statistics import Paired, compare_pairs, seeds_needed
from initlab.tracking.runs import Run


@dataclass(frozen=True)
class Difference:
    """How much better one setting is than another, on average over the seeds that both have."""

    better: Setting
    other: Setting
    paired: Paired


class Differences:
    """The differences between settings in one number of their runs, paired by seed.

    ranked  the settings that have the number, best first
    values  it by seed, for each setting; empty where runs have no seed
    higher  whether a higher number is better

    p values are corrected for the number of comparisons that a method makes.
    """

    def __init__(
        self, ranked: Sequence[Setting], measure: Callable[[Run], float | None], higher: bool
    ) -> None:
        self.higher = higher
        self.ranked = [
            setting
            for setting in ranked
            if any(measure(run) is not None for run in setting.finished)
        ]
        self.values = {setting: setting.by_seed(measure) for setting in self.ranked}

    @classmethod
    @lru_cache(maxsize=1)  # table, page, sentences and files are of the same comparison
    def in_score(cls, comparison: Comparison) -> Differences:
        """Return the differences in what settings are ranked by."""
        return cls(comparison.ranked, comparison.by.of, comparison.by.higher)

    @classmethod
    def in_steps(cls, comparison: Comparison, level: Level) -> Differences:
        """Return the differences in the steps to a level, fewest first."""

        def mean(setting: Setting) -> float:
            steps = [level.counted(run) for run in setting.finished]
            known = [each for each in steps if each is not None]
            return fmean(known) if known else math.inf

        return cls(sorted(comparison.ranked, key=mean), level.counted, higher=False)

    def between(
        self, pairs: Sequence[tuple[Setting, Setting]]
    ) -> dict[tuple[Setting, Setting], Difference]:
        """Compare pairs, in whatever order; those without a common seed are left out."""
        sides = [pair if self.leads(*pair) else pair[::-1] for pair in pairs]
        values = [(self.values[better], self.values[other]) for better, other in sides]
        found = zip(pairs, sides, compare_pairs(values, self.higher))
        return {pair: Difference(*side, paired) for pair, side, paired in found if paired}

    def leads(self, first: Setting, other: Setting) -> bool:
        """Return whether the first is not worse, on average over the common seeds."""
        one, two = self.values[first], self.values[other]
        gain = math.fsum(one[seed] - two[seed] for seed in one if seed in two)
        return gain >= 0 if self.higher else gain <= 0

    @property
    def groups(self) -> list[list[Setting]]:
        """The settings that have numbers, best first, by data set."""
        found: dict[str, list[Setting]] = {}
        for setting in self.ranked:
            found.setdefault(setting.data, []).append(setting)
        return [*found.values()]

    @cached_property
    def from_best(self) -> dict[Setting, Difference]:
        """The difference of each setting from the best one of its data set."""
        return {setting: each for group in self.groups for setting, each in self.from_first(group)}

    def behind_best(self, setting: Setting) -> tuple[float, float | None, float | None] | None:
        """Return by how much the number of a setting exceeds that of the best one of its data set.

        The mean and the ends of its interval; below 0 where the number is lower. None for the best
        one and for what shares no seed with it.
        """
        each = self.from_best.get(setting)
        if each is None:
            return None
        mean, low, high = each.paired.difference, each.paired.low, each.paired.high
        if (each.other is setting) != self.higher:
            return mean, low, high
        return -mean, None if high is None else -high, None if low is None else -low

    @cached_property
    def of_all_pairs(self) -> list[Difference]:
        """The differences of all pairs on the same data, in the order of their ranks."""
        pairs = [pair for group in self.groups for pair in combinations(group, 2)]
        return [*self.between(pairs).values()]

    def from_first(self, settings: Sequence[Setting]) -> list[tuple[Setting, Difference]]:
        """Return the difference of each of some settings from the first of them."""
        found = self.between([(settings[0], other) for other in settings[1:]])
        return [(other, each) for (_, other), each in found.items()]

    @cached_property
    def brackets(self) -> list[list[Setting]]:
        """The settings in brackets, best first: those that are tied with the best of a bracket.

        Where there are too few seeds to tell any two apart, each setting is alone.
        """
        if max(map(len, self.values.values()), default=0) < seeds_needed(1):
            return [[setting] for group in self.groups for setting in group]
        found = []
        for group in self.groups:
            differences = self.from_best
            while group:
                tied = {
                    setting
                    for setting in group[1:]
                    if (each := differences.get(setting))
                    and each.paired.tied
                    and each.paired.decidable
                }
                bracket = [group[0], *takewhile(tied.__contains__, group[1:])]
                found.append(bracket)
                group = group[len(bracket) :]
                differences = dict(self.from_first(group)) if self.may_decide(group) else {}
        return found

    def may_decide(self, settings: Sequence[Setting]) -> bool:
        """Return whether there may be enough seeds to tell the first of some settings from others.

        So many settings of few seeds need not be compared, each with all that follow it.
        """
        if not settings:
            return False
        first, *others = (self.values[setting] for setting in settings)
        compared = sum(not first.keys().isdisjoint(other) for other in others)
        return compared > 0 and len(first) >= seeds_needed(compared)

    @cached_property
    def places(self) -> dict[Setting, tuple[int, int]]:
        """The first and the last place of the bracket of each setting, on its data set."""
        found: dict[Setting, tuple[int, int]] = {}
        counts: Counter[str] = Counter()
        for bracket in self.brackets:
            data = bracket[0].data
            found |= dict.fromkeys(bracket, (counts[data] + 1, counts[data] + len(bracket)))
            counts[data] += len(bracket)
        return found
