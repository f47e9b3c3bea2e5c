"""Comparison: many runs, what varies between them, and which setting did best."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from initlab.checks import UserError
from initlab.config import GROUPS
from initlab.record import RECENT

if TYPE_CHECKING:  # MLflow takes a second to import; whoever has a client has done so
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

CURVES = ("train/loss", "f", "test/loss", "train/accuracy", "test/accuracy")
UNFINISHED = {"FAILED": "failed", "KILLED": "killed"}  # any other is running
PAGE = 1000  # runs of one search
IDS = 100  # named in one filter
SWEEPS = 5  # that are offered instead of one that there is not
CONNECTIONS = 8  # to a server at once
INFINITE = sys.float_info.max  # what a SQL store makes of an infinity

# With tqdm installed MLflow would draw a bar for each file.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


class ComparisonError(UserError):
    """There are no such runs, or the filter cannot be read."""


@dataclass(frozen=True)
class Curve:
    """One metric of a run by step, ascending: steps (S,) and values (S,), all finite."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run:
    """One run as its store holds it.

    outcome     finished, diverged, failed, killed or running
    verdict     one word, "" where there is none
    reason      in one line, what a failed run died of or where one diverged, else ""
    seconds     from its start to its end, None while it is running
    params      choices (init → he) and settings (init.scale → 2.0), as typed
    metrics     the last value of each metric, if finite
    curves      by metric: train/loss (of a descent: f), test/loss, train/accuracy, test/accuracy
    histograms  the arrays of histograms.npz, empty where it left none
    """

    run_id: str
    name: str
    outcome: str
    verdict: str = ""
    reason: str = ""
    seconds: float | None = None
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    histograms: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def loss(self) -> float | None:
        """The mean training loss of the last hundred steps; of a descent, its last value."""
        if "f" in self.curves:
            return float(self.curves["f"].values[-1])
        losses = self.curves.get("train/loss")
        return float(losses.values[-RECENT:].mean()) if losses else None

    @property
    def accuracy(self) -> float | None:
        """The last test accuracy."""
        return self.metrics.get("test/accuracy")

    @property
    def word(self) -> str:
        """The verdict of a run that ended by itself, else what became of it."""
        return self.verdict or self.outcome if self.outcome == "finished" else self.outcome


@dataclass(frozen=True)
class Spread:
    """The mean of some runs and their standard deviation, None of a single one."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Return the spread of the values there are, None where there are none."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        return cls(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None)


@dataclass(frozen=True, eq=False)
class Setting:
    """The runs that differ in their seed alone.

    number  of the setting in the comparison, from 0, which fixes its colour
    values  what varies, but for the seed: key → value
    """

    number: int
    values: dict[str, str]
    runs: list[Run]

    @property
    def name(self) -> str:
        """What it is, as typed; of the only setting, the name of its first run, less the seed."""
        first = self.runs[0]
        chosen = (f"{group}={first.params[group]}" for group in GROUPS if group in first.params)
        return (
            " ".join(f"{key}={value}" for key, value in self.values.items())
            or re.sub(r"(^| )seed=\S*", "", first.name).strip()
            or next(chosen, first.name)
        )

    @property
    def finished(self) -> list[Run]:
        """The runs that came to their end without diverging."""
        return [run for run in self.runs if run.outcome == "finished"]

    @property
    def loss(self) -> Spread | None:
        """The final training loss of the runs that finished."""
        return Spread.of(run.loss for run in self.finished)

    @property
    def accuracy(self) -> Spread | None:
        """The final test accuracy of the runs that finished."""
        return Spread.of(run.accuracy for run in self.finished)

    @property
    def seconds(self) -> Spread | None:
        """What a run took, whatever became of it."""
        return Spread.of(run.seconds for run in self.runs)

    @property
    def word(self) -> str:
        """The word of its runs, such as healthy; where they differ, 2 healthy, 1 diverged."""
        words = Counter(run.word for run in self.runs).most_common()
        if len(words) == 1:
            return words[0][0]
        return ", ".join(f"{count} {word}" for word, count in words)


class Comparison:
    """Runs side by side.

    runs      in the order of what varies: numbers by size, names by the alphabet
    varies    the keys that differ between them, `seed` last
    fixed     what is the same in all: key → value
    settings  the runs grouped by all that varies but the seed, in the order of `runs`
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.varies = varying([run.params for run in runs])
        self.runs = sorted(
            runs, key=lambda run: [natural(run.params.get(key, "")) for key in self.varies]
        )
        first = runs[0].params if runs else {}
        self.fixed = {
            key: value
            for key, value in first.items()
            if all(run.params.get(key) == value for run in runs)
        }
        grouped: dict[tuple[str, ...], list[Run]] = {}
        axes = [key for key in self.varies if key != "seed"]
        for run in self.runs:
            grouped.setdefault(tuple(run.params.get(key, "") for key in axes), []).append(run)
        self.settings = [
            Setting(number, {key: value for key, value in zip(axes, values) if value}, members)
            for number, (values, members) in enumerate(grouped.items())
        ]

    @cached_property
    def data(self) -> list[str]:
        """What the runs learn from, "" for a function: of different data, none is the better."""
        return [*dict.fromkeys(run.params.get("data", "") for run in self.runs)]

    @property
    def rates(self) -> dict[str, str]:
        """The learning rate of each optimizer, where that differs with it."""
        if "optimizer" not in self.varies or "optimizer.lr" in self.varies:
            return {}
        params = [run.params for run in self.runs if "optimizer.lr" in run.params]
        found = {each["optimizer"]: each["optimizer.lr"] for each in params}
        return found if len({*found.values()}) > 1 else {}

    @cached_property
    def ranked(self) -> list[Setting]:
        """The settings, best first: by test accuracy, then by loss; failures come last.

        Where nothing was trained, by how many runs are healthy. Those of the same data follow each
        other.
        """

        def place(setting: Setting) -> tuple[int, bool, float, float, int]:
            accuracy, loss = setting.accuracy, setting.loss
            return (
                self.data.index(setting.runs[0].params.get("data", "")),
                not setting.finished,
                -accuracy.mean if accuracy else 0.0,
                loss.mean if loss else np.inf,
                -sum(run.verdict == "healthy" for run in setting.finished),
            )

        return sorted(self.settings, key=place)


def varying(params: Sequence[dict[str, str]]) -> list[str]:
    """Return the keys whose values differ: groups, other keys, then seed.

    A setting of an option (init.scale) counts only where it differs within one choice of its group,
    for otherwise the choice (init) says it all. So it is with a key that some models do without.
    """
    keys = sorted({key for each in params for key in each})
    differ = [key for key in keys if len({each.get(key) for each in params}) > 1]

    def told(key: str) -> bool:
        group = key.partition(".")[0]
        tellers = {group} & {*GROUPS}
        if any(key not in each for each in params):
            tellers.add("model")
        return any(follows(key, teller) for teller in tellers - {key})

    def follows(key: str, choice: str) -> bool:
        pairs = {(each.get(choice), each.get(key)) for each in params}
        return len(pairs) == len({chosen for chosen, _ in pairs})

    return ordered(key for key in differ if not told(key))


def ordered(keys: Iterable[str]) -> list[str]:
    """Sort keys as they are shown: the groups in their order, others, `seed` last."""
    ranks = {group: rank for rank, group in enumerate(GROUPS)}
    return sorted(keys, key=lambda key: (key == "seed", ranks.get(key, len(ranks)), key))


def natural(value: str) -> tuple[bool, list[float], str]:
    """Return what sorts numbers, and lists of numbers, by size and before names."""
    try:
        numbers = [float(item) for item in value.strip("[]").split(",")]
    except ValueError:
        return True, [], value
    return (False, numbers, value) if np.isfinite(numbers).all() else (True, [], value)


def named(client: MlflowClient, words: Sequence[str]) -> dict[str, list[str]]:
    """Return by the id of a sweep, or of a run, the ids of the runs that it stands for.

    words  ids of sweeps or of runs; that of the summary of a sweep stands for the sweep

    Raises `ComparisonError` for a word that is neither.
    """
    runs = find(client, words)
    found: dict[str, list[str]] = {}
    for word in words:
        tags = runs[word].data.tags if word in runs else {"role": "summary", "sweep": word}
        if tags.get("role") != "summary":
            found[word] = [word]
            continue
        sweep = tags.get("sweep", word)
        found[sweep] = of_sweep(client, sweep)
        if not found[sweep]:
            newest = client.search_runs(experiments(client), "tags.sweep != ''", max_results=IDS)
            sweeps = dict.fromkeys(run.data.tags["sweep"] for run in newest)
            hint = f"\nThe newest sweeps: {', '.join([*sweeps][:SWEEPS])}" if sweeps else ""
            raise ComparisonError(f"{word}: there is no sweep and no run of this id{hint}")
    return found


def of_sweep(client: MlflowClient, sweep: str) -> list[str]:
    """Return the ids of the trials of a sweep, the oldest first, in whatever experiment they are.

    They are tagged with it; those that it took over from an earlier sweep stand in results.csv.
    """
    tagged = list(search(client, f"tags.sweep = {quoted(sweep)}"))
    taken = [
        run_id
        for run in tagged
        if run.data.tags.get("role") == "summary"
        for run_id in listed(client, run)
    ]
    known = {run.info.run_id for run in tagged}
    others = find(client, [run_id for run_id in taken if run_id not in known])
    return [run.info.run_id for run in latest([*tagged, *others.values()])]


def matching(client: MlflowClient, condition: str, experiment: str) -> list[str]:
    """Return the ids of the trials of an experiment that a filter of MLflow lets through.

    Raises `ComparisonError` if it cannot be read, or there is no such experiment.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = ", ".join(sorted(each.name for each in client.search_experiments()))
        raise ComparisonError(
            f"--experiment {experiment}: there is no such experiment.\nChoices: {names}"
        )
    try:
        runs = list(search(client, condition, [found.experiment_id]))
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        said = str(error).partition("\n")[0].removeprefix("INVALID_PARAMETER_VALUE: ")
        raise ComparisonError(
            f'--filter "{condition}": {said}\n'
            "Write it as in: --filter 'params.init = \"he\" and metrics.`test/loss` < 1'"
        ) from error
    return [run.info.run_id for run in latest(runs)]


def latest(runs: Sequence[TrackedRun]) -> list[TrackedRun]:
    """Return the trials among runs, the oldest first, less those that a later one replaces.

    Of finished trials of the same numbers the newest stays; of those that never finished, the
    newest, if no other of the same params did.
    """
    trials = [run for run in runs if run.data.tags.get("role", "trial") == "trial"]
    trials.sort(key=begun)
    stay: dict[Any, TrackedRun] = {}
    done = set()
    for run in trials:
        mark = run.data.tags.get("fingerprint")
        params = frozenset(run.data.params.items())
        if not mark:  # not of initlab
            stay[run.info.run_id] = run
        elif run.info.status == "FINISHED":
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
        raise ComparisonError(f"{text}: there is nothing of this name")
    return f'"{text}"' if "'" in text else f"'{text}'"


def find(client: MlflowClient, run_ids: Sequence[str]) -> dict[str, TrackedRun]:
    """Return by id those of the runs that there are."""
    found = {}
    for first in range(0, len(run_ids), IDS):
        named = ", ".join(map(quoted, run_ids[first : first + IDS]))
        for run in search(client, f"attributes.run_id IN ({named})"):
            found[run.info.run_id] = run
    return found


def read(client: MlflowClient, run_ids: Sequence[str]) -> list[Run]:
    """Read runs, each once, in the order of their ids; raises `ComparisonError` for an unknown one.

    A run of 1,000 steps takes about 6 ms from a SQLite database, and 60 ms from a server beside it.
    """
    from initlab.store import connected, sqlite_path

    found = find(client, run_ids := [*dict.fromkeys(run_ids)])
    for run_id in run_ids:
        if run_id not in found:
            raise ComparisonError(f"{run_id}: there is no such run, or it is deleted")
    runs = [found[run_id] for run_id in run_ids]
    if database := sqlite_path(client.tracking_uri):
        with contextlib.suppress(sqlite3.Error), connected(database) as store:
            return [run_of(run, stored(store, run), histograms(client, run)) for run in runs]

    def ask(run: TrackedRun) -> Run:
        return run_of(run, asked(client, run), histograms(client, run))

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(ask, runs))


def run_of(
    run: TrackedRun, curves: dict[str, Curve], histograms: dict[str, NDArray[np.generic]]
) -> Run:
    """Return a run of the store as one to compare; one without params has its name as a param."""
    info, tags = run.info, run.data.tags
    metrics = {name: value for name, value in run.data.metrics.items() if abs(value) < INFINITE}
    outcome = UNFINISHED.get(info.status, "running")
    if info.status == "FINISHED":
        outcome = "diverged" if tags.get("outcome") == "diverged" else "finished"
    reason = tags.get("error", "").partition("\n")[0]
    if outcome == "diverged" and "diverged_step" in metrics:
        reason = f"diverged at step {metrics['diverged_step']:.0f}"
    return Run(
        info.run_id,
        info.run_name or info.run_id,
        outcome,
        tags.get("verdict", ""),
        reason,
        (info.end_time - info.start_time) / 1000 if info.end_time else None,
        dict(run.data.params) or {"name": info.run_name or info.run_id},
        metrics,
        curves,
        histograms,
    )


def curve(points: Sequence[tuple[int, float]]) -> Curve | None:
    """Make a curve of steps and values in order; the last value of a step counts."""
    values = {step: value for step, value in points if abs(value) < INFINITE}
    if not values:
        return None
    return Curve(np.array([*values], np.int64), np.array([*values.values()], np.float64))


def asked(client: MlflowClient, run: TrackedRun) -> dict[str, Curve]:
    """Return the curves of a run, asking for one after the other."""
    found = {}
    for name in CURVES:
        if name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            history.sort(key=lambda metric: (metric.step, metric.timestamp))
            found[name] = curve([(metric.step, metric.value) for metric in history])
    return {name: made for name, made in found.items() if made}


def stored(store: sqlite3.Connection, run: TrackedRun) -> dict[str, Curve]:
    """Return the curves of a run from the tables of MLflow.

    MLflow's own query sorts by time, for which SQLite walks through the metric in all runs that
    there are; and it makes objects of every row. This one reads the rows of the run by their index.
    """
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in CURVES}
    rows = store.execute(
        "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND NOT is_nan "
        f"AND key IN ({', '.join('?' * len(CURVES))}) ORDER BY key, step, timestamp",
        (run.info.run_id, *CURVES),
    )
    for name, step, value in rows:
        found[name].append((step, value))
    curves = {name: curve(points) for name, points in found.items()}
    return {name: made for name, made in curves.items() if made}


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
