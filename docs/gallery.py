"""Gallery: run the published experiments, and write their results into docs/experiments.

    python docs/gallery.py [NAME ...]

Each page there names commands and the pictures of the report to show, in comments of this form:

    <!-- run: -m experiment=std_scale; pictures: loss -->
    <!-- end -->

This script writes the text between the two lines; everything else on the page is written by hand.
Every command gets a store of its own, so that no earlier run is reused, and is measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from mlflow import MlflowClient

from initlab.config import PROJECT, options
from initlab.nn.metrics import Metric
from initlab.report import charts
from initlab.report.answers import layers_note, spread_note
from initlab.report.claims import findings
from initlab.report.comparison import Comparison
from initlab.report.conclusions import conclusions
from initlab.report.table import SECONDS, Table, table_of
from initlab.tracking.queries import published_experiment, trials_of_sweep
from initlab.tracking.runs import read

PAGES = PROJECT / "docs" / "experiments"
BLOCK = re.compile(r"(<!-- run: (.+?); pictures: (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- experiments -->\n).*?(<!-- end -->)", re.DOTALL)
MAX_BYTES = 150_000  # of a picture
MAX_ROWS = 12  # of a table that is not folded
MAX_SETTINGS = 30  # in a table
SAMPLE_SECONDS = 0.2
MEGABYTE = 1e6


@dataclass(frozen=True)
class Cost:
    """The cost of a command: seconds of wall time, and peak bytes of all its processes."""

    seconds: float
    memory: float

    def text(self, separator: str) -> str:
        """Return both for people."""
        return f"{self.seconds:.0f} s{separator}{self.memory / MEGABYTE:.0f} MB"


def main() -> None:
    """Rewrite the pages that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = options("experiment")
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join(names))
    wanted = parser.parse_args().names or names
    for name in wanted:
        if name not in names:
            parser.error(f"{name}: there is no such experiment; choices: {', '.join(names)}")
    costs = known_costs()
    for name in wanted:
        costs[name] = rewrite(PAGES / f"{name}.md")
        write_gallery(names, costs)
        print(f"{name}: {costs[name].text(', ')}", flush=True)


def rewrite(page: Path) -> Cost:
    """Run the commands of a page and insert their results; return the cost of the first."""
    text = page.read_text(encoding="utf-8")
    costs: list[Cost] = []

    def replacement(block: re.Match[str]) -> str:
        opening, arguments, pictures, end = block.groups()
        stem = f"{page.stem}-{len(costs) + 1}" if costs else page.stem
        cost, lines = run(stem, shlex.split(arguments), pictures.replace(",", " ").split())
        costs.append(cost)
        return opening + lines + end

    text = BLOCK.sub(replacement, text)
    if not costs:
        sys.exit(f"{page}: there is no command")
    page.write_text(text, encoding="utf-8")
    return costs[0]


def run(stem: str, arguments: Sequence[str], pictures: Sequence[str]) -> tuple[Cost, str]:
    """Run one command; return its cost and its lines of Markdown.

    stem      of the names of its pictures
    pictures  the charts to show, by name
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sweep"
        uri = f"sqlite:///{scratch}/mlflow.db"
        command = [sys.executable, str(PROJECT / "src" / "train.py"), *arguments]
        own = [f"tracking.uri={uri}", f"hydra.sweep.dir={folder}"]
        cost = measure_cost([*command, *own])
        client = MlflowClient(uri)
        runs = read(client, trials_of_sweep(client, folder.name))
        comparison = Comparison(runs, published_experiment(client, folder.name))
    made = {chart.name: chart for chart in charts.drawn(comparison)}
    for name in pictures:
        if name not in made:
            sys.exit(f"{stem}: there is no chart {name}; there are {', '.join(made)}")
    shown = [picture_lines(made[name], stem) for name in pictures]
    lines = [
        "```",
        shlex.join(["python", "src/train.py", *arguments]),
        "```",
        "",
        *(line for lines in shown for line in lines),
        *result_lines(comparison),
        *conclusion_lines(comparison),
        *claim_lines(comparison),
    ]
    return cost, "\n".join(lines) + "\n"


def measure_cost(command: Sequence[str]) -> Cost:
    """Run a command and measure its cost; exit with its output if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = 0.0
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_SECONDS):
            peak = max(peak, memory(process.pid))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    output, _ = process.communicate()
    done.set()
    thread.join()
    if process.returncode:
        sys.exit(f"{shlex.join(command)} ended with status {process.returncode}:\n{output}")
    return Cost(time.perf_counter() - started, peak)


def memory(pid: int) -> float:
    """Return the bytes of a process and its descendants; shared memory counts once."""
    total = 0.0
    try:
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:  # one has just ended
        pass
    return total


def picture_lines(chart: charts.Chart, stem: str) -> list[str]:
    """Write a picture beside the pages; return the lines that show it."""
    content = charts.png(chart.figure)
    file = PAGES / f"{stem}-{chart.name}.png"
    if len(content) > MAX_BYTES:
        sys.exit(f"{file.name} has {len(content):,} bytes; at most {MAX_BYTES:,} are allowed")
    file.write_bytes(content)
    alt = chart.alt.replace("[", "(").replace("]", ")")
    caption = [f"*{chart.caption}*", ""] if chart.caption else []
    return [f"![{alt}]({file.name})", "", *caption]


def result_lines(comparison: Comparison) -> list[str]:
    """Return the table of the settings, best first, as Markdown; a long one is folded."""
    shown, total = comparison.ranked[:MAX_SETTINGS], len(comparison.settings)
    lines = [*render_markdown(table_of(comparison, shown)), ""]
    if len(shown) > MAX_ROWS:
        title = f"The best {len(shown)} of" if total > len(shown) else "All"
        summary = f"<details><summary>{title} {total} settings</summary>"
        lines = [summary, "", *lines, "</details>", ""]
    return [*lines, *note_lines(comparison)]


def render_markdown(table: Table) -> list[str]:
    """Return a table as Markdown, without the times, which depend on the machine."""
    columns = [column for column in table.columns if column.title != SECONDS]
    rule = ["--:" if column.numeric else ":--" for column in columns]
    rows = zip(*(map(str, column.cells) for column in columns))
    return [f"| {' | '.join(row)} |" for row in ([each.title for each in columns], rule, *rows)]


def note_lines(comparison: Comparison) -> list[str]:
    """Return what a reader of the table needs to know."""
    notes = [*layers_note(comparison), *spread_note(comparison)]
    if any(Metric.TRAIN_LOSS in run.curves for run in comparison.runs):
        notes.append(
            "The training loss is the mean of the last 100 batches, each before its update."
        )
    return [" ".join(notes), ""] if notes else []


def conclusion_lines(comparison: Comparison) -> list[str]:
    """Return which differences between settings are real, as Markdown."""
    found = conclusions(comparison)
    return [" ".join(found), ""] if found else []


def claim_lines(comparison: Comparison) -> list[str]:
    """Return the claims of the source and whether they hold, as Markdown."""
    found = findings(comparison)
    if not found:
        return []
    lines = [f"| {each.claim} | **{each.word}** | {each.measured} |" for each in found]
    return ["| claim of the source | here | measured |", "|:--|:--|:--|", *lines, ""]


def write_gallery(names: Sequence[str], costs: dict[str, Cost]) -> None:
    """Write the table of all experiments: picture, question, time and memory."""
    rows = ["| | experiment | time | memory |", "|---|---|--:|--:|"]
    for name in names:
        page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
        title = page.partition("\n")[0].removeprefix("# ")
        question = " ".join(page.split("\n\n")[1].split())
        image = re.search(r"!\[.*?\]\((.+?)\)", page)
        thumb = (
            f'<a href="{name}.md"><img src="{image[1]}" width="200" alt=""></a>' if image else ""
        )
        link = f"[**{title}**]({name}.md)"
        rows.append(f"| {thumb} | {link}<br>{question} | {costs[name].text(' | ')} |")
    total = sum(cost.seconds for cost in costs.values())
    most = max(cost.memory for cost in costs.values())
    rows.append(f"| | all | {total / 60:.1f} min | {most / MEGABYTE:.0f} MB |")
    where = f"{os.cpu_count()} cores ({processor()}) with Python {platform.python_version()}"
    note = f"Measured on {where}, each with a new store; memory is the peak of all processes."
    readme = PAGES / "README.md"
    text = readme.read_text(encoding="utf-8")
    made = "\n".join([*rows, "", note, ""])
    readme.write_text(TABLE.sub(lambda block: block[1] + made + block[2], text), encoding="utf-8")


def known_costs() -> dict[str, Cost]:
    """Return the costs of the last run of each experiment, read from the gallery."""
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\((\w+)\.md\).*\| (\d+) s \| (\d+) MB \|$", text, re.MULTILINE)
    known = {name: Cost(float(seconds), float(each) * MEGABYTE) for name, seconds, each in rows}
    return {name: known.get(name, Cost(0.0, 0.0)) for name in options("experiment")}


def processor() -> str:
    """Return the name of the processor."""
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


if __name__ == "__main__":
    main()
