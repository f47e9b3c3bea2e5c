"""Write the results into docs/performance.md and draw docs/performance.png.

    python benchmarks/page.py

The page names benchmarks in comments of this form:

    <!-- races: step_time -->
    <!-- end -->

This script fills in the part between the two lines from benchmarks/results; the rest of the page is
written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rounds import RESULTS, Race, format_time

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from initlab.figures import BLUE, INK
from initlab.report.charts.styles import DIM, GREY

PAGE = ROOT / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- races: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
DPI = 150
WIDTH, HEIGHT = 8.6, 3.9  # inches
DRAWN = ["floor", "initlab", "JAX", "PyTorch", "scikit-learn", "plain NumPy"]


def read(name: str) -> tuple[list[Race], dict[str, Any]]:
    """Return the races of a benchmark, and the machine that they were run on."""
    results = json.loads((RESULTS / f"{name}.json").read_text())
    races = [
        Race(**{key: value for key, value in race.items() if key != "ratios"})
        for race in results["races"]
    ]
    return races, results["machine"]


def tables(name: str) -> str:
    """Return the races of a benchmark and the machine in Markdown."""
    races, machine = read(name)
    lines: list[str] = []
    for names, group in groupby(races, key=lambda race: (race.own, *race.times)):
        own, *others = dict.fromkeys(names)
        lines += [f"| | {own} | {' | '.join(f'{other} (ratio)' for other in others)} |"]
        lines += [f"|---|--:|{'--:|' * len(others)}"]
        for race in group:
            cells = [format_time(race.times[own])]
            cells += [cell(race, other) for other in others]
            lines.append(f"| {race.work} | {' | '.join(cells)} |")
            for note, values in race.notes.items():
                numbers = [format_median(values.get(one)) for one in (own, *others)]
                lines.append(f"| {note.replace('_', ' ')} | {' | '.join(numbers)} |")
        lines.append("")
    counts = {len(race.times[race.own]) for race in races}
    rounds = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
    lines.append(
        f"Medians of {rounds} rounds, with quartiles, on {machine['cores']} cores of an "
        f"{machine['processor']} processor; OpenBLAS with its {machine['blas_kernels']} kernels, "
        f"Python {machine['python']}, NumPy {machine['numpy']}, MLflow {machine['mlflow']}."
    )
    return "\n".join(lines)


def cell(race: Race, name: str) -> str:
    """Return the ratio of a contender, and its aim if it has one."""
    words = str(race.ratio(name))
    if name in race.aims:
        words += f"<br>aim ≥ {race.aims[name]:.2f}{': **missed**' * race.missed(name)}"
    return words


def format_median(values: Any) -> str:
    """Return a number, or the median of several, with three digits; "" for None."""
    return "" if values is None else f"{float(f'{np.median(values):.3g}'):,.0f}"


def panel(axes: Axes, race: Race, title: str) -> None:
    """Draw the ratios of a race as bars, in the order of `DRAWN`."""
    ratios = [1.0 if name == race.own else race.ratio(name).median for name in DRAWN]
    places = range(len(DRAWN), 0, -1)
    colors = [BLUE if name == race.own else GREY for name in DRAWN]
    axes.barh(places, ratios, color=colors, height=0.72)
    for place, ratio in zip(places, ratios):
        axes.text(ratio, place, f" {ratio:.2f}", va="center", fontsize=7, color=INK)
    axes.set_title(title, fontsize=7.5, color=INK, loc="left", pad=3)
    axes.set_xlim(0, max(ratios) * 1.25)
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(DIM)
    axes.tick_params("y", length=0, labelsize=7.5)


def chart(races: Sequence[Race]) -> Figure:
    """Draw the time of a step relative to initlab: a column per network, a row per optimizer."""
    figure = Figure((WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    columns = len(races) // 2
    panels = figure.subplots(2, columns)
    for number, race in enumerate(races):
        axes = panels[number % 2][number // 2]
        network, _, rest = race.work.removeprefix("a step of ").partition(", ")
        panel(axes, race, f"{network}\n{rest}")
        labels = DRAWN if number < 2 else [""] * len(DRAWN)
        axes.set_yticks(range(len(DRAWN), 0, -1), labels)
    title = "time of a training step on one core, relative to initlab (shorter is faster)"
    figure.suptitle(title, fontsize=8.5, color=INK)
    return figure


def main() -> None:
    """Write the page and the figure."""
    page = PAGE.read_text()
    PAGE.write_text(BLOCK.sub(lambda found: f"{found[1]}{tables(found[2])}\n{found[3]}", page))
    chart(read("step_time")[0]).savefig(PAGE.with_suffix(".png"))


if __name__ == "__main__":
    main()
