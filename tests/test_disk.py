"""A disk that is full or read-only: one clear line, and whatever does not need it goes on."""

import errno
import re
from pathlib import Path

import numpy as np
import pytest
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from initlab.report import page
from initlab.report.comparison import Comparison
from initlab.tracking.runs import Run
from initlab.tracking.store import TrackingError
from initlab.tracking.tracker import Tracker

SHORT = ["train.steps=5", "tracking.pictures=false"]


@pytest.fixture
def barred(lab):
    """Return a place at which no folder can be made, not even by root."""
    (lab.folder / "file").touch()
    return lab.folder / "file" / "run"


def test_a_run_in_a_store_needs_no_folder(lab, barred, capsys):
    assert lab.run(*SHORT, f"hydra.run.dir={barred}") == 0
    (run,) = lab.runs()
    assert run.info.status == "FINISHED"
    assert "weights.npz" in lab.artifacts(run)
    assert capsys.readouterr().err == ""


def test_a_run_without_a_store_is_refused_before_it_trains_where_it_can_leave_nothing(
    lab, barred, capsys
):
    words = [f"hydra.run.dir={barred}: cannot be written: Not a directory"]
    lab.refuses(capsys, words, *SHORT, "tracking.enabled=false", f"hydra.run.dir={barred}")


def test_a_trial_in_a_store_needs_no_folder(lab):
    (lab.outputs / "sweep").mkdir(parents=True)
    (lab.outputs / "sweep" / "0").touch()
    assert lab.run("-m", *SHORT, "seed=0,1") == 0
    assert [run.info.status for run in lab.runs()] == ["FINISHED"] * 2
    assert (lab.outputs / "sweep" / "1" / "output.txt").read_text()


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_report_that_does_not_fit_into_its_folder_goes_into_the_store(lab, monkeypatch, capsys):
    write = page.write_results

    def write_elsewhere(runs, file):
        full() if lab.outputs in file.parents else write(runs, file)

    monkeypatch.setattr(page, "write_results", write_elsewhere)
    assert lab.run("-m", *SHORT, "seed=0,1") == 0
    printed = capsys.readouterr()
    place = lab.outputs / "sweep"
    assert printed.err == (
        f"error: {place}: cannot be written: No space left on device; the store alone gets the "
        "report\n"
    )
    assert re.search(r"^init=he +2 ", printed.out, re.MULTILINE)
    assert [file.name for file in place.iterdir() if file.suffix in (".html", ".png")] == []
    (summary,) = lab.found("tags.role = 'summary'")
    assert {"report.html", "results.csv", "curves.npz"} <= lab.artifacts(summary)


def test_a_store_and_a_folder_that_fail_together_are_one_line_each(
    lab, barred, monkeypatch, capsys
):
    def failing(self):
        raise TrackingError("the store is gone")

    monkeypatch.setattr(Tracker, "flush", failing)
    assert lab.run(*SHORT, f"hydra.run.dir={barred}") == 2
    assert capsys.readouterr().err.splitlines() == [
        f"error: hydra.run.dir={barred}: cannot be written: Not a directory",
        "What the store does not have is lost.",
        "error: the store is gone",
    ]


def test_a_disk_that_fills_up_is_one_line(lab, monkeypatch, capsys):
    monkeypatch.setattr(np, "savez", full)
    assert lab.run(*SHORT, "tracking.enabled=false") == 2
    error = capsys.readouterr().err
    assert error == f"error: {lab.outputs}/run: cannot be written: No space left on device\n"
    assert "train/loss" in (lab.outputs / "run" / "metrics.csv").read_text()


def test_half_a_report_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        page.write(Comparison([Run("id", "name", "finished")]), tmp_path / "report", "title")
    assert [*(tmp_path / "report").iterdir()] == []


@pytest.mark.parametrize("state", ["no folder", "gone"])
def test_a_store_whose_files_have_no_place_is_refused_before_anything_is_trained(
    lab, capsys, state, monkeypatch
):
    place = lab.folder / "place"
    place.touch()
    lab.client.create_experiment("initlab", f"{place.as_uri()}/files")
    if state == "gone":  # as on a disk that takes what is written, and keeps nothing
        place.unlink()
        monkeypatch.setattr(LocalArtifactRepository, "log_artifact", lambda *_: None)
    words = [f"tracking.uri={lab.uri}:", f"initlab cannot be kept in {place.as_uri()}/files: "]
    lab.refuses(capsys, words, "-m", "seed=0,1", "train.steps=0")
    assert lab.run("train.steps=0") == 2
    assert words[1] in capsys.readouterr().err
    assert lab.runs() == []


def test_a_store_is_tried_once_and_keeps_no_file_of_it(lab, monkeypatch):
    tried = []
    log_artifact = LocalArtifactRepository.log_artifact

    def counting(self, file, path=None):
        tried.append(Path(file).name)
        log_artifact(self, file, path)

    monkeypatch.setattr(LocalArtifactRepository, "log_artifact", counting)
    assert lab.run("-m", "seed=0,1", "train.steps=0", "model=quadratic") == 0
    (check,) = [name for name in tried if name.startswith("initlab-check-")]
    assert not [*lab.folder.rglob(check)]
