import math
import tracemalloc
from dataclasses import fields

import numpy as np
import pytest

from initlab.config import SCHEMAS
from initlab.optimizers import SGD, AdaGrad, Adam, Momentum, Optimizer

CLASSES = [*SCHEMAS["optimizer"].values()]
EVERY = pytest.mark.parametrize("cls", CLASSES)

# Four gradients of one parameter: a change of sign and a change of size are among them.
GRADIENTS = [0.5, -0.25, 2.0, 0.125]


def steps(optimizer, gradients=GRADIENTS, start=1.0, dtype=np.float64):
    """The parameter after each update, and its vector; the second entry has no gradient."""
    w = np.array([start, start], dtype)
    optimizer.start(w)
    seen = []
    for g in gradients:
        optimizer.update(w, np.array([g, 0.0], dtype))
        seen.append(float(w[0]))
    return seen, w


def sgd(lr):
    w = 1.0
    for g in GRADIENTS:
        w = w - lr * g
        yield w


def momentum(lr, momentum):
    w, v = 1.0, 0.0
    for g in GRADIENTS:
        v = momentum * v - lr * g
        w = w + v
        yield w


def adagrad(lr, eps):
    w, h = 1.0, 0.0
    for g in GRADIENTS:
        h = h + g * g
        w = w - lr * g / (math.sqrt(h) + eps)
        yield w


def adam(lr, beta1, beta2, eps):
    w, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate(GRADIENTS, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        w = w - lr * m_hat / (math.sqrt(v_hat) + eps)
        yield w


PAPERS = [
    (SGD, {"lr": 0.3}, sgd),
    (Momentum, {"lr": 0.3, "momentum": 0.7}, momentum),
    (AdaGrad, {"lr": 0.3, "eps": 0.05}, adagrad),
    (AdaGrad, {"lr": 0.01, "eps": 1e-7}, adagrad),
    (Adam, {"lr": 0.3, "beta1": 0.6, "beta2": 0.8, "eps": 0.05}, adam),
    (Adam, {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}, adam),
    (Adam, {"lr": 0.3, "beta1": 0.0, "beta2": 0.0, "eps": 1e-8}, adam),
]


@pytest.mark.parametrize(("cls", "settings", "paper"), PAPERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_those_of_the_paper(cls, settings, paper, dtype):
    seen, w = steps(cls(**settings), dtype=dtype)
    # Four steps of about ten roundings each.
    limit = 1e-13 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(seen, [*paper(**settings)], rtol=limit)
    assert w.dtype == dtype
    assert w[1] == 1, "a parameter that never had a gradient has not moved"


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [
        (SGD(lr=0.1), [0.95, 0.975, 0.775, 0.7625]),
        (Momentum(lr=0.1, momentum=0.5), [0.95, 0.95, 0.75, 0.6375]),
        # h = 9, 25, 169, so that the roots are whole.
        (AdaGrad(lr=1.0, eps=1e-12), [0.0, -0.8, -0.8 - 12 / 13]),
        # m̂ = 3, 11/3, v̂ = 9, 41/3 with beta1 = beta2 = 1/2.
        (Adam(lr=1.0, beta1=0.5, beta2=0.5, eps=1e-12), [0.0, -11 / 3 / math.sqrt(41 / 3)]),
    ],
)
def test_steps_are_those_computed_by_hand(optimizer, numbers):
    gradients = GRADIENTS if isinstance(optimizer, SGD | Momentum) else [3.0, 4.0, 12.0]
    seen, _ = steps(optimizer, gradients[: len(numbers)])
    np.testing.assert_allclose(seen, numbers, rtol=1e-11, atol=1e-11)  # eps is 1e-12


@pytest.mark.parametrize("gradient", [1e-3, -7.0, 1e4])
def test_the_first_step_of_adam_has_the_size_of_lr_whatever_the_gradient(gradient):
    seen, _ = steps(Adam(lr=0.01), [gradient])
    assert seen[0] - 1 == pytest.approx(-math.copysign(0.01, gradient), rel=1e-4)


def test_momentum_adds_up_equal_gradients_to_ten_times_the_step():
    seen, _ = steps(Momentum(lr=0.01, momentum=0.9), [1.0] * 200)
    assert seen[-2] - seen[-1] == pytest.approx(0.01 / (1 - 0.9), rel=1e-6)  # 0.9²⁰⁰ is left


@EVERY
def test_a_parabola_is_solved(cls):
    curvature = np.array([0.1, 2.0])  # the valley x²/20 + y²
    w = np.array([-7.0, 2.0])
    optimizer = cls(lr=0.1)
    optimizer.start(w)
    for _ in range(10_000):
        optimizer.update(w, curvature * w)
    # A hundredth of the start's height; methods with steps of constant size keep hovering.
    assert curvature @ w**2 < 0.01 * (curvature @ np.array([-7.0, 2.0]) ** 2)


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_and_state_keep_the_dtype_and_the_gradient_is_kept(cls, dtype):
    w = np.ones(5, dtype)
    g = np.linspace(-1, 1, 5).astype(dtype)
    optimizer = cls()
    optimizer.start(w)
    before = g.copy()
    for _ in range(3):
        optimizer.update(w, g)
    state = [value for value in vars(optimizer).values() if isinstance(value, np.ndarray)]
    assert state
    assert {array.dtype for array in [w, *state]} == {np.dtype(dtype)}
    np.testing.assert_array_equal(g, before)
    assert (np.sign(1 - w) == np.sign(g)).all(), "it goes against the gradient"


@EVERY
def test_an_update_allocates_no_vector(cls):
    w, g = np.ones(100_000, np.float32), np.full(100_000, 0.5, np.float32)
    optimizer = cls()
    optimizer.start(w)
    optimizer.update(w, g)
    state = {name: id(value) for name, value in vars(optimizer).items() if np.ndim(value)}
    tracemalloc.start()
    try:
        optimizer.update(w, g)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A vector has 400,000 bytes; NumPy's casting buffers have up to 65,536.
    assert peak < 100_000
    assert {name: id(value) for name, value in vars(optimizer).items() if np.ndim(value)} == state


@EVERY
def test_start_forgets_the_run_before(cls):
    optimizer = cls()
    assert steps(optimizer)[0] == steps(optimizer)[0]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("cls", "name"), [(cls, field.name) for cls in CLASSES for field in fields(cls)]
)
def test_bad_hyper_parameters_are_refused_by_name(cls, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*; got {value}$"):
        cls(**{name: value})


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        *((cls, "lr", 0.0) for cls in CLASSES),
        (Momentum, "momentum", 1.0),
        (AdaGrad, "eps", 0.0),
        (Adam, "beta1", 1.0),
        (Adam, "beta2", 1.0),
        (Adam, "eps", 0.0),
    ],
)
def test_the_ends_that_would_stop_or_break_an_optimizer_are_refused(cls, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        cls(**{name: value})


def test_every_optimizer_can_be_chosen():
    def below(cls):
        return {cls}.union(*(below(child) for child in cls.__subclasses__()))

    assert set(CLASSES) == below(Optimizer) - {Optimizer}
