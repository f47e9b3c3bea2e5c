"""Optimisers, one class an algorithm, in the notation of its paper.

Each works on one flat vector: w the parameters and g their gradient, both (P,). The
hyper-parameters are the fields; `start` makes the state; `update` takes one step in place and
allocates nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from initlab import checks
from initlab.arrays import Array


@dataclass
class Optimizer(ABC):
    """w ← w - lr · (a direction made from g)."""

    lr: float = 0.01

    def __post_init__(self) -> None:
        checks.positive("lr", self.lr)

    def start(self, w: Array) -> None:
        """Make the state for parameters like w; to be called before the first update."""
        self.step = np.empty_like(w)

    @abstractmethod
    def update(self, w: Array, g: Array) -> None:
        """Change w in place by one step against the gradient g."""


@dataclass
class SGD(Optimizer):
    """w ← w - lr · g   (Robbins & Monro 1951)."""

    lr: float = 0.1

    def update(self, w: Array, g: Array) -> None:
        np.multiply(g, self.lr, out=self.step)
        w -= self.step


@dataclass
class Momentum(Optimizer):
    """v ← momentum · v - lr · g;   w ← w + v   (Polyak 1964; Saitoh 2016, 6.1)."""

    lr: float = 0.01
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("momentum", self.momentum)

    def start(self, w: Array) -> None:
        super().start(w)
        self.v = np.zeros_like(w)

    def update(self, w: Array, g: Array) -> None:
        self.v *= self.momentum
        np.multiply(g, self.lr, out=self.step)
        self.v -= self.step
        w += self.v


@dataclass
class AdaGrad(Optimizer):
    """h ← h + g²;   w ← w - lr · g / (√h + eps)   (Duchi et al. 2011)."""

    lr: float = 0.01
    eps: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("eps", self.eps)

    def start(self, w: Array) -> None:
        super().start(w)
        self.h = np.zeros_like(w)

    def update(self, w: Array, g: Array) -> None:
        np.multiply(g, g, out=self.step)
        self.h += self.step
        np.sqrt(self.h, out=self.step)
        self.step += self.eps
        np.divide(g, self.step, out=self.step)
        self.step *= self.lr
        w -= self.step


@dataclass
class Adam(Optimizer):
    """Kingma & Ba 2015, algorithm 1.

    m ← beta1 · m + (1 - beta1) · g;    m̂ = m / (1 - beta1ᵗ)
    v ← beta2 · v + (1 - beta2) · g²;   v̂ = v / (1 - beta2ᵗ)
    w ← w - lr · m̂ / (√v̂ + eps)
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("beta1", self.beta1)
        checks.fraction("beta2", self.beta2)
        checks.positive("eps", self.eps)

    def start(self, w: Array) -> None:
        super().start(w)
        self.m = np.zeros_like(w)
        self.v = np.zeros_like(w)
        self.t = 0

    def update(self, w: Array, g: Array) -> None:
        self.t += 1
        np.subtract(g, self.m, out=self.step)
        self.step *= 1 - self.beta1
        self.m += self.step

        np.multiply(g, g, out=self.step)
        self.step -= self.v
        self.step *= 1 - self.beta2
        self.v += self.step

        # Both sides of the fraction times √(1 - beta2ᵗ), which spares two passes over the vector.
        root = math.sqrt(1 - self.beta2**self.t)
        np.sqrt(self.v, out=self.step)
        self.step += self.eps * root
        np.divide(self.m, self.step, out=self.step)
        self.step *= self.lr * root / (1 - self.beta1**self.t)
        w -= self.step
