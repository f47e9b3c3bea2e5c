"""The report of runs: a folder with a page to read, its pictures, a table and the curves."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from initlab.nn.metrics import Metric
from initlab.report import charts
from initlab.report.answers import answer, notes, question
from initlab.report.claims import findings
from initlab.report.comparison import Comparison, Setting
from initlab.report.conclusions import MORE_SEEDS, more_seeds
from initlab.report.export import curve_arrays, write_comparison, write_results, write_settings
from initlab.report.formatting import describe_ending, format_count
from initlab.report.interactive.curves import curve_plot
from initlab.report.interactive.histograms import histograms
from initlab.report.interactive.parallel import parallel
from initlab.report.interactive.profiles import profile_plots
from initlab.report.table import table_of
from initlab.tracking.names import Outcome

FILE = "report.html"
NUMBERS = ("results.csv", "settings.csv", "comparison.json", "curves.npz")
PAGE, SCRIPT = (Path(__file__).with_name(name) for name in ("page.html", "page.js"))

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
MAX_ROWS, ENDS = 40, 10  # of a table; of a longer one, the middle is folded
MAX_FOLDED, BEST = 1000, 90  # rows of that; of a longer one, only so many follow the first
MAX_LISTED = 1000  # runs that did not finish
SVG = re.compile("loss|f|accuracy|depth_profile|activations(_[0-9]+)?")  # charts drawn anew
LATE = ("heat_map", "scatter", "importance")  # charts that follow the histograms
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
    embedded, contents = [], {}
    for chart in charts.drawn(comparison):
        if SVG.fullmatch(chart.name):
            picture = charts.png(chart.figure)
        else:
            picture, untitled, height = charts.pngs(chart.figure)
            embedded.append(Embedded(chart, untitled, height))
        contents[f"{chart.name}.png"] = picture
    html = page(comparison, title, ids, embedded).encode(errors="replace")
    contents = {FILE: html} | contents
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


@dataclass(frozen=True, eq=False)
class Embedded:
    """A chart that the page shows as a picture.

    png     it, without its title
    height  in inches
    """

    chart: charts.Chart
    png: bytes
    height: float

    @property
    def width(self) -> float:
        """The width in inches."""
        return float(self.chart.figure.get_figwidth())

    @property
    def wide(self) -> bool:
        """Whether it needs more room than a phone has."""
        return self.width > 1.3 * charts.WIDTH

    @property
    def source(self) -> str:
        """The picture as an address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def page(
    comparison: Comparison, title: str, ids: Sequence[str] = (), embedded: Sequence[Embedded] = ()
) -> str:
    """Return the report as HTML that needs no other file."""
    sections: dict[str, list[Embedded]] = {}
    for each in embedded:
        percent = " (%)" * (each.chart.name == "heat_map" and comparison.by.share)
        sections.setdefault(each.chart.title + percent, []).append(each)
    loss, f, accuracy = (
        curve_plot(comparison, metric)
        for metric in (Metric.TRAIN_LOSS, Metric.F, Metric.TEST_ACCURACY)
    )
    plots = [plot for plot in (loss, f, *profile_plots(comparison), accuracy) if plot]
    distributions = histograms(comparison)
    ranked = comparison.ranked
    folded = ranked[ENDS:-ENDS] if len(ranked) > MAX_ROWS else []
    return template().render(
        title=title,
        question=question(comparison),
        shared=[f"{key}={comparison.fixed[key]}" for key in MAIN_PARAMS if key in comparison.fixed],
        answer=answer(comparison),
        more_seeds=more_seeds(comparison),
        more_seeds_words=MORE_SEEDS,
        findings=findings(comparison),
        experiment=comparison.experiment,
        plots=plots,
        histograms=distributions,
        parallel=parallel(comparison),
        early={name: each for name, each in sections.items() if each[0].chart.name not in LATE},
        late={name: each for name, each in sections.items() if each[0].chart.name in LATE},
        tables=[
            (table_of(comparison, settings), name) for settings, name in split_table(ranked, folded)
        ],
        styles=charts.colors(comparison),
        notes=notes(comparison),
        left_out=max(0, len(ranked) - BEST - 2 * ENDS) if len(ranked) > MAX_FOLDED else 0,
        unfinished=unfinished(comparison),
        max_listed=MAX_LISTED,
        max_unfolded=MAX_UNFOLDED,
        fixed=comparison.fixed,
        several=len(comparison.runs) > 1,
        count=format_count(len(comparison.runs), "run"),
        command=command(comparison, ids),
        script=Markup(SCRIPT.read_text(encoding="utf-8")),
        data=script_data(
            {
                "plots": {plot.name: plot.data for plot in plots},
                "histograms": {
                    each.quantity: [row.data for row in each.rows] for each in distributions
                },
            }
        ),
    )


@functools.cache
def template() -> jinja2.Template:
    """Return the page without its contents, compiled once."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(PAGE.read_text(encoding="utf-8"))


def split_table(
    ranked: Sequence[Setting], folded: Sequence[Setting]
) -> list[tuple[Sequence[Setting], str]]:
    """Return the settings of each table, and what a folded one is called, "" for others."""
    if not folded:
        return [(ranked, "")]
    name = f"{format_count(len(folded), 'setting')} between the best and the worst"
    if len(ranked) > MAX_FOLDED:
        folded, name = folded[:BEST], f"the next {format_count(BEST, 'setting')}"
    return [
        (ranked[:ENDS], ""),
        (folded, name),
        (ranked[-ENDS:], ""),
    ]


def script_data(data: dict[str, Any]) -> Markup:
    """Return data as JSON that can stand in a page: no text in it ends its element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


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
