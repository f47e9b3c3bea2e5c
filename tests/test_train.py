"""The front door: what a person types, what they read, and what is left in the store."""

import contextlib
import itertools
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import wait_for
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient
from omegaconf import open_dict
from threadpoolctl import threadpool_info, threadpool_limits

from initlab import config as configs
from initlab.config import PROJECT
from initlab.data.datasets import Digits
from initlab.nn import losses
from initlab.nn.preparation import load, prepare
from initlab.nn.training import Training
from initlab.nn.verdict import Context
from initlab.run import RunSpec
from initlab.tracking import provenance
from initlab.tracking.record import Record
from initlab.tracking.store import quick_and_quiet

PLAIN = "tracking.pictures=false"
needs_mnist = pytest.mark.skipif(
    "INITLAB_DATA" not in os.environ, reason="INITLAB_DATA names no folder with mnist"
)


def test_he_and_adam_learn_the_digits_with_the_default_steps(lab):
    assert lab.run("init=he", "optimizer=adam") == 0
    (run,) = lab.runs()
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/accuracy"] >= 0.95


@needs_mnist
def test_the_default_network_learns_mnist_in_2000_steps(lab):
    assert lab.run("data=mnist", "train.steps=2000", "train.eval_every=2000", PLAIN) == 0
    (run,) = lab.runs()
    assert run.data.metrics["test/accuracy"] >= 0.95


def test_a_run_leaves_what_the_design_says(lab, capsys):
    assert lab.run("init=he", "optimizer=adam", "train.steps=250", "optimizer.lr=0.002") == 0
    (run,) = lab.runs()
    data = run.data

    assert run.info.run_name == "init=he optimizer=adam train.steps=250 optimizer.lr=0.002"
    experiment = lab.client.get_experiment(run.info.experiment_id)
    assert experiment.name == "initlab"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"

    choices = {key: data.params[key] for key in configs.GROUPS}
    assert choices == {
        "init": "he", "activation": "relu", "optimizer": "adam", "schedule": "constant",
        "model": "mlp", "data": "digits",
    }  # fmt: skip
    for key, value in {
        "init.scale": "2.0",
        "init.mode": "fan_in",
        "optimizer.lr": "0.002",
        "optimizer.beta2": "0.999",
        "model.hidden": "[200, 200]",
        "model.bias": "true",
        "train.steps": "250",
        "train.snapshots": "null",
        "seed": "0",
        "dtype": "float32",
    }.items():
        assert data.params[key] == value

    assert list(lab.values(run, "train/loss")) == list(range(250))
    for metric in ("train/accuracy", "test/loss", "test/accuracy"):
        assert list(lab.values(run, metric)) == [0, 63, 126, 189, 250]
    for layers, names in {
        2: [
            "unit_mean",
            "unit_std",
            "unit_correlation",
            "unit_saturated",
            "unit_dead",
            "unit_gradient_std",
        ],
        3: ["weight_std", "weight_gradient_std"],
    }.items():
        for name in names:
            for layer in range(1, layers + 1):
                assert list(lab.values(run, f"{name}/layer_{layer}")) == [0, 125, 250]
    assert list(lab.values(run, "update_ratio/layer_3")) == [125, 250]
    assert lab.values(run, "lr") == {0: 0.002}
    for name in ("unit_std_theory", "unit_gradient_std_theory", "unit_correlation_theory"):
        for layer in (1, 2):
            assert list(lab.values(run, f"{name}/layer_{layer}")) == [0]
    assert len(data.metrics) == 1 + 1 + 3 + (6 + 3) * 2 + 2 * 3 + 3
    assert float(data.tags["theory.chi1"]) == pytest.approx(1)
    assert data.tags["theory.depth_scale"] == "inf"

    assert lab.artifacts(run) == {
        "activations.png", "gradients.png", "weights.png", "signal.png", "loss.png",
        "histograms.npz", "config.yaml", "weights.npz",
    }  # fmt: skip

    assert data.tags["role"] == "trial"
    assert data.tags["outcome"] == "finished"
    assert data.tags["verdict"] == "healthy"
    assert re.fullmatch("[0-9a-f]{16}", data.tags["fingerprint"])
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
    if git.returncode == 0:
        assert data.tags["mlflow.source.git.commit"] == git.stdout.strip()
        assert data.tags["mlflow.source.git.dirty"] in ("true", "false")
    assert "sweep" not in data.tags
    assert data.tags["command"].endswith(" train.steps=250 optimizer.lr=0.002")
    assert data.tags["version.python"].startswith(f"{sys.version_info.major}.")
    assert data.tags["version.numpy"] == np.__version__
    assert "version.blas" in data.tags
    assert data.tags["mlflow.note.content"].startswith("healthy: ")

    printed = capsys.readouterr().out
    assert run.info.run_id in printed
    assert f"mlflow ui --backend-store-uri {lab.uri}" in printed
    assert max(map(len, re.sub("http.*|open.*", "", printed).splitlines())) <= 80


def test_a_validation_set_is_recorded_and_shown(lab, capsys):
    assert lab.run("data.validation=0.2", "train.steps=20", "train.eval_every=10", PLAIN) == 0
    (run,) = lab.runs()
    for metric in ("validation/loss", "validation/accuracy"):
        assert list(lab.values(run, metric)) == [0, 10, 20]
    last = lab.values(run, "validation/accuracy")[20]
    assert last != lab.values(run, "test/accuracy")[20]
    assert re.search(rf"^validation +loss .* accuracy {last:.1%} *$", capsys.readouterr().out, re.M)


def test_a_batch_must_fit_into_what_validation_leaves(lab, capsys):
    assert lab.run("data.train_size=100", "data.validation=0.2", "train.batch_size=81") == 2
    error = capsys.readouterr().err
    assert "train.batch_size must be at most 80" in error
    assert "of data=digits less those for validation; got 81" in error


def test_asking_for_the_revision_leaves_the_index_to_whoever_commits(tmp_path):
    def git(*arguments):
        named = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *named, *arguments], cwd=tmp_path, check=True, capture_output=True)

    file, index = tmp_path / "file", tmp_path / ".git" / "index"
    file.write_text("a")
    git("init")
    git("add", "file")
    git("commit", "-m", "first")
    os.utime(file, (1, 1))  # upon which a plain `git status` writes the index anew
    before = index.read_bytes()
    assert provenance.revision(tmp_path)["mlflow.source.git.dirty"] == "false"
    assert index.read_bytes() == before


def test_a_user_without_a_name_may_train(lab, monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(provenance.getpass, "getuser", nameless)
    assert lab.run("train.steps=0", PLAIN) == 0
    (run,) = lab.runs()
    assert run.info.status == "FINISHED"


def test_the_files_of_a_run_hold_what_they_say(lab):
    lab.run("train.steps=20", "model=mlp_small", "train.snapshots=[0,7,20]", PLAIN)
    (run,) = lab.runs()
    folder = Path(lab.client.download_artifacts(run.info.run_id, "", str(lab.folder)))

    weights = np.load(folder / "weights.npz")
    assert set(weights) == {f"{when}/{name}" for when in ("initial", "final")
                            for name in ("W1", "W2", "b1", "b2")}  # fmt: skip
    assert weights["initial/W1"].shape == (64, 128)
    std = run.data.metrics["weight_std/layer_1"]
    assert weights["final/W1"].std() == pytest.approx(std, rel=1e-5)

    histograms = np.load(folder / "histograms.npz")
    assert histograms["steps"].tolist() == [0, 7, 20]
    for quantity, layers in {"activations": 1, "gradients": 1, "weights": 2}.items():
        bins = len(histograms[f"{quantity}/edges"]) - 1
        assert histograms[f"{quantity}/counts"].shape == (3, layers, bins + 2)
    assert histograms["weights/counts"][0, 0].sum() == 64 * 128

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["train"]["steps"] == 20
    assert config["init"] == {
        "scale": 2.0, "mode": "fan_in", "distribution": "normal", "gain": 1.0
    }  # fmt: skip


def test_pictures_of_training_have_a_step_slider(lab):
    lab.run("train.steps=20")
    (run,) = lab.runs()
    names = [file.path for file in lab.client.list_artifacts(run.info.run_id, "images")]
    for key in ("activations", "gradients"):
        for step in (0, 10, 20):
            assert any(re.search(rf"train.{key}\+step\+{step}\+.*\.png", name) for name in names)


def test_the_same_command_twice_gives_the_same_losses_to_the_last_bit(lab):
    for _ in range(2):
        assert lab.run("train.steps=60", "model=mlp_deep", "optimizer=adam", PLAIN) == 0
    first, second = (lab.values(run, "train/loss") for run in lab.runs())
    assert len(first) == 60
    assert first == second
    one, other = (run.data.tags["fingerprint"] for run in lab.runs())
    assert one == other


def test_a_run_that_diverges_is_finished_and_says_where(lab, capsys):
    assert lab.run("init=std1", "model=mlp_deep", PLAIN) == 0
    (run,) = lab.runs()
    assert run.info.status == "FINISHED"
    assert run.data.tags["outcome"] == run.data.tags["verdict"] == "diverged"
    step = int(run.data.metrics["diverged_step"])
    assert list(lab.values(run, "train/loss")) == list(range(step))
    assert f"the loss at step {step} is not a finite number" in capsys.readouterr().out


def test_no_number_in_the_store_is_infinite_or_nan(lab):
    lab.run("init=std1", "model=mlp_deep", "optimizer.lr=1e30", PLAIN)
    lab.run("init=zeros", "train.steps=10", PLAIN)
    with sqlite3.connect(lab.database) as store:
        rows = store.execute("SELECT key, value, is_nan FROM metrics").fetchall()
    assert len(rows) > 50
    assert not [row for row in rows if row[2] or abs(row[1]) > 1e300]


def test_data_without_labels_show_how_a_signal_travels(lab, capsys):
    assert lab.run("data=gaussian", "train.steps=0", "model=mlp_deep", "activation=tanh") == 0
    (run,) = lab.runs()
    assert run.data.metrics["unit_std/layer_5"] > 0
    assert "train/loss" not in run.data.metrics
    assert "gradients.png" not in lab.artifacts(run)
    assert "healthy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("init=hee", ["init=hee", "Did you mean he?"]),
        ("optimizer.lr=-1", ["optimizer.lr must be greater than 0; got -1.0"]),
        ("train.batch_size=5000", ["train.batch_size must be at most 1437", "data=digits", "5000"]),
        ("data.train_size=2000", ["data.train_size must be at most 1437", "2000"]),
        ("data=gaussian", ["train.steps must be 0"]),
        ("tracking.uri=./mlruns", ["tracking.uri=./mlruns", "sqlite:///"]),
        ("tracking.uri=http://127.0.0.1:port", ["tracking.uri=http://127.0.0.1:port", "port"]),
        ("tracking.uri=sqlite:////dev/null/x.db", ["tracking.uri=", "tracking.enabled=false"]),
        (f"tracking.uri='http://{'µ' * 150}'", ["tracking.uri=http://µµµ", "cannot be used"]),
    ],
)
def test_a_mistake_opens_no_run_and_leaves_nothing(lab, capsys, typed, words):
    assert lab.run(typed) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "Traceback" not in printed.err
    for word in words:
        assert word in printed.err
    assert lab.runs() == []
    assert not any(lab.outputs.glob("*/*"))


def test_damaged_data_are_named(lab, capsys, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(b"not gzip")
    assert lab.run("data=mnist", f"data.root={folder}") == 2
    error = capsys.readouterr().err
    assert str(folder / "train-images-idx3-ubyte.gz") in error
    assert "Traceback" not in error
    assert lab.runs() == []


NEVER_ONE_OF_MANY = {"zeros", "const001"}


@pytest.mark.parametrize("group", ["init", "activation", "optimizer", "schedule", "model"])
def test_every_option_trains_on_the_digits(group):
    usual = {"init": "he", "activation": "relu", "optimizer": "sgd", "schedule": "constant"}
    for name in configs.options(group):
        chosen = {**usual, "model": "mlp", group: name}
        loaded = {each: configs.load_option(each, option) for each, option in chosen.items()}
        config = configs.Config(**loaded, data=Digits(), train=Training(steps=20))
        record = Record()
        for step in prepare(config, load(config)).steps:
            record.add(step)
        assert record.diverged_step is None, name
        if name == "quadratic":
            assert len(record.steps) == 21
            assert np.isfinite([step.point for step in record.steps]).all()
            continue
        losses = [step.loss for step in record.steps[:-1]]
        assert len(losses) == 20, name
        assert np.isfinite(losses).all(), name
        verdict = record.verdict(Context(chosen["init"], chosen["activation"], config.optimizer.lr))
        symmetric = group == "init" and name in NEVER_ONE_OF_MANY
        assert (verdict.word == "symmetric") == symmetric, name


@needs_mnist
@pytest.mark.parametrize("data", ["mnist", "fashion_mnist"])
def test_every_data_set_trains(lab, data):
    assert lab.run(f"data={data}", "train.steps=20", "train.eval_every=20", PLAIN) == 0
    assert np.isfinite([*lab.values(lab.runs()[0], "train/loss").values()]).all()


def test_the_rate_is_logged_at_every_step_where_it_varies_and_once_where_not(lab):
    assert (
        lab.run("-m", "schedule=constant,cosine", "train.steps=40", "optimizer.lr=0.2", PLAIN) == 0
    )
    constant, cosine = (lab.values(run, "lr") for run in lab.runs())
    assert constant == {0: 0.2}
    expected = {k: 0.1 * (1 + np.cos(np.pi * k / 40)) for k in range(40)}
    assert cosine == pytest.approx(expected, rel=1e-12)


def test_the_valley_is_descended_by_the_same_command(lab, capsys):
    typed = ["model=quadratic", "optimizer.lr=0.95", "train.steps=30", "dtype=float64"]
    assert lab.run(*typed) == 0
    (run,) = lab.runs()
    x, y, f = (lab.values(run, name) for name in "xyf")
    assert x == pytest.approx({k: -7 * 0.905**k for k in range(31)}, rel=1e-12)
    assert y == pytest.approx({k: 2 * (-0.9) ** k for k in range(31)}, rel=1e-12)
    assert f == pytest.approx({k: x[k] ** 2 / 20 + y[k] ** 2 for k in range(31)}, rel=1e-12)
    assert lab.artifacts(run) == {"config.yaml", "path.png", "weights.npz"}
    assert not {"init", "activation", "data", "init.scale"} & run.data.params.keys()
    assert run.data.params["model.start"] == "[-7.0, 2.0]"
    assert run.data.metrics.keys() == {"x", "y", "f", "lr"}
    printed = " ".join(capsys.readouterr().out.split())
    assert f"f {f[30]:.4g} at x {x[30]:.4g}, y {y[30]:.4g}" in printed


def test_a_descent_that_diverges_says_so(lab, capsys):
    assert lab.run("model=quadratic", "optimizer.lr=5", "train.steps=300", PLAIN) == 0
    (run,) = lab.runs()
    assert run.data.tags["outcome"] == run.data.tags["verdict"] == "diverged"
    assert "lower optimizer.lr, now 5" in " ".join(capsys.readouterr().out.split())


def numbers(*typed):
    """Return the fingerprint of a run, and its first two losses."""
    configs.register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        composed = compose("config", [*typed, "train.steps=2"], return_hydra_config=True)
    hydra = composed.hydra
    with open_dict(composed):
        del composed.hydra
    spec = RunSpec.of(composed, hydra)
    steps = prepare(spec.config, spec.data).steps
    return spec.fingerprint, *(step.loss for step in steps if step.loss is not None)


def test_what_changes_the_losses_changes_the_fingerprint():
    plain = numbers()
    for other in ("seed=1", "init=xavier", "train.threads=2", "data.train_size=200"):
        assert numbers(other)[0] != plain[0], other
    assert numbers("tracking.experiment=elsewhere") == plain


@pytest.mark.parametrize(
    ("swept", "distinct"),
    [
        ("activation=relu,tanh", 2),  # neither has a setting
        ("optimizer=momentum,nesterov", 2),  # both have the same
        ("init=std001,truncated_normal", 2),
        ("init=xavier,lecun", 2),  # two names of one law, both of which were asked for
        ("model=quadratic seed=0,1 init=he,zeros train.batch_size=10,20", 1),
        ("model=quadratic optimizer=momentum,nesterov", 2),
    ],
)
def test_runs_of_the_same_numbers_have_the_same_fingerprint_and_no_others(swept, distinct):
    words = [word.split("=") for word in swept.split()]
    grid = itertools.product(*([f"{key}={x}" for x in values.split(",")] for key, values in words))
    runs = [numbers(*typed) for typed in grid]
    assert len({fingerprint for fingerprint, *_ in runs}) == distinct
    assert len({tuple(losses) for _, *losses in runs}) <= distinct


def test_a_gain_made_for_the_activation_is_told(lab, capsys):
    typed = ["init=xavier", "init.gain=auto", "activation=tanh", "train.steps=2", PLAIN]
    assert lab.run(*typed) == 0
    (run,) = lab.runs()
    told = "init.gain=auto is 1.593 for tanh"
    assert told in " ".join(capsys.readouterr().out.split())
    assert told in run.data.tags["mlflow.note.content"]
    # 1.593 / √64 at the first layer, over 12,800 weights
    assert lab.values(run, "weight_std/layer_1")[0] == pytest.approx(1.593 / 8, rel=0.02)


def test_lsuv_says_how_many_tries_it_took(lab, capsys):
    assert lab.run("init=lsuv", "activation=tanh", "train.steps=2", PLAIN) == 0
    assert re.search(r"lsuv .* 3 layers .* 1 rescaling", " ".join(capsys.readouterr().out.split()))


def test_the_output_layer_may_have_an_init_of_its_own(lab):
    assert lab.run("model.output_init=zeros", "train.steps=0", PLAIN) == 0
    (run,) = lab.runs()
    weights = lab.weights(run)
    assert not weights["initial/W3"].any()
    assert weights["initial/W2"].all()


def test_a_stack_has_the_width_and_depth_it_is_given(lab, capsys):
    typed = ("model=mlp_stack", "model.depth=3", "model.width=20", "data=digits", "train.steps=3")
    assert lab.run(*typed, "tracking.enabled=false") == 0
    assert "hidden layers at step 3" in capsys.readouterr().out
    assert lab.run(*typed, "model.bias_std=0.1", PLAIN) == 0
    (run,) = lab.runs()
    recorded = [run.data.params[f"model.{key}"] for key in ("depth", "width", "bias_std")]
    assert recorded == ["3", "20", "0.1"]
    weights = lab.weights(run)
    assert [weights[f"initial/b{n}"].shape for n in (1, 2, 3, 4)] == [(20,)] * 3 + [(10,)]
    assert weights["initial/b4"].all()


def test_the_first_stream_of_the_seed_draws_the_weights(lab):
    assert lab.run("seed=3", "init=std1", "dtype=float64", "train.steps=0", PLAIN) == 0
    (run,) = lab.runs()
    first_layer = np.random.default_rng(3).spawn(1)[0].spawn(1)[0]
    np.testing.assert_array_equal(
        lab.weights(run)["initial/W1"], first_layer.standard_normal((64, 200))
    )


def test_dropout_takes_nothing_from_the_other_streams(lab):
    assert lab.run("-m", "model.dropout=0,0.5", "train.steps=5", PLAIN) == 0
    plain, dropped = (lab.values(run, "train/loss") for run in lab.runs())
    assert plain[1] != dropped[1]
    assert lab.run("model.dropout=0.5", "train.steps=5", PLAIN) == 0
    assert lab.values(lab.runs()[-1], "train/loss") == dropped


def test_the_running_statistics_of_batch_norm_are_kept_with_the_weights(lab):
    assert lab.run("model.batch_norm=true", "train.steps=20", PLAIN) == 0
    (run,) = lab.runs()
    weights = lab.weights(run)
    assert not weights["initial/running_mean1"].any()
    assert weights["final/running_mean1"].any()
    assert weights["final/gamma2"].shape == (200,)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_has_the_threads_it_asks_for(lab, monkeypatch, threads):
    seen = set()
    forward = losses.SoftmaxCrossEntropy.forward

    def looking(self, logits, labels):
        pools = threadpool_info()
        seen.update(pool["num_threads"] for pool in pools if pool["user_api"] == "blas")
        return forward(self, logits, labels)

    monkeypatch.setattr(losses.SoftmaxCrossEntropy, "forward", looking)
    with threadpool_limits(4, "blas"):  # as if numpy had taken what the machine has
        assert lab.run("train.steps=2", f"train.threads={threads}", PLAIN) == 0
    assert seen == {threads}


def fail_after(steps, error, monkeypatch):
    """Let the loss raise after so many steps."""
    forward = losses.SoftmaxCrossEntropy.forward
    calls = iter(range(10**9))

    def failing(self, logits, labels):
        if next(calls) == steps:
            raise error
        return forward(self, logits, labels)

    monkeypatch.setattr(losses.SoftmaxCrossEntropy, "forward", failing)


def test_an_exception_leaves_a_failed_run_with_its_traceback(lab, capsys, monkeypatch):
    fail_after(40, ZeroDivisionError("on purpose"), monkeypatch)
    assert lab.run("train.eval_every=1000") == 1
    (run,) = lab.runs()
    assert run.info.status == "FAILED"
    path = lab.client.download_artifacts(run.info.run_id, "traceback.txt", str(lab.folder))
    text = Path(path).read_text()
    assert "ZeroDivisionError: on purpose" in text
    assert "in fit" in text
    assert "ZeroDivisionError: on purpose" in capsys.readouterr().err
    assert len(lab.values(run, "train/loss")) > 20  # what was measured before is kept
    assert "loss.png" in lab.artifacts(run)


def test_a_store_that_fails_while_training_loses_nothing(lab, capsys, monkeypatch):
    log_batch = MlflowClient.log_batch

    def failing(self, run_id, metrics=(), params=(), tags=(), **options):
        if metrics:
            raise OSError("No space left on device")
        return log_batch(self, run_id, metrics, params, tags, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", failing)
    assert lab.run("train.steps=100", PLAIN) == 2
    printed = capsys.readouterr()
    assert "No space left on device" in printed.err
    assert f"files {lab.outputs}/run" in printed.out
    numbers = (lab.outputs / "run" / "metrics.csv").read_text()
    assert len(re.findall("train/loss", numbers)) == 100
    (run,) = lab.runs()
    assert run.info.status == "FAILED"


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_an_interrupted_run_is_killed_with_what_it_measured(lab, number, status):
    # With layers so wide that it trains for most of a second before it sends losses again.
    process = lab.start("train.steps=10000000", "train.eval_every=10000000", "model.hidden=[500]")
    query = "SELECT count(*) FROM latest_metrics WHERE key = 'train/loss' AND step > 100"

    def losses_have_arrived():
        with contextlib.closing(sqlite3.connect(lab.database)) as store:
            return store.execute(query).fetchone()[0]

    wait_for(losses_have_arrived)
    time.sleep(0.1)  # or the signal might come before they are all sent
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == status
    assert "Traceback" not in error
    run = lab.runs()[-1]
    assert run.info.status == "KILLED"
    losses = lab.values(run, "train/loss")
    assert list(losses) == list(range(len(losses)))
    assert "activations.png" in lab.artifacts(run)


def test_the_name_of_a_run_turns_no_text_around(lab, capsys):
    assert lab.run("hydra.job.name='\u202emoc'", "train.steps=3", "tracking.pictures=false") == 0
    assert "\u202e" not in capsys.readouterr().out
    (run,) = lab.runs()
    assert run.info.run_name == "\N{REPLACEMENT CHARACTER}moc"


def lost(number, error=None):
    """Return a function that is interrupted by a signal, of which a library makes an error."""

    def call(*_, **__):
        try:
            signal.raise_signal(number)
        except (KeyboardInterrupt, SystemExit):
            if error:
                raise error from None

    return call


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_of_which_a_library_makes_an_error_is_one(
    lab, capsys, monkeypatch, number, status
):
    monkeypatch.setattr("initlab.run.RunSpec.of", lost(number, AttributeError("flags_cache")))
    assert lab.run() == status
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize("error", [None, RuntimeError("lost")])
@pytest.mark.parametrize("swept", [True, False])
def test_a_run_that_a_library_kept_from_being_interrupted_is_killed(
    lab, capsys, monkeypatch, error, swept
):
    monkeypatch.setattr("initlab.run.log_pictures", lost(signal.SIGINT, error))
    line = ["-m", "seed=0,1"] if swept else []
    assert lab.run(*line, "train.steps=30") == 130
    assert "Traceback" not in capsys.readouterr().err
    (run,) = lab.runs()
    assert run.info.status == "KILLED"
    assert "traceback.txt" not in lab.artifacts(run)


def test_training_without_tracking_imports_neither_mlflow_nor_optuna(tmp_path):
    arguments = ["tracking.enabled=false", "train.steps=30", f"hydra.run.dir={tmp_path}/run"]
    code = (
        f"import sys; sys.path.insert(0, {str(PROJECT / 'src')!r}); "
        f"sys.argv = ['train.py', *{arguments}]; import train; status = train.run(); "
        "print({'mlflow', 'optuna'} & {*sys.modules}, status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("set() 0\n"), done.stderr
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert names == {
        "activations.png", "gradients.png", "weights.png", "signal.png", "loss.png",
        "histograms.npz", "weights.npz", "metrics.csv", "config.yaml",
    }  # fmt: skip
    assert f"files {tmp_path}/run" in done.stdout


def test_a_server_that_refuses_is_told_before_training(lab, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert lab.run(f"tracking.uri=http://user:secret@127.0.0.1:{port}") == 2
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port}: cannot be used: Connection refused" in error
    assert "secret" not in error
    assert "tracking.enabled=false" in error


@pytest.mark.parametrize("kind", ["http", "postgresql"])
def test_a_server_that_never_answers_is_asked_for_no_longer_than_the_key_says(
    lab, capsys, monkeypatch, kind
):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    calls = []

    def listen(server):
        with contextlib.suppress(OSError):  # when it is closed
            while True:
                calls.append(server.accept())

    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=listen, args=[silent], daemon=True).start()
        address = f"{kind}://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        assert lab.run(f"tracking.uri={address}", "tracking.timeout=0.5") == 2
        assert time.monotonic() - begun < 15
    assert "cannot be used" in capsys.readouterr().err
    for connection, _ in calls:
        connection.close()
    tried = {"http": 2, "postgresql": 1}
    assert len(calls) == 1 + tried[kind]  # the first one looks whether anybody listens


def test_a_server_is_given_the_time_of_the_key_unless_the_environment_says_otherwise(monkeypatch):
    names = ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    with quick_and_quiet(7.5):
        assert [os.environ[name] for name in names] == ["8", "1"]
    monkeypatch.setenv(names[0], "60")
    with quick_and_quiet():
        assert [os.environ[name] for name in names] == ["60", "1"]
    assert names[1] not in os.environ


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_disk_that_cannot_be_written_is_told_before_training(lab, capsys, tmp_path, state):
    disk = tmp_path / "disk"
    disk.mkdir()
    options = {"full": "size=64k", "read-only": "ro"}[state]
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small disk")
    try:
        assert lab.run(f"tracking.uri=sqlite:///{disk}/mlflow.db") == 2
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    error = capsys.readouterr().err
    words = {"full": "No space left on device", "read-only": "Read-only file system"}
    assert words[state] in error
    assert "Traceback" not in error


def test_a_deleted_experiment_is_not_written_to(lab, capsys):
    lab.run("train.steps=0", PLAIN)
    (run,) = lab.runs()
    lab.client.delete_experiment(run.info.experiment_id)
    capsys.readouterr()
    assert lab.run("train.steps=0", PLAIN) == 2
    assert "is deleted" in capsys.readouterr().err
