"""Which settings are better than which, how soon, and what is said and written of it."""

import csv
import json
import shlex

import numpy as np
import pytest

from initlab.checks import UserError
from initlab.nn.metrics import Metric
from initlab.report.comparison import Comparison
from initlab.report.conclusions import conclusions, more_seeds, seed_range
from initlab.report.differences import Differences
from initlab.report.export import write_comparison, write_settings
from initlab.report.plain import comparison_object
from initlab.report.score import Score
from initlab.report.speed import Level, half_way, loss_area
from initlab.tracking.runs import Curve, Run


def run(name, accuracy=None, losses=(), outcome="finished", **options):
    """Return a run of the params in its name, which was evaluated at steps 0 and 100."""
    params = dict(pair.split("=", 1) for pair in name.split())
    curves = {}
    if len(losses):
        curves["train/loss"] = Curve(np.arange(len(losses)), np.array(losses, np.float64))
    if accuracy is not None:
        curves["test/accuracy"] = Curve(np.array([0, 100]), np.array([0.1, accuracy]))
    metrics = {name: float(curve.values[-1]) for name, curve in curves.items()}
    metrics |= options.pop("metrics", {})
    options = {"verdict": "healthy", "seconds": 1.0} | options
    return Run(name, name, outcome, params=params, metrics=metrics, curves=curves, **options)


NOISE = (0.01, -0.01, 0.005, -0.005, 0.002, -0.002, 0.007, -0.007)  # what a seed does to all


def sweep(seeds=8, command="", **means):
    """Return a comparison of inits by their mean accuracy, over so many seeds each."""
    wobble = (0.0, 0.001, -0.001, 0.0005, 0.0, -0.0005, 0.001, -0.001)
    runs = [
        run(f"init={init} seed={seed}", mean + NOISE[seed] + wobble[(seed + place) % 8], [2, 1])
        for place, (init, mean) in enumerate(means.items())
        for seed in range(seeds)
    ]
    return Comparison(runs, command=command)


def test_settings_are_compared_with_the_best_by_seed():
    compared = sweep(he=0.95, xavier=0.93, zeros=0.5)
    he, xavier, zeros = compared.ranked
    found = Differences.in_score(compared).from_best
    assert [*found] == [xavier, zeros]
    near = found[xavier]
    assert (near.better, near.other) == (he, xavier)
    assert near.paired.difference == pytest.approx(0.02)
    assert near.paired.n == near.paired.wins == 8
    assert near.paired.p_holm == 2 * near.paired.p == 4 / 2**8
    assert not near.paired.tied
    # Each seed moves both by more than they differ, which hides nothing from the pairs.
    assert near.paired.high - near.paired.low < he.score.std


def test_ties_are_brackets_and_their_places_ranks():
    compared = sweep(he=0.95, xavier=0.9501, lecun=0.93, sparse=0.9301, zeros=0.5)
    differences = Differences.in_score(compared)
    names = [[each.values["init"] for each in bracket] for bracket in differences.brackets]
    assert names == [["xavier", "he"], ["sparse", "lecun"], ["zeros"]]
    places = {setting.values["init"]: place for setting, place in differences.places.items()}
    assert places == {"xavier": (1, 2), "he": (1, 2), "sparse": (3, 4), "lecun": (3, 4),
                      "zeros": (5, 5)}  # fmt: skip


def test_of_too_few_seeds_no_settings_are_bracketed():
    compared = sweep(5, he=0.95, xavier=0.9501, zeros=0.5)
    assert [len(bracket) for bracket in Differences.in_score(compared).brackets] == [1, 1, 1]


def test_settings_of_other_data_are_compared_among_themselves():
    runs = [
        run(f"data={data} init={init} seed={seed}", accuracy + seed / 1000)
        for data, init, accuracy in (
            ("digits", "he", 0.9), ("digits", "zeros", 0.1), ("mnist", "he", 0.8),
            ("mnist", "zeros", 0.2),
        )
        for seed in range(6)
    ]  # fmt: skip
    differences = Differences.in_score(Comparison(runs))
    pairs = [(each.better.name, each.other.name) for each in differences.from_best.values()]
    assert pairs == [
        ("init=he data=digits", "init=zeros data=digits"),
        ("init=he data=mnist", "init=zeros data=mnist"),
    ]
    assert [*differences.places.values()] == [(1, 1), (2, 2), (1, 1), (2, 2)]
    assert len(differences.of_all_pairs) == 2


def test_all_pairs_are_corrected_for_all_pairs():
    pairs = Differences.in_score(sweep(he=0.95, xavier=0.93, zeros=0.5)).of_all_pairs
    assert [each.paired.p_holm for each in pairs] == 3 * [3 * 2 / 2**8]


def test_the_better_of_a_pair_is_better_on_the_seeds_that_both_have():
    runs = [run(f"init=he seed={seed}", 0.5) for seed in (0, 1)] + [run("init=he seed=2", 0.99)]
    runs += [run(f"init=xavier seed={seed}", 0.6 + seed / 100) for seed in (0, 1)]
    compared = Comparison(runs)
    best, _ = compared.ranked
    assert best.values == {"init": "he"}
    (each,) = Differences.in_score(compared).from_best.values()
    assert each.better.values == {"init": "xavier"}
    assert each.paired.difference == pytest.approx(0.105)
    (row,) = (row for row in comparison_object(compared)["settings"] if row["to_best"])
    assert row["to_best"]["difference"] == pytest.approx(0.105)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("test/accuracy", Score("test/accuracy", True)),
        ("train/loss", Score("train/loss", False)),
        ("train/loss:best", Score("train/loss", False, True)),
        ("unit_std/layer_1:max", Score("unit_std/layer_1", True)),
        ("test/loss:best:max", Score("test/loss", True, True)),
        ("test/loss:last", Score("test/loss", False)),
    ],
)
def test_a_score_is_a_metric_its_direction_and_which_value(text, expected):
    assert Score.parse(text) == expected


@pytest.mark.parametrize("text", ["", ":max", "a:b", "a:min:max", "a:best:last", "a:max:max"])
def test_a_score_that_cannot_be_read_is_refused(text):
    with pytest.raises(UserError, match=f"^--by {text}: write METRIC"):
        Score.parse(text)


def test_the_best_loss_is_that_of_the_running_mean():
    noisy = run("init=he", losses=[5.0] * 50 + [1.0, 3.0] * 25)
    assert Score.parse("train/loss:best").of(noisy) == 2.0
    assert Score.parse("train/loss").of(noisy) == noisy.loss
    assert Score.parse("test/accuracy:best").of(run("init=he", 0.05)) == 0.1


def test_settings_are_scored_by_the_validation_set_if_all_runs_have_it():
    both = run("seed=0", 0.9, metrics={"validation/accuracy": 0.8})
    assert Score.usual([both]).metric == "validation/accuracy"
    assert Score.usual([both, run("seed=1", 0.9)]).metric == "test/accuracy"
    assert Score.usual([run("seed=1", losses=[1, 2])]) == Score("train/loss", higher=False)
    assert Score.usual([]) == Score("train/loss", higher=False)


def test_a_level_is_half_of_the_way_from_the_start_to_the_best():
    good = [run(f"init=he seed={seed}", 0.9, [2.0, 1.0, 0.4]) for seed in (0, 1)]
    wild = [run("init=std1 seed=0", 0.3, [900.0, 1.0, 1.0])]
    assert half_way(Metric.TRAIN_LOSS, [good, wild]) == Level(Metric.TRAIN_LOSS, 1.2)
    compared = Comparison([*good, *wild])
    assert [level.metric for level in compared.levels] == ["train/loss", "test/accuracy"]
    assert compared.levels[1].value == pytest.approx(0.5)
    assert half_way(Metric.TRAIN_LOSS, [[run("a=1", losses=[1.0, 2.0])]]) is None
    assert half_way(Metric.TRAIN_LOSS, [[run("a=1")], []]) is None


def test_a_level_that_is_chosen_replaces_the_usual_one():
    compared = Comparison([run("init=he", 0.9, [2.0, 0.5])], levels=[Level.parse("train/loss=1")])
    assert [level.value for level in compared.levels] == [1.0, pytest.approx(0.5)]


def test_steps_are_counted_to_where_the_curve_passes_the_level():
    level = Level(Metric.TRAIN_LOSS, 1.0)
    assert level.steps(run("a=1", losses=[4.0, 2.0, 0.0, 3.0])) == 1.5
    assert level.steps(run("a=1", losses=[0.5, 2.0])) == 0
    assert level.steps(run("a=1", losses=[4.0, 3.0])) == np.inf
    assert level.counted(run("a=1", losses=[4.0, 3.0])) == 1
    assert level.steps(run("a=1", 0.9)) is None
    assert Level(Metric.TEST_ACCURACY, 0.5).steps(run("a=1", 0.9)) == pytest.approx(50)
    # 200 steps are smoothed over 4: the mean of steps 98 to 101 is the first below 1.
    falling = [2.0] * 100 + [0.1] * 100
    assert level.steps(run("a=1", losses=falling)) == pytest.approx(99.5 + 0.1 / 1.9 * 2, abs=1)


def test_the_area_under_the_loss_is_that_of_its_trapezoids():
    assert loss_area(run("a=1", losses=[4.0, 2.0, 0.0])) == 4.0
    assert loss_area(run("a=1", 0.9)) is None


def test_the_answer_says_how_much_better_the_best_is_and_what_is_tied():
    sentences = conclusions(sweep(he=0.95, xavier=0.93, lecun=0.9301, zeros=0.5))
    assert sentences[0].startswith("he is better than lecun by 1.99 points (95 % ")
    assert "8 of 8 seeds, p = 0.0078, 0.023 corrected for 3 comparisons)" in sentences[0]
    assert sentences[0].endswith("; lecun and xavier are tied.")
    tied = conclusions(sweep(he=0.95, xavier=0.9501))
    assert tied[0].startswith("They are tied: xavier differs from he by 0.01 points (95 % -0.")


def test_settings_tied_with_the_best_are_named_and_who_is_behind():
    (sentence, *_) = conclusions(sweep(he=0.95, xavier=0.9501, zeros=0.5))
    assert sentence.startswith("xavier and he are tied; xavier is better than zeros by 45.0 points")
    assert sentence.endswith("p = 0.0078, 0.016 corrected for 2 comparisons).")


def test_what_six_seeds_can_tell_of_two_settings_only_seems_so_among_three():
    compared = sweep(6, he=0.95, xavier=0.93, lecun=0.9301)
    sentence, seeds, *_ = conclusions(compared)
    assert sentence.startswith("he seems better than xavier by 1.98 points (95 % ")
    assert "6 of 6 seeds, p = 0.031, 0.062 corrected for 2 comparisons" in sentence
    assert sentence.endswith("; xavier and lecun are tied.")
    assert seeds == (
        "6 seeds cannot tell all 3 settings apart. 7 seeds or more can: seed=range(0,7)."
    )
    (alone, *_) = conclusions(sweep(6, he=0.95, xavier=0.93))
    assert alone.startswith("he is better than xavier by 1.98 points (95 % ")
    assert alone.endswith("6 of 6 seeds, p = 0.031).")


@pytest.mark.parametrize(
    ("inits", "seeds", "sentence"),
    [
        (2, 1, "With one seed each, a difference may be due to chance. 6 seeds or more can tell "
               "them apart: seed=range(0,6)."),
        (2, 3, "With 3 seeds they cannot be told apart: the exact test gives a p of 0.25 at least, "
               "however far apart they are. 6 seeds or more can tell them apart: seed=range(0,6)."),
        (3, 5, "With 5 seeds they cannot be told apart: the exact test gives a p of 0.0625 at "
               "least, however far apart they are. 6 seeds or more can tell two of them apart, 7 "
               "or more all 3: seed=range(0,7)."),
        (3, 6, "6 seeds cannot tell all 3 settings apart. 7 seeds or more can: seed=range(0,7)."),
        (3, 7, None),
    ],
)  # fmt: skip
def test_what_more_seeds_could_tell_is_said(inits, seeds, sentence):
    means = dict(zip(("he", "xavier", "zeros"), (0.95, 0.9, 0.1)[:inits]))
    found = [each for each in conclusions(sweep(seeds, **means)) if "seed=" in each]
    assert found == ([sentence] if sentence else [])


def test_the_command_for_more_seeds_is_that_of_the_sweep():
    typed = "python src/train.py -m init=he,xavier seed=0,1 'optimizer.lr=choice(0.1)'"
    words = shlex.split(more_seeds(sweep(2, typed, he=0.9, xavier=0.8)))
    assert words == [
        "python", "src/train.py", "-m", "init=he,xavier", "optimizer.lr=choice(0.1)",
        "seed=range(0,6)",
    ]  # fmt: skip
    assert more_seeds(sweep(2, "", he=0.9, xavier=0.8)) == ""
    assert more_seeds(sweep(8, typed, he=0.9, xavier=0.8)) == ""


def test_nobody_is_to_run_a_search_with_more_seeds():
    runs = [run(f"lr={rate} seed=0", rate, searched=True) for rate in (0.1, 0.2)]
    assert not [each for each in conclusions(Comparison(runs)) if "seed=" in each]


def test_a_zipped_seed_has_no_command():
    zipped = "python src/train.py -m init=he,xavier seed=0,1 'sweep.zip=[init,seed]'"
    assert more_seeds(sweep(2, zipped, he=0.9, xavier=0.8)) == ""


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [("012", "seed=range(0,6)"), ("57", "seed=range(5,11)"), ("09", "seed=0,1,2,3,4,9")],
)
def test_seeds_that_were_run_are_among_those_proposed(seeds, expected):
    compared = Comparison([run(f"init=he seed={seed}", 0.9) for seed in seeds])
    assert seed_range(compared, 6) == expected


def test_a_lead_within_the_noise_of_the_test_set_says_nothing_of_new_data():
    def of_digits(he, xavier):
        runs = sweep(8, he=he, xavier=xavier).runs
        for each in runs:
            each.examples["test/accuracy"] = 360
        return conclusions(Comparison(runs))[-1]

    assert of_digits(0.98, 0.977) == (
        "The test set itself leaves an uncertainty of ± 0.74 points (360 examples at 98.0%): the "
        "lead of 0.30 points says nothing about new data."
    )
    assert of_digits(0.98, 0.9) == (
        "The test set itself leaves an uncertainty of ± 0.74 points (360 examples at 98.0%)."
    )


def test_the_fastest_is_named_with_its_lead():
    def falling(init, rate, seed):
        losses = 2.0 * np.exp(-rate * np.arange(101) * (1 + seed / 100))
        return run(f"init={init} seed={seed}", 0.9, losses)

    runs = [falling(init, rate, s) for init, rate in (("he", 0.1), ("xavier", 0.05))
            for s in range(8)]  # fmt: skip
    (sentence,) = (each for each in conclusions(Comparison(runs)) if "fastest" in each)
    assert sentence.startswith("he learns fastest: loss 1 after 7 steps, 6.7 before xavier (95 % ")
    few = Comparison([each for each in runs if each.params["seed"] in "012"])
    assert "he reaches loss 1 after 7 steps, xavier after 14." in conclusions(few)


def test_settings_without_a_common_seed_cannot_be_compared():
    runs = [run("init=he seed=0", 0.9), run("init=zeros seed=1", 0.1)]
    assert conclusions(Comparison(runs))[0] == (
        "No two settings share a seed, so that chance may explain any difference."
    )


def test_the_comparison_is_written_for_programs(tmp_path):
    compared = sweep(he=0.95, xavier=0.93, zeros=0.5)
    stuck = run("init=std1 seed=0", None, [], "diverged", ended_step=3)
    compared = Comparison([*compared.runs, stuck])
    write_comparison(compared, tmp_path / "comparison.json")
    found = json.loads((tmp_path / "comparison.json").read_text())
    assert [each["name"] for each in found["settings"]] == [
        "init=he", "init=xavier", "init=zeros", "init=std1"
    ]  # fmt: skip
    pair = found["pairs"][0]
    assert (pair["better"], pair["other"], pair["wins"], pair["n"]) == (
        "init=he", "init=xavier", 8, 8
    )  # fmt: skip
    assert pair["difference"] == pytest.approx(0.02)
    assert pair["low"] < pair["difference"] < pair["high"]
    assert (pair["p"], pair["p_holm"], pair["tied"]) == (2 / 2**8, 4 / 2**8, False)
    assert len(found["pairs"]) == 2
    assert len(comparison_object(compared, every_pair=True)["pairs"]) == 3
    assert found["score"] == {
        "metric": "test/accuracy", "higher_is_better": True, "value": "last"
    }  # fmt: skip
    assert found["settings"][3]["rank"] is None
    assert found["settings"][3]["score"] is None


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    runs = [run(f"init={init} seed=0", at, metrics={"m": value})
            for init, at, value in (("he", 0.9, np.inf), ("zeros", 0.1, 1.0))]  # fmt: skip
    write_comparison(Comparison(runs, by=Score("m")), tmp_path / "file.json")
    found = json.loads((tmp_path / "file.json").read_text())
    assert found["settings"][0]["score"] == {"mean": None, "std": None}


def test_the_table_of_settings_is_written_for_spreadsheets(tmp_path):
    runs = [
        run(f"init={init} rank==1+1 seed={seed}", at + NOISE[seed], losses)
        for init, at, losses in (("he", 0.9, [2.0, 0.5]), ("zeros", 0.1, [2.0, 2.0]))
        for seed in range(8)
    ]
    runs.append(run("init=std1 rank=3 seed=0", outcome="diverged", verdict="diverged"))
    write_settings(Comparison(runs), tmp_path / "settings.csv")
    with (tmp_path / "settings.csv").open(newline="") as opened:
        rows = [*csv.DictReader(opened)]
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert [row["params.rank"] for row in rows] == ["'=1+1", "'=1+1", "3"]
    assert [row["init"] for row in rows] == ["he", "zeros", "std1"]
    assert float(rows[1]["to_best_difference"]) == pytest.approx(-0.8)
    assert float(rows[1]["to_best_low"]) <= float(rows[1]["to_best_high"]) < 0
    assert rows[0]["to_best_p"] == ""
    assert float(rows[0]["steps_to_loss"]) == pytest.approx(0.5)
    assert (rows[1]["steps_to_loss_reached"], rows[0]["steps_to_loss_reached"]) == ("0", "8")
    assert float(rows[0]["train_loss_area"]) == 1.25
    assert rows[2]["verdict"] == "diverged"
