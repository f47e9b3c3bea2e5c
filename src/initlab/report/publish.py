"""The summary of a sweep: its table, its report, and a view of its runs in MLflow."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from initlab import console
from initlab.config import PROJECT
from initlab.folders import unwritable
from initlab.nn.metrics import Metric, Quantity
from initlab.process import identity
from initlab.report import charts, page
from initlab.report.claims import findings
from initlab.report.comparison import Comparison
from initlab.report.terminal import print_conclusions, print_findings, print_results
from initlab.tracking import chart_view, provenance
from initlab.tracking.names import Role, Tag
from initlab.tracking.record import PATH, RECENT
from initlab.tracking.runs import Run
from initlab.tracking.store import explained
from initlab.tracking.tracker import Tracker

if TYPE_CHECKING:
    from initlab.tracking.store import Store

METRICS = (Metric.TRAIN_LOSS, Metric.TEST_ACCURACY)
QUADRATIC_METRICS = (Metric.F, Metric.X, Metric.Y)


def summarize(
    store: Store, folder: Path, compared: Comparison, taken: Sequence[str], drawn: bool
) -> None:
    """Print the results of a sweep, write its report into its folder, and record it as a run.

    taken  the ids of the runs that were made by earlier sweeps
    drawn  whether the runs have pictures by step

    Raises `TrackingError` if the store fails; the report is in the folder even then. Where the
    folder cannot be written, the store alone gets the report.
    """
    sweep = folder.name
    print_results(compared)
    if any(Metric.TRAIN_LOSS in run.curves for run in compared.runs):
        console.out.print(f"train loss: mean of the last {RECENT} batches", style="dim")
    print_conclusions(compared)
    print_findings(findings(compared))
    tags = provenance.tags(PROJECT) | identity() | {Tag.ROLE: Role.SUMMARY, Tag.SWEEP: sweep}
    if compared.experiment:
        tags[Tag.EXPERIMENT] = compared.experiment
    with contextlib.ExitStack() as stack:
        try:
            files = page.write(compared, folder, f"sweep {sweep}", [sweep])
            console.print_report(folder / page.FILE)
        except OSError as error:
            console.error(f"{unwritable(str(folder), error)}; the store alone gets the report")
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            files = page.write(compared, scratch, f"sweep {sweep}", [sweep])
        with Tracker(store, f"summary of {sweep}", {}, tags) as tracker:
            tracker.log_files(files)
    runs = [run for run in compared.runs if run.run_id]
    if not runs:
        return
    wanted = (
        chart_view.runs_filter(run.run_id for run in runs)
        if taken
        else chart_view.trials_filter(sweep)
    )
    pictured = [run for each in compared.pictured for run in each.pictured if run.run_id]
    image, step = common_image(pictured) if drawn else (None, 0)
    key, now = chart_view.view_key(sweep), int(1000 * time.time())
    view = chart_view.shared_view(sweep, wanted, len(runs), view_metrics(runs), image, step, now)
    with explained(store.uri):
        color_runs(store, compared, taken)
        store.keep_view(key, view)
    console.print_link(chart_view.chart_page_url(store.ui, store.experiment_id, key), store.command)


def color_runs(store: Store, compared: Comparison, taken: Sequence[str]) -> None:
    """Give the runs of this sweep the same colors in MLflow's UI as in the report.

    Seeds of a single setting keep the colors of the UI, which tell them apart.
    """
    if len(compared.settings) == 1:
        return
    styles = charts.colors(compared)
    for setting in compared.settings:
        style = styles[setting.number]
        for run in setting.pictured:
            if run.run_id and run.run_id not in taken and style.own:
                store.client.set_tag(run.run_id, Tag.COLOR, style.color)


def view_metrics(runs: Sequence[Run]) -> list[str]:
    """Return the metrics to show in MLflow."""
    names = QUADRATIC_METRICS if any(Metric.F in run.curves for run in runs) else METRICS
    return [name for name in names if any(name in run.metrics for run in runs)]


def common_image(runs: Sequence[Run]) -> tuple[str | None, int]:
    """Return the key of the images to show in MLflow, and the last step at which all have one."""
    if curves := [run.curves[Metric.F] for run in runs if Metric.F in run.curves]:
        return f"train/{PATH}", min(int(curve.steps[-1]) for curve in curves)
    steps = [set(run.histograms["steps"].tolist()) for run in runs if "steps" in run.histograms]
    if not steps:
        return None, 0
    return f"train/{Quantity.ACTIVATIONS}", max(set.intersection(*steps) or set.union(*steps))
