"""Servers, databases, disks, clocks and files that lie: one clear error, or the right result.

    KILLS=100 SEED=0 pytest -m torture tests/torture/test_lies.py

What is drawn at random depends on SEED and an index, of which there are more with more KILLS.
"""

import contextlib
import csv
import io
import math
import os
import pickle
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import TRAIN, lab_after, wait_for
from killing import Plan, Site, check_sound
from lying import (
    ANSWERS,
    Proxy,
    bytes_of,
    fill,
    in_order,
    liar,
    limit,
    locked,
    old_database,
    one_error,
    revisions,
    serving,
    small_disk,
)

import compare
import reproduce
from initlab.config import PROJECT, register

KILLS = int(os.environ.get("KILLS", "100"))
SEED = int(os.environ.get("SEED", "0"))
STEPS = 20
TINY = [f"train.steps={STEPS}", "model.hidden=[10]", "tracking.pictures=false"]
BOUND_SECONDS = 60
RUN_ID = "0" * 32


def often(share):
    """Run a test once for so many kills, each time with another index."""
    return pytest.mark.parametrize("index", range(max(KILLS // share, 1)))


def commands(uri, folder):
    """Return command lines of all kinds that use a store."""
    typed = [f"tracking.uri={uri}", "hydra/launcher=basic", *TINY,
             f"hydra.run.dir={folder}/run", f"hydra.sweep.dir={folder}/sweep"]  # fmt: skip
    return {
        "single": [TRAIN, *typed],
        "sweep": [TRAIN, "-m", "seed=1,2", *typed],
        "search": [TRAIN, "-m", "hydra/sweeper=search", "hydra.sweeper.trials=2",
                   "optimizer.lr=interval(0.1,0.2)", *typed],
        "compare": [str(PROJECT / "src" / "compare.py"), RUN_ID, "--uri", uri,
                    "--output", f"{folder}/report"],
        "reproduce": [str(PROJECT / "src" / "reproduce.py"), RUN_ID, "--uri", uri],
    }  # fmt: skip


KINDS = ("single", "sweep", "search", "compare", "reproduce")


def ended(command, seconds=BOUND_SECONDS):
    """Return the exit status of a command and what it printed; it must end in time."""
    try:
        status = command.wait(seconds)
    except TimeoutError:
        command.kill()
        raise AssertionError(f"the command takes more than {seconds} s") from None
    return status, *command.communicate()


# Servers


@pytest.mark.parametrize("answer", ["HTML", "nothing", "a list", "half", "a redirect to itself"])
def test_a_server_that_answers_nonsense_is_one_clear_error(lab, capsys, monkeypatch, answer):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with liar(answer) as address, limit(BOUND_SECONDS):
        status = lab.run(f"tracking.uri={address}", *TINY)
    said = capsys.readouterr()
    one_error(status, said.out, said.err)
    assert address in said.err
    assert not (lab.outputs / "run").exists()


@pytest.mark.torture
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_a_server_answers_any_command_ends_with_one_clear_error(
    warm, tmp_path, monkeypatch, answer, kind
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with liar(answer) as address:
        command = warm.start(*commands(address, tmp_path)[kind], cwd=tmp_path)
        status, output, error = ended(command)
    one_error(status, output, error)
    in_order(output + error)
    if kind != "compare" or "there is no sweep" not in error:  # as in an empty list of runs
        assert address.removeprefix("http://") in error
    assert not (tmp_path / "run").exists()


@pytest.fixture
def at_server(lab, served_store, monkeypatch):
    """Return the address of a server, which commands do not wait for as long as they usually do."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    return served_store[1]


def through(lab, proxy, *line):
    """Run a command whose store is a proxy; return its exit status and what it printed."""
    shutil.rmtree(lab.outputs, ignore_errors=True)
    with serving(proxy.handler()) as address:
        return ended(lab.start(f"tracking.uri={address}", *line))


@pytest.mark.torture
@pytest.mark.parametrize("death", sorted({*Proxy.DEATHS} - {"HTML"}))  # which takes any file
def test_a_run_whose_server_dies_leaves_its_files_where_it_says(lab, at_server, death):
    line = [*TINY, "train.steps=2000", "train.eval_every=1000"]
    whole = Proxy(at_server, 10_000, death)
    assert through(lab, whole, *line)[0] == 0
    moments = 4 if death == "nothing, ever" else 12  # of which each is waited for
    for alive in np.unique(np.linspace(0, whole.passed - 1, moments, dtype=int)):
        proxy = Proxy(at_server, int(alive), death)
        status, output, error = through(lab, proxy, *line)
        told = f"after {alive} of {whole.passed} requests: {output}{error}"
        assert "Traceback" not in output + error, told
        assert status == 2, told
        assert error.startswith("error: "), told
        if "step " not in output:
            continue  # it has not been trained
        if f"files {lab.outputs}/run" not in output:
            check_recorded(lab, at_server, told)
            continue
        with (lab.outputs / "run" / "metrics.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["metric"] == "train/loss"]
        steps = [int(row["step"]) for row in rows]
        assert steps == [*range(len(steps))], told
        assert all(math.isfinite(float(row["value"])) for row in rows)
        names = {file.name for file in (lab.outputs / "run").iterdir()}
        assert {"metrics.csv", "config.yaml", "weights.npz"} <= names, told


def check_recorded(lab, server, told):
    """Assert that all that the newest run has measured has arrived at a server."""
    *_, run = at(lab, server).runs()
    assert [*lab.values(run, "train/loss")] == [*range(2000)], told
    assert {"config.yaml", "weights.npz"} <= lab.artifacts(run), told


def at(lab, server):
    """Point a lab to the store of a server."""
    lab.uri = server
    return lab


@pytest.mark.torture
@often(10)
def test_a_sweep_whose_server_dies_is_completed_once_it_is_back(lab, at_server, index):
    rng = np.random.default_rng([SEED, index])
    death = str(rng.choice(Proxy.DEATHS))
    line = ["-m", "init=he,xavier", f"seed={1000 + 2 * index},{1001 + 2 * index}", *TINY]
    proxy = Proxy(at_server, int(rng.integers(0, 120)), death)
    with serving(proxy.handler()) as address:
        command = lab.start(f"tracking.uri={address}", *line)
        status, output, error = ended(command, 4 * BOUND_SECONDS)
    told = f"{death} after {proxy.passed}: {output}{error}"
    assert "Traceback" not in output + error, told
    assert status in ((0,) if proxy.left >= 0 else (1, 2)), told
    status, output, error = ended(lab.start(f"tracking.uri={at_server}", *line))
    assert status == 0, output + error
    seeds = {str(1000 + 2 * index), str(1001 + 2 * index)}
    runs = [run for run in at(lab, at_server).runs() if run.data.params.get("seed") in seeds]
    done = [run.data.tags["fingerprint"] for run in runs if run.info.status == "FINISHED"]
    assert sorted(done) == sorted(set(done))
    assert len(done) == 4
    assert "RUNNING" not in {run.info.status for run in lab.found("")}


# Databases


@pytest.fixture(scope="module")
def swept(tmp_path_factory, empty_store, request):
    """Return a lab with a sweep of two trials, and their ids."""
    lab, _ = lab_after(tmp_path_factory, empty_store, request, "-m", "init=he,std001", *TINY)
    return lab, [run.info.run_id for run in lab.runs()]


def text_file(file, **_):
    file.write_text("These are my notes.\n" * 1000)


def folder(file, **_):
    file.mkdir()
    (file / "note").write_text("mine")


def other_program(file, **_):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.execute("INSERT INTO songs VALUES ('Blue in Green')")
        connection.commit()


def newer(file, source):
    shutil.copy(source, file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        connection.commit()


def cut(file, source, at=0.5):
    whole = source.read_bytes()
    file.write_bytes(whole[: int(at * len(whole))])


def overwritten(file, source):
    whole = source.read_bytes()
    file.write_bytes(b"\0" * 4096 + whole[4096:])


FOREIGN = [text_file, folder, other_program, newer, cut, overwritten]


@pytest.mark.parametrize("kind", ["single", "compare", "reproduce"])
@pytest.mark.parametrize("make", FOREIGN)
def test_what_is_no_store_of_ours_is_refused_and_kept(lab, swept, capsys, make, kind):
    check_refused(lab, swept, capsys, make, kind)


@pytest.mark.torture
@pytest.mark.parametrize("kind", ["sweep", "search"])
@pytest.mark.parametrize("make", FOREIGN)
def test_a_sweep_refuses_what_is_no_store_of_ours_and_keeps_it(lab, swept, capsys, make, kind):
    check_refused(lab, swept, capsys, make, kind)


def check_refused(lab, swept, capsys, make, kind):
    """Assert that a command refuses what is in the place of the database, and leaves it alone."""
    place = lab.folder / "elsewhere" / "mlflow.db"
    place.parent.mkdir()
    make(place, source=swept[0].database)
    before = bytes_of(place)
    status, output, error = here(lab, capsys, place, kind)
    one_error(status, output, error)
    assert "mlflow.db" in error
    assert bytes_of(place) == before
    assert [*place.parent.iterdir()] == [place]
    assert not (lab.folder / "run").exists()


def here(lab, capsys, database, kind, run_id=RUN_ID):
    """Run a command in this process; return its status and what it printed."""
    script, *line = commands(f"sqlite:///{database}", lab.folder)[kind]
    line = [run_id if word == RUN_ID else word for word in line]
    capsys.readouterr()
    with limit(BOUND_SECONDS):
        if script == TRAIN:
            lab.typed, typed = [], lab.typed
            status = lab.run(*line)
            lab.typed = typed
        else:
            status = (compare if kind == "compare" else reproduce).run(line)
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize("kind", ["single", "compare"])
def test_an_empty_file_is_filled_by_training_and_refused_by_the_others(lab, capsys, kind):
    place = lab.folder / "elsewhere" / "mlflow.db"
    place.parent.mkdir()
    place.touch()
    status, output, error = here(lab, capsys, place, kind)
    if kind == "single":
        assert status == 0, error
        check_sound(place)
    else:
        one_error(status, output, error)
        assert bytes_of(place) == b""


@pytest.mark.torture
@pytest.mark.parametrize("kind", KINDS)
@often(5)
def test_a_damaged_database_is_one_clear_error_or_does_no_harm(lab, swept, capsys, index, kind):
    rng = np.random.default_rng([SEED, index])
    source, ids = swept
    copy = shutil.copy(source.database, lab.folder / "copy.db")
    move(copy, source.folder, lab.folder)  # or it would write among the artifacts of the original
    damaged = bytearray(copy.read_bytes())
    if rng.random() < 0.5:
        del damaged[rng.integers(len(damaged)) :]
    else:
        for place in rng.integers(len(damaged), size=int(rng.choice([1, 10, 1000]))):
            damaged[place] = rng.integers(256)
    place = lab.folder / "elsewhere" / "mlflow.db"
    place.parent.mkdir()
    place.write_bytes(damaged)
    status, output, error = here(lab, capsys, place, kind, ids[0])
    assert "Traceback" not in output + error, error
    assert status in ((0, 2) if kind in ("single", "compare") else (0, 1, 2)), output + error
    if (status == 2 and not (lab.folder / kind).exists()) or kind in ("compare", "reproduce"):
        assert place.read_bytes() == damaged


def test_a_database_that_is_locked_for_a_while_loses_nothing(lab):
    with locked(lab.database, 2):
        assert lab.run("-m", "seed=1,2", *TINY) == 0
    assert [run.info.status for run in lab.runs()] == ["FINISHED"] * 2


@pytest.mark.torture
@pytest.mark.parametrize(("begun", "processes"), [(0, 2), (1, 1), (2, 2), (3, 1)])
def test_a_database_that_is_locked_for_half_a_minute_loses_nothing(lab, begun, processes):
    launcher = ["hydra/launcher=cores", f"hydra.launcher.processes={processes}"]
    command = lab.start("-m", "seed=1,2,3,4", *TINY, *launcher)
    wait_for(lambda: lab.begun >= begun)
    with locked(lab.database, 30):
        status, output, error = ended(command, 3 * BOUND_SECONDS)
    assert status == 0, output + error
    runs = lab.runs()
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    assert all([*lab.values(run, "train/loss")] == [*range(STEPS)] for run in runs)


@pytest.fixture(params=["mode", "mount"])
def read_only(request, swept, lab):
    """Return a store that cannot be written, and what a command is started with to notice."""
    place = Path(tempfile.mkdtemp())
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        place.chmod(0o755)
        root = os.geteuid() == 0
        if request.param == "mount":
            stack.enter_context(small_disk(place, 50))
        shutil.copytree(swept[0].folder / "mlruns", place / "mlruns")
        shutil.copy(swept[0].database, place / "mlflow.db")
        move(place / "mlflow.db", swept[0].folder, place)
        options = {}
        if request.param == "mount":
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        else:
            for file in [place, *place.rglob("*")]:
                file.chmod(file.stat().st_mode & ~0o222 | stat.S_IROTH)
            options = {"user": "nobody", "group": "nogroup"} if root else {}
        yield place, options


def admitted(options):
    """Return whether another user may run this Python and read the project."""
    command = [sys.executable, "-c", f"open({TRAIN!r})"]
    try:
        return subprocess.run(command, capture_output=True, **options).returncode == 0
    except OSError:
        return False


@pytest.mark.torture
@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_cannot_be_written_can_be_read(swept, read_only, tmp_path, kind):
    place, options = read_only
    scratch = Path(tempfile.mkdtemp())
    scratch.chmod(0o777)
    line = commands(f"sqlite:///{place}/mlflow.db", scratch)[kind]
    line = [swept[1][0] if word == RUN_ID else word for word in line]
    env = {**os.environ, "HOME": str(scratch), "XDG_CACHE_HOME": str(scratch / "cache"),
           "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(scratch)}  # fmt: skip
    env.pop("MLFLOW_TRACKING_URI", None)
    if options and not admitted(options):
        pytest.skip("another user may not run this Python or read the project")
    before = bytes_of(place)
    try:
        done = subprocess.run([sys.executable, *line], cwd=scratch, env=env, capture_output=True,
                              text=True, timeout=BOUND_SECONDS, **options)  # fmt: skip
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if kind in ("compare", "reproduce"):
        assert done.returncode == 0, done.stderr
    else:
        one_error(done.returncode, done.stdout, done.stderr)
    assert bytes_of(place) == before


@pytest.mark.torture
@pytest.mark.parametrize("back", [1, 4, 8, 11])
@pytest.mark.parametrize("kind", ["single", "compare"])
def test_a_database_of_an_older_mlflow_is_upgraded_beside_a_copy_of_it(lab, capsys, back, kind):
    known = revisions()
    revision = known[: 1 - len(known) // 12 * back : -1][-1]
    place = lab.folder / "elsewhere" / "mlflow.db"
    place.parent.mkdir()
    old_database(place, revision)
    before = place.read_bytes()
    status, _, error = here(lab, capsys, place, kind)
    assert "Traceback" not in error
    copies = [file.read_bytes() for file in place.parent.glob("*") if file.is_file()]
    if kind == "compare":
        assert status in (0, 2), error
        assert place.read_bytes() == before or before in copies
        return
    assert status == 0, error
    check_sound(place)
    with closing(sqlite3.connect(place)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM runs")}
        (now,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert "old" in names
    assert len(names) == 2
    assert now == known[-1]
    assert before in copies


@pytest.mark.torture
@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_was_never_finished_is_completed_or_refused(lab, capsys, kind):
    place = lab.folder / "elsewhere" / "mlflow.db"
    place.parent.mkdir()
    old_database(place, "")
    before = place.read_bytes()
    status, output, error = here(lab, capsys, place, kind)
    if status:
        one_error(status, output, error)
        assert place.read_bytes() == before
    else:
        check_sound(place)
        assert kind in ("single", "sweep", "search")


# Disks


@pytest.mark.torture
@pytest.mark.parametrize("where", ["everything", "outputs", "temporary"])
@often(50)
def test_a_disk_that_is_full_loses_nothing_that_was_recorded(
    warm, empty_store, tmp_path, index, where
):
    rng = np.random.default_rng([SEED, index])
    plan = Plan(str(rng.choice(["grid", "search"])), int(rng.choice([1, 2])), "made")
    place = tmp_path / "lab"
    place.mkdir()
    # A socket is made in TMPDIR, whose path may not be long.
    scratch = Path(tempfile.mkdtemp()) if where == "temporary" else None
    disk = {"everything": place, "outputs": place / "outputs", "temporary": scratch}[where]
    with small_disk(disk, int(rng.integers(12, 40))):
        shutil.copy(empty_store, place)
        site = Site(plan, place, f"sqlite:///{place}/mlflow.db", warm)
        if where == "temporary":
            site.env["TMPDIR"] = str(disk)
        left, begun = int(10 ** rng.uniform(0, 7)), int(rng.integers(0, 6))
        site.tell(f"SEED={SEED} index {index}: {left} bytes are left, once {begun} runs have begun")
        try:
            check_disk(site, disk, left, begun)
        except AssertionError as error:
            error.add_note("\n".join(site.story))
            raise
    if scratch:
        scratch.rmdir()


def check_disk(site, disk, left, begun):
    """Fill a disk while a command runs; then make room, and run it to its end."""
    filler = fill(disk, left) if not begun else None
    command = site.start()
    if begun:
        begins = "mlruns/*/*/artifacts/config.yaml"
        wait_for(lambda: command.poll() is not None or
                 len([*site.folder.glob(begins)]) >= begun)  # fmt: skip
        filler = fill(disk, left)
    site.check_end(command, {0, 1, 2})
    site.check_gone()
    told = site.story[-1]
    if "exit status 0" in told and "the store alone gets the report" not in told:
        filler.unlink()
        site.check_all()
        return
    check_sound(site.folder / "mlflow.db")
    filler.unlink()
    site.check_end(site.start(), {0})
    site.check_all()


# Clocks


class Clock:
    """A clock that is set back by some seconds once it has been asked so many times."""

    def __init__(self, seconds, asked):
        self.seconds = seconds
        self.asked = asked
        self.real = time.time
        self.real_ns = time.time_ns

    def back(self):
        self.asked -= 1
        return self.seconds if self.asked < 0 else 0

    def time(self):
        return self.real() - self.back()

    def time_ns(self):
        return self.real_ns() - int(self.back() * 1e9)

    def put_on(self, patch):
        patch.setattr(time, "time", self.time)
        patch.setattr(time, "time_ns", self.time_ns)


def check_clock(lab, monkeypatch, clock):
    """Assert that a sweep under a clock that is set back loses nothing."""
    with monkeypatch.context() as patch:
        clock.put_on(patch)
        assert lab.run("-m", "seed=1,2", *TINY) == 0
    runs = lab.runs()
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert all([*lab.values(run, "train/loss")] == [*range(STEPS)] for run in runs)
    rows = results(lab.outputs / "sweep")
    assert {row["run_id"] for row in rows} == {run.info.run_id for run in runs}
    assert all(float(row["seconds"] or 0) >= 0 for row in rows), rows


def results(folder):
    """Return the rows of results.csv."""
    with (folder / "results.csv").open(newline="") as file:
        return [*csv.DictReader(file)]


def test_a_clock_that_is_set_back_in_the_middle_of_a_run_loses_nothing(lab, monkeypatch):
    check_clock(lab, monkeypatch, Clock(3600, 60))


@pytest.mark.torture
@often(5)
def test_a_clock_that_is_set_back_at_any_moment_loses_nothing(lab, monkeypatch, index):
    rng = np.random.default_rng([SEED, index])
    clock = Clock(float(10 ** rng.uniform(-2, 9)), int(rng.integers(0, 400)))
    check_clock(lab, monkeypatch, clock)


@pytest.mark.torture
def test_a_sweep_that_seems_to_be_older_than_an_earlier_one_reports_its_own_runs(lab, monkeypatch):
    assert lab.run("-m", "seed=1,2", *TINY) == 0
    first = {run.info.run_id for run in lab.runs()}
    with monkeypatch.context() as patch:
        Clock(3600, 0).put_on(patch)
        assert lab.run("-m", "seed=1,2", "sweep.existing=rerun", *TINY) == 0
    second = {run.info.run_id for run in lab.runs()} - first
    assert {row["run_id"] for row in results(lab.outputs / "sweep-2")} == second
    assert lab.run("-m", "seed=1,2", *TINY) == 0
    assert len(lab.runs()) == 4


# Edited files and tables

# Matplotlib warns of letters that its font does not have; no warning is a traceback.
foreign_letters = pytest.mark.filterwarnings("ignore:Glyph:UserWarning")


def move(database, old, new):
    """Let the runs of a copied database have their artifacts where these have been copied to."""
    with closing(sqlite3.connect(database)) as connection:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", [str(old), str(new)]
            )
        connection.commit()


class Edited:
    """A copy of a store with a sweep of two trials, to be edited and then read."""

    def __init__(self, folder, swept, capsys):
        self.folder = folder / "copy"
        self.capsys = capsys
        self.database = self.folder / "mlflow.db"
        self.uri = f"sqlite:///{self.database}"
        source, self.ids = swept
        shutil.copytree(source.folder, self.folder)
        move(self.database, source.folder, self.folder)

    @property
    def run_id(self):
        return self.ids[0]

    def artifact(self, name):
        """Return the path of an artifact of the first run, or of the summary."""
        if name == "results.csv":
            (file,) = self.folder.glob("mlruns/*/*/artifacts/results.csv")
            return file
        return next(self.folder.glob(f"mlruns/*/{self.run_id}/artifacts/{name}"))

    def execute(self, statement, *values):
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute(statement, values)
            connection.commit()

    def compare(self, *ids):
        """Compare; return the exit status and the text."""
        words = [*(ids or ["sweep"]), "--uri", self.uri, "--output", str(self.folder / "report")]
        return self.checked(compare.run, words, (0, 2))

    def reproduce(self):
        return self.checked(reproduce.run, [self.run_id, "--uri", self.uri], (0, 1, 2))

    def checked(self, run, words, statuses):
        """Run a command in this process; assert that it ends in time and in order."""
        self.capsys.readouterr()
        with limit(BOUND_SECONDS):
            status = run(words)
        output, error = self.capsys.readouterr()
        in_order(output + error)
        assert status in statuses
        assert "Traceback" not in output + error, error
        if status == 2:
            one_error(status, output, error)
        return status, output + error


@pytest.fixture
def edited(tmp_path, swept, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    register()
    return Edited(tmp_path, swept, capsys)


def bomb():
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for before, name in zip("abcdefgh", "bcdefghi"):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]")
    return "\n".join(lines).encode()


CONFIGS = {
    "empty": lambda text: b"",
    "binary": lambda text: bytes(range(256)) * 10,
    "zeros": lambda text: bytes(1000),
    "huge": lambda text: text + b"# " + b"x" * 5_000_000,
    "long": lambda text: text + b"# " + b"x" * 900_000,
    "a bomb": lambda text: bomb(),
    "deep": lambda text: b"seed: " + b"[" * 5000 + b"]" * 5000,
    "deep mapping": lambda text: b"seed: " + b"{a: " * 5000 + b"1" + b"}" * 5000,
    "deep lines": lambda text: b"\n".join(b" " * i + b"a:" for i in range(900)),
    "code": lambda text: b"seed: !!python/object/apply:os.system ['touch executed']\n",
    "target": lambda text: text + b"\n_target_: os.system\n",
    "interpolated": lambda text: text.replace(b"seed: 0", b"seed: ${oc.env:HOME}"),
    "a list": lambda text: b"- 1\n- 2\n",
    "a number": lambda text: b"3",
    "another seed": lambda text: text.replace(b"seed: 0", b"seed: 1"),
    "many digits": lambda text: text.replace(b"seed: 0", b"seed: " + b"9" * 20_000),
    "infinite": lambda text: text.replace(b"seed: 0", b"seed: .inf"),
    "not a number": lambda text: text.replace(b"seed: 0", b"seed: .nan"),
    "a date": lambda text: text.replace(b"seed: 0", b"seed: 2020-01-01"),
    "an impossible date": lambda text: text.replace(b"seed: 0", b"seed: 2020-99-99"),
    "base sixty": lambda text: text.replace(b"seed: 0", b"seed: 1:99:99"),
    "escapes": lambda text: text.replace(b"seed: 0", b'seed: "\\e[2J\\u202e"'),
    "two documents": lambda text: text + b"\n---\nseed: 1\n",
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "a mark": lambda text: b"\xef\xbb\xbf" + text,
    "tabs": lambda text: b"seed:\t0\n\tx: 1\n",
    "twice": lambda text: text + b"\nseed: 1\n",
    "missing": lambda text: text.replace(b"seed: 0", b""),
    "large": lambda text: text.replace(b"hidden:\n  - 10", b"hidden:\n  - 1000000000"),
    "many steps": lambda text: text.replace(b"steps: 20", b"steps: 1000000000000"),
    "merge key": lambda text: b"<<: {seed: 1}\n" + text,
    "null": lambda text: text.replace(b"train:", b"train: null\nx:"),
}
OFTEN_CONFIGS = ("binary", "a bomb", "code", "many digits", "an impossible date", "escapes")


@pytest.mark.parametrize("how", OFTEN_CONFIGS)
def test_a_config_that_was_edited_is_refused(edited, how):
    check_config(edited, how)


@pytest.mark.torture
@pytest.mark.parametrize("how", CONFIGS)
def test_a_config_edited_in_any_way_is_refused_or_gives_the_same(edited, how):
    check_config(edited, how)


def check_config(edited, how):
    file = edited.artifact("config.yaml")
    before = file.read_bytes()
    file.write_bytes(CONFIGS[how](before))
    status, text = edited.reproduce()
    if how == "another seed":
        assert status == 2, text  # as the params say something else
    elif how in ("long", "a mark", "huge") or file.read_bytes() == before:
        assert status in (0, 2), text
    elif how != "missing":
        assert status == 2, text
    assert not Path("executed").exists()


class Touch:
    """What leaves a file behind if it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def npz(**arrays):
    """Return the bytes of an archive of arrays."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def whole(data):
    """Return the arrays of an archive."""
    return dict(np.load(io.BytesIO(data)))


ARCHIVES = {
    "empty": lambda data, trap: b"",
    "cut": lambda data, trap: data[: len(data) // 2],
    "a pickle": lambda data, trap: pickle.dumps(Touch(trap)),
    "pickled arrays": lambda data, trap: npz(
        **{name: np.array([Touch(trap)], object) for name in whole(data)}
    ),
    "no steps": lambda data, trap: npz(
        **{name: array for name, array in whole(data).items() if name != "steps"}
    ),
    "steps alone": lambda data, trap: npz(steps=whole(data)["steps"]),
    "scalars": lambda data, trap: npz(**{name: np.array(1.0) for name in whole(data)}),
    "nothing in them": lambda data, trap: npz(**{name: array[:0]
                                                 for name, array in whole(data).items()}),
    "texts": lambda data, trap: npz(**{name: np.array(["x"]) for name in whole(data)}),
    "another shape": lambda data, trap: npz(
        **{name: array[..., :2] for name, array in whole(data).items()}
    ),
    "more axes": lambda data, trap: npz(
        **{name: array[None] for name, array in whole(data).items()}
    ),
    "one layer less": lambda data, trap: npz(
        **{name: array[:, 1:] if array.ndim == 3 else array for name, array in whole(data).items()}
    ),
    "NaN": lambda data, trap: npz(
        **{name: array * float("nan") for name, array in whole(data).items()}
    ),
    "negative": lambda data, trap: npz(**{name: -1 * array.astype(float)
                                          for name, array in whole(data).items()}),
    "zeros": lambda data, trap: npz(**{name: array * 0 for name, array in whole(data).items()}),
    "complex": lambda data, trap: npz(**{name: array * 1j for name, array in whole(data).items()}),
    "times": lambda data, trap: npz(**{name: array.astype("M8[s]")
                                       for name, array in whole(data).items()}),
    "a huge header": lambda data, trap: npz(steps=np.zeros(3)).replace(b"(3,)", b"(9e99,)"),
}  # fmt: skip
OFTEN_ARCHIVES = ("a pickle", "pickled arrays", "another shape", "no steps")


@pytest.mark.parametrize("how", OFTEN_ARCHIVES)
def test_histograms_that_were_edited_do_no_harm(edited, how):
    check_archive(edited, how, "histograms.npz")


@pytest.mark.torture
@pytest.mark.parametrize("name", ["histograms.npz", "weights.npz"])
@pytest.mark.parametrize("how", ARCHIVES)
def test_archives_edited_in_any_way_do_no_harm(edited, how, name):
    check_archive(edited, how, name)


def check_archive(edited, how, name):
    trap = edited.folder / "executed"
    file = edited.artifact(name)
    if name == "weights.npz" and how in ("no steps", "steps alone"):
        pytest.skip("weights have no steps")
    file.write_bytes(ARCHIVES[how](file.read_bytes(), trap))
    assert edited.compare()[0] == 0
    assert edited.reproduce()[0] == 0
    assert not trap.exists()


TABLES = {
    "empty": lambda ids: b"",
    "binary": lambda ids: bytes(range(256)),
    "no ids": lambda ids: b"init,seed\nhe,0\n",
    "foreign ids": lambda ids: b"run_id\n" + b"f" * 32 + b"\n../../etc\n'\"\n",
    "many ids": lambda ids: b"run_id\n" + b"".join(b"%032x\n" % i for i in range(3000)),
    "both quotes": lambda ids: b'run_id\n"a\'""b"\n',
    "a large field": lambda ids: b"run_id\n" + b"x" * 200_000 + b"\n",
    "escapes": lambda ids: b"run_id\n\x1b[2J\n",
    "zeros": lambda ids: b"run_id\n\0\0\n",
    "too many fields": lambda ids: b"run_id\n" + ids[0].encode() + b",1,2,3\n",
    "a single quote": lambda ids: b'run_id\n"abc',
}


@pytest.mark.parametrize("how", ["binary", "a large field", "foreign ids"])
def test_a_table_of_results_that_was_edited_adds_no_runs(edited, how):
    check_table(edited, how)


@pytest.mark.torture
@pytest.mark.parametrize("how", TABLES)
def test_a_table_of_results_edited_in_any_way_adds_no_runs(edited, how):
    check_table(edited, how)


def check_table(edited, how):
    edited.artifact("results.csv").write_bytes(TABLES[how](edited.ids))
    status, _ = edited.compare()
    if status == 0:
        rows = results(edited.folder / "report")
        assert {row["run_id"] for row in rows} == {*edited.ids}


NASTY = [
    "", " ", "\x1b[2J\x1b]0;title\x07", "\u202egnp.exe", "a\nb\rc", "\0", "x" * 10_000, "'", '"',
    "'\"", "[bold red]x[/]", "[/]", "<script>alert(1)</script>", "${oc.env:HOME}", "%s%n", "{x}",
    "nan", "-1", "1e999", "9" * 400, "../../../etc/passwd", "=", "init=he", "é" * 300, "\ud7ff",
    "🦊", "null", "FINISHED", "[" * 200, "http://127.0.0.1:9/x", "file:///etc",
]  # fmt: skip
EDITS = {
    "params": ("params", "value"),
    "param names": ("params", "key"),
    "tags": ("tags", "value"),
    "tag names": ("tags", "key"),
    "name": ("runs", "name"),
    "status": ("runs", "status"),
    "artifacts": ("runs", "artifact_uri"),
    "start": ("runs", "start_time"),
    "end": ("runs", "end_time"),
    "metric names": ("latest_metrics", "key"),
    "metric values": ("metrics", "value"),
    "last values": ("latest_metrics", "value"),
    "steps": ("metrics", "step"),
    "lifecycle": ("runs", "lifecycle_stage"),
}
NUMBERS = {
    "start": [None, 0, -1, 2**62, 1e300],
    "end": [None, 0, -1, 2**62, 1],
    "metric values": [0.0, -1.0, 1e308, 1e-320, "x", None],
    "last values": [0.0, -1.0, 1e308, 1e-320, "x"],
    "steps": [-1, 2**62, -(2**62), 0],
}


def edit(edited, what, value, rng):
    """Set one cell of a table, of either run."""
    table, column = EDITS[what]
    run_id = edited.ids[rng.integers(len(edited.ids))]
    with closing(sqlite3.connect(edited.database)) as connection:
        found = connection.execute(f"SELECT rowid FROM {table} WHERE run_uuid = ?", [run_id])
        rows = [row for (row,) in found]
    with contextlib.suppress(sqlite3.IntegrityError):  # as where there is a row of this key
        edited.execute(
            f"UPDATE {table} SET {column} = ? WHERE rowid = ?",
            value, int(rows[rng.integers(len(rows))]),
        )  # fmt: skip


@foreign_letters
@pytest.mark.parametrize("what", ["params", "tags"])
def test_commands_to_the_terminal_in_a_table_are_not_passed_on(edited, what):
    table, column = EDITS[what]
    keep = "('role', 'sweep', 'fingerprint', 'model')"
    edited.execute(
        f"UPDATE {table} SET {column} = ? || rowid WHERE key NOT IN {keep}", "\x1b[2J\u202e"
    )
    edited.compare()
    edited.reproduce()


@foreign_letters
@pytest.mark.torture
@often(20)
@pytest.mark.parametrize("what", EDITS)
def test_a_table_edited_in_any_way_gives_an_error_or_a_result(edited, what, index):
    rng = np.random.default_rng([SEED, index])
    for _ in range(int(rng.choice([1, 1, 3]))):
        values = NUMBERS.get(what, NASTY)
        value = values[rng.integers(len(values))]
        edit(edited, what, value, rng)
    edited.compare()
    edited.compare(*edited.ids)
    edited.reproduce()


@pytest.mark.torture
@often(5)
def test_missing_rows_give_an_error_or_a_result(edited, index):
    rng = np.random.default_rng([SEED, index])
    for _ in range(int(rng.integers(1, 20))):
        table = str(rng.choice(["params", "tags", "metrics", "latest_metrics"]))
        edited.execute(
            f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} LIMIT 1 OFFSET ?)",
            int(rng.integers(40)),
        )
    edited.compare()
    edited.compare(*edited.ids)
    edited.reproduce()
