"""A journal: the file, or the database, in which Optuna keeps studies."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from initlab.checks import one_line
from initlab.config import ConfigError
from initlab.tracking.provenance import mask_password

optuna.logging.set_verbosity(optuna.logging.ERROR)


class FolderLock(JournalFileOpenLock):
    """A lock that ends with its process.

    Optuna's `JournalFileOpenLock` is a file, which a killed process leaves behind, so that all
    others wait 30 seconds for it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file.with_name(f"{file.name}.lock")
        self.opened = -1

    def acquire(self) -> bool:
        """Wait for the lock."""
        import fcntl

        self.opened = os.open(self.file, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.opened, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self.opened)


def open_storage(place: str) -> BaseStorage:
    """Return the storage of studies that a text names: a database by its URL, else a journal."""
    if "://" in place:
        return RDBStorage(place)
    file = Path(place)
    file.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        return JournalStorage(JournalFileBackend(str(file)))
    mend(file)
    return JournalStorage(JournalFileBackend(str(file), lock_obj=FolderLock(file)))


def mend(file: Path) -> None:
    """Cut off the last line of a journal if a process or a disk has left it unfinished."""
    if not file.exists():
        return
    lock = FolderLock(file)
    lock.acquire()
    try:
        with file.open("r+b") as opened:
            kept = opened.read().rfind(b"\n") + 1
            opened.truncate(kept)
    finally:
        lock.release()


@contextlib.contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn whatever a storage may raise into a `ConfigError`."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"hydra.sweeper.storage={mask_password(place)}: cannot be used: {one_line(error)}\n"
            "It must be a file that can be written, or the URL of a database, such as "
            "sqlite:///studies.db"
        ) from error
