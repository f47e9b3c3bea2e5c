"""Searches: points that Optuna chooses, tried on all cores, and gone on with where they stopped."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
from conftest import lab_after, wait_for
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import train
from initlab.nn.optimizers import SGD

LR = "optimizer.lr=tag(log,interval(1e-3,1))"
SEARCH = ["-m", "hydra/sweeper=search", "model.hidden=[20]", "tracking.pictures=false"]
TINY = [*SEARCH, "train.steps=20", "train.eval_every=5", LR]
PLAIN = "hydra.sweeper.pruner=none"
ON_TWO_CORES = ["hydra/launcher=cores", "hydra.launcher.processes=2"]


FOUND = [*TINY, "data.validation=0.2", PLAIN]


def trials(number):
    return f"hydra.sweeper.trials={number}"


def study(lab, name=None):
    """The study, as anybody can open it with Optuna."""
    (file,) = lab.outputs.glob("*.journal")
    storage = JournalStorage(JournalFileBackend(str(file)))
    return optuna.load_study(study_name=name or file.stem, storage=storage)


def states(lab):
    return Counter(trial.state for trial in study(lab).trials)


def outcomes(lab):
    return Counter(run.data.tags.get("outcome", run.info.status) for run in lab.runs())


def rates(runs):
    """The learning rates of runs that came to their end."""
    return {run.data.params["optimizer.lr"] for run in runs if run.data.tags.get("outcome")}


def ended(lab):
    """How many trials have their results, read without disturbing whoever writes."""
    files = [*lab.outputs.glob("*.journal")]
    return files[0].read_text().count('"state":1') if files else 0


@pytest.fixture(scope="module")
def searched(tmp_path_factory, empty_store, request):
    """Return a lab with a search of four trials, and what was printed."""
    return lab_after(tmp_path_factory, empty_store, request, *FOUND, trials(4))


@pytest.fixture
def again(lab, searched):
    """Return a lab in which that search has been run."""
    shutil.copy(searched[0].database, lab.database)
    shutil.copytree(searched[0].outputs, lab.outputs)
    return lab


def test_a_search_records_its_trials_and_its_study_is_optunas(searched):
    lab, printed = searched
    found = study(lab)
    assert found.direction == optuna.study.StudyDirection.MAXIMIZE
    assert found.user_attrs["metric"] == "validation/accuracy"
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 4
    for run, trial in zip(lab.runs(), found.trials, strict=True):
        assert run.data.params["optimizer.lr"] == repr(trial.params["optimizer.lr"])
        values = lab.values(run, "validation/accuracy")
        assert trial.intermediate_values == values
        assert trial.value == values[20]
        assert run.data.tags["study"] == found.study_name
        assert run.info.run_name.startswith(f"#{trial.number} lr=")
    best = found.best_trial
    assert f"best #{best.number} with validation/accuracy {best.value:.1%}:\n" in printed
    assert f"optimizer.lr={best.params['optimizer.lr']!r}\n" in printed
    assert f"study {found.study_name}: 4 finished\n" in printed
    assert "The same command with hydra.sweeper.trials=8 adds 4 more." in printed


def test_the_best_point_can_be_pasted_as_a_command(again, searched):
    (line,) = re.findall("^python src/train.py (.*)$", searched[1], re.M)
    best = study(again).best_trial
    assert again.run(*shlex.split(line.replace(searched[0].uri, again.uri))) == 0
    last = again.runs()[-1]
    assert last.data.metrics["validation/accuracy"] == best.value


def test_tables_show_few_digits_and_results_all_of_them(searched):
    lab, printed = searched
    for trial in study(lab).trials:
        rate = trial.params["optimizer.lr"]
        assert re.search(rf"^[ \d]*  {rate:.4g} ", printed, re.M)
        assert repr(rate) in (lab.outputs / "sweep" / "results.csv").read_text()
        assert repr(rate) not in (lab.outputs / "sweep" / "report.html").read_text()


def test_a_random_point_depends_on_the_seed_and_its_number_alone(lab):
    tried = []
    for seed, number in ((0, 1), (0, 3), (1, 1)):
        name = f"study-{seed}-{number}"
        storage = lab.outputs / f"{name}.journal"
        typed = [f"hydra.sweeper.storage={storage}", f"hydra.sweeper.seed={seed}", trials(number)]
        assert lab.run(*TINY, PLAIN, "tracking.enabled=false", "train.steps=0", *typed) == 0
        journal = JournalStorage(JournalFileBackend(str(storage)))
        (summary,) = optuna.get_all_study_summaries(journal)
        found = optuna.load_study(study_name=summary.study_name, storage=journal)
        tried.append([trial.params for trial in found.trials])
    assert tried[0] == tried[1][:1]
    assert tried[0] != tried[2]


def test_more_trials_are_added_and_a_complete_study_runs_nothing(again, capsys):
    assert again.run(*FOUND, trials(6)) == 0
    assert Counter(run.data.tags["sweep"] for run in again.runs()) == {"sweep": 4, "sweep-2": 2}
    capsys.readouterr()
    assert again.run(*FOUND, trials(6)) == 0
    assert len(again.runs()) == 6
    printed = capsys.readouterr().out
    assert printed.count("healthy") + printed.count("vanishing") >= 6
    assert ": 6 finished\n" in printed
    for folder in ("sweep-2", "sweep-3"):  # each with the trials of all before
        rows = (again.outputs / folder / "results.csv").read_text().splitlines()
        assert len(rows) == 7
        assert (again.outputs / folder / "report.html").is_file()


def test_a_point_that_fails_is_tried_again_by_the_same_command(lab, monkeypatch, capsys):
    update = SGD.update

    def failing(self, w, g, lr):
        if lr > 0.05:
            raise ZeroDivisionError("on purpose")
        update(self, w, g, lr)

    with monkeypatch.context() as patch:
        patch.setattr(SGD, "update", failing)
        assert lab.run(*TINY, PLAIN, trials(6)) == 1
    failed = states(lab)[TrialState.FAIL]
    assert 0 < failed < 6
    assert f"{6 - failed} finished, {failed} failed" in capsys.readouterr().out
    assert lab.run(*TINY, PLAIN, trials(8)) == 0
    assert states(lab) == {TrialState.COMPLETE: 8, TrialState.FAIL: failed}
    resumed = rates(lab.runs())
    assert len(resumed) == 8
    assert (
        lab.run(*TINY, "hydra.sweeper.study=whole", "sweep.existing=rerun", PLAIN, trials(8)) == 0
    )
    whole = [run for run in lab.runs() if run.data.tags["study"] == "whole"]
    assert rates(whole) == resumed


def test_a_search_may_stop_at_the_first_error(lab, monkeypatch):
    def failing(self, w, g, lr):
        raise ZeroDivisionError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(SGD, "update", failing)
        assert lab.run(*TINY, "sweep.on_error=stop", trials(5)) == 1
    assert states(lab) == {TrialState.FAIL: 1}
    assert lab.run(*TINY, PLAIN, "sweep.on_error=stop", trials(5)) == 0


def test_a_training_worse_than_half_of_the_others_is_pruned(lab, capsys):
    line = [*SEARCH, "hydra.sweeper.sampler=grid", "hydra.sweeper.startup_trials=1"]
    line += ["optimizer.lr=0.5,1e-6", "train.steps=40", "train.eval_every=5"]
    assert lab.run(*line) == 0
    best, pruned = lab.runs()
    assert (best.info.status, best.data.tags["outcome"]) == ("FINISHED", "finished")
    assert (pruned.info.status, pruned.data.tags["outcome"]) == ("KILLED", "pruned")
    steps = [*lab.values(pruned, "test/accuracy")]
    assert steps[0] == 0
    assert 0 < steps[-1] < 40
    assert max(lab.values(pruned, "train/loss")) == steps[-1]
    assert "weights.npz" in lab.artifacts(pruned)
    assert states(lab) == {TrialState.COMPLETE: 1, TrialState.PRUNED: 1}
    printed = capsys.readouterr().out
    assert ": 1 finished, 1 pruned\n" in printed
    assert re.search(r"^1e-06 +pruned", printed, re.M)
    report = (lab.outputs / "sweep" / "report.html").read_text()
    assert "1 of 2 runs was pruned" in report
    results = (lab.outputs / "sweep" / "results.csv").read_text()
    assert f",pruned,,pruned at step {steps[-1]}," in results
    assert lab.run(*line) == 0  # it is not tried again
    assert len(lab.runs()) == 2


def test_a_training_that_diverges_is_a_result_and_not_tried_again(lab):
    line = [*SEARCH, "hydra.sweeper.sampler=grid", "optimizer.lr=0.1,1e30", "train.steps=20"]
    for _ in range(2):
        assert lab.run(*line) == 0
        assert outcomes(lab) == {"finished": 1, "diverged": 1}
        assert states(lab) == {TrialState.COMPLETE: 1, TrialState.PRUNED: 1}


def test_a_grid_tries_all_combinations_once_however_many_trials_are_asked_for(lab):
    line = [*SEARCH, "hydra.sweeper.sampler=grid", PLAIN, "init=he,xavier", "train.steps=5"]
    assert lab.run(*line, "train.batch_size=range(10,31,10)", trials(2)) == 0
    tried = {(run.data.params["init"], run.data.params["train.batch_size"]) for run in lab.runs()}
    assert tried == {(init, size) for init in ("he", "xavier") for size in ("10", "20", "30")}
    assert len(lab.runs()) == 6


def test_tpe_learns_where_to_look(lab):
    assert lab.run(
        "-m", "hydra/sweeper=search", "hydra.sweeper.sampler=tpe", "model=quadratic", trials(20),
        "optimizer.lr=tag(log,interval(1e-5,1))", "train.steps=30", "tracking.enabled=false",
    ) == 0  # fmt: skip
    found = study(lab)
    assert found.user_attrs["metric"] == "f"
    assert found.direction == optuna.study.StudyDirection.MINIMIZE
    rates = [trial.params["optimizer.lr"] for trial in found.trials]
    assert sum(rate > 0.01 for rate in rates[10:]) > 6


SPACE = """# @package _global_
defaults:
  - override /hydra/sweeper: search
hydra:
  sweeper:
    trials: 3
    pruner: none
    params:
      optimizer.lr: interval(0.1,0.2)
      init: he,xavier
      seed: 5
      model.bias: true
"""


def test_a_space_and_its_settings_may_stand_in_a_file_and_what_is_typed_wins(lab):
    (lab.folder / "mine").mkdir()
    (lab.folder / "mine" / "space.yaml").write_text(SPACE)
    line = ["-m", "--config-dir", str(lab.folder), "+mine=space", "train.steps=5"]
    typed = ["src/train.py", *line, *lab.typed, "init=lecun", "activation=tanh,relu"]
    lab.monkeypatch.setattr(sys, "argv", typed)
    assert train.run() == 0
    found = study(lab)
    assert {*found.trials[0].distributions} == {"optimizer.lr", "activation"}
    for run in lab.runs():
        assert (run.data.params["init"], run.data.params["seed"]) == ("lecun", "5")
        assert 0.1 <= float(run.data.params["optimizer.lr"]) <= 0.2


def test_a_point_whose_numbers_are_there_is_not_run_again(again):
    assert again.run(*FOUND, "hydra.sweeper.study=other", trials(5)) == 0
    assert len(again.runs()) == 5
    file = again.outputs / "other.journal"
    found = optuna.load_study(
        study_name="other", storage=JournalStorage(JournalFileBackend(str(file)))
    )
    assert [trial.value for trial in found.trials] == [
        run.data.metrics["validation/accuracy"] for run in again.runs()
    ]
    rows = (again.outputs / "sweep-2" / "results.csv").read_text().splitlines()
    assert len(rows) == 6


def test_a_study_may_be_kept_in_a_database(lab):
    url = f"sqlite:///{lab.folder / 'studies.db'}"
    line = [*TINY, f"hydra.sweeper.storage={url}", "hydra.sweeper.study=mine"]
    assert lab.run(*line, trials(2)) == 0
    assert lab.run(*line, trials(3)) == 0
    found = optuna.load_study(study_name="mine", storage=url)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 3
    assert not [*lab.outputs.glob("*.journal")]


def database_of_others(file):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")


# What stands where a study is to be kept, and what is said of it.
FOREIGN = {
    "notes.txt": (lambda file: file.write_text("one\ntwo"), "no journal of Optuna: see its line 1"),
    "line.txt": (lambda file: file.write_text("one"), "no journal of Optuna: see its line 1"),
    "a.jsonl": (lambda file: file.write_text('{"a": 1}\n{"op'), "no journal of Optuna: see its"),
    "half.txt": (
        lambda file: file.write_text('{"op_code":0,"worker_id":"1"}\nmy notes\n'),
        "no journal of Optuna: see its line 2",
    ),
    "store.db": (database_of_others, "this is a SQLite database, which is named by a URL"),
    "folder": (Path.mkdir, "this is a folder"),
    "pipe": (os.mkfifo, "this is no file"),
    "sqlite:///accounts.db": (database_of_others, "this is the database of another program"),
    "sqlite:///notes.db": (lambda file: file.write_text("one\ntwo"), "file is not a database"),
    "sqlite:///folder": (Path.mkdir, "this is no file"),
    "sqlite://": (None, "other processes could not read a database in memory"),
}


@pytest.mark.parametrize(
    ("name", "dry"),
    [*((name, False) for name in FOREIGN), ("notes.txt", True), ("sqlite:///accounts.db", True)],
)
def test_what_is_no_study_is_refused_and_kept(lab, capsys, name, dry):
    make, words = FOREIGN[name]
    file = name.removeprefix("sqlite:///")
    place = lab.folder / "mine"
    place.mkdir()
    if file != "sqlite://":
        make(place / file)
        file = f"{name.removesuffix(file)}{place / file}"
    before = contents(place)
    typed = [*TINY, f"hydra.sweeper.storage={file}", *["sweep.dry_run=true"] * dry]
    lab.refuses(capsys, [f"hydra.sweeper.storage={file}: cannot be used: ", words], *typed)
    assert contents(place) == before


def contents(folder):
    """Return all that is in a folder."""
    return {file: file.is_file() and file.read_bytes() for file in folder.iterdir()}


def test_a_store_of_runs_gets_no_tables_of_studies(lab, capsys):
    lab.refuses(capsys, ["the database of another"], *TINY, f"hydra.sweeper.storage={lab.uri}")


def test_an_empty_file_becomes_a_journal(lab):
    file = lab.folder / "empty"
    file.touch()
    assert lab.run(*TINY, f"hydra.sweeper.storage={file}", trials(1)) == 0
    assert file.read_text().startswith('{"op_code":')


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["optimizer.lr=interval(-1,1)"], ["optimizer.lr must be greater than 0; got -1.0"]),
        (["optimizer.lr=interval(1,inf)"], ["optimizer.lr=interval(1,inf): ", "finite"]),
        (["init=he,hee"], ["init=hee", "Did you mean he"]),
        (["init=he,orthogonal", "init.scale=interval(1,2)"], ["init has no key 'scale'"]),
        (["train.batch_size=range(100,2001,950)"], ["must be at most 1437", "got 2000"]),
        (["seed=3"], ["there is nothing to search"]),
        ([LR, "hydra.sweeper.sampler=foo"], ["hydra.sweeper.sampler", "random, tpe, grid", "foo"]),
        ([LR, "hydra.sweeper.pruner=foo"], ["hydra.sweeper.pruner must be one of median, none"]),
        ([LR, "hydra.sweeper.trials=0"], ["hydra.sweeper.trials must be at least 1; got 0"]),
        ([LR, "hydra.sweeper.trials=many"], ["hydra.sweeper.trials must be an integer; got"]),
        ([LR, "hydra.sweeper.seed=-1"], ["hydra.sweeper.seed must be at least 0; got -1"]),
        ([LR, "hydra.sweeper.metric=speed"], ["hydra.sweeper.metric must be one of", "'speed'"]),
        (
            [LR, "hydra.sweeper.metric=validation/loss"],
            ["hydra.sweeper.metric must be one of test/accuracy", "'validation/loss'"],
        ),
        ([LR, "hydra.sweeper.sampler=grid"], ["optimizer.lr: hydra.sweeper.sampler=grid needs"]),
        ([LR, "hydra.sweeper.storage=foo://bar"], ["hydra.sweeper.storage=foo://bar: cannot be"]),
        ([LR, "hydra.sweeper.params=foo"], ["hydra.sweeper.params must be a group of keys"]),
        ([LR, "hydra.sweeper.foo=1"], ["hydra.sweeper has no key 'foo'"]),
        ([LR, "sweep.existing=error"], ["sweep.existing must be one of skip, rerun in a search"]),
        (["tracking.experiment=a,b"], ["tracking.* cannot be swept"]),
        ([LR, "hydra.sweep.dir="], ["hydra.sweep.dir must name a folder"]),
        ([LR, "data=gaussian", "train.steps=0"], ["hydra.sweeper.metric must be one of none"]),
        (["optimizer.lr=interval(0.1,1)", "model=mlp,quadratic"], ["must be one of f, which all"]),
    ],
)  # fmt: skip
def test_a_search_with_a_mistake_in_it_does_not_start_and_leaves_nothing(lab, capsys, typed, words):
    lab.refuses(capsys, words, "-m", "hydra/sweeper=search", *typed)


def test_a_name_that_another_search_has_is_refused(again, capsys):
    named = f"hydra.sweeper.study={study(again).study_name}"
    assert again.run(*FOUND, named, "train.steps=21", trials(5)) == 2
    assert f"{named}: the study of this name has another" in capsys.readouterr().err
    assert len(again.runs()) == 4


def test_a_dry_run_shows_the_space_and_the_study_and_makes_nothing(lab, capsys):
    lab.database.unlink()
    assert lab.run(*TINY, "sweep.dry_run=true") == 0
    printed = capsys.readouterr().out
    assert "optimizer.lr 0.001 to 1.0, logarithmic\n" in printed
    assert "metric test/accuracy (maximize)\n" in printed
    assert "trials 100, so far none\n" in printed
    assert not lab.database.exists()
    assert not lab.outputs.exists()


def test_a_dry_run_counts_what_the_study_has(again, capsys):
    assert again.run(*FOUND, "sweep.dry_run=true") == 0
    assert "trials 100, so far 4 finished\n" in capsys.readouterr().out


def test_an_unfinished_last_line_of_a_journal_is_cut_off(again):
    (file,) = again.outputs.glob("*.journal")
    with file.open("a") as opened:
        opened.write('{"op_code":')
    assert again.run(*FOUND, trials(5)) == 0
    assert states(again) == {TrialState.COMPLETE: 5}


def test_a_search_needs_no_store(lab, capsys):
    assert lab.run(*TINY, PLAIN, "tracking.enabled=false", trials(2)) == 0
    assert states(lab) == {TrialState.COMPLETE: 2}
    assert "best #" in capsys.readouterr().out


LONG = [*SEARCH, *ON_TWO_CORES, PLAIN, LR, "model.hidden=[200]", "train.steps=500", trials(8)]


def test_a_search_that_is_stopped_goes_on_and_tries_what_it_would_have(lab):
    for number, trials_begun in ((signal.SIGINT, 3), (signal.SIGKILL, 6)):
        process = lab.start(*LONG, start_new_session=True)
        wait_for(lambda: lab.begun >= trials_begun)  # noqa: B023
        os.killpg(process.pid, number)
        _, error = process.communicate(timeout=120)
        assert process.returncode in (130, -signal.SIGKILL), error
        assert "Traceback" not in error
    assert 1 <= ended(lab) < 8
    assert lab.run(*LONG) == 0
    found = states(lab)
    assert found.pop(TrialState.FAIL, 0) <= 4  # fewer where a trial just ended
    assert found == {TrialState.COMPLETE: 8}
    tried = rates(lab.runs())
    assert len(tried) == 8
    rows = (lab.outputs / "sweep-3" / "results.csv").read_text().splitlines()
    assert len(rows) == 9
    assert lab.run(*SEARCH, PLAIN, LR, "train.steps=0", trials(8)) == 0
    untroubled = {run.data.params["optimizer.lr"] for run in lab.runs()[-8:]}
    assert tried == untroubled


def test_a_trial_is_signed_before_it_is_under_way(lab, monkeypatch):
    def stopped(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "ask", stopped)
        assert lab.run(*TINY, PLAIN, trials(2)) == 130
    (waiting,) = study(lab).trials
    assert waiting.state == TrialState.WAITING
    assert waiting.user_attrs["process"]
    assert lab.run(*TINY, PLAIN, trials(2)) == 0
    assert states(lab) == {TrialState.COMPLETE: 2}


def test_two_searches_at_once_share_the_trials_of_a_study(lab):
    line = [*SEARCH, PLAIN, LR, "train.steps=20", trials(6)]
    both = [lab.start(*line) for _ in range(2)]
    for process in both:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert 6 <= states(lab)[TrialState.COMPLETE] <= 7
    assert len(rates(lab.runs())) == states(lab)[TrialState.COMPLETE]


def test_optuna_keeps_quiet(lab):
    process = lab.start(*TINY, trials(2))
    _, error = process.communicate(timeout=120)
    assert error == ""
    assert Path(lab.outputs / "sweep" / "report.html").is_file()
