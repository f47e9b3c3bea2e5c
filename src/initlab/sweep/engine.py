"""An engine: where the calls of a sweep run, as many at once as it has places."""

from __future__ import annotations

import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from initlab import process

AGAIN_SECONDS = 1.0  # after which a call is asked once more to stop


@dataclass(frozen=True)
class Started:
    """A call has been handed to a worker."""


@dataclass(frozen=True)
class Interrupted:
    """A call came to no end: it was stopped or, if there is a reason, its worker was lost."""

    reason: str = ""


@dataclass(frozen=True)
class Restarted:
    """A call has lost its worker by no fault of its own, and will be made once more."""


class Engine(ABC):
    """Calls a function on arguments.

    alone   whether Ctrl-C reaches the calls by itself, because they run in this process
    prompt  whether a call is taken when a place is free, and its answer told when it is there
    remote  whether calls may run on other hosts
    say     takes what the user should know meanwhile
    """

    alone = False
    prompt = True
    remote = False

    def __init__(self) -> None:
        self.drained = self.stopped = self.killed = False
        self.say: Callable[[str], None] = print

    def fit(self, calls: int, seconds: float) -> Engine:
        """Return the engine for so many calls, which take so long one after another.

        It may begin to get ready for them. Raises a `UserError` if it cannot run any.
        """
        return self

    @abstractmethod
    def run(
        self, function: Callable[[Any], Any], arguments: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Call `function` on each argument; yield (index, `Started`), later (index, answer).

        In between there may be (index, `Restarted`). Raises a `UserError` if it cannot go on.
        """

    def drain(self) -> None:
        """Begin no further call."""
        self.drained = True

    def stop(self) -> None:
        """Begin no further call, and interrupt those under way, which close what they have open.

        This and `kill` may be called by the handler of a signal.
        """
        self.drained = self.stopped = True

    def kill(self) -> None:
        """End all calls at once, whatever they do."""
        self.drained = self.stopped = self.killed = True


class Workers(Engine):
    """The loop that all engines of ours share.

    A call is taken when a place is free for it, so that it may depend on all answers so far. One
    that is lost with its worker is one lost call: the others go on.

    following  whether there may be further calls
    """

    def run(
        self, function: Callable[[Any], Any], arguments: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Call `function` on each argument; yield (index, `Started`), later (index, answer)."""
        waiting = enumerate(arguments)
        self.following = True
        try:
            self.open(function)
            while True:
                while self.following and not self.drained and self.has_place():
                    taken = next(waiting, None)
                    if taken is None:
                        self.following = False
                        break
                    self.begin(*taken)
                    yield taken[0], Started()
                if not self.is_busy() and (self.drained or not self.following):
                    return
                for index, answer in self.answers():
                    lost = isinstance(answer, Interrupted)
                    yield index, Interrupted() if lost and self.stopped else answer
                if self.killed:
                    self.end()
                elif self.stopped:
                    self.interrupt()
        finally:
            self.close()

    @abstractmethod
    def open(self, function: Callable[[Any], Any]) -> None:
        """Get ready to call a function; raises a `UserError` if that is not possible."""

    @abstractmethod
    def has_place(self) -> bool:
        """Return whether a call could begin at once."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Return whether calls are under way."""

    @abstractmethod
    def begin(self, index: int, argument: Any) -> None:
        """Begin a call, for which there is a place."""

    @abstractmethod
    def answers(self) -> Iterator[tuple[int, Any]]:
        """Wait for `AGAIN_SECONDS` at most; yield the index and the answer of what has ended.

        Likewise of what was `Restarted`.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Interrupt the calls under way; one that is about to begin may not notice."""

    @abstractmethod
    def end(self) -> None:
        """End the calls under way."""

    @abstractmethod
    def close(self) -> None:
        """Leave no worker behind."""


class Here(Workers):
    """Makes one call after another in this process."""

    alone = True

    def open(self, function: Callable[[Any], Any]) -> None:
        """Keep the function."""
        self.function = function
        self.begun: list[tuple[int, Any]] = []

    def has_place(self) -> bool:
        """Return whether no call was begun."""
        return not self.begun

    def is_busy(self) -> bool:
        """Return whether a call was begun."""
        return bool(self.begun)

    def begin(self, index: int, argument: Any) -> None:
        """Keep the argument: `answers` makes the call."""
        self.begun.append((index, argument))

    def answers(self) -> Iterator[tuple[int, Any]]:
        """Make the call that was begun; an interrupt of this process stops the engine."""
        index, argument = self.begun.pop()
        try:
            answer = self.function(argument)
        except (KeyboardInterrupt, SystemExit):
            self.stop()
            answer = Interrupted()
        yield index, answer

    def interrupt(self) -> None:
        """Do nothing: an interrupt has reached the call."""

    def end(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def interruptible(function: Callable[[Any], Any], argument: Any, number: int) -> Any:
    """Return what a call returns, in the process of a worker; `Interrupted` if a signal ends it.

    What was interrupted may leave a database locked by this process, for others to wait in vain. So
    a process whose call was interrupted must end.
    """
    last = 0.0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now > last + AGAIN_SECONDS / 2:  # or a second signal would cut short what closes a run
            last = now
            process.interrupt(number)

    process.stops.clear()
    before = signal.getsignal(number)
    try:
        try:
            signal.signal(number, interrupt)
            return function(argument)
        finally:
            signal.signal(number, before)
    except (KeyboardInterrupt, SystemExit):
        return Interrupted()


def tell_unraisable(unraisable: Any) -> None:
    """Keep quiet of an interrupt that was lost in a destructor: the signal will come again."""
    if not issubclass(unraisable.exc_type, (KeyboardInterrupt, SystemExit)):
        sys.__unraisablehook__(unraisable)
