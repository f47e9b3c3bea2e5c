"""Schedules: the learning rate of each step as a fraction of `optimizer.lr`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from initlab import checks


@dataclass
class Schedule(ABC):
    """lr of a step = optimizer.lr · factor(step, steps).

    varies  whether the factor changes between steps, so that the rate is recorded at each
    """

    varies: ClassVar[bool] = True

    @abstractmethod
    def factor(self, step: int, steps: int) -> float:
        """Return the factor, in [0, 1], for update `step` (from 0) of `steps`."""


@dataclass
class Constant(Schedule):
    """The same learning rate at every step."""

    varies: ClassVar[bool] = False

    def factor(self, step: int, steps: int) -> float:
        return 1.0


@dataclass
class Decay(Schedule):
    """Decay by the factor gamma over `every` steps."""

    gamma: float = 0.1
    every: int | None = None

    def __post_init__(self) -> None:
        checks.share("gamma", self.gamma)
        if self.every is not None:
            checks.at_least("every", self.every, 1)


@dataclass
class StepDecay(Decay):
    """gamma^⌊step / every⌋, a staircase.

    every  steps between two drops; null: a third of all steps, rounded up, for at most two drops
    """

    def factor(self, step: int, steps: int) -> float:
        every = math.ceil(steps / 3) if self.every is None else self.every
        return math.pow(self.gamma, step // every)


@dataclass
class Exponential(Decay):
    """gamma^(step / every), exponential decay.

    every  steps until the factor is gamma; null: all
    """

    def factor(self, step: int, steps: int) -> float:
        every = steps if self.every is None else self.every
        return math.pow(self.gamma, step / every)


@dataclass
class Cosine(Schedule):
    """final + (1 - final) · (1 + cos(π · step / steps)) / 2   (Loshchilov & Hutter 2017, eq. 5).

    final  the last factor
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        checks.within("final", self.final, 0, 1)

    def factor(self, step: int, steps: int) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * step / steps)) / 2


@dataclass
class WarmupCosine(Cosine):
    """(step + 1) / warmup in the warm-up (Goyal et al. 2017, 2.2), then `Cosine` over the rest.

    Steps warmup - 1 and warmup both have the full rate.

    warmup  steps of the warm-up; null: a tenth of all, at least one; 0: none
    """

    warmup: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup is not None:
            checks.at_least("warmup", self.warmup, 0)

    def factor(self, step: int, steps: int) -> float:
        warmup = max(1, steps // 10) if self.warmup is None else self.warmup
        if step < warmup:
            return (step + 1) / warmup
        return super().factor(step - warmup, steps - warmup)
