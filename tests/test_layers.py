import numpy as np
import pytest

from initlab.nn.activations import Activation, Relu, Tanh
from initlab.nn.layers import BatchNorm, Dense, Dropout, Elementwise, Residual
from initlab.nn.losses import SoftmaxCrossEntropy
from initlab.nn.network import Network

ACTIVATIONS = pytest.mark.parametrize(
    "activation", [cls() for cls in Activation.__subclasses__()], ids=repr
)
BIAS = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
BATCH, CLASSES = 7, 3


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def dense(rng, bias=True, batch=4, first=False):
    layer = Dense(3, 2, bias)
    parameters = {name: rng.normal(size=shape) for name, shape in layer.shapes.items()}
    gradients = {name: np.full(shape, np.nan) for name, shape in layer.shapes.items()}
    layer.bind(parameters, gradients)
    layer.allocate(batch, 3, np.float64, first)
    return layer


def differences(f, a, h=1e-5):
    """∂f/∂a by central differences, changing a in place."""
    slopes = np.empty_like(a)
    for place in np.ndindex(*a.shape):
        kept = a[place]
        a[place] = kept + h
        above = f()
        a[place] = kept - h
        slopes[place] = (above - f()) / (2 * h)
        a[place] = kept
    return slopes


def plain(activation):
    return [Dense(6, 4), Elementwise(activation)]


def without_bias(activation):
    return [Dense(6, 4, bias=False), Elementwise(activation)]


def norm_before(activation):
    return [Dense(6, 4), BatchNorm(4), Elementwise(activation)]


def norm_after(activation):
    return [Dense(6, 4), Elementwise(activation), BatchNorm(4, eps=0.1)]


def dropout(activation):
    return [Dense(6, 4), Elementwise(activation), Dropout(0.3, None)]


def residual(activation):
    branch = [Elementwise(activation), Dense(6, 6)]
    return [Dense(6, 6), Residual(branch, 0.7), Elementwise(activation), Dense(6, 4)]


def residual_with_all(activation):
    branch = [BatchNorm(6), Elementwise(activation), Dropout(0.2, None), Dense(6, 8)]
    return [Dense(6, 6), Residual([*branch, Elementwise(activation), Dense(8, 6)]), Dense(6, 4)]


MIDDLES = [plain, without_bias, norm_before, norm_after, dropout, residual, residual_with_all]


def slope_jumps(layer, h=1e-5):
    """Whether a kink of the activation lies within h of where the layer is."""
    ends = []
    for z in (layer.z - h, layer.z + h):
        y = layer.activation.value(z, np.empty_like(z))
        ends.append(layer.activation.derivative(z, y, np.empty_like(z)))
    return np.abs(ends[1] - ends[0]).max() > 1e-3


@ACTIVATIONS
@pytest.mark.parametrize("middle", MIDDLES)
def test_gradients_of_a_three_layer_net_are_the_limits_of_differences(middle, activation, rng):
    # An elementwise layer in front tells ∂L/∂x, which the first Dense layer would not compute.
    layers = [
        Elementwise(activation),
        Dense(5, 6),
        Elementwise(activation),
        *middle(activation),
        Dense(4, CLASSES),
    ]
    network = Network(layers, 5, BATCH + 3, np.float64)
    labels = rng.integers(CLASSES, size=BATCH)
    loss = SoftmaxCrossEntropy(BATCH, CLASSES, np.float64)

    def value():
        for number, leaf in enumerate(network.leaves):
            if isinstance(leaf, Dropout):
                leaf.rng = np.random.default_rng(number)  # the same masks every time
        return loss.forward(network.forward(x), labels)

    for _ in range(20):  # until nothing lies at a kink, where there is no derivative
        network.parameters.vector[...] = rng.normal(0, 0.7, network.parameters.vector.shape)
        x = rng.normal(size=(BATCH, 5))
        value()
        if not any(map(slope_jumps, network.hidden)):
            break
    else:
        pytest.fail("always too near a kink")
    network.gradients.vector.fill(np.nan)
    network.backward(loss.backward())
    dx = layers[0].dz.copy()
    found = {name: view.copy() for name, view in network.gradients.views.items()}

    assert found.keys() == network.parameters.views.keys()
    for name, gradient in [*found.items(), ("x", dx)]:
        a = x if name == "x" else network.parameters.views[name]
        # Relative to the array's largest entry: rounding 1e-16 / h leaves 1e-11 absolute. A bias
        # before batch norm makes no difference, so that its gradient is rounding alone.
        limit = max(1e-6 * np.abs(gradient).max(), 1e-10)
        np.testing.assert_allclose(
            gradient, differences(value, a), rtol=0, atol=limit, err_msg=name
        )


@BIAS
def test_dense_is_x_w_plus_b(bias, rng):
    layer, x = dense(rng, bias), rng.normal(size=(4, 3))
    y = layer.forward(x)
    for row, column in np.ndindex(4, 2):
        expected = sum(x[row, i] * layer.W[i, column] for i in range(3))
        expected += layer.b[column] if bias else 0.0
        assert y[row, column] == pytest.approx(expected, rel=1e-12)


def test_dense_gradients_are_the_transposed_products(rng):
    layer, x, dy = dense(rng), rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    layer.forward(x)
    dx = layer.backward(dy)
    np.testing.assert_allclose(layer.dW, np.einsum("bi,bo->io", x, dy), rtol=1e-12)
    np.testing.assert_allclose(layer.db, dy.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dx, np.einsum("bo,io->bi", dy, layer.W), rtol=1e-12)


def test_dense_has_a_bias_only_where_asked():
    assert Dense(3, 2).shapes == {"W": (3, 2), "b": (2,)}
    assert Dense(3, 2, bias=False).shapes == {"W": (3, 2)}
    assert Elementwise(Relu()).shapes == {}


def test_the_first_layer_computes_no_dx(rng):
    layer = dense(rng, first=True)
    layer.forward(rng.normal(size=(4, 3)))
    layer.backward(rng.normal(size=(4, 2)))
    assert layer.dx is None
    assert np.isfinite(layer.dW).all()


def test_a_smaller_batch_uses_the_first_rows_of_the_buffers(rng):
    layer, x, dy = dense(rng, batch=9), rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    layer.forward(rng.normal(size=(9, 3)))
    layer.backward(rng.normal(size=(9, 2)))
    y, dx = layer.forward(x), layer.backward(dy)
    assert y.shape == (4, 2)
    assert dx.shape == (4, 3)
    for returned, buffer in ((y, layer.y), (dx, layer.dx)):
        assert np.shares_memory(returned[:1], buffer[:1])
        np.testing.assert_array_equal(returned, buffer[:4])
    np.testing.assert_allclose(layer.db, dy.sum(axis=0), rtol=1e-12)


def test_a_layer_that_must_take_parameters_cannot_be_bound_by_the_default():
    Elementwise(Relu()).bind({}, {})
    with pytest.raises(AssertionError, match="must override bind"):
        super(Dense, Dense(2, 2)).bind({}, {})


def test_elementwise_multiplies_what_comes_back_by_the_slope(rng):
    layer = Elementwise(Tanh())
    layer.allocate(6, 3, np.float64, first=False)
    z, dy = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    np.testing.assert_array_equal(layer.forward(z), np.tanh(z))
    np.testing.assert_allclose(layer.derivative(), 1 - np.tanh(z) ** 2, rtol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), dy * (1 - np.tanh(z) ** 2), rtol=1e-12)
    assert layer.outputs(3) == 3


def norm(rng, size=3, batch=50, **settings):
    """A batch norm of random gamma and beta, ready to run."""
    layer = BatchNorm(size, **settings)
    shapes = layer.shapes | layer.statistics
    layer.bind(
        {name: np.full(shape, np.nan) for name, shape in shapes.items()},
        {name: np.full(shape, np.nan) for name, shape in layer.shapes.items()},
    )
    layer.reset()
    layer.gamma[...] = rng.uniform(0.5, 2, size)
    layer.beta[...] = rng.normal(size=size)
    layer.allocate(batch, size, np.float64, first=False)
    return layer


@pytest.mark.parametrize("mode", ["train", "probe"])
def test_batch_norm_gives_each_column_the_mean_beta_and_the_std_gamma(mode, rng):
    layer = norm(rng, eps=1e-12)
    layer.mode = mode
    y = layer.forward(rng.normal(5, [0.1, 1, 30], (50, 3)))
    np.testing.assert_allclose(y.mean(axis=0), layer.beta, rtol=1e-9)
    np.testing.assert_allclose(y.std(axis=0), layer.gamma, rtol=1e-6)  # var 0.01 and eps


def test_batch_norm_adds_eps_to_the_variance(rng):
    x = rng.normal(size=(50, 3))
    layer = norm(rng, eps=0.5)
    expected = layer.gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 0.5) + layer.beta
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-9)


def test_batch_norm_begins_as_the_standard_score_and_with_running_statistics_of_0_and_1(rng):
    layer = norm(rng)
    layer.reset()
    for array, value in ((layer.gamma, 1), (layer.beta, 0)):
        np.testing.assert_array_equal(array, np.full(3, value))
    layer.mode = "evaluate"
    x = rng.normal(size=(4, 3))
    np.testing.assert_allclose(layer.forward(x), x / np.sqrt(1 + layer.eps), rtol=1e-12)


def test_running_statistics_move_by_momentum_towards_those_of_each_batch(rng):
    layer = norm(rng, momentum=0.25)
    mean, var = np.zeros(3), np.ones(3)
    for _ in range(4):
        x = rng.normal(2, 3, (7, 3))
        layer.forward(x)
        mean = 0.75 * mean + 0.25 * x.mean(axis=0)
        var = 0.75 * var + 0.25 * x.var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)


def test_evaluation_takes_the_running_statistics_even_for_a_single_example(rng):
    layer = norm(rng)
    layer.running_mean[...], layer.running_var[...] = [1, 2, 3], [4, 9, 16]
    layer.mode = "evaluate"
    x = rng.normal(size=(1, 3))
    expected = (x - [1, 2, 3]) / np.sqrt([4 + 1e-5, 9 + 1e-5, 16 + 1e-5])
    np.testing.assert_allclose(layer.forward(x), layer.gamma * expected + layer.beta, rtol=1e-12)


@pytest.mark.parametrize("mode", ["probe", "evaluate"])
def test_looking_moves_no_running_statistics(mode, rng):
    layer = norm(rng)
    layer.mode = mode
    layer.forward(rng.normal(size=(50, 3)))
    assert not layer.running_mean.any()
    np.testing.assert_array_equal(layer.running_var, np.ones(3))


def dropped(rate, seed=0, size=(1000, 40), scaling="training"):
    layer = Dropout(rate, np.random.default_rng(seed), scaling)
    layer.allocate(size[0], size[1], np.float64, first=False)
    return layer


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_the_share_asked_for_and_keeps_the_mean(rate):
    layer = dropped(rate)
    y = layer.forward(np.ones((1000, 40)))
    error = 5 * np.sqrt(rate * (1 - rate) / y.size)
    assert (y == 0).mean() == pytest.approx(rate, abs=error)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-12)
    assert y.mean() == pytest.approx(1, abs=error / (1 - rate))


def test_dropout_sends_gradients_back_through_the_same_mask(rng):
    layer = dropped(0.4)
    x, dy = rng.normal(size=(2, 1000, 40))
    y = layer.forward(x)
    np.testing.assert_allclose(layer.backward(dy), dy * (y != 0) / 0.6, rtol=1e-12)


def test_dropout_draws_a_new_mask_every_time():
    layer = dropped(0.5)
    x = np.ones((1000, 40))
    assert (layer.forward(x).copy() != layer.forward(x)).mean() == pytest.approx(0.5, abs=0.02)


def test_dropout_scaled_in_evaluation_passes_in_training_what_is_kept(rng):
    layer = dropped(0.4, scaling="evaluation")
    x, dy = rng.normal(size=(2, 1000, 40))
    kept = layer.forward(x) != 0
    np.testing.assert_array_equal(layer.y, x * kept)
    np.testing.assert_array_equal(layer.backward(dy), dy * kept)
    assert kept.mean() == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("mode", ["probe", "evaluate"])
def test_dropout_scaled_in_evaluation_has_there_the_mean_that_it_has_in_training(mode, rng):
    layer = dropped(0.4, scaling="evaluation")
    ones = np.ones((1000, 40))
    trained = layer.forward(ones).mean()
    layer.mode = mode
    np.testing.assert_array_equal(layer.forward(ones), 0.6 * ones)
    np.testing.assert_array_equal(layer.backward(ones), 0.6 * ones)
    assert trained == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("mode", ["probe", "evaluate"])
def test_nothing_is_dropped_when_looking(mode, rng):
    layer = dropped(0.5)
    layer.mode = mode
    state = layer.rng.bit_generator.state
    x, dy = rng.normal(size=(2, 7, 40))
    np.testing.assert_array_equal(layer.forward(x), x)
    np.testing.assert_array_equal(layer.backward(dy), dy)
    assert layer.rng.bit_generator.state == state


def test_a_residual_block_adds_the_scaled_branch_to_its_input(rng):
    inner = dense(rng)
    layer = Residual([inner, Elementwise(Tanh()), Dense(2, 3)], 0.3)
    layer.branch[2].bind(
        {"W": rng.normal(size=(2, 3)), "b": np.zeros(3)}, {"W": np.empty((2, 3)), "b": np.empty(3)}
    )
    layer.allocate(4, 3, np.float64, first=True)
    x = rng.normal(size=(4, 3))
    branch = np.tanh(x @ inner.W + inner.b) @ layer.branch[2].W
    np.testing.assert_allclose(layer.forward(x), x + 0.3 * branch, rtol=1e-12)
    assert layer.outputs(3) == 3


def test_a_residual_block_of_scale_0_passes_signal_and_gradient_as_they_are(rng):
    layer = Residual([Elementwise(Relu())], 0.0)
    layer.allocate(4, 3, np.float64, first=False)
    x, dy = rng.normal(size=(2, 4, 3))
    np.testing.assert_array_equal(layer.forward(x), x)
    np.testing.assert_array_equal(layer.backward(dy), dy)
