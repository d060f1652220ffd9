"""CCS: losses by hand, all sign vectors of independent facts, what it can find."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.test_util import check_grads

from shardsim.inspection.truth import ccs, ccs_loss, pairs

SMALL = {"restarts": 4, "steps": 150}


def planted(seed=0, n=200, d=8, noise=0.4, strength=1.0):
    """x+- = +-(label) strength c + side + noise, with separate noise for each side."""
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.5
    concept, side = np.linalg.qr(rng.normal(size=(d, 2)))[0].T
    signed = np.where(label, 1, -1)[:, None] * strength * concept
    x = signed + 3 * side + noise * rng.normal(size=(n, d))
    y = -signed - 3 * side + noise * rng.normal(size=(n, d))
    return jnp.asarray(x), jnp.asarray(y), jnp.asarray(label), concept, side


def test_losses_by_hand():
    """p+ = .8, p- = .4: (.2)^2 and .4^2; sigmoid(ln 4) = .8."""
    yes, no = jnp.log(jnp.asarray([4.0])), jnp.log(jnp.asarray([2 / 3]))
    np.testing.assert_allclose(ccs_loss.consistency_loss(yes, no), 0.04, rtol=1e-5)
    np.testing.assert_allclose(ccs_loss.confidence_loss(yes, no), 0.16, rtol=1e-5)
    np.testing.assert_allclose(ccs_loss.loss(yes, no), 0.2, rtol=1e-5)
    np.testing.assert_allclose(ccs_loss.loss(no, yes), 0.2, rtol=1e-5)


@pytest.mark.long
def test_batches_find_what_all_pairs_find():
    """Losses use all pairs, and a batch of all pairs changes nothing."""
    x, y, _, concept, _ = planted(n=400)
    key, how = jax.random.key(0), {"restarts": 4, "steps": 150}
    full = ccs.fit(x, y, key, **how)
    part = ccs.fit(x, y, key, batch=64, **how)
    assert abs(float(part.direction @ jnp.asarray(concept, x.dtype))) > 0.9
    assert abs(float(part.direction @ full.direction)) > 0.97
    first, second = part.sides.apply(x, y)
    logits = first @ part.weight + part.bias, second @ part.weight + part.bias
    np.testing.assert_allclose(part.loss, ccs_loss.loss(*logits), rtol=1e-4)
    same = ccs.fit(x, y, key, batch=400, **how)
    np.testing.assert_array_equal(same.losses, full.losses)


def test_constant_probes():
    """p = 1/2 has loss .25; no constant has a lower loss than p = .4, with .20."""
    p = np.linspace(0.01, 0.99, 99)
    logit = jnp.asarray(np.log(p / (1 - p)))[:, None]
    costs = np.asarray(jax.vmap(ccs_loss.loss)(logit, logit))
    assert p[costs.argmin()] == pytest.approx(0.4)
    assert costs.min() == pytest.approx(ccs_loss.BEST_CONSTANT, abs=1e-5)
    assert costs[49] == pytest.approx(ccs_loss.CONSTANT_HALF, abs=1e-5)


@pytest.mark.parametrize("d", range(1, 9))
def test_all_sign_vectors_of_independent_facts_have_the_same_loss(d):
    """2^d features: consistency 0, confidence sigmoid(-a)^2; 2^d - 2 after centring."""
    with jax.enable_x64(True):
        signs = jnp.asarray(list(product([-1.0, 1.0], repeat=d)))
        positive, negative = pairs.independent_facts(d)
        a = 3.0
        logits = a * signs @ positive.T, a * signs @ negative.T
        np.testing.assert_array_equal(jax.vmap(ccs_loss.consistency_loss)(*logits), 0)
        sure = jax.vmap(ccs_loss.confidence_loss)(*logits)
        np.testing.assert_allclose(sure, jax.nn.sigmoid(-a) ** 2, rtol=1e-12)
        if d == 1:
            return
        first, second = pairs.learn_sides(positive, negative).apply(positive, negative)
        logits = 40 * signs @ first.T, 40 * signs @ second.T
        losses = np.asarray(jax.vmap(ccs_loss.loss)(*logits))
        np.testing.assert_allclose(
            jax.vmap(ccs_loss.consistency_loss)(*logits), 0, atol=1e-20
        )
        assert (losses < 1e-6).sum() == 2**d - 2
        constant = np.abs(np.asarray(signs).sum(axis=1)) == d
        np.testing.assert_allclose(losses[constant], ccs_loss.CONSTANT_HALF, atol=1e-9)


def test_the_opposite_of_a_probe_has_another_loss():
    """p = .4 has loss .2, 1 - p = .6 has .2^2 + .6^2 = .4; also for unequal sides."""
    constant = jnp.full(1, jnp.log(0.4 / 0.6))
    np.testing.assert_allclose(ccs_loss.loss(constant, constant), 0.2, rtol=1e-5)
    np.testing.assert_allclose(ccs_loss.loss(-constant, -constant), 0.4, rtol=1e-5)
    difference = jnp.asarray([3.0, -1.0])
    np.testing.assert_allclose(
        ccs_loss.loss(difference, -difference),
        ccs_loss.loss(-difference, difference),
        rtol=1e-6,
    )


def test_anchoring_swaps_the_losses_of_both_signs(key):
    x, y, *_ = planted(noise=1.0)
    result = ccs.fit(x, y, key, **SMALL)
    flipped = result.anchored(x[0], y[0], result.probability(x, y)[0] < 0.5)
    np.testing.assert_allclose(flipped.direction, -result.direction)
    first, second = result.sides.apply(x, y)
    logits = (
        first @ flipped.weight + flipped.bias,
        second @ flipped.weight + flipped.bias,
    )
    np.testing.assert_allclose(
        flipped.consistency, ccs_loss.consistency_loss(*logits), 1e-4
    )
    np.testing.assert_allclose(
        flipped.confidence, ccs_loss.confidence_loss(*logits), 1e-4
    )
    np.testing.assert_allclose(flipped.loss, ccs_loss.loss(*logits), rtol=1e-4)
    assert abs(float(flipped.loss - result.loss)) > 1e-3


def test_gradients():
    yes, no = jnp.asarray([0.3, -1.0, 2.0]), jnp.asarray([-0.2, 0.4, 1.0])
    check_grads(ccs_loss.loss, (yes, no), order=1, modes=("rev",), rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_it_finds_a_planted_concept_and_not_the_side(key):
    x, y, label, concept, side = planted()
    result = ccs.fit(x, y, key, **SMALL)
    assert abs(float(result.direction @ concept)) > 0.9
    assert abs(float(result.direction @ side)) < 0.3
    assert float(result.loss) < 0.05
    right = np.mean((np.asarray(result.probability(x, y)) > 0.5) == np.asarray(label))
    assert max(right, 1 - right) > 0.98
    assert float(result.loss) == float(result.losses.min())
    assert float(result.consistency + result.confidence) == pytest.approx(
        float(result.loss)
    )
    np.testing.assert_allclose(jnp.linalg.norm(result.directions, axis=1), 1, rtol=1e-5)
    assert "(below that of random directions" in result.summary()
    assert result.converged.all()


def many_features(strength, n=1000, d=64, seed=0):
    """A concept of one direction in 64, with noise of its own on each side."""
    rng = np.random.default_rng(seed)
    concept = rng.normal(size=d)
    concept /= np.linalg.norm(concept)
    sides = []
    for count in (n, 4000):
        sign = np.where(rng.random(count) < 0.5, 0.5, -0.5)[:, None]
        signed = strength * sign * concept
        sides.append([side + rng.normal(size=(count, d)) for side in (signed, -signed)])
    return jnp.asarray(concept, jnp.float32), *[
        [jnp.asarray(side, jnp.float32) for side in pair] for pair in sides
    ]


def test_regularisation_is_chosen_by_held_out_loss(key):
    """At norm 5 alone |cos| is .93, and the loss on fresh pairs 1.4 of the truth's."""
    concept, train, fresh = many_features(5.0)
    result = ccs.fit(*train, key)
    assert abs(float(result.direction @ concept)) > 0.98
    assert result.converged.all()
    first, second = result.sides.apply(*fresh)

    def fresh_loss(weight):
        return float(
            ccs_loss.loss(first @ weight + result.bias, second @ weight + result.bias)
        )

    truth = concept * jnp.linalg.norm(result.weight)
    assert fresh_loss(result.weight) < 1.15 * fresh_loss(
        truth * jnp.sign(truth @ result.weight)
    )
    # what the summary reports is what fresh pairs show
    assert float(result.held_out_loss) == pytest.approx(
        fresh_loss(result.weight), rel=0.4
    )
    assert float(result.held_out_loss) < float(result.null)
    assert result.is_below


def test_without_a_concept_the_held_out_loss_is_that_of_random_directions(key):
    """The loss on the pairs of the fit is lower, which shows nothing."""
    _, train, _ = many_features(0.0, n=100)
    result = ccs.fit(*train, key)
    assert float(result.loss) < 0.15 < float(result.null) - 0.01
    assert float(result.held_out_loss) > float(result.null) - 0.01
    few = ccs.fit(train[0][:6], train[1][:6], key, restarts=2)
    assert np.isnan(few.held_out_loss)
    assert "not shown to be below" in few.summary()


def test_a_search_that_is_cut_short_says_so(key):
    x, y, *_ = planted()
    with pytest.warns(UserWarning, match="CCS: not converged in"):
        result = ccs.fit(x, y, key, restarts=3, steps=2, max_steps=2)
    assert not result.converged.all()
    assert "NOT CONVERGED" in result.summary()


def test_without_normalisation_the_side_wins(key):
    """The control: the side is the most salient feature, and it is worthless."""
    x, y, label, _, side = planted()
    result = ccs.fit(x, y, key, normalise="none", **SMALL)
    assert abs(float(result.direction @ side)) > 0.9
    right = np.mean((np.asarray(result.probability(x, y)) > 0.5) == np.asarray(label))
    assert 0.35 < right < 0.65


def test_no_concept_no_low_loss(key):
    x, y, *_ = planted(n=200, strength=0.0)
    assert float(ccs.fit(x, y, key, **SMALL).loss) > 0.1


def test_one_labelled_pair_fixes_the_sign(key):
    x, y, label, *_ = planted()
    result = ccs.fit(x, y, key, **SMALL)
    for known in (label[0], ~label[0]):
        fixed = result.anchored(x[0], y[0], known)
        assert bool(fixed.probability(x, y)[0] > 0.5) == bool(known)
        assert abs(float(fixed.direction @ result.direction)) == pytest.approx(
            1, abs=1e-5
        )
    flipped = result.anchored(x[0], y[0], result.probability(x, y)[0] < 0.5)
    np.testing.assert_allclose(
        flipped.probability(x, y), 1 - result.probability(x, y), atol=1e-5
    )


def test_equal_pairs_have_the_loss_of_a_constant_probe(key):
    same = jnp.ones((200, 8))
    result = ccs.fit(same, same, key, **SMALL)
    assert float(result.loss) == pytest.approx(ccs_loss.BEST_CONSTANT, abs=2e-3)
    assert "not shown to be below" in result.summary()
    assert bool(jnp.isfinite(result.direction).all())


@pytest.mark.slow
def test_seeds_side_by_side_are_seeds_one_by_one():
    x, y, *_ = planted()
    keys = jax.random.split(jax.random.key(3), 2)
    both = jax.vmap(lambda k: ccs.fit(x, y, k, **SMALL))(keys)
    assert both.directions.shape == (2, 4, 8)
    one = ccs.fit(x, y, keys[1], **SMALL)
    np.testing.assert_allclose(both.losses[1], one.losses, atol=1e-4)


@pytest.mark.slow
def test_it_runs_in_double():
    with jax.enable_x64(True):
        x, y, _, concept, _ = planted()
        result = ccs.fit(x, y, jax.random.key(0), **SMALL)
        assert result.loss.dtype == jnp.float64
        assert abs(float(result.direction @ concept)) > 0.9


@pytest.mark.slow
def test_rounds_are_orthogonal_and_get_worse(key):
    x, y, _, concept, _ = planted(strength=2.0)
    result = ccs.recursive(x, y, 3, key, **SMALL)
    np.testing.assert_allclose(
        result.directions @ result.directions.T, np.eye(3), atol=1e-5
    )
    assert abs(float(result.directions[0] @ concept)) > 0.9
    assert float(result.losses[0]) < 0.01 < float(result.losses[1])
    assert result.is_below[0]
    assert "of 3 orthogonal probes" in result.summary()


def test_pairs_add_up_to_the_loss():
    logits = np.random.default_rng(0).normal(size=(2, 3, 50))
    each = ccs_loss.pair_losses(*logits)
    np.testing.assert_allclose(
        each.mean(axis=1), jax.vmap(ccs_loss.loss)(*logits), 1e-5
    )


def test_the_test_against_a_constant_is_scipy_s():
    x = np.random.default_rng(0).normal(0.15, 0.1, 30)
    for threshold in (0.1, 0.15, 0.2):
        of_scipy = scipy.stats.ttest_1samp(x, threshold, alternative="less").pvalue
        p = ccs._p_below(jnp.asarray(x, jnp.float32), threshold)
        assert float(p) == pytest.approx(of_scipy, rel=1e-3)
    same = jnp.full(5, 0.125)
    assert (float(ccs._p_below(same, 0.2)), float(ccs._p_below(same, 0.125))) == (0, 1)


@pytest.mark.slow
def test_where_nothing_is_there_no_loss_is_said_to_be_low():
    """Sides without any relation. Even so the loss is below a constant's in a third of
    draws: min(p+, p-) falls faster than inconsistency grows. Random directions have
    that too."""

    def one(key):
        first, second, search = jax.random.split(key, 3)
        x, y = (jax.random.normal(k, (40, 6)) for k in (first, second))
        result = ccs.fit(x, y, search, restarts=2, steps=60, max_steps=60)
        return result.is_below, result.constant_p <= 0.05

    claims, constant = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(40), 200))
    assert np.mean(constant) > 0.2
    assert np.mean(claims) <= 0.05


def test_rounds_are_counted_up_to_the_first_that_shows_nothing():
    """Else three rounds in which nothing is there would have three chances."""
    x = jnp.zeros(4)
    sides = pairs.learn_sides(jnp.ones((2, 2)), jnp.ones((2, 2)))
    is_below, converged = jnp.asarray([True, True, False, True]), jnp.ones(4, bool)
    rounds = ccs.Rounds(x[None], x, x, x, is_below, sides, converged)
    assert rounds.summary().startswith("recursive CCS: the first 2 of 4 orthogonal")


def test_bad_input_is_named(key):
    x = jnp.ones((4, 3))
    with pytest.raises(ValueError, match="negative: got shape"):
        ccs.fit(x, x[:3], key)
    with pytest.raises(ValueError, match="negative: got 1 numbers"):
        ccs.fit(x, x.at[1, 1].set(jnp.nan), key)
    with pytest.raises(ValueError, match="restarts: got 0"):
        ccs.fit(x, x, key, restarts=0)
    with pytest.raises(ValueError, match=r"positive.shape\[0\]: got 0; allowed"):
        ccs.fit(x[:0], x[:0], key, normalise="none")
    with pytest.raises(ValueError, match="rate: got 1 numbers that are not finite"):
        ccs.fit(x, x, key, rate=float("inf"))
    with pytest.raises(ValueError, match="norm: got 0"):
        ccs.fit(x, x, key, norm=0)
    with pytest.raises(ValueError, match="normalise: got 'burns'"):
        ccs.fit(x, x, key, normalise="burns")
    with pytest.raises(ValueError, match="rounds: got 4; allowed: 1 to 3"):
        ccs.recursive(x, x, 4, key)
