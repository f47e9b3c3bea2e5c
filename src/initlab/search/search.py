"""A search: trials that Optuna chooses from a space, with the best of them told at the end."""

from __future__ import annotations

import gc
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from initlab import checks, console
from initlab.config import Config, ConfigError
from initlab.nn.metrics import Metric
from initlab.nn.models import NetworkModel
from initlab.process import gc_paused
from initlab.run import Pruner, Result
from initlab.search.space import Space
from initlab.sweep.execute import claim, conclude, finish, open_for, refuse_nameless
from initlab.sweep.launch import launch, pays
from initlab.sweep.plan import Compose, State, TrialPlan, check, common_config, look_up_one
from initlab.sweep.progress import SweepProgress
from initlab.tracking.names import Outcome
from initlab.tracking.provenance import digest

if TYPE_CHECKING:  # MLflow takes a second to import, Optuna a quarter of one
    from initlab.search.study import Study
    from initlab.tracking.store import Store

SAMPLERS = ("random", "tpe", "grid")
PRUNERS = ("median", "none")
METRICS = (
    Metric.VALIDATION_ACCURACY,
    Metric.VALIDATION_LOSS,
    Metric.TEST_ACCURACY,
    Metric.TEST_LOSS,
    Metric.TRAIN_ACCURACY,
    Metric.TRAIN_LOSS,
    Metric.F,
)


def run(
    overrides: Sequence[Override],
    typed: Mapping[str, Any],
    compose: Compose,
    launcher: Any,
    multirun: DictConfig,
) -> int:
    """Search a space until its study has as many trials as it is to have; return the exit status.

    overrides  what is chosen from and what is fixed
    typed      the settings of hydra.sweeper

    Raises a `UserError`, before any trial starts, if one at an end of the space could not.
    """
    gc.freeze()  # or each search for garbage would go through all that was imported
    refuse(typed, launcher)
    space = Space(overrides)
    corners = space.checked(compose)
    config = common_config(corners)
    folder = Path(multirun.hydra.sweep.dir)
    refuse_nameless(folder)
    settings, mark = settle(typed, space, corners, folder)
    pool = launcher.pool
    if not config.sweep.dry_run and pays(corners[:1] * settings["trials"], pool):
        pool.warm_up()  # while the store is opened
    with gc_paused():
        store = open_for(config) if config.tracking.enabled else None
        gc.freeze()  # MLflow as well
    if config.sweep.dry_run:
        plan(space, settings)
        return 0
    from initlab.search.study import Study

    study = Study(settings, space, mark)
    study.resume()
    gc.freeze()  # Optuna as well
    folder = claim(folder, multirun, store)
    left = study.left()
    if not pays(corners[:1] * left, pool):
        pool.processes = 1
    shown = SweepProgress(left, space.longest + len(f"#{study.total} "), study.total - left)
    search = Search(space, study, compose, store, shown)
    try:
        ended, caught = launch(search.trials(), launcher, folder, shown, open_pruner, search.tell)
    finally:
        study.close()

    def tell() -> None:
        finish(corners[0], folder, ended, study.taken(), study.total, settings["study"])
        summarize(space, study)

    return conclude(folder, store, ended, caught, tell) or int(search.unfit > 0)


def open_pruner(trial: TrialPlan) -> Callable[[], Pruner]:
    """Return what opens the pruner of a trial, in the process that runs it."""
    from initlab.search.pruning import open_pruner as opened

    assert trial.spec.search is not None
    return partial(opened, trial.spec.search, trial.config.train.steps)


class Search:
    """The trials of a search, each composed when there is a process for it.

    unfit  how many could not be composed, which no end of the space had shown
    """

    def __init__(
        self,
        space: Space,
        study: Study,
        compose: Compose,
        store: Store | None,
        shown: SweepProgress,
    ) -> None:
        self.space = space
        self.study = study
        self.compose = compose
        self.store = store
        self.shown = shown
        self.numbers: list[int] = []  # of the trials in the study, in the order of their launch
        self.unfit = 0

    def trials(self) -> Iterator[TrialPlan]:
        """Yield trials until the study has enough; each may depend on what came of the others."""
        while asked := self.study.ask():
            number, point, values = asked
            try:
                trial = self.trial(number, point, values)
            except ConfigError as error:
                self.study.tell(number, Result(Outcome.FAILED))
                self.unfit += 1
                self.shown.skipped()
                self.shown.say(f"#{point} cannot be run: {error}")
                continue
            if not self.known(trial, number):
                self.numbers.append(number)
                yield trial

    def trial(self, number: int, point: int, values: Mapping[str, Any]) -> TrialPlan:
        """Compose a point; raises `ConfigError` if that is impossible."""
        name = f"#{point} {self.space.name(self.space.texts(values))}"
        trial = check(name, self.space.overrides(values), self.compose)
        return replace(
            trial, spec=replace(trial.spec, search={**self.study.settings, "number": number})
        )

    def known(self, trial: TrialPlan, number: int) -> bool:
        """Return whether a run of another has the numbers of a trial, and tell the study of it."""
        if not self.store or trial.config.sweep.existing == "rerun":
            return False
        state, run_id = look_up_one(self.store, trial.spec.fingerprint)
        if state != State.CACHED:
            return False
        from initlab.tracking.store import explained

        with explained(self.store.uri):
            metrics = self.store.client.get_run(run_id).data.metrics
        metric = self.study.settings["metric"]
        if metric == Metric.TRAIN_LOSS or metric not in metrics:  # whose mean is not in the store
            return False
        self.study.tell(number, Result(Outcome.FINISHED, value=metrics[metric]), run_id)
        self.shown.skipped()
        return True

    def tell(self, index: int, result: Result) -> None:
        """Tell the study what came of a trial."""
        self.study.tell(self.numbers[index], result)


def refuse(typed: Mapping[str, Any], launcher: Any) -> None:
    """Raise `ConfigError` for a setting of hydra.sweeper that is wrong by itself."""
    try:
        checks.one_of("sampler", typed["sampler"], SAMPLERS)
        checks.one_of("pruner", typed["pruner"], PRUNERS)
        checks.at_least("trials", typed["trials"], 1)
        for name in ("seed", "startup_trials", "warmup_steps"):
            checks.at_least(name, typed[name], 0)
        if typed["metric"] is not None:
            checks.one_of("metric", typed["metric"], METRICS)
        for name in ("storage", "study"):
            if typed[name] is not None and not typed[name].strip():
                raise ValueError(f"{name} must be null or not empty; got {typed[name]!r}")
    except ValueError as error:
        raise ConfigError(f"hydra.sweeper.{error}") from error
    if not hasattr(launcher, "pool"):
        raise ConfigError("hydra/launcher must be cores or basic for hydra/sweeper=search")


def settle(
    typed: Mapping[str, Any], space: Space, corners: Sequence[TrialPlan], folder: Path
) -> tuple[dict[str, Any], str]:
    """Return the settings with nothing left open, and the mark of what all trials share."""
    config = corners[0].config
    if config.sweep.existing == "error":
        raise ConfigError("sweep.existing must be one of skip, rerun in a search; got 'error'")
    settings = {name: value for name, value in typed.items() if name != "params"}
    if settings["sampler"] == "grid":
        settings["trials"] = len(space.combinations)
    settings["metric"] = settings["metric"] or (measured(config) or ["none"])[0]
    for trial in corners:
        there = measured(trial.config)
        if settings["metric"] not in there:
            raise ConfigError(
                f"hydra.sweeper.metric must be one of {', '.join(there) or 'none at all'}, which "
                f"all trials have; got {settings['metric']!r}\nin the trial {trial.name}"
            )
    names = ("metric", "sampler", "seed", "pruner", "startup_trials", "warmup_steps")
    mark = digest([corners[0].spec.fingerprint, space.plain, [settings[name] for name in names]])
    settings["study"] = settings["study"] or f"search-{mark}"
    file = folder.parent.resolve() / f"{quote(settings['study'], safe=' ')}.journal"
    settings["storage"] = settings["storage"] or str(file)
    return settings, mark


def measured(config: Config) -> list[str]:
    """Return the metrics that the trials of a config end with, the one to search by first."""
    if not isinstance(config.model, NetworkModel):
        return [Metric.F]
    if not config.data.labelled:
        return []
    held_out = getattr(config.data, "validation", 0.0) > 0
    return [
        metric
        for metric in METRICS[:-1]
        if (held_out or not metric.startswith("validation/"))
        and (config.train.steps or metric != Metric.TRAIN_LOSS)
    ]


def plan(space: Space, settings: Mapping[str, Any]) -> None:
    """Print the space and the study of a search that is not to be run."""
    from initlab.search.study import direction, look

    for each in space.dimensions:
        console.print_pair(each.key, each.words)
    counts = look(settings)
    console.print_pair("metric", f"{settings['metric']} ({direction(settings['metric'])})")
    console.print_pair("study", f"{settings['study']} in {settings['storage']}")
    console.print_pair("trials", f"{settings['trials']}, so far {listed(counts)}")


def summarize(space: Space, study: Study) -> None:
    """Print the best point, as it is typed, and how far the study is."""
    metric, total = study.settings["metric"], study.total
    if best := study.best():
        point, value, values = best
        shown = f"{value:.1%}" if metric.endswith("accuracy") else f"{value:.4g}"
        console.print_pair("best", f"#{point} with {metric} {shown}:")
        console.out.print(
            shlex.join(["python", "src/train.py", *space.overrides(values)]), soft_wrap=True
        )
    console.print_pair("study", f"{study.settings['study']}: {listed(study.outcomes())}")
    console.print_pair("in", study.settings["storage"])
    if left := study.left():
        console.out.print(f"not run: {left} of {total} trials. The same command goes on from here.")
    elif study.settings["sampler"] != "grid":
        console.out.print(
            f"The same command with hydra.sweeper.trials={2 * total} adds {total} more."
        )


def listed(counts: Counter[str]) -> str:
    """Return counts in words."""
    return ", ".join(f"{count} {word}" for word, count in counts.most_common()) or "none"
