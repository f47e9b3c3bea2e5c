"""What recording costs: the same training with and without tracking, in turn, in one process.

    python benchmarks/tracking.py [--rounds 3] [setting=value ...]

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
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

import train  # noqa: E402
from initlab import figures, tracking  # noqa: E402, F401  (imported before the clock starts)
from initlab.config import GROUPS, PROJECT, build, flatten  # noqa: E402

DEFAULTS = ["data=mnist", "train.steps=10000"]


def seconds(settings: list[str], folder: Path) -> float:
    """Train once and return the wall-clock time from the config to the closed run."""
    composed = compose("config", settings)
    content = OmegaConf.to_container(composed, resolve=True)
    job = train.Job(
        name="benchmark",
        choices=dict.fromkeys(GROUPS, "benchmark"),
        settings=dict(flatten(content)),
        yaml=OmegaConf.to_yaml(composed),
        folder=folder,
        sweep=None,
    )
    config = build(composed)
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        train.train(config, job)
    return time.perf_counter() - started


def main() -> None:
    """Time the rounds and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
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
        ratios = []
        print(" ".join(arguments.settings))
        print("round   tracked   without   ratio")
        for number in range(1, arguments.rounds + 1):
            tracked = seconds([*arguments.settings, *store], folder)
            without = seconds([*arguments.settings, *plain], folder)
            ratios.append(tracked / without)
            print(f"{number:>5}  {tracked:>6.2f} s  {without:>6.2f} s   {ratios[-1]:.3f}")
        print(f"recording costs {statistics.median(ratios) - 1:+.1%} of the training time (median)")


if __name__ == "__main__":
    main()
