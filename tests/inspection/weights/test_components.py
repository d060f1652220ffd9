"""Stochastic parameter decomposition: planted components, and where none are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.weights import components

CONTEXTS = np.arange(512) % 4


@functools.cache
def planted():
    """Four rank-one mechanisms of 8 inputs; each context uses one of them alone."""
    rng = np.random.default_rng(0)
    read = np.linalg.qr(rng.normal(size=(8, 8)))[0][:4]
    write = rng.normal(size=(4, 12))
    size = rng.uniform(0.5, 2, 512) * rng.choice([-1, 1], 512)
    inputs = size[:, None] * read[CONTEXTS]
    last = jnp.asarray(rng.normal(size=12), jnp.float32)

    def output_of(pre, context):
        return jax.nn.relu(pre) * last

    found = components.fit(
        output_of,
        (write.T @ read).astype(np.float32),
        inputs.astype(np.float32),
        np.zeros((512, 1), np.float32),
        jax.random.key(0),
        components=6,
    )
    return found, write


@pytest.mark.slow
def test_planted_components_are_recovered():
    found, write = planted()
    assert float(found.faithful) > 0.98
    assert float(found.kept) > 0.95
    assert float(found.kept_null) < 0.5
    assert bool(found.converged)
    # each context needs a component of its own, which writes what was planted
    by_context = np.stack(
        [np.asarray(found.importance)[c == CONTEXTS].mean(axis=0) for c in range(4)]
    )
    best = by_context.argmax(axis=1)
    assert len(set(best.tolist())) == 4
    own = np.asarray(found.write)[best]
    sizes = np.linalg.norm(own, axis=1) * np.linalg.norm(write, axis=1)
    assert (np.abs((own * write).sum(axis=1)) > 0.95 * sizes).all()
    assert components.selectivity(found.importance, CONTEXTS) > 0.8


def test_contexts_that_are_shuffled_have_no_components():
    found, _ = planted()
    shuffled = np.random.default_rng(1).permutation(CONTEXTS)
    assert components.selectivity(found.importance, shuffled) < 0.25


def test_selectivity_by_hand():
    """Two contexts: one component of each, of one half in both: (1 + 1 + 0) / 3."""
    context = np.array([0, 0, 1, 1])
    alone = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert components.selectivity(alone, context) == pytest.approx(1)
    assert components.selectivity(np.ones((4, 2)), context) == pytest.approx(0)
    both = np.column_stack([alone, np.full(4, 0.5)])
    assert components.selectivity(both, context) == pytest.approx(2 / 3)
    unused = np.column_stack([alone, np.zeros(4)])
    assert components.selectivity(unused, context) == pytest.approx(1)
    assert components.selectivity(np.zeros((4, 2)), context) == 0


def test_refusals():
    fit = functools.partial(
        components.fit,
        lambda pre, context: pre,
        np.eye(2),
        context=np.zeros((3, 1)),
        key=jax.random.key(0),
    )
    with pytest.raises(ValueError, match="inputs: got shape"):
        fit(np.ones((3, 4)))
    with pytest.raises(ValueError, match="output_of: got a constant output"):
        fit(np.ones((3, 2)))
    with pytest.raises(ValueError, match="cost: got 0"):
        fit(np.eye(3, 2), cost=0)
    with pytest.raises(ValueError, match="contexts: got 1"):
        components.selectivity(np.ones((3, 2)), np.zeros(3, int))
