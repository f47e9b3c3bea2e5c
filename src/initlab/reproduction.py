"""Reproduction: what a store holds of a run, and whether the run's numbers come out again."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from initlab.checks import UserError
from initlab.config import GROUPS, MOST_LETTERS, as_typed, essential
from initlab.data import Data
from initlab.nn.metrics import Metric
from initlab.nn.training import Step
from initlab.run import RunSpec, used
from initlab.tracking.names import Role, Tag
from initlab.tracking.provenance import mask_password
from initlab.tracking.queries import find_runs
from initlab.tracking.store import quick_and_quiet, reading

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

LOSSES = (Metric.TRAIN_LOSS, Metric.F)
COMPARED = 500  # letters of a param, of which a store keeps the first few thousand
Numbers = dict[tuple[int, str], set[float]]  # (step, name) → the value; two if a store has two


class ReproductionError(UserError):
    """There is no such run, or nothing that could be run again."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A trial as its store holds it. Anybody may have written it: it is data, and not trusted.

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
        """The option of each group that it made use of."""
        return {group: self.params[group] for group in GROUPS if group in self.params}


def fetch(uri: str | None, run_id: str, project: Path) -> Recorded:
    """Return a trial from a store, into which nothing is written.

    uri: of a database or a server; None: $MLFLOW_TRACKING_URI, else mlflow.db in `project`. Raises
    `UserError` if there is no such store or trial, or if the trial left no config.yaml.
    """
    if not re.fullmatch(r"[\w-]+", run_id):
        raise ReproductionError(f"{printable(run_id)}: a run id has letters and digits alone")
    with reading(uri, project) as client:
        with quick_and_quiet():
            run = find_runs(client, [run_id]).get(run_id)
        if run is None:
            place = mask_password(client.tracking_uri)
            raise ReproductionError(f"{run_id}: there is no such run in {place}, or it is deleted")
        refuse_others(run)
        return Recorded(
            run_id,
            printable(run.info.run_name or ""),
            run.info.status,
            run.data.params,
            run.data.tags,
            config_of(client, run),
            numbers_of(client, run),
        )


def refuse_others(run: TrackedRun) -> None:
    """Raise `ReproductionError` for a run that is not a trial of initlab."""
    role = run.data.tags.get(Tag.ROLE)
    if role == Role.SUMMARY:
        raise ReproductionError(
            f"{run.info.run_id}: this is the summary of a sweep; take one of its trials"
        )
    if role != Role.TRIAL or "model" not in run.data.params:
        raise ReproductionError(f"{run.info.run_id}: this run is not a trial of initlab")


def config_of(client: MlflowClient, run: TrackedRun) -> str:
    """Return the text of a run's config.yaml."""
    run_id = run.info.run_id
    sizes = {file.path: file.file_size or 0 for file in client.list_artifacts(run_id)}
    if "config.yaml" not in sizes:
        error = run.data.tags.get(Tag.ERROR)
        died = f"; it died of: {printable(error)}" if error else ""
        raise ReproductionError(f"{run_id}: the run has no config.yaml{died}")
    if sizes["config.yaml"] > 4 * MOST_LETTERS:  # a letter has up to four bytes
        raise ReproductionError(f"{run_id}: config.yaml has {sizes['config.yaml']:,} bytes")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(client.download_artifacts(run_id, "config.yaml", scratch))
        try:
            return file.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise ReproductionError(f"{run_id}: config.yaml is not a text in UTF-8") from error


def numbers_of(client: MlflowClient, run: TrackedRun) -> Numbers:
    """Return all numbers of a run; raises `ReproductionError` if there are none."""
    numbers: Numbers = {}
    for name in run.data.metrics:
        for point in client.get_metric_history(run.info.run_id, name):
            numbers.setdefault((point.step, name), set()).add(point.value)
    if not numbers:
        raise ReproductionError(f"{run.info.run_id}: the run has recorded no numbers to compare")
    return numbers


def printable(text: str) -> str:
    """Return the first letters of a text that came from a store, safe for a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])


def refuse_other_data(tags: Mapping[str, str], data: Data | None) -> None:
    """Raise `ReproductionError` if the run read other data than there are now."""
    then = tags.get(Tag.DATA)
    if data and then and then != data.sha256:
        raise ReproductionError(
            f"the data are others: their SHA-256 was {printable(then)[:12]}… then and is "
            f"{data.sha256[:12]}… now,\nso other numbers would come out of them"
        )


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what differs between the versions in the tags of a run and those of now."""

    def both(key: str) -> str:
        letters = 8 if key == Tag.COMMIT else None
        return f"{printable(then[key])[:letters]} then, {now[key][:letters]} now"

    differing = [key for key in now if key in then and then[key] != now[key]]
    changed_versions = [
        f"{key.removeprefix('version.')} {both(key)}"
        for key in differing
        if key.startswith("version.")
    ]
    if Tag.COMMIT in differing:
        changed_versions.append(f"revision {both(Tag.COMMIT)}")
    changed = Tag.COMMIT in differing or "true" in (then.get(Tag.DIRTY), now.get(Tag.DIRTY))
    if changed and Tag.NUMERICS not in then:
        changed_versions.append("whether the numerics were of the same code was not recorded")
    return changed_versions


def contradictions(params: Mapping[str, str], spec: RunSpec) -> list[str]:
    """Return where the config of a run and its params, which the UI shows, do not agree."""
    found = []
    for key, value in used(spec.config, essential(spec.settings)).items():
        now = as_typed(value)
        if key not in params:
            found.append(f"{key} was not recorded; it is taken to have been {now}")
        elif params[key][:COMPARED] != now[:COMPARED]:
            found.append(f"{key} is {now} in config.yaml, {printable(params[key])} in the params")
    return found


@dataclass(frozen=True)
class Difference:
    """A number that came out otherwise: `then` was recorded; `now` is None if none came out."""

    step: int
    name: str
    then: float
    now: float | None


@dataclass(frozen=True)
class Reproduction:
    """What came of running again.

    compared     how many numbers there are of each name
    differences  by step, and in each step the loss first
    added        how many numbers of each name came out that had not been recorded
    """

    compared: Counter[str]
    differences: list[Difference]
    added: Counter[str]

    @property
    def identical(self) -> bool:
        """Whether all that was recorded came out again, bit for bit."""
        return not self.differences

    def __str__(self) -> str:
        losses = sum(self.compared[name] for name in LOSSES)
        other = "other number" if losses else "number"
        totals = {"loss": losses, other: self.compared.total() - losses}
        if self.identical:
            counts = [amount(total, what) for what, total in totals.items() if total]
            return f"bit-identical: {' and '.join(counts)}"
        first = self.differences[0]
        now = "none" if first.now is None else repr(first.now)
        by = "" if first.now is None else f" ({first.now - first.then:+.2g})"
        lines = [
            f"different, first at step {first.step:,}: {first.name}",
            f"  {first.then!r} then, {now} now{by}",
        ]
        for what, total in totals.items():
            found = [each for each in self.differences if (each.name in LOSSES) == (what == "loss")]
            sizes = [abs(each.now - each.then) for each in found if each.now is not None]
            if sizes:
                most = f"by {max(sizes):.2g} at most"
                lines.append(f"{len(sizes):,} of {amount(total, what)} differ, {most}")
            if len(found) > len(sizes):
                lost = len(found) - len(sizes)
                lines.append(f"{lost:,} of {amount(total, what)} did not come out at all")
        return "\n".join(lines)


def amount(number: int, what: str) -> str:
    """Return a number of things, such as 1 loss or 1,000 losses."""
    plural = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{plural}"


def compare(numbers: Numbers, steps: Iterable[Step]) -> Reproduction:
    """Take steps until all numbers recorded have been compared; what is equal is so in each bit.

    Only 0 and -0 count as equal, as SQLite knows no -0.
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
