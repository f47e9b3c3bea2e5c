"""The loss of a classifier: softmax cross-entropy."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from initlab.data.arrays import Array, Labels


class SoftmaxCrossEntropy:
    """L = mean over the batch of (log Σⱼ eˣʲ - x_label).     logits x (B, C)   labels (B,)

    The largest logit of each example is subtracted first, so that nothing overflows. Internally,
    arrays are (C, B), because NumPy sums a few long rows faster than many short ones.
    """

    def __init__(self, batch: int, classes: int, dtype: DTypeLike) -> None:
        self.shifted_buffer, self.exp_buffer = np.empty((2, classes, batch), dtype)
        self.columns = np.arange(batch)

    def forward(self, logits: Array, labels: Labels) -> float:
        """Return the mean loss in nats."""
        batch = len(logits)
        self.labels = labels
        shifted = self.shifted_buffer[:, :batch]
        self.exp = self.exp_buffer[:, :batch]
        shifted[...] = logits.T
        shifted -= np.maximum.reduce(shifted, axis=0)
        np.exp(shifted, out=self.exp)
        self.total = np.add.reduce(self.exp, axis=0)
        losses = np.log(self.total) - shifted[labels, self.columns[:batch]]
        return float(np.add.reduce(losses, dtype=np.float64) / batch)

    def backward(self) -> Array:
        """Return ∂L/∂logits (B, C) = (softmax - one-hot) / B of the last forward pass."""
        batch = len(self.total)
        self.exp /= self.total
        self.exp[self.labels, self.columns[:batch]] -= 1.0
        self.exp /= batch
        return self.exp.T
