"""The recipes of deploy/: Slurm's is run, the others are read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shardsim import cli
from tests.execution.test_ray import needs_ray
from tests.helpers import run_folders

DEPLOY = Path(__file__).parents[1] / "deploy"
DEBIAN = ("slurmctld", "slurmd", "slurm-client", "munge")
pytestmark = pytest.mark.skipif(not DEPLOY.exists(), reason="no recipes beside tests")


def install_slurm():
    """Whether Slurm is there, or could be installed."""
    if shutil.which("slurmctld") and shutil.which("munged"):
        return True
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return False
    command = ["apt-get", "install", "-y", "--no-install-recommends", *DEBIAN]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True)
    return done.returncode == 0


@needs_ray
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_slurm_starts_a_cluster_and_a_run(training_yaml, tmp_path):
    if os.geteuid() != 0 or not install_slurm():
        pytest.skip("Slurm cannot be installed")
    path, run, whole = training_yaml(), tmp_path / "run", tmp_path / "whole"
    run_folders.shardsim("train", path, "--out", whole)
    bin_folder = Path(sys.executable).parent
    environment = {
        **run_folders.ENVIRONMENT,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
    }
    words = [DEPLOY / "slurm_loopback.sh", "train", path, "--out", run]
    done = subprocess.run(words, env=environment, capture_output=True, timeout=1500)
    assert done.returncode == 0, done.stderr.decode()
    run_folders.assert_same(run, whole)


GCLOUD = """#!/usr/bin/env bash
# two hosts: a command for all runs twice at a time
for word; do
    case $word in
    --command=*) command=${word#--command=} ;;
    --worker=*) worker=${word#--worker=} ;;
    esac
done
if [ "$worker" = all ]; then bash -c "$command" & fi
bash -c "$command"
wait
"""


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_hosts_of_a_slice_take_seeds_of_their_own(training_yaml, tmp_path):
    """Two processes on CPUs that know nothing of each other: the same bits as one."""
    path, run, whole = training_yaml(num_seeds=4), tmp_path / "run", tmp_path / "whole"
    run_folders.shardsim("train", path, "--out", whole)
    (tmp_path / "gcloud").write_text(GCLOUD)
    (tmp_path / "gcloud").chmod(0o755)
    places = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    slice_of = {"TPU": "slice", "ZONE": "here", "RUN": str(run), "PATH": places}
    words = [DEPLOY / "tpu_slice.sh", "train", path, "--block-seeds", "1"]
    done = subprocess.run(
        words,
        env={**run_folders.ENVIRONMENT, **slice_of},
        cwd=tmp_path,
        capture_output=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"8 parts to train, anywhere" in done.stdout
    run_folders.assert_same(run, whole)


def commands():
    """The command lines of shardsim in the recipes."""
    found = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())["spec"]["entrypoint"]
    return [found.removeprefix("shardsim ")]


def test_kuberay_s_command_is_one(capsys):
    """All of its words are options; nothing is left for the fields of a config."""
    (line,) = commands()
    parser = cli._parser()
    options = parser.parse_args(line.split())
    assert (options.command, options.executor, options.address) == (
        *("run", "ray", "auto"),
    )
    assert options.fields == ["--train.num-seeds", "100"]


@pytest.mark.parametrize(
    "name", ["slurm.sbatch", "slurm_loopback.sh", "gpus.sh", "tpu_slice.sh"]
)
def test_scripts_are_bash(name):
    done = subprocess.run(["bash", "-n", str(DEPLOY / name)], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert os.access(DEPLOY / name, os.X_OK) or name.endswith("sbatch")
