"""What our two sweepers share: their launcher, and the settings they read."""

from __future__ import annotations

from abc import ABC
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins._launchers import EngineLauncher

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


class CheckedSweeper(Sweeper, ABC):
    """A sweeper that checks every trial before the first one starts.

    params  keys and what they are swept over, as if it had been typed before the arguments
    """

    params: Any

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra passes, and create the launcher.

        Hydra's own `basic` runs one trial after another in this process. So does ours with one
        process, and reports each as it ends.
        """
        from hydra.core.plugins import Plugins

        from hydra_plugins.initlab_launcher import CoresLauncher
        from initlab.sweep.foreign import Foreign

        self.context = hydra_context
        self.config: DictConfig = config
        if OmegaConf.select(config, "hydra.launcher._target_") == BASIC_LAUNCHER:
            self.launcher: EngineLauncher = CoresLauncher(1)
        else:
            launcher = Plugins.instance().instantiate_launcher(
                hydra_context=hydra_context, task_function=task_function, config=config
            )
            if not isinstance(launcher, EngineLauncher):
                name = config.hydra.runtime.choices["hydra/launcher"]
                launcher = EngineLauncher(Foreign(launcher, name))
            self.launcher = launcher
        self.launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def read(self, arguments: list[str]) -> list[Override]:
        """Return the settings of `params` and those that were typed; raises `ConfigError`."""
        from initlab.sweep.grid import read

        return read(self.params, arguments, self.context.config_loader)
