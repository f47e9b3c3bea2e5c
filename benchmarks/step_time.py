"""One training step: initlab compared to PyTorch, JAX, scikit-learn, plain NumPy and a lower bound.

    python benchmarks/step_time.py [--rounds 15] [--seconds 0.3]

A step draws a batch, runs forward and backward, updates the parameters and returns the loss. All
contenders train the same network on the same data, in this process, on one core, and take turns
block by block, so that a disturbance of the machine affects all of them. The floor is the matrix
products of a step, into preallocated arrays. Each contender has its data in memory in the form that
suits it best.
"""

from __future__ import annotations

import argparse
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

from rounds import Race, interleaved, publish  # before NumPy, for the sake of its kernels

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # before JAX is imported

import jax
import jax.numpy as jnp
import numpy as np
import optax
import plain
import torch
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from initlab.config import load_option
from initlab.data.datasets import Data
from initlab.nn.models import MLP
from initlab.nn.training import Training, fit

RATES = {"sgd": 0.1, "adam": 0.001}
NEVER = 10**12


@dataclass(frozen=True)
class Case:
    """A network, its data, its batch size, and the steps that JAX takes in one call."""

    data: str
    sizes: tuple[int, ...]
    batch: int
    scan: int = 50

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}"


CASES = [
    Case("mnist", (784, 200, 200, 10), 100),
    Case("mnist", (784, 100, 100, 100, 100, 10), 128),
    Case("digits", (64, 100, 100, 10), 32),
    Case("mnist", (784, 1000, 1000, 1000, 10), 256, scan=10),
]


def he(sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Return He weights for each layer, (fan_in, fan_out)."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal(pair) * np.sqrt(2 / pair[0])).astype(np.float32)
        for pair in pairwise(sizes)
    ]


class Contender(ABC):
    """A training that runs a number of steps at a time and continues where it stopped."""

    def __init__(self, case: Case, data: Data, optimizer: str) -> None:
        self.case = case
        self.data = data
        self.optimizer = optimizer
        self.lr = RATES[optimizer]
        self.prepare()

    @property
    def inputs(self) -> np.ndarray:
        """All training examples as the network reads them, in float64."""
        return self.data.train.x * self.data.train.scale

    @abstractmethod
    def prepare(self) -> None:
        """Set up everything that is not part of a step."""

    @abstractmethod
    def steps(self, count: int) -> float:
        """Take `count` steps; return the loss of the last."""


class Initlab(Contender):
    """`fit`, as in a run, without evaluations and snapshots."""

    def prepare(self) -> None:
        case, data = self.case, self.data
        rng = np.random.default_rng(0)
        model = MLP(list(case.sizes[1:-1]))
        activation = load_option("activation", "relu")
        network = model.build(data.features, data.classes, activation, case.batch, np.float32)
        network.initialize(load_option("init", "he"), rng)
        optimizer, schedule = (
            load_option("optimizer", self.optimizer),
            load_option("schedule", "constant"),
        )
        optimizer.lr = self.lr
        training = Training(NEVER, case.batch, eval_every=NEVER, snapshots=[])
        self.run = fit(network, optimizer, schedule, data, training, rng)

    def steps(self, count: int) -> float:
        for _ in range(count):
            step = next(self.run)
        return step.loss


class PyTorch(Contender):
    """Eager PyTorch, as in its tutorials, with all examples in one tensor."""

    def prepare(self) -> None:
        layers: list[torch.nn.Module] = []
        for w in he(self.case.sizes):
            linear = torch.nn.Linear(*w.shape)
            linear.weight.data = torch.from_numpy(w.T.copy())
            linear.bias.data.zero_()
            layers += [linear, torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*layers[:-1])
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.optimizer]
        self.update = kind(self.network.parameters(), lr=self.lr)
        self.loss = torch.nn.CrossEntropyLoss()
        self.x = torch.from_numpy(self.inputs.astype(np.float32))
        self.labels = torch.from_numpy(self.data.train.labels.copy())
        self.order = torch.empty(0, dtype=torch.int64)

    def steps(self, count: int) -> float:
        batch = self.case.batch
        for _ in range(count):
            if len(self.order) < batch:
                self.order = torch.randperm(len(self.x))
            rows, self.order = self.order[:batch], self.order[batch:]
            self.update.zero_grad()
            loss = self.loss(self.network(self.x[rows]), self.labels[rows])
            loss.backward()
            self.update.step()
            value = loss.item()
        return value


class Jax(Contender):
    """JAX: `jit` of a `lax.scan` over steps, with optax; all losses are returned at the end."""

    def prepare(self) -> None:
        batch = self.case.batch
        optimizer = {"sgd": optax.sgd, "adam": optax.adam}[self.optimizer](self.lr)
        x = jnp.asarray(self.inputs, jnp.float32)
        labels = jnp.asarray(self.data.train.labels, jnp.int32)

        def loss(parameters, rows):
            y = x[rows]
            for w, b in parameters[:-1]:
                y = jax.nn.relu(y @ w + b)
            w, b = parameters[-1]
            losses = optax.softmax_cross_entropy_with_integer_labels(y @ w + b, labels[rows])
            return losses.mean()

        def step(state, rows):
            parameters, memory = state
            value, gradients = jax.value_and_grad(loss)(parameters, rows)
            updates, memory = optimizer.update(gradients, memory)
            return (optax.apply_updates(parameters, updates), memory), value

        self.scan = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
        weights = he(self.case.sizes)
        parameters = [(jnp.asarray(w), jnp.zeros(w.shape[1])) for w in weights]
        self.state = (parameters, optimizer.init(parameters))
        self.rng = np.random.default_rng(0)
        self.order = np.empty((0, batch), np.int32)

    def steps(self, count: int) -> float:
        batch, scan, n = self.case.batch, self.case.scan, len(self.data.train)
        for _ in range(count // scan):
            while len(self.order) < scan:
                epoch = self.rng.permutation(n).astype(np.int32)[: n // batch * batch]
                self.order = np.concatenate([self.order, epoch.reshape(-1, batch)])
            rows, self.order = self.order[:scan], self.order[scan:]
            self.state, losses = self.scan(self.state, rows)
            value = np.asarray(losses)[-1]  # waits for the result
        return float(value)


class ScikitLearn(Contender):
    """MLPClassifier.partial_fit: one pass over the examples of all steps."""

    def prepare(self) -> None:
        kinds = {"sgd": {"solver": "sgd", "momentum": 0.0}, "adam": {"solver": "adam"}}
        self.model = MLPClassifier(
            self.case.sizes[1:-1],
            activation="relu",
            alpha=0.0,
            batch_size=self.case.batch,
            learning_rate_init=self.lr,
            random_state=0,
            **kinds[self.optimizer],
        )
        self.x, self.labels = self.inputs.astype(np.float32), np.asarray(self.data.train.labels)
        self.classes = np.arange(self.data.classes)

    def steps(self, count: int) -> float:
        left = count * self.case.batch
        while left:
            rows = slice(min(left, len(self.x) // self.case.batch * self.case.batch))
            self.model.partial_fit(self.x[rows], self.labels[rows], classes=self.classes)
            left -= rows.stop
        return self.model.loss_


class PlainNumPy(Contender):
    """The script of benchmarks/plain.py: float64, one-hot labels, no buffers."""

    def prepare(self) -> None:
        self.x = self.inputs
        self.t = np.eye(self.data.classes)[self.data.train.labels]
        self.network = plain.Network(he(self.case.sizes), self.optimizer, self.lr)
        self.rng = np.random.RandomState(0)

    def steps(self, count: int) -> float:
        for _ in range(count):
            rows = self.rng.choice(len(self.x), self.case.batch)
            loss = self.network.step(self.x[rows], self.t[rows])
        return loss


class Floor(Contender):
    """The matrix products of a step in float32, and nothing else."""

    def prepare(self) -> None:
        rng = np.random.default_rng(0)
        sizes, batch = self.case.sizes, self.case.batch
        y = [rng.random((batch, size), np.float32) for size in sizes]
        self.products = []
        for below, above, w in zip(y, y[1:], he(sizes)):
            out, dw = np.empty_like(above), np.empty_like(w)
            self.products += [(below, w, out), (below.T, above, dw)]
            if below is not y[0]:
                self.products.append((above, w.T, np.empty_like(below)))

    def steps(self, count: int) -> float:
        for _ in range(count):
            for a, b, out in self.products:
                np.matmul(a, b, out=out)
        return 0.0


CONTENDERS: dict[str, type[Contender]] = {
    "initlab": Initlab,
    "floor": Floor,
    "PyTorch": PyTorch,
    "JAX": Jax,
    "scikit-learn": ScikitLearn,
    "plain NumPy": PlainNumPy,
}

# The least ratio of each time to initlab's: at 1 / 1.20 initlab may take 1.20 times as long.
AIMS: dict[tuple[Case, str], dict[str, float]] = {
    (CASES[0], "sgd"): {"floor": 1 / 1.20, "PyTorch": 1.3, "JAX": 1 / 1.05, "plain NumPy": 2.5},
    (CASES[0], "adam"): {"PyTorch": 1.7, "JAX": 1 / 1.25},
    (CASES[2], "sgd"): {"PyTorch": 3.0},
    (CASES[3], "sgd"): {"floor": 1 / 1.10},
}


def block(contender: Contender, seconds: float) -> Callable[[], float]:
    """Return a function that takes steps for about `seconds` and returns the time of one."""
    scan = contender.case.scan
    contender.steps(scan)  # JAX compiles, and `fit` evaluates step 0
    start = perf_counter()
    contender.steps(scan)
    count = max(round(seconds / (perf_counter() - start)), 1) * scan

    def measure() -> float:
        start = perf_counter()
        loss = contender.steps(count)
        assert np.isfinite(loss)
        return (perf_counter() - start) / count

    return measure


def races(rounds: int, seconds: float) -> Iterator[Race]:
    """Yield the race of each case and optimizer."""
    for case in CASES:
        data = load_option("data", case.data).load(np.random.default_rng(0))
        for optimizer in RATES:
            contenders = {
                name: block(kind(case, data, optimizer), seconds)
                for name, kind in CONTENDERS.items()
            }
            times = interleaved(contenders, rounds)
            aims = AIMS.get((case, optimizer), {})
            yield Race(f"a step of {case}, {optimizer}", times, aims=aims)


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.3, help="per contender and round")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    with threadpool_limits(1):
        publish("step_time", races(arguments.rounds, arguments.seconds), **vars(arguments))


if __name__ == "__main__":
    main()
