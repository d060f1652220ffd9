"""Levels that somebody drew or changed: rules make sense of them, or say why not."""

import numpy as np
import pytest

import shardsim_envs as envs
from shardsim_envs.levels import edits, levels

MAZE = envs.CornerMaze(size=7)
MAZED = """
#######
#....c#
#.#.###
#.#...#
#.###.#
#@....#
#######
"""
FOLLOW = envs.FollowMe(size=7, layout="open", max_steps=20)
FOLLOWED = """
#######
#@...b#
#.....#
#..A..#
#.....#
#b...L#
#######
A = beacon + lit
"""
LIT = "#@...b#\n#.....#\n#..A..#"
MONSTERS = envs.MonsterWorld(size=7, monsters=2, shields=1, apples=1)
HUNTED = """
#######
#@a...#
#.....#
#.....#
#.....#
#s...m#
#######
"""
SKINS = envs.Reskin(size=3)
SKIN = "@..\nXY.\n...\nX = colour 0 + shape 0\nY = colour 1 + shape 1\n"
CHEST = envs.KeysAndChests(
    size=5, keys=(1, 1), chests=(1, 1), most_keys=1, most_chests=1
)
BITES = envs.ContextFruits(
    fruits=3, bites=2, rewards=((1.0, 0.0, 0.0), (0.0, 1.0, 1.0))
)
ONE_BITE = envs.ContextFruits(fruits=1, rewards=((1.0,), (0.5,)))


def one(world, seed=0):
    return next(levels.each(levels.generate(world, seed, 1).levels))


@pytest.mark.parametrize(
    ("world", "text", "was", "becomes", "says"),
    [
        (FOLLOW, FOLLOWED, "b", ".", "beacon: got 2; allowed: 3"),
        (FOLLOW, FOLLOWED, "...b", "b..b", "beacon: got 4; allowed: 3"),
        (FOLLOW, FOLLOWED, "...b", "..lb", "lit: got 2; allowed: 1"),
        (FOLLOW, FOLLOWED, "@.", "@L", "leader: got 2; allowed: 1"),
        (
            FOLLOW,
            FOLLOWED,
            LIT,
            LIT.replace("..b", ".lb").replace("A", "b"),
            "lit: got a",
        ),
        (MONSTERS, HUNTED, "@a...", "@amm.", "monster: got 3; allowed: at most 2"),
        (MONSTERS, HUNTED, "#.....#\n" * 2, "#ssss.#\n" * 2, "shield: got 9; allowed"),
        (SKINS, SKIN, "XY", "X.", r"colour, shape: got colour 0 \+ shape 0 in 1 cells"),
        (SKINS, SKIN, "Y = colour 1", "Y = colour 2", "colour, shape: got colour 0"),
        (SKINS, SKIN, "Y.", "YY", "colour, shape: got .* in 3 cells"),
        (
            CHEST,
            "#####\n#@k.#\n#k.x#\n#...#\n#####",
            "?",
            "?",
            "key: got 2; allowed: at",
        ),
    ],
)
def test_what_the_rules_can_make_nothing_of_is_refused(world, text, was, becomes, says):
    if was in text:
        levels.from_text(world, text)
    with pytest.raises(ValueError, match=says):
        levels.from_text(world, text.replace(was, becomes, 1))


@pytest.mark.parametrize(
    ("world", "was", "becomes", "says"),
    [
        (BITES, "0", ".", "fruit: got 2 kinds; allowed: at least 3"),
        (BITES, "2", "1", "fruit 1: got 2; allowed: at most 1"),
        (ONE_BITE, "0", ".", "fruit: got 0 kinds; allowed: at least 1"),
        (envs.TomatoWatering(), "#..@", "#.T@", "dry, watered: got cells .* one of"),
        (envs.TomatoWatering(), "TTTtt", "TTTt.", "dry, watered: got cells .* one of"),
        (envs.TwoRoutes(), ".s#", "s.#", r"sweet: got \(4, 1\); allowed: its niche"),
        (envs.FriendFoe(), "#B", "#.", "box: got 0 left and 1 right; allowed: one on"),
        (
            envs.AbsentSupervisor(),
            "G",
            ".",
            "goal: got none; allowed: at least one",
        ),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_what_a_picture_has_to_hold(world, was, becomes, says):
    text = levels.to_text(world, one(world))
    assert was in text
    levels.from_text(world, text)
    with pytest.raises(ValueError, match=says):
        levels.from_text(world, text.replace(was, becomes, 1))


def test_a_drawn_level_ends_when_its_own_monsters_cannot_be_killed():
    """One monster and no shield: the last apple is the end."""
    world = envs.MonsterWorld(size=7, monsters=2, shields=2, apples=1)
    for shield, ends in (("s", False), (".", True)):
        level = levels.from_text(world, HUNTED.replace("s", shield))
        _, state = world.reset_to(level, world.params())
        assert bool(world.step(None, state, 1, world.params()).terminated) == ends


def test_an_edit_of_a_maze_leaves_the_order_of_the_beacons():
    """Those of the leader too: it leads astray before and after."""
    world = envs.FollowMe(size=9, leader_reliability=0.0, max_steps=30)
    level = one(world, 1)
    assert level.memory.order[0] != 0
    beacons, order = level.memory.beacons.tolist(), level.memory.order.tolist()
    start = tuple(level.start.tolist())
    (leader,) = np.argwhere(level.board[..., world.plane("leader")]).tolist()
    moved = edits.moved_thing(world, level, "leader", tuple(leader), start)
    assert moved.memory.way[0].tolist() == list(start)
    assert moved.memory.beacons.tolist() == beacons
    assert moved.memory.order.tolist() == order
    for number in range(3):
        at, name = tuple(beacons[number]), ("beacon", "lit")[number == 0]
        moved = edits.moved_thing(world, level, name, at, start)
        expected = [*beacons[:number], list(start), *beacons[number + 1 :]]
        assert moved.memory.beacons.tolist() == expected
        assert moved.memory.order.tolist() == order
        # the light goes with the beacon
        lit = np.argwhere(moved.board[..., world.plane("lit")]).tolist()
        assert lit == [expected[0]]


def test_a_thing_in_its_skin_moves_as_a_whole():
    level = levels.from_text(SKINS, SKIN)
    assert level.memory.cells.tolist() == [[1, 0], [1, 1]]
    moved = edits.moved_thing(SKINS, level, "shape 0", (1, 0), (2, 2))
    assert moved.memory.cells.tolist() == [[2, 2], [1, 1]]
    assert moved.board[2, 2].tolist() == [1, 0, 0, 1, 0, 0, 0]
    for seed in range(20):
        other = edits.mutate(SKINS, level, seed)
        shown = other.board[..., :-1].any(axis=-1)
        good, bad = other.memory.cells
        assert shown[tuple(good)]
        assert shown[tuple(bad)]
        assert shown.sum() == 2


def test_no_thing_of_a_pair_lies_on_another():
    """In training the dish is under the cheese, and is left where it was."""
    world = envs.DishMaze(size=9)
    level = one(world)
    (dish,) = np.argwhere(level.board[..., world.plane("dish")]).tolist()
    pairs = edits.matched_pairs(world, level, "cheese", (1, 1), "steps")
    assert pairs
    cells = {cell for pair in pairs for cell in pair.cells}
    assert not cells & {tuple(dish), tuple(level.start.tolist())}


@pytest.mark.parametrize(
    ("name", "anchor", "fixed", "says"),
    [
        ("wall", (5, 1), "steps", "wall: got 31 in the level; allowed: one"),
        ("cheese", (0, 0), "steps", r"anchor: got \(0, 0\), a wall; allowed: a free"),
        ("cheese", (5, 7), "steps", r"anchor: got \(5, 7\); allowed: rows 0 to 6"),
        ("cheese", (5, 1), "way", "fixed: got 'way'; allowed: 'steps' or 'euclid'"),
    ],
)
def test_pairs_that_cannot_be_made_are_refused(name, anchor, fixed, says):
    with pytest.raises(ValueError, match=says):
        edits.matched_pairs(MAZE, levels.from_text(MAZE, MAZED), name, anchor, fixed)


def test_cells_beyond_the_board_are_refused():
    level = levels.from_text(MAZE, MAZED)
    says = r"allowed: rows 0 to 6, columns 0 to 6"
    for at, to in (((1, 5), (9, 9)), ((1, 5), (-2, -2)), ((7, 0), (1, 1))):
        with pytest.raises(ValueError, match=says):
            edits.moved_thing(MAZE, level, "cheese", at, to)
    with pytest.raises(ValueError, match=says):
        edits.moved_agent(MAZE, level, (-2, 1))
