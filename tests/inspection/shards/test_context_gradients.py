"""The spread of |cos| separates shards from smooth modulation; rank does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import value
from shardsim.inspection.shards import context_gradients, dictionary

CONTEXTS, FEATURES, STATES = 60, 16, 20


def weights(kind, seed=0):
    """How contexts mix three directions."""
    rng = np.random.default_rng(seed)
    return {
        "gate": np.eye(3)[np.arange(CONTEXTS) % 3],
        "mixture": rng.normal(size=(CONTEXTS, 3)),
        "free": np.ones((CONTEXTS, 3)),
    }[kind]


def stack(kind, seed=0):
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(FEATURES, 3)))[0]
    return (weights(kind, seed) @ axes.T).astype(np.float32)


def measured(kind, noise=0.05):
    rng = np.random.default_rng(1)
    gradients = np.repeat(stack(kind), STATES, axis=0)
    gradients = gradients + noise * rng.normal(size=gradients.shape)
    labels = np.repeat(np.arange(CONTEXTS), STATES)
    return context_gradients.fit(gradients.astype(np.float32), labels, CONTEXTS)


def test_rank_alone_cannot_tell_shards_from_modulation():
    gate, mixture, free = (measured(k) for k in ("gate", "mixture", "free"))
    assert gate.rank == pytest.approx(3, abs=0.1)
    assert mixture.rank == pytest.approx(3, abs=0.25)
    assert free.rank == pytest.approx(1, abs=0.02)
    assert gate.bimodality > 0.95
    assert mixture.bimodality < 0.45
    # one direction is shared by all: 1, as for random directions in one dimension
    assert free.bimodality == pytest.approx(float(free.bimodality_null), abs=0.02)
    assert gate.bimodality > gate.bimodality_null + 10 * gate.bimodality_spread
    assert float(gate.parallel + gate.orthogonal) > 0.95
    assert float(mixture.parallel + mixture.orthogonal) < 0.2
    assert gate.parallel == pytest.approx(19 / 59, abs=0.01)


@pytest.mark.slow
def test_by_hand():
    """Contexts e1, e1, 2 e2: s^2 are 2 and 4, so the rank is 36 / 20."""
    rows = np.float32([[1, 0], [1, 0], [1, 0], [1, 0], [0, 3], [0, 1]])
    actual = context_gradients.fit(rows, np.array([0, 0, 1, 1, 2, 2]), 3)
    np.testing.assert_allclose(actual.gradients, [[1, 0], [1, 0], [0, 2]])
    assert actual.counts.tolist() == [2, 2, 2]
    assert actual.rank == pytest.approx(1.8)
    assert actual.unit_rank == pytest.approx(9 / 5)
    assert actual.cosines.tolist() == [1, 0, 0]
    assert actual.parallel == pytest.approx(1 / 3)
    assert actual.orthogonal == pytest.approx(2 / 3)
    assert actual.bimodality == pytest.approx(1)
    # halves: e1, e1, 3 e2 and e1, e1, e2
    assert actual.noise == pytest.approx(1 / 6)
    assert actual.noise_rank == pytest.approx(1)
    assert actual.clean_rank == pytest.approx(25 / 13)
    np.testing.assert_allclose(actual.reliability, 1)
    assert "3 contexts: effective rank 1.80" in actual.summary()


@pytest.mark.parametrize(
    ("numbers", "index"),
    [
        ([0, 1, 1, 0], 1),
        ([0.4] * 5, 0.04),
        ([0.25, 0.75], 1 / 4),
        ([1, 1], 1),
        ([0], 1),
        ([0.5], 0),
    ],
)
def test_bimodality_by_hand(numbers, index):
    assert context_gradients.bimodality(jnp.float32(numbers)) == pytest.approx(
        index, abs=1e-6
    )


@pytest.mark.parametrize("count", [2, 3, 6])
def test_one_orthogonal_shard_a_context(count):
    """Bimodality 1; with two contexts it cannot be told from random directions."""
    rows = np.repeat(np.eye(8, dtype=np.float32)[:count], 4, axis=0)
    actual = context_gradients.fit(rows, np.repeat(np.arange(count), 4), count)
    assert actual.bimodality == pytest.approx(1)
    shown = actual.bimodality > actual.bimodality_null + 2 * actual.bimodality_spread
    assert shown == (count > 2)
    assert actual.orthogonal == 1
    assert actual.orthogonal_null < 0.1


def test_two_contexts_can_have_any_bimodality():
    """Gradients (1, 0) and (cos, sin) with |cos| = 1/2, whose bimodality is 0."""
    rows = np.float32([[1, 0], [1, 0], [0.5, 0.75**0.5], [0.5, 0.75**0.5]])
    actual = context_gradients.fit(rows, np.array([0, 0, 1, 1]), 2)
    assert actual.bimodality == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("d", "count"), [(2, 2), (3, 5), (6, 4)])
def test_the_null_of_bimodality_is_that_of_random_directions(d, count):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(4000, count, d))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    low, high = np.triu_indices(count, 1)
    cosines = np.abs(np.einsum("scd,sed->sce", x, x))[:, low, high]
    drawn = 1 - 4 * (cosines * (1 - cosines)).mean(axis=1)
    mean, sd = context_gradients.bimodality_of_random(jnp.float32(d), len(low))
    assert mean == pytest.approx(drawn.mean(), abs=0.02)
    assert sd == pytest.approx(drawn.std(), abs=0.02)


def test_noise_raises_the_rank_and_split_halves_detect_it():
    noisy = measured("free", noise=6.0)
    assert noisy.rank > 2
    assert noisy.clean_rank < 0.8 * noisy.rank
    assert noisy.noise > 0.3
    assert noisy.noise_rank > 8
    assert measured("free", noise=0.0).noise == 0
    assert measured("free").reliability.min() > 0.95
    assert noisy.reliability.mean() < 0.9


def test_order_of_states_and_labels_of_contexts_do_not_matter():
    labels = np.array([1, 0, 1, 0, 2, 2])
    rows = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    one = context_gradients.fit(rows, labels, 3)
    other = context_gradients.fit(rows, np.array([2, 1, 0])[labels], 3)
    for field in ("rank", "unit_rank", "clean_rank", "noise", "bimodality"):
        np.testing.assert_allclose(
            getattr(one, field), getattr(other, field), rtol=1e-5
        )


@pytest.mark.slow
def test_whitened_products_are_invariant_to_linear_maps():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        features, gradients = rng.normal(size=(50, 4)), rng.normal(size=(9, 4))
        change = rng.normal(size=(4, 4))
        one = context_gradients.whitened(jnp.asarray(gradients), jnp.asarray(features))
        other = context_gradients.whitened(
            jnp.asarray(gradients @ np.linalg.inv(change)),
            jnp.asarray(features @ change.T),
        )
        np.testing.assert_allclose(one @ one.T, other @ other.T, rtol=1e-6)
        assert context_gradients.fit(one, np.arange(9) % 2, 2).rank.dtype == np.float64


def test_gradients_of_a_head():
    head = value.Linear().build(3, 1, 1, nnx.Rngs(0))
    head.kernel.set_value(jnp.float32([[1, 2, 3]]))
    actual = context_gradients.value_gradients(
        head, jnp.ones((4, 3)), jnp.zeros((4, 1))
    )
    np.testing.assert_allclose(actual, np.tile([1, 2, 3], (4, 1)))


@pytest.mark.slow
def test_lines_lose_more_than_planes_for_mixtures(key):
    """The planted case and its control: the gap at 3 atoms."""
    gate, mixture = (dictionary.fit(stack(k), key) for k in ("gate", "mixture"))
    np.testing.assert_allclose(gate.plane[2], 0, atol=1e-5)
    np.testing.assert_allclose(mixture.plane[2], 0, atol=1e-5)
    assert gate.gap[2] < 1e-4
    assert mixture.gap[2] > 0.1
    for actual in (gate, mixture):
        assert (actual.gap >= -1e-5).all()
        assert (np.diff(actual.lines) <= 1e-5).all()
    owner = np.asarray(gate.row_atom[2]).reshape(-1, 3)
    assert (owner == owner[:1]).all()
    assert len(set(owner[0])) == 3
    assert "3 atoms lose 0.000 (" in gate.summary()
    for actual in (gate, mixture):
        assert actual.converged.all()
    # shards lie below what mixed rows lose, mixtures do not
    assert gate.gap[2] < 0.1 * gate.null[2]
    assert mixture.gap[2] > 0.5 * mixture.null[2]


@pytest.mark.slow
def test_planes_are_those_of_the_singular_values(key):
    rows = stack("mixture")
    for table in (rows, rows[:5]):
        actual = dictionary.fit(table, key, counts=(1, 2), restarts=5)
        power = np.square(np.linalg.svd(table, compute_uv=False))
        lost = 1 - np.cumsum(power)[:2] / power.sum()
        np.testing.assert_allclose(actual.plane, lost, atol=1e-5)
        np.testing.assert_allclose(actual.lines[0], actual.plane[0], atol=1e-3)


def test_bad_input_is_named(key):
    rows, labels = np.ones((4, 2), np.float32), np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"contexts: got shape \(3,\)"):
        context_gradients.fit(rows, labels[:3], 2)
    with pytest.raises(ValueError, match="gradients: got 8 numbers"):
        context_gradients.fit(rows * np.nan, labels, 2)
    with pytest.raises(ValueError, match="num_contexts: got 1"):
        context_gradients.fit(rows, labels, 1)
    with pytest.raises(ValueError, match="contexts: got 2; allowed: 0 to 1"):
        context_gradients.fit(rows, labels + 1, 2)
    with pytest.raises(ValueError, match="states of context 1: got 1"):
        context_gradients.fit(rows[:3], labels[:3], 2)
    with pytest.raises(ValueError, match="stack: got only zeros"):
        dictionary.fit(0 * rows, key, counts=(1,))
    with pytest.raises(ValueError, match="counts: got 5"):
        dictionary.fit(rows, key, counts=(5,))
    with pytest.raises(ValueError, match="stack: got shape"):
        dictionary.fit(rows[0], key)
    with pytest.raises(ValueError, match="gradients: got shape"):
        context_gradients.whitened(rows, np.ones((4, 3)))
