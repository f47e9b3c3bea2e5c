"""The schema of a SQLite store: made and upgraded so that a kill leaves no database half made.

MLflow makes and upgrades a database in place, in many steps. If it is interrupted, it can do
neither again ("table … already exists"). Here both happen in a draft, another file, which takes the
place of the database in one step.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from mlflow import __version__
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from initlab.process import pid_exists
from initlab.tracking import sqlite

DRAFT = ".new-"  # between the name of the database and the number of the process


class SchemaError(sqlite.Error):
    """A database that is not MLflow's, or not of a version that can be used here."""


def make_ready(database: Path) -> Path | None:
    """Make MLflow's database if there is none, and upgrade one of an older version.

    The caller keeps other processes from doing the same. Returns where the database as it was
    before an upgrade is kept. Raises `SchemaError` if the file is not of MLflow, is of a newer
    version, or was left by an upgrade that was interrupted.
    """
    remove_drafts(database)
    tables = sqlite.tables_of(database) if database.exists() else set()
    if not tables:
        with draft_of(database) as draft:
            create(draft)
            put_in_place(draft, database)
        return None
    found = revision(database, tables)
    if found == installed_revision():
        return None
    refuse_newer(found)
    with draft_of(database) as draft:
        sqlite.copy(database, draft)
        try:
            upgrade(draft)
        except (SQLAlchemyError, MlflowException) as error:
            if sqlite.has_runs(database):
                raise SchemaError(
                    "an upgrade of its schema was interrupted; put back the copy that was made "
                    "before the upgrade"
                ) from error
            draft.unlink()
            create(draft)
        kept = keep(database, found)
        os.replace(draft, database)
    return kept


def refuse_unready(database: Path) -> None:
    """Raise `SchemaError` for a database that `make_ready` would make, upgrade or refuse."""
    tables = sqlite.tables_of(database)
    if not tables:
        raise SchemaError("it is empty")
    found = revision(database, tables)
    if found == installed_revision():
        return
    refuse_newer(found)
    raise SchemaError(
        f"its schema is not the one of MLflow {__version__}; the next run that is recorded in it "
        "upgrades it, and keeps a copy"
    )


def revision(database: Path, tables: set[str]) -> str:
    """Return the revision of MLflow's schema, "" if it was left half made before the first.

    Raises `SchemaError` if its tables are not MLflow's.
    """
    if "experiments" not in tables:
        raise SchemaError("it is a database of another program than MLflow")
    return sqlite.revision_of(database) if "alembic_version" in tables else ""


def refuse_newer(found: str) -> None:
    """Raise `SchemaError` for a revision that the installed MLflow does not know."""
    try:
        scripts().get_revisions(found or "base")
    except CommandError as error:
        raise SchemaError(
            f"its schema ({found}) is unknown to MLflow {__version__}, which is installed here; "
            "a newer MLflow can read it"
        ) from error


@functools.cache
def scripts() -> ScriptDirectory:
    """Return MLflow's migrations."""
    return ScriptDirectory.from_config(utils._get_alembic_config(db_url=""))  # type: ignore[no-untyped-call]


@functools.cache
def installed_revision() -> str:
    """Return the revision of the schema that the installed MLflow wants."""
    return str(scripts().get_current_head())


def create(database: Path) -> None:
    """Make MLflow's tables in a new file."""
    with engine_of(database) as engine:
        utils._initialize_tables(engine)  # type: ignore[no-untyped-call]


def upgrade(database: Path) -> None:
    """Bring MLflow's tables to the revision of the installed MLflow."""
    with engine_of(database) as engine:
        utils._upgrade_db(engine)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def engine_of(draft: Path) -> Iterator[Engine]:
    """Give an engine for a draft, which need not be on the disk before it is whole."""
    engine = create_engine(URL.create("sqlite", database=str(draft)))

    event.listen(engine, "connect", sqlite.leave_unsynchronized)
    try:
        yield engine
    finally:
        engine.dispose()
    with draft.open("rb+") as file:
        os.fsync(file)


@contextlib.contextmanager
def draft_of(database: Path) -> Iterator[Path]:
    """Give the name of a file beside a database, and remove it in the end."""
    draft = database.with_name(f"{database.name}{DRAFT}{os.getpid()}")
    try:
        yield draft
    finally:
        for file in draft.parent.glob(f"{draft.name}*"):  # and its journal
            file.unlink(missing_ok=True)


def remove_drafts(database: Path) -> None:
    """Remove the drafts of processes that were killed."""
    for file in database.parent.glob(f"{database.name}{DRAFT}*"):
        number = file.name.removeprefix(f"{database.name}{DRAFT}").partition("-")[0]
        if number.isdecimal() and not pid_exists(int(number)):
            file.unlink(missing_ok=True)


def put_in_place(draft: Path, database: Path) -> None:
    """Give a draft the name of a database, unless another process was faster."""
    if database.exists():  # without tables
        os.replace(draft, database)
        return
    try:
        os.link(draft, database)
    except FileExistsError:
        return
    except OSError:  # not every file system has links
        os.rename(draft, database)


def keep(database: Path, found: str) -> Path:
    """Give a database a second name, which stays when another takes the first; return it."""
    for number in itertools.count(1):
        suffix = (found or "half-made") + (f"-{number}" if number > 1 else "")
        kept = database.with_name(f"{database.name}.{suffix}")
        if kept.exists() and kept.samefile(database):  # of a process that was killed just then
            return kept
        try:
            os.link(database, kept)
        except FileExistsError:
            continue
        except OSError:  # not every file system has links
            sqlite.copy(database, kept)
        return kept
    raise AssertionError
