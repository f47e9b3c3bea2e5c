"""The cost of large grids, and of a trial in stores of up to 2,000 trials of 1,000 losses.

    python benchmarks/scale.py [--trials 2000] [--losses 1000] [--rounds 15] [--grids 10000]
                               [--only grids]

Grids of a thousand trials, of `--grids` and of ten times as many are checked and looked up by a dry
run of the real command, and begun for real until the first trial trains. Then `compare.py` compares
a sweep of `--grids` runs, copies of 25 with other seeds, in a SQLite database.

The real command runs a sweep of 25 trials, whose rows are copied in the database, with other ids,
fingerprints and times, until the store has the size wanted. Then trials and sweeps are measured in
stores of all sizes in turn, in this process, with the functions that a sweep calls. A trial is
timed from its config to its closed run, minus the time of its steps alone. At the end whole sweeps
run as separate processes, to measure their memory.

PostgreSQL runs as a temporary server; it is left out if it is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from rounds import Race, interleaved, publish  # before NumPy, for the sake of its kernels

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

import sqlalchemy
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from threadpoolctl import threadpool_limits

import compare
from initlab import figures  # noqa: F401  (imported before the clock starts)
from initlab.config import PROJECT, register
from initlab.nn.preparation import prepare
from initlab.report.comparison import Comparison
from initlab.report.publish import summarize
from initlab.run import attempt
from initlab.sweep import execute as sweep
from initlab.sweep.compose import Composer
from initlab.sweep.plan import State, TrialPlan, check, look_up, look_up_one
from initlab.tracking import chart_view as views
from initlab.tracking.store import open_store

GRID = ["init=xavier,he,std001,lecun,orthogonal", "seed=0,1,2,3,4"]
GRID_TRIALS = 25
LEAST_SWEEPS = 4  # in a store
FEW_TRIALS = 4  # in a sweep that runs as a separate process
SIZES = (0.05, 0.25, 0.5, 1.0)  # of the stores, relative to the largest
TINY = ["model=mlp_small", "model.hidden=[10]", "train.batch_size=10"]
MOST = 1.2  # cost of a trial in the largest store over that in the smallest
COPIED = ("runs", "params", "tags", "metrics", "latest_metrics")
TIMES = {"start_time", "end_time", "timestamp"}
CONNECT_SECONDS = 30.0
MILLIONS = 1e6


class Backend(ABC):
    """A kind of database, for stores that differ only in size."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def uri(self, name: str) -> str:
        """Return the address of a database."""

    @abstractmethod
    def copy(self, name: str, other: str) -> None:
        """Copy a database."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Return the size of a database in bytes."""

    @abstractmethod
    def settle(self, name: str) -> None:
        """Run the maintenance that the database would have done if it had grown slowly."""


class Sqlite(Backend):
    """A file for each store."""

    name = "SQLite"

    def file(self, name: str) -> Path:
        """Return the file of a database; each has its own folder, because folders are locked."""
        return self.folder / name / "mlflow.db"

    def uri(self, name: str) -> str:
        return f"sqlite:///{self.file(name)}"

    def copy(self, name: str, other: str) -> None:
        self.file(other).parent.mkdir()
        shutil.copy(self.file(name), self.file(other))

    def size(self, name: str) -> int:
        return self.file(name).stat().st_size

    def settle(self, name: str) -> None:
        pass


class Postgresql(Backend):
    """A temporary server; use it with `with`."""

    name = "PostgreSQL"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @staticmethod
    def programs() -> Path | None:
        """Return the folder of the installed server, None if there is none."""
        if installed := shutil.which("postgres"):
            return Path(installed).resolve().parent
        folders = Path("/usr/lib/postgresql").glob("*/bin")  # where Debian has it
        return max(folders, key=lambda folder: float(folder.parent.name), default=None)

    @classmethod
    def missing(cls) -> str:
        """Return a missing package, "" if nothing is missing."""
        if cls.programs() is None:
            return "postgresql"
        return "" if find_spec("psycopg") else "psycopg"

    def __enter__(self) -> Postgresql:
        programs, data = self.programs(), self.folder / "data"
        assert programs is not None
        # The server refuses to run as root; Debian's package creates a user for it.
        user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if user:
            shutil.chown(self.folder, **user)
        quiet = {"cwd": self.folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "initlab", "-A", "trust", "-E", "UTF8"],
            check=True, **quiet, **user,
        )  # fmt: skip
        self.server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(self.port), "-k", data], **quiet, **user
        )
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            try:
                self.run("CREATE DATABASE growing")
                return self
            except sqlalchemy.exc.OperationalError:
                if self.server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def __exit__(self, *error: object) -> None:
        self.server.send_signal(signal.SIGINT)  # on SIGTERM it waits for clients to disconnect
        try:
            self.server.wait(CONNECT_SECONDS)
        except subprocess.TimeoutExpired:
            self.server.kill()

    def run(self, command: str, name: str = "postgres") -> object:
        """Run a command in a database; return the first value of its answer, if it has any."""
        engine = sqlalchemy.create_engine(self.uri(name), poolclass=sqlalchemy.NullPool)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            answer = connection.execute(sqlalchemy.text(command))
            return answer.scalar() if answer.returns_rows else None

    def uri(self, name: str) -> str:
        return f"postgresql://initlab@127.0.0.1:{self.port}/{name}"

    def copy(self, name: str, other: str) -> None:
        self.run(f"CREATE DATABASE {other} TEMPLATE {name}")

    def size(self, name: str) -> int:
        return int(str(self.run(f"SELECT pg_database_size('{name}')")))

    def settle(self, name: str) -> None:
        self.run("VACUUM ANALYZE", name)


class Source:
    """A sweep in a database, to be copied there."""

    def __init__(self, uri: str) -> None:
        self.engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
        self.tables = sqlalchemy.MetaData()
        self.tables.reflect(self.engine, only=[*COPIED, "experiment_tags"])
        runs, tags = self.tables.tables["runs"], self.tables.tables["tags"]
        with self.engine.begin() as connection:
            trials = sqlalchemy.select(tags.c.run_uuid).where(tags.c.key == "role")
            trials = trials.where(tags.c.value == "trial")
            self.runs = list(connection.scalars(trials))
            marked = sqlalchemy.select(tags.c.value).where(tags.c.key == "sweep").limit(1)
            self.sweep = str(connection.scalar(marked))
            times = sqlalchemy.select(runs.c.start_time, runs.c.end_time)
            spans = connection.execute(times).all()
        # The copies look as if they had run one after the other, the last just before this.
        self.length = max(end for _, end in spans) - min(start for start, _ in spans)

    def copy_id(self, number: int) -> str:
        """Return the sweep id of a copy."""
        return f"{self.sweep}-copy-{number}"

    def copy(self, numbers: range, total: int) -> None:
        """Make the copies with these numbers, out of `total`."""
        table = self.tables.tables
        copies = sqlalchemy.Table(
            "copies", sqlalchemy.MetaData(),
            sqlalchemy.Column("source", sqlalchemy.String(32)),
            sqlalchemy.Column("copy", sqlalchemy.String(32)),
            sqlalchemy.Column("number", sqlalchemy.Integer),
            sqlalchemy.Column("later", sqlalchemy.BigInteger),
            prefixes=["TEMPORARY"],
        )  # fmt: skip
        rows = [
            (run_id, uuid.uuid4().hex, number, (number - total) * self.length)
            for number in numbers
            for run_id in self.runs
        ]
        names = copies.c.keys()
        with self.engine.begin() as connection:
            copies.create(connection)
            connection.execute(copies.insert(), [dict(zip(names, row)) for row in rows])
            for name in COPIED:
                connection.execute(self.copying(table[name], copies))
            self.copy_views(connection, numbers)
            copies.drop(connection)

    @staticmethod
    def copying(table: sqlalchemy.Table, copies: sqlalchemy.Table) -> sqlalchemy.Insert:
        """Return the command that copies the rows of a table."""
        changed: dict[str, Any] = {"run_uuid": copies.c.copy}
        for when in TIMES & {*table.c.keys()}:
            changed[when] = table.c[when] + copies.c.later
        if table.name == "tags":
            text = table.c.value + "-copy-" + sqlalchemy.cast(copies.c.number, sqlalchemy.String)
            own = table.c.key.in_(["sweep", "fingerprint"])
            changed["value"] = sqlalchemy.case((own, text), else_=table.c.value)
        chosen = [changed.get(column.name, column) for column in table.c]
        rows = sqlalchemy.select(*chosen).join(copies, copies.c.source == table.c.run_uuid)
        return table.insert().from_select(table.c.keys(), rows.order_by(copies.c.number))

    def copy_views(self, connection: sqlalchemy.Connection, numbers: range) -> None:
        """Copy the view of the chart page, a tag of the experiment, for each copy."""
        tags = self.tables.tables["experiment_tags"]
        own = tags.c.key == views.TAG + views.view_key(self.sweep)
        view = connection.execute(sqlalchemy.select(tags).where(own)).mappings().one()
        rows = [
            {
                "experiment_id": view["experiment_id"],
                "key": views.TAG + views.view_key(self.copy_id(number)),
                "value": view["value"].replace(self.sweep, self.copy_id(number)),
            }
            for number in numbers
        ]
        connection.execute(tags.insert(), rows)


@dataclass
class Child:
    """A command that ran as a separate process: its times and its peak memory."""

    seconds: float
    mib: float
    processor_seconds: float


def command(folder: Path, *arguments: str, script: str = "train.py") -> Child:
    """Run a command of the project; raises `RuntimeError` with its output if it fails."""
    start = perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, SRC / script, *arguments],
            cwd=folder, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(output.read())
    unit = 1 if sys.platform == "darwin" else 1024
    spent = used.ru_utime + used.ru_stime
    return Child(perf_counter() - start, used.ru_maxrss * unit / 2**20, spent)


class Site:
    """A store of some size, and the operations of a sweep on it, which return their seconds."""

    def __init__(self, uri: str, source: Source, settings: list[str], folder: Path) -> None:
        self.uri = uri
        self.source = source
        self.folder = folder
        self.fixed = [*settings, f"tracking.uri={uri}"]
        loader = GlobalHydra.instance().config_loader()
        typed = [*self.fixed, f"hydra.sweep.dir={folder / 'measured'}"]
        self.multirun = loader.load_configuration("config", typed, run_mode=RunMode.MULTIRUN)
        self.compose = Composer(loader, self.multirun)
        self.store = open_store(uri, "initlab", PROJECT)
        self.new = [self.checked(f"seed={seed}") for seed in range(100, 100 + GRID_TRIALS)]
        self.trials = self.sweeps = 0
        self.children: list[Child] = []

    def checked(self, *settings: str) -> TrialPlan:
        """Compose and check a trial."""
        return check("", [*self.fixed, *settings], self.compose)

    def trial(self, *settings: str) -> float:
        """Check, look up and run a trial; return its seconds minus those of its steps alone."""
        self.trials += 1
        start = perf_counter()
        trial = self.checked(f"seed={1000 + self.trials}", *settings)
        assert look_up_one(self.store, trial.fingerprint) == (State.NEW, "")
        spec = replace(trial.spec, folder=self.folder / str(self.trials))
        result = attempt(spec)
        whole = perf_counter() - start
        assert result.outcome == "finished", result.reason
        prepared = prepare(spec.config, spec.data)
        start = perf_counter()
        for _ in prepared.steps:
            pass
        return whole - (perf_counter() - start)

    def without_pictures(self) -> float:
        """Do the same with a trial without pictures."""
        return self.trial("tracking.pictures=false")

    def begin(self) -> float:
        """Open the store, look up the trials of a grid, and claim a folder."""
        start = perf_counter()
        store = sweep.open_for(self.new[0].config)
        assert all(trial.state == State.NEW for trial in look_up(self.new, store))
        sweep.claim(self.folder / "claimed", self.multirun, store)
        return perf_counter() - start

    def read(self) -> float:
        """Read the runs of a sweep."""
        folder = self.folder / self.source.copy_id(0)
        start = perf_counter()
        _, runs, _ = sweep.read_sweep(self.new[0].config, folder, [], "")
        assert len(runs) == GRID_TRIALS
        return perf_counter() - start

    def end(self) -> float:
        """Read the runs of a sweep, and summarize them."""
        # All stores have these sweeps; summarizing one again would read one more run.
        folder = self.folder / self.source.copy_id(self.sweeps % (LEAST_SWEEPS - 1))
        folder.mkdir(exist_ok=True)
        self.sweeps += 1
        start = perf_counter()
        store, runs, others = sweep.read_sweep(self.new[0].config, folder, [], "")
        summarize(store, folder, Comparison(runs), others, drawn=True)
        return perf_counter() - start

    def compare(self) -> float:
        """Compare the runs of a sweep, as `python src/compare.py` does."""
        folder = self.folder / "compared"
        start = perf_counter()
        arguments = [self.source.copy_id(0), "--uri", self.uri, "--output", str(folder)]
        assert compare.run(arguments) == 0
        return perf_counter() - start

    def whole(self) -> float:
        """Run the real command for a few trials, one after the other."""
        first = 10_000 + FEW_TRIALS * len(self.children)
        seeds = ",".join(map(str, range(first, first + FEW_TRIALS)))
        place = f"hydra.sweep.dir={self.folder / 'whole'}"
        typed = ["-m", f"seed={seeds}", "hydra/launcher=basic", *self.fixed, place]
        self.children.append(command(self.folder, *typed))
        return self.children[-1].seconds


def quietly(measure: Callable[[], float]) -> Callable[[], float]:
    """Return the same function without its output."""

    def quiet() -> float:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return measure()

    return quiet


def grow(backend: Backend, sizes: list[int], settings: list[str]) -> Source:
    """Create a store of each size; return the sweep that they are copies of."""
    print(f"{backend.name}: filling the stores", flush=True)
    growing = backend.uri("growing")
    place = [f"tracking.uri={growing}", f"hydra.sweep.dir={backend.folder / 'source'}"]
    command(backend.folder, "-m", *GRID, *settings, *place)
    source = Source(growing)
    copies = [0, *(size // GRID_TRIALS - 1 for size in sizes)]
    for before, after, size in zip(copies, copies[1:], sizes):
        source.copy(range(before, after), copies[-1])
        backend.settle("growing")
        backend.copy("growing", f"trials_{size}")
    return source


def races(backend: Backend, sizes: list[int], settings: list[str], rounds: int) -> Iterator[Race]:
    """Yield the races on a backend."""
    source = grow(backend, sizes, settings)
    names = {size: f"{size:,} trials" for size in sizes}
    own, least = names[sizes[-1]], names[sizes[0]]
    sites = {}
    for size in sizes:
        folder = backend.folder / f"measured-{size}"
        folder.mkdir()
        sites[names[size]] = Site(backend.uri(f"trials_{size}"), source, settings, folder)

    def race(work: str, part: str, rounds: int, **more: Any) -> Race:
        measures = {name: quietly(getattr(site, part)) for name, site in sites.items()}
        for measure in measures.values():
            measure()
        return Race(f"{backend.name}: {work}", interleaved(measures, rounds), own, **more)

    aims = {least: 1 / MOST}
    yield race("a trial without its training", "trial", rounds, aims=aims)
    # This mostly waits for the disk, so the rounds vary more.
    yield race("the same without pictures", "without_pictures", 2 * rounds, aims=aims)
    few = max(rounds // 5, 1)
    yield race(
        f"opening a store, looking up {GRID_TRIALS} trials, claiming a folder", "begin", rounds
    )
    yield race(f"reading the {GRID_TRIALS} runs of a sweep", "read", rounds)
    yield race(f"reading and summarizing {GRID_TRIALS} runs", "end", few)
    yield race(f"compare.py over {GRID_TRIALS} runs", "compare", few)

    ends = {name: sites[name] for name in (least, own)}
    times = interleaved({name: site.whole for name, site in ends.items()}, few)
    memory = {name: max(child.mib for child in site.children) for name, site in ends.items()}
    sizes_mb = {names[size]: backend.size(f"trials_{size}") / MILLIONS for size in sizes}
    notes = {"most_memory_mib": memory, "database_mb": sizes_mb}
    work = f"a sweep of {FEW_TRIALS} trials as a separate process"
    yield Race(f"{backend.name}: {work}", times, own, notes=notes)
    for name, size in sizes_mb.items():
        most = f", memory of that sweep {memory[name]:.0f} MiB" if name in memory else ""
        print(f"{name}: database {size:.0f} MB{most}")
    print(flush=True)


def axes(trials: int) -> list[str]:
    """Return a grid of so many trials, a multiple of a thousand: options, a number, seeds."""
    inits, activations = "init=xavier,he,std001,lecun,orthogonal", "activation=relu,tanh"
    return [
        inits,
        activations,
        "optimizer.lr=range(0.01,0.11,0.01)",
        f"seed=range({trials // 100})",
    ]


def checked(folder: Path, trials: int) -> Child:
    """Check a grid and look it up in a new store, in a dry run."""
    place = [f"tracking.uri=sqlite:///{folder / 'none.db'}", f"hydra.sweep.dir={folder / 'none'}"]
    return command(folder, "-m", *axes(trials), "sweep.dry_run=true", *place)


def begun(folder: Path, trials: int) -> float:
    """Return the seconds from the start of a sweep until its first trial trains; then stop it."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = [f"tracking.uri=sqlite:///{scratch}/mlflow.db", f"hydra.sweep.dir={scratch}/sweep"]
        start = perf_counter()
        process = subprocess.Popen(
            [sys.executable, SRC / "train.py", "-m", *axes(trials), *TINY, *place],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not [*Path(scratch).glob("mlruns/*/*/artifacts/config.yaml")]:
            if process.poll() is not None:
                raise RuntimeError(f"the sweep ended with status {process.returncode}")
            time.sleep(0.05)
        seconds = perf_counter() - start
        process.send_signal(signal.SIGINT)
        process.wait()
    return seconds


def grid_races(most: int, rounds: int) -> Iterator[Race]:
    """Yield the races of grids of a thousand trials, of so many, and of ten times as many."""
    sizes = {f"{size:,} trials": size for size in sorted({1000, most, 10 * most})}
    own = f"{most:,} trials"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        children: dict[str, Child] = {}

        def check(name: str) -> float:
            children[name] = checked(folder, sizes[name])
            return children[name].seconds

        times = interleaved({name: partial(check, name) for name in sizes}, rounds)
        spent = {name: 1000 * child.processor_seconds for name, child in children.items()}
        memory = {name: child.mib for name, child in children.items()}
        notes = {"processor_ms": spent, "most_memory_mib": memory}
        yield Race("checking a grid: a dry run", times, own, notes=notes)
        contenders = {name: partial(begun, folder, size) for name, size in sizes.items()}
        times = interleaved(contenders, rounds)
        yield Race("from the command to the first training of a grid", times, own)


def report_race(most: int, losses: int, rounds: int) -> Iterator[Race]:
    """Yield the race of comparing a sweep of so many runs in a database."""
    with tempfile.TemporaryDirectory() as scratch:
        backend = Sqlite(Path(scratch))
        sizes = [LEAST_SWEEPS * GRID_TRIALS, most]
        source = grow(backend, sizes, [*TINY, f"train.steps={losses}"])
        names = {f"{size:,} runs": size for size in sizes}
        children: dict[str, Child] = {}
        pages: dict[str, float] = {}
        for size in sizes:
            join(backend.uri(f"trials_{size}"), source)

        def compare(name: str) -> float:
            uri, folder = backend.uri(f"trials_{names[name]}"), Path(scratch) / name
            typed = ["large", "--uri", uri, "--output", str(folder)]
            children[name] = command(Path(scratch), *typed, script="compare.py")
            pages[name] = (folder / "report.html").stat().st_size / 1000
            return children[name].seconds

        times = interleaved({name: partial(compare, name) for name in names}, rounds)
        memory = {name: child.mib for name, child in children.items()}
        notes = {"most_memory_mib": memory, "page_kB": pages}
        yield Race("compare.py over one sweep in SQLite", times, [*names][-1], notes=notes)


def join(uri: str, source: Source) -> None:
    """Make one sweep of all copies, each with a seed of its own."""
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    tags, params = source.tables.tables["tags"], source.tables.tables["params"]
    seeds = GRID[1].count(",") + 1
    with engine.begin() as connection:
        copies = sqlalchemy.select(tags.c.value).where(tags.c.key == "sweep").distinct()
        for number, sweep in enumerate(sorted(connection.scalars(copies))):
            runs = sqlalchemy.select(tags.c.run_uuid).where(
                tags.c.key == "sweep", tags.c.value == sweep
            )
            own = params.update().where(params.c.key == "seed", params.c.run_uuid.in_(runs))
            seed = sqlalchemy.cast(params.c.value, sqlalchemy.Integer) + number * seeds
            connection.execute(own.values(value=sqlalchemy.cast(seed, sqlalchemy.String)))
        connection.execute(tags.update().where(tags.c.key == "sweep").values(value="large"))


def large_races(arguments: argparse.Namespace) -> Iterator[Race]:
    """Yield the races of large grids."""
    few = max(arguments.rounds // 5, 1)
    yield from grid_races(arguments.grids, few)
    yield from report_race(arguments.grids, arguments.losses, few)


def all_races(arguments: argparse.Namespace) -> Iterator[Race]:
    """Yield the races on all backends that are installed."""
    wholes = [round(share * arguments.trials / GRID_TRIALS) for share in SIZES]
    sizes = sorted({GRID_TRIALS * max(whole, LEAST_SWEEPS) for whole in wholes})
    settings = [*TINY, f"train.steps={arguments.losses}"]
    with tempfile.TemporaryDirectory() as scratch:
        yield from races(Sqlite(Path(scratch)), sizes, settings, arguments.rounds)
    if missing := Postgresql.missing():
        print(f"{missing} is not installed: PostgreSQL is left out")
        return
    with tempfile.TemporaryDirectory() as scratch, Postgresql(Path(scratch)) as backend:
        yield from races(backend, sizes, settings, arguments.rounds)


def main() -> None:
    """Run all races."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--losses", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--grids", type=int, default=10_000)
    parser.add_argument("--only", choices=["grids"])
    arguments = parser.parse_args()
    register()
    with (
        initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"),
        threadpool_limits(1, user_api="blas"),
    ):
        publish("grids", large_races(arguments), **vars(arguments))
        if arguments.only != "grids":
            publish("scale", all_races(arguments), **vars(arguments))


if __name__ == "__main__":
    main()
