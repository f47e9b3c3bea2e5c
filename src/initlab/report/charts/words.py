"""Words: numbers in a few digits, and texts that fit a width."""

from __future__ import annotations

import textwrap
from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from initlab.figures import drawable

TITLE, SIZE, SMALL = 10.0, 9.0, 7.5  # points
PLAIN = 1e4  # numbers below are written without a power of ten
LINES, LETTERS = 3, 400  # of a name, before it is cut
NARROWEST = 0.06  # inches of an average letter of 9 points in narrow words


def sentences(*parts: str) -> str:
    """Join the sentences that are not empty."""
    return " ".join(filter(None, parts))


def compact(value: float, digits: int = 3) -> str:
    """Return a number in a few significant digits, such as 0.123, 1234 or 1e-5."""
    if abs(value) < PLAIN:
        digits = max(digits, len(f"{abs(value):.0f}"))
    number, mark, power = f"{value:.{digits}g}".partition("e")
    return f"{number}e{int(power)}" if mark else number


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = SIZE) -> float:
    """Return how wide a line of text is, in inches."""
    font = FontProperties(size=size)
    width, *_ = text_to_path.get_text_width_height_descent(
        drawable(text[:LETTERS]), font, ismath=False
    )
    return float(width) / 72


@lru_cache(maxsize=4096)
def wrap(text: str, width: float, size: float = SIZE, lines: int = LINES) -> str:
    """Break a text into lines no wider than `width` inches; what is too long is cut.

    Two letters stay, however narrow it is.
    """
    text = drawable(text[:LETTERS])
    if text_width(text, size) <= width:
        return text
    letters = max(2, int(width / (NARROWEST * size / SIZE)) + 1)
    while True:
        found = textwrap.wrap(text, letters, break_on_hyphens=False)
        if len(found) > lines:
            found = [*found[: lines - 1], f"{found[lines - 1][: letters - 1]}…"]
        if letters == 2 or max(text_width(line, size) for line in found) <= width:
            return "\n".join(found)
        letters -= 1
