"""LEACE: a numpy twin, the theorems it rests on, and what it must not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from shardsim.inspection.concepts import concept, leace

N, D = 400, 6


def made(seed=0, gap=1.0, classes=3, condition=1.0, dtype=np.float64):
    """Rotated features of scale 1 to 1/sqrt(condition); class means differ."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, classes, N)
    turn, _ = np.linalg.qr(rng.normal(size=(D, D)))
    x = (rng.normal(size=(N, D)) * np.geomspace(1, condition**-0.5, D)) @ turn.T
    return (x + gap * rng.normal(size=(classes, D))[z]).astype(dtype), z


def gaps(x, z):
    """Largest distance of a class mean from the overall mean, over features."""
    x = np.asarray(x, np.float64)
    return max(np.abs(x[z == c].mean(0) - x.mean(0)).max() for c in np.unique(z))


def twin(x, z):
    """x - W+ U U' W (x - mean), with pseudo-inverses by numpy."""
    columns = np.eye(z.max() + 1)[z]
    centred, centred_z = x - x.mean(0), columns - columns.mean(0)
    values, axes = np.linalg.eigh(centred.T @ centred / len(x))
    some = values > 1e-12 * values.max()
    over = np.where(some, 1 / np.sqrt(np.where(some, values, 1)), 0)
    whiten = (axes * over) @ axes.T
    back = (axes * np.sqrt(np.where(some, values, 0))) @ axes.T
    left, size, _ = np.linalg.svd(whiten @ centred.T @ centred_z / len(x))
    left = left[:, : (size > 1e-10 * size[0]).sum()]
    return x - centred @ whiten @ left @ left.T @ back


def test_by_hand():
    # z is correlated with x_1 only: S = diag(1, 1), C = (1, 0), so x_1
    # becomes its mean and x_2 does not change
    x = jnp.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) + 5.0
    eraser = leace.fit(x, jnp.array([1.0, 1.0, -1.0, -1.0]))
    expected = [[5.0, 6.0], [5.0, 4.0], [5.0, 6.0], [5.0, 4.0]]
    np.testing.assert_allclose(eraser.erase(x), expected, atol=1e-6)
    assert eraser.rank == 1
    assert eraser.correlation[0] == pytest.approx(1.0, abs=1e-6)


def test_reads_obliquely_by_hand():
    # S = [[2, 1], [1, 1]], C = (1, 0): read along S^-1 C = (1, -1), write along C
    x = jnp.array([[2.0, 1.0], [0.0, 1.0], [-2.0, -1.0], [0.0, -1.0]])
    eraser = leace.fit(x, jnp.array([1.0, -1.0, -1.0, 1.0]))
    y = eraser.erase(x)
    np.testing.assert_allclose(
        y, [[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]], atol=1e-6
    )


@pytest.mark.parametrize("condition", [1.0, 1e6])
def test_numpy_agrees(condition):
    x, z = made(condition=condition)
    with jax.enable_x64(True):
        y = leace.fit(x, z).erase(jnp.asarray(x))
        np.testing.assert_allclose(y, twin(x, z), atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-9)])
@pytest.mark.parametrize("gap", [1.0, 0.03])
def test_class_means_are_equal_afterwards(dtype, tolerance, gap):
    x, z = made(gap=gap, dtype=dtype)
    assert gaps(x, z) > 0.3 * gap  # there was something to erase
    with jax.enable_x64(dtype == "float64"):
        y = leace.fit(x, z).erase(jnp.asarray(x))
        assert y.dtype == dtype
        assert gaps(y, z) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-9)])
def test_a_weak_concept_next_to_a_strong_one_is_erased_too(dtype, tolerance):
    rng = np.random.default_rng(0)
    strong, weak = rng.integers(0, 2, (2, N))
    x = rng.normal(size=(N, D))
    x = x - x.mean(0)
    x[:, 0] += 30.0 * strong
    x[:, 1] *= 1e-3  # and what it is written in is small
    x[:, 1] += 3e-5 * weak
    with jax.enable_x64(dtype == "float64"):
        x = jnp.asarray(x, dtype)
        y = leace.fit(x, np.stack([strong, weak], 1).astype(dtype)).erase(x)
        assert gaps(y, strong) < 30 * tolerance
        assert gaps(y[:, 1:2], weak) < 1e-3 * tolerance


@pytest.mark.parametrize("size", [1e-20, 1e18])
def test_it_does_not_depend_on_the_size_of_x(size):
    """Squares of these numbers are 0 or infinite in float32."""
    x, z = made(dtype=np.float32, condition=100.0)
    one, other = leace.fit(x, z), leace.fit(x * np.float32(size), z)
    result = other.erase(jnp.asarray(x * np.float32(size))) / np.float32(size)
    np.testing.assert_allclose(result, one.erase(jnp.asarray(x)), atol=1e-5)
    assert gaps(result, z) < 1e-5
    np.testing.assert_allclose(other.correlation, one.correlation, atol=1e-5)
    # nor on that of one feature, nor on that of the concept
    wide = np.geomspace(1e-18, 1e18, D).astype(np.float32)
    y = leace.fit(x * wide, z).erase(jnp.asarray(x * wide)) / wide[None]
    np.testing.assert_allclose(y, one.erase(jnp.asarray(x)), atol=1e-5)
    numbers = (z - 1).astype(np.float32)
    near, centred = (leace.fit(x, numbers * np.float32(s)) for s in (1, size))
    np.testing.assert_allclose(
        centred.erase(jnp.asarray(x)), near.erase(jnp.asarray(x)), atol=1e-5
    )


def test_erasing_twice_is_erasing_once():
    x, z = made(dtype=np.float32, condition=1e4)
    eraser = leace.fit(x, z)
    once = eraser.erase(jnp.asarray(x))
    np.testing.assert_allclose(eraser.erase(once), once, atol=1e-5)
    again = leace.fit(once, z)
    assert again.rank == 0
    np.testing.assert_array_equal(again.erase(once), once)


def test_it_is_equivariant_to_affine_maps():
    x, z = made()
    rng = np.random.default_rng(1)
    turn, shift = rng.normal(size=(D, D)) * np.geomspace(1, 100, D), rng.normal(size=D)
    with jax.enable_x64(True):
        y = np.asarray(leace.fit(x, z).erase(jnp.asarray(x)))
        moved = jnp.asarray(x @ turn + shift)
        result = leace.fit(moved, z).erase(moved)
        np.testing.assert_allclose(result, y @ turn + shift, atol=1e-8)


def test_the_mean_stays_and_the_rank_is_that_of_the_classes():
    x, z = made()
    with jax.enable_x64(True):
        eraser = leace.fit(x, z)
        y = eraser.erase(jnp.asarray(x))
        np.testing.assert_allclose(y.mean(0), x.mean(0), atol=1e-12)
        assert eraser.rank == 2
        difference = eraser.read @ eraser.write.T
        np.testing.assert_allclose(difference, np.diag([1.0, 1.0, 0.0]), atol=1e-10)
        one = eraser.erase(jnp.asarray(x[0]))
        np.testing.assert_allclose(one, y[0], atol=1e-12)


def test_no_other_guarding_map_changes_x_less():
    x, z = made(condition=100.0, classes=2)
    with jax.enable_x64(True):
        y = np.asarray(leace.fit(x, z).erase(jnp.asarray(x)))
    cost = np.mean(np.sum((x - y) ** 2, 1))
    way = x[z == 1].mean(0) - x[z == 0].mean(0)
    way /= np.linalg.norm(way)
    straight = x - np.outer((x - x.mean(0)) @ way, way)
    assert gaps(straight, z) < 1e-9
    assert cost < 0.9 * np.mean(np.sum((x - straight) ** 2, 1))
    # P = way read' guards if read' way = 1; the best of them by search
    centred = x - x.mean(0)

    def price(read):
        read = read + way * (1 - read @ way)
        return np.mean((centred @ read) ** 2)

    best = scipy.optimize.minimize(price, np.zeros(D)).fun
    assert cost == pytest.approx(best, rel=1e-5)


def test_continuous_concepts_lose_their_correlation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D))
    z = x[:, :2] @ rng.normal(size=(2, 2)) * 1e3 + rng.normal(size=(N, 2))
    with jax.enable_x64(True):
        y = np.asarray(leace.fit(x, z).erase(jnp.asarray(x)))
        cross = (y - y.mean(0)).T @ (z - z.mean(0)) / N
        assert np.abs(cross).max() < 1e-9


@pytest.mark.parametrize(
    "z", [np.zeros(N, int), np.full(N, 0.3, np.float32), np.ones((N, 2), np.float32)]
)
def test_a_constant_concept_does_not_change_x(z):
    x = jnp.asarray(made(dtype=np.float32)[0])
    eraser = leace.fit(x, z)
    np.testing.assert_array_equal(eraser.erase(x), x)
    assert eraser.rank == 0


def test_an_independent_concept_hardly_changes_x():
    # every z occurs with every x: no correlation except for rounding
    x = np.repeat(made(dtype=np.float32)[0], 2, axis=0)
    z = np.tile([0, 1], N)
    eraser = leace.fit(x, z)
    np.testing.assert_allclose(eraser.erase(jnp.asarray(x)), x, atol=1e-6)


def test_copies_and_constant_features_do_no_harm():
    x, z = made(dtype=np.float64)
    more = np.column_stack([x, x[:, 0], 2 * x[:, 1] - x[:, 2], np.full(N, 0.1)])
    with jax.enable_x64(True):
        y = leace.fit(more, z).erase(jnp.asarray(more))
        np.testing.assert_allclose(y, twin(more, z), atol=1e-8)
        np.testing.assert_array_equal(y[:, -1], 0.1)
    y = leace.fit(more.astype(np.float32), z).erase(jnp.asarray(more, jnp.float32))
    assert gaps(y, z) < 1e-5


def test_with_few_samples_only_those_are_guarded():
    rng = np.random.default_rng(0)
    z = np.arange(20) % 2
    x = rng.normal(size=(40, 60)).astype(np.float32)
    x[:, 0] += 2 * np.tile(z, 2)
    eraser = leace.fit(x[:20], z)
    assert gaps(eraser.erase(x[:20]), z) < 1e-5
    assert gaps(eraser.erase(x[20:]), z) > 0.1


def test_compiles_and_maps_over_seeds():
    x, z = made(dtype=np.float32)
    columns = concept.one_hot(z)
    stack = jnp.stack([jnp.asarray(x), 2.0 * jnp.asarray(x)])
    many = jax.jit(lambda s: jax.lax.map(lambda v: leace.fit(v, columns), s))(stack)
    one = leace.fit(x, z)
    np.testing.assert_allclose(many.write[0], one.write, atol=1e-6)
    np.testing.assert_allclose(many.correlation[1], one.correlation, atol=1e-5)
    assert "2 of 6 dimensions erased" in one.summary()


@pytest.mark.parametrize(
    ("x", "z", "message"),
    [
        (np.zeros(3), np.zeros(3, int), r"x: got shape \(3,\)"),
        (np.zeros((3, 2)), np.zeros(4, int), r"z: got shape \(4,\); allowed: \(3\)"),
        (np.zeros((3, 2)), np.zeros((4, 1)), r"z: got shape \(4, 1\)"),
        (np.zeros((3, 2)), np.zeros((3, 0)), "columns of z: got 0; allowed: at least"),
        (np.full((3, 2), np.nan), np.zeros(3, int), "x: got 6 numbers"),
        (np.zeros((3, 2)), np.array([0, np.inf, 0]), "z: got 1 numbers"),
        (np.zeros((0, 2)), np.zeros(0, int), "n: got 0; allowed: at least 1"),
    ],
)
def test_bad_input_is_named(x, z, message):
    with pytest.raises(ValueError, match=message):
        leace.fit(x, z)


def test_labels_under_jit_are_refused():
    x, z = made(dtype=np.float32)
    with pytest.raises(ValueError, match="z: got labels under jit"):
        jax.jit(leace.fit)(x, z)
