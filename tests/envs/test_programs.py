"""Every world as a program: jitted, batched, listed, walked and rescheduled."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardsim_envs.gridworld import grid


@functools.cache
def one_step(env):
    """A level from its key and one step in it."""

    def run(key, action):
        seen, state = env.reset(key, env.params())
        return seen, state, env.step(key, state, action, env.params())

    return run


@functools.cache
def compiled(env):
    return jax.jit(one_step(env))


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@functools.cache
def walking(env):
    """The walker's field, and what one step does to every state's place in it."""

    cells = math.prod(env.shape)

    def walk(key):
        level = env.generate(key, env.params())
        if env.unlisted:
            _, state = env.reset_to(level, env.params())
            states = jax.tree.map(lambda leaf: leaf[None], state)
        else:
            states = jax.vmap(lambda n: env.state_at(level, n))(jnp.arange(cells))
        field = env.goal_field(key, jax.tree.map(lambda leaf: leaf[0], states))

        def step(state):
            action = env.walk_logits(field, state).argmax().astype(jnp.int32)
            # without a key no chance meddles with the walk
            new = env.step(None, state, action, env.params()).state
            places = [env.position(s) for s in (state, new)]
            return tuple(field[place[0], place[1]] for place in places)

        return field, env.walls(level), *jax.vmap(step)(states)

    return jax.jit(walk)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
@pytest.mark.few(2)
def test_the_walker_goes_the_shortest_way_to_a_free_cell(env, seed):
    played = walking(env)(jax.random.key(seed))
    field, walls, before, after = jax.tree.map(np.asarray, played)
    assert (field == 0).sum() == 1
    assert not walls[field == 0].any()
    on_the_way = (before > 0) & (before < grid.FAR)
    assert on_the_way.any() or env.unlisted
    assert (after == before - 1)[on_the_way].all()


@pytest.mark.slow
def test_the_compiled_program_is_the_function(env, key):
    _, state, expected = compiled(env)(key, jnp.int32(1))
    with jax.disable_jit():
        same(env.step(key, state, jnp.int32(1), env.params()), expected)


@pytest.mark.few(2)
def test_many_at_once_are_the_same_as_one_by_one(env, key):
    keys, actions = jax.random.split(key, 4), jnp.arange(4, dtype=jnp.int32)
    together = jax.jit(jax.vmap(one_step(env)))(keys, actions)
    for number in range(4):
        alone = compiled(env)(keys[number], actions[number])
        same(jax.tree.map(lambda leaf, n=number: np.asarray(leaf)[n], together), alone)


@pytest.mark.few(2)
def test_a_schedule_compiles_nothing_anew(case, key):
    env, phases = case
    traces = 0

    def once(key, params):
        nonlocal traces
        traces += 1
        _, state = env.reset(key, params)
        return env.step(key, state, jnp.int32(0), params)

    program = jax.jit(once)
    program(key, env.params())
    assert set(phases) >= set(env.SCHEDULED) - {"hunger"}
    for field, other in phases.items():
        phase = dataclasses.replace(env, **{field: other}).params()
        pairs = zip(env.params(), phase, strict=True)
        assert sum(not np.array_equal(a, b) for a, b in pairs) == 1
        program(key, phase)
    assert traces == 1
