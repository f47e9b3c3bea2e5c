"""A sweep: what happens before its trials, between them and afterwards."""

from __future__ import annotations

import contextlib
import gc
import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobStatus
from omegaconf import DictConfig, OmegaConf

from initlab import console
from initlab.checks import told
from initlab.comparison import Comparison, Run
from initlab.config import PROJECT, Config, ConfigError
from initlab.grid import Trial, check, common, compared, named, quoted, refuse_existing
from initlab.pool import Interrupted, Started
from initlab.progress import SweepProgress, checking, plan
from initlab.runs import of_sweep, read
from initlab.trial import Result

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.pool import Pool
    from initlab.store import Store

# What a trial takes by itself and for a step, as measured on digits, and when a second process is
# worth the two seconds of its start: three trials of 1,000 steps are faster in one, eight in two.
TRIAL_SECONDS, STEP_SECONDS, PAYS_SECONDS = 0.5, 0.0008, 5.0
ONE_SIGNAL_SECONDS = 0.5
MARK = "multirun.yaml"  # whoever makes this file in a folder has the folder for its sweep


def run(
    grid: Sequence[Sequence[str]],
    compose: Callable[[Sequence[str]], DictConfig],
    launcher: Any,
    multirun: DictConfig,
) -> int:
    """Run every combination of a grid whose numbers are not there yet; return the exit status.

    Raises a `UserError`, before any trial starts, if one of them could not.
    """
    gc.freeze()  # or each search for garbage would go through all that was imported
    pool: Pool | None = getattr(launcher, "pool", None)
    trials: list[Trial] = []
    for name, overrides in checking(named(grid)):
        trials.append(check(name, overrides, compose))
        first = len(trials) == 1 and not trials[0].config.sweep.dry_run
        if first and pool and pays(trials * len(grid), pool):
            pool.warm_up()  # while the others are checked
    config = common(trials)
    store = open_for(config) if config.tracking.enabled else None
    gc.freeze()  # MLflow as well
    trials = list(compared(trials, store))
    if config.sweep.dry_run:
        plan([(trial.name, trial.state, trial.twin) for trial in trials])
        return 0
    if config.sweep.existing == "error":
        refuse_existing(trials)
    folder = claim(Path(multirun.hydra.sweep.dir), multirun, store)
    waiting = [trial for trial in trials if not trial.needless]
    results, caught = launch(waiting, len(trials) - len(waiting), launcher, folder)
    if not store:
        console.out.print("without a store (tracking.enabled=false) there is no report")
        console.kept(folder)
    elif len(caught) > 1:
        interrupted(folder)
    else:
        try:
            finish(folder, trials, results)
        except KeyboardInterrupt:
            interrupted(folder)
            return 128 + signal.SIGINT
    if caught:
        return 128 + caught[0]
    return int(any(result.outcome == "failed" for result in results.values()))


def open_for(config: Config) -> Store | None:
    """Return the store of the trials; None if they are only looked at, and there is none yet."""
    from initlab.store import MissingError, open_store

    tracking, looking = config.tracking, config.sweep.dry_run
    try:
        store = open_store(tracking.uri, tracking.experiment, PROJECT, create=not looking)
    except MissingError:
        if looking:
            return None
        raise
    if not looking:
        store.close_lost()
    return store


def claim(folder: Path, multirun: DictConfig, store: Store | None) -> Path:
    """Return a folder that no other sweep has: `folder`, or it with a number after its name."""
    if folder.name in ("", ".."):
        raise ConfigError(f"hydra.sweep.dir must name a folder for the sweep alone; got '{folder}'")
    for number in itertools.count(1):
        mine = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        if store and store.has("sweep", mine.name):
            continue
        try:
            mine.mkdir(parents=True, exist_ok=True)
            with (mine / MARK).open("x") as file:
                file.write(OmegaConf.to_yaml(multirun))
        except FileExistsError:
            continue
        except OSError as error:
            raise ConfigError(
                f"hydra.sweep.dir={mine}: cannot be written: {error.strerror}"
            ) from error
        return mine
    raise AssertionError


def launch(
    trials: Sequence[Trial], cached: int, launcher: Any, folder: Path
) -> tuple[dict[str, Result], list[int]]:
    """Run trials; return what became of each by name, and the signals that stopped them."""
    results: dict[str, Result] = {}
    pool = getattr(launcher, "pool", None)
    if pool and not pays(trials, pool):
        pool.processes = 1
    jobs = []
    for trial in trials:
        jobs.append([*trial.overrides, f"hydra.sweep.dir={quoted(folder)}"])
        if pool:
            trial.composed.hydra.sweep.dir = str(folder)
            launcher.composed[tuple(jobs[-1])] = trial.composed
    shown = SweepProgress([trial.name for trial in trials], cached)
    with shown, stopping(pool, shown.say) as caught:
        try:
            for index, event in events(launcher, jobs):
                if isinstance(event, Started):
                    shown.started()
                    continue
                trial, result = trials[index], result_of(event)
                results[trial.name] = result
                shown.ended(trial.name, result)
                if result.outcome == "failed" and trial.config.sweep.on_error == "stop" and pool:
                    pool.drain()
        except KeyboardInterrupt:
            if not caught:
                raise
    return results, caught


def pays(trials: Sequence[Trial], pool: Pool) -> bool:
    """Return whether trials are worth more than one process."""
    steps = sum(trial.config.train.steps for trial in trials)
    seconds = TRIAL_SECONDS * len(trials) + STEP_SECONDS * steps
    return pool.needed or (len(trials) > 1 and seconds > PAYS_SECONDS)


def events(launcher: Any, jobs: list[list[str]]) -> Iterator[tuple[int, Any]]:
    """Run jobs by whatever launcher; those of others hand over all that they return at the end."""
    if hasattr(launcher, "stream"):
        yield from launcher.stream(jobs)
    else:
        for index, answer in enumerate(launcher.launch(jobs, initial_job_idx=0)):
            yield index, Started()
            yield index, answer


@contextlib.contextmanager
def stopping(pool: Any, say: Callable[[str], None]) -> Iterator[list[int]]:
    """Stop a pool in good order at the first Ctrl-C or SIGTERM, and at once at the second.

    Yields the list of the signals caught so far. One right after the other counts as one: a
    terminal sends it to all, and whatever started this process may pass on its own.
    """
    caught: list[int] = []
    last = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if caught and now < last + ONE_SIGNAL_SECONDS:
            return
        last = now
        caught.append(number)
        if pool is None or pool.processes == 1:
            raise KeyboardInterrupt
        if len(caught) == 1:
            say("stopping: what runs is being closed; once more ends it at once")
            pool.stop()
        else:
            pool.kill()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def result_of(event: Any) -> Result:
    """Return what became of a trial from what its launcher handed back."""
    if isinstance(event, Interrupted):
        return Result("failed", reason=event.reason) if event.reason else Result("killed")
    if event.status == JobStatus.COMPLETED and isinstance(event.return_value, Result):
        return event.return_value
    return Result("failed", reason=told(event._return_value))


def interrupted(folder: Path) -> None:
    """Say how to see what there is of a sweep that was given no time to tell of it."""
    console.error(f"interrupted. What there is: python src/compare.py {quote(folder.name)}")


def finish(folder: Path, trials: Sequence[Trial], results: dict[str, Result]) -> None:
    """Compare what is there now of a sweep; raises `TrackingError` if its store is gone."""
    from initlab.store import TrackingError
    from initlab.summary import summarize

    taken = [trial.twin for trial in trials if trial.needless and trial.twin]
    console.out.print()
    try:
        store, runs = recorded(trials[0].config, folder, taken)
    except TrackingError:
        console.results(Comparison(unrecorded(trials, results, [])))
        console.kept(folder)
        raise
    runs += unrecorded(trials, results, runs)
    if taken:
        console.out.print(
            f"{len(taken)} of {len(trials)} trials had been run before "
            "(sweep.existing=rerun runs them again)"
        )
    left = sum(not trial.needless and trial.name not in results for trial in trials)
    if any(run.run_id for run in runs):
        drawn = trials[0].config.tracking.pictures
        summarize(store, folder, Comparison(runs), taken, drawn)
    elif runs:
        console.results(Comparison(runs))
    if left:
        console.out.print(
            f"not run: {left} of {len(trials)} trials. The same command goes on from here."
        )


def recorded(config: Config, folder: Path, taken: Sequence[str]) -> tuple[Store, list[Run]]:
    """Return the runs of a sweep and those that it took from earlier ones, and their store."""
    from initlab.store import explained

    store = open_for(config)  # which may have gone; and which closes what a killed process left
    assert store is not None
    with explained(store.uri):
        return store, read(store.client, [*of_sweep(store.client, folder.name), *taken])


def unrecorded(
    trials: Sequence[Trial], results: dict[str, Result], runs: Sequence[Run]
) -> list[Run]:
    """Return what became of trials that have no run, as where the store could not be written."""
    known = {run.name for run in runs}
    return [
        Run("", trial.name, result.outcome, reason=result.reason, params=trial.params)
        for trial in trials
        if (result := results.get(trial.name)) and trial.name not in known
    ]
