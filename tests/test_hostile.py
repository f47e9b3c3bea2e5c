"""A store may hold anything: it is shown, and never obeyed."""

import csv
import re
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from mlflow.entities import Metric

import compare
import reproduce
from initlab import console
from initlab.report.export import plain_cell
from initlab.tracking import queries
from initlab.tracking.artifacts import connects, open_artifact
from initlab.tracking.store import open_store

EVIL = "he\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[bold red]\u2066:smile:"
SEEN = "he�[2J�]0;owned��31m�[bold red]�:smile:"
FORMULA = "=HYPERLINK(1)"


class Lair:
    """A store of two runs of a sweep, whatever the client would not have taken written into it."""

    def __init__(self, folder):
        self.folder = folder
        self.uri = f"sqlite:///{folder}/mlflow.db"
        store = open_store(self.uri, "initlab", folder)
        self.client = store.client
        self.ids = []
        for seed in (0, 1):
            tags = {"role": "trial", "sweep": "monday"}
            run = self.client.create_run(store.experiment_id, tags=tags, run_name=f"seed={seed}")
            self.ids.append(run.info.run_id)
            for key, value in {"init": "he", "seed": seed, "model": "mlp"}.items():
                self.client.log_param(run.info.run_id, key, value)
            points = [Metric("train/loss", 1 / (step + 1), step, step) for step in range(3)]
            self.client.log_batch(run.info.run_id, points)
            self.client.set_terminated(run.info.run_id)
        self.tag("verdict", "healthy")

    def execute(self, statement, *values):
        """Write something into the database."""
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as connection:
            assert connection.execute(statement, values).rowcount > 0
            connection.commit()

    def tag(self, key, value):
        """Give all runs a tag."""
        for run_id in self.ids:
            self.client.set_tag(run_id, key, value)

    def compare(self, *arguments):
        """Return the exit status of `python src/compare.py …`."""
        return compare.run([*arguments, "--uri", self.uri])


@pytest.fixture
def lair(tmp_path, monkeypatch, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(console, "out", console.make_console(width=200))
    monkeypatch.setattr(compare, "PROJECT", tmp_path / "a" / "project")
    return Lair(tmp_path)


def assert_plain(text):
    """Assert that a text has nothing in it but what can be seen, and lines."""
    assert re.findall(r"[^\n\r]", text) == [each for each in text if each.isprintable()]


def test_whatever_a_store_holds_is_only_shown(lair, capsys):
    lair.execute(
        "UPDATE params SET value = ? WHERE key = 'init' AND run_uuid = ?", EVIL, lair.ids[0]
    )
    lair.execute(
        "UPDATE params SET key = ? WHERE key = 'model' AND run_uuid = ?", EVIL, lair.ids[0]
    )
    lair.execute("UPDATE runs SET name = ?", FORMULA + EVIL)
    lair.tag("verdict", EVIL)
    lair.tag("experiment", EVIL)
    lair.execute("UPDATE runs SET status = 'FAILED' WHERE run_uuid = ?", lair.ids[1])
    lair.client.set_tag(lair.ids[1], "error", f"@{EVIL}\n{EVIL}")
    assert lair.compare("monday", "--output", str(lair.folder / "report")) == 0
    printed, error = capsys.readouterr()
    assert error == ""
    assert printed.count(SEEN) >= 3
    assert_plain(printed)
    html = (lair.folder / "report" / "report.html").read_text("utf-8")
    assert SEEN in html
    assert_plain(html)
    table = (lair.folder / "report" / "results.csv").read_text("utf-8")
    assert_plain(table)
    rows = [*csv.DictReader(table.splitlines())]
    assert [row["name"] for row in rows] == [f"'{FORMULA}{SEEN}"] * 2
    assert {row["reason"] for row in rows} == {"", f"'@{SEEN}"}


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("init=he", "init=he"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        ("-inf", "-inf"),
        ("", ""),
        ("=1+1", "'=1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
    ],
)
def test_a_spreadsheet_finds_no_formula(text, cell):
    assert plain_cell(text) == cell


@pytest.mark.parametrize("letters", [100, 5000])
def test_a_verdict_of_any_length_is_drawn(lair, letters):
    edges = np.linspace(-1, 1, 5)
    counts = np.ones((2, 2, 6), np.int64)
    lair.tag("verdict", "W" * letters)
    for run_id in lair.ids:
        np.savez(
            lair.folder / "histograms.npz",
            steps=np.arange(2),
            **{"activations/edges": edges, "activations/counts": counts},
        )
        lair.client.log_artifact(run_id, str(lair.folder / "histograms.npz"))
        lair.client.log_param(run_id, "activation", f"{run_id}{'x' * 200}")
        lair.client.log_param(run_id, "width", run_id)
    assert lair.compare("monday", "--output", str(lair.folder / "report")) == 0
    assert (lair.folder / "report" / "activations.png").is_file()


@pytest.mark.parametrize("sweep", ["../../elsewhere", "/elsewhere", "..", ".", "a/b", ""])
def test_a_report_is_written_into_no_folder_that_a_store_names(lair, sweep):
    lair.tag("sweep", sweep)
    summary = lair.client.create_run("1", tags={"role": "summary", "sweep": sweep}).info.run_id
    assert lair.compare(summary) == 0
    (report,) = lair.folder.rglob("report.html")
    assert report.parent.parent == lair.folder / "a" / "project" / "outputs"


def test_errors_show_what_a_store_and_a_user_wrote_without_obeying_it(lair, capsys):
    lair.execute("UPDATE experiments SET name = ? WHERE name = 'initlab'", EVIL)
    lair.tag("sweep", EVIL)
    for typed in (
        ["--filter", "", "--experiment", f"no{EVIL}"],
        ["--filter", f"params.{EVIL} = 1", "--experiment", EVIL],
        ["sunday"],
        [f"no{EVIL}"],
        [f"--{EVIL}"],
        ["monday", "--uri", f"sqlite:///{EVIL}.db"],
        [EVIL, "--output", f"/dev/null/{EVIL}"],
    ):
        assert compare.run(["--uri", lair.uri, *typed]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert SEEN in error
        assert_plain(error)
    for typed in ([EVIL], ["0", EVIL], [f"--{EVIL}"], ["0", "--uri", f"sqlite:///{EVIL}.db"]):
        assert reproduce.run(["--uri", lair.uri, *typed]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert SEEN in error
        assert_plain(error)


@pytest.mark.parametrize("content", [b"\xff\xfe", b'run_id\n"' + b"x" * 200_000, b"run_id\n'\"\n"])
def test_a_table_of_results_that_cannot_be_read_names_no_runs(lair, content):
    tags = {"role": "summary", "sweep": "monday"}
    summary = lair.client.create_run("1", tags=tags).info.run_id
    (lair.folder / "results.csv").write_bytes(content)
    lair.client.log_artifact(summary, str(lair.folder / "results.csv"))
    assert queries.trials_of_sweep(lair.client, "monday") == lair.ids


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1:9/x", "http://[", "nonsense://x", "s3://nowhere/x", "", "/dev", "x\x00y"],
)
def test_files_that_are_nowhere_are_no_files(lair, place, capsys):
    connects.cache_clear()
    lair.execute("UPDATE runs SET artifact_uri = ?", place)
    run = lair.client.get_run(lair.ids[0])
    with open_artifact(lair.client, run, "null") as file:
        assert file is None
    assert lair.compare("monday", "--output", str(lair.folder / "report")) == 0
    assert reproduce.run([lair.ids[0], "--uri", lair.uri]) == 2
    error = capsys.readouterr().err
    assert f"error: {lair.ids[0]}: the run has no config.yaml" in error
    assert "Traceback" not in error
