"""Claims of mean-field theory: predictions for networks as drawn, and how deep they can train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from initlab.nn.metrics import Statistic
from initlab.nn.theory import TRAINABLE
from initlab.report.comparison import Comparison, Setting
from initlab.report.findings import (
    DEPTH,
    Finding,
    MissingRunsError,
    accuracy,
    accuracy_of,
    certainty,
    depth_scale,
)
from initlab.report.formatting import format_positive, join_words
from initlab.tracking.runs import Run

Floats = NDArray[np.float64]

LEARNED = 0.5  # test accuracy of a network that has learned something
FOLLOWS = 0.85  # the share of cells in which training must agree with theory
MULTIPLES = np.arange(1, 15.01, 0.5)  # of ξ_c, tried as the depth to which networks train
COVERED = 0.9  # the share of numbers inside bands that are made for 95 %
WIDTH, RATE = "model.width", "optimizer.lr"
PHASES = ("ordered", "critical", "chaotic")
TINIEST = np.finfo(np.float64).tiny
ERRORS = 3  # standard errors that chance may explain
SLOPE = 5.0  # of the variance of ln ‖x‖² over Σ 1/n, for ReLU and He


def start_profile(run: Run, name: Statistic) -> tuple[Floats, Floats] | None:
    """Return a number of each layer at step 0 (L,), and its prediction with the band (3, L)."""
    arrays = run.histograms
    if f"{name}/theory" not in arrays or arrays["steps"][0] != 0:
        return None
    measured = np.asarray(arrays[f"{name}/measured"][0], np.float64)
    return measured, np.asarray(arrays[f"{name}/theory"], np.float64)


def profiles_of(setting: Setting, name: Statistic) -> list[tuple[Floats, Floats]]:
    """Return the profiles of the runs of a setting that have one."""
    found = [start_profile(run, name) for run in setting.finished]
    return [each for each in found if each is not None]


def inside(measured: Floats, band: Floats) -> NDArray[np.bool_]:
    """Return which numbers (L,) are within the band (3, L) of their prediction."""
    _, low, high = band
    return np.asarray((low <= measured) & (measured <= high))


def spread_is_predicted(runs: Comparison) -> Finding:
    """Compare the means over seeds with the bands, which are those of single networks."""
    outside, single, count = [], [], 0
    for setting in runs.settings:
        profiles = profiles_of(setting, Statistic.UNIT_STD)
        if not profiles:
            continue
        measured, band = (np.mean([each[part] for each in profiles], axis=0) for part in (0, 1))
        single += [inside(*each) for each in profiles]
        count += len(measured)
        outside += [
            f"{setting.name} layer {layer}: {format_positive(measured[layer - 1])} for "
            f"{format_positive(band[0, layer - 1])}"
            for layer in 1 + np.flatnonzero(~inside(measured, band))
        ]
    if not count:
        raise MissingRunsError
    held = count - len(outside)
    listed = f"; outside: {'; '.join(outside)}" if outside else ""
    return Finding(
        "Mean-field theory predicts the spread of the activations in every layer",
        held >= 0.95 * count,
        f"{held} of {count} stds, as means over the seeds, are within the predicted 95 % band; of "
        f"the single runs {np.concatenate(single).mean():.1%}{listed}",
    )


def profile_is_predicted(name: Statistic, what: str, runs: Comparison) -> Finding:
    """Count the numbers of all layers and runs that are within their bands."""
    shares: dict[str, dict[str, list[float]]] = {}
    widths: list[float] = []
    for setting in runs.settings:
        params = setting.runs[0].params
        for measured, band in profiles_of(setting, name):
            found = shares.setdefault(params["activation"], {}).setdefault(params["init"], [])
            found += inside(measured, band).tolist()
            widths += (band[2] / np.maximum(band[1], TINIEST)).tolist()
    if not shares:
        raise MissingRunsError
    every = [each for inits in shares.values() for found in inits.values() for each in found]
    low = [
        f"{activation} with {init} {np.mean(found):.0%}"
        for activation, inits in shares.items()
        for init, found in inits.items()
        if np.mean(found) < COVERED
    ]
    by_activation = ", ".join(
        f"{activation} {np.mean(np.concatenate([*inits.values()])):.0%}"
        for activation, inits in shares.items()
    )
    return Finding(
        f"Mean-field theory predicts {what}",
        float(np.mean(every)) >= COVERED,
        f"{np.mean(every):.1%} of {len(every):,} numbers are within the predicted 95 % band, whose "
        f"ends differ by a factor of {np.median(widths):.2g} (median): {by_activation}"
        + (f"; below {COVERED:.0%}: {join_words(low)}" if low else ""),
    )


def trains_to_six_scales(runs: Comparison) -> Finding:
    """Compare "it learned" with "depth < k ξ_c", cell by cell, for each k.

    The edge of chaos is where ξ_c is largest; what lies there belongs to neither side.
    """
    scales, depths, learned, variances = map(np.array, zip(*depth_cells(runs)))
    edge = variances[np.argmax(scales)]

    def agreement(multiple: float, cells: NDArray[np.bool_]) -> float:
        return float(np.mean((depths < multiple * scales)[cells] == learned[cells]))

    every = np.full(len(depths), True)
    found = [agreement(multiple, every) for multiple in MULTIPLES]
    best = MULTIPLES[int(np.argmax(found))]
    sides = {"ordered": variances < edge, "chaotic": variances > edge}
    if not all(cells.any() for cells in sides.values()):
        raise MissingRunsError
    own = {side: agreement(TRAINABLE, cells) for side, cells in sides.items()}
    guessed = {
        side: max(learned[cells].mean(), 1 - learned[cells].mean()) for side, cells in sides.items()
    }
    share = agreement(TRAINABLE, every)
    return Finding(
        f"Networks train to a depth of about {TRAINABLE:g} ξ_c, in order and in chaos",
        share >= FOLLOWS and all(own[side] > guessed[side] for side in sides),
        f'"test accuracy above {LEARNED:.0%}" is the same as "depth < {TRAINABLE:g} ξ_c" in '
        f"{share:.0%} of {len(depths)} cells ("
        + ", ".join(
            f"{side} side {own[side]:.0%}, where one answer for all gives {guessed[side]:.0%}"
            for side in sides
        )
        + f"); best k from {MULTIPLES[0]:g} to {MULTIPLES[-1]:g}: {best:g}, with {max(found):.0%}",
    )


def depth_cells(runs: Comparison) -> Iterator[tuple[float, float, bool, float]]:
    """Yield ξ_c, the depth, whether it learned, and the variance, of each setting that has them.

    A setting of which no run finished has learned nothing.
    """
    found = False
    for setting in runs.settings:
        params, scale = setting.runs[0].params, depth_scale(setting)
        if scale is None or not {DEPTH, "init.scale"} <= params.keys():
            continue
        found = True
        learned = bool(setting.finished) and accuracy(setting) > LEARNED
        yield scale, float(params[DEPTH]), learned, float(params["init.scale"])
    if not found:
        raise MissingRunsError(DEPTH)


def by_phase(runs: Comparison) -> dict[str, list[Setting]]:
    """Return the settings of three scales, one on each side of the edge of chaos, by phase."""
    found: dict[float, list[Setting]] = {}
    for setting in runs.settings:
        scale = setting.runs[0].params.get("init.scale")
        if scale is not None and setting.finished:
            found.setdefault(float(scale), []).append(setting)
    scales = {scale: depth_scale(settings[0]) for scale, settings in found.items()}
    reach = [scales[scale] for scale in sorted(scales)]
    if len(reach) != 3 or None in reach or reach[1] != max(each or 0.0 for each in reach):
        raise MissingRunsError("init.scale")
    return dict(zip(PHASES, (found[scale] for scale in sorted(found))))


def critical_trains_best(runs: Comparison) -> Finding:
    best = {name: max(settings, key=accuracy) for name, settings in by_phase(runs).items()}
    ordered, critical, chaotic = map(accuracy, best.values())
    rival = max(("ordered", "chaotic"), key=lambda name: accuracy(best[name]))
    sure = certainty(best["critical"], best[rival], accuracy_of)
    return Finding(
        "At the edge of chaos, a deep network trains best",
        critical > max(ordered, chaotic),
        "test accuracy, with the best learning rate of each: "
        + ", ".join(
            f"{name} {accuracy(setting):.1%}"
            + (f" at {setting.values[RATE]}" if RATE in setting.values else "")
            for name, setting in best.items()
        )
        + f"; better than {rival} with {sure}",
    )


def gradients_as_predicted(runs: Comparison) -> Finding:
    """Compare the gradients of the first layer with those of the last, before training."""
    measured, predicted = {}, {}
    for name, settings in by_phase(runs).items():
        profiles = [
            profile
            for setting in settings
            for profile in profiles_of(setting, Statistic.UNIT_GRADIENT_STD)
        ]
        if not profiles:
            raise MissingRunsError(name)
        measured[name] = geometric_mean([each[0] / each[-1] for each, _ in profiles])
        predicted[name] = geometric_mean([band[0, 0] / band[0, -1] for _, band in profiles])
    close = all(0.5 < measured[name] / predicted[name] < 2 for name in PHASES)
    return Finding(
        "Gradients vanish in the ordered phase, explode in the chaotic one, and keep at its edge",
        close and measured["ordered"] < 1 / 3 < measured["critical"] < 3 < measured["chaotic"],
        "std of the gradients in the first hidden layer over that in the last: "
        + ", ".join(
            f"{name} {measured[name]:.2g} (predicted {predicted[name]:.2g})" for name in PHASES
        ),
    )


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return float(np.exp(np.mean(np.log(values))))


def fluctuations(runs: Comparison) -> list[tuple[int, float, float, int]]:
    """Return for each width and depth: the width, Σ 1/n, the variance of ln ‖x‖², and the runs.

    ‖x‖² is the square of the last hidden layer, over its units and the inputs.
    """
    found = []
    for setting in runs.settings:
        params = setting.runs[0].params
        squares = [each for each in map(last_square, setting.finished) if each]
        if {DEPTH, WIDTH} <= params.keys() and len(squares) > 1:
            width, depth = int(params[WIDTH]), int(params[DEPTH])
            variance = float(np.var(np.log(squares), ddof=1))
            found.append((width, depth / width, variance, len(squares)))
    if len(found) < 2:
        raise MissingRunsError(DEPTH)
    return found


def last_square(run: Run) -> float | None:
    """Return the mean square of the last hidden layer's activations."""
    layer = int(run.params.get(DEPTH, 0))
    names = [each.of_layer(layer) for each in (Statistic.UNIT_MEAN, Statistic.UNIT_STD)]
    if not set(names) <= run.metrics.keys():
        return None
    mean, std = (run.metrics[name] for name in names)
    return mean**2 + std**2


def variance_is_linear(runs: Comparison) -> Finding:
    """Fit a line through 0. Relative errors are the same for all, and so are weights of the fit."""
    _, sums, variances, counts = map(np.array, zip(*fluctuations(runs)))
    slopes = variances / sums
    slope = float(np.average(slopes, weights=counts))
    # The variance of N normal numbers has a relative standard error of √(2 / (N - 1)).
    errors = slope * np.sqrt(2 / (counts - 1))
    error = float(np.sqrt(1 / np.sum(1 / errors**2)))
    near = int((np.abs(slopes - slope) < ERRORS * errors).sum())
    return Finding(
        f"The variance of ln ‖x‖² over draws grows as Σ 1/n does, {SLOPE:g} times as fast",
        near == len(slopes) and abs(slope - SLOPE) < 0.2 * SLOPE,
        f"{slope:.2f} ± {error:.2f} times Σ 1/n; {near} of {len(slopes)} widths and depths are "
        f"within {ERRORS} standard errors of this line, from {variances.min():.2g} at "
        f"Σ 1/n = {sums[variances.argmin()]:.2g} to {variances.max():.2g} at "
        f"{sums[variances.argmax()]:.2g}",
    )


def equal_sums_fluctuate_alike(runs: Comparison) -> Finding:
    """Compare networks of other widths and depths, but of the same Σ 1/n."""
    by_sum: dict[float, list[tuple[int, float, float]]] = {}
    for width, total, variance, count in fluctuations(runs):
        by_sum.setdefault(round(total, 9), []).append((width, variance, np.sqrt(2 / (count - 1))))
    groups = {total: found for total, found in by_sum.items() if len(found) > 1}
    if not groups:
        raise MissingRunsError(WIDTH)
    gaps = [  # of the logarithms, in standard errors of a difference
        abs(np.log(one[1] / other[1])) / np.hypot(one[2], other[2])
        for found in groups.values()
        for at, one in enumerate(found)
        for other in found[:at]
    ]
    return Finding(
        "Wide and deep networks fluctuate as much as narrow and shallow ones of the same Σ 1/n",
        max(gaps) < ERRORS,
        "variance of ln ‖x‖² at "
        + "; ".join(
            f"Σ 1/n = {total:g}: "
            + ", ".join(f"{variance:.2g} (width {width})" for width, variance, _ in found)
            for total, found in sorted(groups.items())
        )
        + f"; pairs of the same sum differ by {max(gaps):.1f} standard errors at most",
    )
