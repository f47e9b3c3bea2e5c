"""The overhead of a run on MNIST: evaluations and snapshots, and recording.

    python benchmarks/overhead.py [--rounds 9]

A run is timed from its config to its last file, without start-up. `fit` is the training alone, with
and without evaluations and snapshots (even those of the first and last step); their cost is the
difference of the two, round by round. The cost of recording is the difference between a run with a
store, a new SQLite database, and one without; these are ten times as long and run half as often.
"without theory" predicts nothing and draws no signal.png.
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
from unittest import mock

from rounds import Race, interleaved, publish  # before NumPy, for the sake of its kernels

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from hydra import compose, initialize_config_dir
from threadpoolctl import threadpool_limits

from initlab import figures  # noqa: F401  (imported before the clock starts)
from initlab.config import PROJECT, register
from initlab.nn.advice import Advisor
from initlab.nn.preparation import prepare
from initlab.nn.training import Training
from initlab.run import RunSpec, train
from initlab.tracking import tracker  # noqa: F401  (imported before the clock starts)
from initlab.tracking.record import SIGNAL, Record

SHORT = ["data=mnist", "train.steps=1000"]
DEEP = ["data=mnist", "train.steps=1000", "model=mlp_stack", "model.depth=30", "activation=tanh"]
LONG = ["data=mnist", "train.steps=10000"]


class Blind(Training):
    """Training without evaluations and snapshots."""

    def eval_steps(self, examples: int) -> set[int]:
        return set()

    def snapshot_steps(self) -> set[int]:
        return set()


def run(spec: RunSpec) -> float:
    """Return the seconds of a run, including its recording."""
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
    """Return the same run without evaluations and snapshots."""
    train = Blind(**vars(spec.config.train))
    return replace(spec, config=replace(spec.config, train=train))


def evaluation_races(settings: list[str], rounds: int) -> Iterator[Race]:
    """Yield a run with and without evaluations and snapshots, and its training likewise."""
    with spec_of(settings) as spec:
        contenders = {
            "a run": lambda: run(spec),
            "fit": lambda: fit(spec),
            "fit, blind": lambda: fit(blind(spec)),
        }
        interleaved(contenders, 1)  # opens the database and the fonts
        times = interleaved(contenders, rounds)
    work = " ".join(settings)
    whole, training, unobserved = times.values()
    without = [all_ - (seen - unseen) for all_, seen, unseen in zip(whole, training, unobserved)]
    yield Race(
        f"a run: {work}",
        {"initlab": whole, "without evaluations, snapshots": without},
        aims={"without evaluations, snapshots": 0.90},
    )
    yield Race(
        f"its training: {work}",
        {"initlab": training, "without evaluations, snapshots": unobserved},
    )


@contextlib.contextmanager
def without_theory() -> Iterator[None]:
    """Let runs predict nothing and draw no picture of it."""
    drawable = Record.drawable.fget
    assert drawable

    def others(record: Record) -> list[str]:
        return [name for name in drawable(record) if name != SIGNAL]

    with (
        mock.patch.object(Advisor, "prediction", None),
        mock.patch.object(Record, "drawable", property(others)),
    ):
        yield


def theory_races(settings: list[str], rounds: int) -> Iterator[Race]:
    """Yield a run with and without the predictions of theory."""

    def unpredicted() -> float:
        with without_theory():
            return run(spec)

    with spec_of(settings) as spec:
        contenders = {"initlab": lambda: run(spec), "without theory": unpredicted}
        interleaved(contenders, 1)  # opens the database and the fonts
        times = interleaved(contenders, rounds)
    yield Race(f"a run: {' '.join(settings)}", times, aims={"without theory": 1 / 1.03})


def recording_races(settings: list[str], rounds: int) -> Iterator[Race]:
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
    """Compose a run with a temporary folder and store, a new SQLite database."""
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
        races = chain(
            evaluation_races(SHORT, rounds),
            theory_races(SHORT, rounds),
            theory_races(DEEP, rounds),
            recording_races(LONG, max(rounds // 2, 1)),
        )
        publish("overhead", races, **vars(arguments))


if __name__ == "__main__":
    main()
