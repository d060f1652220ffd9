"""Heads without gates learn from the losses and labels of those with gates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import value
from shardsim.algorithms import losses
from shardsim.training import arms
from shardsim_envs import ContextFruits
from tests.helpers.gradients import check_grads

PER_SOURCE = value.Ungated(labels=value.Labels())
ENSEMBLE = value.Ungated(aggregation="mean", td_error="per_shard")


def output(values, gates=None):
    v = jnp.asarray(values)
    g = jnp.ones_like(v) if gates is None else jnp.asarray(gates)
    return value.ValueOutput(jnp.sum(g * v), v, g, g * v)


def test_the_loss_of_a_source_by_hand():
    """G = 1 of source 1: (0 - .5)^2 / 2 + (1 - .2)^2 / 2; without it (1 - .7)^2 / 2."""
    out = output([0.5, 0.2])
    labelled, unlabelled = (
        losses.source_loss(out, jnp.asarray(1.0), jnp.asarray(label))
        for label in (1, -1)
    )
    assert labelled == pytest.approx(0.5 * (0.25 + 0.64))
    assert unlabelled == pytest.approx(0.5 * 0.09, rel=1e-5)


def test_the_fixed_point_is_the_mean_return_of_each_source():
    """A quarter of the steps leads to source 0 with 1, the rest to source 1 with .4."""
    steps = [(1.0, 0), (0.4, 1), (0.4, 1), (0.4, 1)]

    def loss(v):
        each = [
            losses.source_loss(output(v), jnp.asarray(g), jnp.asarray(k))
            for g, k in steps
        ]
        return sum(each) / len(steps)

    gradient = jax.grad(loss)(jnp.array([0.25, 0.3]))
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


@pytest.mark.parametrize("label", [-1, 0, 1])
def test_gradients_of_the_loss_of_a_source(label):
    check_grads(
        lambda v: losses.source_loss(output(v), jnp.asarray(0.7), jnp.asarray(label)),
        (jnp.array([0.3, -0.2]),),
        order=1,
        modes=("rev",),
    )


def test_an_ensemble_has_the_loss_of_competing_shards_without_gates():
    """The mean of (G - v_k)^2 / 2: .5 * (.25 + .49) / 2."""
    out = output([0.5, 0.3], [0.5, 0.5])
    got = losses.value_loss(out, jnp.asarray(1.0), ENSEMBLE)
    assert got == pytest.approx(0.5 * (0.25 + 0.49) / 2)


def test_which_labels_a_head_reads():
    routed = value.Sharded(td_error="per_shard", routing=value.Routing())
    assert value.labels(PER_SOURCE) == value.source_parts(PER_SOURCE) == value.Labels()
    assert value.labels(routed) == value.routing(routed) == value.Routing()
    assert value.source_parts(routed) is None
    for plain in (value.MLP(), ENSEMBLE, value.Sharded()):
        assert value.labels(plain) is None


@pytest.mark.parametrize(
    "head", [PER_SOURCE, ENSEMBLE, value.MLP(), value.FiLM(), value.OracleGated()]
)
def test_only_an_untrained_control_has_a_random_read_out(head):
    """A head says 0 everywhere at first; its random read-out says another thing in
    every seed, and changes nothing but the last layer."""
    made = head.build(6, 2, 5, nnx.Rngs(0))
    features, context = jnp.arange(6.0), jnp.array([1.0, 0.0])
    assert made(features, context).value == 0.0
    one, other = (value.random_readout(made, jax.random.key(seed)) for seed in range(2))
    values = [float(x(features, context).value) for x in (one, other)]
    assert values[0] != values[1]
    assert 0.0 not in values
    assert made(features, context).value == 0.0  # the head itself is as it was
    np.testing.assert_array_equal(one.hidden.kernel[...], made.hidden.kernel[...])
    np.testing.assert_array_equal(one.bias[...], made.bias[...])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: arms.ArmConfig(head=value.MLP(), readout="random"),
            "readout: got 'random'; allowed for a trained arm",
        ),
        (
            lambda: value.Ungated(labels=value.Labels(), aggregation="mean"),
            "labels: got values with aggregation 'mean'",
        ),
        (
            lambda: value.Ungated(td_error="per_shard"),
            "td_error: got 'per_shard'; allowed with aggregation 'sum'",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_part_is_needed_for_every_source():
    few = arms.ArmConfig(head=value.Ungated(num_parts=1, labels=value.Labels()))
    (line,) = arms.env_faults({"a": few}, ContextFruits())
    assert line.startswith(
        "arms.a.head.num_parts: got 1; allowed with labels: at least"
    )
    late = value.Ungated(labels=value.Labels(oversight_context=7))
    (line,) = arms.env_faults({"a": arms.ArmConfig(head=late)}, ContextFruits())
    assert "labels.oversight_context: got 7; allowed: 0 to" in line
