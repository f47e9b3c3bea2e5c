import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from initlab.config import load_option, options
from initlab.data.datasets import Digits, Gaussian
from initlab.nn import schedules
from initlab.nn.activations import Relu, Sigmoid, Tanh
from initlab.nn.advice import KEPT, Advisor
from initlab.nn.diagnostics import Probe, Snapshot
from initlab.nn.initializers import Constant, Normal, VarianceScaling
from initlab.nn.models import MLP, ResidualMLP
from initlab.nn.optimizers import SGD, Adam
from initlab.nn.prediction import Inputs
from initlab.nn.training import Training, fit
from initlab.nn.verdict import (
    Context,
    examine,
    find_trend,
    format_number,
    judge,
)

CONF = Path(__file__).parents[1] / "conf"
DEEP, MLP_2 = [100] * 5, [200, 200]
SEEDS = pytest.mark.parametrize("seed", [0, 1])

INITS = {
    "zeros": Constant(0.0),
    "const001": Constant(0.01),
    "std1": Normal(1.0),
    "std001": Normal(0.01),
    "xavier": VarianceScaling(),
    "he": VarianceScaling(scale=2.0),
}
ACTIVATIONS = {"relu": Relu(), "tanh": Tanh(), "sigmoid": Sigmoid()}


@pytest.fixture(scope="module")
def digits():
    return Digits().load(np.random.default_rng(0))


def run(data, init, activation, hidden, seed, optimizer=None, steps=200, dtype=np.float32):
    """The verdicts at the start and in the end of a training."""
    optimizer = optimizer or SGD(0.1)
    law = INITS[init] if isinstance(init, str) else init
    advisor = Advisor(
        MLP(hidden), ACTIVATIONS[activation], law, {}, Inputs(0.234, 0.69), 64, 10, 500
    )
    typed = init if isinstance(init, str) else "other"
    context = Context(typed, activation, optimizer.lr, advisor=advisor)
    init_rng, batch_rng = np.random.default_rng(seed).spawn(2)
    network = MLP(hidden).build(data.features, data.classes, ACTIVATIONS[activation], 100, dtype)
    network.initialize(law, init_rng)
    config = Training(steps=steps, eval_every=max(1, steps), probe_size=500)
    snapshots, diverged = [], None
    for step in fit(network, optimizer, schedules.Constant(), data, config, batch_rng):
        if step.snapshot:
            snapshots.append(step.snapshot)
        if step.diverged:
            diverged = step.number
    start, end = examine(snapshots[0], context), judge(snapshots, context, diverged)
    for verdict in (start, end):
        assert_is_sound(verdict, len(hidden))
    return start, end


def assert_is_sound(verdict, depth):
    """The sentence names the layer, and every remedy in it exists."""
    for group, name in re.findall(r"\b(init|activation|optimizer|model)=(\w+)", verdict.sentence):
        assert (CONF / group / f"{name}.yaml").is_file(), verdict
    assert 0 <= verdict.layer <= depth
    assert (verdict.layer == 0) == (verdict.word in ("healthy", "diverged"))
    named = [int(number) for number in re.findall(r"layer (\d+)", verdict.sentence)]
    assert all(1 <= number <= depth + 1 for number in named), verdict
    if verdict.layer:
        assert verdict.layer in named or verdict.layer + 1 in named, verdict
        assert re.search(r"init=|activation=|model\.|lower optimizer.lr", verdict.sentence)
    assert "nan-fold" not in verdict.sentence


@SEEDS
def test_std001_vanishes_in_a_deep_relu_net_and_he_is_the_remedy(digits, seed):
    start, end = run(digits, "std001", "relu", DEEP, seed)
    assert (start.word, start.layer, end.word) == ("vanishing", 1, "vanishing")
    assert "init=he" in end.sentence
    assert "shrink" in start.sentence


@SEEDS
def test_std1_explodes_in_a_deep_relu_net_and_diverges(digits, seed):
    start, end = run(digits, "std1", "relu", DEEP, seed)
    assert (start.word, start.layer, end.word) == ("exploding", 1, "diverged")
    assert "init=he" in end.sentence
    factor = float(re.search(r"grow (\S+)-fold a layer", start.sentence)[1])
    # √(100 / 2), but √(64 / 2) at the first layer, whose inputs have a mean as well.
    assert 5 < factor < 8


@SEEDS
@pytest.mark.parametrize("hidden", [MLP_2, DEEP], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_std1_saturates_bounded_activations(digits, activation, hidden, seed):
    start, end = run(digits, "std1", activation, hidden, seed)
    assert (start.word, end.word) == ("saturated", "saturated")
    assert re.search("keep it on the slope, init=(xavier|variance_scaling)", end.sentence)
    assert "as predicted" in end.sentence
    assert re.search(r"\d\d% of the activations", end.sentence)


@SEEDS
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("init", ["zeros", "const001"])
def test_constant_weights_stay_symmetric(digits, init, activation, seed):
    start, end = run(digits, init, activation, MLP_2, seed)
    assert (start.word, end.word) == ("symmetric", "symmetric")
    assert start.layer == 1


@SEEDS
def test_a_huge_learning_rate_kills_relus_or_diverges(digits, seed):
    start, end = run(digits, "he", "relu", MLP_2, seed, SGD(10.0))
    assert start.word == "healthy"
    assert end.word in ("dead", "diverged")
    assert "lower optimizer.lr, now 10" in end.sentence


@SEEDS
@pytest.mark.parametrize("hidden", [MLP_2, DEEP], ids=str)
@pytest.mark.parametrize(("init", "activation"), [("he", "relu"), ("xavier", "tanh")])
def test_the_fitting_init_is_healthy_before_and_after(digits, init, activation, hidden, seed):
    start, end = run(digits, init, activation, hidden, seed, steps=400)
    assert (start.word, end.word) == ("healthy", "healthy")
    assert "after a start as predicted (χ₁ = 1 a layer), which training has changed" in end.sentence


def test_he_is_still_healthy_after_three_thousand_steps_of_adam(digits):
    _, end = run(digits, "he", "relu", MLP_2, 0, Adam(0.001), steps=3000)
    assert end.word == "healthy"


@SEEDS
def test_xavier_is_still_healthy_in_a_sigmoid_net_of_two_layers(digits, seed):
    start, end = run(digits, "xavier", "sigmoid", MLP_2, seed)
    assert (start.word, end.word) == ("healthy", "healthy")


@SEEDS
@pytest.mark.parametrize("depth", [2, 4, 8])
def test_the_scale_advised_for_sigmoid_nets_is_healthy(digits, seed, depth):
    start, _ = run(digits, "std001", "sigmoid", [100] * depth, seed, steps=2)
    assert start.word == "vanishing"
    advised = re.search(r"with sigmoid, init=(\w+) init\.(\w+)=(\S+) ", start.sentence)
    assert advised, start.sentence
    init = VarianceScaling(gain="auto").tuned(Sigmoid())
    if advised[2] == "scale":
        init = VarianceScaling(float(advised[3]))
    start, _ = run(digits, init, "sigmoid", [100] * depth, seed, steps=2)
    assert start.word == "healthy"


@SEEDS
@pytest.mark.parametrize(
    ("init", "activation", "word"),
    [
        ("std001", "relu", "vanishing"),
        ("std1", "relu", "exploding"),
        ("std1", "tanh", "saturated"),
        ("zeros", "tanh", "symmetric"),
        ("he", "relu", "healthy"),
        ("xavier", "tanh", "healthy"),
    ],
)
def test_gaussian_inputs_need_no_gradient(init, activation, word, seed):
    data = Gaussian(samples=300).load(np.random.default_rng(seed))
    start, end = run(data, init, activation, DEEP, seed, steps=0)
    assert start == end
    assert end.word == word


def test_weights_beyond_the_range_of_float32_explode(digits):
    for std in (1e12, 1e20, 3e38, 1e300):
        start, end = run(digits, Normal(std), "relu", DEEP, 0, steps=3)
        assert start.word == "exploding"
        assert end.word == "diverged"
        assert "step 0 is not a finite number" in end.sentence


def test_nan_weights_do_not_pass_for_dead_units(digits):
    start, _ = run(digits, Poison(), "relu", MLP_2, 0, steps=1)
    assert (start.word, start.layer) == ("exploding", 1)


class Poison(Normal):
    def __call__(self, rng, fan_in, fan_out):
        return np.full((fan_in, fan_out), np.nan)


def test_one_hidden_unit_is_not_symmetric(digits):
    start, _ = run(digits, "xavier", "tanh", [1], 0, steps=1)
    assert start.word == "healthy"


HEALTHY = Snapshot(
    step=0,
    statistics={
        "unit_mean": [0.0, 0.0, 0.0],
        "unit_std": [1.0, 1.0, 1.0],
        "unit_saturated": [0.0, 0.0, 0.0],
        "unit_dead": [0.0, 0.0, 0.0],
        "unit_gradient_std": [1.0, 1.0, 1.0],
    },
    main_path=[1, 2, 3],
    signal=[1.0, 1.0, 1.0, 1.0],
    gradient=[1.0, 1.0, 1.0],
    asymmetry=[1.0, 1.0, 1.0],
    histograms={},
)


def context_of(init, activation, **known):
    """The context of a network of three hidden layers, about which theory knows no more."""
    law = Constant()  # which has no prediction
    advisor = Advisor(MLP([100] * 3), activation, law, {}, Inputs(), 100, 10, 500)
    return Context(init, known.pop("name", "relu"), 0.1, advisor=advisor, **known)


CONTEXT = context_of("std001", Relu())


def with_statistic(name, values):
    return replace(HEALTHY, statistics={**HEALTHY.statistics, name: values})


@pytest.mark.parametrize(
    ("snapshot", "word", "layer"),
    [
        (HEALTHY, "healthy", 0),
        (replace(HEALTHY, asymmetry=[1.0, 1e-7, 1.0]), "symmetric", 2),
        (with_statistic("unit_dead", [0.4, 0.4, 0.6]), "dead", 3),
        (with_statistic("unit_saturated", [0.3, 0.5, 0.9]), "saturated", 2),
        (replace(HEALTHY, signal=[1.0, 0.9, 0.4, 0.01]), "vanishing", 2),
        (replace(HEALTHY, signal=[1.0, 0.9, 0.4, 0.03]), "healthy", 0),
        (replace(HEALTHY, signal=[1.0, 1.5, 3.0, 40.0]), "exploding", 2),
        (replace(HEALTHY, signal=[1.0, 1.5, 3.0, 29.0]), "healthy", 0),
        (replace(HEALTHY, signal=[2.0, 1.8, 0.8, 0.02]), "vanishing", 2),
        (replace(HEALTHY, gradient=[0.01, 0.4, 1.0]), "vanishing", 2),
        (replace(HEALTHY, gradient=[40.0, 1.5, 1.0]), "exploding", 1),
        (replace(HEALTHY, gradient=[]), "healthy", 0),
        (replace(HEALTHY, signal=[1.0, 1.0, math.inf, math.nan]), "exploding", 2),
        (replace(HEALTHY, signal=[1.0, 1.0, 1.0, math.nan]), "exploding", 3),
        (replace(HEALTHY, signal=[math.nan] * 4), "exploding", 1),
        (replace(HEALTHY, gradient=[math.nan, math.inf, 1.0]), "exploding", 2),
        (replace(HEALTHY, gradient=[math.inf] * 3), "exploding", 3),
        (replace(HEALTHY, signal=[0.0] * 4), "healthy", 0),
    ],
)
def test_the_word_and_the_layer_are_those_of_the_numbers(snapshot, word, layer):
    verdict = examine(snapshot, CONTEXT)
    assert (verdict.word, verdict.layer) == (word, layer)
    assert_is_sound(verdict, 3)


def test_the_illness_of_the_earliest_layer_is_told():
    ill = replace(
        with_statistic("unit_dead", [0.0, 0.0, 0.9]),
        signal=[1.0, 0.9, 0.01, 0.001],
    )
    assert examine(ill, CONTEXT).word == "vanishing"
    assert examine(replace(ill, asymmetry=[0.0, 1.0, 1.0]), CONTEXT).word == "symmetric"


def test_the_rate_is_that_of_one_layer():
    halving = replace(HEALTHY, signal=[1.0, 1.0, 0.1, 0.01])
    assert (
        "activations shrink 10-fold a layer from layer 2 on" in examine(halving, CONTEXT).sentence
    )
    growing = replace(HEALTHY, gradient=[64.0, 8.0, 1.0])
    assert "gradients grow 8-fold a layer going back from layer 3" in str(examine(growing, CONTEXT))


def test_a_signal_of_nothing_shrinks_to_nothing():
    verdict = examine(replace(HEALTHY, signal=[1.0, 1.0, 0.0, 0.0]), CONTEXT)
    assert verdict.sentence.startswith("activations shrink to nothing from layer 2 on")


def test_a_healthy_end_tells_of_an_ill_start():
    ill = replace(HEALTHY, signal=[1.0, 0.1, 0.01, 0.001])
    verdict = judge([ill, HEALTHY], CONTEXT)
    assert verdict.word == "healthy"
    assert "after a start that was vanishing from layer 1 on" in verdict.sentence
    assert judge([HEALTHY, ill], CONTEXT).word == "vanishing"


def test_an_end_that_is_ill_in_another_way_tells_of_its_start():
    exploding = replace(HEALTHY, signal=[1.0, 10.0, 100.0, 1000.0])
    verdict = judge([exploding, with_statistic("unit_dead", [0.9, 0.0, 0.0])], CONTEXT)
    assert (verdict.word, verdict.layer) == ("dead", 1)
    assert "it began exploding, activations grow 10-fold a layer" in verdict.sentence
    assert "init=he" in verdict.sentence


def test_a_run_that_diverged_tells_the_step_and_the_ill_start():
    ill = replace(HEALTHY, signal=[1.0, 10.0, 100.0, 1000.0])
    assert str(judge([HEALTHY], CONTEXT, 7)) == (
        "diverged: the loss at step 7 is not a finite number; lower optimizer.lr, now 0.1"
    )
    verdict = judge([ill, HEALTHY], CONTEXT, 0)
    assert verdict.word == "diverged"
    assert "step 0" in verdict.sentence
    assert "at the start, activations grow 10-fold a layer" in verdict.sentence


@pytest.mark.parametrize("activation", options("activation"))
@pytest.mark.parametrize("init", ["he", "xavier", "std1", "xavier init.gain=auto"])
def test_every_remedy_exists_and_is_another_than_what_is_in_use(init, activation):
    context = context_of(init, load_option("activation", activation), name=activation)
    for ill in (
        replace(HEALTHY, signal=[1.0, 0.1, 0.01, 0.001]),
        replace(HEALTHY, gradient=[1e3, 10.0, 1.0]),
        with_statistic("unit_saturated", [0.9, 0.9, 0.9]),
        with_statistic("unit_dead", [0.9, 0.9, 0.9]),
    ):
        verdict = examine(ill, context)
        assert_is_sound(verdict, 3)
        assert not re.search(rf"init={init}(?! init\.gain)\b", verdict.sentence)
        assert f"activation={activation} " not in f"{verdict.sentence} "


def advised(data, model, activation, scale=1 / 16):
    """The advice for a network, and the spread of signal and gradient that it leaves, measured."""
    x, labels = data.train.x[:500] * np.float32(scale), data.train.labels[:500]
    advisor = Advisor(
        model, activation, VarianceScaling(), {}, Inputs.of(x), data.features, data.classes, 500
    )
    advice = advisor.advice
    if advice is None:
        return None, math.inf
    option, *settings = advice.init.split()
    init = load_option("init", option)
    for setting in settings:
        key, value = setting.removeprefix("init.").split("=")
        init = replace(init, **{key: value if value.isalpha() else float(value)})
    model = replace(model, bias_std=advice.bias_std or model.bias_std)
    init = init.tuned(activation, model.bias_std)
    network = model.build(data.features, data.classes, activation, 500, np.float32)
    spreads = []
    for seed in range(3):
        network.initialize(init, np.random.default_rng(seed), x)
        found = Probe(network, x, labels, data.classes).snapshot(0)
        spreads.append([max(sizes) / min(sizes) for sizes in (found.signal, found.gradient)])
    return advice, np.median(spreads, axis=0).max()


@pytest.mark.parametrize("name", options("activation"))
@pytest.mark.parametrize("depth", [2, 5, 10, 20])
def test_the_init_advised_keeps_signal_and_gradient(digits, name, depth):
    activation = load_option("activation", name)
    advice, spread = advised(digits, MLP([100] * depth), activation)
    limit = max(2 * KEPT, 2 * advice.spread if advice.init != "lsuv" else 30)
    assert spread < limit, advice
    if name not in ("sigmoid", "softplus", "gelu", "silu"):
        assert spread < 6


def test_sigmoid_takes_larger_weights_the_deeper_it_is_but_not_those_of_the_edge(digits):
    scales = []
    for depth in (3, 5, 10, 20, 30):
        advice, _ = advised(digits, MLP([100] * depth), Sigmoid())
        scales.append(float(advice.init.partition("init.scale=")[2]))
    assert scales == sorted(scales)
    assert scales[0] < 10 < 40 < scales[-1] < 70  # half of all units are saturated at 103


def test_there_is_no_init_for_what_is_too_deep(digits):
    assert advised(digits, MLP([100] * 60), Sigmoid())[0] is None
    verdict = first_verdict(digits, MLP([100] * 60), "xavier", "sigmoid")
    assert "no init keeps them through 60 layers of sigmoid" in verdict.sentence


def test_the_verdict_says_whether_theory_expects_what_was_seen(digits):
    ill = first_verdict(digits, MLP(DEEP), "std001", "tanh")
    assert ", as predicted (χ₁ = 0.01 a layer, trainable to about 1 layer): " in ill.sentence
    well = first_verdict(digits, MLP(DEEP), "he")
    assert well.sentence.endswith(", as predicted (χ₁ = 1 a layer)")
    saturated = first_verdict(digits, MLP(DEEP), "std1", "sigmoid")
    assert saturated.word == "saturated"
    assert "as predicted" in saturated.sentence
    narrow = first_verdict(digits, MLP([5] * 60), "he")
    assert narrow.word != "healthy"
    assert "predicted" not in narrow.sentence or narrow.word in ("dead", "symmetric")


def test_a_net_too_narrow_for_theory_is_told_so(digits):
    verdict = first_verdict(digits, MLP([10] * 40), "he", seed=3)
    if verdict.word == "vanishing":
        assert "where theory, for wide nets, expects it healthy" in verdict.sentence


def first_verdict(data, model, init="he", activation="relu", **known):
    """The verdict on a network as initialised."""
    network = model.build(data.features, data.classes, ACTIVATIONS[activation], 100, np.float32)
    x, labels = data.train.x[:500] * np.float32(1 / 16), data.train.labels[:500]
    layer_inits = {place: load_option("init", option) for place, option in model.inits.items()}
    with np.errstate(over="ignore", invalid="ignore"):
        law = load_option("init", init)
        network.initialize(law, np.random.default_rng(0), x, layer_inits)
        snapshot = Probe(network, x, labels, data.classes).snapshot(0)
    typed = tuple(f"model.{place}_init={option}" for place, option in model.inits.items())
    advisor = Advisor(
        model, ACTIVATIONS[activation], law, layer_inits, Inputs.of(x), 64, 10, len(x)
    )
    context = Context(
        init, activation, 0.1, typed, model.residual, model.batch_norm, advisor=advisor
    )
    verdict = examine(snapshot, context)
    assert_is_sound(verdict, len(network.hidden))
    return verdict


def test_residual_branches_that_add_up_are_to_be_scaled_and_then_are_healthy(digits):
    verdict = first_verdict(digits, ResidualMLP(blocks=24))
    assert verdict.word == "exploding"
    assert verdict.sentence.endswith("and a smaller model.residual_scale keep them")
    assert first_verdict(digits, ResidualMLP(blocks=24, residual_scale=0.2)).word == "healthy"


@pytest.mark.parametrize(("init", "word"), [("std1", "exploding"), ("std0001", "vanishing")])
def test_a_residual_net_of_another_init_is_told_that_first(digits, init, word):
    verdict = first_verdict(digits, ResidualMLP(), init)
    assert verdict.word == word
    assert "with relu, init=xavier" in verdict.sentence
    assert ("residual_scale" in verdict.sentence) == (word == "exploding")


@pytest.mark.parametrize(
    "contexts", [{"branch_init": "zeros"}, {"residual_scale": 0.01}, {"residual_scale": 0.0}]
)
def test_a_residual_net_whose_branches_do_nothing_yet_is_healthy(digits, contexts):
    assert first_verdict(digits, ResidualMLP(blocks=10, **contexts)).word == "healthy"


def test_an_init_of_a_single_layer_that_does_harm_is_named(digits):
    verdict = first_verdict(digits, MLP(DEEP, input_init="std0001"))
    assert verdict.sentence.endswith(": leave out model.input_init=std0001")
    verdict = first_verdict(digits, MLP(DEEP, input_init="zeros"))
    assert verdict.word == "symmetric"
    assert verdict.sentence.endswith(": leave out model.input_init=zeros")


def test_units_that_begin_dead_are_a_matter_of_the_init_and_not_of_the_rate(digits):
    verdict = first_verdict(digits, MLP([200, 200]), "identity")
    assert verdict.word == "dead"
    assert verdict.sentence.endswith("take init=he, or activation=leaky_relu")


def test_a_net_too_deep_for_its_init_is_to_be_normalised_and_then_is_healthy(digits):
    verdict = first_verdict(digits, MLP([50] * 30), "xavier", "sigmoid")
    assert verdict.word == "vanishing"
    verdict = first_verdict(digits, MLP([20] * 60), "he")
    assert verdict.word in ("vanishing", "dead")
    assert "model.batch_norm=true" in verdict.sentence


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("init", ["std0001", "he"])
def test_batch_norm_of_five_layers_is_healthy_from_any_init(digits, init, place):
    model = MLP(DEEP, batch_norm=True, batch_norm_place=place, batch_norm_eps=1e-30)
    assert first_verdict(digits, model, init, "tanh").word == "healthy"


def test_what_training_did_is_told_of_the_rate_and_the_decay():
    context = Context("he", "relu", 0.1, weight_decay=1.0)
    ill = replace(HEALTHY, step=100, signal=[1.0, 0.1, 0.01, 0.001])
    verdict = judge([HEALTHY, ill], context)
    assert verdict.sentence.endswith("lower optimizer.lr, now 0.1, or train.weight_decay, now 1")
    assert "model.batch_norm=true" in judge([replace(ill, step=0), ill], context).sentence


@pytest.mark.parametrize(
    ("sizes", "word", "begun", "worst", "change"),
    [
        ([1, 5, 40, 3, 1], "exploding", 1, 2, "grow 6.3-fold a layer"),
        ([1, 1, 0.01, 1, 1], "vanishing", 2, 2, "shrink 100-fold a layer"),
        ([1, 0.1, 0.01, 0.001], "vanishing", 1, 3, "shrink 10-fold a layer"),
        ([1, 1, 0, 1], "vanishing", 2, 2, "shrink to nothing"),
        ([1, 2, math.inf, math.nan], "exploding", 2, 2, "grow beyond all numbers"),
    ],
)
def test_a_trend_is_measured_to_where_it_is_worst(sizes, word, begun, worst, change):
    assert find_trend([*map(float, sizes)]) == (word, begun, worst, change)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (3.21e-5, "3e-05"), (0.0123, "0.012"), (1.037, "1.04"), (5.84, "5.8"), (137, "140")],
)
def test_numbers_are_told_as_they_are_read_aloud(number, text):
    assert format_number(number) == text


def test_a_run_that_diverged_without_a_snapshot_is_judged_all_the_same():
    assert str(judge([], CONTEXT, 7)) == (
        "diverged: the loss at step 7 is not a finite number; lower optimizer.lr, now 0.1"
    )


EXTREMES = [0.0, 5e-324, 1e-310, 1e-200, 1.0, 1e308, math.inf, math.nan]


def test_no_number_makes_the_verdict_fail():
    words = set()
    for sizes in itertools.product(EXTREMES, repeat=4):
        for snapshot in (
            replace(HEALTHY, signal=[*sizes]),
            replace(HEALTHY, gradient=[*sizes[:3]]),
            replace(HEALTHY, asymmetry=[*sizes[:3]]),
            with_statistic("unit_dead", [*sizes[:3]]),
            with_statistic("unit_saturated", [*sizes[:3]]),
            with_statistic("unit_gradient_std", [*sizes[:3]]),
        ):
            verdict = judge([snapshot, snapshot], CONTEXT)
            assert_is_sound(verdict, 3)
            words.add(verdict.word)
        if not all(map(math.isfinite, sizes)):
            assert examine(replace(HEALTHY, signal=[*sizes]), CONTEXT).word == "exploding"
    assert words == {"healthy", "symmetric", "dead", "saturated", "vanishing", "exploding"}
