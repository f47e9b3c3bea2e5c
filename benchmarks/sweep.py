"""A sweep of 24 trials, 1,000 steps each on MNIST, compared to a plain script and a lower bound.

    python benchmarks/sweep.py [--rounds 3] [--plain-trials 2]

The sweep is the real command on all cores with a new store, from its start to its report. The
script is benchmarks/plain.py, whose trials all take the same time: each round runs a few of them
and scales their time to 24, without start-up. The floor is the training alone, in this process,
without recording, evaluations and snapshots, divided by the number of cores; one seed of each
setting is trained and counted for all seeds. "One by one" is the same sweep in one process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from rounds import Race, interleaved, process, publish  # before NumPy, for the sake of its kernels

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

import plain
from hydra import compose, initialize_config_dir
from overhead import blind, fit

from initlab.config import PROJECT, register
from initlab.run import RunSpec
from initlab.sweep.pool import cores

SETTINGS = ["data=mnist", f"train.steps={plain.STEPS}", f"train.batch_size={plain.BATCH}"]
GRID = {
    "init": [*plain.STDS],
    "optimizer": [*plain.RATES],
    "seed": [str(seed) for seed in plain.SEEDS],
}
TRIALS = len(GRID["init"]) * len(GRID["optimizer"]) * len(GRID["seed"])
numbers = count()


def sweep(scratch: Path, *settings: str) -> float:
    """Return the seconds of the command, with a new store."""
    folder = scratch / str(next(numbers))
    folder.mkdir()
    return process(
        SRC / "train.py", "-m", *SETTINGS, *settings,
        *(f"{group}={','.join(options)}" for group, options in GRID.items()),
        f"tracking.uri=sqlite:///{folder / 'mlflow.db'}", f"hydra.sweep.dir={folder / 'sweep'}",
    )  # fmt: skip


def script(scratch: Path, trials: int) -> float:
    """Return the estimated seconds of the plain script for the grid."""
    store = f"sqlite:///{scratch / f'plain{next(numbers)}.db'}"
    command = [sys.executable, plain.__file__, store, str(trials)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=scratch)
    return float(done.stdout) * TRIALS / trials


def floor() -> float:
    """Return the seconds of the trainings alone, divided by the number of cores."""
    seconds = 0.0
    for init in GRID["init"]:
        for optimizer in GRID["optimizer"]:
            settings = [*SETTINGS, f"init={init}", f"optimizer={optimizer}"]
            composed = compose("config", settings, return_hydra_config=True)
            spec = blind(RunSpec.of(composed, composed.hydra))
            seconds += fit(spec) * len(GRID["seed"])
    return seconds / cores()


def races(rounds: int, plain_trials: int) -> Iterator[Race]:
    """Yield the race."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        contenders = {
            "initlab": lambda: sweep(scratch),
            "one by one": lambda: sweep(scratch, "hydra/launcher=basic"),
            "floor": floor,
            "plain script": lambda: script(scratch, plain_trials),
        }
        times = interleaved(contenders, rounds)
    hour = {name: [TRIALS / one * 3600 for one in all_] for name, all_ in times.items()}
    yield Race(
        f"a sweep of {TRIALS} trials on {cores()} cores: {' '.join(SETTINGS)}",
        times,
        aims={"plain script": 4.0, "floor": 1 / 1.8},
        notes={"trials an hour": hour},
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain-trials", type=int, default=2)
    arguments = parser.parse_args()
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        publish("sweep", races(arguments.rounds, arguments.plain_trials), **vars(arguments))


if __name__ == "__main__":
    main()
