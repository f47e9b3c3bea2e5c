"""Activation functions, each with its derivative beside it.

All work element by element on arrays of any shape, write into `out` and allocate nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from initlab import checks
from initlab.arrays import Array


@dataclass
class Activation(ABC):
    """y = φ(z), element by element.

    steepest  the largest |φ'|; where |φ'| falls below a share of it, a unit counts as saturated
    bounded   whether φ is flat at both ends, so that speaking of saturation makes sense
    range     the interval over which histograms of y are drawn, the same for every run
    """

    steepest: ClassVar[float] = 1.0
    bounded: ClassVar[bool] = False
    range: ClassVar[tuple[float, float]] = (-4.0, 4.0)

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

    steepest: ClassVar[float] = 0.25
    bounded: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def value(self, z: Array, out: Array) -> Array:
        # e⁻ᶻ overflows below z = -88 in float32, where φ is zero to all digits.
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

    def value(self, z: Array, out: Array) -> Array:
        return np.maximum(z, 0.0, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        return np.greater(z, 0.0, out=out)


@dataclass
class LeakyRelu(Activation):
    """φ(z) = z where z > 0, else slope · z (Maas et al. 2013)."""

    slope: float = 0.01

    range: ClassVar[tuple[float, float]] = (-1.0, 4.0)

    def __post_init__(self) -> None:
        checks.fraction("slope", self.slope)

    def value(self, z: Array, out: Array) -> Array:
        np.multiply(z, self.slope, out=out)
        return np.maximum(z, out, out=out)

    def derivative(self, z: Array, y: Array, out: Array) -> Array:
        np.greater(z, 0.0, out=out)
        return np.maximum(out, self.slope, out=out)
