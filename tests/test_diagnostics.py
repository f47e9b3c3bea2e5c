import math

import numpy as np
import pytest

from initlab.data.datasets import Digits
from initlab.nn.activations import Activation, Identity, LeakyRelu, Relu, Sigmoid, Tanh
from initlab.nn.diagnostics import (
    LOG10_GRADIENT_EDGES,
    WEIGHT_EDGES,
    Probe,
    activation_edges,
    asymmetry,
    histogram,
    norm,
    variation,
)
from initlab.nn.initializers import Constant, Normal, VarianceScaling
from initlab.nn.losses import SoftmaxCrossEntropy
from initlab.nn.models import MLP, ResidualMLP

EDGES = np.linspace(-1.0, 1.0, 21)
B, FEATURES, CLASSES = 40, 5, 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def build(activation, hidden=(7, 6), dtype=np.float64, init=None, features=FEATURES, seed=1):
    network = MLP(list(hidden)).build(features, CLASSES, activation, B, dtype)
    network.initialize(init or VarianceScaling(), np.random.default_rng(seed))
    return network


def examples(dtype=np.float64, features=FEATURES):
    rng = np.random.default_rng(2)
    return rng.normal(size=(B, features)).astype(dtype), rng.integers(CLASSES, size=B)


def snapshot(network, features=FEATURES, previous=None):
    x, labels = examples(network.dtype, features)
    return Probe(network, x, labels, CLASSES).snapshot(3, previous)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_histogram_is_that_of_numpy_with_what_lies_beyond(rng, dtype):
    arrays = [rng.normal(0, 0.8, (300, 20)).astype(dtype), rng.uniform(-3, 3, 500).astype(dtype)]
    found = histogram(arrays, EDGES)
    assert found.counts.shape == (2, 22)
    for counts, a in zip(found.counts, arrays, strict=True):
        np.testing.assert_array_equal(counts[1:-1], np.histogram(np.float64(a), EDGES)[0])
        assert counts[0] == np.count_nonzero(a < -1) > 0
        assert counts[-1] == np.count_nonzero(a > 1) > 0


@pytest.mark.parametrize(
    "edges",
    [WEIGHT_EDGES, LOG10_GRADIENT_EDGES, *map(activation_edges, [Relu(), Tanh(), Sigmoid()])],
)
def test_the_edges_in_use_are_even_and_count_as_numpy_does(rng, edges):
    low, high = edges[0], edges[-1]
    np.testing.assert_allclose(np.diff(edges), (high - low) / (len(edges) - 1), rtol=1e-9)
    a = rng.uniform(low, high, 5000)
    counts = histogram([a], edges).counts[0]
    np.testing.assert_array_equal(counts[1:-1], np.histogram(a, edges)[0])


def test_both_ends_of_the_edges_belong_to_the_histogram():
    counts = histogram([np.array([-1.0, 1.0, 1.0])], EDGES).counts[0]
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (0, 1, 2, 0)


def test_histogram_leaves_out_nan_and_counts_infinities_beyond():
    a = np.array([np.nan, np.inf, np.inf, -np.inf, 0.01, 1e300, np.nan])
    counts = histogram([a], EDGES).counts[0]
    assert counts[0] == 1
    assert counts[-1] == 3
    assert counts[1:-1].sum() == counts[11] == 1
    assert counts.dtype == np.int64


def test_histograms_of_a_saturated_tanh_hold_every_activation():
    network = build(Tanh(), init=Normal(100.0), dtype=np.float32)
    counts = snapshot(network).histograms["activations"].counts
    assert (counts[:, [0, -1]] == 0).all()
    assert counts.sum(axis=1).tolist() == [B * 7, B * 6]


def mean_of_cosines(x):
    """Over all pairs of different rows."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(len(x), 1)].mean()


@pytest.mark.parametrize("activation", [cls() for cls in Activation.__subclasses__()], ids=repr)
def test_a_snapshot_equals_plain_numpy_on_the_same_examples(activation):
    network = build(activation)
    network.parameters.vector += 0.1  # biases too
    x, labels = examples()
    found = snapshot(network)

    ys, zs = [x], []
    for layer in network.dense:
        zs.append(ys[-1] @ layer.W + layer.b)
        ys.append(activation.value(zs[-1], np.empty_like(zs[-1])))
    softmax = np.exp(zs[-1]) / np.exp(zs[-1]).sum(axis=1, keepdims=True)
    dz = (softmax - np.eye(CLASSES)[labels]) / B
    dzs, dws = [], []
    for place in (2, 1, 0):
        dws.insert(0, ys[place].T @ dz)
        if place:
            slope = activation.derivative(zs[place - 1], ys[place], np.empty_like(ys[place]))
            dz = dz @ network.dense[place].W.T * slope
            dzs.insert(0, dz)
    units, weights = ys[1:3], [layer.W for layer in network.dense]

    expected = {
        "unit_mean": [y.mean() for y in units],
        "unit_std": [y.std() for y in units],
        "unit_correlation": [mean_of_cosines(z) for z in zs[:2]],
        "unit_gradient_std": [dz.std() for dz in dzs],
        "weight_std": [w.std() for w in weights],
        "weight_gradient_std": [dw.std() for dw in dws],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found.statistics[name], values, rtol=1e-9, err_msg=name)
    assert found.statistics.keys() == expected.keys() | {"unit_saturated", "unit_dead"}
    assert found.step == 3
    signal = [math.sqrt(np.mean(np.var(y, axis=0))) for y in [x, *units]]
    np.testing.assert_allclose(found.signal, signal, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, [np.linalg.norm(dz) for dz in dzs], rtol=1e-9)
    differences = [
        math.sqrt(np.mean((w - w.mean(axis=1, keepdims=True)) ** 2) / np.mean(w**2))
        for w in weights[:2]
    ]
    np.testing.assert_allclose(found.asymmetry, differences, rtol=1e-12)
    drawn = {"activations": units, "weights": weights, "gradients": map(log10_size, dzs)}
    edges = {"activations": activation_edges(activation), "weights": WEIGHT_EDGES}
    for name, arrays in drawn.items():
        counts = np.stack(
            [np.histogram(a, edges.get(name, LOG10_GRADIENT_EDGES))[0] for a in arrays]
        )
        # A value at an edge, such as relu's 0, may round to either side in one of the two.
        np.testing.assert_allclose(found.histograms[name].counts[:, 1:-1], counts, atol=1)


def log10_size(a):
    with np.errstate(divide="ignore"):
        return np.log10(np.abs(a))


def test_gradient_statistics_are_the_limits_of_differences():
    network = build(Tanh())
    x, labels = examples()
    loss = SoftmaxCrossEntropy(B, CLASSES, np.float64)
    found = snapshot(network)
    for number, w in enumerate((network.dense[0].W, network.dense[2].W)):
        slopes = np.empty_like(w)
        for place in np.ndindex(*w.shape):
            kept, values = w[place], []
            for w[place] in (kept + 1e-5, kept - 1e-5):
                values.append(loss.forward(network.forward(x), labels))
            w[place] = kept
            slopes[place] = (values[0] - values[1]) / 2e-5
        told = found.statistics["weight_gradient_std"][2 * number]
        assert told == pytest.approx(slopes.std(), rel=1e-6)  # rounding leaves 1e-10


def test_a_relu_unit_that_is_off_for_every_input_is_dead():
    network = build(Relu(), hidden=(8, 4))
    network.parameters.views["b1"][:2] = -100
    network.parameters.views["b2"][...] = 100
    statistics = snapshot(network).statistics
    assert statistics["unit_dead"] == [2 / 8, 0]
    assert statistics["unit_saturated"] == [0, 0]


def test_a_unit_that_is_on_for_one_input_is_not_dead():
    network = build(Relu(), hidden=(2,), features=1)
    network.parameters.views["W1"][...] = 1.0
    x, labels = examples(features=1)
    largest, second = np.sort(x[:, 0])[[-1, -2]]
    network.parameters.views["b1"][...] = [-(largest + second) / 2, -largest - 1]
    found = Probe(network, x, labels, CLASSES).snapshot(0)
    assert found.statistics["unit_dead"] == [1 / 2]


@pytest.mark.parametrize("activation", [Tanh(), Sigmoid()])
def test_huge_weights_saturate_bounded_activations_and_small_ones_do_not(activation):
    assert min(snapshot(build(activation, init=Normal(1e4))).statistics["unit_saturated"]) > 0.95
    assert snapshot(build(activation, init=Normal(0.01))).statistics["unit_saturated"] == [0, 0]


@pytest.mark.parametrize(("activation", "beyond"), [(Tanh(), 2.178), (Sigmoid(), 4.357)])
def test_a_unit_is_saturated_where_its_slope_is_a_twentieth_of_the_steepest(activation, beyond):
    network = build(activation, hidden=(2,), features=1)
    network.parameters.views["W1"][...] = [[1.0, 1.0]]
    labels = np.zeros(4, int)
    for x, share in [(beyond - 0.002, 0), (beyond + 0.002, 1)]:
        inputs = np.array([[x], [-x], [x], [-x]])
        found = Probe(network, inputs, labels, CLASSES).snapshot(0)
        assert found.statistics["unit_saturated"] == [share]


@pytest.mark.parametrize("activation", [Relu(), LeakyRelu(), Identity()])
def test_unbounded_activations_never_saturate(activation):
    for init in (Normal(1e4), Normal(1e-4)):
        statistics = snapshot(build(activation, init=init)).statistics
        assert statistics["unit_saturated"] == [0, 0]


def test_leaky_relu_and_identity_have_no_dead_units():
    for activation in (LeakyRelu(), Identity()):
        network = build(activation)
        network.parameters.views["b1"][...] = -100
        assert snapshot(network).statistics["unit_dead"] == [0, 0]


def test_units_that_are_no_longer_numbers_do_not_count_as_dead():
    network = build(Relu())
    network.parameters.views["W1"][...] = np.nan
    with np.errstate(invalid="ignore"):
        found = snapshot(network)
    assert found.statistics["unit_dead"] == [0, 0]
    assert np.isnan(found.signal[1:]).all()


def test_update_ratio_is_the_size_of_the_change_over_that_of_the_weights_before(rng):
    network = build(Tanh())
    previous = network.parameters.copy()
    network.parameters.vector += rng.normal(0, 0.01, network.parameters.vector.shape)
    expected = [
        np.linalg.norm(network.parameters.views[name] - previous.views[name])
        / np.linalg.norm(previous.views[name])
        for name in ("W1", "W2", "W3")
    ]
    found = snapshot(network, previous=previous).statistics["update_ratio"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_update_ratio_is_absent_at_the_start_and_nan_for_weights_of_zero():
    network = build(Tanh(), init=Constant(0.0))
    assert "update_ratio" not in snapshot(network).statistics
    previous = network.parameters.copy()
    network.parameters.views["W2"] += 1
    assert np.isnan(snapshot(network, previous=previous).statistics["update_ratio"]).all()


def test_a_probe_follows_the_weights_and_leaves_the_gradients_alone():
    network = build(Tanh())
    x, labels = examples()
    probe = Probe(network, x, labels, CLASSES)
    network.gradients.vector.fill(7.0)
    before = probe.snapshot(0)
    network.parameters.vector *= 2
    after = probe.snapshot(1)
    np.testing.assert_allclose(
        after.statistics["weight_std"][0], 2 * before.statistics["weight_std"][0]
    )
    assert after.statistics["unit_std"] != before.statistics["unit_std"]
    assert (network.gradients.vector == 7).all()


def test_without_labels_there_are_no_gradients():
    x, _ = examples()
    found = Probe(build(Tanh()), x, None, CLASSES).snapshot(0)
    assert found.gradient == []
    assert "gradients" not in found.histograms
    assert not any("gradient" in name for name in found.statistics)


def test_float32_tells_gradients_whose_squares_underflow():
    data = Digits().load(np.random.default_rng(0)).train.first(50)
    gradients = {}
    for dtype in (np.float32, np.float64):
        network = MLP([30] * 8).build(64, 10, Relu(), 50, dtype)
        network.initialize(Normal(1e-4), np.random.default_rng(0))
        x = (data.x / 16).astype(dtype)
        gradients[dtype] = Probe(network, x, data.labels, 10).snapshot(0).gradient
    assert gradients[np.float64][0] < 1e-24  # its square is below the smallest float32, 1e-45
    np.testing.assert_allclose(gradients[np.float32], gradients[np.float64], rtol=1e-4)


def test_norm_and_variation_are_those_of_a_few_numbers():
    assert norm(np.array([[3.0, 4.0], [0.0, 12.0]])) == 13
    assert norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30, rel=1e-6)
    # Two units of std 1 and 7 over the inputs, whatever their means.
    assert variation(np.array([[9.0, 0.0], [11.0, 14.0]])) == 5


def test_asymmetry_is_zero_for_equal_units_and_about_one_for_random_ones(rng):
    assert asymmetry(np.tile(rng.normal(size=(30, 1)), 20)) == pytest.approx(0, abs=1e-15)
    assert asymmetry(np.zeros((30, 20))) == 0
    assert asymmetry(np.full((30, 20), 0.01, np.float32)) < 1e-7
    # √(1 - 1/20) of the size remains when the mean of 20 is taken off.
    assert asymmetry(rng.normal(0, 3, (300, 20))) == pytest.approx(math.sqrt(0.95), rel=0.01)
    # Rows that are all alike do not make the units alike.
    assert asymmetry(np.tile(rng.normal(size=(1, 200)), (30, 1))) > 0.9


def test_a_single_unit_cannot_be_like_the_others(rng):
    assert math.isnan(asymmetry(rng.normal(size=(30, 1))))


def test_the_ends_of_residual_branches_may_begin_alike():
    network = ResidualMLP(width=6, blocks=2).build(4, 3, Tanh(), 8, np.float64)
    layer_inits = {"branch": Constant(0.0), "input": Constant(0.1)}
    network.initialize(VarianceScaling(), np.random.default_rng(0), layer_inits=layer_inits)
    x = np.random.default_rng(1).normal(size=(8, 4))
    found = Probe(network, x, None, 3).snapshot(0).asymmetry
    assert found[0] < 1e-12
    assert np.isnan([found[2], found[4]]).all()
    assert min(found[1], found[3]) > 0.5


def test_a_probe_of_batch_norm_shows_what_training_sees():
    network = MLP([6], batch_norm=True).build(4, 3, Identity(), 50, np.float64)
    network.initialize(VarianceScaling(100.0), np.random.default_rng(0))
    x = np.random.default_rng(1).normal(3, 2, size=(50, 4))
    statistics = Probe(network, x, None, 3).snapshot(0).statistics
    assert statistics["unit_mean"] == pytest.approx([0], abs=1e-12)
    assert statistics["unit_std"] == pytest.approx([1], rel=1e-4)
