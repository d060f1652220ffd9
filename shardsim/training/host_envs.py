"""Training on the host's worlds: collect there, update here, the same update as ever.

The agent acts by D alone (there is no model to look ahead in), all seeds in one
compiled call a step; every seed has environments of its own. Where an episode ends the
next one begins in the same step. A run that is resumed goes on with fresh episodes:
what lies inside somebody else's environment can't be kept.

Symbols: N seeds, T steps, B environments.
"""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from jaxtyping import Array, Float, Int, PyTree

from shardsim.agents import action_selection
from shardsim.agents import agent as agents
from shardsim.agents.agent import Agent
from shardsim.algorithms import update_step
from shardsim.core.types import Trajectory
from shardsim.training import population
from shardsim.training.external_envs import Gymnasium

SEED_STEP = 1_000_003
"""Seeds of the environments of two training seeds never overlap."""


class Host:
    """The environments of N seeds: what lies outside of any compiled program."""

    def __init__(
        self, world: Gymnasium, seed: int, seeds: int, envs: int, points: int = 1
    ) -> None:
        """Element g * seeds + n has the environments of seed n at each of the points
        of a grid."""
        self.world = world
        make = gymnasium.make_vec
        self.many = [
            make(
                world.id,
                envs,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
            )
            for _ in range(seeds * points)
        ]
        first = [
            env.reset(seed=(seed * seeds + n % seeds) * SEED_STEP % 2**31)[0]
            for n, env in enumerate(self.many)
        ]
        self.seen = np.stack([self._array(seen) for seen in first])

    def close(self) -> None:
        for env in self.many:
            env.close()

    def chunk(
        self,
        setting: update_step.UpdateConfig,
        carry: update_step.TrainState,
        source: update_step.PhaseInputs,
        updates: Int[Array, ""],
    ) -> tuple[update_step.TrainState, PyTree]:
        """What `population.chunk` does, with worlds of the host."""
        if setting.collect == "dataset":  # no world is stepped
            return population.chunk(setting, carry, source, updates)
        total = None
        for _ in range(int(updates)):
            trajectory = self._collect(setting, carry)
            carry, metrics = population.update_arms(setting, carry, trajectory)
            total = metrics if total is None else jax.tree.map(jnp.add, total, metrics)
        return carry, total

    def _collect(
        self, setting: update_step.UpdateConfig, carry: update_step.TrainState
    ) -> Trajectory:
        """T steps of every environment, leaves [N, T, B, ...]."""
        shape = (len(self.many), setting.num_steps, setting.num_envs)
        agent = agents.in_type(carry.learners[0].agent, setting.precision)
        rows = []
        for t in range(setting.num_steps):
            move = _act(agent, carry.key, carry.update, np.int32(t), self.seen)
            row = self._step(np.asarray(move.action))
            rows.append({**row, "logits": np.asarray(move.logits)})
        stacked = {
            name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]
        }
        stacked["rewards"] = stacked["reward"][..., None]
        stacked["context"] = np.ones((*shape, 1), np.float32)
        stacked["next_context"] = stacked["context"]
        arrays = {name: jnp.asarray(leaf) for name, leaf in stacked.items()}
        return Trajectory(**arrays)

    def _step(self, actions: Int[np.ndarray, "N B"]) -> dict[str, np.ndarray]:
        """One step of everything; `next_observation` is taken before any reset."""
        found: dict[str, list[np.ndarray]] = {}
        theirs = actions + self.world.first_action
        for env, chosen in zip(self.many, theirs, strict=True):
            seen, reward, terminated, truncated, info = env.step(chosen)
            fresh = self._array(seen)
            last = fresh.copy()
            for n in np.flatnonzero(info.get("_final_obs", ())):
                last[n] = self._array(info["final_obs"][n])
            row = {
                "observation": fresh,
                "reward": np.asarray(reward, np.float32),
                "terminated": np.asarray(terminated),
                # one thing or the other: what ends for good is not cut
                "truncated": np.asarray(truncated) & ~np.asarray(terminated),
                "next_observation": last,
            }
            for name, value in row.items():
                found.setdefault(name, []).append(value)
        after = {name: np.stack(value) for name, value in found.items()}
        before, self.seen = self.seen, after["observation"]
        return {**after, "observation": before, "action": actions}

    def _array(self, seen: Any) -> np.ndarray:
        return np.asarray(seen[self.world.part] if self.world.part else seen)


@jax.jit
def _act(
    members: Agent,
    keys: Array,
    updates: Int[Array, " N"],
    t: Int[Array, ""],
    seen: Float[Array, "N B ..."],
) -> action_selection.ActionSample:
    """Actions drawn from D, leaves [N, B, ...]."""

    def one(
        agent: Agent, key: Array, update: Array, seen: Array
    ) -> action_selection.ActionSample:
        key = update_step.data_key(key, update)
        logits = jax.vmap(lambda x: agent.decoder(agent.encoder(x)))(seen)
        noise = jax.random.gumbel(jax.random.fold_in(key, t), logits.shape)
        action = jnp.argmax(logits + noise, axis=-1)
        return action_selection.ActionSample(action, jax.nn.log_softmax(logits))

    return jax.vmap(one)(members, keys, updates, seen)
