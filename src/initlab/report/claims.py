"""Claims: what the sources say of each published experiment, and how runs answer it.

Each is a function that takes the runs and returns a `Finding`; `CLAIMS` has them by experiment.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from initlab.report.comparison import Comparison, Setting, Spread
from initlab.report.findings import (
    Claim,
    Finding,
    MissingError,
    accuracy,
    by_value,
    early,
    last,
    loss,
    mean,
    paired,
    pick,
    reached,
)
from initlab.tracking.runs import Run

LEARNT = 0.5  # test accuracy above which a network has learnt something
BELOW = 0.1  # a loss that is reached sooner or later
CHANCE = 0.2  # accuracy up to which a network is as good as guessing
BOUNDED = 1.0  # activations of a picture that goes from 0 to 1


def constants_stay(runs: Comparison) -> Finding:
    zeros, constant = pick(runs, init="zeros"), pick(runs, init="const001")
    others = [loss(each) for each in runs.settings if each not in (zeros, constant)]
    pairs = paired(zeros, constant)
    if not others:
        raise MissingError
    stuck = sum(abs(one - other) < 0.01 for one, other in pairs)
    return Finding(
        "Zeros and a constant stop where only the biases of the output are learnt",
        stuck == len(pairs) and min(min(pairs)) > 10 * max(others),
        f"loss {loss(zeros):.3f} from zeros, {', '.join(f'{end:.3f}' for _, end in pairs)} from "
        f"0.01 everywhere, as from zeros with {stuck} of {len(pairs)} seeds; at the most "
        f"{max(others):.4f} from random weights",
    )


def he_first(runs: Comparison) -> Finding:
    steps = [reached(pick(runs, init=name), BELOW) for name in ("he", "xavier", "std001")]
    return Finding(
        "He learns fastest, then Xavier, then 0.01",
        steps == sorted(steps) and math.isfinite(steps[1]),
        f"first loss below {BELOW} at step {', '.join(f'{step:.0f}' for step in steps)}",
    )


def batches_do_not_help(runs: Comparison) -> Finding:
    zeros = pick(runs, init="zeros")
    others = [accuracy(each) for each in runs.settings if each is not zeros]
    if not others:
        raise MissingError
    return Finding(
        "Weights of zero learn nothing from other batches either",
        accuracy(zeros) < CHANCE and min(others) > LEARNT,
        f"test accuracy {accuracy(zeros):.1%} from zeros, at least {min(others):.1%} from random "
        "weights",
    )


def tenth_is_best(runs: Comparison) -> Finding:
    found = {name: pick(runs, init=name) for name in ("std1", "std01", "std001", "std0001")}
    best = min(found, key=lambda name: loss(found[name]))
    return Finding(
        "Of 1, 0.1, 0.01 and 0.001, a standard deviation of 0.1 is the best",
        best == "std01" == max(found, key=lambda name: accuracy(found[name])),
        "; ".join(
            f"{name} loss {loss(each):.3f}, {accuracy(each):.1%}" for name, each in found.items()
        ),
    )


def largest_falls_fastest(runs: Comparison) -> Finding:
    found = {name: pick(runs, init=name) for name in ("std1", "std01", "std001", "std0001")}
    losses = {name: early(each, 0, 100) for name, each in found.items()}
    later = {name: early(each, 1000, 1100) for name, each in found.items()}
    return Finding(
        "The largest scale brings the loss down fastest",
        min(losses, key=lambda name: losses[name]) == "std1",
        "mean loss of steps 0 to 100, and 1,000 to 1,100: "
        + "; ".join(f"{name} {losses[name]:.2f}, {later[name]:.2f}" for name in found),
    )


def xavier_beats_tenth(runs: Comparison) -> Finding:
    tenth, xavier = pick(runs, init="std01"), pick(runs, init="xavier")
    pairs = paired(xavier, tenth)
    wins = sum(one < other for one, other in pairs)
    return Finding(
        "Xavier, which fits each layer's width, does better than 0.1 for all",
        wins == len(pairs) and accuracy(xavier) > accuracy(tenth),
        f"a lower loss with {wins} of {len(pairs)} seeds, each with the same batches: "
        f"{loss(xavier):.3f} and {loss(tenth):.3f} on average, test accuracy "
        f"{accuracy(xavier):.2%} and {accuracy(tenth):.2%}",
    )


def he_needs_relu(runs: Comparison) -> Finding:
    """Of the article's picture, in which the activation varies with the init."""
    fair = {
        (init, activation): accuracy(pick(runs, init=init, activation=activation))
        for init in ("std01", "xavier", "he")
        for activation in ("sigmoid", "relu")
    }
    shown = fair["he", "relu"] - max(fair["std01", "sigmoid"], fair["xavier", "sigmoid"])
    own = fair["he", "relu"] - max(fair["std01", "relu"], fair["xavier", "relu"])
    return Finding(
        "He with ReLU beats the others with sigmoid, and owes that to its scale",
        own > shown / 2,
        f"{points(shown)} ahead of the others with sigmoid, {points(own)} with ReLU as well",
    )


def shape_does_not_matter(runs: Comparison) -> Finding:
    gaps, spreads = {}, []
    for activation in sorted({run.params["activation"] for run in runs.runs}):
        for normal, uniform in UNIFORM.items():
            one = pick(runs, init=normal, activation=activation)
            other = pick(runs, init=uniform, activation=activation)
            gaps[f"{normal}, {activation}"] = accuracy(one) - accuracy(other)
            spreads.append(spread(one, other))
    largest = max(gaps, key=lambda name: abs(gaps[name]))
    inside = sum(abs(gap) <= width for gap, width in zip(gaps.values(), spreads))
    typical = float(np.mean([abs(gap) for gap in gaps.values()]))
    return Finding(
        "At one variance, uniform and normal weights train alike",
        typical <= float(np.mean(spreads)),
        f"test accuracies {points(typical)} apart on average, within the spread over seeds in "
        f"{inside} of {len(gaps)} pairs; the farthest {points(abs(gaps[largest]))} ({largest})",
    )


UNIFORM = {"xavier_normal": "xavier_uniform", "he": "he_uniform", "lecun": "lecun_uniform"}


def sgd_zigzags(runs: Comparison) -> Finding:
    path = descent(pick(runs, optimizer="sgd"))
    turns = int((np.diff(np.sign(path[:, 1])) != 0).sum())
    return Finding(
        "SGD zigzags, for the slope points across the valley and not along it",
        turns > len(path) / 2,
        f"y changes its sign at {turns} of {len(path) - 1} steps",
    )


def adagrad_goes_straight(runs: Comparison) -> Finding:
    found = {name: detour(descent(pick(runs, optimizer=name))) for name in DESCENTS}
    return Finding(
        "AdaGrad goes to the minimum most directly",
        min(found, key=lambda name: found[name]) == "adagrad",
        "length of the path over the way that it made: "
        + ", ".join(f"{name} {ratio:.1f}" for name, ratio in found.items()),
    )


def adam_swings_less(runs: Comparison) -> Finding:
    swings = {
        name: float(np.abs(np.diff(descent(pick(runs, optimizer=name))[:, 1])).sum())
        for name in ("momentum", "adam")
    }
    return Finding(
        "Adam rolls like momentum, and swings less from side to side",
        swings["adam"] < swings["momentum"],
        ", ".join(f"{name} {way:.1f}" for name, way in swings.items()) + " up and down in all",
    )


DESCENTS = ("sgd", "momentum", "adagrad", "adam")


def descent(setting: Setting) -> NDArray[np.float64]:
    """Return the points of a path, (S, 2)."""
    path = setting.finished[0].path
    if not len(path):
        raise MissingError(setting.name)
    return path


def detour(path: NDArray[np.float64]) -> float:
    """Return how much longer a path is than the line between its ends."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=-1)
    return float(steps.sum() / np.linalg.norm(path[-1] - path[0]))


def others_beat_sgd(runs: Comparison) -> Finding:
    sgd = pick(runs, optimizer="sgd")
    others = {name: pick(runs, optimizer=name) for name in ("momentum", "adagrad", "adam")}
    return Finding(
        "Momentum, AdaGrad and Adam learn faster than SGD",
        all(loss(each) < loss(sgd) for each in others.values()),
        f"loss {loss(sgd):.3f} of sgd, "
        + ", ".join(f"{loss(each):.3f} of {name}" for name, each in others.items()),
    )


def adagrad_is_first(runs: Comparison) -> Finding:
    found = {name: pick(runs, optimizer=name) for name in DESCENTS}
    return Finding(
        "AdaGrad is a little ahead of all",
        min(found, key=lambda name: loss(found[name])) == "adagrad",
        "test accuracy "
        + ", ".join(f"{accuracy(each):.1%} of {name}" for name, each in found.items()),
    )


def large_saturates(runs: Comparison) -> Finding:
    share = last(pick(runs, init="std1", activation="sigmoid"), "unit_saturated/layer_5")
    return Finding(
        "With a std of 1, the outputs of sigmoid crowd at 0 and 1",
        share > 1 / 3,
        f"{share:.0%} of those of layer 5 are saturated",
    )


def small_is_silent(runs: Comparison) -> Finding:
    setting = pick(runs, init="std001", activation="sigmoid")
    middle, width = (last(setting, f"unit_{name}/layer_5") for name in ("mean", "std"))
    return Finding(
        "With a std of 0.01, they crowd at 0.5",
        abs(middle - 0.5) < 0.05 and width < 0.05,
        f"mean {middle:.3f}, std {width:.3f} in layer 5",
    )


def xavier_spreads(runs: Comparison) -> Finding:
    xavier, small, large = (
        last(pick(runs, init=name, activation="sigmoid"), "unit_std/layer_5")
        for name in ("xavier", "std001", "std1")
    )
    return Finding(
        "Xavier spreads them between the two",
        small < xavier < large,
        f"std {xavier:.3f} in layer 5, between {small:.3f} and {large:.3f}",
    )


def he_fits_relu(runs: Comparison) -> Finding:
    shares = {
        name: last(pick(runs, init=name, activation="relu"), "unit_std/layer_5")
        / last(pick(runs, init=name, activation="relu"), "unit_std/layer_1")
        for name in ("std001", "xavier", "he")
    }
    return Finding(
        "With ReLU, He keeps the spread over the layers; Xavier loses some, 0.01 nearly all",
        shares["std001"] < 0.01 < shares["xavier"] < 0.6 < shares["he"],
        "std of layer 5 over that of layer 1: "
        + ", ".join(f"{name} {share:.2g}" for name, share in shares.items()),
    )


def range_hides(runs: Comparison) -> Finding:
    shares = {
        name: mean(pick(runs, init=init, activation=name), outside)
        for name, init in (("tanh", "xavier"), ("relu", "he"))
    }
    return Finding(
        "A picture from 0 to 1 shows what tanh and ReLU give",
        max(shares.values()) < 0.1,
        "beyond it lie "
        + ", ".join(f"{share:.0%} of {name}'s" for name, share in shares.items())
        + " (of all layers, with xavier and he)",
    )


def outside(run: Run) -> float | None:
    """Return the share of activations below 0 or above 1, to the width of a bin."""
    if "activations/counts" not in run.histograms:
        return None
    edges = run.histograms["activations/edges"].astype(float)
    counts = run.histograms["activations/counts"][-1].astype(float).sum(axis=0)
    middles = np.concatenate([[-np.inf], (edges[:-1] + edges[1:]) / 2, [np.inf]])
    return float(counts[(middles < 0) | (middles > BOUNDED)].sum() / counts.sum())


def small_learns_nothing(runs: Comparison) -> Finding:
    found = {name: pick(runs, init=name) for name in ("std001", "xavier", "he")}
    return Finding(
        "0.01 learns next to nothing, Xavier learns, He learns fastest",
        accuracy(found["std001"]) < CHANCE
        and LEARNT < accuracy(found["xavier"]) < accuracy(found["he"])
        and loss(found["he"]) < loss(found["xavier"]),
        "; ".join(
            f"{name} loss {loss(each):.3f}, {accuracy(each):.1%}" for name, each in found.items()
        ),
    )


def norm_is_faster(runs: Comparison) -> Finding:
    plain, norm = normalised(runs)
    wins = sum(norm[std] > plain[std] for std in plain)
    return Finding(
        "With batch norm, learning is faster at nearly every scale",
        wins >= 0.8 * len(plain),
        f"a higher training accuracy at {wins} of {len(plain)} scales",
    )


def norm_is_robust(runs: Comparison) -> Finding:
    plain, norm = normalised(runs)
    stuck = [[accuracy < CHANCE for accuracy in each.values()] for each in (plain, norm)]
    return Finding(
        "Without it, nothing is learnt unless the scale is right; with it, that matters little",
        sum(stuck[0]) > len(plain) / 2 > 4 * sum(stuck[1]),
        f"training accuracy below {CHANCE:.0%} at {sum(stuck[0])} of {len(plain)} scales without, "
        f"{sum(stuck[1])} with",
    )


TRAIN = "train/accuracy"


def normalised(runs: Comparison) -> list[dict[str, float]]:
    """Return training accuracies by scale, without and with batch norm; 0 where it diverged."""
    found: list[dict[str, float]] = [{}, {}]
    for setting in runs.settings:
        params = setting.runs[0].params
        if "init.std" in params:
            normed = params.get("model.batch_norm") == "true"
            learnt = last(setting, TRAIN) if setting.finished else 0.0
            found[normed][params["init.std"]] = learnt
    if len(found[0]) < 2 or found[0].keys() != found[1].keys():
        raise MissingError
    return found


def narrows(key: str, name: str, runs: Comparison) -> Finding:
    """Compare the gap between train and test accuracy without something and with most of it."""
    found = by_value(runs.settings, key)
    without, most = (found[value] for value in (min(found), max(found)))
    gaps = [gap(without), gap(most)]
    ends = [f"{last(each, TRAIN):.1%} and {accuracy(each):.1%}" for each in (without, most)]
    return Finding(
        f"{name.capitalize()} narrows the gap between training and test accuracy",
        gaps[1].mean + (gaps[1].std or 0.0) < gaps[0].mean - (gaps[0].std or 0.0),
        f"{ends[0]} without, {ends[1]} with {max(found):g}: a gap of {points(gaps[0].mean)}, then "
        f"of {points(gaps[1].mean)}",
    )


def gap(setting: Setting) -> Spread:
    """Return how far training accuracy is above that of the test, over the runs of a setting."""
    found = Spread.of(
        run.metrics[TRAIN] - run.metrics["test/accuracy"]
        for run in setting.finished
        if {TRAIN, "test/accuracy"} <= run.metrics.keys()
    )
    if found is None:
        raise MissingError(setting.name)
    return found


def not_by_heart(key: str, name: str, runs: Comparison) -> Finding:
    """Compare the training accuracy without something and with most of it."""
    found = by_value(runs.settings, key)
    without, most = (last(found[value], TRAIN) for value in (min(found), max(found)))
    return Finding(
        f"Without {name}, all training images are learnt by heart; with it, not all",
        without > 0.99 > most,
        f"training accuracy {without:.1%}, then {most:.1%}",
    )


def rates_matter(runs: Comparison) -> Finding:
    low, high = 1e-3, 1e-2
    rates = best(runs, "optimizer.lr")
    inside = sum(low <= rate <= high for rate in rates)
    return Finding(
        "The best trials have a learning rate between 0.001 and 0.01",
        inside >= 0.8 * len(rates),
        f"{inside} of the best {len(rates)}; theirs go from {min(rates):.2g} to {max(rates):.2g}",
    )


def decay_matters(runs: Comparison) -> Finding:
    low, high = 1e-8, 1e-6
    decays = best(runs, "train.weight_decay")
    every = [float(run.params["train.weight_decay"]) for run in runs.runs]
    inside, share = (
        sum(low <= each <= high for each in some) / len(some) for some in (decays, every)
    )
    return Finding(
        "and a weight decay between 1e-8 and 1e-6",
        inside > share + 0.2,
        f"{inside:.0%} of the best {len(decays)}, and {share:.0%} of all that were tried",
    )


def best(runs: Comparison, key: str) -> list[float]:
    """Return the numbers that a key has in the best fifth of the trials."""
    found = [setting for setting in runs.ranked if setting.finished]
    count = len(runs.settings) // 5
    if len(found) < count or count < 5:
        raise MissingError(key)
    return [float(setting.runs[0].params[key]) for setting in found[:count]]


def points(difference: float) -> str:
    """Write a difference of accuracies in points of a percent."""
    return f"{100 * difference:.1f} points"


def spread(*settings: Setting) -> float:
    """Return the sum of the standard deviations of accuracy over seeds."""
    found = [setting.accuracy for setting in settings]
    return sum(each.std or 0.0 for each in found if each)


CLAIMS: dict[str, tuple[Claim, ...]] = {
    "constant_vs_random": (constants_stay, he_first),
    "zeros_minibatch": (batches_do_not_help,),
    "std_scale": (tenth_is_best, largest_falls_fastest),
    "std_vs_xavier": (xavier_beats_tenth,),
    "three_inits": (he_needs_relu,),
    "uniform_vs_normal": (shape_does_not_matter,),
    "optimizer_paths": (sgd_zigzags, adagrad_goes_straight, adam_swings_less),
    "optimizers": (others_beat_sgd, adagrad_is_first),
    "activation_histograms": (
        large_saturates,
        small_is_silent,
        xavier_spreads,
        he_fits_relu,
        range_hides,
    ),
    "mnist_inits": (small_learns_nothing,),
    "batch_norm": (norm_is_faster, norm_is_robust),
    "weight_decay": (
        partial(not_by_heart, "train.weight_decay", "weight decay"),
        partial(narrows, "train.weight_decay", "weight decay"),
    ),
    "dropout": (
        partial(not_by_heart, "model.dropout", "dropout"),
        partial(narrows, "model.dropout", "dropout"),
    ),
    "hyperparameter_search": (rates_matter, decay_matters),
}


def findings(comparison: Comparison) -> list[Finding]:
    """Return a finding for each claim about the experiment of a comparison.

    A claim is left out whose runs are not there, as where only some of the grid was asked for.
    """
    found = []
    for claim in CLAIMS.get(comparison.experiment, ()):
        with contextlib.suppress(MissingError):
            found.append(claim(comparison))
    return found
