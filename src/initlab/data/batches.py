"""Batches: the order in which training sees the examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from initlab.data.arrays import Array, Labels
from initlab.data.datasets import Samples

Indices = NDArray[np.intp]


def shuffle(rng: np.random.Generator, n: int, batch: int) -> Iterator[Indices]:
    """Epochs, each a fresh permutation, laid end to end so that every batch is full."""
    order = np.empty(0, np.intp)
    while True:
        while len(order) < batch:
            order = np.concatenate([order, rng.permutation(n)])
        yield order[:batch]
        order = order[batch:]


def random(rng: np.random.Generator, n: int, batch: int) -> Iterator[Indices]:
    """Draws with replacement, each batch independent of the others."""
    while True:
        yield rng.integers(n, size=batch)


def fixed(rng: np.random.Generator, n: int, batch: int) -> Iterator[Indices]:
    """One random batch for ever."""
    indices = rng.permutation(n)[:batch]
    while True:
        yield indices


BATCHING: dict[str, Callable[[np.random.Generator, int, int], Iterator[Indices]]] = {
    "shuffle": shuffle,
    "random": random,
    "fixed": fixed,
}


class Rows:
    """Takes rows of stored examples into buffers, scaled to what a network reads.

    Storage stays as it is (bytes, on disk); only the rows taken become floating point.
    """

    def __init__(self, samples: Samples, batch: int, dtype: DTypeLike) -> None:
        features = samples.x.shape[-1]
        self.samples = samples
        self.scale = np.asarray(samples.scale, dtype)
        self.stored = np.empty((batch, features), samples.x.dtype)
        self.x = np.empty((batch, features), dtype)

    def take(self, indices: Indices) -> tuple[Array, Labels | None]:
        """Return x (B, I) and labels (B,), overwritten by the next call."""
        count = len(indices)
        stored, x = self.stored[:count], self.x[:count]
        self.samples.x.take(indices, axis=0, out=stored, mode="clip")
        np.multiply(stored, self.scale, out=x)
        labels = self.samples.labels
        return x, None if labels is None else labels[indices]
