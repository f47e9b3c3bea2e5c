"""The engine of this machine: processes that each do one call after another.

`concurrent.futures` and loky, joblib's pool, do not serve: when one process is killed they fail all
calls that are under way, not only the one that was lost, and they cannot interrupt a call and let
it close what it has open. This pool does both.
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
from collections.abc import Callable, Iterator
from multiprocessing import connection, resource_tracker
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from initlab import process
from initlab.sweep.engine import (
    AGAIN_SECONDS,
    Engine,
    Here,
    Interrupted,
    Workers,
    interruptible,
    tell_unraisable,
)

START_ATTEMPTS = 3
SOCKET_LETTERS = 70  # of the folder for temporary files, in which a fork server has its socket
PAYS_SECONDS = 5.0  # of calls, from which several processes are faster than one


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


class Pool(Workers):
    """Calls in so many processes of this machine.

    needed  whether so many must be, also where one would be faster
    """

    def __init__(self, processes: int, needed: bool = True) -> None:
        super().__init__()
        self.processes = processes
        self.needed = needed
        self.busy: dict[Any, tuple[Worker, int]] = {}
        self.idle: list[Worker] = []
        self.ending: list[Worker] = []
        fits = len(os.fsencode(tempfile.gettempdir())) <= SOCKET_LETTERS
        forks = fits and "forkserver" in multiprocessing.get_all_start_methods()
        self.context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")

    def fit(self, calls: int, seconds: float) -> Engine:
        """Return this pool, which begins to start, or this process alone where that is faster."""
        pays = self.needed or (calls > 1 and seconds > PAYS_SECONDS)
        if self.processes == 1 or not pays:
            return Here()
        if calls:
            self.warm_up()
        return self

    def warm_up(self) -> None:
        """Begin to import what the calls will need, in a process of its own."""
        if self.context.get_start_method() == "forkserver":
            from multiprocessing import forkserver

            self.context.set_forkserver_preload(["initlab.sweep.preload"])
            # The server does not get sys.path (gh-117378 of CPython), and would use any
            # other copy of initlab that is installed.
            path = {"PYTHONPATH": os.pathsep.join(sys.path)}
            with process.environment(path), terminal_signals_blocked():
                forkserver.ensure_running()

    def open(self, function: Callable[[Any], Any]) -> None:
        """Pickle the function, which each process is given once."""
        self.function = cloudpickle.dumps(function)

    def has_place(self) -> bool:
        """Return whether a process is free, or may be started."""
        return len(self.busy) < self.processes

    def is_busy(self) -> bool:
        """Return whether calls are under way."""
        return bool(self.busy)

    def begin(self, index: int, argument: Any) -> None:
        """Give an argument to an idle process, or to a new one."""
        worker = self.given(argument)
        self.busy[worker.pipe] = (worker, index)

    def given(self, argument: Any) -> Worker:
        """Return the process that has been given an argument."""
        while self.idle:
            worker = self.idle.pop()
            try:
                worker.pipe.send(argument)
            except OSError:  # it was killed while it was idle
                worker.pipe.close()
                worker.process.join()
            else:
                return worker
        worker = Worker(self.context, self.function)
        with contextlib.suppress(OSError):  # `answer` says how it ended
            worker.pipe.send(argument)
        return worker

    def answers(self) -> Iterator[tuple[int, Any]]:
        """Yield the answers that have come, after a second at most."""
        for pipe in connection.wait([*self.busy], AGAIN_SECONDS):
            worker, index = self.busy.pop(pipe)
            answer = worker.answer()
            (self.ending if isinstance(answer, Interrupted) else self.idle).append(worker)
            yield index, answer

    def stop(self) -> None:
        """Stop without waiting for the loop."""
        super().stop()
        self.interrupt()

    def kill(self) -> None:
        """End the processes without waiting for the loop."""
        super().kill()
        self.end()

    def interrupt(self) -> None:
        """Interrupt the processes that have a call."""
        for worker, _ in list(self.busy.values()):
            worker.process.terminate()

    def end(self) -> None:
        """Kill the processes that have a call."""
        for worker, _ in list(self.busy.values()):
            worker.process.kill()

    def close(self) -> None:
        """End all processes, and wait for them."""
        workers = [*self.idle, *self.ending, *(worker for worker, _ in self.busy.values())]
        for worker in workers:
            worker.pipe.close()  # upon which a process ends that has no call under way
        while any(worker.process.is_alive() for worker in workers):
            self.interrupt()
            for worker in workers:
                worker.process.join(AGAIN_SECONDS)
        for some in (self.busy, self.idle, self.ending):
            some.clear()


def serve(pipe: Any, pickled: bytes) -> None:
    """Answer calls until the pipe is closed, or one is interrupted, which SIGTERM does."""
    for number in process.STOP_SIGNALS:  # which are for the process that runs the pool
        signal.signal(number, signal.SIG_IGN)
    sys.unraisablehook = tell_unraisable
    threading.Thread(target=end_with_parent, daemon=True).start()
    function = cloudpickle.loads(pickled)
    with contextlib.suppress(EOFError, OSError):
        while True:
            answer = interruptible(function, pipe.recv(), signal.SIGTERM)
            pipe.send(answer)
            if isinstance(answer, Interrupted):
                return


def end_with_parent() -> None:
    """Interrupt the call under way when the process that runs the pool is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)  # to the main thread, which may be waiting
