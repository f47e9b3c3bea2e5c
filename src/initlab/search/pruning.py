"""Pruning: what a training reports to its study, and whether it is ended early."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.storages import BaseStorage

from initlab.search.journal import open_storage
from initlab.tracking.record import Record

REPORTS = 50  # of a run of `model=quadratic`, which has no evaluations


class Reporter:
    """Reports a training to its study, and asks the pruner whether to end it."""

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
        """Report the last step of a record, where it has the metric; return whether to end there.

        No training is ended at its first or last step. The pruner compares the best value that each
        training has had, so the value before any step protects it until others have learnt more.
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
    """Return a storage; each is opened once in a process."""
    return open_storage(place)


@functools.cache
def study_of(place: str, name: str) -> optuna.Study:
    """Return a study; each is loaded once in a process."""
    return optuna.load_study(study_name=name, storage=storage_of(place))


def make_pruner(settings: Mapping[str, Any]) -> BasePruner:
    """Return the pruner that the settings name."""
    if settings["pruner"] == "none":
        return NopPruner()
    return MedianPruner(settings["startup_trials"], settings["warmup_steps"])
