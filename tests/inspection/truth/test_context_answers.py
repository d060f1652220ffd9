"""Answers that are planted: 2^K where contexts have directions of their own, or 2.

Three contexts of 24 pairs in either half.
"""

import jax
import numpy as np
import pytest

from shardsim.inspection.truth import context_answers

CONTEXT = np.repeat(np.arange(3), 48)
HELD_OUT = np.arange(144) % 2 == 1
LABEL = np.random.default_rng(0).random(144) < 0.5
SETTINGS = {"counts": (1, 2, 3), "restarts": 48, "steps": 60}
KEY = jax.random.key(0)


def found(shared):
    sides = context_answers.planted(LABEL, CONTEXT, jax.random.key(1), shared=shared)
    return context_answers.search(*sides, LABEL, CONTEXT, HELD_OUT, KEY, **SETTINGS)


OWN, SHARED = found(shared=False), found(shared=True)


def test_contexts_with_directions_of_their_own_have_two_to_the_k_answers():
    """Up to one sign for all: 1, 2 and 4. In bits with both signs: 1, 2 and 3."""
    answers = context_answers.judge(OWN, LABEL, CONTEXT)
    np.testing.assert_allclose(answers.seen, [1, 2, 4])
    np.testing.assert_allclose(answers.bits, [1, 2, 3])
    assert answers.slope == pytest.approx(1)
    # three directions, three contexts: Cover's count is 2^K too
    np.testing.assert_allclose(answers.cover, [2, 4, 8])
    assert answers.cover_slope == pytest.approx(1)
    assert "1.00 bits per context" in answers.summary()


def test_contexts_that_share_a_direction_have_two_answers_for_any_k():
    answers = context_answers.judge(SHARED, LABEL, CONTEXT)
    np.testing.assert_allclose(answers.bits, [1, 1, 1])
    np.testing.assert_allclose(answers.cover, [2, 2, 2])
    assert answers.slope == pytest.approx(0)
    assert answers.num_good[-1] == SETTINGS["restarts"]


def test_what_a_context_is_worth_does_not_count():
    """Offsets of contexts along their own directions, as the mean of V is behind gates:
    without them an answer with one opposite sign would be inconsistent."""
    sides = context_answers.planted(LABEL, CONTEXT, jax.random.key(1))
    offset = 3.0 * np.eye(3)[CONTEXT]
    one = context_answers.search(
        *(side + offset for side in sides), LABEL, CONTEXT, HELD_OUT, KEY, **SETTINGS
    )
    np.testing.assert_allclose(
        context_answers.judge(one, LABEL, CONTEXT).bits, [1, 2, 3]
    )


def test_a_label_that_means_nothing_has_no_answers():
    """The negative control: the same restarts."""
    drawn = np.random.default_rng(7).random(144) < 0.5
    answers = context_answers.judge(OWN, drawn, CONTEXT)
    assert (answers.num_good == 0).all()
    assert (answers.bits == 0).all()
    assert answers.slope == 0


def test_no_answer_is_good_where_one_context_has_no_truth():
    """The labels of the third context are drawn: answers of the others stay."""
    drawn = np.random.default_rng(7).random(144) < 0.5
    label = np.where(CONTEXT == 2, drawn, LABEL)
    answers = context_answers.judge(OWN, label, CONTEXT)
    assert (answers.num_good[:2] > 0).all()
    assert answers.num_good[2] == 0


def test_a_bound_is_no_more_than_all_signs():
    """Every answer seen once is 'many' for Chao; three contexts have four at most."""
    scores = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1]])[:, CONTEXT]
    scores = scores * np.where(LABEL, 1, -1)
    one = context_answers.Found((3,), (scores,), (np.arange(144),), (3,))
    answers = context_answers.judge(one, LABEL, CONTEXT)
    assert answers.seen[0] == 3
    assert answers.bound[0] == 4  # 3 + 3 * 2 / 2 = 6 by Chao


@pytest.mark.slow
def test_rounds_of_recursive_search():
    """Two contexts: (1, 1) and (1, -1) are answers. One shared direction: one."""
    key = jax.random.key(1)
    two = CONTEXT < 2
    label, context = np.tile(LABEL[two], 4), np.tile(CONTEXT[two], 4)
    order = np.random.default_rng(1).permutation(len(label))
    own, shared = (
        context_answers.planted(label[order], context[order], key, shared=shared)
        for shared in (False, True)
    )
    # among few features, random directions do as well
    rest = 0.3 * np.random.default_rng(2).normal(size=(2, len(label), 14))
    own, shared = (
        [np.hstack([side, more]) for side, more in zip(sides, rest, strict=True)]
        for sides in (own, shared)
    )
    rounds = [
        context_answers.good_rounds(*sides, context[order], KEY, rounds=2, steps=60)
        for sides in (own, shared)
    ]
    assert rounds == [2, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": np.minimum(CONTEXT, 1)}, "held_out: got a context with 0 pairs"),
        ({"label": LABEL[:5]}, "label"),
        ({"restarts": 0}, "restarts: got 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    settings = SETTINGS | {k: v for k, v in change.items() if k == "restarts"}
    sides = context_answers.planted(LABEL, CONTEXT, KEY)
    with pytest.raises(ValueError, match=message):
        context_answers.search(
            *sides,
            change.get("label", LABEL),
            change.get("context", CONTEXT),
            HELD_OUT,
            KEY,
            **settings,
        )
