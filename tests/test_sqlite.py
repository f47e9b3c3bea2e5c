"""With a schema that is not the known one, everything works through MLflow's client."""

import contextlib
import io
import multiprocessing
import re
import sqlite3

import pytest
from conftest import Lab
from mlflow import MlflowClient

import compare
from initlab.tracking import sqlite
from initlab.tracking.runs import CURVES

SWEEP = ("-m", "init=he,std001", "train.steps=30", "model.hidden=[8]", "tracking.pictures=false")


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
    assert sqlite.runs_with_fingerprints(lab.database, "1", []) == []


def test_a_sweep_goes_through_the_client_where_the_revision_is_unknown(lab, monkeypatch):
    monkeypatch.setattr(sqlite, "KNOWN_REVISIONS", {"0123456789ab"})
    assert "train/loss" in histories_asked_by_a_sweep(lab)
    assert histories(lab.database) is None
    assert sqlite.runs_with_fingerprints(lab.database, "1", []) is None


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
    assert sqlite.runs_with_fingerprints(lab.database, "1", []) is None


def test_a_sweep_goes_through_the_client_where_columns_have_other_names(lab):
    # In a process of its own, for SQLAlchemy remembers the names of columns once they were used.
    process = multiprocessing.get_context("spawn").Process(
        target=sweep_with_renamed_columns, args=[lab.folder]
    )
    process.start()
    process.join()
    assert process.exitcode == 0
