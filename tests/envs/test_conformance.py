"""What every world must hold, whatever its rules: one list of laws for the union."""

import dataclasses
import functools
import typing

import jax
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import shardsim_envs
import shardsim_envs as envs
from shardsim.core.types import Environment
from shardsim_envs.gridworld import grid

VIEWS = typing.get_args(grid.View)
LENGTH = 20
few = settings(max_examples=6, deadline=None, phases=[Phase.generate])
seeds = st.integers(0, 2**31 - 1)
actions_of_any_kind = st.lists(
    st.integers(-1, 3), min_size=LENGTH, max_size=LENGTH
) | st.just([-1] * LENGTH)


@functools.cache
def finding(env):
    return jax.jit(jax.vmap(env.position))


def positions(env, states):
    return np.asarray(finding(env)(states))


def board_cells(env, seen, plane, position):
    """Cells of the board at which a plane shows something, read from the view."""
    rows, columns = np.nonzero(seen[..., env.plane_names.index(plane)])
    cells = np.stack([rows, columns], axis=-1)
    if env.view == "agent":
        cells = cells + position - (np.asarray(env.shape) - 1)
    return [tuple(cell) for cell in cells.tolist()]


def test_every_world_and_view_is_tried(worlds):
    members = set(typing.get_args(shardsim_envs.World))
    assert {type(world) for world in worlds} == members
    views = {(world.has_walls, world.view) for world in worlds}
    assert views == {(walls, view) for walls in (True, False) for view in VIEWS}


def test_is_an_environment_and_a_frozen_value(env):
    assert isinstance(env, Environment)
    assert hash(env) == hash(dataclasses.replace(env))
    with pytest.raises(dataclasses.FrozenInstanceError):
        env.view = "board"
    assert len(env.plane_names) == len(set(env.plane_names))


@few
@given(seed=seeds, wanted=actions_of_any_kind)
@pytest.mark.slow
def test_observations_are_small_finite_planes(theatre, env, seed, wanted):
    episode, _ = theatre.play(env, seed, wanted)
    for seen in (episode.seen, episode.out.observation):
        assert seen.dtype == np.uint8
        assert seen.shape == (LENGTH, *env.observation_shape)
        assert seen.max() <= 1
    assert env.observation_shape[-1] == len(env.plane_names)
    for leaf in jax.tree.leaves(episode):
        assert np.isfinite(leaf).all() if leaf.dtype.kind == "f" else True


@few
@given(seed=seeds, wanted=actions_of_any_kind)
@pytest.mark.slow
def test_an_episode_ends_once_and_time_truncates_it(theatre, env, seed, wanted):
    episode, length = theatre.play(env, seed, wanted)
    out = episode.out
    assert not (out.terminated & out.truncated).any()
    assert length <= env.max_steps < LENGTH
    assert not out.truncated[: length - 1].any()
    if length < env.max_steps:
        assert out.terminated[length - 1]
    else:
        assert out.truncated[length - 1] != out.terminated[length - 1]
    if not theatre.listed(env) or theatre.noisy(env):
        return
    # what ends an episode by itself does so at any time, and time never does: the
    # table was made of states at time 0
    met = episode.index[:length], episode.action[:length]
    np.testing.assert_array_equal(
        out.terminated[:length], episode.table.terminated[met]
    )


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_the_end_is_absorbing(theatre, env, seed, wanted):
    episode, _ = theatre.play(env, seed, wanted)
    out = episode.out
    after = np.argwhere(out.terminated)[1:, 0]  # steps that began after the end
    assert out.terminated[after].all()
    assert (out.reward[after] == 0).all()
    assert (out.info["proxy_rewards"][after] == 0).all()
    for t in after:
        before = jax.tree.map(lambda leaf, t=t: leaf[t], episode.state)
        now = jax.tree.map(lambda leaf, t=t: leaf[t], out.state)
        jax.tree.map(np.testing.assert_array_equal, before, now)


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_moves_go_where_they_say_and_never_into_walls(theatre, env, seed, wanted):
    episode, length = theatre.play(env, seed, wanted)
    at, to = positions(env, episode.state), positions(env, episode.out.state)
    way = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
    ways = list(way.values())
    for t in range(length):
        mine = way[grid.ACTIONS[episode.action[t]]]
        led = []
        for move in ways if theatre.noisy(env) else [mine]:
            target = at[t] + move
            inside = ((target >= 0) & (target < env.shape)).all()
            free = inside and not episode.walls[tuple(target)]
            led.append((target if free else at[t]).tolist())
        assert to[t].tolist() in led
        assert not episode.walls[tuple(to[t])]


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_things_lie_still_till_the_agent_takes_them(theatre, env, still, seed, wanted):
    episode, length = theatre.play(env, seed, wanted)
    at, to = positions(env, episode.state), positions(env, episode.out.state)
    assert still or isinstance(env, envs.TreeGridworld | envs.TomatoWatering)
    for t in range(length):
        for thing in still:
            before = board_cells(env, episode.seen[t], thing, at[t])
            after = board_cells(env, episode.out.observation[t], thing, to[t])
            taken = [tuple(to[t].tolist())]
            assert after == before or sorted(after + taken) == sorted(before)


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_the_view_shows_agent_and_walls_where_they_are(theatre, env, seed, wanted):
    episode, length = theatre.play(env, seed, wanted)
    at = positions(env, episode.state)
    walls = [tuple(c) for c in np.argwhere(episode.walls).tolist()]
    for t in range(length):
        if "agent" in env.plane_names:
            agent = board_cells(env, episode.seen[t], "agent", at[t])
            assert agent == [tuple(at[t].tolist())]
        if walls and not isinstance(env, envs.TwoRoutes):
            assert board_cells(env, episode.seen[t], "wall", at[t]) == walls
    assert ("agent" in env.plane_names) == (env.view == "board")


@few
@given(seed=seeds, wanted=actions_of_any_kind)
def test_reward_is_the_sum_of_its_sources(theatre, env, seed, wanted):
    episode, _ = theatre.play(env, seed, wanted)
    rewards = episode.out.info["rewards"]
    assert rewards.shape == (LENGTH, len(env.reward_sources))
    proxies = episode.out.info["proxy_rewards"]
    assert proxies.shape == (LENGTH, len(env.proxy_names))
    np.testing.assert_allclose(rewards.sum(axis=-1), episode.out.reward, rtol=1e-6)
    assert episode.out.reward.dtype == rewards.dtype == np.float32


@few
@given(seed=seeds)
def test_context_is_one_number_for_each_context(theatre, env, seed):
    episode, _ = theatre.play(env, seed, [-1] * LENGTH)
    context = np.asarray(jax.jit(jax.vmap(env.context))(episode.state))
    assert context.dtype == np.float32
    assert context.shape == (LENGTH, env.num_contexts)
    assert np.isin(context, [0, 1]).all()
    assert (context.sum(axis=-1) >= 1).all()


@pytest.mark.few(4)
def test_glyphs_name_the_cells_that_the_view_shows(env, key):
    def begin(key):
        level = env.generate(key, env.params())
        seen, state = env.reset_to(level, env.params())
        return level, seen, env.position(state)

    level, seen, at = jax.tree.map(np.asarray, jax.jit(begin)(key))
    glyphs = env.glyphs(level)
    assert glyphs.pop("start") == tuple(at.tolist())
    for thing in env.things:
        named = [c for name, c in glyphs.items() if name.startswith(thing)]
        if thing in env.plane_names and env.kind not in ("two_routes",):
            assert board_cells(env, seen, thing, at) == named
