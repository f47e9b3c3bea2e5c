"""Which setting matters: shares of the variance of the score, and their chart."""

import itertools
import logging
import warnings

import matplotlib
import numpy as np
import optuna
import pytest

from initlab.report.charts import png
from initlab.report.charts.importance import MOST, draw_importance
from initlab.report.charts.layout import RC
from initlab.report.comparison import Comparison
from initlab.report.importance import importance, importance_note
from initlab.tracking.runs import Curve, Run


def made(number, score, outcome="finished", loss=None, **params):
    """Return a run of some params, with a test accuracy unless the score is None."""
    metrics = {} if score is None else {"test/accuracy": float(score)}
    curves = {} if loss is None else {"train/loss": Curve(np.arange(1), np.array([float(loss)]))}
    texts = {key: str(value) for key, value in params.items()}
    return Run(f"{number}", f"run {number}", outcome, params=texts, metrics=metrics, curves=curves)


def grid(score, **values):
    """Compare the runs of a full grid; the score is a function of its values."""
    points = [dict(zip(values, point)) for point in itertools.product(*values.values())]
    return Comparison([made(k, score(**point), **point) for k, point in enumerate(points)])


def searched(count, score, **extra):
    """Compare the runs of a random search over init, optimizer.lr and width."""
    rng = np.random.default_rng(3)
    points = [
        {
            "init": str(rng.choice(["he", "lecun", "xavier"])),
            "optimizer.lr": 10 ** rng.uniform(-4, 0),
            "width": rng.uniform(0, 1),
            **extra,
        }
        for _ in range(count)
    ]
    return Comparison([made(k, score(rng, point), **point) for k, point in enumerate(points)])


def parts(compared):
    """Return all shares by name."""
    found = importance(compared)
    return {each.name: each.share for each in (*found.shares, *found.rest)}


def drawn(compared):
    with matplotlib.rc_context(RC):
        return draw_importance(compared)


def peak(rng, point):
    """A score that depends on lr much, on init a little, and on width not at all."""
    inits = {"he": 0.0, "lecun": 0.6, "xavier": 1.2}
    rate = (np.log10(point["optimizer.lr"]) + 1.5) ** 2
    return inits[point["init"]] - rate + 0.1 * rng.normal()


def test_the_shares_of_a_grid_are_those_computed_by_hand():
    # Means: a 2 and 6, b 3 and 5, cells 1, 3, 5, 7 around 4, so a 4·2·4 = 32, b 8, a × b 0; and
    # within cells each of eight runs is 1 from its mean: 8. All in all 48.
    cells = {("x", 1): 1, ("x", 2): 3, ("y", 1): 5, ("y", 2): 7}
    compared = grid(lambda a, b, seed: cells[a, b] + 2 * seed - 1, a="xy", b=[1, 2], seed=[0, 1])
    assert parts(compared) == pytest.approx({"a": 32 / 48, "b": 8 / 48, "a × b": 0, "seed": 8 / 48})


def test_of_an_exclusive_or_all_is_the_combination():
    compared = grid(lambda a, b, seed: a ^ b, a=[0, 1], b=[0, 1], seed=[0, 1])
    assert parts(compared) == pytest.approx({"a × b": 1, "a": 0, "b": 0, "seed": 0})
    three = grid(lambda a, b, c: a ^ b ^ c, a=[0, 1], b=[0, 1], c=[0, 1])
    assert parts(three)["rest"] == pytest.approx(1)


def test_the_shares_of_a_grid_are_those_of_a_regression():
    rng = np.random.default_rng(0)
    sizes = {"a": 3, "b": 2, "c": 4, "seed": 2}
    compared = grid(
        lambda **_: rng.normal(), **{key: [*range(size)] for key, size in sizes.items()}
    )
    scores = np.array([run.accuracy for run in compared.runs])

    def explained(*keys):
        """The fraction that dummies for the keys' values and their combinations explain."""
        columns = [np.ones(len(scores))]
        for number in range(1, len(keys) + 1):
            for some in itertools.combinations(keys, number):
                for point in itertools.product(*(range(sizes[key]) for key in some)):
                    columns.append(
                        [
                            all(run.params[key] == str(value) for key, value in zip(some, point))
                            for run in compared.runs
                        ]
                    )
        design = np.array(columns, float).T
        fitted = design @ np.linalg.lstsq(design, scores, rcond=None)[0]
        return np.var(fitted) / np.var(scores)

    found = parts(compared)
    assert sum(found.values()) == pytest.approx(1)
    for key in "abc":
        assert found[key] == pytest.approx(explained(key))
    for one, two in itertools.combinations("abc", 2):
        left = explained(one, two) - explained(one) - explained(two)
        assert found[f"{one} × {two}"] == pytest.approx(left)
    assert found["seed"] == pytest.approx(1 - explained("a", "b", "c"))


def test_known_effects_are_found_and_what_is_chance_is_marked():
    rng = np.random.default_rng(1)
    compared = grid(
        lambda a, b, **_: 3 * a + 0.2 * b + rng.normal(), a=range(4), b=range(3), seed=range(40)
    )
    # Variances: of a 9 · 5/4, of b 0.04 · 2/3, and of the noise 1.
    total = 9 * 5 / 4 + 0.04 * 2 / 3 + 1
    assert parts(compared)["a"] == pytest.approx(9 * 5 / 4 / total, abs=0.02)
    assert parts(compared)["seed"] == pytest.approx(1 / total, abs=0.02)
    marks = {each.name: each.chance for each in importance(compared).shares}
    assert marks == {"a": False, "b": False, "a × b": True}


@pytest.mark.parametrize(
    "values", [{"a": "xyz", "b": "xy", "seed": range(3)}, {"a": "xyz", "b": "xy", "c": range(4)}]
)
def test_chance_is_taken_for_an_effect_in_one_of_twenty_grids(values):
    rng = np.random.default_rng(2)
    found = [importance(grid(lambda **_: rng.normal(), **values)) for _ in range(300)]
    for name in ("a", "b", "a × b"):
        marks = [each.chance for one in found for each in one.shares if each.name == name]
        assert 0.02 < 1 - np.mean(marks) < 0.08


def test_keys_that_change_together_have_one_share():
    pairs = {"relu": "he", "tanh": "xavier", "selu": "lecun"}
    points = itertools.product(pairs.items(), (1, 2), (0, 1))
    runs = [
        made(k, 3 * len(init) + lr + 0.1 * seed, init=init, activation=activation, lr=lr, seed=seed)
        for k, ((activation, init), lr, seed) in enumerate(points)
    ]
    compared = Comparison(runs)
    assert [*parts(compared)] == ["init with activation", "lr", "init with activation × lr", "seed"]
    assert sum(parts(compared).values()) == pytest.approx(1)
    assert "init with activation: they change together." in drawn(compared).caption
    alone = Comparison([run for run in runs if run.params["lr"] == "1"] * 3)
    assert importance(alone) is None


def test_a_key_that_follows_from_another_one_is_part_of_it():
    points = itertools.product([("a", 1), ("b", 1), ("c", 2)], (1, 2))
    runs = [made(k, k * k, init=i, gain=gain, lr=lr) for k, ((i, gain), lr) in enumerate(points)]
    assert {*parts(Comparison(runs))} == {"init with gain", "lr", "init with gain × lr"}


def test_the_shares_of_a_search_are_estimated_and_those_of_chance_marked():
    compared = searched(60, peak)
    found = importance(compared)
    assert found.estimated
    assert [each.name for each in found.shares[:2]] == ["optimizer.lr", "init"]
    assert not found.shares[0].chance
    assert {each.name: each.chance for each in found.shares}["width"]
    # By the variances of the effects; a forest of 60 runs is no better than that.
    assert found.shares[0].share == pytest.approx(0.83, abs=0.15)
    assert sum(parts(compared).values()) == pytest.approx(1)


def test_a_search_of_noise_explains_nothing():
    compared = searched(20, lambda rng, point: rng.normal())
    found = importance(compared)
    assert max(each.share for each in found.shares) > 0.2  # which a forest finds in any numbers
    assert all(each.chance for each in found.shares)
    assert "no setting explains more" in importance_note(compared)


def test_a_grid_with_holes_is_estimated_without_the_runs_that_did_not_finish():
    compared = grid(lambda a, b, seed: a, a=range(3), b="xy", seed=range(3))
    *most, last = compared.runs
    lost = Comparison([*most, made("lost", 1e9, "diverged", **last.params)])
    found = importance(lost)
    assert (found.estimated, found.runs, found.unused) == (True, 17, 1)
    assert found.shares[0].name == "a"
    assert found.shares[0].share > 0.9
    assert "1 of 18 runs did not finish with a score and are not used." in drawn(lost).caption


def test_a_value_whose_runs_all_diverged_leaves_the_grid_of_the_others():
    compared = grid(lambda a, b, seed: a + seed, a=range(3), b="xy", seed=range(2))
    runs = [
        made(k, None if run.params["b"] == "y" and run.params["a"] == "2" else run.accuracy,
             "diverged" if run.params["a"] == "2" else "finished", **run.params)
        for k, run in enumerate(compared.runs)
    ]  # fmt: skip
    found = importance(Comparison(runs))
    assert (found.each, found.runs, found.unused) == (2, 8, 4)


def test_a_key_that_some_runs_lack_has_none_as_a_value():
    rng = np.random.default_rng(5)
    runs = [made(k, rng.normal(), model="mlp", lr=k % 4) for k in range(8)]
    runs += [
        made(k, 9 + beta, model="mlp", lr=k % 4, beta=beta)
        for k, beta in enumerate([0.1] * 4 + [0.2] * 4 + [0.3] * 3, 8)
    ]
    shares = importance(Comparison(runs)).shares
    assert shares[0].name == "beta"
    assert shares[0].share > 0.9


@pytest.mark.parametrize("scale", [1e300, 1e-300, 1.0])
def test_the_scale_of_losses_does_not_matter(scale):
    runs = [
        made(k, None, loss=scale * (a + 2 * b), a=a, b=b)
        for k, (a, b) in enumerate(itertools.product((1, 2), (1, 2)))
    ]
    assert parts(Comparison(runs)) == pytest.approx({"a": 0.2, "b": 0.8, "a × b": 0})


def test_losses_of_different_orders_of_magnitude_are_compared_by_their_logarithm():
    runs = [
        made(k, None, loss=10.0 ** (a + b), a=a, b=b)
        for k, (a, b) in enumerate(itertools.product((-6, -3), (0, 1)))
    ]
    compared = Comparison(runs)
    assert parts(compared) == pytest.approx({"a": 0.9, "b": 0.1, "a × b": 0})
    assert "of the logarithm of the train loss" in importance_note(compared)


@pytest.mark.parametrize(
    "compared",
    [
        Comparison([]),
        grid(lambda a, seed: a + seed, a=range(5), seed=range(3)),
        grid(lambda a, b: a + b, a=range(1, 3), b=range(1)),
        grid(lambda a, b, seed: 0.5, a=range(3), b=range(3), seed=range(2)),
        grid(lambda a, b: None, a=range(3), b=range(3)),
        grid(lambda a, data: a, a=range(3), data=["mnist", "digits"]),
        Comparison([made(k, k, a=k, b=-k % 3) for k in range(9)]),  # too few for a search
        Comparison([made(k, k, a=int(k > 3), b=int(k in (3, 6, 7))) for k in range(8)]),  # 3 1 2 2
    ],
)
def test_there_are_no_shares_where_there_is_nothing_to_compare(compared):
    assert importance(compared) is None
    assert drawn(compared) is None
    assert importance_note(compared) == ""


@pytest.mark.parametrize(
    "values",
    [
        ["1", "1.0"],
        ["nan", "inf", "1"],
        ["1e308", "-1e308", "0"],
        ["1e-320", "1e308"],
        ["9e307", "1e308"],
        ["[1, 2]", "[1]", ""],
        ["1", "1.0000000000000002"],
    ],
)
def test_any_values_can_be_explained(values):
    runs = [made(k, k % 3, key=values[k % len(values)], lr=k * 1e-3) for k in range(15)]
    assert 0 <= importance(Comparison(runs)).shares[-1].share <= 1


@pytest.mark.parametrize("shape", ["{}", "[{}, 1]"])
def test_a_value_of_its_own_in_each_run_is_no_dimension_of_its_own(shape):
    rng = np.random.default_rng(4)
    runs = [made(k, k % 7, shape=shape.format(k), lr=rng.uniform()) for k in range(40)]
    found = importance(Comparison(runs))
    assert found.estimated
    assert {share.name for share in found.shares} == {"shape", "lr"}


def test_an_estimate_is_the_same_each_time():
    assert importance(searched(30, peak)) == importance(searched(30, peak))


def test_optuna_keeps_its_messages_to_itself_and_its_verbosity():
    told, logger = [], logging.getLogger("optuna")
    handler = logging.Handler()
    handler.emit = told.append
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert importance(searched(12, peak))
        assert not told
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
        optuna.create_study()
        assert told
    finally:
        logger.removeHandler(handler)
        optuna.logging.set_verbosity(before)


def test_the_note_names_what_explains_most_in_one_sentence():
    noise = {0: -0.5, 1: 0.5}
    compared = grid(
        lambda init, lr, seed: 4 * (init == "he") + 2 * lr + noise[seed],
        init=["he", "xavier"], lr=[0, 1], seed=[0, 1],
    )  # fmt: skip
    # Variances 4, 1 and 1/4.
    assert importance_note(compared) == (
        "init explains 76% of the variance of the test accuracy, lr 19% and the seed 5%."
    )
    once = grid(lambda init, lr: 2 * (init == "he") + lr, init=["he", "xavier"], lr=[0, 1])
    assert importance_note(once).startswith("With one run a setting, init explains 80% of the")


def test_the_chart_has_a_bar_for_each_share_with_its_percentage():
    compared = grid(lambda a, b, seed: 2 * a + b + 0.1 * seed, a=[0, 1], b=[0, 1], seed=[0, 1])
    chart = drawn(compared)
    (panel,) = chart.figure.axes
    widths = [bar.get_width() for bar in panel.patches]
    assert widths == pytest.approx([*parts(compared).values()])
    assert [text.get_text() for text in panel.texts] == ["80%", "20%", "0%", "0%"]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["a", "b", "a × b", "seed"]
    assert "over 8 runs" in chart.caption
    assert "analysis of variance" in chart.caption
    assert "×: what a combination adds." in chart.caption
    assert "Pale" in chart.caption  # a × b is nothing
    assert "a 80%, b 20%, a × b 0% (may be chance), seed 0%" in chart.alt


def test_small_shares_are_summed():
    rng = np.random.default_rng(7)
    compared = grid(lambda **_: rng.normal(), **dict.fromkeys("abcde", "xy"))
    (panel,) = drawn(compared).figure.axes
    names = [text.get_text() for text in panel.get_yticklabels()]
    assert len(names) == MOST
    assert names[-2:] == ["9 others", "rest"]
    assert sum(bar.get_width() for bar in panel.patches) == pytest.approx(1)


@pytest.mark.parametrize("key", ["$x_{", "<b>&", "k" * 300, "日本", "a\nb\x1b[31m", "_hidden"])
def test_any_name_is_drawn_within_the_picture(key):
    compared = grid(lambda **at: len(at[key]) + at["b"], **{key: ["x", "xyz"], "b": [0, 1]})
    chart = drawn(compared)
    assert len(png(chart.figure)) < 150_000
    (panel,) = chart.figure.axes
    width = chart.figure.bbox.width
    for text in (*panel.texts, *panel.get_yticklabels()):
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= width, text
