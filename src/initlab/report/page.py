"""The report of runs: a folder with a page to read, its pictures, a table and the curves."""

from __future__ import annotations

import base64
import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np

from initlab.report import charts
from initlab.report.answers import answer, question
from initlab.report.claims import findings
from initlab.report.comparison import Comparison
from initlab.report.export import curve_arrays, write_comparison, write_results, write_settings
from initlab.report.formatting import describe_ending, format_count
from initlab.report.table import table_of
from initlab.tracking.names import Outcome

FILE = "report.html"
NUMBERS = ("results.csv", "settings.csv", "comparison.json", "curves.npz")
PAGE = Path(__file__).with_name("page.html")

# The shared params that are shown without unfolding the list of all, in this order.
MAIN_PARAMS = (
    "model",
    "data",
    "init",
    "activation",
    "optimizer",
    "optimizer.lr",
    "train.steps",
    "train.batch_size",
    "seed",
)
MAX_UNFOLDED = 10  # runs that did not finish
MAX_ROWS = 40  # of a table that does not scroll
MAX_IDS = 10  # in the command that writes the report again


def write(
    comparison: Comparison,
    folder: Path,
    title: str,
    ids: Sequence[str] = (),
    every_pair: bool = False,
) -> list[Path]:
    """Write a report into a folder and return its files; an `OSError` leaves none of them there.

    report.html     the page, with all pictures in it
    *.png           its pictures, see `charts.drawn`
    results.csv     a row for each trial, see `write_results`
    settings.csv    a row for each setting, see `setting_rows`
    comparison.json the settings and which are better than which, see `comparison_object`
    curves.npz      every metric by step, see `curve_arrays`

    ids         of the sweeps and runs that it is about, if they were chosen by ids
    every_pair  whether comparison.json has every pair of settings, or the best with each other one
    """
    drawn = [(chart, charts.png(chart.figure)) for chart in charts.drawn(comparison)]
    html = page(comparison, title, ids, drawn)
    contents = {FILE: html.encode(errors="replace")}
    contents |= {f"{chart.name}.png": picture for chart, picture in drawn}
    files = [folder / name for name in (*contents, *NUMBERS)]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        write_results(comparison, folder / "results.csv")
        write_settings(comparison, folder / "settings.csv")
        write_comparison(comparison, folder / "comparison.json", every_pair)
        arrays = curve_arrays(comparison.runs)
        np.savez_compressed(folder / "curves.npz", allow_pickle=False, **arrays)
    except OSError:
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink()
        raise
    return files


def page(
    comparison: Comparison,
    title: str,
    ids: Sequence[str] = (),
    drawn: Sequence[tuple[charts.Chart, bytes]] = (),
) -> str:
    """Return the report as HTML that needs no other file."""
    sections: dict[str, list[tuple[charts.Chart, str]]] = {}
    for chart, picture in drawn:
        encoded = base64.b64encode(picture).decode()
        sections.setdefault(chart.title, []).append((chart, encoded))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        title=title,
        question=question(comparison),
        shared=[f"{key}={comparison.fixed[key]}" for key in MAIN_PARAMS if key in comparison.fixed],
        answer=answer(comparison),
        findings=findings(comparison),
        experiment=comparison.experiment,
        table=table_of(comparison, comparison.ranked),
        max_rows=MAX_ROWS,
        styles=charts.colors(comparison),
        repeated=any(len(setting.runs) > 1 for setting in comparison.settings),
        unfinished=unfinished(comparison),
        max_unfolded=MAX_UNFOLDED,
        sections=sections,
        width=charts.WIDTH,
        fixed=comparison.fixed,
        several=len(comparison.runs) > 1,
        count=format_count(len(comparison.runs), "run"),
        command=command(comparison, ids),
    )


def unfinished(comparison: Comparison) -> list[tuple[str, str]]:
    """Return each run that diverged, failed, was killed or is running, and how it ended."""
    return [
        (comparison.label(run), describe_ending(run))
        for run in comparison.runs
        if run.outcome not in (Outcome.FINISHED, Outcome.PRUNED)
    ]


def command(comparison: Comparison, ids: Sequence[str] = ()) -> str:
    """Return the command that writes the report again, "" if it would be too long or unknown."""
    ids = ids or [run.run_id for run in comparison.runs if run.run_id]
    return shlex.join(["python", "src/compare.py", *ids]) if 0 < len(ids) <= MAX_IDS else ""
