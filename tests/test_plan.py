"""The trials of a grid have the names of what varies in it, and are counted before listed."""

import time

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from initlab.config import ConfigError
from initlab.sweep.plan import count_values, name_trials, refuse_unlistable


@pytest.mark.parametrize(
    ("grid", "names"),
    [
        ([["init=he"]], [""]),
        ([["init=he", "seed=0"], ["init=he", "seed=1"]], ["seed=0", "seed=1"]),
        (
            [["seed=0", "init=he"], ["seed=1", "init=zeros"]],
            ["init=he seed=0", "init=zeros seed=1"],
        ),
        (
            [["model.bias=True"], ["model.bias=False"]],
            ["model.bias=true", "model.bias=false"],
        ),
        # Settings that go with a choice of one trial alone are not in its name.
        (
            [["optimizer=sgd"], ["optimizer=lion", "optimizer.beta1=0"]],
            ["optimizer=sgd", "optimizer=lion"],
        ),
        (
            [["optimizer=a", "x=1"], ["optimizer=b", "y=2", "x=3"]],
            ["optimizer=a x=1", "optimizer=b x=3"],
        ),
    ],
)
def test_a_trial_is_named_by_what_varies_in_the_order_of_the_groups(grid, names):
    assert name_trials(grid) == names


PARSER = OverridesParser.create()


@pytest.mark.parametrize(
    "values",
    ["1,2,3", "choice(a)", "range(7)", "range(1,8,3)", "range(8,1,-3)", "range(0,1,0.1)",
     "range(0,1,0.3)", "range(1,0,-0.25)", "sort(3,1,2)", "shuffle(range(5))"],
)  # fmt: skip
def test_values_are_counted_as_hydra_lists_them(values):
    (override,) = PARSER.parse_overrides([f"a={values}"])
    assert count_values(override) == len([*override.sweep_string_iterator()])


def test_a_grid_is_measured_without_being_listed():
    started = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        refuse_unlistable(PARSER.parse_overrides(["a=range(1e9)", "b=1,2", "c=3"]), 100_000)
    assert time.perf_counter() - started < 1
    assert str(caught.value) == (
        "hydra.sweeper.limit must be at least the number of trials, 2,000,000,000 "
        "(1,000,000,000 of a x 2 of b); got 100,000"
    )


def test_what_is_typed_last_for_a_key_decides_the_size_of_a_grid():
    refuse_unlistable(PARSER.parse_overrides(["a=range(1e9)", "a=1,2"]), 2)
    refuse_unlistable(PARSER.parse_overrides(["a=range(1e9)", "a=1"]), 1)
