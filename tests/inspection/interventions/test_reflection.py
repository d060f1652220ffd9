"""Self-reflection: a connection between shards is found, and only where it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import chain, value
from shardsim.inspection.interventions import graph, reflection
from shardsim.inspection.shards import clusters

N, D, WIDTH = 1200, 24, 6
TRAIN = np.arange(N) % 2 == 0
OWNERS = np.repeat(np.arange(2), WIDTH)
DRAWN = np.random.default_rng(0)
Z = jnp.asarray(DRAWN.normal(size=(N, D)), jnp.float32)
W = [jnp.asarray(DRAWN.normal(size=(WIDTH, D)), jnp.float32) for _ in range(2)]
READ = [jnp.asarray(DRAWN.normal(size=WIDTH), jnp.float32) for _ in range(2)]


def model(lateral):
    """Two shards; if lateral, the last hidden unit of shard 1 is the value of 0."""

    def hidden(seen):
        z = seen["input"]
        first, second = (jax.nn.relu(w @ z) for w in W)
        said = jnp.dot(READ[0], first)
        second = second.at[-1].set(jnp.where(lateral, said, second[-1]))
        return jnp.stack([first, second])

    def parts(seen):
        return jnp.stack(
            [jnp.dot(r, h) for r, h in zip(READ, seen["hidden"], strict=True)]
        )

    return graph.graph({"hidden": hidden, "parts": parts})


def channel():
    """The same with the connection as a stage of its own, so that it can be cut."""
    return graph.graph(
        {
            "first": lambda s: jax.nn.relu(W[0] @ s["input"]),
            "said": lambda s: jnp.dot(READ[0], s["first"]),
            "second": lambda s: jax.nn.relu(W[1] @ s["input"]).at[-1].set(s["said"]),
            "parts": lambda s: jnp.stack([s["said"], jnp.dot(READ[1], s["second"])]),
        }
    )


@functools.cache
def reflected(lateral):
    record = jax.vmap(model(lateral))(Z)
    hidden = record.sites["hidden"].reshape(N, -1)
    return reflection.fit(
        hidden, OWNERS, record.sites["parts"], Z, ~TRAIN, jax.random.key(0)
    )


def test_the_lateral_channel_is_found():
    result = reflected(True)
    # the value of shard 0 is among the units of shard 1
    assert result.r2[1, 0] > 0.999
    assert result.excess[1, 0] > 0.3
    assert result.excess[1, 0] > 5 * result.spread[1, 0]
    assert "shard 1 predicts another best, shard 0" in result.summary()


def test_independent_trunks_have_no_excess():
    result = reflected(False)
    # by the same rule that finds the channel
    other = ~np.eye(2, dtype=bool)
    assert (result.excess[other] < 3 * result.spread[other]).all()
    # every shard predicts itself
    assert result.r2.diagonal().min() > 0.999


def test_shuffled_targets_cannot_be_predicted():
    for lateral in (False, True):
        assert np.abs(reflected(lateral).shuffled).max() < 0.05


def test_a_probe_by_hand():
    # x = +-1, t = 2x: standardised x is itself, weight 2 / (1 + 1) = 1, so that half
    # of each target is left: R^2 = 1 - 1/4
    x = np.tile([1.0, -1.0], 4)[:, None]
    train = np.arange(8) < 4
    result = reflection.fit(
        x, np.array([0]), 2 * x, x, ~train, jax.random.key(0), penalty=1.0, draws=1
    )
    assert result.r2[0, 0] == pytest.approx(0.75)
    assert result.summary() == "self-reflection: a single shard has no other to predict"


def test_r2_uses_the_variance_of_the_held_out_targets():
    # as above with held-out targets 1 higher: the error x + 1 is 2 or 0, variance 4
    x = np.tile([1.0, -1.0], 4)[:, None]
    train = np.arange(8) < 4
    result = reflection.fit(
        x,
        np.array([0]),
        2 * x + ~train[:, None],
        x,
        ~train,
        jax.random.key(0),
        penalty=1.0,
        draws=1,
    )
    assert result.r2[0, 0] == pytest.approx(0.5)


def test_shards_as_wide_as_the_features_show_no_excess():
    """Then all random linear shards predict alike, with a deviation of 0."""
    rng = np.random.default_rng(9)
    z = rng.normal(size=(N, 8))
    hidden = [np.maximum(z @ rng.normal(size=(8, 16)), 0) for _ in range(3)]
    said = np.stack([h @ rng.normal(size=16) for h in hidden], axis=1)
    said[:, 2] = z[:, 0]
    result = reflection.fit(
        np.concatenate(hidden, 1), np.repeat(np.arange(3), 16), said, z, ~TRAIN,
        jax.random.key(0),
    )  # fmt: skip
    assert result.spread.min() > 1e-6
    assert (result.excess[~np.eye(3, dtype=bool)] < 3 * result.spread.max()).all()


def test_scale_and_shift_of_units_and_targets_change_nothing():
    record = jax.vmap(model(True))(Z)
    hidden = record.sites["hidden"].reshape(N, -1)
    moved = reflection.fit(
        100 * hidden + 7,
        OWNERS,
        3 - 0.01 * record.sites["parts"],
        5 * Z,
        ~TRAIN,
        jax.random.key(0),
    )
    np.testing.assert_allclose(moved.r2, reflected(True).r2, atol=1e-3)
    np.testing.assert_allclose(moved.control, reflected(True).control, atol=1e-3)


def test_constant_and_empty_shards():
    record = jax.vmap(model(False))(Z)
    hidden = record.sites["hidden"].reshape(N, -1)
    targets = jnp.concatenate([record.sites["parts"], jnp.full((N, 1), 0.3)], axis=1)
    result = reflection.fit(hidden, OWNERS, targets, Z, ~TRAIN, jax.random.key(0))
    # a constant target has R^2 0, and a shard without units predicts nothing
    assert (result.r2[:, 2] == 0).all()
    assert (result.control[:, 2] == 0).all()
    assert np.abs(result.r2[2]).max() < 0.02
    # fewer samples than units
    few = np.arange(N) < 4
    assert np.isfinite(
        reflection.fit(hidden, OWNERS, targets, Z, ~few, jax.random.key(0)).r2
    ).all()


@pytest.mark.slow
def test_influence_follows_the_channel(key):
    run = channel()
    # the hidden units of the two shards are at different sites: replace each
    for site, expected in (("first", [True, True]), ("second", [False, True])):
        result = reflection.influence(
            run, Z[:50], site, np.zeros(WIDTH, int), lambda r: r.sites["parts"][:1], key
        )
        assert (result.effect[0, 0] > 0.5) == expected[0]
    cut = reflection.influence(
        run, Z[:50], "said", np.asarray(0), lambda r: r.sites["parts"][1:], key
    )
    assert cut.effect[0, 0] > 0.3


def sharded(kind):
    head = kind.build(D, 1, 8, nnx.Rngs(0))
    head.kernel[...] = jax.random.normal(jax.random.key(1), head.kernel.shape)

    def hidden(seen):
        return chain.run(head.stages(), seen["input"])

    def out(seen):
        from shardsim.agents.value import base

        gates = head.gates(seen["input"], jnp.ones(1))
        made = base.assemble(
            seen["value.hidden"], head.kernel[...], head.bias[...], gates
        )
        return jnp.concatenate([made.shard_values, made.units])

    return head, graph.graph({"value.hidden": hidden, "all": out})


@pytest.mark.slow
def test_built_in_shards_do_not_influence_each_other(key):
    head, run = sharded(value.Sharded(num_shards=3))
    owners = reflection.hidden_unit_shard(head.unit_shard, 3)
    assert owners.shape == (3, 8)
    assert (owners == jnp.arange(3)[:, None]).all()
    result = reflection.influence(
        run, Z[:50], "value.hidden", owners, lambda r: r.sites["all"][:3], key
    )
    effect = np.asarray(result.effect)
    # rms of a difference of two samples over the deviation is about sqrt(2)
    np.testing.assert_allclose(effect.diagonal(), np.sqrt(2), rtol=0.3)
    assert (effect[~np.eye(3, dtype=bool)] == 0).all()
    assert result.changed.all()
    assert "by 0 of its standard deviation" in result.summary()


@pytest.mark.slow
def test_a_monolith_is_split_by_clusters(key):
    _, run = sharded(value.MLP())
    units = jax.vmap(run)(Z[:200]).sites["all"][:, 1:]
    split = clusters.fit(units, 2, key)
    owners = reflection.hidden_unit_shard(split.unit_cluster, 1)
    assert owners.shape == (1, 8)

    def read(record):
        return reflection.cluster_contributions(split.unit_cluster, 2)(
            graph.Record({"value.units": record.sites["all"][1:]}, {}, {})
        )

    said = jax.vmap(lambda z: read(run(z)))(Z[:200])
    np.testing.assert_allclose(said.sum(axis=1), units.sum(axis=1), atol=1e-4)
    result = reflection.influence(run, Z[:50], "value.hidden", owners, read, key)
    assert result.effect[0, 1] == result.effect[1, 0] == 0
    assert result.effect.diagonal().min() > 0.5


def test_influence_of_a_missing_shard_warns(key):
    run = channel()
    with pytest.warns(UserWarning, match="first of shard 1: its patch changed nothing"):
        reflection.influence(
            run, Z[:5], "first", np.zeros(WIDTH, int), lambda r: r.sites["parts"], key
        )


def fit(**other):
    good = {
        "hidden": jnp.ones((6, 2)),
        "hidden_shard": jnp.array([0, 1]),
        "targets": jnp.ones((6, 2)),
        "features": jnp.ones((6, 3)),
        "held_out": jnp.arange(6) >= 3,
        "key": jax.random.key(0),
    }
    return reflection.fit(**{**good, **other})


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: fit(hidden=jnp.ones(6)), r"hidden: got shape \(6,\)"),
        (
            lambda: fit(hidden_shard=jnp.zeros(3, int)),
            r"hidden_shard: got shape \(3,\); allowed: \(2\)",
        ),
        (
            lambda: fit(hidden_shard=jnp.array([0, 2])),
            "hidden_shard: got 2; allowed: 0 to 1",
        ),
        (lambda: fit(targets=jnp.ones((5, 2))), r"targets: got shape \(5, 2\)"),
        (lambda: fit(features=jnp.ones((5, 2))), r"features: got shape \(5, 2\)"),
        (lambda: fit(held_out=jnp.ones(5) > 0), r"held_out: got shape \(5,\)"),
        (lambda: fit(held_out=jnp.ones(6)), "held_out: got float32; allowed: booleans"),
        (lambda: fit(held_out=jnp.ones(6) < 0), "samples held out: got 0"),
        (lambda: fit(held_out=jnp.ones(6) > 0), "samples to train on: got 0"),
        (lambda: fit(hidden=jnp.full((6, 2), jnp.nan)), "hidden: got 12 numbers"),
        (lambda: fit(targets=jnp.full((6, 2), jnp.nan)), "targets: got 12 numbers"),
        (lambda: fit(penalty=0.0), r"penalty: got 0.0; allowed: above 0"),
        (lambda: fit(draws=0), "draws: got 0"),
        (
            lambda: reflection.hidden_unit_shard(jnp.zeros(5, int), 2),
            "rows: got 2; allowed: a divisor of 5 units",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
