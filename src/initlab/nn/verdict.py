"""The verdict: from the numbers of a snapshot to one word, and one sentence of advice."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from initlab.nn.diagnostics import Snapshot
from initlab.nn.metrics import Statistic

# What counts as ill. Healthy nets of 2 to 5 hidden layers, trained or not, stay several times
# inside every limit; the textbook failures go several times beyond.
VANISHED = 0.02  # of the input's variation, or of the last hidden layer's gradient: sigmoid nets
#                  of two layers, which still learn, keep 0.05; of five, which do not, 0.003
EXPLODED = 30.0  # times the input's variation: relu nets grow to 6 in training; std1 begins at 50
SATURATED = 0.4  # of all slopes in a layer: trained tanh nets reach 0.04, std1 begins at 0.5
SATURATED_HARD_TANH = 0.6  # he gives it 0.5, which trains well; std1 begins at 0.95
DEAD = 0.5  # of the units of a layer: He nets of five layers have 0.16 on small data
SYMMETRIC = 1e-3  # difference of the units' weights over their size: rounding leaves 1e-7, random 1
BEGUN = 2.0  # a change by this factor marks the layer where vanishing or exploding begins

# What to type after `init=` to keep signal and gradient of an activation: through ten layers within
# a factor of 3 (softplus: of 10). For sigmoid it is Kumar's of 2017, and DEEPEST says how far.
KEEPS = {
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
DEEPEST = {"sigmoid": 6}  # hidden layers beyond which no init keeps enough to learn


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
    """One word, the hidden layer where it begins (from 1; 0 if none), and one sentence."""

    word: Diagnosis
    layer: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.word}: {self.sentence}"


@dataclass(frozen=True)
class Context:
    """What a sentence needs to name of how a network was made and is trained.

    init      as typed after `init=`, with settings that are not the option's own
    places    the inits of single layers, as typed, such as model.input_init=zeros
    residual  whether the network adds branches
    """

    init: str
    activation: str
    lr: float
    places: tuple[str, ...] = ()
    residual: bool = False
    batch_norm: bool = False
    weight_decay: float = 0.0

    def keeper(self, depth: int) -> str | None:
        """Return the init that keeps this activation through so many hidden layers."""
        if depth > DEEPEST.get(self.activation, depth):
            return None
        return KEEPS.get(self.activation)


def judge(
    snapshots: Sequence[Snapshot], context: Context, diverged_step: int | None = None
) -> Verdict:
    """Return the verdict on a run with these snapshots, in order.

    Only a run that diverged may have none. Any other is judged by its last snapshot, with a word
    on the first if that was ill in another way.
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
    assert start, "a run is judged by its snapshots"
    end = examine(snapshots[-1], context, trained or start.word == Diagnosis.HEALTHY)
    if start.word in (Diagnosis.HEALTHY, end.word):
        return end
    if end.word == Diagnosis.HEALTHY:
        begun = f"after a start that was {start.word} from layer {start.layer} on"
        return Verdict(Diagnosis.HEALTHY, 0, f"{end.sentence}, {begun}")
    cause = f"it began {start.word}, {start.sentence}"
    return Verdict(end.word, end.layer, f"{end.sentence}; {cause}")


def examine(snapshot: Snapshot, context: Context, trained: bool = False) -> Verdict:
    """Return the verdict on one snapshot: the illness that begins in the earliest layer.

    trained  whether it was training that made the network ill, and not its init
    """
    found = [
        verdict
        for examination in (symmetric, dead, saturated, activations, gradients)
        if (verdict := examination(snapshot, context, trained))
    ]
    if found:
        return min(found, key=lambda verdict: verdict.layer)
    kept = short(snapshot.signal[-1] / (snapshot.signal[0] or 1.0))
    layer = snapshot.places[-1]
    return Verdict(
        Diagnosis.HEALTHY, 0, f"layer {layer} varies {kept} times as much as the input does"
    )


def symmetric(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find a layer whose units are all alike."""
    layer = first_ill(value < SYMMETRIC for value in snapshot.asymmetry)
    if not layer:
        return None
    advice = f"draw them at random, as init={KEEPS.get(context.activation, 'xavier')} does"
    own = [typed for typed in context.places if typed.startswith("model.input_init")]
    if layer == 1 and own:
        advice = f"leave out {own[0]}"
    return Verdict(
        Diagnosis.SYMMETRIC,
        layer,
        f"all units of layer {layer} have equal weights, so that it works as a single unit: "
        + advice,
    )


def dead(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find a layer with units through which no gradient passes for any input."""
    shares = snapshot.statistics[Statistic.UNIT_DEAD]
    layer = first_ill(share > DEAD for share in shares)
    if not layer:
        return None
    keeper = context.keeper(len(shares))
    advice = elsewhere(context, trained)
    if not trained and keeper and context.init != keeper:
        advice = f"take init={keeper}"
    if context.activation == "relu":
        advice += ", or activation=leaky_relu"
    share = f"{shares[layer - 1]:.0%} of the units of layer {layer}"
    return Verdict(Diagnosis.DEAD, layer, f"{share} pass no gradient for any input: {advice}")


def saturated(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find a layer on the flat ends of its activation."""
    shares = snapshot.statistics[Statistic.UNIT_SATURATED]
    limit = SATURATED_HARD_TANH if context.activation == "hard_tanh" else SATURATED
    layer = first_ill(share > limit for share in shares)
    if not layer:
        return None
    advice = "smaller weights keep it on the slope, init=xavier"
    if trained or context.init in ("xavier", context.keeper(len(shares))):
        advice = elsewhere(context, trained)
    share = f"{shares[layer - 1]:.0%} of the activations of layer {layer}"
    where = f"on the flat ends of {context.activation}"
    return Verdict(Diagnosis.SATURATED, layer, f"{share} lie {where}: {advice}")


def activations(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find the layer from which on activations vary ever less, or ever more, with the input."""
    found = trend(snapshot.signal)
    if not found:
        return None
    word, begun, extreme, change = found
    layer, worst = (snapshot.places[max(index, 1) - 1] for index in (begun, extreme))
    return Verdict(
        word,
        layer,
        f"activations {change} from layer {layer} on, their std over the inputs is "
        f"{short(snapshot.signal[extreme])} at layer {worst}: "
        + remedy(snapshot, context, trained, word),
    )


def gradients(snapshot: Snapshot, context: Context, trained: bool) -> Verdict | None:
    """Find the layer from which on, going back, gradients become ever smaller or larger."""
    sizes, places = snapshot.gradient[::-1], snapshot.places[::-1]
    found = trend(sizes)
    if not found:
        return None
    word, begun, extreme, change = found
    before = places[begun - 1] if begun else places[0] + 1
    fact = f"gradients {change} going back from layer {before}"
    if all(map(math.isfinite, sizes)):
        share = short(sizes[extreme] / sizes[0])
        fact += f", to {share} times as much at layer {places[extreme]}"
    return Verdict(word, places[begun], f"{fact}: {remedy(snapshot, context, trained, word)}")


def trend(sizes: Sequence[float]) -> tuple[Diagnosis, int, int, str] | None:
    """Tell whether a row of sizes vanishes or explodes.

    Returns the word, the places where that begins and where it is worst, and how fast it goes.
    """
    if not all(map(math.isfinite, sizes)):
        held = [math.isfinite(size) and size <= BEGUN * sizes[0] for size in sizes]
        begun = held.index(False)
        return Diagnosis.EXPLODING, begun, begun, "grow beyond all numbers"
    if not sizes or sizes[0] < sys.float_info.min:  # nothing to compare with
        return None
    if min(sizes) < VANISHED * sizes[0]:
        word, worst = Diagnosis.VANISHING, sizes.index(min(sizes))
        place = [size < sizes[0] / BEGUN for size in sizes].index(True)
    elif max(sizes) > EXPLODED * sizes[0]:
        word, worst = Diagnosis.EXPLODING, sizes.index(max(sizes))
        place = [size > BEGUN * sizes[0] for size in sizes].index(True)
    else:
        return None
    factor = (sizes[worst] / sizes[place - 1]) ** (1 / (worst - place + 1))
    if not factor:
        return word, place, worst, "shrink to nothing"
    change = f"grow {short(factor)}-fold" if factor > 1 else f"shrink {short(1 / factor)}-fold"
    return word, place, worst, f"{change} a layer"


def remedy(snapshot: Snapshot, context: Context, trained: bool, word: Diagnosis) -> str:
    """Return what keeps activations and gradients in proportion."""
    depth = snapshot.places[-1]
    keeper = context.keeper(depth)
    if keeper is None:
        layers = f"{depth} layers of {context.activation}"
        return f"no init keeps them through {layers}, try activation=tanh or activation=relu"
    scale = context.residual and word == Diagnosis.EXPLODING
    if context.init != keeper:
        both = f"init={keeper} and a smaller model.residual_scale keep them"
        return f"with {context.activation}, {both if scale else f'init={keeper} keeps them'}"
    if scale and not context.places:
        return "a smaller model.residual_scale keeps them"
    return elsewhere(context, trained)


def elsewhere(context: Context, trained: bool) -> str:
    """Return what to change where `init` is not at fault."""
    if trained:
        return lower_lr(context)
    if context.places:
        return f"leave out {' and '.join(context.places)}"
    if not context.batch_norm:
        return "take model.batch_norm=true"
    return "take fewer layers, or model=mlp_residual"


def lower_lr(context: Context) -> str:
    """Return the advice to take smaller steps."""
    advice = f"lower optimizer.lr, now {context.lr:g}"
    if context.weight_decay:
        advice += f", or train.weight_decay, now {context.weight_decay:g}"
    return advice


def short(number: float) -> str:
    """Return a number as it is read aloud: 1.04, 5.8, 140, 3e-05."""
    if not 1e-3 <= number < 1e4:
        return f"{number:.1g}"
    return f"{float(f'{number:.3g}' if 0.9 < number < 1.1 else f'{number:.2g}'):,g}"


def first_ill(ill: Iterable[bool]) -> int:
    """Return the number of the first ill layer, counted from 1; 0 if there is none."""
    return next((number for number, is_ill in enumerate(ill, start=1) if is_ill), 0)
