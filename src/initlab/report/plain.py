"""Plain: a comparison as plain values, for JSON, for spreadsheets and for notebooks."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import Any

from initlab.report.comparison import Comparison, Setting, Spread
from initlab.report.differences import Difference, Differences
from initlab.report.importance import importance
from initlab.report.speed import MEASURED, Level, loss_area


@lru_cache(maxsize=1)  # two files are made of them
def setting_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the table of settings as plain values, best first; None where there is no number.

    name         as in the table
    rank         of its bracket of tied settings, the first and last place: [1, 3]
    values       the keys that vary and their values as typed
    runs, finished, verdicts
    train_loss, validation_accuracy, test_accuracy, score, seconds, train_loss_area: mean and std
                 over the finished runs
    to_best      the difference of its score from that of the best, low and high ends of the 95 %
                 interval, p, p_holm, and over n seeds
    steps_to_loss, steps_to_accuracy: mean and std of the steps to the level, and how many runs
                 reached it; a run that did not counts with its length
    """
    differences = Differences.in_score(comparison)
    places = differences.places
    levels = {level.metric: level for level in comparison.levels}
    rows = []
    for setting in comparison.ranked:
        row: dict[str, Any] = {
            "name": setting.name,
            "rank": places.get(setting) and [*places[setting]],
            "values": setting.values,
            "runs": len(setting.runs),
            "finished": len(setting.finished),
            "verdicts": dict(Counter(run.word for run in setting.runs)),
            "train_loss": plain_spread(setting.loss),
            "validation_accuracy": plain_spread(setting.validation),
            "test_accuracy": plain_spread(setting.accuracy),
            "score": plain_spread(setting.score),
            "seconds": plain_spread(setting.seconds),
            "train_loss_area": plain_spread(Spread.of(map(loss_area, setting.finished))),
            "to_best": from_best(differences, setting),
        }
        for name, metric in zip(("steps_to_loss", "steps_to_accuracy"), MEASURED):
            row[name] = plain_steps(levels[metric], setting) if metric in levels else None
        rows.append(row)
    return rows


def from_best(differences: Differences, setting: Setting) -> dict[str, Any] | None:
    """Return the difference of a setting from the best one, below 0 where its score is lower."""
    each = differences.from_best.get(setting)
    if each is None:
        return None
    numbers = differences.behind_best(setting) or ()
    return {
        **dict(zip(("difference", "low", "high"), numbers)),
        "p": each.paired.p,
        "p_holm": each.paired.p_holm,
        "n": each.paired.n,
    }


def plain_spread(spread: Spread | None) -> dict[str, float | None] | None:
    """Return a spread as plain values."""
    return None if spread is None else {"mean": spread.mean, "std": spread.std}


def plain_steps(level: Level, setting: Setting) -> dict[str, Any] | None:
    """Return the steps of a setting to a level as plain values."""
    spread = Spread.of(level.counted(run) for run in setting.finished)
    if spread is None:
        return None
    steps = [level.steps(run) for run in setting.finished]
    return {"mean": spread.mean, "std": spread.std, "reached": sum(map(is_reached, steps))}


def is_reached(steps: float | None) -> bool:
    """Return whether a number of steps is that of a run that passed a level."""
    return steps is not None and math.isfinite(steps)


def comparison_object(comparison: Comparison, every_pair: bool = False) -> dict[str, Any]:
    """Return the comparison as plain values for JSON.

    score     what settings are ranked by: its metric, whether higher is better, and which value of
              a run counts, last or best
    levels    what the steps to a level are counted to, by metric
    settings  see `setting_rows`
    pairs     the best setting with each other one, or all pairs. `difference` is by how much
              `better` is better, on average over the n seeds that both have, whichever way the
              score goes; `low` and `high` are its 95 % interval; `wins` counts the seeds with which
              it is better; `p` is of the sign-flip test, and `p_holm` corrected for all pairs
              listed; `tied` says that chance may explain the difference
    importance  see `importance`; null where it is not known
    steps     the same pairs by steps to a level, where fewer is better: metric → pairs with the
              fastest setting
    """
    score, differences = comparison.by, Differences.in_score(comparison)
    pairs = differences.of_all_pairs if every_pair else [*differences.from_best.values()]
    return {
        "score": {
            "metric": score.metric,
            "higher_is_better": score.higher,
            "value": "best" if score.best else "last",
        },
        "levels": {level.metric: level.value for level in comparison.levels},
        "settings": setting_rows(comparison),
        "pairs": [plain_difference(each) for each in pairs],
        "importance": plain_importance(comparison),
        "steps": {
            level.metric: [
                plain_difference(each)
                for each in Differences.in_steps(comparison, level).from_best.values()
            ]
            for level in comparison.levels
        },
    }


def plain_importance(comparison: Comparison) -> dict[str, Any] | None:
    """Return what explains the variance of the score as plain values."""
    found = importance(comparison)
    if found is None:
        return None
    return {
        "score": found.score,
        "estimated": found.estimated,
        "runs": found.runs,
        "shares": [
            {"name": each.name, "share": each.share, "may_be_chance": each.chance}
            for each in found.shares
        ],
        "rest": [{"name": each.name, "share": each.share} for each in found.rest],
    }


def plain_difference(each: Difference) -> dict[str, Any]:
    """Return a difference as plain values."""
    paired = each.paired
    return {
        "better": each.better.name,
        "other": each.other.name,
        "difference": paired.difference,
        "low": paired.low,
        "high": paired.high,
        "p": paired.p,
        "p_holm": paired.p_holm,
        "wins": paired.wins,
        "n": paired.n,
        "tied": paired.tied,
    }


def finite(value: Any) -> Any:
    """Return plain values with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
