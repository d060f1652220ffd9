"""Who may import whom (the contracts of pyproject.toml), and what every file owes."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    [
        *(ROOT / "shardsim").rglob("*.py"),
        *(ROOT / "envs" / "shardsim_envs").rglob("*.py"),
    ]
)

pytestmark = pytest.mark.skipif(
    not SOURCES, reason="the source tree is not beside the tests"
)


def test_import_contracts_are_kept():
    """In a process of its own: the linter keeps a stream that pytest closes."""
    pytest.importorskip("importlinter")
    code = "import sys; from importlinter import cli; sys.exit(cli.lint_imports())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: os.path.relpath(p, ROOT))
def test_every_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
