"""Words: texts as the font has them, measured, and broken to fit a room."""

from __future__ import annotations

from bisect import bisect
from functools import lru_cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

TITLE, SIZE, SMALL = 10.0, 9.0, 7.5  # points
PLAIN = 1e4  # up to which a number has no power of ten
LINES, LETTERS = 3, 400  # of a name, before it is cut


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def brief(value: float, digits: int = 3) -> str:
    """Return a number in a few digits, or in those before its point, its power of ten short."""
    if abs(value) < PLAIN:
        digits = max(digits, len(f"{abs(value):.0f}"))
    number, mark, power = f"{value:.{digits}g}".partition("e")
    return f"{number}e{int(power)}" if mark else number


@lru_cache(maxsize=4096)
def length(text: str, size: float = SIZE) -> float:
    """Return how wide a text is, in inches."""
    font = FontProperties(size=size)
    width, *_ = text_to_path.get_text_width_height_descent(clean(text), font, ismath=False)
    return float(width) / 72


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """Return a text in one line, with a mark for each letter that the font does not have."""
    font = get_font(findfont(FontProperties()))
    words = " ".join(text[:LETTERS].split())
    return "".join(c if font.get_char_index(ord(c)) else "\N{WHITE SQUARE}" for c in words)


def wrapped(text: str, room: float, size: float = SIZE, lines: int = LINES) -> list[str]:
    """Break a text into a few lines, between words if it can be; what is too long is cut."""
    found = [""]
    for word in clean(text).split(" "):
        joined = f"{found[-1]} {word}".strip()
        if length(joined, size) <= room:
            found[-1] = joined
            continue
        if found[-1]:
            found.append("")
        while length(word, size) > room:
            sizes = range(2, len(word))
            fits = 1 + bisect(sizes, room, key=lambda end: length(word[:end], size))
            found[-1] = word[:fits]
            found.append("")
            word = word[fits:]
        found[-1] = word
    if len(found) > lines:
        last = found[lines - 1]
        while last and length(f"{last}…", size) > room:
            last = last[:-1]
        found = [*found[: lines - 1], f"{last}…"]
    return found
