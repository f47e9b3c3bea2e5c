"""A sweep: what happens before its trials and afterwards, be they of a grid or of a search."""

from __future__ import annotations

import gc
import itertools
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from initlab import console
from initlab.comparison import Comparison, Run
from initlab.config import PROJECT, Config, ConfigError
from initlab.garbage import unsearched
from initlab.grid import Trial, check, common, compared, named, refuse_existing
from initlab.launch import launch, pays
from initlab.progress import SweepProgress, checking, plan
from initlab.runs import of_study, of_sweep, read
from initlab.trial import Result

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.pool import Pool
    from initlab.store import Store

MARK = "multirun.yaml"  # whoever makes this file in a folder has the folder for its sweep
Ended = Sequence[tuple[Trial, Result]]  # the trials that came to an end, and what became of them


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
    with unsearched():
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
    if pool and not pays(waiting, pool):
        pool.processes = 1
    longest = max((len(trial.name) for trial in waiting), default=0)
    shown = SweepProgress(len(waiting), longest, len(trials) - len(waiting))
    ended, caught = launch(waiting, launcher, folder, shown)

    def tell() -> None:
        taken = [trial.twin for trial in trials if trial.needless and trial.twin]
        finish(trials[0], folder, ended, taken, total=len(trials))
        if left := len(waiting) - len(ended):
            console.out.print(
                f"not run: {left} of {len(trials)} trials. The same command goes on from here."
            )

    return conclude(folder, store, ended, caught, tell)


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
    refuse_nameless(folder)
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


def refuse_nameless(folder: Path) -> None:
    """Raise `ConfigError` for a folder that a sweep cannot have to itself."""
    if folder.name in ("", ".."):
        raise ConfigError(f"hydra.sweep.dir must name a folder for the sweep alone; got '{folder}'")


def conclude(
    folder: Path, store: Store | None, ended: Ended, caught: Sequence[int], tell: Callable[[], None]
) -> int:
    """Tell what came of a sweep, if there is time for that; return the exit status.

    caught  the signals that stopped it
    """
    if len(caught) > 1:
        interrupted(folder)
    else:
        if not store:
            console.out.print("without a store (tracking.enabled=false) there is no report")
            console.kept(folder)
        try:
            tell()
        except KeyboardInterrupt:
            interrupted(folder)
            return 128 + signal.SIGINT
    if caught:
        return 128 + caught[0]
    return int(any(result.outcome == "failed" for _, result in ended))


def interrupted(folder: Path) -> None:
    """Say how to see what there is of a sweep that was given no time to tell of it."""
    console.error(f"interrupted. What there is: python src/compare.py {quote(folder.name)}")


def finish(
    first: Trial, folder: Path, ended: Ended, taken: Sequence[str], total: int, study: str = ""
) -> None:
    """Compare what is there now of a sweep; raises `TrackingError` if its store is gone.

    first  any of its trials, for what all have in common
    taken  the ids of runs that others had made before
    total  how many trials it has
    study  whose other runs are compared as well, whenever they were made
    """
    from initlab.store import TrackingError
    from initlab.summary import summarize

    config = first.config
    if not config.tracking.enabled:
        return
    console.out.print()
    try:
        store, runs, others = recorded(config, folder, taken, study)
    except TrackingError:
        console.results(Comparison(unrecorded(ended, [])))
        console.kept(folder)
        raise
    runs += unrecorded(ended, runs)
    if taken:
        console.out.print(
            f"{len(taken)} of {total} trials had been run before "
            "(sweep.existing=rerun runs them again)"
        )
    if any(run.run_id for run in runs):
        compared = Comparison(runs, first.experiment)
        summarize(store, folder, compared, others, config.tracking.pictures)
    elif runs:
        console.results(Comparison(runs))


def recorded(
    config: Config, folder: Path, taken: Sequence[str], study: str
) -> tuple[Store, list[Run], list[str]]:
    """Return the store, the runs of a sweep and its study, and the ids of those of other sweeps."""
    from initlab.store import explained

    store = open_for(config)  # which may have gone; and which closes what a killed process left
    assert store is not None
    with explained(store.uri):
        own = of_sweep(store.client, folder.name)
        earlier = of_study(store.client, store.experiment_id, study) if study else []
        others = [run_id for run_id in (*earlier, *taken) if run_id not in own]
        ids = [*earlier, *taken] if study else [*own, *taken]
        return store, read(store.client, ids), others


def unrecorded(ended: Ended, runs: Sequence[Run]) -> list[Run]:
    """Return what became of trials that have no run, as where the store could not be written."""
    known = {run.name for run in runs}
    return [
        Run("", trial.name, result.outcome, reason=result.reason, params=trial.params)
        for trial, result in ended
        if trial.name not in known
    ]
