"""The schema: every key of a config, its type and its default.

Config is data and names no code. Every option of a group is a YAML file in `conf/`, which sets the
fields of one dataclass.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from initlab import checks
from initlab.data import datasets
from initlab.nn import activations, initializers, models, optimizers, quadratic, schedules, training

PROJECT = Path(__file__).resolve().parents[3]
LONGEST_TIMEOUT = 86_400  # seconds; a socket takes no time that is much longer
GROUPS = ("init", "activation", "optimizer", "schedule", "model", "data")


class ConfigError(checks.UserError):
    """An invalid setting; the message has the key, the value and the choices."""


def concrete_classes(base: type) -> dict[str, type]:
    """Return the concrete subclasses of `base` in initlab, by name."""
    found: dict[str, type] = {}
    child: type
    for child in base.__subclasses__():
        ours = child.__module__.startswith("initlab.") and not inspect.isabstract(child)
        found |= {child.__name__: child} if ours else {}
        found |= concrete_classes(child)
    return found


# group → class name → dataclass; each file in conf/<group>/ names the class that it configures.
SCHEMAS: dict[str, dict[str, type]] = {
    "init": concrete_classes(initializers.Initializer),
    "activation": concrete_classes(activations.Activation),
    "optimizer": concrete_classes(optimizers.Optimizer),
    "schedule": concrete_classes(schedules.Schedule),
    "model": concrete_classes(models.Model),
    "data": concrete_classes(datasets.Dataset),
}


@dataclass
class Tracking:
    """Where runs are recorded: the `tracking.*` keys.

    uri         of the MLflow store; null: $MLFLOW_TRACKING_URI, else mlflow.db in the project
    experiment  MLflow experiment of the runs
    pictures    false records numbers and histograms only
    enabled     false trains without MLflow
    timeout     seconds that a store has to answer when it is tried, before anything is trained
    """

    uri: str | None = None
    experiment: str = "initlab"
    pictures: bool = True
    enabled: bool = True
    timeout: float = 15.0

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise ValueError(
                f"timeout must be greater than 0 and at most {LONGEST_TIMEOUT}; got {self.timeout}"
            )
        if not self.experiment.strip():
            raise ValueError("experiment must not be empty")
        if len(self.experiment) > 500 or not self.experiment.isprintable():
            raise ValueError(
                f"experiment must have at most 500 characters, all printable; "
                f"got {self.experiment!r}"
            )


@dataclass
class Sweep:
    """What `-m` does: the `sweep.*` keys.

    existing  if the experiment has a finished run with the same fingerprint: skip the trial, rerun
              it, or stop with an error before any trial starts
    on_error  after a trial fails: continue with the others, or stop
    dry_run   true lists the trials and their states, and starts none
    zip       keys of a grid that are walked together, the first value of each, then the second:
              [init,activation], or a list of such lists; null: all combinations of all keys
    """

    existing: str = "skip"
    on_error: str = "continue"
    dry_run: bool = False
    zip: Any = None

    def __post_init__(self) -> None:
        checks.one_of("existing", self.existing, ("skip", "rerun", "error"))
        checks.one_of("on_error", self.on_error, ("continue", "stop"))
        zipped_keys(self.zip)


@dataclass
class Config:
    """Everything that a run depends on."""

    init: initializers.Initializer = MISSING
    activation: activations.Activation = MISSING
    optimizer: optimizers.Optimizer = MISSING
    schedule: schedules.Schedule = MISSING
    model: models.Model = MISSING
    data: datasets.Dataset = MISSING
    train: training.Training = field(default_factory=training.Training)
    tracking: Tracking = field(default_factory=Tracking, metadata=datasets.INCIDENTAL)
    sweep: Sweep = field(default_factory=Sweep, metadata=datasets.INCIDENTAL)
    seed: int = 0
    dtype: str = "float32"
    # The laws for `model.input_init` and the like, by place; derived, so it is not a key.
    layer_inits: dict[str, initializers.Initializer] = field(
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
                f"train.steps must be 0 for data without labels, which cannot be learned from; "
                f"got {self.train.steps}"
            )
        if self.model.batch_norm and self.train.batch_size < 2:
            raise ValueError(
                f"train.batch_size must be at least 2 with model.batch_norm, because one example "
                f"has no variance; got {self.train.batch_size}"
            )
        bias_std = self.model.bias_std
        try:
            self.init = self.init.tuned(self.activation, bias_std)
        except ValueError as error:
            raise ValueError(f"init.{error}") from error
        for place, option in self.model.inits.items():
            if option not in options("init"):
                raise ValueError(
                    checks.no_such_option(f"model.{place}_init", option, options("init"))
                )
            self.layer_inits[place] = load_option("init", option).tuned(self.activation, bias_std)


def zipped_keys(value: Any) -> list[list[str]]:
    """Return the lists of keys that a value of `sweep.zip` is; raises `ValueError` for others."""
    if value is None or value == []:
        return []
    several = isinstance(value, list) and all(isinstance(each, list) for each in value)
    groups = value if several else [value]
    if not all(
        isinstance(keys, list)
        and len(keys) > 1
        and all(isinstance(key, str) and key for key in keys)
        for keys in groups
    ):
        raise ValueError(
            "zip must be null, a list of two keys or more, such as [init,activation], or a list of "
            f"such lists; got {value!r}"
        )
    (key, count), *_ = Counter(itertools.chain(*groups)).most_common()
    if count > 1:
        raise ValueError(f"zip must name each key once; got {key} more than once")
    return groups


def load_option(group: str, option: str) -> Any:
    """Return the object of an option, with the settings of its file."""
    return OmegaConf.to_object(read_option(PROJECT / "conf" / group / f"{option}.yaml", group))


@functools.cache
def read_option(file: Path, group: str) -> DictConfig:
    """Return the settings of an option's file, which is read once: a grid asks for them often."""
    settings = OmegaConf.load(file)
    assert isinstance(settings, DictConfig)
    schema = SCHEMAS[group][settings.pop("defaults")[0][f"/schema/{group}@_here_"]]
    merged = OmegaConf.merge(schema, settings)
    assert isinstance(merged, DictConfig)
    return merged


def options(group: str) -> list[str]:
    """Return the options of a config group, which are the names of its files."""
    return sorted(file.stem for file in (PROJECT / "conf" / group).glob("*.yaml"))


def is_path(option: object) -> bool:
    """Return whether an option is the path of a file, such as ../init/he or he.yaml."""
    return "/" in str(option) or str(option).endswith((".yaml", ".yml"))


def nothing_chosen(group: str) -> str:
    """Return the message for a group of which no option is chosen."""
    return f"{group}: nothing is chosen. Choices: {', '.join(options(group))}"


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted key of a nested dict with its value."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def incidental_keys() -> tuple[str, ...]:
    """Return the prefixes of keys that no number depends on, such as `tracking.` and `data.root`.

    They are the fields marked as incidental: where things are, and how they are fetched.
    """
    keys = {f"{each.name}.": each for each in fields(Config)}
    for group, classes in SCHEMAS.items():
        for schema in classes.values():
            keys |= {f"{group}.{each.name}": each for each in fields(schema)}
    return tuple(key for key, each in keys.items() if each.metadata.get("incidental"))


INCIDENTAL_KEYS = incidental_keys()


def essential(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings, by dotted key, that the numbers of a run depend on."""
    return {key: value for key, value in settings.items() if not key.startswith(INCIDENTAL_KEYS)}
