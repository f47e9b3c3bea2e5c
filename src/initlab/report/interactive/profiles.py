"""Profiles: signal and gradient over the hidden layers, as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from initlab.figures import Profile
from initlab.nn.metrics import Statistic
from initlab.report.charts.depth_profile import (
    MEANINGS,
    NAMES,
    Profiles,
    by_activation,
    description,
    explanation,
    profile_scale,
    profiles_of,
    styles_and_legend,
)
from initlab.report.charts.styles import Style, grey_note
from initlab.report.charts.words import sentences
from initlab.report.comparison import Comparison, Setting
from initlab.report.interactive.curves import best_and_worst, left_out
from initlab.report.interactive.plot import Line, Plot

NONE = np.empty(0)
UNFOLDED = 1  # activations whose profiles are in sight, where there are more than two


def profile_plots(comparison: Comparison) -> list[Plot]:
    """Return the signal and the gradient over the layers, for each activation if there are many."""
    ranked = [(setting, profiles_of(setting)) for setting in comparison.pictured]
    every = {setting: profiles for setting, profiles in ranked if profiles}
    found = {setting: every[setting] for setting in best_and_worst([*every])}
    drawn = [profile for profiles in found.values() for profile in profiles.values()]
    deepest = max((profile.layers for profile in drawn), default=0)
    if deepest < 2:
        return []
    groups = by_activation(comparison, [*found])
    styles, _, banded = styles_and_legend(comparison, groups)
    plots = []
    for number, (group, settings) in enumerate(groups.items()):
        for name in NAMES:
            members = {each: found[each] for each in settings if name in found[each]}
            if members:
                plots.append(profile_plot(name, number, group, members, styles, banded, deepest))
    notes = sentences(
        left_out(len(every) + comparison.unpictured),
        grey_note(comparison) if any(not styles[each.number].own for each in found) else "",
        explanation(drawn, banded),
        "Points are geometric means over the runs of a setting."
        if any(len(setting.runs) > 1 for setting in found)
        else "",
    )
    shown = UNFOLDED * (len(plots) // len(groups)) if len(groups) > 2 else len(plots)
    plots = [replace(plot, folded=place >= shown) for place, plot in enumerate(plots)]
    return [
        replace(plot, caption=notes) if place == shown - 1 else plot
        for place, plot in enumerate(plots)
    ]


def profile_plot(
    name: Statistic,
    number: int,
    group: str,
    members: Mapping[Setting, Profiles],
    styles: Sequence[Style],
    banded: bool,
    deepest: int,
) -> Plot:
    """Return one statistic over the layers, a line a setting."""
    scale = profile_scale(profiles[name] for profiles in members.values())
    lines = [
        profile_line(setting.name, profiles[name], styles[setting.number], banded)
        for setting, profiles in members.items()
    ]
    title = f"depth profile of the {NAMES[name]} ({MEANINGS[name]})"
    return Plot(
        f"profile-{number}-{NAMES[name]}",
        f"{group}: {title}" if group else title,
        "hidden layer",
        "layer",
        lines,
        scale,
        (0.8, deepest + 0.2),
        "",
        description({setting: {name: profiles[name]} for setting, profiles in members.items()}),
    )


def profile_line(name: str, profile: Profile, style: Style, banded: bool) -> Line:
    """Return a setting's line: what theory predicts, else what was measured; and its points."""
    layers = np.arange(1, profile.layers + 1, dtype=np.float64)
    predicted = profile.predicted.size > 0
    start, end = profile.measured[0], profile.measured[-1]
    texts = []
    for layer in range(profile.layers):
        words = [f"start {start[layer]:.3g}"]
        if predicted:
            value, low, high = profile.predicted[:, layer]
            words.append(f"theory {value:.3g} ({low:.2g} to {high:.2g})")
        if len(profile.measured) > 1:
            words.append(f"end {end[layer]:.3g}")
        texts.append(", ".join(words))
    band = banded and predicted
    return Line(
        name,
        style,
        layers,
        profile.predicted[0] if predicted else start,
        texts,
        profile.predicted[1] if band else NONE,
        profile.predicted[2] if band else NONE,
        open=start if style.own else NONE,
        filled=end if style.own and len(profile.measured) > 1 else NONE,
    )
