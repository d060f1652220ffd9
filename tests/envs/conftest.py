"""What the tests of several files need: small worlds and episodes played in them."""

import collections
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import shardsim_envs
import shardsim_envs as envs
from shardsim.core import dynamic_programming
from shardsim.core.types import TimeStep

UNREACHED = -1
STEPS = 17
"""Time limit of the small worlds: no way on their boards is longer."""
LENGTH = 20
"""Steps of an episode as it is played here: some more than the time limit."""
DISCOUNT = 0.9
PAY = ((1.0, -0.5, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.5))
CASES: list[tuple[shardsim_envs.World, dict[str, Any]]] = [
    (
        envs.ContextFruits(
            size=3, bites=2, hunger=(0.5, 0.5), view="agent", max_steps=STEPS
        ),
        {
            "rewards": ((0, 0.5), (1, 0)),
            "contexts_shown": ((0, 1),),
            "cue_probability": 0.0,
            "hunger": (1.0, 0.0),
        },
    ),
    (
        envs.ContextFruits(
            size=4, contexts=3, fruits=3, rewards=PAY, view="board", max_steps=STEPS
        ),
        {
            "rewards": PAY[::-1],
            "contexts_shown": ((0, 2), (1,)),
            "cue_probability": 1.0,
        },
    ),
    (
        envs.CornerMaze(size=7, region=2, view="board", max_steps=STEPS),
        {"region": 5, "reward": 0.0},
    ),
    (
        envs.CornerMaze(size=7, region=5, view="agent", max_steps=STEPS),
        {"region": 1, "reward": 0.5},
    ),
    (
        envs.DishMaze(size=7, layout="blocks", max_steps=STEPS),
        {"cheese_dish_distance": 5, "reward": 2.0},
    ),
    (
        envs.FollowMe(size=7, beacons=2, layout="noise", max_steps=STEPS),
        {"leader_reliability": 0.0, "reward": 2.0},
    ),
    (
        envs.KeysAndChests(
            size=7,
            layout="edges",
            keys=(1, 2),
            chests=(1, 2),
            most_keys=2,
            most_chests=2,
            max_steps=STEPS,
        ),
        {"keys": (2, 2), "chests": (1, 1), "reward": 2.0},
    ),
    (
        envs.LavaLand(size=7, lava=0.2, view="agent", max_steps=STEPS),
        {"lava": -1.0, "reward": 2.0, "burn": -0.5},
    ),
    (
        envs.MonsterWorld(
            size=7, monsters=2, shields=3, apples=2, layout="blocks", max_steps=STEPS
        ),
        {"sharpness": 0.0, "reward": 2.0, "hit": -2.0},
    ),
    (
        envs.TreeGridworld(size=6, trees=5, max_steps=STEPS),
        {"reward": 2.0, "slowest": 0.1, "fastest": 0.5},
    ),
    (
        envs.DiamondGhost(size=4, max_steps=STEPS),
        {"diamond": 2.0, "ghost": 1.0, "oversight": 1.0, "spurious": 0.5},
    ),
    (envs.FruitMini(fruits=2, max_steps=STEPS), {"reward": 2.0}),
    (
        envs.WhiskyGold(max_steps=STEPS),
        {"reward": (0.0, 1.0, 2.0), "slip_probability": 0.0},
    ),
    (
        envs.AbsentSupervisor(max_steps=STEPS),
        {"reward": (0.0, 1.0, 2.0), "supervised": 1.0},
    ),
    (envs.TomatoWatering(max_steps=STEPS), {"reward": 1.0}),
    (envs.BoatRace(max_steps=STEPS), {"reward": (0.0, 1.0)}),
    (
        envs.FriendFoe(max_steps=STEPS),
        {"reward": (0.0, 1.0), "bandits": (0.0, 1.0, 0.0), "left": (1.0, 0.0, 0.0)},
    ),
    (
        envs.TwoRoutes(max_steps=STEPS),
        {"reward": (2.0, 1.0, 0.0), "occluded": 1.0},
    ),
    (
        envs.RewardButton(size=4, max_steps=STEPS),
        {"reward": (1.0, 2.0), "full_at_start": 0.5},
    ),
    (
        envs.Reskin(size=4, max_steps=STEPS),
        {"reward": (2.0, 0.0), "good": (1, 0), "bad": (0, 1)},
    ),
    (
        envs.DrugThenStudy(size=4, max_steps=STEPS),
        {"reward": (2.0, 1.0), "slip_probability": 0.0, "drugged_at_start": 0.5},
    ),
]
"""Small worlds, each with another value for all that a schedule may change in it."""

NAMES = [f"{world.kind}-{world.view}" for world, _ in CASES]
STILL = {
    "fruit",
    "cue",
    "cheese",
    "dish",
    "key",
    "chest",
    "apple",
    "shield",
    "diamond",
    "ghost",
    "gold",
    "goal",
    "book",
    "drug",
    "task",
    "button",
    "box",
    "beacon",
    "lock",
    "arrow",
    "colour",
    "shape",
    "punishment",
    "bucket",
}
"""Things, by the first word of their plane, that stay till the agent takes them."""


FAST = {
    "context_fruits",
    "corner_maze",
    "follow_me",
    "keys_and_chests",
    "lava_land",
    "monster_world",
    "tomato_watering",
    "whisky_gold",
}
"""Worlds that between them use all of the core; the others are tried by slow tests."""


@pytest.fixture(
    params=[
        pytest.param(case, marks=[] if case[0].kind in FAST else pytest.mark.slow)
        for case in CASES
    ],
    ids=NAMES,
    scope="session",
)
def case(request):
    """A world, and another value for all that a schedule may change in it."""
    return request.param


@pytest.fixture(scope="session")
def env(case):
    return case[0]


@pytest.fixture(scope="session")
def still(env) -> list[str]:
    """Planes of things that stay where they are till the agent takes them."""
    return [name for name in env.plane_names if name.split()[0] in STILL]


@pytest.fixture(scope="session")
def worlds():
    return [world for world, _ in CASES]


def listed(env) -> bool:
    """Are the states of a level few enough to be listed in every example?"""
    return not env.unlisted and env.num_states < 10_000


def noisy(env) -> bool:
    """Does chance have a say in what a step does?"""
    return bool(env.unlisted or env.num_coins) or isinstance(
        env, envs.WhiskyGold | envs.DrugThenStudy
    )


class Episode(NamedTuple):
    """L steps, no reset at the end; `state`, `action` [L], `out` [L] after them."""

    level: Any
    table: dynamic_programming.TransitionTable
    value: Array
    walls: Array
    state: Any
    seen: Array
    action: Array
    index: Array
    out: TimeStep
    index_after: Array


@functools.cache
def player(env):
    """The compiled program that plays one episode."""

    def play(key: Array, wanted: Array, params: Any) -> Episode:
        level_key, step_key = jax.random.split(key)
        level = env.generate(level_key, params)
        _, start = env.reset_to(level, params)
        table, value = None, None
        if listed(env):
            table = dynamic_programming.tabulate(env, level, params)
            value = dynamic_programming.optimal_value(table, DISCOUNT, env.max_steps)
            best = dynamic_programming.q_values(table, value, DISCOUNT).argmax(axis=-1)

        def step(state, each):
            asked, key = each
            index = env.index(level, state)
            good = best[index] if listed(env) else jnp.int32(0)
            action = jnp.where(asked < 0, good, asked).astype(jnp.int32)
            out = env.step(key, state, action, params)
            before = (state, env.observe(state), action, index)
            return out.state, (*before, out, env.index(level, out.state))

        keys = jax.random.split(step_key, LENGTH)
        _, record = jax.lax.scan(step, start, (wanted, keys))
        return Episode(level, table, value, env.walls(level), *record)

    return jax.jit(play)


def play(env, seed, wanted):
    """An episode in numpy, and how many of its steps come before the end."""
    wanted = jnp.asarray(wanted, jnp.int32)
    episode = player(env)(jax.random.key(seed), wanted, env.params())
    episode = jax.tree.map(np.asarray, episode)
    ended = episode.out.terminated | episode.out.truncated
    return episode, int(ended.argmax()) + 1 if ended.any() else LENGTH


class Theatre(NamedTuple):
    """Episodes are played by the compiled program and judged in numpy.

    An action of -1 stands for the best one, so that episodes also come to their goal.
    """

    play: Callable[..., tuple[Episode, int]]
    listed: Callable[..., bool]
    noisy: Callable[..., bool]


@pytest.fixture(scope="session")
def theatre() -> Theatre:
    return Theatre(play, listed, noisy)


@pytest.fixture(scope="session")
def steps() -> Callable[[np.ndarray, tuple[int, int]], np.ndarray]:
    """Steps from a cell over the free ones, by a queue; -1 where there is no way."""

    def search(walls: np.ndarray, start: tuple[int, int]) -> np.ndarray:
        found = np.full(walls.shape, UNREACHED)
        found[start] = 0
        queue = collections.deque([start])
        while queue:
            row, column = queue.popleft()
            for cell in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                inside = all(0 <= x < n for x, n in zip(cell, walls.shape, strict=True))
                if inside and not walls[cell] and found[cell] == UNREACHED:
                    found[cell] = found[row, column] + 1
                    queue.append(cell)
        return found

    return search
