"""Lying: servers, databases and disks that are not what they seem."""

import contextlib
import http.client
import http.server
import os
import re
import signal
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager

import pytest

HANG = threading.Event()  # what a server waits for that never answers

ANSWERS = {
    # status, headers, body
    "500": (500, {}, b"Internal Server Error"),
    "501": (501, {}, b""),
    "403": (403, {}, b'{"error_code": "PERMISSION_DENIED", "message": "not for you"}'),
    "429": (429, {"Retry-After": "1"}, b"slow down"),
    "HTML": (200, {"Content-Type": "text/html"}, b"<html><body>Welcome!</body></html>"),
    "nothing": (200, {}, b""),
    "a list": (200, {"Content-Type": "application/json"}, b"[1, 2]"),
    "another object": (200, {"Content-Type": "application/json"}, b'{"experiment": {"x": 1}}'),
    "null": (200, {"Content-Type": "application/json"}, b"null"),
    "not UTF-8": (200, {"Content-Type": "application/json"}, b'{"experiment": "\xff\xfe"}'),
    "half": (200, {"Content-Type": "application/json", "Content-Length": "5000"},
             b'{"experiment": {"experiment_id": "1", "na'),
    "a redirect to itself": (302, {"Location": "/"}, b""),
    "nothing, ever": None,
}  # fmt: skip


@contextmanager
def liar(answer):
    """Serve one answer to all requests; give its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            if ANSWERS[answer] is None:
                HANG.wait(300)
                return
            status, headers, body = ANSWERS[answer]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, self.path if name == "Location" else value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        do_GET = do_POST = do_PATCH = do_PUT = do_HEAD = answer

        def log_message(self, *words):
            pass

    with serving(Handler) as address:
        yield address


@contextmanager
def serving(handler):
    """Serve with a handler; give the address."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            pass  # of those who hang up

    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Proxy:
    """Passes so many requests on to a server, and then dies, in one of several ways."""

    DEATHS = ("closes", "500", "HTML", "nothing, ever")

    def __init__(self, server, alive, death):
        self.host = server.removeprefix("http://")
        self.left = alive
        self.death = death
        self.passed = 0
        self.lock = threading.Lock()

    def handler(self):
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with proxy.lock:
                    proxy.left -= 1
                    dead = proxy.left < 0
                    proxy.passed += not dead
                self.close_connection = True
                if not dead:
                    self.pass_on(body)
                elif proxy.death == "nothing, ever":
                    HANG.wait(300)
                elif proxy.death in ANSWERS:
                    status, _, text = ANSWERS[proxy.death]
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            def pass_on(self, body):
                headers = {
                    name: text for name, text in self.headers.items() if name.lower() != "host"
                }
                with closing(http.client.HTTPConnection(proxy.host, timeout=60)) as server:
                    server.request(self.command, self.path, body, headers)
                    answer = server.getresponse()
                    text = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_PUT = do_HEAD = do_DELETE = answer

            def log_message(self, *words):
                pass

        return Handler


@contextmanager
def locked(database, seconds):
    """Lock a database for others for so many seconds, or until the end of the block."""
    held, over = threading.Event(), threading.Event()

    def hold():
        with closing(sqlite3.connect(database, 60, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            held.set()
            over.wait(seconds)
            connection.execute("ROLLBACK")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def small_disk(place, megabytes):
    """Mount a disk of its own at a folder, or skip the test."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk, left):
    """Fill a disk up to so many bytes; return the file that takes the room."""
    file = disk / "filler"
    free = os.statvfs(disk)
    room = free.f_bavail * free.f_frsize - left
    with contextlib.suppress(OSError), file.open("wb") as opened:
        for first in range(0, max(room, 0), 1 << 20):
            opened.write(bytes(min(1 << 20, room - first)))
    return file


@contextmanager
def limit(seconds):
    """Raise `TimeoutError` in this process if the block takes longer."""

    def stop(number, frame):
        raise TimeoutError(f"it takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def in_order(text):
    """Assert that a text that a command has printed holds nothing that commands a terminal."""
    found = re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert found is None, repr(text[max(found.start() - 40, 0) : found.end() + 40])


def one_error(status, output, error):
    """Assert that a command has ended with one clear error."""
    assert "Traceback" not in output + error, error
    assert status == 2, f"exit status {status}: {output}{error}"
    assert error.startswith("error: "), error
    assert error.count("error: ") == 1, error


def revisions():
    """Return the revisions of MLflow's schema, the oldest first."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    scripts = ScriptDirectory.from_config(_get_alembic_config("sqlite://"))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def old_database(file, revision):
    """Make a database of an older schema, with a run of the time; of "" only the first tables."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{file}")
    Base.metadata.create_all(engine)
    if revision:
        config = _get_alembic_config(f"sqlite:///{file}")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    engine.dispose()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
            "VALUES (0, 'Default', ?, 'active')", [str(file.parent / "mlruns")],
        )  # fmt: skip
        connection.execute(
            "INSERT INTO runs (run_uuid, name, source_type, status, start_time, lifecycle_stage, "
            "artifact_uri, experiment_id) VALUES (?, 'old', 'LOCAL', 'FINISHED', 1, 'active', ?, "
            "0)", ["0" * 32, str(file.parent / "mlruns")],
        )  # fmt: skip
        connection.commit()


def bytes_of(place):
    """Return the contents of a file, or of all files in a folder."""
    if place.is_dir():
        return {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    return place.read_bytes()
