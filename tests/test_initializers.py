import math
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy import stats

from initlab.activations import Relu
from initlab.config import SCHEMAS
from initlab.initializers import Constant, Normal, VarianceScaling
from initlab.network import MLP

CONF = Path(__file__).parents[1] / "conf" / "init"
SHAPES = [(784, 200), (200, 10), (64, 1000)]


def normal(variance):
    return stats.norm(0, math.sqrt(variance))


def uniform(limit):
    return stats.uniform(-limit, 2 * limit)


# The law of each option, written as its source does, for fan-in i and fan-out o.
LAWS = {
    "std1": lambda i, o: normal(1),
    "std01": lambda i, o: normal(0.1**2),
    "std001": lambda i, o: normal(0.01**2),
    "std0001": lambda i, o: normal(0.001**2),
    "xavier": lambda i, o: normal(1 / i),
    "xavier_sum": lambda i, o: normal(1 / (i + o)),
    "xavier_normal": lambda i, o: normal(2 / (i + o)),
    "xavier_uniform": lambda i, o: uniform(math.sqrt(6 / (i + o))),
    "he": lambda i, o: normal(2 / i),
    "he_uniform": lambda i, o: uniform(math.sqrt(6 / i)),
    "lecun": lambda i, o: normal(1 / i),
    "lecun_uniform": lambda i, o: uniform(math.sqrt(3 / i)),
}
EVERY_LAW = pytest.mark.parametrize(("name", "law"), LAWS.items(), ids=LAWS)
EVERY_CLASS = pytest.mark.parametrize("init", [cls() for cls in SCHEMAS["init"].values()], ids=repr)


def option(name):
    """The initialiser that `init=<name>` stands for, by its file."""
    settings = dict(OmegaConf.load(CONF / f"{name}.yaml"))
    schema = settings.pop("defaults")[0]["/schema/init@_here_"]
    return SCHEMAS["init"][schema](**settings)


@EVERY_LAW
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_draws_follow_the_law(name, law, shape):
    draws = option(name)(np.random.default_rng(1), *shape).ravel()
    # The seed is fixed, so this never fails by chance; a std wrong by 5 % gives p < 1e-3 even for
    # the smallest of the shapes.
    assert stats.kstest(draws, law(*shape).cdf).pvalue > 0.01


@EVERY_LAW
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_exact_std_is_that_of_the_law_and_of_the_draws(name, law, shape):
    init = option(name)
    std = init.exact_std(*shape)
    assert std == pytest.approx(law(*shape).std(), rel=1e-12)
    # The relative standard error of a normal's std over n draws is 1 / √(2n); a uniform's is less.
    draws = init(np.random.default_rng(2), *shape)
    assert draws.std() == pytest.approx(std, rel=4 / math.sqrt(2 * draws.size))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("const001", 0.01)])
def test_constants_are_constant(name, value, shape):
    init = option(name)
    np.testing.assert_array_equal(init(np.random.default_rng(0), *shape), np.full(shape, value))
    assert init.exact_std(*shape) == 0


def test_he_fan_out_is_a_scaling_by_the_outputs():
    init = VarianceScaling(scale=2.0, mode="fan_out")
    assert init.exact_std(300, 50) == math.sqrt(2 / 50)


@EVERY_CLASS
def test_weights_are_float64_of_fan_in_rows_and_fan_out_columns(init):
    w = init(np.random.default_rng(0), 6, 4)
    assert w.shape == (6, 4)
    assert w.dtype == np.float64
    assert np.isfinite(w).all()


def test_a_constant_given_as_an_integer_is_drawn_as_float64():
    assert Constant(1)(np.random.default_rng(0), 2, 3).dtype == np.float64


@EVERY_CLASS
def test_equal_generators_give_equal_weights(init):
    one, other = (init(np.random.default_rng(5), 30, 20) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["std1", "std01", "xavier", "xavier_sum", "he"])
def test_normal_laws_share_their_base_draws(name):
    small = option("std001")(np.random.default_rng(3), 64, 100)
    other = option(name)(np.random.default_rng(3), 64, 100)
    factor = option(name).exact_std(64, 100) / 0.01
    np.testing.assert_allclose(other, factor * small, rtol=1e-14)  # two roundings


def test_float32_networks_get_the_float64_draws_rounded():
    nets = {}
    for dtype in (np.float32, np.float64):
        nets[dtype] = MLP([20, 10]).build(8, 4, Relu(), 5, dtype)
        nets[dtype].initialize(option("he"), np.random.default_rng(0))
    exact, rounded = nets[np.float64].parameters.vector, nets[np.float32].parameters.vector
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, exact.astype(np.float32))
    assert (rounded != exact).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(std=-0.1), "std must be greater than 0; got -0.1"),
        (lambda: Normal(std=0.0), "std must be greater than 0; got 0.0"),
        (lambda: Normal(std=math.nan), "std must be greater than 0; got nan"),
        (lambda: Constant(value=math.inf), "value must be a finite number; got inf"),
        (lambda: VarianceScaling(scale=0.0), "scale must be greater than 0; got 0.0"),
        (lambda: VarianceScaling(scale=-1.0), "scale must be greater than 0; got -1.0"),
        (
            lambda: VarianceScaling(mode="fanin"),
            "mode must be one of fan_in, fan_out, fan_avg; got 'fanin'",
        ),
        (
            lambda: VarianceScaling(distribution="gauss"),
            "distribution must be one of normal, uniform; got 'gauss'",
        ),
    ],
)
def test_bad_values_are_refused_with_the_field_the_choices_and_the_value(make, message):
    with pytest.raises(ValueError, match=" must be ") as caught:
        make()
    assert str(caught.value) == message


def relu_rms(name, depth, width=256):
    """The rms of each hidden layer's activations for random inputs."""
    network = MLP([width] * depth).build(width, 10, Relu(), 200, np.float64)
    rng = np.random.default_rng(0)
    network.initialize(option(name), rng)
    network.forward(rng.standard_normal((200, width)))
    return np.array([math.sqrt(np.square(layer.y).mean()) for layer in network.hidden])


@pytest.mark.parametrize("name", ["he", "he_uniform"])
def test_he_keeps_the_signal_through_twenty_five_relu_layers(name):
    rms = relu_rms(name, depth=25)
    assert ((rms > rms[0] / 2) & (rms < rms[0] * 2)).all()


def test_xavier_halves_the_power_of_the_signal_at_every_relu_layer():
    rms = relu_rms("xavier", depth=25)
    lost = rms / rms[0] * 2 ** (np.arange(25) / 2)
    assert ((lost > 1 / 2) & (lost < 2)).all()
