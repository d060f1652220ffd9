"""Search: D while nothing is known, the optimum where V is exact."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.agents import action_selection, agent, encoders, value
from shardsim.core import dynamic_programming
from shardsim.core.types import TimeStep, Trainable
from shardsim_envs import ContextFruits, CornerMaze
from tests.helpers.agents import FunctionAgent

CONFIG = agent.AgentConfig(
    encoder=encoders.MLPEncoder(widths=(8,)), decoder_hidden=(4,), auxiliary_width=4
)
FRUITS = ContextFruits(size=3, max_steps=12, cue_probability=0.0)
MAZE = CornerMaze(size=7)


def found(env, level, simulations, v, depth=None, temperature=0.01):
    """The search's policy from every state of a level, V looked up by what is seen."""
    states = env.states(level)
    params = env.params()
    seen = jax.vmap(env.observe)(states)
    flat = seen.reshape(seen.shape[0], -1).astype(jnp.float32)

    def encoder(observation):
        own = observation.reshape(-1).astype(jnp.float32)
        miss = jnp.abs(flat - own[None]).sum(axis=1)
        return jax.nn.one_hot(jnp.argmin(miss), flat.shape[0])

    def decoder(features):
        return jnp.zeros(env.num_actions)

    def known(features, context):
        worth = jnp.sum(features * v)
        one = jnp.ones((1,))
        return value.ValueOutput(worth, one * worth, one, one * worth)

    config = action_selection.Search(
        simulations=simulations, depth=depth, temperature=temperature, noise=0.0
    )
    return action_selection.search(
        config,
        FunctionAgent(encoder, decoder, known),
        env,
        params,
        states,
        seen,
        0.9,
        jnp.float32(temperature),
        jax.random.key(0),
    )


@functools.cache
def truth(env):
    level = env.generate(jax.random.key(3), env.params())
    table = dynamic_programming.tabulate(env, level, env.params())
    return level, table, dynamic_programming.optimal_value(table, 0.9, env.num_states)


def standing(table):
    """States in which the episode goes on."""
    return np.asarray(dynamic_programming.reachable(table))


@pytest.mark.parametrize("env", [FRUITS, MAZE], ids=lambda env: env.kind)
@pytest.mark.parametrize("simulations", [4, 16])
@pytest.mark.few(1)
def test_with_the_exact_value_it_acts_like_the_optimum(env, simulations):
    level, table, v = truth(env)
    out = jax.jit(lambda v: found(env, level, simulations, v))(v)
    q = np.asarray(dynamic_programming.q_values(table, v, 0.9))
    there = standing(table)
    best = q.max(axis=1, keepdims=True) - q < 1e-5
    chosen = np.asarray(out.action)
    assert best[np.arange(len(chosen)), chosen][there].all()
    assert best[np.arange(len(chosen)), np.argmax(out.logits, axis=1)][there].all()


@pytest.mark.slow
def test_a_wrong_value_is_followed_too():
    """The negative control: V turned round leads away from the goal."""
    level, table, v = truth(MAZE)
    out = jax.jit(lambda v: found(MAZE, level, 4, v))(-v)
    q = np.asarray(dynamic_programming.q_values(table, v, 0.9))
    best = q.max(axis=1, keepdims=True) - q < 1e-5
    chosen = np.asarray(out.action)
    right = best[np.arange(len(chosen)), chosen]
    assert right[standing(table)].mean() < 0.5


@pytest.mark.slow
def test_depth_sees_a_reward_that_v_knows_nothing_of():
    """V = 0: with simulations enough a search finds what lies a few steps away, and a
    look of one step does not."""
    level, table, v = truth(FRUITS)
    nothing = jnp.zeros_like(v)
    q = np.asarray(dynamic_programming.q_values(table, v, 0.9))
    best = q.max(axis=1, keepdims=True) - q < 1e-5
    two_steps = standing(table) & np.isclose(np.asarray(v), 0.9)
    right = {}
    for depth in (1, None):
        out = jax.jit(lambda v, d=depth: found(FRUITS, level, 64, v, d))(nothing)
        chosen = np.asarray(out.action)
        right[depth] = best[np.arange(len(chosen)), chosen][two_steps].mean()
    assert right[None] > 0.99
    assert right[1] < 0.9


@pytest.mark.slow
def test_an_untrained_agent_acts_by_d():
    """V = 0 and no reward in reach: the improved policy is the prior."""
    env = ContextFruits(size=5, rewards=((0.0, 0.0), (0.0, 0.0)))
    made = agent.build(CONFIG, value.MLP(), 4, env, jax.random.key(0))
    taste = jax.random.normal(jax.random.key(2), (4, 4))
    made.decoder.readout.kernel[...] = taste
    keys = jax.random.split(jax.random.key(1), 6)
    seen, states = jax.vmap(env.reset, in_axes=(0, None))(keys, env.params())
    out = action_selection.search(
        action_selection.Search(),
        made,
        env,
        env.params(),
        states,
        seen,
        0.9,
        jnp.float32(0.03),
        jax.random.key(4),
    )
    prior = jax.vmap(lambda x: jax.nn.log_softmax(made.decoder(made.encoder(x))))(seen)
    np.testing.assert_allclose(jnp.exp(out.logits), jnp.exp(prior), atol=1e-5)
    assert float(jnp.abs(prior - prior.mean()).max()) > 0.01


class Fork(Trainable):
    """Two ways; the second leads to where V is 1. There `ends` for good, or is cut."""

    num_actions, num_contexts, max_steps = 2, 1, 2
    observation_shape, reward_sources = (1,), ("end",)

    def __init__(self, ends):
        self.ends = ends

    def context(self, state):
        return jnp.ones((1,))

    def step(self, key, state, action, params):
        seen = jnp.asarray(action, jnp.float32)[None]
        ends = jnp.bool_(self.ends)
        return TimeStep(seen, action, jnp.float32(0.0), ends, ~ends, {})


class Says(FunctionAgent):
    """An agent whose D is uniform and whose V is the number that is shown."""

    def __call__(self, observation, context):
        output = value.ValueOutput(
            observation[0], observation, observation, observation
        )
        return agent.AgentOutput(observation, jnp.log(jnp.full(2, 0.5)), output)


@pytest.mark.parametrize(("ends", "gain"), [(False, 0.9), (True, 0.0)])
@pytest.mark.slow
def test_the_improved_policy_by_hand(ends, gain):
    """Each way is looked at once: log odds (1 + 1/50) gamma V / tau. Beyond a cut
    there is value, beyond an end none. tau is the seed's, not the config's; noise
    picks the action, and none picks the best."""
    count = 2000
    odds, picked = {}, {}
    for noise in (0.0, 1.0):
        out = action_selection.search(
            action_selection.Search(
                simulations=2, depth=1, temperature=0.01, noise=noise
            ),
            Says(None, None, None),
            Fork(ends),
            (),
            jnp.zeros(count, jnp.int32),
            jnp.zeros((count, 1)),
            0.9,
            jnp.float32(0.5),
            jax.random.key(0),
        )
        odds[noise] = np.asarray(out.logits[:, 1] - out.logits[:, 0])
        picked[noise] = np.asarray(out.action).mean()
    for noise in odds:
        np.testing.assert_allclose(odds[noise], 1.02 * gain / 0.5, atol=1e-4)
    assert picked[0.0] == (1.0 if gain else 0.0)
    # of an even pair a half, of log odds 1.836 .86
    assert abs(picked[1.0] - 1 / (1 + np.exp(-1.02 * gain / 0.5))) < 0.04


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"simulations": 0}, "simulations: got 0; allowed: at least 1"),
        ({"depth": 0}, "depth: got 0; allowed: at least 1"),
        ({"temperature": 0.0}, r"temperature: got 0\.0; allowed: more than 0"),
        ({"noise": -1.0}, r"noise: got -1\.0; allowed: at least 0"),
    ],
)
def test_impossible_searches_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        action_selection.Search(**fields)
