"""Hydra's launcher of initlab: the jobs of a sweep on all cores, each handed back as it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from hydra import version
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class CoresLauncher(Launcher):
    """Runs one job after another in each of `processes` processes.

    null stands for as many as there are cores, or for one where that is faster. With one, jobs run
    in the process of the sweep itself. A job that was composed before, to be checked, is not
    composed again: `composed` has it by its overrides, until it is launched.
    """

    def __init__(self, processes: int | None) -> None:
        from initlab.config import ConfigError  # not needed when Hydra looks for plug-ins
        from initlab.pool import Pool, cores

        if processes is not None and not (type(processes) is int and processes > 0):
            raise ConfigError(
                "hydra.launcher.processes must be null, for all cores, or a number above 0; "
                f"got {processes!r}"
            )
        self.pool = Pool(processes or cores(), needed=processes is not None)
        self.composed: dict[tuple[str, ...], DictConfig] = {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives."""
        self.context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs and return what they returned, in their order."""
        answers = dict(self.stream(job_overrides, initial_job_idx))
        return [answers[index] for index in range(len(job_overrides))]

    def stream(
        self, job_overrides: Iterable[Sequence[str]], initial_job_idx: int = 0
    ) -> Iterator[tuple[int, Any]]:
        """Run jobs; yield what the pool yields: (index, Started), later (index, JobReturn)."""
        configs = self.configs(job_overrides, initial_job_idx)
        yield from self.pool.run(partial(job, self.context, self.task_function), configs)

    def configs(
        self, job_overrides: Iterable[Sequence[str]], initial_job_idx: int
    ) -> Iterator[DictConfig]:
        """Yield the whole config of each job."""
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            config = self.composed.pop(tuple(overrides), None) or self.compose(overrides)
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            yield config

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the whole config of a job."""
        return self.context.config_loader.load_sweep_config(self.config, list(overrides))


def job(context: HydraContext, task_function: TaskFunction, config: DictConfig) -> JobReturn:
    """Run one job as Hydra does, in whatever process."""
    setup_globals()
    version.setbase(config.hydra.runtime.version_base)  # or jobs might change the working folder
    return run_job(
        hydra_context=context,
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        configure_logging=False,
    )


for name, processes in (("cores", None), ("basic", 1)):
    ConfigStore.instance().store(
        group="hydra/launcher",
        name=name,
        node={"_target_": f"{__name__}.CoresLauncher", "processes": processes},
        provider="initlab",
    )
