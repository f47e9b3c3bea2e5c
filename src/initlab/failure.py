"""How a command ends that reads Hydra's settings and fails: a message and an exit status."""

from __future__ import annotations

import errno
import sys
import traceback

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from initlab import console, process
from initlab.checks import UserError, one_line, shorten, traceback_of
from initlab.config import explain

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def report(error: Exception) -> int:
    """Print an error, as a message or, for a defect, a traceback; return the exit status."""
    if process.stops:  # what an interrupt has led to
        console.error("interrupted")
        return 128 + process.stops[0]
    if isinstance(error, UserError):
        console.error(shorten(str(error)))
        return 2
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        console.error(shorten(explain(error)))
        return 2
    if isinstance(error, OSError) and error.errno in DISK:
        console.error(f"{error.strerror}: {error.filename or 'a file could not be written'}")
        return 2
    if isinstance(error, MemoryError):
        console.error(f"not enough memory: {error}")
        return 2
    if isinstance(error, ValueError) and "Config group override must be" in str(error):
        console.error("a config group wants one of its options, such as init=he, and not null")
        return 2
    if isinstance(error, ValueError) and str(error).startswith("Only one of --"):
        console.error(str(error))
        return 2
    frames = traceback.walk_tb(error.__traceback__)
    names = {frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in frames}
    if not names & {"initlab", "hydra_plugins"}:
        typed = " ".join(sys.argv[1:])
        console.error(shorten(f"Hydra cannot use the settings {typed}: {one_line(error)}"))
        return 2
    print(traceback_of(error), end="", file=sys.stderr)
    return 1
