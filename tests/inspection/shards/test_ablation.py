"""Ablation selectivity: planted pairs score 1, evenly used shards score 0."""

import numpy as np
import pytest

from shardsim.inspection.shards import ablation

BASE = np.array([0.0, 2.0, 10.0, 14.0])
CONTEXT = np.array([0, 0, 1, 1])


def test_by_hand():
    # sd 1 and 2; shard 0 changes context 1 by 1, shard 1 changes context 0 by 2
    ablated = np.array([[0.0, 2.0, 11.0, 15.0], [2.0, 4.0, 10.0, 14.0]])
    result = ablation.fit(BASE, ablated, CONTEXT)
    assert result.drop.tolist() == [[0, 0.5], [2, 0]]
    assert result.shard.tolist() == [1, 0]
    assert result.score == 1
    # in 8 of the 24 orders of 0, .5, 2, 0 both drops are in one pairing: score 1. In
    # the others they share a row or a column: (1 - .25) / 1
    assert result.null == pytest.approx((8 * 1 + 16 * 0.75) / 24)
    assert result.p == result.least_p == pytest.approx(1 / 3)
    assert result.summary() == (
        "ablation selectivity 1.000 over 2 shards and 2 contexts, paired with shards "
        "[1, 0]; 0.833 for the same drops in random places (p = 0.33, which so small a "
        "table cannot show)"
    )
    # pairs drop by 2 and .5, the others by 1 and .5: (1.25 - .75) / 1.25
    ablated = np.array([[1.0, 3.0, 11.0, 15.0], [2.0, 4.0, 11.0, 15.0]])
    assert ablation.fit(BASE, ablated, CONTEXT).score == pytest.approx(0.4)


def test_shards_that_serve_all_contexts_alike_score_zero():
    sd = np.array([1, 1, 2, 2])
    ablated = np.stack([BASE + sd, BASE - sd])
    assert ablation.fit(BASE, ablated, CONTEXT).score == 0


def test_order_of_shards_and_labels_of_contexts_do_not_matter():
    drawn = np.random.default_rng(0)
    v, context = drawn.normal(size=40), drawn.integers(0, 3, 40)
    ablated = v + drawn.normal(size=(3, 40))
    one = ablation.fit(v, ablated, context)
    two = ablation.fit(v, ablated[::-1], 7 - 2 * context)
    assert one.score == pytest.approx(two.score)


def test_edges():
    more = ablation.fit(BASE, BASE[None] + 1, CONTEXT)
    assert sorted(more.shard) == [-1, 0]
    nothing = ablation.fit(BASE, np.stack([BASE, BASE]), CONTEXT)
    assert np.isnan(nothing.score)
    alone = ablation.fit(BASE, BASE[None] + 1, np.zeros(4, int))
    assert np.isnan([alone.score, alone.null, alone.p]).all()
    # V is constant in context 1, so there is no drop
    flat = ablation.fit(np.array([0.0, 2, 5, 5]), np.ones((2, 4)), CONTEXT)
    assert flat.drop[:, 1].tolist() == [0, 0]


@pytest.mark.parametrize(("shards", "contexts"), [(2, 2), (3, 3), (4, 4), (6, 3)])
def test_drops_of_random_size_are_not_taken_for_selectivity(shards, contexts):
    """They score .5 to .7, and no higher than their null."""
    rng = np.random.default_rng(shards)
    context = np.repeat(np.arange(contexts), 30)
    base = rng.normal(size=len(context))
    scores, nulls, p = [], [], []
    for _ in range(20):
        size = rng.exponential(size=(shards, contexts))[:, context]
        ablated = base + size * rng.normal(size=size.shape)
        result = ablation.fit(base, ablated, context, draws=200)
        scores.append(result.score)
        nulls.append(result.null)
        p.append(result.p)
    assert np.mean(scores) > 0.4
    assert abs(np.mean(scores) - np.mean(nulls)) < 0.1
    assert np.mean(np.array(p) < 0.05) <= 0.15


def test_planted_pairs_beat_the_same_drops_elsewhere():
    rng = np.random.default_rng(0)
    context = np.repeat(np.arange(4), 30)
    base = rng.normal(size=120)
    own = np.arange(4)[:, None] == context[None]
    result = ablation.fit(base, base + own * rng.normal(size=(4, 120)), context)
    assert result.score == 1
    assert result.p < 0.05
    assert result.null < 0.9
    assert result.least_p < 0.05
    assert "cannot show" not in result.summary()


def test_contexts_may_be_texts():
    ablated = BASE + np.array([[0.0, 0, 1, 1], [2, 2, 0, 0]])
    names = ["maze", "maze", "corner", "corner"]
    result = ablation.fit(BASE.tolist(), ablated.tolist(), names)
    # the contexts are in the order of their names
    assert result.drop.tolist() == [[0.5, 0], [0, 2]]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: ablation.fit(BASE, BASE, CONTEXT), r"ablated: got shape \(4,\)"),
        (
            lambda: ablation.fit(BASE, BASE[None], CONTEXT[:1]),
            r"context: got shape \(1,\)",
        ),
        (lambda: ablation.fit(BASE[None], BASE, CONTEXT), "base: got shape"),
        (
            lambda: ablation.fit(BASE, BASE[None] * np.nan, CONTEXT),
            "ablated: got 4 numbers",
        ),
        (
            lambda: ablation.fit(BASE[:0], BASE[None, :0], CONTEXT[:0]),
            "samples: got 0; allowed: at least 1",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
