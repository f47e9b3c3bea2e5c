"""The numbers of a report as files for other programs: results.csv and curves.npz."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from initlab.nn.metrics import Metric
from initlab.report.comparison import Comparison
from initlab.report.formatting import describe_ending
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
    "steps",
    "seconds",
)


def write_results(comparison: Comparison, file: Path) -> None:
    """Write a row for each trial: its outcome, the keys that vary, and its final numbers.

    train_loss is the mean of the last hundred steps; for model=quadratic, the last f.
    """
    keys = {key: f"params.{key}" if key in ABOUT + FINAL else key for key in comparison.varies}
    with file.open("w", newline="", encoding="utf-8", errors="replace") as opened:
        writer = csv.writer(opened)
        writer.writerow([*ABOUT, *map(plain_cell, keys.values()), *FINAL])
        for run in comparison.runs:
            reason = run.reason if run.ended_step is None else describe_ending(run)
            steps = max((int(curve.steps[-1]) for curve in run.curves.values()), default=None)
            final = (
                run.loss,
                run.metrics.get(Metric.VALIDATION_LOSS),
                run.metrics.get(Metric.TEST_LOSS),
                run.metrics.get(Metric.TRAIN_ACCURACY),
                run.validation,
                run.accuracy,
                steps,
                run.seconds,
            )
            params = (run.params.get(key, "") for key in keys)
            texts = (run.run_id, run.name, run.outcome, run.verdict, reason, *params)
            writer.writerow([*map(plain_cell, texts), *final])


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
