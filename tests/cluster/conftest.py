"""Real parts: Ray with two nodes and Slurm with one, on this machine."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from cluster.place import Place

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def slurm():
    """A Slurm of one node."""
    script = HERE / "slurm.sh"
    started = subprocess.run(["bash", script, "start"], capture_output=True, text=True, timeout=60)
    if started.returncode:
        pytest.skip(started.stderr.strip())
    os.environ["SLURM_CONF"] = started.stdout.strip().partition("=")[2]
    yield
    subprocess.run(["bash", script, "stop"], check=True, timeout=60)
    shutil.rmtree(Path(os.environ.pop("SLURM_CONF")).parent, ignore_errors=True)


@pytest.fixture(scope="session")
def ray_cluster():
    """The address of a Ray cluster of two nodes with one processor each."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    quiet = {"num_cpus": 1, "include_dashboard": False}
    before = signal.getsignal(signal.SIGTERM)
    cluster = Cluster(initialize_head=True, head_node_args=quiet)
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    signal.signal(signal.SIGTERM, before)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="session", params=["cores", "ray", "slurm"])
def engine(request):
    """What is typed for an engine with two places."""
    typed = [f"hydra/launcher={request.param}", "hydra.launcher.processes=2"]
    if request.param == "ray":
        typed.append(f"hydra.launcher.address={request.getfixturevalue('ray_cluster')}")
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return typed


@pytest.fixture
def place(tmp_path):
    """A new place; what was started in it is ended with the test."""
    made = Place(tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
