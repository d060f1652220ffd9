"""Looks that are planned share the level; looks that are not are said to be free."""

import numpy as np
import pytest
import scipy.stats

from shardsim.core.statistics import spending


def test_what_is_spent_by_hand():
    """z = 1.96 / sqrt(.4) = 3.099, two-sided .00194; all of it at the end."""
    assert spending.spent(0.4) == pytest.approx(0.00194, abs=1e-5)
    assert spending.spent(1.0) == pytest.approx(0.05)
    assert spending.look_alpha((8, 20), (), 8) == pytest.approx(0.00194, abs=1e-5)
    assert spending.look_alpha((8, 20), (8,), 20) == pytest.approx(0.04806, abs=1e-5)
    assert spending.look_alpha((8, 20), (), 20) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("planned", "seen", "now", "alpha"),
    [
        ((), (), 8, 0.05),
        ((), (8,), 20, None),
        ((8, 20), (), 12, 0.05),
        ((8, 20), (8,), 12, None),
        ((8, 20), (12,), 20, None),
        ((8, 20), (8, 12), 20, None),
    ],
)
def test_looks_that_were_not_planned(planned, seen, now, alpha):
    assert spending.look_alpha(planned, seen, now) == alpha


def false_claims(levels, draws=20_000):
    """Share of null runs with a claim at 8 seeds or, with 12 more, at 20."""
    x = np.random.default_rng(0).normal(size=(draws, 20))
    claimed = np.zeros(draws, bool)
    for seeds, level in zip((8, 20), levels, strict=True):
        p = scipy.stats.ttest_1samp(x[:, :seeds], 0.0, axis=1).pvalue
        claimed |= p < level
    return claimed.mean()


def test_two_looks_make_false_claims_at_the_level():
    """Two looks at 5 % each make them 8 % of the time; spent looks do not."""
    plan = (8, 20)
    levels = [spending.look_alpha(plan, plan[:k], plan[k]) for k in range(2)]
    tolerance = 2 * np.sqrt(0.05 * 0.95 / 20_000)
    assert 0.045 < false_claims(levels) < 0.05 + tolerance
    assert false_claims((0.05, 0.05)) > 0.07


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spending.spent(0.0), r"fraction: got 0\.0"),
        (lambda: spending.spent(1.2), r"fraction: got 1\.2"),
        (lambda: spending.spent(1.0, 1.5), "level: got -0.5"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
