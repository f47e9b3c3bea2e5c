"""Train a network and record what its initialisation does: the main command of initlab."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports in silence

import contextlib
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from initlab import console
from initlab.config import PROJECT, ConfigError, refuse_invalid, register
from initlab.failure import report
from initlab.run import Result, RunSpec, attempt, train


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
