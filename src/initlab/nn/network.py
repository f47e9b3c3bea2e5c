"""A network: layers in a row, with all parameters in one flat vector and named views into it.

The weights W1, W2, … come first in the vector and what else is trained after them, so that weight
decay, which spares biases, is a slice.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike

from initlab.data.arrays import Array
from initlab.nn.initializers import Initializer
from initlab.nn.layers import Dense, Elementwise, Layer, Mode

Shapes = dict[str, tuple[int, ...]]


class Parameters:
    """One flat vector with named views, and what is kept beside it.

    vector      (P,), what is trained
    weights     the first part of `vector`: all W
    views       {"W1": (I, O), …, "b1": (O,), …}, each a view into `vector`
    statistics  {"running_mean1": (O,), …}, which no optimiser touches
    """

    def __init__(self, shapes: Shapes, dtype: DTypeLike, statistics: Shapes | None = None) -> None:
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
        self.statistics: dict[str, Array] = {
            name: np.zeros(shape, dtype) for name, shape in (statistics or {}).items()
        }

    def copy(self) -> Parameters:
        """Return the same numbers in memory of their own."""
        statistics = {name: array.shape for name, array in self.statistics.items()}
        twin = Parameters(self.shapes, self.vector.dtype, statistics)
        twin.vector[...] = self.vector
        for name, array in self.statistics.items():
            twin.statistics[name][...] = array
        return twin

    def arrays(self) -> dict[str, Array]:
        """Return views and statistics by name."""
        return self.views | self.statistics


class Network:
    """Layers in a row.     x (B, features) → logits (B, classes)

    parameters, gradients  `Parameters` of the same shapes
    leaves                 all layers, those of residual branches among them, in order
    dense, hidden          the Dense layers and the Elementwise layers, in order

    Parameters carry the number of the last Dense layer up to their own: W2, b2, gamma2, beta2.
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
        """Make gradients and buffers, and hand every layer its own."""
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
        """Return the same function, on the same parameters, for batches of up to `batch`.

        Gradients and buffers are its own, so that looking at a network does not disturb training;
        `mode` is "probe" or "evaluate".
        """
        twin = copy.copy(self)
        twin.layers = [layer.twin() for layer in self.layers]
        twin._attach(batch)
        for leaf in twin.leaves:
            leaf.mode = mode
        return twin

    def initialize(
        self,
        init: Initializer,
        rng: np.random.Generator,
        x: Array | None = None,
        places: Mapping[str, Initializer] | None = None,
    ) -> str:
        """Draw every W from `init`, each layer from a stream of its own; the rest starts as usual.

        x       (B, features), a batch for laws that adjust what they drew after a look at data
        places  laws of their own for the Dense layers of some places, such as "output"

        Returns what the laws have to say of what they did, "" if nothing.
        """
        laws = [(places or {}).get(layer.place, init) for layer in self.dense]
        for leaf in self.leaves:
            leaf.reset()
        with np.errstate(over="ignore"):  # what dtype cannot hold is inf, and training diverges
            streams = rng.spawn(len(self.dense))
            for layer, law, stream in zip(self.dense, laws, streams, strict=True):
                layer.W[...] = law(stream, layer.fan_in, layer.fan_out)
        if x is None:
            return ""
        probe = self.clone_for(len(x), "probe")
        said = []
        for index, law in enumerate(laws):
            if law not in laws[:index]:
                drawn = [layer for layer, own in zip(probe.dense, laws, strict=True) if own == law]
                said.append(law.adjust(drawn, lambda: probe.forward(x)))
        return "; ".join(filter(None, said))

    def forward(self, x: Array) -> Array:
        """Return the logits (B, classes) for x (B, features)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dlogits: Array) -> None:
        """Write all gradients, given ∂L/∂logits (B, classes) of the last forward pass."""
        for layer in reversed(self.layers):
            dlogits = layer.backward(dlogits)
