"""A search: trials that Optuna chooses from a space."""

from __future__ import annotations

import gc
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from initlab import console
from initlab.config import ConfigError
from initlab.nn.metrics import Metric
from initlab.process import gc_paused
from initlab.report.score import Score
from initlab.run import Pruner, Result
from initlab.search.settings import complete, direction, refuse_invalid
from initlab.search.space import Space
from initlab.sweep.execute import (
    claim,
    conclude,
    finish,
    open_for,
    print_rest,
    refuse_nameless,
)
from initlab.sweep.launch import Launcher, launch, seconds_of
from initlab.sweep.plan import Compose, State, TrialPlan, check, common_config, look_up_one
from initlab.sweep.progress import SweepProgress
from initlab.tracking.names import Outcome

if TYPE_CHECKING:  # MLflow takes a second to import, Optuna a quarter of one
    from initlab.search.study import Study
    from initlab.tracking.store import Store


def run_search(
    overrides: Sequence[Override],
    typed: Mapping[str, Any],
    compose: Compose,
    launcher: Launcher,
    multirun: DictConfig,
) -> int:
    """Search a space until its study has all its trials; return the exit status.

    overrides  what is chosen from, and what is fixed
    typed      the settings of hydra.sweeper

    Raises a `UserError` before the first trial starts if a trial at an end of the space could not
    run.
    """
    gc.freeze()  # or each garbage collection would go through all that was imported
    refuse_invalid(typed, launcher.engine)
    space = Space(overrides, typed["limit"])
    corners = space.checked(compose)
    config = common_config(corners)
    folder = Path(multirun.hydra.sweep.dir)
    refuse_nameless(folder)
    settings, mark = complete(typed, space, corners, folder)
    seconds = seconds_of(corners[:1])  # of a trial
    if not config.sweep.dry_run:  # while the store is opened
        launcher.engine.fit(settings["trials"], settings["trials"] * seconds)
    with gc_paused():
        store = open_for(config) if config.tracking.enabled else None
        gc.freeze()  # MLflow as well
    if config.sweep.dry_run:
        print_search(space, settings)
        return 0
    from initlab.search.study import Study

    study = Study(settings, space, mark)
    study.resume()
    gc.freeze()  # Optuna as well
    folder = claim(folder, multirun, store)
    left = study.left()
    launcher.engine = launcher.engine.fit(left, left * seconds)
    progress = SweepProgress(left, space.longest + len(f"#{study.total} "), study.total - left)
    search = Search(space, study, compose, store, progress)
    try:
        launched = launch(search.trials(), launcher, folder, progress, store, search.tell)
    finally:
        study.close()

    def report() -> None:
        finish(
            corners[0],
            folder,
            launched.ended,
            study.cached_runs(),
            study.total,
            settings["study"],
            Score(settings["metric"], higher=direction(settings["metric"]) == "maximize"),
        )
        print_best(space, study)

    return conclude(folder, store, launched, report) or int(search.unfit > 0)


def open_pruner(settings: Mapping[str, Any], steps: int) -> Pruner:
    """Return the pruner of a trial. Optuna is imported by the process that runs the trial."""
    from initlab.search.pruning import Reporter

    return Reporter(settings, steps).prunes


class Search:
    """The trials of a search, each composed when a process is free for it.

    unfit  how many could not be composed, although the ends of the space could
    """

    def __init__(
        self,
        space: Space,
        study: Study,
        compose: Compose,
        store: Store | None,
        progress: SweepProgress,
    ) -> None:
        self.space = space
        self.study = study
        self.compose = compose
        self.store = store
        self.progress = progress
        self.numbers: list[int] = []  # of the trials in the study, in the order of their launch
        self.unfit = 0

    def trials(self) -> Iterator[TrialPlan]:
        """Yield trials until the study has enough; each may depend on the results so far."""
        while asked := self.study.ask():
            number, point, values = asked
            try:
                trial = self.trial(number, point, values)
            except ConfigError as error:
                self.study.tell(number, Result(Outcome.FAILED))
                self.unfit += 1
                self.progress.skipped()
                self.progress.say(f"#{point} cannot be run: {error}")
                continue
            if not self.is_cached(trial, number):
                self.numbers.append(number)
                yield trial

    def trial(self, number: int, point: int, values: Mapping[str, Any]) -> TrialPlan:
        """Compose a point; raises `ConfigError` if that is impossible."""
        name = f"#{point} {self.space.name(self.space.texts(values))}"
        trial = check(name, self.space.overrides(values), self.compose)
        settings = {**self.study.settings, "number": number}
        spec = replace(trial.spec, search=settings)
        return replace(
            trial,
            describe=lambda: spec,
            open_pruner=partial(open_pruner, settings, trial.steps),
        )

    def is_cached(self, trial: TrialPlan, number: int) -> bool:
        """Return whether an earlier run has the numbers of a trial; then the study has them too."""
        if not self.store or trial.config.sweep.existing == "rerun":
            return False
        state, run_id = look_up_one(self.store, trial.fingerprint)
        if state != State.CACHED:
            return False
        from initlab.tracking.store import explained

        with explained(self.store.uri):
            metrics = self.store.client.get_run(run_id).data.metrics
        metric = self.study.settings["metric"]
        if metric == Metric.TRAIN_LOSS or metric not in metrics:  # whose mean is not in the store
            return False
        self.study.tell(number, Result(Outcome.FINISHED, value=metrics[metric]), run_id)
        self.progress.skipped()
        return True

    def tell(self, index: int, result: Result) -> None:
        """Add the result of a trial to the study."""
        self.study.tell(self.numbers[index], result)


def print_search(space: Space, settings: Mapping[str, Any]) -> None:
    """Print the space and the study of a search, for a dry run."""
    from initlab.search.study import count_outcomes

    for each in space.dimensions:
        console.print_pair(each.key, each.description)
    counts = count_outcomes(settings)
    console.print_pair("metric", f"{settings['metric']} ({direction(settings['metric'])})")
    console.print_pair("study", f"{settings['study']} in {settings['storage']}")
    console.print_pair("trials", f"{settings['trials']}, so far {in_words(counts)}")


def print_best(space: Space, study: Study) -> None:
    """Print the best point as a command, and the state of the study."""
    metric, total = study.settings["metric"], study.total
    if best := study.best():
        point, value, values = best
        shown = f"{value:.1%}" if Metric(metric).is_accuracy else f"{value:.4g}"
        console.print_pair("best", f"#{point} with {metric} {shown}:")
        console.out.print(
            shlex.join(["python", "src/train.py", *space.overrides(values)]), soft_wrap=True
        )
    console.print_pair("study", f"{study.settings['study']}: {in_words(study.outcomes())}")
    console.print_pair("in", study.settings["storage"])
    if left := study.left():
        print_rest(left, 0, total)
    elif study.settings["sampler"] != "grid":
        console.out.print(
            f"The same command with hydra.sweeper.trials={2 * total} adds {total} more."
        )


def in_words(counts: Counter[str]) -> str:
    """Return counts in words, such as 3 finished, 1 pruned."""
    return ", ".join(f"{count} {word}" for word, count in counts.most_common()) or "none"
