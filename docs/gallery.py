"""Gallery: run the published experiments, and write what came of them into docs/experiments.

    python docs/gallery.py [NAME ...]

Each page there names commands, in comments of this form, with the pictures of the report to show:

    <!-- run: -m experiment=std_scale; pictures: loss -->
    <!-- end -->

What stands between the two lines is made here; all else on the page is written by hand. Every
command gets a store of its own, so that nothing is taken from earlier runs, and is measured.
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
from rich.text import Text

from initlab.config import PROJECT, options
from initlab.report import charts, table
from initlab.report.claims import findings
from initlab.report.comparison import Comparison
from initlab.tracking.queries import published_experiment, trials_of_sweep
from initlab.tracking.runs import read

PAGES = PROJECT / "docs" / "experiments"
BLOCK = re.compile(r"(<!-- run: (.+?); pictures: (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- experiments -->\n).*?(<!-- end -->)", re.DOTALL)
MOST_BYTES = 150_000  # of a picture
MOST_ROWS = 12  # of a table that is not folded
MOST_SHOWN = 30
SAMPLE_SECONDS = 0.2
MEGABYTE = 1e6


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds by the clock, and bytes of all its processes at the peak."""

    seconds: float
    memory: float

    def words(self, between: str) -> str:
        """Write both."""
        return f"{self.seconds:.0f} s{between}{self.memory / MEGABYTE:.0f} MB"


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
        print(f"{name}: {costs[name].words(', ')}", flush=True)


def rewrite(page: Path) -> Cost:
    """Run the commands of a page and put in what came of them; return what the first one cost."""
    text = page.read_text(encoding="utf-8")
    costs: list[Cost] = []

    def made(block: re.Match[str]) -> str:
        opening, arguments, pictures, end = block.groups()
        stem = f"{page.stem}-{len(costs) + 1}" if costs else page.stem
        cost, lines = run(stem, shlex.split(arguments), pictures.replace(",", " ").split())
        costs.append(cost)
        return opening + lines + end

    text = BLOCK.sub(made, text)
    if not costs:
        sys.exit(f"{page}: names no command")
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
        cost = measured([*command, *own])
        client = MlflowClient(uri)
        runs = read(client, trials_of_sweep(client, folder.name))
        comparison = Comparison(runs, published_experiment(client, folder.name))
    made = {chart.name: chart for chart in charts.drawn(comparison)}
    for name in pictures:
        if name not in made:
            sys.exit(f"{stem}: there is no chart {name}; there are {', '.join(made)}")
    shown = [picture(made[name], stem) for name in pictures]
    lines = [
        "```",
        shlex.join(["python", "src/train.py", *arguments]),
        "```",
        "",
        *(line for lines in shown for line in lines),
        *results(comparison),
        *claims(comparison),
    ]
    return cost, "\n".join(lines) + "\n"


def measured(command: Sequence[str]) -> Cost:
    """Run a command; end with its output if it fails."""
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
    """Return the bytes of a process and all below it, what they share counted once."""
    total = 0.0
    try:
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.Error:  # one has just ended
        pass
    return total


def picture(chart: charts.Chart, stem: str) -> list[str]:
    """Keep a picture beside the pages; return the lines that show it."""
    content = charts.png(chart.figure)
    file = PAGES / f"{stem}-{chart.name}.png"
    if len(content) > MOST_BYTES:
        sys.exit(f"{file.name} has {len(content):,} bytes; at the most {MOST_BYTES:,} are kept")
    file.write_bytes(content)
    alt = chart.alt.replace("[", "(").replace("]", ")")
    caption = [f"*{chart.caption}*", ""] if chart.caption else []
    return [f"![{alt}]({file.name})", "", *caption]


def results(comparison: Comparison) -> list[str]:
    """Return the table of the settings, best first, as Markdown; a long one is folded."""
    ranked = comparison.ranked[:MOST_SHOWN]
    columns = table.result_columns(comparison, ranked, merged=False)
    columns.pop("seconds", None)
    rows = [" ".join(each.split()) for each in map(" | ".join, cells(columns))]
    lines = [f"| {row} |" for row in rows]
    note = notes(comparison)
    if len(ranked) <= MOST_ROWS:
        return [*lines, "", *note]
    count = len(comparison.settings)
    title = (
        f"The best {len(ranked)} of {count} settings"
        if count > len(ranked)
        else (f"All {count} settings")
    )
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", "", *note]


def cells(columns: dict[str, list[Text]]) -> list[list[str]]:
    """Return the rows of a table, its titles and the line below them first."""
    rule = ["--:" if table.numeric(title) else ":--" for title in columns]
    rows = zip(*([cell.plain for cell in column] for column in columns.values()))
    return [[*columns], rule, *map(list, rows)]


def notes(comparison: Comparison) -> list[str]:
    """Return what one must know to read the table."""
    seeds = max(len(setting.runs) for setting in comparison.settings)
    said = table.layers_told(comparison)
    if seeds > 1:
        said.append(f"Mean{'' if said else ' ± standard deviation'} over {seeds} seeds.")
    if any("train/loss" in run.curves for run in comparison.runs):
        said.append(
            "The training loss is the mean of the last 100 batches, each before its update."
        )
    return [" ".join(said), ""] if said else []


def claims(comparison: Comparison) -> list[str]:
    """Return what became of the claims of the source, as Markdown."""
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
        rows.append(f"| {thumb} | {link}<br>{question} | {costs[name].words(' | ')} |")
    total = sum(cost.seconds for cost in costs.values())
    most = max(cost.memory for cost in costs.values())
    rows.append(f"| | all | {total / 60:.1f} min | {most / MEGABYTE:.0f} MB |")
    where = f"{os.cpu_count()} cores ({processor()}) with Python {platform.python_version()}"
    told = (
        f"Measured on {where}, each with a new store; memory is that of all processes at the peak."
    )
    readme = PAGES / "README.md"
    text = readme.read_text(encoding="utf-8")
    made = "\n".join([*rows, "", told, ""])
    readme.write_text(TABLE.sub(lambda block: block[1] + made + block[2], text), encoding="utf-8")


def known_costs() -> dict[str, Cost]:
    """Return what the experiments took when they were last run, as the gallery has it."""
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
