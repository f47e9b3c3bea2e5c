"""Runs of a store: which they are, and what they hold."""

from __future__ import annotations

import contextlib
import csv
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from initlab.checks import UserError
from initlab.nn.metrics import Metric
from initlab.tracking import sqlite
from initlab.tracking.names import Outcome, Role, Status, Tag
from initlab.tracking.record import RECENT

if TYPE_CHECKING:  # MLflow takes a second to import; whoever has a client has done so
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

PAGE = 1000  # runs of one search
IDS = 100  # named in one filter
SWEEPS = 5  # that are offered instead of one that there is not
CONNECTIONS = 8  # to a server at once
INFINITE = sys.float_info.max  # what a SQL store makes of an infinity

CURVES = (
    Metric.TRAIN_LOSS,
    Metric.F,
    Metric.X,
    Metric.Y,
    Metric.VALIDATION_LOSS,
    Metric.TEST_LOSS,
    Metric.TRAIN_ACCURACY,
    Metric.VALIDATION_ACCURACY,
    Metric.TEST_ACCURACY,
)


class RunsError(UserError):
    """There are no such runs, or the filter cannot be read."""


@dataclass(frozen=True)
class Curve:
    """One metric of a run by step, ascending: steps (S,) and values (S,), all finite."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run:
    """One run as its store holds it.

    outcome     finished, diverged, pruned (by a search), failed, killed or running
    verdict     one word, "" where there is none
    reason      why a failed run failed, in one line, else ""
    seconds     from its start to its end, None while it is running
    params      choices (init → he) and settings (init.scale → 2.0), as typed
    metrics     the last value of each metric, if finite
    curves      by metric, those of CURVES: f, x and y of a descent, the others of a network
    histograms  the arrays of histograms.npz, empty where it left none
    ended_step  the step at which it diverged or was pruned, None for any other
    """

    run_id: str
    name: str
    outcome: Outcome
    verdict: str = ""
    reason: str = ""
    seconds: float | None = None
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    histograms: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    ended_step: int | None = None

    @property
    def loss(self) -> float | None:
        """The mean training loss of the last hundred steps; of a descent, its last value."""
        if Metric.F in self.curves:
            return float(self.curves[Metric.F].values[-1])
        losses = self.curves.get(Metric.TRAIN_LOSS)
        return float(losses.values[-RECENT:].mean()) if losses else None

    @property
    def accuracy(self) -> float | None:
        """The last test accuracy."""
        return self.metrics.get(Metric.TEST_ACCURACY)

    @property
    def validation(self) -> float | None:
        """The last accuracy on the validation set, None where there is none."""
        return self.metrics.get(Metric.VALIDATION_ACCURACY)

    @property
    def path(self) -> NDArray[np.float64]:
        """The points of a descent, (S, 2), of anything else none: (0, 2)."""
        if not {Metric.X, Metric.Y} <= self.curves.keys():
            return np.empty((0, 2))
        x, y = self.curves[Metric.X], self.curves[Metric.Y]
        _, at_x, at_y = np.intersect1d(x.steps, y.steps, return_indices=True)
        return np.column_stack([x.values[at_x], y.values[at_y]])

    @property
    def score(self) -> float | None:
        """The accuracy that settings are chosen by: on the validation set, else the test set."""
        return self.accuracy if self.validation is None else self.validation

    @property
    def word(self) -> str:
        """The verdict of a run that ended by itself, else what became of it."""
        return self.verdict or self.outcome if self.outcome == "finished" else self.outcome


def named(client: MlflowClient, words: Sequence[str]) -> dict[str, list[str]]:
    """Return by the id of a sweep, or of a run, the ids of the runs that it stands for.

    words  ids of sweeps or of runs; that of the summary of a sweep stands for the sweep

    Raises `RunsError` for a word that is neither.
    """
    runs = find(client, words)
    found: dict[str, list[str]] = {}
    for word in words:
        tags = runs[word].data.tags if word in runs else {Tag.ROLE: Role.SUMMARY, Tag.SWEEP: word}
        if tags.get(Tag.ROLE) != Role.SUMMARY:
            found[word] = [word]
            continue
        sweep = tags.get(Tag.SWEEP, word)
        found[sweep] = of_sweep(client, sweep)
        if not found[sweep]:
            newest = client.search_runs(experiments(client), "tags.sweep != ''", max_results=IDS)
            sweeps = dict.fromkeys(run.data.tags[Tag.SWEEP] for run in newest)
            hint = f"\nThe newest sweeps: {', '.join([*sweeps][:SWEEPS])}" if sweeps else ""
            raise RunsError(f"{word}: there is no sweep and no run of this id{hint}")
    return found


def of_sweep(client: MlflowClient, sweep: str) -> list[str]:
    """Return the ids of the trials of a sweep, the oldest first, in whatever experiment they are.

    They are tagged with it; those that it took over from an earlier sweep stand in results.csv.
    """
    tagged = list(search(client, f"tags.sweep = {quoted(sweep)}"))
    taken = [
        run_id
        for run in tagged
        if run.data.tags.get(Tag.ROLE) == Role.SUMMARY
        for run_id in listed(client, run)
    ]
    known = {run.info.run_id for run in tagged}
    others = find(client, [run_id for run_id in taken if run_id not in known])
    return [run.info.run_id for run in latest([*tagged, *others.values()])]


def of_study(client: MlflowClient, experiment_id: str, study: str) -> list[str]:
    """Return the ids of the trials of a study, the oldest first, of whatever sweeps they are."""
    tagged = search(client, f"tags.study = {quoted(study)}", [experiment_id])
    return [run.info.run_id for run in latest([*tagged])]


def experiment_of(client: MlflowClient, sweep: str) -> str:
    """Return the published experiment that a sweep is of, "" for none."""
    tagged = search(client, f"tags.sweep = {quoted(sweep)} and tags.experiment != ''")
    return next((str(run.data.tags[Tag.EXPERIMENT]) for run in tagged), "")


def matching(client: MlflowClient, condition: str, experiment: str) -> list[str]:
    """Return the ids of the trials of an experiment that a filter of MLflow lets through.

    Raises `RunsError` if it cannot be read, or there is no such experiment.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = ", ".join(sorted(each.name for each in client.search_experiments()))
        raise RunsError(
            f"--experiment {experiment}: there is no such experiment.\nChoices: {names}"
        )
    try:
        runs = list(search(client, condition, [found.experiment_id]))
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        said = str(error).partition("\n")[0].removeprefix("INVALID_PARAMETER_VALUE: ")
        raise RunsError(
            f'--filter "{condition}": {said}\n'
            "Write it as in: --filter 'params.init = \"he\" and metrics.`test/loss` < 1'"
        ) from error
    return [run.info.run_id for run in latest(runs)]


def latest(runs: Sequence[TrackedRun]) -> list[TrackedRun]:
    """Return the trials among runs, the oldest first, less those that a later one replaces.

    Of finished trials of the same numbers the newest stays; of those that never finished, the
    newest, if no other of the same params did; none that was stopped before it had its params.
    """
    trials = [
        run
        for run in runs
        if run.data.tags.get(Tag.ROLE, Role.TRIAL) == Role.TRIAL
        and (
            run.data.params
            or run.info.status == Status.FINISHED
            or Tag.FINGERPRINT not in run.data.tags
        )
    ]
    trials.sort(key=begun)
    stay: dict[Any, TrackedRun] = {}
    done = set()
    for run in trials:
        mark = run.data.tags.get(Tag.FINGERPRINT)
        params = frozenset(run.data.params.items())
        if not mark:  # not of initlab
            stay[run.info.run_id] = run
        elif run.info.status == Status.FINISHED:
            stay[mark, params] = run
            done.add(params)
        else:
            stay[params] = run
    for params in done:
        stay.pop(params, None)
    return sorted(stay.values(), key=begun)


def begun(run: TrackedRun) -> int:
    """Return when a run began, in milliseconds."""
    return int(run.info.start_time or 0)


def listed(client: MlflowClient, summary: TrackedRun) -> list[str]:
    """Return the ids in results.csv of the summary of a sweep."""
    with artifact(client, summary, "results.csv") as file:
        if file is None:
            return []
        with file.open(newline="", encoding="utf-8") as opened:
            return [row["run_id"] for row in csv.DictReader(opened) if row.get("run_id")]


def search(
    client: MlflowClient, condition: str, within: Sequence[str] | None = None
) -> Iterator[TrackedRun]:
    """Yield the runs that a filter lets through, by default in all experiments."""
    place = experiments(client) if within is None else list(within)
    return pages(partial(client.search_runs, place, condition))


def experiments(client: MlflowClient) -> list[str]:
    """Return the ids of all experiments."""
    return [experiment.experiment_id for experiment in pages(client.search_experiments)]


def pages(ask: Callable[..., Any]) -> Iterator[Any]:
    """Yield all that a search finds, page by page."""
    token = None
    while True:
        page = ask(max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def quoted(text: str) -> str:
    """Return a text as it stands in a filter, which has no way to write both kinds of quotes."""
    if "'" in text and '"' in text:
        raise RunsError(f"{text}: there is nothing of this name")
    return f'"{text}"' if "'" in text else f"'{text}'"


def find(
    client: MlflowClient, run_ids: Sequence[str], within: Sequence[str] | None = None
) -> dict[str, TrackedRun]:
    """Return by id those of the runs that there are, by default in all experiments."""
    found = {}
    for first in range(0, len(run_ids), IDS):
        named = ", ".join(map(quoted, run_ids[first : first + IDS]))
        for run in search(client, f"attributes.run_id IN ({named})", within):
            found[run.info.run_id] = run
    return found


def read(client: MlflowClient, run_ids: Sequence[str]) -> list[Run]:
    """Read runs, each once, in the order of their ids; raises `RunsError` for an unknown one.

    A run of 1,000 steps takes about 6 ms from a SQLite database, and 60 ms from a server beside it.
    """
    found = find(client, run_ids := [*dict.fromkeys(run_ids)])
    for run_id in run_ids:
        if run_id not in found:
            raise RunsError(f"{run_id}: there is no such run, or it is deleted")
    runs = [found[run_id] for run_id in run_ids]
    database = sqlite.path_of(client.tracking_uri)
    if database and (points := sqlite.metric_histories(database, run_ids, CURVES)):
        return [
            run_of(run, curves_of(points[run.info.run_id]), histograms(client, run)) for run in runs
        ]

    def ask(run: TrackedRun) -> Run:
        return run_of(run, curves_of(asked(client, run)), histograms(client, run))

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(ask, runs))


def run_of(
    run: TrackedRun, curves: dict[str, Curve], histograms: dict[str, NDArray[np.generic]]
) -> Run:
    """Return a run of the store as one to compare; one without params has its name as a param."""
    info, tags = run.info, run.data.tags
    metrics = {name: value for name, value in run.data.metrics.items() if abs(value) < INFINITE}
    outcome = outcome_of(run)
    ended_step = None
    if outcome == Outcome.DIVERGED and Metric.DIVERGED_STEP in metrics:
        ended_step = round(metrics[Metric.DIVERGED_STEP])
    if outcome == Outcome.PRUNED and curves:
        ended_step = max(int(curve.steps[-1]) for curve in curves.values())
    return Run(
        info.run_id,
        info.run_name or info.run_id,
        outcome,
        tags.get(Tag.VERDICT, ""),
        tags.get(Tag.ERROR, "").partition("\n")[0],
        (info.end_time - info.start_time) / 1000 if info.end_time else None,
        dict(run.data.params) or {"name": info.run_name or info.run_id},
        metrics,
        curves,
        histograms,
        ended_step,
    )


def outcome_of(run: TrackedRun) -> Outcome:
    """Return how a run ended, by its status and the tag that it left."""
    tagged = run.data.tags.get(Tag.OUTCOME)
    if run.info.status == Status.FINISHED:
        return Outcome.DIVERGED if tagged == Outcome.DIVERGED else Outcome.FINISHED
    if run.info.status == Status.KILLED:
        return Outcome.PRUNED if tagged == Outcome.PRUNED else Outcome.KILLED
    return Outcome.FAILED if run.info.status == Status.FAILED else Outcome.RUNNING


def curve(points: Sequence[tuple[int, float]]) -> Curve | None:
    """Make a curve of steps and values in order; the last value of a step counts."""
    values = {step: value for step, value in points if abs(value) < INFINITE}
    if not values:
        return None
    return Curve(np.array([*values], np.int64), np.array([*values.values()], np.float64))


def curves_of(points: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, Curve]:
    """Return a curve of each metric that has a finite value."""
    found = {name: curve(values) for name, values in points.items()}
    return {name: made for name, made in found.items() if made}


def asked(client: MlflowClient, run: TrackedRun) -> dict[str, list[tuple[int, float]]]:
    """Return the (step, value) pairs of each curve of a run, asking for one after the other."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name in CURVES:
        if name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            history.sort(key=lambda metric: (metric.step, metric.timestamp))
            found[name] = [(metric.step, metric.value) for metric in history]
    return found


def histograms(client: MlflowClient, run: TrackedRun) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of histograms.npz, none if the run has no such file or a damaged one."""
    with artifact(client, run, "histograms.npz") as file:
        if file is None:
            return {}
        # NumPy has an exception of its own for each way in which a file can be damaged.
        with contextlib.suppress(Exception), file.open("rb") as opened:
            return dict(np.load(opened, allow_pickle=False))
    return {}


@contextlib.contextmanager
def artifact(client: MlflowClient, run: TrackedRun, name: str) -> Iterator[Path | None]:
    """Give the path of a file of a run, None if it has none of this name."""
    place = run.info.artifact_uri
    if urlsplit(place).scheme in ("", "file"):  # 20 times faster than to have MLflow copy it
        folder = url2pathname(urlsplit(place).path) if place.startswith("file:") else place
        file = Path(folder, name)
        yield file if file.is_file() else None
        return
    from mlflow.artifacts import download_artifacts  # asks half as often as the client's own

    with tempfile.TemporaryDirectory() as scratch:
        try:
            copy = Path(
                download_artifacts(
                    artifact_uri=f"{place.rstrip('/')}/{name}",
                    dst_path=scratch,
                    tracking_uri=client.tracking_uri,
                )
            )
        except Exception:  # every kind of store has its own for a file that is not there
            copy = None
        yield copy
