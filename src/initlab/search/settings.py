"""The settings of a search: checked, and what is left open filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from initlab import checks
from initlab.config import Config, ConfigError
from initlab.nn.metrics import Metric
from initlab.nn.models import NetworkModel
from initlab.search.space import Space
from initlab.sweep.engine import Engine
from initlab.sweep.plan import TrialPlan
from initlab.tracking.provenance import digest

SAMPLERS = ("random", "tpe", "grid")
PRUNERS = ("median", "none")
METRICS = (
    Metric.VALIDATION_ACCURACY,
    Metric.VALIDATION_LOSS,
    Metric.TEST_ACCURACY,
    Metric.TEST_LOSS,
    Metric.TRAIN_ACCURACY,
    Metric.TRAIN_LOSS,
    Metric.F,
)
VALIDATION = (Metric.VALIDATION_ACCURACY, Metric.VALIDATION_LOSS)


def refuse_invalid(typed: Mapping[str, Any], engine: Engine) -> None:
    """Raise `ConfigError` for an invalid setting of hydra.sweeper."""
    try:
        checks.one_of("sampler", typed["sampler"], SAMPLERS)
        checks.one_of("pruner", typed["pruner"], PRUNERS)
        if typed["trials"] > typed["limit"]:
            raise ValueError(
                f"trials must be at most {typed['limit']}, which is hydra.sweeper.limit; "
                f"got {typed['trials']}"
            )
        checks.at_least("trials", typed["trials"], 1)
        for name in ("seed", "startup_trials", "warmup_steps"):
            checks.at_least(name, typed[name], 0)
        if typed["metric"] is not None:
            checks.one_of("metric", typed["metric"], METRICS)
        for name in ("storage", "study"):
            if typed[name] is not None and not typed[name].strip():
                raise ValueError(f"{name} must be null or not empty; got {typed[name]!r}")
    except ValueError as error:
        raise ConfigError(f"hydra.sweeper.{error}") from error
    if not engine.prompt:
        raise ConfigError(
            "hydra/launcher must be one of cores, ray, slurm, basic for hydra/sweeper=search, "
            "which looks at each trial before it chooses the next"
        )


def direction(metric: str) -> Literal["maximize", "minimize"]:
    """Return which way a metric is better."""
    return "maximize" if Metric(metric).is_accuracy else "minimize"


def complete(
    typed: Mapping[str, Any], space: Space, corners: Sequence[TrialPlan], folder: Path
) -> tuple[dict[str, Any], str]:
    """Return the settings with all defaults filled in, and a hash of what all trials share.

    corners  trials at the ends of the space, which must all have the metric
    """
    config = corners[0].config
    if config.sweep.existing == "error":
        raise ConfigError("sweep.existing must be one of skip, rerun in a search; got 'error'")
    if config.sweep.zip:
        raise ConfigError(
            "sweep.zip must be null in a search, which chooses each key by itself; "
            f"hydra/sweeper=grid walks keys together; got {config.sweep.zip}"
        )
    settings = {name: value for name, value in typed.items() if name != "limit"}
    if settings["sampler"] == "grid":
        settings["trials"] = len(space.combinations)
    settings["metric"] = settings["metric"] or (recorded_metrics(config) or ["none"])[0]
    for trial in corners:
        recorded = recorded_metrics(trial.config)
        if settings["metric"] not in recorded:
            raise ConfigError(
                f"hydra.sweeper.metric must be one of {', '.join(recorded) or 'none at all'}, "
                f"which all trials have; got {settings['metric']!r}\nin the trial {trial.name}"
            )
    names = ("metric", "sampler", "seed", "pruner", "startup_trials", "warmup_steps")
    mark = digest([corners[0].fingerprint, space.plain, [settings[name] for name in names]])
    settings["study"] = settings["study"] or f"search-{mark}"
    file = folder.parent.resolve() / f"{quote(settings['study'], safe=' ')}.journal"
    settings["storage"] = settings["storage"] or str(file)
    return settings, mark


def recorded_metrics(config: Config) -> list[str]:
    """Return the metrics that a run of this config ends with, the default to search by first."""
    if not isinstance(config.model, NetworkModel):
        return [Metric.F]
    if not config.data.labelled:
        return []
    validated = getattr(config.data, "validation", 0.0) > 0
    return [
        metric
        for metric in METRICS[:-1]
        if (validated or metric not in VALIDATION)
        and (config.train.steps or metric != Metric.TRAIN_LOSS)
    ]
