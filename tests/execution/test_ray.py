"""Parts on a Ray cluster that loses workers, a node and its driver: the same bits."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shardsim.core.field_errors import ConfigError
from shardsim.execution import ray_cluster
from tests.execution.test_local import (  # noqa: F401 (fixtures)
    config_file,
    has_trained,
    wait_for,
    whole,
    workers,
)
from tests.helpers import run_folders

HAS_RAY = ray_cluster.importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed")


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ray_cluster.importlib.util, "find_spec", lambda _: None)
    with (
        pytest.raises(
            ConfigError, match=r'allowed: .*pip install "shardsim\[cluster\]"'
        ),
        ray_cluster.connected(None),
    ):
        pass


def listening(session):
    """Addresses on which the processes of a session listen, in hexadecimal."""
    sockets = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        sockets |= {row[9]: row[1].partition(":")[0] for row in rows if row[3] == "0A"}
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(process.name)) != session:
                continue
            for link in (process / "fd").iterdir():
                target = os.readlink(link)
                if target.startswith("socket:[") and target[8:-1] in sockets:
                    found[target] = sockets[target[8:-1]]
    return set(found.values())


SCRIPT = """
import sys
from shardsim.execution import ray_cluster
with ray_cluster.connected(None) as cluster:
    print(cluster.ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.readline()
"""


@needs_ray
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_cluster_of_this_machine_listens_on_loopback_and_ends_with_it():
    words = [sys.executable, "-c", SCRIPT]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as process:
        assert process.stdout.readline().startswith(b"127.0.0.1:")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        (starter,) = map(int, children.split())
        loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
        found = listening(os.getsid(starter)) | listening(os.getsid(process.pid))
        ours = listening(os.getsid(starter))
        assert ours
        assert ours <= loopback, found
        environment = Path(f"/proc/{starter}/environ").read_bytes().split(b"\0")
        assert b"RAY_AUTH_MODE=token" in environment
        process.kill()
    wait_for(lambda: not Path(f"/proc/{starter}/environ").exists(), 60)


@pytest.fixture
def cluster(tmp_path):
    """Starts nodes of a cluster with two places each; all end with the test."""
    environment = {
        **run_folders.ENVIRONMENT,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect(("192.0.2.1", 9))  # sends nothing; tells this machine's address
        host = route.getsockname()[0]
    address = f"{host}:{port}"
    nodes = []

    def start(*words):
        ray = Path(sys.executable).with_name("ray")
        node = subprocess.Popen(
            [ray, "start", "--block", "--num-cpus=1", "--disable-usage-stats", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        nodes.append(node)
        return node

    head = ("--head", f"--port={port}", f"--node-ip-address={host}")
    start(*head, "--include-dashboard=false")
    wait_for(lambda: reaches(host, port), 120)
    second = start(f"--address={address}")
    yield address, second, environment
    for node in nodes:
        leave(node)


def reaches(host, port):
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def leave(node):
    """Kill a node with all its processes."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(process.name)) == node.pid:
                os.kill(int(process.name), signal.SIGKILL)
    node.wait()


@needs_ray
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_cluster_that_loses_all_sorts_of_things(
    config_file,  # noqa: F811
    whole,  # noqa: F811
    cluster,
    tmp_path,
    monkeypatch,
):
    """The driver, a worker, and a node: killed, one after the other."""
    address, second, environment = cluster
    monkeypatch.setattr(run_folders, "ENVIRONMENT", environment)
    run = tmp_path / "run"
    ray = ["--executor", "ray", "--address", address]
    words = ["train", config_file, "--out", run, *ray, "--block-seeds", "2"]
    with run_folders.start(*words) as process:
        wait_for(lambda: has_trained(run))
        process.kill()
    wait_for(lambda: not workers(run), 120)
    words = ["resume", run, *ray]
    with run_folders.start(*words, stderr=subprocess.PIPE) as process:
        _, pid = wait_for(lambda: has_trained(run))
        os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        leave(second)
        _, errors = process.communicate(timeout=1200)
    assert process.returncode == 0, errors.decode()
    assert "killed by SIGKILL; retry 1 of 3" in errors.decode()
    run_folders.assert_same(run, whole)
