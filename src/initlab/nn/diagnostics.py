"""Diagnostics: statistics of the activations, gradients and weights of a network.

A probe, the same examples every time, goes forward and backward through a clone that shares the
weights of the network in training. Hidden layers are numbered from 1; the output layer, which has
weights but no activation, comes last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from initlab.data.arrays import Array, Labels
from initlab.nn.activations import Activation
from initlab.nn.layers import Elementwise, Layer, Residual
from initlab.nn.losses import SoftmaxCrossEntropy
from initlab.nn.metrics import Quantity, Statistic
from initlab.nn.network import Network, Parameters

# A unit is saturated for an input where its slope is below this fraction of the largest: beyond
# |z| = 2.2 for tanh and 4.4 for sigmoid.
SATURATED_SLOPE = 0.05

# The same edges for every run, so that figures of different runs can be compared.
WEIGHT_EDGES = np.linspace(-0.5, 0.5, 101)
LOG10_GRADIENT_EDGES = np.linspace(-12.0, 2.0, 71)
ACTIVATION_BINS = 60


@dataclass(frozen=True)
class Histogram:
    """Counts of one quantity in every layer.

    edges   (K+1,) ascending
    counts  (L, K+2): the first bin is below all edges, the last above them
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Snapshot:
    """The distributions in a network at one step.

    statistics  one number per layer. Those of gradients are missing without labels. The update
                ratio is missing at step 0, and NaN for weights of zero
    main_path   numbers of the hidden layers on the main path, which are all except those inside
                residual branches: (S,)
    signal      root mean square over a layer's units of their std over inputs, as read by the next
                layer; first for the network's input, then for `main_path`: (S+1,)
    gradient    norm of ∂L/∂z over all units and inputs, for `main_path`; at a residual block that
                of ∂L/∂x, the sum of branch and skip; empty without labels: (S,)
    asymmetry   how much the incoming weights of a hidden layer's units differ, relative to their
                size: 0 if all units are alike, about 1 for random weights; NaN for a layer of one
                unit, and at the end of a residual branch, whose units differ by the skip: (L,)
    histograms  of activations, gradients (log₁₀|∂L/∂z|) and weights
    """

    step: int
    statistics: dict[Statistic, list[float]]
    main_path: list[int]
    signal: list[float]
    gradient: list[float]
    asymmetry: list[float]
    histograms: dict[Quantity, Histogram]


class Probe:
    """Takes snapshots of a network on fixed inputs x (B, I), with or without labels (B,)."""

    def __init__(self, network: Network, x: Array, labels: Labels | None, classes: int) -> None:
        self.network = network.clone_for(len(x), "probe")
        self.x = x
        self.labels = labels
        self.loss = SoftmaxCrossEntropy(len(x), classes, network.dtype)
        self.input_signal = variation(x)
        self.main_path = main_path(self.network.layers)

    def snapshot(self, step: int, previous: Parameters | None = None) -> Snapshot:
        """Measure the network now; `previous` holds its parameters before the last update."""
        network = self.network
        logits = network.forward(self.x)
        units = [layer.y for layer in network.hidden]
        correlations = [mean_cosine(layer.z) for layer in network.hidden]
        # The slopes are in the buffers that `backward` overwrites, so they are read first.
        slopes = [slope_fractions(layer) for layer in network.hidden]
        weights = [layer.W for layer in network.dense]
        statistics = {
            Statistic.UNIT_MEAN: [mean(y) for y in units],
            Statistic.UNIT_STD: [std(y) for y in units],
            Statistic.UNIT_CORRELATION: correlations,
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
                for layer in self.main_path.values()
            ]
            statistics[Statistic.UNIT_GRADIENT_STD] = [std(dz) for dz in gradients]
            statistics[Statistic.WEIGHT_GRADIENT_STD] = [std(layer.dW) for layer in network.dense]
            sizes = [log10_abs(dz) for dz in gradients]
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
            main_path=[*self.main_path],
            signal=[self.input_signal, *(variation(network.dense[n].x) for n in self.main_path)],
            gradient=gradient,
            asymmetry=[
                math.nan if layer.place == "branch" else asymmetry(layer.W)
                for layer in network.dense[:-1]
            ],
            histograms=histograms,
        )


def main_path(layers: Sequence[Layer]) -> dict[int, Elementwise | Residual]:
    """Return the layers of the main path by the number of their first activation."""
    found: dict[int, Elementwise | Residual] = {}
    number = 1
    for layer in layers:
        if isinstance(layer, (Elementwise, Residual)):
            found[number] = layer
            number += sum(isinstance(leaf, Elementwise) for leaf in layer.leaves)
    return found


def mean_cosine(x: Array) -> float:
    """Return the mean over pairs of rows of x (B, I) of the cosine of their angle.

    It is nan if fewer than two rows have a direction. The square of the sum of unit vectors is
    their number and twice the sum over all pairs.
    """
    sizes = np.sqrt(np.square(x, dtype=np.float64).sum(axis=-1))
    used = np.isfinite(sizes) & (sizes > 0)
    count = np.count_nonzero(used)
    if count < 2:
        return math.nan
    total = np.divide(1, sizes, out=np.zeros_like(sizes), where=used) @ x
    return float((total @ total - count) / (count * (count - 1)))


def mean(a: Array) -> float:
    """Return the mean of all entries."""
    return float(a.mean(dtype=np.float64))


def std(a: Array) -> float:
    """Return the standard deviation of all entries."""
    return float(a.std(dtype=np.float64))


def norm(a: Array) -> float:
    """Return the Euclidean norm of all entries."""
    return float(np.sqrt(np.square(a, dtype=np.float64).sum()))


def ratio(a: float, b: float) -> float:
    """Return a / b, NaN where b is zero."""
    return a / b if b else math.nan


def variation(y: Array) -> float:
    """Return the rms over units of their std over inputs, for y (B, O)."""
    return float(np.sqrt(y.var(axis=0, dtype=np.float64).mean()))


def asymmetry(w: Array) -> float:
    """Return the rms difference of the columns of w (I, O) from their mean, relative to w's rms."""
    if w.shape[-1] == 1:
        return math.nan
    size = np.sqrt(np.square(w, dtype=np.float64).mean())
    return float(np.sqrt(w.var(axis=1, dtype=np.float64).mean()) / size) if size else 0.0


def slope_fractions(layer: Elementwise) -> tuple[float, float]:
    """Return the fraction of slopes φ'(z) that is saturated, and the fraction of dead units.

    A unit is dead if its slope is zero for every input, so that no gradient passes through it. The
    saturated fraction is 0 for activations that are not flat at both ends.
    """
    slope = layer.derivative()
    activation = layer.activation
    low = slope < SATURATED_SLOPE * activation.max_slope
    flat = (slope == 0) & ~np.isnan(layer.y)
    return float(low.mean()) if activation.bounded else 0.0, float(flat.all(axis=0).mean())


def log10_abs(a: Array) -> Array:
    """Return log₁₀|a|, -inf where a is zero."""
    size: Array = np.abs(a)
    with np.errstate(divide="ignore"):
        np.log(size, out=size)  # vectorized for zeros too, unlike np.log10
    size *= 1 / math.log(10)
    return size


def activation_edges(activation: Activation) -> NDArray[np.float64]:
    """Return the edges for histograms of this activation's values."""
    return np.linspace(*activation.range, ACTIVATION_BINS + 1)


def histogram(arrays: Sequence[Array], edges: NDArray[np.float64]) -> Histogram:
    """Count the entries of each layer's array between `edges` and outside; ignores NaN."""
    counts = []
    for a in arrays:
        within, _ = np.histogram(a, edges)
        beyond = [np.count_nonzero(a < edges[0]), np.count_nonzero(a > edges[-1])]
        counts.append(np.insert(within, [0, len(within)], beyond))
    return Histogram(edges, np.stack(counts))
