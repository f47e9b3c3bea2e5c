"""A network: a sequence of layers, with all parameters in one flat vector and named views into it.

The weights W1, W2, … come first in the vector, then all other parameters, so that weight decay,
which leaves biases out, works on one slice.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike

from initlab.data.arrays import Array
from initlab.nn.initializers import Initializer
from initlab.nn.layers import Dense, Elementwise, Layer, Mode

Shapes = dict[str, tuple[int, ...]]


class Parameters:
    """One flat vector with named views, and arrays that are not trained.

    vector      (P,), all trained parameters
    weights     the first part of `vector`: all W
    views       {"W1": (I, O), …, "b1": (O,), …}, each a view into `vector`
    statistics  {"running_mean1": (O,), …}, not trained
    """

    def __init__(self, shapes: Shapes, dtype: DTypeLike, statistics: Shapes | None = None) -> None:
        self.shapes = shapes
        names = sorted(shapes, key=lambda name: not name.startswith("W"))
        sizes = [math.prod(shapes[name]) for name in names]
        if sum(sizes) * np.dtype(dtype).itemsize > sys.maxsize:  # NumPy would count wrongly
            raise MemoryError(f"Unable to allocate {sum(sizes):.0e} parameters")
        ends = np.cumsum(sizes)
        self.vector: Array = np.zeros(int(ends[-1]), dtype)
        pieces = np.split(self.vector, ends[:-1])
        self.views = {
            name: piece.reshape(shapes[name]) for name, piece in zip(names, pieces, strict=True)
        }
        weights = [view.size for name, view in self.views.items() if name.startswith("W")]
        self.weights = self.vector[: sum(weights)]
        self.statistics: dict[str, Array] = {
            name: np.zeros(shape, dtype) for name, shape in (statistics or {}).items()
        }

    def copy(self) -> Parameters:
        """Return a copy that shares no memory."""
        statistics = {name: array.shape for name, array in self.statistics.items()}
        copied = Parameters(self.shapes, self.vector.dtype, statistics)
        copied.vector[...] = self.vector
        for name, array in self.statistics.items():
            copied.statistics[name][...] = array
        return copied

    def arrays(self) -> dict[str, Array]:
        """Return views and statistics by name."""
        return self.views | self.statistics


class Network:
    """A sequence of layers.     x (B, features) → logits (B, classes)

    parameters, gradients  `Parameters` of the same shapes
    leaves                 all layers in order, including those of residual branches
    dense, hidden          the Dense layers and the Elementwise layers, in order

    Parameters are named after the latest Dense layer: W2, b2, gamma2, beta2.
    """

    def __init__(self, layers: list[Layer], features: int, batch: int, dtype: DTypeLike) -> None:
        self.layers = layers
        self.features = features
        self.dtype = np.dtype(dtype)
        shapes: Shapes = {}
        statistics: Shapes = {}
        number = 0
        for leaf in self._leaves():
            number += isinstance(leaf, Dense)
            leaf.number = number
            names = {f"{name}{number}": shape for name, shape in leaf.shapes.items()}
            assert not names.keys() & shapes, f"two layers own {', '.join(names)}"
            shapes |= names
            statistics |= {f"{name}{number}": shape for name, shape in leaf.statistics.items()}
        self.parameters = Parameters(shapes, dtype, statistics)
        self._attach(batch)
        for leaf in self.leaves:
            leaf.reset()

    def _leaves(self) -> list[Layer]:
        return [leaf for layer in self.layers for leaf in layer.leaves]

    def _attach(self, batch: int) -> None:
        """Allocate gradients and buffers, and give each layer its own."""
        self.gradients = Parameters(self.parameters.shapes, self.dtype)
        self.leaves = self._leaves()
        arrays = self.parameters.arrays()
        for leaf in self.leaves:
            if leaf.shapes:
                number, names = leaf.number, leaf.shapes | leaf.statistics
                leaf.bind(
                    {name: arrays[f"{name}{number}"] for name in names},
                    {name: self.gradients.views[f"{name}{number}"] for name in leaf.shapes},
                )
        width = self.features
        for index, layer in enumerate(self.layers):
            layer.allocate(batch, width, self.dtype, first=index == 0)
            width = layer.outputs(width)
        self.dense = [leaf for leaf in self.leaves if isinstance(leaf, Dense)]
        self.hidden = [leaf for leaf in self.leaves if isinstance(leaf, Elementwise)]

    def clone_for(self, batch: int, mode: Mode) -> Network:
        """Return a network that shares the parameters, for batches of up to `batch`.

        It has its own gradients and buffers, so that measuring a network does not disturb its
        training; `mode` is "probe" or "evaluate".
        """
        clone = copy.copy(self)
        clone.layers = [layer.clone() for layer in self.layers]
        clone._attach(batch)
        for leaf in clone.leaves:
            leaf.mode = mode
        return clone

    def initialize(
        self,
        init: Initializer,
        rng: np.random.Generator,
        x: Array | None = None,
        layer_inits: Mapping[str, Initializer] | None = None,
    ) -> str:
        """Draw every W from `init`, each from its own random stream, and reset everything else.

        Where a layer has a `bias_std`, its stream draws b after W, so that W is the same for any.

        x            (B, features), a batch for laws that adjust the weights to data
        layer_inits  other laws for the Dense layers of a place, such as "output"

        Returns the notes of laws that adjusted weights, "" if there are none.
        """
        laws = [(layer_inits or {}).get(layer.place, init) for layer in self.dense]
        for leaf in self.leaves:
            leaf.reset()
        with np.errstate(over="ignore"):  # an overflow of dtype gives inf, and training diverges
            streams = rng.spawn(len(self.dense))
            for layer, law, stream in zip(self.dense, laws, streams, strict=True):
                layer.W[...] = law(stream, layer.fan_in, layer.fan_out)
                if layer.bias_std:
                    layer.b[...] = layer.bias_std * stream.standard_normal(layer.fan_out)
        if x is None:
            return ""
        probe = self.clone_for(len(x), "probe")
        notes = []
        for index, law in enumerate(laws):
            if law not in laws[:index]:
                drawn = [layer for layer, own in zip(probe.dense, laws, strict=True) if own == law]
                notes.append(law.adjust(drawn, lambda: probe.forward(x)))
        return "; ".join(filter(None, notes))

    def forward(self, x: Array) -> Array:
        """Return the logits (B, classes) for x (B, features)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dlogits: Array) -> None:
        """Compute all gradients, given ∂L/∂logits (B, classes) of the last forward pass."""
        for layer in reversed(self.layers):
            dlogits = layer.backward(dlogits)
