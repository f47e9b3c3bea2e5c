"""The outlooks of a grid, composed like the trials of a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from initlab.checks import UserError
from initlab.config import ConfigError, explain, typed_overrides
from initlab.outlook.outlook import Outlook
from initlab.sweep import grid
from initlab.sweep.compose import Composer
from initlab.sweep.plan import name_trials
from initlab.sweep.progress import checking


def outlooks(loader: ConfigLoader, multirun: DictConfig) -> Iterator[Outlook]:
    """Yield the outlook of every setting, each under the name of what varies.

    multirun  the config of the sweep, as Hydra composes it

    Raises a `UserError` that names the setting.
    """
    sweeper = multirun.hydra.sweeper
    if "where" not in sweeper:
        raise ConfigError(
            "predict.py -m takes a grid, and a search has none; add hydra/sweeper=grid, and name "
            "the values of each key, as in optimizer.lr=0.1,0.01"
        )
    settings = grid.read(
        sweeper.params or {}, typed_overrides(multirun.hydra.overrides.task), loader
    )
    zipped = grid.zipped_in(multirun)
    combinations = grid.combinations(settings, sweeper.where or {}, sweeper.limit, zipped)
    compose = Composer(loader, multirun)
    for name, overrides in checking([*zip(name_trials(combinations), combinations)]):
        try:
            composed = compose(overrides)
            found = Outlook.of(composed, composed.hydra)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            message = str(error) if isinstance(error, UserError) else explain(error)
            raise ConfigError(message + (f"\nin the setting {name}" if name else "")) from error
        yield replace(found, name=name or found.name)
