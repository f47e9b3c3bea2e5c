"""Run a recorded run again and compare all its numbers, bit for bit."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports in silence

import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from threadpoolctl import threadpool_limits

from initlab import console
from initlab.checks import UserError
from initlab.config import PROJECT, ConfigError, register, restore
from initlab.nn.preparation import prepare
from initlab.run import RunSpec
from initlab.tracking import provenance
from initlab.tracking.names import Status, Tag

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.reproduction import RecordedRun, Reproduction

UNFINISHED: dict[str, str] = {
    Status.FAILED: "before the run failed",
    Status.KILLED: "before the run was killed",
    Status.RUNNING: "so far: the run has not ended",
}


def parser() -> console.Parser:
    """Return the parser of the command line."""
    result = console.Parser(
        prog="reproduce.py",
        description=f"{__doc__} Nothing is written to the store.",
        epilog="Exit status: 0 if all numbers are identical, 1 if not, 2 if there was an error.",
        allow_abbrev=False,
    )
    result.add_argument("run_id", metavar="ID", help="of the run, as printed by train.py")
    result.add_argument(
        "--uri", help="of the store (default: $MLFLOW_TRACKING_URI, else mlflow.db in the project)"
    )
    return result


def reproduce(run_id: str, uri: str | None = None) -> bool:
    """Return whether all numbers of a run are reproduced, and print the comparison.

    Raises `UserError` if there is no such run, or if it cannot be run again.
    """
    from initlab.reproduction import (
        compare_numbers,
        fetch,
        require_consistent,
        require_same_data,
        unrecorded_settings,
        version_changes,
    )

    with console.out.status("reading"):
        recorded = fetch(uri, run_id, PROJECT)
    try:
        config, values = restore(recorded.choices, recorded.config)
    except ConfigError as error:
        raise ConfigError(f"run {run_id} cannot be run again: {error}") from error
    changed = version_changes(recorded.tags, provenance.tags(PROJECT))
    with threadpool_limits(config.train.threads, user_api="blas"):
        spec = RunSpec.restored(recorded.name, config, recorded.choices, values)
        require_consistent(recorded.params, spec)
        require_same_data(recorded.tags, spec.data)
        prepared = prepare(config, spec.data)
        console.print_heading(f"run {run_id}: {recorded.name}")
        print_lines([*changed, *unrecorded_settings(recorded.params, spec)])
        steps = console.watch(prepared.steps, config.train.steps)
        result = compare_numbers(recorded.numbers, steps)
    print_lines([str(result), *not_compared(recorded, result, config.train.steps)])
    if not result.identical:
        if spec.data and Tag.DATA not in recorded.tags:
            print_lines(["Whether the data were the same was not recorded."])
        if not changed:
            print_lines(["No version has changed since; another processor may round differently."])
    return result.identical


def not_compared(recorded: RecordedRun, result: Reproduction, steps: int) -> Iterable[str]:
    """Yield what could not be compared."""
    if recorded.status in UNFINISHED:
        last = max(step for step, _ in recorded.numbers)
        end = f"up to step {last:,} of {steps:,}"
        yield f"That is all that was recorded, {end}, {UNFINISHED[recorded.status]}."
    elif result.added:
        names = ", ".join(result.added)
        yield f"{result.added.total():,} numbers of the new run were not recorded: {names}"


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as plain text: parts of them come from the store."""
    for line in lines:
        console.out.print(Text(line))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    register()
    try:
        console.begin_command()
        parsed = parser().parse_args(arguments)
        return 0 if reproduce(parsed.run_id, parsed.uri) else 1
    except UserError as error:
        console.error(str(error))
    except MemoryError as error:
        console.error(f"not enough memory: {error}")
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    except Exception:  # a bug; Python's own status of 1 would mean that the numbers differ
        traceback.print_exc()
    return 2


if __name__ == "__main__":
    sys.exit(run())
