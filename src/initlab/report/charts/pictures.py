"""Pictures: what is drawn, what is said of it, and the bytes of its file."""

from __future__ import annotations

import io
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image

from initlab import figures


@dataclass(frozen=True, eq=False)
class Chart:
    """One picture, and what is to be said of it.

    name     of its file, less .png
    title    its subject; charts of one title follow each other
    caption  what one must know to read it
    alt      what it shows, for those who cannot see it
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Figure


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file of 256 colours, a quarter of what all take."""
    image = figures.image(figure).quantize(256, Image.Quantize.FASTOCTREE)
    levels = image.getpalette() or []
    image.putpalette([255 if level == 254 else level for level in levels])  # white is white
    buffer = io.BytesIO()
    image.save(buffer, format="png", dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()
