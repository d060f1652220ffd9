"""Tests keep their level and invert the interval."""

import numpy as np
import pytest
import scipy.stats

from shardsim.core.statistics import intervals, significance

FEW = 2_000


@pytest.mark.parametrize(
    ("draw", "n", "most"),
    [("normal", 8, 0.04), ("exponential", 8, 0.13), ("exponential", 20, 0.1)],
)
def test_equivalence_is_rarely_claimed_at_the_margin(draw, n, most):
    """The level is .025; the documentation says what long tails over seeds cost."""
    rng = np.random.default_rng(2)
    mean = {"normal": 0.0, "exponential": 1.0}[draw]
    samples = getattr(rng, draw)(size=(1500, n)) - mean + 1.5
    p = [significance.mean_test(x, 1.5, "less", FEW) for x in samples]
    assert np.mean(np.array(p) < 0.025) < most


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 8])
def test_tests_of_very_few_seeds_keep_their_level(n):
    """A bootstrap alone has level .12 at n = 4: all on one side is 1 in 16."""
    rng = np.random.default_rng(20 + n)
    samples = rng.normal(size=(1500, n))
    p = [
        min(significance.mean_test(x, 0.0, side, FEW) for side in ("greater", "less"))
        for x in samples
    ]
    assert np.mean(2 * np.array(p) < 0.05) < 0.065


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 13, 20, 50])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_p_inverts_the_interval(n, level):
    """At an end of the interval p is (1 - level) / 2; beyond it less, inside more."""
    rng = np.random.default_rng(n)
    for x in (rng.normal(size=n), rng.exponential(size=n), rng.integers(0, 3, n) + 0.0):
        if np.ptp(x) == 0:
            continue
        interval = intervals.mean_interval(x, level, FEW)
        step = 1e-9 * np.ptp(x)
        for end, side, outward in (
            (interval.low, "greater", -1),
            (interval.high, "less", 1),
        ):
            beyond = significance.mean_test(x, end + outward * step, side, FEW)
            within = significance.mean_test(x, end - outward * step, side, FEW)
            assert beyond <= (1 - level) / 2 + 1e-6
            assert within >= (1 - level) / 2 - 1e-6


@pytest.mark.parametrize("n", range(2, 9))
def test_far_enough_from_the_threshold_any_number_of_seeds_decides(n):
    """1 - 1e-2 to 1 + 1e-2 is not -1e9, and Student's t says how surely."""
    x = np.linspace(0.99, 1.01, n)
    for threshold, side in ((-1e9, "greater"), (1e9, "less")):
        p = significance.mean_test(x, threshold, side)
        t = scipy.stats.ttest_1samp(x, threshold, alternative=side).pvalue
        assert p == pytest.approx(t, rel=1e-6)
        assert p < 1e-9
    assert significance.equivalence_test(x, 1e9) < 1e-9


SEEDS = [2, 3, 4, 5, 7, 10, 20, 50]


def size(draw: str, n: int, draws: int, seed: int) -> tuple[float, float]:
    """Share of two-sided p below .05, and of intervals that miss the mean."""
    mean = {"normal": 0.0, "uniform": 0.5, "exponential": 1.0, "laplace": 0.0}[draw]
    samples = getattr(np.random.default_rng(seed), draw)(size=(draws, n))
    rejected, missed = 0, 0
    for x in samples:
        p = [significance.mean_test(x, mean, side, FEW) for side in ("greater", "less")]
        rejected += 2 * min(p) < 0.05
        interval = intervals.mean_interval(x, resamples=FEW)
        missed += not interval.low <= mean <= interval.high
    return rejected / draws, missed / draws


@pytest.mark.few(2, rest="long")
@pytest.mark.parametrize("n", SEEDS)
def test_size_and_coverage(n):
    """400 draws: a share of .05 lies within .03 of it."""
    rejected, missed = size("normal", n, 400, n)
    assert rejected == missed
    assert 0.02 <= rejected <= 0.08


@pytest.mark.slow
@pytest.mark.few(3, rest="long")
@pytest.mark.parametrize("n", range(2, 51))
def test_size_and_coverage_for_every_number_of_seeds(n):
    """The docstring tells what skewness costs; symmetric draws cost little."""
    for draw, most in (
        ("normal", 0.07),
        ("laplace", 0.07),
        ("uniform", 0.1),
        ("exponential", 0.15),
    ):
        rejected, missed = size(draw, n, 1000, 100 + n)
        assert rejected == missed
        assert 0.02 <= rejected <= most


def test_p_keeps_its_level_and_has_power():
    rng = np.random.default_rng(4)
    null = [
        significance.mean_test(x, 0.0, "greater", FEW)
        for x in rng.normal(size=(800, 8))
    ]
    assert np.mean(np.array(null) < 0.05) < 0.07
    alternative = [
        significance.mean_test(x, 0.0, "greater", FEW)
        for x in rng.normal(1.5, 1, size=(100, 8))
    ]
    assert np.mean(np.array(alternative) < 0.05) > 0.9


def test_equivalence_needs_both_sides():
    near = np.array([0.01, -0.02, 0.015, -0.01, 0.0, 0.005, -0.005, 0.01])
    assert significance.equivalence_test(near, 0.1) < 0.01
    assert significance.equivalence_test(near + 0.1, 0.1) > 0.3
    assert significance.equivalence_test(near - 0.2, 0.1) > 0.9


def test_holm_by_hand():
    actual = significance.holm([0.01, 0.04, 0.03])
    np.testing.assert_allclose(actual, [0.03, 0.06, 0.06])
    np.testing.assert_allclose(significance.holm([0.9, 0.8]), [1.0, 1.0])
