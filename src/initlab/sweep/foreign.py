"""The launchers of others, such as Hydra's for joblib and submitit, as an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hydra.plugins.launcher import Launcher

from initlab.checks import one_line
from initlab.sweep.engine import Engine, Started


class Foreign(Engine):
    """Gives all calls to a launcher at once, which returns when all have ended.

    It composes the config of each trial again from its overrides.
    """

    alone = True
    prompt = False

    def __init__(self, launcher: Launcher, name: str) -> None:
        super().__init__()
        self.launcher = launcher
        self.name = name

    def run(
        self, function: Callable[[Any], Any], arguments: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Launch the jobs; yield what became of them at the end."""
        self.say(
            f"hydra/launcher={self.name} tells of no trial before all have ended. "
            "sweep.on_error=stop and Ctrl-C do not reach its trials."
        )
        overrides = [job.overrides for job in arguments]
        for index in range(len(overrides)):
            yield index, Started()
        try:
            answers = self.launcher.launch(overrides, initial_job_idx=0)
        except Exception as error:  # of one trial: what became of the others is not known
            self.say(f"hydra/launcher={self.name} has failed: {one_line(error)}")
            return
        yield from enumerate(answers)
