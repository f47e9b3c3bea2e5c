"""The config: its schema, the checks that span groups, and errors that a person can act on.

Config is data. Every option of a group is one dataclass here and one YAML file in `conf/`, and
`build` turns the composed config into the very objects that run. Nothing in it names code.
"""

from __future__ import annotations

import difflib
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import (
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import (
    MISSING,
    BooleanNode,
    DictConfig,
    FloatNode,
    IntegerNode,
    ListConfig,
    OmegaConf,
    StringNode,
    UnionNode,
)
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException, ValidationError

from initlab import (
    activations,
    checks,
    data,
    initializers,
    models,
    optimizers,
    quadratic,
    schedules,
    training,
)

PROJECT = Path(__file__).resolve().parents[2]
GROUPS = ("init", "activation", "optimizer", "schedule", "model", "data")


def concrete(base: type) -> dict[str, type]:
    """Return by name the classes of initlab below `base` that can be made."""
    found: dict[str, type] = {}
    child: type
    for child in base.__subclasses__():
        ours = child.__module__.startswith("initlab.") and not inspect.isabstract(child)
        found |= {child.__name__: child} if ours else {}
        found |= concrete(child)
    return found


# group → class name → dataclass; the files of conf/<group>/ name the class that they fill in.
SCHEMAS: dict[str, dict[str, type]] = {
    "init": concrete(initializers.Initializer),
    "activation": concrete(activations.Activation),
    "optimizer": concrete(optimizers.Optimizer),
    "schedule": concrete(schedules.Schedule),
    "model": concrete(models.Model),
    "data": concrete(data.Dataset),
}


class ConfigError(checks.UserError):
    """A mistake in a setting; the message names the key, the value and the choices."""


@dataclass
class Tracking:
    """Where runs are recorded: the `tracking.*` keys.

    uri         of the MLflow store; null: $MLFLOW_TRACKING_URI, else mlflow.db in the project
    experiment  MLflow experiment to put the runs in
    enabled     false trains without MLflow
    """

    uri: str | None = None
    experiment: str = "initlab"
    enabled: bool = True

    def __post_init__(self) -> None:
        if not self.experiment.strip():
            raise ValueError("experiment must not be empty")


@dataclass
class Config:
    """Everything that a run depends on."""

    init: initializers.Initializer = MISSING
    activation: activations.Activation = MISSING
    optimizer: optimizers.Optimizer = MISSING
    schedule: schedules.Schedule = MISSING
    model: models.Model = MISSING
    data: data.Dataset = MISSING
    train: training.Training = field(default_factory=training.Training)
    tracking: Tracking = field(default_factory=Tracking)
    seed: int = 0
    dtype: str = "float32"
    # The laws of `model.output_init` and its like, by place; made by `build`, not set by anybody.
    places: dict[str, initializers.Initializer] = field(
        init=False, default_factory=dict, metadata={"omegaconf_ignore": True}
    )

    def __post_init__(self) -> None:
        checks.at_least("seed", self.seed, 0)
        checks.one_of("dtype", self.dtype, ("float32", "float64"))
        if isinstance(self.model, quadratic.Quadratic):
            if self.train.weight_decay:
                raise ValueError(
                    f"train.weight_decay must be 0 for a model without weights; "
                    f"got {self.train.weight_decay}"
                )
            return
        assert isinstance(self.model, models.NetworkModel)
        if self.train.steps and not self.data.labelled:
            raise ValueError(
                f"train.steps must be 0 for data without labels, which nothing can be learnt "
                f"from; got {self.train.steps}"
            )
        if self.model.batch_norm and self.train.batch_size < 2:
            raise ValueError(
                f"train.batch_size must be at least 2 with model.batch_norm, as one example has "
                f"no variance; got {self.train.batch_size}"
            )
        self.init = self.init.tuned(self.activation)
        for place, option in self.model.inits.items():
            if option not in options("init"):
                raise ValueError(no_option(f"model.{place}_init", option, options("init")))
            self.places[place] = named("init", option).tuned(self.activation)


def named(group: str, option: str) -> Any:
    """Return what an option of a group stands for, with the settings of its file."""
    settings = OmegaConf.load(PROJECT / "conf" / group / f"{option}.yaml")
    assert isinstance(settings, DictConfig)
    schema = SCHEMAS[group][settings.pop("defaults")[0][f"/schema/{group}@_here_"]]
    return OmegaConf.to_object(OmegaConf.merge(schema, settings))


def register() -> None:
    """Put the schema into Hydra's ConfigStore, where the YAML files find it."""
    OmegaConf.register_new_resolver("project", lambda: str(PROJECT), replace=True)
    OmegaConf.register_new_resolver("options", options_page, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=Config, provider="initlab")
    for group, schemas in SCHEMAS.items():
        for name, schema in schemas.items():
            store.store(group=f"schema/{group}", name=name, node=schema, provider="initlab")


def build(config: DictConfig) -> Config:
    """Turn the composed config into the objects that run.

    Raises `ConfigError` for a value out of range, for a key that the schema does not know (which
    Hydra's `+key=value` lets in) and for settings that contradict each other.
    """
    refuse_unknown_keys(config)
    built: dict[str, Any] = {}
    for name in (each.name for each in fields(Config) if each.init):
        if OmegaConf.is_missing(config, name):
            raise ConfigError(f"{name}: nothing is chosen. Choices: {', '.join(options(name))}")
        value = config[name]
        try:
            built[name] = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
        except ValueError as error:
            raise ConfigError(f"{name}.{error}") from error
    try:
        return Config(**built)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def refuse_unknown_keys(config: DictConfig, path: str = "") -> None:
    """Raise `ConfigError` for a key that no dataclass of the schema has."""
    schema = OmegaConf.get_type(config)
    if schema is None or schema is dict:
        return
    known = [field.name for field in fields(schema) if field.init]
    for key in map(str, config):
        if key not in known:
            raise ConfigError(unknown_key(f"{path}{key}", known))
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_missing():
            refuse_unknown_keys(child, f"{path}{key}.")


def options_page() -> str:
    """Return the options of every group, for the help page: 80 columns, the default with *."""
    config = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf" / "config.yaml"))
    assert isinstance(config, dict)
    chosen = [entry for entry in config["defaults"] if isinstance(entry, dict)]
    defaults = {item for entry in chosen for item in entry.items()}
    lines = []
    for group in GROUPS:
        names = [f"{name}*" if (group, name) in defaults else name for name in options(group)]
        lines.append(
            textwrap.fill(
                " ".join(names),
                width=78,
                initial_indent=f"  {group:<12}",
                subsequent_indent=" " * 14,
                break_on_hyphens=False,
            )
        )
    return "\n".join(lines)


def options(group: str) -> list[str]:
    """Return the options of a config group: the names of its files."""
    return sorted(file.stem for file in (PROJECT / "conf" / group).glob("*.yaml"))


def flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a plain nested dict by its dotted key."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def explain(error: Exception) -> str:
    """Return what a user should read about an error of Hydra or OmegaConf."""
    cause = error.__cause__ or error
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        return no_option(group, option, error.options)
    if isinstance(error, OverrideParseException):
        return f"cannot read {error.override!r}: settings have the form key=value"
    if isinstance(cause, (ConfigKeyError, AttributeError)) and isinstance(
        cause, OmegaConfBaseException
    ):
        parent = cause.parent_node
        siblings = [str(key) for key in parent] if isinstance(parent, DictConfig) else []
        return unknown_key(cause.full_key or str(cause.key), siblings)
    if isinstance(cause, ValidationError) and cause.full_key:
        return wrong_type(cause)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {first_line(cause)}"
    return first_line(error) if error is cause else f"{first_line(error)}: {first_line(cause)}"


def no_option(key: str, option: str, names: Iterable[str]) -> str:
    """Say that a key cannot have an option, and which it can."""
    return f"{key}={option}: there is no such option.{choices(option, names)}"


def unknown_key(key: str, siblings: Iterable[str]) -> str:
    """Say that a dotted key does not exist, and which do."""
    group, _, name = key.rpartition(".")
    known = [sibling for sibling in siblings if sibling != "hydra"]
    what = f"{group} has no key {name!r}" if group else f"there is no key or group {name!r}"
    return f"{key}: {what}.{choices(name, known)}"


WANTED = {
    FloatNode: "a number",
    IntegerNode: "an integer",
    BooleanNode: "true or false",
    StringNode: "a text",
    UnionNode: "a number or a text",
    ListConfig: "a list, such as [200, 200]",
    DictConfig: "a group of keys",
}


def wrong_type(error: OmegaConfBaseException) -> str:
    """Say which type a key wants."""
    for node, wanted in WANTED.items():
        if isinstance(error.child_node, node):
            value = "null" if error.value is None else repr(error.value)
            return f"{error.full_key} must be {wanted}; got {value}"
    return f"{error.full_key}: {first_line(error)}"


def choices(name: str, names: Iterable[str]) -> str:
    """List the names there are, the nearest to `name` first."""
    names = list(names)
    if not names:
        return " It has none."
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"{hint}\nChoices: {', '.join(names)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).partition("\n")[0]
