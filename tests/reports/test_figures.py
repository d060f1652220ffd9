"""Figures of a report draw whatever a config may hold."""

import dataclasses
import types

import numpy as np
import pytest
from matplotlib import colormaps, colors

from shardsim.evaluation import rules
from shardsim.reports.verdicts import boards, figures, maps
from tests.helpers.made_results import curve, interval, prediction, sensitivity


def level_of(value, walls, reachable, move, own):
    """A level whose V* is `value`, and an arm `mlp` whose V is `own`."""
    gates = np.ones((*value.shape, 1))
    policy = np.full((*value.shape, 4), 0.25)

    def arm(value):
        return maps.ArmMaps(value, policy, move, gates, value[..., None])

    scene = maps.Scene("c", 0, (), {})
    arms = {"exact": arm(value), "mlp": arm(own)}
    return maps.LevelMaps(scene, walls, value, reachable, arms)


def test_figures_take_names_as_they_are():
    """Dollars begin a formula in matplotlib, and what is none ends in an error."""
    entry = prediction(values={"mlp": (0.1,)}, means={"mlp": interval()})
    asked = {r"cost $\frac{$": entry}
    for picture in (figures.forest({r"a $ b": asked}), figures.seeds(asked, ["mlp"])):
        assert picture.startswith("<?xml")


@pytest.mark.parametrize("direction", ["greater", "less"])
def test_hand_made_shards_are_drawn_beside_those_that_were_learned(
    monkeypatch, direction
):
    """In units of the margin, where SHARD expects them to the right."""
    drawn = []

    def noted(axes, x, y, *form, **how):
        drawn.append((x, y))

    monkeypatch.setattr(figures.Axes, "plot", noted)
    plain = prediction(
        rule=rules.Rule(rules.Contrast("sharded", "mlp"), direction, 0.5),
        effect=interval(-0.5, -1.0, 0.25),
    )
    made = dataclasses.replace(
        plain, sensitivity=sensitivity(effect=interval(1.0, 0.5, 1.5))
    )
    figures.forest({"": {"P1": plain, "P2": made}})
    sign = 1 if direction == "greater" else -1
    learned = [[sign * -2.0, sign * 0.5], [sign * -1.0]]
    assert [x for x, _ in drawn] == [
        *learned,
        *learned,
        [sign * 1.0, sign * 3.0],
        [sign * 2.0],
    ]
    heights = [y[0] for _, y in drawn]
    assert heights[:4] == [0, 0, 1, 1]
    assert 1 < heights[4] == heights[5] < 1.5


def test_seeds_that_are_not_judged_are_crosses(monkeypatch):
    drawn = {}

    def noted(axes, x, y, form=None, **how):
        if form in ("o", "x"):
            drawn.setdefault(form, []).append(list(x))

    monkeypatch.setattr(figures.Axes, "plot", noted)
    entry = prediction(
        values={"mlp": (0.1, 0.2, 0.3), "exact": (1.0,)},
        means={"mlp": interval(), "exact": interval()},
        judged_seeds=(0, 2),
    )
    figures.seeds({"P": entry}, ["mlp"])
    assert drawn == {"o": [[0.1, 0.3], [1.0]], "x": [[0.2], []]}
    drawn.clear()
    figures.seeds({"P": dataclasses.replace(entry, judged_seeds=None)}, ["mlp"])
    assert drawn["o"] == [[0.1, 0.2, 0.3], [1.0]]
    assert not any(drawn["x"])


def test_shards_in_use_are_a_line_a_seed_where_there_are_shards(monkeypatch):
    drawn, plot = [], figures.Axes.plot

    def noted(axes, x, y, *form, **how):
        if axes.get_subplotspec().rowspan.start == 1:
            drawn.append((list(x), np.asarray(y).T.tolist()))
        return plot(axes, x, y, *form, **how)

    monkeypatch.setattr(figures.Axes, "plot", noted)
    some, one = curve(((2.0, 2.0), (1.0, None))), curve()
    figures.curves({"shards": some, "one": one}, 0.9, {})
    assert drawn == [([0, 2], [[2.0, 1.0], [2.0, pytest.approx(np.nan, nan_ok=True)]])]
    drawn.clear()
    lost = curve(((None, None), (None, None)))
    figures.curves({"one": one, "lost": lost}, 0.9, {})
    assert not drawn


def test_one_two_and_four_shards_in_use_stand_at_the_axis(monkeypatch):
    """Also where all numbers lie between two of them."""
    monkeypatch.setattr(figures, "svg", lambda figure: figure)
    some = curve(((3.1, 2.2), (2.9, 2.4)))
    axes = figures.curves({"shards": some}, 0.9, {}).axes[2]
    low, high = axes.get_ylim()
    seen = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert seen == [1, 2, 4]


def test_what_is_below_zero_is_drawn(monkeypatch):
    """Where steps cost, values and returns are negative too."""
    value = np.array([[-2.0, -1.0]])
    fine, move = np.ones((1, 2), bool), np.zeros((1, 2, 2))
    norms = []

    def noted(*ends):
        norms.append(ends)
        return colors.Normalize(*ends)

    monkeypatch.setattr(boards, "Normalize", noted)
    boards.values([level_of(value, ~fine, fine, move, value)], ["mlp"])
    assert norms == [(-2.0, -1.0)]


def test_a_board_stands_in_its_row_and_column(monkeypatch):
    """Black walls, grey where V is never asked for, arrows in the middle of cells."""
    drawn, arrows = [], []

    def noted(axes, painted, extent, aspect):
        drawn.append((painted, extent))

    monkeypatch.setattr(boards.Axes, "imshow", noted)
    monkeypatch.setattr(
        boards.Axes, "quiver", lambda axes, *to, **how: arrows.append(to)
    )
    value = np.array([[0.0, 0.5, 1.0], [0.25, 0.75, 2.0]])
    walls = np.array([[False, True, False], [False, False, False]])
    reachable = np.array([[True, True, True], [True, False, True]])
    move = np.zeros((2, 3, 2))
    move[1, 2] = (0.25, -0.5)  # down and to the left
    boards.values([level_of(value, walls, reachable, move, value / 2)], ["mlp"])
    (best, first), (own, second) = drawn
    side = 3 * (1 + boards.GAP)
    left, upper = (side - 3) / 2, (side - 2) / 2
    assert first == pytest.approx((left, left + 3, upper + 2, upper))
    assert second == pytest.approx((left, left + 3, side + upper + 2, side + upper))
    for painted, told in ((best, value), (own, value / 2)):
        assert painted[0, 1].tolist() == [0, 0, 0, 1]
        assert colors.to_hex(painted[1, 1]) == "#bbbbbb"
        seen = reachable & ~walls
        scale = colormaps["viridis"](told / 2)
        np.testing.assert_allclose(painted[seen], scale[seen])
    x, y, right, up = arrows[1]
    assert (x[-1], y[-1]) == pytest.approx((left + 2.5, side + upper + 1.5))
    assert (right[-1], up[-1]) == (-0.5, -0.25)


@pytest.mark.parametrize(
    ("contexts", "levels"),
    [([0, 0, 0, 1], [0, 3]), ([1, 0, 1], [0, 1]), ([1, 1, 1], [0, 1]), ([0], [0])],
)
def test_a_level_of_each_context_is_shown_before_a_second_of_one(contexts, levels):
    start = np.eye(2)[contexts][:, None]  # [L, S = 1, C]
    assert maps._shown(types.SimpleNamespace(context=start)) == levels
