"""Compare the numerics with PyTorch's: the largest difference for each part, in float64.

    make parity, or: pip install -e '.[bench]' && python benchmarks/parity.py

Deterministic parts must agree to rounding. Random weights cannot agree value by value: there the
difference is that between two samples, and the limit is four standard errors. The exit status is 1
if any part differs by more than its limit, or has no row here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

from initlab.config import load_option, options
from initlab.nn import activations, initializers, optimizers, schedules
from initlab.nn.layers import BatchNorm, Dropout
from initlab.nn.losses import SoftmaxCrossEntropy
from initlab.nn.models import MLP

STEPS = 50
EXACT = 1e-10
SHAPES = [(784, 1000), (1000, 500)]
STANDARD_ERRORS = 4

torch.set_default_dtype(torch.float64)


class Row(NamedTuple):
    """One comparison; `difference` is None if PyTorch has no equivalent."""

    group: str
    option: str
    torch: str
    difference: float | None = None
    limit: float = EXACT


def gap(ours: object, theirs: torch.Tensor | float) -> float:
    """Return the largest absolute difference."""
    if isinstance(theirs, torch.Tensor):
        theirs = theirs.detach().numpy()
    return float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())


# option → PyTorch's class and its names for our settings
OPTIMIZERS = {
    "sgd": ("SGD", lambda o: {}),
    "momentum": ("SGD", lambda o: {"momentum": o.momentum}),
    "nesterov": ("SGD", lambda o: {"momentum": o.momentum, "nesterov": True}),
    "adagrad": ("Adagrad", lambda o: {"eps": o.eps}),
    "rmsprop": ("RMSprop", lambda o: {"alpha": o.rho, "eps": o.eps}),
    "adadelta": ("Adadelta", lambda o: {"rho": o.rho, "eps": o.eps}),
    "adam": ("Adam", lambda o: {"betas": (o.beta1, o.beta2), "eps": o.eps}),
    "adamw": (
        "AdamW",
        lambda o: {
            "betas": (o.beta1, o.beta2),
            "eps": o.eps,
            "weight_decay": o.weight_decay,
        },
    ),
    "nadam": (
        "NAdam",
        lambda o: {
            "betas": (o.beta1, o.beta2),
            "eps": o.eps,
            "momentum_decay": o.momentum_decay,
        },
    ),
    "lion": None,
}


def optimizer_rows() -> Iterator[Row]:
    """Fifty steps on a noisy parabola of twenty variables, at the defaults and at ten times lr."""
    rng = np.random.default_rng(0)
    start, curvature = rng.normal(size=20), np.logspace(-2, 1, 20)
    noise = rng.normal(0, 0.1, (STEPS, 20))
    for option in options("optimizer"):
        if OPTIMIZERS[option] is None:
            yield Row("optimizer", option, "none")
            continue
        name, settings = OPTIMIZERS[option]
        worst = 0.0
        for factor in (1, 10):
            ours: optimizers.Optimizer = load_option("optimizer", option)
            w = start.copy()
            ours.start(w)
            theirs = torch.nn.Parameter(torch.tensor(start))
            lr = factor * ours.lr
            optimizer = getattr(torch.optim, name)([theirs], lr=lr, **settings(ours))
            for step in range(STEPS):
                ours.update(w, curvature * w + noise[step], lr)
                theirs.grad = torch.tensor(curvature) * theirs.detach() + torch.tensor(noise[step])
                optimizer.step()
                worst = max(worst, gap(w, theirs))
        yield Row("optimizer", option, f"optim.{name}", worst)


def schedule_rows() -> Iterator[Row]:
    """The learning rates of fifty steps."""
    names = torch.optim.lr_scheduler

    def warmup_cosine(optimizer: torch.optim.Optimizer) -> object:
        warm = STEPS // 10
        rise = names.LinearLR(optimizer, 1 / warm, 1.0, warm - 1)
        fall = names.CosineAnnealingLR(optimizer, STEPS - warm)
        return names.SequentialLR(optimizer, [rise, fall], [warm])

    table = {
        "constant": ("ConstantLR", lambda o: names.ConstantLR(o, 1.0)),
        "step": ("StepLR", lambda o: names.StepLR(o, math.ceil(STEPS / 3), 0.1)),
        "exponential": ("ExponentialLR", lambda o: names.ExponentialLR(o, 0.1 ** (1 / STEPS))),
        "cosine": ("CosineAnnealingLR", lambda o: names.CosineAnnealingLR(o, STEPS)),
        "warmup_cosine": ("SequentialLR", warmup_cosine),
    }
    for option in options("schedule"):
        name, make = table[option]
        ours: schedules.Schedule = load_option("schedule", option)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
        scheduler, worst = make(optimizer), 0.0
        for step in range(STEPS):
            worst = max(worst, gap(0.3 * ours.factor(step, STEPS), optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
        yield Row("schedule", option, name, worst)


F = torch.nn.functional
ACTIVATIONS = {
    "identity": [("Identity", activations.Identity(), torch.nn.Identity())],
    "sigmoid": [("sigmoid", activations.Sigmoid(), torch.sigmoid)],
    "tanh": [("tanh", activations.Tanh(), torch.tanh)],
    "relu": [("relu", activations.Relu(), torch.relu)],
    "leaky_relu": [
        ("leaky_relu", activations.LeakyRelu(), F.leaky_relu),
        ("leaky_relu 0.2", activations.LeakyRelu(0.2), lambda z: F.leaky_relu(z, 0.2)),
    ],
    "elu": [
        ("elu", activations.Elu(), F.elu),
        ("elu 2", activations.Elu(2.0), lambda z: F.elu(z, 2.0)),
    ],
    "selu": [("selu", activations.Selu(), F.selu)],
    "gelu": [
        ("gelu none", activations.Gelu("none"), F.gelu),
        ("gelu tanh", activations.Gelu("tanh"), lambda z: F.gelu(z, approximate="tanh")),
    ],
    "silu": [("silu", activations.Silu(), F.silu)],
    "softplus": [  # with PyTorch's threshold, above which it returns z itself, out of reach
        ("softplus", activations.Softplus(), lambda z: F.softplus(z, 1.0, 1e9)),
        ("softplus 3", activations.Softplus(3.0), lambda z: F.softplus(z, 3.0, 1e9)),
    ],
    "softsign": [("softsign", activations.Softsign(), F.softsign)],
    "hard_tanh": [("hardtanh", activations.HardTanh(), F.hardtanh)],
}


def activation_rows() -> Iterator[Row]:
    """Value and derivative at 4,001 points, including zero and extreme values."""
    z = np.concatenate([np.linspace(-10, 10, 3999), [-200.0, 200.0]])
    for option in options("activation"):
        for name, ours, theirs in ACTIVATIONS[option]:
            x = torch.tensor(z, requires_grad=True)
            y = theirs(x)
            y.sum().backward()
            value = ours.value(z, np.empty_like(z))
            slope = ours.derivative(z, value, np.empty_like(z))
            yield Row("activation", f"{ours!r} φ", name, gap(value, y))
            yield Row("activation", f"{ours!r} φ'", name, gap(slope, x.grad))


def draw(make: str, shape: tuple[int, int], **settings: object) -> np.ndarray:
    """Draw W (fan_in, fan_out) with a function of torch.nn.init, whose weights are transposed."""
    weight = torch.empty(shape[::-1])
    getattr(torch.nn.init, make)(weight, **settings)
    return weight.numpy().T


def trunc(shape: tuple[int, int], std: float) -> np.ndarray:
    """Draw with PyTorch's absolute bounds and its std, which is that before truncation."""
    std /= 0.87962566103423978
    return draw("trunc_normal_", shape, std=std, a=-2 * std, b=2 * std)


KAIMING = {"nonlinearity": "relu"}
LINEAR = {"nonlinearity": "linear"}
INITS = {
    "zeros": ("zeros_", {}),
    "const001": ("constant_", {"val": 0.01}),
    "std1": ("normal_", {"std": 1.0}),
    "std01": ("normal_", {"std": 0.1}),
    "std001": ("normal_", {"std": 0.01}),
    "std0001": ("normal_", {"std": 0.001}),
    "xavier": ("kaiming_normal_", LINEAR),
    "xavier_sum": ("xavier_normal_", {"gain": math.sqrt(0.5)}),
    "xavier_normal": ("xavier_normal_", {}),
    "xavier_uniform": ("xavier_uniform_", {}),
    "he": ("kaiming_normal_", KAIMING),
    "he_uniform": ("kaiming_uniform_", KAIMING),
    "he_fan_out": ("kaiming_normal_", {**KAIMING, "mode": "fan_out"}),
    "lecun": ("kaiming_normal_", LINEAR),
    "lecun_uniform": ("kaiming_uniform_", LINEAR),
    "truncated_normal": ("trunc_normal_", lambda shape: trunc(shape, 0.01)),
    "variance_scaling": ("trunc_normal_", lambda shape: trunc(shape, shape[0] ** -0.5)),
    "orthogonal": ("orthogonal_", {}),
    "identity": ("eye_", {}),
    "sparse": ("sparse_", None),
    "lsuv": None,
}


def law_gap(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the Kolmogorov-Smirnov distance between two samples, and its limit.

    Its scale is √((n + m) / nm); four times that happens by chance once in 10¹³.
    """
    limit = STANDARD_ERRORS * math.sqrt((one.size + other.size) / (one.size * other.size))
    return float(stats.ks_2samp(one.ravel(), other.ravel(), method="asymp").statistic), limit


def sparse_rows(ours: initializers.Initializer) -> Iterator[Row]:
    """PyTorch zeroes a fraction of each column; the distribution of the rest must agree."""
    shape = SHAPES[0]
    w = ours(np.random.default_rng(0), *shape)
    nonzeros = int(np.count_nonzero(w[:, 0]))
    # Its columns are those of a weight (fan_out, fan_in), so the shape is not transposed.
    weight = torch.empty(shape)
    torch.nn.init.sparse_(weight, sparsity=1 - nonzeros / shape[0], std=1.0)
    theirs = weight.numpy()
    zeros = gap((w == 0).mean(axis=0), (theirs == 0).mean(axis=0))
    yield Row("init", "sparse: zeros", "sparse_", zeros)
    yield Row("init", "sparse: law", "sparse_", *law_gap(w[w != 0], theirs[theirs != 0]))


def init_rows() -> Iterator[Row]:
    """The largest distance between the distributions of two samples, over two shapes."""
    torch.manual_seed(0)
    for option in options("init"):
        ours: initializers.Initializer = load_option("init", option)
        if INITS[option] is None:
            yield Row("init", option, "none")
            continue
        name, settings = INITS[option]
        if option == "sparse":
            yield from sparse_rows(ours)
            continue
        found = []
        for seed, shape in enumerate(SHAPES):
            w = ours(np.random.default_rng(seed), *shape)
            theirs = settings(shape) if callable(settings) else draw(name, shape, **settings)
            fixed = option in ("zeros", "const001", "identity")
            found.append((gap(w, theirs), 0.0) if fixed else law_gap(w, theirs))
            if option == "orthogonal":
                products = [min(a @ a.T, a.T @ a, key=np.size) for a in (w, theirs)]
                found.append((gap(*products), EXACT))
        yield Row("init", option, name, *max(found, key=lambda pair: pair[0] - pair[1]))


def layer_rows() -> Iterator[Row]:
    """Batch norm in training and evaluation, dropout's mean, and the loss with its gradient."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(2, 3, (2, 7, 5))
    theirs = torch.nn.BatchNorm1d(5, eps=1e-5, momentum=0.1)
    ours = BatchNorm(5)
    arrays = {name: rng.normal(size=5) for name in (*ours.shapes, *ours.statistics)}
    gradients = {name: np.empty(5) for name in ours.shapes}
    ours.bind(arrays, gradients)
    ours.allocate(7, 5, np.float64, first=False)
    arrays["running_mean"][...], arrays["running_var"][...] = 0.0, 1.0
    theirs.weight.data, theirs.bias.data = map(torch.tensor, (arrays["gamma"], arrays["beta"]))
    xt = torch.tensor(x, requires_grad=True)
    y = theirs(xt)
    y.backward(torch.tensor(dy))
    yield Row("batch norm", "value", "BatchNorm1d", gap(ours.forward(x), y))
    yield Row("batch norm", "gradient of x", "BatchNorm1d", gap(ours.backward(dy), xt.grad))
    parameters = [(gradients["gamma"], theirs.weight.grad), (gradients["beta"], theirs.bias.grad)]
    worst = max(gap(*pair) for pair in parameters)
    yield Row("batch norm", "gradients of gamma, beta", "BatchNorm1d", worst)
    worst = max(gap(arrays[name], getattr(theirs, name)) for name in ours.statistics)
    yield Row("batch norm", "running mean, var", "BatchNorm1d", worst)
    ours.mode = "evaluate"
    theirs.eval()
    worst = gap(ours.forward(x), theirs(torch.tensor(x)))
    yield Row("batch norm", "value in evaluation", "BatchNorm1d", worst)

    rate, size = 0.3, (1000, 1000)
    layer = Dropout(rate, rng)
    layer.allocate(*size, np.float64, first=False)
    means = [layer.forward(np.ones(size)).mean(), float(F.dropout(torch.ones(size), rate).mean())]
    error = math.sqrt(2 * rate / (1 - rate) / math.prod(size))
    yield Row("dropout", "mean", "dropout", gap(*means), STANDARD_ERRORS * error)

    logits, labels = rng.normal(0, 30, (64, 10)), rng.integers(10, size=64)
    loss = SoftmaxCrossEntropy(64, 10, np.float64)
    lt = torch.tensor(logits, requires_grad=True)
    value = F.cross_entropy(lt, torch.tensor(labels))
    value.backward()
    yield Row("loss", "value", "cross_entropy", gap(loss.forward(logits, labels), value))
    yield Row("loss", "gradient", "cross_entropy", gap(loss.backward(), lt.grad))


def network_rows() -> Iterator[Row]:
    """Fifty steps of Adam on a network with batch norm, from the same weights, on one batch."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(32, 20)), rng.integers(10, size=32)
    model = MLP([30, 30], batch_norm=True)
    network = model.build(20, 10, activations.Gelu(), 32, np.float64)
    network.initialize(load_option("init", "he"), rng)
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in ((20, 30), (30, 30)):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.BatchNorm1d(fan_out)]
        layers += [torch.nn.GELU()]
    theirs = torch.nn.Sequential(*layers, torch.nn.Linear(30, 10))
    for number, layer in zip((1, 2, 3), (theirs[0], theirs[3], theirs[6])):
        layer.weight.data = torch.tensor(network.parameters.views[f"W{number}"].T.copy())
        layer.bias.data.zero_()
    optimizer, ours = torch.optim.Adam(theirs.parameters(), lr=0.01), optimizers.Adam(0.01)
    ours.start(network.parameters.vector)
    loss, worst = SoftmaxCrossEntropy(32, 10, np.float64), 0.0
    for _ in range(STEPS):
        value = loss.forward(network.forward(x), labels)
        network.backward(loss.backward())
        ours.update(network.parameters.vector, network.gradients.vector, ours.lr)
        optimizer.zero_grad()
        expected = F.cross_entropy(theirs(torch.tensor(x)), torch.tensor(labels))
        expected.backward()
        optimizer.step()
        worst = max(worst, gap(value, expected))
    yield Row("network", "mlp, batch norm, adam: loss", "nn.Sequential", worst)


def main() -> int:
    """Print the table; return the exit status."""
    table = Table("group", "ours", f"PyTorch {torch.__version__}", box=None, pad_edge=False)
    table.add_column("difference", justify="right")
    table.add_column("limit", justify="right")
    wrong = 0
    parts = (optimizer_rows, schedule_rows, activation_rows, init_rows, layer_rows, network_rows)
    for part in parts:
        for row in part():
            within = row.difference is None or row.difference <= row.limit
            wrong += not within
            shown = "" if row.difference is None else f"{row.difference:.1e}"
            limit = "" if row.difference is None else f"{row.limit:.1e}"
            table.add_row(
                row.group, row.option, row.torch, shown, limit, style="" if within else "red"
            )
        table.add_row()
    Console().print(table)
    if wrong:
        print(f"{wrong} rows differ by more than their limit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
