"""Metrics: the names of the numbers that a run records. Published names do not change."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """One number per step. The part before the slash is a section of MLflow's chart page."""

    TRAIN_LOSS = "train/loss"
    TRAIN_ACCURACY = "train/accuracy"
    VALIDATION_LOSS = "validation/loss"
    VALIDATION_ACCURACY = "validation/accuracy"
    TEST_LOSS = "test/loss"
    TEST_ACCURACY = "test/accuracy"
    LR = "lr"
    X = "x"  # for `model=quadratic`: the point, and the value there
    Y = "y"
    F = "f"
    DIVERGED_STEP = "diverged_step"

    @property
    def is_accuracy(self) -> bool:
        """Whether it is a share from 0 to 1, the higher the better."""
        return self in (Metric.TRAIN_ACCURACY, Metric.VALIDATION_ACCURACY, Metric.TEST_ACCURACY)


class Statistic(StrEnum):
    """One number per layer, at the steps of the snapshots.

    The names begin with u and w because MLflow sorts sections by name: otherwise the many layers
    would come before `test` and `train`.
    """

    UNIT_MEAN = "unit_mean"  # of the activations y of a hidden layer
    UNIT_STD = "unit_std"
    UNIT_CORRELATION = "unit_correlation"  # of pre-activations: mean cosine of pairs of inputs
    UNIT_SATURATED = "unit_saturated"
    UNIT_DEAD = "unit_dead"
    UNIT_GRADIENT_STD = "unit_gradient_std"  # of ∂L/∂z, z the pre-activations
    WEIGHT_STD = "weight_std"  # of W, including the output layer
    WEIGHT_GRADIENT_STD = "weight_gradient_std"  # of ∂L/∂W
    UPDATE_RATIO = "update_ratio"  # ‖ΔW‖ / ‖W‖ of the previous update
    # What theory predicts for the start, recorded at step 0.
    UNIT_STD_THEORY = "unit_std_theory"
    UNIT_GRADIENT_STD_THEORY = "unit_gradient_std_theory"
    UNIT_CORRELATION_THEORY = "unit_correlation_theory"

    def of_layer(self, layer: int) -> str:
        """Return the name of a layer's metric; layers are counted from 1."""
        return f"{self}/layer_{layer}"


class Quantity(StrEnum):
    """What each layer has a histogram of."""

    ACTIVATIONS = "activations"
    GRADIENTS = "gradients"
    WEIGHTS = "weights"
