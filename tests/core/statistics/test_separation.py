"""AUROC of classes whose members share their seeds."""

import numpy as np
import pytest
import scipy.stats

from shardsim.core.statistics import separation


def area(first, second, **settings):
    return separation.auroc(np.array(first), np.array(second), **settings)


def test_by_hand():
    # 4 pairs: 3 > 1, 3 > 2, 2 > 1, and 2 = 2 counts a half
    found = area([[3.0, 2.0]], [[1.0, 2.0]])
    assert found.estimate == pytest.approx(3.5 / 4)
    assert found.low <= found.estimate <= found.high
    assert found.n == 2


def test_no_overlap_and_its_reverse():
    assert area([[2.0, 3.0]], [[0.0, 1.0]])[:3] == (1.0, 1.0, 1.0)
    assert area([[0.0, 1.0]], [[2.0, 3.0]])[:3] == (0.0, 0.0, 0.0)


def test_equal_scores_are_a_half():
    assert area(np.ones((2, 3)), np.ones((4, 3)))[:3] == (0.5, 0.5, 0.5)


def test_missing_scores_do_not_count():
    nan = np.nan
    found = area([[3.0, nan], [nan, nan]], [[1.0, 2.0], [nan, 5.0]])
    assert found.estimate == pytest.approx(2 / 3)  # 3 > 1, 3 > 2, 3 < 5
    nothing = area([[nan, nan]], [[1.0, 2.0]])
    assert np.isnan(nothing[:3]).all()


def test_it_does_not_change_with_a_monotone_map():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 1, (3, 8)), rng.normal(0, 1, (4, 8))
    assert area(x, y)[:3] == area(np.exp(x), np.exp(y))[:3]


def test_the_interval_covers_members_and_seeds():
    """Both are drawn: 200 zoos of 6 and 6 members with 8 seeds.

    X - Y has mean 1 and variance 2 (.25 + .66 + .09), of which .18 / 8 cancels in pairs
    of one seed.
    """
    rng = np.random.default_rng(1)
    truth = scipy.stats.norm.cdf(1 / np.sqrt(2 * (0.25 + 0.66 + 0.09 * 7 / 8)))
    hits = []
    for _ in range(200):
        seeds = rng.normal(0, 1, (2, 8)) * 0.3

        def draw(mean, seeds=seeds):
            return mean + rng.normal(0, 0.5, (6, 1)) + rng.normal(0, 0.66**0.5, (6, 8))

        x, y = draw(1.0) + seeds[0], draw(0.0) + seeds[0]
        found = area(x, y, resamples=400)
        hits.append(found.low <= truth <= found.high)
    assert np.mean(hits) > 0.85


def test_fewer_members_widen_the_interval():
    rng = np.random.default_rng(2)
    x, y = rng.normal(1, 1, (8, 8)), rng.normal(0, 1, (8, 8))
    x += rng.normal(0, 1, (8, 1))
    few, many = area(x[:2], y), area(x, y)
    assert few.high - few.low > many.high - many.low


def test_refusals():
    with pytest.raises(ValueError, match="second: got shape"):
        area([[1.0, 2.0]], [[1.0]])
    with pytest.raises(ValueError, match="level: got 1"):
        area([[1.0]], [[1.0]], level=1)


def test_classes_may_have_seeds_of_their_own():
    found = area([[3.0, 2.0, 0.0]], [[1.0, 2.0]], same_seeds=False)
    assert found.estimate == pytest.approx(3.5 / 6)
    with pytest.raises(ValueError, match="second: got shape"):
        area([[3.0, 2.0, 0.0]], [[1.0, 2.0]])
    # a common effect of seed n cancels only where both classes share it
    rng = np.random.default_rng(0)
    effect = rng.normal(0, 5, (1, 10))
    x, y = effect + rng.normal(1, 0.5, (1, 10)), effect + rng.normal(0, 0.5, (1, 10))
    shared, own = area(x, y), area(x, y, same_seeds=False)
    assert shared.estimate == own.estimate
    assert own.high - own.low > shared.high - shared.low
