"""This process: what may interrupt it, its environment, its garbage collector, and who it is."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from types import FrameType

PATIENCE = 3  # times that Ctrl-C is deferred, or a server that hangs could not be interrupted


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM until the end, so that a run is never left RUNNING."""
    received: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if received.count(signal.SIGINT) > PATIENCE:
            raise KeyboardInterrupt

    held = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, hold) for number in held]
    except ValueError:  # only the main thread may set handlers, and only it is interrupted
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(held, before, strict=True):
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


@contextlib.contextmanager
def environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set variables for a while, for libraries and child processes that read them."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the garbage collector while something large is imported.

    MLflow makes a quarter of a million objects that all stay. Searching them again whenever they
    have grown by a quarter would take a fifth of the import.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@functools.cache
def freeze_imports() -> None:
    """Leave all that was imported so far out of later garbage collections, once.

    MLflow makes many small objects, and each collection would double what recording costs.
    """
    gc.freeze()


def identity() -> dict[str, str]:
    """Return tags of this process, by which `is_gone` can tell whether it still runs."""
    import psutil

    return {
        "process.host": socket.gethostname(),
        "process.pid": str(os.getpid()),
        "process.started": str(psutil.Process().create_time()),
    }


def is_this_process(tags: Mapping[str, str]) -> bool:
    """Return whether these tags are of this process."""
    return identity().items() <= tags.items()


def is_gone(tags: Mapping[str, str]) -> bool:
    """Return whether the process of these tags ran on this host and has ended."""
    import psutil

    if tags.get("process.host") != socket.gethostname():
        return False
    try:
        started = psutil.Process(int(tags["process.pid"])).create_time()
    except psutil.NoSuchProcess:
        return True
    # Process numbers are used again: one that started at another time is another process.
    return abs(started - float(tags["process.started"])) > 1
