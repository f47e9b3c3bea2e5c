"""The verdict: from the numbers of a snapshot to one word, and one sentence of advice."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from initlab.diagnostics import Snapshot

# What counts as ill. Healthy nets of 2 to 5 hidden layers, trained or not, stay several times
# inside every limit; the textbook failures go several times beyond.
VANISHED = 0.02  # of the input's variation, or of the last hidden layer's gradient: sigmoid nets
#                  of two layers, which still learn, keep 0.05; of five, which do not, 0.003
EXPLODED = 30.0  # times the input's variation: relu nets grow to 6 in training; std1 begins at 50
SATURATED = 0.4  # of all slopes in a layer: trained tanh nets reach 0.04, std1 begins at 0.5
DEAD = 0.5  # of the units of a layer: He nets of five layers have 0.16 on small data
SYMMETRIC = 1e-3  # difference of the units' weights over their size: rounding leaves 1e-7, random 1
BEGUN = 2.0  # a change by this factor marks the layer where vanishing or exploding begins

# What to type after `init=` to keep the signal of an activation, at 20 layers within a factor of 4
# (softplus: at 10 within 8).
KEEPS = {
    "identity": "xavier",
    "tanh": "xavier",
    "hard_tanh": "xavier",
    "softsign": "xavier init.gain=auto",
    "relu": "he",
    "leaky_relu": "he",
    "elu": "xavier init.gain=auto",
    "selu": "lecun",
    "gelu": "xavier init.gain=auto",
    "silu": "xavier init.gain=auto",
    "softplus": "he",
}
# The same for sigmoid, by the number of hidden layers up to which enough is kept to learn; the
# second is Kumar's of 2017, and beyond it there is none.
SIGMOID_KEEPS = {3: "xavier", 6: "variance_scaling init.scale=12.8"}


@dataclass(frozen=True)
class Verdict:
    """One word, the hidden layer where it begins (from 1; 0 if none), and one sentence."""

    word: str
    layer: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.word}: {self.sentence}"


@dataclass(frozen=True)
class Setting:
    """What a sentence needs to name: the options chosen, the rate, and if branches are added.

    init  as typed after `init=`, with settings that are not the option's own
    """

    init: str
    activation: str
    lr: float
    residual: bool = False


def judge(
    snapshots: Sequence[Snapshot], setting: Setting, diverged_step: int | None = None
) -> Verdict:
    """Return the verdict on a run with these snapshots, in order.

    Only a run that diverged may have none. Any other is judged by its last snapshot, with a word
    on the first if that was ill in another way.
    """
    start = examine(snapshots[0], setting) if snapshots else None
    if diverged_step is not None:
        advice = lower_lr(setting)
        if start and start.word != "healthy":
            advice = f"at the start, {start.sentence}"
        return Verdict(
            "diverged", 0, f"the loss at step {diverged_step} is not a finite number; {advice}"
        )
    assert start, "a run is judged by its snapshots"
    end = examine(snapshots[-1], setting)
    if start.word in ("healthy", end.word):
        return end
    if end.word == "healthy":
        begun = f"after a start that was {start.word} from layer {start.layer} on"
        return Verdict("healthy", 0, f"{end.sentence}, {begun}")
    cause = f"it began {start.word}, {start.sentence}"
    return Verdict(end.word, end.layer, f"{end.sentence}; {cause}")


def examine(snapshot: Snapshot, setting: Setting) -> Verdict:
    """Return the verdict on one snapshot: the illness that begins in the earliest layer."""
    found = [
        verdict
        for examination in (symmetric, dead, saturated, activations, gradients)
        if (verdict := examination(snapshot, setting))
    ]
    if found:
        return min(found, key=lambda verdict: verdict.layer)
    kept = snapshot.signal[-1] / (snapshot.signal[0] or 1.0)
    depth = len(snapshot.signal) - 1
    return Verdict("healthy", 0, f"layer {depth} varies {kept:.2g} times as much as the input does")


def symmetric(snapshot: Snapshot, setting: Setting) -> Verdict | None:
    """Find a layer whose units are all alike."""
    layer = first_ill(value < SYMMETRIC for value in snapshot.asymmetry)
    if not layer:
        return None
    return Verdict(
        "symmetric",
        layer,
        f"all units of layer {layer} have equal weights, so that it works as a single unit: "
        f"draw them at random, as init={KEEPS.get(setting.activation, 'xavier')} does",
    )


def dead(snapshot: Snapshot, setting: Setting) -> Verdict | None:
    """Find a layer with units through which no gradient passes for any input."""
    shares = snapshot.statistics["unit_dead"]
    layer = first_ill(share > DEAD for share in shares)
    if not layer:
        return None
    other = ", or take activation=leaky_relu" if setting.activation == "relu" else ""
    return Verdict(
        "dead",
        layer,
        f"{shares[layer - 1]:.0%} of the units of layer {layer} pass no gradient for any input: "
        f"{lower_lr(setting)}{other}",
    )


def saturated(snapshot: Snapshot, setting: Setting) -> Verdict | None:
    """Find a layer on the flat ends of its activation."""
    shares = snapshot.statistics["unit_saturated"]
    layer = first_ill(share > SATURATED for share in shares)
    if not layer:
        return None
    where = f"on the flat ends of {setting.activation}"
    smaller = "smaller weights keep it on the slope, init=xavier"
    return Verdict(
        "saturated",
        layer,
        f"{shares[layer - 1]:.0%} of the activations of layer {layer} lie {where}: "
        + (lower_lr(setting) if setting.init.startswith("xavier") else smaller),
    )


def activations(snapshot: Snapshot, setting: Setting) -> Verdict | None:
    """Find the layer from which on activations vary ever less, or ever more, with the input."""
    found = trend(snapshot.signal)
    if not found:
        return None
    word, place, change = found
    layer = max(place, 1)
    depth = len(snapshot.signal) - 1
    return Verdict(
        word,
        layer,
        f"activations {change} from layer {layer} on, their std over the inputs is "
        f"{snapshot.signal[-1]:.1g} at layer {depth}: {remedy(setting, depth)}",
    )


def gradients(snapshot: Snapshot, setting: Setting) -> Verdict | None:
    """Find the layer from which on, going back, gradients become ever smaller or larger."""
    found = trend(snapshot.gradient[::-1])
    if not found:
        return None
    word, place, change = found
    depth = len(snapshot.gradient)
    layer = depth - place
    return Verdict(
        word,
        layer,
        f"gradients {change} going back from layer {layer + 1}, their std is "
        f"{snapshot.statistics['unit_gradient_std'][0]:.1g} at layer 1: {remedy(setting, depth)}",
    )


def trend(sizes: Sequence[float]) -> tuple[str, int, str] | None:
    """Tell whether a row of sizes vanishes or explodes, from which place on, and how fast."""
    if not all(map(math.isfinite, sizes)):
        held = [math.isfinite(size) and size <= BEGUN * sizes[0] for size in sizes]
        return "exploding", held.index(False), "grow beyond all numbers"
    if not sizes or sizes[0] < sys.float_info.min:  # nothing to compare with
        return None
    if min(sizes) < VANISHED * sizes[0]:
        word, begun = "vanishing", [size < sizes[0] / BEGUN for size in sizes]
    elif max(sizes) > EXPLODED * sizes[0]:
        word, begun = "exploding", [size > BEGUN * sizes[0] for size in sizes]
    else:
        return None
    place = begun.index(True)
    before, after, layers = sizes[place - 1], sizes[-1], len(sizes) - place
    factor = (after / before) ** (1 / layers)
    if not factor:
        return word, place, "shrink to nothing"
    change = f"grow {factor:.2g}-fold" if factor > 1 else f"shrink {1 / factor:.2g}-fold"
    return word, place, f"{change} a layer"


def remedy(setting: Setting, depth: int) -> str:
    """Return what keeps activations and gradients in proportion."""
    if setting.residual:
        return "a smaller model.residual_scale keeps them"
    keeper = KEEPS.get(setting.activation)
    if setting.activation == "sigmoid":
        keeper = next((init for deepest, init in SIGMOID_KEEPS.items() if depth <= deepest), None)
    if keeper is None:
        layers = f"{depth} layers of {setting.activation}"
        return f"no init keeps them through {layers}, try activation=tanh or activation=relu"
    if setting.init == keeper:
        return lower_lr(setting)
    return f"with {setting.activation}, init={keeper} keeps them"


def lower_lr(setting: Setting) -> str:
    """Return the advice to take smaller steps."""
    return f"lower optimizer.lr, now {setting.lr:g}"


def first_ill(ill: Iterable[bool]) -> int:
    """Return the number of the first ill layer, counted from 1; 0 if there is none."""
    return next((number for number, is_ill in enumerate(ill, start=1) if is_ill), 0)
