"""This process and those that it starts: their garbage collector, and MLflow's telemetry."""

import csv
import gc
import os
import shutil
import signal
import subprocess
import sys

import pytest

from initlab.config import PROJECT
from initlab.process import gc_paused, listened_signals, signals_deferred


def test_nothing_is_searched_for_garbage_until_the_end():
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_garbage_is_searched_for_after_an_import_that_failed():
    with pytest.raises(ModuleNotFoundError), gc_paused():
        import initlab.no_such_module  # noqa: F401
    assert gc.isenabled()


def test_the_end_of_the_terminal_is_no_matter_under_nohup():
    assert signal.SIGHUP in listened_signals()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert signal.SIGHUP not in listened_signals()
        with signals_deferred():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def quiet_home(folder):
    """Return the environment of a user with a new home, in which MLflow is to send telemetry.

    Matplotlib has a backend that it does not know.
    """
    dropped = ("MLFLOW_", "XDG_CONFIG_HOME", "DO_NOT_TRACK", "CI", "GITHUB_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    wanted = {"MLFLOW_DISABLE_TELEMETRY": "false", "DO_NOT_TRACK": "false", "MPLBACKEND": "nope"}
    return kept | wanted | {"HOME": str(folder), "PYTHONPATH": str(PROJECT / "src")}


@pytest.mark.skipif(sys.platform == "win32", reason="HOME is where files go elsewhere")
def test_no_command_sends_telemetry_or_needs_a_backend_of_matplotlib(tmp_path, empty_store):
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    store = f"sqlite:///{tmp_path}/mlflow.db"

    def start(command, *arguments):
        line = [sys.executable, str(PROJECT / "src" / command), *arguments]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(line, env=quiet_home(home), cwd=tmp_path, **piped)

    sweep = start(
        "train.py", "-m", "init=he,xavier", "hydra/launcher=cores", "hydra.launcher.processes=2",
        "train.steps=3", "tracking.pictures=false", f"tracking.uri={store}",
        f"hydra.sweep.dir={tmp_path}/sweep",
    )  # fmt: skip
    _, error = sweep.communicate()
    assert sweep.returncode == 0, error
    with (tmp_path / "sweep" / "results.csv").open() as file:
        run_id = next(csv.DictReader(file))["run_id"]
    uri = ["--uri", store]
    others = [
        start("compare.py", "sweep", *uri, "--output", str(tmp_path / "again")),
        start("reproduce.py", run_id, *uri),
    ]
    for process in others:
        _, error = process.communicate()
        assert process.returncode == 0, error
    assert [path for path in home.rglob("*") if "mlflow" in path.parts] == []


ASK = """
import os
from initlab.sweep.pool import Pool

def ask(_):
    return [os.getpid() == PARENT, os.environ.get("MLFLOW_DISABLE_TELEMETRY")]

if __name__ == "__main__":
    PARENT = os.getpid()
    print([answer for _, answer in Pool(2).run(ask, range(2)) if isinstance(answer, list)])
"""


def test_telemetry_is_off_in_each_process_of_a_pool(tmp_path):
    file = tmp_path / "ask.py"
    file.write_text(ASK)
    asked = [sys.executable, str(file)]
    done = subprocess.run(asked, env=quiet_home(tmp_path), capture_output=True, text=True)
    assert done.stdout.strip() == "[[False, 'true'], [False, 'true']]", done.stderr
