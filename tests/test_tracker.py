"""A tracker sends in batches, loses nothing, and never leaves a run open."""

import contextlib
import os
import shutil
import signal
import socket
import sys

import psutil
import pytest
import yaml
from mlflow import MlflowClient

from initlab.config import PROJECT
from initlab.nn.training import Evaluation, Step
from initlab.process import identity
from initlab.run import RunSpec
from initlab.tracking import provenance, sqlite
from initlab.tracking import store as stores
from initlab.tracking import tracker as tracking
from initlab.tracking.names import TakenError
from initlab.tracking.store import TrackingError, open_store
from initlab.tracking.tracker import Tracker


@pytest.fixture
def store(tmp_path, monkeypatch, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_store(f"sqlite:///{tmp_path}/mlflow.db", "lab", tmp_path)


@pytest.fixture
def batches(monkeypatch):
    """Return the sizes of the batches of metrics that are sent."""
    sizes = []
    log_batch = MlflowClient.log_batch

    def counting(self, run_id, metrics=(), **options):
        sizes.append(len(metrics))
        return log_batch(self, run_id, metrics, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", counting)
    return sizes


def history(store, tracker, name="train/loss"):
    found = store.client.get_metric_history(tracker.run_id, name)
    return {point.step: point.value for point in found}


def status(store, tracker):
    return store.client.get_run(tracker.run_id).info.status


def test_losses_are_sent_by_the_thousand(store, batches, monkeypatch):
    monkeypatch.setattr(tracking, "FLUSH_SECONDS", 1e9)
    with Tracker(store, "name", {}, {}) as tracker:
        for number in range(2500):
            tracker.log(Step(number, float(number)))
    assert [size for size in batches if size] == [900, 900, 700]
    assert history(store, tracker) == {number: float(number) for number in range(2500)}
    assert status(store, tracker) == "FINISHED"


def test_losses_are_sent_when_two_seconds_have_passed(store, batches, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(tracking.time, "time", lambda: now[0])
    with Tracker(store, "name", {}, {}) as tracker:
        for number, now[0] in enumerate([0.0, 1.0, 1.9, 2.1, 3.0, 4.0, 4.2]):
            tracker.log(Step(number, 1.0))
        assert batches == [4, 3]


def log_thousand(tracker):
    with tracker:
        for number in range(1000):
            tracker.log(Step(number, float(number)))


def test_what_an_interrupted_call_had_sent_is_not_there_twice(store, monkeypatch):
    log_batch = MlflowClient.log_batch
    interrupts = iter([KeyboardInterrupt()])

    def interrupted(self, run_id, metrics=(), **options):
        log_batch(self, run_id, metrics, **options)
        for interrupt in interrupts:
            raise interrupt

    tracker = Tracker(store, "name", {}, {})
    monkeypatch.setattr(MlflowClient, "log_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log_thousand(tracker)
    found = store.client.get_metric_history(tracker.run_id, "train/loss")
    assert sorted(point.step for point in found) == list(range(900))
    assert status(store, tracker) == "KILLED"


def test_hundreds_of_params_are_sent(store):
    params = {f"key.{number}": str(number) for number in range(250)}
    with Tracker(store, "name", params, {"role": "trial"}) as tracker:
        pass
    run = store.client.get_run(tracker.run_id)
    assert run.data.params == params
    assert run.data.tags["role"] == "trial"


def log_and_raise(tracker, error):
    with tracker:
        tracker.log(Step(0, 1.5))
        raise error


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(143), "KILLED")],
)
def test_a_run_ends_with_what_was_logged_whatever_happens(store, error, expected):
    tracker = Tracker(store, "name", {}, {})
    with pytest.raises(type(error)):
        log_and_raise(tracker, error)
    assert status(store, tracker) == expected
    assert history(store, tracker) == {0: 1.5}
    files = [file.path for file in store.client.list_artifacts(tracker.run_id)]
    assert files == (["traceback.txt"] if expected == "FAILED" else [])


def test_a_store_that_fails_is_a_tracking_error_and_the_run_is_closed(store, monkeypatch):
    def failing(*_, **__):
        raise OSError("gone")

    tracker = Tracker(store, "name", {}, {})
    monkeypatch.setattr(MlflowClient, "log_batch", failing)
    with pytest.raises(TrackingError, match="gone"), tracker:
        tracker.log(Step(0, 1.0))
    assert status(store, tracker) == "FAILED"


@pytest.mark.parametrize(
    ("error", "expected"), [(OSError("gone"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_that_cannot_begin_is_closed(store, monkeypatch, error, expected):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(MlflowClient, "log_batch", failing)
    tracker = Tracker(store, "name", {"seed": "0"}, {})
    with pytest.raises((TrackingError, KeyboardInterrupt)):
        tracker.__enter__()
    assert status(store, tracker) == expected


def log_and_flush(tracker, step):
    tracker.log(step)
    tracker.flush()


def test_an_interrupt_waits_until_numbers_are_written(store, monkeypatch):
    log_batch = MlflowClient.log_batch

    def interrupted(self, run_id, metrics=(), **options):
        if metrics:
            signal.raise_signal(signal.SIGINT)
        log_batch(self, run_id, metrics, **options)

    tracker = Tracker(store, "name", {}, {})
    monkeypatch.setattr(MlflowClient, "log_batch", interrupted)
    with pytest.raises(KeyboardInterrupt), tracker:
        log_and_flush(tracker, Step(0, 1.5))
    assert history(store, tracker) == {0: 1.5}
    assert status(store, tracker) == "KILLED"


def tags_of(fingerprint):
    return {"role": "trial", "fingerprint": fingerprint}


def test_a_fingerprint_that_is_finished_or_runs_elsewhere_is_taken(store):
    here, elsewhere = identity(), identity() | {"process.pid": str(os.getppid())}
    elsewhere["process.started"] = str(psutil.Process(os.getppid()).create_time())

    def ended(status, mark, process=here):
        run = store.client.create_run(store.experiment_id, tags=tags_of(mark) | process)
        if status:
            store.client.set_terminated(run.info.run_id, status)
        return run.info.run_id

    taken = {
        "finished": ended("FINISHED", "finished"),
        "running elsewhere": ended(None, "running elsewhere", elsewhere),
    }
    ended("FAILED", "failed")
    ended("KILLED", "killed")
    ended(None, "running here")
    ended(None, "lost", elsewhere | {"process.started": "1.0"})
    ended(None, "of another host", elsewhere | {"process.host": "another"})
    for mark, run_id in taken.items():
        with pytest.raises(TakenError) as caught, Tracker(store, "n", {}, tags_of(mark), True):
            pass
        assert caught.value.run_id == run_id
        with Tracker(store, "n", {}, tags_of(mark)):  # where it need not be unique
            pass
    for mark in ("failed", "killed", "running here", "lost", "of another host", "new"):
        with Tracker(store, "n", {}, tags_of(mark), True) as tracker:
            pass
        assert status(store, tracker) == "FINISHED"


@pytest.fixture
def shared_store(store, monkeypatch):
    """Return a store that is treated as one into which any number of hosts write at once."""
    monkeypatch.setattr(stores.Store, "is_sqlite", False)
    monkeypatch.setattr(stores, "GIVE_WAY_SECONDS", 0)
    return store


ANOTHER_HOST = {"process.host": "another", "process.pid": "1", "process.started": "1.0"}


def opened_elsewhere(store, mark, **tags):
    run = store.client.create_run(store.experiment_id, tags=tags_of(mark) | ANOTHER_HOST | tags)
    return run.info.run_id


def test_a_fingerprint_that_runs_on_another_host_is_taken_where_hosts_share_a_store(shared_store):
    other = opened_elsewhere(shared_store, "shared")
    gone = identity("head") | {"head.started": "1.0"}
    opened_elsewhere(shared_store, "of a lost head", **gone)
    with (
        pytest.raises(TakenError) as caught,
        Tracker(shared_store, "n", {}, tags_of("shared"), True),
    ):
        pass
    assert caught.value.run_id == other
    tracker = Tracker(shared_store, "n", {}, tags_of("of a lost head"), True)
    with tracker:
        pass
    assert status(shared_store, tracker) == "FINISHED"


@pytest.mark.parametrize("goes_on", [True, False])
def test_of_two_that_open_a_fingerprint_at_once_one_gives_way(shared_store, monkeypatch, goes_on):
    create_run = MlflowClient.create_run
    others, mine = [], []

    def at_the_same_time(self, experiment, **options):
        if not others:
            others.append(create_run(self, experiment, tags=tags_of("mark") | ANOTHER_HOST))
        mine.append(create_run(self, experiment, **options))
        return mine[-1]

    def give_way():
        if not goes_on:  # but gives way as well
            shared_store.client.delete_run(others[0].info.run_id)

    monkeypatch.setattr(MlflowClient, "create_run", at_the_same_time)
    monkeypatch.setattr(tracking, "give_way", give_way)
    tracker = Tracker(shared_store, "n", {}, tags_of("mark") | identity(), True)
    with contextlib.suppress(TakenError), tracker:
        pass
    withdrawn = shared_store.client.get_run(mine[0].info.run_id).info
    assert (withdrawn.lifecycle_stage, withdrawn.status) == ("deleted", "KILLED")
    assert len(mine) == (1 if goes_on else 2)
    assert tracker.run_id == ("" if goes_on else mine[1].info.run_id)


def test_the_id_of_a_sweep_that_another_host_has_claimed_is_not_free(shared_store, monkeypatch):
    client, place = shared_store.client, shared_store.experiment_id
    assert shared_store.claim_sweep("mine")
    client.set_experiment_tag(place, f"{stores.all_claims_of('theirs')}another", "theirs")
    assert not shared_store.claim_sweep("theirs")
    client.create_run(place, tags={"sweep": "old"})
    assert not shared_store.claim_sweep("old")
    shared_store.release_sweep("mine")
    shared_store.release_sweep("theirs")
    claims = [tag for tag in client.get_experiment(place).tags if "initlabSweep" in tag]
    assert claims == [f"{stores.all_claims_of('theirs')}another"]


def test_a_claim_that_is_given_up_makes_the_id_of_a_sweep_free(shared_store, monkeypatch):
    client, place = shared_store.client, shared_store.experiment_id
    other = f"{stores.all_claims_of('name')}another"
    client.set_experiment_tag(place, other, "name")
    monkeypatch.setattr(stores, "give_way", lambda: client.delete_experiment_tag(place, other))
    assert shared_store.claim_sweep("name")


def test_runs_of_a_lost_trial_are_closed_on_whatever_host(store):
    lost = opened_elsewhere(store, "lost", sweep="one")
    others = [
        opened_elsewhere(store, "lost", sweep="two"),
        opened_elsewhere(store, "another", sweep="one"),
    ]
    store.close_trial("one", "lost")
    assert store.client.get_run(lost).info.status == "KILLED"
    assert {store.client.get_run(run_id).info.status for run_id in others} == {"RUNNING"}


def test_runs_on_other_hosts_are_closed_when_their_head_on_this_host_is_gone(store):
    here = identity("head")
    parent = psutil.Process(os.getppid())
    heads = {
        "gone": here | {"head.started": "1.0"},
        "of this process": here,
        "alive": here | {"head.pid": str(parent.pid), "head.started": str(parent.create_time())},
        "elsewhere": here | {"head.host": "another", "head.started": "1.0"},
    }
    ids = {name: opened_elsewhere(store, name, **tags) for name, tags in heads.items()}
    store.close_lost()
    assert {name: store.client.get_run(run_id).info.status for name, run_id in ids.items()} == {
        "gone": "KILLED",
        "of this process": "KILLED",
        "alive": "RUNNING",
        "elsewhere": "RUNNING",
    }


def test_a_store_that_failed_once_is_not_asked_again(store, monkeypatch):
    asked = []

    def failing(*_, **__):
        asked.append(1)
        raise OSError("gone")

    with Tracker(store, "name", {}, {}) as tracker:
        tracker.log(Step(0, 1.0))
    monkeypatch.setattr(MlflowClient, "log_batch", failing)
    tracker.log(Step(1, 1.0))
    for _ in range(3):
        with pytest.raises(TrackingError, match="gone"):
            tracker.flush()
    assert asked == [1]


def test_the_folder_of_an_experiment_has_a_name_that_file_systems_allow():
    assert stores.folder_name("my lab") == "my%20lab"
    long = [stores.folder_name("µ" * count) for count in (300, 301)]
    assert len({*long}) == 2
    assert all(len(name) <= 200 for name in long)


def test_a_second_opening_finds_the_experiment(store, tmp_path):
    again = open_store(store.uri, "lab", tmp_path)
    assert again.experiment_id == store.experiment_id


def test_two_processes_may_make_the_experiment_at_once(store, monkeypatch):
    real = MlflowClient.get_experiment_by_name
    answers = iter([None])  # the first look comes too early
    monkeypatch.setattr(
        MlflowClient, "get_experiment_by_name", lambda self, name: next(answers, real(self, name))
    )
    assert stores.make_experiment(store.client, "lab", None) == store.experiment_id


def test_the_default_store_is_in_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    store = open_store(None, "lab", tmp_path)
    assert (tmp_path / "mlflow.db").exists()
    assert store.command == "mlflow ui"
    artifacts = store.client.get_experiment(store.experiment_id).artifact_location
    assert artifacts == f"{(tmp_path / 'mlruns').as_uri()}/lab"


def test_the_environment_names_the_store(tmp_path, monkeypatch, empty_store):
    shutil.copy(empty_store, tmp_path / "elsewhere.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    store = open_store(None, "lab", tmp_path / "project")
    assert (tmp_path / "elsewhere.db").exists()
    assert store.command == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/elsewhere.db"


@pytest.mark.parametrize("asked", ["as a database", "one by one", "page by page"])
def test_trials_are_found_by_their_fingerprint_the_newest_first(store, asked, monkeypatch):
    client, ids = store.client, {}
    elsewhere = client.create_experiment("elsewhere")
    for number, (name, mark, role, place) in enumerate([
        ("first", "a", "trial", store.experiment_id),
        ("second", "a", "trial", store.experiment_id),
        ("of another", "b", "trial", store.experiment_id),
        ("deleted", "a", "trial", store.experiment_id),
        ("no trial", "a", "copy", store.experiment_id),
        ("in another experiment", "a", "trial", elsewhere),
    ], start=1):  # fmt: skip
        run = client.create_run(place, number, {"fingerprint": mark, "role": role}, name)
        ids[name] = run.info.run_id
    client.delete_run(ids["deleted"])
    if asked != "as a database":
        monkeypatch.setattr(sqlite, "runs_with_fingerprints", lambda *_: None)
    if asked == "page by page":
        monkeypatch.setattr(stores, "QUERIES_OF_A_PAGE", 3)
    found = store.trials_by_fingerprint({"a", "b", "c"})
    names = {mark: [run.info.run_name for run in runs] for mark, runs in found.items()}
    assert names == {"a": ["second", "first"], "b": ["of another"]}


def test_a_database_whose_driver_is_not_installed_is_refused_at_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"mysql+cymysql://127.0.0.1:{server.getsockname()[1]}/lab"
        with pytest.raises(TrackingError, match=r"its driver is not installed: .*cymysql"):
            open_store(uri, "lab", tmp_path)


def test_a_password_is_not_recorded(monkeypatch):
    uri = "postgresql://user:secret@host/db"
    monkeypatch.setattr(sys, "argv", ["src/train.py", f"tracking.uri={uri}", "init=he"])
    command = "python src/train.py 'tracking.uri=postgresql://user:***@host/db' init=he"
    assert provenance.tags(PROJECT)["command"] == command
    values = {"seed": 1, "tracking": {"uri": uri, "experiment": "lab"}}
    spec = RunSpec("name", None, {}, values, None, "", {})
    assert yaml.safe_load(spec.yaml)["tracking"]["uri"] == "postgresql://user:***@host/db"
    assert spec.values["tracking"]["uri"] == uri


def test_numbers_that_are_not_finite_are_left_out():
    step = Step(7, float("inf"), Evaluation(0.5, float("nan"), 0.25))
    assert dict(step.metrics()) == {
        "train/accuracy": 0.5, "test/accuracy": 0.25, "diverged_step": 7
    }  # fmt: skip
