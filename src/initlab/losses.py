"""Softmax cross-entropy, the loss of a classifier."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from initlab.arrays import Array, Labels


class SoftmaxCrossEntropy:
    """L = mean over the batch of (log Σⱼ eˣʲ - x_label).     logits x (B, C)   labels (B,)

    The largest logit of each row is taken off first, so that nothing overflows.
    """

    def __init__(self, batch: int, classes: int, dtype: DTypeLike) -> None:
        self.shifted_buffer = np.empty((batch, classes), dtype)
        self.exp_buffer = np.empty((batch, classes), dtype)
        self.rows = np.arange(batch)

    def forward(self, logits: Array, labels: Labels) -> float:
        """Return the mean loss in nats."""
        batch = logits.shape[-2]
        self.labels = labels
        shifted = self.shifted_buffer[:batch]
        self.exp = self.exp_buffer[:batch]
        np.subtract(logits, logits.max(axis=-1, keepdims=True), out=shifted)
        np.exp(shifted, out=self.exp)
        self.total = np.add.reduce(self.exp, axis=-1, keepdims=True)
        picked = shifted[self.rows[:batch], labels]
        losses = np.log(self.total[..., 0]) - picked
        return float(np.add.reduce(losses, dtype=np.float64) / batch)

    def backward(self) -> Array:
        """Return ∂L/∂logits (B, C) = (softmax - one-hot) / B of the last forward pass."""
        batch = self.exp.shape[-2]
        self.exp /= self.total
        self.exp[self.rows[:batch], self.labels] -= 1.0
        self.exp /= batch
        return self.exp
