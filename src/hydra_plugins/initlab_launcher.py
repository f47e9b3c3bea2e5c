"""A launcher for Hydra: the jobs of a sweep on all cores, each reported as it ends."""

from __future__ import annotations

from hydra.core.config_store import ConfigStore

from hydra_plugins._launchers import EngineLauncher, refuse_places


class CoresLauncher(EngineLauncher):
    """Runs one job after another in each of `processes` processes.

    null means one process per core, or a single one where that is faster. With a single one, jobs
    run in the process of the sweep itself.
    """

    def __init__(self, processes: int | None) -> None:
        from initlab.sweep.pool import Pool, cores  # not needed when Hydra looks for plug-ins

        refuse_places(processes, "all cores")
        super().__init__(Pool(processes or cores(), needed=processes is not None))


ConfigStore.instance().store(
    group="hydra/launcher",
    name="cores",
    node={"_target_": f"{__name__}.CoresLauncher", "processes": None},
    provider="initlab",
)
