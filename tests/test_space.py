"""Spaces: what a search chooses from, read as Hydra reads it."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from initlab.config import ConfigError
from initlab.search.space import Dimension, Space

PARSER = OverridesParser.create()


def space(*typed):
    return Space(PARSER.parse_overrides([*typed]), limit=100)


@pytest.mark.parametrize(
    ("typed", "dimension"),
    [
        ("a=interval(0,1)", Dimension("a", "float", 0.0, 1.0)),
        ("a=tag(log,interval(1e-4,1))", Dimension("a", "float", 1e-4, 1.0, log=True)),
        ("a=int(interval(1,5))", Dimension("a", "int", 1, 5, 1)),
        ("a=range(1,4)", Dimension("a", "int", 1, 3, 1, choices=("1", "2", "3"))),
        ("a=range(10,31,10)", Dimension("a", "int", 10, 30, 10, choices=("10", "20", "30"))),
        ("a=tag(log,range(1,101))", Dimension("a", "int", 1, 100, 1, True)),
        ("a=range(0,1,0.25)", Dimension("a", "float", 0.0, 0.75, 0.25)),
        ("a=x,y,x", Dimension("a", "choice", choices=("x", "y"))),
        ("a=choice([1,2],'b c')", Dimension("a", "choice", choices=("[1,2]", "b\\ c"))),
        ("a=null,true", Dimension("a", "choice", choices=("null", "True"))),
    ],
)  # fmt: skip
def test_a_dimension_is_what_hydra_reads(typed, dimension):
    assert space(typed).dimensions == [dimension]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("a=interval(1,0)", "the lower one first"),
        ("a=interval(0,inf)", "must be finite"),
        ("a=tag(log,interval(0,1))", "logarithmic range must be greater than 0; got 0"),
        ("a=tag(lin,interval(0,1))", "the only tag is log; got lin"),
        ("a=range(1,1)", "no value fits"),
        ("a=range(1,5,0)", "zero"),
        ("a=tag(log,range(1,9,2))", "integers in steps of 1"),
        ("a=tag(log,choice(1,2))", "for interval and range"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused_as_typed(typed, words):
    with pytest.raises(ConfigError) as error:
        space(typed)
    assert str(error.value).startswith(f"{typed}: ")
    assert words in str(error.value)


def test_the_last_word_on_a_key_counts_and_a_plain_value_fixes_it():
    found = space("a=interval(0,1)", "b=1,2", "a=3", "b=interval(0,2)")
    assert found.fixed == ["a=3"]
    assert found.dimensions == [Dimension("b", "float", 0.0, 2.0)]


def test_a_space_without_dimensions_is_refused():
    with pytest.raises(ConfigError, match="there is nothing to search"):
        space("a=1")


@pytest.mark.parametrize("value", [0.1, 1e-300, 1 / 3, 0.00012345678901234567, 5e-324, 12345678.9])
def test_a_number_is_typed_with_every_digit(value):
    found = space("a=interval(0,1e9)")
    (override,) = PARSER.parse_overrides(found.overrides({"a": value}))
    assert override.value() == value


def test_a_point_is_typed_after_what_is_fixed_and_named_by_the_last_words():
    found = space("optimizer.lr=interval(0,1)", "init=he,xavier", "seed=3")
    point = {"optimizer.lr": 1 / 3, "init": "he"}
    assert found.overrides(point) == ["seed=3", "init=he", f"optimizer.lr={1 / 3!r}"]
    assert found.name(found.texts(point)) == "init=he lr=0.3333"
    alike = space("a.lr=1,2", "b.lr=1,2")
    assert alike.name({"a.lr": "1", "b.lr": "2"}) == "a.lr=1 b.lr=2"


def test_a_grid_has_all_combinations_and_an_interval_none():
    found = space("b=range(1,3)", "a=x,y").combinations
    assert found == [{"a": name, "b": number} for name in "xy" for number in (1, 2)]
    with pytest.raises(ConfigError, match=r"^b: hydra.sweeper.sampler=grid needs values"):
        _ = space("a=x,y", "b=interval(0,1)").combinations


def test_both_ends_of_each_dimension_are_looked_at():
    found = space("a=interval(0,1)", "b=x,y,z")
    first = {"a": "0.0", "b": "x"}
    assert [*found.corners(first)] == [
        first, {"a": "1.0", "b": "x"}, {"a": "0.0", "b": "y"}, {"a": "0.0", "b": "z"}
    ]  # fmt: skip
