"""Data: the examples a network reads, decoded once into a cache and memory-mapped from then on.

The cache lies in the user's cache folder (`XDG_CACHE_HOME` moves it) under `initlab/decoded`, one
folder a source, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from initlab import checks, idx
from initlab.arrays import Labels

ARRAYS = ["train_x", "train_labels", "test_x", "test_labels"]
LAYOUT = 1  # of the cache; to be raised when what is stored changes

NamedArray = tuple[str, NDArray[Any]]

log = logging.getLogger(__name__)


class DataError(Exception):
    """Data that cannot be had; the message, often of several lines, is for the user."""


@dataclass(frozen=True, eq=False)
class Samples:
    """n examples as stored, read-only.

    x       (n, I) uint8 or float64; multiply by `scale` to get the network's input
    labels  (n,) int64 from 0, or None
    """

    x: NDArray[Any]
    labels: Labels | None
    scale: float

    def __len__(self) -> int:
        return len(self.x)

    def first(self, count: int) -> Samples:
        """Return the first `count` examples, or all where there are fewer."""
        labels = None if self.labels is None else self.labels[:count]
        return Samples(self.x[:count], labels, self.scale)


@dataclass(frozen=True, eq=False)
class Data:
    """Examples to train and test on.

    features  I, the width of the network's input
    classes   the width of its output
    sha256    of the whole source's contents (before `train_size`), for fingerprints
    """

    train: Samples
    test: Samples
    features: int
    classes: int
    sha256: str


@dataclass
class Dataset(ABC):
    """A choice of examples."""

    labelled: ClassVar[bool] = True

    @abstractmethod
    def load(self, rng: np.random.Generator) -> Data:
        """Return the examples; only data that are random draw from `rng`. Raises DataError."""


@dataclass
class Digits(Dataset):
    """1,797 handwritten 8 x 8 digits that ship inside scikit-learn: 1,437 to train, 360 to test.

    Values 0 to 16, shuffled once and for all. Source: Alpaydin & Kaynak 1998, UCI "Optical
    Recognition of Handwritten Digits", its test set.
    """

    train_size: int | None = None

    def __post_init__(self) -> None:
        _check_train_size(self.train_size)

    def load(self, rng: np.random.Generator) -> Data:
        from importlib.metadata import version

        contents = _cached("digits", f"scikit-learn {version('scikit-learn')}", _read_digits)
        return contents.data(1 / 16, self.train_size)


@dataclass
class IdxFiles(Dataset):
    """The four gzipped IDX files of MNIST, or of a set published in its form; values 0 to 255.

    name        of the set, and of its folder under $INITLAB_DATA or the user's cache
    root        the folder that holds the four files instead
    mirrors     addresses to download from the files that are not there
    sha256      file name -> hash, which a download must match, but not a file that is there
    train_size  train on the first so many examples; None for all
    timeout     seconds that a mirror may stay silent
    """

    name: str
    root: str | None = None
    mirrors: list[str] = field(default_factory=list)
    sha256: dict[str, str] = field(default_factory=dict)
    train_size: int | None = None
    timeout: float = 30.0

    def __post_init__(self) -> None:
        _check_train_size(self.train_size)
        checks.positive("timeout", self.timeout)
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"name must be the name of a folder; got {self.name!r}")
        if self.mirrors and set(self.sha256) != set(idx.FILES):
            given = ", ".join(self.sha256) or "none"
            raise ValueError(f"sha256 must have a hash for {', '.join(idx.FILES)}; got {given}")

    def load(self, rng: np.random.Generator) -> Data:
        root = self.folder().resolve()
        try:
            idx.fetch(root, self.mirrors, self.sha256, self.timeout)
        except idx.IdxError as error:
            raise DataError(f"{error}\n{_put_files_there(root)}") from error

        stats = [(file, (root / file).stat()) for file in idx.FILES]
        source = str([(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats])
        kind = f"{self.name}-{_hash(str(root))}"
        try:
            contents = _cached(kind, source, lambda: idx.read_set(root))
        except idx.IdxError as error:
            raise DataError(f"{error}\n{self._remedy()}") from error
        return contents.data(1 / 255, self.train_size)

    def folder(self) -> Path:
        """Return `root`, else $INITLAB_DATA/name, else a folder in the user's cache."""
        parent = os.environ.get("INITLAB_DATA")
        if self.root is not None:
            return Path(self.root).expanduser()
        return (Path(parent).expanduser() if parent else _user_cache()) / self.name

    def _remedy(self) -> str:
        if not self.mirrors:
            return "Replace the file by a sound one."
        if self.root is None and not os.environ.get("INITLAB_DATA"):
            return "Delete the file and run again: it will be downloaded afresh."
        return f"Replace the file, or delete it: the next run will download that of {self.name}."


@dataclass
class Gaussian(Dataset):
    """Inputs drawn from N(0, 1), for signal propagation: no labels and no test set.

    `classes` is the width of the network's output.
    """

    labelled: ClassVar[bool] = False

    samples: int = 1000
    features: int = 100
    classes: int = 10

    def __post_init__(self) -> None:
        checks.at_least("samples", self.samples, 1)
        checks.at_least("features", self.features, 1)
        checks.at_least("classes", self.classes, 1)

    def load(self, rng: np.random.Generator) -> Data:
        x = rng.standard_normal((self.samples, self.features))
        x.flags.writeable = False
        train, test = Samples(x, None, 1.0), Samples(x[:0], None, 1.0)
        return Data(train, test, self.features, self.classes, hashlib.sha256(x.data).hexdigest())


def _check_train_size(size: int | None) -> None:
    if size is not None:
        checks.at_least("train_size", size, 1)


def _put_files_there(root: Path) -> str:
    files = "".join(f"\n  {file}" for file in idx.FILES)
    return (
        f"Put these four files into {root}:{files}\n"
        "or set data.root to a folder that holds them, or INITLAB_DATA to one that holds that\n"
        "folder under the set's name. data=digits needs no download."
    )


def _read_digits() -> Iterator[NamedArray]:
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits = load_digits()
    # RandomState, because NumPy promises never to change its stream: the split is for ever.
    order = np.random.RandomState(0).permutation(len(digits.data))
    for part, rows in [("train", order[:1437]), ("test", order[1437:])]:
        yield f"{part}_x", digits.data[rows].astype(np.uint8)
        yield f"{part}_labels", digits.target[rows].astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Contents:
    """The arrays of a data set by name, and `about` each its dtype, shape and SHA-256."""

    arrays: dict[str, NDArray[Any]]
    about: dict[str, Any]

    def data(self, scale: float, train_size: int | None) -> Data:
        train_x, train_labels, test_x, test_labels = (self.arrays[name] for name in ARRAYS)
        if train_size is not None and train_size > len(train_x):
            raise DataError(
                f"data.train_size must be at most {len(train_x)}, the number of training examples; "
                f"got {train_size}"
            )
        return Data(
            train=Samples(train_x, train_labels, scale).first(train_size or len(train_x)),
            test=Samples(test_x, test_labels, scale),
            features=train_x.shape[-1],
            classes=int(train_labels.max()) + 1,
            sha256=hashlib.sha256(json.dumps(self.about).encode()).hexdigest(),
        )


def _cached(kind: str, source: str, read: Callable[[], Iterable[NamedArray]]) -> _Contents:
    """Return what `read` yields, from the cache if it has been read before.

    `source` is what the arrays depend on; the cache keeps only the latest of each `kind`. Where
    the cache cannot be written, the arrays are read into memory.
    """
    folder = _user_cache() / "decoded" / kind / _hash(f"{LAYOUT} {source}")
    contents = _open(folder)
    if contents is None:
        try:
            _store(folder, read())
        except OSError as error:
            log.warning("the data are decoded in every run: cannot write the cache (%s)", error)
        contents = _open(folder)
    return contents or _in_memory(read())


def _user_cache() -> Path:
    import pooch  # type: ignore[import-untyped]

    return Path(pooch.os_cache("initlab"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _about(array: NDArray[Any]) -> dict[str, Any]:
    sha256 = hashlib.sha256(array.reshape(-1).data).hexdigest()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": sha256}


def _open(folder: Path) -> _Contents | None:
    """Map the arrays stored in `folder`; None where one is absent, cut short or another."""
    try:
        about = json.loads((folder / "about.json").read_text())
        arrays = {}
        for name in ARRAYS:
            # A view as a plain array, because indexing a memmap costs more.
            array = np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
            if [array.dtype.str, list(array.shape)] != [about[name]["dtype"], about[name]["shape"]]:
                return None
            arrays[name] = array
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    return _Contents(arrays, about)


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
            if _open(folder) is None:
                folder.rename(Path(scratch, "damaged"))
                entry.rename(folder)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _in_memory(named: Iterable[NamedArray]) -> _Contents:
    arrays = dict(named)
    for array in arrays.values():
        array.flags.writeable = False
    return _Contents(arrays, {name: _about(array) for name, array in arrays.items()})
