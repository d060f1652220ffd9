"""What is known of every world: its listed states, its table, its best return."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import shardsim_envs as envs
from shardsim.core import dynamic_programming

LENGTH = 20
DISCOUNT = 0.9
few = settings(max_examples=6, deadline=None, phases=[Phase.generate])
seeds = st.integers(0, 2**31 - 1)
actions_of_any_kind = st.lists(
    st.integers(-1, 3), min_size=LENGTH, max_size=LENGTH
) | st.just([-1] * LENGTH)


@functools.cache
def listing(env):
    return jax.jit(env.states)


@functools.cache
def observing(env):
    return jax.jit(jax.vmap(env.observe))


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_the_listed_state_is_the_one_that_was_met(theatre, env, seed, wanted):
    if not theatre.listed(env):
        return
    episode, length = theatre.play(env, seed, wanted)
    every = listing(env)(episode.level)
    found = jax.tree.map(lambda leaf: leaf[episode.index], every)
    seen, met = np.asarray(observing(env)(found)), episode.seen
    if isinstance(env, envs.FollowMe):  # its states are listed without the leader's way
        seen, met = (np.delete(x, env.plane("leader"), axis=-1) for x in (seen, met))
    np.testing.assert_array_equal(seen[:length], met[:length])


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_the_table_agrees_with_stepping(theatre, env, seed, wanted):
    if not theatre.listed(env) or theatre.noisy(env):
        return
    episode, length = theatre.play(env, seed, wanted)
    table, out, met = episode.table, episode.out, (episode.index, episode.action)
    assert table.start == episode.index[0]
    for found, expected in (
        (table.successor[met], episode.index_after),
        (table.reward[met], out.reward),
        (table.terminated[met], out.terminated),
    ):
        np.testing.assert_array_equal(found[:length], expected[:length])


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_no_return_beats_the_optimal_value(theatre, env, seed, wanted):
    if not theatre.listed(env) or theatre.noisy(env):
        return
    episode, length = theatre.play(env, seed, wanted)
    weight = DISCOUNT ** np.arange(length)
    earned = float((weight * episode.out.reward[:length]).sum())
    best = float(episode.value[episode.table.start])
    assert earned <= best + 1e-6 * max(1, abs(best))
    if wanted == [-1] * LENGTH:
        assert earned == pytest.approx(best, rel=1e-5, abs=1e-6)


def test_states_are_listed_in_the_order_of_index(env, key):
    """A thing that a level lacks can't be taken: such numbers name another state."""
    if env.unlisted or env.num_states > 100_000:
        return

    def listed(key):
        level = env.generate(key, env.params())
        states = env.states(level)
        return states, jax.vmap(lambda state: env.index(level, state))(states)

    states, index = jax.tree.map(np.asarray, jax.jit(listed)(key))
    for leaf in jax.tree.leaves(states):
        assert leaf.shape[0] == env.num_states
    same = index == np.arange(env.num_states)
    np.testing.assert_array_equal(index[index], index)
    assert same.all() or isinstance(env, envs.KeysAndChests)
    assert same.mean() >= 0.25


@pytest.mark.slow
@pytest.mark.few(7, rest="long")
def test_a_table_made_in_chunks_is_the_same(env, key, monkeypatch):
    if env.unlisted or env.num_states > 10_000:
        return
    level = jax.jit(env.generate)(key, env.params())

    def table():
        return jax.jit(
            lambda level: dynamic_programming.tabulate(env, level, env.params())
        )(level)

    whole = table()
    monkeypatch.setattr(
        dynamic_programming, "STATES_PER_BATCH", env.num_states // 2 + 1
    )
    jax.tree.map(np.testing.assert_array_equal, table(), whole)
