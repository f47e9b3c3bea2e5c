"""A store: where MLflow keeps runs, checked before anything relies on it."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import re
import secrets
import shlex
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import Run as TrackedRun
from mlflow.entities import RunData, RunInfo, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from initlab.checks import UserError
from initlab.process import (
    HEAD,
    OWN,
    environment,
    identity,
    is_elsewhere,
    is_gone,
    is_here,
    is_this_process,
)
from initlab.text import mask_password
from initlab.tracking import chart_view, sqlite
from initlab.tracking.artifacts import local_folder
from initlab.tracking.names import Role, Status, Tag
from initlab.tracking.provenance import digest
from initlab.tracking.queries import PAGE, filter_string, find_runs, search_runs, start_time

PATIENCE_SECONDS = 15.0  # that a store has to answer, where nobody has said otherwise
MOST_LETTERS = 200  # of a folder's name
# What a store may raise: a damaged database has texts that are none, an address names no host.
FAILURES = (
    MlflowException, SQLAlchemyError, sqlite.Error, OSError, ImportError, UnicodeError,
)  # fmt: skip
HTTP = ("http", "https")
WAITING = {"psycopg", "psycopg2", "pymysql", "mysqldb"}  # drivers that know connect_timeout
NOT_MLFLOW = "what answers there is no server of MLflow"
CONNECTIONS = 8  # to a server at once
QUERIES_OF_A_PAGE = 500  # that take as long as a page of runs
# The tags that tell what a run is, and whether it goes on.
TOLD_BY: list[str] = [Tag.ROLE, Tag.FINGERPRINT]
TOLD_BY += [f"{whose}.{what}" for whose in (OWN, HEAD) for what in ("host", "pid", "started")]
CLAIMS = 5  # how often two that claim the same at the same time give way to each other
GIVE_WAY_SECONDS = 0.05  # times one to eleven, by chance
SPARE_BYTES = 4 << 20  # what must fit on the disk before a run begins


class TrackingError(UserError):
    """The store cannot be reached or written."""


class MissingError(TrackingError):
    """The store or the experiment does not exist."""


class Client(MlflowClient):
    """A client that tags a run with pictures once, where MLflow does so with each picture."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.pictured: set[str] = set()
        self.one = threading.Lock()  # a database refuses a tag that two threads make at once

    def set_tag(
        self, run_id: str, key: str, value: Any = None, synchronous: bool | None = None
    ) -> Any:
        """Set a tag of a run."""
        if key != MLFLOW_LOGGED_IMAGES:
            return super().set_tag(run_id, key, value, synchronous)
        with self.one:
            if run_id not in self.pictured:
                super().set_tag(run_id, key, value, synchronous)
                self.pictured.add(run_id)
        return None


@dataclass(frozen=True)
class Store:
    """An experiment in an MLflow store that answers.

    uri      of the store, for messages
    ui       the address of its pages, without a login
    command  what serves them, None where a server does already
    timeout  seconds that it has to answer when it is tried
    """

    client: MlflowClient
    experiment_id: str
    uri: str
    ui: str
    command: str | None
    timeout: float = PATIENCE_SECONDS

    @property
    def is_database(self) -> bool:
        """Whether this process talks to the database itself, and not to a server."""
        return self.command is not None

    @property
    def is_sqlite(self) -> bool:
        """Whether one process at a time writes to it; to all others any number does."""
        return sqlite.path_of(self.uri) is not None

    def has(self, tag: str, value: str) -> bool:
        """Return whether a run of the experiment has a tag of this value."""
        condition = f"tags.{tag} = {filter_string(value)}"
        with explained(self.uri):
            return bool(self.client.search_runs([self.experiment_id], condition, max_results=1))

    def trials_by_fingerprint(self, fingerprints: Collection[str]) -> dict[str, list[TrackedRun]]:
        """Return the trials of the experiment by their fingerprint, the newest first.

        From a database they have only the tags that tell what became of them, and ten thousand take
        a second. A server is asked for each fingerprint; or, where there are many, for all trials,
        if those are few enough.
        """
        with explained(self.uri):
            rows = sqlite.runs_with_fingerprints(
                self.uri, self.experiment_id, fingerprints, TOLD_BY
            )
            if rows is not None:
                runs = [made_of(row, self.experiment_id) for row in rows]
            elif (few := self.few_trials(len(fingerprints) // QUERIES_OF_A_PAGE)) is not None:
                runs = [run for run in few if run.data.tags.get(Tag.FINGERPRINT) in fingerprints]
            else:
                runs = self.search_at_once(
                    f"tags.fingerprint = {filter_string(mark)}" for mark in fingerprints
                )
        found: dict[str, list[TrackedRun]] = {}
        for run in sorted(runs, key=start_time, reverse=True):
            if run.data.tags.get(Tag.ROLE) == Role.TRIAL:
                found.setdefault(run.data.tags[Tag.FINGERPRINT], []).append(run)
        return found

    def few_trials(self, pages: int) -> list[TrackedRun] | None:
        """Return all trials of the experiment, None if they do not fit on so many pages."""
        if not pages:
            return None
        trials = search_runs(self.client, f"tags.{Tag.ROLE} = '{Role.TRIAL}'", [self.experiment_id])
        found = [*islice(trials, pages * PAGE + 1)]
        return found if len(found) <= pages * PAGE else None

    def search_at_once(self, conditions: Iterable[str]) -> list[TrackedRun]:
        """Return the runs of the experiment that match any of some filters."""
        place = [self.experiment_id]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            found = pool.map(lambda each: [*search_runs(self.client, each, place)], conditions)
            return [run for runs in found for run in runs]

    def run_of(self, fingerprint: str, besides: str = "") -> TrackedRun | None:
        """Return a trial that has the numbers of a fingerprint, or makes them in another process.

        besides  the id of a run that does not count

        A process of another host is taken to be alive where hosts share the store.
        """
        for run in self.trials_by_fingerprint([fingerprint]).get(fingerprint, []):
            if run.info.run_id != besides and self.counts(run):
                return run
        return None

    def counts(self, run: TrackedRun) -> bool:
        """Return whether a run has its numbers, or makes them in another process."""
        status, tags = run.info.status, run.data.tags
        if status != Status.RUNNING:
            return bool(status == Status.FINISHED)
        if is_here(tags) or self.is_sqlite:
            return is_elsewhere(tags)
        return not is_gone(tags, HEAD)

    def runs_of(self, run_ids: Sequence[str]) -> dict[str, TrackedRun]:
        """Return by id those of these runs of the experiment that are not deleted."""
        with explained(self.uri):
            return find_runs(self.client, run_ids, [self.experiment_id])

    def close_lost(self) -> None:
        """Mark as KILLED what is RUNNING in a process of this host that is gone, or in this one.

        The same holds for runs on any host of a sweep whose head, the process that started it, was
        on this host. This process has no open run when it calls this, but an interrupted
        transaction may have kept the store from recording the end of an earlier one.
        """
        host = filter_string(socket.gethostname())
        with quick_and_quiet(self.timeout):
            for prefix in (OWN, HEAD):
                for run in self.running(f"tags.`{prefix}.host` = {host}"):
                    if is_gone(run.data.tags, prefix) or is_this_process(run.data.tags, prefix):
                        self.close(run.info.run_id)

    def close_trial(self, sweep: str, fingerprint: str) -> None:
        """Mark as KILLED what is RUNNING of a trial whose process was lost, on whatever host."""
        trial = f"tags.sweep = {filter_string(sweep)}"
        for run in self.running(f"{trial} and tags.fingerprint = {filter_string(fingerprint)}"):
            self.close(run.info.run_id)

    def running(self, condition: str) -> list[TrackedRun]:
        """Return the runs of the experiment that are RUNNING, of those that match a filter."""
        condition = f"attributes.status = 'RUNNING' and {condition}"
        with explained(self.uri):
            return [*search_runs(self.client, condition, [self.experiment_id])]

    def close(self, run_id: str) -> None:
        """Mark a run as KILLED whose process cannot do so."""
        with explained(self.uri), write_lock(self.uri):
            self.client.set_terminated(run_id, Status.KILLED)

    def claim_sweep(self, sweep: str) -> bool:
        """Return whether no other sweep has this id; none will have it until `release_sweep`.

        On a host a folder is claimed. Hosts that share the store see a tag of the experiment: who
        wants an id leaves one, and gives way to whoever has done the same. Of two that do so at
        once, the last to look sees the other.
        """
        if self.is_sqlite:
            return not self.has(Tag.SWEEP, sweep)
        place, mine = self.experiment_id, claim_of(sweep)
        with explained(self.uri):
            for _ in range(CLAIMS):
                self.client.set_experiment_tag(place, mine, sweep)
                names = self.client.get_experiment(place).tags
                alone = [name for name in names if name.startswith(all_claims_of(sweep))] == [mine]
                taken = self.has(Tag.SWEEP, sweep)
                if alone and not taken:
                    return True
                self.client.delete_experiment_tag(place, mine)
                if taken:
                    break
                give_way()
        return False

    def release_sweep(self, sweep: str) -> None:
        """Take back what `claim_sweep` has left, once the runs of the sweep have its id."""
        if self.is_sqlite:
            return
        with explained(self.uri), quick_and_quiet(self.timeout):
            if claim_of(sweep) in self.client.get_experiment(self.experiment_id).tags:
                self.client.delete_experiment_tag(self.experiment_id, claim_of(sweep))

    def keep_view(self, key: str, view: str) -> None:
        """Keep a view of the chart page, and delete the oldest views if there are too many."""
        with explained(self.uri):
            self.client.set_experiment_tag(self.experiment_id, f"{chart_view.TAG}{key}", view)
            tags = self.client.get_experiment(self.experiment_id).tags
            for old in chart_view.outdated_views(tags):
                self.client.delete_experiment_tag(self.experiment_id, old)


def made_of(row: sqlite.Row, experiment_id: str) -> TrackedRun:
    """Return a run as MLflow would, without its params and metrics."""
    info = RunInfo(
        row.run_id, experiment_id, "", row.status, row.start_time, None, "active", run_name=row.name
    )
    return TrackedRun(info, RunData(tags=[RunTag(*tag) for tag in row.tags.items()]))


def all_claims_of(sweep: str) -> str:
    """Return how the tags begin by which processes claim the id of a sweep; the UI hides them."""
    return f"mlflow.initlabSweep.{digest(sweep)}."


def claim_of(sweep: str) -> str:
    """Return the tag by which this process claims the id of a sweep."""
    return all_claims_of(sweep) + digest(identity())


def give_way() -> None:
    """Let another process be faster, which may be doing the same."""
    time.sleep(GIVE_WAY_SECONDS * (1 + secrets.randbelow(1000) / 100))


def open_store(
    uri: str | None,
    experiment: str,
    project: Path,
    create: bool = True,
    timeout: float = PATIENCE_SECONDS,
) -> Store:
    """Connect to a store, creating the database and the experiment where they do not exist.

    uri: of a database or a server; None: $MLFLOW_TRACKING_URI, else mlflow.db in `project`. A
    SQLite database has its artifacts beside it in mlruns, a server where it keeps them. Raises
    `TrackingError` if the store cannot be used, or does not answer within `timeout` seconds, twice.
    If `create` is false nothing is written, and what does not exist is a `MissingError`.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite.uri_of(project / "mlflow.db")
    with explained(uri):
        if not create:
            client = connect(uri, timeout)
            experiment_id = find_experiment(client, experiment)
        elif database := sqlite.path_of(uri):
            check_folder(database.parent)
            folder = database.resolve().parent / "mlruns" / folder_name(experiment)
            with quick_and_quiet(timeout), write_lock(uri):
                make_ready(database)
                client = Client(uri)
                experiment_id = make_experiment(client, experiment, folder.as_uri())
        else:
            check_reachable(uri, timeout)
            client, experiment_id = admitted(uri, experiment, timeout)
        if create:
            check_artifacts(client, experiment_id, timeout)
    return Store(client, experiment_id, uri, *served_at(uri, project), timeout)


@functools.cache
def admitted(uri: str, experiment: str, timeout: float) -> tuple[MlflowClient, str]:
    """Return a client of a server, and the id of an experiment; each is asked for once."""
    with quick_and_quiet(timeout), sqlite.alone_with_tables(uri):
        client = Client(uri)
        return client, make_experiment(client, experiment, None)


def check_artifacts(client: MlflowClient, experiment_id: str, timeout: float) -> None:
    """Raise `TrackingError` unless files of an experiment can be kept, and read again.

    Many a store takes numbers where the files of runs could not go.
    """
    if (client.tracking_uri, experiment_id) in with_artifacts:
        return
    with quick_and_quiet(timeout):
        experiment = client.get_experiment(experiment_id)
        place = experiment.artifact_location
        uri = mask_password(client.tracking_uri)
        if urlsplit(place).scheme == "mlflow-artifacts" and urlsplit(uri).scheme not in HTTP:
            raise TrackingError(
                f"tracking.uri={uri}: the files of the experiment {experiment.name} are kept by a "
                f"server of MLflow ({place})\n"
                "Set tracking.uri or MLFLOW_TRACKING_URI to the address of that server, such as "
                "http://127.0.0.1:5000,\nor set tracking.experiment to a new one"
            )
        try:
            try_artifacts(place, client.tracking_uri)
        except Exception as error:  # each kind of place raises its own
            raise TrackingError(
                f"tracking.uri={uri}: the files of the experiment {experiment.name} cannot be kept "
                f"in {mask_password(place)}: {reason_of(error)}\n"
                "Make that place writable, or set tracking.experiment to a new one"
            ) from error
    with_artifacts.add((client.tracking_uri, experiment_id))


with_artifacts: set[tuple[str, str]] = set()  # the stores and experiments that were tried


def try_artifacts(place: str, uri: str) -> None:
    """Write a file where artifacts go, read it, and delete it if that is allowed."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository: Any = get_artifact_repository(place, tracking_uri=uri)
    folder = local_folder(place)
    made = [each for each in (folder, folder.parent) if not each.exists()] if folder else []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, f"initlab-check-{secrets.token_hex(8)}")
        file.write_text(file.name)
        repository.log_artifact(str(file))
        try:
            file.unlink()
            if Path(repository.download_artifacts(file.name, scratch)).read_text() != file.name:
                raise OSError("what was written there is not what is read")
        finally:
            with contextlib.suppress(Exception):
                repository.delete_artifacts(file.name)
            with contextlib.suppress(OSError):  # which are not empty if a run has begun meanwhile
                for each in made:
                    each.rmdir()


def served_at(uri: str, project: Path) -> tuple[str, str | None]:
    """Return the address of a store's UI, and the command that serves it there, if one must."""
    parts = urlsplit(uri)
    if parts.scheme in HTTP:
        host = parts.netloc.rpartition("@")[2]  # a browser asks for the login
        return parts._replace(netloc=host).geturl().rstrip("/"), None
    plain = uri == sqlite.uri_of(project / "mlflow.db") and Path.cwd() == project
    backend = "" if plain else f" --backend-store-uri {shlex.quote(mask_password(uri))}"
    return "http://127.0.0.1:5000", f"mlflow ui{backend}"


def folder_name(experiment: str) -> str:
    """Return a name that file systems allow; a long one is cut, and told apart by a hash."""
    name = quote(experiment, safe="")
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 20]}-{digest(name)}"


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn any error of a store into a `TrackingError`."""
    try:
        yield
    except FAILURES as error:
        raise TrackingError(
            f"tracking.uri={mask_password(uri)}: cannot be used: {reason_of(error)}\n"
            "Set tracking.uri or MLFLOW_TRACKING_URI to a database that can be written or a server "
            "that runs,\nor train without a store: tracking.enabled=false"
        ) from error


def reason_of(error: BaseException) -> str:
    """Return what an error of a store says, in one line."""
    first = re.sub(r"^\(raised as a result of .*\n", "", str(error)).partition("\n")[0]
    first = re.sub(r"^(\[Errno \d+\]|\(\S+\)) ", "", first)
    return mask_password(first) or type(error).__name__


@contextlib.contextmanager
def quick_and_quiet(timeout: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Make MLflow give up soon, and silence its log of setting up a database.

    timeout  seconds for a request, unless the environment says otherwise
    """
    settings = {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(math.ceil(timeout)),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    }
    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    with environment({name: os.environ.get(name, value) for name, value in settings.items()}):
        yield


@contextlib.contextmanager
def write_lock(uri: str) -> Iterator[None]:
    """Let one process at a time write to a SQLite database, when no other program has locked it.

    MLflow does not lock a database while it sets one up. Later SQLite locks it, but a process that
    waits for SQLite sleeps longer than it has to, and gives up sooner.
    """
    database = sqlite.path_of(uri)
    if database is None:
        yield
        return
    with folder_lock(database.parent):
        sqlite.wait_until_free(database)
        yield


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time into a folder; after two minutes, or where that fails, several."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    opened = os.open(folder, os.O_RDONLY)

    def is_free() -> bool:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # not every network folder can be locked
            pass
        return True

    try:
        sqlite.wait_for(is_free, f"{folder}, into which another process writes")
        yield
    finally:
        os.close(opened)


def check_folder(folder: Path) -> None:
    """Make the folder of a database, and raise `OSError` if a run would not fit into it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(SPARE_BYTES))


def make_ready(database: Path) -> None:
    """Make or upgrade a database; raises `sqlite.Error` if it is not MLflow's or is read-only."""
    from initlab.tracking import schema  # MLflow's migrations take time to import

    kept = schema.make_ready(database)
    sqlite.refuse_read_only(database)
    if kept:
        print(f"{database}: upgraded for this MLflow; the old one is {kept.name}", file=sys.stderr)


def check_reachable(uri: str, timeout: float) -> None:
    """Raise unless a server accepts connections."""
    masked = mask_password(uri)
    try:
        parts = urlsplit(uri)
        kind = parts.scheme.partition("+")[0]  # less the driver of a database
        port = parts.port or {"http": 80, "https": 443, "mysql": 3306}.get(kind, 5432)
        if kind not in HTTP and "@" in uri and make_url(uri).host != parts.hostname:
            raise ValueError("it can be read in two ways")
    except (ValueError, SQLAlchemyError) as error:  # http://[
        reason = str(error)
        if "@" in uri:  # the reason may be a part of the password
            reason = "cannot be read; in a login, @ is written %40, : %3A, / %2F, # %23 and ? %3F"
        raise TrackingError(f"tracking.uri={masked}: {reason}") from None
    if not parts.hostname:
        raise TrackingError(
            f"tracking.uri={masked}: must be a database, such as sqlite:///mlflow.db, or a server, "
            "such as http://127.0.0.1:5000"
        )
    socket.create_connection((parts.hostname, port), timeout).close()
    if kind not in HTTP:
        check_admitted(uri, timeout)


@functools.cache
def check_admitted(uri: str, timeout: float) -> None:
    """Raise unless a server has a database, and lets us in; MLflow would try for two minutes.

    Once it has, MLflow keeps connections of its own.
    """
    try:
        engine = create_engine(uri, poolclass=NullPool)
        waits = {"connect_timeout": math.ceil(timeout)} if engine.driver in WAITING else {}
        create_engine(uri, poolclass=NullPool, connect_args=waits).connect().close()
    except ImportError as error:
        raise ImportError(f"its driver is not installed: {error}") from error


def connect(uri: str, timeout: float = PATIENCE_SECONDS) -> MlflowClient:
    """Return a client to read with; of a missing database MLflow would make one."""
    if database := sqlite.path_of(uri):
        if not database.is_file():
            raise MissingError(f"tracking.uri={uri}: there is no such database")
        from initlab.tracking import schema

        sqlite.wait_until_free(database, "SELECT 1 FROM sqlite_master")
        schema.refuse_unready(database)
    else:
        check_reachable(uri, timeout)
    with quick_and_quiet(timeout):
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)  # or one that fails would be asked for minutes
        return client


@contextlib.contextmanager
def reading(uri: str | None, project: Path) -> Iterator[MlflowClient]:
    """Give a client to read with from a store, named as for `open_store`.

    Whatever the store may raise becomes a `TrackingError` that speaks of --uri.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite.uri_of(project / "mlflow.db")
    try:
        with explained(uri):
            yield connect(uri)
    except TrackingError as error:
        reason = str(error).partition("\n")[0].removeprefix(f"tracking.uri={mask_password(uri)}: ")
        raise TrackingError(
            f"{mask_password(uri)}: {reason}\n"
            "Set --uri or MLFLOW_TRACKING_URI to the database or the server that has the runs"
        ) from error


def find_experiment(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, `MissingError` if there is none of this name."""
    found = client.get_experiment_by_name(name)
    if found is not None and not found.experiment_id:
        raise TrackingError(f"tracking.uri={mask_password(client.tracking_uri)}: {NOT_MLFLOW}")
    if found is None:
        names = sorted(experiment.name for experiment in client.search_experiments())
        raise MissingError(
            f"tracking.experiment={name}: there is no such experiment.\nChoices: {', '.join(names)}"
        )
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"tracking.experiment={name}: this experiment is deleted; take another name, or "
            f"run: mlflow experiments restore -x {found.experiment_id}"
        )
    return str(found.experiment_id)


def make_experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """Return the id of the experiment, which is created if there is none of this name."""
    # Without this tag the UI takes an experiment for one of generative AI.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    if client.get_experiment_by_name(name) is None:
        try:
            return str(client.create_experiment(name, artifacts, tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
    return find_experiment(client, name)
