"""What things are worth, and the experts that are fitted to a head of one part."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.reports.explorer import activations, forward, load
from shardsim.reports.explorer.panels import distillation, shapley


@pytest.fixture(scope="module")
def looked_at(tiny_run):
    gathered = load.gather([tiny_run], ["mlp", "sharded"], 2, 1)
    levels, condition = forward.levels_of(gathered, 16)
    return gathered, levels, condition, forward.boards(gathered, condition)


@pytest.mark.slow
def test_worths_are_shapley_values_and_add_up(looked_at):
    gathered, levels, *_ = looked_at
    side = gathered.sides[1]
    found = shapley.shares(gathered, side, levels)
    one = jax.tree.map(lambda leaf: leaf[-side.seeds], side.networks)
    for m, told in enumerate(found):
        level = jax.tree.map(lambda leaf, m=m: leaf[m], levels)
        world = gathered.world

        def value(gone, level=level, world=world):
            board = np.array(level.board)
            for name in gone:
                board[..., world.plane(name)] = 0
            level = level._replace(board=jnp.asarray(board))
            seen, state = world.reset_to(level, gathered.first.params)
            return float(one.value(one.encoder(seen), world.context(state)).value)

        names = told["names"]
        assert set(names) >= {"fruit 0", "fruit 1"}
        whole, none = value([]), value(names)
        # in order of arrival, over all orders
        want = np.zeros(len(names))
        orders = list(itertools.permutations(range(len(names))))
        for order in orders:
            for place, i in enumerate(order):
                gone = [names[j] for j in order[place + 1 :]]
                want[i] += value(gone) - value([*gone, names[i]])
        np.testing.assert_allclose(told["value"], want / len(orders), atol=1e-5)
        assert told["value"].sum() == pytest.approx(whole - none, abs=1e-5)
        assert np.abs(told["value"]).max() > 1e-4  # the boards do differ
        # shards share it out among themselves
        np.testing.assert_allclose(told["parts"].sum(axis=1), told["value"], atol=1e-5)


def test_too_many_things_are_left_out(looked_at, monkeypatch):
    gathered, levels, *_ = looked_at
    monkeypatch.setattr(shapley, "MOST", 1)
    assert shapley.shares(gathered, gathered.sides[0], levels) == [{}, {}]


@pytest.mark.slow
def test_experts_are_fitted_to_one_part_and_to_no_shards(looked_at):
    gathered, levels, condition, boards = looked_at
    mlp, sharded = gathered.sides
    whole = forward.read(gathered, mlp, levels)
    told = distillation.fitted(
        activations.look(gathered, mlp, levels), whole, condition, boards
    )
    np.testing.assert_allclose(told["gates"].sum(axis=-1), 1, atol=1e-5)
    assert told["levels"] + told["levels held out"] == len(condition.optimal) - 2
    assert told["held-out R2"] <= max(told["restarts"]) + 1e-6
    assert told["train R2"] > 0.9
    shown = forward.shown(whole, boards.kept).value[-1, 0]
    fit = (told["gates"] * told["parts"]).sum(axis=-1)
    real = boards.kept >= 0
    # the mazes are levels of the curves, most of which it learnt from
    assert np.corrcoef(fit[real], shown[real])[0, 1] > 0.5
    other = forward.read(gathered, sharded, levels)
    assert (
        distillation.fitted(
            activations.look(gathered, sharded, levels), other, condition, boards
        )
        == {}
    )
