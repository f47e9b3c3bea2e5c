"""Runs as a store holds them, read into memory."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from initlab.nn.metrics import Metric
from initlab.process import gc_paused
from initlab.text import printable
from initlab.tracking import sqlite
from initlab.tracking.artifacts import open_artifact
from initlab.tracking.names import Outcome, Status, Tag
from initlab.tracking.queries import RunsError, find_runs
from initlab.tracking.record import PROFILES, RECENT

if TYPE_CHECKING:  # MLflow takes a second to import; whoever has a client has done so
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

CONNECTIONS = 8  # to a server at once
MANY = 1000  # runs; of more, histograms are read only of those that are drawn
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

Histograms = Mapping[str, NDArray[np.generic]]
Points = Mapping[str, Sequence[tuple[int, float]]]  # (step, value) pairs by metric


@dataclass(frozen=True)
class Curve:
    """One metric of a run by step, ascending: steps (S,) and values (S,), all finite."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.steps)


@dataclass(frozen=True, eq=False)
class Run:
    """One run as its store holds it, all text of it `printable`.

    outcome     finished, diverged, pruned (by a search), failed, killed or running
    verdict     one word, "" where there is none
    reason      why a failed run failed, in one line, else ""
    seconds     from its start to its end, None while it is running
    params      choices (init → he) and settings (init.scale → 2.0), as typed
    metrics     the last value of each metric, if finite
    curves      by metric, those of CURVES: f, x and y of a descent, the others of a network
    histograms  the arrays of histograms.npz, empty where it left none
    ended_step  the step at which it diverged or was pruned, None for any other
    depth_scale ξ_c in layers, as predicted; infinite at the edge of chaos, None where unknown
    examples    how many examples the accuracies are of, by metric, where it is known
    searched    whether a search chose its settings
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
    histograms: Histograms = field(default_factory=dict)
    ended_step: int | None = None
    depth_scale: float | None = None
    examples: dict[str, int] = field(default_factory=dict)
    searched: bool = False

    @cached_property
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
    def word(self) -> str:
        """The verdict of a run that ended by itself, else its outcome."""
        return self.verdict or self.outcome if self.outcome == Outcome.FINISHED else self.outcome


class LateHistograms(Histograms):
    """The arrays of histograms.npz, read when they are first asked for."""

    def __init__(self, read: Callable[[], Histograms]) -> None:
        self.read = read

    @cached_property
    def arrays(self) -> Histograms:
        """The arrays, from now on in memory."""
        return self.read()

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


def read(client: MlflowClient, run_ids: Sequence[str], curves: Sequence[str] = CURVES) -> list[Run]:
    """Read runs, each once, in the order of their ids; raises `RunsError` for an unknown one.

    curves  the metrics of which all steps are read

    A run of 1,000 steps takes about 3 ms from a SQLite database, and 60 ms from a server beside it.
    """
    found = find_runs(client, run_ids := [*dict.fromkeys(run_ids)])
    for run_id in run_ids:
        if run_id not in found:
            raise RunsError(f"{run_id}: there is no such run, or it is deleted")
    return read_found(client, [found[run_id] for run_id in run_ids], curves)


def read_found(
    client: MlflowClient, runs: Sequence[TrackedRun], curves: Sequence[str] = CURVES
) -> list[Run]:
    """Read runs that MLflow has found, in their order, as `read` does."""
    one = partial(read_one, client, curves=curves, late=len(runs) > MANY)
    database = sqlite.path_of(client.tracking_uri)
    if database:
        with sqlite.known_tables(database) as tables, gc_paused():
            made = [
                one(run, points=sqlite.metric_histories(tables, run.info.run_id, curves))
                for run in runs
            ]
    else:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            made = list(pool.map(one, runs))
    share_steps(made)
    return made


def share_steps(runs: Sequence[Run]) -> None:
    """Let curves with the same steps have one array of them, which halves their memory."""
    known: dict[bytes, NDArray[np.int64]] = {}
    for run in runs:
        for name, curve in run.curves.items():
            steps = known.setdefault(curve.steps.tobytes(), curve.steps)
            run.curves[name] = Curve(steps, curve.values)


def read_one(
    client: MlflowClient,
    run: TrackedRun,
    points: Points | None = None,
    curves: Sequence[str] = CURVES,
    late: bool = False,
) -> Run:
    """Read a run; the client is asked for the points of its curves where they are not known.

    late  whether its histograms are read only when they are asked for
    """
    if points is None:
        points = histories_from_client(client, run, curves)
    histograms = partial(read_histograms, client, run)
    return make_run(run, make_curves(points), LateHistograms(histograms) if late else histograms())


def make_run(run: TrackedRun, curves: dict[str, Curve], histograms: Histograms) -> Run:
    """Make a run of what MLflow returns; one without params has its name as a param."""
    info, tags = run.info, run.data.tags
    name = printable(info.run_name or info.run_id)
    params = {printable(key): printable(value) for key, value in run.data.params.items()}
    metrics = {name: value for name, value in run.data.metrics.items() if is_finite_metric(value)}
    outcome = outcome_of(run)
    ended_step = None
    if outcome == Outcome.DIVERGED and Metric.DIVERGED_STEP in metrics:
        ended_step = round(metrics[Metric.DIVERGED_STEP])
    if outcome == Outcome.PRUNED and curves:
        ended_step = max(int(curve.steps[-1]) for curve in curves.values())
    return Run(
        printable(info.run_id),
        name,
        outcome,
        printable(tags.get(Tag.VERDICT, "")),
        printable(tags.get(Tag.ERROR, "").partition("\n")[0]),
        seconds_of(run),
        params or {"name": name},
        metrics,
        curves,
        histograms,
        ended_step,
        depth_scale_of(tags),
        examples_of(tags),
        bool(tags.get(Tag.STUDY)),
    )


def depth_scale_of(tags: Mapping[str, str]) -> float | None:
    """Return the depth scale in a run's tags, None if it is missing, unknown or edited."""
    try:
        found = float(tags.get(Tag.DEPTH_SCALE, "nan"))
    except ValueError:
        return None
    return found if found >= 0 else None  # nan is not


def examples_of(tags: Mapping[str, str]) -> dict[str, int]:
    """Return how many examples the accuracies are of, as far as tags say."""
    named = {
        Metric.TEST_ACCURACY: Tag.TEST_EXAMPLES,
        Metric.VALIDATION_ACCURACY: Tag.VALIDATION_EXAMPLES,
    }
    texts = {metric: tags.get(tag, "") for metric, tag in named.items()}
    return {metric: int(text) for metric, text in texts.items() if text.isdecimal() and text > "0"}


def seconds_of(run: TrackedRun) -> float | None:
    """Return how long a run took; None for one that goes on, or whose clock was set back."""
    start, end = run.info.start_time, run.info.end_time
    return (end - start) / 1000 if end and end >= start else None


def outcome_of(run: TrackedRun) -> Outcome:
    """Return how a run ended, by its status and the tag that it left."""
    tagged = run.data.tags.get(Tag.OUTCOME)
    if run.info.status == Status.FINISHED:
        return Outcome.DIVERGED if tagged == Outcome.DIVERGED else Outcome.FINISHED
    if run.info.status == Status.KILLED:
        return Outcome.PRUNED if tagged == Outcome.PRUNED else Outcome.KILLED
    return Outcome.FAILED if run.info.status == Status.FAILED else Outcome.RUNNING


def is_finite_metric(value: object) -> bool:
    """Return whether a value of a metric is finite; an edited SQLite database may have texts."""
    return isinstance(value, float) and abs(value) < INFINITE


def make_curve(points: Sequence[tuple[int, float]]) -> Curve | None:
    """Make a curve of steps and values in order; the last value of a step counts."""
    steps, numbers = zip(*points) if points else ((), ())
    found = np.array(numbers)
    if found.dtype == np.float64 and found.size and np.abs(found).max() < INFINITE:
        at = np.array(steps, np.int64)
        if (np.diff(at) > 0).all():  # as usual: a value a step
            return Curve(at, found)
    values = {step: value for step, value in points if is_finite_metric(value)}
    if not values:
        return None
    return Curve(np.array([*values], np.int64), np.array([*values.values()], np.float64))


def make_curves(points: Points) -> dict[str, Curve]:
    """Return a curve of each metric that has a finite value."""
    found = {name: make_curve(values) for name, values in points.items()}
    return {name: made for name, made in found.items() if made}


def histories_from_client(client: MlflowClient, run: TrackedRun, curves: Sequence[str]) -> Points:
    """Return the (step, value) pairs of each curve of a run, one query each."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name in curves:
        if name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            history.sort(key=lambda metric: (metric.step, metric.timestamp))
            found[name] = [(metric.step, metric.value) for metric in history]
    return found


def read_histograms(client: MlflowClient, run: TrackedRun) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of histograms.npz, none if the run has no such file or a damaged one."""
    with open_artifact(client, run, "histograms.npz") as file:
        if file is None:
            return {}
        # NumPy has an exception of its own for each way in which a file can be damaged.
        with contextlib.suppress(Exception), file.open("rb") as opened:
            arrays = dict(np.load(opened, allow_pickle=False))
            return arrays if are_histograms(arrays) else {}
    return {}


def are_histograms(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether arrays are such as `Record.histograms` makes."""
    steps = arrays["steps"]
    profiles = {key for key in arrays if key.partition("/")[0] in PROFILES}
    for key in profiles:
        rows = len(steps) if key.endswith("/measured") else 3
        if arrays[key].dtype.kind != "f" or arrays[key].ndim != 2 or len(arrays[key]) != rows:
            return False
    arrays = {key: array for key, array in arrays.items() if key not in profiles}
    if not (steps.dtype.kind == "i" and steps.ndim == 1 and len(steps)):
        return False
    for name in {key.partition("/")[0] for key in arrays} - {"steps"}:
        edges, counts = arrays[f"{name}/edges"], arrays[f"{name}/counts"]
        if not (
            edges.dtype.kind == "f" and np.isfinite(edges).all() and (np.diff(edges) > 0).all()
        ):
            return False
        if counts.dtype.kind != "i" or counts.shape[::2] != (len(steps), len(edges) + 1):
            return False
        if (counts < 0).any() or not counts.sum(axis=-1).all():
            return False
    return True
