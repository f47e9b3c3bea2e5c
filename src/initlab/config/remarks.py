"""Remarks on how settings were read, for those who typed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from initlab.config.schema import Config
from initlab.nn.initializers import TUNED
from initlab.nn.models import NetworkModel


def remarks(config: Config, choices: Mapping[str, str], values: Mapping[str, Any]) -> list[str]:
    """Return what stands behind words, and what theory has nothing to say about.

    values  the whole config as nested plain values
    """
    found = []
    if (typed := values["init"].get("gain")) in TUNED:
        gain = vars(config.init)["gain"]
        found.append(f"init.gain={typed} is {gain:.4g} for {choices['activation']}")
    if isinstance(config.model, NetworkModel):
        laws = {f"init={choices['init']}": config.init} | {
            f"model.{place}_init={config.model.inits[place]}": law
            for place, law in config.layer_inits.items()
        }
        unknown = [name for name, law in laws.items() if not law.independent]
        if unknown:
            found.append(
                f"no prediction: theory covers weights that are drawn independently of each "
                f"other, unlike those of {' and '.join(unknown)}"
            )
    return found
