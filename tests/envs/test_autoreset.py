"""What follows the end of an episode: a start of the pool, and nothing computed."""

import dataclasses
import functools
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim.agents import action_selection
from shardsim.algorithms import autoreset, rollout
from shardsim_envs import ContextFruits, CornerMaze

SHORT = CornerMaze(size=7, region=2, max_steps=3)
RIGHT, LEFT = 1, 3
SIZE = 6


class NeverReset(CornerMaze):
    """A world that can be stepped but makes no level."""

    def generate(self, key: object, params: object) -> NoReturn:
        raise AssertionError("a level was made")

    def reset(self, key: object, params: object) -> NoReturn:
        raise AssertionError("a start was computed")

    def reset_to(self, level: object, params: object) -> NoReturn:
        raise AssertionError("a start was computed")


@functools.cache
def filling(env, size):
    return jax.jit(lambda key: autoreset.make_pool(env, key, env.params(), size))


@functools.cache
def stepping(env):
    def step(pool, start, key, state, action):
        out = env.step(key, state, action, env.params())
        ended = out.terminated | out.truncated
        one = jax.tree.map(lambda leaf: leaf[None], (out.state, ended, start))
        going_on = autoreset.reset_done(pool, one[2], one[0], one[1])
        return out, jax.tree.map(lambda leaf: leaf[0], going_on)

    return jax.jit(step)


def equal(one, other) -> bool:
    same = jax.tree.map(lambda a, b: np.array_equal(np.asarray(a), b), one, other)
    return all(jax.tree.leaves(same))


def which(pool, state) -> list[int]:
    """Numbers of the starts of the pool that a state equals."""
    pool, state = jax.tree.map(np.asarray, (pool, state))
    starts = [jax.tree.map(lambda x, i=i: x[i], pool.states) for i in range(SIZE)]
    return [i for i, start in enumerate(starts) if equal(start, state)]


@pytest.fixture(scope="module")
def pool():
    return filling(SHORT, SIZE)(jax.random.key(3))


def test_a_pool_holds_different_levels_each_at_its_start(pool):
    boards = np.asarray(pool.states.board).reshape(SIZE, -1)
    assert len({row.tobytes() for row in boards}) == SIZE
    assert (np.asarray(pool.states.time) == 0).all()
    assert (np.asarray(pool.states.position) == [5, 1]).all()


def test_an_episode_goes_on_till_it_ends_and_then_from_a_start(pool, key):
    state = jax.tree.map(lambda leaf: leaf[0], pool.states)
    ends = []
    for number in range(2 * SHORT.max_steps):
        # left of the start there is no cell, so the agent never comes to the cheese
        start = jnp.int32(number)
        out, going_on = stepping(SHORT)(pool, start, key, state, jnp.int32(LEFT))
        ends.append(bool(out.truncated))
        # what is told is the world's own last state, before any reset
        assert equal(out.state.board, np.asarray(state.board))
        assert int(out.state.time) == int(state.time) + 1
        if ends[-1]:
            assert which(pool, going_on) == [number]
        else:
            assert equal(going_on, jax.tree.map(np.asarray, out.state))
        state = going_on
    assert ends == [False, False, True] * 2


def test_the_goal_also_leads_to_a_start(pool, key):
    state = jax.tree.map(lambda leaf: leaf[0], pool.states)
    maps = {
        "wall": jnp.ones((7, 7), bool).at[5, 1:3].set(False),
        "cheese": jnp.zeros((7, 7), bool).at[5, 2].set(True),
    }
    corridor = SHORT.level(maps, jnp.asarray([5, 1], jnp.int32))
    _, state = SHORT.reset_to(corridor, SHORT.params())
    out, going_on = stepping(SHORT)(pool, jnp.int32(4), key, state, jnp.int32(RIGHT))
    assert bool(out.terminated)
    assert float(out.reward) == 1
    assert not bool(out.truncated)
    assert out.state.position.tolist() == [5, 2]
    assert np.asarray(out.observation[5, 2, SHORT.plane_names.index("agent")]) == 1
    assert which(pool, going_on) == [4]


def test_every_start_has_the_same_chance(pool, key):
    env = dataclasses.replace(SHORT, max_steps=1)  # every step begins an episode

    def collect(key):
        played = rollout.collect(
            env,
            env.params(),
            lambda plan, t, states, seen, noise, key: action_selection.ActionSample(
                jnp.argmax(noise, axis=-1), noise
            ),
            None,
            pool.states,
            key,
            500,
            pool,
        )
        return played[0].observation, jax.vmap(env.observe)(pool.states)

    seen, starts = jax.tree.map(np.asarray, jax.jit(collect)(key))
    # the first step of each environment begins where it was put
    seen = seen[1:].reshape(-1, *env.observation_shape)
    counts = [(seen == start).all(axis=(1, 2, 3)).sum() for start in starts]
    assert sum(counts) == len(seen)
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_a_step_computes_no_reset(pool, key):
    fields = {f.name: getattr(SHORT, f.name) for f in dataclasses.fields(SHORT)}
    env = NeverReset(**fields)
    state = jax.tree.map(lambda leaf: leaf[0], pool.states)
    expected = stepping(SHORT)(pool, jnp.int32(2), key, state, jnp.int32(LEFT))
    found = stepping(env)(pool, jnp.int32(2), key, state, jnp.int32(LEFT))
    assert equal(found, jax.tree.map(np.asarray, expected))
    with pytest.raises(AssertionError, match="a start was computed"):
        autoreset.make_pool(env, key, env.params(), 2)


def test_other_worlds_fill_a_pool_too(key):
    pool = filling(ContextFruits(size=3), SIZE)(key)
    assert all(leaf.shape[0] == SIZE for leaf in jax.tree.leaves(pool.states))


@pytest.mark.slow
def test_many_batches_go_on_like_each_by_itself(key):
    """The rule for a mapped axis makes one look-up of all and changes nothing."""
    keys = jax.random.split(key, 3)
    pools = jax.vmap(lambda k: autoreset.make_pool(SHORT, k, SHORT.params(), SIZE))(
        keys
    )
    states = jax.tree.map(lambda leaf: leaf[:, :4], pools.states)
    starts = jnp.asarray([[3, 2, 1, 0], [5, 5, 5, 5], [0, 1, 2, 3]], jnp.int32)
    ended = jnp.asarray([[1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]) > 0
    together = jax.vmap(autoreset.reset_done)(pools, starts, states, ended)
    for n in range(3):
        pool, start, state, end = jax.tree.map(
            lambda leaf, n=n: leaf[n], (pools, starts, states, ended)
        )
        alone = autoreset.reset_done(pool, start, state, end)
        assert equal(
            jax.tree.map(lambda leaf, n=n: leaf[n], together),
            jax.tree.map(np.asarray, alone),
        )
    # a pool that all share is not mapped
    shared = jax.tree.map(lambda leaf: leaf[0], pools)
    over = jax.vmap(autoreset.reset_done, in_axes=(None, 0, 0, 0))
    together = over(shared, starts, states, ended)
    alone = autoreset.reset_done(
        shared, starts[1], jax.tree.map(lambda leaf: leaf[1], states), ended[1]
    )
    assert equal(
        jax.tree.map(lambda leaf: leaf[1], together),
        jax.tree.map(np.asarray, alone),
    )
