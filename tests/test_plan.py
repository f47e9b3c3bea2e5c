"""The trials of a grid have the names of what varies in it, and are counted before listed."""

import itertools
import time

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from initlab.config import ConfigError
from initlab.sweep.plan import Grid, count_values, growing, name_trials, refuse_unlistable


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


def covered(most, *sizes):
    """Return all trials of a grid with axes of these sizes, and those that are tried first."""
    axes = [[f"{key}={value}" for value in range(size)] for key, size in zip("abcd", sizes)]
    whole = [[*settings] for settings in itertools.product(*axes)]
    return whole, [whole[index] for index in Grid(whole, compose=None).covering(most)]


def parts_of(trials, size):
    return {some for settings in trials for some in itertools.combinations(settings, size)}


def test_every_two_settings_are_tried_together_before_a_large_grid_begins():
    whole, tried = covered(1000, 5, 6, 5, 4)
    assert parts_of(tried, 2) == parts_of(whole, 2)
    assert len(tried) < len(whole) / 3


def test_where_every_two_settings_are_too_many_keys_of_few_values_come_first():
    whole, tried = covered(100, 3, 4, 500)
    assert len(tried) == 100
    assert {settings[:2] for settings in map(tuple, tried)} == {
        settings[:2] for settings in map(tuple, whole)
    }


def test_trials_are_looked_up_in_few_and_growing_lists():
    assert [*growing(range(12), 2, 4)] == [[0, 1], [*range(2, 10)], [10, 11]]
    assert [*growing([], 2, 4)] == []
