"""What every world must hold, whatever its rules: one list of laws for the union.

Episodes are played by the compiled program and judged in numpy. An action of -1
stands for the best one, so that episodes also come to their goal.
"""

import dataclasses
import functools
import typing
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array

import shardsim_envs
from shardsim import exact
from shardsim.types import Environment, TimeStep
from shardsim_envs import grid

LENGTH = 20
"""Steps of an episode as it is played here: some more than the time limit."""
DISCOUNT = 0.9
few = settings(max_examples=12, deadline=None)
seeds = st.integers(0, 2**31 - 1)
actions_of_any_kind = st.lists(
    st.integers(-1, 3), min_size=LENGTH, max_size=LENGTH
) | st.just([-1] * LENGTH)


class Episode(NamedTuple):
    """L steps, no reset at the end; `state`, `action` [L], `out` [L] after them."""

    table: exact.Table
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
        table = exact.tabulate(env, level, params)
        value = exact.optimal_value(table, DISCOUNT, env.max_steps)
        best = exact.lookahead(table, value, DISCOUNT).argmax(axis=-1)

        def step(state, asked):
            index = env.index(state)
            action = jnp.where(asked < 0, best[index], asked).astype(jnp.int32)
            out = env.step(jax.random.fold_in(step_key, 0), state, action, params)
            before = (state, env.observe(state), action, index)
            return out.state, (*before, out, env.index(out.state))

        _, record = jax.lax.scan(step, start, wanted)
        return Episode(table, value, env.walls(level), *record)

    return jax.jit(play)


@functools.cache
def listing(env):
    return jax.jit(env.states)


@functools.cache
def finding(env):
    return jax.jit(jax.vmap(env.position))


@functools.cache
def observing(env):
    return jax.jit(jax.vmap(env.observe))


def play(env, seed, wanted):
    """An episode in numpy, and how many of its steps come before the end."""
    wanted = jnp.asarray(wanted, jnp.int32)
    episode = player(env)(jax.random.key(seed), wanted, env.params())
    episode = jax.tree.map(np.asarray, episode)
    ended = episode.out.terminated | episode.out.truncated
    return episode, int(ended.argmax()) + 1 if ended.any() else LENGTH


def positions(env, states):
    return np.asarray(finding(env)(states))


def board_cells(env, seen, plane, position):
    """Cells of the board at which a plane shows something, read from the view."""
    rows, columns = np.nonzero(seen[..., env.plane_names.index(plane)])
    cells = np.stack([rows, columns], axis=-1)
    if env.view == "agent":
        cells = cells + position - (env.size - 1)
    return [tuple(cell) for cell in cells.tolist()]


def test_every_world_and_view_is_tried(worlds):
    expected = {
        (member, view)
        for member in typing.get_args(shardsim_envs.World)
        for view in typing.get_args(grid.View)
    }
    assert {(type(world), world.view) for world in worlds} == expected


def test_is_an_environment_and_a_frozen_value(env):
    assert isinstance(env, Environment)
    assert hash(env) == hash(dataclasses.replace(env))
    with pytest.raises(dataclasses.FrozenInstanceError):
        env.size = 9
    assert len(env.plane_names) == len(set(env.plane_names))


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_observations_are_small_finite_planes(env, seed, wanted):
    episode, _ = play(env, seed, wanted)
    for seen in (episode.seen, episode.out.observation):
        assert seen.dtype == np.uint8
        assert seen.shape == (LENGTH, *env.observation_shape)
        assert seen.max() <= 1
    assert env.observation_shape[-1] == len(env.plane_names)
    for leaf in jax.tree.leaves(episode):
        assert np.isfinite(leaf).all() if leaf.dtype.kind == "f" else True


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_an_episode_ends_once_and_the_time_limit_is_truncation(env, seed, wanted):
    episode, length = play(env, seed, wanted)
    out = episode.out
    assert not (out.terminated & out.truncated).any()
    assert length <= env.max_steps < LENGTH
    assert not out.truncated[: length - 1].any()
    if length < env.max_steps:
        assert out.terminated[length - 1]
    else:
        assert out.truncated[length - 1] != out.terminated[length - 1]
    # what ends an episode by itself does so at any time, and time never does: the
    # table was made of states at time 0
    met = episode.index[:length], episode.action[:length]
    np.testing.assert_array_equal(
        out.terminated[:length], episode.table.terminated[met]
    )


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_moves_go_where_they_say_and_never_into_walls(env, seed, wanted):
    episode, length = play(env, seed, wanted)
    at, to = positions(env, episode.state), positions(env, episode.out.state)
    way = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
    for t in range(length):
        target = at[t] + way[grid.ACTIONS[episode.action[t]]]
        inside = ((target >= 0) & (target < env.size)).all()
        free = inside and not episode.walls[tuple(target)]
        assert to[t].tolist() == (target if free else at[t]).tolist()
        assert not episode.walls[tuple(to[t])]


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_things_lie_still_till_the_agent_takes_them(env, seed, wanted):
    episode, length = play(env, seed, wanted)
    at, to = positions(env, episode.state), positions(env, episode.out.state)
    things = [n for n in env.plane_names if n.startswith(("fruit", "cheese", "cue"))]
    assert things
    for t in range(length):
        for thing in things:
            before = board_cells(env, episode.seen[t], thing, at[t])
            after = board_cells(env, episode.out.observation[t], thing, to[t])
            assert len(before) <= 1
            if after != before:
                assert not after
                assert before == [tuple(to[t].tolist())]
    always = [n for n in things if n != "cue"]
    for thing in always:
        assert len(board_cells(env, episode.seen[0], thing, at[0])) == 1


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_the_view_shows_agent_and_walls_where_they_are(env, seed, wanted):
    episode, length = play(env, seed, wanted)
    at = positions(env, episode.state)
    walls = [tuple(c) for c in np.argwhere(episode.walls).tolist()]
    for t in range(length):
        if "agent" in env.plane_names:
            agent = board_cells(env, episode.seen[t], "agent", at[t])
            assert agent == [tuple(at[t].tolist())]
        if walls:
            assert board_cells(env, episode.seen[t], "wall", at[t]) == walls
    assert ("agent" in env.plane_names) == (env.view == "board")


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_reward_is_the_sum_of_its_sources(env, seed, wanted):
    episode, _ = play(env, seed, wanted)
    rewards = episode.out.info["rewards"]
    assert rewards.shape == (LENGTH, len(env.reward_sources))
    np.testing.assert_array_equal(rewards.sum(axis=-1), episode.out.reward)
    assert episode.out.reward.dtype == rewards.dtype == np.float32


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_the_listed_state_is_the_one_that_was_met(env, seed, wanted):
    episode, length = play(env, seed, wanted)
    level = jax.tree.map(lambda leaf: leaf[0], episode.state.level)
    listed = jax.tree.map(lambda leaf: leaf[episode.index], listing(env)(level))
    np.testing.assert_array_equal(
        observing(env)(listed)[:length], episode.seen[:length]
    )


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_the_table_agrees_with_stepping(env, seed, wanted):
    episode, length = play(env, seed, wanted)
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
def test_no_return_beats_the_optimal_value(env, seed, wanted):
    episode, length = play(env, seed, wanted)
    weight = DISCOUNT ** np.arange(length)
    earned = float((weight * episode.out.reward[:length]).sum())
    best = float(episode.value[episode.table.start])
    assert earned <= best + 1e-6
    if wanted == [-1] * LENGTH:
        assert earned == pytest.approx(best, abs=1e-6)


@few
@given(seed=seeds)
def test_context_is_one_number_for_each_context(env, seed):
    episode, _ = play(env, seed, [-1] * LENGTH)
    context = np.asarray(jax.jit(jax.vmap(env.context))(episode.state))
    assert context.dtype == np.float32
    assert context.shape == (LENGTH, env.num_contexts)
    assert np.isin(context, [0, 1]).all()
    assert (context.sum(axis=-1) >= 1).all()


def test_glyphs_name_the_cells_that_the_view_shows(env, key):
    def begin(key):
        level = env.generate(key, env.params())
        seen, state = env.reset_to(level, env.params())
        return level, seen, env.position(state)

    level, seen, at = jax.tree.map(np.asarray, jax.jit(begin)(key))
    glyphs = env.glyphs(level)
    assert glyphs.pop("start") == tuple(at.tolist())
    for name, cell in glyphs.items():
        assert board_cells(env, seen, name, at) == [cell]
