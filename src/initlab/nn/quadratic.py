"""The valley f(x, y) = x² / 20 + y², which shows the path of an optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import ClassVar, TypeVar

import numpy as np

from initlab import checks
from initlab.data.arrays import Array
from initlab.nn.models import Model
from initlab.nn.network import Parameters
from initlab.nn.optimizers import Optimizer
from initlab.nn.schedules import Schedule
from initlab.nn.training import Step, Training, scheduled_update

FARTHEST = 1e6  # largest coordinate of the start, far from an overflow of f in float32


@dataclass
class Quadratic(Model):
    """f(x, y) = x² / 20 + y², with its minimum at the origin.     w = (x, y)

    start  the starting point; (-7, 2) in Saitoh 2016, 6.1.2
    """

    unused: ClassVar[frozenset[str]] = frozenset(
        {"init", "activation", "data", "seed"}
        | {f"train.{field.name}" for field in fields(Training) if field.name != "steps"}
    )

    start: list[float] = field(default_factory=lambda: [-7.0, 2.0])

    def __post_init__(self) -> None:
        if len(self.start) != 2:
            raise ValueError(f"start must be a list of x and y; got {list(self.start)}")
        for value in self.start:
            checks.within("start", value, -FARTHEST, FARTHEST)

    def parameters(self, dtype: str) -> Parameters:
        """Return the starting point."""
        parameters = Parameters({"w": (2,)}, dtype)
        parameters.vector[...] = self.start
        return parameters


T = TypeVar("T", float, Array)


def value(x: T, y: T) -> T:
    """Return f at one or many points."""
    return x * x / 20 + y * y


def gradient(w: Array, out: Array) -> None:
    """Write ∂f/∂w at w (2,) into `out`."""
    x, y = w
    out[...] = x / 10, 2 * y


def descend(
    parameters: Parameters, optimizer: Optimizer, schedule: Schedule, steps: int
) -> Iterator[Step]:
    """Minimize f, moving the point in place; yield a `Step` for each update and the last point.

    A step where f is not finite is the last.
    """
    gradients = Parameters(parameters.shapes, parameters.vector.dtype)
    optimizer.start(parameters.vector)
    for number in range(steps + 1):
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is a result
            x, y = map(float, parameters.vector)
            step = Step(number, value(x, y), point=(x, y))
            if number < steps and not step.diverged:
                gradient(parameters.vector, out=gradients.vector)
                step.lr = scheduled_update(
                    number, steps, optimizer, schedule, parameters, gradients
                )
        yield step
        if step.diverged:
            return
