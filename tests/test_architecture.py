"""Who may import whom (the contracts of pyproject.toml), and what every file owes."""

import ast
import os
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


def test_import_contracts_are_kept(monkeypatch, capsys):
    cli = pytest.importorskip("importlinter.cli")
    monkeypatch.chdir(ROOT)
    code = cli.lint_imports(cache_dir=None)
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: os.path.relpath(p, ROOT))
def test_every_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
