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
    assert result.summary() == (
        "ablation selectivity 1.000 over 2 shards and 2 contexts, "
        "paired with shards [1, 0]"
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
    alone = ablation.fit(BASE, BASE[None] + 1, np.zeros(4))
    assert np.isnan(alone.score)
    # V is constant in context 1, so there is no drop
    flat = ablation.fit(np.array([0.0, 2, 5, 5]), np.ones((2, 4)), CONTEXT)
    assert flat.drop[:, 1].tolist() == [0, 0]


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
