"""Benchmarks side by side: contenders take turns, and the medians of their ratios are saved.

A disturbance of the machine affects all contenders of a round, so the ratios within a round, and
their median over rounds, are more reliable than times.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

# Before NumPy is imported: each library should choose the best kernels for this processor, and
# child processes should not compile every module of every library again.
for name in (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "NPY_DISABLE_CPU_FEATURES",
    "PYTHONDONTWRITEBYTECODE",
):
    os.environ.pop(name, None)

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_info

RESULTS = Path(__file__).parent / "results"
SCALES = [("h", 3600.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)]


@dataclass(frozen=True)
class Ratio:
    """The time of a contender relative to another: the median over rounds, and the quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


@dataclass
class Race:
    """The measurements of one task.

    work   the task, the same for all contenders
    times  name → seconds, one for each round
    own    the contender that the others are compared to
    aims   name → the least ratio of its time to that of `own`
    notes  other measurements, by name
    """

    work: str
    times: dict[str, list[float]]
    own: str = "initlab"
    aims: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def ratio(self, name: str) -> Ratio:
        """Return the time of a contender relative to `own`."""
        low, median, high = np.percentile(
            np.array(self.times[name]) / np.array(self.times[self.own]), [25, 50, 75]
        )
        return Ratio(float(median), float(low), float(high))

    def missed(self, name: str) -> bool:
        """Return whether the ratio of a contender is below its aim."""
        return name in self.aims and self.ratio(name).median < self.aims[name]

    def table(self) -> Table:
        """Return the table for the terminal."""
        table = Table(title=self.work, title_justify="left", box=None, pad_edge=False)
        table.add_column("", min_width=14)
        table.add_column("median", justify="right")
        table.add_column(f"relative to {self.own} (quartiles)", justify="right")
        table.add_column("aim", justify="right")
        for name, times in self.times.items():
            aim = self.aims.get(name)
            table.add_row(
                name,
                format_time(times),
                "" if name == self.own else str(self.ratio(name)),
                "" if aim is None else f"≥ {aim:.2f}{' missed' * self.missed(name)}",
            )
        return table


def interleaved(
    contenders: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Run each contender once per round, in turn; return the seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            times[name].append(measure())
    return times


def process(*arguments: str | Path) -> float:
    """Run a Python process; return its seconds from start to end."""
    start = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def format_time(times: list[float]) -> str:
    """Return the median time with three digits and a unit."""
    seconds = float(np.median(times))
    unit, size = next((one for one in SCALES if seconds >= one[1]), SCALES[-1])
    return f"{seconds / size:.3g} {unit}"


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores and versions."""
    libraries = {"numpy": version("numpy"), "mlflow": version("mlflow")}
    kernels = [one.get("architecture") for one in threadpool_info() if one["user_api"] == "blas"]
    return {
        "processor": processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "blas_kernels": next(iter(kernels), None),
        **libraries,
    }


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def publish(name: str, races: Iterator[Race], **settings: Any) -> None:
    """Print races as they end; save them in results/name.json."""
    saved = []
    for race in races:
        Console(highlight=False).print(race.table(), "")
        ratios = {other: asdict(race.ratio(other)) for other in race.times if other != race.own}
        saved.append(asdict(race) | {"ratios": ratios})
    RESULTS.mkdir(exist_ok=True)
    results = {"benchmark": name, "machine": machine(), "settings": settings, "races": saved}
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(f"saved in benchmarks/results/{file.name}")
