"""A tracker: one run that is being recorded in a store of MLflow.

Numbers are buffered and sent in batches, because one call for each would take longer than a step.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType

from mlflow.entities import Metric, Param, RunTag
from PIL.Image import Image

from initlab.checks import one_line, traceback_of
from initlab.nn.training import Step
from initlab.nn.verdict import Verdict
from initlab.process import signals_deferred, stops
from initlab.tracking.names import Outcome, Status, Tag, TakenError
from initlab.tracking.store import (
    CLAIMS,
    Store,
    TrackingError,
    explained,
    give_way,
    quick_and_quiet,
    write_lock,
)  # fmt: skip
from initlab.tracking.uploads import Uploads

FLUSH_SECONDS = 2.0
MOST_STEPS = 900  # in one flush, so that a call has room for a few evaluations
MOST_METRICS = 1000  # of one log_batch call, a limit of MLflow
MOST_PARAMS = 100
MOST_LETTERS = 500  # of the tag with the error


class Tracker:
    """One run in a store, to be used with `with`: it ends FINISHED, FAILED or KILLED.

    An exception makes it FAILED, with the traceback as an artifact; Ctrl-C and SIGTERM make it
    KILLED. Whatever was logged before is sent first. Raises `TrackingError` if the store fails.

    unique  whether `TakenError` is raised, and no run opened, if another run of its fingerprint has
            finished or runs in another process, as `Store.run_of` sees it
    """

    def __init__(
        self,
        store: Store,
        name: str,
        params: dict[str, str],
        tags: dict[str, str],
        unique: bool = False,
    ) -> None:
        self.store = store
        self.name = name
        self.params = params
        self.tags = tags
        self.unique = unique
        self.client = store.client
        self.run_id = ""
        self.pending: list[tuple[float, Step]] = []
        self.flushed = time.time()
        self.failure: TrackingError | None = None
        self.uploads = Uploads()
        self.one_batch = threading.Lock()
        self.status = Status.FINISHED  # at the end, if nothing is raised

    @property
    def page(self) -> str:
        """The address of the run in the UI, with the menu for training instead of agents."""
        path = f"experiments/{self.store.experiment_id}/runs/{self.run_id}"
        return f"{self.store.ui}/#/{path}?workflowType=machine_learning"

    def log(self, step: Step) -> None:
        """Log the numbers of a step, to be sent within two seconds."""
        now = time.time()
        self.pending.append((now, step))
        if len(self.pending) >= MOST_STEPS or now - self.flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send what is pending."""
        entries = [
            Metric(name, value, int(1000 * when), step.number)
            for when, step in self.pending
            for name, value in step.metrics()
        ]
        batches = [
            partial(self.log_batch, metrics=entries[first : first + MOST_METRICS])
            for first in range(0, len(entries), MOST_METRICS)
        ]
        self.send_batches(batches)
        self.pending.clear()
        self.flushed = time.time()

    def log_image(self, key: str, image: Image, step: int) -> None:
        """Log a picture that the chart page shows by step."""
        log_image, when = self.client.log_image, int(1000 * time.time())
        self.send(partial(log_image, self.run_id, image, None, key, step, when, synchronous=True))

    def log_text(self, text: str, file: str) -> None:
        """Log a text as an artifact."""
        self.send(partial(self.client.log_text, self.run_id, text, file))

    def log_files(self, files: Iterable[Path]) -> None:
        """Log files as artifacts at the root; afterwards they may be deleted."""
        for file in files:
            self.send(partial(self.client.log_artifact, self.run_id, str(file)))
        self.join()

    def send(self, call: Callable[[], object]) -> None:
        """Make a call that keeps a file: to a database at once, to a server meanwhile.

        A server takes as long for a file as fifty steps of training. What it refuses is raised by
        whatever talks to it next, and by `join` at the latest.
        """
        with self.talking():
            if self.store.is_database:
                call()
            else:
                self.uploads.add(call)

    def send_batches(self, batches: Iterable[Callable[[], object]]) -> None:
        """Make calls that keep numbers: to a database at once, to a server meanwhile."""
        if not self.store.is_database:
            for batch in batches:
                self.send(batch)
            return
        with self.writing():
            for batch in batches:
                batch()

    def log_batch(self, metrics: Sequence[Metric] = (), params: Sequence[Param] = ()) -> None:
        """Send numbers; a server that had to take two batches of a run at once might refuse one."""
        with self.one_batch:
            self.client.log_batch(self.run_id, metrics, params=params)

    def join(self) -> None:
        """Return when all files are kept."""
        with self.talking():
            self.uploads.join()

    def conclude(
        self, outcome: Outcome, verdict: Verdict | None, notes: Sequence[str] = ()
    ) -> None:
        """Tag how the run ended; the verdict's sentence and the notes become its description."""
        tags: dict[str, str] = {Tag.OUTCOME: outcome}
        if outcome == Outcome.PRUNED:
            self.status = Status.KILLED  # or it would count as complete
        if verdict:
            tags[Tag.VERDICT] = verdict.word
        paragraphs = [str(verdict), *notes] if verdict else notes
        if paragraphs:
            tags[Tag.NOTE] = "\n\n".join(paragraphs)
        with self.writing():
            self.client.log_batch(
                self.run_id, tags=[RunTag(str(key), str(value)) for key, value in tags.items()]
            )

    @contextlib.contextmanager
    def talking(self, lock: AbstractContextManager[None] | None = None) -> Iterator[None]:
        """Raise `TrackingError` if the store fails, and from then on without trying again.

        MLflow retries for minutes before it gives up on a server. Once is enough. A database is not
        interrupted: whatever the interrupted call had begun would keep it locked.

        lock  is held meanwhile
        """
        if self.failure:
            raise self.failure
        whole = signals_deferred() if self.store.is_database else contextlib.nullcontext()
        try:
            with explained(self.store.uri), lock or contextlib.nullcontext(), whole:
                if self.uploads.error:
                    raise self.uploads.error
                yield
        except TrackingError as error:
            self.failure = error
            raise

    def writing(self) -> AbstractContextManager[None]:
        """Talk to the store; to a SQLite database, one process at a time."""
        return self.talking(write_lock(self.store.uri))

    def create(self) -> None:
        """Open the run."""
        with signals_deferred():
            run = self.client.create_run(
                self.store.experiment_id, tags=self.tags, run_name=self.name
            )
            self.run_id = run.info.run_id

    def claim(self) -> None:
        """Open the run; raises `TakenError` if another one has its numbers, or will have them.

        Who writes to SQLite is alone. Elsewhere, whoever has opened a run looks again, and gives
        way to any other: of two that open theirs at once, the last to look sees the other.
        """
        for _ in range(CLAIMS):
            if taken := self.store.run_of(self.tags[Tag.FINGERPRINT]):
                break
            self.create()
            if self.store.is_sqlite:
                return
            taken = self.store.run_of(self.tags[Tag.FINGERPRINT], besides=self.run_id)
            if not taken:
                return
            self.withdraw()
            give_way()
        assert taken
        raise TakenError(taken.info.run_id)

    def withdraw(self) -> None:
        """Delete the run, in which nothing has been done."""
        with signals_deferred():
            self.client.set_terminated(self.run_id, Status.KILLED)
            self.client.delete_run(self.run_id)
            self.run_id = ""

    def __enter__(self) -> Tracker:
        params = [Param(key, value) for key, value in self.params.items()]
        batches = [
            partial(self.log_batch, params=params[first : first + MOST_PARAMS])
            for first in range(0, len(params), MOST_PARAMS)
        ]
        try:
            with self.writing():
                if self.unique:
                    self.claim()
                else:
                    self.create()
            self.send_batches(batches)
        except BaseException:
            if self.run_id:
                self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status = self.status
        if kind is not None:
            stopped = bool(stops) or not issubclass(kind, Exception)
            status = Status.KILLED if stopped else Status.FAILED
        with signals_deferred():
            try:
                if error is not None and status == Status.FAILED:
                    self.log_text(traceback_of(error), "traceback.txt")
                    with self.writing():
                        self.client.set_tag(self.run_id, Tag.ERROR, one_line(error)[:MOST_LETTERS])
                self.flush()
                self.join()
            except TrackingError:
                status = Status.FAILED
            # Try a store that has failed once more, but not for minutes.
            quick = quick_and_quiet(self.store.timeout)
            patience = quick if self.failure else contextlib.nullcontext()
            try:
                with explained(self.store.uri), patience, write_lock(self.store.uri):
                    self.client.set_terminated(self.run_id, status)
            except TrackingError as unreachable:
                self.failure = self.failure or unreachable
        if kind is None and self.failure:
            raise self.failure
