"""Uploads are made by threads, and none is lost or forgotten without a word."""

import signal
import threading

import pytest

from initlab.tracking import uploads
from initlab.tracking.uploads import THREADS, Uploads


def test_a_few_calls_are_made_at_once_and_all_by_the_end():
    made, together = [], threading.Barrier(THREADS, timeout=30)
    sent = Uploads()
    for number in range(3 * THREADS):
        sent.add(lambda number=number: (together.wait(), made.append(number)))
    sent.join()
    assert sorted(made) == list(range(3 * THREADS))
    sent.join()
    sent.add(lambda: made.append("later"))
    with pytest.raises(threading.BrokenBarrierError):
        failing(sent, together)
    assert made[-1] == "later"


def failing(sent, together):
    sent.join()
    together.abort()
    sent.add(together.wait)
    sent.join()


def test_after_the_first_error_nothing_more_is_sent():
    made, may_fail = [], threading.Event()

    def fail():
        may_fail.wait(30)
        raise OSError("gone")

    sent = Uploads()
    for _ in range(THREADS):
        sent.add(fail)
    for _ in range(10):
        sent.add(lambda: made.append(1))
    may_fail.set()
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            sent.join()
    sent.add(lambda: made.append(1))
    with pytest.raises(OSError, match="gone"):
        sent.join()
    assert made == []


def test_who_adds_to_a_server_that_is_too_slow_waits(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_WAITING", 1)
    may_go, added = threading.Event(), []
    sent = Uploads()

    def add():
        for number in range(THREADS + 3):
            sent.add(lambda: may_go.wait(30))
            added.append(number)

    adding = threading.Thread(target=add)
    adding.start()
    adding.join(0.2)
    assert adding.is_alive()
    assert len(added) <= THREADS + 1
    may_go.set()
    adding.join(30)
    sent.join()
    assert len(added) == THREADS + 3


def test_who_waits_for_a_server_that_hangs_can_be_interrupted():
    may_go = threading.Event()
    sent = Uploads()

    def hang():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        may_go.wait(30)

    sent.add(hang)
    with pytest.raises(KeyboardInterrupt):
        sent.join()
    may_go.set()
    sent.join()
