"""The verdict: a diagnosis in one word, and one sentence with evidence and advice."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from initlab.nn.diagnostics import Snapshot
from initlab.nn.metrics import Statistic

# The limits of each diagnosis. Healthy nets of 2 to 5 hidden layers, trained or not, stay inside by
# a factor of several, the textbook failures outside by a factor of several.
VANISHED = 0.02  # of the input's variation, or of the last hidden layer's gradient: sigmoid nets of
#                  two layers, which still learn, have 0.05; of five, which do not, 0.003
EXPLODED = 30.0  # times the input's variation: relu nets reach 6 in training; std1 starts at 50
SATURATED = 0.4  # of all slopes in a layer: trained tanh nets reach 0.04, std1 starts at 0.5
SATURATED_HARD_TANH = 0.6  # he gives it 0.5, which trains well; std1 starts at 0.95
DEAD = 0.5  # of the units of a layer: He nets of five layers have 0.16 on small data
SYMMETRIC = 1e-3  # difference of the units' weights over their size: rounding leaves 1e-7, random 1
ONSET = 2.0  # vanishing or exploding starts at the layer where the size has changed by this factor

# The init to advise for each activation. It keeps signal and gradient within a factor of 3 through
# ten layers (softplus: of 10). For sigmoid it is Kumar's of 2017, up to the depth in MAX_DEPTH.
RECOMMENDED_INITS = {
    "identity": "xavier",
    "sigmoid": "variance_scaling init.scale=12.8",
    "tanh": "xavier",
    "hard_tanh": "xavier",
    "softsign": "xavier init.gain=auto",
    "relu": "he",
    "leaky_relu": "he",
    "elu": "xavier init.gain=auto",
    "selu": "lecun",
    "gelu": "lsuv",
    "silu": "lsuv",
    "softplus": "he",
}
MAX_DEPTH = {"sigmoid": 6}  # hidden layers; no init lets a deeper network learn


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
    """

    init: str
    activation: str
    lr: float
    init_overrides: tuple[str, ...] = ()
    residual: bool = False
    batch_norm: bool = False
    weight_decay: float = 0.0

    def recommended_init(self, depth: int) -> str | None:
        """Return the init for this activation and number of hidden layers, if any works."""
        if depth > MAX_DEPTH.get(self.activation, depth):
            return None
        return RECOMMENDED_INITS.get(self.activation)


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
    end = examine(snapshots[-1], context, trained or start.word == Diagnosis.HEALTHY)
    if start.word in (Diagnosis.HEALTHY, end.word):
        return end
    if end.word == Diagnosis.HEALTHY:
        before = f"after a start that was {start.word} from layer {start.layer} on"
        return Verdict(end.word, 0, f"{end.sentence}, {before}")
    cause = f"it began {start.word}, {start.sentence}"
    return Verdict(end.word, end.layer, f"{end.sentence}; {cause}")


def examine(snapshot: Snapshot, context: Context, trained: bool = False) -> Verdict:
    """Return the verdict on one snapshot: the problem that starts in the earliest layer.

    trained  whether training caused the problem, and not the init
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
    if problems:
        return min(problems, key=lambda problem: problem.layer)
    ratio = format_number(snapshot.signal[-1] / (snapshot.signal[0] or 1.0))
    layer = snapshot.main_path[-1]
    return Verdict(
        Diagnosis.HEALTHY,
        0,
        f"layer {layer} varies {ratio} times as much as the input does",
    )


def find_symmetry(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find a layer whose units are all alike."""
    layer = first_layer(value < SYMMETRIC for value in snapshot.asymmetry)
    if not layer:
        return None
    init = RECOMMENDED_INITS.get(context.activation, "xavier")
    advice = f"draw them at random, as init={init} does"
    overrides = [each for each in context.init_overrides if each.startswith("model.input_init")]
    if layer == 1 and overrides:
        advice = f"leave out {overrides[0]}"
    return Verdict(
        Diagnosis.SYMMETRIC,
        layer,
        f"all units of layer {layer} have equal weights, so that it works as a single unit: "
        + advice,
    )


def find_dead_units(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find a layer with units through which no gradient passes for any input."""
    shares = snapshot.statistics[Statistic.UNIT_DEAD]
    layer = first_layer(share > DEAD for share in shares)
    if not layer:
        return None
    init = context.recommended_init(len(shares))
    advice = other_remedy(context, trained)
    if not trained and init and context.init != init:
        advice = f"take init={init}"
    if context.activation == "relu":
        advice += ", or activation=leaky_relu"
    share = f"{shares[layer - 1]:.0%} of the units of layer {layer}"
    return Verdict(Diagnosis.DEAD, layer, f"{share} pass no gradient for any input: {advice}")


def find_saturation(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find a layer on the flat ends of its activation."""
    shares = snapshot.statistics[Statistic.UNIT_SATURATED]
    limit = SATURATED_HARD_TANH if context.activation == "hard_tanh" else SATURATED
    layer = first_layer(share > limit for share in shares)
    if not layer:
        return None
    advice = "smaller weights keep it on the slope, init=xavier"
    if trained or context.init in ("xavier", context.recommended_init(len(shares))):
        advice = other_remedy(context, trained)
    share = f"{shares[layer - 1]:.0%} of the activations of layer {layer}"
    where = f"on the flat ends of {context.activation}"
    return Verdict(Diagnosis.SATURATED, layer, f"{share} lie {where}: {advice}")


def find_activation_trend(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find the layer from which on activations vary less and less, or more and more."""
    trend = find_trend(snapshot.signal)
    if not trend:
        return None
    word, onset, extreme, change = trend
    layer, worst = (snapshot.main_path[max(index, 1) - 1] for index in (onset, extreme))
    return Verdict(
        word,
        layer,
        f"activations {change} from layer {layer} on, their std over the inputs is "
        f"{format_number(snapshot.signal[extreme])} at layer {worst}: "
        + remedy(snapshot, context, trained, word),
    )


def find_gradient_trend(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
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
    return Verdict(word, layers[onset], f"{evidence}: {remedy(snapshot, context, trained, word)}")


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
    depth = snapshot.main_path[-1]
    init = context.recommended_init(depth)
    if init is None:
        layers = f"{depth} layers of {context.activation}"
        return f"no init keeps them through {layers}, try activation=tanh or activation=relu"
    branches_add_up = context.residual and word == Diagnosis.EXPLODING
    if context.init != init:
        both = f"init={init} and a smaller model.residual_scale keep them"
        one = f"init={init} keeps them"
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
