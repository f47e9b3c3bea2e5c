"""Composed configs: plain values, and what Hydra's own node says about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from initlab.checks import no_such_option
from initlab.config.schema import GROUPS, ConfigError, is_path, nothing_chosen, options
from initlab.text import printable


def plain_values(composed: DictConfig) -> dict[str, Any]:
    """Return a composed config as nested plain values, resolved, without Hydra's own node."""
    values = {str(key): composed[key] for key in composed if key != "hydra"}
    return {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in values.items()
    }


def chosen_options(hydra: Any) -> dict[str, str]:
    """Return the option chosen in each group; `hydra` is Hydra's own node.

    Raises `ConfigError` if one is deleted, and for a path to a file, such as ../init/he or he.yaml,
    which Hydra takes for an option.
    """
    for group in GROUPS:
        if group not in hydra.runtime.choices:
            raise ConfigError(nothing_chosen(group))
    for group, option in hydra.runtime.choices.items():
        if option and is_path(option):
            raise ConfigError(no_such_option(group, option, options(group)))
    return {group: str(hydra.runtime.choices[group]) for group in GROUPS}


def run_name(hydra: Any) -> str:
    """Return the `printable` name of a run: set by a sweep, or what was typed, or ""."""
    if any(text.startswith("hydra.job.name=") for text in typed_overrides(hydra.overrides.hydra)):
        return printable(str(hydra.job.name))
    typed = typed_overrides(hydra.overrides.task)
    return printable(
        " ".join(text for text in typed if not text.startswith(("tracking.", "sweep.")))
    )


def output_folder(hydra: Any) -> Path:
    """Return the folder of a run, "." before Hydra has set it."""
    return Path(OmegaConf.select(hydra, "runtime.output_dir") or "")


def sweep_id(hydra: Any) -> str:
    """Return the id of the sweep that a run belongs to, "" if it is a single run."""
    return Path(hydra.sweep.dir).name if hydra.mode == RunMode.MULTIRUN else ""


def typed_overrides(overrides: ListConfig) -> list[str]:
    """Return overrides as they were typed, with interpolations unresolved."""
    texts = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(texts, list)
    return texts


def as_typed(value: Any) -> str:
    """Return a value as it is typed on the command line."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else str(value)


def as_yaml(values: dict[str, Any]) -> str:
    """Return nested plain values as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(values))
