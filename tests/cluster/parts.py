"""Real parts on this machine: PostgreSQL, MLflow's server, Ray and Slurm.

Each has a folder of its own and free ports, is started on entering and leaves no process.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import sqlalchemy

SLURM = Path(__file__).parent / "slurm.sh"
START_SECONDS = 90
STOP_SECONDS = 20


class MissingPartError(Exception):
    """Something is not installed; the message says what."""


class Part:
    """Something that is started by `start`, and ended by what it has put on `self.ends`."""

    def __enter__(self):
        self.ends = ExitStack()
        # Not below pytest's folder: the path of a socket has 107 letters at the most, and what does
        # not run as root must get there.
        self.folder = Path(
            self.ends.enter_context(tempfile.TemporaryDirectory(prefix="part-", dir="/tmp"))
        )
        with ExitStack() as unless_started:
            unless_started.push(self.ends)
            self.start()
            unless_started.pop_all()
        return self

    def __exit__(self, *error):
        self.ends.close()

    def launch(self, *command, log, user=None, env=None, end_by=signal.SIGTERM):
        """Start a process in a session of its own, which ends with this part."""
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen(
                [*map(str, command)], cwd=self.folder, env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, user=user, group=user,
                start_new_session=True,
            )  # fmt: skip
        self.ends.callback(end, process, end_by)
        return process

    def wait_until(self, ready, process, log):
        """Return when `ready()` is true; raise with the end of the log if that cannot be."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / log).read_text(errors="replace")
                raise RuntimeError(f"{process.args[0]} does not start:\n{text[-4000:]}")
            time.sleep(0.1)


def end(process, way):
    """End a process by a signal, upon which it ends its children; kill what outlives it."""
    process.send_signal(way)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Postgres(Part):
    """A PostgreSQL server, at which one logs in with a password."""

    def __init__(self):
        found = shutil.which("postgres")
        places = [Path(found).resolve().parent] if found else []
        places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # of Debian
        self.programs = next((place for place in places if (place / "initdb").exists()), None)
        if self.programs is None:
            raise MissingPartError("PostgreSQL is not installed (Debian: postgresql)")
        if not find_spec("psycopg"):
            raise MissingPartError("psycopg is not installed (pip install 'initlab[server]')")
        self.user = "initlab"
        self.password = secrets.token_urlsafe(12)
        self.port = free_port()
        self.databases = 0

    def start(self):
        user = None
        if os.geteuid() == 0:  # as whom it refuses to run; Debian's package makes a user for it
            user = "postgres"
            shutil.chown(self.folder, user, user)
        secret, data = self.folder / "password", self.folder / "data"
        secret.write_text(self.password)
        secret.chmod(0o644)  # in a folder that is its owner's alone
        subprocess.run(
            [self.programs / "initdb", "--pgdata", data, "--username", self.user,
             "--auth", "scram-sha-256", "--pwfile", secret, "--encoding", "UTF8", "--no-sync"],
            check=True, cwd=self.folder, stdout=subprocess.DEVNULL, user=user, group=user,
        )  # fmt: skip
        settings = {"fsync": "off", "listen_addresses": "127.0.0.1", "max_connections": 200}
        server = self.launch(
            self.programs / "postgres", "-D", data, "-p", self.port, "-k", data,
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            log="log", user=user, end_by=signal.SIGINT,  # on SIGTERM it would wait for its clients
        )  # fmt: skip
        self.wait_until(self.answers, server, "log")

    def answers(self):
        try:
            return self.run("SELECT 1") == 1
        except sqlalchemy.exc.OperationalError:
            return False

    def uri(self, database):
        return f"postgresql+psycopg://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def run(self, command, database="postgres"):
        """Run a command; return the first value of its answer, None if it has none."""
        engine = sqlalchemy.create_engine(self.uri(database), poolclass=sqlalchemy.NullPool)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            answer = connection.execute(sqlalchemy.text(command))
            return answer.scalar() if answer.returns_rows else None

    def database(self, template="template1"):
        """Return the URI of a new database: empty, or a copy of another."""
        self.databases += 1
        name = f"database_{self.databases}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.uri(name)

    def store(self):
        """Return the URI of a new database that MLflow has set up, which takes it some seconds."""
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        if not self.run("SELECT count(*) FROM pg_database WHERE datname = 'set_up'"):
            self.run("CREATE DATABASE set_up")
            made = SqlAlchemyStore(self.uri("set_up"), str(self.folder / "unused"))
            made.engine.dispose()  # what has connections cannot be copied
        return self.database("set_up")


class Server(Part):
    """`mlflow server`, which serves artifacts too.

    uri     address
    login   (user, password) of the administrator, None where nobody has to log in

    Unless it remembers logins for a minute, it hashes a password for every request.
    """

    def __init__(self, backend, with_login=False, remembers_logins=True):
        if with_login and not find_spec("flask_wtf"):
            raise MissingPartError("mlflow[auth] is not installed (pip install 'initlab[server]')")
        self.backend = backend
        self.login = ("admin", secrets.token_urlsafe(12)) if with_login else None
        self.remembered_seconds = 60 if remembers_logins else 0
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    @property
    def environment(self):
        """What a client needs in its environment."""
        names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
        return dict(zip(names, self.login, strict=True)) if self.login else {}

    @property
    def uri_with_login(self):
        return self.uri.replace("://", "://{}:{}@".format(*self.login))

    def start(self):
        options, env = [], {"MLFLOW_DISABLE_TELEMETRY": "true"}
        env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        if self.login:
            settings = self.folder / "auth.ini"
            settings.write_text(
                "[mlflow]\ndefault_permission = READ\n"
                f"database_uri = {self.backend}\n"
                f"auth_cache_ttl_seconds = {self.remembered_seconds}\n"
                "admin_username = {}\nadmin_password = {}\n".format(*self.login)
            )
            env["MLFLOW_AUTH_CONFIG_PATH"] = str(settings)
            env["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secrets.token_urlsafe(24)
            options = ["--app-name", "basic-auth"]
        server = self.launch(
            sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.backend,
            "--artifacts-destination", self.folder / "artifacts", *options,
            "--host", "127.0.0.1", "--port", self.port, "--workers", "1",
            log="log", env=env,
        )  # fmt: skip
        self.wait_until(self.answers, server, "log")

    def answers(self):
        try:
            urlopen(f"{self.uri}/health", timeout=5).close()
        except OSError:
            return False
        return True


class RayCluster(Part):
    """Two nodes of Ray on this machine, of one processor each.

    address      to connect to
    nodes        the processes that started them; each has a session of its own
    environment  with which `ray.init()` finds this cluster and no other
    """

    def __init__(self):
        if not find_spec("ray"):
            raise MissingPartError("Ray is not installed (pip install 'initlab[ray]')")
        self.nodes = []
        self.token = secrets.token_hex(32)

    @property
    def environment(self):
        return {
            "RAY_TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Who reaches a cluster runs code on it. The token is this cluster's own, so that none
            # is read from, or written to, the user's home.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
        }

    @property
    def address(self):
        file = self.folder / "ray" / "ray_current_cluster"
        return file.read_text().strip() if file.exists() else ""

    def start(self):
        self.add_node("--head", "--port=0", "--include-dashboard=false")
        self.wait_until(lambda: self.address, self.nodes[0], "node_1")
        self.add_node(f"--address={self.address}")
        for number, node in enumerate(self.nodes, 1):
            log = self.folder / f"node_{number}"
            self.wait_until(lambda log=log: b"runtime started" in log.read_bytes(), node, log.name)

    def add_node(self, *options):
        node = self.launch(
            Path(sys.executable).parent / "ray", "start", *options, "--block", "--num-cpus=1",
            "--node-ip-address=127.0.0.1", f"--object-store-memory={100 << 20}",
            "--dashboard-agent-listen-port=0", "--min-worker-port=0", "--max-worker-port=0",
            "--disable-usage-stats", log=f"node_{len(self.nodes) + 1}", env=self.environment,
        )  # fmt: skip
        self.nodes.append(node)


class Slurm(Part):
    """Slurm with one node, this machine.

    environment  with which `sbatch` and the like find it
    """

    def start(self):
        self.command("start")
        self.ends.callback(self.command, "stop")

    def command(self, word):
        done = subprocess.run([SLURM, word, self.folder], capture_output=True, text=True)
        if done.returncode == 77:
            raise MissingPartError(done.stderr.strip())
        if done.returncode:
            raise RuntimeError(done.stderr)

    @property
    def environment(self):
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command):
        """Return what a command such as `squeue` prints."""
        env = {**os.environ, **self.environment}
        return subprocess.run(
            command, check=True, env=env, cwd=self.folder, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
