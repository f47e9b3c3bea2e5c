import math
from dataclasses import fields

import numpy as np
import pytest
from omegaconf import OmegaConf

from initlab.config import PROJECT, SCHEMAS, options
from initlab.nn.schedules import Constant, Cosine, Exponential, StepDecay, WarmupCosine


def factors(schedule, steps):
    return [schedule.factor(step, steps) for step in range(steps)]


def test_a_constant_schedule_leaves_the_rate_alone():
    assert factors(Constant(), 5) == [1.0] * 5


@pytest.mark.parametrize("cls", SCHEMAS["schedule"].values())
def test_a_schedule_says_whether_it_varies(cls):
    assert cls.varies == (len({*factors(cls(), 100)}) > 1)


# Thirds, rounded up, so that there is never a fourth stair for a step or two.
@pytest.mark.parametrize(
    ("steps", "stairs"), [(9, [3, 3, 3]), (10, [4, 4, 2]), (1000, [334, 334, 332]), (2, [1, 1])]
)
def test_step_falls_to_a_tenth_and_a_hundredth_at_the_thirds(steps, stairs):
    seen = factors(StepDecay(), steps)
    expected = np.repeat([1.0, 0.1, 0.01][: len(stairs)], stairs)
    np.testing.assert_allclose(seen, expected, rtol=1e-15)


def test_step_keeps_the_rate_between_two_falls():
    seen = factors(StepDecay(gamma=0.5, every=2), 7)
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_exponential_loses_the_same_share_at_every_step_and_ends_at_gamma():
    seen = factors(Exponential(gamma=0.1), 200)
    assert seen[0] == 1.0
    assert seen[100] == pytest.approx(math.sqrt(0.1), rel=1e-14)
    ratios = np.divide(seen[1:], seen[:-1])
    np.testing.assert_allclose(ratios, 0.1 ** (1 / 200), rtol=1e-13)
    assert seen[-1] * ratios[-1] == pytest.approx(0.1, rel=1e-13)  # where step 200 would be


def test_exponential_with_every_falls_by_gamma_each_time():
    seen = factors(Exponential(gamma=0.25, every=2), 5)
    np.testing.assert_allclose(seen, [1.0, 0.5, 0.25, 0.125, 0.0625], rtol=1e-15)


def test_cosine_is_half_a_cosine():
    seen = factors(Cosine(), 6)
    root = math.sqrt(3)
    expected = [1.0, (2 + root) / 4, 0.75, 0.5, 0.25, (2 - root) / 4]
    np.testing.assert_allclose(seen, expected, rtol=1e-14)


def test_cosine_ends_at_the_final_share():
    schedule = Cosine(final=0.2)
    assert schedule.factor(0, 1000) == 1.0
    assert schedule.factor(500, 1000) == pytest.approx(0.6, rel=1e-14)
    assert schedule.factor(999, 1000) == pytest.approx(0.2, abs=1e-5)
    assert factors(Cosine(final=1.0), 10) == [1.0] * 10


def test_warmup_rises_by_equal_steps_to_the_whole_rate_and_the_cosine_takes_over():
    seen = factors(WarmupCosine(warmup=4), 10)
    assert seen[:4] == [0.25, 0.5, 0.75, 1.0]
    assert seen[4:] == factors(Cosine(), 6)


def test_warmup_takes_a_tenth_of_the_steps_unless_told():
    assert factors(WarmupCosine(), 200) == factors(WarmupCosine(warmup=20), 200)
    assert factors(WarmupCosine(), 9) == factors(WarmupCosine(warmup=1), 9)


def test_warmup_goes_down_to_the_final_share():
    seen = factors(WarmupCosine(final=0.2, warmup=4), 10)
    assert seen[:4] == [0.25, 0.5, 0.75, 1.0]
    assert seen[4:] == factors(Cosine(final=0.2), 6)


def test_without_warmup_there_is_a_plain_cosine():
    assert factors(WarmupCosine(warmup=0), 50) == factors(Cosine(), 50)


@pytest.mark.parametrize("warmup", [10, 11, 1000])
def test_a_warmup_as_long_as_the_run_or_longer_only_rises(warmup):
    seen = factors(WarmupCosine(warmup=warmup), 10)
    np.testing.assert_allclose(seen, np.arange(1, 11) / warmup, rtol=1e-15)


def test_a_fall_beyond_the_last_step_is_never_reached():
    assert factors(StepDecay(every=1000), 10) == [1.0] * 10
    assert min(factors(Exponential(every=1000), 10)) > 0.1 ** (1 / 100)


@pytest.mark.parametrize("schedule", [StepDecay(), Exponential(), Cosine(), Cosine(final=0.3)])
def test_the_rate_never_rises_but_in_a_warmup(schedule):
    for steps in (2, 10, 999):
        assert (np.diff(factors(schedule, steps)) <= 0).all()


EXTREMES = [
    *(cls() for cls in SCHEMAS["schedule"].values()),
    *(cls(every=1) for cls in (StepDecay, Exponential)),
    *(cls(every=7, gamma=gamma) for cls in (StepDecay, Exponential) for gamma in (5e-324, 1.0)),
    *(cls(final=final) for cls in (Cosine, WarmupCosine) for final in (0.1, 0.3, 1.0)),
    *(WarmupCosine(warmup=warmup) for warmup in (0, 1, 2, 3, 999, 10**9)),
]


@pytest.mark.parametrize("schedule", EXTREMES, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_every_factor_is_a_share(schedule, steps):
    seen = factors(schedule, steps)
    assert {type(factor) for factor in seen} == {float}, "a NumPy number would widen float32"
    assert all(0 <= factor <= 1 for factor in seen)


@pytest.mark.parametrize("cls", SCHEMAS["schedule"].values())
def test_a_run_of_one_step_has_the_whole_rate(cls):
    assert cls().factor(0, 1) == 1.0


@pytest.mark.parametrize(
    ("cls", "name", "values"),
    [
        *((cls, "gamma", [0.0, -0.1, 1.1]) for cls in (StepDecay, Exponential)),
        *((cls, "every", [0, -1]) for cls in (StepDecay, Exponential)),
        *((cls, "final", [-0.1, 1.1]) for cls in (Cosine, WarmupCosine)),
        (WarmupCosine, "warmup", [-1]),
    ],
)
def test_bad_settings_are_refused_by_name(cls, name, values):
    for value in [*values, math.nan, math.inf]:
        with pytest.raises(ValueError, match=rf"^{name} must be .*; got {value}$"):
            cls(**{name: value})


@pytest.mark.parametrize("option", options("schedule"))
def test_an_option_has_the_defaults_of_its_class(option):
    settings = OmegaConf.load(PROJECT / "conf" / "schedule" / f"{option}.yaml")
    cls = SCHEMAS["schedule"][settings.pop("defaults")[0]["/schema/schedule@_here_"]]
    assert settings == {field.name: field.default for field in fields(cls)}
