"""SQLite: everything that touches MLflow's database directly, where MLflow itself is too slow.

PostgreSQL has the same tables, and its trials are looked up in the same way.

Tried with the schema of MLflow 3.17.2. With any other schema, and after any error, the functions
that read its tables return None, and the caller asks MLflow's client instead.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

KNOWN_REVISIONS = {"dc11669786a5"}  # of the schema, as Alembic numbers them

REVISIONS = "SELECT version_num FROM alembic_version"
LOCK = int.from_bytes(b"initlab")  # the number of the lock that our processes take
HISTORY = (
    "SELECT step, value FROM metrics WHERE run_uuid = ? AND key = ? AND NOT is_nan "
    "ORDER BY step, timestamp"
)
IDS = 500  # of runs in one statement

TELL_SECONDS, PATIENCE_SECONDS = 10.0, 120.0  # of waiting for another program's lock

Error = sqlite3.Error  # what the functions that refuse a database raise


def path_of(uri: str) -> Path | None:
    """Return the file of a SQLite store as SQLAlchemy reads its address, None for any other store.

    Raises `Error` for an address of SQLite that names no file.
    """
    if not re.match(r"sqlite[:+]", uri):  # nor would SQLAlchemy read those of servers
        return None
    try:
        url = make_url(uri)
    except ArgumentError as error:
        raise Error("an address of SQLite is sqlite:/// and the path of a file") from error
    if url.query:
        raise Error("an address of SQLite takes no options; a ? in a file name is written %3F")
    if not url.database or url.database == ":memory:":
        raise Error("it names no file, so that nothing would be kept")
    return Path(url.database)


def uri_of(database: Path) -> str:
    """Return the address of a SQLite store."""
    return URL.create("sqlite", database=str(database)).render_as_string()


@contextlib.contextmanager
def connected(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite database to read from it."""
    uri = f"{database.resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, PATIENCE_SECONDS, uri=True)) as connection:
        connection.text_factory = lambda text: text.decode(errors="replace")  # it may be damaged
        yield connection


@contextlib.contextmanager
def known_tables(database: Path) -> Iterator[sqlite3.Connection | None]:
    """Open MLflow's database to read from it, None if its schema is not one that is known here."""
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(connected(database))
            known = is_known(connection.execute(REVISIONS))
        except sqlite3.Error:
            known = False
        yield connection if known else None


def is_known(rows: Iterable[Any]) -> bool:
    """Return whether the answer to `REVISIONS` is a schema that is known here."""
    found = {revision for (revision,) in rows}
    return bool(found) and found <= KNOWN_REVISIONS


def tables_of(database: Path) -> set[str]:
    """Return the names of the tables of a file; raises `Error` if it is not of SQLite."""
    with connected(database) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in rows}


def revision_of(database: Path) -> str:
    """Return the revision of a schema that Alembic keeps, "" before the first."""
    with connected(database) as connection:
        row = connection.execute(REVISIONS).fetchone()
        return str(row[0]) if row else ""


def has_runs(database: Path) -> bool:
    """Return whether MLflow's database, which may be half made, has a run."""
    if "runs" not in tables_of(database):
        return False
    with connected(database) as connection:
        return connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is not None


def leave_unsynchronized(connection: sqlite3.Connection, record: object = None) -> None:
    """Let the system write to the disk when it likes; for a file that is not used yet."""
    connection.execute("PRAGMA synchronous = OFF")


def copy(database: Path, other: Path) -> None:
    """Copy a database that others may be writing to."""
    with connected(database) as source, contextlib.closing(sqlite3.connect(other)) as target:
        source.backup(target)


def refuse_read_only(database: Path) -> None:
    """Raise `Error` unless a database can be written."""
    with contextlib.closing(sqlite3.connect(database, PATIENCE_SECONDS)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE initlab (written INTEGER)")
        connection.rollback()


def wait_until_free(database: Path, statement: str = "BEGIN IMMEDIATE") -> None:
    """Return when no other program keeps a database locked, so that a statement can be run.

    Here it is reported that this takes long. Raises `Error` after `PATIENCE_SECONDS`.
    """
    if not database.exists():
        return
    with contextlib.closing(sqlite3.connect(database, timeout=0)) as connection:

        def is_free() -> bool:
            try:
                connection.execute(statement)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                    return False
                raise
            connection.rollback()
            return True

        if not wait_for(is_free, f"{database}, which another program keeps locked"):
            raise Error(f"another program has locked it for {PATIENCE_SECONDS:.0f} seconds")


def wait_longer(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    """Let MLflow's statements wait as long for a lock as ours; SQLAlchemy calls it before each."""
    if statement.startswith("PRAGMA busy_timeout"):
        statement = f"PRAGMA busy_timeout = {1000 * PATIENCE_SECONDS:.0f}"
    return statement, parameters


event.listen(Engine, "before_cursor_execute", wait_longer, retval=True)


def wait_for(is_free: Callable[[], bool], what: str) -> bool:
    """Return whether something gets free within `PATIENCE_SECONDS`, and report a long wait."""
    begun, pause, told = time.monotonic(), 0.001, False
    while not is_free():
        waited = time.monotonic() - begun
        if waited > PATIENCE_SECONDS:
            return False
        if waited > TELL_SECONDS and not told:
            print(f"waiting for {what}", file=sys.stderr, flush=True)
            told = True
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return True


@dataclass
class Row:
    """A run as the tables have it, with some of its tags."""

    run_id: str
    name: str
    status: str
    start_time: int
    tags: dict[str, str] = field(default_factory=dict)


def runs_with_fingerprints(
    uri: str, experiment_id: str, fingerprints: Collection[str], keys: Collection[str]
) -> list[Row] | None:
    """Return the runs of an experiment that have one of these fingerprints, and some tags of them.

    MLflow cannot ask for several values of a tag at once, and reads all metrics, params and tags of
    a run that it finds, which takes three milliseconds a run.
    """
    with contextlib.suppress(sqlite3.Error, SQLAlchemyError), statements(uri) as execute:
        if execute is None:
            return None
        found = execute(
            "SELECT run_uuid, value FROM tags JOIN runs USING (run_uuid) WHERE key = 'fingerprint' "
            "AND experiment_id = :experiment AND lifecycle_stage = 'active'"
            + " AND value = :mark"
            * (len(fingerprints) == 1),
            {"experiment": int(experiment_id), "mark": next(iter(fingerprints), "")},
        )
        run_ids = [run_id for run_id, fingerprint in found if fingerprint in fingerprints]
        rows: dict[str, Row] = {}
        for first in range(0, len(run_ids), IDS):
            some, wanted = named("run", run_ids[first : first + IDS]), named("key", keys)
            for run_id, name, status, start, key, value in execute(
                "SELECT run_uuid, name, status, start_time, key, value "
                "FROM runs JOIN tags USING (run_uuid) "
                f"WHERE run_uuid IN ({listed(some)}) AND key IN ({listed(wanted)})",
                some | wanted,
            ):
                row = rows.setdefault(run_id, Row(run_id, name, status, start))
                row.tags[key] = value
        return [*rows.values()]
    return None


Execute = Callable[[str, Mapping[str, Any]], Iterable[Any]]


@contextlib.contextmanager
def statements(uri: str) -> Iterator[Execute | None]:
    """Give what reads from MLflow's tables in SQLite or PostgreSQL; None where they are not known.

    A statement has parameters by name, as in :experiment.
    """
    database = path_of(uri)
    if database:
        with known_tables(database) as tables:
            yield tables.execute if tables else None
    elif is_postgresql(uri):
        with create_engine(uri, poolclass=NullPool).connect() as connection:
            known = is_known(connection.execute(text(REVISIONS)))
            yield (lambda sql, values: connection.execute(text(sql), values)) if known else None
    else:
        yield None


@contextlib.contextmanager
def alone_with_tables(uri: str) -> Iterator[None]:
    """Let one process at a time make MLflow's tables in PostgreSQL, or change them.

    MLflow itself fails where two begin with an empty database. Where they are known nobody waits.
    """
    if not is_postgresql(uri):
        yield
        return
    engine = create_engine(uri, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        known = False
        with contextlib.suppress(SQLAlchemyError):  # where there is no such table yet
            known = is_known(connection.execute(text(REVISIONS)))
        if not known:
            connection.execute(text(f"SET lock_timeout = '{PATIENCE_SECONDS:.0f}s'"))
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        yield  # the lock ends with the connection


def is_postgresql(uri: str) -> bool:
    """Return whether an address is of PostgreSQL, by whatever driver."""
    return bool(re.match("postgresql[:+]", uri))


def named(prefix: str, values: Iterable[str]) -> dict[str, str]:
    """Return values as parameters of a statement."""
    return {f"{prefix}{number}": value for number, value in enumerate(values)}


def listed(parameters: Iterable[str]) -> str:
    """Return parameters as a statement lists them."""
    return ", ".join(f":{name}" for name in parameters)


def metric_histories(
    tables: sqlite3.Connection | None, run_id: str, names: Sequence[str]
) -> dict[str, list[tuple[int, float]]] | None:
    """Return by metric the (step, value) pairs of a run in the order of steps, then of time.

    tables  as `known_tables` opens them

    MLflow's own query sorts by time, for which SQLite walks through the metric in all runs that
    there are; and it makes objects of every row. This one reads the rows of a run by their index.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    if tables is None:
        return None
    with contextlib.suppress(sqlite3.Error):
        for name in names:  # a query each, so that no row has to repeat the name
            if rows := tables.execute(HISTORY, (run_id, name)).fetchall():
                found[name] = rows
        return found
    return None
