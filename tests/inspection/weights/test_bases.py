"""Every basis is scored by the variance it explains downstream, against random ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.weights import bases, bootstrap


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def scored(basis, features, weight, ranks=(1, 2, 3)):
    return bases.score(
        basis, lambda x: weight @ x, features, ranks, jax.random.key(1), draws=8
    )


STRETCHED = random(200, 6) * np.float32([5, 4, 1, 1, 0.5, 0.1])
WEIGHT = random(4, 6, seed=1) * np.float32([0.1, 0.2, 1, 1, 2, 5])


def test_a_score_by_hand():
    """y = (3 a, b) on white data: the first direction explains 9 of 10."""
    white = np.float32([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    weight = np.diag(np.float32([3, 1]))
    result = scored(bases.singular(weight), white, weight, (0, 1, 2))
    np.testing.assert_allclose(result.explained, [0, 0.9, 1], atol=1e-6)
    assert result.random.shape == (8, 3)
    np.testing.assert_allclose(result.random[:, 2], 1, atol=1e-5)
    assert (result.random[:, 1] <= 0.9 + 1e-6).all()
    assert "top 1: 0.90 explained (random " in result.summary()


@pytest.mark.slow
def test_the_data_weighted_basis_explains_most():
    """Eckart and Young; plain singular directions miss where the data vary."""
    every = {
        "data": bases.data_weighted(WEIGHT, STRETCHED),
        "singular": bases.singular(WEIGHT),
        "principal": bases.principal(STRETCHED),
        "spanned": bases.from_directions(random(3, 6, seed=2)),
    }
    scores = {k: scored(b, STRETCHED, WEIGHT) for k, b in every.items()}
    for result in scores.values():
        assert (scores["data"].explained >= result.explained - 1e-4).all()
        assert (scores["data"].explained[None] >= result.random - 1e-4).all()
    y = STRETCHED @ WEIGHT.T
    power = np.square(np.linalg.svd(y - y.mean(0), compute_uv=False))
    np.testing.assert_allclose(
        scores["data"].explained, (np.cumsum(power) / power.sum())[:3], atol=1e-4
    )
    np.testing.assert_allclose(
        np.square(every["data"].values), power / len(y), rtol=1e-3, atol=1e-5
    )
    assert scores["singular"].explained[0] < scores["data"].explained[0] - 0.1


def test_reads_and_atoms_are_dual_even_if_the_covariance_is_singular():
    flat = STRETCHED * np.float32([1, 1, 1, 0, 0, 0])
    result = bases.data_weighted(WEIGHT, flat)
    np.testing.assert_allclose(
        result.reads @ result.atoms.T, np.diag([1, 1, 1, 0]), atol=1e-3
    )
    assert np.isfinite(result.reads).all()
    assert scored(result, flat, WEIGHT).explained[-1] == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_a_planted_direction_is_recovered_and_a_random_basis_misses_it(key):
    """V reads one direction of 6; it comes first and explains everything."""
    reader = np.float32([[0, 1, -1, 0, 0, 0]])
    basis = bases.singular(reader)
    result = bases.score(
        basis, lambda x: jnp.tanh(reader @ x), random(300, 6), [1], jax.random.key(0)
    )
    assert result.explained[0] == pytest.approx(1, abs=1e-5)
    assert result.random.mean() < 0.5
    np.testing.assert_allclose(
        bootstrap.planted_cosine(basis, 3 * reader, 1, key).cosine, [1], atol=1e-5
    )
    planted = np.float32([[1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]])
    np.testing.assert_allclose(
        bootstrap.planted_cosine(basis, planted, 1, key).cosine,
        [0, 0.5**0.5],
        atol=1e-5,
    )


@pytest.mark.slow
def test_the_stack_has_what_cancels_in_the_mean(key):
    a, b = np.float32([1, 0, 0]), np.float32([0, 2, 0])
    jacobians = np.stack([a, -a, a, -a, b, b])[:, None]
    result = bases.stacked(jacobians)
    np.testing.assert_allclose(
        result.values, [(8 / 6) ** 0.5, (4 / 6) ** 0.5, 0], atol=1e-5
    )
    np.testing.assert_allclose(result.reads[:2], [[0, 1, 0], [1, 0, 0]], atol=1e-5)
    mean = bases.singular(jacobians.mean(0))
    np.testing.assert_allclose(mean.reads[0], [0, 1, 0], atol=1e-6)
    assert bootstrap.planted_cosine(mean, a[None], 1, key).cosine[0] < 0.01
    few = bases.stacked(jacobians[4:])
    np.testing.assert_allclose(few.values[0], 2, atol=1e-5)
    assert "effective rank" in result.summary()
    two = bases.stacked(np.stack([jacobians, 2 * jacobians]))
    np.testing.assert_allclose(two.values[1], 2 * result.values, atol=1e-5)


def test_given_directions_keep_their_order():
    result = bases.from_directions(np.float32([[0, -2, 0], [1, -1, 0]]))
    np.testing.assert_allclose(result.reads, [[0, -1, 0], [1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(result.values, [1, 0.5**0.5], atol=1e-6)


def test_dependent_rows_are_zero():
    """A row of 0 and a repeated row are 0; the last adds only its new component."""
    given = np.float32([[1, 1, 0, 0], [0, 0, 0, 0], [-2, -2, 0, 0], [1, 0, 1, 0]])
    result = bases.from_directions(np.stack([given, 3 * given]))
    unit = np.float32([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, -1, 2, 0]])
    unit = unit / np.float32([2, 1, 1, 6])[:, None] ** 0.5
    for reads, values in zip(result.reads, result.values, strict=True):
        np.testing.assert_allclose(reads, unit, atol=1e-6)
        # of (1, 0, 1) / sqrt(2) a quarter lies along the first
        np.testing.assert_allclose(values, [1, 0, 0, 0.75**0.5], atol=1e-6)
    scores = scored(
        bases.from_directions(given), random(50, 4), np.eye(4), (1, 2, 3, 4)
    )
    np.testing.assert_allclose(scores.explained[:3], scores.explained[0], atol=1e-6)
    assert scores.explained[3] > scores.explained[0] + 0.1


def test_rows_dependent_up_to_rounding_are_zero():
    rows = random(5, 40, seed=3)
    mixed = random(4, 5, seed=4) @ rows
    result = bases.from_directions(np.concatenate([rows, mixed]))
    np.testing.assert_array_equal(result.reads[5:], 0)
    np.testing.assert_array_equal(result.values[5:], 0)
    np.testing.assert_allclose(
        result.reads[:5] @ result.reads[:5].T, np.eye(5), atol=1e-5
    )
    near = np.float32([[1, 0, 0], [1, 1e-3, 0]])
    np.testing.assert_allclose(
        bases.from_directions(near).reads[1], [0, 1, 0], atol=1e-6
    )


def test_random_bases_are_orthonormal(key):
    result = bases.random(3, 2, np.zeros((1, 5), np.float32), key)
    again = np.einsum("brd,bsd->brs", result.reads, result.reads)
    np.testing.assert_allclose(again, np.tile(np.eye(2), (3, 1, 1)), atol=1e-5)


def test_principal_directions_are_numpy_s():
    result = bases.principal(STRETCHED)
    centred = STRETCHED - STRETCHED.mean(0)
    values = np.linalg.svd(centred, compute_uv=False) / len(centred) ** 0.5
    np.testing.assert_allclose(result.values, values, rtol=1e-2)


@pytest.mark.slow
def test_tied_directions_are_unstable_and_their_plane_is_not(key):
    """The planted tie: sd 3, 1, 1, .1. Ranks 1 and 3 are stable, rank 2 is not."""
    features = random(400, 4) * np.float32([3, 1, 1, 0.1])
    result = bootstrap.bootstrap(np.eye(4, dtype=np.float32), features, key)
    mean = result.overlap.mean(0)
    assert mean[0] > 0.98
    assert mean[2] > 0.98
    assert mean[1] < mean[2] - 0.02
    assert result.alone.mean(0)[1] < 0.95
    assert result.gaps[1] < 0.2 < result.gaps[0]
    np.testing.assert_allclose(result.chance, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(result.overlap[:, -1], 1, atol=1e-4)
    np.testing.assert_allclose(result.overlap[:, 0], result.alone[:, 0], atol=1e-5)
    np.testing.assert_allclose(
        result.values, bases.principal(features).values, rtol=1e-2
    )
    assert "stable ranks: 1, 3" in result.summary()
    assert not result.is_stable[-1]  # all of the space, whatever the data are


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("r", "n", "resamples"), [(4, 40, 20), (2, 20, 20), (2, 200, 20), (8, 100, 6)]
)
def test_where_all_directions_tie_none_is_said_to_be_stable(r, n, resamples):
    """A mean overlap above .95 said so in 9 to 25 % of draws, and of the whole space in
    all."""

    def one(key):
        first, second = jax.random.split(key)
        x = jax.random.normal(first, (n, r))
        result = bootstrap.bootstrap(jnp.eye(r), x, second, resamples=resamples)
        claims = result.is_stable.any() | result.is_stable_alone.any()
        return claims, (result.overlap.mean(axis=0)[:-1] > 0.95).any()

    keys = jax.random.split(jax.random.key(r), 400)
    claims, above = jax.jit(lambda keys: jax.lax.map(one, keys))(keys)
    assert np.mean(claims) <= 0.05
    assert np.mean(above) > 0.05


def test_gaps_of_the_data_are_shown(key):
    features = random(300, 4) * np.float32([8, 4, 2, 1])
    result = bootstrap.bootstrap(np.eye(4, dtype=np.float32), features, key)
    assert result.summary() == (
        "4 of 4 directions are shown to be stable on their own; stable ranks: 1, 2, 3"
    )


@pytest.mark.slow
def test_groups_are_drawn_together(key):
    """Two mazes, each repeated many times, are two samples."""
    rows = np.repeat(random(6, 3), 50, axis=0)
    eye, groups = np.eye(3, dtype=np.float32), np.repeat(np.arange(6), 50)
    alone = bootstrap.bootstrap(eye, rows, key).overlap[:, 0].mean()
    grouped = bootstrap.bootstrap(eye, rows, key, groups=groups).overlap[:, 0].mean()
    assert grouped < alone


def test_groups_are_told_apart_by_any_label(key):
    rows, groups = random(40, 3), np.repeat(np.arange(4), 10)
    eye = np.eye(3, dtype=np.float32)
    result = bootstrap.bootstrap(eye, rows, key, groups=groups)
    renumbered = bootstrap.bootstrap(
        eye, rows, key, groups=np.array(["a", "b", "c", "d"])[groups]
    )
    np.testing.assert_array_equal(result.overlap, renumbered.overlap)


@pytest.mark.slow
def test_it_keeps_64_bits(key):
    with jax.enable_x64(True):
        weight, features = WEIGHT.astype(float), STRETCHED.astype(float)
        result = bases.data_weighted(weight, features)
        assert result.atoms.dtype == float
        assert scored(result, features, weight, (4,)).explained[0] == pytest.approx(
            1, abs=1e-9
        )
        assert (
            bootstrap.bootstrap(weight, features, key, resamples=2).overlap.dtype
            == float
        )


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
        # its mean over 200 is rounded, so its variance is not 0
        bases.score(basis, lambda x: 0 * x[:1] + 0.1, STRETCHED, (1,), key, draws=2)
    with pytest.raises(ValueError, match="groups: got shape"):
        bootstrap.bootstrap(WEIGHT, STRETCHED, key, groups=np.zeros(3, int))
    with pytest.raises(ValueError, match="groups: got 1 different labels"):
        bootstrap.bootstrap(WEIGHT, STRETCHED, key, groups=np.zeros(200, int))
    with pytest.raises(ValueError, match="planted: got shape"):
        bootstrap.planted_cosine(basis, np.ones((1, 2)), 1, key)
