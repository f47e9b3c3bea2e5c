"""Metrics: the names of the numbers that a run leaves. Once published they stay."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """One number a step. The part before the slash is a section of MLflow's chart page."""

    TRAIN_LOSS = "train/loss"
    TRAIN_ACCURACY = "train/accuracy"
    VALIDATION_LOSS = "validation/loss"
    VALIDATION_ACCURACY = "validation/accuracy"
    TEST_LOSS = "test/loss"
    TEST_ACCURACY = "test/accuracy"
    LR = "lr"
    X = "x"  # of `model=quadratic`: the point, and the value there
    Y = "y"
    F = "f"
    DIVERGED_STEP = "diverged_step"


class Statistic(StrEnum):
    """One number a layer, at the steps of the snapshots.

    They begin with u and w, as sections stand in alphabetical order, and a page of layers would
    bury `test` and `train`.
    """

    UNIT_MEAN = "unit_mean"  # of the activations y of a hidden layer
    UNIT_STD = "unit_std"
    UNIT_SATURATED = "unit_saturated"
    UNIT_DEAD = "unit_dead"
    UNIT_GRADIENT_STD = "unit_gradient_std"  # of ∂L/∂z, z the pre-activations
    WEIGHT_STD = "weight_std"  # of W, output layer too
    WEIGHT_GRADIENT_STD = "weight_gradient_std"  # of ∂L/∂W
    UPDATE_RATIO = "update_ratio"  # ‖ΔW‖ / ‖W‖ of the update before

    def of_layer(self, layer: int) -> str:
        """Return the name of the metric of a layer, counted from 1."""
        return f"{self}/layer_{layer}"


class Quantity(StrEnum):
    """What has a histogram in each layer."""

    ACTIVATIONS = "activations"
    GRADIENTS = "gradients"
    WEIGHTS = "weights"
