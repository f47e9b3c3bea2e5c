"""A network: layers in a row, with all parameters in one flat vector and named views into it.

The weights W1, W2, … come first in the vector and the biases b1, b2, … after them, so that weight
decay, which spares biases, is a slice.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

from initlab.activations import Activation
from initlab.arrays import Array
from initlab.initializers import Initializer
from initlab.layers import Dense, Elementwise, Layer


class Parameters:
    """One flat vector with named views.

    vector   (P,)
    weights  the first part of `vector`: all W
    views    {"W1": (I, O), …, "b1": (O,), …}, each a view into `vector`
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: DTypeLike) -> None:
        self.shapes = shapes
        names = sorted(shapes, key=lambda name: not name.startswith("W"))
        ends = np.cumsum([math.prod(shapes[name]) for name in names])
        self.vector: Array = np.zeros(int(ends[-1]), dtype)
        pieces = np.split(self.vector, ends[:-1])
        self.views = {
            name: piece.reshape(shapes[name]) for name, piece in zip(names, pieces, strict=True)
        }
        weights = [view.size for name, view in self.views.items() if name.startswith("W")]
        self.weights = self.vector[: sum(weights)]

    def copy(self) -> Parameters:
        """Return the same numbers in memory of their own."""
        twin = Parameters(self.shapes, self.vector.dtype)
        twin.vector[...] = self.vector
        return twin


class Network:
    """Layers in a row.     x (B, features) → logits (B, classes)

    parameters, gradients  `Parameters` of the same shapes
    dense, hidden          the Dense layers and the Elementwise layers, in order
    """

    def __init__(self, layers: list[Layer], features: int, batch: int, dtype: DTypeLike) -> None:
        shapes: dict[str, tuple[int, ...]] = {}
        number = 0
        for layer in layers:
            if layer.shapes:
                number += 1
                shapes |= {f"{name}{number}": shape for name, shape in layer.shapes.items()}
        self.layers = layers
        self.features = features
        self.dtype = np.dtype(dtype)
        self.parameters = Parameters(shapes, dtype)
        self._attach(batch)

    def _attach(self, batch: int) -> None:
        """Make gradients and buffers, and hand every layer its own."""
        self.gradients = Parameters(self.parameters.shapes, self.dtype)
        number, width = 0, self.features
        for index, layer in enumerate(self.layers):
            if layer.shapes:
                number += 1
                layer.bind(
                    {name: self.parameters.views[f"{name}{number}"] for name in layer.shapes},
                    {name: self.gradients.views[f"{name}{number}"] for name in layer.shapes},
                )
            layer.allocate(batch, width, self.dtype, first=index == 0)
            width = layer.outputs(width)
        self.dense = [layer for layer in self.layers if isinstance(layer, Dense)]
        self.hidden = [layer for layer in self.layers if isinstance(layer, Elementwise)]

    def sharing(self, batch: int) -> Network:
        """Return the same function, on the same parameters, for batches of up to `batch`.

        Gradients and buffers are its own, so that looking at a network does not disturb training.
        """
        twin = copy.copy(self)
        twin.layers = [copy.copy(layer) for layer in self.layers]
        twin._attach(batch)
        return twin

    def initialize(self, init: Initializer, rng: np.random.Generator) -> None:
        """Draw every W from `init`, each layer from a stream of its own; biases are zero."""
        self.parameters.vector.fill(0.0)
        with np.errstate(over="ignore"):  # what dtype cannot hold is inf, and training diverges
            for layer, stream in zip(self.dense, rng.spawn(len(self.dense)), strict=True):
                layer.W[...] = init(stream, layer.fan_in, layer.fan_out)

    def forward(self, x: Array) -> Array:
        """Return the logits (B, classes) for x (B, features)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dlogits: Array) -> None:
        """Write all gradients, given ∂L/∂logits (B, classes) of the last forward pass."""
        for layer in reversed(self.layers):
            dlogits = layer.backward(dlogits)


@dataclass
class Model(ABC):
    """What `model=` chooses: something that builds a network for a data set."""

    @abstractmethod
    def build(
        self, features: int, classes: int, activation: Activation, batch: int, dtype: DTypeLike
    ) -> Network:
        """Return the network, its weights still zero."""


@dataclass
class MLP(Model):
    """A multilayer perceptron: Dense and activation for each hidden size, then Dense."""

    hidden: list[int] = field(default_factory=lambda: [200, 200])
    bias: bool = True

    def __post_init__(self) -> None:
        if not self.hidden or any(size < 1 for size in self.hidden):
            raise ValueError(
                f"hidden must be a list of one or more sizes of at least 1, "
                f"such as [200, 200]; got {list(self.hidden)}"
            )

    def build(
        self, features: int, classes: int, activation: Activation, batch: int, dtype: DTypeLike
    ) -> Network:
        layers: list[Layer] = []
        fan_in = features
        for size in self.hidden:
            layers += [Dense(fan_in, size, self.bias), Elementwise(activation)]
            fan_in = size
        layers.append(Dense(fan_in, classes, self.bias))
        return Network(layers, features, batch, dtype)
