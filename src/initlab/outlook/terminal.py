"""Outlooks in the terminal: a setting layer by layer, or a grid with a row for each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

from initlab import console
from initlab.nn.prediction import Prediction
from initlab.nn.theory import TRAINABLE, Limit, Phase
from initlab.outlook.outlook import Outlook

MOST_ROWS = 20  # of a deeper network, this many evenly spaced layers are shown
BACKWARD = {
    Phase.ORDERED: "gradients vanish from layer to layer",
    Phase.CRITICAL: "gradients keep their size",
    Phase.CHAOTIC: "gradients explode from layer to layer",
}
FORWARD = {
    Phase.ORDERED: ", and inputs become alike",
    Phase.CRITICAL: ", and many layers can tell inputs apart",
    Phase.CHAOTIC: ", and even near inputs come apart",
}


def print_outlook(outlook: Outlook) -> None:
    """Print what theory says of a setting."""
    if outlook.experiment:
        console.out.print(f"one setting of {outlook.experiment}; -m shows all", style="dim")
    console.print_heading(outlook.name)
    for line in (inputs_line(outlook), *outlook.notes):
        console.out.print(Text(line))
    if outlook.prediction:
        print_titled(layer_title(outlook.prediction), layer_table(outlook.prediction))
        title = "many such layers" if outlook.plain else "these layers, on average"
        limit = outlook.prediction.limit
        print_titled(title, limit_table(limit))
        if outlook.plain:
            console.out.print(f"trains to {depth_words(limit.depth_scale_c)}")
        if not math.isnan(limit.chi1):
            console.out.print(phase_words(limit.phase, outlook.plain))
    if outlook.advice:
        console.out.print(Text(outlook.advice), soft_wrap=True)


def print_grid(outlooks: Sequence[Outlook]) -> None:
    """Print a row for each setting, and the remarks that some of them have."""
    title = "std: of the first and last hidden layer; gradient: its std, first by last layer"
    print_titled(title, grid_table(outlooks))
    notes = [note for each in outlooks for note in (inputs_line(each), *each.notes)]
    for note in dict.fromkeys(notes):
        console.out.print(Text(note))


def inputs_line(outlook: Outlook) -> str:
    """Return what the network reads, as far as theory asks."""
    square, correlation, _ = outlook.inputs
    return f"inputs: mean square {square:.3g}, correlation {correlation:.3g} ({outlook.source})"


def print_titled(title: str, table: Table) -> None:
    """Print a table below a line of its own, which may be longer than the table is wide."""
    console.out.print(Text(title, style="dim"))
    console.out.print(table)


def plain_table() -> Table:
    """Return an empty table in the style of the others."""
    return Table(box=None, pad_edge=False, header_style="dim")


def shown_layers(count: int) -> list[int]:
    """Return the indices of the layers that are shown."""
    return sorted({*np.linspace(0, count - 1, min(count, MOST_ROWS)).round().astype(int)})


def layer_title(prediction: Prediction) -> str:
    """Return the title of the layers."""
    count = len(prediction.unit_std)
    number = len(shown_layers(count))
    some = f"{number} of {count:,} " if number < count else ""
    return f"{some}hidden layers as initialised; low to high: 95 % of networks"


def layer_table(prediction: Prediction) -> Table:
    """Return the table of the hidden layers."""
    table = plain_table()
    for heading in ("layer", "std", "low", "high", "correlation", "gradient std"):
        table.add_column(heading, justify="right")
    for index in shown_layers(len(prediction.unit_std)):
        gradient = prediction.unit_gradient_std[index].value
        table.add_row(
            f"{index + 1:,}",
            *(f"{each:.3g}" for each in prediction.unit_std[index]),
            f"{prediction.correlation[index]:.3f}".replace("nan", ""),
            f"{gradient:.2g}",
        )
    return table


def limit_table(limit: Limit) -> Table:
    """Return what many layers tend to, as far as it is known."""
    near = "layers that leave 1/e of the distance from"
    correlated = f"{near} c*"
    if math.isnan(limit.c_star):
        correlated = "layers that change a gradient's mean square by a factor of e"
    table = plain_table()
    table.show_header = False
    for name, value, words in (
        ("q*", figure(limit.q_star), "variance of pre-activations that they tend to"),
        ("c*", f"{limit.c_star:.4f}", "correlation of two inputs that they tend to"),
        ("χ₁", figure(limit.chi1), "factor by which a layer changes a gradient's mean square"),
        ("ξ_q", figure(limit.depth_scale_q), f"{near} q*"),
        ("ξ_c", figure(limit.depth_scale_c), correlated),
    ):
        if value != "nan":
            table.add_row(name, value, words)
    return table


def figure(value: float) -> str:
    """Return a number that may be infinite."""
    return "∞" if math.isinf(value) else f"{value:.4g}"


def depth(depth_scale: float) -> float:
    """Return how many layers can be trained, to two digits."""
    return float(f"{TRAINABLE * depth_scale:.2g}")


def depth_words(depth_scale: float) -> str:
    """Return the same in words."""
    layers = depth(depth_scale)
    if math.isinf(layers):
        return "any depth: ξ_c sets no limit"
    if layers < 1:
        return "less than one layer (6 ξ_c)"
    return f"about {layers:,.0f} layer{'s' * (round(layers) != 1)} (6 ξ_c)"


def phase_words(phase: Phase, plain: bool) -> str:
    """Return the phase, and what it means."""
    return f"{phase}: {BACKWARD[phase]}{FORWARD[phase] * plain}"


def grid_table(outlooks: Sequence[Outlook]) -> Table:
    """Return a row for each setting."""
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
    table.add_column("setting", overflow="fold")
    for heading in ("χ₁", "phase", "ξ_c", "depth", "std", "", "gradient"):
        table.add_column(heading, justify="right", no_wrap=True)
    for outlook in outlooks:
        table.add_row(Text(outlook.name), *grid_cells(outlook))
    return table


def grid_cells(outlook: Outlook) -> list[str]:
    """Return the numbers of a row."""
    found = outlook.prediction
    if not found:
        return ["", "unknown"]
    limit, stds, gradients = found.limit, found.unit_std, found.unit_gradient_std
    layers = depth(limit.depth_scale_c) if outlook.plain else math.nan
    first, last = gradients[0].value, gradients[-1].value
    cells = [
        f"{limit.chi1:.3g}",
        str(limit.phase) if not math.isnan(limit.chi1) else "",
        f"{limit.depth_scale_c:.3g}",
        "any" if math.isinf(layers) else f"{layers:,.0f}",
        f"{stds[0].value:.3g}",
        f"{stds[-1].value:.3g}",
        f"{first / last if last else math.nan:.3g}",
    ]
    return [{"nan": "", "inf": "∞"}.get(cell, cell) for cell in cells]
