"""See what a weight initialisation does, before and while a network trains."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from initlab.notebook import load

__all__ = ["load"]
__version__ = "0.1.0"

# MLflow reads these when it is imported, which no module here can do earlier than this. Processes
# that are started from here inherit them.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # a lab on a laptop does not phone home
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # we say it ourselves
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # or a bar for each file


def __getattr__(name: str) -> object:
    """Import what notebooks use when they use it: commands do without pandas."""
    if name in __all__:
        return getattr(importlib.import_module("initlab.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
