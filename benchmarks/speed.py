"""How fast are the worlds, beside those that one would use instead?

Command:  python benchmarks/speed.py worlds [--out runs/speed_worlds.png]
          python benchmarks/speed.py train: see `speed_train` beside this file
Time:     ten minutes on 2 cores. No network; a peer that isn't installed is skipped.

Each row is measured in turns with its peer, in one run: ours, theirs, ours, theirs;
the ratio is the median over rounds, with the lowest and the highest. Both take the
same random actions in a batch of 256 and go on at the start of the same level when an
episode ends. Steps are counted in two ways:

    observed   the observation of every step is computed and carried to the next one;
    stored     all observations are returned as well, as a rollout stores them: what
               counts then is mostly the memory they are written to.

Figures depend on the machine and on what else runs on it: quote ratios.
"""

import argparse
import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import speed_train
import timing  # beside this file, like the next one

import shardsim_envs as worlds
from shardsim.algorithms import autoreset
from shardsim.core import files
from shardsim_envs.gridworld.world import GridWorld

BATCH, STEPS = 256, 128
GENERATED = 16
"""Batches of levels made in one call."""
VECTOR = 64
ID = "shardsim/CornerMaze-v0"
Run = Callable[[], Any]
Step = Callable[[Any, jax.Array, jax.Array], Any]
"""(states, actions, key) -> states, observations, rewards; of a whole batch."""


def rolling(
    step: Step, start: Any, observation: Any, keep: bool, actions: int = 4
) -> Run:
    """Random actions in a batch of environments that `step` steps together."""

    def run(key: jax.Array, start: Any, observation: Any) -> Any:
        def body(carry: Any, each: Any) -> Any:
            state, _, total = carry
            state, observation, reward = step(state, *each)
            return (state, observation, total + reward), observation if keep else None

        action_key, step_key = jax.random.split(key)
        taken = jax.random.randint(action_key, (STEPS, BATCH), 0, actions)
        keys = jax.random.split(step_key, STEPS)
        carry = (start, observation, jnp.zeros(BATCH))
        return jax.lax.scan(body, carry, (taken, keys))

    program = jax.jit(run)
    return lambda: program(jax.random.key(1), start, observation)


def stepping(world: GridWorld, keep: bool) -> Run:
    """Our world, with our reset: to the same level, where an episode ended."""
    params = world.params()
    keys = jax.random.split(jax.random.key(0), BATCH)
    observation, starts = jax.jit(jax.vmap(lambda key: world.reset(key, params)))(keys)
    pool, same = autoreset.ResetPool(starts), jnp.arange(BATCH)

    def step(state: Any, action: jax.Array, key: jax.Array) -> Any:
        # without chance there is nothing to draw
        keys = jax.random.split(key, BATCH) if world.unlisted else None
        over = (0 if world.unlisted else None, 0, 0, None)
        out = jax.vmap(world.step, in_axes=over)(keys, state, action, params)
        ended = out.terminated | out.truncated
        state = autoreset.reset_done(pool, same, out.state, ended)
        return state, jax.vmap(world.observe)(state), out.reward

    return rolling(step, starts, observation, keep)


def jaxgmg_stepping(env: Any, generator: Any, keep: bool) -> Run:
    """The same in a world of jaxgmg, with its own reset to the same level."""
    levels = generator.vsample(jax.random.key(0), num_levels=BATCH)
    observation, states = env.vreset_to_level(levels)

    def step(state: Any, action: jax.Array, key: jax.Array) -> Any:
        observation, state, reward, _, _ = env.vstep(key, state, action)
        return state, observation, reward

    return rolling(step, states, observation, keep)


def generating(sample: Callable[[jax.Array], Any]) -> Run:
    """Batches of levels, each from keys of its own; one number comes back of each."""

    def run(key: jax.Array) -> Any:
        def batch(total: jax.Array, key: jax.Array) -> Any:
            levels = jax.vmap(sample)(jax.random.split(key, BATCH))
            # every leaf is read, so that no part of a level is left out
            sums = [leaf.astype(jnp.float32).sum() for leaf in jax.tree.leaves(levels)]
            return total + sum(sums), None

        keys = jax.random.split(key, GENERATED)
        return jax.lax.scan(batch, jnp.zeros(()), keys)[0]

    program = jax.jit(run)
    return lambda: program(jax.random.key(1))


def twins() -> list[tuple[GridWorld, Any, Any]]:
    """Our world, and jaxgmg's environment and generator of the same, if it is there."""
    tree = {"maze_generator": "TreeMazeGenerator"}
    pairs: list[tuple[GridWorld, str, dict[str, Any]]] = [
        (
            worlds.CornerMaze(region=5, max_steps=128),
            "cheese_in_the_corner",
            {**tree, "corner_size": 5},
        ),
        (worlds.DishMaze(), "cheese_on_a_dish", tree),
        (worlds.FollowMe(), "follow_me", {}),
        (
            worlds.KeysAndChests(
                keys=(1, 4), chests=(4, 4), most_keys=4, most_chests=4
            ),
            "keys_and_chests",
            tree,
        ),
        (worlds.LavaLand(layout="tree", lava=-0.25), "lava_land", tree),
        (worlds.MonsterWorld(max_steps=128), "monster_world", {}),
    ]
    rows: list[tuple[GridWorld, Any, Any]] = []
    for world, name, fields in pairs:
        try:
            module = importlib.import_module(f"jaxgmg.environments.{name}")
            mazes = importlib.import_module("jaxgmg.procgen.maze_generation")
        except ImportError as error:
            print(f"jaxgmg's {name} is skipped: {error}")
            rows.append((world, None, None))
            continue
        given = {k: getattr(mazes, v)() if k in tree else v for k, v in fields.items()}
        rows.append((world, module.Env(), module.LevelGenerator(**given)))
    return rows


def others() -> list[tuple[str, Run]]:
    """Empty rooms of others, no twins of ours, for the scale of things."""
    rows: list[tuple[str, Run]] = []
    for name, id in (
        ("xminigrid", "MiniGrid-Empty-16x16"),
        ("navix", "Navix-Empty-16x16-v0"),
    ):
        try:
            peer = importlib.import_module(name)
        except ImportError as error:
            print(f"{name} is skipped: {error}")
            continue
        made_env = peer.make(id)
        env, *params = made_env if isinstance(made_env, tuple) else (made_env,)
        begin = jax.jit(jax.vmap(functools.partial(env.reset, *params)))
        start = begin(jax.random.split(jax.random.key(0), BATCH))
        step = functools.partial(env.step, *params)
        rows.append((f"{name} Empty-16x16", _timesteps(step, start)))
    return rows


def _timesteps(one: Callable[..., Any], start: Any) -> Run:
    """An environment whose step gives all in one record."""

    def step(state: Any, action: jax.Array, key: jax.Array) -> Any:
        state = jax.vmap(one)(state, action)
        return state, state.observation, state.reward

    return rolling(step, start, start.observation, False, actions=3)


def gym_loop(env: Any, actions: np.ndarray) -> Run:
    """A Gymnasium environment or a vector; one is reset where an episode ends."""
    env.reset(seed=0)

    def run() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if actions.ndim == 1 and (terminated or truncated):
                env.reset()

    return run


def measure_worlds() -> list[timing.Row]:
    rows = []
    for world, env, generator in twins():
        name, peer = type(world).__name__, "jaxgmg" if env else ""
        count = BATCH * STEPS
        for way, keep in (("observed", False), ("stored", True)):
            theirs = jaxgmg_stepping(env, generator, keep) if env else None
            ours = stepping(world, keep)
            rows.append(
                timing.measure(f"{name}, {way}", "steps/s", count, ours, peer, theirs)
            )
        params = world.params()
        ours = generating(functools.partial(world.generate, params=params))
        theirs = generating(generator.sample) if env else None
        count = BATCH * GENERATED
        rows.append(
            timing.measure(f"{name}, levels", "levels/s", count, ours, peer, theirs)
        )
    rows += [
        timing.measure(name, "steps/s", BATCH * STEPS, run) for name, run in others()
    ]
    actions = np.random.default_rng(0).integers(4, size=(500, VECTOR))
    one = gym_loop(gymnasium.make(ID), actions.reshape(-1)[:2000])
    rows.append(timing.measure("Gymnasium, one", "steps/s", 2000, one))
    many = gym_loop(gymnasium.make_vec(ID, VECTOR), actions)
    rows.append(timing.measure(f"Gymnasium, {VECTOR}", "steps/s", actions.size, many))
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["worlds", "train"])
    parser.add_argument("--out", type=Path, help="runs/speed_WHAT.png, if not given")
    parser.add_argument("--overwrite", action="store_true", help="replace a figure")
    parser.add_argument("--only", choices=speed_train.ROWS, help="one row of `train`")
    parser.add_argument(
        "--devices", type=int, help="CPU devices, over which `train` spreads its seeds"
    )
    known = parser.parse_args(arguments)
    out = known.out or Path(f"runs/speed_{known.what}.png")
    try:
        for figure in (out, out.with_stem(f"{out.stem}_cost")):
            files.check_new(figure, known.overwrite)
    except files.PathError as error:
        parser.error(str(error))
    if known.devices:
        jax.config.update("jax_num_cpu_devices", known.devices)
    print(timing.machine())
    if known.what == "worlds":
        timing.draw(measure_worlds(), out)
    else:
        speed_train.measure(known.only, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
