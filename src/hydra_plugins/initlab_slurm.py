"""A launcher for Hydra: the jobs of a sweep on a Slurm cluster, each reported as it ends."""

# Hydra loads plug-ins so that annotations of a dataclass must not be put off by `__future__`.
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

from hydra_plugins._launchers import EngineLauncher, require


@dataclass
class SlurmConfig:
    """Where and how trials run: the `hydra.launcher.*` keys of `hydra/launcher=slurm`.

    processes      how many jobs of Slurm at once; each runs one trial after another
    partition      of the jobs; null: Slurm's default, as for what follows
    account        that they are charged to
    qos            their quality of service
    time           how long a job may take, in minutes; trials that it cannot end run again in
                   another
    mem            memory of a job, such as 4GB
    cpus_per_task  processors of a job
    additional     other options of sbatch by name, such as {nice: 100}
    """

    _target_: str = f"{__name__}.SlurmLauncher"
    processes: int = 8
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: int | None = None
    mem: str | None = None
    cpus_per_task: int | None = None
    additional: dict[str, Any] = field(default_factory=dict)


class SlurmLauncher(EngineLauncher):
    """Runs the jobs of a sweep in jobs of Slurm."""

    def __init__(self, processes: int, additional: dict[str, Any], **parameters: Any) -> None:
        from initlab.config import ConfigError  # not needed when Hydra looks for plug-ins
        from initlab.sweep.on_slurm import Slurm

        require("submitit", "slurm")
        for name in ("processes", "time", "cpus_per_task"):
            number = {**parameters, "processes": processes}[name]
            if number is not None and number < 1:
                raise ConfigError(f"hydra.launcher.{name} must be at least 1; got {number}")
        self.slurm = Slurm(processes, {**parameters, "additional_parameters": additional})
        super().__init__(self.slurm)

    def setup(self, **passed: Any) -> None:
        """Keep what Hydra passes; the engine leaves its files beside the folders of sweeps."""
        super().setup(**passed)
        self.slurm.folder = Path(self.config.hydra.sweep.dir).parent


ConfigStore.instance().store(
    group="hydra/launcher", name="slurm", node=SlurmConfig, provider="initlab"
)
