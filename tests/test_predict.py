"""What `python src/predict.py` says, what it refuses, and what it leaves alone."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import predict
from initlab.config import PROJECT
from initlab.data import DataError, Digits, Gaussian, IdxFiles, idx
from initlab.nn import theory
from initlab.nn.activations import Relu, Sigmoid, Tanh
from initlab.outlook import diagram

SCRIPT = PROJECT / "src" / "predict.py"
FIELDS = ["q_star", "chi1", "depth_scale_q", "depth_scale_c", "phase", "layers"]


@pytest.fixture
def ask(monkeypatch):
    """Return a function that gives the exit status, and what was printed on both streams."""
    monkeypatch.setenv("COLUMNS", "80")

    def asked(*arguments):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = predict.run(arguments)
        return status, out.getvalue(), err.getvalue()

    return asked


@pytest.fixture
def refused(ask):
    """Return a function that gives the message of a refusal."""

    def asked(*arguments):
        status, out, err = ask(*arguments)
        assert (status, out) == (2, "")
        assert err.startswith("error: ")
        assert "Traceback" not in err
        return err

    return asked


def plain(ask, *arguments):
    status, out, err = ask("format=json", *arguments)
    assert (status, err) == (0, "")
    return json.loads(out)


def test_it_says_what_the_layers_and_their_limit_are(ask):
    status, out, err = ask("activation=tanh", "init=he", "model=mlp_deep")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "activation=tanh init=he model=mlp_deep"
    assert "1,000 examples of data=digits" in lines[1]
    assert lines[3].split() == ["layer", "std", "low", "high", "correlation", "gradient", "std"]
    assert [line.split()[0] for line in lines[4:9]] == ["1", "2", "3", "4", "5"]
    assert "χ₁   1.106 " in out
    assert "trains to about 130 layers (6 ξ_c)\nchaotic: " in out
    command = "python src/train.py activation=tanh model=mlp_deep init=xavier init.gain=critical"
    assert lines[-1] == f"critical: {command}"
    assert max(map(len, lines[:-1])) <= 80


def test_the_critical_command_is_critical(ask):
    out = ask("init.scale=4", "activation=tanh", "model.bias_std=0.2")[1]
    typed = out.splitlines()[-1].removeprefix("critical: python src/train.py ").split()
    assert typed == ["activation=tanh", "model.bias_std=0.2", "init=xavier", "init.gain=critical"]
    found = plain(ask, *typed)
    assert found["chi1"] == pytest.approx(1)
    assert found["phase"] == "critical"
    assert "critical: python" not in ask(*typed)[1]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("activation=gelu", "take init=lsuv"),
        ("model.bias_std=0.5", "take model.bias_std=0"),
        ("model.batch_norm=true", "no critical init is known"),
        ("activation=tanh model.dropout=0.1", "critical but for dropout: python"),
    ],
)
def test_where_there_is_no_critical_init_it_says_what_there_is(ask, typed, words):
    status, out, _ = ask("init=xavier", *typed.split())
    assert status == 0
    assert words in out.splitlines()[-1]


def test_of_a_deep_net_some_layers_are_shown(ask):
    out = ask("model=mlp_stack", "model.depth=50", "data=gaussian")[1]
    assert "20 of 50 hidden layers" in out
    lines = out.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("layer"))
    shown = [int(line.split()[0]) for line in lines[start + 1 : start + 21]]
    assert (shown[0], shown[-1]) == (1, 50)
    assert len({*shown}) == 20


def test_json_is_one_object_of_numbers(ask):
    found = plain(ask, "init=he", "model=mlp_stack", "model.depth=3")
    assert [*found] == FIELDS
    assert found["phase"] == "critical"
    assert found["depth_scale_c"] is None  # infinite
    assert [each["layer"] for each in found["layers"]] == [1, 2, 3]
    for each in found["layers"]:
        assert [*each] == ["layer", "unit_std", "correlation", "gradient"]
        assert 0 < each["gradient"] < each["unit_std"]


def test_json_has_the_numbers_that_a_run_predicts(ask, lab):
    typed = ["init=std01", "activation=tanh", "train.steps=1", "tracking.pictures=false"]
    assert lab.run(*typed) == 0
    (run,) = lab.runs()
    for each in plain(ask, *typed)["layers"]:
        place = f"layer_{each['layer']}"
        for key, metric in (
            ("unit_std", "unit_std_theory"),
            ("gradient", "unit_gradient_std_theory"),
            ("correlation", "unit_correlation_theory"),
        ):
            logged = run.data.metrics[f"{metric}/{place}"]
            assert each[key] == pytest.approx(logged, rel=1e-6)


@pytest.mark.parametrize("typed", ["init=lsuv", "init=zeros", "model.output_init=zeros"])
def test_no_prediction_is_an_answer(ask, typed):
    status, out, _ = ask(typed)
    assert status == 0
    assert "no prediction: theory covers weights" in out
    assert typed in out.partition("unlike those of")[2]
    assert plain(ask, typed) == dict.fromkeys(FIELDS) | {"layers": []}


def test_a_grid_has_a_row_for_each_setting(ask):
    status, out, _ = ask("-m", "init=xavier,he,lsuv", "activation=tanh,relu")
    assert status == 0
    lines = out.splitlines()
    assert lines[1].split() == ["setting", "χ₁", "phase", "ξ_c", "depth", "std", "gradient"]
    assert len([line for line in lines if line.startswith("init=")]) == 6
    (row,) = (line for line in lines if line.startswith("init=he activation=tanh"))
    assert row.split()[2:6] == ["1.11", "chaotic", "21.7", "130"]
    assert max(map(len, lines)) <= 80


def test_a_grid_as_json_is_a_list_with_the_settings(ask):
    found = plain(ask, "-m", "init=xavier,he", "model.bias_std=range(0,3)", "seed=7")
    assert len(found) == 6
    assert all([*each] == ["settings", *FIELDS] for each in found)
    assert found[1]["settings"] == ["init=xavier", "model.bias_std=1", "seed=7"]


def test_a_grid_may_walk_keys_together(ask):
    typed = ["-m", "init=xavier,he", "activation=tanh,relu", "model.bias_std=0,1"]
    found = plain(ask, *typed, "sweep.zip=[init,activation]")
    assert [each["settings"] for each in found] == [
        [*pair, f"model.bias_std={std}", "sweep.zip=[init,activation]"]
        for pair in (["init=xavier", "activation=tanh"], ["init=he", "activation=relu"])
        for std in (0, 1)
    ]


def test_an_experiment_has_its_grid(ask):
    typed = ["-m", "experiment=three_inits", "data=digits"]
    assert len(plain(ask, *typed)) == 18
    assert len(plain(ask, *typed, "seed=0", "init=he")) == 2


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("format=xml", ["format must be one of text, json; got 'xml'"]),
        ("format=", ["format must be one of text, json; got ''"]),
        ("picture=a.pdf", ["picture must be null or a file", ".png; got 'a.pdf'"]),
        ("-m picture=a.png init=he,xavier", ["picture=a.png", "leave out -m"]),
        ("model=quadratic", ["model=quadratic", "mlp_deep"]),
        ("init=hee", ["init=hee: there is no such option. Did you mean he?"]),
        ("init=he,xavier", ["init=he,xavier: several values are a sweep: add -m"]),
        ("init.foo=1", ["init has no key 'foo'"]),
        ("optimizer.lr=-1", ["optimizer.lr must be greater than 0; got -1"]),
        ("train.batch_size=2000", ["train.batch_size must be at most 1437", "got 2000"]),
        ("init=xavier init.gain=critical activation=gelu", ["init.gain=critical: Gelu"]),
        ("--cfg job", ["--cfg: there is no such flag; see --help"]),
        ("--seed=1", ["Settings have no dashes: seed=1"]),
        ("what", ["settings have the form key=value"]),
        ("-m seed=range(0,1000) init.scale=range(1,1000)", ["hydra.sweeper.limit", "999,000"]),
        ("-m init=he,lecun activation=relu sweep.zip=[init,activation]", ["2 of init, 1 of act"]),
        ("init=he activation=relu sweep.zip=[init,activation]", ["is for sweeps: add -m"]),
        ("-m init=he model=mlp,quadratic", ["model=quadratic", "in the setting model=quadratic"]),
        ("-m init=he,hee", ["init=hee", "in the setting init=hee"]),
        ("-m experiment=hyperparameter_search", ["takes a grid"]),
        ("data=mnist data.root=/nowhere", ["data.root=/nowhere: there is no such folder"]),
        ("picture=a.png init=lsuv", ["picture=a.png: there is nothing to draw"]),
        ("picture=a.png model=mlp_residual", ["picture=a.png: there are no phases"]),
    ],
)
def test_a_mistake_is_refused(refused, typed, words):
    message = refused(*typed.split())
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "typed", ["init.scale=1e300", "init=std1 init.std=1e200", "init.scale=1e-300"]
)
def test_a_setting_beyond_all_use_has_an_answer(ask, typed):
    found = plain(ask, *typed.split(), "model=mlp_deep")
    assert found["phase"] == ("ordered" if typed.endswith("-300") else "chaotic")


def test_flags_may_stand_behind_settings(ask):
    assert len(plain(ask, "init=he,xavier", "-m", "seed=1")) == 2


def test_the_help_lists_all_options(ask, capsys):
    with pytest.raises(SystemExit, match="0"):
        predict.run(["--help"])
    out = capsys.readouterr().out
    for word in ("-m, --multirun", "format=text", "picture=null", "variance_scaling", "tanh"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_random_inputs_are_not_drawn(ask, monkeypatch):
    monkeypatch.delattr(Gaussian, "load")
    out = ask("data=gaussian", "data.samples=100000000")[1]
    assert "mean square 1, correlation 0 (of data=gaussian)" in out


def test_data_are_not_downloaded(ask, monkeypatch, tmp_path):
    def fetch(*_):
        raise AssertionError("it asks a mirror")

    monkeypatch.setattr(idx, "_first_that_works", fetch)
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path))
    status, out, _ = ask("data=mnist", "model.hidden=[100]")
    assert status == 0
    assert "mean square 1, correlation 0 (assumed: data=mnist is not at hand)" in out
    assert [*tmp_path.iterdir()] == []
    assert load_at_hand(IdxFiles("mnist")) is None


def test_data_at_hand_are_those_that_a_run_loads(tmp_path):
    found = load_at_hand(Digits(train_size=50))
    assert found.sha256 == Digits().load(np.random.default_rng(0)).sha256
    assert len(found.train) == Digits(train_size=50).outline.examples == 50
    assert (found.features, found.classes) == Digits().outline[1:]
    for file in idx.FILES:
        (tmp_path / file).write_bytes(b"damaged")
    with pytest.raises(DataError, match="intact gzip"):
        load_at_hand(IdxFiles("mnist", root=str(tmp_path)))


def load_at_hand(dataset):
    return dataset.at_hand(np.random.default_rng(0))


def test_what_is_known_of_data_counts_the_training_examples():
    assert IdxFiles("mnist", validation=0.2).outline == (48_000, 784, 10)
    assert Digits(validation=0.2).outline.examples == len(
        Digits(validation=0.2).load(np.random.default_rng(0)).train
    )


def test_the_picture_is_written_over_an_earlier_one(ask, tmp_path):
    file = tmp_path / "phases.png"
    file.write_text("earlier")
    status, out, _ = ask("activation=tanh", f"picture={file}")
    assert status == 0
    assert out.splitlines()[-1].startswith("picture ")
    with Image.open(file) as picture:
        assert picture.size == (960, 720)


def test_a_picture_that_cannot_be_written_is_refused(refused, monkeypatch, tmp_path):
    monkeypatch.setattr(diagram, "draw", lambda *_: Figure())  # which takes a second
    (tmp_path / "folder.png").mkdir()
    for file in (tmp_path / "none" / "a.png", tmp_path / "folder.png"):
        assert f"picture={file}: cannot be written" in refused(f"picture={file}")


@pytest.mark.parametrize(
    ("activation", "weights", "biases", "start"),
    [(Tanh(), 4.0, 0.2, 1.0), (Sigmoid(), 200.0, 40.0, 1.0), (Relu(), 3.0, 1.0, 0.5)],
)
def test_the_picture_has_the_factors_of_theory(activation, weights, biases, start):
    squares = theory.mean_square(activation, diagram.VARIANCES)
    slopes = theory.mean_square_slope(activation, diagram.VARIANCES)
    axes = np.linspace(0.1, weights, 4), np.linspace(0.01, biases, 3)
    found = diagram.factors(*axes, start, squares, slopes)
    expected = [
        [theory.limit(activation, weight, bias, start).chi1 for weight in axes[0]]
        for bias in axes[1]
    ]
    assert found == pytest.approx(np.array(expected), rel=2e-3)


def test_the_depths_of_the_chaotic_phase_are_those_of_theory():
    weights, biases, reach = diagram.chaotic_depths(Tanh(), 4.0, 0.2)
    known = np.argwhere(np.isfinite(reach))
    assert len(known) > 20
    for row, column in known[:: len(known) // 5]:
        bias = max(biases[row, column], 0.0)
        found = theory.limit(Tanh(), weights[row, column], bias)
        assert theory.TRAINABLE * found.depth_scale_c == pytest.approx(reach[row, column], rel=1e-3)


def test_a_process_imports_no_store_and_leaves_no_files(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import predict\n"
        f"assert predict.run(['activation=tanh', 'format=json']) == 0\n"
        f"slow = {{'mlflow', 'matplotlib', 'sqlalchemy', 'scipy', 'sklearn', 'optuna'}}\n"
        f"assert not slow & {{*sys.modules}}, slow & {{*sys.modules}}\n"
    )
    load_at_hand(Digits())  # decodes them, for which it needs scikit-learn
    before = {*PROJECT.iterdir()}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [*json.loads(done.stdout)] == FIELDS
    assert [*tmp_path.iterdir()] == []
    assert {*PROJECT.iterdir()} == before
