import itertools
import math
import os
from dataclasses import replace

import numpy as np
import pytest

from initlab.config import SCHEMAS
from initlab.data import batches
from initlab.data.datasets import Data, Digits, Gaussian, IdxFiles, Samples
from initlab.nn.activations import Relu, Sigmoid, Tanh
from initlab.nn.diagnostics import Probe
from initlab.nn.initializers import Normal, VarianceScaling
from initlab.nn.models import MLP
from initlab.nn.optimizers import SGD, Adam
from initlab.nn.schedules import Constant, Schedule, StepDecay
from initlab.nn.training import Evaluation, Step, Training, fit

HE = VarianceScaling(scale=2.0)


@pytest.fixture(scope="module")
def digits():
    return Digits().load(np.random.default_rng(0))


def synthetic(train=300, test=1003, features=6, classes=4, validation=0):
    """Random bytes with labels that depend on them."""
    rng = np.random.default_rng(0)
    parts = []
    for n in (train, validation, test):
        x = rng.integers(256, size=(n, features), dtype=np.uint8)
        parts.append(Samples(x, x[:, :classes].argmax(axis=1), 1 / 255))
    return Data(*parts, features, classes, "synthetic")


def build(data, hidden=(20, 15), activation=None, init=HE, dtype=np.float32, batch=100, seed=0):
    network = MLP(list(hidden)).build(
        data.features, data.classes, activation or Relu(), batch, dtype
    )
    network.initialize(init, np.random.default_rng([seed, 1]))
    return network


def train(data, config, optimizer=None, network=None, schedule=None, **settings):
    network = network or build(data, **settings)
    schedule = schedule or Constant()
    return [
        *fit(
            network,
            optimizer or SGD(),
            schedule,
            data,
            config,
            np.random.default_rng(5),
        )
    ]


def losses(steps):
    return [step.loss for step in steps if step.loss is not None]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


TEXTBOOK = {
    "relu": (Relu(), lambda z: np.where(z > 0, z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "sigmoid": (Sigmoid(), sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (Tanh(), np.tanh, lambda z: 1 / np.cosh(z) ** 2),
}


def reference(data, weights, biases, value, slope, lr, decay, batch, steps):
    """Yield the loss of each step of gradient descent; change weights and biases in place."""
    rng = np.random.default_rng(5)
    n = len(data.train)
    order = np.concatenate([rng.permutation(n) for _ in range(steps * batch // n + 1)])
    inputs = np.float64(data.train.x) * data.train.scale
    targets = np.eye(data.classes)[data.train.labels]
    for step in range(steps):
        rows = order[step * batch : (step + 1) * batch]
        ys, zs = [inputs[rows]], []
        for w, b in zip(weights, biases):
            zs.append(np.einsum("bi,io->bo", ys[-1], w) + b)
            ys.append(value(zs[-1]))
        softmax = np.exp(zs[-1]) / np.exp(zs[-1]).sum(axis=1, keepdims=True)
        yield -np.sum(targets[rows] * np.log(softmax)) / batch

        dz = (softmax - targets[rows]) / batch
        for layer in reversed(range(len(weights))):
            dw, db = np.einsum("bi,bo->io", ys[layer], dz), dz.sum(axis=0)
            if layer:
                dz = np.einsum("bo,io->bi", dz, weights[layer]) * slope(zs[layer - 1])
            weights[layer] = weights[layer] - lr * (dw + decay * weights[layer])
            biases[layer] = biases[layer] - lr * db


@pytest.mark.parametrize(
    ("name", "decay"), [("relu", 0.0), ("sigmoid", 0.0), ("tanh", 0.0), ("relu", 0.01)]
)
def test_a_thousand_steps_equal_those_of_the_textbook(digits, name, decay):
    activation, value, slope = TEXTBOOK[name]
    network = build(digits, (30, 25), activation, dtype=np.float64, batch=50)
    # Biases that are not zero show that weight decay spares them.
    for number in (1, 2, 3):
        network.parameters.views[f"b{number}"][...] = 0.3
    weights = [layer.W.copy() for layer in network.dense]
    biases = [layer.b.copy() for layer in network.dense]
    config = Training(steps=1000, batch_size=50, weight_decay=decay, eval_every=400)
    found = losses(train(digits, config, SGD(0.1), network))
    expected = [*reference(digits, weights, biases, value, slope, 0.1, decay, 50, 1000)]
    # Roundings of 1e-16 a step grow while the loss falls a hundredfold; 1e-12 is usual.
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert expected[-1] < 0.5 * expected[0]
    for layer, w, b in zip(network.dense, weights, biases, strict=True):
        np.testing.assert_allclose(layer.W, w, rtol=0, atol=1e-9)
        np.testing.assert_allclose(layer.b, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("batching", batches.BATCHING)
def test_the_same_seeds_give_the_same_losses_to_the_last_bit(digits, batching):
    config = Training(steps=60, batching=batching)
    assert losses(train(digits, config)) == losses(train(digits, config))


def test_observing_changes_no_loss(digits):
    quiet = Training(steps=60, eval_every=60, snapshots=[])
    busy = Training(steps=60, eval_every=1, snapshots=[*range(61)], probe_size=300)
    assert losses(train(digits, quiet, Adam())) == losses(train(digits, busy, Adam()))


def test_another_init_activation_or_optimizer_sees_the_same_batches(digits, monkeypatch):
    seen = []

    def recording(rng, n, batch):
        for indices in batches.shuffle(rng, n, batch):
            seen[-1].append(indices.copy())
            yield indices

    monkeypatch.setitem(batches.BATCHING, "shuffle", recording)
    for settings in (
        {},
        {"init": Normal(0.01)},
        {"activation": Tanh()},
        {"optimizer": Adam()},
        {"hidden": [9]},
    ):
        seen.append([])
        train(digits, Training(steps=40, snapshots=[0, 7], eval_every=9), **settings)
        assert len(seen[-1]) == 40
        np.testing.assert_array_equal(seen[-1], seen[0])


def test_nothing_draws_from_the_generator_but_the_batches(digits):
    states = []
    for config in (Training(steps=20), Training(steps=20, snapshots=[3], eval_every=1)):
        rng = np.random.default_rng(5)
        list(fit(build(digits), SGD(), Constant(), digits, config, rng))
        states.append(rng.random())
    assert states[0] == states[1]


def test_step_k_is_the_state_after_k_updates(digits):
    """Its loss is that of batch k before the update, as written out here."""
    network = build(digits, dtype=np.float64)
    walk = batches.shuffle(np.random.default_rng(5), len(digits.train), 100)
    twin = build(digits, dtype=np.float64)
    seen = []
    for step in fit(
        network, SGD(0.1), Constant(), digits, Training(steps=3), np.random.default_rng(5)
    ):
        if step.loss is not None:
            rows = next(walk)
            logits = twin.forward(digits.train.x[rows] / 16)
            chosen = logits[np.arange(100), digits.train.labels[rows]]
            expected = (np.log(np.exp(logits).sum(axis=1)) - chosen).mean()
            assert step.loss == pytest.approx(expected, rel=1e-12)
        twin.parameters.vector[...] = network.parameters.vector
        seen.append((step.number, step.loss is None))
    assert seen == [(0, False), (1, False), (2, False), (3, True)]


@pytest.mark.parametrize(
    ("steps", "every", "evaluated"),
    [(10, 4, {0, 4, 8, 10}), (8, 4, {0, 4, 8}), (3, 100, {0, 3}), (0, 1, {0})],
)
def test_evaluations_come_first_last_and_every_so_many_steps(steps, every, evaluated):
    found = train(synthetic(test=20), Training(steps=steps, eval_every=every))
    assert [step.number for step in found] == [*range(steps + 1)]
    assert {step.number for step in found if step.evaluation} == evaluated


@pytest.mark.parametrize(
    ("steps", "batch", "examples", "every"),
    [
        (1000, 100, 1360, 100),  # digits: ten intervals
        (10_000, 100, 11_000, 1000),  # MNIST likewise
        (1000, 100, 11_000, 500),  # 22,000 in two intervals: within a quarter of 100,000
        (1000, 32, 11_000, 1000),  # one interval at the least
        (1001, 100, 1360, 101),
        (7, 1000, 10, 1),
    ],
)
def test_evaluations_by_default_are_ten_or_as_many_as_are_cheap(steps, batch, examples, every):
    found = Training(steps=steps, batch_size=batch).eval_steps(examples)
    assert found == {*range(0, steps, every), steps}
    affordable = (len(found) - 1) * examples <= steps * batch / 4
    assert len(found) == 2 or (affordable and len(found) <= 11)


def test_a_run_without_steps_is_evaluated_once():
    assert Training(steps=0).eval_steps(10) == {0}


def test_evaluations_count_all_sets_that_they_go_through():
    config = Training(steps=60, batch_size=4, probe_size=6)
    alone, held_out = synthetic(test=3), synthetic(test=3, validation=3)
    for data, every in ((alone, 10), (held_out, 12)):  # 6 + 3 + 3 examples: five times in 240 / 4
        steps = [step.number for step in train(data, config) if step.evaluation]
        assert steps == [*range(0, 60, every), 60], every


@pytest.mark.parametrize(
    ("given", "taken"),
    [(None, [0, 5, 11]), ([0], [0]), ([3, 7, 4], [3, 4, 7]), ([11], [11]), ([], [])],
)
def test_snapshots_are_taken_first_middle_and_last_or_where_asked(given, taken):
    found = train(synthetic(test=20), Training(steps=11, snapshots=given))
    assert [step.number for step in found if step.snapshot] == taken
    assert [step.snapshot.step for step in found if step.snapshot] == taken


def test_update_ratio_is_that_of_the_update_just_before(digits):
    network = build(digits, dtype=np.float64)
    config = Training(steps=6, snapshots=[0, 1, 4, 6])
    kept = []
    for step in fit(network, SGD(0.1), Constant(), digits, config, np.random.default_rng(5)):
        kept.append([layer.W.copy() for layer in network.dense])  # after the update of the step
        if not step.snapshot:
            continue
        if step.number == 0:
            assert "update_ratio" not in step.snapshot.statistics
            continue
        k = step.number
        now = kept[k - 1]
        before = kept[k - 2] if k > 1 else [*initial_weights(digits)]
        expected = [
            np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(now, before, strict=True)
        ]
        np.testing.assert_allclose(step.snapshot.statistics["update_ratio"], expected, rtol=1e-9)


def initial_weights(data):
    return [layer.W for layer in build(data, dtype=np.float64).dense]


def test_a_snapshot_shows_the_first_examples_in_the_state_of_its_step(digits):
    network = build(digits)
    config = Training(steps=4, snapshots=[0, 4], probe_size=70)
    x = digits.train.x[:70] * np.float32(1 / 16)
    before = Probe(network, x, digits.train.labels[:70], 10).snapshot(0)
    steps = train(digits, config, network=network)
    after = Probe(network, x, digits.train.labels[:70], 10).snapshot(4)
    assert steps[0].snapshot.statistics == before.statistics
    del steps[-1].snapshot.statistics["update_ratio"]
    assert steps[-1].snapshot.statistics == after.statistics
    assert before.statistics != after.statistics


@pytest.mark.parametrize("test_size", [1003, 1000, 500, 499, 1])
def test_evaluation_is_that_of_the_whole_test_set(test_size):
    data = synthetic(test=test_size)
    network = build(data, dtype=np.float64)
    config = Training(steps=30, batch_size=10, eval_every=30, probe_size=120)
    evaluation = train(data, config, SGD(0.5), network)[-1].evaluation

    def logits(samples):
        return network.clone_for(len(samples), "evaluate").forward(samples.x * samples.scale)

    out, labels = logits(data.test), data.test.labels
    chosen = out[np.arange(test_size), labels]
    loss = np.mean(np.log(np.exp(out).sum(axis=1)) - chosen)
    assert evaluation.test_loss == pytest.approx(loss, rel=1e-12)
    assert evaluation.test_accuracy == np.mean(out.argmax(axis=1) == labels)
    seen = data.train.first(120)
    assert evaluation.train_accuracy == np.mean(logits(seen).argmax(axis=1) == seen.labels)


def test_a_validation_set_is_looked_at_like_the_test_set_and_changes_no_loss():
    alone, held_out = (synthetic(validation=count) for count in (0, 40))
    held_out = replace(held_out, train=alone.train, test=alone.test, validation=alone.test)
    plain, watched = (train(data, Training(steps=20, eval_every=5)) for data in (alone, held_out))
    assert losses(plain) == losses(watched)
    for one, other in zip(plain, watched, strict=True):
        if one.evaluation:
            assert one.evaluation.validation_loss is None
            assert one.evaluation.accuracy == one.evaluation.test_accuracy
            assert other.evaluation.validation_loss == one.evaluation.test_loss
            assert other.evaluation.accuracy == one.evaluation.test_accuracy


def test_a_batch_may_be_larger_than_the_data():
    data = synthetic(train=30, test=20)
    for batching in batches.BATCHING:
        config = Training(steps=40, batch_size=64, batching=batching)
        found = losses(train(data, config, SGD(0.5), batch=64))
        assert found[-1] < found[0]


def test_data_without_labels_give_one_step_with_a_snapshot_without_gradients():
    data = Gaussian(samples=50, features=8).load(np.random.default_rng(0))
    (step,) = train(data, Training(steps=0))
    assert (step.number, step.loss, step.evaluation, step.diverged) == (0, None, None, False)
    assert set(step.snapshot.histograms) == {"activations", "weights"}
    assert step.snapshot.gradient == []
    assert not {"unit_gradient_std", "weight_gradient_std"} & set(step.snapshot.statistics)
    assert len(step.snapshot.signal) == 3


def test_no_steps_leave_the_network_as_initialised(digits):
    network = build(digits)
    before = network.parameters.vector.copy()
    (step,) = train(digits, Training(steps=0), network=network)
    assert step.evaluation
    assert step.snapshot.gradient
    np.testing.assert_array_equal(network.parameters.vector, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_stops_at_the_first_loss_that_is_not_finite(digits, dtype):
    config = Training(steps=200, snapshots=[*range(201)], probe_size=100, eval_every=1)
    lr = 1e30 if dtype == np.float32 else 1e200
    steps = train(digits, config, SGD(lr), dtype=dtype)
    assert 1 < len(steps) < 201
    assert steps[-1].diverged
    assert not any(step.diverged for step in steps[:-1])
    assert [step.number for step in steps] == [*range(len(steps))]


def test_the_step_that_diverges_changes_the_weights_no_more(digits):
    network = build(digits, init=Normal(1e20))
    before = network.parameters.vector.copy()
    (step,) = train(digits, Training(steps=50), network=network)
    assert step.diverged
    assert not math.isfinite(step.loss)
    np.testing.assert_array_equal(network.parameters.vector, before)


def test_an_infinite_test_loss_stops_training_before_the_update(digits):
    far = Samples(np.full((5, 64), 1e38), np.arange(5), 1.0)
    network = build(digits)
    before = network.parameters.vector.copy()
    (step,) = train(replace(digits, test=far), Training(steps=50), network=network)
    assert math.isfinite(step.loss)
    assert step.diverged
    np.testing.assert_array_equal(network.parameters.vector, before)


def test_a_last_update_that_breaks_the_network_shows_in_its_test_loss(digits):
    first, last = train(digits, Training(steps=1), SGD(1e38))
    assert not first.diverged
    assert last.loss is None
    assert last.diverged


@pytest.mark.parametrize(
    ("step", "diverged"),
    [
        (Step(0), False),
        (Step(0, loss=0.0), False),
        (Step(0, loss=2.3), False),
        (Step(0, loss=math.nan), True),
        (Step(0, loss=math.inf), True),
        (Step(0, loss=1.0, evaluation=Evaluation(0.5, 1.0, 0.5)), False),
        (Step(0, loss=1.0, evaluation=Evaluation(0.5, math.nan, 0.5)), True),
        (Step(0, evaluation=Evaluation(0.5, math.inf, 0.5)), True),
        (Step(0, evaluation=Evaluation(0.5, 1.0, 0.5, math.nan, 0.5)), True),
    ],
)
def test_a_step_has_diverged_when_a_loss_is_not_finite(step, diverged):
    assert step.diverged is diverged


def test_the_consumer_keeps_its_own_floating_point_error_handling(digits):
    with np.errstate(over="raise", invalid="raise", divide="warn", under="ignore"):
        mine = np.geterr()
        network = build(digits)
        seen = []
        for step in fit(
            network,
            SGD(1e30),
            Constant(),
            digits,
            Training(steps=9),
            np.random.default_rng(5),
        ):
            seen.append((step.diverged, np.geterr()))
        assert seen[-1] == (True, mine)
        assert all(handling == mine for _, handling in seen)
        assert np.geterr() == mine


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": -1}, "steps must be at least 0; got -1"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"eval_every": 0}, "eval_every must be at least 1; got 0"),
        ({"probe_size": 0}, "probe_size must be at least 2; got 0"),
        ({"threads": 0}, "threads must be at least 1; got 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0; got -0.1"),
        ({"batching": "epoch"}, "batching must be one of shuffle, random, fixed; got 'epoch'"),
        ({"steps": 5, "snapshots": [0, 6]}, "snapshots must be within steps 0 to 5; got 6"),
        ({"snapshots": [-1]}, "snapshots must be within steps 0 to 1000; got -1"),
    ],
)
def test_bad_settings_are_refused_by_name(setting, message):
    with pytest.raises(ValueError, match=" must ") as caught:
        Training(**setting)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", SCHEMAS["optimizer"])
def test_every_optimizer_learns_the_digits(digits, name):
    optimizer = SCHEMAS["optimizer"][name]()
    last = train(digits, Training(steps=600), optimizer, hidden=(100,))[-1]
    assert last.evaluation.test_accuracy > 0.85  # a guess gives 0.1


class Half(Schedule):
    """Half the rate, and with every step less of it, but by nothing."""

    def factor(self, step, steps):
        return 0.5 + 0.0 * step / steps


def test_an_update_is_taken_at_the_rate_of_the_schedule(digits):
    config = Training(steps=30)
    half = train(digits, config, SGD(0.2), schedule=Half())
    assert losses(half) == losses(train(digits, config, SGD(0.1)))


def test_the_rate_is_told_at_every_step_where_it_varies_and_else_at_the_first(digits):
    config = Training(steps=6)
    rates = [step.lr for step in train(digits, config, SGD(0.2), schedule=StepDecay(0.5, 2))]
    assert rates == [0.2, 0.2, 0.1, 0.1, 0.05, 0.05, None]
    rates = [step.lr for step in train(digits, config, SGD(0.2))]
    assert rates == [0.2, *[None] * 6]


def norm_and_dropout(data, batch):
    model = MLP([30], batch_norm=True, dropout=0.5)
    rng = np.random.default_rng(7)
    network = model.build(data.features, data.classes, Relu(), batch, np.float32, rng)
    network.initialize(HE, np.random.default_rng(1))
    return network


def test_looking_at_batch_norm_and_dropout_does_not_change_the_losses(digits):
    often = Training(steps=20, eval_every=1, snapshots=[*range(21)])
    seldom = Training(steps=20, eval_every=20, snapshots=[])
    one, other = (
        losses(train(digits, config, network=norm_and_dropout(digits, 100)))
        for config in (often, seldom)
    )
    assert one == other


def test_evaluation_takes_running_statistics_and_drops_nothing(digits):
    network = norm_and_dropout(digits, 100)
    last = train(digits, Training(steps=50), network=network)[-1]
    p = network.parameters.arrays()
    z = digits.test.x * digits.test.scale @ p["W1"] + p["b1"]
    z = p["gamma1"] * (z - p["running_mean1"]) / np.sqrt(p["running_var1"] + 1e-5) + p["beta1"]
    logits = np.maximum(z, 0) @ p["W2"] + p["b2"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    picked = shares[np.arange(len(shares)), digits.test.labels]
    assert last.evaluation.test_loss == pytest.approx(-np.log(picked).mean(), rel=1e-4)
    correct = logits.argmax(axis=1) == digits.test.labels
    assert last.evaluation.test_accuracy == pytest.approx(correct.mean())


def test_weight_decay_makes_weights_smaller_and_is_not_part_of_the_loss(digits):
    plain, decayed = build(digits), build(digits)
    config = Training(steps=100)
    first = train(digits, config, network=plain)[0]
    also_first = train(digits, replace(config, weight_decay=0.05), network=decayed)[0]
    assert first.loss == also_first.loss
    assert np.square(decayed.parameters.weights).sum() < np.square(plain.parameters.weights).sum()


def test_a_fixed_batch_is_learnt_by_heart(digits):
    config = Training(steps=500, batch_size=20, batching="fixed")
    found = losses(train(digits, config, SGD(0.5)))
    assert found[-1] < 0.01
    assert all(after < before for before, after in itertools.pairwise(found[100:]))


@pytest.mark.skipif("INITLAB_DATA" not in os.environ, reason="INITLAB_DATA names no folder")
def test_mnist_is_learnt_in_a_few_hundred_steps():
    data = IdxFiles("mnist").load(np.random.default_rng(0))
    last = train(data, Training(steps=300, eval_every=300), SGD(0.5), hidden=(50,))[-1]
    assert last.evaluation.test_accuracy > 0.9
