"""Restarts compared where the answers are known: a linear readout, known means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import restarts

N, D = 48, 16
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
READ = (RNG.normal(size=D) / D**0.5).astype(np.float32)
CONCEPT = np.eye(D, dtype=np.float32)[0]


def pairs(aside=0.0, seed=0, along=CONCEPT):
    """Pairs that differ by 2 along one direction, and by noise in all others."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(N, D)).astype(np.float32)
    other = aside * rng.normal(size=(N, D)).astype(np.float32)
    return a, a + 2 * along + other


@pytest.fixture(scope="module")
def found():
    program = jax.jit(
        lambda key: restarts.compare(
            lambda x: x @ READ,
            pairs(),
            pairs(seed=1),
            pairs(seed=2, along=np.eye(D, dtype=np.float32)[5]),
            key,
            shares=(0.0, 1.0),
            steps=(2, 1_500),
            restarts=3,
            annealed_restarts=2,
            cde_steps=60,
        )
    )
    return jax.tree.map(np.asarray, program(KEY))


def test_rlace_comes_to_the_difference_of_the_means_with_steps(found):
    """However the pairs are matched: the means are the same."""
    assert found.published.agreement.shape == (2, 2)
    few, many = found.published.to_means.T
    assert (few < 0.7).all()
    assert (many > 0.98).all()
    assert (found.published.agreement[:, 1] > 0.98).all()
    assert found.annealed.to_means > 0.99
    assert found.means.to_means == pytest.approx(1)
    assert found.means.agreement == 1
    assert found.random.agreement < 0.5


def test_cde_of_a_linear_readout_has_many_optima_unless_pairs_differ_in_more(found):
    """Pairs that differ along one direction c: each d with (r.d)(d.c) = r.c is one. Of
    other states, only r."""
    matching, others = found.cde.agreement
    assert matching < 0.9
    assert others > 0.99
    assert found.cde_to_read[1] > 0.99
    assert found.of_planted[0] < 0.9
    assert found.of_planted[1] > 0.99
    assert found.of_planted_to_read[1] > 0.99


def test_swaps_of_the_concept_and_of_another_one(found):
    """The difference of the means is the whole difference of a pair, and no part of
    that of the other pairs; so is the span of the differences."""
    for method in (found.means, found.span):
        assert method.swap > 0.99
        assert method.other_swap < 0.01
        assert method.specificity > 0.98
    # a direction by which the readout sees everything is not specific
    assert found.cde.other_swap[1] > 0.9
    assert "agreement" in found.means.summary()
    assert "CDE" in found.summary()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_mismatched_pairs_are_a_share_and_keep_the_mean(share):
    _, b = pairs()
    mixed = np.asarray(restarts.mismatched(b, share, KEY))
    moved = (mixed != b).any(axis=1)
    assert moved.sum() == round(share * N)
    np.testing.assert_allclose(mixed.mean(axis=0), b.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(np.sort(mixed[:, 3]), np.sort(b[:, 3]))


def test_what_is_refused():
    with pytest.raises(ValueError, match="share: got 2"):
        restarts.mismatched(pairs()[1], 2, KEY)
    with pytest.raises(ValueError, match=r"shares: got \[0.5\]; allowed: the first"):
        restarts.compare(jnp.sum, pairs(), pairs(), pairs(), KEY, shares=(0.5,))
    with pytest.raises(ValueError, match="restarts: got 1"):
        restarts.compare(jnp.sum, pairs(), pairs(), pairs(), KEY, restarts=1)
