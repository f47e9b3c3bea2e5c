"""SQLite: everything that touches MLflow's database directly, where MLflow itself is too slow.

Tried with the schema of MLflow 3.17.2. With any other schema, and after any error, the functions
that read its tables return None, and the caller asks MLflow's client instead.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

KNOWN_REVISIONS = {"dc11669786a5"}  # of the schema, as Alembic numbers them

Error = sqlite3.Error  # what the functions that refuse a database raise


def path_of(uri: str) -> Path | None:
    """Return the file of a SQLite store, None for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


@contextlib.contextmanager
def connected(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a SQLite database to read from it."""
    uri = f"{database.resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        yield connection


@contextlib.contextmanager
def known_tables(database: Path) -> Iterator[sqlite3.Connection | None]:
    """Open MLflow's database to read from it, None if its schema is not one that is known here."""
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(connected(database))
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.Error:
            rows = []
        yield connection if rows and {revision for (revision,) in rows} <= KNOWN_REVISIONS else None


def refuse_other_database(database: Path) -> None:
    """Raise `Error` unless a database is of MLflow, which would put its tables into any other."""
    with connected(database) as connection:
        connection.execute("SELECT 1 FROM runs LIMIT 1")


def refuse_read_only(database: Path, timeout: float) -> None:
    """Raise `Error` unless a database, which is made if there is none, can be written."""
    with contextlib.closing(sqlite3.connect(database, timeout)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE initlab (written INTEGER)")
        connection.rollback()


def runs_with_fingerprints(
    database: Path, experiment_id: str, fingerprints: Collection[str]
) -> list[str] | None:
    """Return the ids of the runs of an experiment that have one of these fingerprints.

    MLflow cannot ask for several values of a tag at once, and goes through the tags of all runs for
    each value; this goes through them once.
    """
    with contextlib.suppress(sqlite3.Error), known_tables(database) as connection:
        if connection is None:
            return None
        rows = connection.execute(
            "SELECT run_uuid, value FROM tags JOIN runs USING (run_uuid) "
            "WHERE key = 'fingerprint' AND experiment_id = ? AND lifecycle_stage = 'active'",
            [experiment_id],
        )
        return [run_id for run_id, fingerprint in rows if fingerprint in fingerprints]
    return None


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
        rows = tables.execute(histories_query(len(names)), (run_id, *names))
        for name, step, value in rows:
            found.setdefault(name, []).append((step, value))
        return found
    return None


def histories_query(names: int) -> str:
    """Return the query for so many metrics of a run."""
    return (
        "SELECT key, step, value FROM metrics WHERE run_uuid = ? AND NOT is_nan "
        f"AND key IN ({', '.join('?' * names)}) ORDER BY key, step, timestamp"
    )
