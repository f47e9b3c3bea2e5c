"""Initialisers: the laws from which a layer's first weights are drawn.

An initialiser is called with a random generator and the layer's fan-in and fan-out, and returns
W of shape (fan_in, fan_out) in float64; the network rounds to its own dtype. Normal laws share
their base draws: from equal generators, `std001` and `he` return the same array but for a factor.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from initlab import checks

Weights = NDArray[np.float64]

FANS = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
}

Draw = Callable[[np.random.Generator, tuple[int, int]], Weights]

# Draws of mean 0 and variance 1.
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "uniform": lambda rng, shape: rng.uniform(-math.sqrt(3), math.sqrt(3), shape),
}


@dataclass
class Initializer(ABC):
    """A law for W (fan_in, fan_out)."""

    @abstractmethod
    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        """Draw W (fan_in, fan_out), float64."""

    @abstractmethod
    def exact_std(self, fan_in: int, fan_out: int) -> float:
        """Return the standard deviation of the law, to lay over what is measured."""


@dataclass
class Constant(Initializer):
    """Every weight the same, so that the units of a layer never become different.

    name      value  source
    zeros     0      Saitoh 2016, 6.2
    const001  0.01   Saitoh 2016, 6.2
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        checks.finite("value", self.value)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        return np.full((fan_in, fan_out), self.value, np.float64)

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        return 0.0


@dataclass
class Normal(Initializer):
    """Zero-mean normal weights of one standard deviation, whatever the size of the layer.

    name     std    source
    std1     1      Saitoh 2016, 6.2
    std01    0.1    Saitoh 2016, 6.2
    std001   0.01   Saitoh 2016, 6.2
    std0001  0.001  Saitoh 2016, 6.2
    """

    std: float = 0.01

    def __post_init__(self) -> None:
        checks.positive("std", self.std)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        return self.std * rng.standard_normal((fan_in, fan_out))

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        return self.std


@dataclass
class VarianceScaling(Initializer):
    """Zero-mean weights of variance scale / n, where n is a fan of the layer.

    name            scale  mode     distribution  source
    xavier          1      fan_in   normal        Saitoh 2016, 6.2 (simplified Xavier)
    xavier_sum      1/2    fan_avg  normal        often quoted: 1 / (fan_in + fan_out)
    xavier_normal   1      fan_avg  normal        Glorot & Bengio 2010, eq. 12
    xavier_uniform  1      fan_avg  uniform       Glorot & Bengio 2010, eq. 16
    he              2      fan_in   normal        He et al. 2015, eq. 10
    he_uniform      2      fan_in   uniform       He et al. 2015, eq. 10
    lecun           1      fan_in   normal        LeCun et al. 1998, eq. 16
    lecun_uniform   1      fan_in   uniform       LeCun et al. 1998, eq. 16
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"

    def __post_init__(self) -> None:
        checks.positive("scale", self.scale)
        checks.one_of("mode", self.mode, FANS)
        checks.one_of("distribution", self.distribution, DISTRIBUTIONS)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        draws = DISTRIBUTIONS[self.distribution](rng, (fan_in, fan_out))
        return self.exact_std(fan_in, fan_out) * draws

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(self.scale / FANS[self.mode](fan_in, fan_out))
