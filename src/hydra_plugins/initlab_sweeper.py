"""Hydra's grid sweeper, which checks every combination before the first one starts."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from omegaconf import open_dict


class GridSweeper(BasicSweeper):
    """Runs the Cartesian product of all swept values, in the order of the command line."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose and check each job; raises what a run of that job alone would raise."""
        from initlab.config import build  # not needed by a single run's discovery of plug-ins

        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        for overrides in batch:
            composed = loader.load_sweep_config(self.config, list(overrides))
            with open_dict(composed):
                del composed["hydra"]
            build(composed)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="grid",
    node={"_target_": f"{__name__}.GridSweeper", "max_batch_size": None, "params": None},
    provider="initlab",
)
