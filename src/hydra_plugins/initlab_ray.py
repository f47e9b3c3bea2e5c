"""A launcher for Hydra: the jobs of a sweep on a Ray cluster, each reported as it ends."""

# Hydra loads plug-ins so that annotations of a dataclass must not be put off by `__future__`.
import math
from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore

from hydra_plugins._launchers import EngineLauncher, refuse_places, require


@dataclass
class RayConfig:
    """Where and how trials run: the `hydra.launcher.*` keys of `hydra/launcher=ray`.

    address    of the cluster; null: $RAY_ADDRESS, else that of this host; where there is none, one
               is started on this host for the sweep
    processes  how many trials at once; null: as many as there are resources for
    num_cpus   processors that Ray reserves for a trial
    num_gpus   GPUs, likewise
    resources  custom resources by name, likewise
    """

    _target_: str = f"{__name__}.RayLauncher"
    address: str | None = None
    processes: int | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    resources: dict[str, float] = field(default_factory=dict)


class RayLauncher(EngineLauncher):
    """Runs each job as a task of a Ray cluster."""

    def __init__(
        self,
        address: str | None,
        processes: int | None,
        num_cpus: float,
        num_gpus: float,
        resources: dict[str, float],
    ) -> None:
        from initlab.config import ConfigError  # not needed when Hydra looks for plug-ins
        from initlab.sweep.on_ray import Ray

        require("ray", "ray")
        refuse_places(processes, "as many as there are resources for")
        needs = {"num_cpus": num_cpus, "num_gpus": num_gpus, **resources}
        for name, amount in needs.items():
            if not 0 <= amount < math.inf:
                raise ConfigError(f"hydra.launcher.{name} must be 0 or more; got {amount}")
        if not any(needs.values()):
            raise ConfigError(
                "hydra.launcher.num_cpus must be above 0 where a trial needs nothing else"
            )
        super().__init__(Ray(address, processes, needs))


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayConfig, provider="initlab")
