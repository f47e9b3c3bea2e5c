"""Train a network and record what its initialisation does: the main command of initlab."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports in silence

import contextlib
import errno
import os
import sys
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from initlab import console, process
from initlab.checks import UserError, one_line, shorten
from initlab.config import PROJECT, ConfigError, explain, refuse_invalid, register
from initlab.run import Result, RunSpec, attempt, train

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


@hydra.main(version_base="1.3", config_path=str(PROJECT / "conf"), config_name="config")
def main(composed: DictConfig) -> Result:
    """Run what the command line asks for; other launchers of Hydra call it for each trial."""
    hydra_config = HydraConfig.get()
    swept = hydra_config.mode == RunMode.MULTIRUN
    try:
        spec = RunSpec.of(composed, hydra_config)
        if spec.config.sweep.dry_run and not swept:
            raise ConfigError("sweep.dry_run=true is for sweeps: add -m")
        if spec.experiment and not swept:
            console.out.print(f"one run of {spec.experiment}; -m runs all of it", style="dim")
        return attempt(spec) if swept else train(spec)
    except Exception as error:
        if swept:
            raise
        raise SystemExit(report(error)) from error
    finally:
        with contextlib.suppress(OSError):
            Path(hydra_config.runtime.output_dir).rmdir()  # only if nothing was left in it


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
    traceback.print_exception(error)
    return 1


def run() -> int:
    """Run `main` and return the exit status."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # or Hydra would print errors in its own way
    try:
        console.begin_command()
        refuse_invalid(sys.argv[1:])
        main()
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    except Exception as error:
        return report(error)
    return 0


register()

if __name__ == "__main__":
    sys.exit(run())
