"""Runs are found in a store and read from it, whatever kind of store it is."""

import contextlib
import io
import shutil
import sqlite3

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from initlab.report.comparison import Comparison
from initlab.tracking import queries, sqlite
from initlab.tracking import runs as reading
from initlab.tracking.queries import (
    RunsError,
    published_experiment,
    resolve_ids,
    search_trials,
    trials_of_sweep,
)
from initlab.tracking.runs import read
from initlab.tracking.store import open_store


class Shelf:
    """A store to put runs into by hand."""

    def __init__(self, uri, folder):
        self.store = open_store(uri, "lab", folder)
        self.client = self.store.client
        self.folder = folder
        self.clock = 1_700_000_000_000  # milliseconds

    def put(
        self, name="", status="FINISHED", metrics=None, tags=None, files=None, experiment="lab"
    ):
        """Put a run of the params in its name on the shelf, two seconds long; return its id."""
        place = open_store(self.store.uri, experiment, self.folder).experiment_id
        self.clock += 10_000
        run = self.client.create_run(place, start_time=self.clock, tags=tags, run_name=name or "x")
        run_id = run.info.run_id
        points = [
            Metric(key, value, self.clock + number, step)
            for key, values in (metrics or {}).items()
            for number, (step, value) in enumerate(values)
        ]
        params = [Param(*pair.split("=")) for pair in name.split()]
        self.client.log_batch(run_id, metrics=points, params=params)
        for file, content in (files or {}).items():
            (self.folder / file).write_bytes(content)
            self.client.log_artifact(run_id, str(self.folder / file))
        if status:
            self.client.set_terminated(run_id, status, self.clock + 2_000)
        return run_id


@pytest.fixture
def shelf(tmp_path, monkeypatch, empty_store):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, tmp_path / "my #1 mlflow.db")
    return Shelf(f"sqlite:///{tmp_path}/my #1 mlflow.db", tmp_path)


def trial(**tags):
    """Return the tags of a trial."""
    return {"role": "trial", **tags}


def npz(**arrays):
    """Return the bytes of an archive of arrays."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_a_run_is_read_as_its_store_holds_it(shelf):
    run_id = shelf.put(
        "init=he seed=0",
        metrics={
            "train/loss": [(0, 2.5), (1, 1.5), (2, 0.5)],
            "test/accuracy": [(0, 0.1), (2, 0.75)],
            "unit_std/layer_1": [(0, 1.0)],
        },
        tags=trial(outcome="finished", verdict="healthy"),
        files={"histograms.npz": npz(steps=np.array([0, 2]))},
    )
    (run,) = read(shelf.client, [run_id])
    assert (run.run_id, run.name) == (run_id, "init=he seed=0")
    assert (run.outcome, run.verdict, run.reason, run.seconds) == ("finished", "healthy", "", 2.0)
    assert run.params == {"init": "he", "seed": "0"}
    assert run.metrics == {"train/loss": 0.5, "test/accuracy": 0.75, "unit_std/layer_1": 1.0}
    assert run.curves.keys() == {"train/loss", "test/accuracy"}
    assert run.curves["train/loss"].steps.tolist() == [0, 1, 2]
    assert run.curves["train/loss"].values.tolist() == [2.5, 1.5, 0.5]
    assert run.curves["test/accuracy"].steps.dtype == np.int64
    assert run.histograms["steps"].tolist() == [0, 2]
    assert (run.loss, run.accuracy, run.word) == (1.5, 0.75, "healthy")


@pytest.mark.parametrize(
    ("status", "tags", "metrics", "outcome", "reason"),
    [
        ("FINISHED", {"outcome": "finished"}, {}, "finished", ""),
        ("FINISHED", {}, {}, "finished", ""),
        ("FINISHED", {"outcome": "splendid"}, {}, "finished", ""),
        ("FINISHED", {"outcome": "diverged"}, {"diverged_step": [(7, 7.0)]}, "diverged",
         ""),
        ("FAILED", {"error": "MemoryError: too much\nfor all"}, {}, "failed",
         "MemoryError: too much"),
        ("FAILED", {}, {}, "failed", ""),
        ("KILLED", {}, {}, "killed", ""),
        (None, {}, {}, "running", ""),
    ],
)  # fmt: skip
def test_status_and_tags_say_what_became_of_a_run(shelf, status, tags, metrics, outcome, reason):
    (run,) = read(shelf.client, [shelf.put("init=he", status, metrics, trial(**tags))])
    assert (run.outcome, run.reason) == (outcome, reason)
    assert run.ended_step == (7 if outcome == "diverged" else None)
    assert (run.seconds is None) == (outcome == "running")


@pytest.mark.parametrize(
    ("tag", "scale"),
    [("15.12", 15.12), ("inf", float("inf")), ("nan", None), ("deep", None), ("-1", None)],
)
def test_the_depth_scale_of_a_run_is_that_of_its_tag(shelf, tag, scale):
    ids = [shelf.put(tags=trial(**{"theory.depth_scale": tag})), shelf.put(tags=trial())]
    assert [run.depth_scale for run in read(shelf.client, ids)] == [scale, None]


HARD = {
    "train/loss": [(2, 0.5), (0, 2.5), (1, float("nan")), (3, float("inf")), (2, 0.25)],
    "f": [(0, float("nan"))],
    "test/loss": [(10, 1.0), (9, 2.0)],
    "x": [(0, -7.0), (1, -6.0)],
    "y": [(0, 2.0)],
}


def test_curves_are_in_order_and_finite_whichever_way_they_are_read(shelf, monkeypatch):
    run_id = shelf.put("init=he", metrics=HARD)

    (first,) = read(shelf.client, [run_id])
    monkeypatch.setattr(sqlite, "KNOWN_REVISIONS", {"another"})
    (second,) = read(shelf.client, [run_id])
    for run in (first, second):
        curves = {name: (found.steps.tolist(), found.values.tolist())
                  for name, found in run.curves.items()}  # fmt: skip
        assert curves == {
            "train/loss": ([0, 2], [2.5, 0.25]), "test/loss": ([9, 10], [2.0, 1.0]),
            "x": ([0, 1], [-7.0, -6.0]), "y": ([0], [2.0]),
        }  # fmt: skip
    assert first.metrics.keys() == {"test/loss", "x", "y"}


def test_a_text_in_the_place_of_a_value_is_left_out_whichever_way_it_is_read(shelf, monkeypatch):
    run_id = shelf.put("init=he", metrics={"train/loss": [(0, 1.0), (1, 2.0)]})
    with contextlib.closing(sqlite3.connect(shelf.folder / "my #1 mlflow.db")) as database:
        database.execute("UPDATE metrics SET value = 'x' WHERE step = 1")
        database.commit()
    (first,) = read(shelf.client, [run_id])
    monkeypatch.setattr(sqlite, "KNOWN_REVISIONS", {"another"})
    (second,) = read(shelf.client, [run_id])
    assert [run.curves["train/loss"].steps.tolist() for run in (first, second)] == [[0], [0]]


def test_a_run_whose_clock_was_set_back_has_no_duration(shelf):
    run_id = shelf.put("init=he", status=None)
    shelf.client.set_terminated(run_id, "FINISHED", shelf.clock - 1)
    (run,) = read(shelf.client, [run_id])
    assert run.seconds is None


def test_a_sqlite_store_is_read_by_its_index_and_not_through_mlflow(shelf, monkeypatch):
    run_id = shelf.put("init=he", metrics={"train/loss": [(0, 1.0)]})
    monkeypatch.setattr(MlflowClient, "get_metric_history", None)
    (run,) = read(shelf.client, [run_id])
    assert run.loss == 1
    query = f"EXPLAIN QUERY PLAN {sqlite.HISTORY}"
    with sqlite.connected(shelf.folder / "my #1 mlflow.db") as database:
        plan, *_ = database.execute(query, (run_id, "train/loss")).fetchall()
    assert "index_metrics_run_uuid" in plan[-1]


def test_of_many_runs_histograms_are_read_when_they_are_asked_for(shelf, monkeypatch):
    arrays = {"steps": np.array([0]), "activations/edges": np.arange(4.0)}
    counts = {"activations/counts": np.ones((1, 1, 5), np.int64)}
    run_id = shelf.put("init=he", files={"histograms.npz": npz(**arrays, **counts)})
    monkeypatch.setattr(reading, "MANY", 0)
    reads = []
    own = reading.read_histograms
    monkeypatch.setattr(reading, "read_histograms", lambda *given: reads.append(1) or own(*given))
    (run,) = read(shelf.client, [run_id])
    assert not reads
    assert {*run.histograms} == {*arrays, *counts}
    assert len(reads) == 1


class Trap:
    """What would do harm if it were unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a file from the store was unpickled",))


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"histograms.npz": b"not an archive"},
        {"histograms.npz": b""},
        {"histograms.npz": npz(steps=np.arange(1000))[:500]},
        {"histograms.npz": npz(trap=np.array([Trap()], object))},
        {"other.npz": npz(steps=np.array([0]))},
    ],
    ids=["none", "garbage", "empty", "cut", "pickle", "other"],
)
def test_a_run_without_sound_histograms_has_none(shelf, files):
    (run,) = read(shelf.client, [shelf.put("init=he", files=files)])
    assert run.histograms == {}


def test_artifacts_are_found_whatever_the_experiment_is_called(shelf):
    files = {"histograms.npz": npz(steps=np.array([4]))}
    run_id = shelf.put("init=he", files=files, experiment="50 % of α #2?")
    (run,) = read(shelf.client, [run_id])
    assert run.histograms["steps"].tolist() == [4]


def test_runs_are_read_once_and_in_the_order_asked_for(shelf):
    first, second, third = (shelf.put(f"seed={seed}") for seed in range(3))
    found = read(shelf.client, [third, first, second, first])
    assert [run.params["seed"] for run in found] == ["2", "0", "1"]
    assert read(shelf.client, []) == []


def test_more_runs_than_a_filter_or_a_page_holds_are_read(shelf, monkeypatch):
    monkeypatch.setattr(queries, "IDS", 3)
    monkeypatch.setattr(queries, "PAGE", 2)
    ids = [shelf.put(f"seed={seed}", tags=trial(sweep="s")) for seed in range(8)]
    assert trials_of_sweep(shelf.client, "s") == ids
    assert [run.run_id for run in read(shelf.client, ids)] == ids


def test_a_run_that_there_is_not_is_named(shelf):
    deleted = shelf.put()
    shelf.client.delete_run(deleted)
    for run_id in (deleted, "0" * 32, "it's"):
        with pytest.raises(RunsError, match=f"^{run_id}: there is no such run"):
            read(shelf.client, [run_id])


def test_runs_of_other_projects_are_read_and_compared(shelf):
    ids = [shelf.put(), shelf.put(), shelf.put("depth=3"), shelf.put(status=None)]
    shelf.client.set_tag(ids[1], "mlflow.runName", "y")
    compared = Comparison(read(shelf.client, ids))
    names = {setting.name for setting in compared.settings}
    assert names == {"name=x", "name=y", "depth=3"}
    assert compared.ranked


def test_a_sweep_is_its_trials_in_all_experiments_and_not_its_summary(shelf):
    first = shelf.put("seed=0", tags=trial(sweep="s"))
    second = shelf.put("seed=1", tags={"sweep": "s"}, experiment="elsewhere")
    shelf.put("seed=2", tags=trial(sweep="t"))
    shelf.put(tags={"role": "summary", "sweep": "s"})
    assert trials_of_sweep(shelf.client, "s") == [first, second]
    assert trials_of_sweep(shelf.client, "u") == []
    assert trials_of_sweep(shelf.client, "it's") == []


def test_a_sweep_knows_the_experiment_that_any_of_its_runs_names(shelf):
    shelf.put("seed=0", tags=trial(sweep="s"))
    shelf.put(tags={"role": "summary", "sweep": "s", "experiment": "dropout"})
    shelf.put("seed=0", tags=trial(sweep="t"))
    assert published_experiment(shelf.client, "s") == "dropout"
    assert published_experiment(shelf.client, "t") == ""


def test_a_sweep_has_the_trials_that_it_took_over_from_an_earlier_one(shelf):
    earlier = shelf.put("init=he", tags=trial(sweep="s", fingerprint="1"))
    own = shelf.put("init=xavier", tags=trial(sweep="t", fingerprint="2"))
    table = f"init,run_id,outcome\nhe,{earlier},finished\nxavier,{own},finished\nzeros,,failed\n"
    files = {"results.csv": table.encode()}
    shelf.put(tags={"role": "summary", "sweep": "t"}, files=files)
    assert trials_of_sweep(shelf.client, "t") == [earlier, own]
    assert trials_of_sweep(shelf.client, "s") == [earlier]


def test_a_trial_that_failed_and_was_run_again_counts_as_the_later_one(shelf):
    def put(name, mark, status):
        return shelf.put(name, status, tags=trial(sweep="s", fingerprint=mark))

    put("seed=0", "0", "FAILED")
    put("seed=0", "0", "FINISHED")
    newest = put("seed=0", "0", "FINISHED")
    put("seed=0", "0", "KILLED")
    put("seed=1", "of no data", "FAILED")
    again = put("seed=1", "1", "FINISHED")
    put("seed=2", "2", "FAILED")
    in_vain = put("seed=2", "2", "KILLED")
    assert trials_of_sweep(shelf.client, "s") == [newest, again, in_vain]


def test_a_trial_that_was_stopped_before_it_had_its_params_does_not_count(shelf):
    shelf.put(tags=trial(sweep="s", fingerprint="1"), status="KILLED")
    whole = shelf.put("init=he", tags=trial(sweep="s", fingerprint="1"))
    assert trials_of_sweep(shelf.client, "s") == [whole]


def test_two_options_of_the_same_numbers_are_two_trials(shelf):
    ids = [shelf.put(f"init={name}", tags=trial(sweep="s", fingerprint="1"))
           for name in ("xavier", "lecun")]  # fmt: skip
    assert trials_of_sweep(shelf.client, "s") == ids


def test_a_filter_finds_the_trials_of_one_experiment(shelf):
    good = {"test/accuracy": [(0, 0.9)]}
    found = shelf.put("init=he", metrics=good, tags=trial())
    untagged = shelf.put("init=he", metrics=good)
    shelf.put("init=he", metrics={"test/accuracy": [(0, 0.8)]}, tags=trial())
    shelf.put("init=he", metrics=good, tags={"role": "summary"})
    shelf.put("init=he", metrics=good, tags=trial(), experiment="elsewhere")
    condition = "params.init = 'he' and metrics.`test/accuracy` > 0.85"
    assert search_trials(shelf.client, condition, "lab") == [found, untagged]


@pytest.mark.parametrize("condition", ["params.init = he", "init = 'he'", "(", "params.init"])
def test_a_filter_that_cannot_be_read_is_told_with_an_example(shelf, condition):
    with pytest.raises(RunsError) as caught:
        search_trials(shelf.client, condition, "lab")
    assert f'--filter "{condition}": ' in str(caught.value)
    assert """--filter 'params.init = "he" and""" in str(caught.value)


def test_a_store_that_fails_is_not_taken_for_a_filter_that_cannot_be_read(shelf, monkeypatch):
    def failing(*_, **__):
        raise MlflowException("the disk is gone")

    monkeypatch.setattr(MlflowClient, "search_runs", failing)
    with pytest.raises(MlflowException, match="gone"):
        search_trials(shelf.client, "", "lab")


def test_a_filter_wants_an_experiment(shelf):
    with pytest.raises(RunsError, match="elsewhere: there is no such experiment"):
        search_trials(shelf.client, "", "elsewhere")


def test_words_name_runs_sweeps_and_sweeps_by_their_summary(shelf):
    one = shelf.put("seed=0", tags=trial(sweep="s"))
    summary = shelf.put(tags={"role": "summary", "sweep": "s"})
    other = shelf.put("seed=1")
    assert resolve_ids(shelf.client, ["s", other]) == {"s": [one], other: [other]}
    assert resolve_ids(shelf.client, [summary]) == {"s": [one]}


def test_a_word_that_names_nothing_is_told_with_the_newest_sweeps(shelf):
    with pytest.raises(RunsError, match=r"^t: there is no sweep and no run of this id$"):
        resolve_ids(shelf.client, ["t"])
    for sweep in "abcdefg":
        shelf.put(tags=trial(sweep=sweep))
    with pytest.raises(RunsError, match=r"The newest sweeps: g, f, e, d, c$"):
        resolve_ids(shelf.client, ["t"])


def test_real_trials_are_compared_by_what_they_recorded(lab):
    assert (
        lab.run("-m", "init=he,std001", "seed=0,1", "train.steps=150", "tracking.pictures=false")
        == 0
    )
    trials = lab.runs()
    assert len(trials) == 4
    ids = trials_of_sweep(lab.client, trials[0].data.tags["sweep"])
    assert ids == [run.info.run_id for run in trials]
    compared = Comparison(read(lab.client, ids))
    assert compared.varies == ["init", "seed"]
    assert [setting.values["init"] for setting in compared.ranked] == ["he", "std001"]
    for setting in compared.settings:
        tracked = [run for run in trials if run.data.params["init"] == setting.values["init"]]
        losses = [[*lab.values(run, "train/loss").values()][-100:] for run in tracked]
        assert setting.loss.mean == pytest.approx(np.mean(losses), rel=1e-12)
        accuracies = [run.data.metrics["test/accuracy"] for run in tracked]
        assert setting.accuracy.mean == pytest.approx(sum(accuracies) / 2, rel=1e-12)
    run = compared.runs[0]
    assert run.curves["test/accuracy"].steps.tolist() == [0, 75, 150]
    assert run.histograms["activations/counts"].shape[:2] == (3, 2)
    assert run.seconds > 0


def test_a_server_gives_the_same_as_a_database(served_store, tmp_path, empty_store):
    _, server = served_store
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    runs = []
    for uri in (server, f"sqlite:///{tmp_path}/mlflow.db"):
        shelf = Shelf(uri, tmp_path)
        files = {"histograms.npz": npz(steps=np.array([0, 2]))}
        ids = [
            shelf.put("init=he", metrics=HARD, tags=trial(sweep="s"), files=files),
            shelf.put("init=xavier", "FAILED", tags=trial(sweep="s")),
        ]
        table = f"run_id\n{ids[0]}\n{shelf.put('init=zeros', tags=trial())}\n"
        files = {"results.csv": table.encode()}
        shelf.put(tags={"role": "summary", "sweep": "s"}, files=files)
        runs.append(read(shelf.client, trials_of_sweep(shelf.client, "s")))
        with pytest.raises(RunsError, match=r'^--filter "init": Invalid clause'):
            search_trials(shelf.client, "init", "lab")
    for served, stored in zip(*runs, strict=True):
        for field in ("name", "outcome", "seconds", "params", "metrics"):
            assert getattr(served, field) == getattr(stored, field)
        for field in ("curves", "histograms"):
            assert getattr(served, field).keys() == getattr(stored, field).keys()
        for name, found in stored.curves.items():
            np.testing.assert_array_equal(served.curves[name].steps, found.steps)
            np.testing.assert_array_equal(served.curves[name].values, found.values)
    assert [run.params["init"] for run in runs[0]] == ["he", "xavier", "zeros"]
    assert runs[0][0].histograms["steps"].tolist() == [0, 2]
