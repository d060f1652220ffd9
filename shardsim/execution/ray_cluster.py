"""Workers on a Ray cluster: one that is there, or one of this machine alone.

Ray finds a machine for each part, gives it cores and GPUs, and tells when a machine is
lost. All machines see the folder of the run under the same path.
"""

import contextlib
import dataclasses
import importlib.util
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shardsim.core import extensions, processor
from shardsim.core.field_errors import ConfigError
from shardsim.execution import local, scheduler

START = """
import sys, ray
context = ray.init(
    address="local",
    num_cpus=int(sys.argv[1]),
    include_dashboard=False,
    log_to_driver=False,
    logging_level="ERROR",
)
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""
"""Starts a cluster of this machine, says its address, and ends with standard input."""


@contextlib.contextmanager
def connected(address: str | None) -> Iterator["Cluster"]:
    """Join a cluster; without an address, start one that listens on loopback alone.

    Every connection is authenticated by a token: by a new one, or that of the cluster
    (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token). No dashboard is started.

    Raises:
      ConfigError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # as Ray will: GPUs stay visible to a task that asks for none
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "executor: got 'ray', which is not installed; allowed: 'local', or 'ray' "
            'after pip install "shardsim[cluster]"'
        )
    with contextlib.ExitStack() as stack:
        if address is None:
            # Ray's name for: this machine alone. Every server then binds to loopback;
            # with a node address of 127.0.0.1 it takes that of the machine instead
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
            if os.environ["RAY_AUTH_MODE"] == "token":
                os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            joined = stack.enter_context(_own_cluster())
        else:
            joined = address
        import ray

        try:
            ray.init(address=joined, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            line = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"address: got {address!r} ({line}); allowed: that of a Ray cluster"
            ) from None
        stack.callback(ray.shutdown)
        yield Cluster(ray)


@contextlib.contextmanager
def _own_cluster() -> Iterator[str]:
    """A cluster of this machine; it ends with the block, or with this process.

    Another process starts it: Ray forks, which is not safe beside the threads of JAX.
    """
    with subprocess.Popen(
        [sys.executable, "-c", START, str(len(processor.cores()))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().decode().strip()
            if not address:
                raise OSError("executor: Ray could not be started on this machine")
            yield address
        finally:
            process.stdin.close()


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A Ray cluster that this process has joined."""

    ray: Any

    def workers(self, slots: int | None, cpus: int, gpus: float) -> "RayWorkers":
        """Workers that train parts of runs.

        Args:
          slots: at most; None: as many as the cluster has places for.
          cpus: cores of each.
          gpus: of each.
        """
        task = self.ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1
        )(_work)
        return RayWorkers(self.ray, task, slots, cpus, gpus > 0)


class RayWorkers:
    """Workers as Ray tasks."""

    def __init__(
        self,
        ray: Any,
        task: Any,
        slots: int | None,
        cpus: int,
        has_gpus: bool,
    ) -> None:
        self.ray, self.task = ray, task
        self.slots = slots
        self.environment = {"NPROC": str(cpus), "PWD": os.getcwd()}
        if not has_gpus:
            self.environment["JAX_PLATFORMS"] = "cpu"
        if extensions.VARIABLE in os.environ:
            self.environment[extensions.VARIABLE] = os.environ[extensions.VARIABLE]
        self.running: dict[Any, scheduler.Task] = {}

    def start(self, task: scheduler.Task) -> None:
        """Submit a task that trains a part; it waits for a place in the cluster."""
        reference = self.task.options(name=str(task)).remote(
            str(task.run.absolute()), task.part.place, self.environment
        )
        self.running[reference] = task

    def ended(self, seconds: float) -> list[scheduler.Ended]:
        """The tasks that ended; waits for the first, at most some seconds."""
        ready, _ = self.ray.wait(list(self.running), timeout=seconds, fetch_local=False)
        return [self._end(reference) for reference in ready]

    def _end(self, reference: Any) -> scheduler.Ended:
        task = self.running.pop(reference)
        try:
            code, errors = self.ray.get(reference)
        except Exception as error:  # the worker or its machine is gone
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            name = type(error).__name__
            return scheduler.Ended(
                task, -signal.SIGKILL, f"{name}: {lines[0]}" if lines else name
            )
        return scheduler.Ended(task, code, local.cause(code, errors))

    def stop(self) -> None:
        """Let all workers save what they have, and wait until they have ended."""
        for reference in self.running:
            self.ray.cancel(reference, force=False)
        self.ray.wait(
            list(self.running),
            num_returns=len(self.running),
            timeout=local.GRACE_SECONDS,
            fetch_local=False,
        ) if self.running else None
        self.running.clear()


def _work(run: str, place: str, environment: dict[str, str]) -> tuple[int, str]:
    """Train a part in a process below this task; its exit code and its stderr.

    The process has JAX, signals and memory to itself. It ends with this task.
    """
    errors = tempfile.TemporaryFile()  # noqa: SIM115, closed with this process
    process = subprocess.Popen(
        local.command(Path(run), place),
        env={**os.environ, **environment},
        cwd=environment["PWD"] if os.path.isdir(environment["PWD"]) else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
    )
    try:
        process.wait()
    except KeyboardInterrupt:  # the driver cancels the task
        process.terminate()
    code = process.wait()
    errors.seek(0)
    return code, errors.read().decode(errors="replace")
