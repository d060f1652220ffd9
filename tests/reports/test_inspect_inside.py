"""Panels on features and weights, against numbers worked out in another way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import decoders
from shardsim.reports.explorer import activations, forward, load
from shardsim.reports.explorer.panels import (
    base,
    reachability,
    retargeting,
    truth,
    weights,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(tiny_run):
    inputs = load.load([tiny_run], ["sharded"], 2, 1)
    levels, condition = forward.levels_of(inputs, 16)
    mazes = forward.lay_out(inputs, condition)
    return base.PanelContext(inputs, inputs.sides[0], levels, condition, mazes)


@pytest.mark.slow
def test_features_are_those_of_each_seed(seen):
    side = seen.side
    world = seen.inputs.env
    level = jax.tree.map(lambda leaf: leaf[1], seen.levels)
    for seed in range(side.num_seeds):
        one = activations.of_seed(side.networks, seed - side.num_seeds)
        state = jax.tree.map(lambda leaf: leaf[3], world.states(level))
        want = one.encoder(world.observe(state))
        np.testing.assert_allclose(
            seen.activations.features[seed, 1, 3], want, atol=1e-6
        )
    assert not np.allclose(seen.activations.features[0], seen.activations.features[1])


def test_sampled_states_can_be_reached_and_bring_their_labels(seen):
    sample, condition = seen.sample, seen.condition
    assert sample.concept == "the context"
    mask = condition.reachable[2:]
    assert len(sample.labels) == min(mask.sum(), activations.MOST_STATES)
    for i in (0, 5):
        level = sample.level[i] + 2
        states = np.flatnonzero(condition.reachable[level])
        same = (seen.activations.features[0, level, states] == sample.x[0, i]).all(
            axis=1
        )
        assert same.any()


def test_one_context_is_told_by_the_exact_value(seen):
    flat = seen.condition._replace(context=np.ones_like(seen.condition.context))
    sample = activations.sample(seen.inputs.env, flat, seen.activations, 2)
    assert sample.concept == "V* above its median"
    high = sample.optimal[sample.labels == 1].min()
    assert high > sample.optimal[sample.labels == 0].max()


def decoder(weight, readout):
    """D with weights [m, D] and a read-out [A, m], one seed."""
    made = decoders.ActionDecoder(
        weight.shape[1], readout.shape[0], (weight.shape[0],), nnx.Rngs(0)
    )
    made.hidden.kernel.set_value(jnp.asarray(weight.T))
    made.hidden.bias.set_value(jnp.zeros(len(weight)))
    made.readout.kernel.set_value(jnp.asarray(readout.T))
    return jax.tree.map(lambda leaf: leaf[None], made)


@pytest.mark.slow
def test_logits_of_directions_by_hand():
    """W = diag(3, 2), all units on: a step along e1 writes 3 R e1, less its mean."""
    weight = np.diag([3.0, 2.0]).astype(np.float32)
    readout = np.asarray([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], np.float32)
    x = np.abs(np.random.default_rng(0).normal(size=(1, 9, 2))).astype(np.float32)
    found = weights._linearise(decoder(weight, readout), jnp.asarray(x))
    np.testing.assert_allclose(found.directions.values[0], [3, 2], atol=1e-5)
    want = [[2, -1, -1], [-2 / 3, 4 / 3, -2 / 3]]
    np.testing.assert_allclose(found.logits[0], want, atol=1e-5)
    # half of the states leave every unit off: half the slope
    both = np.concatenate([x, -x], axis=1)
    half = weights._linearise(decoder(weight, readout), jnp.asarray(both))
    np.testing.assert_allclose(half.logits[0], np.asarray(want) / 2, atol=1e-5)


@pytest.mark.slow
def test_weights_of_the_page(seen):
    found = weights.compute(seen)
    kernel = np.asarray(seen.activations.networks.decoder.hidden.kernel)
    for seed in range(2):
        want = np.linalg.svd(kernel[seed].T, compute_uv=False)
        np.testing.assert_allclose(found.decoder.values[seed], want, rtol=1e-4)
        steps = -np.diff(want) / want[0]
        assert found.decoder.gaps[seed][0] == pytest.approx(steps[0], abs=1e-4)
        np.testing.assert_allclose(found.logits[seed].sum(axis=1), 0, atol=1e-5)
    # what collides is told apart before D, and hardly after it
    assert (found.cosine_after >= found.cosine_before - 1e-5).all()
    cells = [set(cell[cell >= 0].tolist()) for cell in seen.mazes.state_at]
    for mazes in found.merged:
        for m, pairs in enumerate(mazes):
            for pair in pairs:
                assert set(pair.states) <= cells[m]
                assert pair.after > abs(pair.before)


def sampled(x, optimal, level):
    zero = np.zeros(len(optimal), int)
    context = np.zeros((len(optimal), 1))
    return activations.Sample(x, context, zero, "", level, zero, optimal)


@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.slow
def test_ccs_finds_a_value_that_is_written_and_none_in_noise(planted):
    rng = np.random.default_rng(0)
    level = np.repeat(np.arange(8), 30)
    optimal = rng.choice([-1.0, 1.0], len(level))
    x = rng.normal(size=(1, len(level), 8)).astype(np.float32)
    if planted:
        x[0, :, 0] = 12 * optimal
    inner = activations.Activations(None, x[:, None], x[:1, None, :1], np.ones(1, bool))
    found = truth.summarise(inner, sampled(x, optimal, level))
    low, high = found.random[0]
    assert found.losses.shape == found.accuracy.shape == (1, truth.RESTARTS)
    best = found.losses[0].argmin()
    assert found.accuracy[0].min() >= 0.5  # of the better sign
    assert low < high
    if planted:
        assert found.losses[0][best] < found.constant
        assert found.labelled[0] > 0.9
        assert found.accuracy[0][best] > 0.7
    else:
        assert found.labelled[0] < 0.65
        assert found.accuracy[0][best] < max(high, 0.65)
    (answers,) = found.answers
    assert 1 <= answers.num_distinct <= answers.num_good


def test_pairs_stay_in_their_level_and_halves_apart(seen):
    learnt, held = truth.pairs(seen.sample)
    level, optimal = seen.sample.level, seen.sample.optimal
    for found in (learnt, held):
        assert (level[found[:, 0]] == level[found[:, 1]]).all()
        assert (optimal[found[:, 0]] != optimal[found[:, 1]]).all()
    assert not set(level[learnt].flat) & set(level[held].flat)
    one = seen.sample._replace(level=np.zeros_like(level))
    assert truth.summarise(seen.activations, one) is None


def test_the_goal_is_moved_far_away(seen):
    for m in range(2):
        level = jax.tree.map(lambda leaf, m=m: leaf[m], seen.condition.levels)
        found = retargeting.goal(seen.inputs.env, seen.condition, seen.mazes, m)
        before, after = (np.asarray(one.board) for one in (level, found.level))
        changed = np.argwhere(before != after)
        assert len(changed) == 2  # taken from one cell, put on another
        assert len(set(changed[:, 2])) == 1
        assert found.cell in {tuple(cell) for cell in changed[:, :2].tolist()}
        assert before.sum() == after.sum()
        assert found.states.any()


def test_clamps_touch_the_units_that_rise_and_no_other():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(1, 1, 20, 40)).astype(np.float32)
    placed = base.copy()
    placed[..., :12] += 5
    sample = sampled(base[:, 0], np.zeros(20), np.zeros(20, int))
    out, sizes = retargeting.clamp(base, placed, np.ones((1, 20), bool), sample)
    count = len(retargeting.MAGNITUDES)
    for q in range(count):
        moved = (out[0, q, 0] != base[0, 0]).all(axis=0)
        assert moved.nonzero()[0].tolist() == list(range(12))
        np.testing.assert_array_equal(out[0, q, 0][:, 3], sizes[0, 0, q])
        control = (out[0, count + q, 0] != base[0, 0]).all(axis=0)
        assert control.sum() == 12
        assert not control[:12].any()
    assert sizes[0, 0, 0] == 0
    assert sizes[0, 0, 1] == pytest.approx(placed[0, 0, :, :12].mean(), rel=0.1)


def test_pieces_are_put_together_again():
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(2, 3, 4, 7, 1))  # N B M S D
    cut = np.stack([retargeting._pieces(one, 3) for one in whole])[..., 0]
    assert cut.shape == (2, 9, 4, 3)
    np.testing.assert_array_equal(retargeting._joined(cut, 7), whole[..., 0])


def test_shares_and_chances_by_hand(seen):
    share = retargeting._share(
        np.asarray([[[0.3], [0.5]]]), np.asarray([[0.1]]), np.asarray([[0.5]])
    )
    np.testing.assert_allclose(share, [[[0.5, 1.0]]])
    level = np.asarray([[0.1]])
    assert np.isnan(retargeting._share(level[None], level, level)).all()
    condition, mazes = seen.condition, seen.mazes
    goal = retargeting.goal(seen.inputs.env, condition, mazes, 0)
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[0], condition.table)
    policy = np.full((1, 1, *table.successor.shape), 1 / table.successor.shape[1])
    # by walking on, instead of solving
    chance = goal.states.astype(float)
    for _ in range(4000):
        onward = np.where(
            table.terminated & ~goal.states[table.successor], 0, chance[table.successor]
        )
        chance = np.where(goal.states, 1, onward.mean(axis=1))
    drawn = mazes.states[0][mazes.state_at[0][mazes.state_at[0] >= 0]]
    want = chance[drawn[~goal.states[drawn]]].mean()
    got = retargeting._reach(policy, condition, mazes, 0, goal.states)
    assert got[0, 0] == pytest.approx(want, abs=1e-6)
    assert 0 < want < 1


def test_a_level_too_large_is_not_retargeted(seen, monkeypatch):
    monkeypatch.setattr(reachability, "MOST_STATES", 1)
    assert retargeting.compute(seen) is None
    assert reachability.compute(seen) is None
