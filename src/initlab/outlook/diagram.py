"""The phase diagram of an activation: σw² and σb², where the phases are, and one setting in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from initlab.checks import UserError
from initlab.data.arrays import Array
from initlab.folders import unwritable
from initlab.nn import theory
from initlab.nn.activations import Activation
from initlab.outlook.outlook import Outlook, Place

ORDERED, CHAOTIC = "#d8e8f3", "#fbe3d6"
INK, LINE, POINT = "#222222", "#666666", "#D55E00"
DEPTHS = (10, 30, 100)  # layers that can be trained, 6 ξ_c
CELLS = 200  # of the grid, along each axis
VARIANCES = np.geomspace(1e-9, 1e9, 721)  # candidates for q*
COARSE = (36, 16)  # variances and correlations that give the depths of the chaotic phase


def write(outlook: Outlook, file: Path) -> None:
    """Draw the diagram into a PNG file; raises `UserError` if there is none or the disk refuses."""
    if not outlook.plain:
        raise UserError(f"picture={file}: there are no phases with batch norm or residual blocks")
    if not outlook.prediction:
        raise UserError(f"picture={file}: there is nothing to draw: {outlook.notes[-1]}")
    figure = draw(outlook.config.activation, outlook.place)
    try:
        with np.errstate(over="ignore"):  # where ticks are as large as numbers can be
            figure.savefig(file, format="png", dpi=150)
    except OSError as error:
        raise unwritable(f"picture={file}", error) from error


def draw(activation: Activation, place: Place) -> Figure:
    """Return the diagram of an activation around a place, which is marked."""
    squares = theory.mean_square(activation, VARIANCES)
    slopes = theory.mean_square_slope(activation, VARIANCES)
    right, top = extent(place, squares, slopes)
    weights, biases = np.linspace(0, right, CELLS), np.linspace(0, top, CELLS)
    chi1 = factors(weights, biases, place.start, squares, slopes)
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.contourf(weights, biases, chi1, [0, 1, np.inf], colors=[ORDERED, CHAOTIC])
    axes.contour(weights, biases, chi1, [1], colors=INK, linewidths=1.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = theory.TRAINABLE / -np.log(np.where(chi1 < 1, chi1, np.nan))
    contour_depths(axes, weights, biases, reach)
    contour_depths(axes, *chaotic_depths(activation, right, top))
    axes.plot(place.weight_variance, place.bias_variance, "o", color=POINT, clip_on=False, zorder=5)
    beside = -1 if place.weight_variance > 0.7 * right else 1
    axes.annotate(
        "this setting",
        (place.weight_variance, place.bias_variance),
        (8 * beside, 6),
        textcoords="offset points",
        ha="left" if beside > 0 else "right",
        color=POINT,
    )
    for words, x, side in (("ordered", 0.02, "left"), ("chaotic", 0.98, "right")):
        axes.text(x, 0.97, words, transform=axes.transAxes, ha=side, va="top", color=INK)
    axes.set(
        xlim=(0, right),
        ylim=(0, top),
        xlabel="σw², variance of weights × fan-in",
        ylabel="σb², variance of biases",
        title=f"{type(activation).__name__}: edge of chaos, and layers that train (6 ξ_c)",
    )
    return figure


def extent(place: Place, squares: Array, slopes: Array) -> tuple[float, float]:
    """Return the largest σw² and σb² to show."""
    edge_weights, edge_biases = 1 / slopes, VARIANCES - squares / slopes
    there = (edge_biases >= 0) & np.isfinite(edge_weights)
    nearest = edge_weights[there].min() if there.any() else float(1 / slopes[len(slopes) // 2])
    right = max(2.5 * nearest, 1.3 * place.weight_variance)
    seen = edge_biases[there & (edge_weights < 0.8 * right) & (edge_biases > 1e-6)]
    top = min(seen.max(), right / 2) if len(seen) else 1.0
    return float(right), float(max(top, 1.3 * place.bias_variance))


def factors(weights: Array, biases: Array, start: float, squares: Array, slopes: Array) -> Array:
    """Return χ₁ for every σb² and σw², (B, W), at the q* that a variance tends to from `start`.

    squares, slopes  E φ² and E φ'² at `VARIANCES`
    """
    result = np.empty((len(biases), len(weights)))
    first = int(np.searchsorted(VARIANCES, start).clip(1, len(VARIANCES) - 2))
    for column, weight in enumerate(weights):
        gaps = weight * squares + biases[:, None] - VARIANCES
        up = gaps[:, first] > 0
        above = first + np.argmax(gaps[:, first:] <= 0, axis=-1)
        above[~(gaps[:, first:] <= 0).any(axis=-1)] = len(VARIANCES) - 1
        below = first - np.argmax(gaps[:, first::-1] >= 0, axis=-1)
        below[~(gaps[:, first::-1] >= 0).any(axis=-1)] = 0
        low = np.where(up, np.maximum(above - 1, 0), below)
        high = np.minimum(low + 1, len(VARIANCES) - 1)
        rows = np.arange(len(biases))
        near, far = gaps[rows, low], gaps[rows, high]
        share = np.clip(near / np.where(near == far, np.inf, near - far), 0, 1)
        result[:, column] = weight * (slopes[low] + share * (slopes[high] - slopes[low]))
    return result


def chaotic_depths(activation: Activation, right: float, top: float) -> tuple[Array, Array, Array]:
    """Return σw², σb² and 6 ξ_c, each (Q, C), of the chaotic phase: for q* and c* given.

    They are fixed points where q = σw² E[φ²] + σb² and q c = σw² E[φ(u₁) φ(u₂)] + σb².
    """
    largest = theory.fixed_variance(activation, right, top)
    largest = largest if 0 < largest < 1e6 else 1e2
    q = np.geomspace(1e-3 * largest, largest, COARSE[0])
    c = np.linspace(0, 0.999, COARSE[1])
    products = np.array([[theory.mean_product(activation, a, b) for b in c] for a in q])
    slopes = np.array([[theory.mean_product_slope(activation, a, b) for b in c] for a in q])
    squares = theory.mean_square(activation, q)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = q[:, None] * (1 - c) / (squares - products)
        biases = q[:, None] - weights * squares
        reach = theory.TRAINABLE / -np.log(weights * slopes)
    seen = (biases >= -1e-9) & (biases < 1.2 * top) & (weights < 1.2 * right)
    return weights, biases, np.where(seen & (reach > 0), reach, np.nan)


def contour_depths(axes: Axes, weights: Array, biases: Array, reach: Array) -> None:
    """Draw lines where a given number of layers can be trained, as far as there are such."""
    if not np.isfinite(reach).any():
        return
    levels = [each for each in DEPTHS if np.nanmin(reach) < each < np.nanmax(reach)]
    if levels:
        lines = axes.contour(
            weights, biases, np.ma.masked_invalid(reach), levels, colors=LINE, linewidths=0.7
        )
        axes.clabel(lines, fmt="%d layers", fontsize=7)
