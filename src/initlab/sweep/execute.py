"""A sweep, of a grid or a search: what happens before its trials, and afterwards."""

from __future__ import annotations

import gc
import itertools
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from initlab import console
from initlab.config import PROJECT, Config, ConfigError
from initlab.process import gc_paused
from initlab.report.comparison import Comparison
from initlab.report.score import Score
from initlab.report.terminal import print_results
from initlab.sweep.launch import Ending, Launched, Launcher, seconds_of
from initlab.sweep.plan import Grid, TrialPlan, look_up, refuse_existing
from initlab.sweep.progress import busy, checking, print_plan
from initlab.sweep.sharing import launch_shared
from initlab.sweep.waiting import Waiting
from initlab.text import mask_password
from initlab.tracking import provenance
from initlab.tracking.names import Outcome
from initlab.tracking.queries import trials_of_study, trials_of_sweep
from initlab.tracking.runs import Run, read

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.sweep.compose import Composer
    from initlab.tracking.store import Store

# A grid of so many trials is checked as a whole before the first one starts; of a larger one, so
# many that have among them the settings that might not go together.
MOST_BEFORE, MOST_PAIRS = 2000, 5000
CLAIM = "multirun.yaml"  # the sweep that creates this file in a folder owns the folder


def run_grid(
    combinations: Sequence[Sequence[str]],
    composer: Composer,
    launcher: Launcher,
    multirun: DictConfig,
) -> int:
    """Run every combination of a grid that has not been run before; return the exit status.

    Raises a `UserError` before the first trial starts if any of them could not run. Of a large
    grid, only every two settings are tried together beforehand, and the rest while trials run.
    """
    gc.freeze()  # or each garbage collection would go through all that was imported
    grid = Grid(combinations, composer)
    first = grid.check(0)
    config = first.config
    whole = len(grid) <= MOST_BEFORE or config.sweep.dry_run or config.sweep.existing == "error"
    if not config.sweep.dry_run:  # while the others are checked
        launcher.engine.fit(len(grid), len(grid) * seconds_of([first]))
    checked = [
        grid.check(n) for n in checking(range(len(grid)) if whole else grid.covering(MOST_PAIRS))
    ]
    with gc_paused(), busy("opening the store"):
        store = open_for(config) if config.tracking.enabled else None
        gc.freeze()  # MLflow as well
    trials = [*look_up(checked, store)] if whole else []
    if config.sweep.dry_run:
        print_plan(trials)
        return 0
    if config.sweep.existing == "error":
        refuse_existing(trials)
    folder = claim(Path(multirun.hydra.sweep.dir), multirun, store)
    waiting = Waiting(grid, trials, store, config.sweep)
    launcher.engine = launcher.engine.fit(waiting.count, waiting.count * seconds_of([first]))
    launched = launch_shared(waiting, launcher, folder, store)

    def report() -> None:
        existing = [*waiting.cached, *(each.result.taken for each in launched.elsewhere)]
        finish(first, folder, launched.ended, [*filter(None, existing)], total=len(grid))
        done = len(launched.ended) + len(launched.elsewhere) + launched.untold
        print_rest(waiting.count - done, launched.untold, len(grid))

    return conclude(folder, store, launched, report) or int(waiting.unfit > 0)


def print_rest(left: int, untold: int, total: int) -> None:
    """Print how many trials did not run, and of how many nothing is known, if any."""
    if untold:
        console.out.print(
            f"not known: {untold} of {total} trials, which may still be running. When they have "
            "ended, the same command resumes here."
        )
    if left:
        console.out.print(f"not run: {left} of {total} trials. The same command resumes here.")


def open_for(config: Config) -> Store | None:
    """Return the store of the trials; None where a dry run finds that there is none yet."""
    from initlab.tracking.store import MissingError, open_store

    tracking, dry_run = config.tracking, config.sweep.dry_run
    try:
        store = open_store(
            tracking.uri, tracking.experiment, PROJECT, not dry_run, tracking.timeout
        )
    except MissingError:
        if dry_run:
            return None
        raise
    if not dry_run:
        store.close_lost()
    return store


def claim(folder: Path, multirun: DictConfig, store: Store | None) -> Path:
    """Return a folder that no other sweep has: `folder`, or one with a number after its name."""
    refuse_nameless(folder)
    for number in itertools.count(1):
        mine = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        if (mine / CLAIM).exists() or (store and not store.claim_sweep(mine.name)):
            continue
        try:
            mine.mkdir(parents=True, exist_ok=True)
            with (mine / CLAIM).open("x", encoding="utf-8", errors="replace") as file:
                file.write(mask_password(OmegaConf.to_yaml(multirun)))
        except OSError as error:
            if store:
                store.release_sweep(mine.name)
            if isinstance(error, FileExistsError):
                continue
            raise ConfigError(
                f"hydra.sweep.dir={mine}: cannot be written: {error.strerror}"
            ) from error
        return mine
    raise AssertionError


def refuse_nameless(folder: Path) -> None:
    """Raise `ConfigError` for a folder that has no name of its own."""
    if folder.name in ("", ".."):
        raise ConfigError(f"hydra.sweep.dir must name a folder for the sweep alone; got '{folder}'")


def conclude(
    folder: Path,
    store: Store | None,
    launched: Launched,
    report: Callable[[], None],
) -> int:
    """Report a sweep, unless a second signal asked to stop at once; return the exit status."""
    if len(launched.caught) > 1:
        print_interrupted(folder)
    else:
        if not store:
            console.out.print("without a store (tracking.enabled=false) there is no report")
            console.print_folder(folder)
        try:
            report()
        except KeyboardInterrupt:
            print_interrupted(folder)
            return 128 + signal.SIGINT
        if store:
            store.release_sweep(folder.name)
    if launched.caught:
        return 128 + launched.caught[0]
    failed = any(each.result.outcome == Outcome.FAILED for each in launched.ended)
    return int(failed or launched.broken or launched.untold > 0)


def print_interrupted(folder: Path) -> None:
    """Print how to see the results of a sweep that was stopped before its report."""
    console.error(f"interrupted. Results so far: python src/compare.py {quote(folder.name)}")


def finish(
    first: TrialPlan,
    folder: Path,
    ended: Sequence[Ending],
    cached: Sequence[str],
    total: int,
    study: str = "",
    by: Score | None = None,
) -> None:
    """Compare the runs of a sweep and report them; raises `TrackingError` if its store is gone.

    first   any of its trials, for what all have in common
    cached  the ids of earlier runs that have the numbers of some of its trials
    total   how many trials it has
    study   whose runs of earlier sweeps are compared as well, "" for none
    by      what settings are ranked by, None for the usual
    """
    from initlab.report.publish import summarize
    from initlab.tracking.store import TrackingError

    config = first.config
    if not config.tracking.enabled:
        return
    console.out.print()
    try:
        store, runs, others = read_sweep(config, folder, cached, study)
    except TrackingError:
        print_results(Comparison(unrecorded(ended, [])))
        console.print_folder(folder)
        raise
    runs += unrecorded(ended, runs)
    if cached:
        console.out.print(
            f"{len(cached)} of {total} trials had been run before "
            "(sweep.existing=rerun runs them again)"
        )
    if any(run.run_id for run in runs):
        command = "" if study else provenance.command()
        compared = Comparison(runs, first.spec.experiment, by, command=command)
        summarize(store, folder, compared, others, config.tracking.pictures)
    elif runs:
        print_results(Comparison(runs))


def read_sweep(
    config: Config, folder: Path, cached: Sequence[str], study: str
) -> tuple[Store, list[Run], list[str]]:
    """Return the store, the runs of a sweep and its study, and the ids of those of other sweeps."""
    from initlab.tracking.store import explained

    store = open_for(config)  # again: it may be gone, and killed processes may have left open runs
    assert store is not None
    with explained(store.uri):
        own = trials_of_sweep(store.client, folder.name)
        earlier = trials_of_study(store.client, store.experiment_id, study) if study else []
        others = [run_id for run_id in (*earlier, *cached) if run_id not in own]
        ids = [*earlier, *cached] if study else [*own, *cached]
        return store, read(store.client, ids), others


def unrecorded(ended: Sequence[Ending], runs: Sequence[Run]) -> list[Run]:
    """Return runs for the trials that have none, as where the store could not be written."""
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
