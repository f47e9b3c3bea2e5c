"""A grid: its combinations as trials, checked and looked up before the first one starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from initlab import provenance
from initlab.checks import UserError
from initlab.comparison import ordered
from initlab.config import Config, ConfigError, build, explain
from initlab.job import Job
from initlab.trial import fingerprint, load, params

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.store import Store


@dataclass(frozen=True)
class Trial:
    """One combination of a grid, composed and checked.

    overrides    that compose it, as Hydra reads them
    params       as its run will have them
    fingerprint  of the numbers that it will record
    state        new, cached (a finished run has its numbers), failed or killed before, running
                 (elsewhere), or that it is the same as an earlier trial of the sweep
    twin         the id of the run that is spoken of
    experiment   the published experiment that it is of, "" for none
    """

    name: str
    overrides: list[str]
    composed: DictConfig
    config: Config
    params: dict[str, str]
    fingerprint: str
    state: str = "new"
    twin: str = ""
    experiment: str = ""

    @property
    def needless(self) -> bool:
        """Whether its numbers are there or will be without it."""
        done = self.state == "cached" or self.state.startswith("same")
        return done and self.config.sweep.existing != "rerun"


def named(grid: Sequence[Sequence[str]]) -> list[tuple[str, list[str]]]:
    """Return each combination with the name of what varies in it, "" where nothing does."""
    typed = {
        "True": "true",
        "False": "false",
    }  # as the grammar has them, whatever Hydra makes of it
    settings = [dict(text.split("=", 1) for text in combination) for combination in grid]
    shared = set.intersection(*map(set, settings))
    varies = ordered(key for key in shared if len({each[key] for each in settings}) > 1)
    names = [
        " ".join(f"{key}={typed.get(each[key], each[key])}" for key in varies) for each in settings
    ]
    return [(name, list(combination)) for name, combination in zip(names, grid)]


def check(name: str, overrides: list[str], compose: Callable[[Sequence[str]], DictConfig]) -> Trial:
    """Compose and build a trial and load its data; raises `ConfigError` if it could not run."""
    if name:
        overrides = [*overrides, f"hydra.job.name={quoted(name)}"]
    try:
        composed = compose(overrides)
        config = build(composed)
        job = Job.of(composed, composed.hydra)
        mark = fingerprint(config, job, load(config, job))
        found = params(config, job)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        message = str(error) if isinstance(error, UserError) else explain(error)
        where = f"\nin the trial {name}; no trial was started" if name else ""
        raise ConfigError(f"{message}{where}") from error
    return Trial(job.name, overrides, composed, config, found, mark, experiment=job.experiment)


def quoted(text: object) -> str:
    """Return a text as Hydra reads it in an override."""
    return QuotedString(str(text), Quote.single).with_quotes()


def common(trials: Sequence[Trial]) -> Config:
    """Return the config of the sweep itself; raises `ConfigError` if its trials disagree."""
    first = trials[0].config
    for name in ("tracking", "sweep"):
        if any(getattr(trial.config, name) != getattr(first, name) for trial in trials):
            raise ConfigError(f"{name}.* cannot be swept: it must be the same in all trials")
    return first


def compared(trials: Sequence[Trial], store: Store | None) -> Iterator[Trial]:
    """Yield each trial with its state."""
    twins = store.twins({trial.fingerprint for trial in trials}) if store else {}
    earlier: dict[str, Trial] = {}
    for trial in trials:
        state, twin = "new", ""
        if trial.fingerprint in earlier:
            state = f"same as {earlier[trial.fingerprint].name}"
        elif trial.fingerprint in twins:
            state, twin = state_of(twins[trial.fingerprint])
        earlier.setdefault(trial.fingerprint, trial)
        yield replace(trial, state=state, twin=twin)


def found(store: Store, mark: str) -> tuple[str, str]:
    """Return the state of a fingerprint in the store, and the run that has it."""
    twins = store.twins([mark])
    return state_of(twins[mark]) if mark in twins else ("new", "")


def state_of(twins: Sequence[Any]) -> tuple[str, str]:
    """Return what a fingerprint's runs in MLflow, the newest first, make of it, and one of them."""
    for state, wanted in (("cached", "FINISHED"), ("running", "RUNNING")):
        for run in twins:
            if run.info.status == wanted and not (
                wanted == "RUNNING" and provenance.gone(run.data.tags)
            ):
                return state, run.info.run_id
    last = twins[0].info
    return "failed before" if last.status == "FAILED" else "killed before", last.run_id


def refuse_existing(trials: Sequence[Trial]) -> None:
    """Raise `ConfigError` if the numbers of a trial are there already."""
    existing = [trial for trial in trials if trial.state == "cached"]
    if existing:
        lines = "".join(f"\n  {trial.name} is run {trial.twin}" for trial in existing[:10])
        more = f"\n  and {len(existing) - 10} more" if len(existing) > 10 else ""
        raise ConfigError(
            f"sweep.existing=error: {len(existing)} of {len(trials)} trials have been run:"
            f"{lines}{more}"
        )
