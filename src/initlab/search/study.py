"""A study: the points that a search has tried, as Optuna keeps them, and what came of each.

Its trials have two attributes: `process`, of whoever asked for it, and `again`, the number of the
lost or failed trial of the same point that it replaces. The trials without `again` are the points
0, 1, 2 … of the study.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from initlab.config import ConfigError
from initlab.process import identity, is_gone, signals_deferred
from initlab.run import Result
from initlab.search.journal import explained, open_storage
from initlab.search.space import Dimension, Space
from initlab.tracking.names import Outcome

GRACE_SECONDS = 60.0  # after which a trial that nobody has signed is lost
STATES = {
    Outcome.FINISHED: TrialState.COMPLETE,
    Outcome.DIVERGED: TrialState.PRUNED,
    Outcome.PRUNED: TrialState.PRUNED,
}


def direction(metric: str) -> Literal["maximize", "minimize"]:
    """Return which way a metric is better."""
    return "maximize" if metric.endswith("accuracy") else "minimize"


def lost(trial: FrozenTrial) -> bool:
    """Return whether a trial is under way no more, though it says so."""
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
    """The study of a search, which is made if there is none of its name.

    settings  those of hydra.sweeper, with a storage, a name and a metric
    mark      of all that must be the same in all trials

    Raises `ConfigError` if the storage cannot be used or has another study of this name.
    """

    def __init__(self, settings: Mapping[str, Any], space: Space, mark: str) -> None:
        self.settings = settings
        self.space = space
        self.points = space.combinations if settings["sampler"] == "grid" else []
        self.total = len(self.points) or settings["trials"]
        self.process = identity()
        self.open: dict[int, optuna.Trial] = {}  # by number, those this process has under way
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
        """All trials there are, in the order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    def point(self, number: int) -> int:
        """Return which point of the study a trial is at."""
        trials = self.trials
        while "again" in trials[number].user_attrs:
            number = trials[number].user_attrs["again"]
        return number - sum("again" in trial.user_attrs for trial in trials[:number])

    def left(self) -> int:
        """Return how many trials there are to be run."""
        trials = self.trials
        begun = sum("again" not in trial.user_attrs for trial in trials)
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        return max(self.total - begun, 0) + waiting

    def ask(self) -> tuple[int, int, dict[str, Any]] | None:
        """Begin a trial: return its number, its point and the values of that; None at the end.

        A point depends on the seed and its number alone, if not on what came of others, by tpe.
        """
        if not self.left():
            return None
        with signals_deferred(), explained(self.settings["storage"]):
            # A trial is signed before it is under way, or a kill between would leave it to nobody.
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
        """Return what chooses the values of a point."""
        seed = int(np.random.SeedSequence([self.settings["seed"], point]).generate_state(1)[0])
        if self.settings["sampler"] == "grid":
            return Fixed(self.points[point % len(self.points)])
        return (
            RandomSampler(seed) if self.settings["sampler"] == "random" else TPESampler(seed=seed)
        )

    def tell(self, number: int, result: Result, run_id: str = "") -> None:
        """End a trial; `run_id` is that of another's run that has its numbers."""
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
        """End what this process has begun and will not end."""
        for number in [*self.open]:
            self.tell(number, Result(Outcome.KILLED))

    def resume(self) -> None:
        """Have the points tried again whose trial failed, or was lost with its process."""
        for trial in self.trials:
            if lost(trial):
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
        """Return how many points came to what."""
        trials = self.trials
        replaced = {trial.user_attrs.get("again") for trial in trials}
        return Counter(
            trial.user_attrs.get("outcome", trial.state.name.lower())
            for trial in trials
            if trial.number not in replaced
        )

    def taken(self) -> list[str]:
        """Return the ids of the runs that others had made of its points."""
        runs = (trial.user_attrs.get("run") for trial in self.trials)
        return [run for run in runs if run]

    def best(self) -> tuple[int, float, dict[str, Any]] | None:
        """Return the point that did best, its value and its values, None if none was finished."""
        done = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        if not done:
            return None
        best = self.study.best_trial
        assert best.value is not None
        return self.point(best.number), best.value, best.params


def suggested(trial: optuna.Trial, dimension: Dimension) -> Any:
    """Return the value that a trial is given for a key."""
    key, low, high, step = dimension.key, dimension.low, dimension.high, dimension.step
    if dimension.kind == "choice":
        return trial.suggest_categorical(key, dimension.choices)
    if dimension.kind == "int":
        return trial.suggest_int(key, int(low), int(high), step=int(step or 1), log=dimension.log)
    return trial.suggest_float(key, low, high, step=step, log=dimension.log)


def look(settings: Mapping[str, Any]) -> Counter[str]:
    """Return how many trials of a study came to what, without making anything."""
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
