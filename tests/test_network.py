import math
import re
from functools import partial

import numpy as np
import pytest

from initlab.nn.activations import Relu, Tanh
from initlab.nn.initializers import LSUV, Constant, Normal, VarianceScaling
from initlab.nn.layers import BatchNorm, Dense, Dropout
from initlab.nn.models import MLP, MLPStack, ResidualMLP
from initlab.nn.network import Network, Parameters

HE = VarianceScaling(2.0)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def build(hidden=(7, 5), batch=8, dtype=np.float64, seed=0, bias=True, activation=None):
    network = MLP(list(hidden), bias=bias).build(4, 3, activation or Tanh(), batch, dtype)
    network.initialize(VarianceScaling(), np.random.default_rng(seed))
    return network


@DTYPES
def test_parameters_are_views_into_one_vector_weights_before_biases(dtype):
    network = build(dtype=dtype)
    parameters = network.parameters
    assert [*parameters.views] == ["W1", "W2", "W3", "b1", "b2", "b3"]
    assert parameters.views["W2"].shape == (7, 5)
    assert parameters.views["b2"].shape == (5,)
    for p in (parameters, network.gradients):
        assert p.vector.dtype == dtype
        assert p.vector.flags.c_contiguous
        p.vector[...] = np.arange(p.vector.size)
        laid_out = np.concatenate([view.ravel() for view in p.views.values()])
        np.testing.assert_array_equal(laid_out, np.arange(p.vector.size))
        np.testing.assert_array_equal(p.weights, np.arange(4 * 7 + 7 * 5 + 5 * 3))
        assert all(np.shares_memory(view, p.vector) for view in [*p.views.values(), p.weights])
    assert not np.shares_memory(parameters.vector, network.gradients.vector)


def test_layers_read_and_write_the_views():
    network = build()
    for number, layer in enumerate(network.dense, start=1):
        assert layer.W is network.parameters.views[f"W{number}"]
        assert layer.b is network.parameters.views[f"b{number}"]
        assert layer.dW is network.gradients.views[f"W{number}"]
        assert layer.db is network.gradients.views[f"b{number}"]


def test_a_network_without_biases_has_weights_only():
    parameters = build(bias=False).parameters
    assert [*parameters.views] == ["W1", "W2", "W3"]
    assert parameters.weights.size == parameters.vector.size


def test_a_copy_of_parameters_is_independent():
    parameters = build().parameters
    twin = parameters.copy()
    np.testing.assert_array_equal(twin.vector, parameters.vector)
    assert twin.vector.dtype == parameters.vector.dtype
    twin.views["W1"][...] = 0
    assert parameters.views["W1"].all()
    assert twin.views.keys() == parameters.views.keys()
    assert (twin.vector == 0).sum() >= 4 * 7


def test_more_than_nine_layers_keep_their_order():
    shapes = {f"{kind}{n}": (n,) for n in range(1, 13) for kind in "Wb"}
    views = Parameters(shapes, np.float32).views
    assert [*views] == [f"{kind}{n}" for kind in "Wb" for n in range(1, 13)]


@DTYPES
def test_logits_are_those_of_plain_numpy(dtype, rng):
    network = build(dtype=dtype)
    network.parameters.vector[...] = rng.normal(size=network.parameters.vector.size)
    x = rng.normal(size=(8, 4)).astype(dtype)
    logits = network.forward(x)
    p = network.parameters.views
    y1 = np.tanh(x @ p["W1"] + p["b1"])
    y2 = np.tanh(y1 @ p["W2"] + p["b2"])
    assert logits.dtype == dtype
    np.testing.assert_allclose(
        logits, y2 @ p["W3"] + p["b3"], rtol=1e-4 if dtype == np.float32 else 1e-12
    )


def test_a_smaller_batch_gives_the_same_rows_and_the_gradients_of_those_rows(rng):
    large, exact = build(batch=8), build(batch=3)
    x, dlogits = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))
    large.forward(x)
    large.backward(dlogits)
    np.testing.assert_allclose(large.forward(x[:3]), exact.forward(x[:3]), rtol=1e-12)
    large.backward(dlogits[:3])
    exact.backward(dlogits[:3])
    np.testing.assert_allclose(
        large.gradients.vector, exact.gradients.vector, rtol=1e-12, atol=1e-15
    )


def test_a_network_that_shares_computes_the_same_function_for_other_batch_sizes(rng):
    network = build(batch=4)
    twin = network.clone_for(9, "evaluate")
    x = rng.normal(size=(9, 4))
    parts = [network.forward(part).copy() for part in (x[:4], x[4:8], x[8:])]
    np.testing.assert_allclose(twin.forward(x), np.concatenate(parts), rtol=1e-12)


def test_a_network_that_shares_follows_the_weights(rng):
    network = build()
    twin = network.clone_for(5, "evaluate")
    x = rng.normal(size=(5, 4))
    before = twin.forward(x).copy()
    network.parameters.vector *= 1.5
    assert twin.parameters is network.parameters
    np.testing.assert_allclose(twin.forward(x), network.forward(x), rtol=1e-12)
    assert not np.allclose(twin.forward(x), before)


def test_a_network_that_shares_leaves_gradients_and_buffers_alone(rng):
    network = build()
    x, dlogits = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))
    logits = network.forward(x)
    network.backward(dlogits)
    kept = logits.copy(), network.gradients.vector.copy()
    hidden = [(layer.z.copy(), layer.y.copy(), layer.dz.copy()) for layer in network.hidden]

    twin = network.clone_for(6, "probe")
    twin.forward(rng.normal(size=(6, 4)))
    twin.backward(rng.normal(size=(6, 3)))

    np.testing.assert_array_equal(logits, kept[0])
    np.testing.assert_array_equal(network.gradients.vector, kept[1])
    for layer, arrays in zip(network.hidden, hidden, strict=True):
        for now, before in zip((layer.z, layer.y, layer.dz), arrays, strict=True):
            np.testing.assert_array_equal(now, before)
    network.backward(dlogits)  # still that of its own last forward pass
    np.testing.assert_array_equal(network.gradients.vector, kept[1])


@pytest.mark.parametrize(
    ("hidden", "same"), [([7, 5, 50], ["W1", "W2"]), ([90, 5, 5], ["W3", "W4"])]
)
def test_each_layer_draws_from_a_stream_of_its_own(hidden, same):
    one, other = build(hidden=[7, 5, 5]), build(hidden=hidden)
    for name in same:
        np.testing.assert_array_equal(one.parameters.views[name], other.parameters.views[name])
    assert len({layer.W.flat[0] for layer in one.dense}) == 4


def test_initialize_draws_anew_and_sets_biases_to_zero():
    network = build()
    network.parameters.vector.fill(9.0)
    network.initialize(Normal(0.5), np.random.default_rng(0))
    for name, view in network.parameters.views.items():
        assert np.count_nonzero(view) == (view.size if name.startswith("W") else 0)


NETS = pytest.mark.parametrize(
    "net",
    [MLP, MLPStack, ResidualMLP, partial(MLP, batch_norm=True)],
    ids=["mlp", "stack", "residual", "batch_norm"],
)


def drawn(net, **settings):
    network = net(**settings).build(4, 3, Tanh(), 8, np.float64)
    network.initialize(HE, np.random.default_rng(0))
    return network


@NETS
def test_without_a_std_biases_start_at_zero_and_nothing_is_drawn_for_them(net):
    network, plain = drawn(net, bias_std=0.0), drawn(net)
    np.testing.assert_array_equal(network.parameters.vector, plain.parameters.vector)
    assert not any(layer.b.any() for layer in network.dense)
    spawned = np.random.default_rng(0).spawn(len(network.dense))
    for layer, stream in zip(network.dense, spawned, strict=True):
        np.testing.assert_array_equal(layer.W, HE(stream, layer.fan_in, layer.fan_out))


@NETS
def test_biases_are_drawn_with_their_std_and_change_nothing_else(net):
    network, plain = drawn(net, bias_std=0.3), drawn(net)
    before = plain.parameters.arrays()
    for name, array in network.parameters.arrays().items():
        if re.fullmatch(r"b\d+", name):
            assert array.all(), name
        else:
            np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert len({layer.b[0] for layer in network.dense}) == len(network.dense)
    b = np.concatenate([layer.b for layer in network.dense])
    assert math.sqrt(np.mean(b**2)) == pytest.approx(0.3, rel=5 / math.sqrt(2 * b.size))


def test_the_biases_of_a_wide_layer_are_normal():
    n = 20_000
    b = drawn(MLP, hidden=[n], bias_std=0.3).dense[0].b
    assert abs(b.mean()) < 5 * 0.3 / math.sqrt(n)
    assert b.std() == pytest.approx(0.3, rel=5 / math.sqrt(2 * n))
    assert np.mean(abs(b) < 0.3) == pytest.approx(0.6827, abs=5 * 0.47 / math.sqrt(n))


def test_biases_of_another_std_are_the_same_up_to_the_factor():
    small, large = (drawn(MLP, bias_std=std).parameters.views for std in (0.25, 1.0))
    for name in ("b1", "b2", "b3"):
        np.testing.assert_array_equal(small[name] * 4, large[name])


def test_a_network_beyond_all_memory_is_refused_as_such():
    with pytest.raises(MemoryError, match=r"Unable to allocate 1e\+20 parameters"):
        MLPStack(width=10**8, depth=10_000).build(4, 3, Tanh(), 8, np.float64)


def test_the_same_generator_gives_the_same_weights_whatever_the_batch():
    one, other = build(batch=1, seed=3), build(batch=50, seed=3)
    np.testing.assert_array_equal(one.parameters.vector, other.parameters.vector)
    assert not np.array_equal(one.parameters.vector, build(seed=4).parameters.vector)


def test_only_the_first_layer_has_no_dx():
    network = build()
    assert [layer.dx is None for layer in network.dense] == [True, False, False]
    assert [layer.dx is None for layer in network.clone_for(2, "probe").dense] == [
        True,
        False,
        False,
    ]


def test_numbers_that_belong_to_nobody_are_refused():
    layers = [Dense(4, 3), BatchNorm(3), BatchNorm(3)]
    with pytest.raises(AssertionError, match="two layers own gamma1, beta1"):
        Network(layers, 4, 8, np.float64)


def with_norm_and_dropout(seed=0):
    model = MLP([7, 5], batch_norm=True, dropout=0.5)
    network = model.build(4, 3, Tanh(), 8, np.float64, np.random.default_rng(seed))
    network.initialize(VarianceScaling(), np.random.default_rng(0))
    return network


def test_looking_at_a_network_changes_neither_its_statistics_nor_its_masks(rng):
    looked_at, left_alone = with_norm_and_dropout(), with_norm_and_dropout()
    x = rng.normal(size=(8, 4))
    for mode in ("probe", "evaluate"):
        looked_at.clone_for(6, mode).forward(rng.normal(size=(6, 4)))
    np.testing.assert_array_equal(looked_at.forward(x), left_alone.forward(x))
    for name, array in left_alone.parameters.statistics.items():
        np.testing.assert_array_equal(looked_at.parameters.statistics[name], array)


def test_an_evaluating_twin_follows_the_running_statistics(rng):
    network = with_norm_and_dropout()
    twin = network.clone_for(1, "evaluate")
    x = rng.normal(size=(1, 4))
    before = twin.forward(x).copy()
    network.forward(rng.normal(3, 2, size=(8, 4)))
    assert network.parameters.statistics["running_mean1"].any()
    assert (twin.forward(x) != before).all()


def test_a_twin_of_residual_blocks_has_layers_of_its_own(rng):
    network = ResidualMLP(width=5, blocks=2, batch_norm=True).build(4, 3, Tanh(), 8, np.float64)
    network.initialize(VarianceScaling(), np.random.default_rng(0))
    x = rng.normal(size=(8, 4))
    logits = network.forward(x).copy()
    hidden = [layer.y.copy() for layer in network.hidden]
    twin = network.clone_for(3, "probe")
    twin.forward(rng.normal(size=(3, 4)))
    assert {leaf.mode for leaf in twin.leaves} == {"probe"}
    assert {leaf.mode for leaf in network.leaves} == {"train"}
    assert not {*map(id, twin.leaves)} & {*map(id, network.leaves)}
    for layer, y in zip(network.hidden, hidden, strict=True):
        np.testing.assert_array_equal(layer.y, y)
    np.testing.assert_allclose(network.clone_for(8, "probe").forward(x), logits, rtol=1e-12)


def test_a_copy_of_parameters_holds_the_running_statistics():
    parameters = with_norm_and_dropout().parameters
    twin = parameters.copy()
    assert {*parameters.arrays()} - {*parameters.views} == {
        *("running_mean1", "running_var1", "running_mean2", "running_var2")
    }
    parameters.statistics["running_var1"].fill(7.0)
    np.testing.assert_array_equal(twin.statistics["running_var1"], np.ones(7))


def test_initialize_resets_what_no_law_draws():
    network = with_norm_and_dropout()
    for array in network.parameters.arrays().values():
        array.fill(9.0)
    network.initialize(Normal(0.5), np.random.default_rng(0))
    for name, array in network.parameters.arrays().items():
        if not name.startswith("W"):
            expected = 1.0 if name.startswith(("gamma", "running_var")) else 0.0
            np.testing.assert_array_equal(array, np.full(array.shape, expected), err_msg=name)


class Halving(Normal):
    """Halves the weights of the layers that it drew, and says how many."""

    def adjust(self, layers, forward):
        forward()
        for layer in layers:
            assert layer.y.any()
            layer.W /= 2
        return f"halved {len(layers)}"


def test_laws_adjust_what_they_drew_and_no_other_layer(rng):
    adjusted, plain = build(), build()
    x = rng.normal(size=(6, 4))
    said = adjusted.initialize(
        Halving(0.5), np.random.default_rng(0), x, {"output": Normal(0.5), "input": Halving(0.5)}
    )
    plain.initialize(Normal(0.5), np.random.default_rng(0))
    assert said == "halved 2"
    for name, factor in {"W1": 2, "W2": 2, "W3": 1}.items():
        halved = adjusted.parameters.views[name]
        np.testing.assert_array_equal(halved * factor, plain.parameters.views[name])


def test_equal_laws_of_several_places_adjust_their_layers_in_order(rng):
    network = ResidualMLP(width=50, blocks=3).build(40, 3, Relu(), 8, np.float64)
    x = rng.normal(2, 3, size=(200, 40))
    layer_inits = {"branch": LSUV(), "input": LSUV()}
    said = network.initialize(LSUV(), np.random.default_rng(0), x, layer_inits)
    twin = network.clone_for(200, "probe")
    twin.forward(x)
    assert [layer.y.var() for layer in twin.dense] == pytest.approx(np.ones(8), abs=0.1)
    assert "8 layers" in said


def test_a_law_that_looks_speaks_of_layers_by_their_numbers_in_the_network():
    network = build(activation=Relu())
    said = network.initialize(
        LSUV(), np.random.default_rng(0), np.ones((5, 4)), {"input": Constant(0.0)}
    )
    assert "layers 2, 3 could not be scaled" in said
    assert [layer.number for layer in network.dense] == [1, 2, 3]


def test_a_law_that_looks_moves_no_running_statistics_and_draws_no_mask(rng):
    network = with_norm_and_dropout()
    masks = [leaf.rng for leaf in network.leaves if isinstance(leaf, Dropout)]
    before = [mask.bit_generator.state for mask in masks]
    network.initialize(Halving(0.5), np.random.default_rng(0), rng.normal(3, 2, size=(8, 4)))
    assert not network.parameters.statistics["running_mean1"].any()
    assert [mask.bit_generator.state for mask in masks] == before


@pytest.mark.parametrize("hidden", [[], [0], [-1], [200, 0]])
def test_impossible_hidden_sizes_are_refused_and_named(hidden):
    with pytest.raises(ValueError, match=r"^hidden must be a list of .*; got ") as caught:
        MLP(hidden)
    assert str(caught.value).endswith(f"got {hidden}")
