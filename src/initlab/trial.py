"""A trial: one training, from its config to its record."""

from __future__ import annotations

import contextlib
import functools
import gc
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from initlab import console, provenance
from initlab.batches import Rows
from initlab.checks import told
from initlab.config import GROUPS, PROJECT, Config, ConfigError, named, options
from initlab.data import Data
from initlab.garbage import unsearched
from initlab.job import Job
from initlab.models import NetworkModel
from initlab.network import Parameters
from initlab.quadratic import Quadratic, descend
from initlab.record import Record
from initlab.signals import undisturbed
from initlab.training import Step, fit
from initlab.verdict import Setting

if TYPE_CHECKING:  # MLflow takes a second to import, Optuna a quarter of one
    from initlab.reporter import Reporter
    from initlab.tracking import Tracker


@dataclass(frozen=True)
class Work:
    """A training that is ready to begin.

    steps       to be taken one by one; each moves `parameters`
    notes       what is worth saying of how it was made ready
    """

    steps: Iterator[Step]
    parameters: Parameters
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """What became of a trial.

    outcome   finished, diverged, pruned, failed or killed
    verdict   one word, "" where there is none
    reason    what a failed one died of, in one line
    accuracy  on the validation set, else on the test set, None where there is none
    seconds   from the first step to the last file
    value     of the metric that a search goes by, if it is of one
    """

    outcome: str
    verdict: str = ""
    reason: str = ""
    accuracy: float | None = None
    seconds: float = 0.0
    value: float | None = None


def attempt(config: Config, job: Job) -> Result:
    """Run one trial of a sweep, which goes on whatever comes of it.

    What it prints goes to output.txt in its folder, the traceback of a failure to traceback.txt.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "output.txt").open("w") as file:
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                return train(config, job)
        except Exception as error:
            (job.folder / "traceback.txt").write_text("".join(traceback.format_exception(error)))
            return Result("failed", reason=told(error))


def train(config: Config, job: Job) -> Result:
    """Run one training from config to record.

    Raises a `UserError` before anything is trained or recorded if the data or the store cannot be
    had or do not go with the config. A trial of a sweep is recorded even so, as FAILED.
    """
    with threadpool_limits(config.train.threads, user_api="blas"):
        data = None
        try:
            data = load(config, job)
            work = prepare(config, job, data)
        except Exception:
            if job.sweep and config.tracking.enabled:
                with make_tracker(config, job, data):
                    raise
            raise
        initial = work.parameters.copy()
        record = Record(job.name, work.notes, config.tracking.pictures)
        with unsearched():
            tracker = make_tracker(config, job, data) if config.tracking.enabled else None
            reporter = make_reporter(config, job)
            freeze()
        console.heading(job.name)
        started = time.perf_counter()

        with tracker or contextlib.nullcontext():
            try:
                if tracker:
                    tracker.log_text(job.yaml, "config.yaml")
                steps = console.watch(work.steps, config.train.steps)
                pruned = follow(steps, record, tracker, reporter)
            finally:
                seconds = time.perf_counter() - started
                with undisturbed():
                    keep(record, job, tracker, initial, work.parameters)
            verdict = None if pruned else record.verdict(setting(config, job))
            outcome = "finished" if record.diverged_step is None else "diverged"
            outcome = "pruned" if pruned else outcome
            if tracker:
                tracker.conclude(outcome, verdict, work.notes)
    console.summary(record, verdict, seconds)
    if tracker:
        console.recorded(tracker.run_id)
        console.opened(tracker.page, tracker.store.command)
    else:
        console.kept(job.folder)
    accuracy = record.evaluation.accuracy if record.evaluation else None
    value = record.value(job.search["metric"]) if job.search else None
    return Result(outcome, verdict.word if verdict else "", "", accuracy, seconds, value)


def follow(
    steps: Iterable[Step], record: Record, tracker: Tracker | None, reporter: Reporter | None
) -> bool:
    """Take steps into the record and the store; return whether a search has broken them off."""
    for step in steps:
        record.add(step)
        if tracker:
            tracker.log(step)
            if step.snapshot:
                show(record, tracker, "activations", "gradients")
        if reporter and reporter.prunes(record):
            return True
    return False


@functools.cache
def freeze() -> None:
    """Take all that was imported out of the search for garbage, once.

    MLflow makes many small objects, and each search would double what recording costs.
    """
    gc.freeze()


def prepare(config: Config, job: Job, data: Data | None) -> Work:
    """Draw the weights and return the training on what `load` returned."""
    init_stream, batch_stream, _, dropout_stream = streams(config)
    train, optimizer, schedule = config.train, config.optimizer, config.schedule
    if isinstance(config.model, Quadratic):
        point = config.model.parameters(config.dtype)
        return Work(descend(point, optimizer, schedule, train.steps), point)

    assert isinstance(config.model, NetworkModel)
    assert data is not None
    network = config.model.build(
        data.features,
        data.classes,
        config.activation,
        train.batch_size,
        config.dtype,
        dropout_stream,
    )
    first = data.train.first(train.probe_size)
    x, _ = Rows(first, len(first), network.dtype).take(np.arange(len(first)))
    said = network.initialize(config.init, init_stream, x, config.places)
    notes = [said] if said else []
    if job.settings.get("init.gain") == "auto":
        gain = vars(config.init)["gain"]
        notes.append(f"init.gain=auto is {gain:.4g} for {job.choices['activation']}")
    steps = fit(network, optimizer, schedule, data, train, batch_stream)
    return Work(steps, network.parameters, notes)


def streams(config: Config) -> list[np.random.Generator]:
    """Return the generators of weights, batches, random data and dropout."""
    return np.random.default_rng(config.seed).spawn(4)


def load(config: Config, job: Job) -> Data | None:
    """Return the data, None if none are used; raises `UserError` if that is impossible."""
    if not isinstance(config.model, NetworkModel):
        return None
    data = config.data.load(streams(config)[2])
    if config.train.steps and config.train.batch_size > len(data.train):
        raise ConfigError(
            f"train.batch_size must be at most {len(data.train)}, the number of training examples "
            f"of data={job.choices['data']}{' less those for validation' * bool(data.validation)}; "
            f"got {config.train.batch_size}"
        )
    return data


def used(config: Config, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values, by dotted key, that the model makes use of."""
    unused = config.model.unused
    return {
        key: value for key, value in values.items() if not {key, key.partition(".")[0]} & unused
    }


def fingerprint(config: Config, job: Job, data: Data | None) -> str:
    """Return what tells whether two trials record the same numbers."""
    chosen = {
        group: [job.choices[group], type(getattr(config, group)).__name__] for group in GROUPS
    }
    return provenance.fingerprint(
        used(config, job.settings), used(config, chosen), data.sha256 if data else ""
    )


def setting(config: Config, job: Job) -> Setting:
    """Return what a verdict needs to name."""
    option = job.choices["init"]
    own = vars(named("init", option)) if option in options("init") else {}  # of --config-dir
    changed = [
        f"init.{key}={plain(job.settings[f'init.{key}'])}"
        for key, usual in own.items()
        if job.settings[f"init.{key}"] != usual
    ]
    init = " ".join([option, *changed])
    model, activation = config.model, job.choices["activation"]
    if not isinstance(model, NetworkModel):
        return Setting(init, activation, config.optimizer.lr)
    return Setting(
        init,
        activation,
        config.optimizer.lr,
        tuple(f"model.{place}_init={own}" for place, own in model.inits.items()),
        model.residual,
        model.batch_norm,
        config.train.weight_decay,
    )


def make_tracker(config: Config, job: Job, data: Data | None) -> Tracker:
    """Return the run's record in a store that has been tried; `with` opens it."""
    from initlab.store import open_store
    from initlab.tracking import Tracker

    store = open_store(config.tracking.uri, config.tracking.experiment, PROJECT)
    tags = {
        **provenance.tags(PROJECT),
        **provenance.process(),
        "role": "trial",
        "fingerprint": fingerprint(config, job, data),
    }
    if data:
        tags["version.data"] = data.sha256
    if job.sweep:
        tags["sweep"] = job.sweep
    if job.search:
        tags["study"] = job.search["study"]
    if job.experiment:
        tags["experiment"] = job.experiment
    return Tracker(store, job.name, params(config, job), tags)


def make_reporter(config: Config, job: Job) -> Reporter | None:
    """Return what tells the study of a search how the training goes, None where there is none."""
    if job.search is None:
        return None
    from initlab.reporter import Reporter

    return Reporter(job.search, config.train.steps)


def params(config: Config, job: Job) -> dict[str, str]:
    """Return what a run is found by: the choices, and the settings that its numbers depend on."""
    essential = provenance.essential(used(config, job.settings))
    return used(config, job.choices) | {key: plain(value) for key, value in essential.items()}


def plain(value: Any) -> str:
    """Return a setting as it is written on the command line."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else str(value)


def show(record: Record, tracker: Tracker, *whats: str) -> None:
    """Log pictures as they are now for the slider of the chart page."""
    for what in whats:
        if record.drawn and what in record.drawable:
            tracker.log_image(f"train/{what}", record.picture(what), record.steps[-1].number)


def keep(
    record: Record, job: Job, tracker: Tracker | None, initial: Parameters, final: Parameters
) -> None:
    """Put the run's files into the store; without one, or if it fails, into the run's folder."""
    if tracker:
        with tempfile.TemporaryDirectory() as scratch:
            record.save(Path(scratch), initial, final)
            try:
                tracker.flush()
                show(record, tracker, "path")
                tracker.log_files(sorted(Path(scratch).iterdir()))
            except Exception:
                leave(record, job, initial, final)
                console.kept(job.folder)
                raise
    else:
        leave(record, job, initial, final)


def leave(record: Record, job: Job, initial: Parameters, final: Parameters) -> None:
    """Write all that a store would hold into the run's folder."""
    record.save(job.folder, initial, final)
    record.save_metrics(job.folder / "metrics.csv")
    (job.folder / "config.yaml").write_text(job.yaml)
