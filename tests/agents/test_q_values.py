"""Acting: V steers through the world's own step, and every part's bid is its own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.agents import action_selection, agent, encoders, value
from shardsim_envs import ContextFruits

ENV = ContextFruits(size=3, max_steps=6)
CONFIG = agent.AgentConfig(
    encoder=encoders.MLPEncoder(widths=(8,)), decoder_hidden=(4,), auxiliary_width=4
)
PARAMS = ENV.params()
RIGHT = 1


@functools.cache
def made(shards):
    """An agent whose V is not 0 and whose D has a taste: last weights drawn anew."""
    head = value.Sharded(num_shards=shards)
    built = agent.build(CONFIG, head, 4, ENV, jax.random.key(0))
    kernel = jax.random.normal(jax.random.key(1), (shards, 4))
    built.value.kernel[...] = kernel
    taste = jax.random.normal(jax.random.key(2), (4, 4))
    built.decoder.readout.kernel[...] = taste
    return built


def start():
    """The agent in the middle, fruit 0 to its right, fruit 1 above, context 0."""
    empty = jnp.zeros((3, 3), bool)
    maps = {
        "fruit 0": empty.at[1, 2].set(True),
        "fruit 1": empty.at[0, 1].set(True),
        "floor 0": ~empty,
    }
    level = ENV.level(maps, jnp.asarray([1, 1], jnp.int32))
    return ENV.reset_to(level, PARAMS)


def test_combine_by_hand():
    """D = (1/2, 1/4, 1/4), Q = (0, tau log 2, 0): the first two tie."""
    prior = jnp.log(jnp.asarray([0.5, 0.25, 0.25], jnp.float32))
    q = jnp.asarray([0.0, 0.1 * np.log(2), 0.0], jnp.float32)
    policy = jax.nn.softmax(action_selection.combine(prior, q, 0.1))
    np.testing.assert_allclose(policy, [0.4, 0.4, 0.2], rtol=1e-5)


@pytest.mark.slow
def test_bids_and_reward_add_up_to_q():
    _, state = start()
    found = action_selection.action_values(made(3), ENV, PARAMS, state, 0.9)
    assert found.shard_q.shape == (4, 3)
    np.testing.assert_allclose(found.reward, [0, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(
        found.q, found.reward + found.shard_q.sum(axis=1), atol=1e-6
    )
    assert float(jnp.abs(found.shard_q[0]).max()) == 0  # a bite ends it: nothing beyond
    assert float(jnp.abs(found.shard_q[2]).max()) > 0


@pytest.mark.slow
def test_q_is_v_of_where_the_step_leads():
    _, state = start()
    one = made(3)
    found = action_selection.action_values(one, ENV, PARAMS, state, 0.9)
    down = ENV.step(jax.random.key(5), state, jnp.int32(2), PARAMS)
    v = one.value(one.encoder(down.observation), ENV.context(down.state)).value
    assert float(found.q[2]) == pytest.approx(0.9 * float(v), rel=1e-5)


def test_each_way_of_acting_is_what_it_says():
    seen, state = start()
    one = made(3)
    prior = jax.nn.log_softmax(one.decoder(one.encoder(seen)))
    q = action_selection.action_values(one, ENV, PARAMS, state, 0.9).q

    def logits(how):
        temperature = jnp.float32(getattr(how, "temperature", 1.0))
        return action_selection.choose(
            how, one, ENV, PARAMS, state, seen, 0.9, temperature
        ).logits

    def same(a, b):
        np.testing.assert_allclose(
            jax.nn.softmax(a), jax.nn.softmax(b), rtol=1e-4, atol=1e-7
        )

    same(logits(action_selection.PolicyOnly()), prior)
    same(logits(action_selection.Lookahead(temperature=0.5)), prior + q / 0.5)
    same(logits(action_selection.ValueOnly(temperature=0.5)), q / 0.5)
    # V steers, and a huge tau takes the wheel away from it
    assert (
        float(
            jnp.abs(logits(action_selection.Lookahead(temperature=0.5)) - prior).max()
        )
        > 0.1
    )
    same(logits(action_selection.Lookahead(temperature=1e6)), prior)


@pytest.mark.slow
def test_at_initialisation_only_reward_and_prior_speak():
    seen, state = start()
    fresh = agent.build(CONFIG, value.Sharded(), 4, ENV, jax.random.key(0))
    found = action_selection.action_values(fresh, ENV, PARAMS, state, 0.9)
    np.testing.assert_array_equal(found.shard_q, jnp.zeros((4, 4)))
    choice = action_selection.choose(
        action_selection.Lookahead(),
        fresh,
        ENV,
        PARAMS,
        state,
        seen,
        0.9,
        jnp.float32(0.01),
    )
    assert int(jnp.argmax(choice.logits)) == RIGHT
