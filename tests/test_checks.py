import math

import pytest

from initlab import checks

NOT_FINITE = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", [0.0, -1.0, *NOT_FINITE])
def test_positive_refuses_zero_negatives_and_what_is_not_finite(value):
    with pytest.raises(ValueError, match=rf"^lr must be greater than 0; got {value}$"):
        checks.positive("lr", value)


@pytest.mark.parametrize("value", ["big", "1.5", "", 0, -1, *NOT_FINITE])
def test_positive_or_refuses_other_texts_and_what_positive_refuses(value):
    message = rf"^gain must be auto, critical or a number greater than 0; got {value!r}$"
    with pytest.raises(ValueError, match=message):
        checks.positive_or("gain", value, ("auto", "critical"))


@pytest.mark.parametrize("value", [1.9, -5, *NOT_FINITE])
def test_at_least_refuses_what_lies_below_and_what_is_not_finite(value):
    with pytest.raises(ValueError, match=rf"^steps must be at least 2; got {value}$"):
        checks.at_least("steps", value, 2)


@pytest.mark.parametrize("value", [-1e-9, 1 + 1e-9, *NOT_FINITE])
def test_within_refuses_what_lies_outside_and_what_is_not_finite(value):
    with pytest.raises(ValueError, match=rf"^final must be at least 0 and at most 1; got {value}$"):
        checks.within("final", value, 0, 1)


@pytest.mark.parametrize("value", [-1e-9, 1.0, *NOT_FINITE])
def test_fraction_refuses_one_and_everything_outside(value):
    with pytest.raises(ValueError, match=rf"^beta1 must be .* less than 1; got {value}$"):
        checks.fraction("beta1", value)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_finite_refuses_infinities_and_nan(value):
    with pytest.raises(ValueError, match=rf"^value must be a finite number; got {value}$"):
        checks.finite("value", value)


def test_one_of_names_the_choices_and_the_value():
    with pytest.raises(ValueError, match=r"^mode must be one of fan_in, fan_out; got 'fanin'$"):
        checks.one_of("mode", "fanin", iter(["fan_in", "fan_out"]))


def test_the_ends_of_each_range_are_accepted():
    checks.positive("lr", 5e-324)
    checks.positive_or("gain", 5e-324, ("auto",))
    checks.positive_or("gain", "auto", ("auto",))
    checks.at_least("steps", 2, 2)
    checks.within("final", 0.0, 0, 1)
    checks.within("final", 1.0, 0, 1)
    checks.fraction("beta1", 0)
    checks.fraction("beta1", math.nextafter(1, 0))
    checks.finite("value", -1e308)
    checks.one_of("mode", "fan_out", ["fan_in", "fan_out"])


def test_an_error_in_one_line_is_only_shown_whoever_wrote_it():
    assert checks.one_line(OSError("no\x1b[2J\u202e\nmore")) == "OSError: no�[2J�"
    assert checks.one_line(checks.UserError("no\x07")) == "no�"
