"""What a run takes beside its training: looking at the network, and recording, on MNIST.

    python benchmarks/overhead.py [--rounds 9]

A run goes from its config to its last file; start-up is left out. `fit` is its training alone, and
once more with nothing looked at: no evaluation, no snapshot, not even at the ends. What looking
costs is the difference of those two, round by round. What recording costs is that between a run
with a store, a new SQLite database, and one without, ten times as long and half as often.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from time import perf_counter

from rounds import Race, interleaved, publish  # before NumPy, for the sake of its kernels

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hydra import compose, initialize_config_dir
from threadpoolctl import threadpool_limits

from initlab import figures  # noqa: F401  (imported before the clock starts)
from initlab.config import PROJECT, register
from initlab.nn.preparation import prepare
from initlab.nn.training import Training
from initlab.run import RunSpec, train
from initlab.tracking import tracker  # noqa: F401  (imported before the clock starts)

SHORT = ["data=mnist", "train.steps=1000"]
LONG = ["data=mnist", "train.steps=10000"]


class Blind(Training):
    """Training that nobody looks at."""

    def eval_steps(self, examples: int) -> set[int]:
        return set()

    def snapshot_steps(self) -> set[int]:
        return set()


def run(spec: RunSpec) -> float:
    """Return the seconds of a run with all that is recorded of it."""
    start = perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        train(spec)
    return perf_counter() - start


def fit(spec: RunSpec) -> float:
    """Return the seconds of its training alone."""
    with threadpool_limits(spec.config.train.threads, user_api="blas"):
        prepared = prepare(spec.config, spec.data)
        start = perf_counter()
        for _ in prepared.steps:
            pass
        return perf_counter() - start


def blind(spec: RunSpec) -> RunSpec:
    """Return the same run with nothing looked at."""
    train = Blind(**vars(spec.config.train))
    return replace(spec, config=replace(spec.config, train=train))


def looking(settings: list[str], rounds: int) -> Iterator[Race]:
    """Yield a run with and without the cost of looking, and its training likewise."""
    with spec_of(settings) as spec:
        contenders = {
            "a run": lambda: run(spec),
            "fit": lambda: fit(spec),
            "fit, blind": lambda: fit(blind(spec)),
        }
        interleaved(contenders, 1)  # opens the database and the fonts
        times = interleaved(contenders, rounds)
    work = " ".join(settings)
    whole, training, not_looking = times.values()
    without = [all_ - (seen - unseen) for all_, seen, unseen in zip(whole, training, not_looking)]
    yield Race(
        f"a run: {work}",
        {"initlab": whole, "without looking": without},
        aims={"without looking": 0.90},
    )
    yield Race(f"its training: {work}", {"initlab": training, "without looking": not_looking})


def recording(settings: list[str], rounds: int) -> Iterator[Race]:
    """Yield a run with a store and without one."""
    with spec_of(settings) as spec:
        config = spec.config
        plain = replace(
            spec, config=replace(config, tracking=replace(config.tracking, enabled=False))
        )
        contenders = {
            "initlab": lambda: run(spec),
            "without a store": lambda: run(plain),
        }
        short = replace(spec, config=replace(config, train=replace(config.train, steps=1)))
        run(short)  # opens the database and the fonts
        times = interleaved(contenders, rounds)
    yield Race(f"a run: {' '.join(settings)}", times, aims={"without a store": 1 / 1.08})


@contextlib.contextmanager
def spec_of(settings: list[str]) -> Iterator[RunSpec]:
    """Compose a run whose store, a new SQLite database, and folder are gone afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        store = f"tracking.uri=sqlite:///{scratch}/mlflow.db"
        composed = compose("config", [*settings, store], return_hydra_config=True)
        spec = RunSpec.of(composed, composed.hydra)
        yield replace(spec, name="benchmark", folder=Path(scratch))


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    register()
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        races = chain(looking(SHORT, rounds), recording(LONG, max(rounds // 2, 1)))
        publish("overhead", races, **vars(arguments))


if __name__ == "__main__":
    main()
