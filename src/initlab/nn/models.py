"""Models: what `model=` chooses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import DTypeLike

from initlab import checks
from initlab.nn.activations import Activation
from initlab.nn.layers import BatchNorm, Dense, Dropout, Elementwise, Layer, Residual
from initlab.nn.network import Network


@dataclass
class Model:
    """Something to train.

    unused  config groups and keys that have no effect on it
    """

    unused: ClassVar[frozenset[str]] = frozenset()


@dataclass(kw_only=True)
class NetworkModel(Model, ABC):
    """A network of Dense layers and activations, and the switches that all networks have.

    bias                 whether Dense layers have a bias
    bias_std             std of the normal law for their biases, of mean 0; 0: they start at 0
    batch_norm           normalise each hidden layer over the batch
    batch_norm_place     before the activation, as in Ioffe & Szegedy 2015, or after it
    batch_norm_eps       added to the variance; PyTorch and Flax have 1e-5, Keras 1e-3
    batch_norm_momentum  weight of the new batch in the running statistics, as in PyTorch; in Keras
                         and Flax it is the weight of the old statistics, 0.99
    dropout              fraction of each hidden layer's activations that is dropped
    dropout_scaling      training: scale the remaining activations up, as libraries do today;
                         evaluation: scale all of them down, as in Srivastava et al. 2014
    input_init           option of `init` for the first layer; null: the same as all layers
    output_init          option of `init` for the last layer
    """

    residual: ClassVar[bool] = False

    bias: bool = True
    bias_std: float = 0.0
    batch_norm: bool = False
    batch_norm_place: str = "before"
    batch_norm_eps: float = 1e-5
    batch_norm_momentum: float = 0.1
    dropout: float = 0.0
    dropout_scaling: str = "training"
    input_init: str | None = None
    output_init: str | None = None

    def __post_init__(self) -> None:
        checks.at_least("bias_std", self.bias_std, 0)
        if self.bias_std and not self.bias:
            raise ValueError(f"bias_std must be 0 where bias is false; got {self.bias_std}")
        checks.one_of("batch_norm_place", self.batch_norm_place, ("before", "after"))
        checks.positive("batch_norm_eps", self.batch_norm_eps)
        checks.share("batch_norm_momentum", self.batch_norm_momentum)
        checks.fraction("dropout", self.dropout)
        checks.one_of("dropout_scaling", self.dropout_scaling, ("training", "evaluation"))

    @property
    def inits(self) -> dict[str, str]:
        """The options of `init` chosen for single layers, by their place."""
        by_place = {"input": self.input_init, "output": self.output_init}
        return {place: option for place, option in by_place.items() if option is not None}

    @abstractmethod
    def layers(
        self,
        features: int,
        classes: int,
        activation: Activation,
        rng: np.random.Generator | None,
    ) -> list[Layer]:
        """Return the layers in order; dropout draws from `rng`."""

    def build(
        self,
        features: int,
        classes: int,
        activation: Activation,
        batch: int,
        dtype: DTypeLike,
        dropout_rng: np.random.Generator | None = None,
    ) -> Network:
        """Return the network for batches of up to `batch`, with weights of zero."""
        layers = self.layers(features, classes, activation, dropout_rng)
        return Network(layers, features, batch, dtype)

    def dense(self, fan_in: int, fan_out: int, place: str = "hidden") -> Dense:
        """Return a Dense layer with the switches of its bias."""
        return Dense(fan_in, fan_out, self.bias, place, self.bias_std)

    def activated(
        self, size: int, activation: Activation, rng: np.random.Generator | None
    ) -> list[Layer]:
        """Return the activation, and the batch norm and dropout that are switched on."""
        norm: list[Layer] = []
        if self.batch_norm:
            norm.append(BatchNorm(size, self.batch_norm_eps, self.batch_norm_momentum))
        layers: list[Layer] = [Elementwise(activation)]
        layers = norm + layers if self.batch_norm_place == "before" else layers + norm
        if self.dropout:
            assert rng is not None, "dropout needs a generator"
            (own,) = rng.spawn(1)
            layers.append(Dropout(self.dropout, own, self.dropout_scaling))
        return layers


class Perceptron(NetworkModel, ABC):
    """A multilayer perceptron: Dense and activation for each hidden size, then Dense."""

    @property
    @abstractmethod
    def sizes(self) -> list[int]:
        """The sizes of the hidden layers."""

    def layers(
        self,
        features: int,
        classes: int,
        activation: Activation,
        rng: np.random.Generator | None,
    ) -> list[Layer]:
        layers: list[Layer] = []
        fan_in, place = features, "input"
        for size in self.sizes:
            layers.append(self.dense(fan_in, size, place))
            layers += self.activated(size, activation, rng)
            fan_in, place = size, "hidden"
        layers.append(self.dense(fan_in, classes, "output"))
        return layers


@dataclass
class MLP(Perceptron):
    """A multilayer perceptron with a list of hidden sizes."""

    hidden: list[int] = field(default_factory=lambda: [200, 200])

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.hidden or any(size < 1 for size in self.hidden):
            raise ValueError(
                f"hidden must be a list of one or more sizes of at least 1, "
                f"such as [200, 200]; got {list(self.hidden)}"
            )
        for size in self.hidden:
            checks.at_least("hidden", size, 1, checks.LARGEST_SIZE)

    @property
    def sizes(self) -> list[int]:
        return self.hidden


@dataclass
class MLPStack(Perceptron):
    """A multilayer perceptron of equal hidden layers, whose width and depth can each be swept.

    width  of all hidden layers
    depth  number of hidden layers
    """

    width: int = 100
    depth: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least("width", self.width, 1, checks.LARGEST_SIZE)
        checks.at_least("depth", self.depth, 1, 10_000)

    @property
    def sizes(self) -> list[int]:
        return [self.width] * self.depth


@dataclass
class ResidualMLP(NetworkModel):
    """Dense, then residual blocks of two Dense layers, each after an activation.

    x ← x + residual_scale · W₂ φ(W₁ φ(x)) for each block, then φ and Dense. He et al. 2016,
    "Identity mappings in deep residual networks", without convolutions. There are 2 · blocks + 2
    Dense layers in all: fifty for `blocks=24`.

    width           of all hidden layers
    blocks          number of residual blocks, of two layers each
    residual_scale  factor of each branch; 1/√blocks keeps the signal from growing with depth
    branch_init     option of `init` for the last layer of each branch; Zhang et al. 2019 (Fixup):
                    branch_init=zeros output_init=zeros
    """

    residual: ClassVar[bool] = True

    width: int = 100
    blocks: int = 5
    residual_scale: float = 1.0
    branch_init: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least("width", self.width, 1, checks.LARGEST_SIZE)
        checks.at_least("blocks", self.blocks, 1, 10_000)
        checks.finite("residual_scale", self.residual_scale)

    @property
    def inits(self) -> dict[str, str]:
        own = {} if self.branch_init is None else {"branch": self.branch_init}
        return super().inits | own

    def layers(
        self,
        features: int,
        classes: int,
        activation: Activation,
        rng: np.random.Generator | None,
    ) -> list[Layer]:
        layers: list[Layer] = [self.dense(features, self.width, "input")]
        for _ in range(self.blocks):
            branch = self.activated(self.width, activation, rng)
            branch.append(self.dense(self.width, self.width))
            branch += self.activated(self.width, activation, rng)
            branch.append(self.dense(self.width, self.width, "branch"))
            layers.append(Residual(branch, self.residual_scale))
        layers += self.activated(self.width, activation, rng)
        layers.append(self.dense(self.width, classes, "output"))
        return layers
