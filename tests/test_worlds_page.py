"""The page of the worlds keeps its word: code runs, pictures come of their commands."""

import re
import shlex
import typing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shardsim_envs
from shardsim import cli

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "worlds.md"
pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="no page beside the tests")
TEXT = PAGE.read_text() if PAGE.is_file() else ""
WORLDS = {world.__name__: world for world in typing.get_args(shardsim_envs.World)}


def test_every_world_has_its_row_and_its_picture():
    rows = dict(re.findall(r"^\| \[(\w+)\]\(.*\| (.*) \|$", TEXT, re.M))
    assert list(rows) == list(WORLDS)
    for name, states in rows.items():
        world = WORLDS[name]()
        known = f"{world.num_states:,} states"
        assert states == (f"no: {world.unlisted}" if world.unlisted else known)
        path = f"figures/worlds/{world.kind}.png"
        assert f"![{name}]({path})" in TEXT
        assert (PAGE.parent / path).is_file()
    for link in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (PAGE.parent / link).exists(), link


@pytest.mark.slow
def test_its_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), {})
    assert (tmp_path / "levels.npz").is_file()
    assert (tmp_path / "frame.png").is_file()
    assert "#########" in capsys.readouterr().out


@pytest.mark.long
def test_its_pictures_come_of_its_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^shardsim (show .*)$", TEXT, re.M)
    assert len(commands) == len(WORLDS)
    for command in commands:
        words = shlex.split(command)
        assert cli.main(words) == 0
        path = words[words.index("--out") + 1]
        with Image.open(tmp_path / path) as made, Image.open(ROOT / path) as kept:
            np.testing.assert_array_equal(np.asarray(made), np.asarray(kept))
    capsys.readouterr()
