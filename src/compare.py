"""Compare runs of a store: a table, and a report with pictures."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from initlab import console
from initlab.checks import UserError
from initlab.config import PROJECT, Tracking
from initlab.report.claims import findings
from initlab.report.comparison import Comparison
from initlab.report.table import print_findings, print_results
from initlab.tracking.queries import published_experiment, resolve_ids, search_trials
from initlab.tracking.runs import read

if TYPE_CHECKING:  # MLflow takes a second to import
    from mlflow import MlflowClient

EXAMPLES = """examples:
  python src/compare.py 2026-01-31_12-00-00-123456
  python src/compare.py <id of a run> <id of a run>
  python src/compare.py --filter 'params.init="he" and metrics.`test/loss` < 1'
"""


class Parser(argparse.ArgumentParser):
    """Reads the command line, and tells of a mistake as the rest of the project does."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError`."""
        raise UserError(f"{message}\nSee python src/compare.py --help")


def parser() -> Parser:
    """Return what reads the command line."""
    made = Parser(
        prog="compare.py",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("ids", metavar="ID", nargs="*", help="of a sweep, or its folder, or of a run")
    made.add_argument("--filter", help="instead: the trials that a filter of MLflow lets through")
    made.add_argument(
        "--experiment",
        default=Tracking().experiment,
        help="that --filter searches (default: %(default)s)",
    )
    made.add_argument(
        "--uri", help="of the store (default: $MLFLOW_TRACKING_URI, else mlflow.db in the project)"
    )
    made.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        help="for the report (default: multirun/ID of a single sweep, else outputs/TIME)",
    )
    return made


def compare(options: argparse.Namespace) -> None:
    """Print the table of the runs that are asked for and write their report."""
    from initlab.tracking.store import reading

    if bool(options.ids) == (options.filter is not None):
        raise UserError(
            "name either sweeps and runs by their ids, or a --filter\n"
            "See python src/compare.py --help"
        )
    with reading(options.uri, PROJECT) as client, console.out.status("reading"):
        run_ids, title, folder, experiment = chosen(client, options)
        comparison = Comparison(read(client, run_ids), experiment)
    print_results(comparison)
    print_findings(findings(comparison))
    with console.out.status("drawing"):
        write(comparison, options.output or folder, title)


def chosen(client: MlflowClient, options: argparse.Namespace) -> tuple[list[str], str, Path, str]:
    """Return the ids of the runs that are asked for, a title, the folder for the report, and the
    published experiment that they are of, "" for none.
    """
    folder = PROJECT / "outputs" / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
    if options.filter is not None:
        run_ids = search_trials(client, options.filter, options.experiment)
        if not run_ids:
            raise UserError(
                f'--filter "{options.filter}": there is no such trial '
                f"in the experiment {options.experiment}"
            )
        return run_ids, options.filter or f"all runs of {options.experiment}", folder, ""
    found = resolve_ids(client, [Path(word).name or word for word in options.ids])
    run_ids = [*dict.fromkeys(run_id for group in found.values() for run_id in group)]
    (first, group), *others = found.items()
    if others or group == [first]:
        return run_ids, f"{len(run_ids)} runs" if len(run_ids) > 1 else f"run {first}", folder, ""
    return (
        run_ids,
        f"sweep {first}",
        PROJECT / "multirun" / first,
        published_experiment(client, first),
    )


def write(comparison: Comparison, folder: Path, title: str) -> None:
    """Write the report into a folder and say where it is."""
    from initlab.report import page as report  # Matplotlib takes time to import

    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = report.write(comparison, folder, title)
    except OSError as error:
        said = re.sub(r"^\[Errno \d+\] ", "", str(error))
        raise UserError(f"--output {folder}: cannot be written: {said}") from error
    console.reported(next((file for file in files if file.suffix == ".html"), folder))


def run(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for and return the exit status."""
    try:
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
