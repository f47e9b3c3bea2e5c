"""Compare runs of a store: a table, and a report with pictures."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports in silence

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from initlab import console
from initlab.checks import UserError
from initlab.config import PROJECT, Tracking
from initlab.folders import unwritable
from initlab.report.claims import findings
from initlab.report.comparison import Comparison
from initlab.report.score import Score
from initlab.report.speed import Level
from initlab.report.terminal import (
    print_conclusions,
    print_findings,
    print_pairs,
    print_results,
)
from initlab.tracking import chart_view
from initlab.tracking.queries import (
    command_of_sweep,
    find_trials,
    published_experiment,
    resolve,
)
from initlab.tracking.runs import CURVES, read_found

if TYPE_CHECKING:  # MLflow takes a second to import
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

EXAMPLES = """examples:
  python src/compare.py 2026-01-31_12-00-00-123456
  python src/compare.py <id of a run> <first letters of an id>
  python src/compare.py <sweep> --by train/loss:min --pairs
  python src/compare.py --filter 'params.init="he" and metrics.`test/loss` < 1'
"""


MOST_PAIRED = 500  # settings of which every pair is compared


@dataclass(frozen=True)
class Selection:
    """The runs to compare.

    ids         of the sweeps and runs as they were named, none for a filter
    folder      for the report
    sweep       the id of the only sweep, "" for none
    experiment  the published experiment that they belong to, "" for none
    command     that ran the sweep, "" where it is not known
    """

    runs: list[TrackedRun]
    ids: list[str]
    title: str
    folder: Path
    sweep: str = ""
    experiment: str = ""
    command: str = ""


def parser() -> console.Parser:
    """Return the parser of the command line."""
    made = console.Parser(
        prog="compare.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("ids", metavar="ID", nargs="*", help="a sweep or its folder, or a run")
    made.add_argument("--filter", help="instead of ids: compare the trials that match it")
    made.add_argument(
        "--experiment",
        default=Tracking().experiment,
        help="the experiment that --filter searches (default: %(default)s)",
    )
    made.add_argument(
        "--uri", help="the store (default: $MLFLOW_TRACKING_URI, else mlflow.db in the project)"
    )
    made.add_argument(
        "--by",
        metavar="METRIC[:min|:max][:best]",
        help="rank by a metric: its last value, or its best (default: the accuracy on the "
        "validation or the test set, else the loss)",
    )
    made.add_argument(
        "--level",
        metavar="METRIC=VALUE",
        action="append",
        default=[],
        help="count the steps until train/loss or test/accuracy is this good (default: half of the "
        "way from the start to the best)",
    )
    made.add_argument(
        "--pairs", action="store_true", help="compare every pair, not only the best with the others"
    )
    made.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        help="for the report (default: multirun/ID of a single sweep, else outputs/TIME)",
    )
    return made


def compare(options: argparse.Namespace) -> None:
    """Print the table of the selected runs and write their report."""
    from initlab.tracking.store import reading

    if bool(options.ids) == (options.filter is not None):
        raise UserError(
            "name either sweeps and runs by their ids, or a --filter\n"
            "See python src/compare.py --help"
        )
    by = Score.parse(options.by) if options.by else None
    levels = [Level.parse(text) for text in options.level]
    curves = [*CURVES, by.metric] if by and by.metric not in CURVES else CURVES
    with reading(options.uri, PROJECT) as client, console.out.status("reading"):
        selection = select(client, options)
        runs = read_found(client, selection.runs, curves)
        page = page_of(client, selection)
    if by:
        by.refuse_unknown(runs)
    comparison = Comparison(runs, selection.experiment, by, levels, selection.command)
    if options.pairs:
        refuse_too_many_pairs(comparison)
    print_results(comparison)
    print_conclusions(comparison)
    if options.pairs:
        print_pairs(comparison)
    print_findings(findings(comparison))
    with console.out.status("drawing"):
        write_report(comparison, options.output or selection.folder, selection, options.pairs)
    console.print_link(*page)


def refuse_too_many_pairs(comparison: Comparison) -> None:
    """Raise `UserError` if there are more pairs than can be compared and written."""
    settings = len(comparison.settings)
    if settings > MOST_PAIRED:
        pairs = settings * (settings - 1) // 2
        raise UserError(
            f"--pairs: {settings:,} settings are {pairs:,} pairs; {MOST_PAIRED} settings can be "
            "compared with each other at most\n"
            "Leave it out, which compares the best with each other one, or choose runs by --filter"
        )


def page_of(client: MlflowClient, selection: Selection) -> tuple[str, str | None]:
    """Return the address of MLflow's page of the runs, and the command that serves it."""
    from initlab.tracking.store import served_at

    ui, command = served_at(client.tracking_uri, PROJECT)
    runs = selection.runs[: chart_view.MOST_RUNS]
    return chart_view.page_of_runs(client, ui, runs, selection.sweep), command


def select(client: MlflowClient, options: argparse.Namespace) -> Selection:
    """Find the runs that the options ask for."""
    folder = PROJECT / "outputs" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    if options.filter is not None:
        runs = find_trials(client, options.filter, options.experiment)
        if not runs:
            raise UserError(
                f'--filter "{options.filter}": no trial of the experiment {options.experiment} '
                "matches"
            )
        title = options.filter or f"all runs of {options.experiment}"
        return Selection(runs, [], title, folder)
    found = resolve(client, [Path(word).name or word for word in options.ids])
    runs = [*{run.info.run_id: run for group in found.values() for run in group}.values()]
    (first, group), *others = found.items()
    named = Path(first).name == first and first not in ("", "..")  # a store may hold any text
    if others or [run.info.run_id for run in group] == [first] or not named:
        title = f"{len(runs)} runs" if len(runs) > 1 else f"run {first}"
        return Selection(runs, [*found], title, folder)
    folder = PROJECT / "multirun" / first
    experiment = published_experiment(client, first)
    command = command_of_sweep(client, first)
    return Selection(runs, [first], f"sweep {first}", folder, first, experiment, command)


def write_report(
    comparison: Comparison, folder: Path, selection: Selection, every_pair: bool
) -> None:
    """Write the report into a folder and print where it is."""
    from initlab.report import page  # Matplotlib takes time to import

    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = page.write(comparison, folder, selection.title, selection.ids, every_pair)
    except OSError as error:
        raise unwritable(f"--output {folder}", error) from error
    console.print_report(next((file for file in files if file.suffix == ".html"), folder))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    try:
        console.begin_command()
        compare(parser().parse_args(arguments))
    except UserError as error:
        console.error(str(error))
        return 2
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(run())
