"""Layers: forward and backward, written next to each other.

Shapes: B batch, I inputs, O outputs of a layer. Axes are counted from the end, so that more axes
can be added in front. A layer owns its buffers, allocated for the largest batch; a smaller batch
uses their first rows. The next call overwrites what `forward` and `backward` return.

A network has three modes, which differ only in batch norm and dropout:

train     batch norm uses the batch's mean and variance and updates its running ones; dropout drops
probe     batch norm uses the batch's mean and variance and updates nothing; nothing is dropped
evaluate  batch norm uses its running mean and variance; nothing is dropped
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Literal, Self

import numpy as np
from numpy.typing import DTypeLike

from initlab.data.arrays import Array
from initlab.nn.activations import Activation

Mode = Literal["train", "probe", "evaluate"]


class Layer(ABC):
    """y = f(x), and the gradient of a loss with respect to x and to the parameters.

    number  how many Dense layers the network has up to this layer, itself included
    """

    mode: Mode = "train"
    number: int = 0

    @property
    def leaves(self) -> list[Layer]:
        """The layers inside this one, in order; the layer itself if there are none."""
        return [self]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters by name."""
        return {}

    @property
    def statistics(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the arrays that persist but are not trained, by name."""
        return {}

    @abstractmethod
    def outputs(self, inputs: int) -> int:
        """Return the number of outputs for this number of inputs."""

    def bind(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        """Store the layer's arrays: parameters and statistics, and gradients to write to."""
        assert not self.shapes, "a layer with parameters must override bind"

    def reset(self) -> None:
        """Reset the parameters and statistics that no initialiser draws."""
        assert not self.shapes, "a layer with parameters must override reset"

    def clone(self) -> Self:
        """Return a layer with the same parameters, to be given its own buffers and mode."""
        return copy.copy(self)

    @abstractmethod
    def allocate(self, batch: int, inputs: int, dtype: DTypeLike, first: bool) -> None:
        """Allocate buffers for batches of up to `batch`; the first layer needs no dx."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return y (B, O) for x (B, I), and keep what `backward` needs."""

    @abstractmethod
    def backward(self, dy: Array) -> Array:
        """Write the gradients of the parameters; return dx (B, I), given dy (B, O)."""


class Dense(Layer):
    """y = x W + b.     x (B, I)   W (I, O)   b (O,)   y (B, O)

    bias      whether the layer has b
    place     input, hidden, branch (the end of a residual branch) or output
    bias_std  std of the normal law from which the network draws b; 0: b starts at 0
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        bias: bool = True,
        place: str = "hidden",
        bias_std: float = 0.0,
    ) -> None:
        self.fan_in = fan_in
        self.fan_out = fan_out
        self.bias = bias
        self.place = place
        self.bias_std = bias_std

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

    def reset(self) -> None:
        if self.bias:
            self.b.fill(0.0)

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
        np.matmul(self.x.mT, dy, out=self.dW)
        if self.bias:
            np.matmul(self.ones[:batch], dy, out=self.db)  # the sum over the batch
        if self.dx is None:
            return dy
        return np.matmul(dy, self.W.mT, out=self.dx[:batch])


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


class BatchNorm(Layer):
    """y = gamma · x̂ + beta,   x̂ = (x - μ) / √(σ² + eps).     x, y (B, O)   gamma, beta (O,)

    In training, μ and σ² are the mean and variance of each column over the batch; in evaluation
    they are running_mean and running_var. Each training batch moves these by the fraction
    `momentum` towards its mean and unbiased variance, as in PyTorch. Ioffe & Szegedy 2015,
    algorithm 1.
    """

    def __init__(self, size: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.size = size
        self.eps = eps
        self.momentum = momentum

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"gamma": (self.size,), "beta": (self.size,)}

    @property
    def statistics(self) -> dict[str, tuple[int, ...]]:
        return {"running_mean": (self.size,), "running_var": (self.size,)}

    def outputs(self, inputs: int) -> int:
        return inputs

    def bind(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        self.gamma, self.dgamma = parameters["gamma"], gradients["gamma"]
        self.beta, self.dbeta = parameters["beta"], gradients["beta"]
        self.running_mean = parameters["running_mean"]
        self.running_var = parameters["running_var"]

    def reset(self) -> None:
        self.gamma.fill(1.0)
        self.beta.fill(0.0)
        self.running_mean.fill(0.0)
        self.running_var.fill(1.0)

    def allocate(self, batch: int, inputs: int, dtype: DTypeLike, first: bool) -> None:
        self.x_hat_buffer, self.y_buffer, self.dx = np.empty((3, batch, inputs), dtype)

    def forward(self, x: Array) -> Array:
        batch = x.shape[-2]
        self.x_hat, y = self.x_hat_buffer[:batch], self.y_buffer[:batch]
        evaluating = self.mode == "evaluate"
        mean = self.running_mean if evaluating else x.mean(axis=-2)
        np.subtract(x, mean, out=self.x_hat)
        var = self.running_var if evaluating else np.square(self.x_hat, out=y).mean(axis=-2)
        if self.mode == "train":
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * (batch / (batch - 1)) - self.running_var)
        self.slope = 1 / np.sqrt(var + self.eps)
        self.x_hat *= self.slope
        np.multiply(self.x_hat, self.gamma, out=y)
        y += self.beta
        return y

    def backward(self, dy: Array) -> Array:
        """dx = gamma / √(σ² + eps) · (dy - mean(dy) - x̂ · mean(dy · x̂)), means over the batch."""
        assert self.mode != "evaluate", "there is no backward pass in evaluation"
        batch = dy.shape[-2]
        dx = np.multiply(dy, self.x_hat, out=self.dx[:batch])
        np.sum(dx, axis=-2, out=self.dgamma)
        np.sum(dy, axis=-2, out=self.dbeta)
        np.multiply(self.x_hat, self.dgamma / batch, out=dx)
        np.subtract(dy, dx, out=dx)
        dx -= self.dbeta / batch
        dx *= self.gamma * self.slope
        return dx


class Dropout(Layer):
    """y = x · mask · factor, the mask 0 with probability `rate`, else 1.     x, y (B, O)

    scaling  training: multiply by 1 / (1 - rate) in training, so that evaluation, which drops
             nothing, needs no factor ("inverted dropout", as in PyTorch, Keras and JAX)
             evaluation: multiply by 1 - rate in evaluation, as Srivastava et al. 2014 and Saitoh
             2016 do
    """

    def __init__(self, rate: float, rng: np.random.Generator, scaling: str = "training") -> None:
        self.rate = rate
        self.rng = rng
        inverted = scaling == "training"
        self.training_factor = 1 / (1 - rate) if inverted else 1.0
        self.evaluation_factor = 1.0 if inverted else 1 - rate

    def outputs(self, inputs: int) -> int:
        return inputs

    def allocate(self, batch: int, inputs: int, dtype: DTypeLike, first: bool) -> None:
        self.mask_buffer, self.y, self.dx = np.empty((3, batch, inputs), dtype)
        self.draws = np.empty((batch, inputs), np.float32)

    def forward(self, x: Array) -> Array:
        batch = x.shape[-2]
        if self.mode != "train":
            return self.scaled(x, self.y[:batch])
        draws, self.mask = self.draws[:batch], self.mask_buffer[:batch]
        self.rng.random(dtype=np.float32, out=draws)
        np.greater_equal(draws, self.rate, out=self.mask)
        self.mask *= self.training_factor
        return np.multiply(x, self.mask, out=self.y[:batch])

    def backward(self, dy: Array) -> Array:
        if self.mode != "train":
            return self.scaled(dy, self.dx[: dy.shape[-2]])
        return np.multiply(dy, self.mask, out=self.dx[: dy.shape[-2]])

    def scaled(self, x: Array, out: Array) -> Array:
        """Return x times the factor of evaluation."""
        return x if self.evaluation_factor == 1 else np.multiply(x, self.evaluation_factor, out=out)


class Residual(Layer):
    """y = x + scale · f(x), where f, the branch, is a sequence of layers.     x, y (B, O)

    He et al. 2016, "Identity mappings in deep residual networks".
    """

    def __init__(self, branch: list[Layer], scale: float = 1.0) -> None:
        self.branch = branch
        self.scale = scale

    @property
    def leaves(self) -> list[Layer]:
        return [leaf for layer in self.branch for leaf in layer.leaves]

    def outputs(self, inputs: int) -> int:
        return inputs

    def clone(self) -> Self:
        clone = super().clone()
        clone.branch = [layer.clone() for layer in self.branch]
        return clone

    def allocate(self, batch: int, inputs: int, dtype: DTypeLike, first: bool) -> None:
        self.y, self.dx, self.dbranch = np.empty((3, batch, inputs), dtype)
        width = inputs
        for layer in self.branch:
            layer.allocate(batch, width, dtype, first=False)
            width = layer.outputs(width)

    def forward(self, x: Array) -> Array:
        out = x
        for layer in self.branch:
            out = layer.forward(out)
        y = np.multiply(out, self.scale, out=self.y[: x.shape[-2]])
        y += x
        return y

    def backward(self, dy: Array) -> Array:
        batch = dy.shape[-2]
        dout = np.multiply(dy, self.scale, out=self.dbranch[:batch])
        for layer in reversed(self.branch):
            dout = layer.backward(dout)
        return np.add(dy, dout, out=self.dx[:batch])
