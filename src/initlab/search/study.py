"""A study: the points that a search has tried, as Optuna keeps them, and their results.

A trial has two attributes: `process` identifies the process that asked for it, and `again` is the
number of the lost or failed trial of the same point that it replaces. The trials without `again`
are the points 0, 1, 2 … of the study.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from initlab.config import ConfigError
from initlab.process import identity, is_gone, signals_deferred
from initlab.run import Result
from initlab.search.journal import explained, open_storage
from initlab.search.settings import direction
from initlab.search.space import Dimension, Space
from initlab.tracking.names import Outcome

GRACE_SECONDS = 60.0  # after which a trial without the attribute `process` is lost
STATES = {
    Outcome.FINISHED: TrialState.COMPLETE,
    Outcome.DIVERGED: TrialState.PRUNED,
    Outcome.PRUNED: TrialState.PRUNED,
}


def is_lost(trial: FrozenTrial) -> bool:
    """Return whether a trial is marked as running, but its process is gone."""
    if trial.state != TrialState.RUNNING:
        return False
    if "process" in trial.user_attrs:
        return is_gone(trial.user_attrs["process"])
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    return time.time() - begun > GRACE_SECONDS


class Fixed(BaseSampler):
    """Gives each key the value of one point."""

    def __init__(self, point: Mapping[str, Any]) -> None:
        self.point = point

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return no keys: none depends on another."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no values."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of a key."""
        return self.point[param_name]


class Study:
    """The study of a search, which is created if there is none of its name.

    settings  those of hydra.sweeper, completed
    mark      a hash of all that its trials share

    Raises `ConfigError` if the storage cannot be used or has another study of this name.
    """

    def __init__(self, settings: Mapping[str, Any], space: Space, mark: str) -> None:
        self.settings = settings
        self.space = space
        self.points = space.combinations if settings["sampler"] == "grid" else []
        self.total = len(self.points) or settings["trials"]
        self.process = identity()
        self.open: dict[int, optuna.Trial] = {}  # by number, those that this process runs
        name = settings["study"]
        with explained(settings["storage"]):
            self.study = optuna.create_study(
                storage=open_storage(settings["storage"]),
                study_name=name,
                direction=direction(settings["metric"]),
                load_if_exists=True,
            )
            known = self.study.user_attrs.get("mark", "" if self.trials else mark)
            if known != mark:
                raise ConfigError(
                    f"hydra.sweeper.study={name}: the study of this name has another space or "
                    "other settings; choose another name, or null for one of its own"
                )
            for key, value in (("mark", mark), ("metric", settings["metric"])):
                if key not in self.study.user_attrs:
                    self.study.set_user_attr(key, value)

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """All trials, in the order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    def point(self, number: int) -> int:
        """Return the index of the point that a trial is at."""
        trials = self.trials
        while "again" in trials[number].user_attrs:
            number = trials[number].user_attrs["again"]
        return number - sum("again" in trial.user_attrs for trial in trials[:number])

    def left(self) -> int:
        """Return how many trials are still to be run."""
        trials = self.trials
        begun = sum("again" not in trial.user_attrs for trial in trials)
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        return max(self.total - begun, 0) + waiting

    def ask(self) -> tuple[int, int, dict[str, Any]] | None:
        """Begin a trial: return its number, the index of its point and the values; None at the end.

        A point depends only on the seed and its index; with tpe, on the results so far as well.
        """
        if not self.left():
            return None
        with signals_deferred(), explained(self.settings["storage"]):
            # The process is recorded first, or a kill in between would leave a trial that has none.
            if not any(trial.state == TrialState.WAITING for trial in self.trials):
                self.study.enqueue_trial({}, {"process": self.process})
            trial = self.study.ask()
            self.open[trial.number] = trial
            trial.set_user_attr("process", self.process)
            point = self.point(trial.number)
            self.study.sampler = self.sampler(point)
            values = {each.key: suggested(trial, each) for each in self.space.dimensions}
        return trial.number, point, values

    def sampler(self, point: int) -> BaseSampler:
        """Return what chooses the values of a point, by its index."""
        seed = int(np.random.SeedSequence([self.settings["seed"], point]).generate_state(1)[0])
        if self.settings["sampler"] == "grid":
            return Fixed(self.points[point % len(self.points)])
        return (
            RandomSampler(seed) if self.settings["sampler"] == "random" else TPESampler(seed=seed)
        )

    def tell(self, number: int, result: Result, run_id: str = "") -> None:
        """End a trial; `run_id` is the earlier run that has its numbers, if any."""
        state = STATES.get(result.outcome, TrialState.FAIL)
        if state == TrialState.COMPLETE and result.value is None:
            state = TrialState.FAIL
        trial = self.open[number]
        with signals_deferred(), explained(self.settings["storage"]):
            trial.set_user_attr("outcome", str(result.outcome))
            if run_id:
                trial.set_user_attr("run", run_id)
            value = result.value if state == TrialState.COMPLETE else None
            self.study.tell(trial, value, state)
            del self.open[number]

    def close(self) -> None:
        """End the trials that this process began and did not finish."""
        for number in [*self.open]:
            self.tell(number, Result(Outcome.KILLED))

    def resume(self) -> None:
        """Queue the points again whose trial failed or was lost with its process."""
        for trial in self.trials:
            if is_lost(trial):
                self.study.tell(trial.number, state=TrialState.FAIL)
        trials = self.trials
        replaced = {trial.user_attrs.get("again") for trial in trials}
        for trial in trials:
            if trial.state == TrialState.FAIL and trial.number not in replaced:
                whole = len(trial.params) == len(self.space.dimensions)
                values = trial.params if whole else {}
                attributes = {"again": trial.number, "process": self.process}
                self.study.enqueue_trial(values, attributes)

    def outcomes(self) -> Counter[str]:
        """Return how many points have each outcome."""
        trials = self.trials
        replaced = {trial.user_attrs.get("again") for trial in trials}
        return Counter(
            trial.user_attrs.get("outcome", trial.state.name.lower())
            for trial in trials
            if trial.number not in replaced
        )

    def cached_runs(self) -> list[str]:
        """Return the ids of earlier runs that have the numbers of its points."""
        runs = (trial.user_attrs.get("run") for trial in self.trials)
        return [run for run in runs if run]

    def best(self) -> tuple[int, float, dict[str, Any]] | None:
        """Return the index of the best point, its metric and its values; None if none finished."""
        done = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        if not done:
            return None
        best = self.study.best_trial
        assert best.value is not None
        return self.point(best.number), best.value, best.params


def suggested(trial: optuna.Trial, dimension: Dimension) -> Any:
    """Return the value that Optuna chooses for a key."""
    key, low, high, step = dimension.key, dimension.low, dimension.high, dimension.step
    if dimension.kind == "choice":
        return trial.suggest_categorical(key, dimension.choices)
    if dimension.kind == "int":
        return trial.suggest_int(key, int(low), int(high), step=int(step or 1), log=dimension.log)
    return trial.suggest_float(key, low, high, step=step, log=dimension.log)


def count_outcomes(settings: Mapping[str, Any]) -> Counter[str]:
    """Return how many trials of a study have each outcome, without creating anything."""
    place = settings["storage"]
    file = place.removeprefix("sqlite:///") if "://" in place else place
    if "://" not in file and not Path(file).exists():
        return Counter()
    with explained(place):
        try:
            study = optuna.load_study(study_name=settings["study"], storage=open_storage(place))
        except KeyError:
            return Counter()
        return Counter(
            trial.user_attrs.get("outcome", trial.state.name.lower()) for trial in study.trials
        )
