"""Sweeps are killed, interrupted and stopped at random moments; then the same command ends well.

    KILLS=100 SEED=0 pytest -m torture tests/torture/test_kill.py

Each case is one command, killed one to three times, then run to its end. It depends on SEED and its
index alone, up to the speed of the machine.
"""

import os
import pickle
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import alone
from killing import Plan, Site, drawn
from warm import WarmProcess

from initlab.config import PROJECT

KILLS = int(os.environ.get("KILLS", "100"))
SEED = int(os.environ.get("SEED", "0"))
OLD = ["-m", "seed=90,91,92,93,94", "train.steps=100", "model.hidden=[20]",
       "tracking.pictures=false", "hydra/launcher=basic"]  # fmt: skip
COPIES = 20  # of these five


@pytest.fixture(scope="session")
def scale():
    """Return the benchmark that makes large stores and starts PostgreSQL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "benchmarks")
        import scale

        return scale


@pytest.fixture(scope="session")
def forks():
    """Return a warm process whose forks print their stacks on SIGABRT."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONFAULTHANDLER", "1")
        process = WarmProcess()
    yield process
    process.close()


@pytest.fixture(scope="session")
def postgresql(scale, forks):
    """Return a temporary server, with a database `grown`; skip where there is none."""
    from initlab.tracking import store  # noqa: F401  (MLflow, before a driver is looked for)

    if missing := scale.Postgresql.missing():
        pytest.skip(f"{missing} is not installed")
    with tempfile.TemporaryDirectory() as name, scale.Postgresql(Path(name)) as server:
        server.run("CREATE DATABASE grown")
        with tempfile.TemporaryDirectory() as folder:
            grow(server.uri("grown"), Path(folder), scale, forks)
        yield server


@pytest.fixture(scope="session")
def grown_store(shared, scale, forks, empty_store):
    """Return a SQLite database with a hundred runs."""
    folder = shared / "grown"
    with alone(shared / "grown.lock"):
        if not (folder / "whole").exists():
            folder.mkdir(exist_ok=True)
            shutil.copy(empty_store, folder / "mlflow.db")
            grow(f"sqlite:///{folder}/mlflow.db", folder, scale, forks)
            (folder / "whole").touch()
    return folder / "mlflow.db"


def grow(uri, folder, scale, forks):
    """Put a hundred runs into a store, which are copies of five real ones."""
    settings = [f"tracking.uri={uri}", f"hydra.sweep.dir={folder}/old"]
    command = forks.start(str(PROJECT / "src" / "train.py"), *OLD, *settings, cwd=folder)
    output, error = command.communicate(timeout=120)
    assert command.returncode == 0, output + error
    scale.Source(uri).copy(range(COPIES), COPIES)


class Ground:
    """Where commands of any plan find a folder and a store, and how long they take in peace.

    warm  the name of the fixture that starts them
    """

    def __init__(self, request, warm):
        self.request = request
        self.warm = warm
        self.databases = 0

    @contextmanager
    def site(self, plan, folder):
        """Give a site; what happened there is added to an error."""
        folder.mkdir(exist_ok=True)
        if plan.database == "sqlite":
            uri = f"sqlite:///{folder}/mlflow.db"
            if plan.store != "fresh":
                name = "grown_store" if plan.store == "grown" else "empty_store"
                shutil.copy(self.request.getfixturevalue(name), folder / "mlflow.db")
        else:
            server = self.request.getfixturevalue("postgresql")
            self.databases += 1
            name = f"case{self.databases}"
            server.copy("grown" if plan.store == "grown" else "template1", name)
            uri = server.uri(name)
        made = Site(plan, folder, uri, self.request.getfixturevalue(self.warm))
        try:
            yield made
        except AssertionError as error:
            error.add_note("\n".join([str(plan), *made.story]))
            raise

    def peace(self, plan, folder):
        """Return how long a command takes, when it has its store, and what it records.

        This is measured once for all of pytest's processes.
        """
        shared = self.request.getfixturevalue("shared")
        file, first = (shared / f"peace {name}" for name in (plan, plan.sweeper))
        with alone(shared / f"{file.name}.lock"):
            if not file.exists():
                with self.site(plan, folder) as site:
                    times = site.undisturbed()
                    known = pickle.loads(first.read_bytes()) if first.exists() else None
                    numbers = site.check_all(known)
                if known is None:
                    first.write_bytes(pickle.dumps(numbers))
                file.write_bytes(pickle.dumps((*times, numbers)))
        return pickle.loads(file.read_bytes())


@pytest.fixture(scope="session")
def ground(request):
    return Ground(request, "forks")


def plan_of(rng):
    """Draw a plan."""
    return Plan(
        sweeper=str(rng.choice(["grid", "search"])),
        processes=int(rng.choice([1, 2, 2])),
        store=str(rng.choice(["fresh", "fresh", "grown"])),
        database=str(rng.choice(["sqlite", "sqlite", "postgresql"])),
        warm=bool(rng.random() < 0.8),
    )


@pytest.mark.torture
@pytest.mark.parametrize("index", range(KILLS // 2 + 1))  # of 1, 2, 3, 1, 2, 3, … kills
def test_whatever_kills_a_sweep_the_same_command_completes_it(ground, tmp_path, index):
    rng = np.random.default_rng([SEED, index])
    plan = plan_of(rng)
    length, claimed, expected = ground.peace(plan, tmp_path / "peace")
    with ground.site(plan, tmp_path / "war") as site:
        site.tell(f"SEED={SEED} index {index}")
        for name, seconds, gaps in drawn(rng, index % 3 + 1, plan, length, claimed):
            site.attack(name, seconds, gaps)
            if rng.random() < 0.5:  # else the next command comes while processes may still end
                site.check_gone()
        site.check_end(site.start(), {0})
        site.check_all(expected)
        site.check_quiet()


# A few that always run: the attack, and the seconds between which it comes.
SHORT = [
    (Plan("grid", 1, "fresh"), "SIGKILL to the group", (0.0, 1.0)),
    (Plan("grid", 1, "fresh"), "SIGINT", (0.0, 1.0)),
    (Plan("search", 2, "made"), "SIGKILL to the parent", (0.5, 2.0)),
]


@pytest.mark.parametrize(("plan", "attack", "span"), SHORT, ids=["killed", "interrupted", "alone"])
def test_a_sweep_that_is_killed_at_a_random_moment_is_completed(
    request, tmp_path, plan, attack, span
):
    rng = np.random.default_rng(SHORT.index((plan, attack, span)))
    with Ground(request, "warm").site(plan, tmp_path / "war") as site:
        site.attack(attack, float(rng.uniform(*span)), [])
        site.plan = replace(plan, processes=1)  # which starts faster
        site.check_end(site.start(), {0})
        site.check_all()
        site.check_quiet()
