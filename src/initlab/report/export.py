"""The numbers of a report as files for other programs.

results.csv, settings.csv, comparison.json and curves.npz
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab.nn.metrics import Metric
from initlab.report.comparison import Comparison
from initlab.report.formatting import describe_ending
from initlab.report.plain import comparison_object, finite, setting_rows
from initlab.report.speed import MEASURED, loss_area
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


def write_comparison(comparison: Comparison, file: Path, every_pair: bool = False) -> None:
    """Write `comparison_object` as JSON, in which numbers that are not finite are null."""
    content = finite(comparison_object(comparison, every_pair))
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8", errors="replace")


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
