"""Garbage: where Python need not look for any."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def unsearched() -> Iterator[None]:
    """Import in here: nothing is searched for garbage until the end.

    What is imported stays. MLflow is a quarter of a million objects, and to search them all each
    time they have become a quarter more takes a fifth of the import. Whoever wants them left out of
    later searches as well calls gc.freeze before the end.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
