"""The commands of the project, as processes, and the store that they fill."""

import subprocess
import sys

from initlab.config import PROJECT


class Place:
    """A store of its own, and the commands of the project."""

    def __init__(self, folder, uri=None):
        self.folder = folder
        self.uri = uri or f"sqlite:///{folder}/mlflow.db"
        self.processes = []

    def start(self, *typed, name="sweep"):
        """Start `python src/train.py -m …`."""
        command = [
            sys.executable,
            "src/train.py",
            "-m",
            *typed,
            f"tracking.uri={self.uri}",
            f"hydra.sweep.dir={self.folder / 'multirun' / name}",
        ]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def run(self, *typed, status=0, **named):
        """Return what it prints."""
        process = self.start(*typed, **named)
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == status, printed
        assert "Traceback" not in printed
        return printed

    @property
    def client(self):
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    def runs(self, role="trial"):
        """Return the runs of this role, the oldest first; none before there is a store."""
        if "sqlite" in self.uri and not (self.folder / "mlflow.db").exists():
            return []
        client = self.client
        ids = [experiment.experiment_id for experiment in client.search_experiments()]
        order = ["attributes.start_time ASC"]
        return [*client.search_runs(ids, f"tags.role = '{role}'", order_by=order)]

    def statuses(self):
        """Return the statuses of the trials, sorted."""
        return sorted(run.info.status for run in self.runs())

    def losses(self):
        """Return the step losses of each finished trial by its name."""
        client, found = self.client, {}
        for run in self.runs():
            if run.info.status == "FINISHED":
                name = run.info.run_name
                assert name not in found
                history = client.get_metric_history(run.info.run_id, "train/loss")
                found[name] = [point.value for point in sorted(history, key=lambda p: p.step)]
        return found
