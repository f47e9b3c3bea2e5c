"""Depth profile: signal and gradient over the layers, as measured and as theory predicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from initlab.figures import Profile, layer_ticks
from initlab.nn.metrics import Statistic
from initlab.report.charts.keys import assignment, values_of, varied_keys
from initlab.report.charts.layout import Chart, line_handles, titled_figure
from initlab.report.charts.scales import DECADES, HUGE, Floats, Scale
from initlab.report.charts.styles import (
    DIM,
    PALETTE,
    THIN,
    Style,
    colors,
    enough_colors,
    grey_note,
    legend_entries,
    middle_note,
)
from initlab.report.charts.words import compact, sentences
from initlab.report.comparison import Comparison, Setting
from initlab.report.formatting import format_count, join_words

TITLE = "depth profile"
NAMES = {Statistic.UNIT_STD: "signal", Statistic.UNIT_GRADIENT_STD: "gradient"}
MEANINGS = {
    Statistic.UNIT_STD: "std of activations",
    Statistic.UNIT_GRADIENT_STD: "std of ∂L/∂z",
}
HEIGHT, LOW = 2.1, 1.35  # of a panel alone in its row, and of two side by side
DOTS = (1, 2)  # of a line that joins measured points, in line widths

Profiles = Mapping[Statistic, Profile]


def draw_depth_profile(comparison: Comparison) -> Chart | None:
    """Draw the std of activations and of gradients over the hidden layers, a line a setting.

    Lines and bands are what theory predicts for the start, points are measured: open at the start,
    filled at the end. Many settings of several activations have panels for each activation. None if
    no run has such numbers of more than one layer.
    """
    every = {setting: profiles_of(setting) for setting in comparison.pictured}
    found = {setting: profiles for setting, profiles in every.items() if profiles}
    drawn = [profile for profiles in found.values() for profile in profiles.values()]
    deepest = max((profile.layers for profile in drawn), default=0)
    if deepest < 2:
        return None
    groups = by_activation(comparison, [*found])
    styles, entries, banded = styles_and_legend(comparison, groups)
    pointed = {setting for setting in found if styles[setting.number].own}
    scales = {
        name: profile_scale(
            profiles[name] if setting in pointed else profiles[name].before
            for setting, profiles in found.items()
            if name in profiles
        )
        for name in NAMES
        if any(name in profiles for profiles in found.values())
    }
    handles = [*line_handles(entries), *symbols(drawn)]
    rows, columns = (len(groups), len(scales)) if len(groups) > 1 else (len(scales), 1)
    figure = titled_figure(TITLE, rows * (LOW if columns > 1 else HEIGHT) + 0.2, handles)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    places = [(group, name) for group in groups for name in scales]
    for panel, (group, name) in zip(grid.ravel(), places):
        panel.set_title(f"{group}: {NAMES[name]}" if group else f"{NAMES[name]}: {MEANINGS[name]}")
        for setting in reversed(groups[group]):  # the best lies over the others
            if name in found[setting]:
                style = styles[setting.number]
                plot(panel, found[setting][name], style, scales[name], banded, columns)
        scales[name].apply(panel, "y")
        if columns > 1:
            panel.yaxis.get_major_locator().set_params(numticks=5)
    room = 0.04 * (deepest - 1)
    grid[0, 0].set_xlim(1 - room, deepest + room)
    grid[0, 0].set_xticks(layer_ticks(deepest))
    for panel in grid[-1]:
        panel.set_xlabel("hidden layer")
    edge = any(
        on_edge(profile, scales[name])
        for setting in pointed
        for name, profile in found[setting].items()
    )
    caption = sentences(
        "Signal: std of activations; gradient: std of ∂L/∂z." if len(groups) > 1 else "",
        middle_note(comparison),
        grey_note(comparison) if len(pointed) < len(found) else "",
        explanation(drawn, banded),
        "Points are geometric means over the runs of a setting."
        if any(len(setting.runs) > 1 for setting in found)
        else "",
        "Of the grey settings, only the lines are drawn." if len(pointed) < len(found) else "",
        "Points on the edge of a panel are zero, infinite or beyond the axis." if edge else "",
    )
    return Chart("depth_profile", TITLE, caption, description(found), figure)


def explanation(drawn: Sequence[Profile], banded: bool) -> str:
    """Say what lines, bands and points are."""
    predicted = [profile.predicted.size > 0 for profile in drawn]
    return sentences(
        "Line: what theory predicts for the start." if any(predicted) else "",
        "Band: where it expects 95 % of networks." if any(predicted) and banded else "",
        "Points: measured, open at the start and filled at the last step recorded."
        if trained(drawn)
        else "Points: measured at the start; nothing was trained.",
        ""
        if all(predicted)
        else "Thin dotted lines join the points of the start where theory predicts nothing.",
    )


def trained(drawn: Sequence[Profile]) -> bool:
    """Return whether anything was measured after the start."""
    return any(len(profile.measured) > 1 for profile in drawn)


def profiles_of(setting: Setting) -> dict[Statistic, Profile]:
    """Return the profiles of a setting that were measured: means over the runs that finished."""
    found = {}
    for name in NAMES:
        key = f"{name}/measured"
        runs = [run for run in setting.pictured if run.histograms.get(key, np.empty(0)).size]
        runs = [run for run in runs if run in setting.finished] or runs
        if not runs:
            continue
        measured = [run.histograms[key].astype(np.float64) for run in runs]
        layers = measured[0].shape[1]
        measured = [each for each in measured if each.shape[1] == layers]
        theory = [
            run.histograms.get(f"{name}/theory", np.empty(0)).astype(np.float64) for run in runs
        ]
        theory = [each for each in theory if each.shape == (3, layers)]
        ends = [each[-1] for each in measured if len(each) > 1]
        starts = [each[0] for each in measured]
        found[name] = Profile(
            np.array([geometric_mean(each) for each in (starts, ends) if each]),
            geometric_mean(theory) if theory else np.empty((3, 0)),
        )
    return found


def geometric_mean(arrays: Sequence[Floats]) -> Floats:
    """Return the geometric mean of arrays; that of zero and anything finite is zero."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean: Floats = np.exp(np.mean(np.log(arrays), axis=0))
    return mean


def profile_scale(profiles: Iterable[Profile]) -> Scale:
    """Return a logarithmic scale of all that is shown, over 24 decades at the most."""
    values = np.concatenate([np.clip(each.shown, 1 / HUGE, HUGE) for each in profiles])
    if not values.size:
        return Scale(0.1, 1.0, log=True)
    middle, reach = float(np.median(values)), 10.0**DECADES
    low, high = max(values.min(), middle / reach) / 1.3, min(values.max(), middle * reach) * 1.3
    wider = max(1.0, 10 * low / high) ** 0.5  # a decade at least, or small changes would seem large
    return Scale(low / wider, high * wider, log=True)


def plot(
    panel: Axes, profile: Profile, style: Style, scale: Scale, banded: bool, columns: int
) -> None:
    """Draw a setting: the prediction, or else a dotted line, and its points unless it is grey.

    columns  how many panels share the width of the picture
    """
    layers = np.arange(1, profile.layers + 1)
    start = np.clip(profile.measured[0], scale.low, scale.high)
    if profile.predicted.size:
        value, low, high = scale.clip(profile.predicted)
        panel.plot(layers, value, **style.line | {"linewidth": 0.7 * style.line["linewidth"]})
        if banded:
            panel.fill_between(layers, low, high, color=style.color, alpha=0.15, lw=0)
    else:
        panel.plot(layers, start, color=style.color, lw=THIN, ls=(0, DOTS))
    if style.own:
        size = float(np.clip(90 / columns / profile.layers, 1.4, 4))
        fills = ("white", style.color)
        for numbers, fill, share in zip(profile.measured, fills, (1, 0.8)):
            points = np.clip(numbers, scale.low, scale.high)
            look = point(style.color, fill, share * size)
            panel.plot(layers, points, clip_on=False, zorder=3, **look)


def point(color: str, fill: str, size: float) -> dict[str, Any]:
    """Return the look of points as arguments of Matplotlib's lines."""
    return {
        "linestyle": "",
        "marker": "o",
        "markersize": size,
        "markeredgecolor": color,
        "markerfacecolor": fill,
        "markeredgewidth": 0.8,
    }


def symbols(drawn: Sequence[Profile]) -> list[Line2D]:
    """Return the entries of a legend that say what lines and points are."""
    line = Line2D([], [], label="start, theory", color=DIM, lw=1)
    start = Line2D([], [], label="start, measured", **point(DIM, "white", 4))
    end = Line2D([], [], label="end", **point(DIM, DIM, 3.2))
    predicted = any(profile.predicted.size for profile in drawn)
    return [line] * predicted + [start] + [end] * trained(drawn)


def by_activation(comparison: Comparison, settings: Sequence[Setting]) -> dict[str, list[Setting]]:
    """Return many settings by their activation, or all under "" where they fit into one panel."""
    keys = varied_keys(comparison)
    if "activation" not in keys or len(keys) == 1 or len(settings) <= len(PALETTE):
        return {"": [*settings]}
    groups = {
        value: [each for each in settings if each.values.get("activation", "") == value]
        for value in values_of(comparison, "activation")
    }
    return {value: members for value, members in groups.items() if members}


def styles_and_legend(
    comparison: Comparison, groups: Mapping[str, Sequence[Setting]]
) -> tuple[list[Style], list[tuple[str, Style]], bool]:
    """Return the style of each setting by its number, a legend, and whether there are bands.

    They are those of all charts. But where only one key varies within the panels of an activation,
    colors stand for its values.
    """
    others = [key for key in varied_keys(comparison) if key != "activation"]
    if len(groups) > 1 and len(others) == 1:
        (key,) = others
        values = values_of(comparison, key)
        if len(values) <= len(PALETTE):
            hues = {value: Style(color) for value, color in zip(values, PALETTE)}
            styles = [hues[setting.values.get(key, "")] for setting in comparison.settings]
            return styles, [(assignment(key, value), hues[value]) for value in values], True
    shown = [setting for members in groups.values() for setting in members]
    return colors(comparison), legend_entries(comparison, shown), enough_colors(comparison)


def on_edge(profile: Profile, scale: Scale) -> bool:
    """Return whether any point lies on the edge of its panel, because it has no place inside."""
    return scale.cuts_off(profile.measured[~np.isnan(profile.measured)])


def description(found: Mapping[Setting, Profiles]) -> str:
    """Say what the first and the last layer of the best settings had at the start."""
    lines = []
    for setting, profiles in [*found.items()][: len(PALETTE)]:
        ends = (
            f"{NAMES[name]} {compact(profile.measured[0, 0])} to {compact(profile.measured[0, -1])}"
            for name, profile in profiles.items()
        )
        lines.append(f"{setting.name}: {', '.join(ends)}")
    shown = [name for name in NAMES if any(name in profiles for profiles in found.values())]
    subject = join_words([NAMES[name] for name in shown]).capitalize()
    subject += f" over the hidden layers of {format_count(len(found), 'setting')}"
    return f"{subject}, at the start from the first layer to the last. {'; '.join(lines)}."
