"""Artifacts: the files of a run in a store."""

from __future__ import annotations

import contextlib
import functools
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

if TYPE_CHECKING:  # MLflow takes a second to import; whoever has a client has done so
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun


CONNECT_SECONDS = 15.0


@contextlib.contextmanager
def open_artifact(client: MlflowClient, run: TrackedRun, name: str) -> Iterator[Path | None]:
    """Give a path to a file of a run, None if it has none of this name where its files can be read.

    The place of its files is as the store has it, which may be anything.
    """
    place = run.info.artifact_uri or ""
    folder = local_folder(place)
    if folder is not None:  # 20 times faster than MLflow, which copies it
        file = folder / name
        yield file if file.is_file() else None
        return
    from mlflow.artifacts import download_artifacts  # needs half the requests of the client's own

    with tempfile.TemporaryDirectory() as scratch:
        try:
            require_server(place)
            copy = Path(
                download_artifacts(
                    artifact_uri=f"{place.rstrip('/')}/{name}",
                    dst_path=scratch,
                    tracking_uri=client.tracking_uri,
                )
            )
        except Exception:  # each kind of store raises another for a missing file
            copy = None
        yield copy if copy and copy.is_file() else None


def local_folder(place: str) -> Path | None:
    """Return the folder that an address of artifacts names, None if they are elsewhere."""
    try:
        parts = urlsplit(place)
    except ValueError:  # http://[
        return None
    if parts.scheme not in ("", "file"):
        return None
    return Path(url2pathname(parts.path) if parts.scheme else place)


def require_server(place: str) -> None:
    """Raise `OSError` for a server that is not there, which MLflow would ask for minutes."""
    parts = urlsplit(place)
    ports = {"http": 80, "https": 443}
    if parts.scheme in ports and not connects(parts.hostname, parts.port or ports[parts.scheme]):
        raise ConnectionError(place)


@functools.cache
def connects(host: str | None, port: int) -> bool:
    """Return whether a server accepts connections; each is asked once."""
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
