"""Cache: arrays decoded once, and memory-mapped from then on.

It lies in the user's cache folder (`XDG_CACHE_HOME` moves it) under `initlab/decoded`, one folder
a source, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYOUT = 1  # to be raised when what is stored changes

NamedArray = tuple[str, NDArray[Any]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Contents:
    """Read-only arrays by name, and `about` each its dtype, shape and SHA-256."""

    arrays: dict[str, NDArray[Any]]
    about: dict[str, Any]

    @property
    def sha256(self) -> str:
        """A hash of all contents."""
        return hashlib.sha256(json.dumps(self.about).encode()).hexdigest()


def cached(
    kind: str, source: str, names: Sequence[str], read: Callable[[], Iterable[NamedArray]]
) -> Contents:
    """Return the arrays of these names that `read` yields, from the cache if it has them.

    `source` is what the arrays depend on; the cache keeps only the latest of each `kind`. Where
    the cache cannot be written, the arrays are read into memory.
    """
    folder = user_folder() / "decoded" / kind / short_hash(f"{LAYOUT} {source}")
    contents = _open(folder, names)
    if contents is None:
        try:
            _store(folder, read())
        except OSError as error:
            log.warning("the data are decoded in every run: cannot write the cache (%s)", error)
        contents = _open(folder, names)
    return contents or _in_memory(read())


def user_folder() -> Path:
    """Return the folder in which this user's files of initlab are kept."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("initlab"))


def short_hash(text: str) -> str:
    """Return 16 hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _about(array: NDArray[Any]) -> dict[str, Any]:
    sha256 = hashlib.sha256(array.reshape(-1).data).hexdigest()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": sha256}


def _open(folder: Path, names: Sequence[str]) -> Contents | None:
    """Map the arrays stored in `folder`; None where one is absent, cut short or another."""
    try:
        about = json.loads((folder / "about.json").read_text())
        arrays = {}
        for name in names:
            # A view as a plain array, because indexing a memmap costs more.
            array = np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
            if [array.dtype.str, list(array.shape)] != [about[name]["dtype"], about[name]["shape"]]:
                return None
            arrays[name] = array
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    return Contents(arrays, about)


def _store(folder: Path, arrays: Iterable[NamedArray]) -> None:
    """Write `folder` all at once, whatever other processes do, and drop its older siblings."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    decoded = folder.parents[1]
    with tempfile.TemporaryDirectory(dir=decoded, ignore_cleanup_errors=True) as scratch:
        entry = Path(scratch, "entry")
        entry.mkdir()
        about = {}
        for name, array in arrays:
            np.save(entry / f"{name}.npy", array)
            about[name] = _about(array)
        (entry / "about.json").write_text(json.dumps(about))
        try:
            entry.rename(folder)
        except OSError:  # another process was first, or a damaged entry is in the way
            if _open(folder, list(about)) is None:
                folder.rename(Path(scratch, "damaged"))
                entry.rename(folder)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _in_memory(named: Iterable[NamedArray]) -> Contents:
    arrays = dict(named)
    for array in arrays.values():
        array.flags.writeable = False
    return Contents(arrays, {name: _about(array) for name, array in arrays.items()})
