"""Shapley values: games worked by hand, the axioms, and all orders enumerated."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import value
from shardsim.inspection.interventions import shapley


def test_coalitions_are_bits():
    assert shapley.coalitions(2).tolist() == [
        [False, False],
        [True, False],
        [False, True],
        [True, True],
    ]


def test_gloves_by_hand():
    # one left glove (0), two right ones (1, 2); a pair is worth 1
    def gloves(there):
        return (there[0] & (there[1] | there[2])).astype(jnp.float32)

    result = shapley.exact(shapley.play(gloves, 3))
    np.testing.assert_allclose(result.values, [2 / 3, 1 / 6, 1 / 6], rtol=1e-6)
    np.testing.assert_allclose(result.total, 1, rtol=1e-6)
    assert result.change == 1
    # 0 and 1 together: 1 without 2, 0 with it; 1 and 2 replace each other
    np.testing.assert_allclose(result.interactions[0, 1], 0.5, rtol=1e-6)
    np.testing.assert_allclose(result.interactions[1, 2], -0.5, rtol=1e-6)
    np.testing.assert_array_equal(result.interactions, result.interactions.T)
    assert "3 objects: object 0 counts most, 0.6667" in result.summary()


@pytest.mark.parametrize("kind", [int, bool, np.float64])
def test_worths_of_any_dtype_are_accepted(kind):
    # both objects are needed: half for each
    game = np.array([0, 0, 0, 1], kind)
    result = shapley.exact(game)
    np.testing.assert_allclose(result.values, [0.5, 0.5])
    np.testing.assert_allclose(result.interactions, [[0, 1], [1, 0]])
    assert result.change == 1
    played = shapley.exact(shapley.play(lambda s: s.sum(), 2))
    np.testing.assert_allclose(played.values, [1, 1])


def test_one_object_gets_everything():
    result = shapley.exact(jnp.array([2.0, 7.0]))
    assert result.values.tolist() == [5]
    assert result.interactions.tolist() == [[0]]
    # the residual is the total minus the change
    assert result._replace(total=jnp.float32(8)).residual == 3


@pytest.mark.parametrize("x64", [False, True])
def test_values_are_the_mean_over_all_orders(x64):
    n = 5
    worths = np.random.default_rng(0).normal(size=(2**n, 2))
    expected = np.zeros((n, 2))
    orders = list(itertools.permutations(range(n)))
    for order in orders:
        before = 0
        for player in order:
            after = before + 2**player
            expected[player] += (worths[after] - worths[before]) / len(orders)
            before = after
    with jax.enable_x64(x64):
        result = shapley.exact(jnp.asarray(worths, jnp.float64 if x64 else jnp.float32))
        tol = 1e-13 if x64 else 1e-6
        np.testing.assert_allclose(result.values, expected, atol=tol)
        np.testing.assert_allclose(result.residual, 0, atol=5 * tol)
        assert result.values.dtype == (jnp.float64 if x64 else jnp.float32)


@pytest.mark.slow
def test_an_additive_game_has_no_interactions_and_a_dummy_gets_nothing():
    w = jnp.array([1.0, -2.0, 0.0, 4.0, 0.5, 0.25, 8.0, -1.0, 3.0, 2.0])
    result = shapley.exact(
        shapley.play(lambda s: jnp.sum(w * s.astype(jnp.float32)), 10)
    )
    np.testing.assert_allclose(result.values, w, atol=1e-4)
    np.testing.assert_allclose(result.interactions, 0, atol=1e-4)


def test_interactions_find_the_planted_pair():
    def game(s):
        s = s.astype(jnp.float32)
        return s[0] + 5 * s[1] * s[3]

    result = shapley.exact(shapley.play(game, 4))
    np.testing.assert_allclose(result.values, [1, 2.5, 0, 2.5], atol=1e-5)
    expected = np.zeros((4, 4))
    expected[1, 3] = expected[3, 1] = 5
    np.testing.assert_allclose(result.interactions, expected, atol=1e-5)


@pytest.mark.slow
def test_values_of_shards_add_up_to_those_of_v(key):
    head = value.Sharded(num_shards=3).build(6, 1, 5, nnx.Rngs(0))
    head.kernel[...] = jax.random.normal(key, (3, 5))
    objects = jax.random.normal(jax.random.key(1), (4, 6))

    def outputs(there):
        out = head(jnp.sum(objects * there[:, None], axis=0), jnp.ones(1))
        return jnp.append(out.gates * out.shard_values, out.value)

    worths = shapley.play(lambda s: outputs(s.astype(jnp.float32)), 4)
    result = jax.jit(shapley.exact)(worths)
    assert result.values.shape == (4, 4)
    np.testing.assert_allclose(
        result.values[:, :3].sum(axis=1), result.values[:, 3], atol=1e-5
    )
    assert float(jnp.abs(result.values[:, 3]).min()) > 1e-3
    mapped = jax.vmap(shapley.exact)(jnp.stack([worths, 2 * worths]))
    np.testing.assert_allclose(
        mapped.values[1], 2 * result.values, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: shapley.coalitions(11), "n: got 11; allowed: 1 to 10"),
        (lambda: shapley.play(jnp.sum, 11), "n: got 11; allowed: 1 to 10"),
        (lambda: shapley.coalitions(0), "n: got 0; allowed: 1 to 10"),
        (lambda: shapley.exact(jnp.ones(2**11)), "worths: got 2048 of them"),
        (lambda: shapley.exact(jnp.ones(6)), "worths: got 6 of them"),
        (lambda: shapley.exact(jnp.ones(1)), "worths: got 1 of them"),
        (lambda: shapley.exact(jnp.float32(1)), "worths: got 0 of them"),
        (
            lambda: shapley.exact(jnp.array([0.0, jnp.nan])),
            r"worths: got 1 numbers that are not finite, the first at \(1,\)",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
