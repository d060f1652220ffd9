"""Levels written down, kept, edited; those that can't be played are refused."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shardsim_envs as envs
from shardsim_envs.levels import edits, levels
from shardsim_envs.rendering import drawing, sprites

WORLDS = typing.get_args(envs.World)
MOST = {
    envs.Reskin: {"colours": 8, "shapes": 8},
    envs.ContextFruits: {
        "contexts": 8,
        "fruits": 6,
        "rewards": ((1.0,) * 6,) * 8,
        "hunger": (1.0,) * 6,
    },
}
"""Worlds with as many numbered planes as they may have."""
MAZE = envs.CornerMaze(size=7)
TEXT = """
#######
#....c#
#.#.###
#.#...#
#.###.#
#@....#
#######
"""


def one(world, seed=0):
    return next(levels.each(levels.generate(world, seed, 1).levels))


def same(a, b) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_text_by_hand():
    level = levels.from_text(MAZE, TEXT)
    assert level.start.tolist() == [5, 1]
    cheese = level.board[..., MAZE.plane("cheese")]
    assert np.argwhere(cheese).tolist() == [[1, 5]]
    assert level.board[..., MAZE.plane("wall")].sum() == 24 + 7
    assert levels.to_text(MAZE, level).strip() == TEXT.strip()


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.few(3)
def test_what_is_written_is_read_again(world, tmp_path):
    env = world()
    found = levels.generate(env, 3, 4)
    for level in levels.each(found.levels):
        levels.check(env, level)
        again = levels.from_text(env, levels.to_text(env, level))
        np.testing.assert_array_equal(again.board, level.board)
        np.testing.assert_array_equal(again.start, level.start)
    levels.save(tmp_path / "set.npz", found)
    back = levels.load(tmp_path / "set.npz", WORLDS)
    assert back.world == env
    assert back.seed == 3
    assert same(back.levels, found.levels)
    # the seed tells the levels
    assert same(levels.generate(env, back.seed, 4).levels, found.levels)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.few(3)
def test_letters_and_pictures_are_a_plane_s_own(world):
    env = world(**MOST.get(world, {}))
    letters = [sprites.sprite(name).letter for name in env.board_planes]
    assert len(set(letters)) == len(letters), letters
    assert "." not in letters
    assert "?" not in letters
    drawn = [sprites.sprite(name) for name in env.board_planes]
    pictures = {d.colour.tobytes() + d.mask.tobytes() for d in drawn}
    assert len(pictures) == len(letters)
    # what fills the board together is seen together
    moods = [n for n in env.board_planes if n.split()[0] in ("floor", "hungry")]
    pixels = sum(sprites.sprite(name).mask.astype(int) for name in moods)
    assert np.max(pixels) <= 1
    frame = drawing.frame(env, one(env))
    side = sprites.PIXELS * drawing.SCALE
    assert frame.shape == (env.shape[0] * side, env.shape[1] * side, 3)


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("#....c#", "#...#c#", r"cheese: got \(1, 5\), which nobody can reach"),
        ("c", ".", "cheese: got none"),
        ("@", "Z", r"allowed: \. free, # wall, c cheese, @ agent"),
        ("@", ".", r"text: got 0 agents \(@\); allowed: one"),
        ("@.", "@@", r"text: got 2 agents"),
        ("@", "!", "text: got '!' in row 5, column 1; allowed: "),
        ("#.#...#\n", "", "text: got 6 rows"),
        ("#.#...#", "#.#...##", r"text: got 7 rows of \[7, 8\] letters"),
        ("#@", "A@", "text: got 'A'"),
    ],
)
def test_a_level_that_cannot_be_played_is_refused(was, becomes, says):
    with pytest.raises(ValueError, match=says):
        levels.from_text(MAZE, TEXT.replace(was, becomes, 1))


def test_a_start_in_the_wall_is_refused():
    with pytest.raises(ValueError, match=r"agent: got .*, a wall; allowed: a free"):
        edits.moved_agent(MAZE, levels.from_text(MAZE, TEXT), (2, 2))


def test_files_of_something_else_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match="got no levels; allowed"):
        levels.load(path, WORLDS)
    levels.save(path, levels.generate(MAZE, 0, 2), overwrite=True)
    with pytest.raises(ValueError, match="got world 'corner_maze'; allowed: dish_maze"):
        levels.load(path, [envs.DishMaze])
    with pytest.raises(ValueError, match="count: got 0; allowed: at least 1"):
        levels.generate(MAZE, 0, 0)


def test_a_splay_has_the_agent_at_every_free_cell():
    level = levels.from_text(MAZE, TEXT)
    splay = edits.splay(MAZE, level)
    wall = level.board[..., MAZE.plane("wall")] > 0
    assert splay.start.tolist() == np.argwhere(~wall).tolist()
    boards = splay.board.copy()
    boards[..., -1] = 0
    still = level.board.copy()
    still[..., -1] = 0
    assert (boards == still).all()
    # and the world can be played from each
    step = jax.vmap(lambda one: MAZE.reset_to(one, MAZE.params())[1].position)
    np.testing.assert_array_equal(step(jax.tree.map(jnp.asarray, splay)), splay.start)


@pytest.mark.parametrize("fixed", ["steps", "euclid"])
def test_matched_pairs_differ_in_one_distance_only(fixed):
    env = envs.CornerMaze(size=13, region=11)
    level = one(env)
    anchor = tuple(level.start.tolist())
    pairs = edits.matched_pairs(env, level, "cheese", anchor, fixed)
    assert len(pairs) > 5
    for pair in pairs:
        kept, varied = (
            (pair.steps, pair.euclid) if fixed == "steps" else (pair.euclid, pair.steps)
        )
        assert kept[0] == kept[1]
        assert varied[0] < varied[1]
        for found, cell, steps in zip(
            (pair.one, pair.other), pair.cells, pair.steps, strict=True
        ):
            levels.check(env, found)
            cheese = found.board[..., env.plane("cheese")]
            assert [tuple(c) for c in np.argwhere(cheese).tolist()] == [cell]
            assert levels.distances(env, found, anchor)[cell] == steps


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.slow
def test_a_mutation_is_another_level_that_can_be_played(world):
    env = world()
    level = one(env)
    for seed in range(3):
        other = edits.mutate(env, level, seed)
        levels.check(env, other)
        assert not np.array_equal(other.board, level.board)
        assert same(other, edits.mutate(env, level, seed))


def test_memory_follows_an_edit():
    env = envs.KeysAndChests(size=7, keys=(1, 1), chests=(2, 2))
    level = one(env)
    text = levels.to_text(env, level).replace("k", ".")
    with pytest.raises(ValueError, match="key: got none"):
        levels.from_text(env, text)
    assert int(level.memory.left) == 1
    assert int(levels.from_text(env, text.replace(".", "k", 2)).memory.left) == 2


@pytest.mark.slow
def test_films_and_sheets_are_written(tmp_path):
    frames = [drawing.frame(MAZE, one(MAZE, seed)) for seed in range(3)]
    page = drawing.sheet(frames, 2)
    side = frames[0].shape[0]
    assert page.shape[0] == 2 * side + 3 * drawing.GAP
    for name in ("film.gif", "film.webp"):
        drawing.save(frames, tmp_path / name)
        from PIL import Image

        with Image.open(tmp_path / name) as film:
            assert film.n_frames == 3
            assert film.size == (side, side)
    drawing.save([page], tmp_path / "page.png")
    with pytest.raises(ValueError, match=r"out: got .*page.png.* for 3 frame"):
        drawing.save(frames, tmp_path / "page.png")


def test_a_file_of_another_kind_or_of_other_arrays_is_refused(tmp_path):
    path = tmp_path / "levels.npz"
    with pytest.raises(FileNotFoundError):
        levels.load(path, WORLDS)
    path.write_text("levels")
    with pytest.raises(ValueError, match="got no levels; allowed: a file of"):
        levels.load(path, WORLDS)
    np.save(tmp_path / "levels.npy", 1)
    with pytest.raises(ValueError, match="got no levels; allowed: a file of"):
        levels.load(tmp_path / "levels.npy", WORLDS)
    found = levels.generate(envs.FruitMini(), 0, 2)
    other = found._replace(levels=found.levels._replace(memory=()))
    levels.save(path, other, overwrite=True)
    with pytest.raises(
        ValueError, match="got levels of 2 arrays; allowed: 3, as fruit"
    ):
        levels.load(path, WORLDS)


def test_no_frame_makes_no_picture(tmp_path):
    frame = drawing.frame(MAZE, one(MAZE))
    for make, says in (
        (lambda: drawing.sheet([], 2), "frames: got none"),
        (lambda: drawing.sheet([frame], 0), "columns: got 0; allowed: at least 1"),
        (lambda: drawing.save([], tmp_path / "x.png"), "frames: got none"),
        (lambda: drawing.save([frame] * 2, tmp_path / "x.gif", 0), "fps: got 0"),
    ):
        with pytest.raises(ValueError, match=says):
            make()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "seed", [np.int64(5), np.uint32(5), jnp.int32(5), np.array(5)], ids=repr
)
def test_numbers_of_numpy_and_jax_are_seeds(seed, tmp_path):
    """The same levels as of Python's number, and the file says so."""
    found = levels.generate(MAZE, seed, count=np.int64(2))
    expected = levels.generate(MAZE, 5, 2)
    levels.save(tmp_path / "levels.npz", found)
    again = levels.load(tmp_path / "levels.npz", WORLDS)
    assert again.seed == 5
    assert type(again.seed) is int
    np.testing.assert_array_equal(again.levels.board, expected.levels.board)


@pytest.mark.parametrize("seed", [1.0, "5", None, np.float32(5), 2**32, -1])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ValueError, match=r"seed: got .*; allowed: 0 to 4294967295"):
        levels.check_seed(seed)


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    frame = drawing.frame(MAZE, one(MAZE))
    film = [frame, 255 - frame]
    wide = np.zeros((1, 16384, 3), np.uint8)
    wider = np.zeros((1, 65536, 3), np.uint8)
    inf, nan = float("inf"), float("nan")
    for make, says in (
        (lambda: drawing.save(film, tmp_path / "x.gif", 51), r"fps: got 51.* in \.gif"),
        (lambda: drawing.save(film, tmp_path / "x.gif", 1e-3), "fps: got 0.001"),
        (lambda: drawing.save(film, tmp_path / "x.gif", inf), "fps: got inf"),
        (lambda: drawing.save(film, tmp_path / "x.gif", nan), "fps: got nan"),
        (lambda: drawing.save(film, tmp_path / "x.webp", 1001), "fps: got 1001"),
        (lambda: drawing.save(film, tmp_path / "x.webp", 5e-5), "fps: got 5e-05"),
        (lambda: drawing.save([wide], tmp_path / "x.webp"), "at most 16383 a side"),
        (lambda: drawing.save([wider], tmp_path / "x.gif"), "at most 65535 a side"),
        (lambda: drawing.save([frame, wide], tmp_path / "x.gif"), "allowed: one size"),
        (lambda: drawing.frame(MAZE, one(MAZE), 0), "scale: got 0; allowed: whole"),
        (lambda: drawing.frame(MAZE, one(MAZE), 10**6), "scale: got 1000000"),
        (lambda: drawing.sheet([frame] * 10**5, 9), "allowed: at most 67108864 pix"),
    ):
        with pytest.raises(ValueError, match=says):
            make()
    assert not list(tmp_path.iterdir())
    drawing.save([wide], tmp_path / "wide.png")


@pytest.mark.parametrize("fps", [8, 30, 50])
@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_a_film_takes_the_time_that_its_rate_says(fps, ending, tmp_path):
    """In whole hundredths of a second in a GIF, not one less."""
    from PIL import Image

    frame = drawing.frame(MAZE, one(MAZE))
    drawing.save([frame, 255 - frame], tmp_path / f"x.{ending}", fps)
    with Image.open(tmp_path / f"x.{ending}") as film:
        assert film.n_frames == 2
        film.seek(1)
        film.load()
        expected = round(100 / fps) * 10 if ending == "gif" else round(1000 / fps)
        assert film.info["duration"] == expected
