"""Start-up: `python src/train.py` for one step, compared to Hydra, MLflow and the store alone.

    python benchmarks/startup.py [--rounds 9] [setting=value ...]

Every contender is a separate process, timed from start to end. "imports and store" does
`import hydra, mlflow`, opens the SQLite database of the runs and looks up the experiment, which
every tracked run has to do. "imports" does not open the database. The others are the whole command,
with its pictures and files: "no pictures" has tracking.pictures=false, "no store" has
tracking.enabled=false, and "new database" also creates the database. The last race is that of
predict.py, which imports less.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path

from rounds import Race, interleaved, process, publish

PROJECT = Path(__file__).resolve().parents[1]
TRAIN = str(PROJECT / "src" / "train.py")
PREDICT = str(PROJECT / "src" / "predict.py")
PREDICTED = ["activation=tanh", "init=xavier", "model=mlp_deep"]
GRID = ["init.gain=range(0.5,2.5,0.2)", "model.bias_std=range(0,1,0.1)"]
IMPORTS = "import hydra, mlflow"
# `MlflowClient` alone opens nothing: the first query opens the database.
OPENING = """
import sys, hydra, mlflow
client = mlflow.MlflowClient(sys.argv[1])
assert client.get_experiment_by_name("initlab")
"""
AIMS = {"imports and store": 1 / 1.35}  # so initlab may take 1.35 times as long


def contenders(settings: list[str], folder: Path) -> dict[str, Callable[[], float]]:
    """Return the contenders by name; each runs a process and returns its seconds."""
    numbers = count()

    def initlab(database: str, *changed: str) -> float:
        uri = f"tracking.uri=sqlite:///{folder / database}.db"
        return process(TRAIN, *settings, uri, f"hydra.run.dir={folder / 'run'}", *changed)

    return {
        "initlab": lambda: initlab("mlflow"),
        "imports and store": lambda: process("-c", OPENING, f"sqlite:///{folder / 'mlflow'}.db"),
        "imports": lambda: process("-c", IMPORTS),
        "no pictures": lambda: initlab("mlflow", "tracking.pictures=false"),
        "no store": lambda: initlab("mlflow", "tracking.enabled=false"),
        "new database": lambda: initlab(f"new_{next(numbers)}"),
    }


def races(rounds: int, settings: list[str]) -> Iterator[Race]:
    """Yield the race, after an uncounted round that compiles modules and creates the store."""
    with tempfile.TemporaryDirectory() as scratch:
        found = contenders(settings, Path(scratch))
        interleaved(found, 1)
        times = interleaved(found, rounds)
    yield Race(f"python src/train.py {' '.join(settings)}", times, aims=AIMS)


def prediction_races(rounds: int) -> Iterator[Race]:
    """Yield a prediction, and one of a grid of 100 settings, beside the imports alone."""
    found = {
        "initlab": lambda: process(PREDICT, *PREDICTED),
        "imports": lambda: process("-c", "import hydra, numpy, rich.console, rich.table"),
        "100 settings": lambda: process(PREDICT, "-m", *PREDICTED, *GRID),
    }
    interleaved(found, 1)
    times = interleaved(found, rounds)
    yield Race(f"python src/predict.py {' '.join(PREDICTED)}", times)


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("settings", nargs="*", default=["train.steps=1"], metavar="setting=value")
    arguments = parser.parse_args()
    found = chain(races(arguments.rounds, arguments.settings), prediction_races(arguments.rounds))
    publish("startup", found, **vars(arguments))


if __name__ == "__main__":
    main()
