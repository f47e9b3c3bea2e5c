"""Conclusions: which differences between settings are real, and how to find out, in sentences."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterable
from functools import partial

from initlab.config import GROUPS
from initlab.nn.metrics import Metric
from initlab.report.comparison import SEED, Comparison, Setting
from initlab.report.differences import Difference, Differences
from initlab.report.formatting import (
    format_accuracy,
    format_count,
    format_difference,
    format_p,
    format_value,
    join_words,
)
from initlab.report.score import Score
from initlab.report.statistics import Paired, accuracy_noise, seeds_needed
from initlab.report.table import steps_cell

NAMED = 3  # settings of a list in a sentence
TIES = 2  # groups of tied settings that a sentence names
MORE_SEEDS = "This runs only what is missing:"
MANY = 30  # settings, among which the first to reach a level is so by chance
MOST_SETTINGS = 100  # that anybody would run with more seeds


def conclusions(comparison: Comparison) -> list[str]:
    """Return what can be concluded in sentences: which differences are real, and how to find out.

    Empty where settings have no scores, or are on different data.
    """
    return [*headline(comparison), *further_notes(comparison)]


def comparable(comparison: Comparison) -> bool:
    """Return whether there are settings that can be ranked against each other."""
    scored = sum(bool(setting.score) for setting in comparison.settings)
    return len(comparison.data) == 1 and scored > 1


def further_notes(comparison: Comparison) -> list[str]:
    """Return what is to be said beside the headline: of seeds, of speed and of the test set."""
    if not comparable(comparison):
        return []
    differences = Differences.in_score(comparison)
    return [
        *seeds_note(comparison, differences),
        *speed_note(comparison),
        *noise_note(comparison),
    ]


def headline(comparison: Comparison) -> list[str]:
    """Say which settings are better than others, and which are tied; nothing of single seeds."""
    if not comparable(comparison):
        return []
    differences = Differences.in_score(comparison)
    found = differences.from_best
    if not found:
        return unpaired_note(comparison)
    best, *others = differences.ranked
    name = partial(short_name, comparison)
    known = [each for each in others if each in found]
    apart = [each for each in known if not found[each].paired.tied]
    apart = apart or [each for each in known if found[each].paired.seeming]
    brackets = [each for each in differences.brackets if len(each) > 1][:TIES]
    ties = [f"{listed(map(name, each))} are tied" for each in brackets]
    if apart:
        lead = differing(comparison, found[apart[0]])
        first = bool(ties) and best in brackets[0]
        return [f"{'; '.join([*ties[:first], lead, *ties[first:]])}."]
    if not any(each.paired.decidable for each in found.values()):
        paired = found[others[0]].paired if others[0] in found else None
        if paired is None or paired.n == 1:
            return []
        ahead = amount(comparison.by, abs(paired.difference))
        return [f"{name(best)} leads {name(others[0])} by {ahead}, which may be chance."]
    many = f"All {len(others) + 1} settings are tied" if len(others) > 1 else "They are tied"
    return [f"{many}: {differing(comparison, found[known[0]])}."]


def unpaired_note(comparison: Comparison) -> list[str]:
    """Say why settings that share no seed cannot be compared; nothing of those that draw none."""
    if any(SEED in run.params for run in comparison.runs):
        return ["No two settings share a seed, so that chance may explain any difference."]
    alone = all(len(setting.finished) < 2 for setting in comparison.settings)
    if alone and comparison.by.metric != Metric.F:
        return ["With one run each, differences may be due to chance."]
    return []


def differing(comparison: Comparison, difference: Difference) -> str:
    """Say how much better one setting is than another, and how sure that is."""
    paired, share = difference.paired, comparison.by.share
    names = (short_name(comparison, each) for each in (difference.better, difference.other))
    verb = "seems better than" if paired.seeming else "differs from"
    verb = verb if paired.tied else "is better than"
    low, high = (format_difference(each or 0.0, share) for each in (paired.low, paired.high))
    return (
        f"{f' {verb} '.join(names)} by "
        f"{amount(comparison.by, paired.difference)} (95 % {low} to {high}, {evidence(paired)})"
    )


def evidence(paired: Paired) -> str:
    """Return how many seeds agree, and how likely that is by chance."""
    words = f"{paired.wins} of {format_count(paired.n, 'seed')}, p {format_p(paired.p)}"
    if paired.comparisons == 1:
        return words
    corrected = format_p(paired.p_holm).removeprefix("= ")
    return f"{words}, {corrected} corrected for {paired.comparisons} comparisons"


def amount(score: Score, difference: float) -> str:
    """Return a difference of scores with its unit."""
    number = format_difference(difference, score.share)
    return f"{number} points" if score.share else f"{number} in {score.title}"


def short_name(comparison: Comparison, setting: Setting) -> str:
    """Return the name of a setting with bare options: he relu optimizer.lr=0.1."""
    words = (
        format_value(value) if key in GROUPS else f"{key}={format_value(value)}"
        for key, value in setting.values.items()
    )
    return " ".join(words) or setting.name


def listed(names: Iterable[str]) -> str:
    """Return names as a list in a sentence, which is not too long."""
    every = [*names]
    if len(every) <= NAMED + 1:
        return join_words(every)
    return join_words([*every[:NAMED], f"{len(every) - NAMED} others"])


def seeds_note(comparison: Comparison, differences: Differences) -> list[str]:
    """Say how many seeds can tell the settings apart, if these are too few."""
    needed = seeds_wanted(comparison, differences)
    if not needed:
        return []
    seeds = seeds_shared(differences)
    two, count = seeds_needed(1), len(differences.ranked)
    if seeds < two:
        sentence = (
            "With one seed each, a difference may be due to chance. " * seeds
            if seeds <= 1
            else f"With {seeds} seeds they cannot be told apart: the exact test gives a p of "
            f"{2.0 ** (1 - seeds):g} at least, however far apart they are. "
        )
        enough = f"{two} seeds or more can tell them apart"
        if needed > two:
            enough = f"{two} seeds or more can tell two of them apart, {needed} or more all {count}"
    else:
        sentence = f"{seeds} seeds cannot tell all {count} settings apart. "
        enough = f"{needed} seeds or more can"
    return [f"{sentence}{enough}: {seed_range(comparison, needed)}."]


def seeds_wanted(comparison: Comparison, differences: Differences) -> int:
    """Return how many seeds can tell all settings apart.

    0 if there are as many, and for a search, whose settings nobody would run again.
    """
    needed = seeds_needed(max(len(differences.ranked) - 1, 1))
    many = len(comparison.settings) > MOST_SETTINGS or any(run.searched for run in comparison.runs)
    seeded = any(SEED in run.params for run in comparison.runs)
    return needed if seeded and not many and seeds_shared(differences) < needed else 0


def seeds_shared(differences: Differences) -> int:
    """Return how many seeds the best setting shares with another one, at most."""
    return max((each.paired.n for each in differences.from_best.values()), default=0)


def more_seeds(comparison: Comparison) -> str:
    """Return the command that runs enough seeds, "" if it is not known or there are enough."""
    if not comparable(comparison):
        return ""
    needed = seeds_wanted(comparison, Differences.in_score(comparison))
    return command_with_seeds(comparison, needed) if needed else ""


def seed_range(comparison: Comparison, count: int) -> str:
    """Return a setting of so many seeds, those of the runs among them: seed=range(0,6)."""
    texts = {run.params.get(SEED, "") for run in comparison.runs}
    seeds = sorted(int(text) for text in texts if text.isdecimal()) or [0]
    first = seeds[0]
    if seeds[-1] - first < count:
        return f"{SEED}=range({first},{first + count})"
    free = (seed for seed in itertools.count() if seed not in seeds)
    more = itertools.islice(free, max(0, count - len(seeds)))
    return f"{SEED}={','.join(map(str, sorted([*seeds, *more])))}"


def command_with_seeds(comparison: Comparison, count: int) -> str:
    """Return the command of a sweep with more seeds, "" if the command is not known."""
    try:
        words = shlex.split(comparison.command)
    except ValueError:
        return ""
    if "-m" not in words and "--multirun" not in words:
        return ""
    keys = [word.lstrip("+").partition("=")[0] for word in words]
    if any(key == "sweep.zip" and SEED in word for key, word in zip(keys, words)):
        return ""  # its other keys would need as many values
    kept = [word for key, word in zip(keys, words) if key not in (SEED, "hydra.sweep.dir")]
    return shlex.join([*kept, seed_range(comparison, count)])


def speed_note(comparison: Comparison) -> list[str]:
    """Say which setting learns fastest, if runs of several settings reach a level."""
    if len(comparison.settings) > MANY:
        return []
    for level in comparison.levels:
        differences = Differences.in_steps(comparison, level)
        if len(differences.ranked) > 1:
            break
    else:
        return []
    best, other = differences.ranked[:2]
    first, second = (cell.text for cell in (steps_cell(level, best), steps_cell(level, other)))
    if "never" in (first, second):
        return []
    names = short_name(comparison, best), short_name(comparison, other)
    ends = f"{level.text} after {first} step{'s' * (first != '1')}"
    difference = differences.from_best.get(other)
    if difference is None or not difference.paired.decidable:
        return [f"{names[0]} reaches {ends}, {names[1]} after {second}."]
    paired = difference.paired
    if paired.tied:
        return [f"{join_words(names)} learn equally fast: {ends} and {second}."]
    return [
        f"{names[0]} learns fastest: {ends}, {format_steps(paired.difference)} before {names[1]} "
        f"(95 % {format_steps(paired.low)} to {format_steps(paired.high)}, {evidence(paired)})."
    ]


def format_steps(steps: float | None) -> str:
    """Return a mean number of steps, with a decimal if it is small."""
    return f"{steps or 0.0:,.{0 if abs(steps or 0.0) >= 10 else 1}f}"


def noise_note(comparison: Comparison) -> list[str]:
    """Say how much an accuracy owes to the choice of held-out examples, where that is known."""
    score = comparison.by
    done = [setting for setting in comparison.ranked if setting.score]
    counts = {run.examples.get(score.metric, 0) for setting in done for run in setting.finished}
    if not score.share or len(counts) != 1 or not all(counts):
        return []
    (count,), best = counts, done[0].score
    assert best is not None
    noise = accuracy_noise(min(max(best.mean, 0.0), 1.0), count)
    text = f"± {format_difference(noise, share=True)} points"
    what = f"The {score.title.split()[-2]} set"
    examples = f"{count:,} examples at {format_accuracy(best.mean)}"
    second = done[1].score if len(done) > 1 else None
    if second and abs(best.mean - second.mean) < noise:
        return [
            f"{what} itself leaves an uncertainty of {text} ({examples}): the lead of "
            f"{format_difference(abs(best.mean - second.mean), share=True)} points says nothing "
            "about new data."
        ]
    return [f"{what} itself leaves an uncertainty of {text} ({examples})."]
