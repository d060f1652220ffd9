"""Gradient routing makes shards by hand: each says what its own events are worth."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.agents import action_selection, agent, encoders, value
from shardsim.algorithms import losses, optimizers, update_step
from shardsim.training import phases, population, schedule
from shardsim.training.config import TrainConfig
from shardsim_envs import DiamondGhost

ENV = DiamondGhost(size=3, oversight=1.0)
PLAN = TrainConfig(
    phases=(
        phases.Phase(
            "earn",
            150,
            losses=losses.LossWeights(
                value=losses.GradientScales(encoder=1.0, value=1.0)
            ),
        ),
    ),
    num_seeds=2,
    num_envs=8,
    num_steps=64,
    epochs=2,
    discount=0.97,
    action_selection=action_selection.PolicyOnly(),
    optimizer=optimizers.OptimizerConfig(learning_rate=3e-3),
)
CONFIG = agent.AgentConfig(
    encoder=encoders.MLPEncoder(widths=(32,)), decoder_hidden=(8,), auxiliary_width=8
)


@functools.cache
def parts(routing):
    """v_k of every seed and state of some levels, [N, n, K], and V."""
    head = value.Sharded(num_shards=2, td_error="per_shard", routing=routing)
    recipe = population.InitConfig(CONFIG, PLAN.optimizer, ENV, PLAN.num_envs)
    source = update_step.PhaseInputs(ENV.params())
    keys = population.seed_keys(0, PLAN.num_seeds)
    hyper = schedule.hyperparameters(PLAN, head)
    carry = population.init(recipe, head, 16, source.params, keys, hyper)
    setting = schedule.update_config(PLAN, ENV, (head,), PLAN.phases[0])
    carry, _ = population.chunk(setting, carry, source, jnp.int32(150))
    keys = jax.random.split(jax.random.key(5), 64)
    seen, states = jax.vmap(ENV.reset, in_axes=(0, None))(keys, ENV.params())
    contexts = jax.vmap(ENV.context)(states)

    def one(member):
        return jax.vmap(member.value)(jax.vmap(member.encoder)(seen), contexts)

    said = jax.vmap(one)(carry.learners[0].agent)
    return np.asarray(said.shard_values), np.asarray(said.value)


@pytest.mark.slow
def test_each_expert_knows_its_own_event():
    """The diamond's pays 1, the ghost's costs 1: no other error has reached them.

    None says more than an event can be worth, and together they say what the same
    head says that has learnt from the same data without labels.
    """
    said, together = parts(value.Routing(gate_weight=0.1))
    diamond, ghost = said[..., 0].mean(axis=1), said[..., 1].mean(axis=1)
    assert (diamond > 0.4).all()
    assert (ghost < -0.4).all()
    assert np.abs(said).max() < 1.1
    _, unrouted = parts(None)
    assert np.abs(together - unrouted).mean() < 0.3


@pytest.mark.slow
def test_without_routing_they_do_not_part_like_that():
    """The negative control: the same head, the same data, no labels."""
    said, _ = parts(None)
    means = np.sort(said.mean(axis=1), axis=1)
    assert not ((means[:, 0] < -0.4) & (means[:, 1] > 0.4)).any()
