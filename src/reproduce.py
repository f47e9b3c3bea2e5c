"""Run a recorded run again and compare all its numbers, bit for bit."""

from __future__ import annotations

import argparse
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
    from initlab.reproduction import Recorded, Reproduction

UNFINISHED: dict[str, str] = {
    Status.FAILED: "before the run failed",
    Status.KILLED: "before the run was killed",
    Status.RUNNING: "as yet: the run is not at its end",
}


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(
        prog="reproduce.py",
        description=f"{__doc__} Nothing is written into the store.",
        epilog="The exit status is 0 if all are identical, 1 if not, and 2 if it cannot be told.",
        allow_abbrev=False,
    )
    made.add_argument("run_id", metavar="ID", help="of the run, as train.py and its page say it")
    made.add_argument(
        "--uri", help="of the store (default: $MLFLOW_TRACKING_URI, else mlflow.db in the project)"
    )
    return made


def reproduce(run_id: str, uri: str | None = None) -> bool:
    """Return whether all numbers of a run come out again, and print what is found.

    Raises `UserError` if there is no such run, or if it cannot be run with what there is now.
    """
    from initlab.reproduction import changes, compare, contradictions, fetch, refuse_other_data

    with console.out.status("reading"):
        recorded = fetch(uri, run_id, PROJECT)
    try:
        config, values = restore(recorded.choices, recorded.config)
    except ConfigError as error:
        raise ConfigError(f"run {run_id} cannot be run again: {error}") from error
    changed = changes(recorded.tags, provenance.tags(PROJECT))
    with threadpool_limits(config.train.threads, user_api="blas"):
        spec = RunSpec.restored(recorded.name, config, recorded.choices, values)
        refuse_other_data(recorded.tags, spec.data)
        prepared = prepare(config, spec.data)
        console.print_heading(f"run {run_id}: {recorded.name}")
        say([*changed, *contradictions(recorded.params, spec)])
        found = compare(recorded.numbers, console.watch(prepared.steps, config.train.steps))
    say([str(found), *remarks(recorded, found, config.train.steps)])
    if not found.identical:
        if spec.data and Tag.DATA not in recorded.tags:
            say(["Whether the data were the same was not recorded."])
        if not changed:
            say(["No version has changed since; another processor may round in another way."])
    return found.identical


def remarks(recorded: Recorded, found: Reproduction, steps: int) -> Iterable[str]:
    """Yield what could not be compared."""
    if recorded.status in UNFINISHED:
        last = max(step for step, _ in recorded.numbers)
        end = f"up to step {last:,} of {steps:,}"
        yield f"That is all that was recorded, {end}, {UNFINISHED[recorded.status]}."
    elif found.added:
        names = ", ".join(found.added)
        yield f"{found.added.total():,} numbers came out that were not recorded: {names}"


def say(lines: Iterable[str]) -> None:
    """Print lines, parts of which come from the store."""
    for line in lines:
        console.out.print(Text(line))


def run(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for and return the exit status."""
    asked = parser().parse_args(arguments)
    register()
    try:
        return 0 if reproduce(asked.run_id, asked.uri) else 1
    except UserError as error:
        console.error(str(error))
    except MemoryError as error:
        console.error(f"not enough memory: {error}")
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    except Exception:  # a defect, of which Python would say by a 1 that the numbers differ
        traceback.print_exc()
    return 2


if __name__ == "__main__":
    sys.exit(run())
