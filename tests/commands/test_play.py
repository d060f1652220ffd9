"""`shardsim show` writes a sheet; `shardsim play` is played in a terminal."""

import pytest
from PIL import Image

from shardsim import cli
from tests.helpers import terminals


@pytest.mark.parametrize("name", ["corner_maze", "CornerMaze", "cornermaze"])
def test_a_sheet_of_levels(name, tmp_path, capsys):
    out = tmp_path / "new" / "levels.png"
    flags = ["--levels", "3", "--columns", "2", "--env.size=7"]
    assert cli.main(["show", name, "--out", str(out), *flags]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    with Image.open(out) as picture:
        assert picture.size == (2 * 7 * 24 + 3 * 8, 2 * 7 * 24 + 3 * 8)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["chess"], "name: got 'chess'; allowed: context_fruits, corner_maze, "),
        (["CornerMaze", "--env.size=8"], "env.size: got 8; allowed: odd"),
        (["CornerMaze", "--out", "x.jpg"], "out: got 'x.jpg' for 1 frame(s); allowed"),
        (["CornerMaze", "--out", "new/x.jpg"], "out: got 'new/x.jpg' for 1 frame(s)"),
        (["CornerMaze", "--levels", "0"], "levels: got 0; allowed: at least 1"),
        (["CornerMaze", "--seed", "-1"], "seed: got -1; allowed: 0 to 4294967295"),
        (["CornerMaze", "--seed", str(2**32)], "seed: got 4294967296; allowed: 0 to"),
        (["CornerMaze", "--columns", "0"], "columns: got 0; allowed: at least 1"),
    ],
)
def test_what_cannot_be_shown_is_refused(flags, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["show", *flags]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_playing_needs_a_terminal(capsys):
    assert cli.main(["play", "CornerMaze"]) == 2
    assert "play: got no terminal" in capsys.readouterr().err
    assert cli.main(["play", "CornerMaze", "--seed", str(2**80)]) == 2
    assert f"seed: got {2**80}; allowed: 0 to" in capsys.readouterr().err


@pytest.mark.slow
def test_a_game_in_a_terminal():
    """Down to the lock and up again in TwoRoutes, then the next level, then home."""
    with terminals.opened("play", "two_routes") as game:
        game.screen("step 0 of 60")
        game.press(b"\x1b[B")
        assert "lock -0.02" in game.screen("step 1 of 60")
        game.press(b"w")
        game.screen("step 2 of 60")
        game.press(b"n")
        game.screen("step 0 of 60")
        game.press(b"q")
