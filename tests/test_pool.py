"""Engines of this machine, and what becomes of other calls when one is lost."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import forkserver, get_all_start_methods

import pytest
from conftest import wait_for

from initlab.config import PROJECT
from initlab.process import pid_exists
from initlab.sweep.engine import Here, Interrupted, Started
from initlab.sweep.pool import Pool


def square(number):
    return number * number, os.getpid()


def fatal(number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def interruptible(seconds):
    time.sleep(seconds)
    return "slept"


def answers(events):
    return {index: event for index, event in events if event != Started()}


@pytest.mark.parametrize("processes", [1, 2])
def test_each_call_is_answered_under_its_number(processes):
    events = list((Pool(2) if processes == 2 else Here()).run(square, [3, 4, 5]))
    assert {index: number for index, (number, _) in answers(events).items()} == {0: 9, 1: 16, 2: 25}
    for index in range(3):
        assert events.index((index, Started())) < [i for i, _ in events].index(index, 1) + 1
    pids = {pid for _, pid in answers(events).values()}
    assert (os.getpid() in pids) == (processes == 1)


def test_no_more_calls_are_handed_out_than_there_are_processes():
    waiting, most = set(), 0
    for index, event in Pool(2).run(square, range(6)):
        if event == Started():
            waiting.add(index)
        else:
            waiting.remove(index)
        most = max(most, len(waiting))
    assert most == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_an_argument_is_taken_when_a_process_is_free_and_all_answers_were_looked_at(processes):
    known, unknown = [], 0

    def arguments():
        nonlocal unknown
        for number in range(6):
            assert unknown < processes
            assert len(known) + unknown == number
            unknown += 1
            yield number

    for _, event in (Pool(2) if processes == 2 else Here()).run(square, arguments()):
        if event != Started():
            known.append(event)
            unknown -= 1
    assert sorted(number for number, _ in known) == [0, 1, 4, 9, 16, 25]


def test_no_argument_is_taken_after_a_pool_was_drained():
    pool, taken = Here(), []
    arguments = (taken.append(number) or number for number in range(6))
    for _, event in pool.run(square, arguments):
        if event != Started():
            pool.drain()
    assert taken == [0]


class Late:
    """An argument that takes a while to arrive, in which its process ignores signals."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return arrive, (self.file,)


def arrive(file):
    file.touch()
    time.sleep(0.5)
    return 3600


def test_a_process_that_is_about_to_begin_a_call_is_ended_too(tmp_path):
    def arguments():
        yield Late(tmp_path / "arriving")
        workers.extend(worker for worker, _ in pool.busy.values())
        wait_for((tmp_path / "arriving").exists)
        raise ZeroDivisionError

    pool, workers = Pool(2), []
    with pytest.raises(ZeroDivisionError):
        [*pool.run(interruptible, arguments())]
    assert [worker.process.exitcode is None for worker in workers] == [False]


def test_what_fails_to_make_an_argument_ends_the_processes():
    def arguments():
        yield 3600
        workers.extend(worker for worker, _ in pool.busy.values())
        raise ZeroDivisionError

    pool, workers = Pool(2), []
    with pytest.raises(ZeroDivisionError):
        [*pool.run(interruptible, arguments())]
    assert [worker.process.exitcode is None for worker in workers] == [False]


def test_a_process_that_is_killed_takes_one_call_with_it():
    found = answers(Pool(2).run(fatal, range(5)))
    assert found.pop(1) == Interrupted("its process ended by SIGKILL")
    assert found == {0: 0, 2: 2, 3: 3, 4: 4}


def test_a_process_that_is_killed_while_it_is_idle_takes_no_call_with_it():
    pids = []

    def arguments():
        yield from (0, 1)
        os.kill(pids[0], signal.SIGKILL)
        wait_for(lambda: not pid_exists(pids[0]))
        yield 2

    found = {}
    for index, event in Pool(2).run(square, arguments()):
        if event != Started():
            found[index], pid = event
            pids.append(pid)
    assert found == {0: 0, 1: 1, 2: 4}


def test_a_drained_pool_ends_what_is_under_way_and_begins_nothing():
    pool = Pool(2)
    found = {}
    for index, event in pool.run(interruptible, [0.2] * 6):
        if event == Started():
            pool.drain()
        found[index] = event
    assert found == {0: "slept"}


def test_a_stopped_pool_interrupts_what_is_under_way():
    pool = Pool(2)
    found = {}
    for index, event in pool.run(interruptible, [3600] * 6):
        found[index] = event
        if index == 1:
            pool.stop()
    assert found == {0: Interrupted(), 1: Interrupted()}


KEPT = []  # what an interrupted call leaves open


def leave_locked(path):
    """Be interrupted, one call while it holds a lock that it leaves behind, one as it needs it."""
    with open(f"{path}-{os.getpid()}", "w"):
        pass
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            time.sleep(3600)
        finally:  # what closes a run waits for the database, and is not interrupted again
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            fcntl.flock(file, fcntl.LOCK_EX)
    KEPT.append(file)
    time.sleep(3600)


def test_an_interrupted_call_leaves_no_lock_that_another_waits_for(tmp_path):
    pool = Pool(2)
    began = time.monotonic()
    for index, _ in (events := pool.run(leave_locked, 2 * [tmp_path / "lock"])):
        if index == 1 and not pool.stopped:
            wait_for(lambda: len([*tmp_path.glob("lock-*")]) == 2)
            pool.stop()
    assert [*events] == []
    assert time.monotonic() - began < 60  # and not for ever


def test_ctrl_c_in_this_process_interrupts_one_call_and_begins_no_other():
    def failing(number):
        if number == 1:
            raise KeyboardInterrupt
        return number

    assert answers(Here().run(failing, range(4))) == {0: 0, 1: Interrupted()}


def test_processes_end_with_the_one_that_runs_the_pool(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        f"sys.path.insert(0, {str(PROJECT / 'src')!r})\n"
        "from initlab.sweep.pool import Pool\n"
        "def call(number):\n"
        f"    open({str(tmp_path)!r} + f'/{{os.getpid()}}.pid', 'w').close()\n"
        "    time.sleep(3600)\n"
        "if __name__ == '__main__':\n"
        "    for _ in Pool(2).run(call, range(2)): pass\n"
    )
    process = subprocess.Popen([sys.executable, script])
    wait_for(lambda: len([*tmp_path.glob("*.pid")]) == 2)
    process.kill()
    process.wait()
    pids = [file.stem for file in tmp_path.glob("*.pid")]
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def blocked(_):
    return {number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


@pytest.mark.skipif(sys.platform == "win32", reason="has no mask of signals")
def test_ctrl_c_reaches_no_process_of_a_pool_not_even_while_it_starts():
    assert {"SIGINT", "SIGHUP"} <= answers(Pool(2).run(blocked, [1]))[0]
    assert blocked(None) == set()


@pytest.mark.skipif("forkserver" not in get_all_start_methods(), reason="needs a fork server")
def test_processes_are_started_after_their_server_was_killed():
    pool = Pool(2)
    pool.warm_up()
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    assert [*answers(pool.run(square, [1, 2]))] in ([0, 1], [1, 0])


def test_a_folder_for_temporary_files_may_have_a_long_name(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", f"/tmp/{'long' * 30}")
    pool = Pool(2)
    pool.warm_up()
    assert pool.context.get_start_method() == "spawn"  # which needs no socket there
