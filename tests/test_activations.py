import math

import numpy as np
import pytest

from initlab.activations import Activation, Identity, LeakyRelu, Relu, Sigmoid, Tanh
from initlab.config import SCHEMAS

EVERY = pytest.mark.parametrize(
    "activation", [cls() for cls in Activation.__subclasses__()], ids=repr
)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])

FORMULAS = [
    (Identity(), lambda z: z),
    (Sigmoid(), lambda z: 1 / (1 + math.exp(-z))),
    (Tanh(), lambda z: (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z))),
    (Relu(), lambda z: z if z > 0 else 0.0),
    (LeakyRelu(), lambda z: z if z > 0 else 0.01 * z),
    (LeakyRelu(slope=0.2), lambda z: z if z > 0 else 0.2 * z),
]


def value(activation, z):
    return activation.value(z, np.empty_like(z))


def derivative(activation, z):
    return activation.derivative(z, value(activation, z), np.empty_like(z))


def test_every_activation_can_be_chosen():
    assert set(SCHEMAS["activation"].values()) == set(Activation.__subclasses__())


@pytest.mark.parametrize(("activation", "formula"), FORMULAS, ids=[repr(a) for a, _ in FORMULAS])
def test_value_is_that_of_the_formula(activation, formula):
    z = np.linspace(-6, 6, 97)
    # Both sides round a handful of operations on numbers of size 1 to 6.
    np.testing.assert_allclose(value(activation, z), [*map(formula, z)], rtol=1e-13, atol=1e-15)


@EVERY
def test_derivative_is_the_limit_of_differences(activation):
    z = np.random.default_rng(0).uniform(-5, 5, 2000)
    z = z[np.abs(z * 2 - np.round(z * 2)) > 1e-3]  # kinks lie at whole and half numbers
    h = 1e-5
    differences = (value(activation, z + h) - value(activation, z - h)) / (2 * h)
    # Truncation h² and rounding 1e-16 / h both leave 1e-10; the smallest slope is tanh's 2e-4.
    np.testing.assert_allclose(derivative(activation, z), differences, rtol=1e-6, atol=0)


@EVERY
def test_steepest_is_the_largest_slope(activation):
    slopes = derivative(activation, np.linspace(-8, 8, 160_001))
    assert np.abs(slopes).max() == pytest.approx(activation.steepest, rel=1e-6)


@EVERY
def test_bounded_activations_are_flat_at_both_ends_and_no_others(activation):
    ends = derivative(activation, np.array([-40.0, 40.0]))
    assert activation.bounded == bool((np.abs(ends) < 0.01 * activation.steepest).all())


@EVERY
def test_the_range_of_histograms_holds_what_moderate_inputs_give(activation):
    low, high = activation.range
    y = value(activation, np.linspace(-1, 4, 501))
    assert low <= y.min()
    assert y.max() <= high


@EVERY
@DTYPES
def test_extreme_inputs_give_finite_numbers_without_a_warning(activation, dtype):
    far = [1e4, 100.0, 88.8, 700.0, float(np.finfo(dtype).max), float(np.finfo(dtype).tiny)]
    z = np.array([0.0, *far, *(-x for x in far)], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, slope = value(activation, z), derivative(activation, z)
    assert np.isfinite(y).all()
    assert np.isfinite(slope).all()


@EVERY
@DTYPES
def test_results_are_written_to_out_in_its_dtype_and_the_input_is_kept(activation, dtype):
    z = np.random.default_rng(0).standard_normal((3, 4)).astype(dtype)
    before, y, slope = z.copy(), np.full_like(z, np.nan), np.full_like(z, np.nan)
    assert activation.value(z, y) is y
    y_before = y.copy()
    assert activation.derivative(z, y, slope) is slope
    assert y.dtype == slope.dtype == dtype
    np.testing.assert_array_equal(z, before)
    np.testing.assert_array_equal(y, y_before)
    # Agrees with float64 to some roundings of float32.
    exact = np.float64(z)
    np.testing.assert_allclose(y, value(activation, exact), rtol=1e-6)
    np.testing.assert_allclose(slope, derivative(activation, exact), rtol=1e-5)


@EVERY
@DTYPES
def test_nan_stays_nan_so_that_divergence_shows(activation, dtype):
    assert np.isnan(value(activation, np.array([np.nan], dtype)))


def test_sigmoid_reaches_zero_and_one_at_the_ends():
    for dtype in (np.float32, np.float64):
        low, high = value(Sigmoid(), np.array([-1e4, 1e4], dtype))
        assert 0 <= low <= 2 * np.finfo(dtype).tiny
        assert high == 1


def test_kinks_have_the_slope_of_their_lower_side():
    zero = np.zeros(1)
    assert derivative(Relu(), zero) == 0
    assert derivative(LeakyRelu(0.3), zero) == 0.3


@pytest.mark.parametrize("slope", [-0.01, 1.0, math.nan])
def test_leaky_relu_refuses_a_slope_outside_zero_to_one(slope):
    with pytest.raises(ValueError, match=f"^slope must be .*; got {slope}$"):
        LeakyRelu(slope)
