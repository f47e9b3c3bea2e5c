import math

import numpy as np
import pytest

from initlab.nn.losses import SoftmaxCrossEntropy

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def loss_of(logits, labels):
    return SoftmaxCrossEntropy(len(logits), logits.shape[-1], logits.dtype).forward(logits, labels)


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes():
    assert loss_of(np.full((4, 10), 3.0), np.arange(4)) == pytest.approx(math.log(10), rel=1e-15)


def test_loss_is_the_mean_of_minus_the_log_of_the_softmax(rng):
    logits, labels = rng.normal(0, 3, (7, 5)), rng.integers(5, size=7)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    direct = -np.mean([math.log(softmax[row, label]) for row, label in enumerate(labels)])
    assert loss_of(logits, labels) == pytest.approx(direct, rel=1e-13)


def test_backward_is_the_limit_of_differences(rng):
    logits, labels = rng.normal(0, 2, (7, 5)), rng.integers(5, size=7)
    loss = SoftmaxCrossEntropy(7, 5, np.float64)
    loss.forward(logits, labels)
    gradient = loss.backward().copy()
    differences, h = np.empty_like(logits), 1e-5
    for place in np.ndindex(*logits.shape):
        up, down = logits.copy(), logits.copy()
        up[place] += h
        down[place] -= h
        differences[place] = (loss.forward(up, labels) - loss.forward(down, labels)) / (2 * h)
    # Rounding 1e-16 / h leaves 1e-11, the largest entries are of size 0.1.
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-10)


def test_the_gradient_of_every_row_sums_to_nothing(rng):
    loss = SoftmaxCrossEntropy(6, 4, np.float64)
    loss.forward(rng.normal(size=(6, 4)), rng.integers(4, size=6))
    np.testing.assert_allclose(loss.backward().sum(axis=1), 0, atol=1e-16)


def test_a_batch_smaller_than_the_buffers_is_a_mean_over_its_own_size(rng):
    logits, labels = rng.normal(size=(3, 4)), rng.integers(4, size=3)
    large, exact = SoftmaxCrossEntropy(10, 4, np.float64), SoftmaxCrossEntropy(3, 4, np.float64)
    large.forward(rng.normal(size=(10, 4)), rng.integers(4, size=10))
    assert large.forward(logits, labels) == exact.forward(logits, labels)
    np.testing.assert_array_equal(large.backward(), exact.backward())


@DTYPES
@pytest.mark.parametrize("size", [1e4, 1.5e38])
def test_extreme_logits_give_a_finite_loss_and_gradient_without_a_warning(dtype, size):
    logits = np.array([[size, -size, 0.0], [-size, 0.0, size], [size, size, size]], dtype)
    labels = np.array([1, 0, 2])  # the classes thought impossible, and one of three alike
    loss = SoftmaxCrossEntropy(3, 3, dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value = loss.forward(logits, labels)
        gradient = loss.backward()
    assert value == pytest.approx((4 * size + math.log(3)) / 3, rel=1e-6)
    third = 1 / 3
    expected = np.array([[1, -1, 0], [-1, 0, 1], [third, third, third - 1]]) / 3
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


@DTYPES
def test_a_logit_difference_of_ten_thousand_costs_ten_thousand_or_nothing(dtype):
    logits = np.array([[1e4, 0.0]], dtype)
    assert loss_of(logits, np.array([1])) == 1e4
    assert loss_of(logits, np.array([0])) == 0


def test_float32_stays_float32_and_the_logits_are_kept(rng):
    logits = rng.normal(size=(5, 3)).astype(np.float32)
    before = logits.copy()
    loss = SoftmaxCrossEntropy(5, 3, np.float32)
    loss.forward(logits, np.array([0, 1, 2, 0, 1]))
    assert loss.backward().dtype == np.float32
    np.testing.assert_array_equal(logits, before)
