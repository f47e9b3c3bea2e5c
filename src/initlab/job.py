"""A job: what Hydra knows of a run beyond its config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from initlab.config import GROUPS, flatten


@dataclass(frozen=True)
class Job:
    """What Hydra knows of a run beyond its config.

    choices   the option chosen in each group
    settings  the whole config by dotted key
    folder    for the files of the run, where they do not go to a store
    sweep     the id of the sweep that it is a trial of, if any
    """

    name: str
    choices: dict[str, str]
    settings: dict[str, Any]
    yaml: str
    folder: Path
    sweep: str | None

    @classmethod
    def of(cls, composed: DictConfig, hydra: Any) -> Job:
        """Describe a composed config; `hydra` is the node of that name, which it lacks."""
        settings = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(settings, dict)
        choices = {group: str(hydra.runtime.choices[group]) for group in GROUPS}
        return cls(
            name=named_by_hand(hydra) or named_by_overrides(hydra) or f"init={choices['init']}",
            choices=choices,
            settings=dict(flatten(settings)),
            yaml=OmegaConf.to_yaml(composed, resolve=True),
            folder=Path(OmegaConf.select(hydra, "runtime.output_dir") or ""),
            sweep=Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else None,
        )


def named_by_hand(hydra: Any) -> str:
    """Return the name that hydra.job.name was set to, as a sweep does, or ""."""
    set_ = any(override.startswith("hydra.job.name=") for override in hydra.overrides.hydra)
    return str(hydra.job.name) if set_ else ""


def named_by_overrides(hydra: Any) -> str:
    """Return the settings that were typed, less what no number depends on."""
    return " ".join(
        text for text in hydra.overrides.task if not text.startswith(("tracking.", "sweep."))
    )
