"""Runs in a notebook: their tables, pairs of settings compared, and docs/notebook.ipynb itself."""

import json
import subprocess
import sys

import numpy as np
import pytest
import run_notebook
from conftest import lab_after

import initlab
from initlab.checks import UserError
from initlab.config import PROJECT
from initlab.notebook import PairedResult, Runs, typed
from initlab.report.comparison import Comparison
from initlab.tracking.runs import Curve, Run

# The sweep of docs/notebook.ipynb, shorter.
GRID = ("init=he,xavier,std001", "seed=range(0,6)", "tracking.pictures=false")
STEPS = ("train.steps=20", "train.snapshots=[0,20]", "train.eval_every=10", "model.hidden=[50,50]")
FOLDER = "hydra.sweep.dir=${hydra.run.dir}/notebook"


@pytest.fixture(scope="module")
def swept(tmp_path_factory, empty_store, request):
    """Return a lab with this sweep, whose id is notebook."""
    return lab_after(tmp_path_factory, empty_store, request, "-m", *GRID, *STEPS, FOLDER)[0]


@pytest.fixture(scope="module")
def runs(swept):
    """Return its runs as a notebook has them."""
    return initlab.load("notebook", uri=swept.uri)


def made(name, accuracy=None, outcome="finished", **more):
    """Return a run of the params in its name, whose loss falls to how inaccurate it ends."""
    params = dict(pair.split("=") for pair in name.split(" ")) | more
    metrics = {} if accuracy is None else {"test/accuracy": accuracy}
    end = 0.0 if accuracy is None else 1 - accuracy
    curves = {"train/loss": Curve(np.arange(11), np.linspace(2, end, 11))}
    return Run(name, name, outcome, params=params, metrics=metrics, curves=curves)


def together(*members):
    return Runs(Comparison(members), "")


def test_importing_the_package_imports_nothing_slow():
    code = "import sys, initlab; print(*{'numpy', 'pandas', 'mlflow', 'hydra'} & {*sys.modules})"
    path = {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=path, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == ""


def test_the_package_has_no_other_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        initlab.lod  # noqa: B018


def test_a_sweep_is_loaded_by_its_id_its_folder_or_its_runs(swept, runs, monkeypatch):
    assert len(runs) == 18
    assert [setting.name for setting in runs.settings] == [
        "init=he", "init=xavier", "init=std001"
    ]  # fmt: skip
    ids = [run.run_id for run in runs]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", swept.uri)
    assert [run.run_id for run in initlab.load(swept.outputs / "run" / "notebook")] == ids
    assert {run.run_id for run in initlab.load(ids[0], ids[5])} == {ids[0], ids[5]}
    assert len(initlab.load(filter="params.init = 'he'")) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["ids", "filter="]),
        ({"ids": ["notebook"], "filter": ""}, ["ids", "filter="]),
        ({"ids": ["nowhere"]}, ["nowhere: there is no sweep", "notebook"]),
        ({"ids": ["notebook"], "by": "loss"}, ["by=loss", "no run has this metric", "test/loss"]),
        ({"ids": ["notebook"], "by": "loss:low"}, ["by=loss:low: write METRIC"]),
        ({"ids": ["notebook"], "uri": "sqlite:////no/mlflow.db"}, ["/no/mlflow.db", "Set uri= or"]),
        ({"filter": "params.init = 'lsuv'"}, ["filter=\"params.init = 'lsuv'\"", "matches"]),
        ({"filter": "init is he"}, ['filter="init is he"', "as in: filter='"]),
        ({"filter": "", "experiment": "none"}, ["experiment=none: there is no", "initlab"]),
    ],
)
def test_a_mistake_is_one_error_that_names_the_argument(swept, options, words):
    options = {"uri": swept.uri} | options
    with pytest.raises(UserError) as error:
        initlab.load(*options.pop("ids", []), **options)
    for word in words:
        assert word in str(error.value)
    assert "--" not in str(error.value)


def test_runs_are_shown_as_the_table_with_its_conclusions(runs):
    text, html = repr(runs), runs._repr_html_()
    for shown in (text, html):
        assert "18 runs of 3 settings" in shown
        assert "to the best (95 %)" in shown
        assert "he seems better than " in shown
        assert "6 seeds cannot tell all 3 settings apart. 7 seeds or more can" in shown
    assert text.index(" he ") < text.index(" std001 ")
    assert "<td>std001</td>" in html


def test_what_a_store_holds_is_no_markup():
    runs = together(made("init=<b>x</b> seed=0", 0.9), made("init=he seed=0", 0.8))
    assert "<b>" not in runs._repr_html_()
    assert "&lt;b&gt;x" in runs._repr_html_()


def test_the_frame_has_a_row_for_each_run_with_numbers_as_numbers(swept, runs):
    frame = runs.to_frame()
    assert [*frame.columns[:8]] == [
        "run_id", "name", "setting", "outcome", "verdict", "reason", "init", "seed"
    ]  # fmt: skip
    assert frame.columns.is_unique
    assert [*frame.seed] == [*range(6)] * 3
    assert {*frame.outcome} == {"finished"}
    assert frame.seed.dtype == frame["train.steps"].dtype == frame.steps.dtype == "int64"
    assert frame["model.bias"].dtype == "bool"
    assert frame["optimizer.lr"].dtype == frame.seconds.dtype == "float64"
    assert frame["train.weight_decay"].eq(0).all()
    assert frame["model.output_init"].isna().all()
    assert frame["test/accuracy"].equals(frame.test_accuracy.rename("test/accuracy"))
    by_id = frame.set_index("run_id")
    for run in swept.runs():
        assert (
            by_id.loc[run.info.run_id, "unit_std/layer_1"] == run.data.metrics["unit_std/layer_1"]
        )


def test_a_number_that_some_runs_lack_is_missing():
    runs = together(
        made("init=he seed=0", 0.9, **{"init.scale": "2.0", "flag": "true"}),
        made("init=std1 seed=0", outcome="failed", **{"init.std": "1"}),
    )
    frame = runs.to_frame().set_index("init")
    assert frame.loc["he", "init.scale"] == 2
    assert np.isnan(frame.loc["std1", "init.scale"])
    assert frame.loc["he", "flag"]
    assert frame.flag.isna()["std1"]
    assert np.isnan(frame.loc["std1", "test_accuracy"])
    assert frame.verdict.isna().all()


def test_a_param_named_like_another_column_keeps_a_name_of_its_own():
    runs = together(
        made("name=a steps=1 seed=0", 0.9, value="1"), made("name=b steps=2 seed=0", 0.8, value="2")
    )
    frame = runs.to_frame()
    assert [*frame["params.name"]] == ["a", "b"]
    assert [*frame["params.steps"]] == [1, 2]
    assert [*frame.steps] == [10, 10]
    assert {*runs.curves()["params.value"]} == {1, 2}


@pytest.mark.parametrize(
    ("texts", "values", "kind"),
    [
        (["1", "20"], [1, 20], "int64"),
        (["1", "0.5"], [1.0, 0.5], "float64"),
        (["auto", "0.5"], ["auto", "0.5"], "str"),
        (["true", "false"], [True, False], "bool"),
        (["1_0", "2"], ["1_0", "2"], "str"),
        (["9" * 30, "1"], [1e30, 1.0], "float64"),
        (["[1, 2]", "[3]"], ["[1, 2]", "[3]"], "str"),
    ],
)
def test_a_param_is_what_all_its_values_are(texts, values, kind):
    assert [*typed(texts)] == values
    assert typed(texts).dtype == kind


def test_curves_have_a_row_for_each_run_and_step(swept, runs):
    curves = runs.curves("train/loss")
    assert [*curves.columns] == ["run_id", "setting", "init", "seed", "step", "value"]
    assert len(curves) == 18 * 20
    run = swept.runs()[-1]
    own = curves[curves.run_id == run.info.run_id]
    assert dict(zip(own.step, own.value)) == swept.values(run, "train/loss")
    assert {*own.init} == {run.data.params["init"]}
    assert [*own.seed] == [int(run.data.params["seed"])] * 20


def test_curves_read_any_metric_that_the_store_has(swept, runs):
    curves = runs.curves("unit_std/layer_1")
    assert sorted({*curves.step}) == [0, 20]
    for run in swept.runs():
        own = curves[curves.run_id == run.info.run_id]
        assert dict(zip(own.step, own.value)) == swept.values(run, "unit_std/layer_1")


def test_a_smooth_curve_is_the_running_mean_of_the_charts():
    steps = np.arange(100)
    curve = Curve(steps, np.where(steps % 2, 1.0, 3.0))
    runs = together(Run("a", "a", "finished", params={"seed": "0"}, curves={"train/loss": curve}))
    assert {*runs.curves().value} == {1.0, 3.0}
    assert {*runs.curves(smooth=True).value} == {2.0}


def test_histograms_count_every_value_with_what_lies_beyond_the_edges(runs):
    bins = runs.histograms("activations")
    assert [*bins.columns] == [
        "run_id", "setting", "init", "seed", "step", "layer", "low", "high", "count"
    ]  # fmt: skip
    layers = bins.groupby(["run_id", "step", "layer"])
    assert len(layers) == 18 * 2 * 2
    assert {*layers["count"].sum()} == {50 * 1000}
    assert {*layers.low.min()} == {-np.inf}
    assert {*layers.high.max()} == {np.inf}
    one = layers.get_group(next(iter(layers.groups)))
    assert [*one.high[:-1]] == [*one.low[1:]]
    first = next(iter(runs))
    own = bins[(bins.run_id == first.run_id) & (bins.step == 20)]
    assert [*own["count"]] == [*first.histograms["activations/counts"][1].ravel()]


def test_histograms_of_one_step_and_of_every_layer(runs):
    bins = runs.histograms("weights", step=20)
    assert {*bins.step} == {20}
    assert {*bins.layer} == {1, 2, 3}
    assert {*bins[bins.layer == 3].groupby("run_id")["count"].sum()} == {50 * 10}


def test_two_settings_are_compared_seed_by_seed(runs):
    result = runs.compare("xavier", "init=he")
    assert isinstance(result, PairedResult)
    assert (result.better, result.other) == ("init=he", "init=xavier")
    scores = runs.to_frame().pivot(index="seed", columns="init", values="test_accuracy")
    gains = scores.he - scores.xavier
    assert result.seeds == [*range(6)]
    np.testing.assert_allclose(result.differences, gains)
    assert result.difference == pytest.approx(gains.mean())
    assert result.low < result.difference < result.high
    assert (result.n, result.wins) == (6, 6)
    assert result.p == result.p_holm == pytest.approx(1 / 32)
    assert not result.tied
    assert str(result).startswith("he is better than xavier by ")
    assert str(result).endswith("6 of 6 seeds, p = 0.031).")


def test_a_lower_loss_and_fewer_steps_are_better(runs):
    result = runs.compare("he", "xavier", by="train/loss:best")
    assert result.better == "init=he"
    assert result.by == "best train loss"
    assert (result.differences > 0).all()
    result = runs.compare("he", "xavier", by="steps")
    assert result.better == "init=he"
    assert result.by.startswith("steps to loss ")
    assert (result.differences > 0).all()
    assert "steps before xavier (95 %" in str(result)


def test_without_names_all_are_compared_with_the_best():
    gains = {"he": 0.3, "xavier": 0.2, "lecun": 0.1}
    runs = together(
        *(
            made(f"init={init} seed={seed}", gain + seed / 100)
            for init, gain in gains.items()
            for seed in range(8)
        )
    )
    frame = runs.compare()
    assert [*frame.better] == ["init=he"] * 2
    assert [*frame.other] == ["init=xavier", "init=lecun"]
    assert [*frame.difference] == pytest.approx([0.1, 0.2])
    assert [*frame.p_holm] == pytest.approx([2 / 128] * 2)
    assert not frame.tied.any()


def test_a_tie_is_said_to_be_one():
    runs = together(
        *(
            made(f"init={init} seed={seed}", 0.5 + sign * (-1) ** seed / 100)
            for init, sign in (("he", 1), ("xavier", -1))
            for seed in range(6)
        )
    )
    result = runs.compare("he", "xavier")
    assert result.tied
    assert "differs from" in str(result)


FOUR = [
    made(f"init={init} activation={activation} seed=0", 0.5)
    for init in ("he", "xavier")
    for activation in ("relu", "tanh")
]


def test_a_setting_is_named_by_what_no_other_has():
    runs = together(*FOUR)
    result = runs.compare("tanh he", "init=xavier activation=relu")
    assert {result.better, result.other} == {
        "init=he activation=tanh", "init=xavier activation=relu"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["he", "xavier tanh"], ["he: 2 settings", "init=he activation=relu"]),
        (["lsuv", "he relu"], ["setting=lsuv", "Choices: init=he activation=relu"]),
        (["", "he relu"], ["setting=:"]),
        (["he relu", "relu he"], ["the same setting"]),
        (["he relu"], ["name two settings"]),
    ],
)
def test_a_setting_that_is_not_clear_is_refused(names, words):
    with pytest.raises(UserError) as error:
        together(*FOUR).compare(*names)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (made("init=zeros data=digits seed=1", 0.5), "share no seed"),
        (made("init=zeros data=mnist seed=0", 0.5), "on different data"),
        (made("init=zeros data=digits seed=0", 0.5, "failed"), "init=zeros: none of its runs"),
    ],
)
def test_settings_that_cannot_be_paired_are_refused(other, words):
    with pytest.raises(UserError, match=words):
        together(made("init=he data=digits seed=0", 0.9), other).compare("he", "zeros")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda runs: runs.curves("loss"), ["metric=loss", "train/loss", "unit_std/layer_1"]),
        (lambda runs: runs.histograms("units"), ["quantity=units", "activations, gradients"]),
        (lambda runs: runs.histograms(step=7), ["step=7", "0, 20"]),
        (lambda runs: runs.compare("he", "xavier", by="x"), ["by=x", "test/accuracy"]),
        (lambda _: together(made("a=1")).histograms(), ["quantity=activations", "none"]),
        (
            lambda _: together(Run("a", "a", "finished", params={"seed": "0"})).compare(by="steps"),
            ["by=steps", "no level"],
        ),
    ],
)
def test_what_runs_do_not_have_is_refused_with_what_they_have(runs, call, words):
    with pytest.raises(UserError) as error:
        call(runs)
    for word in words:
        assert word in str(error.value)


@pytest.fixture
def notebook():
    return json.loads(run_notebook.FILE.read_text(encoding="utf-8"))


def kinds(cells):
    """Return what each cell of code gave, without the numbers."""
    outputs = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    return [[[each["output_type"], *each.get("data", {})] for each in cell] for cell in outputs]


def test_the_notebook_runs_and_gives_what_it_shows(swept, notebook, monkeypatch):
    commands = []
    start = subprocess.run

    def train_before(words, **options):
        """Take the shorter sweep that there is, instead of one in a process of its own."""
        if "../src/train.py" not in words:
            return start(words, **options)
        commands.append(words)

    monkeypatch.setattr(subprocess, "run", train_before)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", swept.uri)
    shown = kinds(notebook["cells"])
    names = run_notebook.run_cells(notebook["cells"])
    assert kinds(notebook["cells"]) == shown
    assert sum(output[1:] == ["image/png"] for cell in shown for output in cell) == 3
    assert GRID[0] in commands[0]
    assert any(word.endswith("/notebook") for word in commands[0])
    assert len(names["frame"]) == 18
    assert names["result"].better == "init=he"
    assert not names["result"].tied


def test_the_command_of_the_notebook_is_one_that_runs(lab, notebook, monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: commands.append(words))
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    run_notebook.run_cells([first])
    ((_, script, *words),) = commands
    assert (run_notebook.FILE.parent / script).resolve() == PROJECT / "src" / "train.py"
    monkeypatch.chdir(lab.folder)
    assert lab.run(*words, "sweep.dry_run=true") == 0


def test_a_cell_shows_what_it_prints_its_value_and_its_pictures():
    source = "import matplotlib.pyplot as plt\nprint('one')\nfigure = plt.figure()\n2"
    cell = {"cell_type": "code", "source": source.splitlines(keepends=True)}
    run_notebook.run_cells([cell])
    printed, value, picture = cell["outputs"]
    assert printed == {"output_type": "stream", "name": "stdout", "text": ["one\n"]}
    assert value["execution_count"] == cell["execution_count"] == 1
    assert value["data"] == {"text/plain": ["2"]}
    assert [*picture["data"]] == ["image/png"]


def test_the_notebook_says_nothing_of_the_machine_that_made_it(notebook):
    text = json.dumps(notebook, ensure_ascii=False)
    for word in ("/home", "/root", "/tmp", "/Users", "mlflow.db", "site-packages", "Warning"):
        assert word not in text
    assert len(text) < 150_000
    assert {*notebook["metadata"]} == {"kernelspec", "language_info"}
