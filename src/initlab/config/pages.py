"""Pages: the options of each group as the help page lists them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from omegaconf import OmegaConf

from initlab.config.schema import GROUPS, PROJECT, options


def options_page() -> str:
    """Return the options of every group, for the help page: 80 columns, the default with *."""
    config = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf" / "config.yaml"))
    assert isinstance(config, dict)
    chosen = [entry for entry in config["defaults"] if isinstance(entry, dict)]
    defaults = {item for entry in chosen for item in entry.items()}
    lines = []
    for group in GROUPS:
        names = [f"{name}*" if (group, name) in defaults else name for name in options(group)]
        lines.append(filled(names, f"  {group:<12}"))
    return "\n".join(lines)


def experiments_page() -> str:
    """Return the names of the experiments, for the help page."""
    return filled(options("experiment"), "  ")


def filled(names: Iterable[str], start: str) -> str:
    """Return names in lines that go on below where the first begins."""
    return textwrap.fill(
        " ".join(names),
        width=78,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_on_hyphens=False,
    )
