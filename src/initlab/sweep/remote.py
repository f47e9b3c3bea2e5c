"""Workers on other hosts: what they are told of this process, and what they must have alike."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from initlab.checks import UserError
from initlab.config import PROJECT, register
from initlab.sweep.engine import Interrupted, interruptible, tell_unraisable
from initlab.tracking import provenance, sqlite

# Other versions of these would give other numbers, or could not read what they are sent.
PACKAGES = ("numpy", "scipy", "hydra-core", "omegaconf", "mlflow", "optuna", "cloudpickle")
END_SECONDS = 0.5  # after an interrupt, until its process ends
VARIABLES = ("INITLAB_", "MLFLOW_")  # what the names of variables begin with that are passed on


class OtherVersionError(UserError):
    """A worker has other versions than the process that sends it trials."""


def own_variables() -> dict[str, str]:
    """Return the variables of the environment that a training reads, the store among them."""
    found = {name: text for name, text in os.environ.items() if name.startswith(VARIABLES)}
    return {"MLFLOW_TRACKING_URI": sqlite.uri_of(PROJECT / "mlflow.db"), **found}


@cache
def versions() -> dict[str, str]:
    """Return the versions that a worker must have as well."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return {**found, "initlab's numerics": provenance.numerics()}


def refuse_other(wanted: dict[str, str]) -> None:
    """Raise `OtherVersionError` if this process has other versions than those that are wanted."""
    mine = versions()
    other = [
        f"{name} {mine.get(name, 'missing')}, where {text} is wanted"
        for name, text in wanted.items()
        if mine.get(name) != text
    ]
    if other:
        raise OtherVersionError(f"{platform.node()} has {'; '.join(other)}")


@dataclass(frozen=True)
class Setting:
    """What a worker takes over from the process that sends it trials."""

    argv: list[str] = field(default_factory=lambda: list(sys.argv))
    folder: str = field(default_factory=os.getcwd)
    environment: dict[str, str] = field(default_factory=own_variables)
    wanted: dict[str, str] = field(default_factory=versions)

    def adopt(self) -> None:
        """Make this process like the other one; raises `OtherVersionError` if it cannot be."""
        refuse_other(self.wanted)
        sys.argv = self.argv
        os.environ.update(self.environment)
        with contextlib.suppress(OSError):  # which this host may not have
            os.chdir(self.folder)
        register()


def packed(function: Callable[[Any], Any]) -> bytes:
    """Return a function for a worker, with the setting that it is to be called in."""
    return bytes(cloudpickle.dumps((Setting(), function)))


@cache
def unpacked(packed: bytes) -> Callable[[Any], Any]:
    """Return a function that was packed, once its setting was adopted; raises as `adopt` does."""
    setting, function = cloudpickle.loads(packed)
    setting.adopt()
    return function  # type: ignore[no-any-return]


def serve(packed: bytes, argument: bytes) -> bytes:
    """Make a call in a process that goes on to other calls, and that SIGINT interrupts."""
    sys.unraisablehook = tell_unraisable
    function = unpacked(packed)
    answer = interruptible(function, cloudpickle.loads(argument), signal.SIGINT)
    if isinstance(answer, Interrupted):  # the process must end, but not before its answer was taken
        threading.Timer(END_SECONDS, os._exit, [0]).start()
    return bytes(cloudpickle.dumps(answer))
