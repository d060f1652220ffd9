"""Intervals cover, tests keep their level, and distances satisfy their axioms."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from shardsim.core import statistics

FEW = 2_000


def test_interval_by_hand():
    actual = statistics.mean_interval(np.array([1.0, 2.0, 3.0, 6.0]))
    assert actual.estimate == 3.0
    assert actual.n == 4
    assert actual.low < 3.0 < actual.high


def test_equal_numbers_and_one_number():
    same = statistics.mean_interval(np.full(5, 2.5))
    assert (same.low, same.high) == (2.5, 2.5)
    alone = statistics.mean_interval(np.array([2.5]))
    assert alone.estimate == 2.5
    assert np.isnan(alone.low)
    assert statistics.mean_test(np.array([9.0]), 0.0, "greater") == 1.0
    # their spread says nothing: the sign test
    assert statistics.mean_test(np.full(5, 2.5), 2.4, "greater") == 1 / 32
    assert statistics.mean_test(np.full(5, 2.5), 2.6, "less") == 1 / 32
    for threshold in (2.5, 2.6):
        assert statistics.mean_test(np.full(5, 2.5), threshold, "greater") == 1


def test_the_interval_is_about_as_wide_as_student_s():
    x = np.random.default_rng(0).normal(size=8)
    actual = statistics.mean_interval(x)
    half = scipy.stats.t.ppf(0.975, 7) * x.std(ddof=1) / np.sqrt(8)
    assert actual.high - actual.low == pytest.approx(2 * half, rel=0.12)


@pytest.mark.parametrize(("draw", "least"), [("normal", 0.93), ("exponential", 0.87)])
def test_the_interval_covers_the_mean_of_eight_seeds(draw, least):
    """The level is .95; long tails cost coverage, as for any interval of a mean."""
    rng = np.random.default_rng(1)
    samples = getattr(rng, draw)(size=(1500, 8))
    true = {"normal": 0.0, "exponential": 1.0}[draw]
    hit = [
        i.low <= true <= i.high
        for i in (statistics.mean_interval(x, resamples=FEW) for x in samples)
    ]
    assert least < np.mean(hit) < 0.975


@pytest.mark.parametrize(
    ("draw", "n", "most"),
    [("normal", 8, 0.04), ("exponential", 8, 0.13), ("exponential", 20, 0.1)],
)
def test_equivalence_is_rarely_claimed_at_the_margin(draw, n, most):
    """The level is .025; the documentation says what long tails over seeds cost."""
    rng = np.random.default_rng(2)
    mean = {"normal": 0.0, "exponential": 1.0}[draw]
    samples = getattr(rng, draw)(size=(1500, n)) - mean + 1.5
    p = [statistics.mean_test(x, 1.5, "less", FEW) for x in samples]
    assert np.mean(np.array(p) < 0.025) < most


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_the_interval_of_very_few_seeds_covers_the_mean(n):
    """A bootstrap alone would cover .51, .77, .88, .92 and .94 of the time."""
    rng = np.random.default_rng(10 + n)
    result = [
        statistics.mean_interval(x, resamples=FEW) for x in rng.normal(size=(1000, n))
    ]
    assert np.mean([i.low <= 0 <= i.high for i in result]) > 0.93


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 8])
def test_tests_of_very_few_seeds_keep_their_level(n):
    """A bootstrap alone has level .12 at n = 4: all on one side is 1 in 16."""
    rng = np.random.default_rng(20 + n)
    samples = rng.normal(size=(1500, n))
    p = [
        min(statistics.mean_test(x, 0.0, side, FEW) for side in ("greater", "less"))
        for x in samples
    ]
    assert np.mean(2 * np.array(p) < 0.05) < 0.065


def test_features_that_are_not_finite_give_nan():
    x = np.random.default_rng(9).normal(size=(4, 3))
    broken = x.copy()
    broken[1, 2] = np.nan
    actual = statistics.paired_permutation_energy(broken, x)
    assert np.isnan([actual.distance, actual.ratio, actual.p]).all()


def test_a_plain_percentile_interval_would_not_cover():
    """Negative control: the reason for expanding the percentile interval."""
    rng = np.random.default_rng(2)
    hit = []
    for x in rng.normal(size=(800, 8)):
        low, high = np.quantile(statistics._resampled_means(x, FEW, 0), [0.025, 0.975])
        hit.append(low <= 0 <= high)
    assert np.mean(hit) < 0.92


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 13, 20, 50])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_p_inverts_the_interval(n, level):
    """At an end of the interval p is (1 - level) / 2; beyond it less, inside more."""
    rng = np.random.default_rng(n)
    for x in (rng.normal(size=n), rng.exponential(size=n), rng.integers(0, 3, n) + 0.0):
        if np.ptp(x) == 0:
            continue
        interval = statistics.mean_interval(x, level, FEW)
        step = 1e-9 * np.ptp(x)
        for end, side, outward in (
            (interval.low, "greater", -1),
            (interval.high, "less", 1),
        ):
            beyond = statistics.mean_test(x, end + outward * step, side, FEW)
            within = statistics.mean_test(x, end - outward * step, side, FEW)
            assert beyond <= (1 - level) / 2 + 1e-6
            assert within >= (1 - level) / 2 - 1e-6


@pytest.mark.parametrize("n", range(2, 9))
def test_far_enough_from_the_threshold_any_number_of_seeds_decides(n):
    """1 - 1e-2 to 1 + 1e-2 is not -1e9, and Student's t says how surely."""
    x = np.linspace(0.99, 1.01, n)
    for threshold, side in ((-1e9, "greater"), (1e9, "less")):
        p = statistics.mean_test(x, threshold, side)
        t = scipy.stats.ttest_1samp(x, threshold, alternative=side).pvalue
        assert p == pytest.approx(t, rel=1e-6)
        assert p < 1e-9
    assert statistics.equivalence_test(x, 1e9) < 1e-9


SEEDS = [2, 3, 4, 5, 7, 10, 20, 50]


def size(draw: str, n: int, draws: int, seed: int) -> tuple[float, float]:
    """Share of two-sided p below .05, and of intervals that miss the mean."""
    mean = {"normal": 0.0, "uniform": 0.5, "exponential": 1.0, "laplace": 0.0}[draw]
    samples = getattr(np.random.default_rng(seed), draw)(size=(draws, n))
    rejected, missed = 0, 0
    for x in samples:
        p = [statistics.mean_test(x, mean, side, FEW) for side in ("greater", "less")]
        rejected += 2 * min(p) < 0.05
        interval = statistics.mean_interval(x, resamples=FEW)
        missed += not interval.low <= mean <= interval.high
    return rejected / draws, missed / draws


@pytest.mark.parametrize("n", SEEDS)
def test_size_and_coverage(n):
    """400 draws: a share of .05 lies within .03 of it."""
    rejected, missed = size("normal", n, 400, n)
    assert rejected == missed
    assert 0.02 <= rejected <= 0.08


@pytest.mark.slow
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
        statistics.mean_test(x, 0.0, "greater", FEW) for x in rng.normal(size=(800, 8))
    ]
    assert np.mean(np.array(null) < 0.05) < 0.07
    alternative = [
        statistics.mean_test(x, 0.0, "greater", FEW)
        for x in rng.normal(1.5, 1, size=(100, 8))
    ]
    assert np.mean(np.array(alternative) < 0.05) > 0.9


def test_equivalence_needs_both_sides():
    near = np.array([0.01, -0.02, 0.015, -0.01, 0.0, 0.005, -0.005, 0.01])
    assert statistics.equivalence_test(near, 0.1) < 0.01
    assert statistics.equivalence_test(near + 0.1, 0.1) > 0.3
    assert statistics.equivalence_test(near - 0.2, 0.1) > 0.9


def test_holm_by_hand():
    actual = statistics.holm([0.01, 0.04, 0.03])
    np.testing.assert_allclose(actual, [0.03, 0.06, 0.06])
    np.testing.assert_allclose(statistics.holm([0.9, 0.8]), [1.0, 1.0])


def test_energy_distance_by_hand():
    x, y = np.array([[0.0], [0.0]]), np.array([[3.0], [3.0]])
    assert statistics.energy_distance(x, y) == pytest.approx(6.0)
    assert statistics.energy_distance(x, x) == pytest.approx(0.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_energy_distance_is_positive_and_symmetric(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    one, two = statistics.energy_distance(x, y), statistics.energy_distance(y, x)
    assert one == pytest.approx(two)
    assert one > -1e-9


def test_the_permutation_test_finds_a_shift_and_keeps_its_level():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(8, 5))
    moved = statistics.paired_permutation_energy(x, x + 3)
    assert moved.p == pytest.approx(2 / 256)
    assert moved.ratio > 1.5
    p = []
    for _ in range(200):
        shared = rng.normal(size=(6, 1, 4))
        pair = shared + rng.normal(size=(6, 2, 4))
        p.append(statistics.paired_permutation_energy(pair[:, 0], pair[:, 1]).p)
    assert np.mean(np.array(p) <= 0.05) < 0.09


def test_identical_arms_do_not_differ():
    x = np.random.default_rng(7).normal(size=(8, 3))
    same = statistics.paired_permutation_energy(x, x)
    assert same.distance == pytest.approx(0, abs=1e-9)
    assert same.p == 1.0
    assert same.ratio == pytest.approx(1.0)


def test_many_seeds_are_sampled_and_the_identity_counts():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(16, 2))
    actual = statistics.paired_permutation_energy(x, x + 5, permutations=500)
    assert 1 / 500 <= actual.p < 0.02


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_index(bad):
    x = np.array([1.0, bad, 2.0])
    with pytest.raises(ValueError, match="at 1; allowed: finite"):
        statistics.mean_interval(x)
    with pytest.raises(ValueError, match=f"threshold: got {bad}; allowed: a finite"):
        statistics.mean_test(x[:1], bad, "less")
    for kind in (np.array(["1", "2"]), np.array([1j, 2]), np.array([None, 1.0])):
        with pytest.raises(ValueError, match=r"x: got .*; allowed: real numbers"):
            statistics.mean_interval(kind)
    with pytest.raises(ValueError, match="allowed: one number per seed"):
        statistics.mean_test(np.zeros((2, 2)), 0.0, "less")
    with pytest.raises(ValueError, match="allowed: the shape of x"):
        statistics.paired_permutation_energy(np.zeros((2, 2)), np.zeros((3, 2)))


def test_invalid_levels_sides_and_features_are_refused():
    x = np.arange(5.0)
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match=f"level: got {level}; allowed: between 0"):
            statistics.mean_interval(x, level)
    with pytest.raises(ValueError, match="side: got 'up'; allowed: greater, less"):
        statistics.mean_test(x, 1.0, "up")
    for shape in ((0, 2), (3,)):
        with pytest.raises(ValueError, match=r"x: got shape .*; allowed: features of"):
            statistics.paired_permutation_energy(np.zeros(shape), np.zeros(shape))


def test_share_interval_by_hand_and_against_scipy():
    """The upper end for 0 of 8 is 1 - .025^(1/8); other cases agree with SciPy."""
    assert statistics.share_interval(0, 8) == (0.0, pytest.approx(1 - 0.025 ** (1 / 8)))
    assert statistics.share_interval(8, 8) == (pytest.approx(0.025 ** (1 / 8)), 1.0)
    for count, n, level in ((9, 20, 0.95), (1, 3, 0.9), (0, 1, 0.95), (7, 7, 0.8)):
        its = scipy.stats.binomtest(count, n).proportion_ci(level, "exact")
        actual = statistics.share_interval(count, n, level)
        assert actual == pytest.approx((its.low, its.high))
    for count in (-1, 5):
        with pytest.raises(ValueError, match=f"count: got {count}; allowed: 0 to 4"):
            statistics.share_interval(count, 4)
    with pytest.raises(ValueError, match="n: got 0; allowed: at least 1"):
        statistics.share_interval(0, 0)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
def test_share_interval_covers(share):
    """Summed exactly over all outcomes: at least 95 % for every probability."""
    ends = [statistics.share_interval(count, 20) for count in range(21)]
    held = [low <= share <= high for low, high in ends]
    chance = scipy.stats.binom.pmf(np.arange(21), 20, share)
    assert chance[held].sum() >= 0.95


def test_max_unseen_fraction_by_hand():
    """A behaviour of 31.2 % of the seeds is absent from 8 seeds 5 % of the time."""
    assert statistics.max_unseen_fraction(8) == pytest.approx(0.3123, abs=1e-4)
    assert statistics.max_unseen_fraction(20) == pytest.approx(0.1391, abs=1e-4)
    assert (1 - statistics.max_unseen_fraction(13, 0.9)) ** 13 == pytest.approx(0.1)
    assert statistics.max_unseen_fraction(1) == pytest.approx(0.95)


def test_the_interquartile_mean_by_hand():
    """Of eight numbers the middle four count: (2 + 3 + 4 + 5) / 4."""
    assert statistics.interquartile_mean([100, 0, 3, 1, 2, 5, 6, 4]).estimate == 3.5
    rng = np.random.default_rng(0)
    for shape in ((1,), (3,), (4,), (7,), (10, 3), (2, 5)):
        x = rng.normal(size=shape)
        expected = scipy.stats.trim_mean(x, 0.25, axis=None)
        assert statistics.interquartile_mean(x).estimate == pytest.approx(expected)
    one = statistics.interquartile_mean([2.5])
    assert (one.estimate, one.n) == (2.5, 1)
    assert np.isnan([one.low, one.high]).all()
    same = statistics.interquartile_mean([2.5] * 4)
    assert (same.low, same.high) == (2.5, 2.5)


def test_the_interval_of_an_interquartile_mean_is_at_least_tukey_and_mclaughlin_s():
    """Middle 2, 3, 4, 5 of 8; winsorised to 2, 2, 2, 3, 4, 5, 5, 5."""
    found = statistics.interquartile_mean([0, 1, 2, 3, 4, 5, 6, 7])
    winsorised = np.array([2, 2, 2, 3, 4, 5, 5, 5])
    error = winsorised.std(ddof=1) / (0.5 * np.sqrt(8))
    half = scipy.stats.t.ppf(0.975, 3) * error
    assert found.low <= 3.5 - half + 1e-9
    assert found.high >= 3.5 + half - 1e-9
    assert found.high - found.low < 2.5 * half


def test_runs_are_resampled_within_tasks():
    """Tasks of different levels: only the spread within each counts."""
    apart = np.array([[0.0, 100.0]] * 6)
    assert statistics.interquartile_mean(apart)[:3] == (50, 50, 50)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 4))
    alone, shifted = (
        statistics.interquartile_mean(noise + level)
        for level in (0, np.array([0, 10, 20, 30]))
    )
    assert shifted.high - shifted.low < 3 * (alone.high - alone.low)


@pytest.mark.parametrize("of", [list, tuple, np.float32, np.int64, jnp.asarray])
def test_numbers_of_every_library_are_taken(of):
    x, y = of([1, 2, 4, 9]), of([0, 2, 2, 3])
    assert statistics.interquartile_mean(x).estimate == 3
    assert statistics.probability_of_improvement(x, y).estimate == 11 / 16
    assert statistics.mean_interval(x).estimate == 4
    assert statistics.mean_test(x, np.float64(-1e9), "greater") < 1e-9


def test_the_probability_of_improvement_by_hand():
    """1 ties with 1 and loses to 3; 2 beats 1 and loses to 3: 1.5 of 4."""
    assert statistics.probability_of_improvement([1, 2], [1, 3]).estimate == 0.375
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 9, 3)).round(1)
    u = [scipy.stats.mannwhitneyu(x[:, k], y[:, k]).statistic / 81 for k in range(3)]
    found = statistics.probability_of_improvement(x, y)
    assert found.estimate == pytest.approx(np.mean(u))
    assert 0 <= found.low < found.estimate < found.high <= 1
    swapped = statistics.probability_of_improvement(y, x)
    assert swapped.estimate == pytest.approx(1 - found.estimate)
    same = statistics.probability_of_improvement([1, 1, 1], [1, 1, 1])
    assert same.estimate == 0.5
    one = statistics.probability_of_improvement([2], [1])
    assert one.estimate == 1
    assert np.isnan([one.low, one.high]).all()


@pytest.mark.parametrize("n", [2, 3, 5, 8, 20])
def test_arms_without_overlap_still_have_an_interval(n):
    """Newcombe's lower end: 1 - theta = z sd(theta)."""
    found = statistics.probability_of_improvement(np.arange(n) + n, np.arange(n))
    assert (found.estimate, found.high) == (1, 1)
    theta = found.low
    spread = 1 + (n - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    variance = theta * (1 - theta) * spread / n**2
    assert (1 - theta) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-4)


def covered(statistic, draw, truth, draws):
    """Share of draws whose interval contains the truth."""
    intervals = [statistic(*draw()) for _ in range(draws)]
    return np.mean([i.low <= truth <= i.high for i in intervals])


COVERAGE = [("normal", 0.0, 0.94), ("exponential", None, 0.9)]


@pytest.mark.parametrize("draws", [150, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("n", [3, 5, 8, 20])
@pytest.mark.parametrize(("name", "truth", "least"), COVERAGE)
def test_the_interquartile_mean_is_covered(name, truth, least, n, draws):
    if truth is None:
        levels = (np.arange(100_000) + 0.5) / 200_000 + 0.25
        truth = float(scipy.stats.expon.ppf(levels).mean())
    rng = np.random.default_rng(n)
    share = covered(
        lambda x: statistics.interquartile_mean(x, resamples=1000),
        lambda: (getattr(rng, name)(size=n),),
        truth,
        draws,
    )
    assert share >= least - (draws == 150) * 0.04


@pytest.mark.parametrize("draws", [150, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("n", [3, 5, 8, 20])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_the_probability_of_improvement_is_covered(shift, n, draws):
    rng = np.random.default_rng(n)
    share = covered(
        lambda x, y: statistics.probability_of_improvement(x, y, resamples=1000),
        lambda: (rng.normal(shift, 1, n), rng.normal(size=n)),
        scipy.stats.norm.cdf(shift / np.sqrt(2)),
        draws,
    )
    assert share >= (0.88 if n == 3 else 0.94) - (draws == 150) * 0.04


def test_aggregates_refuse_what_they_cannot_aggregate():
    for bad, error in (
        (np.zeros((2, 2, 2)), r"x: got shape \(2, 2, 2\); allowed: one number per"),
        ([], r"x: got shape \(0,\); allowed"),
        ([1, np.nan], "x: got nan at 1; allowed: finite"),
        (["a"], "x: got <U1; allowed: real numbers"),
    ):
        with pytest.raises(ValueError, match=error):
            statistics.interquartile_mean(bad)
        with pytest.raises(ValueError, match=error):
            statistics.probability_of_improvement(bad, [1])
    with pytest.raises(ValueError, match=r"y: got shape \(3, 1\); allowed: the shape"):
        statistics.probability_of_improvement([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="y: got inf at 0"):
        statistics.probability_of_improvement([1], [np.inf])
    for tool in (
        statistics.interquartile_mean,
        lambda x, level: statistics.probability_of_improvement(x, x, level),
    ):
        with pytest.raises(ValueError, match="level: got 95; allowed: between 0"):
            tool([1, 2], 95)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: statistics.max_unseen_fraction(0), "n: got 0; allowed: at least 1"),
        (lambda: statistics.max_unseen_fraction(3, 2), "level: got 2; allowed"),
        (lambda: statistics.share_interval(1, 3, 1.5), "level: got 1.5; allowed"),
        (lambda: statistics.equivalence_test([1, 2], -1), "margin: got -1; allowed"),
        (lambda: statistics.equivalence_test([1, 2], np.nan), "margin: got nan"),
        (lambda: statistics.holm([np.nan, 0.2]), "p: got nan; allowed: 0 to 1"),
        (lambda: statistics.holm([0.2, 1.2]), "p: got 1.2; allowed: 0 to 1"),
        (lambda: statistics.mean_interval([1, 2], resamples=0), "resamples: got 0"),
        (lambda: statistics.mean_test([1, 2], 0, "less", 1), "resamples: got 1"),
        (lambda: statistics.interquartile_mean([1, 2], resamples=0), "resamples: got"),
        (
            lambda: statistics.probability_of_improvement([1, 2], [1, 2], resamples=0),
            "resamples: got 0",
        ),
    ],
)
def test_arguments_out_of_range_are_named(call, error):
    with pytest.raises(ValueError, match=error):
        call()


HALF = np.asarray(1.5)
"""A number that is not whole, as an array."""
COUNTS = {
    "count": lambda n: statistics.share_interval(n, 3),
    "n": lambda n: statistics.share_interval(1, n),
    "n of none": statistics.max_unseen_fraction,
    "resamples": lambda n: statistics.mean_interval([1.0, 2.0], resamples=n),
    "seed": lambda n: statistics.mean_interval([1.0, 2.0], resamples=9, seed=n),
    "resamples of a test": lambda n: statistics.mean_test([1.0, 2.0], 0.0, "less", n),
    "resamples of a margin": lambda n: statistics.equivalence_test([1.0, 2.0], 1.0, n),
    "resamples of the middle": lambda n: statistics.interquartile_mean(
        [1.0, 2.0], resamples=n
    ),
    "resamples of wins": lambda n: statistics.probability_of_improvement(
        [1.0, 2.0], [1.0, 2.0], resamples=n
    ),
    "permutations": lambda n: statistics.paired_permutation_energy(
        np.zeros((2, 1)), np.ones((2, 1)), permutations=n
    ),
    "seed of patterns": lambda n: statistics.paired_permutation_energy(
        np.zeros((2, 1)), np.ones((2, 1)), seed=n
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_whole(name):
    """1.5 successes of 3 had an interval, and 2.9 resamples were two."""
    call, field = COUNTS[name], name.split()[0]
    with pytest.raises(
        ValueError, match=rf"{field}: got .*1\.5.*; allowed: an integer"
    ):
        call(HALF)
    with pytest.raises(ValueError, match=f"{field}: got -1; allowed: "):
        call(np.asarray(-1))
    np.testing.assert_equal(call(np.asarray(3)), call(3))
