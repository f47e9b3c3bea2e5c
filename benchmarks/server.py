"""What recording on a server of MLflow costs, beside a SQLite database.

    python benchmarks/server.py [--rounds 9]

A trial of digits is timed from its config to its last file, without start-up: into a new SQLite
database, and into a server on this machine, which keeps the artifacts itself and has a database of
its own. They take turns. The requests of a trial are counted by kind.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import secrets
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from unittest import mock

from rounds import Race, interleaved, publish  # before NumPy, for the sake of its kernels

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "docs")]

import requests
from hydra import compose, initialize_config_dir
from screenshots import served

from initlab import figures  # noqa: F401  (imported before the clock starts)
from initlab.config import register
from initlab.run import RunSpec, train
from initlab.tracking import tracker  # noqa: F401  (imported before the clock starts)

AIM = 0.25  # seconds that a trial may take longer


def spec_of(uri: str, folder: Path) -> RunSpec:
    """Return a trial of digits that is recorded in a store."""
    composed = compose("config", [f"tracking.uri={uri}"], return_hydra_config=True)
    spec = RunSpec.of(composed, composed.hydra)
    return replace(spec, name="benchmark", folder=folder, sweep="benchmark")


def run(spec: RunSpec) -> float:
    """Return the seconds of a trial whose numbers are new to the store."""
    start = perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        train(replace(spec, fingerprint=secrets.token_hex(8)))
    return perf_counter() - start


def requests_of(spec: RunSpec) -> dict[str, int]:
    """Return how many requests of each kind a trial makes."""
    kinds: Counter[str] = Counter()
    request = requests.Session.request

    def counting(self: requests.Session, method: str, url: str, **options: object) -> object:
        path = re.sub(r"[0-9a-f]{32}.*", "…", url.partition("/api/2.0/")[2])
        kinds[f"{method} {path}"] += 1
        return request(self, method, url, **options)  # type: ignore[arg-type]

    with mock.patch.object(requests.Session, "request", counting):
        run(spec)
    return dict(kinds.most_common())


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    register()
    with (
        initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"),
        tempfile.TemporaryDirectory() as scratch,
        served(f"sqlite:///{scratch}/server.db", Path(scratch)) as address,
    ):
        local = spec_of(f"sqlite:///{scratch}/mlflow.db", Path(scratch))
        remote = spec_of(address, Path(scratch))
        contenders = {"SQLite": lambda: run(local), "server": lambda: run(remote)}
        interleaved(contenders, 1)  # makes the databases
        kinds = requests_of(remote)
        times = interleaved(contenders, arguments.rounds)
    pairs = sorted(server - sqlite for sqlite, server in zip(*times.values()))
    notes = {
        "seconds that the server adds": round(pairs[len(pairs) // 2], 3),
        "aim": AIM,
        "requests of a trial": sum(kinds.values()),
        "by kind": kinds,
    }
    for name, value in notes.items():
        print(f"{name}: {value}")
    race = Race("a trial of digits, 1,000 steps", times, "SQLite", notes=notes)
    publish("server", [race], **vars(arguments))


if __name__ == "__main__":
    main()
