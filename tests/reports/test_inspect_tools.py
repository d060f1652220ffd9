"""Tools of the inspection on a page: planted answers, and none where nothing is."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.agents import value
from shardsim.inspection.concepts import methods
from shardsim.reports.explorer import activations
from shardsim.reports.explorer.forward import Predictions
from shardsim.reports.explorer.panels import (
    base,
    clusters,
    concepts,
    context_gradients,
    reflection,
    shards,
    weights,
)

STATES, FEATURES = 64, 6


def stacked(head):
    """One seed."""
    return jax.tree.map(lambda leaf: leaf[None], head)


def linear(weights):
    """V = w . z, one seed."""
    head = value.Linear().build(len(weights), 2, 1, nnx.Rngs(0))
    head.kernel.set_value(jnp.asarray(weights, jnp.float32)[None])
    return stacked(head)


def oracle(first, second):
    """V = |a . z| in context 0 and |b . z| in context 1, as shards, one seed."""
    config = value.OracleGated()
    head = config.build(len(first), 2, 2, nnx.Rngs(0))
    columns = np.stack([first, -first, second, -second], axis=1)
    head.hidden.kernel.set_value(jnp.asarray(columns, jnp.float32))
    head.hidden.bias.set_value(jnp.zeros(4))
    head.kernel.set_value(jnp.ones((2, 2)))
    return stacked(head)


def unit(i):
    return np.eye(FEATURES)[i]


@pytest.fixture
def sample():
    """Two contexts by turns, in eight levels; feature 0 is the context."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, STATES, FEATURES)).astype(np.float32)
    labels = np.arange(STATES) % 2
    x[0, :, 0] = 3.0 * (2 * labels - 1)
    return activations.Sample(
        x=x,
        context=np.eye(2)[labels],
        labels=labels,
        concept="the context",
        level=np.arange(STATES) // 8,
        cell=rng.integers(4, size=STATES),
        optimal=rng.normal(size=STATES),
    )


def activations_of(head, sample, finite=(True,)):
    networks = types.SimpleNamespace(value=head)
    rows = sample.x[:, None]
    return activations.Activations(
        networks, rows, sample.context[None], np.array(finite)
    )


def by_name(panel):
    return {one.name: one for one in panel.readings}


def test_means_of_readings_are_over_the_seeds_that_have_a_number():
    one = base.reading("a", "b", [1.0, np.nan, 3.0], 0.5, "c")
    assert one.over_seeds.estimate == pytest.approx(2.0)
    assert one.nothing.tolist() == [0.5] * 3
    assert np.isnan(base.reading("a", "b", [np.nan], 0, "c").over_seeds.estimate)


def test_fits_that_did_not_converge_are_counted_by_seed():
    flags = np.array([[True, False], [False, False], [True, True]])
    one = base.fits("search", flags)
    assert (one.num_fits, one.num_stopped, one.seeds) == (6, 3, [0, 1])
    lost = base.fits("search", flags, np.array([True, False, True]))
    assert (lost.num_fits, lost.num_stopped, lost.seeds) == (4, 1, [0])
    assert base.fits("search", np.ones(2, bool)).num_stopped == 0


@pytest.mark.slow
@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("max_steps", [1, 12_800])
def test_a_search_that_is_cut_short_is_counted(sample, monkeypatch, max_steps):
    # shapes of its own, since compiled programs keep their settings
    states = 40 if max_steps == 1 else 48
    part = {
        name: getattr(sample, name)[:states]
        for name in sample._fields[1:]
        if name != "concept"
    }
    sample = sample._replace(x=sample.x[:, :states], **part)
    cde = methods.Cde(steps=min(100, max_steps), max_steps=max_steps)
    monkeypatch.setattr(concepts, "CDE", cde)
    runs = concepts.find(activations_of(linear(unit(0) + unit(1)), sample), sample)
    stopped = {
        one.name: one.num_stopped for one in concepts.fits(runs, np.ones(1, bool))
    }
    assert stopped["cde"] == (3 if max_steps == 1 else 0)
    assert {name for name, count in stopped.items() if count} <= {"cde"}


@pytest.mark.parametrize("is_planted", [True, False])
def test_contexts_have_directions_of_their_own_where_shards_are_gated(
    sample, is_planted
):
    """Positive features, so that |a . z| has the gradient a."""
    positive = sample._replace(x=np.abs(sample.x))
    head = oracle(unit(1), unit(2) if is_planted else unit(1))
    panel = context_gradients.summarise(activations_of(head, positive), positive)
    found = by_name(panel)
    assert panel.num_contexts == 2
    cosine, directions = found["|cos| between contexts"], found["directions"]
    assert cosine.values[0] == pytest.approx(0 if is_planted else 1, abs=1e-5)
    assert directions.values[0] == pytest.approx(2 if is_planted else 1, abs=1e-4)
    # 1 is what both are where V is alike in all contexts
    assert cosine.nothing[0] == directions.nothing[0] == 1
    lines = found["loss of lines less loss of a plane"]
    assert lines.values[0] == pytest.approx(0, abs=1e-5)
    if is_planted:
        assert lines.nothing[0] > 0.1


def test_one_context_or_a_lost_seed_has_no_directions(sample):
    head = linear(unit(0))
    one = sample._replace(context=np.ones((STATES, 1)))
    inner = activations_of(head, one)
    assert context_gradients.summarise(inner, one) is None
    lost = activations_of(head, sample, (False,))
    panel = context_gradients.summarise(lost, sample)
    assert all(np.isnan(one.values).all() for one in panel.readings)


def test_groups_of_units_that_serve_one_context_are_selective():
    rng = np.random.default_rng(0)
    context = np.arange(STATES) % 2
    units = rng.normal(size=(STATES, 4))
    group = np.array([0, 0, 1, 1])
    own = units * (group[None] == context[:, None])
    assert clusters.selectivity(own, group, context) > 0.8
    assert clusters.selectivity(own, np.array([0, 1, 0, 1]), context) < 0.5


def test_groups_of_units_explain_more_than_shuffled_ones(sample):
    """Two features rise together, and two others: two groups."""
    x = sample.x.copy()
    x[0, :, 2], x[0, :, 4] = x[0, :, 1], x[0, :, 3]
    paired = sample._replace(x=x)
    head = linear([0, 1, 1, 1, 1, 0])
    inner = activations_of(head, paired)
    panel = clusters.summarise(inner, paired)
    explained = by_name(panel)["spread explained"]
    assert explained.values[0] == pytest.approx(1, abs=1e-4)
    assert explained.nothing[0] < 0.7
    assert panel.sizes.tolist() == [[2, 2]]


def test_selectivity_of_shards_is_near_1_only_where_contexts_have_their_own():
    rng = np.random.default_rng(0)
    context = np.eye(2)[np.arange(STATES) % 2][None]
    mask = np.ones((1, STATES), bool)

    def readings(gates):
        parts = rng.normal(size=(1, 1, 1, STATES, 2))
        zero = np.zeros((1, 1, 1, STATES))
        outputs = Predictions(zero, zero[..., None], gates[None, None], parts)
        (one,) = shards.selectivities(outputs, mask, context)
        return one

    own = readings(context)
    assert own.values[0] > 0.7
    assert own.values[0] > own.nothing[0] + 0.3
    shared = readings(np.full_like(context, 0.5))
    assert abs(shared.values[0] - shared.nothing[0]) < 0.3


def test_a_shard_that_holds_the_other_is_known_by_more_than_random_ones(sample):
    inner = activations_of(oracle(unit(1), unit(2)), sample)
    panel = reflection.summarise(inner, sample)
    (reading,) = panel.readings
    # |z1| and |z2| are independent
    assert np.diag(panel.r2[0]).min() > 0.9
    assert abs(reading.values[0]) < 1
    assert reading.nothing[0] > 0
    assert reflection.summarise(activations_of(linear(unit(0)), sample), sample) is None


def test_swapping_the_direction_that_v_reads_swaps_v(sample):
    directions = np.stack([unit(0), unit(1)])[None, :, None].astype(np.float32)
    losses = np.zeros((1, 2, 1))
    runs = concepts.Runs(directions, directions, losses, losses == 0)
    inner = activations_of(linear(unit(0)), sample)
    scores = concepts._effects(runs, inner, sample)
    for name in ("swap", "erased"):
        np.testing.assert_allclose(scores[name], [[1, 0]], atol=1e-5)


def test_a_probe_reads_the_concept_and_learns_no_random_labels(sample):
    (reading,), (fits,) = concepts._control_task(activations_of(None, sample), sample)
    assert fits.num_stopped == 0
    assert reading.values[0] == 1
    assert reading.nothing[0] < 0.9


@pytest.mark.parametrize(
    ("matrix", "share"),
    [(np.diag([3.0, 1.0]), 0.0), (np.array([[0.0, 2.0], [-2.0, 0.0]]), 2**0.5)],
)
def test_a_stretch_does_not_rotate_and_a_turn_does(matrix, share):
    layer = types.SimpleNamespace(kernel=matrix[None])
    (reading,) = weights._layer(types.SimpleNamespace(layers=[layer]))
    assert reading.values[0] == pytest.approx(share, abs=1e-6)
    wide = types.SimpleNamespace(kernel=np.zeros((1, 2, 3)))
    assert weights._layer(types.SimpleNamespace(layers=[wide])) == []
    assert weights._layer(types.SimpleNamespace()) == []
