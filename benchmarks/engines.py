"""The same sweep on the cores of this machine, on Ray and on Slurm, two trials at a time.

    python benchmarks/engines.py [--rounds 3]

A grid of 24 trials and a search of 20, both on digits with all pictures, each the real command with
a new store, from its start to its report. Ray is a cluster of two nodes with a processor each, and
Slurm one node with two processors, both started here beforehand on this machine. The overhead of a
trial is what an engine takes more than the training alone: twice its seconds for the two places,
less those of the steps, divided by the number of trials.

An engine whose parts are not installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from rounds import Race, interleaved, process, publish  # before NumPy, for the sake of its kernels

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

import numpy as np
from hydra import compose, initialize_config_dir
from overhead import blind, fit

from initlab.config import PROJECT, register
from initlab.run import RunSpec

PLACES = 2
SLURM = PROJECT / "tests" / "cluster" / "slurm.sh"
GRID = ["init=he,xavier,std001,lecun", "activation=relu,tanh", "seed=0,1,2"]
SEARCH = [
    "hydra/sweeper=search", "hydra.sweeper.trials=20", "hydra.sweeper.pruner=none",
    "init=he,xavier", "optimizer.lr=tag(log,interval(0.001,1))",
]  # fmt: skip
WORK = {
    "a grid of 24 trials": (GRID, 24),
    "a search of 20 trials": (SEARCH, 20),
}
numbers = count()


@contextlib.contextmanager
def ray_cluster() -> Iterator[list[str]]:
    """Start a Ray cluster of two nodes; give what is typed for it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    quiet = {"num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=quiet)
    try:
        for _ in range(PLACES - 1):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield ["hydra/launcher=ray", f"hydra.launcher.address={cluster.address}"]
    finally:
        cluster.shutdown()


@contextlib.contextmanager
def slurm_cluster() -> Iterator[list[str]]:
    """Start a Slurm of one node; give what is typed for it, nothing if it cannot be started."""
    started = subprocess.run(["bash", SLURM, "start"], capture_output=True, text=True)
    if started.returncode:
        print(f"Slurm is left out: {started.stderr.strip()}")
        yield []
        return
    os.environ["SLURM_CONF"] = started.stdout.strip().partition("=")[2]
    try:
        yield ["hydra/launcher=slurm"]
    finally:
        subprocess.run(["bash", SLURM, "stop"], check=True)


def sweep(scratch: Path, *settings: str) -> float:
    """Return the seconds of the command, with a new store."""
    folder = scratch / str(next(numbers))
    folder.mkdir()
    return process(
        SRC / "train.py", "-m", *settings, f"hydra.launcher.processes={PLACES}",
        f"tracking.uri=sqlite:///{folder / 'mlflow.db'}", f"hydra.sweep.dir={folder / 'sweep'}",
    )  # fmt: skip


def training() -> float:
    """Return the seconds of the steps of a trial alone."""
    return float(np.median([fit(blind(spec())) for _ in range(3)]))


def spec() -> RunSpec:
    """Return a trial."""
    composed = compose("config", return_hydra_config=True)
    return RunSpec.of(composed, composed.hydra)


def races(rounds: int) -> Iterator[Race]:
    """Yield a race for each kind of sweep."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engines = {"cores": ["hydra/launcher=cores"]}
        if find_spec("ray"):
            engines["Ray"] = stack.enter_context(ray_cluster())
        if find_spec("submitit") and (typed := stack.enter_context(slurm_cluster())):
            engines["Slurm"] = typed
        for work, (settings, trials) in WORK.items():

            def contender(typed: list[str], settings: list[str] = settings) -> Callable[[], float]:
                return lambda: sweep(scratch, *typed, *settings)

            times = interleaved({name: contender(typed) for name, typed in engines.items()}, rounds)
            alone = training()
            overhead = {
                name: (PLACES * float(np.median(seconds)) / trials) - alone
                for name, seconds in times.items()
            }
            milliseconds = {name: round(1000 * seconds) for name, seconds in overhead.items()}
            notes = {"overhead of a trial in ms": milliseconds}
            yield Race(work, times, "cores", notes=notes)
            for name, seconds in overhead.items():
                print(f"{name}: {seconds:.2f} s a trial beside its training of {alone:.2f} s")
            print(flush=True)


def main() -> None:
    """Run both races."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        publish("engines", races(arguments.rounds), **vars(arguments))


if __name__ == "__main__":
    main()
