"""What recording costs: the same training with and without tracking, in turn, in one process.

    python benchmarks/tracking.py [--rounds 5] [setting=value ...]

The default is 10,000 steps of model=mlp on data=mnist. Start-up is left out: everything is imported
and the store, a new SQLite database in a temporary folder, opened before the first round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_dir

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

import train
from initlab import figures, tracking  # noqa: F401  (imported before the clock starts)
from initlab.config import PROJECT, build
from initlab.job import Job

DEFAULTS = ["data=mnist", "train.steps=10000"]


def seconds(settings: list[str], folder: Path) -> tuple[float, float]:
    """Train once; return wall-clock and processor time from the config to the closed run."""
    composed = compose("config", settings, return_hydra_config=True)
    job = replace(Job.of(composed, composed.hydra), name="benchmark", folder=folder)
    config = build(composed)
    wall, processor = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        train.train(config, job)
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Time the rounds and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("settings", nargs="*", default=DEFAULTS, metavar="setting=value")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"),
    ):
        folder = Path(scratch)
        store = [f"tracking.uri=sqlite:///{folder / 'mlflow.db'}"]
        plain = ["tracking.enabled=false"]
        for warm_up in (store, plain):
            seconds([*arguments.settings, *warm_up, "train.steps=1"], folder)
        print(" ".join(arguments.settings))
        print("             wall clock             processor")
        print("round   tracked  without  ratio   tracked  without  ratio")
        ratios = []
        for number in range(1, arguments.rounds + 1):
            tracked = seconds([*arguments.settings, *store], folder)
            without = seconds([*arguments.settings, *plain], folder)
            ratios.append([a / b for a, b in zip(tracked, without, strict=True)])
            cells = [f"{a:7.2f}  {b:7.2f}  {a / b:.3f}" for a, b in zip(tracked, without)]
            print(f"{number:>5}   {'   '.join(cells)}", flush=True)
        for name, values in zip(("wall clock", "processor"), zip(*ratios)):
            print(
                f"recording costs {statistics.median(values) - 1:+.1%} of the training time by "
                f"{name} (median; {min(values) - 1:+.1%} to {max(values) - 1:+.1%})"
            )


if __name__ == "__main__":
    main()
