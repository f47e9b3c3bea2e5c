"""Parallel coordinates: many settings over all keys that vary, as one picture."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib
import numpy as np
from markupsafe import Markup, escape

from initlab import figures
from initlab.report.charts.heat_map import color_scale, ranking_metric, result
from initlab.report.charts.keys import numeric_values, values_of, varied_keys
from initlab.report.charts.scales import Floats, Scale
from initlab.report.comparison import Comparison, Setting
from initlab.report.formatting import format_value

FEWEST_KEYS, FEWEST_SETTINGS = 3, 12
MOST_SETTINGS = 2000
WIDTH, HEIGHT, TOP, BOTTOM = 880, 300, 44, 14
SIDE = 96  # pixels beside the outer axes, for the names of values
MOST_NAMES = 12  # of an axis
LETTERS = 12


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis: a key, and where each setting and each tick is, from 0 below to 1 above."""

    name: str
    places: Floats
    ticks: dict[str, float]


@dataclass(frozen=True, eq=False)
class Parallel:
    """The picture, and what one must know to read it."""

    svg: Markup
    caption: str


def parallel(comparison: Comparison) -> Parallel | None:
    """Return the view of a comparison of three keys or more and many settings, None for others."""
    keys = varied_keys(comparison)
    settings = [each for each in comparison.ranked if result(each) is not None][:MOST_SETTINGS]
    if len(keys) < FEWEST_KEYS or len(settings) < FEWEST_SETTINGS:
        return None
    subject, share = ranking_metric(comparison)
    scores = np.array([result(each) for each in settings], np.float64)
    axes = [key_axis(comparison, key, settings) for key in keys]
    axes.append(score_axis(subject, scores, share, comparison.by.higher))
    colormap, norm = color_scale(scores, comparison.by)
    columns = np.linspace(SIDE, WIDTH - SIDE, len(axes))
    parts = [
        f'<svg class="parallel" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(subject)} over {escape(", ".join(keys))}">'
    ]
    for number in range(len(settings) - 1, -1, -1):
        points = [f"{x:.0f} {height(axis.places[number]):.1f}" for x, axis in zip(columns, axes)]
        color = matplotlib.colors.to_hex(colormap(norm(scores[number])))
        width = 2.5 if number == 0 else 1
        parts.append(
            f'<path fill="none" stroke="{color}" stroke-width="{width}" opacity="'
            f'{1 if number == 0 else 0.7}" d="M{"L".join(points)}">'
            f"<title>{escape(settings[number].name)}: {score_text(scores[number], share)}</title>"
            "</path>"
        )
    for number, (x, axis) in enumerate(zip(columns, axes)):
        last = number == len(axes) - 1
        side, anchor = (8, "start") if last else (-6, "end")
        parts.append(f'<path class="axis" d="M{x:.0f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="label" x="{x:.0f}" y="{16 + 14 * (number % 2)}" text-anchor="middle">'
            f"{escape(shortened(axis.name, 24))}</text>"
        )
        parts += [
            f'<text class="tick" x="{x + side:.0f}" y="{height(place) + 4:.1f}" '
            f'text-anchor="{anchor}">{escape(shortened(text, LETTERS))}</text>'
            for text, place in axis.ticks.items()
        ]
    best = settings[0]
    return Parallel(
        Markup("".join([*parts, "</svg>"])),
        f"Each line is a setting, from its values to its {subject}: the lighter, the better. The "
        f"thick line is the best, {best.name}.",
    )


def key_axis(comparison: Comparison, key: str, settings: list[Setting]) -> Axis:
    """Return the axis of a key: numbers to scale if there are many, names evenly spaced."""
    known = values_of(comparison, key)
    numbers = numeric_values(comparison, key) if len(known) > MOST_NAMES else None
    if numbers is not None:
        scale = Scale.around(np.array(numbers))
        own = np.array([float(setting.values[key]) for setting in settings])
        ticks = {
            text: float(scale.fractions(np.array([at]))[0]) for at, text in scale.ticks.items()
        }
        return Axis(key, scale.fractions(own), ticks)
    at = {value: (place + 0.5) / len(known) for place, value in enumerate(known)}
    shown = [known[place] for place in figures.spaced(len(known), MOST_NAMES)]
    return Axis(
        key,
        np.array([at[setting.values.get(key, "")] for setting in settings]),
        {format_value(value) or "none": at[value] for value in shown},
    )


def score_axis(subject: str, scores: Floats, share: bool, higher: bool) -> Axis:
    """Return the axis of the score, the better end above."""
    if scores.min() == scores.max():
        return Axis(subject, np.full(len(scores), 0.5), {score_text(scores[0], share): 0.5})
    scale = Scale.around(scores)
    around = Scale(scale.low, scale.high, scale.log, share)
    places = around.fractions(scores)
    ticks = {text: float(around.fractions(np.array([at]))[0]) for at, text in around.ticks.items()}
    if higher:
        return Axis(subject, places, ticks)
    return Axis(subject, 1 - places, {text: 1 - place for text, place in ticks.items()})


def height(place: float) -> float:
    """Return how far from the top a place is, in pixels."""
    return TOP + (1 - place) * (HEIGHT - TOP - BOTTOM)


def score_text(score: float, share: bool) -> str:
    """Return a score for people."""
    return f"{score:.1%}" if share else f"{score:.3g}"


def shortened(text: str, letters: int) -> str:
    """Return a text of at most so many letters."""
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
