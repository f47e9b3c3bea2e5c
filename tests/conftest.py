import contextlib
import fcntl
import functools
import io
import shutil
import signal
import sys
import time

import numpy as np
import pytest
from hydra import compose
from hydra._internal.hydra import Hydra
from shortcuts import compose_once, wait_for_no_disk
from threadpoolctl import threadpool_limits
from warm import WarmProcess

import train
from initlab.config import GROUPS, PROJECT, options
from initlab.process import STOP_SIGNALS

TRAIN = str(PROJECT / "src" / "train.py")


# Files whose tests share what takes long to make, by that. A process of pytest-xdist gets all of
# them, and before the others.
TOGETHER = {
    "tests/test_browser.py": "server",
    "tests/test_runs.py": "server",
    "tests/test_reproduce.py": "recorded run",
    "tests/test_extending.py": "copy of the project",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return TOGETHER.get(nodeid.partition("::")[0], nodeid)

    return Scheduling(config, log)


class Lab:
    """A store of its own, and the command line in this process."""

    def __init__(self, folder, monkeypatch, request):
        self.folder = folder
        self.request = request
        self.database = folder / "mlflow.db"
        self.uri = f"sqlite:///{self.database}"
        self.outputs = folder / "outputs"
        self.monkeypatch = monkeypatch
        self.commands = []
        self.typed = [
            f"tracking.uri={self.uri}",
            f"hydra.run.dir={self.outputs}/run",
            f"hydra.sweep.dir={self.outputs}/sweep",
            "hydra/launcher=basic",  # this process has all that others would have to import
        ]

    def line(self, arguments):
        """Return the command line: flags, then this lab's own settings, then the test's."""
        return sorted([*self.typed, *arguments], key=lambda word: not word.startswith("-"))

    def run(self, *arguments):
        """Return the exit status of `python src/train.py …`."""
        self.monkeypatch.setattr(sys, "argv", ["src/train.py", *self.line(arguments)])
        # Hydra composes the whole config once more to look for hydra.mode, which no test sets.
        self.monkeypatch.setattr(Hydra, "get_mode", lambda *_, **__: None)
        try:
            return train.run()
        except SystemExit as end:
            return end.code

    def refuses(self, capsys, words, *arguments):
        """Assert that the same is one error with these words in it, and leaves nothing."""
        assert self.run(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert "Traceback" not in error
        for word in words:
            assert word in error
        assert self.found("") == []
        assert not self.outputs.exists()

    def start(self, *arguments, script=TRAIN, **options):
        """Start the same, or another script, in a process of its own."""
        warm = self.request.getfixturevalue("warm")
        command = warm.start(script, *self.line(arguments), **options)
        self.commands.append(command)
        return command

    @property
    def begun(self):
        """How many runs have begun to train, which they do once their config is recorded."""
        return len([*self.folder.glob("mlruns/*/*/artifacts/config.yaml")])

    @property
    def client(self):
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    def runs(self):
        """Return all trials, the oldest first."""
        return self.found("tags.role = 'trial'")

    def found(self, condition):
        """Return the runs of which a condition is true, the oldest first."""
        ids = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return self.client.search_runs(ids, condition, order_by=["attributes.start_time ASC"])

    def values(self, run, metric):
        """Return the values of a metric by step."""
        history = self.client.get_metric_history(run.info.run_id, metric)
        assert len({point.step for point in history}) == len(history)
        return {point.step: point.value for point in sorted(history, key=lambda p: p.step)}

    def weights(self, run):
        """Return weights.npz."""
        return np.load(
            self.client.download_artifacts(run.info.run_id, "weights.npz", str(self.folder))
        )

    def artifacts(self, run):
        """Return the names of the artifacts at the root that are files."""
        found = self.client.list_artifacts(run.info.run_id)
        return {file.path for file in found if not file.is_dir}


@pytest.fixture(scope="session", autouse=True)
def quick():
    """Let Hydra read each file once and merge the same files once, and wait for no disk.

    Hydra reads and merges anew for every config, which would take a third of the time of all tests.
    Commands in processes of their own do as they always do.
    """
    wait_for_no_disk()
    with pytest.MonkeyPatch.context() as patch:
        compose_once(patch.setattr)
        yield


@functools.cache
def composed(turn):
    """Return the config of option number `turn` of every group, from the first on again at its end.

    Composing takes a tenth of a second, which this way is spent for the largest group alone. Hydra
    must have been initialized.
    """
    chosen = {group: options(group)[turn % len(options(group))] for group in GROUPS}
    steps = 0 if chosen["data"] == "gaussian" else 10
    typed = [f"{group}={option}" for group, option in chosen.items()]
    return compose("config", [*typed, f"train.steps={steps}"])


def composed_with(group, option):
    """Return a config with an option, whatever the others."""
    return composed(options(group).index(option))


def lab_after(tmp_path_factory, empty_store, request, *arguments):
    """Return a lab in which a command has been run, and what was printed."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(empty_store, folder)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setenv("HYDRA_FULL_ERROR", "1")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        lab = Lab(folder, patch, request)
        assert lab.run(*arguments) == 0
    return lab, out.getvalue()


def wait_for(condition, seconds=120):
    """Return when a condition holds; fail after a time that is long enough on a busy machine."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="session", autouse=True)
def own_cache_and_one_thread(shared):
    """Decode data into a cache of the session's own, and leave the other cores to other tests."""
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1, "blas"):
        patch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """Return a folder that all processes of pytest-xdist share."""
    folder = tmp_path_factory.getbasetemp()
    return folder if worker_id == "master" else folder.parent


@pytest.fixture(scope="session")
def empty_store(shared):
    """Return a database that MLflow has set up, which takes it some seconds."""
    from initlab.tracking.store import open_store

    folder = shared / "store"
    with alone(shared / "store.lock"):
        if not folder.exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv("MLFLOW_TRACKING_URI", raising=False)
                open_store(None, "unused", folder)
    return folder / "mlflow.db"


@contextlib.contextmanager
def alone(file):
    """Let one process at a time do what follows."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def served_store(tmp_path_factory, empty_store):
    """Return the folder of a store, and the address at which a server serves it."""
    from screenshots import served

    folder = tmp_path_factory.mktemp("served")
    shutil.copy(empty_store, folder)
    with served(f"sqlite:///{folder}/mlflow.db", folder) as address:
        yield folder, address


@pytest.fixture(scope="session")
def warm():
    """Return what starts commands as forks of a process that has imported all they need."""
    process = WarmProcess()
    yield process
    process.close()


@pytest.fixture
def lab(tmp_path, monkeypatch, empty_store, request):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # as `run` sets it, so that it is taken back
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    made = Lab(tmp_path, monkeypatch, request)
    yield made
    for command in made.commands:
        if command.poll() is None:  # as the test has failed
            command.kill()
    for number, handler in before.items():
        signal.signal(number, handler)
