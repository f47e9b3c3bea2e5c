"""The plan of a sweep: its trials, checked and looked up before the first one starts."""

from __future__ import annotations

import contextlib
import itertools
import math
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from initlab.checks import UserError, choices
from initlab.config import Config, ConfigError, explain
from initlab.process import is_gone
from initlab.report.comparison import ordered
from initlab.run import OpenPruner, RunSpec
from initlab.sweep.combine import Combiner
from initlab.sweep.compose import Composer, named
from initlab.tracking.names import Status

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.tracking.store import Store

Compose = Callable[[Sequence[str]], DictConfig]
Item = TypeVar("Item")

# Trials that are looked up at once. A server needs as long for a few as for many, but the first
# should not have to wait for all.
LOOKED_UP, GROWTH = 2000, 4


class State(StrEnum):
    """What the store has of a trial before the sweep starts."""

    NEW = "new"
    CACHED = "cached"  # a finished run has its numbers
    DUPLICATE = "same as"  # an earlier trial of the sweep will have them
    RUNNING = "running"  # elsewhere
    FAILED = "failed before"
    KILLED = "killed before"


@dataclass(frozen=True)
class TrialPlan:
    """One trial that was checked. It is light: what runs is made anew when it is asked for.

    overrides        that compose it, in Hydra's grammar
    steps            of its training
    describe         makes its `RunSpec`
    compose          makes its config
    state            what the store has of it
    existing_run_id  of the run that `state` speaks of, "" for none
    twin             the name of the earlier trial that it duplicates, "" for none
    open_pruner      opens what may end it early, in the process that runs it; None for nothing
    """

    name: str
    overrides: list[str]
    fingerprint: str
    steps: int
    describe: Callable[[], RunSpec]
    compose: Callable[[], DictConfig]
    state: State = State.NEW
    existing_run_id: str = ""
    twin: str = ""
    open_pruner: OpenPruner | None = None

    @property
    def spec(self) -> RunSpec:
        """The run."""
        return self.describe()

    @property
    def config(self) -> Config:
        """The objects that run."""
        return self.spec.config

    @property
    def needless(self) -> bool:
        """Whether its numbers exist already, or another trial will make them."""
        return self.state in (State.CACHED, State.DUPLICATE)


def refuse_unlistable(
    overrides: Sequence[Override], limit: int, zipped: Sequence[Sequence[str]] = ()
) -> None:
    """Raise `ConfigError` for a grid whose values cannot be listed, or that is too large.

    zipped  lists of keys that are walked together, which must have equally many values
    """
    sizes: dict[str, int] = {}
    for override in overrides:
        swept = override.is_sweep_override()
        if swept and not override.is_discrete_sweep():
            raise ConfigError(
                f"{override.input_line}: an interval cannot be listed; name the values, as in "
                "choice(0.1, 0.01)"
            )
        if swept and override.key_or_group == "experiment":
            raise ConfigError(f"{override.input_line}: each has a grid of its own; name one")
        if swept and override.key_or_group == "sweep.zip":
            whole = shlex.quote(f"sweep.zip=[{override.get_value_string()}]")
            raise ConfigError(
                f"{override.input_line}: it cannot be swept; a list stands in brackets, around "
                f"which the shell needs quotes:\n  {whole}"
            )
        sizes[override.get_key_element()] = count_values(override) if swept else 1
    for group in zipped:
        refuse_unequal(sizes, group)
    axes = axes_of(sizes, zipped)
    refuse_large({" with ".join(keys): sizes[keys[0]] for keys in axes}, limit)


def refuse_unequal(sizes: Mapping[str, int], zipped: Sequence[str]) -> None:
    """Raise `ConfigError` if keys cannot be walked together."""
    given = {key.lstrip("+"): size for key, size in sizes.items()}
    for key in zipped:
        if key not in given:
            swept = [each for each, size in given.items() if size > 1]
            raise ConfigError(
                f"sweep.zip names {key}, which must be given values, as in {key}=a,b."
                f"{choices(key, swept) if swept else ''}"
            )
    if len({given[key] for key in zipped}) > 1:
        counts = ", ".join(f"{given[key]:,} of {key}" for key in zipped)
        raise ConfigError(
            f"sweep.zip: {' and '.join(zipped)} must have equally many values; got {counts}"
        )


def axes_of(keys: Iterable[str], zipped: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the keys of each axis of a grid; zipped ones share the place of the first of them.

    keys  as typed, some with a + or ++ before the name that `zipped` has
    """
    axes: dict[str, list[str]] = {}
    for key in keys:
        name = key.lstrip("+")
        group = next((group for group in zipped if name in group), [name])
        axes.setdefault(group[0], []).append(key)
    return [*axes.values()]


def refuse_large(sizes: Mapping[str, int], limit: int) -> None:
    """Raise `ConfigError` if there are too many combinations of so many values of each key."""
    count = math.prod(sizes.values())
    if count > limit:
        parts = " x ".join(f"{size:,} of {key}" for key, size in sizes.items() if size > 1)
        raise ConfigError(
            f"hydra.sweeper.limit must be at least the number of trials, {count:,} ({parts}); "
            f"got {limit:,}"
        )


def count_values(override: Override) -> int:
    """Return how many values a sweep has, without listing a range; `ConfigError` if it has none."""
    value = override.value()
    try:
        if isinstance(value, RangeSweep):
            assert value.start is not None
            assert value.stop is not None
            start, stop, step = map(Decimal, (value.start, value.stop, value.step))
            if not step:
                raise ValueError("the step of a range must not be zero")
            count = max(0, math.ceil((stop - start) / step))
        else:
            count = sum(1 for _ in override.sweep_string_iterator())
        if not count:
            raise ValueError("no value fits")
    except ValueError as error:
        raise ConfigError(f"{override.input_line}: {error}") from error
    return count


def name_trials(grid: Sequence[Sequence[str]]) -> list[str]:
    """Return the name of each combination, which is what varies; "" where nothing does."""
    typed = {"True": "true", "False": "false"}  # Hydra hands them over as Python writes them
    settings = [dict(text.split("=", 1) for text in combination) for combination in grid]
    shared = set.intersection(*map(set, settings))
    varies = ordered(key for key in shared if len({each[key] for each in settings}) > 1)
    return [
        " ".join(f"{key}={typed.get(each[key], each[key])}" for key in varies) for each in settings
    ]


def check(name: str, overrides: Sequence[str], compose: Compose) -> TrialPlan:
    """Compose and build a trial and load its data; raises `ConfigError` if it could not run."""
    with explaining(name):
        whole = named(name, overrides)
        composed = compose(whole)
        spec = replace(RunSpec.of(composed, composed.hydra), data=None)
    steps = spec.config.train.steps
    return TrialPlan(spec.name, whole, spec.fingerprint, steps, lambda: spec, lambda: composed)


@contextlib.contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turn any error of a config into a `ConfigError` that says in which trial it is."""
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException) as error:
        message = str(error) if isinstance(error, UserError) else explain(error)
        where = f"\nin the trial {name}; no trial was started" if name else ""
        raise ConfigError(f"{message}{where}") from error


class Grid:
    """The trials of a grid, which are checked one by one.

    combinations  the settings of each
    """

    def __init__(self, combinations: Sequence[Sequence[str]], compose: Composer) -> None:
        self.combinations = combinations
        self.names = name_trials(combinations)
        self.compose = compose
        self.describe = Combiner(compose)
        self.common: Config | None = None

    def __len__(self) -> int:
        """The number of trials."""
        return len(self.combinations)

    def check(self, index: int, begun: bool = False) -> TrialPlan:
        """Build a trial and load its data; raises `ConfigError` if it could not run.

        begun  whether others have run already
        """
        name, overrides = self.names[index], self.combinations[index]
        with explaining(name if not begun else ""):
            spec = self.describe(name, overrides)
        self.common = self.common or spec.config
        refuse_different(spec.config, self.common)
        whole = named(name, overrides)
        return TrialPlan(
            spec.name,
            whole,
            spec.fingerprint,
            spec.config.train.steps,
            partial(self.describe, name, overrides),
            partial(self.compose, whole),
        )

    def covering(self, most: int) -> list[int]:
        """Return trials that have among them every setting, and every two that any trial has.

        Keys with few values come first, and where trials would be more than `most`, values and
        pairs of the others are left out.
        """
        width = min(map(len, self.combinations))  # beyond it stands what goes with an option
        counts = [len({each[key] for each in self.combinations}) for key in range(width)]
        keys = [*((key,) for key in range(width)), *itertools.combinations(range(width), 2)]
        found: dict[int, None] = {}
        for some in sorted(keys, key=lambda some: math.prod(counts[key] for key in some)):
            first: dict[tuple[str, ...], int] = {}
            for index, settings in enumerate(self.combinations):
                first.setdefault(tuple(settings[key] for key in some), index)
                if len(first) > most:
                    break
            found |= dict.fromkeys(first.values())
            if len(found) >= most:
                break
        return [*itertools.islice(found, most)]


def common_config(trials: Sequence[TrialPlan]) -> Config:
    """Return the config of the sweep itself; raises `ConfigError` if its trials disagree."""
    first = trials[0].config
    for trial in trials:
        refuse_different(trial.config, first)
    return first


def refuse_different(config: Config, common: Config) -> None:
    """Raise `ConfigError` if a trial does not have the settings of the sweep itself."""
    for name in ("tracking", "sweep"):
        if getattr(config, name) != getattr(common, name):
            raise ConfigError(f"{name}.* cannot be swept: it must be the same in all trials")


def look_up(trials: Iterable[TrialPlan], store: Store | None) -> Iterator[TrialPlan]:
    """Yield each trial with its state; they are looked up in the store many at a time."""
    earlier: dict[str, str] = {}  # fingerprint → name
    for some in growing(trials, LOOKED_UP, GROWTH):
        existing = store.trials_by_fingerprint({each.fingerprint for each in some}) if store else {}
        for trial in some:
            fingerprint = trial.fingerprint
            if fingerprint in earlier:
                yield replace(trial, state=State.DUPLICATE, twin=earlier[fingerprint])
                continue
            earlier[fingerprint] = trial.name
            state, run_id = state_of(existing.get(fingerprint, []))
            yield replace(trial, state=state, existing_run_id=run_id)


def growing(items: Iterable[Item], size: int, factor: int) -> Iterator[list[Item]]:
    """Yield the items in lists, the first of a size, and each by a factor longer than the last."""
    iterator = iter(items)
    while some := [*itertools.islice(iterator, size)]:
        yield some
        size *= factor


def look_up_one(store: Store, fingerprint: str) -> tuple[State, str]:
    """Return the state of a fingerprint in the store, and the run that has it."""
    return state_of(store.trials_by_fingerprint([fingerprint]).get(fingerprint, []))


def state_of(existing: Sequence[Any]) -> tuple[State, str]:
    """Return what the runs of a fingerprint in MLflow, newest first, make of it, and one."""
    for run in existing:
        if run.info.status == Status.FINISHED:
            return State.CACHED, run.info.run_id
    for run in existing:
        if run.info.status == Status.RUNNING and not is_gone(run.data.tags):
            return State.RUNNING, run.info.run_id
    if not existing:
        return State.NEW, ""
    last = existing[0].info
    return State.FAILED if last.status == Status.FAILED else State.KILLED, last.run_id


def refuse_existing(trials: Sequence[TrialPlan]) -> None:
    """Raise `ConfigError` if the numbers of a trial are there already."""
    existing = [trial for trial in trials if trial.state == State.CACHED]
    if existing:
        lines = "".join(
            f"\n  {trial.name} is run {trial.existing_run_id}" for trial in existing[:10]
        )
        more = f"\n  and {len(existing) - 10} more" if len(existing) > 10 else ""
        raise ConfigError(
            f"sweep.existing=error: {len(existing)} of {len(trials)} trials have been run:"
            f"{lines}{more}"
        )
