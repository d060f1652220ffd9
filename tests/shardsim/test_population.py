"""Seeds of a device learn in blocks: how many at a time, and the same numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim import (
    acting,
    agent,
    encoders,
    learning,
    losses,
    optimize,
    population,
    rollout,
    train,
    value,
)
from shardsim.hyper import Hyper
from shardsim_envs import ContextFruits

ENV = ContextFruits(size=3, max_steps=12, cue_probability=0.0)
ADAM = optimize.OptimizerConfig(learning_rate=3e-3)
RECIPE = population.Recipe(
    agent.AgentConfig(encoder=encoders.MLPEncoder(widths=(8,)), decoder_width=8),
    ADAM,
    ENV,
    8,
)
WIDTH = 8


def setting(heads, **changes):
    plain = train.Setting(
        env=ENV,
        heads=tuple(heads),
        acting=acting.Prior(),
        learn=learning.PPO(),
        walker=rollout.Walker(),
        optimizer=ADAM,
        table=losses.LossTable(
            policy=losses.Moves(encoder=1.0, decoder=1.0),
            value=losses.Moves(encoder=1.0, value=1.0),
        ),
        data="agent",
        num_envs=8,
        num_steps=8,
        epochs=1,
        minibatches=1,
        pool_size=16,
        discount=0.9,
        total_updates=100,
        mask_fraction=0.25,
        precision="float32",
    )
    return plain._replace(**changes)


def hyper(seeds):
    names = ("learning_rate", "td_lambda", "temperature", "entropy", "load_balance")
    rows = zip(names, (3e-3, 0.9, 0.01, 0.0, 0.0), strict=True)
    return Hyper(**{k: jnp.full((seeds,), v, jnp.float32) for k, v in rows})


def fresh(head, seeds):
    keys = population.seed_keys(0, seeds)
    return population.init(RECIPE, head, WIDTH, ENV.params(), keys, hyper(seeds))


def run(static, carry, updates):
    source = train.Source(ENV.params())
    copied = jax.tree.map(jnp.copy, carry)
    return population.chunk(static, copied, source, jnp.int32(updates))


def test_seeds_learn_in_blocks_that_divide_them():
    """2048 samples a block on CPUs; elsewhere all together."""
    small = setting([value.MLP()], num_envs=8, num_steps=32, minibatches=1)
    sizes = [population.block(small, n, "cpu") for n in (1, 4, 6, 11, 16)]
    assert sizes == [1, 4, 6, 11, 8]
    assert population.block(small, 16, "gpu") == 16
    large = small._replace(num_envs=64, num_steps=128)
    assert population.block(large, 16, "cpu") == 1
    assert population.block(large._replace(minibatches=16), 16, "cpu") == 4


@pytest.mark.parametrize("heads", [(value.MLP(),), (value.MLP(), value.Sharded())])
@pytest.mark.slow
def test_seeds_learn_the_same_in_blocks(heads, monkeypatch):
    keys = population.seed_keys(0, 4)
    carry = fresh(value.MLP(), 4)
    if len(heads) > 1:
        made = population.heads(RECIPE, heads, (WIDTH, WIDTH), keys)
        carry = population.graft(carry, made, (hyper(4), hyper(4)))
    found = []
    for samples in (1, 128, 1024):
        monkeypatch.setattr(population, "CACHED", samples)
        # a static setting of its own, else the first program would serve all
        static = setting(heads, total_updates=100 + samples)
        assert population.block(static, 4, "cpu") == max(1, min(4, samples // 64))
        found.append(run(static, carry, 3))
    whole, counted = found[-1]
    for after, metrics in found[:-1]:
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
            (nnx.state(after.learners[-1].agent), metrics),
            (nnx.state(whole.learners[-1].agent), counted),
        )
        assert after.failed.shape == whole.failed.shape
