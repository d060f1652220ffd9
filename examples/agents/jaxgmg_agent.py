"""An agent that jaxgmg trained in its corner maze, in the corner maze of shardsim.

    git clone https://github.com/matomatical/jaxgmg && pip install -e jaxgmg
    python examples/agents/jaxgmg_agent.py --steps 2000000 --out runs/jaxgmg
    shardsim inspect --agent jaxgmg_agent:agent     (in the folder of this file)

Training, network and checkpoint are theirs. Levels are translated: their cheese lies in
the top left corner and ours in the top right one, so that a board of shardsim is
mirrored and written in their planes. Their actions (up, left, down, right) are then in
our order (up, right, down, left).
"""

import argparse
import os
from pathlib import Path
from typing import Any

import shardsim  # before JAX, so that the CPU is as in a command

# isort: split
import jax
import jax.numpy as jnp
from jaxgmg.baselines import autocurricula, networks, ppo
from jaxgmg.environments import cheese_in_the_corner as corner
from jaxgmg.procgen import maze_generation

import shardsim_envs

WORLD = shardsim_envs.CornerMaze(size=7, region=3, max_steps=32)
GAMMA = 0.95
OUT = Path(os.environ.get("JAXGMG_AGENT", "runs/jaxgmg"))

ENV = corner.Env(penalize_time=False, max_steps_in_episode=WORLD.max_steps)
GENERATOR = corner.LevelGenerator(
    height=WORLD.size,
    width=WORLD.size,
    maze_generator=maze_generation.TreeMazeGenerator(),
    corner_size=WORLD.region,
)
NETWORK = networks.get_architecture("relu:3x128", num_actions=ENV.num_actions)


def initial() -> tuple[Any, Any]:
    """Parameters and state of the network before training."""
    level = GENERATOR.sample(jax.random.PRNGKey(0))
    types = ENV.obs_type(level=level)
    params, state = NETWORK.init_params_and_state(jax.random.PRNGKey(1), types)
    return params, state


def train(steps: int, out: Path) -> None:
    """Train by jaxgmg's own PPO, and write the parameters as arrays."""
    params, state = initial()
    cycle = 128 * 64
    cycles = max(2, steps // cycle)
    gen = autocurricula.InfiniteDomainRandomisation(level_generator=GENERATOR)
    ppo.run(
        rng=jax.random.PRNGKey(2),
        env=ENV,
        gen=gen,
        gen_state=gen.init(),
        net=NETWORK,
        net_init_params=params,
        net_init_state=state,
        evals_dict={},
        ppo_lr=0.001,
        ppo_gamma=GAMMA,
        ppo_clip_eps=0.1,
        ppo_gae_lambda=0.95,
        ppo_entropy_coeff=0.001,
        ppo_critic_coeff=0.5,
        ppo_max_grad_norm=0.5,
        ppo_lr_annealing=False,
        num_minibatches_per_epoch=8,
        num_epochs_per_cycle=5,
        num_total_env_steps=cycles * cycle,
        num_env_steps_per_cycle=128,
        num_parallel_envs=64,
        num_cycles_per_log=max(1, cycles // 8),
        save_files_to=str(out),
        console_log=True,
        wandb_log=False,
        train_gifs=False,
        train_gif_grid_width=1,
        train_gif_level_of_detail=1,
        checkpointing=True,
        keep_all_checkpoints=False,
        max_num_checkpoints=1,
        num_cycles_per_checkpoint=cycles - 1,  # the last one is cycle number cycles - 1
    )


def trained() -> Any:
    """The parameters of the newest checkpoint."""
    import orbax.checkpoint as ocp

    runs = sorted(OUT.glob("run_*/checkpoints"))
    if not runs:
        raise FileNotFoundError(f"{OUT}: no run of jaxgmg; train one first")
    manager = ocp.CheckpointManager(runs[-1].absolute())
    step = manager.latest_step()
    restored = ocp.PyTreeCheckpointer().restore(
        runs[-1].absolute() / str(step) / "default"
    )
    return restored["params"]


def agent() -> shardsim.Agents:
    """The trained agent, as shardsim asks it."""
    params, (_, state) = trained(), initial()
    wall, cheese = WORLD.plane("wall"), WORLD.plane("cheese")

    @jax.jit
    def forward(boards: jax.Array) -> tuple[jax.Array, jax.Array]:
        mirrored = boards[:, :, ::-1]
        channels = (wall, -1, cheese)  # their walls, mouse and cheese
        theirs = jnp.stack([mirrored[..., plane] for plane in channels], axis=-1)

        def one(board: jax.Array) -> tuple[jax.Array, jax.Array]:
            policy, value, _ = NETWORK.apply(params, board, state, -1)
            return policy.logits, value

        return jax.vmap(one)(theirs > 0)

    return shardsim.wrap(
        lambda boards: forward(boards)[1],
        lambda boards: forward(boards)[0],
        world=WORLD,
        discount=GAMMA,
        batched=True,
        name="jaxgmg PPO",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    train(options.steps, options.out)
