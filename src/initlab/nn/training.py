"""Training: one loop that yields its steps, and is independent of tracking and plotting.

Step k is the state after k updates. Its loss is that of batch k before the update. So step 0 shows
the network as initialised, and the last step, which has no batch, shows it as trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from initlab import checks
from initlab.data.batches import BATCHING, Rows
from initlab.data.datasets import Data, Samples
from initlab.nn.diagnostics import Probe, Snapshot
from initlab.nn.losses import SoftmaxCrossEntropy
from initlab.nn.metrics import Metric, Statistic
from initlab.nn.network import Network, Parameters
from initlab.nn.optimizers import Optimizer
from initlab.nn.prediction import Prediction
from initlab.nn.schedules import Schedule

EVALUATION_BATCH = 500
EVALUATION_SHARE = 4  # training examples per evaluated one, which costs a third as much
MOST_INTERVALS = 10  # between evaluations, unless `eval_every` is set


@dataclass
class Training:
    """How to train: the `train.*` keys.

    steps         number of updates
    batch_size    examples per step
    batching      shuffle (epochs), random (draws with replacement), fixed (always the same batch)
    eval_every    steps between evaluations; the first and last step always have one; null: ten
                  intervals, or fewer if ten would evaluate more than a quarter as many examples
                  as training uses
    probe_size    number of training examples, from the first on, that train/accuracy and all
                  distributions are computed from
    snapshots     steps at which distributions are recorded; null: first, middle and last
    weight_decay  λ of the penalty λ/2 · Σ W², which is not part of the recorded loss
    threads       BLAS threads
    """

    steps: int = 1000
    batch_size: int = 100
    batching: str = "shuffle"
    eval_every: int | None = None
    probe_size: int = 1000
    snapshots: list[int] | None = None
    weight_decay: float = 0.0
    threads: int = 1

    def __post_init__(self) -> None:
        checks.at_least("steps", self.steps, 0)
        checks.at_least("batch_size", self.batch_size, 1)
        checks.at_least("threads", self.threads, 1, 1024)
        if self.eval_every is not None:
            checks.at_least("eval_every", self.eval_every, 1)
        checks.at_least("probe_size", self.probe_size, 2)  # one example does not vary
        checks.one_of("batching", self.batching, BATCHING)
        checks.at_least("weight_decay", self.weight_decay, 0)
        for step in self.snapshots or []:
            if not 0 <= step <= self.steps:
                raise ValueError(f"snapshots must be within steps 0 to {self.steps}; got {step}")

    def eval_steps(self, examples: int) -> set[int]:
        """Return the steps at which to evaluate, given the number of examples in an evaluation."""
        every = self.eval_every
        if every is None:
            affordable = self.steps * self.batch_size // (EVALUATION_SHARE * examples)
            every = math.ceil(self.steps / min(max(affordable, 1), MOST_INTERVALS))
        return {*range(0, self.steps, max(every, 1)), self.steps}

    def snapshot_steps(self) -> set[int]:
        """Return the steps at which to record distributions."""
        if self.snapshots is None:
            return {0, self.steps // 2, self.steps}
        return set(self.snapshots)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results on the probe, the test set and, if there is one, the validation set."""

    train_accuracy: float
    test_loss: float
    test_accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None

    @property
    def diverged(self) -> bool:
        """Whether a loss is infinite or NaN."""
        held_out = self.validation_loss
        return not (math.isfinite(self.test_loss) and (held_out is None or math.isfinite(held_out)))

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers by the names of their metrics."""
        values: dict[str, float | None] = {
            Metric.TRAIN_ACCURACY: self.train_accuracy,
            Metric.TEST_LOSS: self.test_loss,
            Metric.TEST_ACCURACY: self.test_accuracy,
            Metric.VALIDATION_LOSS: self.validation_loss,
            Metric.VALIDATION_ACCURACY: self.validation_accuracy,
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def accuracy(self) -> float:
        """The accuracy that settings are ranked by: on the validation set, else on the test set."""
        held_out = self.validation_accuracy
        return self.test_accuracy if held_out is None else held_out


@dataclass(slots=True)
class Step:
    """What happened at one step.

    loss        of the batch; None at the last step
    evaluation  None at steps without one; the same for snapshot
    prediction  of the network as initialised, at step 0
    lr          learning rate of the update; None if it is the same as before
    point       (x, y), for a function of two variables
    """

    number: int
    loss: float | None = None
    evaluation: Evaluation | None = None
    snapshot: Snapshot | None = None
    prediction: Prediction | None = None
    lr: float | None = None
    point: tuple[float, float] | None = None

    @property
    def diverged(self) -> bool:
        """Whether a loss is infinite or NaN."""
        if self.loss is not None and not math.isfinite(self.loss):
            return True
        return self.evaluation is not None and self.evaluation.diverged

    def metrics(self) -> Iterator[tuple[str, float]]:
        """Yield the names and values of the step's metrics that are finite.

        MLflow's stores turn inf into 1.8e308, and a single NaN breaks the page of a run.
        """
        values: dict[str, float] = {}
        if self.point is not None:
            values[Metric.X], values[Metric.Y] = self.point
        if self.loss is not None:
            values[Metric.TRAIN_LOSS if self.point is None else Metric.F] = self.loss
        if self.lr is not None:
            values[Metric.LR] = self.lr
        if self.evaluation is not None:
            values |= self.evaluation.metrics
        if self.snapshot is not None:
            values |= by_layer(self.snapshot.statistics)
        if self.prediction is not None:
            values |= by_layer(self.prediction.statistics)
        if self.diverged:
            values[Metric.DIVERGED_STEP] = self.number
        return ((str(name), value) for name, value in values.items() if math.isfinite(value))


def by_layer(statistics: Mapping[Statistic, Sequence[float]]) -> dict[str, float]:
    """Return numbers of layers by the names of their metrics."""
    return {
        statistic.of_layer(number): value
        for statistic, layers in statistics.items()
        for number, value in enumerate(layers, start=1)
    }


class Evaluator:
    """Computes the loss and accuracy of a network on a set of examples, in batches."""

    def __init__(self, network: Network, samples: Samples, classes: int) -> None:
        batch = min(EVALUATION_BATCH, len(samples))
        self.network = network.clone_for(batch, "evaluate")
        self.rows = Rows(samples, batch, network.dtype)
        self.loss = SoftmaxCrossEntropy(batch, classes, network.dtype)
        self.count = len(samples)
        self.batches = np.split(np.arange(self.count), range(batch, self.count, batch))

    def __call__(self) -> tuple[float, float]:
        """Return the mean loss and the accuracy."""
        total, correct = 0.0, 0
        for indices in self.batches:
            x, labels = self.rows.take(indices)
            assert labels is not None
            logits = self.network.forward(x)
            total += self.loss.forward(logits, labels) * len(indices)
            correct += int(np.count_nonzero(logits.argmax(axis=-1) == labels))
        return total / self.count, correct / self.count


class Observer:
    """Evaluates a network in training and takes snapshots of it, at the steps that have them."""

    def __init__(self, network: Network, data: Data, config: Training) -> None:
        first = data.train.first(config.probe_size)
        x, labels = Rows(first, len(first), network.dtype).take(np.arange(len(first)))
        self.probe = Probe(network, x, labels, data.classes)
        self.snapshot_steps = config.snapshot_steps()
        self.eval_steps: set[int] = set()
        if labels is not None:
            self.train = Evaluator(network, first, data.classes)
            self.test = Evaluator(network, data.test, data.classes)
            held_out = data.validation
            self.validation = Evaluator(network, held_out, data.classes) if len(held_out) else None
            self.eval_steps = config.eval_steps(len(first) + len(data.test) + len(held_out))

    def observe(self, number: int, previous: Parameters | None) -> Step:
        """Return the step, with its evaluation and snapshot if it has them.

        previous  the parameters before the last update
        """
        step = Step(number)
        if number in self.eval_steps:
            held_out = self.validation() if self.validation else (None, None)
            step.evaluation = Evaluation(self.train()[1], *self.test(), *held_out)
        if number in self.snapshot_steps:
            step.snapshot = self.probe.snapshot(number, previous)
        return step


def scheduled_update(
    number: int,
    steps: int,
    optimizer: Optimizer,
    schedule: Schedule,
    parameters: Parameters,
    gradients: Parameters,
) -> float | None:
    """Take update `number` of `steps`; return its learning rate if it may be a new one."""
    lr = optimizer.lr * schedule.factor(number, steps)
    optimizer.update(parameters.vector, gradients.vector, lr)
    return lr if schedule.varies or number == 0 else None


def fit(
    network: Network,
    optimizer: Optimizer,
    schedule: Schedule,
    data: Data,
    config: Training,
    rng: np.random.Generator,
) -> Iterator[Step]:
    """Train `network` in place; yield a `Step` for each update, and one for the final state.

    A step that has diverged is the last. `rng` is used for the batches only. With `steps=0` the
    data needs no labels.
    """
    observer = Observer(network, data, config)
    rows = Rows(data.train, config.batch_size, network.dtype)
    loss = SoftmaxCrossEntropy(config.batch_size, data.classes, network.dtype)
    parameters, gradients = network.parameters, network.gradients
    optimizer.start(parameters.vector)
    order = BATCHING[config.batching](rng, len(data.train), config.batch_size)
    previous = None

    for number, indices in zip(range(config.steps), order):
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is a result
            step = observer.observe(number, previous)
            x, labels = rows.take(indices)
            assert labels is not None, "training needs labels"
            step.loss = loss.forward(network.forward(x), labels)
            if not step.diverged:
                network.backward(loss.backward())
                if config.weight_decay:
                    gradients.weights += config.weight_decay * parameters.weights
                previous = parameters.copy() if number + 1 in observer.snapshot_steps else None
                step.lr = scheduled_update(
                    number, config.steps, optimizer, schedule, parameters, gradients
                )
        yield step
        if step.diverged:
            return

    with np.errstate(over="ignore", invalid="ignore"):
        step = observer.observe(config.steps, previous)
    yield step
