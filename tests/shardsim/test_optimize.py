"""Optimisers: steps worked out by hand, schedules, clipping."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim import optimize


def test_learning_rates_go_down_as_planned():

    def rate(update, **plan):
        made = optimize.OptimizerConfig(schedule=optimize.Schedule(**plan))
        return float(optimize.rate(made, jnp.float32(2.0), jnp.int32(update), 10))

    assert rate(7) == 2.0
    assert rate(0, kind="linear") == 2.0
    assert rate(5, kind="linear") == pytest.approx(1.0)
    assert rate(10, kind="linear", final=0.1) == pytest.approx(0.2)
    assert rate(5, kind="cosine") == pytest.approx(1.0)
    # rises over 4 updates: 1/5, 2/5, ... of the rate, then down over the other 6
    assert rate(0, kind="constant", warmup=4) == pytest.approx(0.4)
    assert rate(7, kind="linear", warmup=4) == pytest.approx(1.0)


def test_optimisers_by_hand():
    """One step of each rule on a slope of 3 with rate 1: 1 (Adam), 3 (SGD), and
    3 / sqrt(.01 * 9) (RMSProp)."""

    from shardsim import optimize

    class One(nnx.Module):
        def __init__(self):
            self.encoder = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))

    wanted = {
        optimize.Adam(): 1.0,
        optimize.SGD(): 3.0,
        optimize.RMSProp(): 10.0,
    }
    for rule, want in wanted.items():
        made = optimize.OptimizerConfig(clip_norm=100.0, rule=rule)
        agent = One()
        slopes = nnx.merge(*nnx.split(agent))
        slopes.encoder.kernel[...] = jnp.full((1, 1), 3.0)
        state = {"encoder": optimize.init_part(made, agent.encoder)}
        after, _ = optimize.apply(
            made, agent, slopes, state, frozenset({"encoder"}), jnp.float32(1.0)
        )
        moved = agent.encoder.kernel[...] - after.encoder.kernel[...]
        assert float(moved[0, 0]) == pytest.approx(want, rel=1e-4)


def test_clipping_over_the_agent_keeps_the_proportions():
    """Slopes 3 and 4 have norm 5: over the agent 1.5 and 2 are left of a norm of 2.5,
    by part 2.5 of each."""

    from shardsim import optimize

    class Two(nnx.Module):
        def __init__(self):
            self.encoder = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
            self.decoder = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(1))

    for over, want in (("agent", (1.5, 2.0)), ("part", (2.5, 2.5))):
        made = optimize.OptimizerConfig(
            clip_norm=2.5, clip_over=over, rule=optimize.SGD()
        )
        agent = Two()
        slopes = nnx.merge(*nnx.split(agent))
        slopes.encoder.kernel[...] = jnp.full((1, 1), 3.0)
        slopes.decoder.kernel[...] = jnp.full((1, 1), 4.0)
        state = {
            p: optimize.init_part(made, getattr(agent, p))
            for p in ("encoder", "decoder")
        }
        after, _ = optimize.apply(
            made, agent, slopes, state, frozenset(state), jnp.float32(1.0)
        )
        moved = [
            float((getattr(agent, p).kernel[...] - getattr(after, p).kernel[...])[0, 0])
            for p in ("encoder", "decoder")
        ]
        np.testing.assert_allclose(moved, want, rtol=1e-5)
