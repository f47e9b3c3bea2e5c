"""Queries: which runs of a store a sweep, a study, a filter or an id stands for."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from initlab.checks import UserError, first_line
from initlab.process import gc_paused
from initlab.text import printable
from initlab.tracking.artifacts import open_artifact
from initlab.tracking.names import Role, Status, Tag

if TYPE_CHECKING:  # MLflow takes a second to import; whoever has a client has done so
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

PAGE = 1000  # runs of one search
IDS = 100  # in one filter
SHORT = re.compile(r"[0-9a-f]{4,31}")  # the first letters of a run's id
SWEEPS = 5  # that are offered instead of one that does not exist


class RunsError(UserError):
    """There are no such runs, or the filter cannot be read."""


def resolve_ids(client: MlflowClient, words: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of what `resolve` returns."""
    return {name: ids_of(runs) for name, runs in resolve(client, words).items()}


def resolve(client: MlflowClient, words: Sequence[str]) -> dict[str, list[TrackedRun]]:
    """Return the runs that each word stands for, by the id of the sweep or the run.

    These ids are `printable`.

    words  ids of sweeps or of runs, of which the first letters suffice; the id of a sweep's summary
           stands for the sweep

    Raises `RunsError` for a word that is neither.
    """
    runs = find_runs(client, words)
    for word in words:
        if word not in runs and SHORT.fullmatch(word) and (run := find_by_prefix(client, word)):
            runs[word] = run
    found: dict[str, list[TrackedRun]] = {}
    for word in words:
        tags = runs[word].data.tags if word in runs else {Tag.ROLE: Role.SUMMARY, Tag.SWEEP: word}
        if tags.get(Tag.ROLE) != Role.SUMMARY:
            found[runs[word].info.run_id] = [runs[word]]
            continue
        sweep = tags.get(Tag.SWEEP, word)
        trials = found[printable(sweep)] = find_trials_of_sweep(client, sweep)
        if not trials:
            newest = client.search_runs(experiment_ids(client), "tags.sweep != ''", max_results=IDS)
            sweeps = dict.fromkeys(printable(run.data.tags[Tag.SWEEP]) for run in newest)
            hint = f"\nThe newest sweeps: {', '.join([*sweeps][:SWEEPS])}" if sweeps else ""
            raise RunsError(f"{word}: there is no sweep and no run of this id{hint}")
    return found


def find_by_prefix(client: MlflowClient, prefix: str) -> TrackedRun | None:
    """Return the run whose id begins so, None if there is none; `RunsError` if there are several.

    A run of a sweep of this name comes before it.
    """
    if next(search_runs(client, f"tags.sweep = '{prefix}'"), None):
        return None
    found = list(islice(search_runs(client, f"attributes.run_id LIKE '{prefix}%'"), 3))
    if len(found) > 1:
        raise RunsError(
            f"{prefix}: several runs begin so; type more of the id, such as "
            + " or ".join(run.info.run_id[: len(prefix) + 4] for run in found)
        )
    return found[0] if found else None


def trials_of_sweep(client: MlflowClient, sweep: str) -> list[str]:
    """Return the ids of what `find_trials_of_sweep` returns."""
    return ids_of(find_trials_of_sweep(client, sweep))


def find_trials_of_sweep(client: MlflowClient, sweep: str) -> list[TrackedRun]:
    """Return the trials of a sweep, the oldest first, in whatever experiment they are.

    Its own trials have its tag; trials that it took from earlier sweeps are listed in results.csv.
    """
    tagged = list(search_runs(client, f"tags.sweep = {filter_string(sweep)}"))
    taken = [
        run_id
        for run in tagged
        if run.data.tags.get(Tag.ROLE) == Role.SUMMARY
        for run_id in ids_in_results(client, run)
    ]
    known = {run.info.run_id for run in tagged}
    others = find_runs(client, [run_id for run_id in taken if run_id not in known])
    return latest_trials([*tagged, *others.values()])


def trials_of_study(client: MlflowClient, experiment_id: str, study: str) -> list[str]:
    """Return the ids of the trials of a study, the oldest first, of whatever sweeps they are."""
    tagged = search_runs(client, f"tags.study = {filter_string(study)}", [experiment_id])
    return ids_of(latest_trials([*tagged]))


def about_sweep(client: MlflowClient, sweep: str, tag: Tag) -> str:
    """Return a tag of a sweep's runs, that of its summary first; "" if none has it."""
    having = f"tags.sweep = {filter_string(sweep)} and tags.{tag} != ''"
    for condition in (f"{having} and tags.role = '{Role.SUMMARY}'", having):
        for run in client.search_runs(experiment_ids(client), condition, max_results=1):
            return printable(run.data.tags[tag])
    return ""


def published_experiment(client: MlflowClient, sweep: str) -> str:
    """Return the published experiment that a sweep is of, "" for none."""
    return about_sweep(client, sweep, Tag.EXPERIMENT)


def command_of_sweep(client: MlflowClient, sweep: str) -> str:
    """Return the command that ran a sweep of a grid, "" for a search or an unknown one."""
    searched = about_sweep(client, sweep, Tag.STUDY)
    return "" if searched else about_sweep(client, sweep, Tag.COMMAND)


def search_trials(client: MlflowClient, condition: str, experiment: str) -> list[str]:
    """Return the ids of what `find_trials` returns."""
    return ids_of(find_trials(client, condition, experiment))


def find_trials(client: MlflowClient, condition: str, experiment: str) -> list[TrackedRun]:
    """Return the trials of an experiment that match a filter of MLflow, the oldest first.

    Raises `RunsError` if it cannot be read, or there is no such experiment.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = ", ".join(sorted(printable(each.name) for each in client.search_experiments()))
        raise RunsError(
            f"--experiment {experiment}: there is no such experiment.\nChoices: {names}"
        )
    try:
        runs = list(search_runs(client, condition, [found.experiment_id]))
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        reason = first_line(error).removeprefix("INVALID_PARAMETER_VALUE: ")
        raise RunsError(
            f'--filter "{condition}": {reason}\n'
            "Write it as in: --filter 'params.init = \"he\" and metrics.`test/loss` < 1'"
        ) from error
    return latest_trials(runs)


def ids_of(runs: Sequence[TrackedRun]) -> list[str]:
    """Return the ids of runs."""
    return [run.info.run_id for run in runs]


def latest_trials(runs: Sequence[TrackedRun]) -> list[TrackedRun]:
    """Return the trials among runs, the oldest first, without those that a later one replaces.

    Of finished trials with the same fingerprint the newest stays. Of those that did not finish, the
    newest stays if none of the same params finished. A trial that was stopped before its params
    were recorded does not count.
    """
    trials = [
        run
        for run in runs
        if run.data.tags.get(Tag.ROLE, Role.TRIAL) == Role.TRIAL
        and (
            run.data.params
            or run.info.status == Status.FINISHED
            or Tag.FINGERPRINT not in run.data.tags
        )
    ]
    trials.sort(key=start_time)
    stay: dict[Any, TrackedRun] = {}
    done = set()
    for run in trials:
        mark = run.data.tags.get(Tag.FINGERPRINT)
        params = frozenset(run.data.params.items())
        if not mark:  # not of initlab
            stay[run.info.run_id] = run
        elif run.info.status == Status.FINISHED:
            stay[mark, params] = run
            done.add(params)
        else:
            stay[params] = run
    for params in done:
        stay.pop(params, None)
    return sorted(stay.values(), key=start_time)


def start_time(run: TrackedRun) -> int:
    """Return when a run began, in milliseconds."""
    return int(run.info.start_time or 0)


def ids_in_results(client: MlflowClient, summary: TrackedRun) -> list[str]:
    """Return the ids in results.csv of the summary of a sweep, as far as it can be read."""
    found: list[str] = []
    with open_artifact(client, summary, "results.csv") as file:
        if file is None:
            return found
        with (
            contextlib.suppress(OSError, csv.Error),
            file.open(newline="", encoding="utf-8", errors="replace") as opened,
        ):
            for row in csv.DictReader(opened):
                found += re.findall(r"^[\w-]+$", row.get("run_id") or "")
    return found


def search_runs(
    client: MlflowClient, condition: str, within: Sequence[str] | None = None
) -> Iterator[TrackedRun]:
    """Yield the runs that match a filter, by default in all experiments."""
    place = experiment_ids(client) if within is None else list(within)
    return all_pages(partial(client.search_runs, place, condition))


def experiment_ids(client: MlflowClient) -> list[str]:
    """Return the ids of all experiments."""
    return [experiment.experiment_id for experiment in all_pages(client.search_experiments)]


def all_pages(ask: Callable[..., Any]) -> Iterator[Any]:
    """Yield all that a search finds, page by page."""
    token = None
    while True:
        with gc_paused():
            page = ask(max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def filter_string(text: str) -> str:
    """Quote a text for a filter, in which no text can contain both kinds of quotes."""
    if "'" in text and '"' in text:
        raise RunsError(f"{text}: there is nothing of this name")
    return f'"{text}"' if "'" in text else f"'{text}'"


def find_runs(
    client: MlflowClient, run_ids: Sequence[str], within: Sequence[str] | None = None
) -> dict[str, TrackedRun]:
    """Return by id those of the runs that exist, by default in all experiments."""
    found = {}
    for first in range(0, len(run_ids), IDS):
        listed = ", ".join(map(filter_string, run_ids[first : first + IDS]))
        for run in search_runs(client, f"attributes.run_id IN ({listed})", within):
            found[run.info.run_id] = run
    return found
