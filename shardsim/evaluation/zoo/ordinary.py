"""Agents of runs, of whose V the metrics of a zoo are asked.

A zoo measures metrics by members whose shards are known. An ordinary agent is trained
by `shardsim train` or `run` in the same world. How shard-like its V is stands beside
the members, on one axis, and counts for no AUROC.

Symbols: N seeds, L levels, S states of a level, D features, C contexts.
"""

import functools
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from shardsim.agents import value
from shardsim.agents.agent import Agent, AgentOutput
from shardsim.core import config as configs
from shardsim.core import field_errors
from shardsim.core.jit import jit
from shardsim.evaluation import battery, run_agents
from shardsim.evaluation.experiment import Experiment
from shardsim.evaluation.subjects import Subject
from shardsim.evaluation.zoo import measuring, states
from shardsim.evaluation.zoo.config import Ordinary, ZooConfig
from shardsim.storage import trained
from shardsim.training.standalone import Training


class Agents(NamedTuple):
    """The trained agents of one arm of a run."""

    population: Agent
    """Leaves [N, ...]."""
    num_seeds: int
    """N."""
    parameters: int
    """Of V."""
    digest: str
    """SHA-256 of their weights."""


def read(config: ZooConfig, name: str, run: Experiment | Training) -> Agents:
    """The agents of a run that a zoo is asked about.

    Args:
      name: one of `config.agents`.
      run: the config in its run folder.

    Raises:
      ConfigError: the run has no such arm, or another world or discount than the zoo;
        the arm is not trained to its end; or it is a sweep.
      RunError: a file is damaged.
    """
    given, place = config.agents[name], f"agents.{name}"
    folder = Path(given.run)
    _check_world(config, given, place, run)
    if given.arm in run.arms and given.arm not in trained.read(folder):
        raise configs.ConfigError(
            f"{place}.arm: got {given.arm!r}, whose training is not over; allowed: one "
            f"that is trained to its end (shardsim resume {folder})"
        )
    try:
        population = run_agents.read(folder, run, given.arm).population
    except configs.ConfigError as error:
        raise configs.ConfigError(field_errors.prefixed(place, error)) from None
    leaves = jax.tree.map(np.asarray, jax.tree.leaves(population))
    digest = hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()
    count = run.train.num_seeds
    head = jax.tree.leaves(nnx.state(population.value, nnx.Param))
    return Agents(population, count, sum(x.size for x in head) // count, digest)


def _check_world(
    config: ZooConfig, given: Ordinary, place: str, run: Experiment | Training
) -> None:
    if run.env != config.env:
        own, other = configs.to_dict(config.env), configs.to_dict(run.env)
        differ = [field for field in own if other.get(field) != own[field]]
        raise configs.ConfigError(
            f"{place}.run: got {given.run}, whose env differs in {', '.join(differ)}; "
            "allowed: a run in the env of the zoo"
        )
    if run.train.discount != config.discount:
        raise configs.ConfigError(
            f"{place}.run: got {given.run}, with train.discount {run.train.discount}; "
            f"allowed: {config.discount}, that of the zoo"
        )
    if run.train.population != run.train.num_seeds:
        raise configs.ConfigError(
            f"{place}.run: got {given.run}, a sweep; allowed: a run without train.sweep"
        )


def measure(
    config: ZooConfig,
    agents: Agents,
    seed: int,
    batteries: tuple[states.Battery, ...],
    known: measuring.Measured | None,
) -> measuring.Measured:
    """What is measured of one agent, as of a member.

    Args:
      seed: number of the agent, in [0, N).
      known: what is known of it already.
    """
    agent = jax.tree.map(lambda leaf: np.asarray(leaf)[seed], agents.population)
    return measuring.measure(
        config,
        batteries[0],
        [subject_of(config, agent, one) for one in batteries],
        known,
        agents.digest,
    )


def subject_of(
    config: ZooConfig, agent: Agent, states: states.Battery
) -> tuple[Subject, Float[np.ndarray, "L S"]]:
    """V of an agent in the states of a battery, and V in all states."""
    features, output = _outputs(config.env, agent, states.condition.levels)
    return measuring.subject(
        config, agent.value, np.asarray(features), output, states, states.context
    )


@functools.partial(jit, static_argnums=0)
def _outputs(
    env: Any, agent: Agent, levels: Any
) -> tuple[Float[Array, "L S D"], value.ValueOutput]:
    """What V reads in every state, and its output; leaves [L, S, ...]."""

    def of_level(level: Any) -> tuple[Array, value.ValueOutput]:
        one = jax.tree.map(lambda leaf: leaf[None], level)
        observation, context = battery.observed(env, one)
        out: AgentOutput = jax.vmap(agent.__call__)(observation[0], context[0])
        return out.features, out.value

    return jax.lax.map(of_level, levels)
