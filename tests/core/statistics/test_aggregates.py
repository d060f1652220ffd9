"""Aggregates of many runs by hand; their intervals cover."""

import numpy as np
import pytest
import scipy.stats

from shardsim.core.statistics import aggregates


def test_the_interquartile_mean_by_hand():
    """Of eight numbers the middle four count: (2 + 3 + 4 + 5) / 4."""
    assert aggregates.interquartile_mean([100, 0, 3, 1, 2, 5, 6, 4]).estimate == 3.5
    rng = np.random.default_rng(0)
    for shape in ((1,), (3,), (4,), (7,), (10, 3), (2, 5)):
        x = rng.normal(size=shape)
        expected = scipy.stats.trim_mean(x, 0.25, axis=None)
        assert aggregates.interquartile_mean(x).estimate == pytest.approx(expected)
    one = aggregates.interquartile_mean([2.5])
    assert (one.estimate, one.n) == (2.5, 1)
    assert np.isnan([one.low, one.high]).all()
    same = aggregates.interquartile_mean([2.5] * 4)
    assert (same.low, same.high) == (2.5, 2.5)


def test_the_interval_of_an_interquartile_mean_is_at_least_tukey_and_mclaughlin_s():
    """Middle 2, 3, 4, 5 of 8; winsorised to 2, 2, 2, 3, 4, 5, 5, 5."""
    found = aggregates.interquartile_mean([0, 1, 2, 3, 4, 5, 6, 7])
    winsorised = np.array([2, 2, 2, 3, 4, 5, 5, 5])
    error = winsorised.std(ddof=1) / (0.5 * np.sqrt(8))
    half = scipy.stats.t.ppf(0.975, 3) * error
    assert found.low <= 3.5 - half + 1e-9
    assert found.high >= 3.5 + half - 1e-9
    assert found.high - found.low < 2.5 * half


def test_runs_are_resampled_within_tasks():
    """Tasks of different levels: only the spread within each counts."""
    apart = np.array([[0.0, 100.0]] * 6)
    assert aggregates.interquartile_mean(apart)[:3] == (50, 50, 50)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 4))
    alone, shifted = (
        aggregates.interquartile_mean(noise + level)
        for level in (0, np.array([0, 10, 20, 30]))
    )
    assert shifted.high - shifted.low < 3 * (alone.high - alone.low)


def test_the_probability_of_improvement_by_hand():
    """1 ties with 1 and loses to 3; 2 beats 1 and loses to 3: 1.5 of 4."""
    assert aggregates.probability_of_improvement([1, 2], [1, 3]).estimate == 0.375
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 9, 3)).round(1)
    u = [scipy.stats.mannwhitneyu(x[:, k], y[:, k]).statistic / 81 for k in range(3)]
    found = aggregates.probability_of_improvement(x, y)
    assert found.estimate == pytest.approx(np.mean(u))
    assert 0 <= found.low < found.estimate < found.high <= 1
    swapped = aggregates.probability_of_improvement(y, x)
    assert swapped.estimate == pytest.approx(1 - found.estimate)
    same = aggregates.probability_of_improvement([1, 1, 1], [1, 1, 1])
    assert same.estimate == 0.5
    one = aggregates.probability_of_improvement([2], [1])
    assert one.estimate == 1
    assert np.isnan([one.low, one.high]).all()


@pytest.mark.parametrize("n", [2, 3, 5, 8, 20])
def test_arms_without_overlap_still_have_an_interval(n):
    """Newcombe's lower end: 1 - theta = z sd(theta)."""
    found = aggregates.probability_of_improvement(np.arange(n) + n, np.arange(n))
    assert (found.estimate, found.high) == (1, 1)
    theta = found.low
    spread = 1 + (n - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    variance = theta * (1 - theta) * spread / n**2
    assert (1 - theta) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-4)


def covered(statistic, draw, truth, draws):
    """Share of draws whose interval contains the truth."""
    ends = [statistic(*draw()) for _ in range(draws)]
    return np.mean([i.low <= truth <= i.high for i in ends])


COVERAGE = [("normal", 0.0, 0.94), ("exponential", None, 0.9)]


@pytest.mark.parametrize("draws", [150, pytest.param(2000, marks=pytest.mark.long)])
@pytest.mark.parametrize("n", [3, 5, 8, 20])
@pytest.mark.parametrize(("name", "truth", "least"), COVERAGE)
def test_the_interquartile_mean_is_covered(name, truth, least, n, draws):
    if truth is None:
        levels = (np.arange(100_000) + 0.5) / 200_000 + 0.25
        truth = float(scipy.stats.expon.ppf(levels).mean())
    rng = np.random.default_rng(n)
    share = covered(
        lambda x: aggregates.interquartile_mean(x, resamples=1000),
        lambda: (getattr(rng, name)(size=n),),
        truth,
        draws,
    )
    assert share >= least - (draws == 150) * 0.04


@pytest.mark.slow
@pytest.mark.parametrize("draws", [150, pytest.param(2000, marks=pytest.mark.long)])
@pytest.mark.parametrize("n", [3, 5, 8, 20])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_the_probability_of_improvement_is_covered(shift, n, draws):
    rng = np.random.default_rng(n)
    share = covered(
        lambda x, y: aggregates.probability_of_improvement(x, y, resamples=1000),
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
            aggregates.interquartile_mean(bad)
        with pytest.raises(ValueError, match=error):
            aggregates.probability_of_improvement(bad, [1])
    with pytest.raises(ValueError, match=r"y: got shape \(3, 1\); allowed: the shape"):
        aggregates.probability_of_improvement([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="y: got inf at 0"):
        aggregates.probability_of_improvement([1], [np.inf])
    for tool in (
        aggregates.interquartile_mean,
        lambda x, level: aggregates.probability_of_improvement(x, x, level),
    ):
        with pytest.raises(ValueError, match="level: got 95; allowed: between 0"):
            tool([1, 2], 95)
