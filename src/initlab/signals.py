"""Signals: what Ctrl-C and SIGTERM may interrupt, and what not."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

PATIENCE = 3  # times that Ctrl-C is put off, so that nobody waits for ever for a server


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until the end, so that a run is never left RUNNING."""
    came: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if came.count(signal.SIGINT) > PATIENCE:
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
        if came:
            signal.raise_signal(came[0])
