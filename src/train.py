"""Train a network and record what its initialisation does: the front door of initlab."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from threadpoolctl import threadpool_limits

from initlab import console, provenance
from initlab.batches import Rows
from initlab.checks import UserError
from initlab.config import (
    GROUPS,
    PROJECT,
    Config,
    ConfigError,
    build,
    explain,
    flatten,
    named,
    register,
)
from initlab.diagnostics import Snapshot
from initlab.models import NetworkModel
from initlab.network import Parameters
from initlab.quadratic import Quadratic, descend
from initlab.record import Record
from initlab.training import Step, fit
from initlab.verdict import Setting

if TYPE_CHECKING:  # MLflow takes a second to import
    from initlab.tracking import Tracker


@dataclass(frozen=True)
class Job:
    """What Hydra knows of a run beyond its config.

    choices   the option chosen in each group
    settings  the whole config by dotted key
    folder    for the files of the run, where they do not go to a store
    sweep     the id of the sweep that it is a trial of, if any
    """

    name: str
    choices: dict[str, str]
    settings: dict[str, Any]
    yaml: str
    folder: Path
    sweep: str | None

    @classmethod
    def current(cls, composed: DictConfig) -> Job:
        """Return the job that Hydra is running."""
        settings = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(settings, dict)
        job = HydraConfig.get()
        choices = {group: str(job.runtime.choices[group]) for group in GROUPS}
        overrides = [text for text in job.overrides.task if not text.startswith("tracking.")]
        return cls(
            name=" ".join(overrides) or f"init={choices['init']}",
            choices=choices,
            settings=dict(flatten(settings)),
            yaml=OmegaConf.to_yaml(composed, resolve=True),
            folder=Path(job.runtime.output_dir),
            sweep=Path(job.sweep.dir).name if job.mode == RunMode.MULTIRUN else None,
        )


@dataclass(frozen=True)
class Work:
    """A training that is ready to begin.

    steps        to be taken one by one; each moves `parameters`
    data_sha256  of the contents of the data, "" where there are none
    notes        what is worth saying of how it was made ready
    """

    steps: Iterator[Step]
    parameters: Parameters
    data_sha256: str = ""
    notes: list[str] = field(default_factory=list)


def train(config: Config, job: Job) -> None:
    """Run one training from config to record.

    Raises a `UserError` before anything is trained or recorded if the data or the store cannot be
    had or do not go with the config.
    """
    with threadpool_limits(config.train.threads, user_api="blas"):
        work = prepare(config, job)
        initial = work.parameters.copy()
        record = Record(job.name, work.notes)
        tracker = make_tracker(config, job, work) if config.tracking.enabled else None
        if not gc.get_freeze_count():
            # MLflow makes many small objects, and Python would search all that was ever imported
            # for garbage each time, which doubles what recording costs.
            gc.freeze()
        console.heading(job.name)
        started = time.perf_counter()

        with tracker or contextlib.nullcontext():
            try:
                if tracker:
                    tracker.log_text(job.yaml, "config.yaml")
                for step in console.watch(work.steps, config.train.steps):
                    record.add(step)
                    if tracker:
                        tracker.log(step)
                        if step.snapshot:
                            show(step.snapshot, tracker)
            finally:
                seconds = time.perf_counter() - started
                keep(record, job, tracker, initial, work.parameters)
            verdict = record.verdict(setting(config, job))
            if tracker:
                outcome = "finished" if record.diverged_step is None else "diverged"
                tracker.conclude(outcome, verdict, work.notes)
    console.summary(record, verdict, seconds)
    if tracker:
        console.opened(tracker.run_id, tracker.page, tracker.store.command)
    else:
        console.kept(job.folder)


def prepare(config: Config, job: Job) -> Work:
    """Load the data, draw the weights, and return the training."""
    streams = np.random.default_rng(config.seed).spawn(4)
    init_stream, batch_stream, data_stream, dropout_stream = streams
    train, optimizer, schedule = config.train, config.optimizer, config.schedule
    if isinstance(config.model, Quadratic):
        point = config.model.parameters(config.dtype)
        return Work(descend(point, optimizer, schedule, train.steps), point)

    assert isinstance(config.model, NetworkModel)
    data = config.data.load(data_stream)
    if train.steps and train.batch_size > len(data.train):
        raise ConfigError(
            f"train.batch_size must be at most {len(data.train)}, the number of training examples "
            f"of data={job.choices['data']}; got {train.batch_size}"
        )
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
    return Work(steps, network.parameters, data.sha256, notes)


def setting(config: Config, job: Job) -> Setting:
    """Return what a verdict needs to name."""
    option = job.choices["init"]
    changed = [
        f"init.{key}={plain(job.settings[f'init.{key}'])}"
        for key, usual in vars(named("init", option)).items()
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


def make_tracker(config: Config, job: Job, work: Work) -> Tracker:
    """Return the run's record in a store that has been tried; `with` opens it."""
    from initlab.tracking import Tracker, open_store

    store = open_store(config.tracking.uri, config.tracking.experiment, PROJECT)
    unused = config.model.unused
    choices, settings, classes = (
        {key: value for key, value in each.items() if not {key, key.partition(".")[0]} & unused}
        for each in (
            job.choices,
            job.settings,
            {group: type(getattr(config, group)).__name__ for group in GROUPS},
        )
    )
    essential = provenance.essential(settings)
    params = choices | {key: plain(value) for key, value in essential.items()}
    tags = provenance.tags(PROJECT) | {
        "role": "trial",
        "fingerprint": provenance.fingerprint(settings, classes, work.data_sha256),
    }
    if job.sweep:
        tags["sweep"] = job.sweep
    return Tracker(store, job.name, params, tags)


def plain(value: Any) -> str:
    """Return a setting as it is written on the command line."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else str(value)


def show(snapshot: Snapshot, tracker: Tracker) -> None:
    """Draw the distributions of a step for the slider of the chart page."""
    from initlab import figures  # Matplotlib takes time to import

    for quantity in ("activations", "gradients"):
        if quantity in snapshot.histograms:
            figure = figures.distributions(quantity, snapshot)
            tracker.log_image(f"train/{quantity}", figures.pixels(figure), snapshot.step)


def show_path(record: Record, tracker: Tracker) -> None:
    """Draw the whole descent for the chart page."""
    from initlab import figures

    figure = figures.descent(record.points)
    tracker.log_image("train/path", figures.pixels(figure), record.steps[-1].number)


def keep(
    record: Record, job: Job, tracker: Tracker | None, initial: Parameters, final: Parameters
) -> None:
    """Put the run's files into the store; without one, or if it fails, into the run's folder."""
    if tracker:
        with tempfile.TemporaryDirectory() as scratch:
            record.save(Path(scratch), initial, final)
            try:
                tracker.flush()
                if record.points:
                    show_path(record, tracker)
                tracker.log_files(Path(scratch))
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


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Turn SIGTERM into an exception, so that the run is closed."""
    raise SystemExit(128 + number)


class ReportedError(Exception):
    """A job of a sweep failed and has said so; the others go on."""


@hydra.main(version_base="1.3", config_path=str(PROJECT / "conf"), config_name="config")
def main(composed: DictConfig) -> None:
    """Run what the command line asks for; Hydra calls this once for each combination."""
    hydra_config = HydraConfig.get()
    try:
        config = build(composed)
        train(config, Job.current(composed))
    except Exception as error:
        status = report(error)
        if hydra_config.mode == RunMode.RUN:
            raise SystemExit(status) from error
        raise ReportedError from error
    finally:
        with contextlib.suppress(OSError):
            Path(hydra_config.runtime.output_dir).rmdir()  # only if nothing was left in it


def report(error: Exception) -> int:
    """Print an error: a message for a mistake, a traceback for a defect. Return the status."""
    if isinstance(error, UserError):
        console.error(str(error))
        return 2
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        console.error(explain(error))
        return 2
    if isinstance(error, MemoryError):
        console.error(f"not enough memory: {error}")
        return 2
    if isinstance(error, ValueError) and "Config group override must be" in str(error):
        console.error("a config group wants one of its options, such as init=he, and not null")
        return 2
    traceback.print_exception(error)
    return 1


def run() -> int:
    """Run `main` and return the exit status."""
    signal.signal(signal.SIGTERM, terminate)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra would print errors in its own way
    try:
        main()
    except ReportedError:
        return 1
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    except Exception as error:
        return report(error)
    return 0


register()

if __name__ == "__main__":
    sys.exit(run())
