"""Uploads: what is sent to a server meanwhile, by a few threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from initlab.process import signals_deferred

THREADS = 4
MOST_WAITING = 50


class Uploads:
    """Calls that threads make one after another; after the first that fails, no more.

    error  of that call, None so far

    The threads end when there is nothing left to do, and with the process: a server that hangs
    keeps nobody from leaving.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: deque[Callable[[], object]] = deque()
        self.threads = 0
        self.error: BaseException | None = None

    def add(self, call: Callable[[], object]) -> None:
        """Let a thread make a call soon; where too many wait for a slow server, so does this."""
        with self.changed:
            self.changed.wait_for(lambda: self.error or len(self.waiting) < MOST_WAITING)
        with signals_deferred(), self.changed:
            self.waiting.append(call)
            if self.threads < THREADS:
                threading.Thread(target=self.work, daemon=True).start()
                self.threads += 1

    def join(self) -> None:
        """Return when all calls have been made, or raise what one of them has raised."""
        with self.changed:
            self.changed.wait_for(lambda: not self.threads)
        if self.error:
            raise self.error

    def work(self) -> None:
        """Make calls as long as there are any."""
        while True:
            with self.changed:
                if self.error or not self.waiting:
                    self.waiting.clear()
                    self.threads -= 1
                    self.changed.notify_all()
                    return
                call = self.waiting.popleft()
                self.changed.notify_all()
            try:
                call()
            except BaseException as error:
                self.error = self.error or error
