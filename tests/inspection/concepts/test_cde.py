"""CDE recovers what the readout uses, and marks the cases where that means little."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.concepts import cde, readouts

M, D = 128, 6
KEYS = jax.random.split(jax.random.key(0), 4)
W = np.array([0.6, 0.0, 0.8, 0.0, 0.0, 0.0], np.float32)


def linear(h):
    """V = w . h: one output, linear."""
    return h @ jnp.asarray(W, h.dtype)


def rich(h):
    """Three outputs: the concept is read from h_0, the rest from h_2 and h_3."""
    return jnp.stack([jnp.tanh(h[0]), h[2] * jnp.tanh(h[0]), h[3]])


def planted(seed=0):
    """Pairs that differ in h_0, in h_1 (not read), and in noise that is not read."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, M, D))
    b[:, 2:4] = a[:, 2:4]
    a[:, :2] += 1.5
    b[:, :2] -= 1.5
    return a.astype(np.float32), b.astype(np.float32)


def swap_loss(basis, read_out, a, b):
    """Mean over pairs."""

    def of_pair(a, b):
        return cde.swap_loss(basis, read_out, readouts.squared, a, b)

    return jax.vmap(of_pair)(jnp.asarray(a), jnp.asarray(b)).mean()


def pairwise(found):
    rows = np.asarray(found.basis)[:, 0]
    return np.abs(rows @ rows.T)[np.triu_indices(len(rows), 1)]


def test_swap_loss_by_hand():
    # V = 2 h_0 + h_1; swapping h_0 of (1, 1) and (0, 0) gives 2 and 1, not 3 and 0
    def read(h):
        return 2 * h[0] + h[1]

    a, b = jnp.ones((1, 2)), jnp.zeros((1, 2))
    first = jnp.array([[1.0, 0.0]])
    assert swap_loss(first, read, a, b) == pytest.approx(1.0)
    # a unit vector u swaps u (u . c), c = (1, 1): V changes by (w.u)(u.c) of 3
    u = jnp.array([[0.6, 0.8]])
    expected = (3 - 2.0 * 1.4) ** 2
    assert swap_loss(u, read, a, b) == pytest.approx(expected, rel=1e-4)


def test_kl_by_hand():
    # softmax of (log 3, 0) is (3/4, 1/4), of (0, 0) is (1/2, 1/2)
    one, other = jnp.array([np.log(3.0), 0.0]), jnp.zeros(2)
    assert readouts.symmetric_kl(one, other) == pytest.approx(np.log(3) / 4, rel=1e-5)
    assert readouts.symmetric_kl(one, one + 5) == pytest.approx(0.0, abs=1e-6)


def test_an_action_that_neither_takes_has_no_part_in_kl():
    """Logits of -inf on both sides are 0 times NaN, in the value and in the slope."""
    one, other = jnp.array([1.0, 2.0, -jnp.inf]), jnp.array([0.0, 2.0, -jnp.inf])
    expected = readouts.symmetric_kl(one[:2], other[:2])
    assert readouts.symmetric_kl(one, other) == pytest.approx(float(expected))
    slope = jax.grad(readouts.symmetric_kl)(one, other)
    np.testing.assert_allclose(
        slope[:2], jax.grad(readouts.symmetric_kl)(one[:2], other[:2]), rtol=1e-5
    )
    assert slope[2] == 0
    impossible = readouts.symmetric_kl(one, jnp.array([0.0, 2.0, 1.0]))
    assert impossible == jnp.inf


def test_all_directions_swap_everything_and_none_nothing():
    a, b = planted()
    identity = jnp.eye(D, dtype=jnp.float32)
    assert swap_loss(identity, rich, a, b) < 1e-10
    difference = jax.vmap(rich)(a) - jax.vmap(rich)(b)
    expected = np.mean(np.sum(np.square(difference), 1))
    none = jnp.zeros((1, D))
    result = swap_loss(none, rich, a, b)
    assert result == pytest.approx(float(expected), rel=1e-5)
    turned = jnp.array([[0.6, 0.8, 0, 0, 0, 0], [-0.8, 0.6, 0, 0, 0, 0]])
    same = swap_loss(identity[:2], rich, a, b)
    result = swap_loss(turned, rich, a, b)
    assert result == pytest.approx(float(same), abs=1e-6)


@pytest.mark.slow
def test_every_start_finds_what_the_readout_uses():
    a, b = planted()
    result = cde.fit_many(rich, a, b, KEYS)
    assert np.abs(result.basis[:, 0, 0]).min() > 0.999
    assert (result.loss < 1e-4 * result.initial_loss).all()
    assert not result.degenerate.any()
    assert not result.ambiguous.any()
    assert (result.read_rank == 3).all()
    assert (result.pair_rank == 4).all()
    # the unread copy of the concept, which the class means show, is not
    assert np.abs(result.basis[:, 0, 1]).max() < 0.05
    first = jax.tree.map(lambda part: part[0], result)
    assert "degenerate" not in first.summary()


@pytest.mark.slow
def test_logits_are_swapped_by_kl():
    a, b = planted()
    result = cde.fit_many(rich, a, b, KEYS[:2], distance=readouts.symmetric_kl)
    # three logits have two differences that count
    assert (result.read_rank == 3).all()
    assert np.abs(result.basis[:, 0, 0]).min() > 0.99


@pytest.mark.parametrize("concept", [0, 4])
def test_a_linear_value_gives_its_own_weights_for_any_concept(concept):
    # pairs differ in h_0, which w reads, or in h_4, which it does not
    rng = np.random.default_rng(concept)
    a, b = rng.normal(size=(2, M, D)).astype(np.float32)
    a[:, concept] += 3
    result = cde.fit_many(linear, a, b, KEYS)
    assert np.abs(np.asarray(result.basis)[:, 0] @ W).min() > 0.9999
    assert result.degenerate.all()
    assert (result.read_rank == 1).all()
    assert (result.read_cosine > 0.9999).all()
    assert (result.read_loss < 1e-10 * result.initial_loss).all()
    assert pairwise(result).min() > 0.9999
    first = jax.tree.map(lambda part: part[0], result)
    assert "degenerate: every concept" in first.summary()
    assert "ambiguous" not in first.summary()


def test_pairs_along_one_direction_are_ambiguous():
    # (w . u)(u . c) = w . c has a surface of solutions
    rng = np.random.default_rng(0)
    a = rng.normal(size=(M, D)).astype(np.float32)
    c = np.array([1.0, 1.0, 0.5, -1.0, 0.0, 0.5], np.float32)
    result = cde.fit_many(linear, a + c, a, KEYS)
    assert (result.loss < 1e-6 * result.initial_loss).all()
    ways = np.asarray(result.basis)[:, 0]
    np.testing.assert_allclose((ways @ W) * (ways @ c), W @ c, atol=1e-3)
    assert result.ambiguous.all()
    assert result.degenerate.all()
    assert pairwise(result).min() < 0.9
    first = jax.tree.map(lambda part: part[0], result)
    assert "ambiguous" in first.summary()


@pytest.mark.slow
def test_two_directions_for_a_readout_of_two():
    def two(h):
        return jnp.stack([h[0], jnp.sin(h[2])])

    a, b = np.random.default_rng(0).normal(size=(2, M, D)).astype(np.float32)
    result = cde.fit(two, a, b, KEYS[0], k=2)
    assert result.degenerate
    assert result.loss < 1e-4 * result.initial_loss
    np.testing.assert_allclose(result.basis @ result.basis.T, np.eye(2), atol=1e-5)
    assert np.sum(np.square(result.basis[:, [0, 2]])) > 1.99


@pytest.mark.slow
def test_ablation_objective_removes_only_the_concept():
    a, b = planted()
    controls = np.concatenate([a, b])
    # the controls depend on h_3, so removing h_0 has the lower loss
    objective = cde.ablation_objective(controls, weight=0.1)
    result = cde.fit(rich, a, b, KEYS[0], objective=objective)
    assert abs(result.basis[0, 0]) > 0.99
    assert result.loss < 0.3 * result.initial_loss
    with pytest.raises(ValueError, match="weight: got -1"):
        cde.ablation_objective(controls, weight=-1)


def common(seed, size, d=64, n=500):
    """Pairs whose differences are a large shared vector and small ones of their own."""
    rng = np.random.default_rng(seed)
    w, shared = rng.normal(size=(2, d))
    w /= np.linalg.norm(w)
    shared *= size / np.linalg.norm(shared)
    x = rng.normal(size=(n, d))
    other = x + shared + rng.normal(size=(n, d))
    return w.astype(np.float32), other.astype(np.float32), x.astype(np.float32)


@pytest.mark.parametrize("size", [5.0, pytest.param(50.0, marks=pytest.mark.slow)])
def test_strong_common_differences_do_not_stop_it_early(size):
    """400 steps of Adam end at |cos| .7 to .98: the loss is a long flat valley."""
    w, a, b = common(0, size)
    result = cde.fit(lambda h: h @ w, a, b, KEYS[0])
    assert result.converged
    assert abs(result.basis[0] @ w) > 0.9999
    assert "NOT CONVERGED" not in result.summary()


def test_a_search_that_is_cut_short_says_so():
    w, a, b = common(0, 50.0)
    with pytest.warns(UserWarning, match="CDE: not converged; allow more max_steps"):
        result = cde.fit(lambda h: h @ w, a, b, KEYS[0], steps=10, max_steps=10)
    assert not result.converged
    assert abs(result.basis[0] @ w) < 0.99
    assert "NOT CONVERGED after 10 steps" in result.summary()
    with pytest.warns(UserWarning, match="CDE: not converged in 2 of 2 fits"):
        cde.fit_many(lambda h: h @ w, a, b, KEYS[:2], steps=5, max_steps=5)


def test_equal_pairs_return_the_start():
    a, _ = planted()
    result = cde.fit(rich, a, a, KEYS[0])
    assert result.initial_loss == 0
    assert result.loss == 0
    assert result.ambiguous
    np.testing.assert_allclose(jnp.linalg.norm(result.basis), 1.0, atol=1e-6)


@pytest.mark.slow
def test_one_pair():
    a, b = planted()
    one = cde.fit(rich, a[:1], b[:1], KEYS[0])
    assert one.ambiguous
    assert one.loss < 1e-3 * one.initial_loss


@pytest.mark.slow
def test_double_precision():
    a, b = planted()
    with jax.enable_x64(True):
        key = jax.random.key(1)
        result = cde.fit(rich, a.astype(float), b.astype(float), key)
        assert result.basis.dtype == np.float64
        assert abs(result.basis[0, 0]) > 0.999


@pytest.mark.slow
def test_slopes_of_a_read_out():
    # V = w . h: J' 2 J = 2 w w'; logits ignore what shifts all of them alike
    a, b = planted()
    result = readouts.jacobian_moment(linear, readouts.squared, a, b)
    np.testing.assert_allclose(result, 2 * np.outer(W, W), atol=1e-4)

    def alike(h):
        return jnp.stack([h[0] + h[1], h[1]])

    result = readouts.jacobian_moment(alike, readouts.symmetric_kl, a, b)
    rows, rank = readouts.top_eigenvectors(result, 1)
    assert rank == 1
    assert abs(rows[0, 0]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": np.zeros(3)}, r"a: got shape \(3,\)"),
        ({"b": np.zeros((4, 2))}, r"b: got shape \(4, 2\); allowed: \(3, 2\)"),
        ({"a": np.full((3, 2), np.nan)}, "a: got 6 numbers"),
        ({"b": np.full((3, 2), np.inf)}, "b: got 6 numbers"),
        ({"k": 3}, "k: got 3; allowed: at most 2"),
        ({"k": 0}, "k: got 0; allowed: at least 1"),
        ({"steps": 0}, "steps: got 0"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"a": np.zeros((3, 2)), "b": np.zeros((3, 2))} | change
    a, b = given.pop("a"), given.pop("b")
    for fit, keys in ((cde.fit, KEYS[0]), (cde.fit_many, KEYS)):
        with pytest.raises(ValueError, match=message):
            functools.partial(fit, linear, a, b, keys, **given)()
