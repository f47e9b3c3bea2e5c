import numpy as np
import pytest

from initlab.nn.network import Parameters
from initlab.nn.optimizers import SGD, AdaGrad, Adam, Momentum
from initlab.nn.quadratic import Quadratic, descend, gradient, value
from initlab.nn.schedules import Constant


def path(optimizer, steps=30, start=(-7.0, 2.0), dtype="float64"):
    parameters = Quadratic(list(start)).parameters(dtype)
    return [*descend(parameters, optimizer, Constant(), steps)], parameters


@pytest.mark.parametrize(("x", "y", "f"), [(-7, 2, 6.45), (0, 0, 0), (10, 0, 5), (0, -3, 9)])
def test_the_valley_is_a_twentieth_of_x_squared_plus_y_squared(x, y, f):
    assert value(float(x), float(y)) == pytest.approx(f, rel=1e-15)


def test_the_gradient_is_the_limit_of_differences():
    w, h = np.array([-7.0, 2.0]), 1e-5
    differences = [(value(*(w + h * e)) - value(*(w - h * e))) / (2 * h) for e in np.eye(2)]
    found = np.empty(2)
    gradient(w, found)
    np.testing.assert_allclose(found, differences, rtol=1e-9)


def test_gradient_descent_shrinks_x_and_y_each_by_its_own_factor():
    steps, parameters = path(SGD(0.95))
    for step in steps:
        x, y = -7 * (1 - 0.95 / 10) ** step.number, 2 * (1 - 0.95 * 2) ** step.number
        assert step.point == pytest.approx((x, y), rel=1e-12)
        assert step.loss == pytest.approx(x * x / 20 + y * y, rel=1e-12)
    np.testing.assert_array_equal(parameters.vector, steps[-1].point)


@pytest.mark.parametrize("optimizer", [SGD(0.95), Momentum(0.1), AdaGrad(1.5), Adam(0.3)])
def test_step_k_is_the_point_after_k_updates_and_the_last_has_a_value_too(optimizer):
    steps, _ = path(optimizer)
    assert [step.number for step in steps] == [*range(31)]
    assert steps[0].point == (-7, 2)
    assert all(step.loss == value(*step.point) for step in steps)
    assert steps[-1].loss < steps[0].loss / 10


def test_the_rate_is_told_at_the_first_step():
    assert [step.lr for step in path(SGD(0.5), steps=2)[0]] == [0.5, None, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_descent_that_leaves_all_numbers_ends_there(dtype):
    steps, _ = path(SGD(30.0), steps=10_000, dtype=dtype)
    assert steps[-1].diverged
    assert not any(step.diverged for step in steps[:-1])
    assert len(steps) < 1000


def test_parameters_have_the_dtype_asked_for():
    parameters = Quadratic([1.0, 2.0]).parameters("float32")
    assert isinstance(parameters, Parameters)
    assert parameters.vector.dtype == np.float32
    np.testing.assert_array_equal(parameters.vector, [1, 2])


@pytest.mark.parametrize("start", [[], [1.0], [1.0, 2.0, 3.0]])
def test_a_start_of_other_than_two_numbers_is_refused(start):
    with pytest.raises(ValueError, match=r"^start must be a list of x and y; got \["):
        Quadratic(start)


@pytest.mark.parametrize("value", [1.1e6, -1e39, float("inf"), float("nan")])
def test_a_start_too_far_for_float32_is_refused(value):
    with pytest.raises(
        ValueError, match=r"^start must be at least -1000000.0 and at most 1000000.0; got "
    ) as caught:
        Quadratic([1.0, value])
    assert str(caught.value).endswith(f"got {value}")


def test_the_farthest_start_has_a_finite_value_in_float32():
    assert np.isfinite(value(*Quadratic([-1e6, 1e6]).parameters("float32").vector))
