"""Activation functions, each next to its derivative.

All work elementwise on arrays of any shape and write into `out`; none changes z or y. A formula
that needs a second array allocates it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from initlab import checks
from initlab.data.arrays import Array


@dataclass
class Activation(ABC):
    """y = φ(z), elementwise; at a kink φ' is the derivative from the left.

    bounded         whether φ is flat at both ends, so that it can saturate
    max_slope       the largest φ' of a bounded activation, meaningless for others; a unit counts as
                    saturated where φ' is below a fraction of it
    most_saturated  the fraction of saturated slopes above which a layer counts as saturated
    range           the interval of the histograms of y, the same for every run
    kinks           where φ or one of its derivatives jumps
    """

    bounded: ClassVar[bool] = False
    max_slope: ClassVar[float] = 1.0
    range: ClassVar[tuple[float, float]] = (-4.0, 4.0)
    most_saturated: ClassVar[float] = 0.4  # trained tanh nets reach 0.04, std1 starts at 0.5
    kinks: ClassVar[tuple[float, ...]] = ()

    @property
    def bend(self) -> float:
        """The distance from 0, or from a kink, within which φ bends; farther off it bends less."""
        return 1.0

    @abstractmethod
    def value(self, z: Array, out: Array) -> Array:
        """Write φ(z) into `out`."""

    @abstractmethod
    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        """Write φ'(z) into `out`, given also y = φ(z)."""


@dataclass
class Identity(Activation):
    """φ(z) = z."""

    def value(self, z: Array, out: Array) -> Array:
        return np.positive(z, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        out.fill(1.0)
        return out


@dataclass
class Sigmoid(Activation):
    """φ(z) = 1 / (1 + e⁻ᶻ)."""

    max_slope: ClassVar[float] = 0.25
    bounded: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def value(self, z: Array, out: Array) -> Array:
        # e⁻ᶻ overflows below z = -88 in float32, where φ is zero to machine precision.
        largest = -math.log(np.finfo(z.dtype).tiny)
        np.negative(z, out=out)
        np.minimum(out, largest, out=out)
        np.exp(out, out=out)
        out += 1.0
        return np.reciprocal(out, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        np.subtract(1.0, y, out=out)
        out *= y
        return out


@dataclass
class Tanh(Activation):
    """φ(z) = tanh z."""

    bounded: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def value(self, z: Array, out: Array) -> Array:
        return np.tanh(z, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        np.multiply(y, y, out=out)
        return np.subtract(1.0, out, out=out)


@dataclass
class Relu(Activation):
    """φ(z) = max(z, 0), with φ'(0) = 0 (Nair & Hinton 2010)."""

    range: ClassVar[tuple[float, float]] = (0.0, 4.0)
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def value(self, z: Array, out: Array) -> Array:
        zeros = np.zeros(z.shape[-1], z.dtype)  # NumPy has no vector code for a scalar 0
        return np.maximum(z, zeros, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        return np.greater(z, 0.0, out=out)


@dataclass
class LeakyRelu(Activation):
    """φ(z) = z where z > 0, else slope · z (Maas et al. 2013)."""

    slope: float = 0.01

    range: ClassVar[tuple[float, float]] = (-1.0, 4.0)
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def __post_init__(self) -> None:
        checks.fraction("slope", self.slope)

    def value(self, z: Array, out: Array) -> Array:
        np.multiply(z, self.slope, out=out)
        return np.maximum(z, out, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        np.greater(z, 0.0, out=out)
        return np.maximum(out, self.slope, out=out)


@dataclass
class Elu(Activation):
    """φ(z) = z where z > 0, else α (eᶻ - 1) (Clevert et al. 2016)."""

    alpha: float = 1.0

    range: ClassVar[tuple[float, float]] = (-1.0, 4.0)
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def __post_init__(self) -> None:
        checks.positive("alpha", self.alpha)

    def value(self, z: Array, out: Array) -> Array:
        # min(z, 0) and max(z, 0): np.clip takes half the time of np.minimum and np.maximum here.
        np.clip(z, -np.inf, 0.0, out=out)
        np.expm1(out, out=out)
        out *= self.alpha
        out += np.clip(z, 0.0, np.inf)
        return out

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        # y + α equals α eᶻ, but cancels catastrophically far below zero.
        np.clip(z, -np.inf, 0.0, out=out)
        np.exp(out, out=out)
        out *= self.alpha
        np.putmask(out, z > 0.0, 1.0)
        return out


@dataclass
class Selu(Activation):
    """φ(z) = λ z where z > 0, else λ α (eᶻ - 1) (Klambauer et al. 2017).

    λ and α are chosen so that z ~ N(0, 1) gives y of mean 0 and variance 1.
    """

    range: ClassVar[tuple[float, float]] = (-2.0, 5.0)
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    scale: ClassVar[float] = 1.0507009873554805
    elu: ClassVar[Elu] = Elu(alpha=1.6732632423543772)

    @np.errstate(over="ignore")  # λ times the largest float is infinite
    def value(self, z: Array, out: Array) -> Array:
        self.elu.value(z, out)
        out *= self.scale
        return out

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        self.elu.derivative(z, y, out)
        out *= self.scale
        return out


def gate(z: Array, y: Array, out: Array) -> Array:
    """Write y / z, the gate of silu and gelu, into `out`; it is ½ at zero."""
    with np.errstate(invalid="ignore"):  # 0 / 0
        np.divide(y, z, out=out)
    out[np.abs(z) < 1e-30] = 0.5  # y loses precision that close to zero
    return out


@dataclass
class Gelu(Activation):
    """φ(z) = z Φ(z), with Φ the CDF of N(0, 1) (Hendrycks & Gimpel 2016).

    approximate  none: as above
                 tanh: φ(z) = z (1 + tanh u) / 2,   u = √(2/π) (z + 0.044715 z³)
    """

    approximate: str = "none"

    range: ClassVar[tuple[float, float]] = (-1.0, 4.0)

    # 2u = z (linear + cubic z²)
    linear: ClassVar[float] = 2 * math.sqrt(2 / math.pi)
    cubic: ClassVar[float] = 0.044715 * linear

    def __post_init__(self) -> None:
        checks.one_of("approximate", self.approximate, ("none", "tanh"))

    def value(self, z: Array, out: Array) -> Array:
        if self.approximate == "tanh":
            return self.tanh_value(z, out)
        from scipy.special import ndtr  # type: ignore[import-untyped]

        ndtr(z, out=out)
        out *= z
        return out

    @np.errstate(over="ignore")  # where the exponential is infinite, y is zero
    def tanh_value(self, z: Array, out: Array) -> Array:
        # (1 + tanh u) / 2 = 1 / (1 + e⁻²ᵘ), which does not cancel.
        np.square(z, out=out)
        out *= -self.cubic
        out -= self.linear
        out *= z
        np.exp(out, out=out)
        out += 1.0
        return np.divide(z, out, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        # Φ + z Φ'; in the tanh form Φ' = Φ (1 - Φ) 2u' and z Φ = y.
        gate(z, y, out)
        near = np.clip(z, -40.0, 40.0)  # outside, φ' is 0 or 1, and z² may overflow
        if self.approximate == "tanh":
            rest = np.subtract(1.0, out)
            rest *= y
            np.square(near, out=near)
            near *= 3 * self.cubic
            near += self.linear
            near *= rest
        else:
            density = np.square(near)
            density *= -0.5
            np.exp(density, out=density)
            near *= density
            near *= 1 / math.sqrt(2 * math.pi)
        out += near
        return out


@dataclass
class Silu(Activation):
    """φ(z) = z / (1 + e⁻ᶻ) (Elfwing et al. 2018), the swish of Ramachandran et al. 2017."""

    range: ClassVar[tuple[float, float]] = (-1.0, 4.0)

    @np.errstate(over="ignore")  # where the exponential is infinite, y is zero
    def value(self, z: Array, out: Array) -> Array:
        np.negative(z, out=out)
        np.exp(out, out=out)
        out += 1.0
        return np.divide(z, out, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        # σ + y (1 - σ), with σ = 1 / (1 + e⁻ᶻ) = y / z.
        gate(z, y, out)
        rest = np.subtract(1.0, out)
        rest *= y
        out += rest
        return out


@dataclass
class Softplus(Activation):
    """φ(z) = log(1 + exp(β z)) / β, a smooth relu (Dugas et al. 2000)."""

    beta: float = 1.0

    range: ClassVar[tuple[float, float]] = (0.0, 5.0)

    def __post_init__(self) -> None:
        checks.positive("beta", self.beta)
        checks.within("beta", self.beta, 1e-30, 1e30)  # or 1 / β would be infinite in float32

    @property
    def bend(self) -> float:
        return 1 / self.beta

    @np.errstate(over="ignore")  # exp(-β|z|) is zero where β|z| is infinite
    def value(self, z: Array, out: Array) -> Array:
        # max(z, 0) + log(1 + exp(-β|z|)) / β, where the exponential cannot overflow.
        np.abs(z, out=out)
        out *= -self.beta
        np.exp(out, out=out)
        np.log1p(out, out=out)
        out /= self.beta
        out += np.maximum(z, 0.0)
        return out

    @np.errstate(over="ignore")  # where the exponential is infinite, φ' is zero
    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        # 1 / (1 + exp(-β z)), faster than an accurate 1 - exp(-β y).
        np.multiply(z, -self.beta, out=out)
        np.exp(out, out=out)
        out += 1.0
        return np.reciprocal(out, out=out)


@dataclass
class Softsign(Activation):
    """φ(z) = z / (1 + |z|) (Turian et al. 2009; Glorot & Bengio 2010)."""

    bounded: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    kinks: ClassVar[tuple[float, ...]] = (0.0,)

    def value(self, z: Array, out: Array) -> Array:
        np.abs(z, out=out)
        out += 1.0
        return np.divide(z, out, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        np.abs(z, out=out)
        out += 1.0
        np.reciprocal(out, out=out)
        return np.square(out, out=out)


@dataclass
class HardTanh(Activation):
    """φ(z) = z clipped to [-1, 1] (Collobert 2004)."""

    bounded: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    most_saturated: ClassVar[float] = 0.6  # he gives it 0.5, which trains well; std1 0.95
    kinks: ClassVar[tuple[float, ...]] = (-1.0, 1.0)

    def value(self, z: Array, out: Array) -> Array:
        return np.clip(z, -1.0, 1.0, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        return np.logical_and(z > -1.0, z <= 1.0, out=out)
