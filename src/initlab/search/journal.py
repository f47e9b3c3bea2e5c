"""A journal: the file, or the database, in which Optuna keeps studies."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import NullPool, create_engine, inspect, make_url

from initlab.checks import one_line
from initlab.config import ConfigError
from initlab.text import mask_password

SQLITE = b"SQLite format 3\0"  # how such a file begins
RECORD = b'{"op_code":'  # how Optuna begins each line of a journal
WANTED = (
    "It must be a file that can be written, or the URL of a database, such as sqlite:///studies.db"
)

optuna.logging.set_verbosity(optuna.logging.ERROR)


class FolderLock(JournalFileOpenLock):
    """A lock that ends with its process.

    Optuna's `JournalFileOpenLock` is a file, which a killed process leaves behind, so that all
    others wait 30 seconds for it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lock = file.with_name(f"{file.name}.lock")
        self.opened = -1

    def acquire(self) -> bool:
        """Wait for the lock, and leave the journal with whole lines."""
        import fcntl

        self.opened = os.open(self.lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.opened, fcntl.LOCK_EX)
        mend(self.file)
        return True

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self.opened)


def open_storage(place: str) -> BaseStorage:
    """Return the storage of studies that a text names: a database by its URL, else a journal.

    Raises `ConfigError` for what is there and is neither, and leaves it as it is.
    """
    if "://" in place:
        refuse_other_database(place)
        return RDBStorage(place)
    file = Path(place)
    refuse_other_file(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        return JournalStorage(JournalFileBackend(str(file)))
    return JournalStorage(JournalFileBackend(str(file), lock_obj=FolderLock(file)))


def refuse_other_file(file: Path) -> None:
    """Raise `ConfigError` for a file that is there and no journal."""
    if not file.exists():
        return
    if not file.is_file():
        raise refusal(file, "this is a folder" if file.is_dir() else "this is no file")
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            if number == 1 and line.startswith(SQLITE):
                raise refusal(file, "this is a SQLite database, which is named by a URL")
            unfinished = not line.endswith(b"\n")
            if unfinished and (number > 1 or line[: len(RECORD)] == RECORD[: len(line)]):
                return
            if unfinished or not is_record(line):
                raise refusal(file, f"this is no journal of Optuna: see its line {number}")


def is_record(line: bytes) -> bool:
    """Return whether a line of a file is a record of a journal."""
    if line.startswith(RECORD):  # as Optuna writes it, and so to be read in a fraction of the time
        return True
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and "op_code" in record


def refuse_other_database(url: str) -> None:
    """Raise `ConfigError` for a database of something else, which would get Optuna's tables."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        name = parts.database or ":memory:"
        if name == ":memory:":
            raise refusal(url, "other processes could not read a database in memory")
        if not name.startswith("file:"):
            if not Path(name).exists():
                return
            if not Path(name).is_file():
                raise refusal(url, "this is no file")
    tables = {*inspect(create_engine(parts, poolclass=NullPool)).get_table_names()}
    if tables and "studies" not in tables:
        raise refusal(url, "this is the database of another program")


def refusal(place: str | Path, reason: str) -> ConfigError:
    """Return the error that says why nothing can be kept at a place."""
    return ConfigError(
        f"hydra.sweeper.storage={mask_password(str(place))}: cannot be used: {reason}\n{WANTED}"
    )


def mend(file: Path) -> None:
    """Cut off the last line of a journal if a process or a disk has left it unfinished."""
    with file.open("r+b") as opened:
        end = opened.seek(0, os.SEEK_END)
        opened.seek(max(0, end - 1))
        if opened.read(1) not in (b"", b"\n"):
            opened.seek(0)
            opened.truncate(opened.read().rfind(b"\n") + 1)


@contextlib.contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn whatever a storage may raise into a `ConfigError`."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise refusal(place, one_line(error)) from error
