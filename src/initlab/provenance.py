"""Provenance: which code, packages and command a run came from."""

from __future__ import annotations

import ast
import contextlib
import functools
import getpass
import hashlib
import json
import os
import platform
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import initlab

# Where things are and how they are fetched, which no number depends on.
INCIDENTAL = ("tracking.", "sweep.", "data.root", "data.mirrors", "data.sha256", "data.timeout")


def essential(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings, by dotted key, that the numbers of a run depend on."""
    return {key: value for key, value in settings.items() if not key.startswith(INCIDENTAL)}


def fingerprint(settings: dict[str, Any], options: dict[str, list[str]], data_sha256: str) -> str:
    """Return a hash that is equal for runs that record the same numbers under the same names.

    It covers the essential settings, the option of each group and the class behind it (relu and
    tanh have the same settings: none), the data's contents, and the code that makes the numbers.
    """
    parts = [essential(settings), options, data_sha256, numerics()]
    return digest(json.dumps(parts, sort_keys=True))


# The modules that decide which numbers a run records.
NUMERICS = (
    "activations",
    "arrays",
    "batches",
    "data",
    "diagnostics",
    "initializers",
    "layers",
    "losses",
    "models",
    "network",
    "optimizers",
    "quadratic",
    "schedules",
    "training",
)


@functools.cache
def numerics() -> str:
    """Return the version of the numerics: a hash of their code, less comments and docstrings."""
    folder = Path(__file__).parent
    trees = [ast.parse((folder / f"{name}.py").read_text("utf-8")) for name in NUMERICS]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node, clean=False
        ):
            del node.body[0]
    return digest("".join(map(ast.dump, trees)))


def digest(text: str) -> str:
    """Return the first 16 hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def process() -> dict[str, str]:
    """Return tags of this process, by which `gone` can tell whether it still runs."""
    return {
        "process.host": socket.gethostname(),
        "process.pid": str(os.getpid()),
        "process.started": str(psutil.Process().create_time()),
    }


def own(tags: Mapping[str, str]) -> bool:
    """Return whether these tags are of this process."""
    return process().items() <= tags.items()


def gone(tags: Mapping[str, str]) -> bool:
    """Return whether the process of these tags was of this host and runs no more."""
    if tags.get("process.host") != socket.gethostname():
        return False
    try:
        started = psutil.Process(int(tags["process.pid"])).create_time()
    except psutil.NoSuchProcess:
        return True
    # A process of this number that began at another time is another process.
    return abs(started - float(tags["process.started"])) > 1


def tags(project: Path) -> dict[str, str]:
    """Return tags of the command, the versions and the revision of the source."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {
        "command": shlex.join(["python", *map(masked, sys.argv)]),
        "version.initlab": initlab.__version__,
        "version.numerics": numerics(),
        "version.python": platform.python_version(),
        "version.numpy": np.__version__,
        "version.scipy": version("scipy"),
        "version.blas": f"{blas['name']} {blas['version']}",
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
    }
    with contextlib.suppress(KeyError, OSError):  # a container may run as a user without a name
        found["mlflow.user"] = getpass.getuser()
    return found | revision(project)


def masked(uri: str) -> str:
    """Return a URI without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", uri)


@functools.cache
def revision(project: Path) -> dict[str, str]:
    """Return tags of the revision, and whether it was changed; none outside a repository."""
    commit = git(project, "rev-parse", "HEAD")
    if not commit:
        return {}
    dirty = bool(git(project, "status", "--porcelain"))
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.dirty": str(dirty).lower(),
    }


def git(project: Path, *arguments: str) -> str | None:
    """Return what git prints, None where there is no git or no repository."""
    command = ["git", "--no-optional-locks", *arguments]  # a commit at the same time must not fail
    try:
        answer = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
