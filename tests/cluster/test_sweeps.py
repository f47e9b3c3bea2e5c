"""The same sweep in each kind of store: equal bit for bit, and whatever reads it works."""

import contextlib
import io
import json

import pytest

import compare
import reproduce

from .conftest import TeamLab
from .parts import Server

GRID = [
    "-m", "init=he,xavier", "seed=1,2,3", "train.steps=20", "model.hidden=[20]",
    "tracking.pictures=false",
]  # fmt: skip
STORES = ["sqlite", "postgres", "server", "server_with_login"]


class Swept:
    """A lab in which the sweep has been run, and what was printed."""

    def __init__(self, lab, printed):
        self.lab = lab
        self.printed = printed
        self.runs = lab.runs()

    @property
    def numbers(self):
        """All numbers of all trials by what varies, metric and step, as text that has each bit."""
        found = {}
        for run in self.runs:
            varied = run.data.params["init"], run.data.params["seed"]
            for metric in ("train/loss", "test/loss", "test/accuracy", "weight_std/layer_1"):
                values = self.lab.values(run, metric)
                found[varied, metric] = {step: value.hex() for step, value in values.items()}
        return found


def printed_by(command, *arguments):
    """Return the exit status and what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = command(*arguments)
    return status, out.getvalue()


@contextlib.contextmanager
def swept_on(kind, request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where MLflow keeps the artifacts of a database that is no file
        patch.setenv("HYDRA_FULL_ERROR", "1")
        patch.setenv("COLUMNS", "120")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        uri = f"sqlite:///{folder}/mlflow.db"
        if kind == "postgres":
            uri = request.getfixturevalue("postgres").store()
        elif kind != "sqlite":
            uri = request.getfixturevalue(kind)
        if isinstance(uri, Server):
            for name, value in uri.environment.items():
                patch.setenv(name, value)
            uri = uri.uri
        lab = TeamLab(uri, "the same sweep", folder, patch, request)
        status, printed = printed_by(lab.run, *GRID)
        assert status == 0
        yield Swept(lab, printed)


@pytest.fixture(scope="module")
def expected(request, tmp_path_factory):
    """Return the numbers of the sweep in a SQLite database."""
    with swept_on("sqlite", request, tmp_path_factory) as swept:
        return swept.numbers


@pytest.fixture(scope="module", params=STORES)
def swept(request, tmp_path_factory):
    with swept_on(request.param, request, tmp_path_factory) as made:
        yield made


def test_a_sweep_has_the_same_numbers_in_each_store(swept, expected):
    assert len(swept.runs) == 6
    assert {run.info.status for run in swept.runs} == {"FINISHED"}
    assert len({run.data.tags["sweep"] for run in swept.runs}) == 1
    assert len(expected) == 24  # of six trials, four metrics
    assert all(expected.values())
    assert swept.numbers == expected


def test_the_same_command_skips_all_that_is_there(swept):
    status, printed = printed_by(swept.lab.run, *GRID)
    assert status == 0
    assert "6 of 6 trials had been run before" in printed
    assert len(swept.lab.runs()) == 6


def test_the_artifacts_of_a_trial_come_back(swept):
    run = swept.runs[0]
    assert {"config.yaml", "histograms.npz", "weights.npz"} <= swept.lab.artifacts(run)
    assert set(swept.lab.weights(run)) >= {"initial/W1", "final/W1"}


def test_the_sweep_is_compared(swept, tmp_path):
    sweep = swept.runs[0].data.tags["sweep"]
    options = ["--uri", swept.lab.uri, "--experiment", swept.lab.experiment]
    status, printed = printed_by(compare.run, [sweep, *options, "--output", str(tmp_path)])
    assert status == 0
    assert "he leads xavier" in printed
    (pair,) = json.loads((tmp_path / "comparison.json").read_text())["pairs"]
    assert (pair["better"], pair["other"], pair["n"]) == ("init=he", "init=xavier", 3)


def test_a_trial_is_reproduced_bit_for_bit(swept):
    run_id = swept.runs[0].info.run_id
    status, printed = printed_by(reproduce.run, [run_id, "--uri", swept.lab.uri])
    assert status == 0, printed
    assert "identical" in printed
