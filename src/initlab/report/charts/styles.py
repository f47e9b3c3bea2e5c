"""Styles: the color and the dashes of each setting, the same in all charts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from initlab.figures import BLUE, GREEN, ORANGE
from initlab.report.charts.keys import assignment, most_values_first, values_of, varied_keys
from initlab.report.comparison import ENDS, Comparison, Setting

# Okabe & Ito's palette without black, which is for text, and yellow, which is lost on white. The
# last color is one of Paul Tol's, the most distinct from the others for the color-blind.
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#661100")
DASHES = ((), (4, 1.6), (1.2, 1.4), (5, 1.5, 1.2, 1.5))  # in line widths
GREY, DIM = "#c2c2c2", "#5f5f5f"  # of lines, and of text of less importance
LINE, THIN = 1.5, 0.6  # points


@dataclass(frozen=True)
class Style:
    """How a setting is drawn.

    color   as #rrggbb
    dashes  ink and gap in turn, in line widths; empty for a solid line
    own     whether no other setting looks the same; the grey ones do
    """

    color: str
    dashes: tuple[float, ...] = ()
    own: bool = True

    @property
    def line(self) -> dict[str, Any]:
        """The style as arguments of Matplotlib's lines."""
        return {
            "color": self.color,
            "linestyle": (0, self.dashes) if self.dashes else "-",
            "linewidth": LINE if self.own else THIN,
        }


OTHER = Style(GREY, own=False)


def colors(comparison: Comparison) -> list[Style]:
    """Return the style of each setting, by its number.

    Up to seven settings have a color each, in the order of their numbers. If there are more and
    just two keys vary, colors stand for the key with more values and dashes for the other one.
    Otherwise the best seven have colors, the best the first, and the others are grey.
    """
    if keys := color_and_dash_keys(comparison):
        hues, strokes = (values_of(comparison, key) for key in keys)
        return [
            Style(
                PALETTE[hues.index(setting.values.get(keys[0], ""))],
                DASHES[strokes.index(setting.values.get(keys[1], ""))],
            )
            for setting in comparison.settings
        ]
    styles = [OTHER] * len(comparison.settings)
    for color, setting in zip(PALETTE, colored_settings(comparison)):
        styles[setting.number] = Style(color)
    return styles


def enough_colors(comparison: Comparison) -> bool:
    """Return whether there is a color for each setting."""
    return len(comparison.settings) <= len(PALETTE)


def colored_settings(comparison: Comparison) -> list[Setting]:
    """Return the settings that have a color of their own, in the order of the palette."""
    if enough_colors(comparison):
        return comparison.settings
    return comparison.ranked[: len(PALETTE)]


def color_and_dash_keys(comparison: Comparison) -> tuple[str, str] | None:
    """Return the keys that colors and dashes stand for, None where dashes are not needed."""
    keys = varied_keys(comparison)
    if len(keys) != 2 or enough_colors(comparison):
        return None
    hue, stroke = most_values_first(comparison, keys)
    fits = len(values_of(comparison, hue)) <= len(PALETTE)
    return (hue, stroke) if fits and len(values_of(comparison, stroke)) <= len(DASHES) else None


def legend_entries(comparison: Comparison, shown: Collection[Setting]) -> list[tuple[str, Style]]:
    """Return what the lines of the settings shown stand for."""
    if keys := color_and_dash_keys(comparison):
        hues, strokes = (values_of(comparison, key) for key in keys)
        return [
            *((assignment(keys[0], value), Style(color)) for value, color in zip(hues, PALETTE)),
            *(
                (assignment(keys[1], value), Style(DIM, dash))
                for value, dash in zip(strokes, DASHES)
            ),
        ]
    styles = colors(comparison)
    own = [setting for setting in colored_settings(comparison) if setting in shown]
    entries = [(setting.name, styles[setting.number]) for setting in own]
    others = len(shown) - len(own)
    return [*entries, (f"{others} others", OTHER)] if others else entries


def middle_note(comparison: Comparison) -> str:
    """Say that only the best settings and the worst are drawn, "" if all are."""
    if not comparison.unpictured:
        return ""
    count = len(comparison.settings)
    return f"The best {ENDS} and the worst {ENDS} of {count:,} settings are drawn."


def grey_note(comparison: Comparison) -> str:
    """Say which settings are grey, "" if none is."""
    if enough_colors(comparison) or color_and_dash_keys(comparison):
        return ""
    count, own = len(comparison.settings), len(PALETTE)
    return f"The best {own} of {count:,} settings are in colour, the others grey."
