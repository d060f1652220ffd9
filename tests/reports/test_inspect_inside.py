"""What is told of E's features and of weights, against numbers worked out otherwise."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import decoders
from shardsim.reports.explorer import activations, forward, load
from shardsim.reports.explorer.panels import reachability, retargeting, truth, weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(tiny_run):
    gathered = load.gather([tiny_run], ["sharded"], 2, 1)
    levels, condition = forward.levels_of(gathered, 16)
    boards = forward.boards(gathered, condition)
    inner = activations.look(gathered, gathered.sides[0], levels)
    sample = activations.sample(condition, inner, 2)
    return types.SimpleNamespace(**locals())


@pytest.mark.slow
def test_features_are_those_of_each_seed(seen):
    side = seen.gathered.sides[0]
    world = seen.gathered.world
    level = jax.tree.map(lambda leaf: leaf[1], seen.levels)
    for seed in range(side.seeds):
        one = activations.of_seed(side.networks, seed - side.seeds)
        state = jax.tree.map(lambda leaf: leaf[3], world.states(level))
        want = one.encoder(world.observe(state))
        np.testing.assert_allclose(seen.inner.features[seed, 1, 3], want, atol=1e-6)
    assert not np.allclose(seen.inner.features[0], seen.inner.features[1])


def test_sampled_states_can_be_reached_and_bring_their_labels(seen):
    sample, condition = seen.sample, seen.condition
    assert sample.concept == "the context that is shown"
    mask = condition.reachable[2:]
    assert len(sample.labels) == min(mask.sum(), activations.MOST_STATES)
    for i in (0, 5):
        level = sample.level[i] + 2
        states = np.flatnonzero(condition.reachable[level])
        same = (seen.inner.features[0, level, states] == sample.x[0, i]).all(axis=1)
        assert same.any()


def test_one_context_is_told_by_the_exact_value(seen):
    flat = seen.condition._replace(context=np.ones_like(seen.condition.context))
    sample = activations.sample(flat, seen.inner, 2)
    assert sample.concept == "exact V above its median"
    high = sample.optimal[sample.labels == 1].min()
    assert high > sample.optimal[sample.labels == 0].max()


def decoder(weight, readout):
    """D with weights [m, D] and a read-out [A, m], one seed."""
    made = decoders.ActionDecoder(
        weight.shape[1], readout.shape[0], weight.shape[0], nnx.Rngs(0)
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
    found = weights._through(decoder(weight, readout), jnp.asarray(x))
    np.testing.assert_allclose(found.directions.values[0], [3, 2], atol=1e-5)
    want = [[2, -1, -1], [-2 / 3, 4 / 3, -2 / 3]]
    np.testing.assert_allclose(found.logits[0], want, atol=1e-5)
    # half of the states leave every unit off: half the slope
    both = np.concatenate([x, -x], axis=1)
    half = weights._through(decoder(weight, readout), jnp.asarray(both))
    np.testing.assert_allclose(half.logits[0], np.asarray(want) / 2, atol=1e-5)


@pytest.mark.slow
def test_weights_of_the_page(seen):
    shown = activations.shown(seen.inner.features[:, :2], seen.boards, 1)
    told = weights.card(seen.inner, seen.sample, shown, seen.boards)
    kernel = np.asarray(seen.inner.networks.decoder.hidden.kernel)
    for seed in range(2):
        want = np.linalg.svd(kernel[seed].T, compute_uv=False)
        np.testing.assert_allclose(told["of D"]["values"][seed], want, rtol=1e-4)
        steps = -np.diff(want) / want[0]
        assert told["of D"]["gaps"][seed][0] == pytest.approx(steps[0], abs=1e-4)
        np.testing.assert_allclose(told["logits"][seed].sum(axis=1), 0, atol=1e-5)
    # what collides is told apart before D, and hardly after it
    assert (told["after"] >= told["before"] - 1e-5).all()
    cells = [set(cell[cell >= 0].tolist()) for cell in seen.boards.cell]
    for mazes in told["merged"]:
        for m, pairs in enumerate(mazes):
            for pair in pairs:
                assert set(pair["states"]) <= cells[m]
                assert pair["after"] > abs(pair["before"])


def sampled(x, optimal, level):
    zero = np.zeros(len(optimal), int)
    context = np.zeros((len(optimal), 1))
    return activations.Sample(x, context, zero, "", level, optimal)


@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.slow
def test_ccs_finds_a_value_that_is_written_and_none_in_noise(planted):
    rng = np.random.default_rng(0)
    level = np.repeat(np.arange(8), 30)
    optimal = rng.choice([-1.0, 1.0], len(level))
    x = rng.normal(size=(1, len(level), 8)).astype(np.float32)
    if planted:
        x[0, :, 0] = 12 * optimal
    inner = types.SimpleNamespace(finite=np.ones(1, bool))
    told = truth.card(inner, sampled(x, optimal, level))
    low, high = told["random"][0]
    assert told["losses"].shape == told["accuracy"].shape == (1, truth.RESTARTS)
    best = told["losses"][0].argmin()
    assert told["accuracy"][0].min() >= 0.5  # of the better sign
    assert low < high
    if planted:
        assert told["losses"][0][best] < told["constant"]
        assert told["labelled"][0] > 0.9
        assert told["accuracy"][0][best] > 0.7
    else:
        assert told["labelled"][0] < 0.65
        assert told["accuracy"][0][best] < max(high, 0.65)
    assert 1 <= told["answers"][0]["seen"] <= told["answers"][0]["kept"]


def test_pairs_stay_in_their_level_and_halves_apart(seen):
    learnt, held = truth.pairs(seen.sample)
    level, optimal = seen.sample.level, seen.sample.optimal
    for found in (learnt, held):
        assert (level[found[:, 0]] == level[found[:, 1]]).all()
        assert (optimal[found[:, 0]] != optimal[found[:, 1]]).all()
    assert not set(level[learnt].flat) & set(level[held].flat)
    one = seen.sample._replace(level=np.zeros_like(level))
    assert truth.card(seen.inner, one) == {}


def test_the_goal_is_moved_far_away(seen):
    for m in range(2):
        level = jax.tree.map(lambda leaf, m=m: leaf[m], seen.condition.levels)
        found = retargeting.goal(seen.gathered.world, seen.condition, seen.boards, m)
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
    out, sizes = retargeting._clamped(base, placed, np.ones((1, 20), bool), sample)
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
    cut = np.stack([retargeting._cut(one, 3) for one in whole])[..., 0]
    assert cut.shape == (2, 9, 4, 3)
    np.testing.assert_array_equal(retargeting._joined(cut, 7), whole[..., 0])


def test_shares_and_chances_by_hand(seen):
    share = retargeting._share(
        np.asarray([[[0.3], [0.5]]]), np.asarray([[0.1]]), np.asarray([[0.5]])
    )
    np.testing.assert_allclose(share, [[[0.5, 1.0]]])
    level = np.asarray([[0.1]])
    assert np.isnan(retargeting._share(level[None], level, level)).all()
    condition, boards = seen.condition, seen.boards
    goal = retargeting.goal(seen.gathered.world, condition, boards, 0)
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[0], condition.table)
    policy = np.full((1, 1, *table.successor.shape), 1 / table.successor.shape[1])
    # by walking on, instead of solving
    chance = goal.states.astype(float)
    for _ in range(4000):
        onward = np.where(
            table.terminated & ~goal.states[table.successor], 0, chance[table.successor]
        )
        chance = np.where(goal.states, 1, onward.mean(axis=1))
    drawn = boards.kept[0][boards.cell[0][boards.cell[0] >= 0]]
    want = chance[drawn[~goal.states[drawn]]].mean()
    got = retargeting._arrives(policy, condition, boards, 0, goal.states)
    assert got[0, 0] == pytest.approx(want, abs=1e-6)
    assert 0 < want < 1


def test_a_level_too_large_is_not_retargeted(seen, monkeypatch):
    monkeypatch.setattr(reachability, "MOST_SOLVED", 1)
    made = retargeting.plan(
        seen.gathered, seen.condition, seen.boards, seen.inner, seen.sample
    )
    assert made is None
