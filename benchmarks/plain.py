"""A sweep as a plain script: NumPy as in the book, loops over the grid, `mlflow.log_metric`.

    python benchmarks/plain.py <tracking uri> [trials]

What most people write first, for comparison with initlab: the same data, network, grid, steps,
curves and pictures as `benchmarks/sweep.py`. The network is in the style of Saitoh 2016, *Deep
Learning from Scratch*, chapters 5 and 6: float64, one-hot labels, dictionaries of parameters, no
buffers. The book runs a second forward pass for the loss; this script does not.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import numpy as np

SIZES = (784, 200, 200, 10)
STEPS, BATCH, EVERY = 1000, 100, 500
STDS = {
    "he": lambda n: np.sqrt(2 / n),
    "xavier": lambda n: np.sqrt(1 / n),
    "std001": lambda n: 0.01,
}
RATES = {"sgd": 0.1, "adam": 0.001}
SEEDS = [0, 1, 2, 3]


class Network:
    """Dense layers with ReLU in between, and an optimiser."""

    def __init__(self, weights, optimizer, lr):
        self.layers = len(weights)
        self.params = {}
        for number, w in enumerate(weights, 1):
            self.params[f"W{number}"] = w.astype(np.float64)
            self.params[f"b{number}"] = np.zeros(w.shape[1])
        self.m = {key: np.zeros_like(value) for key, value in self.params.items()}
        self.v = {key: np.zeros_like(value) for key, value in self.params.items()}
        self.update = {"sgd": self.sgd, "adam": self.adam}[optimizer]
        self.lr = lr
        self.iteration = 0

    def forward(self, x):
        """Return the softmax, and keep what the gradient needs."""
        self.inputs, self.masks = {}, {}
        for number in range(1, self.layers + 1):
            self.inputs[number] = x
            x = np.dot(x, self.params[f"W{number}"]) + self.params[f"b{number}"]
            if number < self.layers:
                self.masks[number] = x <= 0
                x[self.masks[number]] = 0
        x = x - x.max(axis=1, keepdims=True)
        return np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True)

    def gradient(self, x, t):
        """Return the loss and the gradients of all parameters."""
        y = self.forward(x)
        loss = -np.sum(t * np.log(y + 1e-7)) / len(x)
        grads = {}
        dout = (y - t) / len(x)
        for number in range(self.layers, 0, -1):
            if number < self.layers:
                dout[self.masks[number]] = 0
            grads[f"W{number}"] = np.dot(self.inputs[number].T, dout)
            grads[f"b{number}"] = np.sum(dout, axis=0)
            dout = np.dot(dout, self.params[f"W{number}"].T)
        return loss, grads

    def step(self, x, t):
        """Take one step; return the loss."""
        loss, grads = self.gradient(x, t)
        self.update(grads)
        return loss

    def sgd(self, grads):
        """w ← w - lr · g."""
        for key in self.params:
            self.params[key] -= self.lr * grads[key]

    def adam(self, grads):
        """Adam in the book's form."""
        self.iteration += 1
        lr = self.lr * np.sqrt(1 - 0.999**self.iteration) / (1 - 0.9**self.iteration)
        for key in self.params:
            self.m[key] += (1 - 0.9) * (grads[key] - self.m[key])
            self.v[key] += (1 - 0.999) * (grads[key] ** 2 - self.v[key])
            self.params[key] -= lr * self.m[key] / (np.sqrt(self.v[key]) + 1e-7)

    def accuracy(self, x, t):
        """Return the share that is classified as labelled."""
        return float(np.mean(self.forward(x).argmax(axis=1) == t.argmax(axis=1)))


def draw(folder, network, losses):
    """Draw histograms of each hidden layer's activations, and the loss."""
    import matplotlib.pyplot as plt

    for number in range(1, network.layers):
        plt.subplot(1, network.layers - 1, number)
        plt.title(f"{number}-layer")
        plt.hist(network.inputs[number + 1].flatten(), 60)
    plt.savefig(folder / "activations.png")
    plt.close()
    plt.plot(losses)
    plt.savefig(folder / "loss.png")
    plt.close()
    return [folder / "activations.png", folder / "loss.png"]


def trial(data, init, optimizer, seed):
    """Run one training and log it step by step."""
    import mlflow

    x_train, t_train, x_test, t_test = data
    rng = np.random.RandomState(seed)
    weights = [rng.randn(*pair) * STDS[init](pair[0]) for pair in pairwise(SIZES)]
    network, losses = Network(weights, optimizer, RATES[optimizer]), []
    with mlflow.start_run(run_name=f"{init} {optimizer} {seed}"):
        mlflow.log_params({"init": init, "optimizer": optimizer, "seed": seed, "steps": STEPS})
        for step in range(STEPS + 1):
            if step % EVERY == 0:
                mlflow.log_metric(
                    "train/accuracy", network.accuracy(x_train[:1000], t_train[:1000]), step
                )
                mlflow.log_metric("test/accuracy", network.accuracy(x_test, t_test), step)
            if step < STEPS:
                rows = rng.choice(len(x_train), BATCH)
                losses.append(network.step(x_train[rows], t_train[rows]))
                mlflow.log_metric("train/loss", losses[-1], step)
        with tempfile.TemporaryDirectory() as folder:
            for file in draw(Path(folder), network, losses):
                mlflow.log_artifact(file)


def main():
    """Run the grid, or its first trials; print the seconds that they took without start-up."""
    import matplotlib
    import mlflow

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    from initlab.config import load_option  # initlab knows where the data are

    matplotlib.use("Agg")
    mlflow.set_tracking_uri(sys.argv[1])
    mlflow.set_experiment("plain")
    data = load_option("data", "mnist").load(np.random.default_rng(0))
    arrays = []
    for samples in (data.train, data.test):
        arrays += [samples.x * samples.scale, np.eye(data.classes)[samples.labels]]
    grid = [*itertools.product(STDS, RATES, SEEDS)]
    chosen = grid[: int(sys.argv[2])] if len(sys.argv) > 2 else grid
    start = perf_counter()
    for setting in chosen:
        trial(arrays, *setting)
    print(perf_counter() - start)


if __name__ == "__main__":
    main()
