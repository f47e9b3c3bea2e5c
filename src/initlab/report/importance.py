"""Importance: how much of the variance of the score each key that varies explains.

A full grid is split exactly, by analysis of variance. For anything else, such as a search, Optuna
estimates the shares with a random forest.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from initlab.report.comparison import SEED, Comparison, natural
from initlab.report.formatting import join_words
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Run

FEWEST_SETTINGS = 4
FEWEST_RUNS = 10  # that a forest is grown from
TREES, DEPTH = 64, 6  # at Optuna's depth of 64, 300 runs take six times as long for the same shares
DECADES = 20.0  # numbers that span such a factor are taken by their logarithm, as on an axis
MOST_NAMES = 20  # of a key; of more, such as lists, the order counts: each would be a dimension
P = 0.05
BIN = 5  # runs in each group of a test, at least
MOST_BINS = 4
MENTIONED = 3  # shares in a sentence
SLIGHT = 0.005  # a share that is written as 0%

Floats = NDArray[np.float64]
Keys = tuple[str, ...]


@dataclass(frozen=True)
class Share:
    """A part of the variance.

    name     of the keys it is of: init, init × activation; "init with gain" if they change together
    share    of the total variance, from 0 to 1
    chance   whether it is no more than chance may give
    meaning  of the name, of what no key explains
    """

    name: str
    share: float
    chance: bool = False
    meaning: str = ""

    @property
    def percent(self) -> str:
        """The share as text."""
        return f"{self.share:.0%}"


@dataclass(frozen=True)
class Importance:
    """What explains the variance of the score.

    score      what is explained, such as test accuracy
    runs       how many finished with a score, and so are used
    unused     how many are not
    each       how many runs a setting has, None unless the runs are a full grid
    shares     those of the keys and, of a full grid, of their pairs, largest first
    rest       what is left, with a name for each part
    """

    score: str
    runs: int
    unused: int
    each: int | None
    shares: tuple[Share, ...]
    rest: tuple[Share, ...]

    @property
    def estimated(self) -> bool:
        """Whether the shares are estimates, because the runs are no full grid."""
        return self.each is None


@lru_cache(maxsize=1)  # the chart and the sentence are of the same comparison
def importance(comparison: Comparison) -> Importance | None:
    """Return what explains the variance of the score of the runs that finished.

    None if fewer than two keys vary, apart from the seed and from keys that change together, if the
    score does not vary or there are too few runs, and if the runs are of several data sets.
    """
    if len(comparison.data) != 1:
        return None
    runs, scores = scored(comparison)
    if len({*scores}) < 2:
        return None
    keys = factors(comparison.axes, runs)
    settings = {*zip(*keys.values())}
    if len(keys) < 2 or len(settings) < FEWEST_SETTINGS:
        return None
    title = comparison.by.title
    values = np.array(scores, np.float64)
    if not comparison.by.share and spans_decades(values):
        values, title = np.log(values), f"logarithm of the {title}"
    values = to_unit(values)
    names = [" with ".join(each) for each in keys]
    codes = [np.unique(column, return_inverse=True)[1] for column in keys.values()]
    sizes = [int(code.max()) + 1 for code in codes]
    each = None
    if math.prod(sizes) == len(settings) and len(runs) % len(settings) == 0:
        order = np.lexsort(codes[::-1])
        counts = np.bincount(np.ravel_multi_index(tuple(codes), sizes))
        each = int(counts[0]) if (counts == counts[0]).all() else None
    if each:
        repeats = SEED if SEED in comparison.varies else "repetition"
        shares, rest = analyze(names, values[order].reshape(*sizes, each), repeats)
    elif len(runs) >= FEWEST_RUNS:
        shares, rest = estimate(names, [*keys.values()], values)
    else:
        return None
    return Importance(
        title,
        len(runs),
        len(comparison.runs) - len(runs),
        each,
        tuple(sorted(shares, key=lambda share: -share.share)),
        tuple(rest),
    )


def scored(comparison: Comparison) -> tuple[list[Run], list[float]]:
    """Return the runs that finished with a score, and their scores."""
    found = [
        (run, score)
        for run in comparison.runs
        if run.outcome == Outcome.FINISHED
        and (score := comparison.by.of(run)) is not None
        and math.isfinite(score)
    ]
    return [run for run, _ in found], [score for _, score in found]


def factors(axes: Sequence[str], runs: Sequence[Run]) -> dict[Keys, list[str]]:
    """Return what varies between runs: keys that change together, and their value in each run.

    A key is joined with another one that it follows from, because nobody can tell which of the two
    a difference is due to.
    """
    columns = {key: [run.params.get(key, "") for run in runs] for key in axes}
    columns = {key: column for key, column in columns.items() if len({*column}) > 1}
    settings = len({*zip(*columns.values())})
    joined: dict[str, list[str]] = {}  # by the key that the others follow from
    for key in sorted(columns, key=lambda key: -len({*columns[key]})):
        hosts = (host for host in joined if follows(columns[key], columns[host], settings))
        joined.setdefault(next(hosts, key), []).append(key)
    found = {tuple(sorted(keys, key=axes.index)): columns[host] for host, keys in joined.items()}
    return dict(sorted(found.items(), key=lambda item: axes.index(item[0][0])))


def follows(column: Sequence[str], host: Sequence[str], settings: int) -> bool:
    """Return whether the values of one key follow from those of another one.

    In a search, where a number is hardly ever drawn twice, everything seems to follow from it. So
    the other one must have each value in two settings or more; or else one in each setting, if
    these are too few for a search or have names.
    """
    count = len({*host})
    if len({*zip(host, column)}) > count:
        return False
    drawn = settings >= FEWEST_RUNS and numbers(host) is not None
    return 2 * count <= settings or (count == settings and not drawn)


def analyze(names: Sequence[str], values: Floats, repeats: str) -> tuple[list[Share], list[Share]]:
    """Split the variance of a full grid by analysis of variance.

    values   the scores, an axis for each name and one for the runs of a setting
    repeats  what these runs differ in

    Returns the shares of keys and pairs, and what is left. They sum to 1.
    """
    axes = range(len(names))
    *sizes, each = values.shape
    centered = values - values.mean()

    def means(*kept: int) -> Floats:
        others = tuple(axis for axis in range(values.ndim) if axis not in kept)
        return np.asarray(centered.mean(axis=others, keepdims=True))

    def squares(effect: Floats) -> float:
        return float(np.sum(effect**2)) * values.size / effect.size

    total = squares(centered)
    within = squares(centered - means(*axes)) / total
    main = [means(axis) for axis in axes]
    found = [(names[axis], main[axis], sizes[axis] - 1) for axis in axes]
    for one, two in itertools.combinations(axes, 2):
        effect = means(one, two) - main[one] - main[two]
        degrees = (sizes[one] - 1) * (sizes[two] - 1)
        found.append((f"{names[one]} × {names[two]}", effect, degrees))
    parts = [squares(effect) / total for _, effect, _ in found]
    left = max(0.0, 1 - within - sum(parts))
    error, freedom = within, values.size - values.size // each
    if each == 1:  # as usual, larger combinations are taken for chance
        error, freedom = left, values.size - 1 - sum(degrees for *_, degrees in found)
    shares = [
        Share(name, part, freedom > 0 and not exceeds_chance(part, degrees, error, freedom))
        for (name, _, degrees), part in zip(found, parts)
    ]
    rest = []
    if len(names) > 2:
        meaning = "combinations of three settings or more"
        rest.append(Share("rest", left, meaning=meaning if each > 1 else f"{meaning}, and chance"))
    if each > 1:
        meaning = "what differs between the runs of a setting"
        rest.append(Share(repeats, within, meaning=meaning))
    return shares, rest


def exceeds_chance(part: float, degrees: int, error: float, freedom: int) -> bool:
    """Return whether a share of the variance is more than chance may give, by an F test.

    degrees  of freedom of the share
    error    the share that is taken for chance, and `freedom` its degrees
    """
    from scipy.special import fdtrc  # type: ignore[import-untyped]

    if error == 0:
        return part > 0
    return bool(fdtrc(degrees, freedom, (part / degrees) / (error / freedom)) < P)


def estimate(
    names: Sequence[str], columns: Sequence[Sequence[str]], values: Floats
) -> tuple[list[Share], list[Share]]:
    """Let Optuna estimate the shares of some keys (fANOVA; Hutter et al. 2014), and what is left.

    columns  the value of each key in each run, (N,)
    values   the scores (N,)

    Optuna has no public function for pairs of keys.
    """
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    space: dict[str, FloatDistribution | CategoricalDistribution] = {}
    places: list[Sequence[float | str]] = []
    for name, column in zip(names, columns):
        known = sorted({*column}, key=natural)
        found = numbers(column)
        if found is None and len(known) > MOST_NAMES:
            found = np.array([known.index(value) for value in column], np.float64)
        if found is None:
            space[name] = CategoricalDistribution(known)
            places.append(column)
        else:  # fANOVA takes no logarithm, and its forest only single precision
            space[name] = FloatDistribution(0, 1)
            places.append(to_unit(found).tolist())
    with quiet_optuna():
        study = optuna.create_study()
        study.add_trials(
            create_trial(
                params=dict(zip(names, point)), distributions={**space}, value=float(value)
            )
            for *point, value in zip(*places, values)
        )
        evaluator = FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=0)
        parts = get_param_importances(study, evaluator=evaluator, normalize=False)
    shares = [
        Share(name, float(parts[name]), not differs(groups(column), values))
        for name, column in zip(names, columns)
    ]
    left = max(0.0, 1 - sum(each.share for each in shares))
    return shares, [Share("rest", left, meaning="combinations and chance")]


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna from writing of its studies, and of arguments that may change one day."""
    from optuna.logging import ERROR, get_verbosity, set_verbosity

    before = get_verbosity()
    set_verbosity(ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        set_verbosity(before)


def differs(labels: NDArray[np.intp], values: Floats) -> bool:
    """Return whether groups of values differ by more than chance (test of Kruskal and Wallis)."""
    from scipy.stats import kruskal  # type: ignore[import-untyped]

    return bool(kruskal(*(values[labels == label] for label in np.unique(labels))).pvalue < P)


def groups(column: Sequence[str]) -> NDArray[np.intp]:
    """Return the group of each run by its value of a key.

    A group has one value; if they are numbers and too many, it has a range of them.
    """
    labels = np.unique(column, return_inverse=True)[1]
    found = numbers(column)
    if found is not None and (labels.max() + 1) * BIN > len(column):
        bins = min(max(len(column) // BIN, 2), MOST_BINS)
        edges = np.quantile(found, np.arange(1, bins) / bins)
        ranges = np.searchsorted(edges, found, side="right")
        labels = ranges if len({*ranges}) > 1 else labels
    return labels


def numbers(column: Sequence[str]) -> Floats | None:
    """Return values as numbers, by their logarithm if they span decades.

    None if any is no number, and if all are the same one, such as 1 and 1.0.
    """
    try:
        found = np.array([float(value) for value in column])
    except ValueError:
        return None
    if not np.isfinite(found).all() or found.min() == found.max():
        return None
    return np.log(found) if spans_decades(found) else found


def spans_decades(values: Floats) -> bool:
    """Return whether values are positive and of different orders of magnitude."""
    return bool(values.min() > 0 and values.max() / DECADES > values.min())


def to_unit(values: Floats) -> Floats:
    """Shift and scale values to the range from 0 to 1; they must differ."""
    scaled = values / np.abs(values).max()
    low, high = scaled.min(), scaled.max()
    return np.asarray((scaled - low) / (high - low), np.float64)


def importance_note(comparison: Comparison) -> str:
    """Return in one sentence what explains the variance of the score, "" where it is not known."""
    found = importance(comparison)
    if not found:
        return ""
    by = {None: "Optuna estimates: ", 1: "With one run a setting, "}.get(found.each, "")
    variance = f"of the variance of the {found.score}"
    told = [each for each in found.shares if each.share >= SLIGHT and not each.chance][:MENTIONED]
    if not told:
        return f"{by}{'no' if by else 'No'} setting explains more {variance} than chance may give."
    first, *others = told
    rest = [each for each in found.rest if each.share >= SLIGHT]
    parts = [
        f"{first.name} explains {first.percent} {variance}",
        *(f"{each.name} {each.percent}" for each in others),
        *(f"the {each.name} {each.percent}" for each in rest),
    ]
    return f"{by}{join_words(parts)}."
