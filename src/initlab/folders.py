"""Folders of runs: Hydra makes one for each run, and fails where it cannot.

Uses a private name of Hydra 1.3.8, which makes the folder in `run_job`. In a version that makes it
in another way, a run fails again where its folder cannot be made.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from hydra.core import utils

from initlab.checks import UserError


class OptionalFolder(type(Path())):  # type: ignore[misc]
    """A path whose folder is made if that is possible: most runs put nothing into theirs."""

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the folder, or none."""
        with contextlib.suppress(OSError):
            super().mkdir(mode, parents, exist_ok)


def make_optional() -> None:
    """Let Hydra run a job whose folder cannot be made."""
    utils.Path = OptionalFolder  # type: ignore[attr-defined]


def unwritable(place: str, error: OSError) -> UserError:
    """Return the error for a folder or a file that the disk refuses."""
    return UserError(f"{place}: cannot be written: {error.strerror or error}")
