"""What a team's store does: PostgreSQL, directly and behind a server of MLflow."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from conftest import wait_for
from mlflow import MlflowClient
from mlflow.entities import ViewType

from initlab.tracking import store as stores
from initlab.tracking.names import TakenError
from initlab.tracking.store import open_store
from initlab.tracking.tracker import Tracker

pytestmark = pytest.mark.cluster

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
TINY = ["train.steps=20", "model.hidden=[20]", "tracking.pictures=false"]
PASSWORD = "s3cret/@word"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="session")
def postgres():
    """Return a function that runs SQL in a PostgreSQL server as its administrator, and its port."""
    if not BINARIES:
        pytest.skip("PostgreSQL is not installed in /usr/lib/postgresql")
    user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    folder = tempfile.mkdtemp(prefix="initlab-postgres-")
    if user:
        shutil.chown(folder, "postgres")
    port = free_port()
    initdb = [*user, BINARIES[-1] / "initdb", "-D", f"{folder}/data", "-A", "trust", "-N"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/")
    host = "host all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n"
    Path(f"{folder}/data/pg_hba.conf").write_text(host)
    command = [*user, BINARIES[-1] / "postgres", "-D", f"{folder}/data", "-p", str(port)]
    command += ["-k", folder, "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]
    server = subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )

    def sql(*statements, database="postgres"):
        words = [word for each in statements for word in ("-c", each)]
        psql = [BINARIES[-1] / "psql", "-h", folder, "-p", str(port), "-qAt", database, *words]
        return subprocess.run([*user, *psql], check=True, capture_output=True, text=True, cwd="/")

    try:
        is_ready = [BINARIES[-1] / "pg_isready", "-q", "-h", folder, "-p", str(port)]
        wait_for(lambda: subprocess.run(is_ready).returncode == 0)
        sql(f"CREATE ROLE initlab LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        yield sql, port
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def address_of(port, database):
    return f"postgresql://initlab:s3cret%2F%40word@127.0.0.1:{port}/{database}"


@pytest.fixture(scope="session")
def template(postgres):
    """Return the name of a database in which MLflow has made its tables."""
    sql, port = postgres
    sql("CREATE DATABASE template OWNER initlab")
    store = open_store(address_of(port, "template"), "unused", Path())
    store.client._tracking_client.store.engine.dispose()
    return "template"


@pytest.fixture
def database(postgres, template, request):
    """Return the address of a database of the test's own."""
    sql, port = postgres
    name = f"lab_{abs(hash(request.node.name))}"
    sql(f"CREATE DATABASE {name} TEMPLATE {template} OWNER initlab")
    return address_of(port, name)


@contextlib.contextmanager
def serve(database, folder, *options):
    """Serve a store with artifacts that go through the server; yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(
        [*command, "--port", str(port), *options],
        cwd=folder,
        env=os.environ | quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    from screenshots import stop

    def answers():
        assert server.poll() is None
        with contextlib.suppress(OSError):
            urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return True

    try:
        wait_for(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(server)


@pytest.fixture(params=["directly", "through a server"])
def uri(request, database, tmp_path):
    """Return the address of a store in PostgreSQL."""
    if request.param == "directly":
        yield database
        return
    with serve(database, tmp_path) as address:
        yield address


@pytest.fixture
def store(uri, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return open_store(uri, "initlab", tmp_path)


def trials(store, view=ViewType.ACTIVE_ONLY):
    place = [store.experiment_id]
    return store.client.search_runs(place, "tags.role = 'trial'", run_view_type=view)


def test_two_heads_at_once_run_each_trial_once(lab, store):
    line = ["-m", f"tracking.uri={store.uri}", "seed=range(12)", *TINY]
    heads = [lab.start(*line, cwd=lab.folder) for _ in range(2)]
    for head in heads:
        output, error = head.communicate(timeout=240)
        assert head.returncode == 0, error
        assert "not run" not in output
    runs = trials(store)
    assert [run.info.status for run in runs] == ["FINISHED"] * 12
    assert len({run.data.params["seed"] for run in runs}) == 12
    assert {run.data.tags["sweep"] for run in runs} == {"sweep", "sweep-2"}
    for name in ("sweep", "sweep-2"):
        rows = (lab.outputs / name / "results.csv").read_text().splitlines()
        assert len(rows) == 1 + 12
    tags = store.client.get_experiment(store.experiment_id).tags
    assert not [name for name in tags if name.startswith("mlflow.initlabSweep")]


def test_of_many_hosts_that_start_a_trial_at_once_one_runs_it(store):
    def begin(host, mark):
        tags = {"role": "trial", "fingerprint": mark, "process.host": f"host {host}"}
        with contextlib.suppress(TakenError), Tracker(store, str(host), {}, tags, True):
            time.sleep(0.1)

    with ThreadPoolExecutor(4) as pool:
        for mark in "abcdef":
            list(pool.map(begin, range(4), mark * 4))
    runs = trials(store)
    assert sorted(run.data.tags["fingerprint"] for run in runs) == list("abcdef")
    assert {run.info.status for run in runs} == {"FINISHED"}
    withdrawn = trials(store, ViewType.DELETED_ONLY)
    assert {run.info.status for run in withdrawn} <= {"KILLED"}


def test_of_two_hosts_that_choose_the_same_name_at_once_one_gets_it(store, monkeypatch):
    own = threading.local()
    monkeypatch.setattr(
        stores, "claim_of", lambda sweep: f"{stores.all_claims_of(sweep)}{own.name}"
    )

    def claim(host, sweep):
        own.name = host
        return store.claim_sweep(sweep)

    with ThreadPoolExecutor(2) as pool:
        for sweep in "abcdef":
            assert sum(pool.map(claim, range(2), sweep * 2)) == 1


ACCOUNTS = ("admin", "p@ss/w0rd:long")


@pytest.fixture
def guarded(tmp_path):
    """Return the address of a server that asks for a login, without one."""
    settings = tmp_path / "auth.ini"
    settings.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{tmp_path}/auth.db\n"
        f"admin_username = {ACCOUNTS[0]}\nadmin_password = {ACCOUNTS[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(settings))
        patch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "key")
        with serve(f"sqlite:///{tmp_path}/mlflow.db", tmp_path, "--app-name", "basic-auth") as uri:
            yield uri


def everything_in(folder):
    """Return the texts of all files in a folder, and the names of the files."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file: file.read_bytes() for file in files if file.name != "auth.ini"}


def test_a_login_in_an_address_works_and_its_password_is_nowhere(lab, guarded, capfd, monkeypatch):
    secrets = [quote(ACCOUNTS[1], safe=""), ACCOUNTS[1]]
    uri = guarded.replace("://", f"://{ACCOUNTS[0]}:{secrets[0]}@")

    def raising(*_):
        raise RuntimeError(f"API request to {uri}/api failed")

    assert lab.run("-m", f"tracking.uri={uri}", "seed=0,1", *TINY) == 0
    monkeypatch.setattr("initlab.nn.optimizers.SGD.update", raising)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    lab.typed.remove(f"tracking.uri={lab.uri}")
    assert lab.run("-m", "seed=2,3", *TINY) == 1
    assert lab.run("seed=4", *TINY) == 1
    printed = capfd.readouterr()
    assert f"open  {guarded}/#/experiments" in printed.out
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("initlab").experiment_id
    runs = client.search_runs([experiment])
    statuses = sorted(run.info.status for run in runs if run.data.tags["role"] == "trial")
    assert statuses == ["FAILED"] * 3 + ["FINISHED"] * 2
    kept = "".join(str(run.to_dictionary()) for run in runs)
    assert "RuntimeError: API request to http://admin:***@" in kept
    for secret in secrets:
        assert secret not in printed.out + printed.err + kept
        for file, content in everything_in(lab.folder).items():
            assert secret.encode() not in content, file


@pytest.mark.parametrize("way", ["key", "environment"])
def test_a_login_that_is_refused_is_one_error_without_the_password(
    lab, guarded, database, capfd, monkeypatch, way
):
    wrong = "wr0ng%40pass"
    host, _, name = database.rpartition("@")[2].partition("/")
    for uri, words in (
        (guarded.replace("://", f"://admin:{wrong}@"), ["not authenticated"]),
        (guarded, ["not authenticated"]),
        (f"postgresql://initlab:{wrong}@{host}/{name}", ["password authentication failed"]),
        (f"postgresql://initlab:{wrong}@{host}/none", ["password authentication failed"]),
        (f"postgresql://initlab:wr0ng@pass@{host}/{name}", ["%40"]),
        (f"postgresql://initlab:wr0ng/pass@{host}/{name}", ["%40"]),
        (f"postgresql+psycopg://initlab:{wrong}@{host}/{name}", ["authentication failed"]),
        (f"postgresql://{host}/{name}?user=initlab&password={wrong}", ["authentication failed"]),
        (f"http://:{wrong}@127.0.0.1:9/", ["Connection refused"]),
        ("http://user:wr0ng#pass@127.0.0.1:9/", ["%40"]),
    ):
        if way == "environment":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            lab.typed = [word for word in lab.typed if not word.startswith("tracking.uri")]
            settings = []
        else:
            settings = [f"tracking.uri='{uri}'"]
        assert lab.run("-m", "seed=0,1", *settings, *TINY) == 2
        printed = capfd.readouterr()
        assert printed.err.startswith("error: tracking.uri="), printed.err
        assert "Traceback" not in printed.err
        for word in words:
            assert word in printed.err
        for part in ("wr0ng", "pass@"):
            assert part not in printed.out + printed.err
    assert not lab.outputs.exists()


def test_a_database_of_a_server_that_keeps_the_files_is_refused_before_any_trial(
    lab, database, tmp_path, capfd
):
    with serve(database, tmp_path) as address:
        assert lab.run(f"tracking.uri={address}", *TINY) == 0
        capfd.readouterr()
        for line in (["-m", "seed=range(12)"], ["seed=0"]):
            assert lab.run(*line, f"tracking.uri={database}", *TINY) == 2
            error = capfd.readouterr().err
            assert error.count("error: ") == 1
            assert "are kept by a server of MLflow (mlflow-artifacts:/" in error
            assert "Set tracking.uri" in error
            assert "s3cret" not in error
        assert lab.run(f"tracking.uri={database}", "tracking.experiment=own", *TINY) == 0


def test_a_server_that_cannot_keep_files_is_refused_before_any_trial(
    lab, database, tmp_path, capfd
):
    (tmp_path / "artifacts").write_text("a file where a folder should be")
    with serve(database, tmp_path) as address:
        assert lab.run("-m", "seed=0,1", f"tracking.uri={address}", *TINY) == 2
    error = capfd.readouterr().err
    assert error.count("error: ") == 1
    assert "the files of the experiment initlab cannot be kept in mlflow-artifacts:/" in error


def test_two_heads_may_begin_with_an_empty_database(lab, postgres):
    sql, port = postgres
    sql("CREATE DATABASE empty OWNER initlab")
    line = ["-m", f"tracking.uri={address_of(port, 'empty')}", "seed=range(4)", *TINY]
    heads = [lab.start(*line, cwd=lab.folder) for _ in range(2)]
    for head in heads:
        _, error = head.communicate(timeout=240)
        assert head.returncode == 0, error
    store = open_store(address_of(port, "empty"), "initlab", lab.folder)
    assert [run.info.status for run in trials(store)] == ["FINISHED"] * 4


def recorded(client, run):
    """Return what a run has left, less what differs with its time and place."""
    files, folders = set(), [""]
    while folders:
        for file in client.list_artifacts(run.info.run_id, folders.pop()):
            if file.is_dir:
                folders.append(file.path)
            else:
                kept = re.sub(r"timestamp.\d+.[0-9a-f-]{36}", "", file.path)
                files.add((kept, None if kept.endswith((".yaml", ".npz")) else file.file_size))
    losses = client.get_metric_history(run.info.run_id, "train/loss")
    points = sorted((point.step, point.value) for point in losses)
    own = ("process.", "mlflow.", "command")
    tags = {key: value for key, value in run.data.tags.items() if not key.startswith(own)}
    pictured = run.data.tags["mlflow.loggedImages"]
    return files, points, run.data.metrics, run.data.params, tags, pictured


def test_a_server_is_left_the_same_as_a_database(lab, database, tmp_path):
    line = ["train.steps=1200", "model.hidden=[20]", "seed=3"]
    assert lab.run(*line) == 0
    with serve(database, tmp_path) as address:
        assert lab.run(f"tracking.uri={address}", *line) == 0
        client = MlflowClient(address)
        place = client.get_experiment_by_name("initlab").experiment_id
        (there,) = client.search_runs([place])
        (here,) = lab.runs()
        assert recorded(client, there) == recorded(lab.client, here)
        assert there.info.status == "FINISHED"


def test_an_interrupted_trial_on_a_server_is_closed_and_keeps_all_its_steps(
    lab, database, tmp_path
):
    with serve(database, tmp_path) as address:
        client = MlflowClient(address)
        line = ["train.steps=10000000", "model.hidden=[20]", f"tracking.uri={address}"]
        process = lab.start(*line)
        place = []

        def trains():
            found = client.get_experiment_by_name("initlab")
            place[:] = client.search_runs([found.experiment_id]) if found else []
            return place and "train/loss" in place[0].data.metrics

        wait_for(trains)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=120)
        assert process.returncode == 130, error
        run = client.get_run(place[0].info.run_id)
        assert run.info.status == "KILLED"
        steps = [p.step for p in client.get_metric_history(run.info.run_id, "train/loss")]
        assert sorted(steps) == list(range(len(steps)))
        kept = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"weights.npz", "config.yaml", "histograms.npz", "loss.png", "images"} <= kept


def test_files_that_a_server_refuses_are_told_and_left_in_the_folder(
    lab, database, tmp_path, capfd, monkeypatch
):
    with serve(database, tmp_path) as address:
        assert lab.run(f"tracking.uri={address}", *TINY) == 0
        shutil.rmtree(tmp_path / "artifacts")  # once it has been tried
        (tmp_path / "artifacts").touch()
        capfd.readouterr()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        assert lab.run(f"tracking.uri={address}", "seed=1", *TINY) == 2
        assert "cannot be used: " in capfd.readouterr().err
        assert (lab.outputs / "run" / "weights.npz").exists()
        client = MlflowClient(address)
        place = client.get_experiment_by_name("initlab").experiment_id
        statuses = [run.info.status for run in client.search_runs([place])]
        assert sorted(statuses) == ["FAILED", "FINISHED"]


MANY = 3000
PAGES = 4  # the last of which is empty or has the trial that was copied


def clone(sql, name, run_id):
    """Copy a run ten thousand times, each time with a fingerprint of its own."""
    copies = f"generate_series(1, {MANY}) AS n"
    new = "lpad(to_hex(n), 32, '0')"
    columns = sql(
        "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM "
        "information_schema.columns WHERE table_name = 'runs' AND column_name != 'run_uuid'",
        database=name,
    ).stdout.strip()
    statements = [
        f"INSERT INTO runs (run_uuid, {columns}) SELECT {new}, {columns} FROM runs, {copies} "
        f"WHERE run_uuid = '{run_id}'",
        f"INSERT INTO params (key, value, run_uuid) SELECT key, value, {new} FROM params, {copies} "
        f"WHERE run_uuid = '{run_id}'",
        "INSERT INTO tags (key, value, run_uuid) SELECT key, CASE key WHEN 'fingerprint' THEN "
        f"'mark ' || n ELSE value END, {new} FROM tags, {copies} WHERE run_uuid = '{run_id}'",
        "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) SELECT key, "
        f"value, timestamp, step, is_nan, {new} FROM latest_metrics, {copies} "
        f"WHERE run_uuid = '{run_id}'",
    ]
    sql(*statements, "ANALYZE", database=name)


def test_thousands_of_fingerprints_are_looked_up_in_a_few_requests(
    lab, uri, database, postgres, monkeypatch
):
    sql, _ = postgres
    assert lab.run(f"tracking.uri={uri}", "train.steps=20") == 0
    store = open_store(uri, "initlab", lab.folder)
    (run,) = trials(store)
    clone(sql, database.rpartition("/")[2], run.info.run_id)
    asked = []
    search_runs = MlflowClient.search_runs

    def counting(self, *arguments, **options):
        asked.append(1)
        return search_runs(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "search_runs", counting)
    found = store.trials_by_fingerprint({f"mark {n}" for n in range(1, MANY + 1)} | {"none"})
    assert len(found) == MANY
    assert len(asked) == (PAGES if store.command is None else 0)
    some = {f"mark {n}" for n in range(0, 40)}
    assert set(store.trials_by_fingerprint(some)) == some - {"mark 0"}
    assert len(asked) == (PAGES + 40 if store.command is None else 0)
