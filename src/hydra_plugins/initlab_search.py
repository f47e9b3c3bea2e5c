"""Hydra's sweeper over Optuna: a search in place of a grid."""

# Hydra loads plug-ins so that annotations of a dataclass must not be put off by `__future__`.
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore

from hydra_plugins._sweepers import CheckedSweeper


@dataclass
class SearchConfig:
    """How to search: the `hydra.sweeper.*` keys of `hydra/sweeper=search`.

    sampler         how points are chosen: random, tpe (which learns from results), or grid (all
                    combinations, where the values can be listed)
    trials          how many trials the study has in all; a grid has all its combinations
    seed            of the sampler: point n of a random search depends on it and on n alone
    pruner          median ends a training that is worse than half of the finished ones were at the
                    same step; none ends none
    startup_trials  that must finish before any is pruned
    warmup_steps    of a training before it may be pruned
    metric          what to optimise; null: validation/accuracy where data.validation is set, else
                    test/accuracy, or f for model=quadratic. Accuracies are maximised, others
                    minimised
    storage         where Optuna keeps the study: a journal file or the URL of a database; null: a
                    journal beside the folders of the sweeps
    study           its name; null: a name made from all that its trials share
    limit           how many values a key, and how many trials a grid may have
    params          key -> what to choose it from; the command line overrides it
    """

    _target_: str = f"{__name__}.SearchSweeper"
    sampler: str = "random"
    trials: int = 100
    seed: int = 0
    pruner: str = "median"
    startup_trials: int = 5
    warmup_steps: int = 0
    metric: str | None = None
    storage: str | None = None
    study: str | None = None
    limit: int = 100_000
    params: dict[str, Any] = field(default_factory=dict)


class SearchSweeper(CheckedSweeper):
    """Runs trials that Optuna chooses, until the study has all its trials.

    A key is given interval(a,b), tag(log,interval(a,b)) for a logarithmic scale, range(a,b,step),
    choice(a,b) or, for the same, a,b; all in Hydra's grammar.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        self.params = params
        self.settings = settings

    def sweep(self, arguments: list[str]) -> None:
        """Run the search that was typed; exits with its status if that is not 0."""
        from initlab.search import search  # not needed by a single run's discovery of plug-ins
        from initlab.sweep.compose import Composer

        compose = Composer(self.context.config_loader, self.config)
        status = search.run_search(
            self.read(arguments), self.settings, compose, self.launcher, self.config
        )
        if status:
            raise SystemExit(status)


ConfigStore.instance().store(
    group="hydra/sweeper", name="search", node=SearchConfig, provider="initlab"
)
