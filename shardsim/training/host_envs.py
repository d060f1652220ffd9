"""Training in Gymnasium environments, which run on the host.

Data are collected on the host; the update is the same compiled update as elsewhere. The
agent acts by D alone, because there is no model for a lookahead. One compiled call for
each step computes the actions of all seeds. Every seed has environments of its own, and
a finished episode is followed by the next one in the same step. A resumed run starts
new episodes, because the state of an external environment cannot be saved.

Symbols: N seeds (times the points of a sweep), T steps, B environments.
"""

import functools
import logging
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from jaxtyping import Array, Int, Key, PyTree, Shaped

from shardsim.agents import action_selection
from shardsim.agents import agent as agents
from shardsim.agents.agent import Agent
from shardsim.algorithms import update_step
from shardsim.core.jit import jit
from shardsim.core.types import Trajectory
from shardsim.training import external_envs, population
from shardsim.training.external_envs import Gymnasium

LOG = logging.getLogger(__name__)

SEED_STEP = 1_000_003
"""Distance between the environment seeds of training seeds, so that none overlap."""
ROOT_STEP = 2**16
"""Training seeds of a root seed, before those of the next root follow. It does not
depend on how many seeds are trained, so that a seed meets the same environments in
every run."""


class AgentView(gymnasium.ObservationWrapper[np.ndarray, Any, Any]):
    """An environment whose observations are the array that the agent sees.

    That is one array, in at most 32 bits. It is checked before a vector of environments
    copies it into the dtype of the space, which would wrap it.
    """

    def __init__(self, inner: gymnasium.Env[Any, Any], env: Gymnasium) -> None:
        super().__init__(inner)
        self.part, self.dtype = env.part, env.space.dtype
        low, high = (
            _bound(limit, env.space) for limit in (env.space.low, env.space.high)
        )
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=low.dtype.type)

    def observation(self, observation: Any) -> np.ndarray:
        array = observation[self.part] if self.part else observation
        return external_envs.narrow(array, self.dtype, "observation")


def _bound(limit: np.ndarray, space: gymnasium.spaces.Box) -> np.ndarray:
    """The limits of a space in at most 32 bits."""
    dtype = external_envs.narrow_dtype(space.dtype)
    if dtype.kind in "iu":
        limit = np.clip(limit, np.iinfo(dtype).min, np.iinfo(dtype).max)
    with np.errstate(over="ignore"):
        return limit.astype(dtype)


class Host:
    """The Gymnasium environments of N seeds."""

    def __init__(
        self,
        env: Gymnasium,
        seed: int,
        seeds: int,
        envs: int,
        points: int = 1,
        first: int = 0,
    ) -> None:
        """Make N = seeds * points vectors of environments.

        Element g * seeds + n has the environments of seed first + n, at every point g
        of a sweep.

        Args:
          seed: root of all environment seeds.
          envs: B.
          first: number of the first seed.
        """
        self.env = env
        self.vector_envs = [
            gymnasium.make_vec(
                env.id,
                envs,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
                wrappers=[functools.partial(AgentView, env=env)],
            )
            for _ in range(seeds * points)
        ]
        numbers = [seed * ROOT_STEP + first + n % seeds for n in range(seeds * points)]
        observations = [
            env.reset(seed=number * SEED_STEP % 2**31)[0]
            for number, env in zip(numbers, self.vector_envs, strict=True)
        ]
        self.observation = np.stack(observations)

    def close(self) -> None:
        """Close all environments."""
        for env in self.vector_envs:
            env.close()

    def chunk(
        self,
        config: update_step.UpdateConfig,
        state: update_step.TrainState,
        inputs: update_step.PhaseInputs,
        updates: Int[Array, ""],
    ) -> tuple[update_step.TrainState, PyTree]:
        """`population.chunk`, with environments on the host."""
        if config.collect == "dataset":  # no environment is stepped
            return population.chunk(config, state, inputs, updates)
        total = None
        for number in range(int(updates)):
            LOG.debug("update %d of %d of this call", number + 1, int(updates))
            trajectory = self._collect(config, state)
            state, metrics = population.update_arms(config, state, trajectory)
            total = metrics if total is None else jax.tree.map(jnp.add, total, metrics)
        return state, total

    def _collect(
        self, config: update_step.UpdateConfig, state: update_step.TrainState
    ) -> Trajectory:
        """T steps of every environment, leaves [N, T, B, ...]."""
        shape = (len(self.vector_envs), config.num_steps, config.num_envs)
        agent = agents.in_type(state.learners[0].agent, config.precision)
        rows = []
        for t in range(config.num_steps):
            sample = _act(agent, state.key, state.update, np.int32(t), self.observation)
            row = self._step(np.asarray(sample.action))
            rows.append({**row, "logits": np.asarray(sample.logits)})
        stacked = {
            name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]
        }
        stacked["rewards"] = stacked["reward"][..., None]
        stacked["context"] = np.ones((*shape, 1), np.float32)
        stacked["next_context"] = stacked["context"]
        arrays = {name: jnp.asarray(leaf) for name, leaf in stacked.items()}
        return Trajectory(**arrays)

    def _step(self, actions: Int[np.ndarray, "N B"]) -> dict[str, np.ndarray]:
        """One step of all environments, leaves [N, B, ...].

        `next_observation` is that before a reset.
        """
        columns: dict[str, list[np.ndarray]] = {}
        # in 64 bits, because an environment may count its actions from any number
        env_actions = actions.astype(np.int64) + self.env.first_action
        for env, action in zip(self.vector_envs, env_actions, strict=True):
            after_reset, reward, terminated, truncated, info = env.step(action)
            before_reset = after_reset.copy()
            for n in np.flatnonzero(info.get("_final_obs", ())):
                before_reset[n] = info["final_obs"][n]
            row = {
                "observation": after_reset,
                "reward": np.asarray(reward, np.float32),
                "terminated": np.asarray(terminated),
                # a terminated episode does not count as truncated
                "truncated": np.asarray(truncated) & ~np.asarray(terminated),
                "next_observation": before_reset,
            }
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
        arrays = {name: np.stack(value) for name, value in columns.items()}
        previous, self.observation = self.observation, arrays["observation"]
        return {**arrays, "observation": previous, "action": actions}


@functools.partial(jit, optimize=True)
def _act(
    agents: Agent,
    keys: Key[Array, " N"],
    updates: Int[Array, " N"],
    t: Int[Array, ""],
    observations: Shaped[Array, "N B ..."],
) -> action_selection.ActionSample:
    """Sample actions from D, leaves [N, B, ...].

    Args:
      agents: leaves [N, ...].
      keys: root keys of the seeds.
      updates: number of the update of each seed.
      t: step within the rollout.
    """

    def one(
        agent: Agent, key: Array, update: Array, observation: Array
    ) -> action_selection.ActionSample:
        key = update_step.data_key(key, update)
        logits = jax.vmap(lambda x: agent.decoder(agent.encoder(x)))(observation)
        noise = jax.random.gumbel(jax.random.fold_in(key, t), logits.shape)
        action = jnp.argmax(logits + noise, axis=-1)
        return action_selection.ActionSample(action, jax.nn.log_softmax(logits))

    return jax.vmap(one)(agents, keys, updates, observations)
