"""A run: one training, from its config to its record."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from initlab import console, folders
from initlab.checks import UserError, one_line, traceback_of
from initlab.config import (
    PROJECT,
    Config,
    ConfigError,
    as_typed,
    as_yaml,
    build,
    chosen_options,
    essential,
    flatten,
    load_option,
    options,
    output_folder,
    plain_values,
    remarks,
    run_name,
    sweep_id,
)
from initlab.data import Data
from initlab.nn.metrics import Quantity
from initlab.nn.models import NetworkModel
from initlab.nn.network import Parameters
from initlab.nn.prediction import Prediction
from initlab.nn.preparation import load, prepare
from initlab.nn.training import Step
from initlab.nn.verdict import Context
from initlab.process import HEAD, check_stops, freeze_imports, gc_paused, identity, signals_deferred
from initlab.text import mask_password
from initlab.tracking import provenance
from initlab.tracking.names import Outcome, Role, Tag, TakenError
from initlab.tracking.record import PATH, Record

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.tracking.tracker import Tracker

folders.make_optional()

# Says of the record of a training whether to end it there; opened where the training runs.
Pruner = Callable[[Record], bool]
OpenPruner = Callable[[], Pruner]
Loader = Callable[[Config], Data | None]


@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run: what it is, and how it will be recorded. Made once, and used by all who handle it.

    config       the objects that run
    choices      the option chosen in each group
    values       the whole config as nested plain values
    data         None where none are used, and where a plan or another process must load them
    fingerprint  equal for runs that record the same numbers under the same names
    params       as recorded: the choices, and the settings that its numbers depend on
    folder       for its files, where they do not go to a store
    sweep        the id of the sweep that it is a trial of, "" for none
    search       the settings of the search that it is a trial of, with its number; else None
    experiment   the published experiment that was chosen, "" for none
    origin       tags of where it came from, where another process has made it; {}: from this one
    """

    name: str
    config: Config
    choices: dict[str, str]
    values: dict[str, Any] = field(repr=False)
    data: Data | None = field(repr=False)
    fingerprint: str
    params: dict[str, str]
    folder: Path = Path()
    sweep: str = ""
    search: Mapping[str, Any] | None = None
    experiment: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, composed: Any, hydra: Any, loader: Loader = load) -> RunSpec:
        """Describe a composed config and Hydra's node of it; raises a `UserError`."""
        choices = chosen_options(hydra)
        return replace(
            cls.restored(
                run_name(hydra) or f"init={choices['init']}",
                build(composed),
                choices,
                plain_values(composed),
                loader,
            ),
            folder=output_folder(hydra),
            sweep=sweep_id(hydra),
            experiment=str(hydra.runtime.choices.get("experiment") or ""),
        )

    @classmethod
    def restored(
        cls,
        name: str,
        config: Config,
        choices: dict[str, str],
        values: dict[str, Any],
        loader: Loader = load,
    ) -> RunSpec:
        """Describe a run by its config alone; raises a `UserError` if it has no data to run on."""
        data = load_checked(config, choices, loader)
        settings = used(config, essential(dict(flatten(values))))
        classes = {
            group: [option, type(getattr(config, group)).__name__]
            for group, option in used(config, choices).items()
        }
        return cls(
            name,
            config,
            choices,
            values,
            data,
            provenance.fingerprint(settings, classes, data.sha256 if data else ""),
            used(config, choices) | {key: as_typed(value) for key, value in settings.items()},
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the data, which another process loads by itself."""
        return {**vars(self), "data": None}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The whole config by dotted key."""
        return dict(flatten(self.values))

    @property
    def yaml(self) -> str:
        """The whole config as it is kept with the run, without the password of its store."""
        tracking = self.values["tracking"]
        masked = tracking | {"uri": tracking["uri"] and mask_password(tracking["uri"])}
        return as_yaml(self.values | {"tracking": masked})

    @property
    def tags(self) -> dict[str, str]:
        """The tags that it starts with in this process."""
        found = {
            Tag.ROLE: Role.TRIAL,
            Tag.FINGERPRINT: self.fingerprint,
            Tag.DATA: self.data.sha256 if self.data else "",
            **self.example_counts,
            Tag.SWEEP: self.sweep,
            Tag.STUDY: self.search["study"] if self.search else "",
            Tag.EXPERIMENT: self.experiment,
        }
        own = {str(tag): str(value) for tag, value in found.items() if value}
        origin = self.origin or provenance.origin(PROJECT)
        return provenance.versions() | dict(origin) | identity() | own

    @property
    def example_counts(self) -> dict[str, int]:
        """How many examples its accuracies are of, as tags."""
        data = self.data
        parts = (
            {Tag.TEST_EXAMPLES: data.test, Tag.VALIDATION_EXAMPLES: data.validation} if data else {}
        )
        return {tag: len(part) for tag, part in parts.items() if part}

    @property
    def unique(self) -> bool:
        """Whether no other run may have its numbers. The points of a search are another matter."""
        return bool(self.sweep) and not self.search and self.config.sweep.existing != "rerun"

    @property
    def is_remote(self) -> bool:
        """Whether another host has started it."""
        host = self.origin.get(f"{HEAD}.host", socket.gethostname())
        return bool(host != socket.gethostname())

    @property
    def notes(self) -> list[str]:
        """Remarks on how its settings were read."""
        return remarks(self.config, self.choices, self.values)

    @property
    def context(self) -> Context:
        """What the sentence of a verdict may name."""
        option = self.choices["init"]
        own = vars(load_option("init", option)) if option in options("init") else {}
        changed = [
            f"init.{key}={as_typed(self.settings[f'init.{key}'])}"
            for key, usual in own.items()
            if self.settings[f"init.{key}"] != usual
        ]
        config = self.config
        context = Context(
            " ".join([option, *changed]), self.choices["activation"], config.optimizer.lr
        )
        if not isinstance(config.model, NetworkModel):
            return context
        inits = config.model.inits.items()
        return replace(
            context,
            init_overrides=tuple(f"model.{place}_init={own}" for place, own in inits),
            residual=config.model.residual,
            batch_norm=config.model.batch_norm,
            weight_decay=config.train.weight_decay,
        )


def used(config: Config, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values, by dotted key, that the model makes use of."""
    unused = config.model.unused
    return {
        key: value for key, value in values.items() if not {key, key.partition(".")[0]} & unused
    }


def load_checked(config: Config, choices: Mapping[str, str], loader: Loader = load) -> Data | None:
    """Return the data, None if none are used; raises a `UserError` if they make no batch."""
    data = loader(config)
    if data:
        refuse_large_batch(config, choices, data)
    return data


def refuse_large_batch(config: Config, choices: Mapping[str, str], data: Data) -> None:
    """Raise `ConfigError` if there are too few training examples for a batch."""
    if config.train.steps and config.train.batch_size > len(data.train):
        raise ConfigError(
            f"train.batch_size must be at most {len(data.train)}, the number of training examples "
            f"of data={choices['data']}{' less those for validation' * bool(data.validation)}; "
            f"got {config.train.batch_size}"
        )


@dataclass(frozen=True)
class Result:
    """How a run ended.

    verdict   one word, "" where there is none
    reason    why it failed, in one line
    accuracy  on the validation set, else on the test set, None where there is none
    seconds   from the first step to the last file
    value     of the metric that a search goes by, if it is of one
    taken     the id of a run that has its numbers, or will have them; it was not run
    """

    outcome: Outcome
    verdict: str = ""
    reason: str = ""
    accuracy: float | None = None
    seconds: float = 0.0
    value: float | None = None
    taken: str = ""


def attempt(spec: RunSpec, open_pruner: OpenPruner | None = None) -> Result:
    """Run one trial of a sweep; a failure is a result.

    What it prints goes to output.txt in its folder, the traceback of a failure to traceback.txt,
    as far as they can be written.
    """
    with contextlib.suppress(OSError):
        spec.folder.mkdir(parents=True, exist_ok=True)
    with console.open_enduring(spec.folder / "output.txt") as file:
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                return train(spec, open_pruner)
        except TakenError as other:
            return Result(Outcome.RUNNING, taken=other.run_id)
        except Exception as error:
            check_stops()
            with console.open_enduring(spec.folder / "traceback.txt") as trace:
                trace.write(traceback_of(error))
            return Result(Outcome.FAILED, reason=one_line(error))


def train(spec: RunSpec, open_pruner: OpenPruner | None = None) -> Result:
    """Run one training from config to record.

    Raises a `UserError` before anything is trained or recorded if the store, the data or, without a
    store, the folder cannot be used. A trial of a sweep whose training cannot be prepared is
    recorded as FAILED.
    """
    config = spec.config
    with threadpool_limits(config.train.threads, user_api="blas"):
        try:
            spec = replace(spec, data=spec.data or load_checked(config, spec.choices))
            prepared = prepare(config, spec.data)
        except Exception:
            if spec.sweep and config.tracking.enabled:
                with make_tracker(spec):
                    raise
            raise
        initial = prepared.parameters.copy()
        notes = [*prepared.notes, *spec.notes]
        record = Record(spec.name, notes, config.tracking.pictures)
        with gc_paused():
            prediction = prepared.advisor.prediction if prepared.advisor else None
            tracker = make_tracker(spec, prediction) if config.tracking.enabled else None
            if not tracker:
                leave_config(spec)
            prunes = open_pruner() if open_pruner else None
            freeze_imports()
        console.print_heading(spec.name)
        started = time.perf_counter()

        with tracker or contextlib.nullcontext():
            try:
                if tracker:
                    tracker.log_text(spec.yaml, "config.yaml")
                steps = console.watch(prepared.steps, config.train.steps)
                pruned = follow(steps, record, tracker, prunes)
            finally:
                seconds = time.perf_counter() - started
                with signals_deferred():
                    keep(record, spec, tracker, initial, prepared.parameters)
            context = replace(spec.context, advisor=prepared.advisor)
            verdict = None if pruned else record.verdict(context)
            outcome = Outcome.FINISHED if record.diverged_step is None else Outcome.DIVERGED
            outcome = Outcome.PRUNED if pruned else outcome
            if tracker:
                tracker.conclude(outcome, verdict, notes)
    console.print_summary(record, verdict, seconds)
    if tracker:
        console.print_run_id(tracker.run_id)
        console.print_link(tracker.page, tracker.store.command)
    else:
        console.print_folder(spec.folder)
    accuracy = record.evaluation.accuracy if record.evaluation else None
    value = record.value(spec.search["metric"]) if spec.search else None
    return Result(outcome, verdict.word if verdict else "", "", accuracy, seconds, value)


def follow(
    steps: Iterable[Step], record: Record, tracker: Tracker | None, prunes: Pruner | None
) -> bool:
    """Record each step; return whether a search has ended the training early."""
    for step in steps:
        check_stops()
        record.add(step)
        if tracker:
            tracker.log(step)
            if step.snapshot:
                log_pictures(record, tracker, Quantity.ACTIVATIONS, Quantity.GRADIENTS)
        if prunes and prunes(record):
            return True
    return False


def make_tracker(spec: RunSpec, prediction: Prediction | None = None) -> Tracker:
    """Return the tracker of a run, in a store that has been tried; `with` opens the run."""
    from initlab.tracking.store import open_store
    from initlab.tracking.tracker import Tracker

    tracking = spec.config.tracking
    # A worker on another host must not make a database of its own where it cannot see the head's.
    create = not spec.is_remote
    store = open_store(tracking.uri, tracking.experiment, PROJECT, create, tracking.timeout)
    tags = spec.tags
    if prediction:
        tags |= {
            Tag.CHI1: f"{prediction.limit.chi1:.4g}",
            Tag.DEPTH_SCALE: f"{prediction.limit.depth_scale_c:.4g}",
        }
    return Tracker(store, spec.name, spec.params, tags, spec.unique)


def log_pictures(record: Record, tracker: Tracker, *names: str) -> None:
    """Log pictures of the current step, for the slider of the chart page."""
    for name in names:
        if record.drawn and name in record.drawable:
            tracker.log_image(f"train/{name}", record.picture(name), record.steps[-1].number)


def keep(
    record: Record, spec: RunSpec, tracker: Tracker | None, initial: Parameters, final: Parameters
) -> None:
    """Put the run's files into the store; without one, or if it fails, into the run's folder."""
    if not tracker:
        leave(record, spec, initial, final)
        return
    try:
        tracker.flush()
        log_pictures(record, tracker, PATH)
        with tempfile.TemporaryDirectory() as scratch:
            record.save(Path(scratch), initial, final)
            tracker.log_files(sorted(Path(scratch).iterdir()))
    except Exception:
        try:
            leave(record, spec, initial, final)
            console.print_folder(spec.folder)
        except UserError as second:
            console.error(f"{second}\nWhat the store does not have is lost.")
        raise


def leave(record: Record, spec: RunSpec, initial: Parameters, final: Parameters) -> None:
    """Write all that a store would hold into the run's folder; raises `UserError` if it cannot."""
    leave_config(spec)
    try:
        record.save_metrics(spec.folder / "metrics.csv")
        record.save(spec.folder, initial, final)
    except OSError as error:
        raise folders.unwritable(str(spec.folder), error) from error


def leave_config(spec: RunSpec) -> None:
    """Write config.yaml into the run's folder; raises `UserError` if it cannot."""
    try:
        spec.folder.mkdir(parents=True, exist_ok=True)
        (spec.folder / "config.yaml").write_text(spec.yaml, encoding="utf-8")
    except OSError as error:
        key = "hydra.sweep.dir" if spec.sweep else "hydra.run.dir"
        raise folders.unwritable(f"{key}={spec.folder}", error) from error
