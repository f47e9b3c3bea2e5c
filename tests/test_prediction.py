import math

import numpy as np
import pytest

from initlab.config import load_option
from initlab.data.batches import Rows
from initlab.nn import initializers, theory
from initlab.nn.diagnostics import Probe, mean_cosine
from initlab.nn.initializers import Normal, Orthogonal, VarianceScaling
from initlab.nn.models import MLP, MLPStack, ResidualMLP
from initlab.nn.prediction import Inputs, band, predict, softmax_gradient

EXAMPLES = 500
SEEDS = 5


@pytest.fixture(scope="module")
def data():
    return load_option("data", "digits").load(np.random.default_rng(0))


@pytest.fixture(scope="module")
def examples(data):
    first = data.train.first(EXAMPLES)
    return Rows(first, EXAMPLES, np.float32).take(np.arange(EXAMPLES))


def prediction_of(data, examples, model, activation, init, **layer_inits):
    x, _ = examples
    layers = model.layers(data.features, data.classes, activation, np.random.default_rng(0))
    return predict(layers, init, layer_inits, Inputs.of(x), data.features, len(x))


def shares_within(data, examples, model, activation, init):
    """The shares of measured numbers in the band: of signal, gradient; and the prediction."""
    x, labels = examples
    found = prediction_of(data, examples, model, activation, init)
    network = model.build(
        data.features, data.classes, activation, len(x), np.float64, np.random.default_rng(0)
    )
    within = []
    for seed in range(SEEDS):
        network.initialize(init, np.random.default_rng(seed))
        measured = Probe(network, x.astype(np.float64), labels, data.classes).snapshot(0)
        within.append(
            [
                [value in limits for value, limits in zip(measured.statistics[name], bands)]
                for name, bands in found.bands.items()
            ]
        )
    return np.mean(within, axis=(0, 2))


@pytest.mark.parametrize(
    ("activation", "init"),
    [
        ("relu", VarianceScaling(2.0)),
        ("tanh", VarianceScaling(1.0)),
        ("tanh", VarianceScaling(gain="auto")),
        ("gelu", VarianceScaling(2.0)),
        ("gelu", VarianceScaling(gain="auto")),  # where examples of different sizes part
        ("sigmoid", VarianceScaling(1.0)),
        ("sigmoid", VarianceScaling(40.0)),
        ("selu", VarianceScaling(1.0)),
        ("hard_tanh", Orthogonal()),
        ("softplus", VarianceScaling(1.0)),
    ],
    ids=str,
)
def test_deep_networks_are_in_the_band_of_signal_and_gradient(data, examples, activation, init):
    activation = load_option("activation", activation)
    model = MLPStack(width=100, depth=20)
    signal, gradient = shares_within(data, examples, model, activation, init.tuned(activation))
    assert signal >= 0.85  # of 100 numbers, many of which vary together
    assert gradient >= 0.85


@pytest.mark.parametrize(
    "model",
    [
        MLPStack(width=150, depth=8, batch_norm=True),
        MLPStack(width=150, depth=8, batch_norm=True, batch_norm_place="after"),
        MLPStack(width=150, depth=8, dropout=0.4),
        MLPStack(width=150, depth=8, dropout=0.4, dropout_scaling="evaluation"),
        MLPStack(width=150, depth=8, bias_std=0.5),
        MLPStack(width=150, depth=8, bias=False),
        MLP(hidden=[300, 50, 200, 100]),
        ResidualMLP(width=150, blocks=6),
        ResidualMLP(width=150, blocks=6, residual_scale=0.3, bias_std=0.2),
    ],
    ids=repr,
)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_each_kind_of_layer_has_its_rule(data, examples, model, activation):
    activation = load_option("activation", activation)
    shares = shares_within(data, examples, model, activation, VarianceScaling(2.0))
    assert (shares >= 0.85).all()


def test_wide_networks_are_at_the_prediction(data, examples):
    """So the bands of the other tests are not merely wide."""
    x, labels = examples
    model, activation, init = MLP(hidden=[3000, 3000]), load_option("activation", "tanh"), None
    init = VarianceScaling(1.5)
    found = prediction_of(data, examples, model, activation, init)
    network = model.build(data.features, data.classes, activation, len(x), np.float32)
    network.initialize(init, np.random.default_rng(0))
    measured = Probe(network, x, labels, data.classes).snapshot(0)
    statistics = measured.statistics
    assert statistics["unit_std"] == pytest.approx([b.value for b in found.unit_std], rel=0.03)
    assert statistics["unit_correlation"] == pytest.approx(found.correlation, abs=0.03)
    assert statistics["unit_gradient_std"] == pytest.approx(
        [b.value for b in found.unit_gradient_std], rel=0.1
    )
    assert measured.signal == pytest.approx(found.signal, rel=0.05)
    assert measured.gradient == pytest.approx(found.gradient, rel=0.1)


def test_sigmoid_with_std_one_is_that_of_the_book():
    layers = MLP(hidden=[100] * 5).layers(100, 10, load_option("activation", "sigmoid"), None)
    found = predict(layers, Normal(1.0), {}, Inputs(), 100, 1000)
    shown = [round(each.value, 4) for each in found.unit_std]
    assert shown == [0.4591, 0.4395, 0.4383, 0.4383, 0.4383]


def test_relu_scatters_as_hanin_and_nica_say():
    depth, width = 12, 50
    layers = MLPStack(width=width, depth=depth).layers(
        width, 10, load_option("activation", "relu"), None
    )
    found = predict(layers, VarianceScaling(2.0), {}, Inputs(), width, 1)
    beta = depth * math.log1p(5 / width)
    # The last layer's std also misses the mean, by which its share of the noise is another.
    last = found.unit_gradient_std[0]
    reach = math.log(last.high / last.low) / 1.96
    expected = math.sqrt(beta + softmax_gradient(1.0, found.correlation[-1], 10)[1])
    assert reach == pytest.approx(expected, rel=0.02)


def test_laws_of_single_layers_count(data, examples):
    activation = load_option("activation", "tanh")
    plain = prediction_of(data, examples, MLP(), activation, VarianceScaling(1.0))
    other = prediction_of(
        data, examples, MLP(), activation, VarianceScaling(1.0), output=Normal(1e-3)
    )
    assert other.unit_std == plain.unit_std
    assert other.gradient[0] < 0.1 * plain.gradient[0]


@pytest.mark.parametrize("name", ["zeros", "const001", "identity", "lsuv"])
def test_theory_knows_no_law_whose_weights_depend_on_each_other(data, examples, name):
    activation = load_option("activation", "tanh")
    init = load_option("init", name)
    assert prediction_of(data, examples, MLP(), activation, init) is None
    assert prediction_of(data, examples, MLP(), activation, VarianceScaling(), output=init) is None


def test_every_other_law_has_a_prediction(data, examples):
    activation = load_option("activation", "tanh")
    for law in initializers.Initializer.__subclasses__():
        found = prediction_of(data, examples, MLP(), activation, law())
        assert (found is not None) == law.independent


def test_batch_norm_before_relu_makes_gradients_grow_as_yang_et_al_say(data, examples):
    model = MLPStack(width=100, depth=10, batch_norm=True, batch_norm_eps=1e-12)
    found = prediction_of(
        data, examples, model, load_option("activation", "relu"), VarianceScaling(2.0)
    )
    assert found.limit.chi1 == pytest.approx(math.pi / (math.pi - 1), rel=1e-6)


def test_the_limit_is_that_of_the_hidden_layers(data, examples):
    activation = load_option("activation", "tanh")
    model = MLPStack(width=80, depth=4, bias_std=0.3)
    found = prediction_of(data, examples, model, activation, Normal(0.2)).limit
    expected = theory.limit(activation, 80 * 0.2**2, 0.3**2)
    assert found.q_star == pytest.approx(expected.q_star, rel=1e-6)
    assert found.chi1 == pytest.approx(expected.chi1, rel=1e-6)


def test_softmax_gradients_at_small_and_large_logits():
    size, spread = softmax_gradient(1e-8, 1.0, 10)
    assert size == pytest.approx(0.9 / 10, rel=1e-3)
    assert spread < 1e-9
    size, _ = softmax_gradient(1e8, 1.0, 10)
    assert size == pytest.approx(2 * 0.9 / 10, rel=0.01)  # one-hot against one-hot
    z = np.random.default_rng(5).normal(0, 1.5, (200_000, 10))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    p[:, 0] -= 1
    assert softmax_gradient(2.25, 1.0, 10)[0] == pytest.approx(np.mean(p**2), rel=0.02)


def test_inputs_are_measured_over_features_and_pairs():
    x = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    found = Inputs.of(x)
    assert found.mean_square == pytest.approx(23 / 6)
    assert found.correlation == pytest.approx((0 + 2 / math.sqrt(2)) / 3)
    assert mean_cosine(np.array([[1.0, 1.0], [0.0, 0.0], [-2.0, -2.0]])) == pytest.approx(-1)
    assert math.isnan(mean_cosine(np.zeros((3, 2))))


def test_a_band_is_that_of_a_log_normal_law():
    draws = np.exp(np.random.default_rng(0).normal(math.log(4) - 0.18, 0.6, 100_000))
    found = band(4.0, np.array([-0.13, 0.4, -0.32]), 0.0976)
    assert found.value == 2
    assert np.mean(draws) == pytest.approx(4, rel=0.02)
    assert np.mean((draws > found.low**2) & (draws < found.high**2)) == pytest.approx(
        0.95, abs=0.005
    )


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softplus"])
@pytest.mark.parametrize(
    ("init", "model"),
    [
        (Normal(1.0), MLPStack(depth=200)),
        (Normal(1e200), MLP()),
        (VarianceScaling(1e300), MLP(bias_std=1e200)),
        (VarianceScaling(2.0), ResidualMLP(residual_scale=1e200)),
    ],
)
def test_a_signal_beyond_all_numbers_has_a_prediction(data, examples, activation, init, model):
    found = prediction_of(data, examples, model, load_option("activation", activation), init)
    assert np.isfinite([each.value for each in found.unit_std]).all()
    assert found.limit.chi1 > 1 or model.residual


def test_a_large_signal_grows_by_the_power_of_its_activation(data, examples):
    scales = 1e10, 1e20
    stds = [
        [each.value for each in found.unit_std]
        for found in (
            prediction_of(data, examples, MLP(), load_option("activation", "gelu"), init)
            for init in map(VarianceScaling, scales)
        )
    ]
    assert np.divide(*stds[::-1]) == pytest.approx([1e5, 1e10], rel=1e-4)
