"""What looking costs: evaluations and snapshots at the default settings, on MNIST.

    python benchmarks/diagnostics.py [--rounds 9] [setting=value ...]

A run goes from its config to its last file in a store; start-up is left out. `fit` is its training
alone, and once more with nothing looked at: no evaluation, no snapshot, not even at the ends. What
looking costs is the difference of those two, round by round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from rounds import Race, interleaved, publish  # before NumPy, for the sake of its kernels

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hydra import compose, initialize_config_dir
from threadpoolctl import threadpool_limits

from initlab import figures, tracking  # noqa: F401  (imported before the clock starts)
from initlab.config import PROJECT, Config, build, register
from initlab.job import Job
from initlab.training import Training
from initlab.trial import load, prepare, train

SETTINGS = ["data=mnist", "train.steps=1000"]


class Blind(Training):
    """Training that nobody looks at."""

    def eval_steps(self, examples: int) -> set[int]:
        return set()

    def snapshot_steps(self) -> set[int]:
        return set()


def run(config: Config, job: Job) -> float:
    """Return the seconds of a run with all that is recorded of it."""
    start = perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        train(config, job)
    return perf_counter() - start


def fit(config: Config, job: Job) -> float:
    """Return the seconds of its training alone."""
    work = prepare(config, job, load(config, job))
    start = perf_counter()
    for _ in work.steps:
        pass
    return perf_counter() - start


def races(settings: list[str], rounds: int) -> Iterator[Race]:
    """Yield the run with and without the cost of looking, and the training likewise."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = [*settings, f"tracking.uri=sqlite:///{scratch}/mlflow.db"]
        composed = compose("config", settings, return_hydra_config=True)
        config = build(composed)
        job = replace(Job.of(composed, composed.hydra), name="benchmark", folder=Path(scratch))
        blind = replace(config, train=Blind(**vars(config.train)))
        with threadpool_limits(config.train.threads):
            contenders = {
                "a run": lambda: run(config, job),
                "fit": lambda: fit(config, job),
                "fit, blind": lambda: fit(blind, job),
            }
            interleaved(contenders, 1)  # opens the database and the fonts
            times = interleaved(contenders, rounds)
    work = " ".join(settings[:-1])
    whole, looking, not_looking = times.values()
    without = [run - (fit - blind) for run, fit, blind in zip(whole, looking, not_looking)]
    yield Race(
        f"a run: {work}",
        {"initlab": whole, "without looking": without},
        aims={"without looking": 0.90},
    )
    yield Race(f"its training: {work}", {"initlab": looking, "without looking": not_looking})


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("settings", nargs="*", default=SETTINGS, metavar="setting=value")
    arguments = parser.parse_args()
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        publish("diagnostics", races(arguments.settings, arguments.rounds), rounds=arguments.rounds)


if __name__ == "__main__":
    main()
