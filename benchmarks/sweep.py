"""What a sweep costs beside training: 200 tiny trials, one after another and on all cores.

    python benchmarks/sweep.py [--trials 200] [--rounds 3] [setting=value ...]

Each trial is train.steps=50 on digits, one seed each. Every sweep is the real command in a process
of its own with a new store, so start-up and the report at the end are part of what is counted. The
parts are those of one trial in this process, by leaving out one part after the other. The sweeps
take turns, round by round; the figure of the last line is a median of ratios within a round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

from initlab import figures, store  # noqa: F401  (imported before the clock starts)
from initlab.composer import Composer
from initlab.config import PROJECT, register
from initlab.grid import check
from initlab.job import Job
from initlab.trial import train

DEFAULTS = ["train.steps=50"]
REPEATS = 15
SWEEPS = {
    "one by one": ["hydra/launcher=basic"],
    "without pictures": ["hydra/launcher=basic", "tracking.pictures=false"],
    "all cores": [],
}


def processor(compose: Composer, settings: list[str], folder: Path) -> tuple[float, float]:
    """Return the processor seconds of composing and checking one trial, and of running it."""
    start = time.process_time()
    trial = check("", settings, compose)
    config, job = trial.config, replace(Job.of(trial.composed, trial.composed.hydra), folder=folder)
    middle = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        train(config, job)
    return middle - start, time.process_time() - middle


def parts(settings: list[str], folder: Path) -> dict[str, float]:
    """Return the median processor seconds of each part of a trial."""
    store = f"tracking.uri=sqlite:///{folder / 'parts.db'}"
    kinds = {
        "train": ["tracking.enabled=false", "tracking.pictures=false"],
        "record": [store, "tracking.pictures=false"],
        "pictures": [store],
    }
    times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    loader = GlobalHydra.instance().config_loader()
    multirun = loader.load_configuration("config", settings, run_mode=RunMode.MULTIRUN)
    composer = Composer(loader, multirun)
    for seed in range(REPEATS + 1):
        for kind, changed in kinds.items():
            times[kind].append(processor(composer, [*settings, *changed, f"seed={seed}"], folder))
    found = {kind: statistics.median(run for _, run in pairs[1:]) for kind, pairs in times.items()}
    return {
        "compose": statistics.median(before for pairs in times.values() for before, _ in pairs[1:]),
        "train": found["train"],
        "record": found["record"] - found["train"],
        "pictures": found["pictures"] - found["record"],
    }


def sweep(settings: list[str], trials: int, folder: Path) -> tuple[float, float, float]:
    """Run a sweep; return wall and processor seconds, and the cost of its last trials to its first.

    That ratio is of the time between the starts of the last quarter of trials and of the first.
    """
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, SRC / "train.py", "-m", f"seed=range({trials})", f"tracking.uri={uri}",
         f"hydra.sweep.dir={folder / 'sweep'}", *settings],
        check=True, stdout=subprocess.DEVNULL, env=os.environ | {"MLFLOW_TRACKING_URI": uri},
    )  # fmt: skip
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    opened = store.open_store(uri, "initlab", PROJECT, create=False)
    runs = opened.client.search_runs(
        [opened.experiment_id],
        "tags.role = 'trial' and attributes.status = 'FINISHED'",
        max_results=trials,
    )
    assert len(runs) == trials
    starts = sorted(run.info.start_time for run in runs)
    quarter = trials // 4
    return wall, used, (starts[-1] - starts[-1 - quarter]) / (starts[quarter] - starts[0])


def main() -> None:
    """Print the parts, then the sweeps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("settings", nargs="*", default=DEFAULTS, metavar="setting=value")
    arguments = parser.parse_args()
    settings, trials = arguments.settings, arguments.trials
    register()
    with tempfile.TemporaryDirectory() as scratch:
        with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
            found = parts(settings, Path(scratch))
        print("one trial, processor seconds (medians)")
        for part, seconds in found.items():
            print(f"  {part:<10}{seconds:6.3f}")
        print(f"\n{trials} trials          wall s  processor s  beside training s   last quarter")
        print("                     a trial      a trial            a trial   to the first")
        faster = []
        for number in range(arguments.rounds):
            walls = {}
            for name, changed in SWEEPS.items():
                folder = Path(scratch) / f"{name.replace(' ', '-')}-{number}"
                folder.mkdir()
                wall, used, ratio = sweep([*settings, *changed], trials, folder)
                walls[name] = wall
                costs = [f"{used / trials:.3f}", f"{used / trials - found['train']:.3f}"]
                if not changed:  # the system counts children, and the pool's are those of a child
                    costs = ["", ""]
                print(
                    f"{name:<18}{wall / trials:9.3f}{costs[0]:>13}{costs[1]:>19}{ratio:15.2f}",
                    flush=True,
                )
            faster.append(walls["one by one"] / walls["all cores"])
        print(
            f"\nall cores: {statistics.median(faster):.2f} times as fast "
            f"({min(faster):.2f} to {max(faster):.2f})"
        )


if __name__ == "__main__":
    main()
