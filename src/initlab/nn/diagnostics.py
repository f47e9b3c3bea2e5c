"""Diagnostics: what flows through a network, as plain numbers.

A probe, the same examples every time, is sent forward and backward through a network that shares
the weights of the one in training. Hidden layers are numbered from 1; the output layer, which has
weights but no activation, comes after them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from initlab.data.arrays import Array, Labels
from initlab.nn.activations import Activation
from initlab.nn.layers import Elementwise, Residual
from initlab.nn.losses import SoftmaxCrossEntropy
from initlab.nn.metrics import Quantity, Statistic
from initlab.nn.network import Network, Parameters

# A unit is saturated for an input where its slope is below this share of the steepest: beyond
# |z| = 2.2 for tanh and 4.4 for sigmoid.
SATURATED_SLOPE = 0.05

# The edges are the same for every run, so that pictures of different runs can be compared.
WEIGHT_EDGES = np.linspace(-0.5, 0.5, 101)
LOG10_GRADIENT_EDGES = np.linspace(-12.0, 2.0, 71)
ACTIVATION_BINS = 60


@dataclass(frozen=True)
class Histogram:
    """Counts of one quantity in every layer.

    edges   (K+1,) ascending
    counts  (L, K+2): first what lies below the edges, last what lies above them
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Snapshot:
    """The distributions in a network at one step.

    statistics  one number a layer. Gradients are missing where there are no labels, the update
                ratio at step 0, and it is NaN for weights of zero
    places      the numbers of the hidden layers through which all passes on its way: of all, but
                not of those inside residual branches: (S,)
    signal      root mean square over the units of a layer of their std over inputs, as the next
                layer reads them; the network's input first, then `places`: (S+1,)
    gradient    norm of ∂L/∂z over all units and inputs, at a residual block of the ∂L/∂x that
                branch and skip make together; at `places`, empty without labels: (S,)
    asymmetry   how much the incoming weights of the units of a hidden layer differ, relative to
                their size: 0 where all units are alike, about 1 for random weights, NaN for a
                layer of one unit and at the end of a residual branch, where units differ by what
                the branch is added to: (L,)
    histograms  activations, gradients (of log₁₀|∂L/∂z|) and weights
    """

    step: int
    statistics: dict[Statistic, list[float]]
    places: list[int]
    signal: list[float]
    gradient: list[float]
    asymmetry: list[float]
    histograms: dict[Quantity, Histogram]


class Probe:
    """Takes snapshots of a network on fixed inputs x (B, I), with labels (B,) or without."""

    def __init__(self, network: Network, x: Array, labels: Labels | None, classes: int) -> None:
        self.network = network.clone_for(len(x), "probe")
        self.x = x
        self.labels = labels
        self.loss = SoftmaxCrossEntropy(len(x), classes, network.dtype)
        self.input_signal = variation(x)
        # The layers through which all passes, by the number of their first activation.
        self.passed: dict[int, Elementwise | Residual] = {}
        number = 1
        for layer in self.network.layers:
            if isinstance(layer, (Elementwise, Residual)):
                self.passed[number] = layer
                number += sum(isinstance(leaf, Elementwise) for leaf in layer.leaves)

    def snapshot(self, step: int, previous: Parameters | None = None) -> Snapshot:
        """Measure the network now; `previous` holds its parameters of one update ago."""
        network = self.network
        logits = network.forward(self.x)
        units = [layer.y for layer in network.hidden]
        # The slopes lie in the buffers that `backward` will use, so they are read first.
        slopes = [slope_fractions(layer) for layer in network.hidden]
        weights = [layer.W for layer in network.dense]
        statistics = {
            Statistic.UNIT_MEAN: [mean(y) for y in units],
            Statistic.UNIT_STD: [std(y) for y in units],
            Statistic.UNIT_SATURATED: [saturated for saturated, _ in slopes],
            Statistic.UNIT_DEAD: [dead for _, dead in slopes],
            Statistic.WEIGHT_STD: [std(w) for w in weights],
        }
        histograms = {
            Quantity.ACTIVATIONS: histogram(units, activation_edges(network.hidden[0].activation)),
            Quantity.WEIGHTS: histogram(weights, WEIGHT_EDGES),
        }
        gradient = []
        if self.labels is not None:
            self.loss.forward(logits, self.labels)
            network.backward(self.loss.backward())
            gradients = [layer.dz for layer in network.hidden]
            gradient = [
                norm(layer.dz if isinstance(layer, Elementwise) else layer.dx)
                for layer in self.passed.values()
            ]
            statistics[Statistic.UNIT_GRADIENT_STD] = [std(dz) for dz in gradients]
            statistics[Statistic.WEIGHT_GRADIENT_STD] = [std(layer.dW) for layer in network.dense]
            sizes = [log10_size(dz) for dz in gradients]
            histograms[Quantity.GRADIENTS] = histogram(sizes, LOG10_GRADIENT_EDGES)
        if previous is not None:
            statistics[Statistic.UPDATE_RATIO] = [
                ratio(norm(now - previous.views[name]), norm(previous.views[name]))
                for name, now in network.parameters.views.items()
                if name.startswith("W")
            ]
        return Snapshot(
            step,
            statistics,
            places=[*self.passed],
            signal=[self.input_signal, *(variation(network.dense[n].x) for n in self.passed)],
            gradient=gradient,
            asymmetry=[
                math.nan if layer.place == "branch" else asymmetry(layer.W)
                for layer in network.dense[:-1]
            ],
            histograms=histograms,
        )


def mean(a: Array) -> float:
    """Return the mean of all entries."""
    return float(a.mean(dtype=np.float64))


def std(a: Array) -> float:
    """Return the standard deviation of all entries."""
    return float(a.std(dtype=np.float64))


def norm(a: Array) -> float:
    """Return the square root of the sum of squares."""
    return float(np.sqrt(np.square(a, dtype=np.float64).sum()))


def ratio(a: float, b: float) -> float:
    """Return a / b, NaN where b is zero."""
    return a / b if b else math.nan


def variation(y: Array) -> float:
    """Return the rms over units of the std over inputs, for y (B, O)."""
    return float(np.sqrt(y.var(axis=0, dtype=np.float64).mean()))


def asymmetry(w: Array) -> float:
    """Return the rms difference of the columns of w (I, O) from their mean, relative to w's rms."""
    if w.shape[-1] == 1:
        return math.nan
    size = np.sqrt(np.square(w, dtype=np.float64).mean())
    return float(np.sqrt(w.var(axis=1, dtype=np.float64).mean()) / size) if size else 0.0


def slope_fractions(layer: Elementwise) -> tuple[float, float]:
    """Return which fraction of slopes φ'(z) is saturated, and which fraction of units is dead.

    A unit is dead when its slope is zero for every input: no gradient ever passes through it.
    Saturation is told only of activations that are flat at both ends; for others it is 0.
    """
    slope = layer.derivative()
    activation = layer.activation
    low = slope < SATURATED_SLOPE * activation.steepest
    flat = (slope == 0) & ~np.isnan(layer.y)
    return float(low.mean()) if activation.bounded else 0.0, float(flat.all(axis=0).mean())


def log10_size(a: Array) -> Array:
    """Return log₁₀|a|, -inf where a is zero."""
    size: Array = np.abs(a)
    with np.errstate(divide="ignore"):
        np.log(size, out=size)  # of which NumPy has vector code that knows zeros, unlike np.log10
    size *= 1 / math.log(10)
    return size


def activation_edges(activation: Activation) -> NDArray[np.float64]:
    """Return the edges for histograms of this activation's values."""
    return np.linspace(*activation.range, ACTIVATION_BINS + 1)


def histogram(arrays: Sequence[Array], edges: NDArray[np.float64]) -> Histogram:
    """Count the entries of one array a layer between `edges` and beyond; NaN is left out."""
    counts = []
    for a in arrays:
        within, _ = np.histogram(a, edges)
        beyond = [np.count_nonzero(a < edges[0]), np.count_nonzero(a > edges[-1])]
        counts.append(np.insert(within, [0, len(within)], beyond))
    return Histogram(edges, np.stack(counts))
