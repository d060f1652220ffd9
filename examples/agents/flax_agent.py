"""PPO in one compiled program, as PureJaxRL does it, with a plain Flax network.

    pip install "shardsim[plot]"
    python examples/agents/flax_agent.py --updates 400 --out runs/flax_agent.npz
    shardsim inspect --agent flax_agent:agent     (in the folder of this file)

Nothing of shardsim's training is used: network, rollouts, advantages and losses are in
this file, and only the world is ours. Symbols: B environments, T steps, A actions.
"""

import argparse
import os
from pathlib import Path
from typing import Any, NamedTuple

import shardsim  # before JAX, so that the CPU is as in a command

# isort: split
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from jax.flatten_util import ravel_pytree

import shardsim_envs

WORLD = shardsim_envs.CornerMaze(size=7, region=3, max_steps=32)
GAMMA, LAMBDA, CLIP, ENTROPY = 0.95, 0.9, 0.2, 0.01
ENVS, STEPS, EPOCHS, MINIBATCHES = 64, 32, 4, 4
FILE = Path(os.environ.get("FLAX_AGENT", "runs/flax_agent.npz"))


class ActorCritic(nn.Module):
    """Logits and V of one board."""

    @nn.compact
    def __call__(self, board: jax.Array) -> tuple[jax.Array, jax.Array]:
        flat = board.astype(jnp.float32).reshape(-1)
        actor, critic = flat, flat
        for _ in range(2):
            actor = nn.tanh(nn.Dense(128)(actor))
            critic = nn.tanh(nn.Dense(128)(critic))
        zero = nn.initializers.orthogonal(0.01)
        logits = nn.Dense(WORLD.num_actions, kernel_init=zero)(actor)
        return logits, nn.Dense(1)(critic)[0]


NETWORK = ActorCritic()
APPLY = jax.vmap(NETWORK.apply, in_axes=(None, 0))


class Step(NamedTuple):
    """What the losses need of a step."""

    board: jax.Array
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    ended: jax.Array


def train(updates: int, seed: int = 0) -> Any:
    """The parameters after some updates of PPO."""
    params = WORLD.params()
    optimizer = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adam(optax.linear_schedule(1e-3, 0.0, updates * EPOCHS * MINIBATCHES)),
    )

    def play(carry: Any, key: jax.Array) -> tuple[Any, Step]:
        weights, states, boards = carry
        act, step, reset = jax.random.split(key, 3)
        logits, value = APPLY(weights, boards)
        action = jax.random.categorical(act, logits)
        log_prob = jnp.take_along_axis(
            jax.nn.log_softmax(logits), action[:, None], axis=1
        )[:, 0]
        out = jax.vmap(WORLD.step, in_axes=(0, 0, 0, None))(
            jax.random.split(step, ENVS), states, action, params
        )
        # as in PureJaxRL, the time limit counts as an end
        ended = out.terminated | out.truncated
        fresh = jax.vmap(WORLD.reset, in_axes=(0, None))(
            jax.random.split(reset, ENVS), params
        )

        def renewed(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(ended.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        boards_after, states_after = jax.tree.map(
            renewed, fresh, (out.observation, out.state)
        )
        row = Step(boards, action, log_prob, value, out.reward, ended)
        return (weights, states_after, boards_after), row

    def advantages(steps: Step, last: jax.Array) -> jax.Array:
        def back(carry: Any, step: Step) -> tuple[Any, jax.Array]:
            advantage, next_value = carry
            goes_on = 1.0 - step.ended.astype(jnp.float32)
            delta = step.reward + GAMMA * next_value * goes_on - step.value
            advantage = delta + GAMMA * LAMBDA * goes_on * advantage
            return (advantage, step.value), advantage

        start = (jnp.zeros_like(last), last)
        return jax.lax.scan(back, start, steps, reverse=True)[1]

    def loss(weights: Any, batch: Any) -> jax.Array:
        step, advantage, target = batch
        logits, value = APPLY(weights, step.board)
        log_probs = jax.nn.log_softmax(logits)
        log_prob = jnp.take_along_axis(log_probs, step.action[:, None], axis=1)[:, 0]
        ratio = jnp.exp(log_prob - step.log_prob)
        scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clipped = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
        actor = -jnp.minimum(ratio * scaled, clipped * scaled).mean()
        critic = jnp.square(value - target).mean()
        entropy = -(jnp.exp(log_probs) * log_probs).sum(axis=-1).mean()
        return actor + 0.5 * critic - ENTROPY * entropy

    def fit(carry: Any, batch: Any) -> tuple[Any, None]:
        weights, memory = carry
        change, memory = optimizer.update(jax.grad(loss)(weights, batch), memory)
        return (optax.apply_updates(weights, change), memory), None

    def update(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        weights, memory, states, boards = carry
        keys = jax.random.split(key, STEPS + EPOCHS)
        (_, states, boards), steps = jax.lax.scan(
            play, (weights, states, boards), keys[:STEPS]
        )
        advantage = advantages(steps, APPLY(weights, boards)[1])
        batch = (steps, advantage, advantage + steps.value)
        flat = jax.tree.map(lambda x: x.reshape(ENVS * STEPS, *x.shape[2:]), batch)
        for shuffle in keys[STEPS:]:
            order = jax.random.permutation(shuffle, ENVS * STEPS)
            parts = jax.tree.map(
                lambda x, order=order: x[order].reshape(MINIBATCHES, -1, *x.shape[1:]),
                flat,
            )
            (weights, memory), _ = jax.lax.scan(fit, (weights, memory), parts)
        return (weights, memory, states, boards), steps.reward.sum() / steps.ended.sum()

    @jax.jit
    def run(key: jax.Array) -> Any:
        init, reset, learn = jax.random.split(key, 3)
        boards, states = jax.vmap(WORLD.reset, in_axes=(0, None))(
            jax.random.split(reset, ENVS), params
        )
        weights = NETWORK.init(init, boards[0])
        carry = (weights, optimizer.init(weights), states, boards)
        return jax.lax.scan(update, carry, jax.random.split(learn, updates))

    (weights, *_), reward = run(jax.random.key(seed))
    print("reward per episode:", np.asarray(reward[:: max(1, updates // 8)]).round(3))
    return weights


def save(weights: Any, path: Path) -> None:
    """Write the parameters as arrays, by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **traverse_util.flatten_dict(weights, sep="/"))


def agent() -> shardsim.Agents:
    """The trained agent, as shardsim asks it."""
    with np.load(FILE) as arrays:
        weights = traverse_util.unflatten_dict(dict(arrays), sep="/")
    forward = jax.jit(APPLY)
    return shardsim.wrap(
        lambda boards: forward(weights, boards)[1],
        lambda boards: forward(weights, boards)[0],
        world=WORLD,
        discount=GAMMA,
        batched=True,
        name="PPO in Flax",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    trained = train(options.updates)
    print(f"{ravel_pytree(trained)[0].size:,} parameters")
    save(trained, options.out)
