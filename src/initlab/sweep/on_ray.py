"""The engine of a Ray cluster: each call is a task.

Ray finds a place for a task, starts its process, and keeps the process for the next. The code of
this checkout is sent along, so that hosts need its packages only.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from initlab.checks import one_line
from initlab.config import PROJECT, ConfigError
from initlab.process import environment
from initlab.sweep import remote
from initlab.sweep.engine import (
    AGAIN_SECONDS,
    Engine,
    Interrupted,
    Workers,
)
from initlab.sweep.pool import cores

CONNECT_SECONDS = 5.0
POLL_SECONDS = 0.2
SIZE_SECONDS = 5.0  # after which the size of the cluster is asked again, as it may grow
NAMES = {"num_cpus": "CPU", "num_gpus": "GPU"}  # of resources, as the nodes have them
SENT = ("src/initlab", "src/hydra_plugins", "conf")  # of the project


class Ray(Workers):
    """Calls as tasks of a Ray cluster.

    address    of the cluster; None: $RAY_ADDRESS, else the one of this host, else a new one
    places     how many calls at once, None for as many as there are resources for
    resources  what Ray reserves for a call: num_cpus, num_gpus, and custom ones by name
    """

    remote = True

    def __init__(self, address: str | None, places: int | None, resources: Mapping[str, float]):
        super().__init__()
        self.address = address
        self.places = places
        self.resources = resources
        self.busy: dict[Any, int] = {}  # reference of a task → index of its call
        self.asked: dict[Any, float] = {}  # when a task was last asked to stop
        self.size = 0
        self.sized = -math.inf

    def fit(self, calls: int, seconds: float) -> Engine:
        """Connect to the cluster, and check that its hosts can run the calls."""
        import ray

        if calls and not ray.is_initialized():
            connect(self.address)
            silence()
            refuse_unfit()
            if not self.places and not self.measured():
                needs = ", ".join(
                    f"{name}={amount:g}" for name, amount in self.resources.items() if amount
                )
                raise ConfigError(
                    f"hydra.launcher: no host of the Ray cluster has what a trial needs: {needs}"
                )
        return self

    def open(self, function: Callable[[Any], Any]) -> None:
        """Send the function to the cluster, which gives it to each process once."""
        import ray

        self.function = ray.put(remote.packed(function))
        options = {**self.resources}
        named = {name: options.pop(name) for name in NAMES if name in options}
        self.task = task(max_retries=0, resources=options or None, **named)

    def measured(self) -> int:
        """Return how many calls the hosts of the cluster have room for."""
        import ray

        needs = {NAMES.get(name, name): amount for name, amount in self.resources.items() if amount}
        places = 0
        for node in ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                room = [int(has.get(name, 0) // amount) for name, amount in needs.items()]
                places += min(room, default=1)
        return places

    def has_place(self) -> bool:
        """Return whether there are fewer calls than places."""
        if not self.places and time.monotonic() > self.sized + SIZE_SECONDS:
            self.size, self.sized = self.measured(), time.monotonic()
        return len(self.busy) < (self.places or self.size)

    def is_busy(self) -> bool:
        """Return whether calls are under way."""
        return bool(self.busy)

    def begin(self, index: int, argument: Any) -> None:
        """Submit a task."""
        self.busy[self.task.remote(self.function, cloudpickle.dumps(argument))] = index

    def answers(self) -> Iterator[tuple[int, Any]]:
        """Yield the answers of the tasks that have ended, after a moment at most."""
        import ray

        if not self.busy:
            time.sleep(POLL_SECONDS)
            return
        ended, _ = ray.wait([*self.busy], timeout=POLL_SECONDS)
        for task in ended:
            answer = answer_of(task, stopped=self.stopped)
            self.asked.pop(task, None)
            yield self.busy.pop(task), answer

    def interrupt(self) -> None:
        """Cancel the tasks, which interrupts them; again after a while."""
        import ray

        now = time.monotonic()
        for task in self.busy:
            if now > self.asked.get(task, -math.inf) + AGAIN_SECONDS:
                self.asked[task] = now
                ray.cancel(task)

    def end(self) -> None:
        """End the processes of the tasks."""
        import ray

        for task in self.busy:
            ray.cancel(task, force=True)

    def close(self) -> None:
        """Leave no task behind."""
        self.stopped = self.stopped or bool(self.busy)
        while self.busy:
            self.interrupt()
            for _ in self.answers():
                pass


def connect(address: str | None) -> None:
    """Connect to a cluster, or start one on this host; raises `ConfigError`."""
    import ray

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    with tempfile.TemporaryDirectory() as staged, environment({"RAY_USAGE_STATS_ENABLED": "0"}):
        for place in SENT:
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
            shutil.copytree(PROJECT / place, Path(staged) / place, ignore=ignored)
        sent = {"working_dir": staged}
        try:
            give_token()
            require_listener(address or os.environ.get("RAY_ADDRESS", ""))
            try:
                ray.init(address or "auto", runtime_env=sent, **quiet)
            except ConnectionError:
                if address or "RAY_ADDRESS" in os.environ:
                    raise
                quiet |= {"num_cpus": cores(), "include_dashboard": False}
                ray.init("local", runtime_env=sent, **quiet)
        except Exception as error:  # each kind of failure raises another
            where = address or os.environ.get("RAY_ADDRESS", "null")
            raise ConfigError(
                f"hydra.launcher.address={where}: there is no Ray cluster to be used: "
                f"{one_line(error)}"
            ) from error
        finally:  # which Ray replaces by its own
            for number, handler in handlers.items():
                signal.signal(number, handler)


def give_token() -> None:
    """Have a token for a cluster that is started here, unless the user has one.

    Or Ray would leave one in the user's home, and later clusters there would ask for it.
    """
    named = any(name.startswith("RAY_AUTH_") for name in os.environ)
    if not named and not (Path.home() / ".ray" / "auth_token").exists():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def require_listener(address: str) -> None:
    """Raise `OSError` if nothing listens at an address, which Ray would try for minutes."""
    if found := re.fullmatch(r"(?:ray://)?\[?([\w.:-]+?)\]?:(\d+)", address):
        socket.create_connection((found[1], int(found[2])), CONNECT_SECONDS).close()


def silence() -> None:
    """Keep Ray from printing what its processes report: a lost one is told of as a lost trial."""
    from ray._private import worker

    worker.print_to_stdstream = lambda *args, **kwargs: None


def refuse_unfit() -> None:
    """Raise `ConfigError` if a host of the cluster has other versions than this one."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    checked = {}
    packed, nothing = ray.put(remote.packed(type)), cloudpickle.dumps(None)
    for node in ray.nodes():
        if node["Alive"]:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            probe = task(num_cpus=0, max_retries=1, scheduling_strategy=place)
            checked[probe.remote(packed, nothing)] = node["NodeManagerHostname"]
    for each, host in checked.items():
        try:
            ray.get(each)
        except ray.exceptions.RayTaskError as error:
            raise ConfigError(f"hydra/launcher=ray: {one_line(error.cause)}") from error
        except ray.exceptions.RayError as error:
            raise ConfigError(
                f"hydra/launcher=ray: the host {host} cannot run trials: {one_line(error)}"
            ) from error


def task(**options: Any) -> Any:
    """Return the task that makes a call."""
    import ray

    from initlab.sweep import ray_task

    ray.cloudpickle.register_pickle_by_value(ray_task)
    return ray.remote(**options)(ray_task.call)


def answer_of(task: Any, stopped: bool) -> Any:
    """Return what the call of a task that has ended returned, `Interrupted` if it has not."""
    import ray

    try:
        return cloudpickle.loads(ray.get(task))
    except ray.exceptions.RayTaskError as error:
        return Interrupted(one_line(error.cause))
    except ray.exceptions.WorkerCrashedError:
        return Interrupted("its process ended")
    except ray.exceptions.TaskCancelledError:
        return Interrupted("" if stopped else "its task was cancelled")
    except ray.exceptions.RayError as error:
        return Interrupted(one_line(error))
