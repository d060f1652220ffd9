"""What is summed, and what a trajectory teaches: each loss read off apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim import algorithms
from shardsim.agents import agent as agents
from shardsim.agents import encoders, value
from shardsim.algorithms import losses, objective, targets
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core.types import Trajectory
from shardsim_envs import ContextFruits
from tests.helpers.agents import FunctionAgent

ENV = ContextFruits(size=3)
CONFIG = agents.AgentConfig(
    encoder=encoders.MLPEncoder(widths=(4,)), decoder_hidden=(4,), auxiliary_width=4
)
N = 3
HYPER = Hyperparameters(*(jnp.float32(x) for x in (1e-3, 0.5, 0.01, 0.25, 0.75)))
HEAD = value.Sharded(num_shards=2)
PASS = losses.GradientScales(encoder=1.0, value=1.0)


def shaken(tree, seed):
    leaves, structure = jax.tree.flatten(tree)
    rng = np.random.default_rng(seed)
    moved = [x + jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype) for x in leaves]
    return jax.tree.unflatten(structure, moved)


@pytest.fixture(scope="module")
def agent():
    made = agents.build(CONFIG, HEAD, 3, ENV, jax.random.key(1), losses.OBJECTIVES)
    return shaken(made, 0)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    shape = (N, *ENV.observation_shape)
    zero, no = jnp.zeros(N), jnp.zeros(N, bool)
    before, after = (jnp.asarray(rng.integers(0, 2, shape), jnp.uint8) for _ in "ab")
    context = jnp.ones((N, ENV.num_contexts))
    logits = jax.nn.log_softmax(jnp.asarray(rng.normal(size=(N, 4)), jnp.float32))
    return Trajectory(
        before,
        context,
        jnp.asarray([0, 3, 2]),
        zero,
        no,
        no,
        after,
        context,
        jnp.zeros((N, 2)),
        logits,
    )


def lesson(*labels):
    return algorithms.Targets(
        jnp.linspace(-1.0, 2.0, N), jnp.full(N, 0.1), jnp.asarray(labels, jnp.int32)
    )


def found(agent, batch, head=HEAD, learn=None, balanced=False, hidden=0.5, **rows):
    rule = algorithms.TD() if learn is None else learn
    terms = objective.Terms(
        losses.LossWeights(**rows), rule, head, balanced, hidden, "float32"
    )
    labels = lesson(0, 1, -1)
    return objective.loss(terms, HYPER, agent, batch, labels, jax.random.key(2))


def named(logits, action):
    return -np.asarray(jax.nn.log_softmax(logits))[np.arange(N), np.asarray(action)]


def bernoulli(logits, seen):
    seen = np.asarray(seen, np.float32)
    return np.mean(np.logaddexp(0.0, logits) - np.asarray(logits) * seen)


SELF = losses.GradientScales(encoder=1.0, auxiliary=1.0)


def test_the_inverse_is_told_from_before_and_after(agent, batch):
    one, two = (
        jax.vmap(agent.encoder)(x) for x in (batch.observation, batch.next_observation)
    )
    want = named(jax.vmap(agent.auxiliary.inverse)(one, two), batch.action).mean()
    total, noted = found(agent, batch, inverse=SELF)
    assert noted["inverse_loss"] == pytest.approx(want, rel=1e-5)
    assert total == noted["inverse_loss"] == noted["loss"]


def test_what_is_foretold_is_what_comes_next(agent, batch):
    features = jax.vmap(agent.encoder)(batch.observation)
    said = jax.vmap(agent.auxiliary.observation)(features, batch.action)
    want = bernoulli(said, batch.next_observation)
    total, _ = found(agent, batch, observation=SELF)
    assert total == pytest.approx(want, rel=1e-5)


def test_e_does_not_see_what_is_masked(agent, batch):
    """All is hidden: what is said of every board is what is said of an empty one."""
    blank = agent.auxiliary.masked(agent.encoder(jnp.zeros_like(batch.observation[0])))
    want = bernoulli(jnp.stack([blank] * N), batch.observation)
    total, _ = found(agent, batch, hidden=1.0, masked=SELF)
    assert total == pytest.approx(want, rel=1e-5)


def test_uneven_gates_cost_what_the_seed_says(agent, batch):
    plain, noted = found(agent, batch, value=PASS)
    total, _ = found(agent, batch, balanced=True, value=PASS)
    features = jax.vmap(agent.encoder)(batch.observation)
    gates = jax.vmap(agent.value)(features, batch.context).gates
    assert plain == noted["value_loss"]
    cost = losses.balance_cost(gates)
    assert float(total - plain) == pytest.approx(0.75 * float(cost), rel=1e-4)


@pytest.mark.slow
def test_gates_learn_labels_from_the_cost_of_naming_them_alone(agent, batch):
    """V's error passes by the gates where labels are known."""

    def slope(weight):
        head = value.Sharded(
            num_shards=2,
            td_error="per_shard",
            routing=value.Routing(gate_weight=weight),
        )
        rows = {"value": losses.GradientScales(value=1.0)}
        terms = objective.Terms(
            losses.LossWeights(**rows), algorithms.TD(), head, False, 0.5, "float32"
        )

        def f(agent):
            out = objective.loss(
                terms, HYPER, agent, batch, lesson(0, 1, 1), jax.random.key(2)
            )
            return out[0]

        total, slopes = jax.value_and_grad(f)(agent)
        return total, slopes.value.gate.kernel[...]

    (some, little), (total, moved) = slope(0.5), slope(2.0)
    assert jnp.abs(little).max() > 0
    np.testing.assert_allclose(moved, 4 * little, rtol=1e-4, atol=1e-7)
    features = jax.vmap(agent.encoder)(batch.observation)
    gates = np.asarray(jax.vmap(agent.value)(features, batch.context).gates)
    share = gates[np.arange(N), [0, 1, 1]] / gates.sum(axis=1)
    want = -1.5 * np.log(share).mean()
    assert float(total - some) == pytest.approx(want, rel=1e-4)


def test_a_rule_is_given_advantages_and_the_old_policy(agent, batch):
    """PPO's own sum: normalised G - V_old, ratios to the stored policy, entropy."""
    rule = algorithms.PPO(clip=10.0)
    rows = {"policy": losses.GradientScales(encoder=1.0, decoder=1.0)}
    total, noted = found(agent, batch, learn=rule, **rows)
    log_d = np.asarray(
        jax.vmap(lambda x: jax.nn.log_softmax(agent.decoder(agent.encoder(x))))(
            batch.observation
        )
    )
    own = (np.arange(N), np.asarray(batch.action))
    ratio = np.exp(log_d[own] - np.asarray(batch.logits)[own])
    gain = np.linspace(-1.0, 2.0, N) - 0.1
    gain = (gain - gain.mean()) / gain.std()
    entropy = -np.sum(np.exp(log_d) * log_d, axis=1).mean()
    assert noted["policy_loss"] == pytest.approx(-np.mean(ratio * gain), rel=1e-4)
    want = -np.mean(ratio * gain) - 0.25 * entropy
    assert total == pytest.approx(want, rel=1e-4)


def reads() -> FunctionAgent:
    """An agent whose V is the number that it observes."""

    def v(features, context):
        one = jnp.ones((1,))
        return value.ValueOutput(features[0], features, one, one)

    return FunctionAgent(lambda observation: observation, None, v)


def test_targets_and_values_by_hand():
    """gamma and lambda 1/2; the second environment is cut after its first step.

    G_1 = 2 + 4 / 2 = 4, G_0 = 1 + (8 / 2 + 4 / 2) / 2 = 4; and 0 + 6 / 2 = 3, cut."""
    steps = jnp.asarray([[1.0, 0.0], [2.0, 1.0]])
    no = jnp.zeros((2, 2), bool)
    told = Trajectory(
        jnp.asarray([[[5.0], [7.0]], [[9.0], [3.0]]]),
        steps,
        steps,
        steps,
        no.at[1, 1].set(True),
        no.at[0, 1].set(True),
        jnp.asarray([[[8.0], [6.0]], [[4.0], [100.0]]]),
        steps,
        steps[..., None],
        steps,
    )
    key = jax.random.key(0)
    wanted = targets.RequiredTargets(True, True, None)
    got = targets.compute_targets(wanted, reads(), told, 0.5, HYPER, key)
    np.testing.assert_allclose(got.target, [[4.0, 3.0], [4.0, 1.0]])
    np.testing.assert_allclose(got.value, [[5.0, 7.0], [9.0, 3.0]])
    assert (got.label == targets.UNKNOWN).all()
    none = targets.compute_targets(
        targets.RequiredTargets(False, False, None), reads(), told, 0.5, HYPER, key
    )
    assert not none.target.any()
    assert not none.value.any()


@pytest.mark.slow
def test_labels_do_not_cross_a_cut_and_are_told_in_part():
    """A time limit parts episodes as an end does; half the events come with labels,
    and all steps that lead to one have the same."""
    ends = jnp.zeros((4, 1), bool)
    rewards = jnp.zeros((4, 1, 2)).at[3, 0, 1].set(1.0)
    no = jnp.zeros((4, 1))
    told = Trajectory(
        no, no, no, no, ends, ends.at[1, 0].set(True), no, no[..., None], rewards, no
    )
    got = targets.labels(value.Routing(), told, jax.random.key(0))
    assert got[:, 0].tolist() == [-1, -1, 1, 1]
    many = jax.tree.map(lambda x: jnp.repeat(x, 400, axis=1), told)
    some = targets.labels(value.Routing(label_fraction=0.25), many, jax.random.key(1))
    assert 0.15 < float((some[3] == 1).mean()) < 0.35
    np.testing.assert_array_equal(some[2], some[3])


def test_reinforce_pays_for_entropy():
    """An even policy has log 2 nats, which count against the loss."""
    seen = algorithms.PolicyBatch(
        jnp.asarray([0]), jnp.zeros((1, 2)), jnp.zeros(1), jnp.zeros(1)
    )
    got, noted = algorithms.Reinforce().policy_loss(HYPER, jnp.zeros((1, 2)), seen)
    assert got == pytest.approx(-0.25 * np.log(2), rel=1e-5)
    assert noted["entropy"] == pytest.approx(np.log(2), rel=1e-5)
