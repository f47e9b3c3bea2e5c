"""The trials of a grid have the names of what varies in it."""

import pytest

from initlab.sweep.plan import name_trials


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
    assert name_trials(grid) == list(zip(names, grid))
