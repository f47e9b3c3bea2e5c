"""A SQLite store: its address, locks of others, and a schema that is not the known one."""

import contextlib
import io
import multiprocessing
import os
import re
import sqlite3
import threading

import pytest
from conftest import Lab, wait_for
from mlflow import MlflowClient
from sqlalchemy import create_engine

import compare
from initlab.tracking import sqlite
from initlab.tracking.runs import CURVES

SWEEP = ("-m", "init=he,std001", "train.steps=30", "model.hidden=[8]", "tracking.pictures=false")


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///plain.db",
        "sqlite:///a%20b.db",
        "sqlite:///a b.db",
        "sqlite:///a#b.db",
        "sqlite:///a%3Fmode=memory.db",
        "sqlite+pysqlite:///driver.db",
    ],
)
def test_an_address_means_the_same_file_to_us_and_to_sqlalchemy(tmp_path, monkeypatch, uri):
    monkeypatch.chdir(tmp_path)
    engine = create_engine(uri)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    engine.dispose()
    (made,) = tmp_path.iterdir()
    assert sqlite.path_of(uri).resolve() == made
    assert sqlite.path_of(sqlite.uri_of(made)) == made


@pytest.mark.parametrize("uri", ["http://h:port", "postgresql://u:p@h/d", "mlflow.db", "file:///x"])
def test_an_address_of_another_kind_is_no_file_of_sqlite(uri):
    assert sqlite.path_of(uri) is None


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("sqlite:///a?mode=memory.db", "%3F"),
        ("sqlite://", "no file"),
        ("sqlite:///:memory:", "no file"),
        ("sqlite:/a.db", "sqlite:///"),
    ],
)
def test_an_address_of_sqlite_that_names_no_file_is_refused(lab, capsys, uri, words):
    assert lab.run(f"tracking.uri='{uri}'") == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: tracking.uri={uri}: cannot be used: ")
    assert words in error


@pytest.fixture
def locked(lab, monkeypatch):
    """Let another program lock the database, until `release` is called."""
    monkeypatch.setattr(sqlite, "TELL_SECONDS", 0.0)
    connection = sqlite3.connect(lab.database, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    yield connection.rollback
    connection.close()


def test_a_run_waits_for_a_database_that_another_program_has_locked(lab, capsys, locked):
    printed = io.StringIO()

    def release_when_reported():
        wait_for(lambda: "waiting for" in printed.getvalue())
        locked()

    releasing = threading.Thread(target=release_when_reported)
    releasing.start()
    with contextlib.redirect_stderr(printed):
        assert lab.run("train.steps=3", "tracking.pictures=false") == 0
    releasing.join()
    assert printed.getvalue() == (
        f"waiting for {lab.database}, which another program keeps locked\n"
    )
    (run,) = lab.runs()
    assert len(lab.values(run, "train/loss")) == 3


def test_a_database_that_stays_locked_is_refused(lab, capsys, locked, monkeypatch):
    monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", 0.1)
    assert lab.run("train.steps=3") == 2
    assert "another program has locked it for 0 seconds" in capsys.readouterr().err
    assert compare.run(["x", "--uri", lab.uri]) == 2
    assert "another program has locked it for 0 seconds" in capsys.readouterr().err
    locked()
    assert lab.found("") == []


def test_a_folder_that_stays_locked_holds_no_run_up(lab, capsys, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(sqlite, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(sqlite, "PATIENCE_SECONDS", 0.1)
    folder = os.open(lab.folder, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert lab.run("train.steps=3", "tracking.pictures=false") == 0
    os.close(folder)
    assert f"waiting for {lab.folder}, into which another" in capsys.readouterr().err
    assert len(lab.runs()) == 1


def histories(database):
    with sqlite.known_tables(database) as tables:
        return sqlite.metric_histories(tables, "0" * 32, CURVES)


def printed(call, *arguments):
    """Return what a call that returns the exit status 0 prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert call(*arguments) == 0
    return out.getvalue()


def histories_asked_by_a_sweep(lab):
    """Assert that a sweep, its repetition, its report and a comparison are as they should be.

    Return the names of the metrics whose histories the client was asked for.
    """
    asked = []
    real = MlflowClient.get_metric_history

    def noting(self, run_id, key):
        asked.append(key)
        return real(self, run_id, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "get_metric_history", noting)
        printed(lab.run, *SWEEP)
        assert printed(lab.run, *SWEEP, "sweep.dry_run=true").count("cached") == 2
        assert "2 of 2 trials had been run before" in printed(lab.run, *SWEEP)
        table = printed(compare.run, ["sweep", "--uri", lab.uri, "--output", f"{lab.folder}/new"])
    pages = [
        file.read_text("utf-8")
        for file in (lab.outputs / "sweep" / "report.html", lab.folder / "new" / "report.html")
    ]
    trials = lab.runs()
    assert [run.data.params["init"] for run in trials] == ["he", "std001"]
    for run in trials:
        losses = [*lab.values(run, "train/loss").values()]
        assert len(losses) == 30
        mean = f"{sum(losses) / 30:.3g}"
        assert re.search(rf"{run.data.params['init']} +{mean}", table)
        assert all(mean in page for page in pages)
    return {*asked}


def test_the_schema_of_the_installed_mlflow_is_known(lab):
    assert histories(lab.database) == {}
    assert sqlite.runs_with_fingerprints(lab.uri, "1", [], []) == []


def test_a_sweep_goes_through_the_client_where_the_revision_is_unknown(lab, monkeypatch):
    monkeypatch.setattr(sqlite, "KNOWN_REVISIONS", {"0123456789ab"})
    assert "train/loss" in histories_asked_by_a_sweep(lab)
    assert histories(lab.database) is None
    assert sqlite.runs_with_fingerprints(lab.uri, "1", [], []) is None


def sweep_with_renamed_columns(folder):
    """Rename columns in a database and in MLflow's code, and assert that a sweep works."""
    from mlflow.store.tracking.dbmodels.models import SqlMetric, SqlTag

    lab = Lab(folder, pytest.MonkeyPatch(), request=None)
    for table in (SqlMetric.__table__, SqlTag.__table__):
        with contextlib.closing(sqlite3.connect(lab.database)) as connection:
            connection.execute(f"ALTER TABLE {table.name} RENAME COLUMN value TO renamed")
        table.c.value.name = "renamed"
    assert "train/loss" in histories_asked_by_a_sweep(lab)
    assert histories(lab.database) is None
    assert sqlite.runs_with_fingerprints(lab.uri, "1", [], []) is None


def test_a_sweep_goes_through_the_client_where_columns_have_other_names(lab):
    # In a process of its own, for SQLAlchemy remembers the names of columns once they were used.
    process = multiprocessing.get_context("spawn").Process(
        target=sweep_with_renamed_columns, args=[lab.folder]
    )
    process.start()
    process.join()
    assert process.exitcode == 0
