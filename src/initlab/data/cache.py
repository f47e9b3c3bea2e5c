"""Cache: arrays decoded once, and memory-mapped from then on.

It lies in the user's cache folder (`XDG_CACHE_HOME` moves it) under `initlab/decoded`, one file a
source, and may be deleted at any time. `joblib.Memory` does much the same, but its import would
delay every start by 0.1 s, a damaged entry makes it print a traceback, and a folder that it cannot
write is an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYOUT = 2  # to be raised when what is stored changes

NamedArray = tuple[str, NDArray[Any]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Contents:
    """Read-only arrays by name, and a hash of them all."""

    arrays: dict[str, NDArray[Any]]
    sha256: str


def cached(kind: str, source: str, read: Callable[[], Iterable[NamedArray]]) -> Contents:
    """Return the arrays that `read` yields, from the cache if it has them.

    `source` is what the arrays depend on; the cache keeps only the latest of each `kind`. Where
    the cache cannot be written, the arrays stay in memory.
    """
    file = user_folder() / "decoded" / kind / f"{short_hash(f'{LAYOUT} {source}')}.npy"
    contents = _open(file)
    if contents is None:
        contents = _in_memory(read())
        try:
            _store(file, contents)
        except (OSError, ValueError) as error:  # NumPy refuses a record of 2 GB
            log.warning("the data are decoded in every run: cannot write the cache (%s)", error)
        contents = _open(file) or contents
    return contents


def user_folder() -> Path:
    """Return the folder in which this user's files of initlab are kept."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("initlab"))


def short_hash(text: str) -> str:
    """Return 16 hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _in_memory(named: Iterable[NamedArray]) -> Contents:
    arrays = dict(named)
    about = {}
    for name, array in arrays.items():
        array.flags.writeable = False
        sha256 = hashlib.sha256(array.reshape(-1).data).hexdigest()
        about[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": sha256}
    return Contents(arrays, hashlib.sha256(json.dumps(about).encode()).hexdigest())


def _open(file: Path) -> Contents | None:
    """Map the arrays stored in a file; None where it is absent, cut short or another."""
    try:
        # As a plain array, because indexing a memmap costs more.
        record = np.asarray(np.load(file, mmap_mode="r"))
        arrays = {name: record[name] for name in record.dtype.names or ()}
        sha256 = bytes(arrays.pop("sha256")).decode()
    except (OSError, EOFError, ValueError, KeyError):
        return None
    return Contents(arrays, sha256)


def _store(file: Path, contents: Contents) -> None:
    """Write the arrays as one record, at once for other processes, and drop older files."""
    named = contents.arrays.items()
    fields = [(name, array.dtype, array.shape) for name, array in named]
    record = np.zeros((), np.dtype([("sha256", "S64"), *fields], align=True))
    record["sha256"] = contents.sha256
    for name, array in named:
        record[name] = array
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.TemporaryDirectory(dir=file.parents[1], ignore_cleanup_errors=True)
    with scratch as folder:
        whole = Path(folder, file.name)
        np.save(whole, record)
        whole.replace(file)
    for other in file.parent.iterdir():
        if other != file:
            with contextlib.suppress(OSError):
                other.unlink()
