import numpy as np
import pytest

from initlab.activations import Activation, Relu, Tanh
from initlab.layers import Dense, Elementwise
from initlab.losses import SoftmaxCrossEntropy
from initlab.network import Network

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


@BIAS
@ACTIVATIONS
def test_gradients_of_a_deep_net_are_the_limits_of_differences(activation, bias, rng):
    # An elementwise layer in front tells ∂L/∂x, which the first Dense layer would not compute.
    layers = [
        Elementwise(activation),
        Dense(5, 6, bias),
        Elementwise(activation),
        Dense(6, 4, bias),
        Elementwise(activation),
        Dense(4, CLASSES, bias),
    ]
    network = Network(layers, 5, BATCH + 3, np.float64)
    network.parameters.vector[...] = rng.normal(0, 0.7, network.parameters.vector.shape)
    x, labels = rng.normal(size=(BATCH, 5)), rng.integers(CLASSES, size=BATCH)
    loss = SoftmaxCrossEntropy(BATCH, CLASSES, np.float64)

    def value():
        return loss.forward(network.forward(x), labels)

    value()
    assert all(np.abs(layer.z).min() > 1e-4 for layer in network.hidden), "too near a kink"
    network.gradients.vector.fill(np.nan)
    network.backward(loss.backward())
    dx = layers[0].dz.copy()
    found = {name: view.copy() for name, view in network.gradients.views.items()}

    assert found.keys() == {f"{name}{n}" for n in (1, 2, 3) for name in ("Wb" if bias else "W")}
    for name, gradient in [*found.items(), ("x", dx)]:
        a = x if name == "x" else network.parameters.views[name]
        # Relative to the array's largest entry: rounding 1e-16 / h leaves 1e-11 absolute.
        limit = 1e-6 * np.abs(gradient).max()
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
    with pytest.raises(AssertionError, match="must take"):
        super(Dense, Dense(2, 2)).bind({}, {})


def test_elementwise_multiplies_what_comes_back_by_the_slope(rng):
    layer = Elementwise(Tanh())
    layer.allocate(6, 3, np.float64, first=False)
    z, dy = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    np.testing.assert_array_equal(layer.forward(z), np.tanh(z))
    np.testing.assert_allclose(layer.derivative(), 1 - np.tanh(z) ** 2, rtol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), dy * (1 - np.tanh(z) ** 2), rtol=1e-12)
    assert layer.outputs(3) == 3
