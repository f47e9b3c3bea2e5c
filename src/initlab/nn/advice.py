"""Advice: the init that keeps signal and gradient through a network, found by predicting some."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from initlab.nn import theory
from initlab.nn.activations import Activation
from initlab.nn.diagnostics import SATURATED_SLOPE
from initlab.nn.initializers import Initializer, VarianceScaling
from initlab.nn.models import NetworkModel
from initlab.nn.prediction import Inputs, Prediction, predict

KEPT = 3.0  # largest over smallest size that counts as kept,
MARGIN = 5.0  # if the layers that can be trained are so many times as many as there are
ENOUGH = 10.0  # the same for bounded activations that keep less: sigmoid nets learn with SGD
TOLERATED = 1000.0  # beyond, nets learn nothing: 30 layers of sigmoid are at 500
LEEWAY = 0.8
BIAS_STDS = (0.2, 0.5)
SCALES = [float(f"{1.25**power:.2g}") for power in range(1, 22)]  # 1.2, 1.6, … 110


class Advice(NamedTuple):
    """An init as typed after `init=`, with its settings, and the std of biases, None for as is.

    spread  the largest over the smallest predicted size of signal or gradient; nan if unknown
    depth   layers that it can train, 6 ξ_c; infinite if there is no limit, nan if unknown
    layers  hidden layers that there are
    """

    init: str
    bias_std: float | None = None
    spread: float = math.nan
    depth: float = math.nan
    layers: int = 0

    @property
    def overrides(self) -> str:
        """The settings as typed."""
        bias = "" if self.bias_std is None else f" model.bias_std={self.bias_std:g}"
        return f"init={self.init}{bias}"


@dataclass(frozen=True)
class Advisor:
    """A network that is to be drawn, on known examples: what theory expects of any init.

    init        of the network itself, numbers in the place of words
    prediction  for this init, None where theory expects nothing
    """

    model: NetworkModel
    activation: Activation
    init: Initializer
    layer_inits: Mapping[str, Initializer]
    inputs: Inputs
    features: int
    classes: int
    examples: int

    @cached_property
    def prediction(self) -> Prediction | None:
        """What theory expects of the network with its own init."""
        return self.predict(self.init, self.model)

    def predict(self, init: Initializer, model: NetworkModel) -> Prediction | None:
        """Return what theory expects of another init, or of other biases."""
        layers = model.layers(
            self.features, self.classes, self.activation, np.random.default_rng(0)
        )
        return predict(layers, init, self.layer_inits, self.inputs, self.features, self.examples)

    @cached_property
    def advice(self) -> Advice | None:
        """The init to take, None if none is known to keep enough of signal and gradient.

        It is the first candidate that keeps both. Otherwise it is, for bounded activations, the
        smallest scale that is enough; `lsuv` where the variance drifts away from its fixed points;
        or what loses the least.
        """
        found = []
        for typed, law, bias_std in self.candidates():
            if advice := self.judged(typed, law, bias_std):
                if advice.spread <= KEPT and advice.depth >= MARGIN * advice.layers:
                    return advice
                found.append(advice)
        edge = theory.edge_of_chaos(self.activation)
        if edge and not edge.stable:
            return Advice("lsuv")
        if self.activation.bounded:
            found += self.scaled()
        best = min(found, key=lambda each: round(each.spread, 2), default=None)
        return best if best and best.spread <= TOLERATED else None

    def candidates(self) -> Iterator[tuple[str, Initializer, float | None]]:
        """Yield inits as typed, as laws, and the std of the biases that they want."""
        yield "xavier", VarianceScaling(), None
        yield "he", VarianceScaling(2.0), None
        auto = VarianceScaling(gain="auto")
        yield "xavier init.gain=auto", auto.tuned(self.activation), None
        wanted = BIAS_STDS if self.model.bias and not self.model.batch_norm else ()
        for bias_std in (None, *wanted):
            std = self.model.bias_std if bias_std is None else bias_std
            edge = theory.edge_of_chaos(self.activation, std * std)
            if edge and edge.stable and not self.saturates([edge.q], LEEWAY):
                law = VarianceScaling(gain=math.sqrt(edge.weight_variance))
                yield "xavier init.gain=critical", law, bias_std

    def scaled(self) -> list[Advice]:
        """Return the smallest scale of a bounded activation that keeps enough, else the largest.

        The larger the scale, the more it keeps, until it saturates.
        """
        found: list[Advice] = []
        low, high = 0, len(SCALES)
        while low < high:
            middle = (low + high) // 2
            typed = f"variance_scaling init.scale={SCALES[middle]:g}"
            advice = self.judged(typed, VarianceScaling(SCALES[middle]), None)
            if advice:
                found.append(advice)
            if advice and advice.spread > ENOUGH:
                low = middle + 1
            else:
                high = middle
        enough = [each for each in found if each.spread <= ENOUGH]
        return enough[-1:] or found

    def judged(self, typed: str, law: Initializer, bias_std: float | None) -> Advice | None:
        """Return the advice to take an init, with its numbers; None if it saturates."""
        model = self.model if bias_std is None else replace(self.model, bias_std=bias_std)
        found = self.predict(law, model)
        if found is None or self.saturates(found.variances, LEEWAY):
            return None
        spread = max(spread_of(found.signal), spread_of(found.gradient))
        depth = theory.TRAINABLE * found.limit.depth_scale_c if spread <= TOLERATED else math.nan
        return Advice(typed, bias_std, spread, depth, len(found.unit_std))

    def saturates(self, variances: Sequence[float], leeway: float = 1.0) -> bool:
        """Return whether a layer of one of these variances counts as saturated.

        leeway  the fraction of the limit that is allowed, because layers scatter
        """
        largest = leeway * self.activation.most_saturated
        return self.activation.bounded and self.saturated(max(variances)) > largest

    def saturated(self, q: float) -> float:
        """Return the share of slopes that count as saturated at a variance: those far from 0."""
        slope = theory.slope_of(self.activation)
        least = SATURATED_SLOPE * self.activation.max_slope
        bound = theory.root(lambda x: slope(x) - least, 0.0, 100.0)
        return math.erfc(bound / math.sqrt(2 * q)) if q else 0.0


def spread_of(sizes: Sequence[float]) -> float:
    """Return the largest over the smallest size, infinite if one is 0 or not finite."""
    if not all(map(math.isfinite, sizes)) or not min(sizes) > 0:
        return math.inf
    return max(sizes) / min(sizes)
