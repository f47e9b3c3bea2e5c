import numpy as np
import pytest

from initlab.nn.activations import Relu, Tanh
from initlab.nn.initializers import Constant, Normal, VarianceScaling
from initlab.nn.layers import BatchNorm, Dense, Dropout, Elementwise, Residual
from initlab.nn.models import MLP, MLPStack, ResidualMLP

HE = VarianceScaling(2.0)


def build(model, features=4, classes=3, activation=None, batch=8, seed=0):
    return model.build(
        features, classes, activation or Relu(), batch, np.float64, np.random.default_rng(seed)
    )


def kinds(layers):
    return [type(layer) for layer in layers]


def test_an_mlp_is_dense_and_activation_for_each_size_then_dense():
    network = build(MLP([7, 5]), activation=Tanh())
    assert kinds(network.layers) == [Dense, Elementwise, Dense, Elementwise, Dense]
    sizes = [(layer.fan_in, layer.fan_out) for layer in network.dense]
    assert sizes == [(4, 7), (7, 5), (5, 3)]
    assert [layer.place for layer in network.dense] == ["input", "hidden", "output"]
    assert [layer.activation for layer in network.hidden] == [Tanh()] * 2


@pytest.mark.parametrize(
    "switches",
    [{}, {"bias": False}, {"batch_norm": True, "dropout": 0.5, "bias_std": 0.3}],
    ids=str,
)
@pytest.mark.parametrize(("width", "depth"), [(6, 4), (1, 1)])
def test_a_stack_is_an_mlp_of_equal_sizes_to_the_last_bit(width, depth, switches):
    stack = build(MLPStack(width=width, depth=depth, **switches))
    mlp = build(MLP([width] * depth, **switches))
    assert kinds(stack.layers) == kinds(mlp.layers)
    assert [layer.place for layer in stack.dense] == [layer.place for layer in mlp.dense]
    x = np.random.default_rng(1).normal(size=(8, 4))
    for network in (stack, mlp):
        network.initialize(HE, np.random.default_rng(0))
    np.testing.assert_array_equal(stack.forward(x), mlp.forward(x))
    np.testing.assert_array_equal(stack.parameters.vector, mlp.parameters.vector)


@pytest.mark.parametrize(
    ("place", "expected"),
    [("before", [Dense, BatchNorm, Elementwise]), ("after", [Dense, Elementwise, BatchNorm])],
)
def test_batch_norm_stands_where_asked_at_every_hidden_layer(place, expected):
    model = MLP([7, 5], batch_norm=True, batch_norm_place=place)
    assert kinds(build(model).layers) == [*expected, *expected, Dense]


def test_batch_norm_has_the_settings_of_the_model():
    model = MLP([7], batch_norm=True, batch_norm_eps=0.5, batch_norm_momentum=0.25)
    (layer,) = [leaf for leaf in build(model).leaves if isinstance(leaf, BatchNorm)]
    assert (layer.size, layer.eps, layer.momentum) == (7, 0.5, 0.25)


def test_dropout_comes_last_at_every_hidden_layer_and_not_at_the_output():
    model = MLP([7, 5], dropout=0.25, batch_norm=True, batch_norm_place="after")
    network = build(model)
    hidden = [Dense, Elementwise, BatchNorm, Dropout]
    assert kinds(network.layers) == [*hidden, *hidden, Dense]
    assert {leaf.rate for leaf in network.leaves if isinstance(leaf, Dropout)} == {0.25}


def test_dropout_is_scaled_where_the_model_says():
    scaled = build(MLP([7], dropout=0.25, dropout_scaling="evaluation")).leaves[2]
    assert (scaled.training_factor, scaled.evaluation_factor) == (1, 0.75)
    inverted = build(MLP([7], dropout=0.25)).leaves[2]
    assert (inverted.training_factor, inverted.evaluation_factor) == (1 / 0.75, 1)


def test_dropout_layers_draw_from_streams_of_their_own_that_the_seed_decides():
    first, again = (build(MLP([50, 50], dropout=0.5)) for _ in range(2))
    x = np.ones((8, 4))
    for network in (first, again):
        network.initialize(Constant(1.0), np.random.default_rng(0))
        network.forward(x)
    masks, same = (
        [leaf.mask for leaf in n.leaves if isinstance(leaf, Dropout)] for n in (first, again)
    )
    np.testing.assert_array_equal(masks, same)
    assert (masks[0] != masks[1]).any()


def test_a_further_layer_leaves_the_masks_of_the_others_alone():
    masks = []
    for hidden in ([50], [50, 50]):
        network = build(MLP(hidden, dropout=0.5))
        for _ in range(2):
            network.forward(np.ones((8, 4)))
        masks.append(next(leaf for leaf in network.leaves if isinstance(leaf, Dropout)).mask)
    np.testing.assert_array_equal(*masks)


def test_parameters_are_numbered_by_the_dense_layer_that_they_follow():
    names = build(MLP([7, 5], batch_norm=True)).parameters.views
    assert [*names][:3] == ["W1", "W2", "W3"]
    assert {*names} == {*("W1", "W2", "W3", "b1", "b2", "b3", "gamma1", "gamma2", "beta1", "beta2")}
    assert names["gamma2"].shape == (5,)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_residual_net_has_two_dense_layers_a_block_and_one_at_each_end(place):
    model = ResidualMLP(width=6, blocks=24, batch_norm=True, batch_norm_place=place, dropout=0.1)
    network = build(model)
    assert len(network.dense) == 50
    assert len(network.hidden) == 49
    assert [layer.place for layer in network.dense[:5]] == ["input", *["hidden", "branch"] * 2]
    assert network.dense[-1].place == "output"
    assert sum(isinstance(layer, Residual) for layer in network.layers) == 24
    assert f"gamma{49}" in network.parameters.views


def test_a_residual_net_is_that_of_plain_numpy():
    network = build(ResidualMLP(width=6, blocks=2, residual_scale=0.5), activation=Tanh())
    rng = np.random.default_rng(1)
    network.parameters.vector[...] = rng.normal(size=network.parameters.vector.shape)
    p, x = network.parameters.views, rng.normal(size=(8, 4))
    y = x @ p["W1"] + p["b1"]
    for n in (2, 4):
        branch = np.tanh(y) @ p[f"W{n}"] + p[f"b{n}"]
        y = y + 0.5 * (np.tanh(branch) @ p[f"W{n + 1}"] + p[f"b{n + 1}"])
    expected = np.tanh(y) @ p["W6"] + p["b6"]
    np.testing.assert_allclose(network.forward(x), expected, rtol=1e-12)


def test_each_place_may_have_a_law_of_its_own():
    model = ResidualMLP(
        width=6, blocks=2, input_init="std1", branch_init="zeros", output_init="const001"
    )
    assert model.inits == {"input": "std1", "output": "const001", "branch": "zeros"}
    assert MLP().inits == {}
    network, plain = build(model), build(model)
    layer_inits = {"input": Normal(1.0), "branch": Constant(0.0), "output": Constant(0.01)}
    network.initialize(HE, np.random.default_rng(0), layer_inits=layer_inits)
    plain.initialize(HE, np.random.default_rng(0))
    own, others = network.parameters.views, plain.parameters.views
    assert not own["W3"].any()
    assert not own["W5"].any()
    assert (own["W6"] == 0.01).all()
    assert own["W1"].std() == pytest.approx(1, rel=0.5)
    for name in ("W2", "W4"):  # the streams of the other layers are the same
        np.testing.assert_array_equal(own[name], others[name])


def test_zeros_at_the_end_of_branches_make_the_blocks_the_identity():
    network = build(ResidualMLP(width=6, blocks=3), activation=Tanh())
    network.initialize(HE, np.random.default_rng(0), layer_inits={"branch": Constant(0.0)})
    p, x = network.parameters.views, np.random.default_rng(1).normal(size=(8, 4))
    np.testing.assert_allclose(network.forward(x), np.tanh(x @ p["W1"]) @ p["W8"], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MLP(batch_norm_place="under"),
            "batch_norm_place must be one of before, after; got 'under'",
        ),
        (lambda: MLP(batch_norm_eps=0.0), "batch_norm_eps must be greater than 0; got 0.0"),
        (
            lambda: MLP(batch_norm_momentum=0.0),
            "batch_norm_momentum must be greater than 0 and at most 1; got 0.0",
        ),
        (
            lambda: ResidualMLP(batch_norm_momentum=1.1),
            "batch_norm_momentum must be greater than 0 and at most 1; got 1.1",
        ),
        (lambda: MLP(dropout=1.0), "dropout must be at least 0 and less than 1; got 1.0"),
        (lambda: MLP(dropout=-0.1), "dropout must be at least 0 and less than 1; got -0.1"),
        (
            lambda: MLP(dropout_scaling="test"),
            "dropout_scaling must be one of training, evaluation; got 'test'",
        ),
        (lambda: MLP(bias_std=-0.1), "bias_std must be at least 0; got -0.1"),
        (lambda: MLP(bias_std=float("nan")), "bias_std must be at least 0; got nan"),
        (lambda: ResidualMLP(bias_std=float("inf")), "bias_std must be at least 0; got inf"),
        (
            lambda: MLPStack(bias=False, bias_std=0.1),
            "bias_std must be 0 where bias is false; got 0.1",
        ),
        (lambda: MLPStack(width=0), "width must be at least 1; got 0"),
        (lambda: MLPStack(width=10**9), "width must be at most 100000000; got 1000000000"),
        (lambda: MLPStack(depth=0), "depth must be at least 1; got 0"),
        (lambda: MLPStack(depth=10_001), "depth must be at most 10000; got 10001"),
        (lambda: ResidualMLP(width=0), "width must be at least 1; got 0"),
        (lambda: ResidualMLP(blocks=0), "blocks must be at least 1; got 0"),
        (
            lambda: ResidualMLP(residual_scale=float("nan")),
            "residual_scale must be a finite number; got nan",
        ),
    ],
)
def test_bad_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=" must ") as caught:
        make()
    assert str(caught.value) == message
