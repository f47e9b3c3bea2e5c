"""Mean-field theory: what signal and gradient do in wide networks of random weights.

Weights have mean 0 and variance σw² / fan_in, biases variance σb². Over the units of a wide layer,
pre-activations are normal, with variance q and, for two inputs, correlation c. A layer makes them

    q' = σw² E[φ(√q z)²] + σb²               z ~ N(0, 1)               Poole et al. 2016, eq. 3
    q' c' = σw² E[φ(u₁) φ(u₂)] + σb²         u₁, u₂ as in the layer    Poole et al. 2016, eq. 5

and the mean square of a gradient changes by σw² E[φ'(√q z)²] a layer, which at the fixed point q*
is called χ₁; it is the slope of the correlation map at c = 1, too (Schoenholz et al. 2017, eq. 5).
Below 1 (ordered) gradients vanish and inputs become alike; above 1 (chaotic) gradients explode and
inputs become unlike. Distances to fixed points shrink e-fold in ξ layers, where -1 / ξ is the
logarithm of the map's slope, and networks of up to about 6 ξ_c layers can be trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from initlab.data.arrays import Array
from initlab.nn.activations import Activation

Integrand = Callable[[Array], Array]

TRAINABLE = 6.0  # ξ_c that still can be trained through (Schoenholz et al. 2017, section 5)
CRITICAL = 1e-3  # difference of χ₁ from 1 that 6,000 layers would not notice

REACH = 9.0  # standard deviations, beyond which lies a share of 2e-19
NODES, WEIGHTS = np.polynomial.legendre.leggauss(14)
STEPS = np.linspace(-REACH, REACH, 9)  # the longest panels
TINY, HUGE = 1e-12, 1e12  # q at which a network works as at 0 and at ∞
MARGIN = 1e-9  # relative change of q that counts as none
FLAT = 1e-4  # the same at q = TINY, where kinks are still felt


class Dropped(NamedTuple):
    """What dropout does in training: factors of E[φ²] and of E[φ(u₁) φ(u₂)].

    Schoenholz et al. 2017, section 4, eq. 11 for a mask of its own for each input.
    """

    square: float = 1.0
    product: float = 1.0


KEPT = Dropped()


def expectation(
    activation: Activation,
    integrand: Integrand,
    variance: ArrayLike,
    mean: ArrayLike = 0.0,
    blur: float = 0.0,
) -> Array:
    """Return E f(x), x ~ N(mean, variance), for f made of this activation, elementwise.

    The error is below 1e-10 of the largest values, also for activations with kinks.

    integrand       f, for arrays (N, K)
    variance, mean  of any shapes that broadcast, which the result has
    blur            the std of a normal law that f has been averaged over, which rounds its kinks
    """
    std, center = np.broadcast_arrays(np.sqrt(np.asarray(variance, float)), np.asarray(mean, float))
    z, weights = quadrature(activation, std.reshape(-1, 1), center.reshape(-1, 1), blur)
    with np.errstate(over="ignore"):
        values = integrand(center.reshape(-1, 1) + std.reshape(-1, 1) * z)
        means: Array = np.einsum("ij,ij->i", values, weights)
    return means.reshape(std.shape)


def quadrature(
    activation: Activation, std: Array, center: Array, blur: float = 0.0
) -> tuple[Array, Array]:
    """Return nodes z and weights (N, K) for x = center + std z, center and std (N, 1).

    Gauss-Legendre on panels that begin at the kinks of φ and grow threefold from one to the next,
    so that the law may be narrow or wide.
    """
    places = panel_ends(activation, float((np.abs(center) + REACH * std).max()), blur)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ends = np.clip(np.nan_to_num((places - center) / std), -REACH, REACH)
    ends = np.concatenate([ends, np.broadcast_to(STEPS, (len(std), len(STEPS)))], axis=-1)
    ends.sort(axis=-1)
    lengths = np.diff(ends)
    # Where the law is far narrower than φ is wide, most panels are empty.
    longest = np.argsort(-lengths, axis=-1)[:, : int((lengths > 0).sum(axis=-1).max())]
    half = np.take_along_axis(lengths, longest, axis=-1)[..., None] / 2
    start = np.take_along_axis(ends, longest, axis=-1)[..., None]
    z = (start + half * (1 + NODES)).reshape(len(std), -1)
    weights = np.exp(-0.5 * z * z)
    weights *= (half * WEIGHTS / math.sqrt(2 * math.pi)).reshape(z.shape)
    return z, weights


def panel_ends(activation: Activation, reach: float, blur: float) -> Array:
    """Return where panels end for x within ± `reach`: at the kinks, and ever farther from them."""
    kinks = activation.kinks or (0.0,)
    finest = min(activation.bend, blur) if blur and activation.kinks else activation.bend
    steps = math.ceil(math.log(reach / finest, 3)) if reach > finest else 0
    distances = finest * 3.0 ** np.arange(steps + 1)
    offsets = np.concatenate([[0.0], distances, -distances])
    ends: Array = np.array(kinks)[:, None] + offsets
    return ends.ravel()


def paired(activation: Activation, integrand: Integrand, q: float, c: float) -> float:
    """Return E f(u₁) f(u₂), with u₁, u₂ of mean 0, variance q and correlation c.

    Given what they share, u₁ and u₂ are independent: E f(u₁) f(u₂) = E h(s)² with h = E[f(u) | s].
    """
    shared, own = q * abs(c), q * max(1 - abs(c), 0.0)

    def averaged(x: Array) -> Array:
        return expectation(activation, integrand, own, x) if own else integrand(x)

    def product(x: Array) -> Array:
        return averaged(x) ** 2 if c >= 0 else averaged(x) * averaged(-x)

    return float(expectation(activation, product, shared, blur=math.sqrt(own)))


def value_of(activation: Activation) -> Integrand:
    """Return φ."""
    return lambda x: activation.value(x, np.empty_like(x))


def slope_of(activation: Activation) -> Integrand:
    """Return φ'."""
    return lambda x: activation.derivative(x, value_of(activation)(x), np.empty_like(x))


def mean_square(activation: Activation, q: ArrayLike) -> Array:
    """Return E φ(√q z)²."""
    value = value_of(activation)
    return expectation(activation, lambda x: value(x) ** 2, q)


def mean_square_slope(activation: Activation, q: ArrayLike) -> Array:
    """Return E φ'(√q z)²."""
    slope = slope_of(activation)
    return expectation(activation, lambda x: slope(x) ** 2, q)


def mean_product(activation: Activation, q: float, c: float) -> float:
    """Return E φ(u₁) φ(u₂), with u₁, u₂ of variance q and correlation c."""
    if c >= 1:
        return float(mean_square(activation, q))
    return paired(activation, value_of(activation), q, c)


def mean_product_slope(activation: Activation, q: float, c: float) -> float:
    """Return E φ'(u₁) φ'(u₂), which is ∂E[φ(u₁) φ(u₂)]/∂c / q (Price 1958)."""
    if c >= 1:
        return float(mean_square_slope(activation, q))
    return paired(activation, slope_of(activation), q, c)


class Moments(NamedTuple):
    """Expectations over x ~ N(0, q) of φ(x) and φ'(x), and their relative changes.

    mean, square     E φ and E φ²
    slope_square     E φ'²
    square_power     ∂ ln E φ² / ∂ ln q; it is 1 for relu
    variance_power   the same for E φ² - (E φ)²
    slope_power      the same for E φ'²
    square_spread    Var φ² / (E φ²)², by which an average over n units scatters: 5 for relu
    variance_spread  the same for (φ - E φ)²
    slope_spread     the same for (g φ')², where g is normal and does not depend on φ': 5 for relu
    """

    mean: float
    square: float
    slope_square: float
    square_power: float
    variance_power: float
    slope_power: float
    square_spread: float
    variance_spread: float
    slope_spread: float

    @property
    def variance(self) -> float:
        """E φ² - (E φ)²."""
        return max(self.square - self.mean**2, 0.0)


def moments(activation: Activation, q: float) -> Moments:
    """Return the moments at the variance q; changes are by ∂E f / ∂ ln q = E[f (z² - 1)] / 2."""
    std = math.sqrt(q)
    z, weights = quadrature(activation, np.array([[std]]), np.zeros((1, 1)))
    z, weights = z[0], weights[0]
    value, slope = value_of(activation), slope_of(activation)
    with np.errstate(over="ignore", invalid="ignore"):
        y, dy = value(std * z), slope(std * z)
        mean = float(weights @ y)
        squares = (y**2, (y - mean) ** 2, dy**2)
        means = [float(weights @ each) for each in squares]
        powers = [
            ratio(weights @ (each * (z**2 - 1)) / 2, average)
            for each, average in zip(squares, means, strict=True)
        ]
        spreads = [
            max(peak * float(weights @ (each / average) ** 2) - 1, 0.0) if average else 0.0
            for each, average, peak in zip(squares, means, (1, 1, 3), strict=True)  # E g⁴ = 3
        ]
    return Moments(mean, means[0], means[2], *powers, *spreads)


def ratio(a: float, b: float) -> float:
    """Return a / b, 0 where b is 0."""
    return float(a / b) if b else 0.0


def gain(activation: Activation) -> float:
    """Return 1 / √E[φ(z)²] for z ~ N(0, 1).

    With weights of std gain / √n_in, z of rms 1 in one layer gives z of rms 1 in the next. The gain
    is √2 for relu (He et al. 2015) and 1 for selu (Klambauer et al. 2017). For most activations an
    rms other than 1 returns to 1 with depth; for gelu and silu it drifts away at every layer.
    """
    return 1 / math.sqrt(mean_square(activation, 1.0))


def variance_map(
    activation: Activation,
    q: ArrayLike,
    weight_variance: float,
    bias_variance: float = 0.0,
    dropped: Dropped = KEPT,
) -> Array:
    """Return q' = σw² E[φ²] + σb², the variance in the next layer (Poole et al. 2016, eq. 3)."""
    return weight_variance * dropped.square * mean_square(activation, q) + bias_variance


def correlation_map(
    activation: Activation,
    q: float,
    c: float,
    weight_variance: float,
    bias_variance: float = 0.0,
    dropped: Dropped = KEPT,
) -> float:
    """Return c', the correlation in the next layer (Poole et al. 2016, eq. 5)."""
    if c >= 1 and dropped == KEPT:
        return 1.0
    shared = weight_variance * dropped.product * mean_product(activation, q, c) + bias_variance
    return shared / float(variance_map(activation, q, weight_variance, bias_variance, dropped))


def fixed_variance(
    activation: Activation,
    weight_variance: float,
    bias_variance: float = 0.0,
    start: float = 1.0,
    dropped: Dropped = KEPT,
) -> float:
    """Return q*, to which the variance tends from `start`; it may be 0 or infinite.

    It is `start` itself where every q is a fixed point, as with relu and He's weights.
    """

    def growth(q: Array) -> Array:
        with np.errstate(divide="ignore", over="ignore"):
            return np.log(variance_map(activation, q, weight_variance, bias_variance, dropped) / q)

    first = float(growth(np.array(start)))
    if abs(first) < MARGIN:
        return start
    grid = np.geomspace(start, HUGE if first > 0 else TINY, 100)
    crossed = np.flatnonzero(growth(grid) * first <= 0)
    if not len(crossed):
        return math.inf if first > 0 else 0.0
    return root(growth, grid[crossed[0] - 1], grid[crossed[0]])


def fixed_correlation(
    activation: Activation,
    q: float,
    weight_variance: float,
    bias_variance: float = 0.0,
    dropped: Dropped = KEPT,
) -> float:
    """Return c*, to which the correlation of two inputs of variance q = q* tends."""
    chi = weight_variance * dropped.product * float(mean_square_slope(activation, q))
    if dropped == KEPT and chi <= 1 + MARGIN:
        return 1.0
    c = 0.0
    for _ in range(100):  # Newton's method: the map is convex, so that c approaches from below
        gap = correlation_map(activation, q, c, weight_variance, bias_variance, dropped) - c
        slope = weight_variance * dropped.product * mean_product_slope(activation, q, c)
        step = gap / (1 - slope)
        c += step
        if abs(step) < 1e-12 or not 0 <= c < 1:
            break
    return min(max(c, 0.0), 1.0)


def depth_scale(slope: float) -> float:
    """Return ξ = -1 / ln |slope| in layers, infinite for 1, and positive for slopes above 1 too."""
    if not 0 < slope < math.inf:
        return 0.0
    exponent = abs(math.log(slope))
    return 1 / exponent if exponent > MARGIN else math.inf


class Phase(StrEnum):
    """What happens to gradients and to near inputs."""

    ORDERED = "ordered"
    CRITICAL = "critical"
    CHAOTIC = "chaotic"

    @classmethod
    def of(cls, chi1: float) -> Phase:
        """Return the phase for χ₁."""
        if abs(chi1 - 1) <= CRITICAL:
            return cls.CRITICAL
        return cls.ORDERED if chi1 < 1 else cls.CHAOTIC


class Limit(NamedTuple):
    """What many equal layers tend to.

    q_star, c_star  variance, which may be 0 or infinite, and correlation; nan where unknown
    chi1            factor of the mean square of gradients, a layer
    depth_scale_q   ξ_q in layers; infinite where q stays as it is, or moves less and less
    depth_scale_c   ξ_c in layers; where q* is 0 or infinite, that of the gradients
    """

    q_star: float
    c_star: float
    chi1: float
    depth_scale_q: float
    depth_scale_c: float

    @property
    def phase(self) -> Phase:
        """The phase for χ₁."""
        return Phase.of(self.chi1)


def limit(
    activation: Activation,
    weight_variance: float,
    bias_variance: float = 0.0,
    start: float = 1.0,
    dropped: Dropped = KEPT,
) -> Limit:
    """Return what the variance `start` tends to through many layers."""
    setting = (weight_variance, bias_variance)
    start = min(max(start, TINY), HUGE)
    q_star = fixed_variance(activation, *setting, start, dropped)
    q = min(max(q_star, TINY), HUGE)  # where maps at 0 and at infinity have reached their limit
    at_q = moments(activation, q)
    q_slope = weight_variance * dropped.square * at_q.square_power * at_q.square / q
    chi1 = weight_variance * dropped.square * at_q.slope_square
    xi_q = depth_scale(q_slope)
    if q != q_star:
        return Limit(q_star, math.nan, chi1, xi_q, depth_scale(chi1))
    c_star = fixed_correlation(activation, q, *setting, dropped)
    slope = weight_variance * dropped.product * mean_product_slope(activation, q, c_star)
    return Limit(q_star, c_star, chi1, xi_q, depth_scale(slope))


class Edge(NamedTuple):
    """A point on the edge of chaos, χ₁ = 1.

    stable  whether q returns to this value from near ones
    """

    weight_variance: float
    bias_variance: float
    q: float
    stable: bool


def edge_at(activation: Activation, q: Array) -> tuple[Array, Array]:
    """Return the σw² and σb² for which q is a fixed point with χ₁ = 1.

    σw² = 1 / E[φ'²] and σb² = q - σw² E[φ²], which may be negative: there is no such point.
    """
    weight_variance = 1 / mean_square_slope(activation, q)
    return weight_variance, q - weight_variance * mean_square(activation, q)


def edge_of_chaos(activation: Activation, bias_variance: float = 0.0) -> Edge | None:
    """Return the point of this σb² on the edge of chaos, None if there is none.

    Of several, it is the stable one of the smallest q, if one is stable.
    """
    grid = np.geomspace(TINY, HUGE, 400)
    weights, biases = edge_at(activation, grid)
    gaps = biases - bias_variance
    found = []
    if not bias_variance and abs(biases[0]) < FLAT * grid[0]:
        found.append((0.0, float(weights[0])))  # φ(0) = 0, and q* = 0, or any q for relu
    crossed = np.flatnonzero((gaps[:-1] * gaps[1:] < 0) & (np.abs(gaps) > MARGIN * grid)[:-1])
    for index in crossed:
        q = root(lambda q: edge_at(activation, q)[1] - bias_variance, grid[index], grid[index + 1])
        found.append((q, float(edge_at(activation, np.array(q))[0])))
    edges = [
        Edge(weight, bias_variance, q, is_stable(activation, q, weight, bias_variance))
        for q, weight in found
    ]
    return next((edge for edge in edges if edge.stable), edges[0] if edges else None)


def is_stable(
    activation: Activation, q: float, weight_variance: float, bias_variance: float
) -> bool:
    """Return whether a variance somewhat above the fixed point q does not grow further."""
    above = 1.01 * q or 1e-3
    return bool(
        variance_map(activation, above, weight_variance, bias_variance) <= above * (1 + MARGIN)
    )


def critical_bias_variance(activation: Activation, weight_variance: float) -> float | None:
    """Return the smallest σb² that puts this σw² on the edge of chaos, None if there is none."""
    grid = np.geomspace(TINY, HUGE, 400)
    gaps = 1 / mean_square_slope(activation, grid) - weight_variance
    crossed = np.flatnonzero(gaps[:-1] * gaps[1:] <= 0)
    roots = [
        root(
            lambda q: 1 / mean_square_slope(activation, q) - weight_variance,
            grid[index],
            grid[index + 1],
        )
        for index in crossed
    ]
    biases = [float(edge_at(activation, np.array(q))[1]) for q in roots]
    return min((bias for bias in biases if bias >= 0), default=None)


def root(function: Callable[[Array], Array], low: float, high: float) -> float:
    """Return where a function that has one sign below and another above is 0."""
    for _ in range(12):
        grid = np.linspace(low, high, 33)
        signs = function(grid) > 0
        last = int(np.flatnonzero(signs == signs[0])[-1])
        if last == 32 or grid[last] == grid[last + 1]:
            return float(grid[last])
        low, high = grid[last], grid[last + 1]
    return float((low + high) / 2)
