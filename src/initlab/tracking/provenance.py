"""Provenance: which code, packages and command a run came from."""

from __future__ import annotations

import ast
import contextlib
import functools
import getpass
import hashlib
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import initlab
from initlab import data, nn
from initlab.text import mask_password
from initlab.tracking.names import Tag

# The packages whose code decides which numbers a run records.
NUMERICS = (data, nn)


def fingerprint(settings: dict[str, Any], options: dict[str, list[str]], data_sha256: str) -> str:
    """Return a hash that is equal for runs that record the same numbers under the same names.

    It covers the settings that numbers depend on, the option of each group and the class behind it
    (relu and tanh have the same settings: none), the data's contents, and the numerics.
    """
    return digest([settings, options, data_sha256, numerics()])


@functools.cache
def numerics() -> str:
    """Return the version of the numerics: the hash of all code in `data` and `nn`."""
    return code_hash(Path(package.__path__[0]) for package in NUMERICS)


def code_hash(folders: Iterable[Path]) -> str:
    """Return a hash of the Python files in some folders: their code, and their place and name.

    Comments, docstrings and layout do not count.
    """
    return digest(
        {
            file.relative_to(folder.parent).as_posix(): syntax(file.read_text("utf-8"))
            for folder in folders
            for file in folder.rglob("*.py")
        }
    )


def syntax(code: str) -> str:
    """Return the syntax tree of some code as text, without its docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        ) and ast.get_docstring(node, clean=False):
            del node.body[0]
    return ast.dump(tree)


def digest(parts: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def tags(project: Path) -> dict[str, str]:
    """Return tags of the command, the versions and the revision of the source."""
    return versions() | origin(project)


def versions() -> dict[str, str]:
    """Return tags of the versions of what makes the numbers in this process."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "version.initlab": initlab.__version__,
        "version.numerics": numerics(),
        "version.python": platform.python_version(),
        "version.numpy": np.__version__,
        "version.scipy": version("scipy"),
        "version.blas": f"{blas['name']} {blas['version']}",
    }


def origin(project: Path) -> dict[str, str]:
    """Return tags of the command, its user and the revision of the source."""
    tags: dict[str, str] = {
        Tag.COMMAND: command(),
        "mlflow.source.name": Path(sys.argv[0]).name,
        "mlflow.source.type": "LOCAL",
    }
    with contextlib.suppress(KeyError, OSError):  # a container may run as a user without a name
        tags["mlflow.user"] = getpass.getuser()
    return tags | revision(project)


def command() -> str:
    """Return the command of this process, without the password of a store."""
    return shlex.join(["python", *map(mask_password, sys.argv)])


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
