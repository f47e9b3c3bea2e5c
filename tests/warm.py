"""A warm process: it imports once what commands need, and runs each command in a fork of itself.

A new interpreter takes two seconds to import all of it. A fork takes milliseconds, and is as real a
process: it has its own signals, exit status, folder, environment and output.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

IMPORTED = (
    "initlab",  # before MLflow, or that would send telemetry
    "mlflow.store.tracking.sqlalchemy_store",  # which a client would import
    "sklearn.datasets",
    "scipy.stats",
    "initlab.report.publish",
    "initlab.run",
    "initlab.tracking.tracker",
)
TESTS = Path(__file__).resolve().parent
SRC = str(TESTS.parent / "src")


class WarmProcess:
    """Starts commands, until it is closed.

    also  modules of `tests` or `tests/torture` that it imports as well
    """

    def __init__(self, *also):
        self.requests, end = socket.socketpair()
        command = [sys.executable, __file__, str(end.fileno()), *also]
        # A session of its own, or Ctrl-C in pytest would reach it.
        self.process = subprocess.Popen(command, pass_fds=[end.fileno()], start_new_session=True)
        end.close()

    def start(self, script, *arguments, cwd=None, env=None, start_new_session=False):
        """Start `python script arguments`; the answer is used like a `subprocess.Popen`."""
        request = [[script, *arguments], str(cwd or Path.cwd()), env or {**os.environ}]
        return Command(self.requests, [*request, start_new_session])

    def close(self):
        self.requests.close()
        self.process.wait()


class Command:
    """A command that was started, and what it prints."""

    def __init__(self, requests, request):
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed once it is read)
        self.error = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.status, end = socket.socketpair()
        files = [self.output.fileno(), self.error.fileno(), end.fileno()]
        message = json.dumps(request).encode()
        socket.send_fds(requests, [len(message).to_bytes(4)], files)
        requests.sendall(message)
        end.close()
        self.pid = receive(self.status)
        self.returncode = None

    def poll(self):
        """Return the exit status, None while it runs."""
        try:
            return self.wait(0)
        except BlockingIOError:
            return None

    def wait(self, timeout=None):
        """Return the exit status; raises `TimeoutError`."""
        if self.returncode is None:
            self.status.settimeout(timeout)
            self.returncode = receive(self.status)
            self.status.close()
        return self.returncode

    def printed(self):
        """Return what it has printed on standard output so far."""
        self.output.seek(0)
        return self.output.read()

    def communicate(self, timeout=None):
        """Return what it printed on standard output and on standard error, once it has ended."""
        self.wait(timeout)
        texts = []
        for file in (self.output, self.error):
            file.seek(0)
            texts.append(file.read())
            file.close()
        return tuple(texts)

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def receive(pipe):
    """Return the next number that was sent."""
    return int.from_bytes(pipe.recv(4, socket.MSG_WAITALL), signed=True)


def send(pipe, number):
    pipe.sendall(number.to_bytes(4, signed=True))


def serve(requests, also):
    """Run commands until nobody is left who could ask for one."""
    for name in (*IMPORTED, *also):
        importlib.import_module(name)
    sqlalchemy = sys.modules["sqlalchemy"]
    sqlalchemy.create_engine("sqlite://")  # what takes long the first time
    sqlalchemy.orm.configure_mappers()
    gc.collect()
    gc.freeze()  # or each fork would copy what it looks through for garbage
    while True:
        size, files, _, _ = socket.recv_fds(requests, 4, 3, socket.MSG_WAITALL)
        reap()
        if not size:
            return
        request = json.loads(requests.recv(int.from_bytes(size), socket.MSG_WAITALL))
        if os.fork() == 0:
            requests.close()
            watch(request, *files)
            return
        for file in files:
            os.close(file)


def reap():
    """Let processes go that have watched a command to its end."""
    with contextlib.suppress(ChildProcessError):  # there are none
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def watch(request, output, error, status):
    """Run a command in a process, and send its number and, in the end, its exit status."""
    pipe = socket.socket(fileno=status)
    if child := os.fork():
        _, code = os.waitpid(child, 0)
        send(pipe, os.waitstatus_to_exitcode(code))
        os._exit(0)
    sys.argv, folder, environment, apart = request
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's `&` turns off
    if apart:
        os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(output, 1)
    os.dup2(error, 2)
    os.close(output)
    os.close(error)
    send(pipe, os.getpid())
    pipe.close()
    code = run(sys.argv[0])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # or Python would take all apart, and so copy it first


def run(script):
    """Run a script as Python does; return the exit status."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.path[0] = SRC
    sys.path += [str(TESTS), str(TESTS / "torture")] if sys.argv[2:] else []
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
