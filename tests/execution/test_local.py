"""Parts in processes of this machine, which are killed: the same bits all the same."""

import copy
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from shardsim.execution import training
from shardsim.storage import json_lines, run_layout
from tests.helpers import run_folders

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PHASES = [
    {
        "name": "look",
        "collect": "random_walker",
        "updates": 2,
        "losses": {"action": {"encoder": 1, "decoder": 1}},
    },
    {
        "name": "earn",
        "updates": 60,
        "losses": {"value": {"encoder": 1, "value": 1}},
    },
]


@pytest.fixture(scope="module")
def config_file(tiny, tmp_path_factory):
    """Two arms, four seeds, and updates enough to be killed between two of them."""
    data = {n: copy.deepcopy(tiny[n]) for n in ("name", "env", "agent", "arms")}
    del data["arms"]["untrained"]
    train = {**tiny["train"], "num_seeds": 4, "phases": PHASES, "updates_per_call": 1}
    data["train"] = train
    path = tmp_path_factory.mktemp("local") / "tiny.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def whole(config_file):
    """The run of one process."""
    folder = config_file.parent / "whole"
    run_folders.shardsim("train", config_file, "--out", folder)
    return folder


LOCAL = ("--executor", "local", "--workers", "2", "--block-seeds", "2")


def workers(run):
    """The processes that are at work on parts of a run: place -> pid."""
    found = {}
    for path in run.glob(f"{run_layout.PARTS}/*/*/{training.WORKER_FILE}"):
        pid = json.loads(path.read_text())["pid"]
        command = Path(f"/proc/{pid}/cmdline")
        if command.exists() and b"work" in command.read_bytes().split(b"\0"):
            found[path.parent] = pid
    return found


def wait_for(condition, seconds=300):
    until = time.monotonic() + seconds
    while not (got := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return got


def has_trained(run, updates=3):
    """A part in whose metrics there are some lines, and who is at work on it."""
    for part, pid in workers(run).items():
        lines = json_lines.read(part / "metrics.jsonl")
        if part.name != "shared" and updates < len(lines) < 60:
            return part, pid
    return None


def test_a_killed_worker_goes_on_elsewhere(config_file, whole, tmp_path):
    run = tmp_path / "run"
    words = ["train", config_file, "--out", run, *LOCAL]
    with run_folders.start(*words, stderr=subprocess.PIPE) as process:
        part, pid = wait_for(lambda: has_trained(run))
        os.kill(pid, signal.SIGKILL)
        _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    text = f"{part.name} of seeds {part.parent.name}, on "
    assert f"{text}{os.uname().nodename}: killed by SIGKILL; retry 1 of 3" in (
        errors.decode()
    )
    run_folders.assert_same(run, whole)


def test_ctrl_c_leaves_all_that_was_trained(config_file, whole, tmp_path):
    run = tmp_path / "run"
    words = ["train", config_file, "--out", run, *LOCAL]
    with run_folders.start(*words, stderr=subprocess.PIPE) as process:
        wait_for(lambda: has_trained(run))
        at_work = workers(run)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert f"go on with: shardsim resume {run}" in errors.decode()
    assert not workers(run)
    assert all((part / "checkpoints").exists() for part in at_work)
    run_folders.shardsim("resume", run, *LOCAL[:4])
    run_folders.assert_same(run, whole)


def test_a_killed_driver_takes_its_workers_along(config_file, whole, tmp_path):
    """And a second one, in this process alone, goes on where they were."""
    run = tmp_path / "run"
    with run_folders.start("train", config_file, "--out", run, *LOCAL) as process:
        wait_for(lambda: has_trained(run))
        process.kill()
    wait_for(lambda: not workers(run), 120)
    run_folders.shardsim("resume", run)
    run_folders.assert_same(run, whole)


def test_kills_at_random_moments_lose_nothing(config_file, whole, tmp_path):
    """Worker or driver, ten kills, each with the part's bits at the end."""
    run, kills = tmp_path / "run", int(os.environ.get("SHARDSIM_KILLS", "10"))
    chance = random.Random(kills)
    command = ["train", config_file, "--out", run, *LOCAL, "--retries", "99"]
    done = 0
    while done < kills:
        process = run_folders.start(*command, stderr=subprocess.DEVNULL)
        with process:
            while done < kills and process.poll() is None:
                time.sleep(chance.uniform(0, 15))
                at_work = list(workers(run).values())
                if chance.random() < 0.3 or not at_work:
                    process.kill()
                    process.wait()
                else:
                    os.kill(chance.choice(at_work), signal.SIGKILL)
                done += 1
            if done == kills and process.poll() is None:
                process.wait(900)
        if not (run / "config.yaml").exists() and run.exists():
            command += ["--overwrite"]
        elif run.exists():
            command = ["resume", run, *LOCAL[:4], "--retries", "99"]
        if (run / "results.json").exists():
            run_folders.assert_same(run, whole)
            command = ["train", config_file, "--out", run, "--overwrite", *LOCAL]
            command += ["--retries", "99"]
    if not (run / "results.json").exists():
        run_folders.shardsim(*command)
    run_folders.assert_same(run, whole)


def test_any_process_takes_parts_that_are_free(config_file, whole, tmp_path):
    """Two at once, on a run that was only begun; the last word is that of resume."""
    run = tmp_path / "run"
    words = ["--block-seeds", "2", "--begin"]
    run_folders.shardsim("train", config_file, "--out", run, *words)
    hosts = [run_folders.start("work", run) for _ in range(2)]
    assert [host.wait(900) for host in hosts] == [0, 0]
    paths = run.glob(f"{run_layout.PARTS}/*/*/{training.WORKER_FILE}")
    pids = [json.loads(path.read_text())["pid"] for path in paths]
    assert len(pids) == 6
    assert {*pids} == {host.pid for host in hosts}
    run_folders.shardsim("resume", run)
    run_folders.assert_same(run, whole)
