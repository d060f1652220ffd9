"""Seeds of a device learn in blocks: how many at a time, and the same numbers."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import value
from shardsim.core import backends
from shardsim.training import population
from tests.helpers.small_training import RECIPE, WIDTH, fresh, hyper, run, setting


def test_seeds_learn_in_blocks_that_divide_them():
    """2048 samples a block on CPUs; elsewhere all together."""
    small = setting([value.MLP()], num_envs=8, num_steps=32, minibatches=1)
    sizes = [population.block(small, n) for n in (1, 4, 6, 11, 16)]
    assert sizes == [1, 4, 6, 11, 8]
    with backends.target("gpu"):
        assert population.block(small, 16) == 16
    large = small._replace(num_envs=64, num_steps=128)
    assert population.block(large, 16) == 1
    assert population.block(large._replace(minibatches=16), 16) == 4


@pytest.mark.parametrize("heads", [(value.MLP(),), (value.MLP(), value.Sharded())])
@pytest.mark.slow
def test_seeds_learn_the_same_in_blocks(heads, monkeypatch):
    keys = population.seed_keys(0, 4)
    carry = fresh(value.MLP(), 4)
    if len(heads) > 1:
        made = population.heads(RECIPE, heads, (WIDTH, WIDTH), keys)
        carry = population.with_fresh_heads(carry, made, (hyper(4), hyper(4)))
    found = []
    for samples in (1, 128, 1024):
        row = dataclasses.replace(backends.TABLE["cpu"], block_samples=samples)
        monkeypatch.setattr(backends, "TABLE", {**backends.TABLE, "cpu": row})
        # a static setting of its own, else the first program would serve all
        static = setting(heads, total_updates=100 + samples)
        assert population.block(static, 4) == max(1, min(4, samples // 64))
        found.append(run(static, carry, 3))
    whole, counted = found[-1]
    for after, metrics in found[:-1]:
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
            (nnx.state(after.learners[-1].agent), metrics),
            (nnx.state(whole.learners[-1].agent), counted),
        )
        assert after.failed.shape == whole.failed.shape
