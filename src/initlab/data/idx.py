"""IDX files, the format MNIST is published in: fetched from mirrors, checked, and read as arrays.

A file is a gzipped array of unsigned bytes: a magic number 0x000008dd with dd the number of axes,
the length of each axis, both as big-endian 32-bit integers, and the bytes in C order (LeCun, Cortes
& Burges, "The MNIST database of handwritten digits", section "File formats").
"""

from __future__ import annotations

import gzip
import logging
import math
import os
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
FILES = [file for part in PARTS.values() for file in part]

log = logging.getLogger(__name__)


class IdxError(Exception):
    """A file is missing or damaged; the message is for the user."""


def _mismatch(path: Path, expected: str, found: object) -> IdxError:
    return IdxError(f"{path}\n  expected {expected}\n  found {found}")


def _product(lengths: Sequence[int]) -> str:
    return " x ".join(str(length) for length in lengths)


def read(path: Path, axes: int) -> NDArray[np.uint8]:
    """Return the array in the file: (n, rows, columns) for images, (n,) for labels.

    Raises IdxError with the path, what was expected and what was found where the gzip stream is
    truncated or corrupt, the magic number is another, or the length is not the one announced.
    """
    content = bytearray()
    try:
        with gzip.open(path) as file:
            while chunk := file.read(1 << 20):
                content += chunk
    except (OSError, EOFError, zlib.error) as error:
        raise _mismatch(path, "a readable, intact gzip file", error) from error

    header = 4 + 4 * axes
    if len(content) < header:
        raise _mismatch(path, f"a header of {header} bytes", f"{len(content)} bytes in all")
    magic, *shape = struct.unpack(f">{1 + axes}I", content[:header])
    if magic != 0x800 + axes:
        expected = f"the magic number {0x800 + axes:#010x} (unsigned bytes, {axes} axes)"
        raise _mismatch(path, expected, f"{magic:#010x}")
    if 0 in shape:
        raise _mismatch(path, "at least one example", f"an array of {_product(shape)}")
    size = header + math.prod(shape)
    if len(content) != size:
        expected = f"{size} bytes when unzipped ({header} of header and {_product(shape)})"
        raise _mismatch(path, expected, f"{len(content)} bytes")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_set(root: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield train_x (n, I) uint8, train_labels (n,) int64, test_x and test_labels by name.

    Raises IdxError like `read`, and where the four files do not belong together.
    """
    train_images, train_labels = (root / file for file in PARTS["train"])
    for part, files in PARTS.items():
        images_path, labels_path = (root / file for file in files)
        images, labels = read(images_path, axes=3), read(labels_path, axes=1)
        size, top = images.shape[1:], int(labels.max())
        if part == "train":
            train_size, train_top = size, top
        if len(labels) != len(images):
            expected = f"{len(images)} labels, one for each image in {images_path}"
            raise _mismatch(labels_path, expected, f"{len(labels)} labels")
        if size != train_size:
            expected = f"images of {_product(train_size)} pixels as in {train_images}"
            raise _mismatch(images_path, expected, f"{_product(size)} pixels")
        if top > train_top:
            expected = f"labels from 0 to {train_top} as in {train_labels}"
            raise _mismatch(labels_path, expected, f"a label {top}")
        yield f"{part}_x", images.reshape(len(images), -1)
        yield f"{part}_labels", labels.astype(np.int64)


def fetch(root: Path, mirrors: Sequence[str], sha256: Mapping[str, str], timeout: float) -> None:
    """Download those of the four files that are missing from `root`; check only these.

    The name of the file is appended to the address of a mirror. They are tried in turn: one that
    does not answer for `timeout` seconds or sends other bytes than `sha256` says is passed over.
    A file gets its name only when it is whole and checked. Raises IdxError when no mirror is left.
    """
    mirrors = list(mirrors)
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        for file in FILES:
            if not os.path.exists(root / file):
                mirror = _first_that_works(root / file, mirrors, sha256.get(file), timeout)
                mirrors.sort(key=lambda other: other != mirror)
    finally:
        with suppress(OSError):  # where they hold a file
            for folder in made:
                folder.rmdir()


def _first_that_works(
    path: Path, mirrors: Sequence[str], sha256: str | None, timeout: float
) -> str:
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{path.name}"
        try:
            _download(url, path, sha256, timeout)
        except (OSError, ValueError) as error:  # those of requests are OSErrors
            failures.append(f"{url}\n    {_reason(error)}")
        else:
            for failure in failures:
                log.warning("passed over %s", failure)
            return mirror
    tried = "".join(f"\n  {failure}" for failure in failures) or "\n  there is no mirror to ask"
    raise IdxError(f"{path} is missing and could not be downloaded:{tried}")


def _download(url: str, path: Path, sha256: str | None, timeout: float) -> None:
    import pooch  # type: ignore[import-untyped]

    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=1 << 16,
        timeout=timeout,
        # Otherwise a server may declare the .gz a content encoding, and requests unzip it.
        headers={"Accept-Encoding": "identity"},
    )
    pooch.retrieve(url, sha256, path.name, path.parent, downloader=downloader)
    with suppress(OSError):  # as when a colleague's process was first, and owns the file
        path.chmod(0o644)  # pooch leaves 0600, which locks others out of a shared folder


def _reason(error: Exception) -> str:
    """Return the cause on one line; requests wraps it in a report of its retries."""
    wrapped = error.args[0] if error.args else None
    return str(getattr(wrapped, "reason", None) or error) or type(error).__name__
