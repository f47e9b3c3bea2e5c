"""Reproduction: reading a recorded run from a store, and comparing its numbers with new ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from initlab.checks import UserError
from initlab.config import GROUPS, MAX_CONFIG_CHARS, as_typed, essential
from initlab.data import Data
from initlab.nn.metrics import Metric
from initlab.nn.training import Step
from initlab.run import RunSpec, used
from initlab.text import mask_password, printable
from initlab.tracking.artifacts import local_folder, open_artifact
from initlab.tracking.names import Role, Tag
from initlab.tracking.queries import find_runs
from initlab.tracking.store import quick_and_quiet, reading

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

LOSSES = (Metric.TRAIN_LOSS, Metric.F)
SHOWN_CHARS = 200  # of a text from a store
COMPARED_CHARS = 500  # of a param; a store truncates it after a few thousand
Numbers = dict[tuple[int, str], set[float]]  # (step, name) → the value, or several if recorded so


class ReproductionError(UserError):
    """There is no such run, or it cannot be reproduced."""


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """A trial as read from a store, its text `printable`. It is not trusted.

    status  FINISHED, FAILED, KILLED or RUNNING
    config  the text of its config.yaml
    """

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    config: str
    numbers: Numbers

    @property
    def choices(self) -> dict[str, str]:
        """The option of each group that it used."""
        return {group: self.params[group] for group in GROUPS if group in self.params}


def fetch(uri: str | None, run_id: str, project: Path) -> RecordedRun:
    """Return a trial from a store; the store is only read.

    uri  of a database or a server; None: $MLFLOW_TRACKING_URI, else mlflow.db in `project`

    Raises `UserError` if there is no such store or trial, or if the trial has no config.yaml.
    """
    if not re.fullmatch(r"[\w-]+", run_id):
        raise ReproductionError(f"{shown(run_id)}: a run id has only letters and digits")
    with reading(uri, project) as client:
        with quick_and_quiet():
            run = find_runs(client, [run_id]).get(run_id)
        if run is None:
            place = mask_password(client.tracking_uri)
            raise ReproductionError(f"{run_id}: there is no such run in {place}, or it is deleted")
        require_trial(run)
        return RecordedRun(
            run_id,
            shown(run.info.run_name or ""),
            run.info.status,
            {printable(key): printable(value) for key, value in run.data.params.items()},
            {printable(key): shown(value) for key, value in run.data.tags.items()},
            config_of(client, run),
            numbers_of(client, run),
        )


def require_trial(run: TrackedRun) -> None:
    """Raise `ReproductionError` for a run that is not a trial of initlab."""
    role = run.data.tags.get(Tag.ROLE)
    if role == Role.SUMMARY:
        raise ReproductionError(
            f"{run.info.run_id}: this is the summary of a sweep; choose one of its trials"
        )
    if role != Role.TRIAL or "model" not in run.data.params:
        raise ReproductionError(f"{run.info.run_id}: this run is not a trial of initlab")


def config_of(client: MlflowClient, run: TrackedRun) -> str:
    """Return the text of a run's config.yaml."""
    run_id = run.info.run_id
    with open_artifact(client, run, "config.yaml") as file:
        if file is None:
            place = run.info.artifact_uri or ""
            where = "" if local_folder(place) else f" that can be read from {shown(place)}"
            error = run.data.tags.get(Tag.ERROR)
            failed = f"; it failed with: {shown(error)}" if error else ""
            raise ReproductionError(f"{run_id}: the run has no config.yaml{where}{failed}")
        size = file.stat().st_size
        if size > 4 * MAX_CONFIG_CHARS:  # a character has up to four bytes
            raise ReproductionError(f"{run_id}: config.yaml has {size:,} bytes")
        try:
            return file.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise ReproductionError(f"{run_id}: config.yaml is not UTF-8 text") from error


def numbers_of(client: MlflowClient, run: TrackedRun) -> Numbers:
    """Return all numbers of a run; raises `ReproductionError` if there are none."""
    numbers: Numbers = {}
    for name in run.data.metrics:
        for point in client.get_metric_history(run.info.run_id, name):
            numbers.setdefault((point.step, printable(name)), set()).add(point.value)
    if not numbers:
        raise ReproductionError(f"{run.info.run_id}: the run has recorded no numbers to compare")
    return numbers


def shown(text: str) -> str:
    """Return the beginning of a text from a store, `printable`."""
    return printable(text[:SHOWN_CHARS])


def require_same_data(tags: Mapping[str, str], data: Data | None) -> None:
    """Raise `ReproductionError` if the data have changed since the run."""
    then = tags.get(Tag.DATA)
    if data and then and then != data.sha256:
        raise ReproductionError(
            f"the data have changed: their SHA-256 was {then[:12]}… then and is "
            f"{data.sha256[:12]}… now,\nso the numbers would differ"
        )


def version_changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the differences between the versions in the tags of a run and the current ones."""

    def both(key: str) -> str:
        length = 8 if key == Tag.COMMIT else None
        return f"{then[key][:length]} then, {now[key][:length]} now"

    differing = [key for key in now if key in then and then[key] != now[key]]
    changes = [
        f"{key.removeprefix('version.')} {both(key)}"
        for key in differing
        if key.startswith("version.")
    ]
    if Tag.COMMIT in differing:
        changes.append(f"revision {both(Tag.COMMIT)}")
    changed = Tag.COMMIT in differing or "true" in (then.get(Tag.DIRTY), now.get(Tag.DIRTY))
    if changed and Tag.NUMERICS not in then:
        changes.append("whether the code of the numerics has changed was not recorded")
    return changes


def unrecorded_settings(params: Mapping[str, str], spec: RunSpec) -> list[str]:
    """Return the settings that a run of an older version has no params of, and what is assumed."""
    settings = used(spec.config, essential(spec.settings))
    return [
        f"{key} was not recorded; assuming {as_typed(value)}"
        for key, value in settings.items()
        if key not in params
    ]


def require_consistent(params: Mapping[str, str], spec: RunSpec) -> None:
    """Raise `ReproductionError` if a run's config differs from its params, which the UI shows."""
    settings = used(spec.config, essential(spec.settings))
    typed = {key: as_typed(value) for key, value in settings.items() if key in params}
    lines = [
        f"\n  {key} is {shown(now)} in config.yaml, {shown(params[key])} in the params"
        for key, now in typed.items()
        if not same_value(params[key][:COMPARED_CHARS], now[:COMPARED_CHARS])
    ]
    if lines:
        raise ReproductionError(
            f"the config of the run was changed, or its params were:{''.join(lines)}"
        )


def same_value(one: str, other: str) -> bool:
    """Return whether two texts are equal or the same number: another version may write 1 as 1.0."""
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False


@dataclass(frozen=True)
class Difference:
    """A number that differs: `then` was recorded; `now` is None if the new run has none."""

    step: int
    name: str
    then: float
    now: float | None


@dataclass(frozen=True)
class Reproduction:
    """The result of a comparison.

    compared     how many recorded numbers each metric has
    differences  sorted by step, the loss first
    added        how many new numbers of each metric were not recorded
    """

    compared: Counter[str]
    differences: list[Difference]
    added: Counter[str]

    @property
    def identical(self) -> bool:
        """Whether all recorded numbers were reproduced, bit for bit."""
        return not self.differences

    def __str__(self) -> str:
        losses = sum(self.compared[name] for name in LOSSES)
        other = "other number" if losses else "number"
        totals = {"loss": losses, other: self.compared.total() - losses}
        if self.identical:
            counts = [pluralize(total, what) for what, total in totals.items() if total]
            return f"bit-identical: {' and '.join(counts)}"
        first = self.differences[0]
        now = "none" if first.now is None else repr(first.now)
        change = "" if first.now is None else f" ({first.now - first.then:+.2g})"
        lines = [
            f"different, first at step {first.step:,}: {first.name}",
            f"  {first.then!r} then, {now} now{change}",
        ]
        for what, total in totals.items():
            found = [each for each in self.differences if (each.name in LOSSES) == (what == "loss")]
            sizes = [abs(each.now - each.then) for each in found if each.now is not None]
            if sizes:
                most = f"by {max(sizes):.2g} at most"
                lines.append(f"{len(sizes):,} of {pluralize(total, what)} differ, {most}")
            if len(found) > len(sizes):
                missing = len(found) - len(sizes)
                lines.append(f"missing from the new run: {missing:,} of {pluralize(total, what)}")
        return "\n".join(lines)


def pluralize(number: int, what: str) -> str:
    """Return a count with its noun, such as 1 loss or 1,000 losses."""
    plural = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{plural}"


def compare_numbers(numbers: Numbers, steps: Iterable[Step]) -> Reproduction:
    """Run steps until all recorded numbers have been compared, bit for bit.

    Only 0 and -0 count as equal, because SQLite does not store -0.
    """
    compared = Counter(name for _, name in numbers)
    left, differences, added = dict(numbers), [], Counter[str]()
    for step in steps:
        for name, value in step.metrics():
            now = float(value)
            recorded = left.pop((step.number, name), None)
            if recorded is None:
                added[name] += 1
                continue
            for then in recorded - {now}:
                differences.append(Difference(step.number, name, then, now))
        if not left:
            break
    for (number, name), recorded in left.items():
        differences += [Difference(number, name, then, None) for then in recorded]
    differences.sort(key=lambda each: (each.step, each.name not in LOSSES, each.name))
    return Reproduction(compared, differences, added)
