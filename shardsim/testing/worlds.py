"""The laws of worlds. Symbols: T steps, H, W, P board and planes, R reward sources."""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from shardsim.core.types import Environment, TimeStep
from shardsim.testing import law
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.levels import levels


def check_world(world: GridWorld, *, seeds: int = 4) -> None:
    """Check a world: levels, observations, ends, rewards, contexts, listed states.

    Args:
      world: of any size; a small one with few steps is checked faster.
      seeds: random episodes.

    Raises:
      AssertionError: a law is broken; the text says which.

    Examples:
      >>> from shardsim import testing
      >>> testing.check_world(shardsim_envs.FruitMini(max_steps=12))
    """
    what = f"world {getattr(world, 'kind', type(world).__name__)!r}"
    law.frozen(what, world)
    is_one = isinstance(world, GridWorld) and isinstance(world, Environment)
    law.hold(what, "is no GridWorld with all its members", is_one)
    own = {field.name for field in dataclasses.fields(cast(Any, world))}
    law.hold(what, "SCHEDULED names what is no field", set(world.SCHEDULED) <= own)
    generated = levels.generate(world, 0, seeds).levels
    for level in levels.each(generated):
        try:
            levels.check(world, level)
        except ValueError as error:
            raise AssertionError(f"{what}: no playable level: {error}") from None
    for seed in range(seeds):
        _check_episode(what, world, seed)
    if not world.unlisted:
        _check_listed(what, world)


def _check_episode(what: str, world: GridWorld, seed: int) -> None:
    states, out = _played(world, jax.random.key(seed))
    seen = np.asarray(out.observation)
    shape = (len(seen), *world.observation_shape)
    law.hold(what, f"observations are {seen.dtype}, not uint8", seen.dtype == np.uint8)
    law.hold(what, f"observations are {seen.shape}, not {shape}", seen.shape == shape)
    law.hold(what, "observations are above 1", seen.max(initial=0) <= 1)
    planes = world.plane_names
    law.hold(what, "two planes have one name", len(set(planes)) == len(planes))
    finite = [np.isfinite(x) for x in jax.tree.leaves(out) if x.dtype.kind == "f"]
    law.hold(what, "something is not finite", [x.all() for x in finite])
    terminated, truncated = np.asarray(out.terminated), np.asarray(out.truncated)
    law.hold(what, "terminates and truncates at once", ~(terminated & truncated))
    ended = terminated | truncated
    law.hold(what, "goes on after max_steps", ended[world.max_steps - 1])
    after = np.flatnonzero(terminated)[1:]
    since = terminated[int(terminated.argmax()) :] if terminated.any() else True
    law.hold(what, "an end is not for good", since)
    law.hold(what, "pays after the end", np.asarray(out.reward)[after] == 0)
    pairs = zip(jax.tree.leaves(states), jax.tree.leaves(out.state), strict=True)
    still = [np.array_equal(old[after], new[after]) for old, new in pairs]
    law.hold(what, "a state changes after the end", still)
    rewards = np.asarray(out.info["rewards"])
    sources = (len(seen), len(world.reward_sources))
    told = f"info['rewards'] is {rewards.shape}, not {sources}"
    law.hold(what, told, rewards.shape == sources)
    total = rewards.sum(axis=-1)
    law.close(what, "the reward is not the sum of its sources", total, out.reward)
    proxies = np.asarray(out.info["proxy_rewards"])
    told = f"info['proxy_rewards'] is {proxies.shape}"
    law.hold(what, told, proxies.shape == (len(seen), len(world.proxy_names)))
    context = np.asarray(jax.vmap(world.context)(states))
    expected = (len(seen), world.num_contexts)
    told = f"context is {context.shape}, not {expected}"
    law.hold(what, told, context.shape == expected)
    law.hold(what, "context is not 0 or 1", np.isin(context, (0, 1)))
    law.hold(what, "no context is present", context.sum(axis=-1) >= 1)


def _played(world: GridWorld, key: jax.Array) -> tuple[Any, TimeStep]:
    """An episode of random actions that goes on after its end: states, steps [T]."""
    params = world.params()
    level_key, action_key, step_key = jax.random.split(key, 3)
    length = world.max_steps + 2
    actions = jax.random.randint(action_key, (length,), 0, world.num_actions)

    @jax.jit
    def play() -> tuple[Any, TimeStep]:
        def step(state: Any, inputs: tuple[Any, Any]) -> tuple[Any, Any]:
            action, key = inputs
            out = world.step(key, state, action, params)
            return out.state, (state, out)

        _, first = world.reset(level_key, params)
        keys = jax.random.split(step_key, length)
        return jax.lax.scan(step, first, (actions, keys))[1]

    states, out = play()
    return states, out


def _check_listed(what: str, world: GridWorld) -> None:
    """The states of a level that an episode meets are in its list, by their numbers."""
    key = jax.random.key(0)
    level = world.generate(jax.random.split(key, 3)[0], world.params())
    states, out = _played(world, key)

    @jax.jit
    def listed(state: Any) -> tuple[jax.Array, Any, Any]:
        number = world.index(level, state)
        again = world.state_at(level, number)
        return number, ahead(state), ahead(again)

    def ahead(state: Any) -> Any:
        """All that the exact value depends on: the number, what each action does."""

        def act(action: jax.Array) -> Any:
            out = world.step(key, state, action, world.params())
            return out.info["rewards"], out.terminated, world.index(level, out.state)

        return world.index(level, state), jax.vmap(act)(jnp.arange(world.num_actions))

    running = ~(np.asarray(out.terminated) | np.asarray(out.truncated))
    count = int(np.argmin(running)) if not running.all() else len(running)
    before = jax.tree.map(lambda leaf: leaf[: count + 1], states)
    numbers, own, again = jax.vmap(listed)(before)
    inside = (np.asarray(numbers) >= 0) & (np.asarray(numbers) < world.num_states)
    law.hold(what, "`index` is outside of the states", inside)
    # what changes no value, such as a leader that comes and goes, need not be listed
    pairs = zip(jax.tree.leaves(own), jax.tree.leaves(again), strict=True)
    same = [np.array_equal(a, b) for a, b in pairs]
    law.hold(what, "`state_at` of `index` is another state", same)
