"""The numbers of a report as files for other programs.

results.csv, settings.csv, comparison.json and curves.npz
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab.nn.metrics import Metric
from initlab.report.comparison import Comparison, Setting, Spread
from initlab.report.differences import Difference, Differences
from initlab.report.formatting import describe_ending
from initlab.report.importance import importance
from initlab.report.speed import MEASURED, Level, loss_area
from initlab.tracking.runs import CURVES, Run

# The columns of results.csv before and after the keys that vary.
ABOUT = ("run_id", "name", "outcome", "verdict", "reason")
FINAL = (
    "train_loss",
    "validation_loss",
    "test_loss",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "train_loss_area",
    "steps_to_loss",
    "steps_to_accuracy",
    "steps",
    "seconds",
)


def write_results(comparison: Comparison, file: Path) -> None:
    """Write a row for each trial: its outcome, the keys that vary, and its final numbers.

    train_loss is the mean of the last hundred steps; for model=quadratic, the last f.
    train_loss_area is in units of loss times steps. steps_to_loss and steps_to_accuracy are those
    to the levels of the comparison, inf for a run that never passes one.
    """
    keys = {key: f"params.{key}" if key in ABOUT + FINAL else key for key in comparison.varies}
    with file.open("w", newline="", encoding="utf-8", errors="replace") as opened:
        writer = csv.writer(opened)
        writer.writerow([*ABOUT, *map(plain_cell, keys.values()), *FINAL])
        for run in comparison.runs:
            reason = run.reason if run.ended_step is None else describe_ending(run)
            params = (run.params.get(key, "") for key in keys)
            texts = (run.run_id, run.name, run.outcome, run.verdict, reason, *params)
            numbers = final_numbers(comparison, run)
            writer.writerow([*map(plain_cell, texts), *numbers])


def final_numbers(comparison: Comparison, run: Run) -> tuple[float | None, ...]:
    """Return the numbers of a run that `FINAL` names."""
    levels = {level.metric: level for level in comparison.levels}
    return (
        run.loss,
        run.metrics.get(Metric.VALIDATION_LOSS),
        run.metrics.get(Metric.TEST_LOSS),
        run.metrics.get(Metric.TRAIN_ACCURACY),
        run.validation,
        run.accuracy,
        loss_area(run),
        *(levels[metric].steps(run) if metric in levels else None for metric in MEASURED),
        max((int(curve.steps[-1]) for curve in run.curves.values()), default=None),
        run.seconds,
    )


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


def write_settings(comparison: Comparison, file: Path) -> None:
    """Write a row for each setting, best first, with the numbers of `setting_rows`."""
    rows = [flat_row(comparison, row) for row in setting_rows(comparison)]
    with file.open("w", newline="", encoding="utf-8", errors="replace") as opened:
        writer = csv.DictWriter(opened, [*rows[0]] if rows else ["rank"])
        writer.writeheader()
        writer.writerows(rows)


def flat_row(comparison: Comparison, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of `setting_rows` as one of a table: rank, what varies, the numbers."""
    first, last = row["rank"] or ("", "")
    flat: dict[str, Any] = {"rank": first if first == last else f"{first}–{last}"}
    keys = (key if key not in (*row, "rank") else f"params.{key}" for key in comparison.axes)
    for name, key in zip(keys, comparison.axes):
        flat[plain_cell(name)] = plain_cell(row["values"].get(key, ""))
    flat |= {"runs": row["runs"], "finished": row["finished"]}
    for name in ("train_loss", "validation_accuracy", "test_accuracy"):
        flat |= {name: (row[name] or {}).get("mean"), f"{name}_std": (row[name] or {}).get("std")}
    difference = row["to_best"] or {}
    for name in ("difference", "low", "high", "p", "p_holm", "n"):
        flat[f"to_best_{name}"] = difference.get(name)
    verdicts = row["verdicts"]
    texts = [word if len(verdicts) == 1 else f"{count} {word}" for word, count in verdicts.items()]
    flat["verdict"] = plain_cell(", ".join(texts))
    for name in ("steps_to_loss", "steps_to_accuracy"):
        steps = row[name] or {}
        flat |= {name: steps.get("mean"), f"{name}_std": steps.get("std")}
        flat[f"{name}_reached"] = steps.get("reached")
    area = row["train_loss_area"] or {}
    flat |= {"train_loss_area": area.get("mean"), "train_loss_area_std": area.get("std")}
    flat["seconds"] = (row["seconds"] or {}).get("mean")
    return flat


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


def write_comparison(comparison: Comparison, file: Path, every_pair: bool = False) -> None:
    """Write `comparison_object` as JSON, in which numbers that are not finite are null."""
    content = finite(comparison_object(comparison, every_pair))
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8", errors="replace")


def finite(value: Any) -> Any:
    """Return plain values with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain_cell(text: str) -> str:
    """Return a text that a spreadsheet takes for no formula: -0.5 stays, =1+1 gets an apostrophe.

    A store may have any name in it, and a formula may run programs.
    """
    return text if text[:1] not in ("=", "+", "-", "@") or is_number(text) else f"'{text}"


def is_number(text: str) -> bool:
    """Return whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def curve_arrays(runs: Sequence[Run]) -> dict[str, NDArray[Any]]:
    """Return the curves of R runs as arrays, a row for each run, in the order of results.csv.

    run_ids         (R,)
    <metric>/steps  (S,) all steps at which any of the runs has a value, ascending
    <metric>        (R, S) the values, NaN where a run has none

    With `data = np.load("curves.npz")`, the mean over all runs is
    `np.nanmean(data["train/loss"], axis=0)`, at the steps `data["train/loss/steps"]`.
    """
    arrays: dict[str, NDArray[Any]] = {"run_ids": np.array([run.run_id for run in runs], np.str_)}
    for metric in CURVES:
        curves = [run.curves.get(metric) for run in runs]
        recorded = [curve.steps for curve in curves if curve]
        if not recorded:
            continue
        steps = np.unique(np.concatenate(recorded))
        values = np.full((len(runs), len(steps)), np.nan)
        for row, curve in zip(values, curves):
            if curve:
                row[np.searchsorted(steps, curve.steps)] = curve.values
        arrays |= {f"{metric}/steps": steps, metric: values}
    return arrays
