"""Runs of a store: which they are, and what they hold."""

from __future__ import annotations

import contextlib
import csv
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from numpy.typing import NDArray

from initlab.checks import UserError
from initlab.comparison import CURVES, Curve, Run

if TYPE_CHECKING:  # MLflow takes a second to import; whoever has a client has done so
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

UNFINISHED = {"FAILED": "failed", "KILLED": "killed"}  # any other is running
PAGE = 1000  # runs of one search
IDS = 100  # named in one filter
SWEEPS = 5  # that are offered instead of one that there is not
CONNECTIONS = 8  # to a server at once
INFINITE = sys.float_info.max  # what a SQL store makes of an infinity

# With tqdm installed MLflow would draw a bar for each file.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


class RunsError(UserError):
    """There are no such runs, or the filter cannot be read."""


def named(client: MlflowClient, words: Sequence[str]) -> dict[str, list[str]]:
    """Return by the id of a sweep, or of a run, the ids of the runs that it stands for.

    words  ids of sweeps or of runs; that of the summary of a sweep stands for the sweep

    Raises `RunsError` for a word that is neither.
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
        if run.data.tags.get("role") == "summary"
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
    return next((str(run.data.tags["experiment"]) for run in tagged), "")


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
        if run.data.tags.get("role", "trial") == "trial"
        and (run.data.params or run.info.status == "FINISHED" or "fingerprint" not in run.data.tags)
    ]
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
    from initlab.store import connected, sqlite_path

    found = find(client, run_ids := [*dict.fromkeys(run_ids)])
    for run_id in run_ids:
        if run_id not in found:
            raise RunsError(f"{run_id}: there is no such run, or it is deleted")
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
    if info.status == "KILLED" and tags.get("outcome") == "pruned":
        outcome = "pruned"
    reason = tags.get("error", "").partition("\n")[0]
    if outcome == "diverged" and "diverged_step" in metrics:
        reason = f"diverged at step {metrics['diverged_step']:.0f}"
    if outcome == "pruned" and curves:
        reason = f"pruned at step {max(int(curve.steps[-1]) for curve in curves.values())}"
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
