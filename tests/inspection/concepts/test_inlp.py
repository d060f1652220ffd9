"""INLP: what it removes, in which order, and that it removes more than necessary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import inlp, leace, probes
from shardsim.inspection.weights import bases

N, D = 600, 6


def made(seed=0, classes=2, gap=1.0):
    """Class means differ along e_0 and e_1, which have noise of different size."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, classes, N)
    x = rng.normal(size=(N, D))
    x[:, 1] *= 0.2
    means = np.zeros((classes, D))
    means[:, :2] = (
        gap * rng.normal(size=(classes, 2)) if classes > 2 else [[0, 0], [gap, gap]]
    )
    return (x + means[z]).astype(np.float32), z


@pytest.mark.slow
def test_the_first_round_is_the_probe_and_the_rounds_span_both():
    x, z = made()
    result = inlp.fit(x, z, rounds=2)
    w = probes.logistic(x, z).weights[:, 1]
    w /= np.linalg.norm(w)
    assert abs(result.basis[0] @ w) == pytest.approx(1.0, abs=1e-5)
    # not the mean difference, which is (1, 1, 0, ...) / sqrt(2)
    assert abs(result.basis[0, :2].sum()) / np.sqrt(2) < 0.9
    # two rounds span the two informative features
    assert jnp.sum(result.basis[:, :2] ** 2) > 1.9


def test_rows_and_projection_belong_together():
    x, z = made(classes=3)
    result = inlp.fit(x, z, rounds=2)
    assert result.basis.shape == (4, D)
    np.testing.assert_allclose(result.basis @ result.basis.T, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(result.removed, result.basis.T @ result.basis, atol=1e-4)
    np.testing.assert_allclose(
        result.removed @ result.removed, result.removed, atol=1e-5
    )
    assert result.rank == 4
    assert (jnp.diff(result.losses) > -1e-5).all()


@pytest.mark.slow
def test_it_needs_more_directions_than_leace():
    x, z = made(gap=1.5)
    result = inlp.fit(x, z, rounds=4)
    # chance changes an accuracy by about 1 / sqrt(n)
    assert result.rounds_needed(1 / np.sqrt(N)) > 1
    assert result.accuracies[0] > 0.95
    assert result.accuracies[-1] < result.majority + 2 / np.sqrt(N)
    erased = leace.fit(x, z).erase(jnp.asarray(x))
    again = inlp.fit(erased, z, rounds=2)
    entropy = -np.log([z.mean(), 1 - z.mean()]) @ [z.mean(), 1 - z.mean()]
    assert again.losses[0] == pytest.approx(entropy, abs=1e-4)


def test_accuracy_is_that_of_held_out_samples():
    x, z = made()
    other, answers = made(1)
    both, labels = np.concatenate([x, other]), np.concatenate([z, answers])
    held_out = np.arange(2 * N) >= N
    result = inlp.fit(both, labels, rounds=2, held_out=held_out)
    probe = probes.logistic(x, z, decay=1e-3)
    columns = np.eye(2, dtype=np.float32)[answers]
    expected = probe.accuracy(jnp.asarray(other), jnp.asarray(columns))
    assert result.accuracies[0] == pytest.approx(float(expected), abs=2 / N)
    assert result.majority == pytest.approx(max(answers.mean(), 1 - answers.mean()))


def test_repeated_rows_do_not_count_twice():
    rows = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    _, result = bases.gram_schmidt(rows, inlp.SINE_CUT)
    np.testing.assert_allclose(result, [[1, 0, 0], [0, 0, 0], [0, 1, 0]], atol=1e-6)


def test_the_row_space_spans_the_differences_of_logits():
    """A shift of all logits does not count, and neither does 1e-4 of the others."""
    alike, difference = (
        jnp.asarray([[5.0], [7.0]]),
        jnp.asarray([[1.0, -1.0], [0.0, 0.0]]),
    )
    result = np.asarray(inlp.row_space(alike + difference, 1))
    np.testing.assert_allclose(np.abs(result), [[1, 0]], atol=1e-6)
    three = jnp.asarray([[1.0, 0.0, -1.0], [1e-4, -2e-4, 1e-4]])
    result = np.asarray(inlp.row_space(three, 2))
    np.testing.assert_allclose(np.abs(result), [[1, 0], [0, 0]], atol=1e-3)


def test_more_rounds_than_features_repeat_nothing():
    x, z = made()
    result = inlp.fit(x[:, :2], z, rounds=4)
    basis = np.asarray(result.basis)
    assert int(result.rank) == 2
    lengths = np.linalg.norm(basis, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 0], atol=1e-5)


def test_one_class_and_constant_features_have_no_directions():
    x, _ = made()
    none = inlp.fit(x, np.zeros(N, int), rounds=2)
    assert none.rank == 0
    assert not none.basis.any()
    assert none.rounds_needed() == 0
    still = inlp.fit(np.ones((N, D), np.float32), np.arange(N) % 2, rounds=2)
    assert still.rank == 0


def test_few_samples_are_separated_for_several_rounds():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(10, 30)).astype(np.float32), np.arange(10) % 2
    other = rng.normal(size=(200, 30)).astype(np.float32)
    both, labels = np.concatenate([x, other]), np.concatenate([z, np.arange(200) % 2])
    held_out = np.arange(210) >= 10
    result = inlp.fit(both, labels, rounds=2, held_out=held_out, decay=1e-3)
    assert result.losses[0] < 0.1
    assert result.accuracies[0] < 0.65


def test_double_precision_and_summary():
    x, z = made()
    with jax.enable_x64(True):
        result = inlp.fit(x.astype(np.float64), z, rounds=2)
        assert result.basis.dtype == np.float64
        np.testing.assert_allclose(
            result.removed @ result.removed, result.removed, atol=1e-10
        )
    assert "INLP: 2 directions, accuracy" in result.summary()


def test_labels_of_any_kind_give_the_same_directions():
    x, z = made()
    expected = inlp.fit(x, z)
    for names in (np.array([3, 8]), np.array(["cheese", "corner"]), [False, True]):
        result = inlp.fit(x, np.asarray(names)[z])
        np.testing.assert_array_equal(result.basis, expected.basis)
    as_list = inlp.fit(x.tolist(), ["corner" if label else "cheese" for label in z])
    np.testing.assert_allclose(as_list.basis, expected.basis, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros(3)}, r"x: got shape \(3,\)"),
        ({"x": np.full((3, 2), np.nan)}, "x: got 6 numbers"),
        ({"z": np.zeros(4, int)}, r"z: got shape \(4,\)"),
        ({"z": np.zeros(3)}, "z: got a vector of floats"),
        ({"rounds": 0}, "rounds: got 0"),
        ({"decay": -1.0}, "decay: got -1.0"),
        ({"held_out": np.zeros(2, bool)}, r"held_out: got shape \(2,\)"),
        ({"held_out": np.array([0, 0, 1])}, "held_out: got int64; allowed: booleans"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"x": np.zeros((3, 2)), "z": np.array([0, 1, 0])} | change
    with pytest.raises(ValueError, match=message):
        inlp.fit(**given)
