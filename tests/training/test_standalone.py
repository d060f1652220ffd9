"""The loop: every arm gets the same, a chunk is a chunk, and V is learnt."""

import functools
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import value
from shardsim.algorithms import losses, metrics, rollout, update_step
from shardsim.core import dynamic_programming
from shardsim.training import population
from shardsim_envs import ContextFruits
from tests.helpers.small_training import (
    ENV,
    RECIPE,
    WIDTH,
    copied,
    fresh,
    hyper,
    run,
    setting,
)

HEADS = [option() for option in typing.get_args(value.Head)]


def same(a, b):
    def equal(x, y):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        return np.array_equal(x, y)

    return all(jax.tree.leaves(jax.tree.map(equal, a, b)))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
@pytest.mark.few(1)
def test_every_head_learns_the_exact_value(head):
    """A world with a known V: the return comes within 5 % of the optimum's."""
    carry, _ = run(setting([head]), fresh(head), 250)
    levels = jax.vmap(lambda k: ENV.generate(k, ENV.params()))(
        jax.random.split(jax.random.key(9), 40)
    )

    @functools.partial(jax.vmap, in_axes=(None, 0))
    def score(whole, level):
        table = dynamic_programming.tabulate(ENV, level, ENV.params())
        states = ENV.states(level)
        z = jax.vmap(whole.encoder)(jax.vmap(ENV.observe)(states))
        v = jax.vmap(whole.value)(z, jax.vmap(ENV.context)(states)).value
        chosen = jax.nn.softmax(dynamic_programming.q_values(table, v, 0.9) / 0.01)
        got = dynamic_programming.policy_value(table, chosen, 0.9, ENV.max_steps)
        best = dynamic_programming.optimal_value(table, 0.9, ENV.num_states)
        return jnp.stack([got[table.start], best[table.start]])

    agents = carry.learners[0].agent
    got, best = jax.jit(jax.vmap(score, in_axes=(0, None)))(agents, levels).mean(
        axis=(0, 1)
    )
    floor = 0.85 if isinstance(head, value.Linear) else 0.95
    assert got > floor * best


@pytest.mark.slow
def test_an_untrained_head_does_not_get_there():
    """The negative control of the test above: V = 0 acts like chance."""
    trajectory, _ = jax.jit(
        lambda c: update_step.collect_rollout(
            setting([value.MLP()]),
            c.learners[0],
            c.states,
            c.key,
            update_step.PhaseInputs(ENV.params()),
        )
    )(jax.tree.map(lambda x: x[0], fresh(value.MLP())))
    ended = trajectory.terminated | trajectory.truncated
    assert float(trajectory.reward.sum()) < 0.8 * int(ended.sum())


def test_heads_share_all_but_the_head():
    made = [fresh(head) for head in HEADS]
    for other in made[1:]:
        for part in ("encoder", "decoder", "auxiliary"):
            one = nnx.state(getattr(made[0].learners[0].agent, part))
            two = nnx.state(getattr(other.learners[0].agent, part))
            assert same(one, two)
        assert same(made[0].states, other.states)
        assert same(made[0].key, other.key)


@pytest.mark.slow
def test_a_grafted_head_is_the_one_that_init_makes():
    head = value.Sharded(num_shards=2)
    keys = population.seed_keys(0, 2)
    stem = fresh(value.MLP())
    made = population.heads(RECIPE, (head,), (WIDTH,), keys)
    grown = population.with_fresh_heads(stem, made, (hyper(),))
    assert same(grown, fresh(head))


@pytest.mark.slow
def test_while_v_is_zero_all_arms_act_alike():
    """The first trajectories are the same, bit for bit, under every head."""
    rewards = [
        run(setting([head]), fresh(head), 1)[1][0]["reward"]
        for head in (value.MLP(), value.Sharded(num_shards=2))
    ]
    assert np.array_equal(*rewards)


def test_chunks_add_up_bit_for_bit():
    static, carry = setting([value.MLP()]), fresh(value.MLP())
    whole, _ = run(static, carry, 5)
    first, _ = run(static, carry, 2)
    both, _ = run(static, first, 3)
    assert same(whole, both)
    assert int(whole.update[0]) == 5


@pytest.mark.slow
def test_one_program_serves_any_number_of_updates():
    static = setting([value.MLP()], num_steps=4)
    before = population.chunk.compiled._cache_size()
    for updates in (1, 2, 3):
        run(static, fresh(value.MLP()), updates)
    assert population.chunk.compiled._cache_size() == before + 1


@pytest.mark.slow
def test_paired_arms_learn_from_the_first_arm_s_data():
    heads = (value.MLP(), value.Sharded(num_shards=2))
    keys = population.seed_keys(0, 2)
    made = population.heads(RECIPE, heads, (WIDTH, WIDTH), keys)
    both = population.with_fresh_heads(fresh(value.MLP()), made, (hyper(), hyper()))
    paired, metrics = run(setting(heads), both, 3)
    alone, single = run(setting(heads[:1]), fresh(value.MLP()), 3)
    np.testing.assert_allclose(metrics[0]["reward"], single[0]["reward"])
    assert np.array_equal(metrics[0]["reward"], metrics[1]["reward"])
    kernels = [carry.learners[0].agent.value.kernel[...] for carry in (paired, alone)]
    np.testing.assert_allclose(*kernels, atol=1e-5)
    assert jnp.abs(paired.learners[1].agent.value.kernel[...]).max() > 0


def test_frozen_parts_stay_bit_for_bit():
    table = losses.LossWeights(value=losses.GradientScales(value=1.0))
    carry = fresh(value.MLP())
    after, _ = run(setting([value.MLP()], losses=table), carry, 3)
    old, new = carry.learners[0].agent, after.learners[0].agent
    for part in ("encoder", "decoder", "auxiliary"):
        assert same(nnx.state(getattr(old, part)), nnx.state(getattr(new, part)))
    assert not same(nnx.state(old.value), nnx.state(new.value))


def test_the_walker_knows_no_reward():
    """Its trajectories are the same whatever pays."""
    table = losses.LossWeights(action=losses.GradientScales(encoder=1.0, decoder=1.0))
    static = setting([value.MLP()], collect="random_walker", losses=table)
    carry = fresh(value.MLP())
    paid, _ = run(static, carry, 2)
    params = ENV.params()._replace(rewards=jnp.zeros((2, 2)))
    unpaid, _ = population.chunk(
        static, copied(carry), update_step.PhaseInputs(params), jnp.int32(2)
    )
    assert same(paid.learners, unpaid.learners)
    assert same(paid.states, unpaid.states)


@pytest.mark.parametrize(("probability", "arrives"), [(1.0, True), (0.0, False)])
@pytest.mark.slow
def test_a_walker_with_a_goal_gets_there_sooner(probability, arrives):
    env = ContextFruits(size=7)
    params = env.params()
    keys = jax.random.split(jax.random.key(4), 64)
    boards, states = jax.vmap(lambda k: env.reset(k, params))(keys)
    walker = rollout.RandomWalker(goal_probability=probability)
    plan = rollout.walker_plan(walker, env, states, jax.random.key(5))
    silent = jnp.zeros((64, env.num_actions))
    logits = rollout.walker_policy(env)(
        plan, jnp.int32(0), states, boards, silent, jax.random.key(6)
    ).logits
    blocked = (logits < -3.0).any(axis=1)
    assert bool(blocked.mean() > 0.5) == arrives


def test_a_loss_that_is_not_finite_is_noted_and_undone():
    carry = copied(fresh(value.MLP()))
    learner = carry.learners[0]
    learner.agent.value.bias[...] = learner.agent.value.bias[...].at[1].set(jnp.nan)
    after, _ = run(setting([value.MLP()]), carry, 2)
    assert after.failed[:, 0].tolist() == [-1, 0]
    old, new = carry.learners[0].agent, after.learners[0].agent
    assert np.array_equal(
        old.encoder.layers[0].kernel[1], new.encoder.layers[0].kernel[1]
    )
    assert not np.array_equal(
        old.encoder.layers[0].kernel[0], new.encoder.layers[0].kernel[0]
    )


def test_a_minibatch_is_some_steps_of_all_environments(monkeypatch):
    """8 steps of 8 environments in four parts; each epoch meets each of them once."""
    static = setting([value.MLP()], minibatches=4, epochs=3)
    carry = jax.tree.map(lambda leaf: leaf[0], fresh(value.MLP()))
    learner = carry.learners[0]
    _, trajectory = update_step.collect(
        static, carry, update_step.PhaseInputs(ENV.params())
    )
    numbers = jnp.arange(64.0).reshape(8, 8)

    def rewards(*args):
        reward = args[4][0].reward
        return args[3], metrics.Metrics(reward.reshape(-1), (("reward", 16),))

    monkeypatch.setattr(update_step, "_minibatch", rewards)
    monkeypatch.setattr(
        update_step.metrics, "means", lambda measured: {"reward": measured.values}
    )
    _, measured = update_step.update_arm(
        static,
        value.MLP(),
        learner,
        trajectory._replace(reward=numbers),
        carry.update,
        carry.key,
    )
    seen = np.asarray(measured["reward"]).reshape(3, 4, 2, 8)
    assert (np.sort(seen.reshape(3, 64)) == np.arange(64)).all()
    assert (seen % 8 == np.arange(8)).all()
    assert not (seen[0] == seen[1]).all()


@pytest.mark.slow
def test_each_minibatch_is_a_gradient_step():
    static = setting([value.MLP()], minibatches=4, epochs=1)
    after, measured = run(static, fresh(value.MLP()), 1)
    assert np.isfinite(measured[0]["loss"]).all()
    steps = after.learners[0].optimizer["value"][1].count
    assert steps.tolist() == [4, 4]
