"""The peers' training, unmodified, if it is here; nothing of theirs is kept here.

PureJaxRL is no package: clone it into the folder that PEERS names, so that
PEERS/purejaxrl/purejaxrl/ppo.py is there (and pip install distrax gymnax==0.0.9).
jaxgmg: pip install it from its repository.
"""

import importlib
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

UNUSED = {
    "brax": (),
    "brax.envs": (),
    "brax.envs.wrappers": (),
    "brax.envs.wrappers.training": ("EpisodeWrapper", "AutoResetWrapper"),
    "navix": (),
}
"""What PureJaxRL's wrappers import besides, and the names they import from it."""


class Peer(NamedTuple):
    """A peer's training, compiled."""

    seconds: float
    run: Callable[[], Any]


def purejaxrl() -> Any:
    """The module `ppo`, or None with a word why."""
    folder = Path(os.environ.get("PEERS", "peers")) / "purejaxrl" / "purejaxrl"
    if not (folder / "ppo.py").is_file():
        print(f"PureJaxRL is skipped: no {folder}/ppo.py (PEERS is not set?)")
        return None
    missing = [name for name in UNUSED if name not in sys.modules]
    for name in missing:
        try:
            importlib.import_module(name)
        except ImportError:
            empty = types.ModuleType(name)
            for attribute in UNUSED[name]:
                setattr(empty, attribute, object)
            sys.modules[name] = empty
            above, _, last = name.rpartition(".")
            if above:
                setattr(sys.modules[above], last, empty)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("ppo")
    except ImportError as error:
        print(f"PureJaxRL is skipped: {error}")
        return None
    finally:
        sys.path.remove(str(folder))


def cartpole(ppo: Any, num_seeds: int, num_envs: int, updates: int) -> Peer:
    """PureJaxRL's PPO with its own settings, N seeds vmapped."""
    config = {
        "LR": 2.5e-4,
        "NUM_ENVS": num_envs,
        "NUM_STEPS": 128,
        "TOTAL_TIMESTEPS": updates * num_envs * 128,
        "UPDATE_EPOCHS": 4,
        "NUM_MINIBATCHES": 4,
        "GAMMA": 0.99,
        "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2,
        "ENT_COEF": 0.01,
        "VF_COEF": 0.5,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh",
        "ENV_NAME": "CartPole-v1",
        "ANNEAL_LR": True,
        "DEBUG": False,
    }
    keys = jax.random.split(jax.random.PRNGKey(0), num_seeds)
    jax.clear_caches()
    began = time.perf_counter()
    program = jax.jit(jax.vmap(ppo.make_train(config))).lower(keys).compile()
    return Peer(time.perf_counter() - began, lambda: program(keys))


def ended(result: Any) -> np.ndarray:
    """Episodes that ended, [N, updates], of what a run of `cartpole` returned."""
    return np.asarray(result["metrics"]["returned_episode"].sum(axis=(2, 3)))


class Corner(NamedTuple):
    """jaxgmg's training on its corner maze, a cycle at a time."""

    steps: int
    cycle: Callable[[], Any]


def jaxgmg() -> Corner | None:
    """Its own levels, rollouts, advantages and update, without logs and tests."""
    try:
        names = ("experience", "networks", "ppo", "autocurricula")
        its = {n: importlib.import_module(f"jaxgmg.baselines.{n}") for n in names}
        corner = importlib.import_module("jaxgmg.environments.cheese_in_the_corner")
        mazes = importlib.import_module("jaxgmg.procgen.maze_generation")
        from flax.training.train_state import TrainState
    except ImportError as error:
        print(f"jaxgmg is skipped: {error}")
        return None
    return _corner(its, corner, mazes, TrainState)


def _corner(its: dict[str, Any], corner: Any, mazes: Any, train_state: Any) -> Corner:
    import optax

    env = corner.Env(penalize_time=False)
    generator = corner.LevelGenerator(
        maze_generator=mazes.BlockMazeGenerator(), corner_size=5
    )
    levels = its["autocurricula"].InfiniteDomainRandomisation(level_generator=generator)
    net = its["networks"].get_architecture("relu", num_actions=env.num_actions)
    example = generator.sample(jax.random.key(0))
    weights, first = net.init_params_and_state(
        jax.random.key(1), env.obs_type(level=example)
    )
    now = {
        "key": jax.random.key(2),
        "levels": levels.init(),
        "net": train_state.create(
            apply_fn=jax.vmap(net.apply, in_axes=(None, 0, 0, 0)),
            params=weights,
            tx=optax.chain(optax.clip_by_global_norm(0.5), optax.adam(5e-5)),
        ),
    }
    back = jax.vmap(
        its["experience"].generalised_advantage_estimation, in_axes=(0, None, None)
    )

    def cycle() -> Any:
        now["key"], level_key, act_key, order_key = jax.random.split(now["key"], 4)
        now["levels"], batch = levels.get_batch(
            state=now["levels"], rng=level_key, num_levels=256
        )
        rollouts = its["experience"].collect_rollouts(
            rng=act_key,
            num_steps=128,
            train_state=now["net"],
            net_init_state=first,
            env=env,
            levels=batch,
        )
        advantages = back(rollouts, 0.95, 0.999)
        now["net"], _ = its["ppo"].ppo_update(
            rng=order_key,
            train_state=now["net"],
            rollouts=rollouts,
            advantages=advantages,
            num_epochs=5,
            num_minibatches_per_epoch=8,
            gamma=0.999,
            clip_eps=0.1,
            entropy_coeff=0.001,
            critic_coeff=0.5,
            compute_metrics=False,
        )
        return now["net"].params

    return Corner(256 * 128, cycle)
