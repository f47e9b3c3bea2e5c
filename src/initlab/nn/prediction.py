"""Prediction: what mean-field theory says of a network that is about to be drawn.

It follows two inputs forward through the layers, and the gradient of one back. Each layer changes
the mean square of a unit, and the mean product for the two inputs; what a finite width adds is kept
as the relative change that each random source makes, as in the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from initlab.data.arrays import Array
from initlab.nn import theory
from initlab.nn.activations import Activation
from initlab.nn.diagnostics import main_path, mean_cosine
from initlab.nn.initializers import Initializer
from initlab.nn.layers import BatchNorm, Dense, Dropout, Elementwise, Layer, Residual
from initlab.nn.metrics import Statistic

DEVIATIONS = 1.96  # of the logarithm, on both sides of a prediction: 95 %
SOFTMAX_DRAWS = 4000
MOST_NUMBERS = 1_000_000  # drawn for the softmax
LARGEST = 1e140  # mean square that is followed: its square is a number, and no float32 is as large


class Inputs(NamedTuple):
    """What theory asks of the data.

    mean_square  of a feature
    correlation  the mean cosine of two examples
    """

    mean_square: float = 1.0
    correlation: float = 0.0

    @classmethod
    def of(cls, x: Array) -> Inputs:
        """Measure examples (B, I)."""
        return cls(float(np.square(x, dtype=np.float64).mean()), mean_cosine(x))


class Band(NamedTuple):
    """A prediction, and the limits between which 95 % of narrow networks are."""

    value: float
    low: float
    high: float

    def __contains__(self, measured: object) -> bool:
        assert isinstance(measured, float)
        return self.low <= measured <= self.high


@dataclass(frozen=True)
class Prediction:
    """What theory expects of a network as initialised.

    unit_std           std of the activations of each hidden layer
    unit_gradient_std  std of ∂L/∂z of each hidden layer, L the mean loss of the probe
    correlation        mean cosine of two inputs' pre-activations in each hidden layer
    signal, gradient   as in a `Snapshot`: along the main path
    limit              what many such layers tend to
    """

    unit_std: list[Band]
    unit_gradient_std: list[Band]
    correlation: list[float]
    signal: list[float]
    gradient: list[float]
    limit: theory.Limit

    @property
    def bands(self) -> dict[Statistic, list[Band]]:
        """The predictions by the names of what is measured."""
        return {
            Statistic.UNIT_STD: self.unit_std,
            Statistic.UNIT_GRADIENT_STD: self.unit_gradient_std,
        }

    @property
    def statistics(self) -> dict[Statistic, list[float]]:
        """The numbers of each hidden layer by the names of their metrics."""
        return {
            Statistic.UNIT_STD_THEORY: [each.value for each in self.unit_std],
            Statistic.UNIT_GRADIENT_STD_THEORY: [each.value for each in self.unit_gradient_std],
            Statistic.UNIT_CORRELATION_THEORY: self.correlation,
        }


@dataclass(frozen=True)
class Signal:
    """The numbers of a layer, over many networks.

    size     E x², over units
    overlap  E x x' for two inputs
    width    number of units
    noise    how much each random source changes ln of the mean of x² over the units: (R,)
    """

    size: float
    overlap: float
    width: int
    noise: Array

    @property
    def correlation(self) -> float:
        """The cosine for two inputs."""
        return min(self.overlap / self.size, 1.0) if self.size else math.nan

    def limited(self) -> Signal:
        """Return a signal that can be followed, of the same correlation."""
        excess = max(self.size / LARGEST, 1.0)
        return replace(self, size=self.size / excess, overlap=self.overlap / excess)

    @property
    def variation(self) -> float:
        """The rms over units of their std over inputs."""
        return math.sqrt(max(self.size - self.overlap, 0.0))


class Gradient(NamedTuple):
    """E (∂L/∂x)² over units, and `noise` as in `Signal`."""

    size: float
    noise: Array


Back = Callable[[Gradient], Gradient]


class Walk:
    """Follows signal and gradient through layers, and notes what each hidden layer has.

    laws  of the Dense layers' weights, by place, "" for the others
    """

    def __init__(self, laws: Mapping[str, Initializer], sources: int) -> None:
        self.laws = laws
        self.sources = sources
        self.used = 0
        self.unit_std: list[Band] = []
        self.correlation: list[float] = []
        self.gradients: dict[int, Gradient] = {}  # by the number of the hidden layer
        self.variations: list[float] = []  # of the inputs of Dense layers
        self.known: tuple[float, float, theory.Moments, float] | None = None
        self.blocks: dict[int, Gradient] = {}  # of residual blocks, by their first hidden layer
        self.sizes: list[float] = []  # of the pre-activations
        self.widths: list[int] = []

    def through(self, layers: Sequence[Layer], signal: Signal) -> tuple[Signal, Back]:
        """Return what leaves the layers, and the way back."""
        backs = []
        for layer in layers:
            signal, back = self.step(layer, signal)
            backs.append(back)

        def back_through(gradient: Gradient) -> Gradient:
            for back in reversed(backs):
                gradient = back(gradient)
            return gradient

        return signal, back_through

    def step(self, layer: Layer, signal: Signal) -> tuple[Signal, Back]:
        """Return what leaves a layer, and the way back."""
        match layer:
            case Dense():
                return self.dense(layer, signal)
            case Elementwise():
                return self.elementwise(layer.activation, signal)
            case BatchNorm():
                return self.batch_norm(layer, signal)
            case Dropout():
                return scaled(signal, layer.evaluation_factor**2)  # a probe drops nothing
            case Residual():
                return self.residual(layer, signal)
        raise TypeError(f"theory knows no {type(layer).__name__}")

    def source(self, variance: float) -> Array:
        """Return the noise of a random source of its own, of this variance relative to the mean."""
        noise = np.zeros(self.sources)
        noise[self.used] = math.sqrt(math.log1p(variance))
        self.used += 1
        return noise

    def dense(self, layer: Dense, signal: Signal) -> tuple[Signal, Back]:
        """y = x W + b: every weight takes its share, and biases are the same for all inputs."""
        self.variations.append(signal.variation)
        variance = self.weight_variance(layer.place, layer.fan_in, layer.fan_out)
        size = layer.fan_in * variance * signal.size
        bias = limited(layer.bias_std) ** 2
        share = theory.ratio(size, size + bias)
        after = Signal(
            size + bias,
            layer.fan_in * variance * signal.overlap + bias,
            layer.fan_out,
            share * signal.noise,
        ).limited()
        factor = layer.fan_out * variance
        return after, lambda gradient: Gradient(factor * gradient.size, gradient.noise)

    def weight_variance(self, place: str, fan_in: int, fan_out: int) -> float:
        """Return the variance of the weights of a layer."""
        return limited(self.laws.get(place, self.laws[""]).exact_std(fan_in, fan_out)) ** 2

    def elementwise(self, activation: Activation, signal: Signal) -> tuple[Signal, Back]:
        """y = φ(z), of which the mean over a finite number of units scatters."""
        number, width = len(self.unit_std) + 1, signal.width
        correlation = signal.correlation
        moments, product = self.moments(activation, signal.size, correlation)
        spread = moments.variance_power * signal.noise
        own = math.log1p(moments.variance_spread / width)
        self.unit_std.append(band(moments.variance, float(spread @ spread) + own))
        self.correlation.append(correlation)
        self.sizes.append(signal.size)
        self.widths.append(width)
        noise = moments.square_power * signal.noise + self.source(moments.square_spread / width)
        coupled = moments.slope_power * signal.noise
        own_back = self.source(moments.slope_spread / width)

        def back(gradient: Gradient) -> Gradient:
            found = Gradient(
                moments.slope_square * gradient.size, gradient.noise + coupled + own_back
            )
            self.gradients[number] = found
            return found

        return Signal(moments.square, product, width, noise), back

    def moments(self, activation: Activation, q: float, c: float) -> tuple[theory.Moments, float]:
        """Return the moments at q, and E φ φ' of two inputs, anew where q and c have moved."""
        if self.known:
            known_q, known_c, moments, product = self.known
            if math.isclose(q, known_q, rel_tol=1e-9) and math.isclose(c, known_c, abs_tol=1e-9):
                return moments, product
        near = min(q, theory.HUGE)  # from where on all are powers of q
        moments = theory.moments(activation, near)
        product = theory.mean_product(activation, near, c) if q else moments.square
        if q > near:
            growth = (q / near) ** moments.square_power
            moments = moments._replace(
                mean=math.sqrt(growth) * moments.mean,
                square=growth * moments.square,
                slope_square=(q / near) ** moments.slope_power * moments.slope_square,
            )
            product *= growth
        self.known = (q, c, moments, product)
        return moments, product

    def batch_norm(self, layer: BatchNorm, signal: Signal) -> tuple[Signal, Back]:
        """x̂ = (x - μ) / √(σ² + eps): what inputs have in common is gone, and so is the noise."""
        variance = max(signal.size - signal.overlap, 0.0)
        slope_square = 1 / (variance + layer.eps)
        after = Signal(variance * slope_square, 0.0, signal.width, 0 * signal.noise)
        return after, lambda gradient: Gradient(
            slope_square * gradient.size, gradient.noise - signal.noise
        )

    def residual(self, layer: Residual, signal: Signal) -> tuple[Signal, Back]:
        """y = x + s f(x): squares add up, because the branch ends in weights of its own."""
        square, number = limited(layer.scale) ** 2, len(self.unit_std) + 1
        branch, back_branch = self.through(layer.branch, signal)
        size = signal.size + square * branch.size
        shares = theory.ratio(signal.size, size), theory.ratio(square * branch.size, size)
        after = Signal(
            size,
            signal.overlap + square * branch.overlap,
            signal.width,
            mixed(signal.size, signal.noise, square * branch.size, branch.noise)
            + self.source(4 * math.prod(shares) / signal.width),
        ).limited()

        def back(gradient: Gradient) -> Gradient:
            inner = back_branch(Gradient(square * gradient.size, gradient.noise))
            self.blocks[number] = Gradient(
                gradient.size + inner.size,
                mixed(gradient.size, gradient.noise, inner.size, inner.noise),
            )
            return self.blocks[number]

        return after, back


def limited(std: float) -> float:
    """Return a factor whose square can be followed."""
    return min(abs(std), math.sqrt(LARGEST))


def scaled(signal: Signal, factor: float) -> tuple[Signal, Back]:
    """Return a signal whose mean square is multiplied by a factor, and the way back."""
    after = replace(signal, size=factor * signal.size, overlap=factor * signal.overlap)
    return after, lambda gradient: Gradient(factor * gradient.size, gradient.noise)


def mixed(first: float, first_noise: Array, second: float, second_noise: Array) -> Array:
    """Return the noise of a sum of two sizes."""
    total = first + second
    return (first * first_noise + second * second_noise) / total if total else 0 * first_noise


def band(square: float, spread: float) -> Band:
    """Return the band for the root of a mean square whose logarithm has the variance `spread`.

    The law is log-normal (Hanin & Nica 2018): its logarithm has the mean ln square - spread / 2.
    """
    if not square > 0 or not math.isfinite(square):
        return Band(*3 * [math.sqrt(max(square, 0.0))])
    center, reach = (math.log(square) - spread / 2) / 2, DEVIATIONS * math.sqrt(spread) / 2
    low, high = (math.exp(min(center + side * reach, 700.0)) for side in (-1, 1))
    return Band(math.sqrt(square), low, high)


def softmax_gradient(variance: float, correlation: float, classes: int) -> tuple[float, float]:
    """Return the mean square of softmax(z) - y over classes, and the variance of its logarithm.

    z is normal, of this variance; y is one-hot, of random labels. The mean square is (E Σp² -
    2 / C + 1) / C, over draws that are the same for every run. As far as inputs have their z in
    common, it scatters as it does for one input.
    """
    draws = max(min(SOFTMAX_DRAWS, MOST_NUMBERS // classes), 10)
    z = math.sqrt(min(variance, 1e12)) * np.random.default_rng(0).standard_normal((draws, classes))
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    squares = np.square(p).sum(axis=-1) - 2 / classes + 1
    shared = max(correlation, 0.0) ** 2
    return float(squares.mean()) / classes, shared * float(np.log(squares).var())


def predict(
    layers: Sequence[Layer],
    init: Initializer,
    layer_inits: Mapping[str, Initializer],
    inputs: Inputs,
    features: int,
    examples: int,
) -> Prediction | None:
    """Return what theory expects of a network, None where it knows nothing of a law.

    layers         of a network, drawn or not
    init           the law of their weights; `layer_inits` has those of single layers, by place
    inputs         the mean square and correlation of the examples
    features       the width of the input
    examples       over which the loss is a mean
    """
    if unknown_law([init, *layer_inits.values()]) or not all(map(math.isfinite, inputs)):
        return None
    leaves = [leaf for layer in layers for leaf in layer.leaves]
    hidden = [leaf for leaf in leaves if isinstance(leaf, Elementwise)]
    sources = 2 * len(hidden) + sum(isinstance(layer, Residual) for layer in layers) + 1
    walk = Walk({**layer_inits, "": init}, sources)
    square, correlation = inputs
    start = Signal(square, square * correlation, features, np.zeros(sources))
    with np.errstate(over="ignore", invalid="ignore"):
        logits, back = walk.through(layers, start)
        finite = min(logits.size, 1e300)
        size, spread = softmax_gradient(finite, logits.correlation, logits.width)
        back(Gradient(size / examples**2, walk.source(math.expm1(spread))))
    numbers = [*main_path(layers)]
    gradients = [walk.gradients[number] for number in sorted(walk.gradients)]
    main = [walk.blocks.get(number, gradients[number - 1]) for number in numbers]
    return Prediction(
        walk.unit_std,
        [band(each.size, float(each.noise @ each.noise)) for each in gradients],
        walk.correlation,
        [walk.variations[number] for number in (0, *numbers)],
        [
            math.sqrt(each.size * walk.widths[number - 1] * examples)
            for number, each in zip(numbers, main, strict=True)
        ],
        limit_of(leaves, walk, gradients),
    )


def unknown_law(laws: Sequence[Initializer]) -> bool:
    """Return whether theory knows nothing of one of these laws."""
    return not all(law.independent for law in laws)


def limit_of(leaves: Sequence[Layer], walk: Walk, gradients: Sequence[Gradient]) -> theory.Limit:
    """Return what many layers like the last hidden one tend to.

    With batch norm or residual blocks there is no map from layer to layer. χ₁ is then the mean
    change of the gradient's mean square, a layer.
    """
    dense = [leaf for leaf in leaves if isinstance(leaf, Dense)]
    activation = next(leaf.activation for leaf in leaves if isinstance(leaf, Elementwise))
    if walk.blocks or any(isinstance(leaf, BatchNorm) for leaf in leaves):
        first, last = gradients[0].size, gradients[-1].size
        steps = len(gradients) - 1
        chi1 = (first / last) ** (1 / steps) if steps and last else math.nan
        return theory.Limit(math.nan, math.nan, chi1, math.nan, theory.depth_scale(chi1))
    width = dense[-1].fan_in
    variance = width * walk.weight_variance("", width, width)
    dropped = theory.KEPT
    for leaf in leaves:
        if isinstance(leaf, Dropout):
            kept = 1 - leaf.rate
            dropped = theory.Dropped(
                kept * leaf.training_factor**2, (kept * leaf.training_factor) ** 2
            )
    start = walk.sizes[0] or 1.0
    return theory.limit(activation, variance, limited(dense[-1].bias_std) ** 2, start, dropped)
