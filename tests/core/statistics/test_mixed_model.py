"""The mixed model against ANOVA, least squares, statsmodels and simulated nulls."""

import numpy as np
import pytest
import scipy.stats

from shardsim.core.statistics import mixed_model

SEEDS, CELLS = 6, 4


def unbalanced():
    """Effects of seeds in four cells; the two of a pair share a trained arm."""
    missing = {(0, 3), (4, 1), (5, 2)}
    pairs = [(s, c) for s in range(SEEDS) for c in range(CELLS)]
    s, c = np.asarray([pair for pair in pairs if pair not in missing]).T
    shared = 2 * s + c // 2
    noise = 0.6 * np.cos(5.0 * shared) + 0.4 * np.sin(7.0 * (s * CELLS + c) + 2)
    y = np.round(np.sin(3.0 * s + 1) + noise + 0.5 * (c % 2), 6)
    x = np.stack([np.ones(len(y)), 1.0 - 2 * (c % 2), np.where(c < 2, 1.0, -1.0)], 1)
    return y, x, {"seed": s, "arm": shared}


def test_numbers_are_those_of_statsmodels():
    """MixedLM of statsmodels 0.14, by REML: a random intercept, and two crossed."""
    y, x, factors = unbalanced()
    model = mixed_model.fit(y, x, {"seed": factors["seed"]})
    expected = [0.39989283, -0.26765626, 0.03092362]
    np.testing.assert_allclose(model.effects, expected, atol=1e-6)
    variances = [model.deviations[name] ** 2 for name in ("seed", "")]
    np.testing.assert_allclose(variances, [1.325345, 0.0986765], rtol=1e-4)
    model = mixed_model.fit(y, x, factors)
    expected = [0.35693638, -0.23770972, 0.04008874]
    np.testing.assert_allclose(model.effects, expected, atol=5e-6)
    variances = [model.deviations[name] ** 2 for name in ("seed", "arm", "")]
    np.testing.assert_allclose(variances, [1.19945, 0.132812, 0.0227884], rtol=1e-3)


@pytest.mark.parametrize("levels", [2, 3])
def test_a_balanced_design_is_the_anova_of_repeated_measures(levels):
    rng, seeds = np.random.default_rng(levels), 10
    y = rng.normal(size=(seeds, levels)) + 2 * rng.normal(size=(seeds, 1))
    y += np.arange(levels)
    seed, level = np.divmod(np.arange(y.size), levels)
    coded = np.concatenate([np.eye(levels - 1), -np.ones((1, levels - 1))])[level]
    x = np.concatenate([np.ones((y.size, 1)), coded], 1)
    model = mixed_model.fit(y.ravel(), x, {"seed": seed})
    test = model.test(np.eye(levels)[1:])
    centred = y - y.mean(1, keepdims=True)
    freedom = (levels - 1, (seeds - 1) * (levels - 1))
    between = seeds * (centred.mean(0) ** 2).sum() / freedom[0]
    within = ((centred - centred.mean(0)) ** 2).sum() / freedom[1]
    np.testing.assert_allclose(test.statistic, between / within, rtol=1e-5)
    assert (test.numerator, round(test.denominator, 3)) == freedom
    p = scipy.stats.f.sf(between / within, *freedom)
    np.testing.assert_allclose(test.p, p, rtol=1e-4)
    # the mean over all is a t-test of the means of the seeds
    interval = model.interval(np.eye(levels)[0])
    means = y.mean(1)
    half = scipy.stats.t.ppf(0.975, seeds - 1) * scipy.stats.sem(means)
    expected = means.mean() - half, means.mean(), means.mean() + half
    got = interval.low, interval.estimate, interval.high
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_without_factors_it_is_least_squares():
    y, x, _ = unbalanced()
    model = mixed_model.fit(y, x, {})
    expected, rest, _, _ = np.linalg.lstsq(x, y, rcond=None)
    np.testing.assert_allclose(model.effects, expected, atol=1e-12)
    freedom = len(y) - x.shape[1]
    assert model.interval(np.eye(3)[1]).n == freedom + 1
    np.testing.assert_allclose(model.deviations[""] ** 2, rest[0] / freedom)


def test_a_factor_that_the_data_do_not_show_counts_as_none():
    """Seeds that differ less than chance has it: their variance is 0."""
    y = np.asarray([1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
    x, seed = np.ones((8, 1)), np.repeat(np.arange(4), 2)
    model = mixed_model.fit(y, x, {"seed": seed})
    assert model.deviations["seed"] == 0
    # their uncertainty stays: fewer degrees of freedom than 8 observations have
    assert 2 <= model.interval(np.ones(1)).n < 8


def test_observations_without_a_rest_have_an_interval_of_no_width():
    x = np.stack([np.ones(6), [1.0, -1.0] * 3], 1)
    model = mixed_model.fit(x @ [2.0, 0.5], x, {"seed": np.repeat(np.arange(3), 2)})
    interval = model.interval(np.asarray([1.0, 0.0]))
    assert interval.low == interval.high
    np.testing.assert_allclose(interval.estimate, 2.0)
    assert model.test(np.asarray([[0.0, 1.0]])).p == 0.0
    same = mixed_model.fit(np.full(6, 2.0), x, {"seed": np.repeat(np.arange(3), 2)})
    assert same.test(np.asarray([[0.0, 1.0]])).p == 1.0


def test_what_two_cells_share_does_not_count_twice():
    """A null: baselines of two boards, each shared by two cells. The exact test is that
    of the seeds' differences between boards. Without the factor of the baseline, the
    effect of the board is claimed far too often."""
    rng, seeds, draws = np.random.default_rng(0), 8, 60
    seed = np.repeat(np.arange(seeds), 4)
    board = np.tile([0, 0, 1, 1], seeds)
    x = np.stack([np.ones(len(seed)), 1.0 - 2 * board], 1)
    factors = {"seed": seed, "baseline": 2 * seed + board}
    claims = {"exact": 0, "shared": 0, "ignored": 0}
    for _ in range(draws):
        arms = rng.normal(size=len(seed)) + rng.normal(size=seeds)[seed]
        y = arms - 2 * rng.normal(size=2 * seeds)[factors["baseline"]]
        for name, own in (("shared", factors), ("ignored", {"seed": seed})):
            test = mixed_model.fit(y, x, own).test(np.asarray([[0.0, 1.0]]))
            claims[name] += test.p < 0.05
        means = y.reshape(seeds, 2, 2).mean(2)
        claims["exact"] += scipy.stats.ttest_rel(*means.T).pvalue < 0.05
    assert claims["shared"] <= claims["exact"] + 0.05 * draws
    assert claims["ignored"] >= claims["exact"] + 0.1 * draws


def test_bad_input_is_refused():
    y, x, factors = unbalanced()
    with pytest.raises(ValueError, match=r"x: got rank below 3 columns; allowed"):
        mixed_model.fit(y, x[:, [0, 1, 1]], factors)
    with pytest.raises(ValueError, match=r"y: got nan at 0"):
        mixed_model.fit(np.where(np.arange(len(y)) == 0, np.nan, y), x, factors)
    with pytest.raises(ValueError, match=r"level: got 1; allowed"):
        mixed_model.fit(y, x, factors).interval(np.eye(3)[0], 1)
