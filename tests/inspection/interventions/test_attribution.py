"""Integrated gradients and occlusion: by hand, complete, additive over shards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import value
from shardsim.inspection.interventions import attribution

X = jnp.array([3.0, 2.0, 5.0])
BASES = jnp.array([[0.0, 0.0, 0.0], [3.0, 0.0, 5.0], [3.0, 2.0, 5.0]])
NODES = attribution.gauss_legendre(8)


def product(x):
    return x[0] * x[1]


def head(key):
    """Four gated shards with random read-outs."""
    made = value.Sharded(num_shards=4).build(6, 1, 5, nnx.Rngs(0))
    made.kernel[...] = jax.random.normal(key, (4, 5))
    made.bias[...] = jnp.arange(4.0)
    return made


def test_nodes_by_hand():
    two = attribution.gauss_legendre(2)
    np.testing.assert_allclose(two.positions, 0.5 + np.array([-1, 1]) / np.sqrt(12))
    np.testing.assert_allclose(two.weights, 0.5)
    assert attribution.midpoint(2).positions.tolist() == [0.25, 0.75]
    for nodes in (attribution.midpoint(7), attribution.gauss_legendre(7)):
        np.testing.assert_allclose(nodes.weights.sum(), 1)
    np.testing.assert_allclose(NODES.weights @ NODES.positions**15, 1 / 16)


def test_gradients_of_a_product_by_hand():
    # from 0: x_0 x_1 int t dt = 3 each; from (3, 0, 5): all of the 6 to x_1
    result = attribution.integrated_gradients(product, X, BASES, NODES)
    expected = [[3, 3, 0], [0, 6, 0], [0, 0, 0]]
    np.testing.assert_allclose(result.attribution, expected, atol=1e-5)
    np.testing.assert_allclose(result.total, [6, 6, 0], atol=1e-5)
    np.testing.assert_array_equal(result.change, [6, 6, 0])
    np.testing.assert_allclose(result.residual, 0, atol=1e-5)
    assert "3 baselines: attributions sum to 0 to 6, f changed by 0 to 6" in (
        result.summary()
    )


def test_the_residual_shows_too_few_nodes():
    def cubic(x):
        return x[0] ** 3

    one = attribution.integrated_gradients(cubic, X, BASES[:1], attribution.midpoint(1))
    # 3 * 3 (1.5)^2 = 20.25 of 27
    np.testing.assert_allclose(one.residual, -6.75, rtol=1e-6)
    two = attribution.integrated_gradients(
        cubic, X, BASES[:1], attribution.gauss_legendre(2)
    )
    np.testing.assert_allclose(two.residual, 0, atol=1e-5)


def test_attributions_of_shards_add_up_to_that_of_v(key):
    made = head(key)
    x, *bases = jax.random.normal(jax.random.key(1), (4, 6))
    context = jnp.ones(1)

    def contributions(z):
        out = made(z, context)
        return out.gates * out.shard_values

    nodes = attribution.midpoint(200)
    parts = attribution.integrated_gradients(contributions, x, jnp.stack(bases), nodes)
    whole = attribution.integrated_gradients(
        lambda z: made(z, context).value, x, jnp.stack(bases), nodes
    )
    assert parts.attribution.shape == (3, 6, 4)
    np.testing.assert_allclose(
        parts.attribution.sum(axis=-1), whole.attribution, atol=1e-4
    )
    # ReLUs have kinks: the midpoint rule is off by about 1 / nodes
    np.testing.assert_allclose(whole.total, whole.change, atol=0.02)
    np.testing.assert_allclose(parts.total.sum(axis=-1), whole.total, atol=1e-4)
    assert float(jnp.abs(whole.change).min()) > 0.1


def test_boards_are_attributed_and_mapped_under_jit():
    w = jnp.arange(12.0).reshape(2, 3, 2)

    def explain(x):
        return attribution.integrated_gradients(
            lambda b: jnp.stack([jnp.sum(w * b), jnp.sum(b)]),
            x,
            jnp.zeros((1, 2, 3, 2)),
            NODES,
        )

    result = jax.jit(jax.vmap(explain))(jnp.ones((5, 2, 3, 2)))
    assert result.attribution.shape == (5, 1, 2, 3, 2, 2)
    np.testing.assert_allclose(result.attribution[4, 0, ..., 0], w, rtol=1e-5)
    np.testing.assert_allclose(result.attribution[4, 0, ..., 1], 1, rtol=1e-5)


@pytest.mark.parametrize(
    "f", [jnp.linalg.norm, lambda x: jnp.sqrt(x[0]) * x[1], lambda x: x[0] ** 0.5]
)
def test_a_baseline_equal_to_x_gives_0_where_f_has_no_slope(f):
    zero = jnp.zeros(3)
    result = attribution.integrated_gradients(
        f, zero, zero[None], attribution.midpoint(4)
    )
    for part in result:
        np.testing.assert_array_equal(part, 0)


def test_numbers_that_stay_have_no_part_where_f_has_no_slope_by_them():
    """f = sqrt(x0) + 3 x1 along x0 = 0: the slope by x0 is infinite, its step 0."""
    x, baseline = jnp.array([0.0, 2.0]), jnp.array([[0.0, 1.0]])
    result = attribution.integrated_gradients(
        lambda x: jnp.sqrt(x[0]) + 3 * x[1], x, baseline, attribution.midpoint(2)
    )
    np.testing.assert_allclose(result.attribution, [[0, 3]])
    np.testing.assert_allclose(result.residual, 0)


def test_float64_is_complete_to_its_own_precision():
    with jax.enable_x64(True):
        x, bases = (jnp.asarray(a, jnp.float64) for a in (X, BASES))
        result = attribution.integrated_gradients(
            lambda z: jnp.sin(z[0] * z[1]) + jnp.exp(z[2] / 5),
            x,
            bases,
            attribution.gauss_legendre(40),
        )
        assert result.attribution.dtype == jnp.float64
        np.testing.assert_allclose(result.residual, 0, atol=1e-12)
        gone = attribution.occlusion(product, x, bases)
        assert gone.effect.dtype == jnp.float64


def test_occlusion_by_hand():
    # V is 10 for the first object plus 1 for the second
    result = attribution.occlusion(
        lambda x: 10 * x[0] + x[1], jnp.ones(3), 1 - jnp.eye(3)
    )
    assert result.effect.tolist() == [10, 1, 0]
    assert result.output == 11
    assert result.summary() == (
        "occlusion of 3 objects: object 0 changes f most, by 10, in the median 1"
    )
    # two objects that replace each other have effect 0 each
    either = attribution.occlusion(
        lambda x: jnp.max(x[:2]), jnp.ones(3), 1 - jnp.eye(3)
    )
    assert either.effect.tolist() == [0, 0, 0]


@pytest.mark.slow
def test_occlusion_of_shards_adds_up(key):
    made = head(key)
    z = jax.random.normal(jax.random.key(2), (6,))
    without = jnp.tile(z[None], (6, 1)) * (1 - jnp.eye(6))

    def contributions(z):
        out = made(z, jnp.ones(1))
        return out.gates * out.shard_values

    parts = attribution.occlusion(contributions, z, without)
    whole = attribution.occlusion(lambda z: made(z, jnp.ones(1)).value, z, without)
    np.testing.assert_allclose(parts.effect.sum(axis=-1), whole.effect, atol=1e-5)


def test_objects_are_removed_from_a_board():
    x, background = jnp.arange(1.0, 5.0), 10 * jnp.arange(1.0, 5.0)
    # objects 0 and 1 share a cell, which stays while one of them remains
    masks = jnp.array([[True, True, False, False], [False, True, True, False]])
    for present, expected in (
        ((True, True), [1, 2, 3, 4]),
        ((False, True), [10, 2, 3, 4]),
        ((True, False), [1, 2, 30, 4]),
        ((False, False), [10, 20, 30, 4]),
    ):
        actual = attribution.remove(x, background, masks, jnp.array(present))
        assert actual.tolist() == expected


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: attribution.integrated_gradients(
                product, jnp.ones(3, jnp.uint8), BASES, NODES
            ),
            "x: got dtype uint8; allowed: float",
        ),
        (
            lambda: attribution.integrated_gradients(product, X, BASES[:, :2], NODES),
            r"baselines: got shape \(3, 2\); allowed: \(any, 3\)",
        ),
        (
            lambda: attribution.integrated_gradients(product, X, BASES[:0], NODES),
            "number of baselines: got 0",
        ),
        (
            lambda: attribution.integrated_gradients(
                product, X, BASES, NODES._replace(weights=np.ones(2))
            ),
            r"nodes.weights: got shape \(2,\); allowed: \(8\)",
        ),
        (
            lambda: attribution.occlusion(product, X, BASES * jnp.nan),
            "without: got 9 numbers that are not finite",
        ),
        (
            lambda: attribution.occlusion(product, X * jnp.nan, BASES),
            "x: got 3 numbers that are not finite",
        ),
        (lambda: attribution.gauss_legendre(0), "m: got 0; allowed: at least 1"),
        (lambda: attribution.midpoint(0), "m: got 0; allowed: at least 1"),
        (
            lambda: attribution.remove(X, X[:2], jnp.ones((1, 3), bool), jnp.ones(1)),
            r"background: got shape \(2,\)",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
