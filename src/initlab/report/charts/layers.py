"""Layers: which of a run have histograms to draw, and what is to be said of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from initlab import figures
from initlab.report.charts.scales import Floats
from initlab.report.comparison import Setting, Spread
from initlab.tracking.runs import Run

SEEN = 0.005  # share from which on what lies beyond the edges is drawn and told


def recorded(run: Run) -> bool:
    """Tell whether a run has histograms of activations, as initlab leaves them."""
    steps, edges, counts = (
        run.histograms.get(name, np.empty(0))
        for name in ("steps", "activations/edges", "activations/counts")
    )
    return (
        counts.ndim == 3
        and counts.size > 0
        and edges.ndim == steps.ndim == 1
        and counts.shape[-1] == len(edges) + 1 > 3
        and len(counts) == len(steps)
    )


def chosen(run: Run) -> NDArray[np.intp]:
    """Return the indices of the layers that are drawn."""
    return figures.spaced(run.histograms["activations/counts"].shape[1])


def deviations(setting: Setting, run: Run) -> list[float | None]:
    """Return the standard deviation of each layer drawn, the mean over the runs of a setting."""
    names = [f"unit_std/layer_{layer + 1}" for layer in chosen(run)]
    spreads = [Spread.of(each.metrics.get(name) for each in setting.runs) for name in names]
    return [spread.mean if spread else None for spread in spreads]


def hidden(counts: NDArray[np.int64], edges: Floats) -> list[str]:
    """Return what a histogram does not show: how many share one bin, and what lies beyond."""
    if not counts.sum():
        return ["not finite"]
    shares, beyond = figures.within(counts), counts[[0, -1]].sum() / counts.sum()
    remarks = []
    if shares.max() >= figures.TELLING:
        remarks.append(f"{shares.max():.0%} at {figures.place_of(shares, edges):.2g}")
    if beyond >= SEEN:
        remarks.append(f"{beyond:.0%} beyond")
    return remarks
