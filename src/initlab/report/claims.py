"""Claims: what the sources of the published experiments claim, and whether runs confirm it.

Each claim is a function from the runs to a `Finding`; `CLAIMS` lists them by experiment.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from initlab.nn.metrics import Metric, Quantity, Statistic
from initlab.report.claims_theory import (
    critical_trains_best,
    equal_sums_fluctuate_alike,
    gradients_as_predicted,
    profile_is_predicted,
    spread_is_predicted,
    trains_to_six_scales,
    variance_is_linear,
)
from initlab.report.comparison import Comparison, Setting, Spread
from initlab.report.findings import (
    Claim,
    Finding,
    MissingRunsError,
    accuracy,
    accuracy_of,
    by_value,
    certainty,
    first_below,
    last,
    loss,
    loss_between,
    loss_of,
    mean_loss,
    mean_over_runs,
    paired_losses,
    pick,
    steps_to_loss,
)
from initlab.report.formatting import format_p, format_points
from initlab.report.statistics import compare_pairs
from initlab.tracking.runs import Run

LEARNED = 0.5  # test accuracy of a network that has learned something
LOW_LOSS = 0.1  # the earlier a network reaches it, the faster it learns
CHANCE = 0.2  # accuracy below which a network hardly beats guessing
STD_1, STD_5 = (Statistic.UNIT_STD.of_layer(layer) for layer in (1, 5))


def constants_stay(runs: Comparison) -> Finding:
    zeros, constant = pick(runs, init="zeros"), pick(runs, init="const001")
    random = [each for each in runs.settings if each not in (zeros, constant)]
    others = [loss(each) for each in random]
    pairs = paired_losses(zeros, constant)
    if not others:
        raise MissingRunsError
    stuck = sum(abs(one - other) < 0.01 for one, other in pairs)
    return Finding(
        "From zeros or a constant, only the biases of the output layer learn",
        stuck == len(pairs) and min(min(pairs)) > 10 * max(others),
        f"loss {loss(zeros):.3f} from zeros; {', '.join(f'{end:.3f}' for _, end in pairs)} from "
        f"0.01 everywhere, the same as from zeros with {stuck} of {len(pairs)} seeds; at most "
        f"{max(others):.4f} from random weights",
    )


def he_first(runs: Comparison) -> Finding:
    found = [pick(runs, init=name) for name in ("he", "xavier", "std001")]
    steps = [steps_to_loss(each, LOW_LOSS) for each in found]
    sure = certainty(found[0], found[1], first_below(LOW_LOSS), higher=False)
    return Finding(
        "He learns fastest, then Xavier, then 0.01",
        steps == sorted(steps) and math.isfinite(steps[1]),
        f"first loss below {LOW_LOSS} at step {', '.join(f'{step:.0f}' for step in steps)}; He "
        f"before Xavier with {sure}",
    )


def batches_do_not_help(runs: Comparison) -> Finding:
    zeros = pick(runs, init="zeros")
    others = [each for each in runs.settings if each is not zeros]
    if not others:
        raise MissingRunsError
    least = min(others, key=accuracy)
    return Finding(
        "From zeros, a network learns nothing with changing batches either",
        accuracy(zeros) < CHANCE and accuracy(least) > LEARNED,
        f"test accuracy {accuracy(zeros):.1%} from zeros, at least {accuracy(least):.1%} from "
        f"random weights; higher with {certainty(least, zeros, accuracy_of)}",
    )


def tenth_is_best(runs: Comparison) -> Finding:
    found = {name: pick(runs, init=name) for name in ("std1", "std01", "std001", "std0001")}
    best, second, *_ = sorted(found, key=lambda name: loss(found[name]))
    sure = certainty(found[best], found[second], loss_of, higher=False)
    return Finding(
        "Of the standard deviations 1, 0.1, 0.01 and 0.001, 0.1 is best",
        best == "std01" == max(found, key=lambda name: accuracy(found[name])),
        "; ".join(
            f"{name} loss {loss(each):.3f}, {accuracy(each):.1%}" for name, each in found.items()
        )
        + f"; lower loss from {best} than from {second} with {sure}",
    )


def largest_falls_fastest(runs: Comparison) -> Finding:
    found = {name: pick(runs, init=name) for name in ("std1", "std01", "std001", "std0001")}
    losses = {name: loss_between(each, 0, 100) for name, each in found.items()}
    later = {name: loss_between(each, 1000, 1100) for name, each in found.items()}
    best, second, *_ = sorted(losses, key=lambda name: losses[name])
    sure = certainty(found[best], found[second], mean_loss(0, 100), higher=False)
    return Finding(
        "With the largest scale, the loss falls fastest",
        best == "std1",
        "mean loss of steps 0 to 100, and 1,000 to 1,100: "
        + "; ".join(f"{name} {losses[name]:.2f}, {later[name]:.2f}" for name in found)
        + f"; at first lower from {best} than from {second} with {sure}",
    )


def xavier_beats_tenth(runs: Comparison) -> Finding:
    tenth, xavier = pick(runs, init="std01"), pick(runs, init="xavier")
    pairs = paired_losses(xavier, tenth)
    wins = sum(one < other for one, other in pairs)
    return Finding(
        "Xavier, whose scale depends on the width of each layer, beats 0.1 for all layers",
        wins == len(pairs) and accuracy(xavier) > accuracy(tenth),
        f"lower loss with {certainty(xavier, tenth, loss_of, higher=False)}, on the same batches "
        f"each time: {loss(xavier):.3f} and {loss(tenth):.3f} on average; test accuracy "
        f"{accuracy(xavier):.2%} and {accuracy(tenth):.2%}, higher with "
        f"{certainty(xavier, tenth, accuracy_of)}",
    )


def he_needs_relu(runs: Comparison) -> Finding:
    """In the source's plot, the activation varies with the init."""
    fair = {
        (init, activation): accuracy(pick(runs, init=init, activation=activation))
        for init in ("std01", "xavier", "he")
        for activation in ("sigmoid", "relu")
    }
    shown = fair["he", "relu"] - max(fair["std01", "sigmoid"], fair["xavier", "sigmoid"])
    rival = max(("std01", "xavier"), key=lambda init: fair[init, "relu"])
    own = fair["he", "relu"] - fair[rival, "relu"]
    he, other = (pick(runs, init=init, activation="relu") for init in ("he", rival))
    return Finding(
        "He with ReLU beats the others with sigmoid because of its scale",
        own > shown / 2,
        f"{format_points(shown)} points ahead of the others with sigmoid, "
        f"{format_points(own)} points ahead of the others with ReLU; of {rival} with ReLU with "
        f"{certainty(he, other, accuracy_of)}",
    )


def shape_does_not_matter(runs: Comparison) -> Finding:
    """Compare pairs of settings; by chance, all n seeds agree in one of 2^(n-1) pairs."""
    pairs = {}
    for activation in sorted({run.params["activation"] for run in runs.runs}):
        for normal, uniform in UNIFORM.items():
            one = pick(runs, init=normal, activation=activation)
            other = pick(runs, init=uniform, activation=activation)
            (paired,) = compare_pairs([(one.by_seed(accuracy_of), other.by_seed(accuracy_of))])
            if paired is None:
                raise MissingRunsError(one.name, other.name)
            pairs[f"{normal}, {activation}"] = paired
    largest = max(pairs, key=lambda name: abs(pairs[name].difference))
    gap = float(np.mean([abs(paired.difference) for paired in pairs.values()]))
    half = float(np.mean([paired.half_width for paired in pairs.values()]))
    equal = sum(abs(paired.difference) <= paired.half_width for paired in pairs.values())
    agree = sum(paired.wins in (0, paired.n) for paired in pairs.values())
    seeds = max(paired.n for paired in pairs.values())
    chance = len(pairs) * 2.0 ** (1 - seeds)
    return Finding(
        "Uniform and normal weights of the same variance train equally well",
        gap <= half and equal >= 0.9 * len(pairs),
        f"test accuracies differ by {format_points(gap)} points on average, by "
        f"{format_points(abs(pairs[largest].difference))} at most ({largest}); 0 is within the "
        f"95 % interval of {equal} of {len(pairs)} differences, ± {format_points(half)} points on "
        f"average with {seeds} seeds; all seeds agree which is better in {agree} pairs, by chance "
        f"in {chance:.2g}",
    )


UNIFORM = {"xavier_normal": "xavier_uniform", "he": "he_uniform", "lecun": "lecun_uniform"}


def sgd_zigzags(runs: Comparison) -> Finding:
    path = quadratic_path(pick(runs, optimizer="sgd"))
    turns = int((np.diff(np.sign(path[:, 1])) != 0).sum())
    return Finding(
        "SGD zigzags, because the slope points across the valley and not along it",
        turns > len(path) / 2,
        f"y changes its sign at {turns} of {len(path) - 1} steps",
    )


def adagrad_goes_straight(runs: Comparison) -> Finding:
    found = {name: detour(quadratic_path(pick(runs, optimizer=name))) for name in OPTIMIZERS}
    return Finding(
        "AdaGrad goes to the minimum most directly",
        min(found, key=lambda name: found[name]) == "adagrad",
        "length of the path over the distance between its ends: "
        + ", ".join(f"{name} {ratio:.1f}" for name, ratio in found.items()),
    )


def adam_swings_less(runs: Comparison) -> Finding:
    swings = {
        name: float(np.abs(np.diff(quadratic_path(pick(runs, optimizer=name))[:, 1])).sum())
        for name in ("momentum", "adam")
    }
    return Finding(
        "Adam rolls like momentum, but swings less from side to side",
        swings["adam"] < swings["momentum"],
        ", ".join(f"{name} {way:.1f}" for name, way in swings.items()) + " up and down in total",
    )


OPTIMIZERS = ("sgd", "momentum", "adagrad", "adam")


def quadratic_path(setting: Setting) -> NDArray[np.float64]:
    """Return the points of a path, (S, 2)."""
    path = setting.finished[0].path
    if not len(path):
        raise MissingRunsError(setting.name)
    return path


def detour(path: NDArray[np.float64]) -> float:
    """Return how much longer a path is than the line between its ends."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=-1)
    return float(steps.sum() / np.linalg.norm(path[-1] - path[0]))


def others_beat_sgd(runs: Comparison) -> Finding:
    sgd = pick(runs, optimizer="sgd")
    others = {name: pick(runs, optimizer=name) for name in ("momentum", "adagrad", "adam")}
    slowest = max(others, key=lambda name: loss(others[name]))
    sure = certainty(others[slowest], sgd, loss_of, higher=False)
    return Finding(
        "Momentum, AdaGrad and Adam learn faster than SGD",
        all(loss(each) < loss(sgd) for each in others.values()),
        f"loss: sgd {loss(sgd):.3f}, "
        + ", ".join(f"{name} {loss(each):.3f}" for name, each in others.items())
        + f"; {slowest} lower than sgd with {sure}",
    )


def adagrad_is_first(runs: Comparison) -> Finding:
    found = {name: pick(runs, optimizer=name) for name in OPTIMIZERS}
    best, second, *_ = sorted(found, key=lambda name: loss(found[name]))
    sure = certainty(found[best], found[second], loss_of, higher=False)
    return Finding(
        "AdaGrad is slightly ahead of the others",
        best == "adagrad",
        "loss and test accuracy: "
        + ", ".join(
            f"{name} {loss(each):.4f}, {accuracy(each):.1%}" for name, each in found.items()
        )
        + f"; {best} has a lower loss than {second} with {sure}",
    )


def large_saturates(runs: Comparison) -> Finding:
    name = Statistic.UNIT_SATURATED.of_layer(5)
    share = last(pick(runs, init="std1", activation="sigmoid"), name)
    return Finding(
        "With a std of 1, the outputs of sigmoid are close to 0 or 1",
        share > 1 / 3,
        f"{share:.0%} of those in layer 5 are saturated",
    )


def small_is_silent(runs: Comparison) -> Finding:
    setting = pick(runs, init="std001", activation="sigmoid")
    middle, std = last(setting, Statistic.UNIT_MEAN.of_layer(5)), last(setting, STD_5)
    return Finding(
        "With a std of 0.01, they are close to 0.5",
        abs(middle - 0.5) < 0.05 and std < 0.05,
        f"mean {middle:.3f}, std {std:.3f} in layer 5",
    )


def xavier_spreads(runs: Comparison) -> Finding:
    xavier, small, large = (
        last(pick(runs, init=name, activation="sigmoid"), STD_5)
        for name in ("xavier", "std001", "std1")
    )
    return Finding(
        "With Xavier, their spread is between the two",
        small < xavier < large,
        f"std {xavier:.3f} in layer 5, between {small:.3f} and {large:.3f}",
    )


def he_fits_relu(runs: Comparison) -> Finding:
    shares = {
        name: last(pick(runs, init=name, activation="relu"), STD_5)
        / last(pick(runs, init=name, activation="relu"), STD_1)
        for name in ("std001", "xavier", "he")
    }
    return Finding(
        "With ReLU, He keeps the spread through the layers, Xavier loses some, 0.01 nearly all",
        shares["std001"] < 0.01 < shares["xavier"] < 0.6 < shares["he"],
        "std of layer 5 over that of layer 1: "
        + ", ".join(f"{name} {share:.2g}" for name, share in shares.items()),
    )


def range_hides(runs: Comparison) -> Finding:
    shares = {
        name: mean_over_runs(pick(runs, init=init, activation=name), share_outside)
        for name, init in (("tanh", "xavier"), ("relu", "he"))
    }
    return Finding(
        "A plot from 0 to 1 is enough for tanh and ReLU",
        max(shares.values()) < 0.1,
        "outside it are "
        + ", ".join(f"{share:.0%} of the activations of {name}" for name, share in shares.items())
        + " (all layers, with xavier and he)",
    )


def share_outside(run: Run) -> float | None:
    """Return the share of activations below 0 or above 1, as exactly as the bins allow."""
    key = f"{Quantity.ACTIVATIONS}/counts"
    if key not in run.histograms:
        return None
    edges = run.histograms[f"{Quantity.ACTIVATIONS}/edges"].astype(float)
    counts = run.histograms[key][-1].astype(float).sum(axis=0)
    middles = np.concatenate([[-np.inf], (edges[:-1] + edges[1:]) / 2, [np.inf]])
    return float(counts[(middles < 0) | (middles > 1)].sum() / counts.sum())


def small_learns_nothing(runs: Comparison) -> Finding:
    found = {name: pick(runs, init=name) for name in ("std001", "xavier", "he")}
    return Finding(
        "With 0.01 a network learns almost nothing, with Xavier it learns, with He fastest",
        accuracy(found["std001"]) < CHANCE
        and LEARNED < accuracy(found["xavier"]) < accuracy(found["he"])
        and loss(found["he"]) < loss(found["xavier"]),
        "; ".join(
            f"{name} loss {loss(each):.3f}, {accuracy(each):.1%}" for name, each in found.items()
        )
        + f"; he better than xavier with {certainty(found['he'], found['xavier'], accuracy_of)}",
    )


def norm_is_faster(runs: Comparison) -> Finding:
    plain, norm = accuracies_by_scale(runs)
    wins = sum(norm[std] > plain[std] for std in plain)
    return Finding(
        "With batch norm, a network learns faster at nearly every scale",
        wins >= 0.8 * len(plain),
        f"higher training accuracy at {wins} of {len(plain)} scales (sign test: p "
        f"{format_p(sign_test(wins, len(plain)))})",
    )


def norm_is_robust(runs: Comparison) -> Finding:
    plain, norm = accuracies_by_scale(runs)
    stuck = [[accuracy < CHANCE for accuracy in each.values()] for each in (plain, norm)]
    return Finding(
        "Without it, a network learns only at the right scale; with it, the scale matters little",
        sum(stuck[0]) > len(plain) / 2 > 4 * sum(stuck[1]),
        f"training accuracy below {CHANCE:.0%} at {sum(stuck[0])} of {len(plain)} scales without, "
        f"{sum(stuck[1])} with",
    )


def accuracies_by_scale(runs: Comparison) -> list[dict[str, float]]:
    """Return the training accuracy at each scale, without and with batch norm; 0 if it diverged."""
    found: list[dict[str, float]] = [{}, {}]
    for setting in runs.settings:
        params = setting.runs[0].params
        if "init.std" in params:
            normed = params.get("model.batch_norm") == "true"
            reached = last(setting, Metric.TRAIN_ACCURACY) if setting.finished else 0.0
            found[normed][params["init.std"]] = reached
    if len(found[0]) < 2 or found[0].keys() != found[1].keys():
        raise MissingRunsError
    return found


def narrows_gap(key: str, name: str, runs: Comparison) -> Finding:
    """Compare the gap between both accuracies without a regularizer and with most of it."""
    found = by_value(runs.settings, key)
    without, most = (found[value] for value in (min(found), max(found)))
    gaps = [accuracy_gap(without), accuracy_gap(most)]
    sure = certainty(most, without, gap_of, higher=False)
    ends = [
        f"{last(each, Metric.TRAIN_ACCURACY):.1%} and {accuracy(each):.1%}"
        for each in (without, most)
    ]
    return Finding(
        f"{name.capitalize()} narrows the gap between training and test accuracy",
        gaps[1].mean + (gaps[1].std or 0.0) < gaps[0].mean - (gaps[0].std or 0.0),
        f"{ends[0]} without, {ends[1]} with {max(found):g}: a gap of "
        f"{format_points(gaps[0].mean)} points, then of {format_points(gaps[1].mean)} points; "
        f"narrower with {sure}",
    )


def accuracy_gap(setting: Setting) -> Spread:
    """Return training accuracy minus test accuracy over the runs of a setting."""
    found = Spread.of(gap_of(run) for run in setting.finished)
    if found is None:
        raise MissingRunsError(setting.name)
    return found


def gap_of(run: Run) -> float | None:
    """Return training accuracy minus test accuracy of a run."""
    if not {Metric.TRAIN_ACCURACY, Metric.TEST_ACCURACY} <= run.metrics.keys():
        return None
    return run.metrics[Metric.TRAIN_ACCURACY] - run.metrics[Metric.TEST_ACCURACY]


def sign_test(wins: int, count: int) -> float:
    """Return the two-sided p of so many wins where each is as likely as a loss."""
    from scipy import stats  # type: ignore[import-untyped]

    return float(stats.binomtest(wins, count).pvalue)


def memorizes_less(key: str, name: str, runs: Comparison) -> Finding:
    """Compare the training accuracy without a regularizer and with most of it."""
    found = by_value(runs.settings, key)
    ends = found[min(found)], found[max(found)]
    without, most = (last(each, Metric.TRAIN_ACCURACY) for each in ends)
    sure = certainty(*ends, lambda run: run.metrics.get(Metric.TRAIN_ACCURACY))
    return Finding(
        f"Without {name}, a network memorizes all training images; with it, not all",
        without > 0.99 > most,
        f"training accuracy {without:.1%}, then {most:.1%}; higher without with {sure}",
    )


def rates_matter(runs: Comparison) -> Finding:
    low, high = 1e-3, 1e-2
    rates = best_values(runs, "optimizer.lr")
    inside = sum(low <= rate <= high for rate in rates)
    return Finding(
        "The best trials have a learning rate between 0.001 and 0.01",
        inside >= 0.8 * len(rates),
        f"{inside} of the best {len(rates)}, whose rates are {min(rates):.2g} to {max(rates):.2g}",
    )


def decay_matters(runs: Comparison) -> Finding:
    low, high = 1e-8, 1e-6
    decays = best_values(runs, "train.weight_decay")
    every = [float(run.params["train.weight_decay"]) for run in runs.runs]
    inside, share = (
        sum(low <= each <= high for each in some) / len(some) for some in (decays, every)
    )
    return Finding(
        "The best trials have a weight decay between 1e-8 and 1e-6",
        inside > share + 0.2,
        f"{inside:.0%} of the best {len(decays)}, {share:.0%} of all trials; by chance so many or "
        f"more with p {format_p(at_least(round(inside * len(decays)), len(decays), share))}",
    )


def at_least(hits: int, count: int, share: float) -> float:
    """Return how likely so many hits or more are if each has the chance `share`."""
    from scipy import stats

    return float(stats.binomtest(hits, count, share, alternative="greater").pvalue)


def best_values(runs: Comparison, key: str) -> list[float]:
    """Return the values of a key in the best fifth of the trials."""
    found = [setting for setting in runs.ranked if setting.finished]
    count = len(runs.settings) // 5
    if len(found) < count or count < 5:
        raise MissingRunsError(key)
    return [float(setting.runs[0].params[key]) for setting in found[:count]]


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
        spread_is_predicted,
    ),
    "mnist_inits": (small_learns_nothing,),
    "batch_norm": (norm_is_faster, norm_is_robust),
    "weight_decay": (
        partial(memorizes_less, "train.weight_decay", "weight decay"),
        partial(narrows_gap, "train.weight_decay", "weight decay"),
    ),
    "dropout": (
        partial(memorizes_less, "model.dropout", "dropout"),
        partial(narrows_gap, "model.dropout", "dropout"),
    ),
    "hyperparameter_search": (rates_matter, decay_matters),
    "depth_profile": (
        partial(profile_is_predicted, Statistic.UNIT_STD, "the signal in each of 30 layers"),
        partial(
            profile_is_predicted, Statistic.UNIT_GRADIENT_STD, "the gradients in each of 30 layers"
        ),
    ),
    "edge_of_chaos": (critical_trains_best, gradients_as_predicted),
    "phase_diagram": (trains_to_six_scales,),
    "width_fluctuations": (variance_is_linear, equal_sums_fluctuate_alike),
}


def findings(comparison: Comparison) -> list[Finding]:
    """Return a finding for each claim about the experiment of a comparison.

    Claims about runs that are missing are left out, as when only part of the grid was run.
    """
    found = []
    for claim in CLAIMS.get(comparison.experiment, ()):
        with contextlib.suppress(MissingRunsError):
            found.append(claim(comparison))
    return found
