"""A report can be read without anything else, and its numbers are those of the runs."""

import base64
import csv
import io
import json
import tomllib
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from initlab.config import PROJECT
from initlab.report import answers, charts
from initlab.report import page as report
from initlab.report.comparison import Comparison
from initlab.tracking.runs import Curve, LateHistograms, Run


def run(name, loss=None, accuracy=None, outcome="finished", metric="train/loss", **options):
    """Return a run of the params in its name, which ended with a loss and an accuracy."""
    params = dict(pair.split("=", 1) for pair in name.split())
    curves, metrics = {}, {}
    if loss is not None:
        values = np.array([4.0, *np.full(100, loss)])
        curves[metric] = Curve(np.arange(101), values)
    if accuracy is not None:
        curves["test/accuracy"] = Curve(np.array([0, 100]), np.array([0.1, accuracy]))
        metrics["test/accuracy"] = accuracy
    options = {"verdict": "healthy", "seconds": 1.5} | options
    return Run(
        f"id of {name}", name, outcome, params=params, metrics=metrics, curves=curves, **options
    )


HISTOGRAMS = {
    "steps": np.array([0, 100]),
    "activations/edges": np.linspace(-1, 1, 21),
    "activations/counts": np.ones((2, 3, 22), np.int64),
    "unit_std/measured": np.array([[1.0, 0.5, 0.3], [1.0, 0.9, 0.8]]),
    "unit_std/theory": np.array([[1.0, 0.6, 0.4], [0.9, 0.5, 0.3], [1.1, 0.7, 0.5]]),
}
SEEDS = [
    run("init=he data=digits seed=0", 0.02, 0.98, histograms=HISTOGRAMS),
    run("init=he data=digits seed=1", 0.04, 0.96),
    run("init=std001 data=digits seed=0", 0.5, 0.90),
    run("init=std001 data=digits seed=1", 0.7, 0.80),
    run("init=zeros data=digits seed=0", outcome="diverged", ended_step=37),
    run("init=zeros data=digits seed=1", outcome="failed", reason="MemoryError: no room"),
]
DESCENTS = [
    run("model=quadratic optimizer=sgd", 1e-3, metric="f", verdict=""),
    run("model=quadratic optimizer=adam", 1e-9, metric="f", verdict=""),
]


class Page(HTMLParser):
    """A page as a reader has it: tags with their attributes, and the text within each."""

    VOID = ("meta", "img", "line", "br", "input")

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        for tag in {*self.open}:
            self.texts[tag][-1] += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page_of(runs, title="sweep 1", ids=()):
    compared = Comparison(runs)
    embedded = [
        report.Embedded(chart, *charts.pngs(chart.figure)[1:])
        for chart in charts.drawn(compared)
        if not report.SVG.fullmatch(chart.name)
    ]
    return Page(report.page(compared, title, ids, embedded))


def data_of(page):
    """What the script of a page draws from."""
    return json.loads(page.texts["script"][0])


def cells(page):
    """Return the rows of all tables, the head first."""
    return [" ".join(row.split()) for row in page.texts["tr"]]


def written(runs, folder, title="sweep 1"):
    return {file.name: file for file in report.write(Comparison(runs), folder, title)}


def test_a_report_is_a_page_pictures_a_table_and_curves(tmp_path):
    found = written(SEEDS, tmp_path / "new" / "folder")
    assert [*found] == [
        "report.html", "loss.png", "depth_profile.png", "accuracy.png", "activations.png",
        "results.csv", "settings.csv", "comparison.json", "curves.npz",
    ]  # fmt: skip
    assert all(file.stat().st_size for file in found.values())


def test_the_page_has_all_pictures_in_it_and_needs_nothing_else(tmp_path):
    grid = [
        run(f"init={init} lr={lr} data=digits", 0.1, 0.9, histograms=HISTOGRAMS)
        for init in ("he", "zeros")
        for lr in (1, 2)
    ]
    found = written(grid, tmp_path)
    page = Page(found["report.html"].read_text(encoding="utf-8"))
    assert [attrs["data-plot"] for attrs in page.all("svg") if "data-plot" in attrs] == [
        "loss", "profile-0-signal", "accuracy"
    ]  # fmt: skip
    (attrs,) = page.all("img")
    kind, _, content = attrs["src"].partition(",")
    assert kind == "data:image/png;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(content)))
    whole = Image.open(io.BytesIO(found["heat_map.png"].read_bytes()))
    assert shown.width == whole.width
    assert 40 < whole.height - shown.height < 90  # without its title, which is above it
    assert len(attrs["alt"]) > 30
    ratio = int(attrs["width"]) / int(attrs["height"])
    assert ratio == pytest.approx(shown.width / shown.height, rel=0.01)
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "base", "object"}
    places = [attrs[key] for _, attrs in page.tags for key in ("src", "href") if key in attrs]
    assert all(place.startswith("data:") for place in places)
    (style,) = page.texts["style"]
    assert "url(" not in style
    assert "@import" not in style


def test_no_title_is_there_twice():
    titles = page_of(SEEDS).texts["h2"]
    assert len(titles) == len({*titles})


def test_a_plot_has_a_line_a_setting_with_what_a_read_out_says():
    runs = [run(f"init={init} seed={seed}", 0.1, end + seed / 100)
            for init, end in (("he", 0.9), ("zeros", 0.1)) for seed in (0, 1)]  # fmt: skip
    page = page_of([*runs, run("init=std1 seed=0", 0.3, 0.2, outcome="diverged")])
    plot = data_of(page)["plots"]["accuracy"]
    assert [line["name"] for line in plot["lines"]] == ["init=he", "init=zeros"]
    best = plot["lines"][0]
    assert best["at"] == [0, 100]
    assert best["text"] == ["10.0% ± 0.0", "90.5% ± 6.4"]
    assert (plot["unit"], plot["best"]) == ("step", "high")
    groups = [attrs["data-line"] for attrs in page.all("g") if "data-line" in attrs]
    assert groups[-3:] == ["2", "1", "0"]  # the best is drawn last, above the others
    buttons = [attrs["data-lines"] for attrs in page.all("button")]
    assert buttons[-3:] == ["0", "1", "2"]
    assert all("disabled" in attrs for attrs in page.all("button"))  # until the script enables them


def test_histograms_are_sums_over_the_seeds_at_each_step():
    counts = np.zeros((2, 1, 22), np.int64)
    counts[0, 0, 5], counts[1, 0, 5:7] = 10, 10
    edges = {"steps": np.array([0, 100]), "activations/edges": np.linspace(-1, 1, 21)}
    runs = [
        run(f"init=he seed={seed}", 0.1, 0.9, histograms=edges | {"activations/counts": each})
        for seed, each in enumerate((counts, np.roll(counts, 1, axis=-1)))
    ]
    (row,) = data_of(page_of(runs))["histograms"]["activations"]
    assert row["steps"] == [0, 100]
    bars = np.frombuffer(base64.b64decode(row["bars"]), np.uint8).reshape(2, 1, 24)
    assert np.flatnonzero(bars[0, 0]).tolist() == [6, 7]
    assert np.flatnonzero(bars[1, 0]).tolist() == [6, 7, 8]
    assert bars[1, 0, 7] == 255
    assert bars[1, 0, 6] == pytest.approx(170, abs=1)  # 10 and 20 of 40, cut at 1.5 times
    assert len(row["x"]) == 25


def test_many_settings_are_a_small_page_with_the_middle_folded(tmp_path):
    rates = np.linspace(0.01, 1, 120)
    runs = [
        run(f"init={init} optimizer.lr={rate:.3f} train.weight_decay={1 + place % 5} seed=0",
            rate, 0.1 + 0.8 * rate, histograms=HISTOGRAMS)
        for place, rate in enumerate(rates) for init in ("he", "zeros")
    ]  # fmt: skip
    file = written(runs, tmp_path)["report.html"]
    page = Page(file.read_text(encoding="utf-8"))
    assert file.stat().st_size < 2e6
    assert [len(data_of(page)["plots"][name]["lines"]) for name in ("loss", "accuracy")] == [20, 20]
    assert len(data_of(page)["histograms"]["activations"]) == 20
    assert "220 settings between the best and the worst" in page.texts["summary"]
    assert "All settings at a glance" in page.texts["h2"]
    assert "parallel" in [attrs.get("class") for attrs in page.all("svg")]
    assert any("The best 10 and the worst 10 of 240 settings are drawn" in each
               for each in page.texts["figcaption"])  # fmt: skip


def test_thousands_of_settings_have_a_page_of_those_that_anybody_reads(tmp_path):
    runs = [run(f"init=he optimizer.lr={place}", outcome="failed") for place in range(1200)] + [
        run(f"init=he optimizer.lr={place}", 1.0 + place) for place in range(1200, 2400)
    ]
    files = written(runs, tmp_path)
    page = Page(files["report.html"].read_text(encoding="utf-8"))
    assert files["report.html"].stat().st_size < 1e6
    assert "the next 90 settings" in page.texts["summary"]
    assert any("2,290 more settings stand between" in each for each in page.texts["p"])
    assert "The first 1,000 are listed; results.csv has all." in page.texts["p"]
    assert len(page.all("tr")) == 3 + 110 + 1000
    for name in ("results.csv", "settings.csv"):
        with files[name].open(encoding="utf-8") as file:
            assert len(file.readlines()) == 2401


def test_of_hundreds_of_seeds_some_have_a_line_of_their_own():
    runs = [run(f"init={init} seed={seed}", 1.0, 0.5) for init in ("he", "zeros")
            for seed in range(120)]  # fmt: skip
    page = page_of(runs)
    note = "Of a setting of more runs, 100 have a line."
    assert any(note in each for each in page.texts["figcaption"])
    thin = [attrs for attrs in page.all("path") if attrs.get("stroke-width") == ".6"]
    assert len(thin) == 2 * 2 * 100


def test_histograms_of_thousands_of_settings_are_read_only_of_those_in_pictures():
    asked = []

    def late(name):
        return LateHistograms(lambda: asked.append(name) or HISTOGRAMS)

    names = [f"optimizer.lr={place}" for place in range(1001)]
    runs = [run(name, 1.0 + place, histograms=late(name)) for place, name in enumerate(names)]
    assert "Histograms" in page_of(runs).texts["h2"]
    assert sorted(asked) == sorted([*names[:50], *names[-50:]])


def test_the_page_says_what_it_is_to_those_who_cannot_see_it():
    page = page_of(SEEDS)
    assert page.all("html")[0]["lang"] == "en"
    assert page.texts["h1"] == ["sweep 1"]
    assert page.texts["title"] == ["sweep 1 · initlab"]
    labels = {attrs["id"] for attrs in page.all("h2") if "id" in attrs}
    assert {
        each["aria-labelledby"]
        for each in page.all("section")
        if len(each) and "aria-labelledby" in each
    } <= labels
    scopes = [attrs.get("scope") for attrs in page.all("th")]
    assert scopes.count("row") == 3
    assert scopes.count("col") == len(scopes) - 3


def test_the_table_has_the_best_first_with_mean_and_deviation():
    assert cells(page_of(SEEDS))[:4] == [
        "rank init n train loss test accuracy to the best (95 %) verdict "
        "steps to loss 2.02 steps to 54% seconds",
        "1 he 2 0.03 ± 0.01 97.0% ± 1.4 healthy 1 ± 0 50 ± 1 1.5",
        "2 std001 2 0.6 ± 0.1 85.0% ± 7.1 -12.0 ± 50.8 healthy 1 ± 0 58 ± 5 1.5",
        "zeros 0/2 1 diverged, 1 failed 1.5",
    ]


CLAIMED = [
    run("init=zeros seed=0", 2.3, 0.1),
    run("init=he seed=0", 0.1, 0.95),
]


def test_a_page_of_an_experiment_says_which_claims_of_its_source_hold():
    compared = Comparison(CLAIMED, "zeros_minibatch")
    page = Page(report.page(compared, "sweep 1"))
    assert page.texts["h2"][0] == "zeros_minibatch: claims of its source, and measurements here"
    assert page.texts["dt"][0] == "holds"
    assert "test accuracy 10.0% from zeros, at least 95.0%" in page.texts["dd"][0]


def test_a_page_of_no_experiment_has_no_claims():
    assert not [title for title in page_of(CLAIMED).texts["h2"] if "source" in title]


def test_a_page_of_runs_without_training_says_what_its_columns_are():
    params = {"init": "he", "seed": "0"}
    stds = {"unit_std/layer_1": 0.5, "unit_std/layer_2": 0.25}
    page = page_of([Run("", "init=he", "finished", "healthy", params=params, metrics=stds)])
    assert cells(page) == ["setting std 1 std 2 verdict", "init=he 0.5 0.25 healthy"]
    assert "std k: standard deviation of the activations of layer k." in page.texts["p"]


def test_a_setting_has_its_colour_beside_its_row():
    compared = Comparison(SEEDS)
    styles = charts.colors(compared)
    swatches = [attrs["stroke"] for attrs in page_of(SEEDS).all("line")]
    assert swatches[-3:] == [styles[setting.number].color for setting in compared.ranked]
    grid = [run(f"lr={lr} optimizer={name}", lr) for lr in range(1, 5) for name in ("adam", "sgd")]
    dashes = ["stroke-dasharray" in attrs for attrs in page_of(grid).all("line")]
    assert dashes[-8:] == [False, True] * 4


def test_runs_that_did_not_finish_are_listed_with_how_they_ended():
    page = page_of(SEEDS)
    assert cells(page)[4:] == [
        "init=zeros seed=0 diverged at step 37",
        "init=zeros seed=1 failed: MemoryError: no room",
    ]
    assert "2 of 6 runs did not finish: 1 diverged and 1 failed." in page.texts["p"]
    assert "Runs that did not finish" not in page_of(SEEDS[:4]).texts["h2"]


@pytest.mark.parametrize(("count", "unfolded"), [(10, True), (11, False)])
def test_a_long_list_of_failures_is_folded(count, unfolded):
    page = page_of([run(f"lr={lr}", outcome="failed") for lr in range(count)])
    assert [("open" in attrs) for attrs in page.all("details")] == [unfolded]


@pytest.mark.parametrize(
    ("names", "question"),
    [
        (["init=he"], "What did one run show?"),
        (["init=he", "init=xavier"], "How does init change training? 2 settings, 1 run each."),
        (
            ["init=he activation=relu lr=1", "init=zeros activation=tanh lr=2"],
            "How do init, activation and lr change training? 2 settings, 1 run each.",
        ),
        (
            ["init=he seed=0", "init=he seed=1", "init=zeros seed=0"],
            "How does init change training? 2 settings, 1 to 2 seeds each.",
        ),
        (["init=he seed=0", "init=he seed=1"], "How much do 2 seeds of one setting differ?"),
        (["init=he", "init=he"], "How much do 2 runs of one setting differ?"),
        ([], "There are no runs."),
    ],
)
def test_the_question_is_what_varies(names, question):
    assert answers.question(Comparison([run(name) for name in names])) == question


@pytest.mark.parametrize(
    ("runs", "sentences"),
    [
        (
            SEEDS[:4],
            [
                "he leads std001 by 12.0 points, which may be chance.",
                "With 2 seeds they cannot be told apart: the exact test gives a p of 0.5 at least, "
                "however far apart they are. 6 seeds or more can tell them apart: seed=range(0,6).",
                "he reaches loss 2.02 after 1 step, std001 after 1.",
                "init=he came first with a test accuracy of 97.0% ± 1.4, "
                "init=std001 last with 85.0% ± 7.1.",
            ],
        ),
        (
            DESCENTS,
            ["optimizer=adam came first with an f of 1e-09, optimizer=sgd last with 0.001."],
        ),
        (
            [run("init=he", 1, 0.98)],
            ["init=he ended with a test accuracy of 98.0%.", "Verdict: healthy."],
        ),
        ([run("init=he", outcome="running")] * 2, ["2 of 2 runs are running."]),
        ([run("init=he", 0.5, verdict="")], ["init=he ended with a training loss of 0.5."]),
        (
            [
                run("init=he", 0.5, 0.9),
                run("init=zeros", 1, 0.1),
                run("init=std1", outcome="diverged"),
            ],
            [
                "With one run each, differences may be due to chance.",
                "he reaches loss 2.25 after 0 steps, zeros after 1.",
                "init=he came first with a test accuracy of 90.0%, init=zeros last with 10.0%.",
                "1 of 3 runs diverged.",
            ],
        ),
        ([run("init=he", outcome="killed")], ["The run was killed."]),
        (
            [run("data=digits", 0.5, 0.9), run("data=mnist", 0.4, 0.8)],
            ["Results on different data cannot be compared and are ranked separately."],
        ),
        (
            [
                run("optimizer=sgd optimizer.lr=0.1", 0.5, 0.9),
                run("optimizer=adam optimizer.lr=0.001", 0.4, 0.8),
            ],
            [
                "With one run each, differences may be due to chance.",
                "adam reaches loss 2.2 after 0 steps, sgd after 1.",
                "optimizer=sgd came first with a test accuracy of 90.0%, "
                "optimizer=adam last with 80.0%.",
                "Each optimizer has its own learning rate: adam 0.001, sgd 0.1.",
            ],
        ),
        ([], []),
    ],
)
def test_the_answer_is_the_best_the_worst_and_the_runs_that_did_not_finish(runs, sentences):
    assert answers.answer(Comparison(runs)) == sentences


def test_what_is_the_same_in_all_is_there_and_the_most_telling_first():
    runs = [run(f"zeta=1 train.steps=100 model=mlp init={init}", 1) for init in ("he", "zeros")]
    page = page_of(runs)
    assert page.texts["code"][:2] == ["model=mlp", "train.steps=100"]
    shared = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert shared == {"zeta": "1", "train.steps": "100", "model": "mlp"}


def test_names_from_the_store_are_text_and_not_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    runs = [
        run(f"init={evil} data={evil}", 1, 0.5, reason=evil, histograms=HISTOGRAMS),
        run(f'init="onload="x data={evil}', 1, 0.4),
        run(f"init={evil}&amp; data={evil}", outcome="failed", reason=f"{evil}\nmore"),
    ]
    html = written(runs, tmp_path, evil)["report.html"].read_text(encoding="utf-8")
    page = Page(html)
    assert html.count("<script") == html.count("</script") == 2  # the page's own
    assert any(evil in line["name"] for line in data_of(page)["plots"]["loss"]["lines"])
    assert page.texts["h1"] == [evil]
    assert any(evil in row for row in page.texts["tr"])
    assert f"{evil}&amp;" in cells(page)[3]
    assert not [attrs for _, attrs in page.tags if "onload" in attrs]


def test_a_descent_has_no_section_of_what_it_does_not_have():
    page = page_of(DESCENTS)
    assert page.texts["h2"] == ["Value of f", "Results, best first"]
    assert cells(page)[0] == "rank optimizer f seconds"
    assert "accuracy" not in " ".join(page.texts["p"])


def test_a_page_of_descents_has_their_paths_and_the_valley(tmp_path):
    runs = [run("optimizer=sgd", 1, metric="f"), run("optimizer=adam", 2, metric="f")]
    for each in runs:
        for metric, value in (("x", -7.0), ("y", 2.0)):
            each.curves[metric] = Curve(np.arange(3), np.array([value, 1, 0]))
    found = written(runs, tmp_path)
    assert {"f.png", "valley.png", "paths.png"} <= {*found}
    page = Page(found["report.html"].read_text(encoding="utf-8"))
    assert page.texts["h2"][:3] == ["Value of f", "Paths in the valley", "The valley"]
    curves = np.load(found["curves.npz"])
    assert curves["x"].tolist() == [[-7, 1, 0]] * 2
    assert curves["y/steps"].tolist() == [0, 1, 2]


def test_a_wide_picture_has_a_box_to_scroll_in():
    runs = [run(f"lr={lr} bn={bn}", 1) for lr in range(9) for bn in "xy"]
    for each in runs:
        each.curves["test/accuracy"] = Curve(np.arange(4), np.linspace(0.1, 0.9, 4))
    page = page_of(runs)
    (box,) = [attrs for attrs in page.all("div") if attrs.get("aria-label", "").startswith("test")]
    assert box["class"] == "scroll"


def test_a_page_of_two_keys_has_its_sections_in_order():
    names = [f"init={init} lr={lr}" for init in ("he", "xavier") for lr in (1, 2)]
    runs = [run(name, 1, 0.5, histograms=HISTOGRAMS) for name in names]
    assert page_of([*runs, run("init=he lr=3", outcome="failed")]).texts["h2"] == [
        "Training loss",
        "Depth profile of the signal (std of activations)",
        "Test accuracy",
        "Histograms",
        "Test accuracy by lr and init (%)",
        "Results, best first",
        "Runs that did not finish",
    ]


@pytest.mark.parametrize(
    ("ids", "runs", "command"),
    [
        (["2026-01-31_12-00-00"], SEEDS, "python src/compare.py 2026-01-31_12-00-00"),
        (["monday", "b"], SEEDS, "python src/compare.py monday b"),
        ([], [run("a=1")], "python src/compare.py 'id of a=1'"),
        ([], [run(f"lr={lr}") for lr in range(11)], ""),
    ],
)
def test_the_footer_has_the_command_that_writes_the_page_again(ids, runs, command):
    assert report.command(Comparison(runs), ids) == command
    page = page_of(runs, ids=ids)
    assert (command in page.texts.get("code", [])) == bool(command)


EDGES = {
    "nothing": [],
    "one run": SEEDS[:1],
    "none finished": [run("init=he", 1, outcome="killed"), run("init=zeros", outcome="running")],
    "no curves": [run("init=he"), run("init=zeros")],
    "descents": DESCENTS,
    "descents and networks": [*DESCENTS, run("model=mlp init=he", 0.1, 0.9)],
    "two hundred": [run(f"lr={lr} seed={lr % 2}", 1 + lr, 0.5) for lr in range(200)],
    "no params": [Run("1", "a b", "finished"), Run("2", "", "failed")],
    "lengths": [
        run("init=he", 1),
        run("init=zeros", 1, 0.3, outcome="diverged"),
        Run("", "", "finished", curves={"train/loss": Curve(np.array([7]), np.array([2.0]))}),
    ],
}


@pytest.mark.parametrize("runs", EDGES.values(), ids=EDGES)
def test_a_report_can_be_written_of_any_runs(runs, tmp_path):
    found = written(runs, tmp_path)
    page = Page(found["report.html"].read_text(encoding="utf-8"))
    assert all(attrs["src"].startswith("data:") and attrs["alt"] for attrs in page.all("img"))
    with found["results.csv"].open(newline="", encoding="utf-8") as file:
        assert len([*csv.DictReader(file)]) == len(runs)
    assert len(np.load(found["curves.npz"])["run_ids"]) == len(runs)


def test_results_hold_a_row_a_trial(tmp_path):
    file = written(SEEDS, tmp_path)["results.csv"]
    with file.open(newline="", encoding="utf-8") as opened:
        rows = [*csv.DictReader(opened)]
    assert [row["run_id"] for row in rows] == [each.run_id for each in Comparison(SEEDS).runs]
    assert {key: rows[1][key] for key in ("init", "seed", "outcome", "verdict")} == {
        "init": "he", "seed": "1", "outcome": "finished", "verdict": "healthy"
    }  # fmt: skip
    numbers = [float(rows[1][key]) for key in ("train_loss", "test_accuracy", "steps", "seconds")]
    assert numbers == pytest.approx([0.04, 0.96, 100, 1.5])
    assert "data" not in rows[0]
    assert rows[5]["reason"] == "MemoryError: no room"
    assert rows[5]["train_loss"] == ""
    assert rows[4]["reason"] == "diverged at step 37"


def test_results_of_params_of_taken_names_keep_both(tmp_path):
    runs = [
        Run("1", "one", "finished", params={"name": "a"}),
        Run("2", "two", "finished", params={"name": "b"}),
    ]
    with written(runs, tmp_path)["results.csv"].open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [(row["name"], row["params.name"]) for row in rows] == [("one", "a"), ("two", "b")]


def test_curves_are_a_row_a_run_on_shared_steps(tmp_path):
    short = Run("b", "", "diverged", params={"lr": "2"}, curves={
        "train/loss": Curve(np.array([0, 1, 3]), np.array([4.0, 5.0, 9.0]))
    })  # fmt: skip
    long = Run("a", "", "finished", params={"lr": "1"}, curves={
        "train/loss": Curve(np.arange(3), np.array([4.0, 2.0, 1.0])),
        "test/accuracy": Curve(np.array([0, 2]), np.array([0.1, 0.9])),
    })  # fmt: skip
    data = np.load(written([short, long], tmp_path)["curves.npz"], allow_pickle=False)
    assert {*data} == {
        "run_ids", "train/loss", "train/loss/steps", "test/accuracy", "test/accuracy/steps"
    }  # fmt: skip
    nan = np.nan
    assert list(data["run_ids"]) == ["a", "b"]
    assert list(data["train/loss/steps"]) == [0, 1, 2, 3]
    np.testing.assert_array_equal(data["train/loss"], [[4, 2, 1, nan], [4, 5, nan, 9]])
    np.testing.assert_array_equal(data["test/accuracy"], [[0.1, 0.9], [nan, nan]])


def test_the_page_is_installed_with_the_package():
    config = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    kept = config["tool"]["setuptools"]["package-data"]["initlab.report"]
    for file in (report.PAGE, report.SCRIPT):
        assert file.name in kept
        assert file.is_file()
