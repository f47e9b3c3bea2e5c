"""Styles: the colour and the dashes of each setting, the same in all charts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from initlab.figures import BLUE, GREEN, ORANGE
from initlab.report.charts.keys import axes, by_count, options, said
from initlab.report.comparison import Comparison, Setting

# Okabe & Ito's palette without black, which is for words, and yellow, which is lost on white. The
# last is of Paul Tol's, the farthest from the others in the eyes of the colour-blind.
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#661100")
DASHES = ((), (4, 1.6), (1.2, 1.4), (5, 1.5, 1.2, 1.5))  # in widths of the line
GREY, DIM = "#c2c2c2", "#5f5f5f"  # of lines, and of words that are less than others
LINE, THIN = 1.5, 0.6  # points


@dataclass(frozen=True)
class Style:
    """How a setting is drawn.

    color   as #rrggbb
    dashes  ink and gap by turns, in widths of the line; empty for a solid one
    own     whether it can be told from the others; a grey one cannot
    """

    color: str
    dashes: tuple[float, ...] = ()
    own: bool = True

    @property
    def line(self) -> dict[str, Any]:
        """The same as Matplotlib names it."""
        return {
            "color": self.color,
            "linestyle": (0, self.dashes) if self.dashes else "-",
            "linewidth": LINE if self.own else THIN,
        }


OTHER = Style(GREY, own=False)


def colors(comparison: Comparison) -> list[Style]:
    """Return the style of each setting, by its number.

    Up to seven settings have a colour each, in the order of their numbers. If there are more and
    just two keys vary, the one with more values is told by colours, the other by dashes. Otherwise
    the best seven have colours, the best the first, and the others are grey.
    """
    if keys := crossed(comparison):
        hues, strokes = (options(comparison, key) for key in keys)
        return [
            Style(
                PALETTE[hues.index(setting.values.get(keys[0], ""))],
                DASHES[strokes.index(setting.values.get(keys[1], ""))],
            )
            for setting in comparison.settings
        ]
    styles = [OTHER] * len(comparison.settings)
    for color, setting in zip(PALETTE, colored(comparison)):
        styles[setting.number] = Style(color)
    return styles


def few(comparison: Comparison) -> bool:
    """Tell whether there is a colour for each setting."""
    return len(comparison.settings) <= len(PALETTE)


def colored(comparison: Comparison) -> list[Setting]:
    """Return the settings that have a colour of their own, in the order of the palette."""
    return comparison.settings if few(comparison) else comparison.ranked[: len(PALETTE)]


def crossed(comparison: Comparison) -> tuple[str, str] | None:
    """Return the keys that colours and dashes tell, None where colours do for all."""
    keys = axes(comparison)
    if len(keys) != 2 or few(comparison):
        return None
    hue, stroke = by_count(comparison, keys)
    fits = len(options(comparison, hue)) <= len(PALETTE)
    return (hue, stroke) if fits and len(options(comparison, stroke)) <= len(DASHES) else None


def legend(comparison: Comparison, shown: Collection[Setting]) -> list[tuple[str, Style]]:
    """Return what the lines of the settings that are shown mean."""
    if keys := crossed(comparison):
        hues, strokes = (options(comparison, key) for key in keys)
        return [
            *((said(keys[0], value), Style(color)) for value, color in zip(hues, PALETTE)),
            *((said(keys[1], value), Style(DIM, dash)) for value, dash in zip(strokes, DASHES)),
        ]
    styles = colors(comparison)
    own = [setting for setting in colored(comparison) if setting in shown]
    entries = [(setting.name, styles[setting.number]) for setting in own]
    others = len(shown) - len(own)
    return [*entries, (f"{others} others", OTHER)] if others else entries


def greyness(comparison: Comparison) -> str:
    """Say which settings are grey, "" if none is."""
    if few(comparison) or crossed(comparison):
        return ""
    count, own = len(comparison.settings), len(PALETTE)
    return f"The best {own} of {count} settings are in colour, the others grey."
