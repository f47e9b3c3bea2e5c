"""What the tests on real parts share. A part is started once; where it is missing, tests skip."""

import os
import re
import signal

import pytest
from conftest import Lab

from .parts import MissingPartError, Postgres, RayCluster, Server, Slurm
from .place import Place


def pytest_itemcollected(item):
    item.add_marker("cluster")


def started(make, *arguments, **options):
    try:
        with make(*arguments, **options) as part:
            yield part
    except MissingPartError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def postgres():
    yield from started(Postgres)


@pytest.fixture(scope="session")
def server(postgres):
    """Return MLflow's server on PostgreSQL, open to everybody."""
    yield from started(Server, postgres.store())


@pytest.fixture(scope="session")
def server_with_login(postgres):
    yield from started(Server, postgres.store(), with_login=True)


@pytest.fixture(scope="session")
def ray_cluster():
    """Return a Ray of two nodes, which is found by the commands of this process."""
    yield from found_by_commands(RayCluster)


@pytest.fixture(scope="session")
def slurm():
    """Return a Slurm, which is found by the commands of this process."""
    yield from found_by_commands(Slurm)


def found_by_commands(make):
    for part in started(make):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in part.environment.items():
                patch.setenv(name, value)
            yield part


@pytest.fixture(scope="session", params=["cores", "ray", "slurm"])
def engine(request):
    """What is typed for an engine with two places."""
    typed = [f"hydra/launcher={request.param}", "hydra.launcher.processes=2"]
    if request.param == "ray":
        typed.append(f"hydra.launcher.address={request.getfixturevalue('ray_cluster').address}")
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return typed


@pytest.fixture
def place(tmp_path):
    """Return a new place; what was started in it is ended with the test."""
    made = Place(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class TeamLab(Lab):
    """The command line, with an experiment of its own in a store that others use too."""

    def __init__(self, uri, experiment, *arguments):
        super().__init__(*arguments)
        self.uri = uri
        self.experiment = experiment
        self.typed[0] = f"tracking.uri={uri}"
        self.typed.append(f"tracking.experiment={experiment}")

    def found(self, condition):
        experiment = self.client.get_experiment_by_name(self.experiment)
        ids = [experiment.experiment_id] if experiment else []
        order = ["attributes.start_time ASC"]
        return self.client.search_runs(ids, condition, order_by=order) if ids else []


@pytest.fixture
def lab_on(lab, tmp_path, monkeypatch, request):
    """Return a function: a lab in the store of a URI, or at a server, at which it logs in."""

    def make(store):
        uri = store
        if isinstance(store, Server):
            uri = store.uri
            for name, value in store.environment.items():
                monkeypatch.setenv(name, value)
        experiment = re.sub(r"\W+", "-", request.node.name)
        made = TeamLab(uri, experiment, tmp_path, monkeypatch, request)
        made.commands = lab.commands  # which are ended after the test
        return made

    return make
