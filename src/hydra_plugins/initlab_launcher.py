"""A launcher for Hydra: the jobs of a sweep on all cores, each reported as it ends."""

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

    null means one process per core, or a single one where that is faster. With a single one, jobs
    run in the process of the sweep itself.
    """

    def __init__(self, processes: int | None) -> None:
        from initlab.config import ConfigError  # not needed when Hydra looks for plug-ins
        from initlab.sweep.pool import Pool, cores

        if processes is not None and not (type(processes) is int and processes > 0):
            raise ConfigError(
                "hydra.launcher.processes must be null, for all cores, or a number above 0; "
                f"got {processes!r}"
            )
        self.pool = Pool(processes or cores(), needed=processes is not None)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra passes."""
        self.context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run all jobs and return what they returned, in their order."""
        loader = self.context.config_loader
        calls = (
            (loader.load_sweep_config(self.config, list(overrides)), self.task_function)
            for overrides in job_overrides
        )
        answers = dict(self.stream(calls, initial_job_idx))
        return [answers[index] for index in range(len(job_overrides))]

    def stream(
        self, calls: Iterable[tuple[DictConfig, TaskFunction]], initial_job_idx: int = 0
    ) -> Iterator[tuple[int, Any]]:
        """Run jobs, each a whole config and what is called with it.

        Yields what the pool yields: (index, Started), later (index, JobReturn).
        """
        numbered = (
            (number, config, task) for number, (config, task) in enumerate(calls, initial_job_idx)
        )
        yield from self.pool.run(partial(run_one, self.context), numbered)


def run_one(context: HydraContext, call: tuple[int, DictConfig, TaskFunction]) -> JobReturn:
    """Run one job as Hydra does, in this process or another."""
    number, config, task = call
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
    setup_globals()
    version.setbase(config.hydra.runtime.version_base)  # or jobs might change the working folder
    return run_job(
        hydra_context=context,
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        configure_logging=False,
    )


ConfigStore.instance().store(
    group="hydra/launcher",
    name="cores",
    node={"_target_": f"{__name__}.CoresLauncher", "processes": None},
    provider="initlab",
)
