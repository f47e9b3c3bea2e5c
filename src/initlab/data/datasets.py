"""Data: the examples a network reads."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from initlab import checks
from initlab.data import idx
from initlab.data.arrays import Labels
from initlab.data.cache import Contents, NamedArray, cached, short_hash, user_folder

ARRAYS = ["train_x", "train_labels", "test_x", "test_labels"]

# Metadata of a setting on which no number depends: where things are and how they are fetched.
INCIDENTAL = {"incidental": True}


class DataError(checks.UserError):
    """The data are missing, damaged or too few."""


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
        return self.part(slice(count))

    def part(self, rows: slice) -> Samples:
        """Return some of the examples, without copying them."""
        labels = None if self.labels is None else self.labels[rows]
        return Samples(self.x[rows], labels, self.scale)


@dataclass(frozen=True, eq=False)
class Data:
    """Examples to train, to choose settings and to test by.

    validation  held out of the training examples, which hold none of them; may be empty
    features    I, the width of the network's input
    classes     the width of its output
    sha256      of the whole source's contents (before `train_size`), for fingerprints
    """

    train: Samples
    validation: Samples
    test: Samples
    features: int
    classes: int
    sha256: str


class Outline(NamedTuple):
    """What is known of data that are not loaded.

    examples  to train on
    features  I, the width of the network's input
    classes   the width of its output
    """

    examples: int
    features: int
    classes: int


@dataclass
class Dataset(ABC):
    """A choice of examples."""

    labelled: ClassVar[bool] = True

    @property
    @abstractmethod
    def outline(self) -> Outline:
        """What is known without loading."""

    @abstractmethod
    def load(self, rng: np.random.Generator) -> Data:
        """Return the examples; only data that are random draw from `rng`. Raises DataError."""

    def at_hand(self, rng: np.random.Generator) -> Data | None:
        """Return what `load` does, None where that would download or draw. Raises DataError."""
        return self.load(rng)


@dataclass
class Digits(Dataset):
    """1,797 handwritten 8 x 8 digits that ship inside scikit-learn: 1,437 to train, 360 to test.

    Values 0 to 16, shuffled once and for all. Source: Alpaydin & Kaynak 1998, UCI "Optical
    Recognition of Handwritten Digits", its test set.

    train_size  train on the first so many examples; None for all
    validation  the share of those, from their end, that is held out to choose settings by
    """

    train_size: int | None = None
    validation: float = 0.0

    def __post_init__(self) -> None:
        _check_split(self.train_size, self.validation)

    @property
    def outline(self) -> Outline:
        return Outline(_share(1437, self.train_size, self.validation), 64, 10)

    def load(self, rng: np.random.Generator) -> Data:
        from importlib.metadata import version

        source = f"scikit-learn {version('scikit-learn')}"
        contents = cached("digits", source, _read_digits)
        return _data(contents, 1 / 16, self.train_size, self.validation)


@dataclass
class IdxFiles(Dataset):
    """The four gzipped IDX files of MNIST, or of a set published in its form; values 0 to 255.

    name        of the set, and of its folder under $INITLAB_DATA or the user's cache
    root        the folder that holds the four files instead
    mirrors     addresses to download from the files that are not there
    sha256      file name -> hash, which a download must match, but not a file that is there
    train_size  train on the first so many examples; None for all
    validation  the share of those, from their end, that is held out to choose settings by
    timeout     seconds that a mirror may stay silent
    """

    name: str
    root: str | None = field(default=None, metadata=INCIDENTAL)
    mirrors: list[str] = field(default_factory=list, metadata=INCIDENTAL)
    sha256: dict[str, str] = field(default_factory=dict, metadata=INCIDENTAL)
    train_size: int | None = None
    validation: float = 0.0
    timeout: float = field(default=30.0, metadata=INCIDENTAL)

    def __post_init__(self) -> None:
        _check_split(self.train_size, self.validation)
        checks.positive("timeout", self.timeout)
        checks.within("timeout", self.timeout, 0, 86_400)
        if self.root is not None and not self.root.strip():
            raise ValueError(f"root must be null or the name of a folder; got {self.root!r}")
        if self.name in ("", ".", "..") or Path(self.name).name != self.name:
            raise ValueError(f"name must be the name of a folder; got {self.name!r}")
        if self.mirrors and set(self.sha256) != set(idx.FILES):
            given = ", ".join(self.sha256) or "none"
            raise ValueError(f"sha256 must have a hash for {', '.join(idx.FILES)}; got {given}")

    @property
    def outline(self) -> Outline:
        """That of MNIST, in whose place others are published."""
        return Outline(_share(60_000, self.train_size, self.validation), 784, 10)

    def at_hand(self, rng: np.random.Generator) -> Data | None:
        root = self.existing_root()
        whole = all(os.path.exists(root / file) for file in idx.FILES)
        return self.load(rng) if whole else None

    def load(self, rng: np.random.Generator) -> Data:
        root = self.existing_root()
        try:
            idx.fetch(root, self.mirrors, self.sha256, self.timeout)
        except idx.IdxError as error:
            raise DataError(f"{error}\n{_manual_download(root)}") from error

        stats = [(file, (root / file).stat()) for file in idx.FILES]
        source = str([(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats])
        kind = f"{self.name}-{short_hash(str(root))}"
        try:
            contents = cached(kind, source, lambda: idx.read_set(root))
        except idx.IdxError as error:
            raise DataError(f"{error}\n{self._remedy()}") from error
        return _data(contents, 1 / 255, self.train_size, self.validation)

    def existing_root(self) -> Path:
        """Return the folder; raises `DataError` if it was named and does not exist."""
        root = self.folder().resolve()
        if self.root is not None and not os.path.isdir(root):  # a name may be too long
            message = f"data.root={self.root}: there is no such folder"
            raise DataError(f"{message}\n{_manual_download(root)}")
        return root

    def folder(self) -> Path:
        """Return `root`, else $INITLAB_DATA/name, else a folder in the user's cache."""
        parent = os.environ.get("INITLAB_DATA")
        if self.root is not None:
            return Path(os.path.expanduser(self.root))  # also of a user who is unknown
        return (Path(parent).expanduser() if parent else user_folder()) / self.name

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
        for name in ("samples", "features", "classes"):
            checks.at_least(name, getattr(self, name), 1, checks.LARGEST_SIZE)

    @property
    def outline(self) -> Outline:
        return Outline(self.samples, self.features, self.classes)

    def at_hand(self, rng: np.random.Generator) -> Data | None:
        return None

    def load(self, rng: np.random.Generator) -> Data:
        x = rng.standard_normal((self.samples, self.features))
        x.flags.writeable = False
        train, none = Samples(x, None, 1.0), Samples(x[:0], None, 1.0)
        sha256 = hashlib.sha256(x.data).hexdigest()
        return Data(train, none, none, self.features, self.classes, sha256)


def _check_split(train_size: int | None, validation: float) -> None:
    if train_size is not None:
        checks.at_least("train_size", train_size, 1)
    checks.fraction("validation", validation)


def _manual_download(root: Path) -> str:
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


def _data(contents: Contents, scale: float, train_size: int | None, validation: float) -> Data:
    train_x, train_labels, test_x, test_labels = (contents.arrays[name] for name in ARRAYS)
    if train_size is not None and train_size > len(train_x):
        raise DataError(
            f"data.train_size must be at most {len(train_x)}, the number of training examples; "
            f"got {train_size}"
        )
    train = Samples(train_x, train_labels, scale).first(train_size or len(train_x))
    count = _training_count(len(train), validation)
    return Data(
        train=train.first(count),
        validation=train.part(slice(count, None)),
        test=Samples(test_x, test_labels, scale),
        features=train_x.shape[-1],
        classes=int(train_labels.max()) + 1,
        sha256=contents.sha256,
    )


def _share(count: int, train_size: int | None, validation: float) -> int:
    """Return how many of so many published examples there are to train on."""
    return _training_count(min(count, train_size or count), validation)


def _training_count(count: int, validation: float) -> int:
    """Return how many of the examples are left to train on."""
    if not validation:
        return count
    if count < 2:
        raise DataError(
            f"data.validation must be 0 where there is but one training example; got {validation}"
        )
    return min(max(count - round(validation * count), 1), count - 1)
