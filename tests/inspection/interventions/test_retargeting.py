"""Retargeting: a planted goal feature steers the agent, an unused one does not."""

import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.interventions import graph, retargeting

# the agent goes to the goal that h represents; nothing reads h_2
MODEL = graph.graph(
    {
        "h": lambda s: s["input"],
        "out": lambda s: s["h"][1] - s["h"][0],
    }
)
STATES = jnp.array([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
PLACED = STATES.at[:, 1].set(4.0)
GOAL = jnp.array([False, True, False])
IDLE = jnp.array([False, False, True])


def score(record):
    return record.outputs["out"].mean()


def retarget(mask, magnitudes=(0.0, 2.0, 4.0)):
    return retargeting.retarget(
        MODEL, STATES, PLACED, "h", mask, jnp.array(magnitudes), score
    )


def test_the_planted_feature_by_hand():
    result = retarget(GOAL)
    assert result.scores.tolist() == [-2, 0, 2]
    assert (result.absent, result.placed) == (-2, 2)
    assert result.share.tolist() == [0, 0.5, 1]
    assert (
        "score -2 without, 2 at magnitude 4, 2 with the real object" in result.summary()
    )


def test_an_unused_feature_changes_nothing():
    assert retarget(IDLE).share.tolist() == [0, 0, 0]


def test_a_clamp_that_changes_nothing_warns():
    with pytest.warns(UserWarning, match="h: its patch changed nothing"):
        retarget(GOAL, (0.0,))


def test_the_share_is_nan_if_the_object_changes_nothing():
    result = retargeting.retarget(
        MODEL, STATES, STATES, "h", GOAL, jnp.array([1.0]), score
    )
    assert jnp.isnan(result.share).all()
    assert result.scores == -1


def test_cells_of_a_map_by_hand():
    # stride 2, kernel 3, padding 1: centres at 0, 2, 4
    where = [
        retargeting.map_cell((c, c), (3, 3), (2, 2), padding=(1, 1), kernel=(3, 3))[0]
        for c in range(6)
    ]
    assert where == [0, 1, 1, 2, 2, 2]
    assert retargeting.map_cell((4, 1), (5, 5), (1, 1)) == (4, 1)
    # kernel 2, no padding, stride 2: unit 1 sees cells 2 and 3
    assert retargeting.map_cell((2, 3), (3, 3), (2, 2), kernel=(2, 2)) == (1, 1)


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_a_unit_is_the_nearest_to_the_cell(padding):
    middles = np.arange(4) * 3 - padding + (5 - 1) / 2
    for cell in range(12):
        at, _ = retargeting.map_cell(
            (cell, 0), (4, 4), (3, 3), padding=(padding, padding), kernel=(5, 5)
        )
        assert abs(middles[at] - cell) == abs(middles - cell).min()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: retarget(~(GOAL | ~GOAL)), "mask: got no true entry"),
        (lambda: retarget(GOAL[:2]), r"mask: got shape \(2,\)"),
        (lambda: retarget(GOAL, (jnp.nan,)), "magnitudes: got 1 numbers"),
        (
            lambda: retargeting.retarget(
                MODEL, STATES, PLACED[:1], "h", GOAL, jnp.ones(1), score
            ),
            r"placed: got \[1, 2\] samples",
        ),
        (
            lambda: retargeting.retarget(
                MODEL, STATES, PLACED * jnp.nan, "h", GOAL, jnp.ones(1), score
            ),
            "placed: got 6 numbers that are not finite",
        ),
        (
            lambda: retargeting.retarget(
                MODEL, STATES, PLACED, "g", GOAL, jnp.ones(1), score
            ),
            "site: got 'g'; allowed: h, out",
        ),
        (
            lambda: retargeting.map_cell((0, 0), (1, 1), (0, 1)),
            "strides: got 0; allowed: at least 1",
        ),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
