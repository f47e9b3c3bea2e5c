"""The verdict: a diagnosis in one word, and one sentence with evidence and advice."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from initlab.nn import theory
from initlab.nn.activations import Activation
from initlab.nn.advice import KEPT, Advice, Advisor
from initlab.nn.diagnostics import Snapshot
from initlab.nn.metrics import Statistic
from initlab.nn.prediction import Prediction

# The limits of each diagnosis. Healthy nets of 2 to 5 hidden layers, trained or not, stay inside by
# a factor of several, the textbook failures outside by a factor of several.
VANISHED = 0.02  # of the input's variation, or of the last hidden layer's gradient: sigmoid nets of
#                  two layers, which still learn, have 0.05; of five, which do not, 0.003
EXPLODED = 30.0  # times the input's variation: relu nets reach 6 in training; std1 starts at 50
DEAD = 0.5  # of the units of a layer: He nets of five layers have 0.16 on small data
SYMMETRIC = 1e-3  # difference of the units' weights over their size: rounding leaves 1e-7, random 1
ONSET = 2.0  # vanishing or exploding starts at the layer where the size has changed by this factor

OUTSIDE = 0.25  # of the layers' numbers, if more are not in the band, theory does not hold
ENDLESS = 1000.0  # layers that can be trained, from which on the number says nothing


class Diagnosis(StrEnum):
    """The word of a verdict."""

    HEALTHY = "healthy"
    VANISHING = "vanishing"
    EXPLODING = "exploding"
    SATURATED = "saturated"
    DEAD = "dead"
    SYMMETRIC = "symmetric"
    DIVERGED = "diverged"


@dataclass(frozen=True)
class Verdict:
    """One word, the hidden layer where the problem starts (from 1; 0 if none), and one sentence."""

    word: Diagnosis
    layer: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.word}: {self.sentence}"


@dataclass(frozen=True)
class Context:
    """The settings of a run that its verdict may mention.

    init            as typed after `init=`, with the settings that differ from the option's own
    init_overrides  the inits of single layers, as typed, such as model.input_init=zeros
    residual        whether the network has residual branches
    advisor         what theory expects of the network, None if there is none
    """

    init: str
    activation: str
    lr: float
    init_overrides: tuple[str, ...] = ()
    residual: bool = False
    batch_norm: bool = False
    weight_decay: float = 0.0
    advisor: Advisor | None = None

    @property
    def prediction(self) -> Prediction | None:
        """What theory expects of the network as drawn."""
        return self.advisor.prediction if self.advisor else None

    @property
    def advice(self) -> Advice | None:
        """The init to take, None if none is known or it is in use."""
        found = self.advisor.advice if self.advisor else None
        in_use = found and found.init == self.init and found.bias_std is None
        return None if in_use else found


def judge(
    snapshots: Sequence[Snapshot], context: Context, diverged_step: int | None = None
) -> Verdict:
    """Return the verdict on a run with these snapshots, in order.

    The last snapshot decides; the first is mentioned if its diagnosis was another. Only a run that
    diverged may have no snapshots.
    """
    trained = bool(snapshots) and snapshots[0].step > 0
    start = examine(snapshots[0], context, trained) if snapshots else None
    if diverged_step is not None:
        advice = lower_lr(context)
        if start and start.word != Diagnosis.HEALTHY:
            advice = f"at the start, {start.sentence}"
        return Verdict(
            Diagnosis.DIVERGED,
            0,
            f"the loss at step {diverged_step} is not a finite number; {advice}",
        )
    assert start, "a run that did not diverge has a snapshot"
    if len(snapshots) == 1:
        return start
    fits = "" if trained else compared(snapshots[0], start.word, context)
    healthy = start.word == Diagnosis.HEALTHY
    said = f", after a start {fits}" if healthy and fits else ""
    if said and parts(snapshots[-1], context):
        said += ", which training has changed"
    end = examine(snapshots[-1], context, trained or healthy, said)
    if healthy:
        return end
    if end.word == start.word:
        return examine(snapshots[-1], context, trained, f", {fits}" if fits else "")
    if end.word == Diagnosis.HEALTHY:
        before = f"after a start that was {start.word} from layer {start.layer} on"
        return Verdict(end.word, 0, ", ".join(filter(None, (end.sentence, before, fits))))
    cause = f"it began {start.word}, {start.sentence}"
    return Verdict(end.word, end.layer, f"{end.sentence}; {cause}")


class Problem(NamedTuple):
    """A diagnosis, the layer where it starts, what shows it, and what to do."""

    word: Diagnosis
    layer: int
    evidence: str
    advice: str


def examine(
    snapshot: Snapshot, context: Context, trained: bool = False, said: str | None = None
) -> Verdict:
    """Return the verdict on one snapshot: the problem that starts in the earliest layer.

    trained  whether training caused the problem, and not the init
    said     follows the evidence; None: at step 0, whether theory expects it
    """
    problems = [
        problem
        for find in (
            find_symmetry,
            find_dead_units,
            find_saturation,
            find_activation_trend,
            find_gradient_trend,
        )
        if (problem := find(snapshot, context, trained))
    ]
    ratio = format_number(snapshot.signal[-1] / (snapshot.signal[0] or 1.0))
    evidence = f"layer {snapshot.main_path[-1]} varies {ratio} times as much as the input does"
    found = Problem(Diagnosis.HEALTHY, 0, evidence, "")
    if problems:
        found = min(problems, key=lambda problem: problem.layer)
    if said is None:
        fits = compared(snapshot, found.word, context) if snapshot.step == 0 else ""
        said = f", {fits}" if fits else ""
    sentence = ": ".join(filter(None, (found.evidence + said, found.advice)))
    return Verdict(found.word, found.layer, sentence)


def compared(snapshot: Snapshot, word: Diagnosis, context: Context) -> str:
    """Return whether theory expects the diagnosis of a network as drawn, "" if it cannot say."""
    prediction = context.prediction
    if not prediction or word in (Diagnosis.DEAD, Diagnosis.SYMMETRIC):
        return ""
    foreseen = expected(prediction, snapshot, context)
    limit = prediction.limit
    numbers = f"χ₁ = {format_number(limit.chi1)} a layer"
    depth = theory.TRAINABLE * limit.depth_scale_c
    if depth < ENDLESS:
        layers = max(1, round(depth))
        numbers += f", trainable to about {layers} layer{'s' * (layers != 1)}"
    parted = parts(snapshot, context)
    if word in (foreseen or {Diagnosis.HEALTHY}):
        return f"as predicted ({numbers}){', but outside its band: the net is narrow' * parted}"
    if not parted:
        return f"about as predicted ({numbers})"
    words = " and ".join(sorted(foreseen)) or Diagnosis.HEALTHY
    return f"where theory, for wide nets, expects it {words} ({numbers})"


def parts(snapshot: Snapshot, context: Context) -> bool:
    """Return whether measurement and theory part by more than the band, in many layers."""
    prediction = context.prediction
    within = [
        value in band
        for statistic, bands in (prediction.bands if prediction else {}).items()
        for value, band in zip(snapshot.statistics.get(statistic, []), bands)
    ]
    return within.count(False) > OUTSIDE * len(within)


def expected(prediction: Prediction, snapshot: Snapshot, context: Context) -> set[Diagnosis]:
    """Return all that theory expects to be wrong with what was measured, before any training."""
    backward = prediction.gradient[::-1] if snapshot.gradient else []
    trends = filter(None, (find_trend(prediction.signal), find_trend(backward)))
    found = {word for word, *_ in trends}
    if context.advisor and context.advisor.saturates(prediction.variances):
        found.add(Diagnosis.SATURATED)
    return found


def find_symmetry(snapshot: Snapshot, context: Context, trained: bool) -> Problem | None:
    """Find a layer whose units are all alike."""
    layer = first_layer(value < SYMMETRIC for value in snapshot.asymmetry)
    if not layer:
        return None
    init = context.advice.overrides if context.advice else "init=xavier"
    advice = f"draw them at random, as {init} does"
    overrides = [each for each in context.init_overrides if each.startswith("model.input_init")]
    if layer == 1 and overrides:
        advice = f"leave out {overrides[0]}"
    return Problem(
        Diagnosis.SYMMETRIC,
        layer,
        f"all units of layer {layer} have equal weights, so that it works as a single unit",
        advice,
    )


def find_dead_units(snapshot: Snapshot, context: Context, trained: bool) -> Problem | None:
    """Find a layer with units through which no gradient passes for any input."""
    shares = snapshot.statistics[Statistic.UNIT_DEAD]
    layer = first_layer(share > DEAD for share in shares)
    if not layer:
        return None
    advice = other_remedy(context, trained)
    if not trained and context.advice:
        advice = f"take {context.advice.overrides}"
    if context.activation == "relu":
        advice += ", or activation=leaky_relu"
    share = f"{shares[layer - 1]:.0%} of the units of layer {layer}"
    return Problem(Diagnosis.DEAD, layer, f"{share} pass no gradient for any input", advice)


def find_saturation(snapshot: Snapshot, context: Context, trained: bool) -> Problem | None:
    """Find a layer on the flat ends of its activation."""
    shares = snapshot.statistics[Statistic.UNIT_SATURATED]
    limit = (
        context.advisor.activation.most_saturated if context.advisor else Activation.most_saturated
    )
    layer = first_layer(share > limit for share in shares)
    if not layer:
        return None
    advice = other_remedy(context, trained)
    if not trained and context.advice:
        advice = f"smaller weights keep it on the slope, {context.advice.overrides}"
    share = f"{shares[layer - 1]:.0%} of the activations of layer {layer}"
    where = f"on the flat ends of {context.activation}"
    return Problem(Diagnosis.SATURATED, layer, f"{share} lie {where}", advice)


def find_activation_trend(snapshot: Snapshot, context: Context, trained: bool) -> Problem | None:
    """Find the layer from which on activations vary less and less, or more and more."""
    trend = find_trend(snapshot.signal)
    if not trend:
        return None
    word, onset, extreme, change = trend
    layer, worst = (snapshot.main_path[max(index, 1) - 1] for index in (onset, extreme))
    return Problem(
        word,
        layer,
        f"activations {change} from layer {layer} on, their std over the inputs is "
        f"{format_number(snapshot.signal[extreme])} at layer {worst}",
        remedy(snapshot, context, trained, word),
    )


def find_gradient_trend(snapshot: Snapshot, context: Context, trained: bool) -> Problem | None:
    """Find the layer from which on, going back, gradients become smaller and smaller, or larger."""
    sizes, layers = snapshot.gradient[::-1], snapshot.main_path[::-1]
    trend = find_trend(sizes)
    if not trend:
        return None
    word, onset, extreme, change = trend
    before = layers[onset - 1] if onset else layers[0] + 1
    evidence = f"gradients {change} going back from layer {before}"
    if all(map(math.isfinite, sizes)):
        ratio = format_number(sizes[extreme] / sizes[0])
        evidence += f", to {ratio} times as much at layer {layers[extreme]}"
    return Problem(word, layers[onset], evidence, remedy(snapshot, context, trained, word))


def find_trend(sizes: Sequence[float]) -> tuple[Diagnosis, int, int, str] | None:
    """Find out whether a sequence of sizes vanishes or explodes.

    Returns the diagnosis, the indices where that starts and where it is worst, and the rate in
    words.
    """
    if not all(map(math.isfinite, sizes)):
        kept = [math.isfinite(size) and size <= ONSET * sizes[0] for size in sizes]
        onset = kept.index(False)
        return Diagnosis.EXPLODING, onset, onset, "grow beyond all numbers"
    if not sizes or sizes[0] < sys.float_info.min:  # nothing to compare with
        return None
    if min(sizes) < VANISHED * sizes[0]:
        word, worst = Diagnosis.VANISHING, sizes.index(min(sizes))
        onset = [size < sizes[0] / ONSET for size in sizes].index(True)
    elif max(sizes) > EXPLODED * sizes[0]:
        word, worst = Diagnosis.EXPLODING, sizes.index(max(sizes))
        onset = [size > ONSET * sizes[0] for size in sizes].index(True)
    else:
        return None
    factor = (sizes[worst] / sizes[onset - 1]) ** (1 / (worst - onset + 1))
    if not factor:
        return word, onset, worst, "shrink to nothing"
    verb, fold = ("grow", factor) if factor > 1 else ("shrink", 1 / factor)
    return word, onset, worst, f"{verb} {format_number(fold)}-fold a layer"


def remedy(snapshot: Snapshot, context: Context, trained: bool, word: Diagnosis) -> str:
    """Return the advice against vanishing or exploding activations and gradients."""
    branches_add_up = context.residual and word == Diagnosis.EXPLODING
    if context.advisor and not context.advisor.advice and not branches_add_up:
        layers = f"{snapshot.main_path[-1]} layers of {context.activation}"
        others = [f"activation={name}" for name in ("tanh", "relu") if name != context.activation]
        return f"no init keeps them through {layers}, try {' or '.join(others)}"
    if advice := context.advice:
        both = f"{advice.overrides} and a smaller model.residual_scale keep them"
        one = f"{advice.overrides} keeps them"
        if advice.spread > KEPT:
            one = f"{advice.overrides} loses least, {format_number(advice.spread)}-fold in all"
        return f"with {context.activation}, {both if branches_add_up else one}"
    if branches_add_up and not context.init_overrides:
        return "a smaller model.residual_scale keeps them"
    return other_remedy(context, trained)


def other_remedy(context: Context, trained: bool) -> str:
    """Return what to change if `init` is not the cause."""
    if trained:
        return lower_lr(context)
    if context.init_overrides:
        return f"leave out {' and '.join(context.init_overrides)}"
    if not context.batch_norm:
        return "take model.batch_norm=true"
    return "take fewer layers, or model=mlp_residual"


def lower_lr(context: Context) -> str:
    """Return the advice to take smaller steps."""
    advice = f"lower optimizer.lr, now {context.lr:g}"
    if context.weight_decay:
        advice += f", or train.weight_decay, now {context.weight_decay:g}"
    return advice


def format_number(number: float) -> str:
    """Return a number with the digits that matter in a sentence: 1.04, 5.8, 140, 3e-05."""
    if not 1e-3 <= number < 1e4:
        return f"{number:.1g}"
    return f"{float(f'{number:.3g}' if 0.9 < number < 1.1 else f'{number:.2g}'):,g}"


def first_layer(flags: Iterable[bool]) -> int:
    """Return the number of the first layer that is flagged, counted from 1; 0 if none is."""
    return next((number for number, flag in enumerate(flags, start=1) if flag), 0)
