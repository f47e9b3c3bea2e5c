"""Initialisers: the distributions from which a layer's initial weights are drawn.

An initialiser is called with a random generator and the layer's fan-in and fan-out, and returns
W of shape (fan_in, fan_out) in float64; the network casts it to its own dtype. Normal laws share
their base draws: from equal generators, `std001` and `he` return the same array up to a factor.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from initlab import checks
from initlab.nn import theory

if TYPE_CHECKING:
    from initlab.nn.activations import Activation
    from initlab.nn.layers import Dense

Weights = NDArray[np.float64]

FANS: dict[str, Callable[[int, int], float]] = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
    "fan_geo_avg": lambda fan_in, fan_out: math.sqrt(fan_in * fan_out),
}

TUNED = ("auto", "critical")  # gains that depend on the activation

Draw = Callable[[np.random.Generator, tuple[int, int]], Weights]


def truncated_normal(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    """Draw from N(0, 1), redraw values outside ±2, and divide by the std of the result.

    Keras and JAX divide like this in their variance scaling; PyTorch's `trunc_normal_` does not.
    """
    draws = rng.standard_normal(shape)
    while (beyond := np.abs(draws) > 2).any():
        draws[beyond] = rng.standard_normal(np.count_nonzero(beyond))
    draws /= 0.87962566103423978
    return draws


# All have mean 0 and variance 1.
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "truncated_normal": truncated_normal,
    "uniform": lambda rng, shape: rng.uniform(-math.sqrt(3), math.sqrt(3), shape),
}


@dataclass
class Initializer(ABC):
    """A law for W (fan_in, fan_out).

    The gain of a law, if it has one, multiplies all weights; "auto" and "critical" stand for one
    that suits the activation.

    independent  whether weights are drawn independently of each other and of the data, or
                 orthogonal, which is the same for wide layers: mean-field theory knows no others
    """

    independent: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        """Draw W (fan_in, fan_out), float64."""

    @abstractmethod
    def exact_std(self, fan_in: int, fan_out: int) -> float:
        """Return the standard deviation of the law, to compare with measurements.

        It is nan if it depends on the data.
        """

    def tuned(self, activation: Activation, bias_std: float = 0.0) -> Initializer:
        """Return the law for networks of this activation and these biases, with a gain in numbers.

        auto      pre-activations of variance 1 give variance 1 in the next layer. With most
                  activations another variance returns to 1 with depth; with relu it stays as it is;
                  with gelu and silu it drifts away at every layer, which `lsuv` corrects
        critical  gradients keep their mean square, and the signal a variance that need not be 1:
                  the edge of chaos (Schoenholz et al. 2017); raises `ValueError` if there is none
        """
        match getattr(self, "gain", 1.0):
            case "auto":
                return replace(self, **{"gain": theory.gain(activation)})
            case "critical":
                return replace(self, **{"gain": critical_gain(activation, bias_std)})
        return self

    def adjust(self, layers: Sequence[Dense], forward: Callable[[], object]) -> str:
        """Adjust the drawn weights to a batch of data; return a note for the record, "" for none.

        layers   the Dense layers that this law drew, first to last
        forward  runs the batch through the network, after which each layer's `y` has its outputs
        """
        return ""


def critical_gain(activation: Activation, bias_std: float) -> float:
    """Return the gain on the edge of chaos; raises `ValueError` where none keeps a signal."""
    edge = theory.edge_of_chaos(activation, bias_std * bias_std)
    if edge and edge.stable:
        return math.sqrt(edge.weight_variance)
    name = type(activation).__name__
    if edge:
        raise ValueError(
            f"gain=critical: {name} is critical only at a variance from which the signal drifts "
            f"away at every layer; take init=lsuv, or init.gain=auto for a few layers"
        )
    if bias_std and theory.edge_of_chaos(activation):
        raise ValueError(
            f"gain=critical: {name} has no critical gain with model.bias_std={bias_std:g}; "
            f"take model.bias_std=0"
        )
    raise ValueError(
        f"gain=critical: {name} has no critical gain with model.bias_std={bias_std:g}; take "
        f"init.gain=auto, which keeps the signal"
    )


def numeric_gain(gain: float | str) -> float:
    """Return the gain, which must be a number by the time that weights are drawn."""
    assert not isinstance(gain, str), f"gain is {gain}: draw from what `tuned` returns"
    return gain


@dataclass
class Constant(Initializer):
    """All weights equal, so that the units of a layer stay equal, unless dropout separates them.

    name      value  source
    zeros     0      Saitoh 2016, 6.2
    const001  0.01   Saitoh 2016, 6.2
    """

    independent: ClassVar[bool] = False

    value: float = 0.0

    def __post_init__(self) -> None:
        checks.finite("value", self.value)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        return np.full((fan_in, fan_out), self.value, np.float64)

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        return 0.0


@dataclass
class Normal(Initializer):
    """Zero-mean normal weights with the same standard deviation in layers of any size.

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
class TruncatedNormal(Initializer):
    """Zero-mean normal weights, truncated at two standard deviations of the underlying normal.

    std is that of the weights drawn, so the bound is 2 std / 0.88 = 2.27 std. In PyTorch, Keras and
    JAX, std is that of the normal before truncation: their weights have 0.88 of it.
    """

    std: float = 0.01

    def __post_init__(self) -> None:
        checks.positive("std", self.std)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        return self.std * truncated_normal(rng, (fan_in, fan_out))

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        return self.std


@dataclass
class VarianceScaling(Initializer):
    """Zero-mean weights of variance gain² · scale / n, where n is a fan of the layer.

    name              scale  mode     distribution      source
    xavier            1      fan_in   normal            Saitoh 2016, 6.2 (simplified Xavier)
    xavier_sum        1/2    fan_avg  normal            often quoted: 1 / (fan_in + fan_out)
    xavier_normal     1      fan_avg  normal            Glorot & Bengio 2010, eq. 12
    xavier_uniform    1      fan_avg  uniform           Glorot & Bengio 2010, eq. 16
    he                2      fan_in   normal            He et al. 2015, eq. 10
    he_uniform        2      fan_in   uniform           He et al. 2015, eq. 10
    he_fan_out        2      fan_out  normal            He et al. 2015, eq. 14
    lecun             1      fan_in   normal            LeCun et al. 1998, eq. 16
    lecun_uniform     1      fan_in   uniform           LeCun et al. 1998, eq. 16
    variance_scaling  1      fan_in   truncated_normal  the default of Keras

    All have gain 1. With gain auto or critical, scale must be 1, or the activation would count
    twice.
    """

    scale: float = 1.0
    gain: int | float | str = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"

    def __post_init__(self) -> None:
        checks.positive("scale", self.scale)
        checks.positive_or("gain", self.gain, TUNED)
        if self.gain in TUNED and self.scale != 1:
            raise ValueError(f"scale must be 1 where gain is {self.gain}; got {self.scale}")
        checks.one_of("mode", self.mode, FANS)
        checks.one_of("distribution", self.distribution, DISTRIBUTIONS)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        draws = DISTRIBUTIONS[self.distribution](rng, (fan_in, fan_out))
        return self.exact_std(fan_in, fan_out) * draws

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        return numeric_gain(self.gain) * math.sqrt(self.scale / FANS[self.mode](fan_in, fan_out))


@dataclass
class Orthogonal(Initializer):
    """W from the Haar measure: WᵀW = gain² I where fan_in ≥ fan_out, WWᵀ = gain² I elsewhere.

    name        gain  source
    orthogonal  1     Saxe et al. 2014

    Q is from the QR decomposition of a Gaussian matrix. Its columns are multiplied by the signs of
    R's diagonal, or it would depend on how the QR routine chooses signs (Mezzadri 2007).
    """

    gain: int | float | str = 1.0

    def __post_init__(self) -> None:
        checks.positive_or("gain", self.gain, TUNED)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        draws = rng.standard_normal((fan_in, fan_out))
        q, r = np.linalg.qr(draws if fan_in >= fan_out else draws.T)
        q *= np.copysign(numeric_gain(self.gain), np.diagonal(r))
        return q if fan_in >= fan_out else q.T

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        """Return the rms of the entries, which is the same for every draw."""
        return numeric_gain(self.gain) / math.sqrt(max(fan_in, fan_out))


@dataclass
class Identity(Initializer):
    """W = gain · I; the weights of surplus units or inputs are 0.

    name      gain  source
    identity  1     Le et al. 2015, for the recurrent weights of relu nets
    """

    independent: ClassVar[bool] = False

    gain: int | float | str = 1.0

    def __post_init__(self) -> None:
        checks.positive_or("gain", self.gain, TUNED)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        return numeric_gain(self.gain) * np.eye(fan_in, fan_out)

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        ones = 1 / max(fan_in, fan_out)
        return numeric_gain(self.gain) * math.sqrt(ones * (1 - ones))


@dataclass
class Sparse(Initializer):
    """Normal weights from a few inputs to each unit; the rest are 0.

    name    nonzeros  std  source
    sparse  15        1    Martens 2010

    nonzeros  number of nonzero incoming weights of a unit, at most fan_in
    std       of the nonzero weights
    """

    nonzeros: int = 15
    std: float = 1.0

    def __post_init__(self) -> None:
        checks.at_least("nonzeros", self.nonzeros, 1)
        checks.positive("std", self.std)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        rows = min(self.nonzeros, fan_in)
        w = np.zeros((fan_in, fan_out))
        w[:rows] = self.std * rng.standard_normal((rows, fan_out))
        return rng.permuted(w, axis=0)

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        return self.std * math.sqrt(min(self.nonzeros, fan_in) / fan_in)


@dataclass
class LSUV(Initializer):
    """Orthogonal weights, then rescaled layer by layer to pre-activations of variance 1 on a batch.

    The variance is over all units and examples. Mishkin & Matas 2016, algorithm 1
    ("layer-sequential unit-variance").

    Only W is rescaled. Where biases are 0, one rescaling is enough except for rounding; others take
    more, and none is enough where the biases alone vary too much.

    tolerance  largest difference of the variance from 1
    max_tries  most rescalings of a layer
    """

    independent: ClassVar[bool] = False

    tolerance: float = 0.1
    max_tries: int = 10

    def __post_init__(self) -> None:
        checks.positive("tolerance", self.tolerance)
        checks.at_least("max_tries", self.max_tries, 1)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        return Orthogonal()(rng, fan_in, fan_out)

    def exact_std(self, fan_in: int, fan_out: int) -> float:
        return math.nan

    @np.errstate(over="ignore", invalid="ignore")  # layers that are not finite are in the note
    def adjust(self, layers: Sequence[Dense], forward: Callable[[], object]) -> str:
        if not layers:
            return ""
        tries: list[int] = []  # of each layer that reached variance 1
        failed: dict[str, list[int]] = {}  # reason → numbers of the layers
        forward()
        for layer in layers:
            var, count = variance(layer), 0
            while abs(var - 1) > self.tolerance and 0 < var < math.inf and count < self.max_tries:
                layer.W /= math.sqrt(var)
                forward()
                var, count = variance(layer), count + 1
            if abs(var - 1) <= self.tolerance:
                tries.append(count)
            else:
                failed.setdefault(self.failure_reason(var), []).append(layer.number)
        return "; ".join(
            [self.success_note(tries, len(layers)), *map(failure_note, failed.items())]
        )

    def failure_reason(self, var: float) -> str:
        """Return why outputs of this variance did not reach 1."""
        if var == 0:
            return "do not vary"
        if not math.isfinite(var):
            return "have no finite variance"
        return f"need more than {self.max_tries} rescalings"

    def success_note(self, tries: list[int], layers: int) -> str:
        """Return how many of the layers reached variance 1, and after how many rescalings."""
        which = f"{len(tries)} of {layers}" if len(tries) < layers else f"{layers}"
        low, high = min(tries, default=0), max(tries, default=0)
        took = str(high) if low == high else f"{low} to {high}"
        return (
            f"lsuv brought the pre-activations of {which} layer{'s' * (layers != 1)} to variance "
            f"1 ± {self.tolerance:g}, with {took} rescaling{'s' * (took != '1')} a layer"
        )


def variance(layer: Dense) -> float:
    """Return the variance of a layer's outputs over all units and examples."""
    return float(np.var(layer.y, dtype=np.float64))


def failure_note(failure: tuple[str, list[int]]) -> str:
    """Return which layers could not be scaled and why, given the reason and their numbers."""
    reason, layers = failure
    which, whose = ("layers", "their") if len(layers) > 1 else ("layer", "its")
    numbers = ", ".join(map(str, layers))
    return f"{which} {numbers} could not be scaled: {whose} outputs {reason}"
