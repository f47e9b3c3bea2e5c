"""The parts are real: what a user would have, started by the tests."""

import os
import subprocess
import sys

import pytest
import sqlalchemy
from conftest import wait_for
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def test_postgresql_answers_a_query_and_refuses_a_wrong_password(postgres):
    assert "PostgreSQL" in postgres.run("SELECT version()")
    wrong = postgres.uri("postgres").replace(postgres.password, "guessed")
    engine = sqlalchemy.create_engine(wrong, poolclass=sqlalchemy.NullPool)
    with pytest.raises(sqlalchemy.exc.OperationalError, match="password authentication failed"):
        engine.connect()


def test_each_store_on_postgresql_is_a_database_of_its_own(postgres):
    one, other = postgres.store(), postgres.store()
    MlflowClient(one).create_experiment("here")
    assert MlflowClient(other).get_experiment_by_name("here") is None


def log_a_run(uri, folder):
    """Log a run with a metric and a file; assert that both come back."""
    client = MlflowClient(uri)
    experiment = client.create_experiment(f"logged at {uri}")
    run_id = client.create_run(experiment).info.run_id
    client.log_metric(run_id, "loss", 0.25)
    client.log_text(run_id, "kept", "note.txt")
    client.set_terminated(run_id)
    assert client.get_run(run_id).data.metrics == {"loss": 0.25}
    with open(client.download_artifacts(run_id, "note.txt", str(folder))) as file:
        assert file.read() == "kept"
    return client.get_run(run_id)


def test_a_server_keeps_runs_in_postgresql_and_serves_their_artifacts(server, tmp_path):
    run = log_a_run(server.uri, tmp_path)
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    (file,) = server.folder.glob(f"artifacts/*/{run.info.run_id}/artifacts/note.txt")
    assert file.read_text() == "kept"
    direct = MlflowClient(server.backend)
    assert direct.get_run(run.info.run_id).data.metrics == {"loss": 0.25}


def test_a_server_with_login_lets_in_who_has_the_password(server_with_login, tmp_path, monkeypatch):
    with pytest.raises(MlflowException, match="401"):
        MlflowClient(server_with_login.uri).search_experiments()
    for name, value in server_with_login.environment.items():
        monkeypatch.setenv(name, value)
    log_a_run(server_with_login.uri, tmp_path)


WHERE = """
import ray

ray.init(address={address!r}, log_to_driver=False)


@ray.remote(num_cpus=1)
class Meeting:
    def place(self):
        return ray.get_runtime_context().get_node_id()


# Each holds the only processor of its node.
both = [Meeting.remote() for _ in range(2)]
print(len(ray.nodes()), len(set(ray.get([each.place.remote() for each in both]))))
"""


@pytest.mark.parametrize("address", ["its own", "auto"])
def test_ray_runs_a_task_on_each_of_two_nodes(ray_cluster, address):
    address = ray_cluster.address if address == "its own" else address
    command = [sys.executable, "-c", WHERE.format(address=address)]
    done = subprocess.run(
        command, env={**os.environ, **ray_cluster.environment}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["2", "2"], done.stderr


def state(slurm, job):
    return slurm.run("squeue", "--noheader", "--format=%T", "--states=all", f"--jobs={job}")


def submit(slurm, command, *options):
    """Return the number of a job, and the file that has its output."""
    output = f"--output={slurm.folder}/%j.txt"
    job = slurm.run(
        "sbatch", "--parsable", output, "--open-mode=append", *options, "--wrap", command
    )
    return job, slurm.folder / f"{job}.txt"


def test_slurm_runs_the_tasks_of_an_array(slurm):
    job, _ = submit(slurm, f"echo $SLURM_ARRAY_TASK_ID >> {slurm.folder}/tasks", "--array=1-4")
    wait_for(lambda: state(slurm, job).split() == ["COMPLETED"] * 4)
    assert sorted((slurm.folder / "tasks").read_text().split()) == ["1", "2", "3", "4"]


def test_slurm_cancels_a_job(slurm):
    job, output = submit(slurm, "trap 'echo told; exit' TERM; echo begun; sleep 600 & wait")
    wait_for(lambda: output.exists() and "begun" in output.read_text())
    slurm.run("scancel", job)
    wait_for(lambda: state(slurm, job) == "CANCELLED")
    wait_for(lambda: slurm.run("squeue", "--noheader") == "")


def test_slurm_requeues_a_job_for_one_of_a_higher_partition(slurm):
    job, output = submit(
        slurm, 'echo begun; test -n "$SLURM_RESTART_COUNT" || sleep 600', "--partition=low"
    )
    wait_for(lambda: output.exists() and "begun" in output.read_text())
    urgent, _ = submit(slurm, "true", "--partition=high", "--exclusive")
    wait_for(lambda: state(slurm, urgent) == "COMPLETED")
    wait_for(lambda: state(slurm, job) == "COMPLETED")
    assert output.read_text().count("begun") == 2
    assert "DUE TO PREEMPTION" in output.read_text()
