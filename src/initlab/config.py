"""The config: its schema, the checks that span groups, and errors that a person can act on.

Config is data. Every option of a group is one dataclass here and one YAML file in `conf/`, and
`build` turns the composed config into the very objects that run. Nothing in it names code.
"""

from __future__ import annotations

import difflib
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    HydraException,
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
    provenance,
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
    pictures    false draws none, and records numbers and histograms alone
    enabled     false trains without MLflow
    """

    uri: str | None = None
    experiment: str = "initlab"
    pictures: bool = True
    enabled: bool = True

    def __post_init__(self) -> None:
        if not self.experiment.strip():
            raise ValueError("experiment must not be empty")


@dataclass
class Sweep:
    """What `-m` does: the `sweep.*` keys.

    existing  where a finished run of the same numbers is in the experiment: skip the trial, rerun
              it, or end with an error before anything starts
    on_error  after a trial that fails: continue with the others, or stop
    dry_run   true lists the trials and what would become of them, and starts none
    """

    existing: str = "skip"
    on_error: str = "continue"
    dry_run: bool = False

    def __post_init__(self) -> None:
        checks.one_of("existing", self.existing, ("skip", "rerun", "error"))
        checks.one_of("on_error", self.on_error, ("continue", "stop"))


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
    sweep: Sweep = field(default_factory=Sweep)
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
    OmegaConf.register_new_resolver("experiments", experiments_page, replace=True)
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
    if OmegaConf.get_type(config) is not Config:
        raise ConfigError(
            "the config has no schema: its defaults must begin with `- schema`, as those of "
            "conf/config.yaml do"
        )
    refuse_unknown_keys(config)
    built: dict[str, Any] = {}
    for name in (each.name for each in fields(Config) if each.init):
        if OmegaConf.is_missing(config, name):
            raise ConfigError(f"{name}: nothing is chosen. Choices: {', '.join(options(name))}")
        value = config[name]
        if name in GROUPS and OmegaConf.get_type(value) not in SCHEMAS[name].values():
            raise ConfigError(f"{name}: the option names no class.{class_line(name)}")
        try:
            built[name] = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
        except ValueError as error:
            raise ConfigError(f"{name}.{error}") from error
    try:
        return Config(**built)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def restore(chosen: Mapping[str, str], text: str) -> tuple[Config, dict[str, Any]]:
    """Return the config of a recorded run, as the objects that run and as nested plain values.

    chosen  the option of each group that the run made use of
    text    its config.yaml; only what numbers depend on is taken from it, while where things are
            and how they are fetched is as conf/ has it now

    Both may have been written by anybody, and can execute nothing. Raises `ConfigError` for what
    `build` refuses, and for a text that is more than names and plain values.
    """
    for group, option in chosen.items():
        if option not in options(group):
            raise ConfigError(no_option(group, option, options(group)))
    document = read_plain(text)
    unused = {*GROUPS} - {*chosen}
    begun = GlobalHydra.instance().is_initialized()  # there can be one in a process
    folder = str(PROJECT / "conf")
    try:
        with nullcontext() if begun else initialize_config_dir(folder, version_base="1.3"):
            local = compose("config", [f"{group}={option}" for group, option in chosen.items()])
        composed = OmegaConf.merge(local, essential_part(document, local, unused))
        assert isinstance(composed, DictConfig)
        config = build(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
    for group in sorted(unused - config.model.unused):
        raise ConfigError(f"{group}: nothing is chosen. Choices: {', '.join(options(group))}")
    plain = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(plain, dict)
    return config, {str(key): value for key, value in plain.items()}


def essential_part(document: dict[str, Any], local: DictConfig, unused: set[str]) -> dict[str, Any]:
    """Return of a config.yaml what numbers depend on, less the unused groups."""
    names = [str(name) for name in local]
    taken: dict[str, Any] = {}
    for name, value in document.items():
        if name not in names:
            raise ConfigError(f"there is no key or group {name!r}.{choices(name, names)}")
        if not OmegaConf.is_config(local[name]):
            taken[name] = value
        elif not isinstance(value, dict):
            raise ConfigError(f"{name} must be a group of keys; got {str(value)[:80]}")
        elif name not in unused:
            kept = provenance.essential({f"{name}.{key}": key for key in value})
            taken[name] = {key: value[key] for key in kept.values()}
    return taken


MOST_LETTERS = 1_000_000  # of a config.yaml; that of a usual run has 700
PLAIN_TAGS = [
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")
]


def read_plain(text: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds, if it has nothing but names and plain values.

    Raises `ConfigError` for classes of Python, keys that name code, interpolations, aliases (a few
    lines of which can stand for a billion values), and what is not YAML.
    """
    if len(text) > MOST_LETTERS:
        raise ConfigError(
            f"config.yaml must have at most {MOST_LETTERS:,} letters; got {len(text):,}"
        )
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError("config.yaml must be a mapping of keys to values")
        refuse_code(root, "", set())
        document = loader.construct_document(root)
    except RecursionError as error:
        raise ConfigError("config.yaml: lists and keys stand too deep within each other") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(
            f"config.yaml, line {error.problem_mark.line + 1}: {error.problem}"
        ) from error
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError) as error:
        # Such as an integer of 5,000 digits, or !!bool maybe.
        raise ConfigError(f"config.yaml: a value cannot be read: {first_line(error)}") from error
    assert isinstance(document, dict)
    return document


def refuse_code(node: Any, path: str, seen: set[int]) -> None:
    """Raise `ConfigError` for whatever of a YAML node at `path` is not a name or a plain value."""
    where = path or "config.yaml"
    if id(node) in seen:
        raise ConfigError(f"{where}: a YAML alias (*) is refused, a value must be written out")
    seen.add(id(node))
    if node.tag not in PLAIN_TAGS:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise ConfigError(f"{where}: the YAML tag {tag!r} is refused, a config is plain data")
    if isinstance(node, yaml.ScalarNode):
        if "${" in node.value:
            raise ConfigError(f"{where}: an interpolation is refused; got {node.value[:80]!r}")
        if node.value == "???" or not node.value.isprintable():
            raise ConfigError(f"{where} must be a plain value; got {node.value[:80]!r}")
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            refuse_code(item, f"{path}[{index}]", seen)
    else:
        names: set[str] = set()
        for key, value in node.value:
            refuse_code(key, path, seen)
            if not (key.tag.endswith(":str") and re.fullmatch(r"[\w.-]{1,100}", key.value)):
                line = key.start_mark.line + 1
                raise ConfigError(f"config.yaml, line {line}: a key must be a name")
            name = f"{path}.{key.value}" if path else key.value
            if key.value.startswith("_"):
                raise ConfigError(f"{name}: a config is data and cannot name code")
            if name in names:
                raise ConfigError(f"{name} is set twice")
            names.add(name)
            refuse_code(value, name, seen)


def refuse_unknown_keys(config: DictConfig, path: str = "") -> None:
    """Raise `ConfigError` for a key that no dataclass of the schema has, also within a list."""
    schema = OmegaConf.get_type(config)
    if schema is None or schema is dict:
        return
    known = [field.name for field in fields(schema) if field.init]
    for key in map(str, config):
        if key == "hydra" and not path:  # which is Hydra's own
            continue
        if key not in known:
            raise ConfigError(unknown_key(f"{path}{key}", known))
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_missing():
            refuse_unknown_keys(child, f"{path}{key}.")
        if isinstance(child, ListConfig) and not (child._is_missing() or child._is_none()):
            for index, item in enumerate(child):
                if OmegaConf.is_config(item):
                    raise ConfigError(f"{path}{key}[{index}] must be a plain value; got {item}")


def options_page() -> str:
    """Return the options of every group, for the help page: 80 columns, the default with *."""
    config = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf" / "config.yaml"))
    assert isinstance(config, dict)
    chosen = [entry for entry in config["defaults"] if isinstance(entry, dict)]
    defaults = {item for entry in chosen for item in entry.items()}
    lines = []
    for group in GROUPS:
        names = [f"{name}*" if (group, name) in defaults else name for name in options(group)]
        lines.append(filled(names, f"  {group:<12}"))
    return "\n".join(lines)


def experiments_page() -> str:
    """Return the names of the experiments, for the help page."""
    return filled(options("experiment"), "  ")


def filled(names: Iterable[str], start: str) -> str:
    """Return names in lines that go on below where the first begins."""
    return textwrap.fill(
        " ".join(names),
        width=78,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_on_hyphens=False,
    )


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
    file = re.match(r"In '(.+?)': \w+ raised while composing config:", str(error))
    if file and isinstance(error.__context__, Exception):
        return f"{file[1]}.yaml: {explain(error.__context__)}"
    cause = error.__cause__ or error
    if isinstance(cause, checks.UserError):
        return str(cause)
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
        key = cause.full_key or str(cause.key)
        group, _, name = key.rpartition(".")
        classes = SCHEMAS.get(group, {}).values()
        if classes and cause.object_type not in classes and not name.startswith("_"):
            return f"{key}: the option names no class.{class_line(group)}"
        return unknown_key(key, siblings)
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
    if name.startswith("_"):  # such as _target_, by which Hydra would call whatever it names
        return f"{key}: {what}: a config is data and cannot name code.{class_line(group)}"
    return f"{key}: {what}.{choices(name, known)}"


def class_line(key: str) -> str:
    """Say how an option of the group that a key stands in names its class."""
    group = key.partition(".")[0]
    if group not in GROUPS:
        return ""
    return (
        f"\nThe file of an option names its class so, as docs/extending.md explains:\n"
        f"  defaults:\n    - /schema/{group}@_here_: <class>\n    - _self_\n"
        f"Classes: {', '.join(SCHEMAS[group])}"
    )


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
