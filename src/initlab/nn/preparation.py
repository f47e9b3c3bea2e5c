"""Preparation: from settings and data to a training that is ready to start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from initlab.data import Data, Dataset
from initlab.data.arrays import Array
from initlab.data.batches import Rows
from initlab.nn.activations import Activation
from initlab.nn.advice import Advisor
from initlab.nn.initializers import Initializer
from initlab.nn.models import Model, NetworkModel
from initlab.nn.network import Parameters
from initlab.nn.optimizers import Optimizer
from initlab.nn.prediction import Inputs, Prediction
from initlab.nn.quadratic import Quadratic, descend
from initlab.nn.schedules import Schedule
from initlab.nn.training import Step, Training, fit


class Settings(Protocol):
    """The settings that the numbers of a run depend on.

    layer_inits  the laws of single layers that do not use `init`, by their place
    """

    init: Initializer
    activation: Activation
    optimizer: Optimizer
    schedule: Schedule
    model: Model
    data: Dataset
    train: Training
    seed: int
    dtype: str
    layer_inits: dict[str, Initializer]


class Streams(NamedTuple):
    """The generators of a run, one for each purpose, so that one can change without the others."""

    init: np.random.Generator
    batches: np.random.Generator
    data: np.random.Generator
    dropout: np.random.Generator


def streams(seed: int) -> Streams:
    """Return new generators from a seed."""
    return Streams(*np.random.default_rng(seed).spawn(4))


@dataclass(frozen=True)
class PreparedTraining:
    """A training that is ready to start.

    steps       a generator; each step changes `parameters`
    notes       remarks on the preparation for the user
    advisor     what theory expects of the network, None for other models
    """

    steps: Iterator[Step]
    parameters: Parameters
    advisor: Advisor | None = None
    notes: list[str] = field(default_factory=list)


def load(settings: Settings) -> Data | None:
    """Return the data, None if the model uses none; raises `DataError` if loading fails."""
    if not isinstance(settings.model, NetworkModel):
        return None
    return settings.data.load(streams(settings.seed).data)


def probe(settings: Settings, data: Data) -> Array:
    """Return the examples (B, I) by which the network is measured."""
    first = data.train.first(settings.train.probe_size)
    x, _ = Rows(first, len(first), np.dtype(settings.dtype)).take(np.arange(len(first)))
    return x


def prepare(settings: Settings, data: Data | None) -> PreparedTraining:
    """Draw the weights and return the training on `data`, as returned by `load`."""
    train, optimizer, schedule = settings.train, settings.optimizer, settings.schedule
    if isinstance(settings.model, Quadratic):
        point = settings.model.parameters(settings.dtype)
        return PreparedTraining(descend(point, optimizer, schedule, train.steps), point)

    assert isinstance(settings.model, NetworkModel)
    assert data is not None
    stream = streams(settings.seed)
    network = settings.model.build(
        data.features,
        data.classes,
        settings.activation,
        train.batch_size,
        settings.dtype,
        stream.dropout,
    )
    x = probe(settings, data)
    note = network.initialize(settings.init, stream.init, x, settings.layer_inits)
    steps = fit(network, optimizer, schedule, data, train, stream.batches)
    advisor = Advisor(
        settings.model,
        settings.activation,
        settings.init,
        settings.layer_inits,
        Inputs.of(x),
        data.features,
        data.classes,
        len(x),
    )
    steps = predicted(steps, advisor.prediction)
    return PreparedTraining(steps, network.parameters, advisor, [note] if note else [])


def predicted(steps: Iterator[Step], prediction: Prediction | None) -> Iterator[Step]:
    """Yield the steps, the first with the prediction."""
    for step in steps:
        if step.number == 0:
            step.prediction = prediction
        yield step
