"""Scores of directions: by hand, at both ends, and without anything to score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import (
    concept as concepts,
)
from shardsim.inspection.concepts import (
    direction_scores,
    projection,
)

D = 3
EYE = np.eye(D, dtype=np.float32)


def along(*rows):
    """Directions with these rows and mean 0."""
    return projection.orthogonal(jnp.asarray(rows, jnp.float32), jnp.zeros(D))


def two(h):
    """V = 3 h_0 + h_1, and h_2."""
    return jnp.stack([3 * h[0] + h[1], h[2]])


ONE, NONE = np.array([[1.0, 1.0, 0.0]]), np.zeros((1, D))


def test_swap_by_hand():
    # swapping h_0 of (1, 1, 0) and 0 moves V by 3 of 4, both ways; h_2 is the same for
    # both, which is no ratio: half of the outputs count
    result = direction_scores.swap_success(along(EYE[0]), two, ONE, NONE)
    assert result.success == pytest.approx(0.75)
    assert result.counted == 0.5
    assert result.summary() == "0.750 over 50% of outputs"


def test_ablation_by_hand():
    # without h_0 the pair differs by 1 instead of 4
    result = direction_scores.ablation_success(along(EYE[0]), two, ONE, NONE)
    assert result.success == pytest.approx(0.75)
    assert result.counted == 0.5


def test_overshooting_is_a_full_swap_and_the_wrong_direction_is_none():
    # V = h_0 - h_1 / 2 differs by 1/2: swapping h_0 moves it by 1, h_1 by -1/2
    def steep(h):
        return h[0] - h[1] / 2

    far = direction_scores.swap_success(along(EYE[0]), steep, ONE, NONE)
    assert far.success == 1.0
    wrong = direction_scores.swap_success(along(EYE[1]), steep, ONE, NONE)
    assert wrong.success == 0.0
    # erasing h_0 turns the difference from 1/2 to -1/2: as large as it was
    assert direction_scores.ablation_success(along(EYE[0]), steep, ONE, NONE)[0] == 0.0


def test_all_directions_swap_everything_and_zeros_nothing():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20, D)).astype(np.float32)
    for effect in (direction_scores.swap_success, direction_scores.ablation_success):
        assert effect(along(*EYE), two, a, b).success == pytest.approx(1.0, abs=1e-4)
        none = effect(along(np.zeros(D)), two, a, b)
        assert none.success == pytest.approx(0.0, abs=1e-4)
        assert none.counted == 1.0


def test_pairs_that_do_not_differ_have_no_score():
    for effect in (direction_scores.swap_success, direction_scores.ablation_success):
        result = effect(along(EYE[0]), two, ONE, ONE)
        assert np.isnan(result.success)
        assert result.counted == 0.0


def labelled(n=600):
    """The class is in h_0, h_1 is a weak copy, and pairs differ like the classes."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, n)
    x = rng.normal(size=(n, D))
    x[:, 0] += 3 * z
    return x.astype(np.float32), z, np.arange(n) % 3 == 0


@pytest.mark.slow
def test_guardedness_with_a_control():
    x, z, held_out = labelled()
    centred = along(EYE[0])._replace(mean=jnp.asarray(x.mean(0)))
    guard = direction_scores.guardedness(centred, x, z, held_out)
    most = int(z[~held_out].mean() > 0.5)
    assert guard.majority == pytest.approx((z[held_out] == most).mean())
    assert guard.before > 0.88
    assert abs(guard.above_majority) < 0.08
    other = direction_scores.guardedness(along(EYE[2]), x, z, held_out)
    assert other.above_majority > 0.3
    assert other.before == guard.before
    assert "held-out accuracy 0.9" in other.summary()


@pytest.mark.slow
def test_a_probe_is_fitted_on_one_side_and_tested_on_the_other():
    """Labels that are reversed on the held-out side are all misclassified."""
    x, held_out = np.eye(D, dtype=np.float32)[:1].repeat(40, 0), np.arange(40) >= 20
    x[::2] *= -1
    z = (x[:, 0] > 0) ^ held_out
    result = direction_scores.guardedness(along(EYE[1]), x, z, held_out)
    assert float(result.before) == 0
    assert float(result.majority) == 0.5


@pytest.mark.slow
def test_all_scores_together():
    x, z, held_out = labelled()
    a, b = np.repeat(ONE, 4, 0), np.repeat(NONE, 4, 0)
    concept = concepts.Concept(x, z, a, b, two)
    other = np.repeat(EYE[2:], 4, 0), b
    scores = direction_scores.score(
        along(EYE[0]), concept, held_out, jax.random.key(0), other=other
    )
    assert scores.swap.success == pytest.approx(0.75)
    # pairs that differ in h_2 are not changed
    assert scores.specificity == pytest.approx(1.0)
    bad = direction_scores.score(
        along(EYE[2]), concept, held_out, jax.random.key(0), other=other
    )
    assert bad.specificity == pytest.approx(0.0, abs=1e-6)
    # V is sensitive to (3, 1, 0) / sqrt(10) and to h_2: to 9/10 of h_0
    assert scores.dormant == pytest.approx(0.1, abs=1e-4)
    assert bad.dormant == pytest.approx(0.0, abs=1e-4)
    alone = direction_scores.score(along(EYE[0]), concept, held_out, jax.random.key(0))
    assert np.isnan(alone.specificity)
    assert "swap 0.750 (random " in scores.summary()
    assert "ablation 0.750 (random " in scores.summary()


def test_effects_compile_and_map():
    stack = jnp.stack([along(EYE[i]).write for i in range(2)])
    zero = along(EYE[0])

    def success(rows):
        moved = zero._replace(write=rows, read=rows)
        return direction_scores.swap_success(moved, two, ONE, NONE).success

    np.testing.assert_allclose(jax.vmap(success)(stack), [0.75, 0.25], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: direction_scores.swap_success(d, two, EYE[:, :2], EYE), "a: got"),
        (lambda d: direction_scores.swap_success(d, two, EYE, EYE[:2]), "b: got"),
        (
            lambda d: direction_scores.ablation_success(d, two, EYE * np.nan, EYE),
            "a: got 9 numbers",
        ),
        (
            lambda d: direction_scores.guardedness(
                d, EYE, [0, 1, 0], np.zeros(3, bool)
            ),
            "held_out: got 0 of 3 held out",
        ),
        (
            lambda d: direction_scores.guardedness(d, EYE, [0, 1, 0], np.ones(2, bool)),
            r"held_out: got shape \(2,\)",
        ),
        (
            lambda d: direction_scores.guardedness(
                d, EYE[:, :2], [0, 1, 0], np.ones(3, bool)
            ),
            "directions.write: got shape",
        ),
        (
            lambda d: direction_scores.score(
                d,
                concepts.Concept(EYE, [0, 1, 0]),
                np.ones(3, bool),
                jax.random.key(0),
            ),
            "concept: got no read_out",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(along(EYE[0]))
