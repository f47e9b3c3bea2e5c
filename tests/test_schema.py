"""A database of MLflow is made and upgraded whole, or stays as it was."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from alembic import command
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from initlab.tracking import schema, sqlite
from initlab.tracking.store import TrackingError, open_store, reading


def make_old(database, revision):
    """Make a database of an older MLflow."""
    engine = create_engine(sqlite.uri_of(database))
    InitialBase.metadata.create_all(engine)
    if revision:
        config = utils._get_alembic_config(str(engine.url))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    engine.dispose()


@pytest.fixture(scope="module")
def older(shared):
    """Return a database of the schema before the newest one, and its revision."""
    before = schema.scripts().get_revision("head").down_revision
    file = shared / f"older-{os.getpid()}.db"
    make_old(file, before)
    return file, before


def run_sql(database, *statements):
    with closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


BEFORE_LATEST_METRICS = "7ac759974ad8"


def leave_half_made(database):
    """Make a database up to the middle of a revision."""
    make_old(database, BEFORE_LATEST_METRICS)
    run_sql(database, "CREATE TABLE latest_metrics (key TEXT)")


ONE_RUN = (
    "INSERT OR IGNORE INTO experiments (experiment_id, name, lifecycle_stage) "
    "VALUES (7, 'old', 'active')",
    "INSERT INTO runs (run_uuid, name, user_id, source_type, status, start_time, artifact_uri, "
    "lifecycle_stage, experiment_id) "
    "VALUES ('a1', 'kept', 'me', 'LOCAL', 'FINISHED', 1, 'a', 'active', 7)",
)


def names_of(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def opened(folder):
    return open_store(sqlite.uri_of(folder / "mlflow.db"), "lab", folder)


def end_process(*_):
    os._exit(9)


def test_a_process_that_is_killed_while_it_makes_a_database_leaves_none(tmp_path, monkeypatch):
    child = os.fork()
    if child == 0:  # which ends after the first tables, and runs no `finally`
        utils._upgrade_db = end_process
        schema.make_ready(tmp_path / "mlflow.db")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (draft,) = names_of(tmp_path)
    assert draft == f"mlflow.db.new-{child}"
    assert opened(tmp_path).experiment_id
    assert names_of(tmp_path) == ["mlflow.db"]


def test_an_interrupt_while_a_database_is_made_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(engine):
        raise KeyboardInterrupt

    monkeypatch.setattr(utils, "_upgrade_db", interrupt)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path)
    assert names_of(tmp_path) == []


def test_a_database_that_another_process_has_made_meanwhile_stays(tmp_path, empty_store):
    draft, database = tmp_path / "draft", tmp_path / "mlflow.db"
    draft.write_bytes(b"mine")
    shutil.copy(empty_store, database)
    schema.put_in_place(draft, tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == b"mine"
    before = database.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(database), "exists", lambda self: False)  # when we looked
        schema.put_in_place(draft, database)
    assert database.read_bytes() == before


def test_a_half_made_database_is_made_anew_and_kept(tmp_path, capfd):
    database = tmp_path / "mlflow.db"
    leave_half_made(database)
    shutil.copy(database, tmp_path / "again.db")
    with pytest.raises(OperationalError, match="already exists"):
        schema.upgrade(tmp_path / "again.db")  # as MLflow would
    (tmp_path / "again.db").unlink()
    assert opened(tmp_path).experiment_id
    kept = f"mlflow.db.{BEFORE_LATEST_METRICS}"
    assert names_of(tmp_path) == ["mlflow.db", kept]
    assert kept in capfd.readouterr().err


def test_a_database_left_before_its_first_revision_is_made_whole(tmp_path):
    make_old(tmp_path / "mlflow.db", None)
    assert opened(tmp_path).experiment_id
    assert names_of(tmp_path) == ["mlflow.db", "mlflow.db.half-made"]


def test_an_older_database_is_upgraded_and_kept_as_it_was(tmp_path, older, capfd):
    file, before = older
    database = tmp_path / "mlflow.db"
    shutil.copy(file, database)
    run_sql(database, *ONE_RUN)
    old = database.read_bytes()
    store = opened(tmp_path)
    assert store.client.get_run("a1").info.status == "FINISHED"
    kept = tmp_path / f"mlflow.db.{before}"
    assert names_of(tmp_path) == ["mlflow.db", kept.name]
    assert kept.read_bytes() == old
    assert "upgraded" in capfd.readouterr().err
    assert sqlite.revision_of(database) == schema.installed_revision()


def test_a_second_upgrade_from_one_revision_keeps_both_copies(tmp_path, older):
    file, before = older
    database = tmp_path / "mlflow.db"
    for _ in range(2):
        database.unlink(missing_ok=True)
        shutil.copy(file, database)
        schema.make_ready(database)
    assert names_of(tmp_path) == ["mlflow.db", f"mlflow.db.{before}", f"mlflow.db.{before}-2"]


def test_a_process_that_is_killed_while_it_upgrades_a_database_leaves_it_as_it_was(tmp_path, older):
    file, before = older
    database = tmp_path / "mlflow.db"
    shutil.copy(file, database)
    old = database.read_bytes()
    child = os.fork()
    if child == 0:
        os.replace = end_process  # the upgrade is done, but not in place
        schema.make_ready(database)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert database.read_bytes() == old
    opened(tmp_path)
    assert names_of(tmp_path) == ["mlflow.db", f"mlflow.db.{before}"]


def interrupted_upgrade(database):
    leave_half_made(database)
    run_sql(database, *ONE_RUN)


def newer_schema(database):
    make_old(database, None)
    run_sql(database, "CREATE TABLE alembic_version (version_num TEXT)")
    run_sql(database, "INSERT INTO alembic_version VALUES ('fedcba987654')")


def other_program(database):
    run_sql(database, "CREATE TABLE recipes (name TEXT)", "INSERT INTO recipes VALUES ('cake')")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (interrupted_upgrade, "an upgrade of its schema was interrupted"),
        (newer_schema, "unknown to MLflow"),
        (other_program, "another program"),
        (lambda file: file.write_text("dear diary " * 100), "not a database"),
        (lambda file: file.mkdir(), "unable to open"),
    ],
)
def test_a_file_that_is_no_database_for_this_mlflow_is_refused_and_kept(tmp_path, make, words):
    database = tmp_path / "mlflow.db"
    make(database)
    before = database.read_bytes() if database.is_file() else None
    with pytest.raises(TrackingError, match=words) as refused:
        opened(tmp_path)
    assert str(refused.value).startswith(f"tracking.uri={sqlite.uri_of(database)}: cannot be used")
    if before:
        assert database.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_whoever_only_reads_upgrades_nothing(tmp_path, older):
    database = tmp_path / "mlflow.db"
    shutil.copy(older[0], database)
    before = database.read_bytes()
    uri = sqlite.uri_of(database)
    with pytest.raises(TrackingError, match="keeps a copy"), reading(uri, tmp_path):
        pass
    with pytest.raises(TrackingError, match="keeps a copy"):
        open_store(uri, "lab", tmp_path, create=False)
    assert database.read_bytes() == before
    assert names_of(tmp_path) == ["mlflow.db"]
