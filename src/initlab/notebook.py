"""Notebook: runs of a store as tables and paired results, for code of one's own."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray

from initlab.checks import UserError
from initlab.config import PROJECT, Tracking
from initlab.nn.metrics import Metric, Quantity
from initlab.report.comparison import SEED, Comparison, Setting
from initlab.report.conclusions import conclusions, differing, evidence, short_name
from initlab.report.differences import Difference, Differences
from initlab.report.export import FINAL, final_numbers
from initlab.report.formatting import format_count, format_value
from initlab.report.plain import plain_difference
from initlab.report.score import Score, names_of_metrics
from initlab.report.speed import Level
from initlab.report.speed import smooth as running_mean
from initlab.report.table import table_of
from initlab.tracking.queries import resolve_ids, search_trials
from initlab.tracking.runs import CURVES, Run, read
from initlab.tracking.store import reading

if TYPE_CHECKING:
    from mlflow import MlflowClient

Columns = Mapping[str, NDArray[Any]]

MAX_ROWS = 30  # of a table that is shown
STEPS = "steps"  # to compare by, instead of a metric
COMPARED = [
    "better", "other", "difference", "low", "high", "p", "p_holm", "wins", "n", "tied"
]  # fmt: skip


def load(
    *ids: str | PathLike[str],
    uri: str | None = None,
    by: str | None = None,
    filter: str | None = None,  # noqa: A002
    experiment: str | None = None,
) -> Runs:
    """Read runs of a store.

    ids         sweeps, by their ids or folders, and runs by their ids
    uri         the store; by default $MLFLOW_TRACKING_URI, else mlflow.db in the project
    by          what settings are ranked by: a metric, such as test/accuracy or train/loss:min:best
    filter      instead of ids: a filter of MLflow, such as "params.init = 'he'"
    experiment  that the filter searches, by default that of the config

    Raises `UserError` for what does not exist and for a store that cannot be read.
    """
    if bool(ids) == (filter is not None):
        raise UserError('name sweeps or runs by their ids, as in load("<id>"), or give a filter=')
    try:
        with reading(uri, PROJECT) as client:
            run_ids = select(client, ids, filter, experiment or Tracking().experiment)
            runs = Runs(Comparison(read(client, run_ids)), client.tracking_uri)
    except UserError as error:
        raise type(error)(of_arguments(str(error))) from None
    return runs.ranked_by(by) if by else runs


def select(
    client: MlflowClient, ids: Sequence[str | PathLike[str]], condition: str | None, experiment: str
) -> list[str]:
    """Return the ids of the runs that `load` is asked for."""
    if condition is None:
        words = [str(word) for word in ids]
        found = resolve_ids(client, [Path(word).name or word for word in words])
        return [run_id for group in found.values() for run_id in group]
    run_ids = search_trials(client, condition, experiment)
    if not run_ids:
        raise UserError(f'--filter "{condition}": no trial of the experiment {experiment} matches')
    return run_ids


def of_arguments(message: str) -> str:
    """Return an error of the commands, which speaks of their options, in terms of arguments."""
    return re.sub(r"--(uri|filter|experiment|by)\b(?: (?!or\b))?", r"\1=", message)


@dataclass(frozen=True, eq=False, repr=False)
class PairedResult:
    """By how much one setting is better than another, seed by seed.

    better, other  the settings, as named in the table: init=he
    difference     by how much `better` is better: the mean over the seeds that both have, in the
                   unit of the metric (an accuracy is a share, 0.01 is a point); above 0 whichever
                   way the metric goes
    low, high      its 95 % interval by Student's t, None for a single seed
    p              two-sided p of the exact sign-flip test
    p_holm         the same, corrected for the number of pairs that were compared at once: one
    wins, n        how many of the n seeds `better` is better with
    tied           whether chance may explain the difference
    differences    the same difference for each seed: a Series by seed
    by             what was compared
    sentence       all this in words
    """

    better: str
    other: str
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    wins: int
    n: int
    tied: bool
    differences: pd.Series
    by: str
    sentence: str

    @property
    def seeds(self) -> list[int]:
        """The seeds that both settings have."""
        return [*self.differences.index]

    def __repr__(self) -> str:
        return self.sentence


class Runs:
    """Runs side by side.

    comparison  the same as the report has it: `varies`, `fixed`, `levels`, `ranked` and more
    """

    def __init__(self, comparison: Comparison, uri: str) -> None:
        self.comparison = comparison
        self._uri = uri

    def __len__(self) -> int:
        return len(self.comparison.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.comparison.runs)

    def __repr__(self) -> str:
        shown = self._table().to_string(index=False, max_rows=MAX_ROWS)
        return "\n".join([self._title, shown, *conclusions(self.comparison)])

    def _repr_html_(self) -> str:
        shown = self._table().to_html(index=False, border=0, max_rows=MAX_ROWS)
        words = " ".join(conclusions(self.comparison))
        return f"<p>{self._title}</p>\n{shown}\n<p>{html.escape(words)}</p>"

    @property
    def _title(self) -> str:
        count = format_count(len(self), "run")
        return f"{count} of {format_count(len(self.settings), 'setting')}"

    def _table(self) -> pd.DataFrame:
        """Return the table of settings as texts."""
        columns = table_of(self.comparison, self.settings).columns
        rows = zip(*(map(str, column.cells) for column in columns))
        return pd.DataFrame(rows, columns=[column.title for column in columns])

    @property
    def settings(self) -> list[Setting]:
        """The settings, best first; the runs of each differ only in their seed."""
        return self.comparison.ranked

    def ranked_by(self, by: str) -> Runs:
        """Return the same runs, ranked by a metric: test/loss, or train/loss:min:best."""
        runs = self.comparison.runs
        try:
            score = Score.parse(by)
            score.refuse_unknown(runs)
        except UserError as error:
            raise UserError(of_arguments(str(error))) from None
        if score.best and score.metric not in CURVES:
            runs = self._read([*CURVES, score.metric])
        return Runs(Comparison(runs, by=score), self._uri)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each run.

        The columns are its id, name, setting, outcome, verdict and reason; the keys that vary; the
        numbers of results.csv (`train_loss` is the mean of the last hundred steps; `steps_to_loss`
        and `steps_to_accuracy` count those to `comparison.levels`, inf for a run that never passes
        one); all other params; and the last value of every metric under its own name.
        """
        comparison = self.comparison
        runs = comparison.runs
        columns: dict[str, Any] = {
            "run_id": [run.run_id for run in runs],
            "name": [run.name for run in runs],
            "setting": self._names,
            "outcome": [str(run.outcome) for run in runs],
            "verdict": pd.Series([run.verdict or None for run in runs], dtype="str"),
            "reason": pd.Series([run.reason or None for run in runs], dtype="str"),
        }

        def add(name: str, kind: str, values: pd.Series) -> None:
            columns[name if name not in (*columns, *FINAL) else f"{kind}.{name}"] = values

        for key in comparison.varies:
            add(key, "params", self._param(key))
        final = [final_numbers(comparison, run) for run in runs]
        columns |= {name: numbers(each) for name, each in zip(FINAL, zip(*final))}
        for key in dict.fromkeys(key for run in runs for key in run.params):
            if key not in comparison.varies:
                add(key, "params", self._param(key))
        for metric in sorted({name for run in runs for name in run.metrics}):
            add(metric, "metrics", numbers([run.metrics.get(metric) for run in runs]))
        return pd.DataFrame(columns)

    def curves(self, metric: str = Metric.TRAIN_LOSS, smooth: bool = False) -> pd.DataFrame:
        """Return a metric of all runs by step, in long form.

        The columns are run_id, setting, the keys that vary, seed, step and value. Runs that do not
        have the metric are left out.

        metric  any that a run has recorded, such as test/accuracy or unit_std/layer_1
        smooth  whether to take the running mean over a fiftieth of a run, as charts do; of
                train/loss alone, for all others are measured on many examples
        """
        metric = str(metric)
        runs = self.comparison.runs if metric in CURVES else self._read([metric])
        parts: dict[int, Columns] = {}
        for place, run in enumerate(runs):
            if curve := run.curves.get(metric):
                drawn = running_mean(curve, metric) if smooth else (curve.steps, curve.values)
                parts[place] = dict(zip(("step", "value"), drawn))
        if not parts:
            raise unknown("metric", metric, "metric", names_of_metrics(runs))
        return self._long(parts)

    def histograms(
        self, quantity: str = Quantity.ACTIVATIONS, step: int | None = None
    ) -> pd.DataFrame:
        """Return the histograms of all runs, a row for each bin.

        The columns are run_id, setting, the keys that vary, seed, step, layer (from 1), low, high
        and count. The first bin of a layer begins at -inf and the last ends at inf: they count what
        lies beyond the edges, so that the counts of a layer add up to all its values.

        quantity  activations, weights, or gradients, whose edges are log10 of |∂loss/∂z|
        step      one of the steps that were recorded (`train.snapshots`), by default all
        """
        runs = self.comparison.runs
        edges, counts = f"{quantity}/edges", f"{quantity}/counts"
        having = {
            place: run.histograms for place, run in enumerate(runs) if edges in run.histograms
        }
        if not having:
            known = [each for each in Quantity for run in runs if f"{each}/edges" in run.histograms]
            raise unknown("quantity", quantity, "histogram", dict.fromkeys(known))
        recorded = sorted({int(each) for arrays in having.values() for each in arrays["steps"]})
        if step is not None and step not in recorded:
            raise unknown("step", step, "step", map(str, recorded))
        parts: dict[int, Columns] = {}
        for place, arrays in having.items():
            taken = np.flatnonzero((arrays["steps"] == step) | (step is None))
            made = arrays[counts][taken]
            snapshot, layer, cell = np.indices(made.shape).reshape(3, -1)
            parts[place] = {
                "step": arrays["steps"][taken][snapshot],
                "layer": layer + 1,
                "low": np.r_[-np.inf, arrays[edges]][cell],
                "high": np.r_[arrays[edges], np.inf][cell],
                "count": made.ravel(),
            }
        return self._long(parts)

    @overload
    def compare(self, *, by: str | None = None) -> pd.DataFrame: ...

    @overload
    def compare(self, one: str, other: str, *, by: str | None = None) -> PairedResult: ...

    def compare(
        self, one: str | None = None, other: str | None = None, *, by: str | None = None
    ) -> PairedResult | pd.DataFrame:
        """Compare two settings seed by seed, or without names all others with the best.

        one, other  as named in the table, init=he activation=relu, or as much of it as tells the
                    setting from all others: he
        by          a metric, as for `load`, or "steps": those to the first of `comparison.levels`

        Two settings give a `PairedResult`. Without names there is a row for each setting but the
        best, with the same numbers, and p_holm is corrected for the number of rows.
        """
        runs = self.ranked_by(by) if by and by != STEPS else self
        level = self._level if by == STEPS else None
        differences = (
            Differences.in_steps(runs.comparison, level)
            if level
            else Differences.in_score(runs.comparison)
        )
        if one is None and other is None:
            rows = [plain_difference(each) for each in differences.from_best.values()]
            return pd.DataFrame(rows, columns=COMPARED)
        if one is None or other is None:
            raise UserError("name two settings, or none to compare all with the best")
        pair = runs._setting(one), runs._setting(other)
        refuse_unpaired(differences, *pair)
        return runs._result(differences, differences.between([pair])[pair], level)

    @property
    def _level(self) -> Level:
        """The level to which steps are counted."""
        if not self.comparison.levels:
            raise UserError(f"by={STEPS}: no setting learns, so that there is no level to reach")
        return self.comparison.levels[0]

    def _result(
        self, differences: Differences, found: Difference, level: Level | None
    ) -> PairedResult:
        """Return a difference as an object that stands for itself."""
        better, other = (differences.values[each] for each in (found.better, found.other))
        sign = 1 if differences.higher else -1
        gains = {seed: sign * (better[seed] - other[seed]) for seed in better if seed in other}
        seeds = pd.Index([int(seed) if seed.isdecimal() else seed for seed in gains], name=SEED)
        series = pd.Series([*gains.values()], seeds, name="difference", dtype="float64")
        said = fewer_steps(self.comparison, level, found) if level else ""
        return PairedResult(
            **plain_difference(found),
            differences=series.sort_index(),
            by=f"steps to {level.text}" if level else self.comparison.by.title,
            sentence=f"{said or differing(self.comparison, found)}.",
        )

    def _setting(self, name: str) -> Setting:
        """Return the setting of a name, or of a part of a name that no other setting has."""
        settings = self.settings
        for setting in settings:
            if setting.name == name:
                return setting
        wanted = {*name.split()}
        found = [setting for setting in settings if wanted and wanted <= words_of(setting)]
        if len(found) == 1:
            return found[0]
        names = [setting.name for setting in found or settings]
        if found:
            raise UserError(f"{name}: {len(found)} settings have this: {', '.join(names)}")
        raise unknown("setting", name, "setting", names)

    @property
    def _names(self) -> list[str]:
        """The name of the setting of each run."""
        names = {run: each.name for each in self.comparison.settings for run in each.runs}
        return [names[run] for run in self.comparison.runs]

    def _param(self, key: str) -> pd.Series:
        """Return a param of all runs, as numbers or truth values where it has no other."""
        return typed([run.params.get(key) for run in self.comparison.runs])

    def _long(self, parts: Mapping[int, Columns]) -> pd.DataFrame:
        """Return columns below each other, with what identifies the run in front.

        parts  the columns of runs by their place
        """
        runs, names = self.comparison.runs, [*next(iter(parts.values()))]
        columns = {"run_id": [run.run_id for run in runs], "setting": self._names}
        seeded = any(SEED in run.params for run in runs)
        for key in [*self.comparison.axes, *[SEED] * seeded]:
            columns[f"params.{key}" if key in (*columns, *names) else key] = self._param(key)
        lengths = [len(part[names[0]]) for part in parts.values()]
        frame = pd.DataFrame(columns).iloc[np.repeat([*parts], lengths)].reset_index(drop=True)
        for name in names:
            frame[name] = np.concatenate([part[name] for part in parts.values()])
        return frame

    def _read(self, curves: Sequence[str]) -> list[Run]:
        """Read the runs again with these curves, in the same order."""
        with reading(self._uri, PROJECT) as client:
            return read(client, [run.run_id for run in self.comparison.runs], curves)


def typed(texts: Sequence[str | None]) -> pd.Series:
    """Return params as numbers or truth values, if they all are; what is missing is NaN or NA."""
    known = [None if text == "null" else text for text in texts]
    if {*known} <= {"true", "false", None} and any(known):
        truths = [None if text is None else text == "true" for text in known]
        return pd.Series(truths, dtype="boolean" if None in truths else "bool")
    try:
        return numbers([None if text is None else number(text) for text in known])
    except ValueError:
        return pd.Series(known, dtype="str")


def number(text: str) -> float:
    """Return the number that a text is, an integer where it is one; else raises `ValueError`."""
    if "_" in text:  # which Python would read over
        raise ValueError(text)
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else float(text)


def numbers(values: Sequence[float | None]) -> pd.Series:
    """Return numbers as integers, if all are integers, else as floats with NaN for None."""
    whole = bool(values) and all(isinstance(value, int) for value in values)
    return pd.Series([*values], dtype="int64" if whole else "float64")


def words_of(setting: Setting) -> set[str]:
    """Return all by which a setting may be called: init=he, and he alone."""
    values = [*setting.values.items()]
    bare = {word for _, value in values for word in (value, format_value(value))}
    named = {f"{key}={word}" for key, value in values for word in (value, format_value(value))}
    return bare | named | {setting.name}


def refuse_unpaired(differences: Differences, one: Setting, other: Setting) -> None:
    """Raise `UserError` for two settings that cannot be compared seed by seed."""
    names = f"{one.name} and {other.name}"
    if one is other:
        raise UserError(f"{names} are the same setting")
    if one.data != other.data:
        raise UserError(f"{names} are on different data, so that they cannot be compared")
    for setting in (one, other):
        if setting not in differences.values:
            raise UserError(f"{setting.name}: none of its runs finished with a number to compare")
    if not differences.values[one].keys() & differences.values[other].keys():
        raise UserError(f"{names} share no seed, so that they cannot be compared in pairs")


def fewer_steps(comparison: Comparison, level: Level, difference: Difference) -> str:
    """Say how many steps earlier one setting reaches a level, and how sure that is."""
    paired = difference.paired
    names = [short_name(comparison, each) for each in (difference.better, difference.other)]
    low, high = (f"{each or 0.0:,.1f}" for each in (paired.low, paired.high))
    return (
        f"{names[0]} reaches {level.text} {paired.difference:,.1f} steps before {names[1]} "
        f"(95 % {low} to {high}, {evidence(paired)}){', which may be chance' * paired.tied}"
    )


def unknown(argument: str, value: object, noun: str, names: Iterable[str]) -> UserError:
    """Return the error for something that the runs do not have."""
    choices = ", ".join(names) or "none"
    return UserError(f"{argument}={value}: no run has this {noun}\nChoices: {choices}")
