"""The record of a run: what happened, in memory, and the files that it leaves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from initlab.nn.diagnostics import Snapshot
from initlab.nn.metrics import Metric, Quantity, Statistic
from initlab.nn.network import Parameters
from initlab.nn.prediction import Prediction
from initlab.nn.training import Evaluation, Step
from initlab.nn.verdict import Context, Verdict, judge

if TYPE_CHECKING:
    from PIL.Image import Image

LOSS, PATH, SIGNAL = "loss", "path", "signal"  # pictures beside those of each `Quantity`
PROFILES = (Statistic.UNIT_STD, Statistic.UNIT_GRADIENT_STD)  # by layer, beside theory
RECENT = 100  # steps over which the last training loss is averaged


class Record:
    """All steps of a run, in order, its name, and notes on how it was prepared.

    `drawn` says whether pictures are made of it.
    """

    def __init__(self, name: str = "", notes: Sequence[str] = (), drawn: bool = True) -> None:
        self.name = name
        self.notes = notes
        self.drawn = drawn
        self.steps: list[Step] = []
        self.pictures: dict[str, Image] = {}  # drawn since the last step

    def add(self, step: Step) -> None:
        """Take the next step."""
        self.steps.append(step)
        self.pictures.clear()

    @property
    def diverged_step(self) -> int | None:
        """The step whose loss is not finite, None if there is none."""
        last = self.steps[-1] if self.steps else None
        return last.number if last and last.diverged else None

    @property
    def snapshots(self) -> list[Snapshot]:
        """The distributions recorded, in order."""
        return [step.snapshot for step in self.steps if step.snapshot]

    @property
    def prediction(self) -> Prediction | None:
        """What theory expects of the start, None where it expects nothing."""
        return self.steps[0].prediction if self.steps else None

    @property
    def points(self) -> list[tuple[float, float]]:
        """The path over a function of two variables, empty where a network was trained."""
        return [step.point for step in self.steps if step.point]

    @property
    def evaluation(self) -> Evaluation | None:
        """The last evaluation."""
        return next((step.evaluation for step in reversed(self.steps) if step.evaluation), None)

    @property
    def loss(self) -> float | None:
        """The mean training loss of the last hundred steps."""
        losses = [step.loss for step in self.steps[-RECENT - 1 :] if step.loss is not None]
        return float(np.mean(losses)) if losses else None

    def value(self, metric: str) -> float | None:
        """Return the last value of a metric; of train/loss, the mean of the last hundred steps."""
        if metric == Metric.TRAIN_LOSS:
            return self.loss
        values = (dict(step.metrics()).get(metric) for step in reversed(self.steps))
        return next((value for value in values if value is not None), None)

    def verdict(self, context: Context) -> Verdict | None:
        """Return the verdict, None where there is nothing to judge by."""
        if self.snapshots or self.diverged_step is not None:
            return judge(self.snapshots, context, self.diverged_step)
        return None

    def save(self, folder: Path, initial: Parameters, final: Parameters) -> None:
        """Write the pictures, histograms.npz and weights.npz into `folder`."""
        if self.drawn:
            from initlab import figures  # Matplotlib takes time to import

            for what in self.drawable:
                (folder / f"{what}.png").write_bytes(figures.png(self.picture(what)))
        weights = {f"initial/{name}": array for name, array in initial.arrays().items()}
        weights |= {f"final/{name}": array for name, array in final.arrays().items()}
        np.savez(folder / "weights.npz", allow_pickle=False, **weights)
        if self.snapshots:
            np.savez(folder / "histograms.npz", allow_pickle=False, **self.histograms())

    def save_metrics(self, file: Path) -> None:
        """Write all numbers as CSV: step, metric, value."""
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(["step", "metric", "value"])
            for step in self.steps:
                writer.writerows([step.number, *metric] for metric in step.metrics())

    @property
    def drawable(self) -> list[str]:
        """The names of its pictures: activations, gradients, weights, signal, loss, path."""
        found = [*self.snapshots[-1].histograms, SIGNAL] if self.snapshots else []
        return found + [LOSS] * bool(self.evaluation) + [PATH] * bool(self.points)

    def picture(self, what: str) -> Image:
        """Return one of these pictures after the last step, drawn once."""
        if what not in self.pictures:
            self.pictures[what] = self.draw(what)
        return self.pictures[what]

    def draw(self, what: str) -> Image:
        """Draw a picture; distributions have those of the start as an outline."""
        from initlab import figures

        if what == LOSS:
            return figures.image(figures.loss_curves(self.steps, self.name))
        if what == PATH:
            return figures.image(figures.descent(self.points, self.name))
        start, now = self.snapshots[0], self.snapshots[-1]
        if what == SIGNAL:
            end = now if now is not start else None
            return figures.depth_profile(start, end, self.prediction, self.name)
        return figures.distributions(
            Quantity(what), now, start if now is not start else None, self.name
        )

    def histograms(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of histograms.npz.

        steps (S,); for each quantity, edges (K+1,) and counts (S, L, K+2); for each of `PROFILES`
        that was measured, the numbers of the layers (S, L), and where theory predicts them, the
        prediction with the ends of its band (3, L).
        """
        arrays: dict[str, NDArray[Any]] = {
            "steps": np.array([snapshot.step for snapshot in self.snapshots])
        }
        for quantity in self.snapshots[0].histograms:
            recorded = [snapshot.histograms[quantity] for snapshot in self.snapshots]
            arrays[f"{quantity}/edges"] = recorded[0].edges
            arrays[f"{quantity}/counts"] = np.stack([one.counts for one in recorded])
        for name in PROFILES:
            if name in self.snapshots[0].statistics:
                arrays[f"{name}/measured"] = np.array(
                    [snapshot.statistics[name] for snapshot in self.snapshots]
                )
                if self.prediction:
                    arrays[f"{name}/theory"] = np.array(self.prediction.bands[name]).T
        return arrays
