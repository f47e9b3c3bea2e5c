"""From the composed config to the objects that run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, ListConfig, OmegaConf

from initlab.config.explain import class_line, unknown_key
from initlab.config.help_page import list_experiments, list_options
from initlab.config.schema import GROUPS, PROJECT, SCHEMAS, Config, ConfigError, nothing_chosen

PARTS = [each.name for each in fields(Config) if each.init]


def register() -> None:
    """Register the schema in Hydra's ConfigStore, and the resolvers that the YAML files use."""
    OmegaConf.register_new_resolver("project", lambda: str(PROJECT), replace=True)
    OmegaConf.register_new_resolver("options", list_options, replace=True)
    OmegaConf.register_new_resolver("experiments", list_experiments, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=Config, provider="initlab")
    for group, schemas in SCHEMAS.items():
        for name, schema in schemas.items():
            store.store(group=f"schema/{group}", name=name, node=schema, provider="initlab")


def build(config: DictConfig) -> Config:
    """Turn the composed config into the objects that run.

    Raises `ConfigError` for a value out of range, for what `check_structure` refuses, and for
    settings that contradict each other.
    """
    check_structure(config)
    built: dict[str, Any] = {}
    for name in PARTS:
        value = config[name]
        with naming(f"{name}."):
            built[name] = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
    with naming():
        return Config(**built)


def assemble(values: Mapping[str, Any], classes: Mapping[str, type]) -> Config:
    """Do what `build` does with plain values, whose types and keys were checked.

    classes  of the parts that are objects, none of which has an object as a part
    """
    built: dict[str, Any] = {}
    for name in PARTS:
        value = values[name]
        with naming(f"{name}."):
            built[name] = classes[name](**owned(value)) if name in classes else value
    with naming():
        return Config(**built)


def owned(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with lists of their own."""
    return {key: [*value] if isinstance(value, list) else value for key, value in values.items()}


@contextlib.contextmanager
def naming(prefix: str = "") -> Iterator[None]:
    """Turn a `ValueError` that begins with a key into a `ConfigError` with the key's full name."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{prefix}{error}") from error


def check_structure(config: DictConfig) -> None:
    """Raise `ConfigError` for a key that is missing, or that is not in the schema.

    Hydra's `+key=value` can add one. What has no place raises as in `check_keys`.
    """
    if OmegaConf.get_type(config) is not Config:
        raise ConfigError(
            "the config has no schema: its defaults must begin with `- schema`, as in "
            "conf/config.yaml"
        )
    for name in GROUPS:
        if OmegaConf.is_missing(config, name):
            raise ConfigError(nothing_chosen(name))
    check_keys(config)
    for name in PARTS:
        if name not in config:
            raise ConfigError(f"{name} must not be deleted")
        if name in GROUPS and OmegaConf.get_type(config[name]) not in SCHEMAS[name].values():
            raise ConfigError(f"{name}: the option names no class.{class_line(name)}")


def check_keys(config: DictConfig, path: str = "") -> None:
    """Put values in the place of interpolations, and raise `ConfigError` for what has no place.

    That is a key which is not in the schema, a key or an item without a value, and a mapping or a
    list in a list, unless the key takes values of any type. A value that does not fit its key
    raises OmegaConf's own error.
    """
    schema = OmegaConf.get_type(config)
    if schema is None or schema is dict:
        return
    known = [field.name for field in fields(schema) if field.init]
    for key in map(str, config):
        if key == "hydra" and not path:  # Hydra's own node
            continue
        if key not in known:
            raise ConfigError(unknown_key(f"{path}{key}", known))
        refuse_missing(config, key, f"{path}{key}")
        if OmegaConf.is_interpolation(config, key):
            value = config[key]  # of any type: OmegaConf checks that of lists only if it is set
            config[key] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        child = config[key]
        if isinstance(child, DictConfig):
            check_keys(child, f"{path}{key}.")
        if isinstance(child, ListConfig):
            for index in range(len(child)):
                refuse_missing(child, index, f"{path}{key}[{index}]")
                if OmegaConf.is_config(child[index]) and get_type_hints(schema)[key] is not Any:
                    raise ConfigError(
                        f"{path}{key}[{index}] must be a plain value; got {child[index]}"
                    )


def refuse_missing(config: DictConfig | ListConfig, key: str | int, path: str) -> None:
    """Raise `ConfigError` if a key or an item has no value."""
    if OmegaConf.is_missing(config, key):
        raise ConfigError(f"{path} must have a value; got '???'")
