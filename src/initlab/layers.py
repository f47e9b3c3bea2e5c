"""Layers: forward and backward, written next to each other.

Shapes: B batch, I inputs, O outputs of a layer. Axes are counted from the end, so that further
axes may stand in front. A layer owns its buffers, made for a largest batch; a smaller batch uses
their first rows. What `forward` and `backward` return is overwritten by the next call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import DTypeLike

from initlab.activations import Activation
from initlab.arrays import Array


class Layer(ABC):
    """y = f(x), and the gradient of a loss with respect to x and to the parameters."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters by name, with their shapes."""
        return {}

    @abstractmethod
    def outputs(self, inputs: int) -> int:
        """Return the number of outputs for so many inputs."""

    def bind(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        """Take arrays of the shapes in `shapes`: to read parameters from, to write gradients to."""
        assert not self.shapes, "a layer with parameters must take them"

    @abstractmethod
    def allocate(self, batch: int, inputs: int, dtype: DTypeLike, first: bool) -> None:
        """Make the buffers for batches of up to `batch`; the first layer needs no dx."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return y (B, O) for x (B, I), and keep what `backward` needs."""

    @abstractmethod
    def backward(self, dy: Array) -> Array:
        """Write the gradients of the parameters; return dx (B, I), given dy (B, O)."""


class Dense(Layer):
    """y = x W + b.     x (B, I)   W (I, O)   b (O,)   y (B, O)"""

    def __init__(self, fan_in: int, fan_out: int, bias: bool = True) -> None:
        self.fan_in = fan_in
        self.fan_out = fan_out
        self.bias = bias

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"W": (self.fan_in, self.fan_out)}
        if self.bias:
            shapes["b"] = (self.fan_out,)
        return shapes

    def outputs(self, inputs: int) -> int:
        return self.fan_out

    def bind(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        self.W, self.dW = parameters["W"], gradients["W"]
        if self.bias:
            self.b, self.db = parameters["b"], gradients["b"]

    def allocate(self, batch: int, inputs: int, dtype: DTypeLike, first: bool) -> None:
        self.y = np.empty((batch, self.fan_out), dtype)
        self.dx = None if first else np.empty((batch, self.fan_in), dtype)
        self.ones = np.ones(batch, dtype)

    def forward(self, x: Array) -> Array:
        self.x = x
        y = np.matmul(x, self.W, out=self.y[: x.shape[-2]])
        if self.bias:
            y += self.b
        return y

    def backward(self, dy: Array) -> Array:
        batch = dy.shape[-2]
        np.matmul(self.x.swapaxes(-1, -2), dy, out=self.dW)
        if self.bias:
            np.matmul(self.ones[:batch], dy, out=self.db)  # the sum over the batch
        if self.dx is None:
            return dy
        return np.matmul(dy, self.W.swapaxes(-1, -2), out=self.dx[:batch])


class Elementwise(Layer):
    """y = φ(z).     z, y (B, O)"""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    def outputs(self, inputs: int) -> int:
        return inputs

    def allocate(self, batch: int, inputs: int, dtype: DTypeLike, first: bool) -> None:
        self.y_buffer = np.empty((batch, inputs), dtype)
        self.dz_buffer = np.empty((batch, inputs), dtype)

    def forward(self, x: Array) -> Array:
        self.z = x
        self.y = self.activation.value(x, out=self.y_buffer[: x.shape[-2]])
        return self.y

    def backward(self, dy: Array) -> Array:
        self.dz = self.derivative()
        self.dz *= dy
        return self.dz

    def derivative(self) -> Array:
        """Return φ'(z) (B, O) of the last forward pass, in the buffer of dz."""
        return self.activation.derivative(self.z, self.y, out=self.dz_buffer[: self.z.shape[-2]])
