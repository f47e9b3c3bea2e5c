"""Killing: sweeps in processes of their own, what befalls them, and what must hold afterwards."""

import csv
import math
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil
from conftest import TRAIN
from mlflow import MlflowClient

STEPS = 30
TINY = [f"train.steps={STEPS}", "model.hidden=[20]", "tracking.pictures=false"]
SWEEPERS = {
    "grid": ["-m", "init=he,xavier", "seed=0,1,2"],
    "search": [
        "-m", "optimizer.lr=interval(0.01,0.3)", "hydra/sweeper=search",
        "hydra.sweeper.trials=5", "hydra.sweeper.pruner=none",
    ],
}  # fmt: skip
TRIALS = {"grid": 6, "search": 5}
HANG_SECONDS = 120
END_SECONDS = 60  # in which processes end whose parent is gone

# By attack: the signals, to whom they go, and the exit statuses that may follow. 0 is one of them
# where a signal came too late; a process that has no handler yet ends by the signal itself.
ATTACKS = {
    "SIGKILL to the group": ([signal.SIGKILL], "group", {-9}),
    "SIGKILL to the parent": ([signal.SIGKILL], "parent", {-9}),
    "SIGKILL to a worker": ([signal.SIGKILL], "worker", {0, 1}),
    "SIGKILL to the fork server": ([signal.SIGKILL], "fork server", {0, 1}),
    "SIGINT": ([signal.SIGINT], "group", {130, -2}),
    "SIGINT twice": ([signal.SIGINT] * 2, "group", {130, -2}),
    "SIGTERM": ([signal.SIGTERM], "parent", {143, -15}),
    "SIGTERM to the group": ([signal.SIGTERM], "group", {143, -15}),
    "SIGHUP": ([signal.SIGHUP], "group", {129, -1}),
    "SIGSTOP, then SIGCONT": ([signal.SIGSTOP, signal.SIGCONT], "group", {0}),
}
NEED_PROCESSES = ("worker", "fork server")


@dataclass(frozen=True)
class Plan:
    """A kind of command: grid or search, in one process or two, and into which store.

    store     fresh (there is none yet), made (without runs) or grown (with a hundred runs)
    database  sqlite or postgresql
    warm      whether it is a fork of a warm process, or a new interpreter, which has to import all
    """

    sweeper: str
    processes: int
    store: str
    database: str = "sqlite"
    warm: bool = True


class NewInterpreter:
    """`python src/train.py`, used like a `warm.Command`."""

    def __init__(self, arguments, cwd, env):
        self.files = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, TRAIN, *arguments], cwd=cwd, env=env, start_new_session=True,
            stdout=self.files[0], stderr=self.files[1],
        )  # fmt: skip
        self.pid = self.process.pid

    def poll(self):
        return self.process.poll()

    def wait(self, timeout=None):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error

    def communicate(self):
        self.wait()
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return tuple(texts)


@dataclass
class Site:
    """A folder with a store, in which a command is run, attacked, and run to its end.

    env    what the command has in its environment beside what all have
    story  what happened so far, for whoever has to find out why a test failed
    """

    plan: Plan
    folder: Path
    uri: str
    warm: object
    env: dict = field(default_factory=dict)
    story: list = field(default_factory=list)
    groups: list = field(default_factory=list)

    @property
    def line(self):
        """The arguments of the command, the same each time."""
        return [
            *SWEEPERS[self.plan.sweeper], *TINY, f"tracking.uri={self.uri}",
            f"hydra.sweep.dir={self.folder}/outputs/sweep", "hydra/launcher=cores",
            f"hydra.launcher.processes={self.plan.processes}",
        ]  # fmt: skip

    def tell(self, words):
        self.story.append(words)

    def start(self):
        """Start the command, as the leader of a group of processes."""
        self.tell(f"cd {self.folder}; {shlex.join(['python', 'src/train.py', *self.line])}")
        env = {key: text for key, text in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        env |= self.env
        if self.plan.warm:
            command = self.warm.start(
                TRAIN, *self.line, cwd=self.folder, env=env, start_new_session=True
            )
        else:
            command = NewInterpreter(self.line, self.folder, env)
        self.groups.append(command.pid)
        return command

    def wait(self, command):
        """Return the exit status; a command that hangs is a failure, with its stacks."""
        try:
            return command.wait(HANG_SECONDS)
        except TimeoutError:
            members = [
                (each.pid, each.status(), each.cmdline()[1:3]) for each in group(command.pid)
            ]
            self.tell(f"it hangs: {members}")
            kill_group(command.pid, signal.SIGABRT)  # upon which faulthandler prints all stacks
            time.sleep(1)
            kill_group(command.pid, signal.SIGKILL)
            self.tell("".join(command.communicate()))
            raise AssertionError(f"the command hangs for {HANG_SECONDS} s") from None

    def undisturbed(self):
        """Run the command to its end; return its seconds, and those until it claimed a folder."""
        started = time.monotonic()
        command = self.start()
        claimed = None
        while command.poll() is None:
            if claimed is None and (self.folder / "outputs" / "sweep").exists():
                claimed = time.monotonic() - started
            time.sleep(0.005)
        seconds = time.monotonic() - started
        self.check_end(command, {0})
        return seconds, claimed or seconds

    def attack(self, name, seconds, gaps):
        """Start the command and attack it after so many seconds; check how it ends.

        gaps  the seconds between its signals
        """
        numbers, target, statuses = ATTACKS[name]
        command = self.start()
        with suppress(TimeoutError, BlockingIOError):
            command.wait(seconds)
        hit = False
        for number, gap in zip(numbers, [*gaps, 0.0]):
            hit |= strike(command, number, target)
            with suppress(TimeoutError, BlockingIOError):
                command.wait(gap) if gap else None
        self.tell(f"after {seconds:.3f} s: {name} ({'hit' if hit else 'nobody was there'})")
        self.check_end(command, statuses | {0} if hit else {0})

    def check_end(self, command, statuses):
        """Assert that a command ends, with one of these statuses, and says nothing unseemly."""
        status = self.wait(command)
        output, error = command.communicate()
        self.tell(f"exit status {status}\n{output}{error}")
        assert status in statuses, f"exit status {status}, not one of {sorted(statuses)}"
        # A new interpreter that is interrupted before its first line: not in anybody's hands.
        if "init_import_site" not in error:
            assert "Traceback" not in output + error

    def check_gone(self):
        """Assert that no process of the commands is left; kill those that are."""
        deadline = time.monotonic() + END_SECONDS
        for leader in self.groups:
            while left := group(leader):
                if time.monotonic() > deadline:
                    words = described(left)
                    kill_group(leader, signal.SIGKILL)
                    raise AssertionError(f"processes are left after {END_SECONDS} s: {words}")
                time.sleep(0.01)

    def check_all(self, expected=None):
        """Assert that nothing is lost and nothing is broken; return the numbers by fingerprint.

        expected  the same of a command that was left in peace
        """
        self.check_gone()
        client = MlflowClient(self.uri)
        runs = [run for page in pages(client) for run in page]
        assert [run.info.run_name for run in runs if run.info.status == "RUNNING"] == []
        own = [run for run in runs if run.data.tags["sweep"].partition("-")[0] == "sweep"]
        done = [
            run for run in own if run.info.status == "FINISHED" and run.data.tags["role"] == "trial"
        ]
        marks = Counter(run.data.tags["fingerprint"] for run in done)
        assert [*marks.values()] == [1] * TRIALS[self.plan.sweeper], marks
        numbers = {run.data.tags["fingerprint"]: numbers_of(client, run) for run in done}
        if expected is not None:
            assert numbers == expected
        self.check_report({run.info.run_id for run in done}, own)
        self.check_files()
        return numbers

    def check_report(self, run_ids, runs):
        """Assert that the newest sweep has a report with all trials, and its summary."""
        newest = max((self.folder / "outputs").glob("sweep*"), key=number_of)
        assert (newest / "report.html").stat().st_size > 1000
        with (newest / "results.csv").open(newline="") as file:
            rows = [*csv.DictReader(file)]
        assert {(row["run_id"], row["outcome"]) for row in rows} == {
            (run_id, "finished") for run_id in run_ids
        }
        assert len(rows) == len(run_ids)
        (summary,) = (
            run
            for run in runs
            if run.data.tags["role"] == "summary" and run.data.tags["sweep"] == newest.name
        )
        assert summary.info.status == "FINISHED"

    def check_files(self):
        """Assert that the store is sound, and nothing half-made lies beside it."""
        names = {file.name for file in self.folder.iterdir()}
        assert names - {"mlflow.db", "mlruns", "outputs"} == set()
        if self.plan.database == "sqlite":
            check_sound(self.folder / "mlflow.db")

    def check_quiet(self):
        """Assert that no trial has met an error."""
        for file in self.folder.glob("outputs/*/*/*.txt"):
            text = file.read_text()
            assert file.name != "traceback.txt", text
            assert "Traceback" not in text, text


def check_sound(database):
    """Assert that SQLite finds no fault in a database."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def pages(client):
    """Yield the runs of the experiment, page by page."""
    experiment = client.get_experiment_by_name("initlab")
    token = None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        yield page
        token = page.token
        if not token:
            return


def numbers_of(client, run):
    """Return what a trial recorded, after a look at whether each step is there once."""
    history = client.get_metric_history(run.info.run_id, "train/loss")
    losses = sorted((point.step, point.value) for point in history)
    assert [step for step, _ in losses] == [*range(STEPS)]
    assert all(math.isfinite(loss) for _, loss in losses)
    assert run.data.tags["outcome"] == "finished"
    files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
    return run.data.params, run.data.metrics, losses, files


def number_of(folder):
    """Return the number at the end of a sweep's name, which the first one does not have."""
    return int(folder.name.partition("-")[2] or 1)


def group(leader):
    """Return the processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getpgid(process.pid) == leader:
                found.append(process)
    return found


def described(processes):
    """Return what processes are, for a message."""
    return [(each.pid, each.status(), each.cmdline()[1:3]) for each in processes]


def kill_group(leader, number):
    with suppress(ProcessLookupError):
        os.killpg(leader, number)


def strike(command, number, target):
    """Send a signal; return whether somebody was there to receive it."""
    if command.poll() is not None:
        return False
    if target == "group":
        kill_group(command.pid, number)
        return True
    pids = [command.pid] if target == "parent" else members(command.pid)[target]
    for pid in pids[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
    return False


def members(leader):
    """Return the process ids of the fork server of a command, and of the workers."""
    found = {"fork server": [], "worker": []}
    for process in group(leader):
        with suppress(psutil.Error):
            if "forkserver import main" in " ".join(process.cmdline()):
                is_server = process.ppid() == leader
                found["fork server" if is_server else "worker"].append(process.pid)
    return found


def drawn(rng, count, plan, length, claimed):
    """Yield attacks on a command: name, moment, and the gaps between the signals.

    length   of the command in seconds when it is left in peace
    claimed  the seconds until it has its store: half of the moments in a fresh one are before
    """
    names = [
        name
        for name, (_, target, _) in ATTACKS.items()
        if plan.processes > 1 or target not in NEED_PROCESSES
    ]
    for _ in range(count):
        name = str(rng.choice(names))
        first, last = 0.0, length
        if ATTACKS[name][1] in NEED_PROCESSES:
            first = claimed  # before that there are none
        elif plan.store == "fresh" and rng.random() < 0.5:
            last = claimed
        gaps = [float(rng.uniform(0, 1.5)) for _ in pairwise(ATTACKS[name][0])]
        yield name, float(rng.uniform(first, last)), gaps
