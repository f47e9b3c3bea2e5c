"""The score: the one number of each run that settings are ranked and compared by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from initlab.checks import UserError
from initlab.nn.metrics import Metric
from initlab.report.speed import smooth
from initlab.tracking.names import Outcome
from initlab.tracking.runs import Run

DIRECTIONS = {"max": True, "min": False}
PICKS = {"last": False, "best": True}


@dataclass(frozen=True)
class Score:
    """A metric, and which of its values counts.

    higher  whether a higher value is better
    best    whether the best value of a run counts, else the last
    """

    metric: str = Metric.TEST_ACCURACY
    higher: bool = True
    best: bool = False

    @classmethod
    def parse(cls, text: str) -> Score:
        """Read METRIC[:max|min][:last|best]; raises `UserError`.

        As in a search, a higher accuracy and a lower value of all else is better, and the last
        value counts.
        """
        metric, *words = text.split(":")
        known = {**DIRECTIONS, **PICKS}
        kinds = [word in DIRECTIONS for word in words]
        if not metric or not {*words} <= known.keys() or len({*kinds}) != len(kinds):
            raise UserError(
                f"--by {text}: write METRIC, METRIC:max or METRIC:min, and :best for the best "
                "value of a run instead of its last, as in train/loss:min:best"
            )
        higher = next((DIRECTIONS[word] for word in words if word in DIRECTIONS), None)
        best = next((PICKS[word] for word in words if word in PICKS), False)
        return cls(metric, metric.endswith("accuracy") if higher is None else higher, best)

    @classmethod
    def usual(cls, runs: Iterable[Run]) -> Score:
        """Return the accuracy on held-out examples if there is one, else the final loss.

        The validation set comes before the test set, if all runs that have the one have the other.
        """
        known = [run.metrics.keys() for run in runs if run.outcome == Outcome.FINISHED]
        tested = [names for names in known if Metric.TEST_ACCURACY in names]
        validated = [names for names in known if Metric.VALIDATION_ACCURACY in names]
        if validated and all(Metric.VALIDATION_ACCURACY in names for names in tested):
            return cls(Metric.VALIDATION_ACCURACY)
        if tested:
            return cls()
        descent = any(Metric.F in run.curves for run in runs)
        return cls(Metric.F if descent else Metric.TRAIN_LOSS, higher=False)

    def of(self, run: Run) -> float | None:
        """Return the score of a run, None if it has none.

        The last training loss is the mean of the last hundred batches; the best is that of the
        running mean that the charts show.
        """
        if self.best and self.metric in run.curves:
            _, values = smooth(run.curves[self.metric], self.metric)
            return float(values.max() if self.higher else values.min())
        if self.metric in (Metric.TRAIN_LOSS, Metric.F):
            return run.loss if self.metric in run.curves else None
        return run.metrics.get(self.metric)

    def refuse_unknown(self, runs: Sequence[Run]) -> None:
        """Raise `UserError` if no run has the metric."""
        if all(self.of(run) is None for run in runs):
            choices = ", ".join(names_of_metrics(runs)) or "none"
            raise UserError(f"--by {self.metric}: no run has this metric.\nChoices: {choices}")

    @property
    def share(self) -> bool:
        """Whether it is an accuracy, which is written in percent."""
        return any(self.metric == metric and metric.is_accuracy for metric in Metric)

    @property
    def title(self) -> str:
        """Its name for people."""
        name = self.metric.replace("/", " ") if "layer" not in self.metric else self.metric
        return f"best {name}" if self.best else name


def names_of_metrics(runs: Iterable[Run]) -> list[str]:
    """Return the metrics that runs have; of those of layers the first layer's stand for all."""
    names = sorted({name for run in runs for name in run.metrics})
    of_layers = {
        name.partition("/layer_")[0]: name for name in reversed(names) if "/layer_" in name
    }
    return [name for name in names if "/layer_" not in name] + sorted(of_layers.values())
