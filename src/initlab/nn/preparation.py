"""Preparation: from settings and data to a training that is ready to begin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from initlab.data import Data, Dataset
from initlab.data.batches import Rows
from initlab.nn.activations import Activation
from initlab.nn.initializers import Initializer
from initlab.nn.models import Model, NetworkModel
from initlab.nn.network import Parameters
from initlab.nn.optimizers import Optimizer
from initlab.nn.quadratic import Quadratic, descend
from initlab.nn.schedules import Schedule
from initlab.nn.training import Step, Training, fit


class Settings(Protocol):
    """All that the numbers of a run depend on.

    places  the laws that single layers have of their own, by place
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
    places: dict[str, Initializer]


class Streams(NamedTuple):
    """The generators of a run, one for each thing that is drawn, so that one can vary alone."""

    init: np.random.Generator
    batches: np.random.Generator
    data: np.random.Generator
    dropout: np.random.Generator


def streams(seed: int) -> Streams:
    """Return fresh generators of a seed."""
    return Streams(*np.random.default_rng(seed).spawn(4))


@dataclass(frozen=True)
class PreparedTraining:
    """A training that is ready to begin.

    steps       to be taken one by one; each moves `parameters`
    notes       what is worth saying of how it was made ready
    """

    steps: Iterator[Step]
    parameters: Parameters
    notes: list[str] = field(default_factory=list)


def load(settings: Settings) -> Data | None:
    """Return the data, None if the model uses none; raises `DataError` where they cannot be had."""
    if not isinstance(settings.model, NetworkModel):
        return None
    return settings.data.load(streams(settings.seed).data)


def prepare(settings: Settings, data: Data | None) -> PreparedTraining:
    """Draw the weights and return the training on what `load` returned."""
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
    first = data.train.first(train.probe_size)
    x, _ = Rows(first, len(first), network.dtype).take(np.arange(len(first)))
    note = network.initialize(settings.init, stream.init, x, settings.places)
    steps = fit(network, optimizer, schedule, data, train, stream.batches)
    return PreparedTraining(steps, network.parameters, [note] if note else [])
