"""Whether two run folders are the same, file for file and bit for bit."""

import json
import os
import subprocess
import sys

from shardsim.storage import run_layout

ENVIRONMENT = {**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
"""Quick to compile, with XLA's own fusions, as users have them. Those of the test
process round differently in programs that differ elsewhere."""

TIMES = ("provenance.json", "preregistration.json", "timing.json")
"""Files that say when and where; nothing else differs between two runs."""


def start(*words, environment=None, **options):
    """A command in a process of its own."""
    command = [sys.executable, "-m", "shardsim.cli", *map(str, words)]
    env = {**ENVIRONMENT, **(environment or {})}
    return subprocess.Popen(command, env=env, **options)


def shardsim(*words, code=0, **environment):
    """Run a command in a process of its own; its stderr."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(*words, environment=environment, **pipes) as process:
        _, errors = process.communicate(timeout=600)
    assert process.returncode == code, errors.decode()
    return errors.decode()


def files(folder):
    """The bytes of all files but those of `TIMES` and of checkpoints, by name."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if name not in (*TIMES, run_layout.LIST_FILE)
        and not name.startswith("checkpoints/")
    }


def listed(folder):
    """The names in the list of the run that are there."""
    lines = (folder / run_layout.LIST_FILE).read_text().splitlines()
    names = {json.loads(line)["file"] for line in lines}
    return {name for name in names if (folder / name).exists()}


def assert_same(folder, other, *, but=()):
    """The same files with the same bytes, and both lists name all of them."""
    one, two = files(folder), files(other)
    assert one.keys() == two.keys()
    differing = {name for name in one if one[name] != two[name]}
    assert differing == set(but), sorted(differing)
    assert listed(folder) == listed(other)
