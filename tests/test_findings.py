"""What runs say of the claims of a source."""

import inspect

import numpy as np
import pytest

from initlab.config import options
from initlab.report import claims, claims_theory
from initlab.report.claims import CLAIMS, findings
from initlab.report.comparison import Comparison
from initlab.report.findings import (
    Finding,
    MissingRunsError,
    by_value,
    certainty,
    last,
    loss,
    loss_between,
    paired_losses,
    pick,
    steps_to_loss,
)
from initlab.tracking.runs import Curve, Run


def run(settings, losses=(1.0,), metrics=None, outcome="finished", **options):
    """Return a run of params such as "init=he seed=0"."""
    params = dict(pair.split("=") for pair in settings.split())
    curves = {"train/loss": curve(losses)} | options.pop("curves", {})
    return Run(settings, settings, outcome, "", "", 1.0, params, metrics or {}, curves, **options)


def curve(values):
    return Curve(np.arange(len(values)), np.array(values, float))


def only(experiment, runs, number=0):
    """Return one finding about some runs of an experiment."""
    return findings(Comparison(runs, experiment))[number]


def test_every_experiment_has_claims_and_every_claim_an_experiment():
    assert sorted(CLAIMS) == options("experiment")
    assert all(CLAIMS.values())


def test_no_claim_is_forgotten_in_the_table():
    used = {getattr(claim, "func", claim).__name__ for about in CLAIMS.values() for claim in about}
    written = {
        name
        for module in (claims, claims_theory)
        for name, made in inspect.getmembers(module, inspect.isfunction)
        if made.__module__ == module.__name__
        and inspect.signature(made, eval_str=True).return_annotation is Finding
    }
    assert used == written


def test_a_finding_says_whether_it_holds():
    assert [Finding("", holds, "").word for holds in (True, False)] == ["holds", "does not hold"]


def test_runs_of_no_experiment_find_nothing():
    assert findings(Comparison([run("init=he")])) == []


def test_claims_about_runs_that_are_not_there_are_left_out():
    assert findings(Comparison([run("init=he"), run("init=zeros")], "std_scale")) == []


def test_a_setting_is_picked_by_its_params_if_it_finished_and_is_the_only_one():
    runs = [run(f"init={i} activation={a}") for i in ("he", "zeros") for a in ("relu", "tanh")]
    comparison = Comparison([*runs, run("init=lsuv activation=relu", outcome="diverged")])
    assert pick(comparison, init="he", activation="tanh").runs == [runs[1]]
    for wanted in ({"init": "he"}, {"init": "sparse"}, {"init": "lsuv"}):
        with pytest.raises(MissingRunsError):
            pick(comparison, **wanted)


def test_settings_are_sorted_by_a_number():
    comparison = Comparison([run(f"a.b={value}") for value in ("10", "9", "1e-3")])
    assert list(by_value(comparison.settings, "a.b")) == [0.001, 9, 10]
    with pytest.raises(MissingRunsError):
        by_value(comparison.settings[:1], "a.b")


def test_measures_are_means_over_the_runs_that_finished():
    broken = run("seed=2", [9.0] * 300, outcome="diverged")
    runs = [run(f"seed={n}", [*range(200 + n)], {"m": n}) for n in (0, 1)]
    (setting,) = Comparison([*runs, broken]).settings
    assert loss(setting) == (149.5 + 150.5) / 2
    assert loss_between(setting, 10, 20) == 14.5
    assert last(setting, "m") == 0.5
    with pytest.raises(MissingRunsError):
        last(setting, "n")


def test_the_step_at_which_a_loss_is_reached_is_the_first_below_it():
    runs = [run("seed=0", [3, 1, 2, 0]), run("seed=1", [3, 2, 2, 1])]
    (setting,) = Comparison(runs).settings
    assert steps_to_loss(setting, 1.5) == 2
    assert steps_to_loss(setting, 0.5) == np.inf


@pytest.mark.parametrize(
    ("ends", "stuck"), [((2.25, 2.21), 2), ((2.25, 1.3), 1), ((0.001, 0.001), 0)]
)
def test_constants_stay_only_if_they_do_with_every_seed(ends, stuck):
    runs = [run(f"init=const001 seed={seed}", [end]) for seed, end in enumerate(ends)]
    runs += [run(f"init=zeros seed={seed}", [end]) for seed, end in enumerate((2.25, 2.21))]
    found = only("constant_vs_random", [*runs, run("init=he seed=0", [0.1])])
    assert found.holds is (stuck == 2)
    assert f"{ends[0]:.3f}, {ends[1]:.3f} from 0.01 everywhere" in found.measured
    assert f"the same as from zeros with {stuck} of 2 seeds" in found.measured


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ([], "no common seed, so that chance may explain it"),
        ([1], "one seed, so that chance may explain it"),
        ([1, 2, 3], "3 of 3 seeds, p = 0.25, the least that 3 seeds can give"),
        ([-1, 2, 3], "2 of 3 seeds, p = 0.5 (with 3 seeds p is 0.25 at least)"),
        ([1, 2, 3, np.inf], "3 of 3 seeds, p = 0.25, the least that 3 seeds can give"),
        ([1, 2, 3, 4, 5, 6], "6 of 6 seeds, p = 0.031"),
    ],
)
def test_a_finding_says_what_its_seeds_can_carry(gains, words):
    runs = [
        run(f"init={init} seed={seed}", metrics={"m": sign * gain})
        for init, sign in (("he", 1), ("zeros", 0))
        for seed, gain in enumerate(gains)
    ]
    runs += [run("init=he seed=100"), run("init=zeros seed=101")]
    he, zeros = Comparison(runs).settings
    measures = {each.run_id: each.metrics.get("m") for each in runs}
    assert certainty(he, zeros, lambda each: measures[each.run_id]) == words
    assert certainty(zeros, he, lambda each: measures[each.run_id], higher=False) == words


def test_settings_are_paired_by_their_seeds():
    runs = [run(f"init={i} seed={s}", [10 * s + n]) for n, i in enumerate("ab") for s in (2, 1)]
    one, other = Comparison(runs).settings
    assert sorted(paired_losses(one, other)) == [(10, 11), (20, 21)]
    with pytest.raises(MissingRunsError):
        paired_losses(one, Comparison([run("init=c seed=3"), run("init=c seed=4")]).settings[0])


@pytest.mark.parametrize(("he", "holds"), [([1, 0.05, 0.01], True), ([1, 1, 0.05], False)])
def test_he_is_first_if_it_gets_low_before_the_others(he, holds):
    others = {"xavier": [1, 0.09, 0.09, 0.09], "std001": [1, 1, 1, 0.09]}
    runs = [run(f"init={name}", losses) for name, losses in {"he": he, **others}.items()]
    assert only("constant_vs_random", runs).holds is holds


def of_stds(**losses):
    return [
        run(f"init={name}", [each] * 1200, {"test/accuracy": 1 - each})
        for name, each in losses.items()
    ]


def test_the_best_scale_is_that_of_the_lowest_loss_and_the_highest_accuracy():
    assert only("std_scale", of_stds(std1=0.4, std01=0.1, std001=0.2, std0001=0.3)).holds
    assert not only("std_scale", of_stds(std1=0.4, std01=0.3, std001=0.2, std0001=0.3)).holds


def test_the_largest_scale_falls_fastest_if_its_early_loss_is_lowest():
    runs = of_stds(std1=0.4, std01=0.1, std001=0.2, std0001=0.3)
    assert not only("std_scale", runs, 1).holds
    assert only("std_scale", of_stds(std1=0.1, std01=0.2, std001=0.3, std0001=0.4), 1).holds


def test_inits_are_compared_seed_by_seed_on_the_same_batches():
    def runs(*losses):
        return [
            run(f"init={name} seed={seed}", [each[seed]], {"test/accuracy": 1 - each[seed]})
            for name, each in zip(("xavier", "std01"), losses)
            for seed in (0, 1)
        ]

    assert only("std_vs_xavier", runs((0.1, 0.5), (0.2, 0.6))).holds
    assert not only("std_vs_xavier", runs((0.1, 0.5), (0.2, 0.4))).holds


def paths(**others):
    ends = {"sgd": ZIGZAG, "momentum": ROUND, "adagrad": STRAIGHT, "adam": NARROW} | others
    return [
        run(f"optimizer={name}", curves={"x": curve(x), "y": curve(y)})
        for name, (x, y) in ends.items()
    ]


ZIGZAG = (np.linspace(-7, 0, 11), 2.0 * (-1) ** np.arange(11))
ROUND = (np.linspace(-7, 0, 11), 2 * np.cos(np.arange(11)))
NARROW = (np.linspace(-7, 0, 11), np.cos(np.arange(11)))
STRAIGHT = (np.linspace(-7, 0, 11), np.linspace(2, 0, 11))


def test_a_path_zigzags_if_y_changes_its_sign_at_most_steps():
    found = only("optimizer_paths", paths())
    assert (found.holds, found.measured) == (True, "y changes its sign at 10 of 10 steps")
    assert not only("optimizer_paths", paths(sgd=STRAIGHT)).holds


def test_the_straightest_path_is_the_shortest_for_its_way():
    found = only("optimizer_paths", paths(), 1)
    assert found.holds
    assert "adagrad 1.0" in found.measured
    assert not only("optimizer_paths", paths(adagrad=ZIGZAG, adam=STRAIGHT), 1).holds


def test_the_swings_of_a_path_are_its_way_up_and_down():
    assert only("optimizer_paths", paths(), 2).holds
    assert not only("optimizer_paths", paths(momentum=NARROW, adam=ROUND), 2).holds


def normed(plain, norm):
    return [
        run(f"init.std={std} model.batch_norm={switch}", metrics={"train/accuracy": each})
        for switch, found in (("false", plain), ("true", norm))
        for std, each in found.items()
    ]


def test_batch_norm_is_faster_where_its_training_accuracy_is_higher():
    found = only("batch_norm", normed({"1": 0.1, "0.1": 0.9}, {"1": 0.8, "0.1": 0.95}))
    assert found.holds
    assert found.measured == "higher training accuracy at 2 of 2 scales (sign test: p = 0.5)"
    assert not only("batch_norm", normed({"1": 0.1, "0.1": 0.9}, {"1": 0.8, "0.1": 0.5})).holds


def test_a_run_that_diverged_without_batch_norm_learnt_nothing():
    runs = normed({"0.1": 0.1, "0.2": 0.1}, {"0.1": 0.9, "0.2": 0.9, "1": 0.9})
    runs.append(run("init.std=1 model.batch_norm=false", outcome="diverged"))
    robust = only("batch_norm", runs, 1)
    assert robust.holds
    assert "3 of 3 scales without, 0 with" in robust.measured


@pytest.mark.parametrize(
    ("experiment", "key"), [("weight_decay", "train.weight_decay"), ("dropout", "model.dropout")]
)
def test_a_gap_is_that_of_training_and_test_accuracy(experiment, key):
    def runs(*accuracies):
        return [
            run(f"{key}={value}", metrics={"train/accuracy": train, "test/accuracy": test})
            for value, (train, test) in zip(("0.0", "0.1"), accuracies)
        ]

    by_heart, gap = findings(Comparison(runs((1.0, 0.75), (0.9, 0.7)), experiment))
    assert by_heart.holds
    assert gap.holds
    assert "a gap of 25.0 points, then of 20.0 points; narrower with" in gap.measured
    by_heart, gap = findings(Comparison(runs((1.0, 0.75), (1.0, 0.7)), experiment))
    assert not by_heart.holds
    assert not gap.holds


def test_a_range_hides_what_lies_beyond_it():
    edges = np.linspace(-2, 2, 9)  # the last bin that ends within 0 and 1 is [0.5, 1]
    counts = np.array([[[1, 1, 1, 1, 1, 2, 2, 1, 1, 1]]])  # below, eight bins, above
    held = {"activations/edges": edges, "activations/counts": counts}
    assert claims.share_outside(Run("", "", "finished", histograms=held)) == pytest.approx(8 / 12)


def profiles(settings, factors, name="unit_std", count=1):
    """Return runs that measure some factors of what is predicted, with bands of 10 %."""
    predicted = np.array([0.5, 0.25, 0.125, 0.0625])
    arrays = {
        "steps": np.array([0, 9]),
        f"{name}/measured": np.array([predicted * factors, predicted * 0]),
        f"{name}/theory": np.outer([1, 0.9, 1.1], predicted),
    }
    return [run(f"{settings} seed={seed}", histograms=arrays) for seed in range(count)]


def test_spreads_are_predicted_if_the_means_over_seeds_are_within_their_bands():
    runs = profiles("init=he", [1, 1.05, 1.2, 1]) + profiles("init=he", [1, 0.95, 0.9, 1])
    found = only("activation_histograms", runs)
    assert found.holds
    assert "4 of 4 stds" in found.measured
    assert "of the single runs 87.5%" in found.measured
    found = only("activation_histograms", profiles("init=he", [1, 1, 1.2, 1]))
    assert not found.holds
    assert found.measured.endswith("outside: init=he layer 3: 0.15 for 0.125")


def test_profiles_are_counted_by_activation_and_poor_ones_are_named():
    good = [*profiles("init=he activation=relu", np.ones(4), count=9)]
    poor = profiles("init=he activation=gelu", [1, 1, 2, 2])
    found = only("depth_profile", [*good, *poor])
    assert found.holds
    assert found.measured == (
        "95.0% of 40 numbers are within the predicted 95 % band, whose ends differ by a "
        "factor of 1.2 (median): gelu 50%, relu 100%; below 90%: "
        "gelu with he 50%"
    )
    assert not only("depth_profile", [*good[:3], *poor]).holds


def test_the_gradients_of_a_profile_are_a_claim_of_their_own():
    runs = profiles("init=he activation=relu", np.ones(4), "unit_gradient_std")
    (found,) = findings(Comparison(runs, "depth_profile"))
    assert "gradients" in found.claim


SCALES = {1.0: 3.6, 1.5: 15.8, 1.75: np.inf, 2.5: 11.8, 4.0: 7.0}


def grid(learns):
    return [
        run(
            f"init.scale={variance} model.depth={depth}",
            metrics={"test/accuracy": 0.9 if learns(variance, depth) else 0.1},
            depth_scale=scale,
        )
        for variance, scale in SCALES.items()
        for depth in range(10, 101, 10)
    ]


def test_networks_follow_the_depth_scale_if_they_learn_up_to_a_multiple_of_it():
    found = only("phase_diagram", grid(lambda variance, depth: depth < 6 * SCALES[variance]))
    assert found.holds
    assert (
        "in 100% of 50 cells (ordered side 100%, where one answer for all gives" in found.measured
    )
    assert "best k from 1 to 15: 6, with 100%" in found.measured


@pytest.mark.parametrize(
    "learns",
    [
        lambda variance, depth: depth < 2 * SCALES[variance],
        lambda variance, depth: variance > 1.75 or depth < 6 * SCALES[variance],
        lambda variance, depth: depth < 50,
    ],
)
def test_networks_do_not_follow_it_if_one_side_does_not(learns):
    assert not only("phase_diagram", grid(learns)).holds


def test_a_cell_that_diverged_has_learned_nothing():
    runs = grid(lambda variance, depth: depth < 6 * SCALES[variance])
    runs[-1] = run("init.scale=4.0 model.depth=100", outcome="diverged", depth_scale=SCALES[4.0])
    assert "in 100% of 50 cells" in only("phase_diagram", runs).measured


def phases(*accuracies, ratios=(0.1, 1, 10)):
    scales = zip((0.5, 1.761, 4), (2, 500, 7), accuracies, ratios)
    return [
        run(
            f"init.scale={variance} optimizer.lr={lr}",
            metrics={"test/accuracy": reached / (10 * lr)},
            depth_scale=scale,
            histograms={
                "steps": np.array([0]),
                "unit_gradient_std/measured": np.array([[ratio, 2.0, 1.0]]),
                "unit_gradient_std/theory": np.outer([1, 0.9, 1.1], [middle, 2.0, 1.0]),
            },
        )
        for (variance, scale, reached, ratio), middle in zip(scales, (0.1, 1, 10))
        for lr in (0.1, 0.2)
    ]


def test_the_edge_is_best_if_its_best_learning_rate_is():
    found = only("edge_of_chaos", phases(0.8, 0.9, 0.1))
    assert found.holds
    assert "ordered 80.0% at 0.1, critical 90.0% at 0.1, chaotic 10.0% at 0.1" in found.measured
    assert not only("edge_of_chaos", phases(0.8, 0.9, 0.95)).holds


def test_gradients_are_as_predicted_if_each_is_within_a_factor_of_two():
    found = only("edge_of_chaos", phases(0.8, 0.9, 0.1, ratios=(0.06, 1.2, 15)), 1)
    assert found.holds
    assert "ordered 0.06 (predicted 0.1), critical 1.2 (predicted 1), chaotic 15" in found.measured
    assert not only("edge_of_chaos", phases(0.8, 0.9, 0.1, ratios=(0.1, 1, 30)), 1).holds


def draws(variance_of, cells=((50, 5), (50, 10), (100, 10), (100, 20))):
    """Return runs of 100 seeds each, whose ln ‖x‖² has a variance by width and depth."""
    rng = np.random.default_rng(0)
    return [
        run(
            f"model.width={width} model.depth={depth} seed={seed}",
            metrics={
                f"unit_mean/layer_{depth}": 0.6 * root,
                f"unit_std/layer_{depth}": 0.8 * root,
            },
        )
        for width, depth in cells
        for seed, root in enumerate(
            np.exp(rng.normal(0, variance_of(width, depth) ** 0.5 / 2, 100))
        )
    ]


def test_fluctuations_are_a_line_of_the_sum_and_equal_where_it_is():
    line, equal = findings(
        Comparison(draws(lambda width, depth: 5 * depth / width), "width_fluctuations")
    )
    assert line.holds
    assert equal.holds
    assert "4 of 4 widths and depths" in line.measured
    assert "Σ 1/n = 0.1: " in equal.measured


def test_fluctuations_by_depth_alone_are_neither():
    runs = draws(lambda width, depth: depth / 12)
    found = findings(Comparison(runs, "width_fluctuations"))
    assert [each.holds for each in found] == [False, False]
