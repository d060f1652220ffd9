"""Shapley values of objects, and the experts fitted to a head without shards."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.reports.explorer import forward, load
from shardsim.reports.explorer.panels import base, distillation, shapley


@pytest.fixture(scope="module")
def contexts(tiny_run):
    """Of mlp and of sharded."""
    inputs = load.load([tiny_run], ["mlp", "sharded"], 2, 1)
    levels, condition = forward.levels_of(inputs, 16)
    mazes = forward.lay_out(inputs, condition)
    return [
        base.PanelContext(inputs, side, levels, condition, mazes)
        for side in inputs.sides
    ]


@pytest.mark.slow
def test_values_of_objects_are_shapley_values_and_add_up(contexts):
    _, context = contexts
    side, inputs = context.side, context.inputs
    one = jax.tree.map(lambda leaf: leaf[-side.num_seeds], side.networks)
    for m, maze in enumerate(shapley.compute(context).mazes):
        level = jax.tree.map(lambda leaf, m=m: leaf[m], context.levels)
        world = inputs.env

        def value(gone, level=level, world=world):
            board = np.array(level.board)
            for name in gone:
                board[..., world.plane(name)] = 0
            level = level._replace(board=jnp.asarray(board))
            seen, state = world.reset_to(level, inputs.first.params)
            return float(one.value(one.encoder(seen), world.context(state)).value)

        names = maze.names
        assert set(names) >= {"fruit 0", "fruit 1"}
        whole, none = value([]), value(names)
        # in order of arrival, over all orders
        want = np.zeros(len(names))
        orders = list(itertools.permutations(range(len(names))))
        for order in orders:
            for place, i in enumerate(order):
                gone = [names[j] for j in order[place + 1 :]]
                want[i] += value(gone) - value([*gone, names[i]])
        np.testing.assert_allclose(maze.value, want / len(orders), atol=1e-5)
        assert maze.value.sum() == pytest.approx(whole - none, abs=1e-5)
        assert np.abs(maze.value).max() > 1e-4  # the boards do differ
        # shards share it out among themselves
        np.testing.assert_allclose(maze.shards.sum(axis=1), maze.value, atol=1e-5)


def test_mazes_with_too_many_objects_are_left_out(contexts, monkeypatch):
    monkeypatch.setattr(shapley, "MOST", 1)
    assert shapley.compute(contexts[0]) is None


@pytest.mark.slow
def test_experts_are_fitted_to_a_head_without_shards_and_to_no_other(contexts):
    mlp, sharded = contexts
    found = distillation.compute(mlp)
    np.testing.assert_allclose(found.gates.sum(axis=-1), 1, atol=1e-5)
    assert found.train_levels + found.test_levels == len(mlp.condition.optimal) - 2
    assert found.test_r2 <= max(found.restarts_r2) + 1e-6
    assert found.train_r2 > 0.9
    value = forward.in_mazes(mlp.predictions, mlp.mazes).value[-1, 0]
    fit = (found.gates * found.expert_values).sum(axis=-1)
    is_state = mlp.mazes.states >= 0
    # the mazes are levels of the curves, most of which it learnt from
    assert np.corrcoef(fit[is_state], value[is_state])[0, 1] > 0.5
    assert distillation.compute(sharded) is None
