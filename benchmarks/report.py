"""The time and the size of a report over 25, 1,000 and 10,000 runs.

    python benchmarks/report.py [--rounds 5]

The real command runs a sweep of five inits and five seeds, on digits. Its runs are read from the
store and taken as they are, and 40 and 400 times over with other learning rates in their params.
The time is that of comparing them, and of writing the page, its pictures and the files beside it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from rounds import Race, interleaved, process, publish  # before NumPy, for the sake of its kernels

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

from mlflow import MlflowClient

from initlab.report import page
from initlab.report.comparison import Comparison
from initlab.tracking.queries import trials_of_sweep
from initlab.tracking.runs import Run, read

INITS = "xavier,he,std001,lecun,orthogonal"
SEEDS = "seed=0,1,2,3,4"
TIMES = (40, 400)
SPAN = 1500.0  # of the learning rates


def swept(folder: Path) -> list[Run]:
    """Run a sweep of 25 trials of 1,000 steps and return its runs."""
    uri = f"sqlite:///{folder}/mlflow.db"
    settings = [f"init={INITS}", SEEDS, f"tracking.uri={uri}", f"hydra.sweep.dir={folder}/sweep"]
    process(SRC / "train.py", "-m", *settings)
    client = MlflowClient(uri)
    return read(client, trials_of_sweep(client, "sweep"))


def multiplied(runs: Sequence[Run], times: int) -> list[Run]:
    """Return each run as often as there are learning rates."""
    return [
        replace(run, run_id=f"{run.run_id}{number}", params=run.params | {"optimizer.lr": rate})
        for number in range(times)
        for rate in [f"{0.01 * SPAN ** (number / times):.6g}"]
        for run in runs
    ]


def races(rounds: int) -> Iterator[Race]:
    """Yield the race of the reports."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        few = swept(folder)
        sizes: dict[str, float] = {}

        def report(name: str, runs: Sequence[Run]) -> float:
            start = perf_counter()
            files = page.write(Comparison(runs), folder / name, name)
            seconds = perf_counter() - start
            sizes[name] = files[0].stat().st_size / 1000
            return seconds

        report("warm-up", few)  # imports
        several = [few, *(multiplied(few, times) for times in TIMES)]
        names = {f"{len(runs):,} runs": runs for runs in several}
        contenders = {
            name: lambda name=name, runs=runs: report(name, runs)  # type: ignore[misc]
            for name, runs in names.items()
        }
        times = interleaved(contenders, rounds)
        sizes.pop("warm-up")
        yield Race("a report", times, own=next(iter(names)), notes={"page_kB": sizes})


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    publish("report", races(options.rounds), rounds=options.rounds)


if __name__ == "__main__":
    main()
