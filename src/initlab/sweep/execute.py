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
from initlab.config import PROJECT, Config, ConfigError
from initlab.process import gc_paused
from initlab.report.comparison import Comparison
from initlab.report.table import print_results
from initlab.sweep.launch import Ending, launch, pays
from initlab.sweep.plan import (
    Compose,
    TrialPlan,
    check,
    common_config,
    look_up,
    name_trials,
    refuse_existing,
)
from initlab.sweep.progress import SweepProgress, checking, print_plan
from initlab.tracking.names import Outcome
from initlab.tracking.queries import trials_of_study, trials_of_sweep
from initlab.tracking.runs import Run, read

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.sweep.pool import Pool
    from initlab.tracking.store import Store

MARK = "multirun.yaml"  # whoever makes this file in a folder has the folder for its sweep


def run(
    grid: Sequence[Sequence[str]],
    compose: Compose,
    launcher: Any,
    multirun: DictConfig,
) -> int:
    """Run every combination of a grid whose numbers are not there yet; return the exit status.

    Raises a `UserError`, before any trial starts, if one of them could not.
    """
    gc.freeze()  # or each search for garbage would go through all that was imported
    pool: Pool | None = getattr(launcher, "pool", None)
    trials: list[TrialPlan] = []
    for name, overrides in checking(name_trials(grid)):
        trials.append(check(name, overrides, compose))
        first = len(trials) == 1 and not trials[0].config.sweep.dry_run
        if first and pool and pays(trials * len(grid), pool):
            pool.warm_up()  # while the others are checked
    config = common_config(trials)
    with gc_paused():
        store = open_for(config) if config.tracking.enabled else None
        gc.freeze()  # MLflow as well
    trials = list(look_up(trials, store))
    if config.sweep.dry_run:
        print_plan(trials)
        return 0
    if config.sweep.existing == "error":
        refuse_existing(trials)
    folder = claim(Path(multirun.hydra.sweep.dir), multirun, store)
    waiting = [trial for trial in trials if not trial.skippable]
    if pool and not pays(waiting, pool):
        pool.processes = 1
    longest = max((len(trial.name) for trial in waiting), default=0)
    progress = SweepProgress(len(waiting), longest, len(trials) - len(waiting))
    ended, caught = launch(waiting, launcher, folder, progress)

    def tell() -> None:
        taken = [
            trial.existing_run_id for trial in trials if trial.skippable and trial.existing_run_id
        ]
        finish(trials[0], folder, ended, taken, total=len(trials))
        if left := len(waiting) - len(ended):
            console.out.print(
                f"not run: {left} of {len(trials)} trials. The same command goes on from here."
            )

    return conclude(folder, store, ended, caught, tell)


def open_for(config: Config) -> Store | None:
    """Return the store of the trials; None if they are only looked at, and there is none yet."""
    from initlab.tracking.store import MissingError, open_store

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
    folder: Path,
    store: Store | None,
    ended: Sequence[Ending],
    caught: Sequence[int],
    tell: Callable[[], None],
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
    return int(any(each.result.outcome == Outcome.FAILED for each in ended))


def interrupted(folder: Path) -> None:
    """Say how to see what there is of a sweep that was given no time to tell of it."""
    console.error(f"interrupted. What there is: python src/compare.py {quote(folder.name)}")


def finish(
    first: TrialPlan,
    folder: Path,
    ended: Sequence[Ending],
    taken: Sequence[str],
    total: int,
    study: str = "",
) -> None:
    """Compare what is there now of a sweep; raises `TrackingError` if its store is gone.

    first  any of its trials, for what all have in common
    taken  the ids of runs that others had made before
    total  how many trials it has
    study  whose other runs are compared as well, whenever they were made
    """
    from initlab.report.publish import summarize
    from initlab.tracking.store import TrackingError

    config = first.config
    if not config.tracking.enabled:
        return
    console.out.print()
    try:
        store, runs, others = recorded(config, folder, taken, study)
    except TrackingError:
        print_results(Comparison(unrecorded(ended, [])))
        console.kept(folder)
        raise
    runs += unrecorded(ended, runs)
    if taken:
        console.out.print(
            f"{len(taken)} of {total} trials had been run before "
            "(sweep.existing=rerun runs them again)"
        )
    if any(run.run_id for run in runs):
        compared = Comparison(runs, first.spec.experiment)
        summarize(store, folder, compared, others, config.tracking.pictures)
    elif runs:
        print_results(Comparison(runs))


def recorded(
    config: Config, folder: Path, taken: Sequence[str], study: str
) -> tuple[Store, list[Run], list[str]]:
    """Return the store, the runs of a sweep and its study, and the ids of those of other sweeps."""
    from initlab.tracking.store import explained

    store = open_for(config)  # which may have gone; and which closes what a killed process left
    assert store is not None
    with explained(store.uri):
        own = trials_of_sweep(store.client, folder.name)
        earlier = trials_of_study(store.client, store.experiment_id, study) if study else []
        others = [run_id for run_id in (*earlier, *taken) if run_id not in own]
        ids = [*earlier, *taken] if study else [*own, *taken]
        return store, read(store.client, ids), others


def unrecorded(ended: Sequence[Ending], runs: Sequence[Run]) -> list[Run]:
    """Return what became of trials that have no run, as where the store could not be written."""
    known = {run.name for run in runs}
    return [
        Run(
            "",
            each.trial.name,
            each.result.outcome,
            reason=each.result.reason,
            params=each.trial.spec.params,
        )
        for each in ended
        if each.trial.name not in known
    ]
