"""Optimisers: steps worked out by hand, schedules, clipping."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.algorithms import optimizers


def test_learning_rates_go_down_as_planned():

    def rate(update, **plan):
        made = optimizers.OptimizerConfig(schedule=optimizers.Schedule(**plan))
        return float(optimizers.rate(made, jnp.float32(2.0), jnp.int32(update), 10))

    assert rate(7) == 2.0
    assert rate(0, kind="linear") == 2.0
    assert rate(5, kind="linear") == pytest.approx(1.0)
    assert rate(10, kind="linear", final=0.1) == pytest.approx(0.2)
    assert rate(5, kind="cosine") == pytest.approx(1.0)
    # rises over 4 updates: 1/5, 2/5, ... of the rate, then down over the other 6
    assert rate(0, kind="constant", warmup=4) == pytest.approx(0.4)
    assert rate(7, kind="linear", warmup=4) == pytest.approx(1.0)
    assert rate(4, kind="linear", warmup=4) == pytest.approx(2.0)
    assert rate(9, kind="constant", warmup=4) == 2.0
    assert rate(10, kind="cosine", final=0.25) == pytest.approx(0.5)
    # half way, half of the way from 1 to 1/4
    assert rate(5, kind="cosine", final=0.25) == pytest.approx(1.25)


class One(nnx.Module):
    """An encoder of one weight, 10."""

    def __init__(self, weight=10.0):
        self.encoder = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
        self.encoder.kernel[...] = jnp.full((1, 1), weight)


class Two(One):
    """A decoder of one weight beside it."""

    def __init__(self, weight=10.0, other=10.0):
        super().__init__(weight)
        self.decoder = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(1))
        self.decoder.kernel[...] = jnp.full((1, 1), other)


def fresh(made, agent, parts):
    return {part: optimizers.init_part(made, getattr(agent, part)) for part in parts}


def stepped(made, agent, slopes, state, moved=("encoder",), rate=1.0):
    """One step of some parts: the agent and its state after it, and how far each of
    its weights went down."""
    after, state = optimizers.apply(
        made,
        agent,
        optimizers.by_part(slopes),
        state,
        frozenset(moved),
        jnp.float32(rate),
    )
    gone = [
        float((getattr(agent, p).kernel[...] - getattr(after, p).kernel[...])[0, 0])
        for p in state
    ]
    return after, state, gone


def moves(rule, slopes, **config):
    """How far a weight of 10 goes down at each of some slopes, at rate 1/2."""
    made = optimizers.OptimizerConfig(
        update_rule=rule, **{"clip_norm": 100.0, **config}
    )
    agent, far = One(), []
    state = fresh(made, agent, ("encoder",))
    for slope in slopes:
        agent, state, gone = stepped(made, agent, One(slope), state, rate=0.5)
        far += gone
    return far


@pytest.mark.slow
def test_momentum_weight_decay_and_clipping_by_hand():
    """Slopes 3 and 1 with momentum 1/2: 3, then 1 + 3/2. Decay adds .1 of the weight
    of 10 to Adam's step of 1. A slope smaller than the clip is left as it is."""
    np.testing.assert_allclose(moves(optimizers.SGD(momentum=0.5), [3, 1]), [1.5, 1.25])
    np.testing.assert_allclose(moves(optimizers.SGD(), [3, 1]), [1.5, 0.5])
    decays = moves(optimizers.Adam(weight_decay=0.1), [3])
    np.testing.assert_allclose(decays, [0.5 * (1 + 0.1 * 10)], rtol=1e-4)
    for over in ("part", "agent"):
        clipped = moves(optimizers.SGD(), [8, 1], clip_norm=4.0, clip_scope=over)
        np.testing.assert_allclose(clipped, [2.0, 0.5], rtol=1e-5)


def test_a_part_that_is_frozen_takes_nothing_from_the_others_norm():
    """E has slope 3, D 4 and stays where it is: over the agent E's norm is 3."""

    made = optimizers.OptimizerConfig(
        clip_norm=3.0, clip_scope="agent", update_rule=optimizers.SGD()
    )
    agent = Two()
    state = fresh(made, agent, ("encoder", "decoder"))
    after, _, gone = stepped(made, agent, Two(3.0, 4.0), state)
    assert gone[0] == pytest.approx(3.0, rel=1e-5)
    np.testing.assert_array_equal(agent.decoder.kernel[...], after.decoder.kernel[...])


def test_optimisers_by_hand():
    """One step of each rule on a slope of 3 with rate 1: 1 (Adam), 3 (SGD), and
    3 / sqrt(.01 * 9) (RMSProp)."""
    wanted = {
        optimizers.Adam(): 1.0,
        optimizers.SGD(): 3.0,
        optimizers.RMSProp(): 10.0,
    }
    for rule, want in wanted.items():
        made = optimizers.OptimizerConfig(clip_norm=100.0, update_rule=rule)
        state = fresh(made, One(), ("encoder",))
        _, _, gone = stepped(made, One(), One(3.0), state)
        assert gone[0] == pytest.approx(want, rel=1e-4)


def test_clipping_over_the_agent_keeps_the_proportions():
    """Slopes 3 and 4 have norm 5: over the agent 1.5 and 2 are left of a norm of 2.5,
    by part 2.5 of each."""
    both = ("encoder", "decoder")
    for over, want in (("agent", (1.5, 2.0)), ("part", (2.5, 2.5))):
        made = optimizers.OptimizerConfig(
            clip_norm=2.5, clip_scope=over, update_rule=optimizers.SGD()
        )
        state = fresh(made, Two(), both)
        _, _, gone = stepped(made, Two(), Two(3.0, 4.0), state, both)
        np.testing.assert_allclose(gone, want, rtol=1e-5)
