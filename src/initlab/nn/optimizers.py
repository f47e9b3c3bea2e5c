"""Optimisers, one class for each algorithm, in the notation of its paper.

Each works on flat vectors: the parameters w and their gradient g, both (P,). The fields are the
hyper-parameters; `start` allocates the state; `update` takes one step in place, allocates nothing
and may overwrite g.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from initlab import checks
from initlab.data.arrays import Array


def update_mean(mean: Array, x: Array, rate: float, scratch: Array) -> None:
    """mean ← rate · mean + (1 - rate) · x, in place; `scratch` may be x itself."""
    np.subtract(x, mean, out=scratch)
    scratch *= 1 - rate
    mean += scratch


@dataclass
class Optimizer(ABC):
    """w ← w - lr · (a direction made from g)."""

    lr: float = 0.01

    def __post_init__(self) -> None:
        checks.positive("lr", self.lr)

    def start(self, w: Array) -> None:  # noqa: B027  (SGD has no state)
        """Allocate the state for parameters like w; called before the first update."""

    @abstractmethod
    def update(self, w: Array, g: Array, lr: float) -> None:
        """Take one step with learning rate lr: change w in place; g may be overwritten."""


@dataclass
class SGD(Optimizer):
    """w ← w - lr · g   (Robbins & Monro 1951)."""

    lr: float = 0.1

    def update(self, w: Array, g: Array, lr: float) -> None:
        g *= lr
        w -= g


@dataclass
class Momentum(Optimizer):
    """v ← momentum · v - lr · g;   w ← w + v   (Polyak 1964; Saitoh 2016, 6.1)."""

    lr: float = 0.01
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("momentum", self.momentum)

    def start(self, w: Array) -> None:
        self.v = np.zeros_like(w)

    def update(self, w: Array, g: Array, lr: float) -> None:
        self.v *= self.momentum
        g *= lr
        self.v -= g
        w += self.v


@dataclass
class Nesterov(Momentum):
    """v ← momentum · v - lr · g;   w ← w + momentum · v - lr · g.

    Sutskever et al. 2013, eq. 3-4, in the form of Bengio et al. 2013: w is the look-ahead point,
    where g is evaluated.
    """

    def update(self, w: Array, g: Array, lr: float) -> None:
        self.v *= self.momentum
        g *= lr
        self.v -= g
        w -= g
        np.multiply(self.v, self.momentum, out=g)
        w += g


@dataclass
class AdaGrad(Optimizer):
    """h ← h + g²;   w ← w - lr · g / (√h + eps)   (Duchi et al. 2011)."""

    lr: float = 0.01
    eps: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("eps", self.eps)

    def start(self, w: Array) -> None:
        self.step = np.empty_like(w)
        self.h = np.zeros_like(w)

    def update(self, w: Array, g: Array, lr: float) -> None:
        np.multiply(g, g, out=self.step)
        self.h += self.step
        np.sqrt(self.h, out=self.step)
        self.step += self.eps
        np.divide(g, self.step, out=self.step)
        self.step *= lr
        w -= self.step


@dataclass
class RMSProp(Optimizer):
    """Tieleman & Hinton 2012, lecture 6.5.

    v ← rho · v + (1 - rho) · g²;   w ← w - lr · g / (√v + eps)
    """

    lr: float = 0.001
    rho: float = 0.9
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("rho", self.rho)
        checks.positive("eps", self.eps)

    def start(self, w: Array) -> None:
        self.step = np.empty_like(w)
        self.v = np.zeros_like(w)

    def update(self, w: Array, g: Array, lr: float) -> None:
        np.multiply(g, g, out=self.step)
        update_mean(self.v, self.step, self.rho, scratch=self.step)
        np.sqrt(self.v, out=self.step)
        self.step += self.eps
        np.divide(g, self.step, out=self.step)
        self.step *= lr
        w -= self.step


@dataclass
class AdaDelta(Optimizer):
    """Zeiler 2012, algorithm 1, which has no learning rate: there, lr = 1.

    v ← rho · v + (1 - rho) · g²;   Δ = √(u + eps) / √(v + eps) · g
    u ← rho · u + (1 - rho) · Δ²;   w ← w - lr · Δ
    """

    lr: float = 1.0
    rho: float = 0.95
    eps: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("rho", self.rho)
        checks.positive("eps", self.eps)

    def start(self, w: Array) -> None:
        self.step = np.empty_like(w)
        self.v = np.zeros_like(w)
        self.u = np.zeros_like(w)
        self.delta = np.empty_like(w)

    def update(self, w: Array, g: Array, lr: float) -> None:
        np.multiply(g, g, out=self.step)
        update_mean(self.v, self.step, self.rho, scratch=self.step)

        np.add(self.u, self.eps, out=self.delta)
        np.add(self.v, self.eps, out=self.step)
        self.delta /= self.step
        np.sqrt(self.delta, out=self.delta)
        self.delta *= g

        np.multiply(self.delta, self.delta, out=self.step)
        update_mean(self.u, self.step, self.rho, scratch=self.step)
        np.multiply(self.delta, lr, out=self.step)
        w -= self.step


@dataclass
class Adam(Optimizer):
    """Kingma & Ba 2015, algorithm 1.

    m ← beta1 · m + g;    m̂ = (1 - beta1) / (1 - beta1ᵗ) · m
    v ← beta2 · v + g²;   v̂ = (1 - beta2) / (1 - beta2ᵗ) · v
    w ← w - lr · m̂ / (√v̂ + eps)

    The paper's m and v are these times 1 - beta1 and 1 - beta2, which would take two more passes
    over the vector.
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
        self.step = np.empty_like(w)
        self.m = np.zeros_like(w)
        self.v = np.zeros_like(w)
        self.t = 0

    def update(self, w: Array, g: Array, lr: float) -> None:
        self.update_moments(g)
        self.apply_moments(w, lr, self.m, (1 - self.beta1) / (1 - self.beta1**self.t))

    def update_moments(self, g: Array) -> None:
        """Update the moments: m with g, v with g²."""
        self.t += 1
        self.m *= self.beta1
        self.m += g
        np.multiply(g, g, out=self.step)
        self.v *= self.beta2
        self.v += self.step

    def apply_moments(self, w: Array, lr: float, m: Array, correction: float) -> None:
        """w ← w - lr · m̂ / (√v̂ + eps), given m and correction, where m̂ = correction · m."""
        # Dividing numerator and denominator by root, where √v̂ = root · √v, saves two passes.
        root = math.sqrt((1 - self.beta2) / (1 - self.beta2**self.t))
        np.sqrt(self.v, out=self.step)
        self.step += self.eps / root
        np.divide(m, self.step, out=self.step)
        self.step *= lr * correction / root
        w -= self.step


@dataclass
class AdamW(Adam):
    """w ← w - lr · weight_decay · w, then a step of Adam (Loshchilov & Hutter 2019, algorithm 2).

    The factor lr · weight_decay is PyTorch's; in the paper it follows the schedule, but not the
    base learning rate. All of w decays, including biases, as in PyTorch; the L2 penalty
    `train.weight_decay` leaves biases out.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least("weight_decay", self.weight_decay, 0)

    def update(self, w: Array, g: Array, lr: float) -> None:
        w *= 1 - lr * self.weight_decay
        super().update(w, g, lr)


@dataclass
class NAdam(Adam):
    """Dozat 2016, algorithm 2, in PyTorch's form; the paper's v̂ is beta2 times this one.

    m ← beta1 · m + g;   v ← beta2 · v + g²;   v̂ = (1 - beta2) / (1 - beta2ᵗ) · v
    μₜ = beta1 · (1 - ½ · 0.96^(t · momentum_decay))
    m̂ = μₜ₊₁ · (1 - beta1) · m / (1 - μ₁ ⋯ μₜ₊₁) + (1 - μₜ) · g / (1 - μ₁ ⋯ μₜ)
    w ← w - lr · m̂ / (√v̂ + eps)
    """

    lr: float = 0.002
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.at_least("momentum_decay", self.momentum_decay, 0)

    def start(self, w: Array) -> None:
        super().start(w)
        self.m_hat = np.empty_like(w)
        self.product = 1.0

    def mu(self, t: int) -> float:
        """Return μₜ, which rises from beta1 / 2 to beta1."""
        return self.beta1 * (1 - math.pow(0.96, t * self.momentum_decay) / 2)

    def update(self, w: Array, g: Array, lr: float) -> None:
        self.update_moments(g)
        mu, next_mu = self.mu(self.t), self.mu(self.t + 1)
        self.product *= mu
        share = next_mu * (1 - self.beta1) / (1 - self.product * next_mu)
        np.multiply(self.m, share, out=self.m_hat)
        np.multiply(g, (1 - mu) / (1 - self.product), out=self.step)
        self.m_hat += self.step
        self.apply_moments(w, lr, self.m_hat, 1.0)


@dataclass
class Lion(Optimizer):
    """Chen et al. 2023, algorithm 2: each parameter moves by lr, regardless of its gradient.

    c = beta1 · m + (1 - beta1) · g
    w ← w - lr · (sign(c) + weight_decay · w)
    m ← beta2 · m + (1 - beta2) · g
    """

    lr: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("beta1", self.beta1)
        checks.fraction("beta2", self.beta2)
        checks.at_least("weight_decay", self.weight_decay, 0)

    def start(self, w: Array) -> None:
        self.step = np.empty_like(w)
        self.m = np.zeros_like(w)
        self.c = np.empty_like(w)

    def update(self, w: Array, g: Array, lr: float) -> None:
        np.multiply(self.m, self.beta1, out=self.c)
        np.multiply(g, 1 - self.beta1, out=self.step)
        self.c += self.step

        w *= 1 - lr * self.weight_decay
        np.sign(self.c, out=self.step)  # in place it takes ten times as long
        self.step *= lr
        w -= self.step

        update_mean(self.m, g, self.beta2, scratch=self.step)
