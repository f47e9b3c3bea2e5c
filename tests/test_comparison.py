"""Many runs side by side: what varies, and which setting did best."""

import math

import numpy as np
import pytest

from initlab.report.comparison import (
    Comparison,
    Setting,
    Spread,
    natural,
    varying,
)
from initlab.report.formatting import describe_ending, format_value
from initlab.tracking.runs import Curve, Run


def made(name="", outcome="finished", accuracy=None, loss=None, **options):
    """Return a run of the params in its name, such as init=he seed=0."""
    params = dict(pair.split("=") for pair in name.split())
    metrics = {} if accuracy is None else {"test/accuracy": accuracy}
    curves = {} if loss is None else {"train/loss": curve([loss])}
    return Run(f"id of {name}", name, outcome, "", "", 1.0, params, metrics, curves, **options)


def curve(values):
    return Curve(np.arange(len(values)), np.array(values, np.float64))


def test_a_spread_is_the_mean_and_the_standard_deviation_of_a_sample():
    spread = Spread.of([1.0, 2.0, None, 6.0])
    assert spread.mean == 3
    assert spread.std == pytest.approx(math.sqrt((4 + 1 + 9) / 2))


def test_one_value_has_no_deviation_and_none_no_spread():
    assert Spread.of([None, 5.0]) == Spread(5.0, None)
    assert Spread.of([None]) is None


def test_the_loss_of_a_run_is_the_mean_of_its_last_hundred_steps():
    run = Run("", "", "finished", curves={"train/loss": curve([50.0] * 200 + [1.0, 3.0] * 50)})
    assert run.loss == 2


def test_the_loss_of_a_quadratic_run_is_its_last_f():
    assert Run("", "", "finished", curves={"f": curve([9.0, 4.0, 1.0])}).loss == 1
    assert Run("", "", "finished").loss is None


@pytest.mark.parametrize(
    ("outcome", "verdict", "word"),
    [
        ("finished", "healthy", "healthy"),
        ("finished", "", "finished"),
        ("diverged", "diverged", "diverged"),
        ("pruned", "", "pruned"),
        ("failed", "", "failed"),
        ("killed", "healthy", "killed"),
    ],
)
def test_the_word_of_a_run_is_its_verdict_or_its_outcome(outcome, verdict, word):
    assert Run("", "", outcome, verdict).word == word


def test_the_word_of_a_setting_counts_where_its_runs_differ():
    healthy, dead = Run("", "", "finished", "healthy"), Run("", "", "finished", "dead")
    assert Setting(0, {}, [healthy, healthy]).word == "healthy"
    assert Setting(0, {}, [dead, healthy, healthy]).words == ["2 healthy", "1 dead"]
    assert Setting(0, {}, [dead, healthy, healthy]).word == "2 healthy, 1 dead"


@pytest.mark.parametrize(
    ("runs", "keys"),
    [
        (["init=he lr=1", "init=he lr=1"], []),
        (["init=he", "init=xavier"], ["init"]),
        (["init=he init.scale=2", "init=xavier init.scale=1"], ["init"]),
        (["init=he init.scale=2", "init=he init.scale=3"], ["init.scale"]),
        (
            ["init=he init.scale=2", "init=he init.scale=3", "init=xavier init.scale=1"],
            ["init", "init.scale"],
        ),
        (["optimizer=sgd", "optimizer=adam optimizer.beta1=0.9"], ["optimizer"]),
        (["init=he", "init=he dropout=0.5"], ["dropout"]),
        (
            ["seed=0 train.steps=1 init=he data=mnist activation=relu",
             "seed=1 train.steps=2 init=xavier data=digits activation=tanh"],
            ["init", "activation", "data", "train.steps", "seed"],
        ),
        (["model=mlp init=he data=digits seed=0", "model=quadratic"], ["model"]),
        (
            ["model=mlp init=he data=digits", "model=mlp init=zeros data=digits",
             "model=quadratic"],
            ["init", "model"],
        ),
        ([], []),
    ],
)  # fmt: skip
def test_what_varies_is_what_one_must_know_to_tell_the_runs_apart(runs, keys):
    assert varying([made(run).params for run in runs]) == keys


def test_runs_that_differ_in_their_seed_alone_are_one_setting():
    names = ["init=xavier seed=1", "init=he seed=10", "init=he seed=9", "init=xavier seed=0"]
    compared = Comparison([made(f"{name} batch=10") for name in names])
    assert compared.varies == ["init", "seed"]
    assert compared.fixed == {"batch": "10"}
    assert [setting.name for setting in compared.settings] == ["init=he", "init=xavier"]
    assert [setting.number for setting in compared.settings] == [0, 1]
    seeds = [[run.params["seed"] for run in setting.runs] for setting in compared.settings]
    assert seeds == [["9", "10"], ["0", "1"]]


def test_numbers_and_lists_are_sorted_by_size_and_before_names():
    values = ["null", "10", "[200, 200]", "1e-3", "[50]", "0.2", "auto", "[200, 100]", "nan", "-1"]
    assert sorted(values, key=natural) == [
        "-1", "1e-3", "0.2", "10", "[50]", "[200, 100]", "[200, 200]", "auto", "nan", "null"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "name"),
    [
        (["init=he seed=3"], "init=he"),
        (["init=he seed=0 train.steps=5", "init=he seed=1 train.steps=5"], "init=he train.steps=5"),
        (["seed=0", "seed=1"], "seed=0"),
    ],
)
def test_a_setting_that_stands_alone_has_the_name_of_a_run_less_its_seed(runs, name):
    (setting,) = Comparison([made(run) for run in runs]).settings
    assert setting.name == name


def test_a_setting_that_stands_alone_without_a_name_is_called_by_its_init():
    runs = [Run("", f"seed={seed}", "finished", params={"init": "he", "seed": seed})
            for seed in "01"]  # fmt: skip
    assert Comparison(runs).settings[0].name == "init=he"


def test_means_are_of_the_runs_that_finished():
    runs = [
        made("init=he seed=0", accuracy=0.8, loss=1.0),
        made("init=he seed=1", accuracy=0.9, loss=2.0),
        made("init=he seed=2", "diverged", accuracy=0.1, loss=1e9),
        made("init=he seed=3", "failed"),
    ]
    (setting,) = Comparison(runs).settings
    assert setting.accuracy.mean == pytest.approx(0.85)
    assert setting.accuracy.std == pytest.approx(0.05 * math.sqrt(2))
    assert setting.loss.mean == 1.5
    assert len(setting.finished) == 2
    assert len(setting.runs) == 4


def test_settings_are_ranked_by_accuracy_then_by_loss_and_failures_come_last():
    runs = [
        made("init=a", "diverged", accuracy=0.99, loss=0.0),
        made("init=b", loss=5.0),
        made("init=c", accuracy=0.5, loss=2.0),
        made("init=d", accuracy=0.5, loss=1.0),
        made("init=e", accuracy=0.9, loss=9.0),
        made("init=f"),
        made("init=g", "failed"),
    ]
    ranked = [setting.values["init"] for setting in Comparison(runs).ranked]
    assert ranked == ["e", "d", "c", "b", "f", "a", "g"]


def test_settings_are_ranked_by_validation_accuracy_where_there_is_one():
    found = {"a": (0.9, 0.5), "b": (0.8, 0.7), "c": (0.7, 0.6)}  # on test set, validation set
    runs = [
        Run("", "", "finished", params={"init": name},
            metrics={"test/accuracy": test, "validation/accuracy": held_out})
        for name, (test, held_out) in found.items()
    ]  # fmt: skip
    ranked = Comparison(runs).ranked
    assert [setting.values["init"] for setting in ranked] == ["b", "c", "a"]
    assert [setting.score.mean for setting in ranked] == [0.7, 0.6, 0.5]
    assert ranked[0].accuracy.mean == 0.8


def test_what_was_pruned_comes_after_what_finished_and_before_what_failed():
    outcomes = {"a": "failed", "b": "pruned", "c": "diverged", "d": "finished"}
    runs = [made(f"init={name}", outcome, accuracy=0.5) for name, outcome in outcomes.items()]
    assert [setting.values["init"] for setting in Comparison(runs).ranked] == ["d", "b", "a", "c"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.0012345678901234567", "0.001235"),
        ("1.2345678901234567e-06", "1.235e-06"),
        ("-12345.678", "-1.235e+04"),
        ("0.001", "0.001"),
        ("0.123456", "0.123456"),
        ("0.000001234", "0.000001234"),
        ("12345678", "12345678"),
        ("[0.12345678, 0.1]", "[0.12345678, 0.1]"),
        ("1.2.3456789", "1.2.3456789"),
        ("he", "he"),
        ("", ""),
    ],
)
def test_tables_show_four_digits_of_a_number_that_nobody_would_type(value, shown):
    assert format_value(value) == shown


def test_quadratic_runs_are_ranked_by_their_last_f():
    ends = {"sgd": 0.5, "adam": 1e-9, "momentum": 3.0}
    runs = [
        Run("", "", "finished", params={"optimizer": name}, curves={"f": curve([9.0, end])})
        for name, end in ends.items()
    ]
    ranked = [setting.values["optimizer"] for setting in Comparison(runs).ranked]
    assert ranked == ["adam", "sgd", "momentum"]


def test_only_what_learns_from_the_same_data_is_ranked_against_each_other():
    runs = [
        made("model=mlp data=mnist init=a", accuracy=0.7),
        made("model=mlp data=digits init=a", accuracy=0.8),
        made("model=mlp data=mnist init=b", accuracy=0.9),
        made("model=mlp data=digits init=b", "failed"),
        made("model=quadratic optimizer=sgd"),
    ]
    compared = Comparison(runs)
    names = [(each.runs[0].params.get("data"), each.values.get("init")) for each in compared.ranked]
    assert names == [
        (None, None), ("digits", "a"), ("digits", "b"), ("mnist", "b"), ("mnist", "a"),
    ]  # fmt: skip
    assert compared.data == ["", "digits", "mnist"]


def test_learning_rates_that_go_with_the_optimizer_are_known():
    own = ["optimizer=sgd optimizer.lr=0.1", "optimizer=adam optimizer.lr=0.001"]
    assert Comparison([made(name) for name in own]).rates == {"adam": "0.001", "sgd": "0.1"}
    alike = ["optimizer=sgd optimizer.lr=0.1", "optimizer=adam optimizer.lr=0.1"]
    assert Comparison([made(name) for name in alike]).rates == {}
    swept = [*own, *alike]
    assert Comparison([made(name) for name in swept]).rates == {}


@pytest.mark.parametrize(
    ("outcome", "options", "text"),
    [
        ("diverged", {"ended_step": 7}, "diverged at step 7"),
        ("pruned", {"ended_step": 30}, "pruned at step 30"),
        ("failed", {"reason": "MemoryError: no room"}, "failed: MemoryError: no room"),
        ("failed", {"reason": "failed to draw"}, "failed: failed to draw"),
        ("killed", {}, "killed"),
    ],
)
def test_the_ending_of_a_run_is_its_outcome_with_the_step_or_the_reason(outcome, options, text):
    assert describe_ending(Run("", "", outcome, **options)) == text


def test_a_comparison_of_nothing_is_empty():
    compared = Comparison([])
    assert (compared.runs, compared.varies, compared.fixed, compared.ranked) == ([], [], {}, [])
