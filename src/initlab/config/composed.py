"""Composed configs: what Hydra knows of a run beyond its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from initlab.config.schema import GROUPS


def plain_values(composed: DictConfig) -> dict[str, Any]:
    """Return a composed config as nested plain values, resolved, without the node of Hydra."""
    values = {str(key): composed[key] for key in composed if key != "hydra"}
    return {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in values.items()
    }


def chosen_options(hydra: Any) -> dict[str, str]:
    """Return the option chosen in each group; `hydra` is the node of that name."""
    return {group: str(hydra.runtime.choices[group]) for group in GROUPS}


def run_name(hydra: Any) -> str:
    """Return the name of a run: as set by a sweep, else the settings that were typed, else ""."""
    if any(text.startswith("hydra.job.name=") for text in typed(hydra.overrides.hydra)):
        return str(hydra.job.name)
    return " ".join(
        text for text in typed(hydra.overrides.task) if not text.startswith(("tracking.", "sweep."))
    )


def output_folder(hydra: Any) -> Path:
    """Return the folder of a run, "." before Hydra has given it one."""
    return Path(OmegaConf.select(hydra, "runtime.output_dir") or "")


def sweep_id(hydra: Any) -> str:
    """Return the id of the sweep that a run is a trial of, "" if it is of none."""
    return Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else ""


def typed(overrides: ListConfig) -> list[str]:
    """Return overrides as they were typed, without resolving what they speak of."""
    texts = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(texts, list)
    return texts


def as_typed(value: Any) -> str:
    """Return a value as it is written on the command line."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else str(value)


def as_yaml(values: dict[str, Any]) -> str:
    """Return nested plain values as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(values))
