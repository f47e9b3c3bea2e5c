"""Text from elsewhere: a store or a command line may hold what a terminal would obey."""

from __future__ import annotations

STRANGE = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """Return a text in one line, in which every character can be seen.

    Control characters could clear a terminal, set its title or type for the user; marks of
    direction could show a text as another. Blanks of all kinds become spaces, all else of this kind
    a replacement character. A text of plain letters is returned as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else " " if each.isspace() else STRANGE for each in text
    )


def printable_lines(text: str) -> str:
    """Return a text of several lines, each of them printable."""
    return "\n".join(map(printable, text.split("\n")))
