"""A recorded run is run again: equal bit for bit, or the first step that differs is found."""

import hashlib
import io
import os
import re
import shutil
import sqlite3
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient
from omegaconf import open_dict

import reproduce
from initlab.config import PROJECT, options, register
from initlab.nn import preparation
from initlab.nn.training import Step
from initlab.reproduction import Difference, compare_numbers, pluralize, version_changes
from initlab.run import RunSpec, train

SCRIPT = PROJECT / "src" / "reproduce.py"


class Lab:
    """A store, into which runs are recorded, and `python src/reproduce.py` in this process."""

    def __init__(self, folder, run_id=None):
        self.folder = folder
        self.database = folder / "mlflow.db"
        self.uri = f"sqlite:///{self.database}"
        self.client = MlflowClient(self.uri)
        self.run_id = run_id

    def record(self, *typed):
        """Return the id of a run of 20 steps, or as many as typed."""
        own = [f"tracking.uri={self.uri}", "tracking.pictures=false", "train.steps=20"]
        before = self.ids()
        with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
            composed = compose("config", [*own, *typed], return_hydra_config=True)
        hydra = composed.hydra
        with open_dict(composed):
            del composed.hydra
        train(RunSpec.of(composed, hydra))
        (run_id,) = self.ids() - before
        return run_id

    def ids(self):
        every = [each.experiment_id for each in self.client.search_experiments()]
        return {run.info.run_id for run in self.client.search_runs(every)}

    def reproduce(self, *arguments):
        """Return the exit status and what was printed, errors last."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = reproduce.run([*arguments, "--uri", self.uri])
        return status, out.getvalue() + err.getvalue()

    def execute(self, statement, *values):
        """Change what is recorded."""
        with sqlite3.connect(self.database) as connection:
            assert connection.execute(statement, values).rowcount > 0
        connection.close()

    def others(self, run_id):
        """Return how many numbers are recorded that are no loss."""
        numbers = (
            "SELECT count(*) FROM metrics WHERE run_uuid = ? AND key NOT IN ('train/loss', 'f')"
        )
        with sqlite3.connect(self.database) as connection:
            ((count,),) = connection.execute(numbers, [run_id])
        connection.close()
        assert count > 10
        return count

    def config(self, run_id):
        """Return the file config.yaml of a run."""
        (file,) = self.folder.glob(f"mlruns/*/{run_id}/artifacts/config.yaml")
        return file

    def rewrite(self, run_id, old, new):
        """Put something else into the config.yaml of a run."""
        file = self.config(run_id)
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def files(self):
        """Return all files of the store by their contents."""
        found = (file for file in self.folder.rglob("*") if file.is_file())
        return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in found}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    register()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def lab(tmp_path, empty_store):
    """Return a lab with an empty store."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return Lab(tmp_path)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, empty_store):
    register()
    lab = Lab(tmp_path_factory.mktemp("recorded"))
    shutil.copy(empty_store, lab.folder)
    lab.run_id = lab.record()
    return lab


@pytest.fixture
def done(recorded, tmp_path):
    """Return a lab in which the default run is recorded, `run_id`, to be damaged."""
    shutil.copytree(recorded.folder, tmp_path, dirs_exist_ok=True)
    lab = Lab(tmp_path, recorded.run_id)
    places = str(recorded.folder), str(tmp_path)
    lab.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", *places)
    return lab


# What is typed, and what is compared: every optimizer, and what else the numbers depend on.
RUNS = {
    "init=lsuv activation=gelu optimizer=sgd": "20 losses and ",
    "model.dropout=0.3 train.weight_decay=0.01 optimizer=momentum": "20 losses and ",
    "model.batch_norm=true train.batching=random optimizer=nesterov": "20 losses and ",
    "model=mlp_residual schedule=cosine seed=5 optimizer=adagrad": "20 losses and ",
    "dtype=float64 optimizer=adam optimizer.lr=0.0123456789": "20 losses and ",
    "init=xavier init.gain=auto model.output_init=zeros optimizer=rmsprop": "20 losses and ",
    "train.snapshots=[0,1,7] data.train_size=300 optimizer=adadelta": "20 losses and ",
    "optimizer=adamw": "20 losses and ",
    "optimizer=lion": "20 losses and ",
    "model=quadratic optimizer=nadam optimizer.lr=0.3": "21 losses and ",
    "data=gaussian train.steps=0 seed=3": "bit-identical: ",
}


def test_every_optimizer_is_among_them():
    assert {*re.findall(r"optimizer=(\w+)", " ".join(RUNS))} == {*options("optimizer")}


@pytest.mark.parametrize("typed", RUNS)
def test_a_run_comes_out_again(lab, typed):
    run_id = lab.record(*typed.split())
    status, said = lab.reproduce(run_id)
    assert f"{RUNS[typed]}{lab.others(run_id)}" in said
    assert "bit-identical: " in said
    assert status == 0


def test_a_run_that_diverged_comes_out_again(lab):
    run_id = lab.record("model=mlp_deep", "init=std1", "optimizer.lr=10")
    run = lab.client.get_run(run_id)
    assert run.data.tags["outcome"] == "diverged"
    status, said = lab.reproduce(run_id)
    losses = run.data.metrics["diverged_step"]
    assert f"bit-identical: {pluralize(int(losses), 'loss')} and " in said
    assert status == 0


def test_a_command_in_a_process_of_its_own_says_the_same(done, warm):
    def ended(run_id, status):
        env = os.environ | {"MLFLOW_TRACKING_URI": done.uri}
        command = warm.start(str(SCRIPT), run_id, cwd=done.folder, env=env)
        output, error = command.communicate(timeout=120)
        assert command.returncode == status, error
        return output, error

    files = done.files()
    assert "bit-identical: 20 losses and " in ended(done.run_id, 0)[0]
    error = ended("0" * 32, 2)[1]
    assert error.startswith("error: ")
    assert "Traceback" not in error
    assert done.files() == files


def test_nothing_is_written(done):
    run_id = done.run_id
    files = done.files()
    done.reproduce(run_id)
    assert done.files() == files


def test_one_bit_that_differs_is_found_at_its_step(done):
    run_id = done.run_id
    key = "run_uuid = ? AND key = 'train/loss' AND step = 7"
    (point,) = (p for p in done.client.get_metric_history(run_id, "train/loss") if p.step == 7)
    then = float(np.nextafter(point.value, 9))
    done.execute(f"UPDATE metrics SET value = ? WHERE {key}", then, run_id)
    status, said = done.reproduce(run_id)
    assert status == 1
    lines = said.splitlines()
    first = lines.index("different, first at step 7: train/loss")
    assert lines[first + 1 : first + 3] == [
        f"  {then!r} then, {point.value!r} now (-{then - point.value:.2g})",
        f"1 of 20 losses differ, by {then - point.value:.2g} at most",
    ]
    assert "another processor" in lines[-1]


def test_another_seed_gives_other_numbers_from_the_first_step(done):
    run_id = done.run_id
    done.rewrite(run_id, "seed: 0", "seed: 1")
    done.execute("UPDATE params SET value = '1' WHERE run_uuid = ? AND key = 'seed'", run_id)
    status, said = done.reproduce(run_id)
    assert status == 1
    assert "different, first at step 0: train/loss\n" in said
    assert "20 of 20 losses differ, by " in said
    assert max(map(len, said.splitlines())) <= 80


def test_a_number_that_does_not_come_out_is_a_difference(done):
    run_id = done.run_id
    done.client.log_metric(run_id, "diverged_step", 20, step=20)
    status, said = done.reproduce(run_id)
    assert status == 1
    assert "different, first at step 20: diverged_step\n  20.0 then, none now\n" in said
    assert f"missing from the new run: 1 of {done.others(run_id)} other numbers" in said


def test_a_number_that_is_recorded_twice_is_one_number(done):
    run_id = done.run_id
    (point,) = (p for p in done.client.get_metric_history(run_id, "train/loss") if p.step == 7)
    done.client.log_metric(run_id, "train/loss", point.value, timestamp=5, step=7)
    assert done.reproduce(run_id)[0] == 0
    done.client.log_metric(run_id, "train/loss", point.value + 1, timestamp=6, step=7)
    status, said = done.reproduce(run_id)
    assert status == 1
    assert "first at step 7: train/loss" in said


def test_numbers_that_were_not_recorded_are_mentioned_and_no_difference(done):
    run_id = done.run_id
    done.execute("DELETE FROM metrics WHERE run_uuid = ? AND key LIKE 'update_ratio/%'", run_id)
    done.execute(
        "DELETE FROM latest_metrics WHERE run_uuid = ? AND key LIKE 'update_ratio/%'", run_id
    )
    status, said = done.reproduce(run_id)
    assert status == 0
    assert "6 numbers of the new run were not recorded: update_ratio/layer_1" in said


@pytest.mark.parametrize(
    ("end", "words"), [(KeyboardInterrupt, "was killed"), (RuntimeError, "failed")]
)
def test_a_run_that_was_cut_short_is_compared_as_far_as_it_went(lab, monkeypatch, end, words):
    whole = preparation.fit

    def part(*arguments):
        for step in whole(*arguments):
            if step.number == 8:
                raise end
            yield step

    monkeypatch.setattr(preparation, "fit", part)
    before = lab.ids()
    with pytest.raises(end):
        lab.record()
    (run_id,) = lab.ids() - before
    monkeypatch.setattr(preparation, "fit", whole)
    status, said = lab.reproduce(run_id)
    assert status == 0
    assert "bit-identical: 8 losses and " in said
    assert f"up to step 7 of 20, before the run {words}." in " ".join(said.split())
    assert "step  8/20" not in said


def test_what_has_changed_is_noted_before_the_run(done):
    run_id = done.run_id
    done.client.set_tag(run_id, "version.numpy", "1.0\x1b[2J")
    said = done.reproduce(run_id)[1]
    assert f"numpy 1.0�[2J then, {np.__version__} now\n" in said.partition("step ")[0]


THEN = {
    "version.numpy": "2.4.5",
    "version.numerics": "aaaa",
    "mlflow.source.git.commit": "0123456789",
    "mlflow.source.git.dirty": "false",
}


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ({}, {}, []),
        ({}, {"version.numpy": "2.4.6"}, ["numpy 2.4.5 then, 2.4.6 now"]),
        ({}, {"version.numerics": "bbbb"}, ["numerics aaaa then, bbbb now"]),
        (
            {},
            {"mlflow.source.git.commit": "abcdef0123"},
            ["revision 01234567 then, abcdef01 now"],
        ),
        ({}, {"mlflow.source.git.dirty": "true"}, []),
        ({"version.numerics": None}, {}, []),
        (
            {"version.numerics": None},
            {"mlflow.source.git.dirty": "true"},
            ["whether the code of the numerics has changed was not recorded"],
        ),
    ],
)
def test_changes_are_told_and_what_is_unknown_only_if_it_matters(then, now, told):
    then = {key: value for key, value in (THEN | then).items() if value is not None}
    assert version_changes(then, THEN | now) == told


def test_a_run_older_than_the_tags_of_numerics_and_data_comes_out_again(done):
    run_id = done.run_id
    for tag in ("version.numerics", "version.data"):
        done.client.delete_tag(run_id, tag)
    assert done.reproduce(run_id)[0] == 0
    done.execute("UPDATE metrics SET value = 5 WHERE run_uuid = ? AND step = 7", run_id)
    status, said = done.reproduce(run_id)
    assert status == 1
    assert "Whether the data were the same was not recorded.\n" in said


def test_a_setting_that_was_not_recorded_is_taken_from_now_and_said(done):
    run_id = done.run_id
    done.execute("DELETE FROM params WHERE run_uuid = ? AND key = 'model.dropout'", run_id)
    done.rewrite(run_id, "  dropout: 0.0\n", "")
    status, said = done.reproduce(run_id)
    assert status == 0
    assert "model.dropout was not recorded; assuming 0.0\n" in said


def test_a_config_that_differs_from_the_params_is_refused_before_anything_runs(done):
    run_id = done.run_id
    done.execute("UPDATE params SET value = '1e-1' WHERE key = 'optimizer.lr'")
    assert done.reproduce(run_id)[0] == 0  # the same number as another version might write it
    done.execute("UPDATE params SET value = ? WHERE key = 'optimizer.lr'", "5\x1b[2J")
    done.rewrite(run_id, "seed: 0", "seed: 1")
    assert mistake(done, run_id).splitlines() == [
        "error: the config of the run was changed, or its params were:",
        "  optimizer.lr is 0.1 in config.yaml, 5�[2J in the params",
        "  seed is 1 in config.yaml, 0 in the params",
    ]


def test_other_data_are_refused_before_anything_runs(done):
    run_id = done.run_id
    done.client.set_tag(run_id, "version.data", "0" * 64)
    status, said = done.reproduce(run_id)
    assert status == 2
    assert said.startswith("error: the data have changed: their SHA-256 was 000000000000… then")
    assert "step" not in said


def mistake(lab, *arguments):
    """Return what a user reads."""
    status, said = lab.reproduce(*arguments)
    assert status == 2
    assert said.startswith("error: ")
    assert "Traceback" not in said
    return said


def test_a_config_that_names_code_is_refused_and_nothing_of_it_is_executed(done):
    run_id = done.run_id
    proof = done.folder / "executed"
    good = done.config(run_id).read_text()
    for name, value in {
        "_target_": f"os.system\n  _args_: [touch {proof}]",
        "other": "${oc.env:HOME}",
    }.items():
        done.config(run_id).write_text(good)
        done.rewrite(run_id, "init:", f"init:\n  {name}: {value}")
        said = mistake(done, run_id)
        assert f"run {run_id} cannot be run again: init.{name}: " in said
        assert os.environ["HOME"] not in said
    done.config(run_id).write_text(good)
    done.rewrite(run_id, "init:", f"init:\n  x: !!python/object/apply:os.system [touch {proof}]")
    said = mistake(done, run_id)
    assert (
        f"run {run_id} cannot be run again: config.yaml, line 2: a tag (!) is not allowed" in said
    )
    assert not proof.exists()


def test_an_option_that_is_no_file_of_conf_is_refused(done):
    run_id = done.run_id
    done.execute("UPDATE params SET value = '../he' WHERE run_uuid = ? AND key = 'init'", run_id)
    assert "init=../he: there is no such option" in mistake(done, run_id)


def test_a_config_of_two_megabytes_is_refused_unread(done):
    run_id = done.run_id
    done.config(run_id).write_text("#" * 2_000_000)
    assert "config.yaml must have at most 1,000,000 characters" in mistake(done, run_id)
    done.config(run_id).write_text("#" * 9_000_000)
    assert "config.yaml has " in mistake(done, run_id)


def test_a_config_that_is_not_there_is_told_with_what_the_run_died_of(done):
    run_id = done.run_id
    done.config(run_id).unlink()
    assert "the run has no config.yaml\n" in mistake(done, run_id)
    done.client.set_tag(run_id, "error", "MemoryError: of all kinds")
    assert "config.yaml; it failed with: MemoryError: of all kinds" in mistake(done, run_id)


def test_a_config_in_another_encoding_is_refused(done):
    run_id = done.run_id
    done.config(run_id).write_bytes(b"\xff\xfe")
    assert "config.yaml is not UTF-8 text" in mistake(done, run_id)


def test_a_run_that_is_not_a_trial_is_refused(done):
    run_id = done.run_id
    done.client.set_tag(run_id, "role", "summary")
    assert "the summary of a sweep; choose one of its trials" in mistake(done, run_id)
    done.client.delete_tag(run_id, "role")
    assert "not a trial of initlab" in mistake(done, run_id)


def test_a_run_without_numbers_is_refused(done):
    run_id = done.run_id
    done.execute("DELETE FROM latest_metrics WHERE run_uuid = ?", run_id)
    assert "has recorded no numbers to compare" in mistake(done, run_id)


@pytest.mark.parametrize("run_id", ["0" * 32, "nonsense", "a' or '1", 'a"', "\x1b[2J"])
def test_an_unknown_id_is_told(done, run_id):
    said = mistake(done, run_id)
    assert "there is no such run" in said or "a run id has only letters and digits" in said
    assert "\x1b" not in said


def test_a_run_that_is_deleted_is_told(done):
    run_id = done.run_id
    done.client.delete_run(run_id)
    assert "there is no such run in" in mistake(done, run_id)


# What is wrong with a store, and what the message must say.
STORES = {
    "sqlite:///{folder}/none.db": "there is no such database",
    "sqlite:///{folder}/none/none.db": "there is no such database",
    "sqlite:///{folder}": "there is no such database",
    "sqlite:///{folder}/text": "file is not a database",
    "sqlite:///{folder}/empty": "it is empty",
    "http://127.0.0.1:9": "Connection refused",
    "http://127.0.0.1:port": "Port could not be cast",
    "{folder}/mlruns": "must be a database",
}


@pytest.mark.parametrize("uri", STORES)
def test_a_store_that_cannot_be_read_is_told_and_none_is_made(tmp_path, capsys, uri, monkeypatch):
    (tmp_path / "text").write_text("text\n" * 200)
    (tmp_path / "empty").touch()
    before = [*tmp_path.rglob("*")]
    monkeypatch.chdir(tmp_path)
    assert reproduce.run(["0" * 32, "--uri", uri.format(folder=tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert STORES[uri] in said
    assert "--uri" in said
    assert [*tmp_path.rglob("*")] == before
    assert not (tmp_path / "empty").stat().st_size


def test_the_default_store_is_that_of_the_environment_and_then_of_the_project(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    assert reproduce.run(["0" * 32]) == 2
    assert f"sqlite:///{tmp_path}/none.db: there is no such database" in capsys.readouterr().err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setattr(reproduce, "PROJECT", tmp_path)
    assert reproduce.run(["0" * 32]) == 2
    assert f"sqlite:///{tmp_path}/mlflow.db: there is no such database" in capsys.readouterr().err


def steps(*losses):
    return (Step(number, loss) for number, loss in enumerate(losses))


def test_comparing_ends_when_all_that_was_recorded_has_been_compared():
    taken = []

    def watched():
        for step in steps(3.0, 2.0, 1.0):
            taken.append(step.number)
            yield step

    finding = compare_numbers({(0, "train/loss"): {3.0}, (1, "train/loss"): {2.0}}, watched())
    assert finding.identical
    assert taken == [0, 1]
    assert str(finding) == "bit-identical: 2 losses"


def test_the_difference_of_the_first_step_comes_first_and_in_it_that_of_the_loss():
    numbers = {(1, "lr"): {1.0}, (1, "train/loss"): {2.5}, (0, "lr"): {1.0}, (0, "train/loss"): {3}}
    finding = compare_numbers(numbers, steps(3.0, 2.0))
    assert finding.differences == [
        Difference(0, "lr", 1.0, None),
        Difference(1, "train/loss", 2.5, 2.0),
        Difference(1, "lr", 1.0, None),
    ]
    assert str(finding).splitlines() == [
        "different, first at step 0: lr",
        "  1.0 then, none now",
        "1 of 2 losses differ, by 0.5 at most",
        "missing from the new run: 2 of 2 other numbers",
    ]


def test_a_loss_that_is_no_longer_finite_did_not_come_out():
    finding = compare_numbers({(0, "train/loss"): {3.0}}, steps(float("inf")))
    assert finding.differences == [Difference(0, "train/loss", 3.0, None)]
    assert dict(finding.added) == {"diverged_step": 1}
