"""Provenance: which code, packages and command a run came from."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import initlab

# Where things are and how they are fetched, which no number depends on.
INCIDENTAL = ("tracking.", "data.root", "data.mirrors", "data.sha256", "data.timeout")


def essential(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings, by dotted key, that the numbers of a run depend on."""
    return {key: value for key, value in settings.items() if not key.startswith(INCIDENTAL)}


def fingerprint(settings: dict[str, Any], classes: dict[str, str], data_sha256: str) -> str:
    """Return a hash that is equal for runs that record the same numbers.

    It covers the essential settings, the class behind the option of each group (relu and tanh have
    the same settings: none), the contents of the data, and the version of initlab.
    """
    parts = [essential(settings), classes, data_sha256, initlab.__version__]
    content = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def tags(project: Path) -> dict[str, str]:
    """Return tags of the command, the versions and the revision of the source."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {
        "command": shlex.join(["python", *sys.argv]),
        "version.initlab": initlab.__version__,
        "version.python": platform.python_version(),
        "version.numpy": np.__version__,
        "version.blas": f"{blas['name']} {blas['version']}",
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
    }
    with contextlib.suppress(KeyError, OSError):  # a container may run as a user without a name
        found["mlflow.user"] = getpass.getuser()
    revision = git(project, "rev-parse", "HEAD")
    if revision:
        found["mlflow.source.git.commit"] = revision
        found["mlflow.source.git.dirty"] = str(bool(git(project, "status", "--porcelain"))).lower()
    return found


def git(project: Path, *arguments: str) -> str | None:
    """Return what git prints, None where there is no git or no repository."""
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=project, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
