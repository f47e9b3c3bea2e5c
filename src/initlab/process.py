"""This process: what may interrupt it, its environment, its garbage collector, and who it is."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import NoReturn

# What asks a process to end: Ctrl-C, kill, and the end of its terminal.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
PATIENCE = 3  # times that Ctrl-C is deferred, or a server that hangs could not be interrupted


stops: list[int] = []  # the signals that have interrupted what this process was doing


def interrupt(number: int, frame: FrameType | None = None) -> NoReturn:
    """Raise what lets a run be closed: the handler of stop signals."""
    stops.append(number)
    raise_stop(number)


def raise_stop(number: int) -> NoReturn:
    """Raise what a stop signal stands for."""
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def check_stops() -> None:
    """Raise an interrupt again that was lost on its way.

    It may come at any place of a library. OmegaConf, amid a copy, makes an AttributeError of it,
    and from a destructor nothing comes through at all.
    """
    if stops:
        raise_stop(stops[0])


def handle_stops() -> None:
    """Let stop signals interrupt this process from now on."""
    stops.clear()
    for number in listened_signals():
        if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


@contextlib.contextmanager
def signals_deferred() -> Iterator[None]:
    """Defer what asks this process to end, so that a run is never left RUNNING."""
    received: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if received.count(signal.SIGINT) > PATIENCE:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # the one that is interrupted
        yield
        return
    before = {number: signal.signal(number, hold) for number in listened_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def listened_signals() -> list[signal.Signals]:
    """Return those of `STOP_SIGNALS` that end this process, without SIGHUP under nohup."""
    return [number for number in STOP_SIGNALS if not is_nohup(number)]


def is_nohup(number: signal.Signals) -> bool:
    """Return whether a signal is SIGHUP, and this process was started so as to ignore it."""
    return number.name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN


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
    """Pause the garbage collector while something large is imported or read.

    MLflow makes a quarter of a million objects that all stay. Searching them again whenever they
    have grown by a quarter would take a fifth of the import, and more than half of a long search
    for runs.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@functools.cache
def freeze_imports() -> None:
    """Leave all that was imported so far out of later garbage collections, once.

    MLflow makes many small objects, and each collection would double what recording costs.
    """
    gc.freeze()


OWN = "process"  # the first word of the tags of the process that a run was made in
HEAD = "head"  # the same for the process that started its sweep, perhaps on another host


def identity(prefix: str = OWN) -> dict[str, str]:
    """Return tags of this process, by which `is_gone` can tell whether it still runs."""
    import psutil

    return {
        f"{prefix}.host": socket.gethostname(),
        f"{prefix}.pid": str(os.getpid()),
        f"{prefix}.started": str(psutil.Process().create_time()),
    }


def is_here(tags: Mapping[str, str], prefix: str = OWN) -> bool:
    """Return whether the process of these tags ran on this host."""
    return tags.get(f"{prefix}.host") == socket.gethostname()


def is_this_process(tags: Mapping[str, str], prefix: str = OWN) -> bool:
    """Return whether these tags are of this process."""
    return identity(prefix).items() <= tags.items()


def is_elsewhere(tags: Mapping[str, str], prefix: str = OWN) -> bool:
    """Return whether the process of these tags runs on this host, and is not this one."""
    here = is_here(tags, prefix)
    return here and not is_this_process(tags, prefix) and not is_gone(tags, prefix)


def pid_exists(number: int) -> bool:
    """Return whether a process of this number runs on this host."""
    import psutil

    return bool(psutil.pid_exists(number))


def is_gone(tags: Mapping[str, str], prefix: str = OWN) -> bool:
    """Return whether the process of these tags ran on this host and has ended."""
    import psutil

    if not is_here(tags, prefix):
        return False
    try:
        started = psutil.Process(int(tags[f"{prefix}.pid"])).create_time()
    except psutil.NoSuchProcess:
        return True
    # Process numbers are used again: one that started at another time is another process.
    return abs(started - float(tags[f"{prefix}.started"])) > 1
