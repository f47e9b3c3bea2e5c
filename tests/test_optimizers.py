import math
import tracemalloc
from dataclasses import fields

import numpy as np
import pytest
from omegaconf import OmegaConf

from initlab.config import PROJECT, SCHEMAS, options
from initlab.nn.optimizers import (
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    AdamW,
    Lion,
    Momentum,
    NAdam,
    Nesterov,
    Optimizer,
    RMSProp,
)
from initlab.nn.schedules import Constant, Cosine

CLASSES = [*SCHEMAS["optimizer"].values()]
EVERY = pytest.mark.parametrize("cls", CLASSES)
FIELDS = [(cls, field.name) for cls in CLASSES for field in fields(cls)]

# Four gradients of one parameter: a change of sign and a change of size are among them.
GRADIENTS = [0.5, -0.25, 2.0, 0.125]


def steps(optimizer, gradients=GRADIENTS, start=1.0, dtype=np.float64):
    """The parameter after each update, and its vector; the second entry has no gradient."""
    w = np.array([start, start], dtype)
    optimizer.start(w)
    seen = []
    for g in gradients:
        optimizer.update(w, np.array([g, 0.0], dtype), optimizer.lr)
        seen.append(float(w[0]))
    return seen, w


def undecayed(cls, **settings):
    """The optimiser with no decay of w beside its step."""
    names = {field.name for field in fields(cls)}
    return cls(**settings, **({"weight_decay": 0.0} if "weight_decay" in names else {}))


def sgd(gradients, lr):
    w = 1.0
    for g in gradients:
        w = w - lr * g
        yield w


def momentum(gradients, lr, momentum):
    w, v = 1.0, 0.0
    for g in gradients:
        v = momentum * v - lr * g
        w = w + v
        yield w


def nesterov(gradients, lr, momentum):
    # Sutskever's own variable lags behind: the gradients are those of the point ahead of it.
    behind, v = 1.0, 0.0
    for g in gradients:
        v = momentum * v - lr * g
        behind = behind + v
        yield behind + momentum * v


def adagrad(gradients, lr, eps):
    w, h = 1.0, 0.0
    for g in gradients:
        h = h + g * g
        w = w - lr * g / (math.sqrt(h) + eps)
        yield w


def rmsprop(gradients, lr, rho, eps):
    w, mean_square = 1.0, 0.0
    for g in gradients:
        mean_square = rho * mean_square + (1 - rho) * g**2
        w = w - lr * g / (math.sqrt(mean_square) + eps)
        yield w


def adadelta(gradients, lr, rho, eps):
    def rms(mean_square):
        return math.sqrt(mean_square + eps)

    x, of_g, of_dx = 1.0, 0.0, 0.0
    for g in gradients:
        of_g = rho * of_g + (1 - rho) * g**2
        dx = -rms(of_dx) / rms(of_g) * g
        of_dx = rho * of_dx + (1 - rho) * dx**2
        x = x + lr * dx
        yield x


def adam(gradients, lr, beta1, beta2, eps):
    yield from adamw(gradients, lr, beta1, beta2, eps, weight_decay=0.0)


def adamw(gradients, lr, beta1, beta2, eps, weight_decay):
    w, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        w = w - lr * (m_hat / (math.sqrt(v_hat) + eps) + weight_decay * w)
        yield w


def nadam(gradients, lr, beta1, beta2, eps, momentum_decay):
    def mu(i):
        return beta1 * (1 - 0.5 * 0.96 ** (i * momentum_decay))

    w, m, v = 1.0, 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        ahead = mu(t + 1) * m / (1 - math.prod(mu(i) for i in range(1, t + 2)))
        here = (1 - mu(t)) * g / (1 - math.prod(mu(i) for i in range(1, t + 1)))
        w = w - lr * (ahead + here) / (math.sqrt(v / (1 - beta2**t)) + eps)
        yield w


def lion(gradients, lr, beta1, beta2, weight_decay):
    w, m = 1.0, 0.0
    for g in gradients:
        c = beta1 * m + (1 - beta1) * g
        sign = (c > 0) - (c < 0)
        w = w - lr * (sign + weight_decay * w)
        m = beta2 * m + (1 - beta2) * g
        yield w


BETAS = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
LOW_BETAS = {"beta1": 0.6, "beta2": 0.8, "eps": 0.05}
NO_BETAS = {"beta1": 0.0, "beta2": 0.0, "eps": 1e-8}

PAPERS = [
    (SGD, {"lr": 0.3}, sgd),
    (Momentum, {"lr": 0.3, "momentum": 0.7}, momentum),
    (Nesterov, {"lr": 0.3, "momentum": 0.7}, nesterov),
    (Nesterov, {"lr": 0.01, "momentum": 0.9}, nesterov),
    (AdaGrad, {"lr": 0.3, "eps": 0.05}, adagrad),
    (AdaGrad, {"lr": 0.01, "eps": 1e-7}, adagrad),
    (RMSProp, {"lr": 0.3, "rho": 0.6, "eps": 0.05}, rmsprop),
    (RMSProp, {"lr": 0.001, "rho": 0.9, "eps": 1e-8}, rmsprop),
    (RMSProp, {"lr": 0.3, "rho": 0.0, "eps": 1e-8}, rmsprop),
    (AdaDelta, {"lr": 1.0, "rho": 0.95, "eps": 1e-6}, adadelta),
    (AdaDelta, {"lr": 0.5, "rho": 0.6, "eps": 0.05}, adadelta),
    (AdaDelta, {"lr": 2.0, "rho": 0.0, "eps": 0.1}, adadelta),
    (Adam, {"lr": 0.3, **LOW_BETAS}, adam),
    (Adam, {"lr": 0.001, **BETAS}, adam),
    (Adam, {"lr": 0.3, **NO_BETAS}, adam),
    (AdamW, {"lr": 0.3, **LOW_BETAS, "weight_decay": 0.4}, adamw),
    (AdamW, {"lr": 0.001, **BETAS, "weight_decay": 0.01}, adamw),
    (NAdam, {"lr": 0.3, **LOW_BETAS, "momentum_decay": 5.0}, nadam),
    (NAdam, {"lr": 0.002, **BETAS, "momentum_decay": 0.004}, nadam),
    (NAdam, {"lr": 0.3, **BETAS, "momentum_decay": 0.0}, nadam),
    (NAdam, {"lr": 0.3, **NO_BETAS, "momentum_decay": 0.004}, nadam),
    (Lion, {"lr": 0.3, "beta1": 0.6, "beta2": 0.8, "weight_decay": 0.4}, lion),
    (Lion, {"lr": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}, lion),
    (Lion, {"lr": 0.3, "beta1": 0.0, "beta2": 0.0, "weight_decay": 0.0}, lion),
]


def test_every_optimizer_has_its_paper():
    assert {cls for cls, _, _ in PAPERS} == {*CLASSES}


@pytest.mark.parametrize(("cls", "settings", "paper"), PAPERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_those_of_the_paper(cls, settings, paper, dtype):
    seen, w = steps(cls(**settings), dtype=dtype)
    # Four steps of about ten roundings each.
    limit = 1e-13 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(seen, [*paper(GRADIENTS, **settings)], rtol=limit)
    assert w.dtype == dtype
    *_, alone = paper([0.0] * 4, **settings)
    assert w[1] == pytest.approx(alone, rel=limit), "a parameter that never had a gradient"


HALVES = {"beta1": 0.5, "beta2": 0.5}


@pytest.mark.parametrize(
    ("optimizer", "gradients", "numbers"),
    [
        (SGD(lr=0.1), GRADIENTS, [0.95, 0.975, 0.775, 0.7625]),
        (Momentum(lr=0.1, momentum=0.5), GRADIENTS, [0.95, 0.95, 0.75, 0.6375]),
        # v = -0.05, 0, -0.2, -0.1125
        (Nesterov(lr=0.1, momentum=0.5), GRADIENTS, [0.925, 0.95, 0.65, 0.58125]),
        # h = 9, 25, 169, so that the roots are whole.
        (AdaGrad(lr=1.0, eps=1e-12), [3.0, 4.0, 12.0], [0.0, -0.8, -0.8 - 12 / 13]),
        # v = 1, 1, 4
        (RMSProp(lr=1.0, rho=0.75, eps=1e-12), [2.0, 1.0, 13**0.5], [-1, -2, -2 - 13**0.5 / 2]),
        # v = 8, 6 and u = 0, 8/9, to each of which comes eps.
        (AdaDelta(rho=0.5, eps=1.0), [4.0, 2.0], [-1 / 3, -1 / 3 - 2 * (17 / 63) ** 0.5]),
        # m̂ = 3, 11/3 and v̂ = 9, 41/3
        (Adam(lr=1.0, **HALVES, eps=1e-12), [3.0, 4.0], [0.0, -11 / 3 / (41 / 3) ** 0.5]),
        (
            AdamW(lr=0.5, **HALVES, eps=1e-12, weight_decay=0.5),
            [3.0, 4.0],
            [0.75 - 0.5, 0.75 * 0.25 - 0.5 * 11 / 3 / (41 / 3) ** 0.5],
        ),
        # μ = 1/4 throughout, so that m̂ = 0.4 + 3 and then 44/63 + 3.2.
        (
            NAdam(lr=1.0, **HALVES, eps=1e-12, momentum_decay=0.0),
            [3.0, 4.0],
            [1 - 3.4 / 3, 1 - 3.4 / 3 - (44 / 63 + 3.2) / (41 / 3) ** 0.5],
        ),
        # c = 1, 1/4 (against the gradient's sign), -11/8
        (
            Lion(lr=0.5, **HALVES, weight_decay=0.5),
            [2.0, -0.5, -3.0],
            [0.25, 0.25 * 0.75 - 0.5, (0.25 * 0.75 - 0.5) * 0.75 + 0.5],
        ),
    ],
)
def test_steps_are_those_computed_by_hand(optimizer, gradients, numbers):
    seen, _ = steps(optimizer, gradients)
    np.testing.assert_allclose(seen, numbers, rtol=1e-11, atol=1e-11)  # eps is 1e-12


@pytest.mark.parametrize("gradient", [1e-3, -7.0, 1e4])
def test_the_first_step_of_adam_has_the_size_of_lr_whatever_the_gradient(gradient):
    seen, _ = steps(Adam(lr=0.01), [gradient])
    assert seen[0] - 1 == pytest.approx(-math.copysign(0.01, gradient), rel=1e-4)


@pytest.mark.parametrize("gradient", [1e-30, -7.0, 1e30])
def test_a_step_of_lion_has_exactly_the_size_of_lr_whatever_the_gradient(gradient):
    seen, _ = steps(Lion(lr=0.01), [gradient] * 3, start=0.0)
    sizes = np.diff([0.0, *seen])
    np.testing.assert_allclose(sizes, [-math.copysign(0.01, gradient)] * 3, rtol=1e-14)


def test_momentum_adds_up_equal_gradients_to_ten_times_the_step():
    seen, _ = steps(Momentum(lr=0.01, momentum=0.9), [1.0] * 200)
    assert seen[-2] - seen[-1] == pytest.approx(0.01 / (1 - 0.9), rel=1e-6)  # 0.9²⁰⁰ is left


@pytest.mark.parametrize("cls", [Momentum, Nesterov])
def test_without_momentum_there_is_plain_descent(cls):
    assert steps(cls(lr=0.3, momentum=0.0))[0] == steps(SGD(lr=0.3))[0]


@pytest.mark.parametrize(("cls", "share"), [(Momentum, 0.5), (Nesterov, 0.25)])
def test_velocity_outlasts_the_rate_at_which_it_was_gained(cls, share):
    optimizer = cls(momentum=0.5)
    w, g = np.zeros(1), np.ones(1)
    optimizer.start(w)
    optimizer.update(w, g, 0.1)
    before = w.copy()
    optimizer.update(w, g, 0.0)
    np.testing.assert_allclose(w - before, -0.1 * share, rtol=1e-15)


def test_adamw_without_decay_is_adam_to_the_last_bit():
    assert steps(AdamW(lr=0.3, weight_decay=0.0))[0] == steps(Adam(lr=0.3))[0]


@pytest.mark.parametrize("cls", [AdamW, Lion])
def test_decoupled_decay_shrinks_every_parameter_by_the_same_share(cls):
    w = np.array([1.0, -20.0, 300.0])
    optimizer = cls(weight_decay=0.5)
    optimizer.start(w)
    for _ in range(3):
        optimizer.update(w, np.zeros(3), 0.1)
    np.testing.assert_allclose(w, np.array([1.0, -20.0, 300.0]) * 0.95**3, rtol=1e-15)


def test_the_momentum_of_nadam_rises_from_half_of_beta1_to_the_whole():
    optimizer = NAdam(beta1=0.9, momentum_decay=0.004)
    rise = [optimizer.mu(t) for t in range(100_000)]
    assert (np.diff(rise) > 0).all()
    assert rise[0] == pytest.approx(0.45, rel=1e-15)
    assert rise[250] == pytest.approx(0.9 * (1 - 0.48), rel=1e-15)  # t/250 in Dozat's paper
    assert rise[-1] == pytest.approx(0.9, rel=1e-6)


def test_the_steps_of_adadelta_do_not_depend_on_the_unit_of_the_gradient():
    small, large = (steps(AdaDelta(eps=1e-20), [g] * 50, start=0.0)[0] for g in (1e-3, 1.0))
    np.testing.assert_allclose(small, large, rtol=1e-9)
    assert small[0] == pytest.approx(-((1e-20 / 0.05) ** 0.5), rel=1e-9)


def valley(x, y):
    """The gradient of x²/20 + y², of which Saitoh 2016, 6.1.2, descends from (-7, 2)."""
    return x / 10, 2 * y


def rosenbrock(x, y):
    """The gradient of (1 - x)² + 100 (y - x²)², a bent valley of curvatures 0.4 and 1002."""
    return 2 * (x - 1) - 400 * x * (y - x * x), 200 * (y - x * x)


PROBLEMS = {valley: ([-7.0, 2.0], [0.0, 0.0]), rosenbrock: ([-1.2, 1.0], [1.0, 1.0])}

# Steps of a size that does not shrink with the gradient end in hovering, but for a schedule.
SOLVED = [
    (valley, SGD(0.9), Constant(), 150),
    (valley, Momentum(0.1), Constant(), 250),
    (valley, Nesterov(0.1), Constant(), 250),
    (valley, AdaGrad(1.5), Constant(), 150),
    (valley, RMSProp(0.1), Cosine(), 1000),
    (valley, AdaDelta(), Constant(), 2500),
    (valley, Adam(0.3), Constant(), 250),
    (valley, AdamW(0.3), Constant(), 250),
    (valley, NAdam(0.3), Constant(), 250),
    (valley, Lion(0.05), Cosine(), 1000),
    (rosenbrock, SGD(0.0019), Constant(), 12_000),
    (rosenbrock, Momentum(0.001), Constant(), 2500),
    (rosenbrock, Nesterov(0.0005), Constant(), 4500),
    (rosenbrock, AdaGrad(0.5), Constant(), 20_000),
    (rosenbrock, RMSProp(0.001), Cosine(), 20_000),
    (rosenbrock, AdaDelta(), Cosine(), 20_000),
    (rosenbrock, Adam(0.02), Constant(), 4000),
    (rosenbrock, AdamW(0.02, weight_decay=1e-6), Constant(), 4000),
    (rosenbrock, NAdam(0.02), Cosine(), 10_000),
    (rosenbrock, Lion(0.005), Cosine(), 10_000),
]


def distance(gradient, optimizer, schedule, steps):
    """How far from the minimum the descent ends."""
    start, minimum = PROBLEMS[gradient]
    w, g = np.array(start), np.empty(2)
    optimizer.start(w)
    for step in range(steps):
        g[...] = gradient(*w.tolist())
        optimizer.update(w, g, optimizer.lr * schedule.factor(step, steps))
    return np.abs(w - minimum).max()


@pytest.mark.parametrize(
    ("gradient", "optimizer", "schedule", "steps"),
    SOLVED,
    ids=[f"{problem.__name__}-{type(optimizer).__name__}" for problem, optimizer, _, _ in SOLVED],
)
def test_the_minimum_is_found(gradient, optimizer, schedule, steps):
    assert distance(gradient, optimizer, schedule, steps) < 1e-3


def test_every_optimizer_has_every_problem_to_solve():
    solved = {(problem, type(optimizer)) for problem, optimizer, _, _ in SOLVED}
    assert solved == {(problem, cls) for problem in PROBLEMS for cls in CLASSES}


@pytest.mark.parametrize(
    ("gradient", "optimizer"), [(valley, RMSProp(0.1)), (rosenbrock, Lion(0.005))]
)
def test_steps_of_constant_size_hover_unless_a_schedule_shrinks_them(gradient, optimizer):
    assert distance(gradient, optimizer, Constant(), 5000) > optimizer.lr / 3
    assert distance(gradient, optimizer, Cosine(), 5000) < optimizer.lr / 3


@EVERY
def test_the_rate_is_that_of_the_call_and_not_of_the_field(cls):
    w, g = np.ones(2), np.array([0.5, -3.0])
    high, low = cls(lr=0.5), cls(lr=0.01)
    scheduled, plain = w.copy(), w.copy()
    high.start(scheduled)
    low.start(plain)
    for _ in range(3):
        high.update(scheduled, g.copy(), 0.01)
        low.update(plain, g.copy(), 0.01)
    np.testing.assert_array_equal(scheduled, plain)
    assert (plain != w).all()


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_and_state_keep_the_dtype(cls, dtype):
    w = np.ones(5, dtype)
    g = np.linspace(-1, 1, 5).astype(dtype)
    optimizer = undecayed(cls)
    optimizer.start(w)
    for _ in range(3):
        optimizer.update(w, g.copy(), optimizer.lr)
    state = [value for value in vars(optimizer).values() if isinstance(value, np.ndarray)]
    assert {array.dtype for array in [w, *state]} == {np.dtype(dtype)}
    assert (np.sign(1 - w) == np.sign(g)).all(), "it goes against the gradient, or stays"


@EVERY
def test_an_update_allocates_no_vector(cls):
    w, g = np.ones(100_000, np.float32), np.full(100_000, 0.5, np.float32)
    optimizer = cls()
    optimizer.start(w)
    optimizer.update(w, g, optimizer.lr)
    state = {name: id(value) for name, value in vars(optimizer).items() if np.ndim(value)}
    tracemalloc.start()
    try:
        optimizer.update(w, g, optimizer.lr)
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
@pytest.mark.parametrize(("cls", "name"), FIELDS)
def test_bad_hyper_parameters_are_refused_by_name(cls, name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .*; got {value}$"):
        cls(**{name: value})


# The ends of the ranges: what would stop or break an optimiser, and what only makes it plainer.
REFUSED = {"lr": 0.0, "eps": 0.0, "momentum": 1.0, "rho": 1.0, "beta1": 1.0, "beta2": 1.0}
ACCEPTED = dict.fromkeys(
    ["momentum", "rho", "beta1", "beta2", "weight_decay", "momentum_decay"], 0.0
)


@pytest.mark.parametrize(("cls", "name"), [pair for pair in FIELDS if pair[1] in REFUSED])
def test_the_ends_that_would_stop_or_break_an_optimizer_are_refused(cls, name):
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        cls(**{name: REFUSED[name]})


@pytest.mark.parametrize(("cls", "name"), [pair for pair in FIELDS if pair[1] in ACCEPTED])
def test_the_ends_that_make_an_optimizer_plainer_are_accepted(cls, name):
    seen, _ = steps(cls(**{name: ACCEPTED[name]}), [0.5, 0.5])
    assert 1 > seen[0] > seen[1]


def test_the_range_of_every_hyper_parameter_is_tested():
    assert {name for _, name in FIELDS} == {*REFUSED, *ACCEPTED}


def test_every_optimizer_can_be_chosen():
    def below(cls):
        return {cls}.union(*(below(child) for child in cls.__subclasses__()))

    assert set(CLASSES) == below(Optimizer) - {Optimizer}


@pytest.mark.parametrize("option", options("optimizer"))
def test_an_option_has_the_defaults_of_its_class(option):
    settings = OmegaConf.load(PROJECT / "conf" / "optimizer" / f"{option}.yaml")
    cls = SCHEMAS["optimizer"][settings.pop("defaults")[0]["/schema/optimizer@_here_"]]
    assert cls.__name__.lower() == option
    assert settings == {field.name: field.default for field in fields(cls)}
