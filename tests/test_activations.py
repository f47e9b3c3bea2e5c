import math

import numpy as np
import pytest
from scipy.integrate import quad

from initlab.config import SCHEMAS
from initlab.nn import theory
from initlab.nn.activations import (
    Activation,
    Elu,
    Gelu,
    HardTanh,
    Identity,
    LeakyRelu,
    Relu,
    Selu,
    Sigmoid,
    Silu,
    Softplus,
    Softsign,
    Tanh,
)

DEFAULTS = [cls() for cls in Activation.__subclasses__()]
VARIANTS = [LeakyRelu(0.2), Elu(0.5), Elu(2.0), Gelu("tanh"), Softplus(3.0)]
EVERY = pytest.mark.parametrize("activation", [*DEFAULTS, *VARIANTS], ids=repr)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])

LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772


def cdf(z):
    """The distribution function of N(0, 1), exact in its lower tail."""
    return math.erfc(-z / math.sqrt(2)) / 2


def pdf(z):
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def u(z):
    return math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def gelu_by_tanh(z):
    return z * (1 + math.tanh(u(z))) / 2


FORMULAS = [
    (Identity(), lambda z: z),
    (Sigmoid(), lambda z: 1 / (1 + math.exp(-z))),
    (Tanh(), lambda z: (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z))),
    (Relu(), lambda z: z if z > 0 else 0.0),
    (LeakyRelu(), lambda z: z if z > 0 else 0.01 * z),
    (LeakyRelu(slope=0.2), lambda z: z if z > 0 else 0.2 * z),
    (Elu(), lambda z: z if z > 0 else math.exp(z) - 1),
    (Elu(alpha=0.5), lambda z: z if z > 0 else 0.5 * (math.exp(z) - 1)),
    (Elu(alpha=2.0), lambda z: z if z > 0 else 2 * (math.exp(z) - 1)),
    (Selu(), lambda z: LAMBDA * (z if z > 0 else ALPHA * (math.exp(z) - 1))),
    (Gelu(), lambda z: z * cdf(z)),
    (Gelu(approximate="tanh"), gelu_by_tanh),
    (Silu(), lambda z: z * sigmoid(z)),
    (Softplus(), lambda z: math.log(1 + math.exp(z))),
    (Softplus(beta=3.0), lambda z: math.log(1 + math.exp(3 * z)) / 3),
    (Softsign(), lambda z: z / (1 + abs(z))),
    (HardTanh(), lambda z: min(max(z, -1.0), 1.0)),
]


def value(activation, z):
    return activation.value(z, np.empty_like(z))


def derivative(activation, z):
    return activation.derivative(z, value(activation, z), np.empty_like(z))


def test_every_activation_can_be_chosen():
    assert set(SCHEMAS["activation"].values()) == set(Activation.__subclasses__())


def test_every_activation_has_a_formula_to_be_compared_with():
    assert {type(activation) for activation, _ in FORMULAS} == set(Activation.__subclasses__())


@pytest.mark.parametrize(("activation", "formula"), FORMULAS, ids=[repr(a) for a, _ in FORMULAS])
def test_value_is_that_of_the_formula(activation, formula):
    z = np.linspace(-6, 6, 97)
    # Both sides round a handful of operations on numbers of size 1 to 6.
    # 1 + tanh and log(1 + ...) of the formulas lose the digits below 1e-16 to the 1.
    np.testing.assert_allclose(value(activation, z), [*map(formula, z)], rtol=1e-13, atol=1e-15)


@EVERY
def test_derivative_is_the_limit_of_differences(activation):
    z = np.random.default_rng(0).uniform(-5, 5, 2000)
    z = z[np.abs(z * 2 - np.round(z * 2)) > 1e-3]  # kinks lie at whole and half numbers
    h = 1e-5
    differences = (value(activation, z + h) - value(activation, z - h)) / (2 * h)
    # Truncation h² and rounding 1e-16 / h both leave 1e-10; silu's and gelu's slopes pass zero.
    np.testing.assert_allclose(derivative(activation, z), differences, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("activation", [a for a in DEFAULTS if a.bounded], ids=repr)
def test_steepest_is_the_largest_slope_of_a_bounded_activation(activation):
    slopes = derivative(activation, np.linspace(-8, 8, 160_001))
    assert np.abs(slopes).max() == pytest.approx(activation.max_slope, rel=1e-6)


@EVERY
def test_bounded_activations_are_flat_at_both_ends_and_no_others(activation):
    ends = derivative(activation, np.array([-40.0, 40.0]))
    assert activation.bounded == bool((np.abs(ends) < 0.01 * activation.max_slope).all())


@pytest.mark.parametrize("activation", DEFAULTS, ids=repr)
def test_the_range_of_histograms_holds_what_moderate_inputs_give(activation):
    low, high = activation.range
    y = value(activation, np.linspace(-1, 4, 501))
    assert low <= y.min()
    assert y.max() <= high


@EVERY
@DTYPES
def test_extreme_inputs_give_finite_numbers_without_a_warning(activation, dtype):
    # 1.05 times the largest number, as selu has it, is infinite.
    largest = float(np.finfo(dtype).max) / (1.1 if isinstance(activation, Selu) else 1)
    far = [1e4, 100.0, 88.8, 700.0, largest, float(np.finfo(dtype).tiny)]
    z = np.array([0.0, *far, *(-x for x in far)], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, slope = value(activation, z), derivative(activation, z)
    assert np.isfinite(y).all()
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("activation", "lowest", "steepness"),
    [
        (Elu(), -1.0, 1.0),
        (Elu(2.0), -2.0, 1.0),
        (Selu(), -LAMBDA * ALPHA, LAMBDA),
        (Gelu(), 0.0, 1.0),
        (Gelu("tanh"), 0.0, 1.0),
        (Silu(), 0.0, 1.0),
        (Softplus(), 0.0, 1.0),
        (Softplus(3.0), 0.0, 1.0),
    ],
    ids=repr,
)
@DTYPES
def test_relus_smooth_relatives_are_level_far_below_zero_and_straight_above(
    activation, lowest, steepness, dtype
):
    far = np.array([1e4, np.finfo(dtype).max / 1.1], dtype)
    np.testing.assert_allclose(value(activation, -far), lowest, rtol=1e-6, atol=1e-35)
    np.testing.assert_array_equal(derivative(activation, -far), 0.0)
    np.testing.assert_allclose(value(activation, far), np.float64(far) * steepness, rtol=1e-6)
    np.testing.assert_array_equal(derivative(activation, far), dtype(steepness))


@pytest.mark.parametrize("activation", [Softsign(), HardTanh()])
@DTYPES
def test_bounded_activations_reach_one_far_from_zero(activation, dtype):
    far = float(np.finfo(dtype).max)
    z = np.array([-far, far], dtype)
    np.testing.assert_array_equal(value(activation, z), [-1.0, 1.0])
    np.testing.assert_array_equal(derivative(activation, z), 0.0)


@DTYPES
def test_selu_of_the_largest_number_is_infinite_without_a_warning(dtype):
    assert value(Selu(), np.array([np.finfo(dtype).max])) == np.inf


def slope_of_gelu_by_tanh(z):
    slope_of_u = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)
    return sigmoid(2 * u(z)) * (1 + z * sigmoid(-2 * u(z)) * 2 * slope_of_u)


TAILS = [
    # activation, z, φ(z), φ'(z)
    (Elu(2.0), -1e-6, 2 * math.expm1(-1e-6), 2 * math.exp(-1e-6)),
    (Elu(2.0), -30.0, 2 * math.expm1(-30), 2 * math.exp(-30)),
    (Selu(), -30.0, LAMBDA * ALPHA * math.expm1(-30), LAMBDA * ALPHA * math.exp(-30)),
    (Gelu(), -5.0, -5 * cdf(-5), cdf(-5) - 5 * pdf(-5)),
    (Gelu(), -12.0, -12 * cdf(-12), cdf(-12) - 12 * pdf(-12)),
    (Gelu(), 4.0, 4 * cdf(4), cdf(4) + 4 * pdf(4)),
    (Gelu(), 1e-12, 1e-12 * cdf(1e-12), 0.5 + 1e-12 * 2 * pdf(0)),
    (Gelu("tanh"), -5.0, -5 * sigmoid(2 * u(-5)), slope_of_gelu_by_tanh(-5)),
    (Gelu("tanh"), 3.0, 3 * sigmoid(2 * u(3)), slope_of_gelu_by_tanh(3)),
    (Silu(), -20.0, -20 * sigmoid(-20), sigmoid(-20) * (1 - 20 * sigmoid(20))),
    (Silu(), -80.0, -80 * sigmoid(-80), sigmoid(-80) * (1 - 80 * sigmoid(80))),
    (Silu(), 1e-12, 1e-12 * sigmoid(1e-12), 0.5 + 0.5e-12),
    (Silu(), 6.0, 6 * sigmoid(6), sigmoid(6) * (1 + 6 * sigmoid(-6))),
    (Softplus(), -30.0, math.log1p(math.exp(-30)), sigmoid(-30)),
    (Softplus(3.0), -20.0, math.log1p(math.exp(-60)) / 3, sigmoid(-60)),
    (Softplus(3.0), 20.0, 20.0, 1.0),
    (Softsign(), -1e4, -1e4 / 10_001, 1 / 10_001**2),
]


@pytest.mark.parametrize(
    ("activation", "z", "y", "slope"), TAILS, ids=[f"{row[0]}-{row[1]}" for row in TAILS]
)
@DTYPES
def test_tails_keep_their_digits(activation, z, y, slope, dtype):
    z = np.array([z], dtype)
    # A power of e has a relative error of as many roundings as its exponent: z² = 144 for gelu.
    rtol = 150 * np.finfo(dtype).eps
    np.testing.assert_allclose(value(activation, z), y, rtol=rtol)
    np.testing.assert_allclose(derivative(activation, z), slope, rtol=rtol)


@EVERY
@DTYPES
def test_results_are_written_to_out_in_its_dtype_and_the_input_is_kept(activation, dtype):
    z = np.random.default_rng(0).standard_normal((30, 40)).astype(dtype)
    before, y, slope = z.copy(), np.full_like(z, np.nan), np.full_like(z, np.nan)
    assert activation.value(z, y) is y
    y_before = y.copy()
    assert activation.derivative(z, y, slope) is slope
    assert y.dtype == slope.dtype == dtype
    np.testing.assert_array_equal(z, before)
    np.testing.assert_array_equal(y, y_before)
    # Agrees with float64 to some roundings of float32, 6e-8 each. Slopes are often sums in which
    # digits cancel: 1 - y² of tanh, and silu's and gelu's around their lowest point.
    exact = np.float64(z)
    np.testing.assert_allclose(y, value(activation, exact), rtol=1e-6)
    np.testing.assert_allclose(slope, derivative(activation, exact), rtol=1e-6, atol=1e-6)


@EVERY
@DTYPES
def test_nan_stays_nan_so_that_divergence_shows(activation, dtype):
    assert np.isnan(value(activation, np.array([np.nan], dtype)))


@pytest.mark.parametrize(
    "activation",
    [
        a
        for a in [*DEFAULTS, *VARIANTS]
        if not isinstance(a, Identity | Relu | LeakyRelu | HardTanh)
    ],
    ids=repr,
)
def test_the_slope_at_nan_is_nan_unless_it_can_only_be_one_of_two_numbers(activation):
    assert np.isnan(derivative(activation, np.array([np.nan])))


@pytest.mark.parametrize("activation", [Gelu(), Gelu("tanh"), Silu()], ids=repr)
@DTYPES
def test_gates_are_half_open_at_zero_and_as_near_as_numbers_come(activation, dtype):
    near = [0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).tiny, 1e-25]
    z = np.array([*near, *(-x for x in near)], dtype)
    np.testing.assert_array_equal(derivative(activation, z), 0.5)


def test_sigmoid_reaches_zero_and_one_at_the_ends():
    for dtype in (np.float32, np.float64):
        low, high = value(Sigmoid(), np.array([-1e4, 1e4], dtype))
        assert 0 <= low <= 2 * np.finfo(dtype).tiny
        assert high == 1


def test_kinks_have_the_slope_of_their_lower_side():
    zero = np.zeros(1)
    assert derivative(Relu(), zero) == 0
    assert derivative(LeakyRelu(0.3), zero) == 0.3
    assert derivative(Elu(0.5), zero) == 0.5
    assert derivative(Elu(2.0), zero) == 2.0
    assert derivative(Selu(), zero) == pytest.approx(LAMBDA * ALPHA, rel=1e-15)
    np.testing.assert_array_equal(derivative(HardTanh(), np.array([-1.0, 1.0])), [0.0, 1.0])


def mean(f):
    """E[f(z)] for z ~ N(0, 1), to all digits: -1, 0 and 1 are where activations have kinks."""

    def density(z):
        return f(z) * pdf(z)

    return quad(density, -12, 12, points=[-1, 0, 1], epsabs=1e-13, epsrel=1e-12, limit=200)[0]


@EVERY
def test_gain_makes_up_for_what_the_activation_does_to_the_rms_of_normal_inputs(activation):
    square = mean(lambda z: value(activation, np.array([z]))[0] ** 2)
    assert theory.gain(activation) == pytest.approx(square**-0.5, rel=1e-10)


@pytest.mark.parametrize(
    ("activation", "gain"),
    [
        (Identity(), 1.0),
        (Sigmoid(), 1.8462),
        (Tanh(), 1.5925),
        (Relu(), math.sqrt(2)),
        (LeakyRelu(0.2), 1.3868),
        (Elu(), 1.2452),
        (Selu(), 1.0),
        (Gelu(), 1.5335),
        (Silu(), 1.6765),
        (Softsign(), 2.3375),
    ],
    ids=repr,
)
def test_gain_is_that_of_the_literature(activation, gain):
    assert theory.gain(activation) == pytest.approx(gain, abs=0.5e-4)


def test_selu_keeps_mean_zero_and_variance_one():
    assert mean(lambda z: value(Selu(), np.array([z]))[0]) == pytest.approx(0, abs=1e-12)
    assert theory.gain(Selu()) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("slope", [-0.01, 1.0, math.nan])
def test_leaky_relu_refuses_a_slope_outside_zero_to_one(slope):
    with pytest.raises(ValueError, match=f"^slope must be .*; got {slope}$"):
        LeakyRelu(slope)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.inf, math.nan])
def test_elu_refuses_an_alpha_that_is_not_positive(alpha):
    with pytest.raises(ValueError, match=f"^alpha must be greater than 0; got {alpha}$"):
        Elu(alpha)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_softplus_refuses_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=f"^beta must be greater than 0; got {beta}$"):
        Softplus(beta)


def test_gelu_refuses_a_form_that_it_does_not_know():
    with pytest.raises(ValueError, match=r"^approximate must be one of none, tanh; got 'sigmoid'$"):
        Gelu("sigmoid")
