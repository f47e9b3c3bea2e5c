"""Names: the words beside its numbers that a run leaves in a store. Once published they stay.

`TakenError` is no word but an exception, for those who cannot wait for MLflow's import to catch it.
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    DIVERGED = "diverged"  # a loss was not finite
    PRUNED = "pruned"  # by a search
    FAILED = "failed"
    KILLED = "killed"
    RUNNING = "running"


class Status(StrEnum):
    """The status of a run, in MLflow's words."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    RUNNING = "RUNNING"


class Role(StrEnum):
    """What a run is: one training, or the summary of a sweep."""

    TRIAL = "trial"
    SUMMARY = "summary"


class Tag(StrEnum):
    """The keys of tags."""

    ROLE = "role"
    OUTCOME = "outcome"
    VERDICT = "verdict"
    ERROR = "error"
    FINGERPRINT = "fingerprint"
    COMMAND = "command"
    SWEEP = "sweep"
    STUDY = "study"
    EXPERIMENT = "experiment"
    CHI1 = "theory.chi1"  # of many layers like the last hidden one
    DEPTH_SCALE = "theory.depth_scale"  # ξ_c, in layers
    TEST_EXAMPLES = "examples.test"
    VALIDATION_EXAMPLES = "examples.validation"
    DATA = "version.data"
    NUMERICS = "version.numerics"
    COMMIT = "mlflow.source.git.commit"
    DIRTY = "mlflow.source.git.dirty"
    NOTE = "mlflow.note.content"  # the description on the page of a run
    COLOR = "mlflow.runColor"


class TakenError(Exception):
    """Another run has, or will have, the numbers that a run was about to make: `run_id`."""

    def __init__(self, run_id: str) -> None:
        super().__init__(run_id)
        self.run_id = run_id
