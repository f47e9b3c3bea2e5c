"""A reporter: what a training tells the study that it is a trial of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.storages import BaseStorage

from initlab.search.journal import open_storage
from initlab.tracking.record import Record

REPORTS = 50  # of a descent, which has no evaluations


class Reporter:
    """Tells a study how a training goes, and asks it whether that is worth going on."""

    def __init__(self, settings: Mapping[str, Any], steps: int) -> None:
        self.metric = settings["metric"]
        self.steps = steps
        self.storage = storage_of(settings["storage"])
        self.study = study_of(settings["storage"], settings["study"])
        self.pruner = make_pruner(settings)
        study_id = self.storage.get_study_id_from_name(settings["study"])
        number = settings["number"]
        self.trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)

    def prunes(self, record: Record) -> bool:
        """Report what the last step of a record has to report; return whether to end there.

        None is ended as initialised, nor at its last step. As a training is judged by the best it
        has had, what it had to begin with spares it until others have learnt something.
        """
        step = record.steps[-1]
        every = max(1, self.steps // REPORTS)
        due = step.evaluation or (step.point and step.number % every == 0)
        value = record.value(self.metric) if due and not step.diverged else None
        if value is None:
            return False
        self.storage.set_trial_intermediate_value(self.trial_id, step.number, value)
        if step.number in (0, self.steps):
            return False
        return self.pruner.prune(self.study, self.storage.get_trial(self.trial_id))


@functools.cache
def storage_of(place: str) -> BaseStorage:
    """Return a storage, which is opened once in a process."""
    return open_storage(place)


@functools.cache
def study_of(place: str, name: str) -> optuna.Study:
    """Return a study, which is opened once in a process."""
    return optuna.load_study(study_name=name, storage=storage_of(place))


def make_pruner(settings: Mapping[str, Any]) -> BasePruner:
    """Return what ends the trainings of a search early."""
    if settings["pruner"] == "none":
        return NopPruner()
    return MedianPruner(settings["startup_trials"], settings["warmup_steps"])


def open_pruner(settings: Mapping[str, Any], steps: int) -> Callable[[Record], bool]:
    """Return what reports a training to its study, and says whether to end it."""
    return Reporter(settings, steps).prunes
