"""What our launchers share: an engine, which runs the jobs of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:  # not needed when Hydra looks for plug-ins
    from initlab.sweep.engine import Engine


def refuse_places(processes: int | None, null: str) -> None:
    """Raise `ConfigError` for an invalid number of processes; `null` says what null stands for."""
    from initlab.config import ConfigError

    if processes is not None and not (type(processes) is int and processes > 0):
        raise ConfigError(
            f"hydra.launcher.processes must be null, for {null}, or a number above 0; "
            f"got {processes!r}"
        )


def require(package: str, extra: str) -> None:
    """Raise `ConfigError` if the package of an extra is not installed."""
    from initlab.config import ConfigError

    if find_spec(package) is None:
        raise ConfigError(
            f"hydra/launcher={extra} needs the package {package}, which is not installed: "
            f"pip install -e '.[{extra}]'"
        )


class EngineLauncher(Launcher):
    """Runs the jobs of a sweep on an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra passes."""
        self.context = hydra_context
        self.task_function: TaskFunction = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs and return what they returned, in their order; for any sweeper."""
        from initlab.sweep.launch import Job, run_job_of

        loader = self.context.config_loader
        jobs = (
            Job(number, loader.load_sweep_config(self.config, [*each]), self.task_function, [*each])
            for number, each in enumerate(job_overrides, initial_job_idx)
        )
        engine = self.engine.fit(len(job_overrides), float("inf"))
        answers: dict[int, Any] = dict(engine.run(partial(run_job_of, self.context), jobs))
        return [answers[index] for index in range(len(job_overrides))]
