"""Any legal parameters: what is accepted can be played, the rest is refused."""

import dataclasses
import re
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shardsim_envs as envs
from shardsim_envs.gridworld import mazes
from shardsim_envs.levels import levels

WORLDS = typing.get_args(envs.World)
STEPS = 12
VALUES = {
    "size": [2, 3, 4, 5, 6, 7, 9, 13],
    "layout": list(typing.get_args(mazes.Layout)),
    "view": ["agent", "board"],
    "max_steps": [1, 2, 50],
}
"""What fields of these names are given; other numbers lie around their default."""


def drawn(world):
    """Parameters of a world, legal ones or not."""
    fields = {}
    for field in dataclasses.fields(world):
        if field.name == "kind":
            continue
        default = field.default
        if field.name in VALUES:
            choices = VALUES[field.name]
        elif isinstance(default, int):
            choices = [default, 0, 1, 2, 3, 9]
        elif isinstance(default, float):
            choices = [default, -1.0, 0.0, 0.5, 1.0]
        else:
            choices = [default]
        fields[field.name] = st.sampled_from(choices)
    return st.fixed_dictionaries(fields)


@pytest.mark.slow
@pytest.mark.few(3, rest="long")
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_what_is_accepted_can_be_played(world):
    played = 0

    @settings(max_examples=60, deadline=None, database=None)
    @given(fields=drawn(world), seed=st.integers(0, 2**31 - 1))
    def check(fields, seed):
        nonlocal played
        env, refused = made(world, fields)
        if env is None:
            name = re.match(r"(\w+): got .*; allowed: ", refused)
            assert name, refused
            assert name[1] in fields
            return
        if played >= 5:  # each is compiled; the rest only has to be refused by name
            return
        played += 1
        play(env, seed)

    check()
    assert played


def made(world, fields):
    """The world, or None and why not."""
    try:
        return world(**fields), ""
    except ValueError as error:
        return None, str(error)


def play(env, seed):
    params = env.params()

    def run(key):
        level = env.generate(key, params)
        _, state = env.reset_to(level, params)

        def step(state, key):
            action = jax.random.randint(key, (), 0, env.num_actions)
            out = env.step(key, state, action, params)
            at = state.position
            wall = env.walls(state)[at[0], at[1]]
            return out.state, (out.observation, out.reward, out.info, wall)

        return level, jax.lax.scan(step, state, jax.random.split(key, STEPS))[1]

    level, (seen, reward, info, wall) = jax.jit(run)(jax.random.key(seed))
    levels.check(env, jax.tree.map(np.asarray, level))
    assert seen.shape == (STEPS, *env.observation_shape)
    assert int(jnp.max(seen)) <= 1
    assert np.isfinite(reward).all()
    assert all(np.isfinite(leaf).all() for leaf in info.values())
    assert not np.asarray(wall).any()


@pytest.mark.parametrize(
    ("size", "layout", "beacons", "most"),
    [(5, "tree", 6, 6), (5, "blocks", 3, 3), (7, "edges", 8, 8), (5, "open", 8, 3)],
)
def test_beacons_and_their_leader_find_room(size, layout, beacons, most):
    """`most` things beside the agent are sure of a free cell, whatever the walls."""
    with pytest.raises(ValueError, match=f"beacons: got {beacons}; .* at most {most} "):
        envs.FollowMe(size=size, layout=layout, beacons=beacons)
    assert envs.FollowMe(size=size, layout=layout, beacons=most - 1)


@pytest.mark.parametrize(
    ("world", "field", "value", "allowed"),
    [
        (envs.CornerMaze, "reward", float("nan"), "a finite number"),
        (envs.CornerMaze, "reward", 1e39, "0, or 1.2e-38 to 3.4e+38 in size"),
        (envs.CornerMaze, "reward", "1", "a number"),
        (envs.CornerMaze, "reward", True, "a number"),
        (envs.MonsterWorld, "sharpness", float("inf"), "a finite number"),
        (envs.CornerMaze, "max_steps", 2**31, "1 to 2**31 - 1"),
        (envs.DishMaze, "cheese_dish_distance", 2**40, "0 to 2**31 - 1"),
        (envs.RewardButton, "size", 7.0, "a whole number"),
        (envs.FruitMini, "max_steps", 2.5, "a whole number"),
        (envs.CornerMaze, "size", 6, "odd, 5 to 25"),
        (envs.CornerMaze, "size", 27, "odd, 5 to 25"),
    ],
)
def test_numbers_are_such_as_programs_take(world, field, value, allowed):
    says = f"{field}: got {value!r}; allowed: {allowed}"
    with pytest.raises(ValueError, match=re.escape(says)):
        world(**{field: value})
    assert dataclasses.replace(world(), max_steps=2**31 - 1).max_steps == 2**31 - 1


@pytest.mark.parametrize(
    ("world", "field", "value", "place"),
    [
        (envs.WhiskyGold, "reward", (0.0, float("nan"), 1.0), "reward.1: got nan"),
        (envs.WhiskyGold, "reward", (0.0, 1.0), r"reward: got \(0\.0, 1\.0\)"),
        (
            envs.ContextFruits,
            "rewards",
            ((1.0, 0.0), (0.0, -np.inf)),
            "rewards.1.1: got -inf",
        ),
    ],
)
def test_a_number_in_a_list_is_named_by_its_place(world, field, value, place):
    with pytest.raises(ValueError, match=f"^{place}; allowed: a "):
        world(**{field: value})


def test_lists_become_tuples_which_may_be_hashed():
    world = envs.ContextFruits(rewards=[[1.0, 0.0], [0.0, 1.0]])
    assert hash(world) == hash(envs.ContextFruits())
