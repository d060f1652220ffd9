"""Losses: hand-worked numbers, gradients, and the table that routes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim import algorithms
from shardsim.agents import agent as agents
from shardsim.agents import encoders, value
from shardsim.algorithms import losses, objective
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core.types import Trajectory
from shardsim_envs import ContextFruits
from tests.helpers.gradients import check_grads

ENV = ContextFruits(size=3)
CONFIG = agents.AgentConfig(
    encoder=encoders.MLPEncoder(widths=(8,)), decoder_hidden=(6,), auxiliary_width=6
)
HEAD = value.Sharded(num_shards=2)
N = 4


@pytest.fixture(scope="module")
def agent():
    made = agents.build(CONFIG, HEAD, 5, ENV, jax.random.key(1), losses.OBJECTIVES)
    graphdef, state = nnx.split(made)
    leaves, tree = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    leaves = [
        x + 0.3 * jax.random.normal(k, x.shape)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return nnx.merge(graphdef, jax.tree.unflatten(tree, leaves))


@pytest.fixture(scope="module")
def batch():
    keys = jax.random.split(jax.random.key(3), N)
    seen, states = jax.vmap(lambda k: ENV.reset(k, ENV.params()))(keys)
    context = jax.vmap(ENV.context)(states)
    false = jnp.zeros(N, bool)
    zero = jnp.zeros(N)
    action = jnp.arange(N) % 4
    logits = jax.nn.log_softmax(jax.random.normal(jax.random.key(4), (N, 4)))
    return Trajectory(
        seen,
        context,
        action,
        zero,
        false,
        false,
        jnp.flip(seen, axis=0),
        context,
        jnp.zeros((N, 2)),
        logits,
    )


HYPER = Hyperparameters(*(jnp.float32(x) for x in (1e-3, 0.9, 0.01, 0.1, 0.5)))
LESSON = algorithms.Targets(
    jnp.linspace(-1.0, 1.0, N), jnp.full(N, 0.1), jnp.full(N, -1, jnp.int32)
)


def total(table, agent, batch, learn=algorithms.PPO(), head=HEAD, lesson=LESSON):  # noqa: B008
    terms = objective.Terms(table, learn, head, True, 0.5, "float32")
    return objective.loss(terms, HYPER, agent, batch, lesson, jax.random.key(5))


def gradients(agent, batch, table, **changes):
    slope = jax.grad(lambda a: total(table, a, batch, **changes)[0])
    return slope(agent)


def flat(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def test_action_loss_by_hand():
    logits = jnp.log(jnp.array([1.0, 3.0]))
    got = losses.action_loss(logits, jnp.int32(0))
    assert got == pytest.approx(np.log(4), rel=1e-6)


def test_observation_loss_by_hand():
    logits = jnp.array([[[0.0, np.log(3.0)]]])
    seen = jnp.array([[[1, 0]]], jnp.uint8)
    # -log(1/2) and -log(1/4), mean
    got = losses.observation_loss(logits, seen)
    assert got == pytest.approx((np.log(2) + np.log(4)) / 2, rel=1e-6)


def output(parts, gates):
    parts, gates = jnp.array(parts), jnp.array(gates)
    return value.ValueOutput(jnp.sum(parts * gates), parts, gates, parts * gates)


def test_value_losses_by_hand():
    out = output([2.0, 4.0], [0.25, 0.75])  # V = 3.5
    joint = losses.value_loss(out, jnp.float32(1.0), value.Sharded())
    assert joint == pytest.approx(0.5 * 2.5**2)
    each = losses.value_loss(out, jnp.float32(1.0), value.Sharded(td_error="per_shard"))
    assert each == pytest.approx(0.5 * (0.25 * 1 + 0.75 * 9))


def test_both_value_losses_are_the_same_for_one_shard():
    out = output([2.0], [1.0])
    target = jnp.float32(0.5)
    joint = losses.value_loss(out, target, value.Sharded(num_shards=1))
    each = losses.value_loss(
        out, target, value.Sharded(num_shards=1, td_error="per_shard")
    )
    assert joint == each


def test_balance_cost_by_hand():
    even = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    one_sided = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    assert losses.balance_cost(even) == pytest.approx(0.0)
    assert losses.balance_cost(one_sided) == pytest.approx(2 * 1 - 1)


OWN = {
    "action": "decoder",
    "observation": "auxiliary",
    "inverse": "auxiliary",
    "masked": "auxiliary",
    "policy": "decoder",
    "value": "value",
}
RULES = [algorithms.PPO(), algorithms.Reinforce(), algorithms.ExpertIteration()]


@pytest.mark.parametrize(
    ("row", "learn"),
    [(row, algorithms.PPO()) for row in OWN]
    + [("policy", rule) for rule in RULES[1:]]
    + [("value", algorithms.TD())],
    ids=lambda x: x if isinstance(x, str) else x.kind,
)
@pytest.mark.slow
def test_every_loss_has_the_slope_it_says(agent, batch, row, learn):
    moves = losses.GradientScales(encoder=1.0, **{OWN[row]: 1.0})
    table = losses.LossWeights(**{row: moves})
    graphdef, state = nnx.split(agent)

    def f(state):
        return total(table, nnx.merge(graphdef, state), batch, learn)[0]

    check_grads(f, (state,), order=1, modes=["rev"], rtol=0.03, atol=0.03)


@pytest.mark.slow
def test_the_table_scales_each_gradient_exactly(agent, batch):
    one = losses.LossWeights(value=losses.GradientScales(encoder=1.0, value=1.0))
    other = losses.LossWeights(value=losses.GradientScales(encoder=0.25, value=3.0))
    a, b = gradients(agent, batch, one), gradients(agent, batch, other)
    np.testing.assert_allclose(0.25 * flat(a.encoder), flat(b.encoder), rtol=1e-4)
    np.testing.assert_allclose(3.0 * flat(a.value), flat(b.value), rtol=1e-4)


def test_zero_stops_a_loss_at_a_part_and_nowhere_else(agent, batch):
    table = losses.LossWeights(
        action=losses.GradientScales(encoder=0.0, decoder=1.0),
        value=losses.GradientScales(encoder=1.0, value=0.0),
    )
    slopes = gradients(agent, batch, table)
    assert jnp.abs(flat(slopes.decoder)).max() > 0
    assert jnp.abs(flat(slopes.encoder)).max() > 0
    assert jnp.abs(flat(slopes.value)).max() == 0
    assert jnp.abs(flat(slopes.auxiliary)).max() == 0


def test_rows_add_up_in_the_encoder(agent, batch):
    action = losses.LossWeights(action=losses.GradientScales(encoder=0.5, decoder=1.0))
    critic = losses.LossWeights(value=losses.GradientScales(encoder=2.0, value=1.0))
    both = losses.LossWeights(action=action.action, value=critic.value)
    parts = [flat(gradients(agent, batch, t).encoder) for t in (action, critic, both)]
    np.testing.assert_allclose(parts[0] + parts[1], parts[2], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.GradientScales(encoder=-1.0), "encoder: got -1.0"),
        (lambda: losses.GradientScales(value=float("nan")), "value: got nan"),
        (lambda: losses.GradientScales(value=float("inf")), "value: got inf"),
        (
            lambda: losses.LossWeights(action=losses.GradientScales(value=1.0)),
            "action.value: got 1.0",
        ),
        (
            lambda: losses.LossWeights(value=losses.GradientScales(decoder=1.0)),
            "value.decoder: got 1.0",
        ),
    ],
)
def test_impossible_tables_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
