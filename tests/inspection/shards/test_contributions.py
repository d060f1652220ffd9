"""Contributions add up, dead and twin shards are found, and shards are matched."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import nnx

from shardsim.agents import value
from shardsim.inspection.shards import contributions

HEADS = [
    value.MLP(),
    value.Sharded(num_shards=3),
    value.Sharded(num_shards=3, gate="sigmoid"),
    value.Sharded(num_shards=3, gate="top_k", top_k=2, aggregation="convex"),
    value.Sharded(num_shards=3, aggregation="winner"),
    value.FiLM(),
    value.Linear(),
    value.OracleGated(),
]


def random_head(kind, key):
    """A head with random weights, and 40 states."""
    head = kind.build(6, 2, 5, nnx.Rngs(0))
    leaves, tree = jax.tree.flatten(head)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)
    ]
    features = jax.random.normal(key, (40, 6))
    context = jax.nn.one_hot(jnp.arange(40) % 2, 2)
    return jax.vmap(jax.tree.unflatten(tree, drawn))(features, context)


def planted(seed=0, states=200):
    """Gates and values of 4 shards: two distinct, one dead, one twin of the first."""
    rng = np.random.default_rng(seed)
    gate = rng.uniform(0.1, 0.9, states)
    gates = np.stack([gate, 1 - gate, 1e-4 * (1 - gate), gate], axis=-1)
    parts = rng.normal(size=(states, 4))
    parts[:, 3] = 2 * parts[:, 0]
    # the dead shard is a small copy of the second: not a twin
    parts[:, 2] = parts[:, 1]
    return jnp.asarray(gates, jnp.float32), jnp.asarray(parts, jnp.float32)


@pytest.mark.parametrize("kind", HEADS, ids=str)
@pytest.mark.slow
def test_contributions_of_every_head_add_up(kind, key):
    out = random_head(kind, key)
    result = contributions.contributions(out.value, out.gates, out.shard_values)
    assert result.adds_up
    assert "add up to V" in result.summary()
    kept = contributions.switch_off(
        out.gates, out.shard_values, jnp.ones(out.gates.shape[1], bool)
    )
    np.testing.assert_allclose(kept.value, out.value, atol=1e-5)


def test_a_residual_is_reported():
    gates, parts = planted()
    honest = (gates * parts).sum(axis=-1)
    off = contributions.contributions(honest + 1e-3, gates, parts)
    assert not off.adds_up
    assert "DO NOT" in off.summary()
    np.testing.assert_allclose(off.residual, 1e-3, atol=1e-5)


@pytest.mark.slow
def test_usage_by_hand():
    gates = jnp.asarray([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]])
    parts = jnp.asarray([[3.0, 8.0], [2.0, -4.0], [5.0, 5.0]])
    result = contributions.usage(gates, parts)
    np.testing.assert_allclose(result.gate_share, [0.5, 1 / 6], rtol=1e-6)
    # |3| + |1| and |-2|
    np.testing.assert_allclose(result.value_share, [4 / 6, 2 / 6], rtol=1e-6)
    np.testing.assert_allclose(result.entropy, [0, np.log(2), 0], atol=1e-6)
    assert not result.dead.any()


def test_states_with_all_gates_closed_do_not_change_the_number_in_use():
    # two shards share one state of three, and two are in use
    gates = jnp.asarray([[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]])
    result = contributions.usage(gates, jnp.ones((3, 2)))
    assert float(result.in_use) == pytest.approx(2, rel=1e-6)
    assert float(contributions.usage(0 * gates, jnp.ones((3, 2))).in_use) == 0
    with pytest.raises(ValueError, match=r"gates: got -0\.5; allowed: at least 0"):
        contributions.usage(-gates, jnp.ones((3, 2)))
    # under jit values are not checked
    assert jax.jit(contributions.usage)(-gates, jnp.ones((3, 2))).dead.shape == (2,)


def test_the_tolerance_grows_with_the_value():
    each = jnp.asarray([[1e6, 1.0], [2.0, 3.0]])
    off = each.sum(axis=-1) + jnp.asarray([1.0, 0.0])
    assert contributions.contributions(off, jnp.ones((2, 2)), each).adds_up
    # a millionth of V is rounding, a thousandth is not, and a small V counts as 1
    assert not contributions.contributions(1.001 * off, jnp.ones((2, 2)), each).adds_up
    small = jnp.full((2, 2), 1e-3)
    assert not contributions.contributions(
        small.sum(axis=-1) + 1e-4, jnp.ones((2, 2)), small
    ).adds_up


def test_renormalising_makes_no_gate_negative():
    gates, parts = jnp.asarray([[0.2, 0.4], [0.5, 0.5]]), jnp.ones((2, 2))
    with pytest.raises(ValueError, match=r"to: got 0\.9; allowed: 0 to 0\.6"):
        contributions.clamp(gates, parts, 1, 0.9, renormalise=True)
    traced = jax.jit(lambda g: contributions.clamp(g, parts, 1, 0.9, renormalise=True))
    np.testing.assert_allclose(traced(gates).gates, [[0, 0.9], [0.1, 0.9]], atol=1e-6)
    # a softmax whose sum is rounded below 1 may be clamped to 1
    near = jnp.asarray([[0.2, 0.8 - 1e-7]])
    held = contributions.clamp(near, parts[:1], 1, 1.0, renormalise=True)
    np.testing.assert_array_equal(held.gates, [[0, 1]])
    # if all other gates are closed, nothing can be taken from them
    alone = contributions.clamp(
        jnp.asarray([[0.0, 0.3]]), parts[:1], 1, 0.5, renormalise=True
    )
    np.testing.assert_array_equal(alone.gates, [[0, 0.5]])


@pytest.mark.slow
def test_the_dead_and_the_twins_are_found_and_no_others():
    result = contributions.usage(*planted())
    np.testing.assert_array_equal(result.dead, [False, False, True, False])
    expected = np.zeros((4, 4), bool)
    expected[0, 3] = expected[3, 0] = True
    np.testing.assert_array_equal(result.twins, expected)
    assert "1 dead, 1 pairs of twins" in result.summary()


def test_usage_ignores_order_and_in_use_is_between_one_and_k(key):
    gates, parts = planted()
    order = jnp.asarray([2, 0, 3, 1])
    a, b = (
        contributions.usage(gates, parts),
        contributions.usage(gates[:, order], parts[:, order]),
    )
    np.testing.assert_allclose(a.value_share[order], b.value_share, rtol=1e-5)
    assert float(a.in_use) == pytest.approx(float(b.in_use), rel=1e-5)
    even = contributions.usage(jnp.full((5, 4), 0.25), jax.random.normal(key, (5, 4)))
    assert float(even.in_use) == pytest.approx(4, rel=1e-5)
    share = np.asarray(gates / gates.sum(axis=-1, keepdims=True), np.float64)
    np.testing.assert_allclose(
        a.entropy, scipy.stats.entropy(share, axis=-1), atol=1e-4
    )


def test_a_value_of_zero_has_only_dead_shards():
    nothing = contributions.usage(jnp.full((3, 2), 0.5), jnp.zeros((3, 2)))
    assert nothing.dead.all()
    np.testing.assert_array_equal(nothing.value_share, 0)
    np.testing.assert_array_equal(nothing.likeness, 0)
    one = contributions.usage(jnp.ones((3, 1)), jnp.ones((3, 1)))
    assert float(one.in_use) == pytest.approx(1)
    assert not one.twins.any()
    assert not one.dead.any()


def test_a_shuffled_head_is_matched_and_noise_is_not():
    rng = np.random.default_rng(0)
    each = rng.normal(size=(300, 4)).astype(np.float32)
    order = np.asarray([2, 0, 3, 1])
    noisy = 3 * each[:, order] + 0.1 * rng.normal(size=(300, 4)).astype(np.float32) + 7
    result = contributions.match(each, noisy)
    np.testing.assert_array_equal(order[result.partner], np.arange(4))
    assert result.likeness.min() > 0.99
    assert result.null < 0.2
    other = contributions.match(each, rng.normal(size=(300, 4)).astype(np.float32))
    assert abs(other.likeness.mean() - result.null) < 0.1
    assert "mean likeness 1.00" in result.summary()


def test_the_matching_is_the_best_of_all():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 12, 4)).astype(np.float32)
    result = contributions.match(a, b, shuffles=0)
    assert np.isnan(result.null)
    table = np.corrcoef(a.T, b.T)[:4, 4:]
    np.testing.assert_allclose(result.table, table, atol=1e-5)
    every = [table[range(4), list(p)].sum() for p in itertools.permutations(range(4))]
    assert result.likeness.sum() == pytest.approx(max(every), abs=1e-4)


def test_heads_of_different_size_and_constant_shards_match_as_documented():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(50, 3)).astype(np.float32)
    result = contributions.match(a, a[:, :1])
    np.testing.assert_array_equal(result.partner, [0, -1, -1])
    assert np.isnan(result.likeness[1:]).all()
    wide = contributions.match(a[:, 2:], a)
    np.testing.assert_array_equal(wide.partner, [2])
    flat = contributions.match(np.ones_like(a), a)
    np.testing.assert_array_equal(flat.table, 0)


def test_switching_off_and_clamping_by_hand():
    gates = jnp.asarray([[0.25, 0.75], [1.0, 0.0]])
    parts = jnp.asarray([[4.0, 8.0], [2.0, 6.0]])
    off = contributions.switch_off(gates, parts, jnp.asarray([False, True]))
    np.testing.assert_allclose(off.value, [6, 0])
    np.testing.assert_allclose(off.gates[:, 0], 0)
    held = contributions.clamp(gates, parts, 1, 1.0)
    np.testing.assert_allclose(held.value, [9, 8])
    even = contributions.clamp(gates, parts, 1, 0.5, renormalise=True)
    np.testing.assert_allclose(even.gates, [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(even.value, [6, 4])
    # the sum of the gates of each state stays the same
    short = contributions.clamp(
        jnp.asarray([[0.2, 0.4]]), parts[:1], 1, 0.5, renormalise=True
    )
    np.testing.assert_allclose(short.gates, [[0.1, 0.5]], atol=1e-6)
    # all other gates are closed and stay closed
    alone = contributions.clamp(
        jnp.asarray([[0.0, 1.0]]), parts[:1], 1, 0.5, renormalise=True
    )
    np.testing.assert_allclose(alone.gates, [[0, 0.5]])
    assert "2 states" in off.summary()


def test_removals_add_up_and_other_contributions_stay(key):
    out = random_head(value.Sharded(num_shards=3), key)
    lost = 0
    for k in range(3):
        off = contributions.switch_off(out.gates, out.shard_values, jnp.arange(3) != k)
        lost = lost + (out.value - off.value)
        np.testing.assert_array_equal(off.gates[:, k], 0)
        others = jnp.asarray([j for j in range(3) if j != k])
        np.testing.assert_array_equal(off.gates[:, others], out.gates[:, others])
    np.testing.assert_allclose(lost, out.value, atol=1e-5)
    # control: a constant gate clamped to its own value changes nothing
    flat = jnp.full_like(out.gates, 0.5)
    same = contributions.clamp(flat, out.shard_values, 1, 0.5)
    np.testing.assert_array_equal(same.value, (flat * out.shard_values).sum(axis=-1))


@pytest.mark.parametrize("states", [2, 3, 17])
def test_no_state_keeps_its_gates_when_they_are_shuffled(states, key):
    gates = jnp.stack([jnp.arange(1.0, states + 1), jnp.ones(states)], axis=-1)
    result = contributions.shuffle_gates(gates, jnp.ones((states, 2)), key)
    assert (np.asarray(result.gates[:, 0]) != np.asarray(gates[:, 0])).all()
    np.testing.assert_array_equal(np.sort(result.gates[:, 0]), gates[:, 0])
    flat = jnp.full((states, 2), 0.3)
    same = contributions.shuffle_gates(flat, jnp.ones((states, 2)), key)
    np.testing.assert_array_equal(same.gates, flat)


def test_all_runs_compiled_over_seeds_in_both_precisions(key):
    @jax.jit
    @jax.vmap
    def every(gates, parts):
        total = (gates * parts).sum(axis=-1)
        return (
            contributions.contributions(total, gates, parts).residual,
            contributions.usage(gates, parts).value_share,
            contributions.clamp(gates, parts, 1, 0.5, renormalise=True).value,
            contributions.shuffle_gates(gates, parts, jax.random.key(0)).value,
            contributions.switch_off(gates, parts, jnp.arange(3) > 0).value,
        )

    gates = jax.random.uniform(key, (2, 8, 3))
    parts = jax.random.normal(key, (2, 8, 3))
    single = every(gates, parts)
    with jax.enable_x64(True):
        double = every(jnp.asarray(gates, jnp.float64), jnp.asarray(parts, jnp.float64))
        for a, b in zip(single, double, strict=True):
            assert a.dtype == jnp.float32
            assert b.dtype == jnp.float64
            assert a.shape == b.shape


def test_bad_input_is_named():
    gates, parts = planted(states=5)
    broken = parts.at[1, 1].set(jnp.nan)
    with pytest.raises(ValueError, match=r"shard_values: got 1 numbers.*\(1, 1\)"):
        contributions.usage(gates, broken)
    with pytest.raises(ValueError, match="shard_values: got shape"):
        contributions.usage(gates, parts[:2])
    with pytest.raises(ValueError, match="value: got shape"):
        contributions.contributions(jnp.zeros(3), gates, parts)
    with pytest.raises(ValueError, match="value: got 1 numbers"):
        contributions.contributions(jnp.zeros(5).at[0].set(jnp.inf), gates, parts)
    with pytest.raises(ValueError, match="dead: got 2; allowed: 0 to 1"):
        contributions.usage(gates, parts, dead=2)
    with pytest.raises(ValueError, match="keep: got shape"):
        contributions.switch_off(gates, parts, jnp.ones(3, bool))
    with pytest.raises(ValueError, match="shard: got 4; allowed: 0 to 3"):
        contributions.clamp(gates, parts, 4, 0.5)
    with pytest.raises(ValueError, match="to: got 2; allowed: 0 to 1"):
        contributions.clamp(gates, parts, 0, 2)
    with pytest.raises(ValueError, match="states: got 1; allowed: at least 2"):
        contributions.shuffle_gates(gates[:1], parts[:1], jax.random.key(0))
    with pytest.raises(ValueError, match="each_b: got shape"):
        contributions.match(parts, parts[:2])
    with pytest.raises(ValueError, match="states: got 0; allowed: at least 1"):
        contributions.match(parts[:0], parts[:0])
    with pytest.raises(ValueError, match="each_a: got 1 numbers"):
        contributions.match(broken, parts)
