"""Every basis is scored by what it keeps downstream, against random ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.weights import bases, bootstrap


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def scored(basis, features, weight, ranks=(1, 2, 3)):
    return bases.score(
        jax.random.key(1), basis, features, lambda x: x @ weight.T, ranks, draws=8
    )


STRETCHED = random(200, 6) * np.float32([5, 4, 1, 1, 0.5, 0.1])
WEIGHT = random(4, 6, seed=1) * np.float32([0.1, 0.2, 1, 1, 2, 5])


def test_a_score_by_hand():
    """y = (3 a, b) on white data: the first direction keeps 9 of 10."""
    white = np.float32([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    weight = np.diag(np.float32([3, 1]))
    got = scored(bases.singular(weight), white, weight, (0, 1, 2))
    np.testing.assert_allclose(got.explained, [0, 0.9, 1], atol=1e-6)
    assert got.random.shape == (8, 3)
    np.testing.assert_allclose(got.random[:, 2], 1, atol=1e-5)
    assert (got.random[:, 1] <= 0.9 + 1e-6).all()
    assert "top 1: 0.90 explained (random " in got.summary()


@pytest.mark.slow
def test_the_data_weighted_basis_keeps_the_most():
    """Eckart and Young; plain singular directions miss where the data vary."""
    every = {
        "data": bases.data_weighted(WEIGHT, STRETCHED),
        "singular": bases.singular(WEIGHT),
        "principal": bases.principal(STRETCHED),
        "spanned": bases.from_directions(random(3, 6, seed=2)),
    }
    kept = {k: scored(b, STRETCHED, WEIGHT) for k, b in every.items()}
    for got in kept.values():
        assert (kept["data"].explained >= got.explained - 1e-4).all()
        assert (kept["data"].explained[None] >= got.random - 1e-4).all()
    y = STRETCHED @ WEIGHT.T
    power = np.square(np.linalg.svd(y - y.mean(0), compute_uv=False))
    np.testing.assert_allclose(
        kept["data"].explained, (np.cumsum(power) / power.sum())[:3], atol=1e-4
    )
    np.testing.assert_allclose(
        np.square(every["data"].values), power / len(y), rtol=1e-3, atol=1e-5
    )
    assert kept["singular"].explained[0] < kept["data"].explained[0] - 0.1


def test_reads_and_atoms_are_dual_even_if_the_covariance_is_singular():
    flat = STRETCHED * np.float32([1, 1, 1, 0, 0, 0])
    got = bases.data_weighted(WEIGHT, flat)
    np.testing.assert_allclose(
        got.reads @ got.atoms.T, np.diag([1, 1, 1, 0]), atol=1e-3
    )
    assert np.isfinite(got.reads).all()
    assert scored(got, flat, WEIGHT).explained[-1] == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_a_planted_direction_is_held_and_a_random_basis_misses_it():
    """V reads one direction of 6; it is found first and keeps everything."""
    reader = np.float32([[0, 1, -1, 0, 0, 0]])
    basis = bases.singular(reader)
    got = bases.score(
        jax.random.key(0), basis, random(300, 6), lambda x: jnp.tanh(x @ reader.T), [1]
    )
    assert got.explained[0] == pytest.approx(1, abs=1e-5)
    assert got.random.mean() < 0.5
    np.testing.assert_allclose(
        bootstrap.planted_cosine(basis, 3 * reader, 1), [1], atol=1e-5
    )
    away = np.float32([[1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]])
    np.testing.assert_allclose(
        bootstrap.planted_cosine(basis, away, 1), [0, 0.5**0.5], atol=1e-5
    )


@pytest.mark.slow
def test_the_stack_sees_what_cancels_in_the_mean():
    a, b = np.float32([1, 0, 0]), np.float32([0, 2, 0])
    jacobians = np.stack([a, -a, a, -a, b, b])[:, None]
    got = bases.stacked(jacobians)
    np.testing.assert_allclose(
        got.values, [(8 / 6) ** 0.5, (4 / 6) ** 0.5, 0], atol=1e-5
    )
    np.testing.assert_allclose(got.reads[:2], [[0, 1, 0], [1, 0, 0]], atol=1e-5)
    mean = bases.singular(jacobians.mean(0))
    np.testing.assert_allclose(mean.reads[0], [0, 1, 0], atol=1e-6)
    assert bootstrap.planted_cosine(mean, a[None], 1)[0] < 0.01
    few = bases.stacked(jacobians[4:])
    np.testing.assert_allclose(few.values[0], 2, atol=1e-5)
    assert "effective rank" in got.summary()
    two = bases.stacked(np.stack([jacobians, 2 * jacobians]))
    np.testing.assert_allclose(two.values[1], 2 * got.values, atol=1e-5)


def test_spanned_keeps_the_order_and_says_what_each_adds():
    got = bases.from_directions(np.float32([[0, -2, 0], [1, -1, 0]]))
    np.testing.assert_allclose(got.reads, [[0, -1, 0], [1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(got.values, [1, 0.5**0.5], atol=1e-6)


def test_what_adds_nothing_is_no_direction():
    """A row of 0 and a repeat stay 0; the last adds what is left of it, and no more."""
    given = np.float32([[1, 1, 0, 0], [0, 0, 0, 0], [-2, -2, 0, 0], [1, 0, 1, 0]])
    got = bases.from_directions(np.stack([given, 3 * given]))
    unit = np.float32([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, -1, 2, 0]])
    unit = unit / np.float32([2, 1, 1, 6])[:, None] ** 0.5
    for reads, values in zip(got.reads, got.values, strict=True):
        np.testing.assert_allclose(reads, unit, atol=1e-6)
        # of (1, 0, 1) / sqrt(2) a quarter lies along the first
        np.testing.assert_allclose(values, [1, 0, 0, 0.75**0.5], atol=1e-6)
    scores = scored(
        bases.from_directions(given), random(50, 4), np.eye(4), (1, 2, 3, 4)
    )
    np.testing.assert_allclose(scores.explained[:3], scores.explained[0], atol=1e-6)
    assert scores.explained[3] > scores.explained[0] + 0.1


def test_rows_that_depend_but_for_rounding_add_nothing():
    rows = random(5, 40, seed=3)
    mixed = random(4, 5, seed=4) @ rows
    got = bases.from_directions(np.concatenate([rows, mixed]))
    np.testing.assert_array_equal(got.reads[5:], 0)
    np.testing.assert_array_equal(got.values[5:], 0)
    np.testing.assert_allclose(got.reads[:5] @ got.reads[:5].T, np.eye(5), atol=1e-5)
    near = np.float32([[1, 0, 0], [1, 1e-3, 0]])
    np.testing.assert_allclose(
        bases.from_directions(near).reads[1], [0, 1, 0], atol=1e-6
    )


def test_random_bases_are_orthonormal(key):
    got = bases.random(key, 3, 2, np.zeros((1, 5), np.float32))
    again = np.einsum("brd,bsd->brs", got.reads, got.reads)
    np.testing.assert_allclose(again, np.tile(np.eye(2), (3, 1, 1)), atol=1e-5)


def test_principal_directions_are_numpy_s():
    got = bases.principal(STRETCHED)
    centred = STRETCHED - STRETCHED.mean(0)
    values = np.linalg.svd(centred, compute_uv=False) / len(centred) ** 0.5
    np.testing.assert_allclose(got.values, values, rtol=1e-2)


@pytest.mark.slow
def test_tied_directions_are_unstable_and_their_plane_is_not(key):
    """The planted tie: sd 3, 1, 1, .1. Ranks 1 and 3 hold, rank 2 does not."""
    features = random(400, 4) * np.float32([3, 1, 1, 0.1])
    got = bootstrap.bootstrap(key, np.eye(4, dtype=np.float32), features)
    mean = got.overlap.mean(0)
    assert mean[0] > 0.98
    assert mean[2] > 0.98
    assert mean[1] < mean[2] - 0.02
    assert got.alone.mean(0)[1] < 0.95
    assert got.gaps[1] < 0.2 < got.gaps[0]
    np.testing.assert_allclose(got.chance, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(got.overlap[:, -1], 1, atol=1e-4)
    np.testing.assert_allclose(got.overlap[:, 0], got.alone[:, 0], atol=1e-5)
    np.testing.assert_allclose(got.values, bases.principal(features).values, rtol=1e-2)
    assert "stable ranks: 1, 3, 4" in got.summary()


@pytest.mark.slow
def test_groups_are_drawn_together(key):
    """Two mazes repeated often are two samples, not many."""
    rows = np.repeat(random(6, 3), 50, axis=0)
    eye, groups = np.eye(3, dtype=np.float32), np.repeat(np.arange(6), 50)
    alone = bootstrap.bootstrap(key, eye, rows).overlap[:, 0].mean()
    grouped = bootstrap.bootstrap(key, eye, rows, groups=groups).overlap[:, 0].mean()
    assert grouped < alone


def test_names_of_groups_may_have_gaps(key):
    rows, groups = random(40, 3), np.repeat(np.arange(4), 10)
    eye = np.eye(3, dtype=np.float32)
    got = bootstrap.bootstrap(key, eye, rows, groups=groups)
    far = bootstrap.bootstrap(key, eye, rows, groups=np.array([3, 70, 71, 900])[groups])
    np.testing.assert_array_equal(got.overlap, far.overlap)


@pytest.mark.slow
def test_it_keeps_64_bits(key):
    with jax.enable_x64(True):
        weight, features = WEIGHT.astype(float), STRETCHED.astype(float)
        got = bases.data_weighted(weight, features)
        assert got.atoms.dtype == float
        assert scored(got, features, weight, (4,)).explained[0] == pytest.approx(
            1, abs=1e-9
        )
        assert bootstrap.bootstrap(key, weight, features, 2).overlap.dtype == float


def test_bad_input_is_named(key):
    basis = bases.singular(WEIGHT)
    with pytest.raises(ValueError, match=r"features: got shape \(5, 3\)"):
        bases.data_weighted(WEIGHT, np.ones((5, 3), np.float32))
    with pytest.raises(ValueError, match="features: got 1 numbers"):
        bases.principal(np.float32([[np.nan, 1], [0, 1]]))
    with pytest.raises(ValueError, match="axes of jacobians: got 2"):
        bases.stacked(WEIGHT)
    with pytest.raises(ValueError, match="rows of directions: got 7"):
        bases.from_directions(np.ones((7, 6), np.float32))
    with pytest.raises(ValueError, match="ranks: got 5"):
        scored(basis, STRETCHED, WEIGHT, (5,))
    with pytest.raises(ValueError, match="output that is constant"):
        scored(basis, STRETCHED, 0 * WEIGHT)
    with pytest.raises(ValueError, match="output that is constant"):
        # its mean over 200 is rounded, so that its variance is not 0
        bases.score(key, basis, STRETCHED, lambda x: 0 * x[:, :1] + 0.1, (1,), 2)
    with pytest.raises(ValueError, match="groups: got shape"):
        bootstrap.bootstrap(key, WEIGHT, STRETCHED, groups=np.zeros(3, int))
    with pytest.raises(ValueError, match="number of groups: got 1"):
        bootstrap.bootstrap(key, WEIGHT, STRETCHED, groups=np.zeros(200, int))
    with pytest.raises(ValueError, match="planted: got shape"):
        bootstrap.planted_cosine(basis, np.ones((1, 2)), 1)
