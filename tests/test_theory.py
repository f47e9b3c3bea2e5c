import math

import numpy as np
import pytest

from initlab.config import load_option, options
from initlab.nn import theory
from initlab.nn.activations import (
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

EVERY = pytest.mark.parametrize(
    "activation",
    [*(load_option("activation", name) for name in options("activation")), Softplus(100.0)],
    ids=repr,
)
VARIANCES = [1e-4, 0.1, 1.0, 30.0, 1e4]
CORRELATIONS = [-1.0, -0.9, -0.3, 0.0, 0.4, 0.9, 0.999, 1 - 1e-7, 1.0]


class Erf:
    """φ(z) = erf z, whose expectations have closed forms (Williams 1997)."""

    kinks = ()
    bend = 1.0

    def value(self, z, out):
        from scipy.special import erf

        return erf(z, out=out)

    def derivative(self, z, y, out):
        out[...] = 2 / math.sqrt(math.pi) * np.exp(-(z**2))
        return out


# Independent quadrature


@EVERY
@pytest.mark.parametrize("q", [0.01, 1.0, 50.0])
def test_expectations_are_those_of_adaptive_quadrature(activation, q):
    from scipy.integrate import quad

    def mean(f):
        def density(x):
            return f(np.array([x]))[0] * math.exp(-(x**2) / (2 * q)) / math.sqrt(2 * math.pi * q)

        reach = 10 * math.sqrt(q)
        points = [p for p in (-1.0, -0.01, 0.0, 0.01, 1.0) if abs(p) < reach]
        return quad(density, -reach, reach, points=points, epsabs=1e-14, epsrel=1e-12, limit=500)[0]

    value, slope = theory.value_of(activation), theory.slope_of(activation)
    assert theory.mean_square(activation, q) == pytest.approx(mean(lambda x: value(x) ** 2), 1e-10)
    assert theory.moments(activation, q).mean == pytest.approx(mean(value), rel=1e-10, abs=1e-12)
    assert theory.mean_square_slope(activation, q) == pytest.approx(
        mean(lambda x: slope(x) ** 2), 1e-10
    )


@EVERY
@pytest.mark.parametrize("c", [-0.5, 0.0, 0.7, 0.99])
def test_products_are_those_of_drawn_pairs(activation, c):
    q, n = 1.3, 1_000_000
    first, second = np.random.default_rng(0).standard_normal((2, n))
    u = math.sqrt(q) * first
    v = math.sqrt(q) * (c * first + math.sqrt(1 - c**2) * second)
    for f, expected in [
        (theory.value_of(activation), theory.mean_product(activation, q, c)),
        (theory.slope_of(activation), theory.mean_product_slope(activation, q, c)),
    ]:
        products = f(u) * f(v)
        assert abs(products.mean() - expected) < 5 * products.std() / math.sqrt(n) + 1e-12


# Closed forms


@pytest.mark.parametrize("q", VARIANCES)
@pytest.mark.parametrize("c", CORRELATIONS)
def test_relu_is_that_of_cho_and_saul(q, c):
    angle = math.acos(c)
    product = q * (math.sin(angle) + (math.pi - angle) * c) / (2 * math.pi)
    assert theory.mean_product(Relu(), q, c) == pytest.approx(product, rel=1e-9, abs=1e-9 * q)
    assert theory.mean_product_slope(Relu(), q, c) == pytest.approx(
        (math.pi - angle) / (2 * math.pi), abs=1e-9
    )
    assert theory.mean_square(Relu(), q) == pytest.approx(q / 2, rel=1e-12)
    assert theory.moments(Relu(), q).mean == pytest.approx(math.sqrt(q / (2 * math.pi)), rel=1e-12)


@pytest.mark.parametrize("q", VARIANCES)
@pytest.mark.parametrize("c", CORRELATIONS)
def test_erf_is_that_of_williams(q, c):
    product = 2 / math.pi * math.asin(2 * q * c / (1 + 2 * q))
    slopes = 4 / math.pi / math.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2)
    assert theory.mean_product(Erf(), q, c) == pytest.approx(product, abs=1e-9)
    assert theory.mean_product_slope(Erf(), q, c) == pytest.approx(slopes, rel=1e-9)


@pytest.mark.parametrize("q", VARIANCES)
def test_hard_tanh_and_leaky_relu_have_closed_forms(q):
    inside = math.erf(1 / math.sqrt(2 * q))
    density = math.sqrt(2 * q / math.pi) * math.exp(-1 / (2 * q))
    assert theory.mean_square(HardTanh(), q) == pytest.approx(
        q * inside - density + 1 - inside, rel=1e-9
    )
    assert theory.mean_square_slope(HardTanh(), q) == pytest.approx(inside, rel=1e-9)
    assert theory.mean_square(LeakyRelu(0.2), q) == pytest.approx(0.52 * q, rel=1e-12)


@EVERY
@pytest.mark.parametrize("q", [0.05, 1.0, 9.0])
def test_derivatives_are_those_of_finite_differences(activation, q):
    h = 1e-4
    squares = theory.mean_square(activation, [q * (1 - h), q * (1 + h)])
    power = math.log(squares[1] / squares[0]) / math.log((1 + h) / (1 - h))
    assert theory.moments(activation, q).square_power == pytest.approx(power, rel=1e-6)
    products = [theory.mean_product(activation, q, 0.5 + d) for d in (-h, h)]
    assert q * theory.mean_product_slope(activation, q, 0.5) == pytest.approx(
        (products[1] - products[0]) / (2 * h), rel=1e-6
    )


# Gains and the edge of chaos


@pytest.mark.parametrize(
    ("activation", "gain", "slope_gain"),
    [
        (Tanh(), 1.5925, 1.4674),
        (Erf(), 1.4672, 1.3252),
        (Sigmoid(), 1.8462, 4.7226),
        (Softsign(), 2.3375, 2.0958),
        (Relu(), math.sqrt(2), math.sqrt(2)),
        (LeakyRelu(0.2), 1.3868, 1.3868),
        (Elu(), 1.2452, 1.2234),
        (Selu(), 1.0, 0.9660),
        (Gelu(), 1.5335, 1.4811),
        (Silu(), 1.6765, 1.6233),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_gains_at_variance_one_are_those_of_the_literature(activation, gain, slope_gain):
    assert theory.gain(activation) == pytest.approx(gain, abs=0.51e-4)
    assert theory.mean_square_slope(activation, 1.0) ** -0.5 == pytest.approx(
        slope_gain, abs=0.51e-4
    )


@pytest.mark.parametrize(
    ("activation", "weight_variance"),
    [(Tanh(), 1.7610), (Softsign(), 3.141), (Elu(), 1.534), (HardTanh(), 1.165)],
    ids=repr,
)
def test_the_edge_of_chaos_is_where_gradients_and_signal_keep(activation, weight_variance):
    edge = theory.edge_of_chaos(activation, 0.05)
    assert edge.weight_variance == pytest.approx(weight_variance, abs=1e-3)
    assert edge.stable
    found = theory.limit(activation, edge.weight_variance, 0.05)
    assert found.q_star == pytest.approx(edge.q, rel=1e-4)
    assert found.chi1 == pytest.approx(1, abs=1e-5)
    assert found.phase == "critical"
    assert theory.critical_bias_variance(activation, edge.weight_variance) == pytest.approx(
        0.05, abs=1e-9
    )


@pytest.mark.parametrize(
    ("activation", "weight_variance"),
    [(Identity(), 1.0), (Tanh(), 1.0), (Relu(), 2.0), (LeakyRelu(0.5), 1.6), (Sigmoid(), 103.0)],
    ids=repr,
)
def test_without_biases_too_most_activations_have_an_edge(activation, weight_variance):
    edge = theory.edge_of_chaos(activation)
    assert edge.stable
    assert edge.weight_variance == pytest.approx(weight_variance, rel=1e-3)


@pytest.mark.parametrize("activation", [Gelu(), Silu()], ids=repr)
def test_gelu_and_silu_are_critical_at_unstable_points_only(activation):
    assert not theory.edge_of_chaos(activation).stable
    assert not theory.edge_of_chaos(activation, 0.05).stable


def test_where_no_weights_are_critical_there_is_no_edge():
    assert theory.edge_of_chaos(Softplus()) is None
    assert theory.edge_of_chaos(Relu(), 0.1) is None
    assert theory.critical_bias_variance(Tanh(), 0.5) is None


# Fixed points


@EVERY
@pytest.mark.parametrize("weight_variance", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("bias_variance", [0.0, 0.3])
def test_the_maps_iterate_to_their_fixed_points(activation, weight_variance, bias_variance):
    found = theory.limit(activation, weight_variance, bias_variance, 0.7)
    q = 0.7
    for _ in range(400):
        q = float(theory.variance_map(activation, q, weight_variance, bias_variance))
    if not 0 < found.q_star < math.inf:
        assert q > 1e3 if found.q_star else q < 0.02
        return
    assert q == pytest.approx(found.q_star, rel=0.01)
    if found.depth_scale_c > 20:
        return
    c = 0.3
    for _ in range(200):
        c = theory.correlation_map(activation, found.q_star, c, weight_variance, bias_variance)
    assert c == pytest.approx(found.c_star, abs=1e-3)


def test_ordered_critical_and_chaotic():
    ordered = theory.limit(Tanh(), 1.2, 0.05)
    chaotic = theory.limit(Tanh(), 3.0, 0.05)
    assert (ordered.phase, chaotic.phase) == ("ordered", "chaotic")
    assert ordered.c_star == 1
    assert ordered.depth_scale_c == pytest.approx(-1 / math.log(ordered.chi1))
    assert 0 < chaotic.c_star < 1
    assert chaotic.depth_scale_c > 0


def test_relu_keeps_any_variance_with_the_weights_of_he():
    found = theory.limit(Relu(), 2.0, 0.0, 0.3)
    assert found.q_star == 0.3
    assert found.chi1 == pytest.approx(1, abs=1e-12)
    assert found.depth_scale_q == found.depth_scale_c == math.inf
    assert theory.limit(Relu(), 1.0).q_star == 0
    assert theory.limit(Relu(), 3.0).q_star == math.inf
    assert theory.limit(Relu(), 3.0).chi1 == pytest.approx(1.5)


def test_the_distance_to_a_fixed_point_shrinks_by_its_depth_scale():
    found = theory.limit(Tanh(), 1.5, 0.1)
    near = found.q_star * 1.001
    after = float(theory.variance_map(Tanh(), near, 1.5, 0.1))
    shrunk = (after - found.q_star) / (near - found.q_star)
    assert shrunk == pytest.approx(math.exp(-1 / found.depth_scale_q), rel=1e-3)
    c = 1 - 1e-4
    after = theory.correlation_map(Tanh(), found.q_star, c, 1.5, 0.1)
    assert (1 - after) / 1e-4 == pytest.approx(math.exp(-1 / found.depth_scale_c), rel=1e-3)


def test_dropout_makes_even_equal_inputs_unlike():
    dropped = theory.Dropped(square=1 / 0.9, product=1.0)
    found = theory.limit(Tanh(), 1.7610, 0.05, dropped=dropped)
    assert 0 < found.c_star < 0.99
    c = theory.correlation_map(Tanh(), found.q_star, found.c_star, 1.7610, 0.05, dropped)
    assert c == pytest.approx(found.c_star, abs=1e-9)
