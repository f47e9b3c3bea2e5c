"""The worker of a Slurm cluster: what a job does, and the files that it shares with the head.

They are in a folder, the spool, which every node must see:

function         what is called, packed
head             the process of the head
beat             changes every few seconds, as long as the head is there
workers/W        worker W is there; what keeps it from working, if anything
calls/W/INDEX    a call for it
calls/W/end      it is needed no more
answers/INDEX.W  its answer
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import cloudpickle  # type: ignore[import-untyped]

from initlab.checks import one_line
from initlab.sweep import remote
from initlab.sweep.engine import Interrupted, interruptible, tell_unraisable

POLL_SECONDS = 0.1
BEAT_SECONDS, ALONE_SECONDS = 5.0, 60.0  # between beats; without any, until a worker gives up
END = "end"


@dataclass(frozen=True)
class Unfinished:
    """A call was interrupted, and what it had open is closed; `late` if the job's time was over."""

    late: bool


def put(file: Path, content: bytes) -> None:
    """Write a file that nobody sees before it is whole."""
    draft = file.with_name(f".{file.name}")
    draft.write_bytes(content)
    draft.replace(file)


def work(place: str) -> None:
    """Make the calls that the head of a sweep leaves in its spool, until it needs no more."""
    spool = Path(place)
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    name = f"{job}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"
    late = False

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    def warn(number: int, frame: FrameType | None) -> None:
        nonlocal late
        late = True
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGUSR2, warn)
    sys.unraisablehook = tell_unraisable
    calls = spool / "calls" / name
    calls.mkdir(exist_ok=True)
    problem = ""
    try:
        function = remote.unpacked((spool / "function").read_bytes())
    except Exception as error:
        problem = one_line(error)
    put(spool / "workers" / name, problem.encode())
    if problem:
        return
    threading.Thread(target=end_with_head, args=(spool / "beat",), daemon=True).start()
    while not (calls / END).exists():
        waiting = [file for file in calls.iterdir() if file.name.isdigit()]
        for file in waiting:
            answer = interruptible(function, cloudpickle.loads(file.read_bytes()), signal.SIGTERM)
            if isinstance(answer, Interrupted):
                answer = Unfinished(late)
            file.unlink()
            put(spool / "answers" / f"{file.name}.{name}", cloudpickle.dumps(answer))
            if isinstance(answer, Unfinished):
                os._exit(0)  # or submitit would write down a result
        if not waiting:
            time.sleep(POLL_SECONDS)


def end_with_head(beat: Path) -> None:
    """Interrupt this process when the head of the sweep is gone."""
    known, seen = b"", time.monotonic()
    while time.monotonic() < seen + ALONE_SECONDS:
        time.sleep(BEAT_SECONDS)
        with contextlib.suppress(OSError):
            now = beat.read_bytes()
            if now != known:
                known, seen = now, time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
