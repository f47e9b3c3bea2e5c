"""The lists of options and experiments on the help page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from omegaconf import OmegaConf

from initlab.config.schema import GROUPS, PROJECT, options


def list_options() -> str:
    """Return the options of every group within 80 columns, the default marked with *."""
    config = OmegaConf.to_container(OmegaConf.load(PROJECT / "conf" / "config.yaml"))
    assert isinstance(config, dict)
    chosen = [entry for entry in config["defaults"] if isinstance(entry, dict)]
    defaults = {item for entry in chosen for item in entry.items()}
    lines = []
    for group in GROUPS:
        names = [f"{name}*" if (group, name) in defaults else name for name in options(group)]
        lines.append(wrap_names(names, f"  {group:<12}"))
    return "\n".join(lines)


def list_experiments() -> str:
    """Return the names of the experiments."""
    return wrap_names(options("experiment"), "  ")


def wrap_names(names: Iterable[str], start: str) -> str:
    """Return names in lines, indented below the first name."""
    return textwrap.fill(
        " ".join(names),
        width=78,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_on_hyphens=False,
    )
