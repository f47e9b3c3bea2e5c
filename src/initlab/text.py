"""Text from elsewhere: what a terminal would obey, and what nobody else should read."""

from __future__ import annotations

import re

STRANGE = "\N{REPLACEMENT CHARACTER}"
# In an address: what follows its user up to the last @ of the word, for a password may have any
# letter; and options of drivers that hold one.
PASSWORD = re.compile(r"(://[^\s:/]*):\S*@")
OPTION = re.compile(
    r"([?&](?:password|passwd|pwd|sslpassword|odbc_connect)=)[^&\s'\"]+", re.IGNORECASE
)


def mask_password(text: str) -> str:
    """Return a text without the passwords of the addresses in it."""
    if "://" not in text:
        return text
    return OPTION.sub(r"\1***", PASSWORD.sub(r"\1:***@", text))


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
