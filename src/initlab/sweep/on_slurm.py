"""The engine of a Slurm cluster: jobs that each do one call after another.

A job is a worker (see `slurm_worker`): it imports once what all calls need. It and the head of the
sweep leave each other files in a folder, the spool.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from initlab.checks import one_line
from initlab.config import ConfigError
from initlab.process import environment, identity, is_gone
from initlab.sweep import remote
from initlab.sweep.engine import Interrupted, Restarted, Workers
from initlab.sweep.slurm_worker import (
    BEAT_SECONDS,
    END,
    POLL_SECONDS,
    Unfinished,
    put,
    work,
)

STATE_SECONDS = 1.0  # after which Slurm is asked again
LATE_SECONDS = 5.0  # that an answer may take to be seen after its job has ended
TELL_SECONDS = 10.0  # of waiting in the queue, until that is told
CLOSE_SECONDS = 60.0  # that jobs may take to end
FRUITLESS = 3  # jobs in a row that end without an answer, until no more are submitted
SIGNAL_SECONDS = 60  # before a job's time is over, when it is warned
SPOOL = ".slurm-"

ALIVE = {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"}
QUEUED = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}
RETURNED = {"PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "TIMEOUT"}  # ends that are no fault of a call


@dataclass
class Worker:
    """What the head knows of a worker: its job, the call it has, and how many it has answered.

    left    whether it has given up its call
    gone    when its job was first seen to be over
    """

    name: str
    job: str
    index: int | None = None
    argument: bytes = b""
    answered: int = 0
    left: Unfinished | None = None
    gone: float | None = None


class Slurm(Workers):
    """Calls in jobs of Slurm, which submitit submits as an array.

    folder      in which the spool is made
    processes   how many jobs at once
    parameters  of the jobs, as submitit names them; None for what Slurm chooses
    """

    remote = True

    def __init__(self, processes: int, parameters: dict[str, Any]) -> None:
        super().__init__()
        self.folder = Path()
        self.processes = processes
        self.parameters = {name: value for name, value in parameters.items() if value is not None}
        self.calls = processes
        self.workers: dict[str, Worker] = {}
        self.jobs: dict[str, str] = {}  # id → state
        self.again: list[tuple[int, bytes]] = []  # calls that are to be made once more
        self.fruitless = 0
        self.began = self.asked = 0.0
        self.over: set[str] = set()  # jobs that have been counted as fruitless
        self.told: set[str] = set()  # reasons why jobs are pending
        self.found = False
        self.interrupted = False

    def fit(self, calls: int, seconds: float) -> Slurm:
        """Check that Slurm is there."""
        if calls and not self.found:
            for command in ("sbatch", "squeue", "scancel", "scontrol"):
                if shutil.which(command) is None:
                    raise ConfigError(f"hydra/launcher=slurm: there is no command {command} here")
            ask("sbatch", "--version")
            ask("squeue", "--noheader", "--me")
            self.found = True
        self.calls = calls
        return self

    def open(self, function: Callable[[Any], Any]) -> None:
        """Make the spool, and submit the workers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_left(self.folder)
        self.spool = Path(tempfile.mkdtemp(prefix=SPOOL, dir=self.folder)).resolve()
        put(self.spool / "head", json.dumps(identity()).encode())
        for name in ("workers", "calls", "answers"):
            (self.spool / name).mkdir()
        put(self.spool / "function", remote.packed(function))
        self.closed = threading.Event()
        threading.Thread(target=beat, args=(self.spool / "beat", self.closed), daemon=True).start()
        self.began = time.monotonic()
        self.submit(max(1, min(self.processes, self.calls)))

    def submit(self, count: int) -> None:
        """Submit so many workers."""
        import submitit

        try:
            # Slurm hands on the environment to the jobs, in which initlab must be found.
            with environment({"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}):
                executor = submitit.SlurmExecutor(folder=self.spool / "jobs")
                executor.update_parameters(
                    job_name="initlab",
                    signal_delay_s=min(SIGNAL_SECONDS, 15 * self.parameters.get("time", 60)),
                    stderr_to_stdout=True,
                    **{"time": None, **self.parameters},
                )
                jobs = executor.map_array(work, [str(self.spool)] * count)
        except Exception as error:  # of sbatch, which says what it does not like
            reason = str(error.__cause__ or error).strip().splitlines()
            raise ConfigError(
                f"hydra/launcher=slurm: sbatch refuses the jobs: {reason[-1] if reason else error}"
            ) from error
        self.jobs |= {job.job_id: "PENDING" for job in jobs}

    def has_place(self) -> bool:
        """Return whether a worker is idle, and no earlier call waits for it."""
        self.hand_out()
        return bool(self.idle())

    def idle(self) -> list[Worker]:
        """Return the workers that have no call, and whose jobs run."""
        return [
            worker
            for worker in self.workers.values()
            if worker.index is None and worker.gone is None
        ]

    def is_busy(self) -> bool:
        """Return whether calls are under way."""
        return bool(self.again) or any(worker.index is not None for worker in self.workers.values())

    def begin(self, index: int, argument: Any) -> None:
        """Give a call to an idle worker."""
        self.give(self.idle()[0], index, bytes(cloudpickle.dumps(argument)))

    def give(self, worker: Worker, index: int, argument: bytes) -> None:
        """Give a call to a worker."""
        worker.index, worker.argument = index, argument
        put(self.spool / "calls" / worker.name / str(index), argument)

    def hand_out(self) -> None:
        """Give calls that came back to idle workers."""
        for worker in self.idle():
            if self.again and not self.stopped:
                self.give(worker, *self.again.pop(0))

    def answers(self) -> Iterator[tuple[int, Any]]:
        """Yield the answers that have come, after a moment; keep up with the jobs."""
        time.sleep(POLL_SECONDS)
        self.greet()
        yield from self.collect()
        now = time.monotonic()
        if now > self.asked + STATE_SECONDS:
            self.asked = now
            self.ask_states()
            yield from self.lose()
            self.replace()
            self.tell_waiting()
        if self.stopped:
            yield from self.give_up()
        elif not self.following and not self.again:
            for worker in self.idle():
                self.dismiss(worker)

    def greet(self) -> None:
        """Take notice of workers that have begun; raises `ConfigError` for one of no use."""
        for file in (self.spool / "workers").iterdir():
            name = file.name
            if name in self.workers or name.startswith("."):
                continue
            problem = file.read_text(encoding="utf-8")
            job, _, restart = name.rpartition(".")
            worker = Worker(name, job)
            self.workers[name] = worker
            if problem:
                worker.gone = time.monotonic()
                if not self.is_busy() and not any(each.answered for each in self.workers.values()):
                    raise ConfigError(f"hydra/launcher=slurm: {problem}")
                self.say(f"job {job} is of no use: {problem}")
            elif restart != "0":
                self.say(f"job {job} runs again")

    def collect(self) -> Iterator[tuple[int, Any]]:
        """Yield the answers that are there."""
        for file in sorted((self.spool / "answers").iterdir()):
            if file.name.startswith("."):
                continue
            index, _, name = file.name.partition(".")
            answer = cloudpickle.loads(file.read_bytes())
            file.unlink()
            worker = self.workers[name]
            if isinstance(answer, Unfinished):
                worker.left = answer
            elif worker.index == int(index):
                worker.index = None
                worker.answered += 1
                self.fruitless = 0
                yield int(index), answer

    def ask_states(self) -> None:
        """Ask Slurm for the states of the jobs."""
        alive = [job for job, state in self.jobs.items() if state in ALIVE | QUEUED]
        if alive:
            self.jobs |= states_of(alive)

    def lose(self) -> Iterator[tuple[int, Any]]:
        """Yield the calls that were lost with their workers; others are to be made once more."""
        now = time.monotonic()
        for worker in self.workers.values():
            state = self.jobs.get(worker.job, "")
            restarted = any(
                each.job == worker.job and serial(each) > serial(worker)
                for each in self.workers.values()
            )
            if state in ALIVE and not restarted and not (worker.left and worker.left.late):
                continue
            worker.gone = worker.gone or now
            if worker.index is None:
                continue
            if worker.left is None and now < worker.gone + LATE_SECONDS:
                continue
            index, argument = worker.index, worker.argument
            worker.index = None
            late = bool(worker.left and worker.left.late) or state == "TIMEOUT"
            if late and not worker.answered:
                yield (
                    index,
                    Interrupted("its job's time was over: raise hydra.launcher.time"),
                )
            elif late or restarted or state in QUEUED | RETURNED:
                why = "has used up its time" if late else "was preempted"
                self.say(f"job {worker.job} {why}; its trial will run again")
                self.again.append((index, argument))
                yield index, Restarted()
            else:
                yield (
                    index,
                    Interrupted(f"its job {worker.job} ended: {state.lower() or 'unknown'}"),
                )

    def replace(self) -> None:
        """Submit jobs in the place of those that are over, if there is something to do."""
        if self.stopped or self.drained or not (self.following or self.again):
            return
        for job, state in self.jobs.items():
            if state not in ALIVE | QUEUED and job not in self.over:
                self.over.add(job)
                self.fruitless += 1
        if self.fruitless >= FRUITLESS * self.processes:
            raise ConfigError(f"hydra/launcher=slurm: the jobs end by themselves: {self.log()}")
        alive = sum(state in ALIVE | QUEUED for state in self.jobs.values())
        wanted = self.processes if self.following else min(self.processes, len(self.again))
        if alive < wanted:
            self.submit(wanted - alive)

    def log(self) -> str:
        """Return the last line that a job has printed, and where."""
        files = sorted((self.spool / "jobs").glob("*.out"), key=lambda file: file.stat().st_mtime)
        if not files:
            return f"see {self.spool}"
        lines = files[-1].read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'nothing was printed'}\nin {files[-1]}"

    def tell_waiting(self) -> None:
        """Say once for each reason why no job has begun."""
        waited = time.monotonic() - self.began
        if waited < TELL_SECONDS or any(state in ALIVE for state in self.jobs.values()):
            return
        waiting = [job for job, state in self.jobs.items() if state in QUEUED]
        reason = reason_of(waiting) if waiting else ""
        if reason and reason not in self.told:
            self.told.add(reason)
            count = "1 job is" if len(waiting) == 1 else f"{len(waiting)} jobs are"
            self.say(f"waiting for Slurm: {count} pending ({reason})")

    def give_up(self) -> Iterator[tuple[int, Any]]:
        """Yield calls that will not be made, or have been given up, after `stop`."""
        for index, _ in self.again:
            yield index, Interrupted()
        self.again.clear()
        for worker in self.workers.values():
            if worker.index is not None and worker.left:
                index, worker.index = worker.index, None
                yield index, Interrupted()

    def dismiss(self, worker: Worker) -> None:
        """Let an idle worker end."""
        worker.gone = time.monotonic()
        put(self.spool / "calls" / worker.name / END, b"")

    def interrupt(self) -> None:
        """Cancel the jobs, which interrupts their calls."""
        if not self.interrupted and self.jobs:
            self.interrupted = True
            tell(["scancel", *self.jobs])

    def end(self) -> None:
        """Kill the jobs."""
        tell(["scancel", "--full", "--signal=KILL", *self.jobs])
        self.interrupt()

    def close(self) -> None:
        """Leave no job behind, nor the spool."""
        if not hasattr(self, "spool"):
            return
        if sys.exc_info()[0] or self.is_busy():
            self.stop()
            self.interrupt()
        for worker in self.workers.values():
            if worker.gone is None:
                self.dismiss(worker)
        tell(["scancel", "--state=PENDING", *self.jobs])
        begun = time.monotonic()
        while any(state in ALIVE | QUEUED for state in self.jobs.values()):
            time.sleep(POLL_SECONDS)
            self.ask_states()
            waited = time.monotonic() - begun
            if waited > CLOSE_SECONDS / 4:
                self.interrupt()
            if waited > CLOSE_SECONDS:
                self.say(f"Slurm has not ended the jobs {', '.join(self.jobs)}")
                break
        self.closed.set()
        shutil.rmtree(self.spool, ignore_errors=True)
        self.workers.clear()
        self.jobs.clear()


def remove_left(folder: Path) -> None:
    """Remove the spools that killed heads of this host have left in a folder."""
    for spool in folder.glob(f"{SPOOL}*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if is_gone(json.loads((spool / "head").read_bytes())):
                shutil.rmtree(spool, ignore_errors=True)


def beat(file: Path, closed: threading.Event) -> None:
    """Show the workers that this process is there, until all is closed."""
    for number in itertools.count():
        with contextlib.suppress(OSError):
            put(file, str(number).encode())
        if closed.wait(BEAT_SECONDS):
            return


def serial(worker: Worker) -> int:
    """Return how often the job of a worker was restarted before it began."""
    return int(worker.name.rpartition(".")[2])


def ask(*command: str) -> str:
    """Return what a command of Slurm prints; raises `ConfigError`."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or error.stdout).strip().splitlines() or [one_line(error)]
        raise ConfigError(f"hydra/launcher=slurm: {command[0]} failed: {reason[-1]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"hydra/launcher=slurm: {one_line(error)}") from error


def tell(command: Sequence[str]) -> None:
    """Run a command of Slurm whatever comes of it: a job that has ended cannot be cancelled."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, timeout=60)


def states_of(jobs: Sequence[str]) -> dict[str, str]:
    """Return the states of jobs by id, as far as Slurm tells; "" for one that it has forgotten."""
    main = sorted({job.partition("_")[0] for job in jobs})
    found: dict[str, str] = {}
    for number in main:
        done = subprocess.run(
            ["scontrol", "--oneliner", "show", "job", number],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            if "Invalid job id" in done.stderr + done.stdout:
                found |= {job: "" for job in jobs if job.partition("_")[0] == number}
            continue
        found |= parsed(done.stdout)
    return {job: found[job] for job in jobs if job in found}


def parsed(text: str) -> dict[str, str]:
    """Return the state of each job of the lines that scontrol prints."""
    found: dict[str, str] = {}
    for line in filter(None, text.splitlines()):
        values: dict[str, str] = dict(re.findall(r"(\w+)=(\S+)", line))
        main, tasks = values.get("ArrayJobId", values.get("JobId", "")), values.get("ArrayTaskId")
        state = values.get("JobState", "")
        if tasks is None:
            found[main] = state
        for part in (tasks or "").split("%")[0].split(","):
            first, _, last = part.partition("-")
            if first.isdigit():
                for task in range(int(first), int(last or first) + 1):
                    found[f"{main}_{task}"] = state
    return found


def reason_of(jobs: Sequence[str]) -> str:
    """Return why jobs are pending, in Slurm's word."""
    with contextlib.suppress(ConfigError):
        main = ",".join(sorted({job.partition("_")[0] for job in jobs}))
        lines = ask("squeue", "--noheader", "--states=PENDING", f"--jobs={main}", "--format=%r")
        return lines.splitlines()[0].strip() if lines else ""
    return ""
