"""Tracking: MLflow behind one small face.

A `Store` is where runs are kept, checked before anything is trained. A `Tracker` is one run in it:
step losses are buffered and sent in batches, for one call an entry would cost more than a step.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shlex
import socket
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlsplit

import numpy as np
from numpy.typing import NDArray

from initlab import provenance, views
from initlab.checks import UserError, told
from initlab.record import metrics
from initlab.signals import undisturbed
from initlab.training import Step
from initlab.verdict import Verdict

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a lab on a laptop does not phone home
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # we say it ourselves

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as TrackedRun
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

FLUSH_SECONDS = 2.0
MOST_STEPS = 900  # at one flush, which leaves room in one call for a few evaluations
MOST_METRICS = 1000  # of one log_batch call, a limit of MLflow
MOST_PARAMS = 100
MOST_LETTERS = 500  # of a tag that says what went wrong
CONNECT_SECONDS = 5.0
SPARE_BYTES = 4 << 20  # what must fit on the disk before a run begins


class TrackingError(UserError):
    """The store cannot be reached or written."""


class MissingError(TrackingError):
    """The store or the experiment does not exist."""


@dataclass(frozen=True)
class Store:
    """An experiment in an MLflow store that answers.

    uri      of the store, for messages
    ui       the address of its pages
    command  what serves them, None where a server does already
    """

    client: MlflowClient
    experiment_id: str
    uri: str
    ui: str
    command: str | None

    def has_sweep(self, sweep: str) -> bool:
        """Return whether a run of the experiment is of a sweep."""
        with explained(self.uri):
            found = self.client.search_runs(
                [self.experiment_id], f"tags.sweep = '{sweep}'", max_results=1
            )
        return bool(found)

    def keep_view(self, name: str, view: str) -> None:
        """Keep a view of the chart page, and let the oldest go where there are too many."""
        self.client.set_experiment_tag(self.experiment_id, f"{views.TAG}{name}", view)
        tags = self.client.get_experiment(self.experiment_id).tags
        made = {key: json.loads(text)["createdAt"] for key, text in tags.items()
                if key.startswith(views.TAG) and '"name": "initlab"' in text}  # fmt: skip
        for key in sorted(made, key=made.__getitem__)[: -views.MOST_VIEWS]:
            self.client.delete_experiment_tag(self.experiment_id, key)


def open_store(uri: str | None, experiment: str, project: Path, create: bool = True) -> Store:
    """Connect to a store, creating the database and the experiment where they do not exist.

    uri: of a database or a server; None: $MLFLOW_TRACKING_URI, else mlflow.db in `project`. A
    SQLite database has its artifacts beside it in mlruns, a server where it keeps them. Raises
    `TrackingError` within 15 seconds if the store cannot be used, and `MissingError` if there is
    none and `create` is false.
    """
    default = f"sqlite:///{project / 'mlflow.db'}"
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or default
    with explained(uri):
        if not create and (database := sqlite_path(uri)) and not database.exists():
            raise MissingError(f"tracking.uri={uri}: there is no such database")
        check_reachable(uri)
        artifacts = None
        if database := sqlite_path(uri):
            folder = database.resolve().parent / "mlruns" / quote(experiment, safe="")
            artifacts = folder.as_uri()
        with quick_and_quiet(), alone(uri):
            client = MlflowClient(uri)
            experiment_id = find_experiment(client, experiment, artifacts, create)
    if urlsplit(uri).scheme in ("http", "https"):
        return Store(client, experiment_id, uri, uri.rstrip("/"), None)
    plain = uri == default and Path.cwd() == project
    command = "mlflow ui" if plain else f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
    return Store(client, experiment_id, uri, "http://127.0.0.1:5000", command)


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn whatever a store may raise into a `TrackingError`."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        first = str(error).partition("\n")[0]
        reason = re.sub(r"^(\[Errno \d+\]|\(\S+\)) ", "", first) or type(error).__name__
        raise TrackingError(
            f"tracking.uri={masked(uri)}: cannot be used: {reason}\n"
            "Set tracking.uri or MLFLOW_TRACKING_URI to a database that can be written or a server "
            "that runs,\nor train without a store: tracking.enabled=false"
        ) from error


@contextlib.contextmanager
def quick_and_quiet() -> Iterator[None]:
    """Make MLflow give up soon, and keep its notes about a new database to itself."""
    settings = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "4", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update({name: os.environ.get(name, value) for name, value in settings.items()})
    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]


@contextlib.contextmanager
def alone(uri: str) -> Iterator[None]:
    """Let one process at a time set up a SQLite database, which MLflow does not see to."""
    database = sqlite_path(uri)
    if database is None or sys.platform == "win32":
        yield
        return
    import fcntl

    folder = os.open(database.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def check_reachable(uri: str) -> None:
    """Raise at once what MLflow would find out only after minutes of trying again."""
    parts = urlsplit(uri)
    if database := sqlite_path(uri):
        database.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=database.parent) as file:
            file.write(bytes(SPARE_BYTES))
        with contextlib.closing(sqlite3.connect(database, CONNECT_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    elif parts.hostname:
        port = parts.port or {"http": 80, "https": 443, "mysql": 3306}.get(parts.scheme, 5432)
        socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
    else:
        raise TrackingError(
            f"tracking.uri={uri}: must be a database, such as sqlite:///mlflow.db, or a server, "
            "such as http://127.0.0.1:5000"
        )


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a SQLite store, None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def masked(uri: str) -> str:
    """Return a URI without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", uri)


def find_experiment(
    client: MlflowClient, name: str, artifacts: str | None, create: bool = True
) -> str:
    """Return the id of the experiment; if there is none of this name it may be created."""
    found = client.get_experiment_by_name(name)
    if found is None and not create:
        names = sorted(experiment.name for experiment in client.search_experiments())
        raise MissingError(
            f"tracking.experiment={name}: there is no such experiment.\nChoices: {', '.join(names)}"
        )
    if found is None:
        # Without this tag the UI takes an experiment for one of generative AI.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return str(client.create_experiment(name, artifacts, tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was faster
    assert found is not None
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"tracking.experiment={name}: this experiment is deleted; take another name, or "
            f"run: mlflow experiments restore -x {found.experiment_id}"
        )
    return str(found.experiment_id)


def find_twins(store: Store, fingerprint: str) -> list[TrackedRun]:
    """Return the trials in the experiment that have a fingerprint, the newest first."""
    with explained(store.uri):
        return list(
            store.client.search_runs(
                [store.experiment_id],
                f"tags.fingerprint = '{fingerprint}' and tags.role = 'trial'",
                order_by=["attributes.start_time DESC"],
            )
        )


def close_lost(store: Store) -> list[str]:
    """Mark as KILLED the runs whose process on this host is gone; return their names."""
    names = []
    with explained(store.uri):
        for run in store.client.search_runs(
            [store.experiment_id],
            f"attributes.status = 'RUNNING' and tags.`process.host` = '{socket.gethostname()}'",
        ):
            if provenance.gone(run.data.tags):
                store.client.set_terminated(run.info.run_id, "KILLED")
                names.append(str(run.info.run_name))
    return names


class Tracker:
    """One run in a store, to be used with `with`: it ends FINISHED, FAILED or KILLED.

    An exception makes it FAILED, with the traceback as an artifact; Ctrl-C and SIGTERM make it
    KILLED. Whatever was logged before is sent first. Raises `TrackingError` if the store fails.
    """

    def __init__(
        self, store: Store, name: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        self.store = store
        self.name = name
        self.params = params
        self.tags = tags
        self.client = store.client
        self.run_id = ""
        self.pending: list[tuple[float, Step]] = []
        self.flushed = time.time()
        self.failure: TrackingError | None = None

    @property
    def page(self) -> str:
        """The address of the run in the UI, asking for the menu of training, not that of agents."""
        path = f"experiments/{self.store.experiment_id}/runs/{self.run_id}"
        return f"{self.store.ui}/#/{path}?workflowType=machine_learning"

    def log(self, step: Step) -> None:
        """Log the numbers of a step under the names of the design; sent within two seconds."""
        now = time.time()
        self.pending.append((now, step))
        if len(self.pending) >= MOST_STEPS or now - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is pending."""
        entries = [
            Metric(name, value, int(1000 * when), step.number)
            for when, step in self.pending
            for name, value in metrics(step)
        ]
        with self.talking():
            for first in range(0, len(entries), MOST_METRICS):
                self.client.log_batch(self.run_id, entries[first : first + MOST_METRICS])
        self.pending.clear()
        self.flushed = time.time()

    def log_image(self, key: str, image: NDArray[np.uint8], step: int) -> None:
        """Log a picture (height, width, 3) that the chart page shows by step."""
        with self.talking():
            self.client.log_image(self.run_id, image, key=key, step=step, synchronous=True)

    def log_text(self, text: str, file: str) -> None:
        """Log a text as an artifact."""
        with self.talking():
            self.client.log_text(self.run_id, text, file)

    def log_files(self, files: Iterable[Path]) -> None:
        """Log files as artifacts at the root."""
        with self.talking():
            for file in files:
                self.client.log_artifact(self.run_id, str(file))

    def conclude(self, outcome: str, verdict: Verdict | None, notes: Sequence[str] = ()) -> None:
        """Tag how the run ended; the verdict's sentence and the notes become its description."""
        tags = {"outcome": outcome}
        if verdict:
            tags["verdict"] = verdict.word
        said = [str(verdict), *notes] if verdict else notes
        if said:
            tags["mlflow.note.content"] = "\n\n".join(said)
        with self.talking():
            self.client.log_batch(self.run_id, tags=[RunTag(*item) for item in tags.items()])

    @contextlib.contextmanager
    def talking(self) -> Iterator[None]:
        """Raise `TrackingError` if the store fails, and from then on without asking it again.

        MLflow tries for minutes before it gives up on a server, which is right, but once.
        """
        if self.failure:
            raise self.failure
        try:
            with explained(self.store.uri):
                yield
        except TrackingError as error:
            self.failure = error
            raise

    def __enter__(self) -> Tracker:
        try:
            with self.talking():
                with undisturbed():
                    run = self.client.create_run(
                        self.store.experiment_id, tags=self.tags, run_name=self.name
                    )
                    self.run_id = run.info.run_id
                params = [Param(key, value) for key, value in self.params.items()]
                for first in range(0, len(params), MOST_PARAMS):
                    batch = params[first : first + MOST_PARAMS]
                    self.client.log_batch(self.run_id, params=batch)
        except BaseException:
            if self.run_id:
                self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = "FINISHED"
        if kind is not None:
            status = "FAILED" if issubclass(kind, Exception) else "KILLED"
        with undisturbed():
            try:
                if error is not None and status == "FAILED":
                    self.log_text("".join(traceback.format_exception(error)), "traceback.txt")
                    with self.talking():
                        self.client.set_tag(self.run_id, "error", told(error)[:MOST_LETTERS])
                self.flush()
            except TrackingError:
                status = "FAILED"
            # A store that has failed is asked once more, but not for minutes.
            patience = quick_and_quiet() if self.failure else contextlib.nullcontext()
            try:
                with explained(self.store.uri), patience:
                    self.client.set_terminated(self.run_id, status)
            except TrackingError as unreachable:
                self.failure = self.failure or unreachable
        if kind is None and self.failure:
            raise self.failure
