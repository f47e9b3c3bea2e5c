"""A job: what Hydra knows of a run beyond its config."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from initlab.config import GROUPS, flatten
from initlab.provenance import masked


@dataclass(frozen=True)
class Job:
    """What Hydra knows of a run beyond its config.

    choices     the option chosen in each group
    config      the whole config, resolved
    folder      for the files of the run, where they do not go to a store
    sweep       the id of the sweep that it is a trial of, if any
    search      what a search says of it: `search.node`, else None
    experiment  the published experiment that was chosen, "" for none
    """

    name: str
    choices: dict[str, str]
    config: dict[str, Any]
    folder: Path
    sweep: str | None
    search: dict[str, Any] | None = None
    experiment: str = ""

    @classmethod
    def of(cls, composed: DictConfig, hydra: Any) -> Job:
        """Describe a composed config; `hydra` is the node of that name, which it may lack."""
        config = {str(key): composed[key] for key in composed if key != "hydra"}
        for key, value in config.items():
            if OmegaConf.is_config(value):
                config[key] = OmegaConf.to_container(value, resolve=True)
        choices = {group: str(hydra.runtime.choices[group]) for group in GROUPS}
        return cls(
            name=named_by_hand(hydra) or named_by_overrides(hydra) or f"init={choices['init']}",
            choices=choices,
            config=config,
            folder=Path(OmegaConf.select(hydra, "runtime.output_dir") or ""),
            sweep=Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else None,
            search=searched(hydra),
            experiment=str(hydra.runtime.choices.get("experiment") or ""),
        )

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The whole config by dotted key."""
        return dict(flatten(self.config))

    @property
    def yaml(self) -> str:
        """The whole config as it is kept with the run, but for a password of its store."""
        kept = OmegaConf.create(self.config)
        if uri := OmegaConf.select(kept, "tracking.uri"):
            kept.tracking.uri = masked(uri)
        return OmegaConf.to_yaml(kept)


def searched(hydra: Any) -> dict[str, Any] | None:
    """Return the settings of the search that a trial is of, None if it is of none."""
    if OmegaConf.select(hydra, "sweeper.number") is None:
        return None
    settings = OmegaConf.to_container(hydra.sweeper)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def named_by_hand(hydra: Any) -> str:
    """Return the name that hydra.job.name was set to, as a sweep does, or ""."""
    set_ = any(text.startswith("hydra.job.name=") for text in typed(hydra.overrides.hydra))
    return str(hydra.job.name) if set_ else ""


def named_by_overrides(hydra: Any) -> str:
    """Return the settings that were typed, less what no number depends on."""
    return " ".join(
        text for text in typed(hydra.overrides.task) if not text.startswith(("tracking.", "sweep."))
    )


def typed(overrides: ListConfig) -> list[str]:
    """Return overrides as they were typed, without resolving what they speak of."""
    texts = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(texts, list)
    return texts
