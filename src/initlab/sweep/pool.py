"""A pool: processes that each do one call after another, and what to do when one is lost.

`concurrent.futures` and loky, joblib's pool, do not serve: when one process is killed they fail all
calls that are under way, not only the one that was lost, and they cannot interrupt a call and let
it close what it has open. This pool does both, and hands out a call only when a process is free.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from types import FrameType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from initlab import process

START_ATTEMPTS = 3
SOCKET_LETTERS = 70  # of the folder for temporary files, in which a fork server has its socket
AGAIN_SECONDS = 1.0  # after which a process is asked once more to stop


@dataclass(frozen=True)
class Started:
    """A call has been handed to a process."""


@dataclass(frozen=True)
class Interrupted:
    """A call came to no end: it was stopped or, if there is a reason, its process died."""

    reason: str = ""


def cores() -> int:
    """Return how many processors this process may use, which a container may limit."""
    import joblib  # type: ignore[import-untyped]

    return int(joblib.cpu_count())


@contextlib.contextmanager
def terminal_signals_blocked() -> Iterator[None]:
    """Keep Ctrl-C and the end of the terminal from processes that are started meanwhile.

    They ignore both, but not before they have imported something. A signal that comes meanwhile is
    received at the end.
    """
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # which would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Worker:
    """One process, and the pipe to it."""

    def __init__(self, context: Any, function: bytes) -> None:
        self.pipe, end = context.Pipe()
        for attempt in range(START_ATTEMPTS):
            self.process = context.Process(target=serve, args=(end, function), daemon=True)
            try:
                with terminal_signals_blocked():
                    self.process.start()
                break
            except (EOFError, OSError):  # its server was killed; the next start starts another
                if attempt == START_ATTEMPTS - 1:
                    raise
                time.sleep(0.1)
        end.close()

    def answer(self) -> Any:
        """Return what the call returned, `Interrupted` if the process died over it."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            how = signal.Signals(-code).name if code < 0 else f"status {code}"
            return Interrupted(f"its process ended by {how}")


class Pool:
    """Calls a function in so many processes; with one, in this process.

    needed  whether so many must be, also where one would be faster

    `drain` lets no further call begin; `stop` interrupts those under way as well.
    """

    def __init__(self, processes: int, needed: bool = True) -> None:
        self.processes = processes
        self.needed = needed
        self.drained = False
        self.stopped = False
        self.busy: dict[Any, tuple[Worker, int]] = {}
        fits = len(os.fsencode(tempfile.gettempdir())) <= SOCKET_LETTERS
        forks = fits and "forkserver" in multiprocessing.get_all_start_methods()
        self.context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")

    def warm_up(self) -> None:
        """Begin to import what the calls will need, in a process of its own."""
        if self.processes > 1 and self.context.get_start_method() == "forkserver":
            from multiprocessing import forkserver

            self.context.set_forkserver_preload(["initlab.sweep.preload"])
            # The server does not get sys.path (gh-117378 of CPython), and would use any
            # other copy of initlab that is installed.
            path = {"PYTHONPATH": os.pathsep.join(sys.path)}
            with process.environment(path), terminal_signals_blocked():
                forkserver.ensure_running()

    def run(
        self, function: Callable[[Any], Any], arguments: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Call `function` on each argument; yield (index, `Started`), later (index, answer).

        An argument is taken only when a process is free for it, so that it may depend on all
        answers so far.
        """
        waiting = enumerate(arguments)
        if self.processes == 1:
            yield from self.run_here(function, waiting)
            return
        pickled = cloudpickle.dumps(function)
        idle: list[Worker] = []
        ending: list[Worker] = []
        following = True
        try:
            while self.busy or (following and not self.drained):
                while following and len(self.busy) < self.processes and not self.drained:
                    taken = next(waiting, None)
                    if taken is None:
                        following = False
                        break
                    index, argument = taken
                    worker = self.call(idle, pickled, argument)
                    self.busy[worker.pipe] = (worker, index)
                    yield index, Started()
                for pipe in connection.wait([*self.busy], AGAIN_SECONDS):
                    worker, index = self.busy.pop(pipe)
                    answer = worker.answer()
                    lost = isinstance(answer, Interrupted)
                    if lost:
                        ending.append(worker)
                    else:
                        idle.append(worker)
                    yield index, Interrupted() if lost and self.stopped else answer
                if self.stopped:
                    self.interrupt()
        finally:
            workers = [*idle, *ending, *(worker for worker, _ in self.busy.values())]
            for worker in workers:
                worker.pipe.close()  # upon which a process ends that has no call under way
            while any(worker.process.is_alive() for worker in workers):
                self.interrupt()
                for worker in workers:
                    worker.process.join(AGAIN_SECONDS)
            self.busy.clear()

    def call(self, idle: list[Worker], pickled: bytes, argument: Any) -> Worker:
        """Return the process that has been given an argument: an idle one, or a new one."""
        while idle:
            worker = idle.pop()
            try:
                worker.pipe.send(argument)
            except OSError:  # it was killed while it was idle
                worker.pipe.close()
                worker.process.join()
            else:
                return worker
        worker = Worker(self.context, pickled)
        with contextlib.suppress(OSError):  # `answer` says how it ended
            worker.pipe.send(argument)
        return worker

    def run_here(
        self, function: Callable[[Any], Any], waiting: Iterator[tuple[int, Any]]
    ) -> Iterator[tuple[int, Any]]:
        """Do what `run` does without any other process."""
        while not self.drained and (taken := next(waiting, None)):
            index, argument = taken
            yield index, Started()
            try:
                answer = function(argument)
            except (KeyboardInterrupt, SystemExit):
                self.drained = self.stopped = True
                answer = Interrupted()
            yield index, answer

    def drain(self) -> None:
        """Begin no further call."""
        self.drained = True

    def stop(self) -> None:
        """Begin no further call, and interrupt those under way."""
        self.drained = self.stopped = True
        self.interrupt()

    def interrupt(self) -> None:
        """Interrupt the calls under way; a process that is about to begin one may not notice."""
        for worker, _ in list(self.busy.values()):
            worker.process.terminate()

    def kill(self) -> None:
        """End the processes at once, whatever they do."""
        for worker, _ in list(self.busy.values()):
            worker.process.kill()


def serve(pipe: Any, pickled: bytes) -> None:
    """Answer calls until the pipe is closed, or one is interrupted, which SIGTERM does.

    What was interrupted may leave a database locked by this process, for others to wait in vain.
    """
    for number in process.STOP_SIGNALS:  # which are for the process that runs the pool
        signal.signal(number, signal.SIG_IGN)
    sys.unraisablehook = tell_unraisable
    threading.Thread(target=end_with_parent, daemon=True).start()
    function = cloudpickle.loads(pickled)
    last = 0.0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now > last + AGAIN_SECONDS / 2:  # or a second signal would cut short what closes a run
            last = now
            process.interrupt(number)

    with contextlib.suppress(EOFError, OSError):
        while True:
            argument = pipe.recv()
            process.stops.clear()
            try:
                try:
                    signal.signal(signal.SIGTERM, interrupt)
                    answer = function(argument)
                finally:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
            except SystemExit:
                pipe.send(Interrupted())
                return
            pipe.send(answer)


def tell_unraisable(unraisable: Any) -> None:
    """Keep quiet of a SystemExit that was lost in a destructor: SIGTERM will come again."""
    if not issubclass(unraisable.exc_type, SystemExit):
        sys.__unraisablehook__(unraisable)


def end_with_parent() -> None:
    """Interrupt the call under way when the process that runs the pool is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)  # to the main thread, which may be waiting
