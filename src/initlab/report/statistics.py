"""Statistics: whether one setting is better than another, or only seems so.

Runs of one seed share their batches, their data and the base draws of their weights. So settings
are compared seed by seed, which takes out of the difference what the seed does to both.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = Mapping[str, float]  # by seed

SIGNIFICANT = 0.05
CONFIDENCE = 0.95
EXACT = 13  # seeds up to which all 2^n ways to flip signs are tried
FLIPS = 99_999  # drawn for more seeds
CHUNK = 2_000_000  # numbers that are flipped at once
FEW = 1000  # differences up to which each is flipped by itself
MANY, FEWER_FLIPS = 250, 9_999  # seeds that many runs have at most for as many flips, else so many
ROUNDING = 1e-12  # relative; means that differ by less count as equal


@dataclass(frozen=True)
class Paired:
    """By how much one setting is better than another, over the seeds that both have.

    n           how many seeds
    difference  mean over the seeds, in units of the score; above 0 where the first is better
    low, high   its 95 % interval by Student's t, None for a single seed
    wins        how many seeds the first is better with
    p           two-sided p of the sign-flip test: how often a mean as far from 0 arises where each
                difference could as well have the opposite sign; exact for up to 13 seeds, else from
                99,999 random flips; of thousands of runs with more than 250 seeds, from 9,999
    p_holm      the same, corrected for the number of comparisons (Holm 1979)
    comparisons how many these are
    """

    n: int
    difference: float
    low: float | None
    high: float | None
    wins: int
    p: float
    p_holm: float
    comparisons: int = 1

    @property
    def tied(self) -> bool:
        """Whether chance may explain the difference, given how many were compared."""
        return not (self.p_holm < SIGNIFICANT and self.seeming)

    @property
    def seeming(self) -> bool:
        """Whether chance may not explain the difference, had nothing else been compared."""
        if self.low is None or self.high is None:
            return False
        return self.p < SIGNIFICANT and self.low * self.high > 0

    @property
    def half_width(self) -> float:
        """Half the width of the interval, infinite for a single seed."""
        if self.low is None or self.high is None:
            return float("inf")
        return (self.high - self.low) / 2

    @property
    def decidable(self) -> bool:
        """Whether so many seeds can tell any of these pairs apart."""
        return self.n >= seeds_needed(self.comparisons)


def compare_pairs(
    pairs: Sequence[tuple[Scores, Scores]], higher: bool = True
) -> list[Paired | None]:
    """Compare pairs of settings, given as score by seed; None for two that share no seed.

    higher  whether a higher score is better

    The p are corrected for the number of all these comparisons.
    """
    both = [[seed for seed in first if seed in other] for first, other in pairs]
    found: list[Paired | None] = [None] * len(pairs)
    for n in {len(seeds) for seeds in both} - {0}:
        places = [place for place, seeds in enumerate(both) if len(seeds) == n]
        first, other = (
            np.array([[pairs[at][side][seed] for seed in both[at]] for at in places], np.float64)
            for side in (0, 1)
        )
        for place, paired in zip(places, paired_tests(*((first, other)[:: 1 if higher else -1]))):
            found[place] = paired
    known = [paired for paired in found if paired]
    corrected = iter(holm(np.array([paired.p for paired in known])))
    return [
        paired and replace(paired, p_holm=float(next(corrected)), comparisons=len(known))
        for paired in found
    ]


def paired_tests(first: Floats, other: Floats) -> list[Paired]:
    """Compare K pairs over the same number of seeds: two arrays (K, n), the higher the better."""
    differences = first - other
    count, n = differences.shape
    if n == 1:  # SciPy, which takes half a second to import, could say no more
        return [
            Paired(1, float(each), None, None, int(each > 0), 1.0, 1.0)
            for each in differences[:, 0]
        ]
    from scipy import stats  # type: ignore[import-untyped]

    with warnings.catch_warnings():  # that differences are equal, or that one has no deviation
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = stats.ttest_rel(first, other, axis=1).confidence_interval(CONFIDENCE)
    ps = sign_flip_test(differences)
    return [
        Paired(
            n,
            float(differences[row].mean()),
            float(interval.low[row]),
            float(interval.high[row]),
            int((differences[row] > 0).sum()),
            float(ps[row]),
            float(ps[row]),
        )
        for row in range(count)
    ]


def sign_flip_test(differences: Floats) -> Floats:
    """Return the two-sided p of the means of K rows of differences (K, n) being 0: (K,)."""
    if differences.size > FEW:
        return sign_flips_by_product(differences)
    from scipy import stats

    n = differences.shape[1]
    result = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**n if n <= EXACT else FLIPS,
        batch=max(1, CHUNK // differences.size),
        axis=1,
        rng=0,
    )
    return np.asarray(result.pvalue, np.float64)


def sign_flips_by_product(differences: Floats) -> Floats:
    """Return the same with one draw of signs for all rows, by products of matrices: (K,).

    SciPy alone would copy all differences for each flip.
    """
    from scipy import stats

    rows, n = differences.shape
    observed = np.abs(differences.sum(axis=1)) * (1 - ROUNDING)
    found = np.zeros(rows, np.int64)

    def count(signs: Floats, axis: int) -> Floats:
        if signs.ndim > 1:  # not the call for the differences as they are
            found[:] += (np.abs(signs @ differences.T) >= observed).sum(axis=0)
        return signs[..., 0]

    flips = min(2**n, FLIPS if n <= MANY else FEWER_FLIPS)  # of 2^n, each is tried once
    stats.permutation_test(
        (np.ones(n),),
        count,
        permutation_type="samples",
        vectorized=True,
        n_resamples=flips,
        batch=max(1, CHUNK // (8 * max(rows, n))),
        rng=0,
    )
    ps = found / flips if flips == 2**n else (found + 1) / (flips + 1)
    return np.asarray(ps, np.float64)


def holm(ps: Floats) -> Floats:
    """Return p values (M,) corrected for being M, by Holm's step-down method (1979): (M,)."""
    order = np.argsort(ps, kind="stable")
    stepped = np.maximum.accumulate(ps[order] * np.arange(len(ps), 0, -1))
    corrected = np.empty_like(ps)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def seeds_needed(comparisons: int) -> int:
    """Return how many seeds can tell apart each of so many pairs, if all seeds agree."""
    n = 1
    while comparisons * 2.0 ** (1 - n) >= SIGNIFICANT:
        n += 1
    return n


def accuracy_noise(accuracy: float, examples: int) -> float:
    """Return the standard error of an accuracy that comes from so many test examples (binomial)."""
    return float(np.sqrt(accuracy * (1 - accuracy) / examples))
