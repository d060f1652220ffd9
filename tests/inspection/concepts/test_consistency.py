"""Consistency: angles by hand, chance by simulation, seeds against samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import concept as concepts
from shardsim.inspection.concepts import consistency, methods

D = 6
EYE = np.eye(D)


def ways(runs, k, d, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([np.linalg.qr(rng.normal(size=(d, k)))[0].T for _ in range(runs)])


def test_angles_by_hand():
    lines = np.array([[[1.0, 0.0]], [[-0.6, 0.8]], [[0.0, 1.0]]])
    expected = [[1, 0.6, 0], [0.6, 1, 0.8], [0, 0.8, 1]]
    np.testing.assert_allclose(
        consistency.pairwise_agreement(lines), expected, atol=1e-12
    )
    # planes (e_0, e_1) and (e_0, e_2) share one of two directions
    planes = np.stack([EYE[[0, 1]], EYE[[0, 2]], EYE[[3, 4]]])
    expected = [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(
        consistency.pairwise_agreement(planes), expected, atol=1e-12
    )


def test_rotations_and_signs_change_nothing():
    bases = ways(3, 2, D)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(2, 2)))
    turned = np.stack([bases[0], turn @ bases[1], -bases[2]])
    np.testing.assert_allclose(
        consistency.pairwise_agreement(turned),
        consistency.pairwise_agreement(bases),
        atol=1e-12,
    )


@pytest.mark.parametrize(("k", "d"), [(1, 2), (1, 6), (1, 200), (2, 6), (6, 6)])
def test_chance_is_the_agreement_of_random_directions(k, d):
    result = consistency.consistency(ways(60, k, d))
    assert result.agreement == pytest.approx(
        consistency.chance_agreement(k, d), rel=0.1
    )
    assert result.low <= result.chance * 1.05
    assert result.chance * 0.95 <= result.high


def test_chance_nears_the_formula_for_many_features():
    assert consistency.chance_agreement(1, 2) == pytest.approx(2 / np.pi)
    assert consistency.chance_agreement(1, 500) == pytest.approx(
        np.sqrt(2 / (np.pi * 500)), rel=0.01
    )
    assert consistency.chance_agreement(3, 6) == 0.5


def test_seeds_and_samples_are_separated():
    # the two runs of a sample agree, different samples do not
    bases = np.stack([EYE[:1], EYE[:1], EYE[1:2], EYE[1:2]])
    result = consistency.consistency(bases, np.array([0, 0, 1, 1]), np.arange(4.0))
    assert result.over_seeds == 1.0
    assert result.over_samples == 0.0
    assert result.agreement == pytest.approx(4 / 12)
    assert "losses 0 to 3" in result.summary()
    one = consistency.consistency(bases)
    assert np.isnan(one.over_samples)
    assert "losses" not in one.summary()


def test_no_run_agrees_with_itself():
    bases = np.array([[[1.0, 0.0]], [[0.6, 0.8]], [[0.0, 1.0]]])
    result = consistency.consistency(bases, np.array([0, 0, 1]))
    assert result.over_seeds == pytest.approx(0.6)
    assert result.over_samples == pytest.approx((0 + 0.8) / 2)


def test_half_of_the_resamples_lie_in_the_interval_of_one_half():
    bases = ways(12, 1, D)
    result = consistency.consistency(bases, level=0.5)
    wide = consistency.consistency(bases)
    assert wide.low < result.low < result.agreement < result.high < wide.high
    # of a normal, 1.96 against .674 standard deviations
    ratio = (wide.high - wide.low) / (result.high - result.low)
    assert ratio == pytest.approx(2.9, abs=0.4)


def test_the_interval_never_pairs_a_run_with_itself():
    # orthogonal runs: if a run could pair with its copy, the mean would exceed 0
    result = consistency.consistency(EYE[:, None, :])
    assert result.agreement == result.low == result.high == 0.0
    same = consistency.consistency(np.repeat(EYE[:1, None], 4, axis=0))
    assert same.low == same.high == 1.0
    wide = consistency.consistency(ways(8, 1, D))
    assert wide.low < wide.agreement < wide.high


def concept(n=300):
    rng = np.random.default_rng(0)
    z = np.repeat([0, 1], [n - 20, 20])
    x = rng.normal(size=(n, D))
    x[:, 0] += 2.0 * z
    a, b = rng.normal(size=(2, 64, D))
    a[:, 1] += 2
    x, a, b = (part.astype(np.float32) for part in (x, a, b))
    return concepts.Concept(x, z, a, b, lambda h: h @ jnp.ones(D) / D**0.5)


@pytest.mark.slow
def test_methods_are_repeated_over_seeds_and_samples():
    given, key = concept(), jax.random.key(0)
    mean = consistency.repeat("mean_difference", given, key, seeds=2, samples=3)
    assert mean.over_seeds == pytest.approx(1.0, abs=1e-6)  # it is deterministic
    assert 0.8 < mean.over_samples < 0.9999
    chance = consistency.repeat("random", given, key, seeds=4, samples=5)
    assert chance.low < chance.chance < chance.high
    assert chance.over_seeds < 0.7
    again = consistency.repeat("random", given, key, seeds=4, samples=5)
    np.testing.assert_array_equal(chance.pairwise, again.pairwise)


def test_degenerate_runs_are_reported():
    method = methods.Cde(steps=100)
    result = consistency.repeat(
        method, concept(), jax.random.key(0), seeds=2, samples=2
    )
    assert result.degenerate == 1.0
    assert result.ambiguous == 0.0
    assert "degenerate in 100% of runs" in result.summary()


def test_samples_keep_the_classes_and_the_pairs():
    given = concept()
    drawn = consistency.resampled(given, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.z, given.z)
    columns = np.eye(2, dtype=np.float32)[given.z]
    drawn = consistency.resampled(given._replace(z=columns), np.random.default_rng(0))
    np.testing.assert_array_equal(drawn.z, columns)
    assert len(np.unique(drawn.x[:, 0])) < len(given.x)
    # both sides of a pair are resampled together
    place = [np.flatnonzero((given.a == row).all(1))[0] for row in np.asarray(drawn.a)]
    np.testing.assert_array_equal(drawn.b, given.b[place])
    assert len(set(place)) < len(place)
    numbers = given.x[:, 0].copy()
    drawn = consistency.resampled(
        given._replace(z=numbers, a=None), np.random.default_rng(0)
    )
    np.testing.assert_array_equal(drawn.z, drawn.x[:, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: consistency.pairwise_agreement(EYE), r"bases: got shape \(6, 6\)"),
        (
            lambda: consistency.pairwise_agreement(EYE[None] * np.nan),
            "bases: got 36 numbers",
        ),
        (lambda: consistency.consistency(EYE[None]), "runs: got 1"),
        (
            lambda: consistency.consistency(EYE[:, None], np.zeros(1, int)),
            "sample: got shape",
        ),
        (
            lambda: consistency.consistency(EYE[:, None], losses=np.zeros(1)),
            "losses: got shape",
        ),
        (lambda: consistency.consistency(EYE[:, None], level=1.0), "level: got 1.0"),
        (lambda: consistency.chance_agreement(3, 2), "d: got 2; allowed: at least 3"),
        (
            lambda: consistency.repeat(
                "random", concept(), jax.random.key(0), seeds=1, samples=1
            ),
            r"seeds \* samples: got 1; allowed: at least 2",
        ),
        (
            lambda: consistency.repeat("pca", concept(), jax.random.key(0)),
            "method: got 'pca'",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
