"""Prediction: what mean-field theory says of a network that is about to be drawn.

It follows two inputs forward through the layers, and the gradient of one back. Each layer changes
the mean square of a unit, and the mean product for the two inputs; what a finite width adds is kept
as the relative change that each random source makes, as in the delta method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
ASYMPTOTIC = 1e6  # q above which all moments are powers of q
GROUPS = 7  # of examples by their size, where it matters
AMPLIFIED = 1.2  # power of the first q by which a later one changes, where differences grow
MOST_NUMBERS = 1_000_000  # drawn for the softmax
LARGEST = 1e140  # mean square that is followed: its square is a number, and no float32 is as large


class Inputs(NamedTuple):
    """What theory asks of the data.

    mean_square  of a feature
    correlation  the mean cosine of two examples
    spread       variance of ln |x|² over the examples
    """

    mean_square: float = 1.0
    correlation: float = 0.0
    spread: float = 0.0

    @classmethod
    def of(cls, x: Array) -> Inputs:
        """Measure examples (B, I)."""
        squares = np.square(x, dtype=np.float64).mean(axis=-1)
        spread = float(np.log(squares[squares > 0]).var()) if squares.any() else 0.0
        return cls(float(squares.mean()), mean_cosine(x), spread)

    def groups(self) -> list[tuple[float, float]]:
        """Return the shares of groups of examples and their mean squares, as if log-normal."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(GROUPS)
        shares, sizes = weights / weights.sum(), np.exp(math.sqrt(self.spread) * nodes)
        sizes *= self.mean_square / (shares @ sizes)
        return [*zip(shares.tolist(), sizes.tolist(), strict=True)]


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
    variances          mean square of these
    signal, gradient   as in a `Snapshot`: along the main path
    find_limit         returns `limit`
    """

    unit_std: list[Band]
    unit_gradient_std: list[Band]
    correlation: list[float]
    variances: list[float]
    signal: list[float]
    gradient: list[float]
    find_limit: Callable[[], theory.Limit]

    @cached_property
    def limit(self) -> theory.Limit:
        """What many such layers tend to."""
        return self.find_limit()

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
    noise    what random sources do to ln of the mean of x² over the units: first the change of its
             mean, then the std by each of them (1 + R,)
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


class Hidden(NamedTuple):
    """The pre-activations of a hidden layer, and the moments of its activations."""

    signal: Signal
    moments: theory.Moments

    @property
    def noise(self) -> Array:
        """What random sources before it do to ln of its activations' variance."""
        return self.moments.variance_power * self.signal.noise

    @property
    def own(self) -> float:
        """The variance of that logarithm by its own finite width."""
        return math.log1p(self.moments.variance_spread / self.signal.width)


Back = Callable[[Gradient], Gradient]


class Walk:
    """Follows signal and gradient through layers, and notes what each hidden layer has.

    laws  of the Dense layers' weights, by place, "" for the others
    """

    def __init__(self, laws: Mapping[str, Initializer], layers: Sequence[Layer]) -> None:
        self.laws = laws
        self.layers = layers
        # Two for each activation, one for each residual block, and one for the output.
        leaves = [leaf for layer in layers for leaf in layer.leaves]
        self.sources = (
            2 * sum(isinstance(leaf, Elementwise) for leaf in leaves)
            + sum(isinstance(layer, Residual) for layer in layers)
            + 1
        )
        self.used = 1
        self.hidden: list[Hidden] = []
        self.gradients: dict[int, Gradient] = {}  # by the number of the hidden layer
        self.variations: list[float] = []  # of the inputs of Dense layers
        self.known: tuple[float, float, theory.Moments, float] | None = None
        self.blocks: dict[int, Gradient] = {}  # of residual blocks, by their first hidden layer

    def forth_and_back(
        self, mean_square: float, correlation: float, features: int, examples: int
    ) -> None:
        """Go from the input to the loss and back."""
        start = Signal(mean_square, mean_square * correlation, features, np.zeros(1 + self.sources))
        with np.errstate(over="ignore", invalid="ignore"):
            logits, back = self.through(self.layers, start)
            size, spread = softmax_gradient(logits.size, logits.correlation, logits.width)
            back(Gradient(size / examples**2, self.source(math.expm1(spread))))

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
        """Return the noise of a factor that varies by itself, of mean 1 and this variance.

        It is log-normal (Hanin & Nica 2018), so that the mean of its logarithm is below 0.
        """
        noise = np.zeros(1 + self.sources)
        noise[0] = -math.log1p(variance) / 2
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
        number, width = len(self.hidden) + 1, signal.width
        correlation = signal.correlation
        moments, product = self.moments(activation, signal.size, correlation)
        self.hidden.append(Hidden(signal, moments))
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
        near = min(q, ASYMPTOTIC)
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
        square, number = limited(layer.scale) ** 2, len(self.hidden) + 1
        branch, back_branch = self.through(layer.branch, signal)
        size = signal.size + square * branch.size
        shares = theory.ratio(signal.size, size), theory.ratio(square * branch.size, size)
        after = Signal(
            size,
            signal.overlap + square * branch.overlap,
            signal.width,
            averaged([signal.size, square * branch.size], [signal.noise, branch.noise])
            + self.source(4 * math.prod(shares) / signal.width),
        ).limited()

        def back(gradient: Gradient) -> Gradient:
            inner = back_branch(Gradient(square * gradient.size, gradient.noise))
            self.blocks[number] = Gradient(
                gradient.size + inner.size,
                averaged([gradient.size, inner.size], [gradient.noise, inner.noise]),
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


def band(square: float, noise: Array, own: float = 0.0) -> Band:
    """Return the band for the root of a mean square, of which `noise` is as in `Signal`.

    own  the variance of the logarithm by a source that nothing else depends on
    """
    if not square > 0 or not math.isfinite(square):
        return Band(*3 * [math.sqrt(max(square, 0.0))])
    shift, spread = noise[0] - own / 2, math.sqrt(noise[1:] @ noise[1:] + own)
    logs = (math.log(square) + shift + side * DEVIATIONS * spread for side in (-1, 1))
    low, high = (math.exp(min(log / 2, 700.0)) for log in logs)
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
    shared = correlation**2 if correlation > 0 else 0.0
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
    laws = {**layer_inits, "": init}

    def walked(mean_square: float) -> Walk:
        walk = Walk(laws, layers)
        walk.forth_and_back(mean_square, inputs.correlation, features, examples)
        return walk

    middle = walked(inputs.mean_square)
    walks = [(1.0, middle)]
    if inputs.spread and amplified(middle) > AMPLIFIED:
        walks = [(share, walked(mean_square)) for share, mean_square in inputs.groups()]
    shares = np.array([share for share, _ in walks])
    stds, gradients = [], []
    for place, hidden in enumerate(middle.hidden):
        each = [walk.hidden[place] for _, walk in walks]
        variances = shares * [one.moments.variance for one in each]
        means = np.array([one.moments.mean for one in each])
        apart = float(shares @ (means - shares @ means) ** 2)
        noise = averaged(variances, [one.noise for one in each])
        stds.append(band(float(variances.sum()) + apart, noise, hidden.own))
        back = [walk.gradients[place + 1] for _, walk in walks]
        sizes = shares * [one.size for one in back]
        gradients.append(Gradient(float(sizes.sum()), averaged(sizes, [one.noise for one in back])))
    main = [*main_path(layers)]
    norms = []
    for number in main:
        size = middle.blocks.get(number, gradients[number - 1]).size
        norms.append(math.sqrt(size * middle.hidden[number - 1].signal.width * examples))
    return Prediction(
        stds,
        [band(each.size, each.noise) for each in gradients],
        [each.signal.correlation for each in middle.hidden],
        [each.signal.size for each in middle.hidden],
        [middle.variations[number] for number in (0, *main)],
        norms,
        lambda: limit_of(layers, middle),
    )


def amplified(walk: Walk) -> float:
    """Return the largest power of the first q by which a later q changes."""
    return float(np.cumprod([each.moments.square_power for each in walk.hidden]).max())


def averaged(sizes: Sequence[float] | Array, noises: Sequence[Array]) -> Array:
    """Return the noise of a sum of these sizes."""
    total = float(np.sum(sizes))
    if not 0 < total < math.inf:
        return noises[0]
    mean: Array = (np.array(sizes) / total) @ np.array(noises)
    return mean


def unknown_law(laws: Sequence[Initializer]) -> bool:
    """Return whether theory knows nothing of one of these laws."""
    return not all(law.independent for law in laws)


def limit_of(layers: Sequence[Layer], walk: Walk) -> theory.Limit:
    """Return what many layers like the last hidden one tend to.

    With batch norm or residual blocks there is no map from layer to layer. χ₁ is then the mean
    change of the gradient's mean square, a layer.
    """
    leaves = [leaf for layer in layers for leaf in layer.leaves]
    dense = [leaf for leaf in leaves if isinstance(leaf, Dense)]
    activation = next(leaf.activation for leaf in leaves if isinstance(leaf, Elementwise))
    if walk.blocks or any(isinstance(leaf, BatchNorm) for leaf in leaves):
        first, last = (walk.gradients[number].size for number in (1, len(walk.hidden)))
        steps = len(walk.hidden) - 1
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
    start = walk.hidden[0].signal.size or 1.0
    return theory.limit(activation, variance, limited(dense[-1].bias_std) ** 2, start, dropped)
