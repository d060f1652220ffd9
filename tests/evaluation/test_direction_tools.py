"""Tools for directions: their pairs of states, and that each gives all of its rows."""

import jax
import numpy as np
import pytest

from shardsim.agents import agent as agents
from shardsim.agents import encoders, value
from shardsim.evaluation import battery, state_readings, subjects, tools
from shardsim.evaluation.tools import matched_states
from tests.helpers.made_readings import DISCOUNT, ENV

KEY = jax.random.key(0)
SIZE = int(np.prod(ENV.observation_shape))


@pytest.fixture(scope="module")
def condition():
    return battery.build(
        ENV, ENV.params(), battery.EvaluationConfig(levels=8), DISCOUNT
    )


def subject(condition, encoder, head=None):
    """An agent of random weights: V and D of an untrained agent are 0 everywhere."""
    config = agents.AgentConfig(encoder=encoder, decoder_hidden=(6,))

    def drawn(key):
        agent = agents.build(config, head or value.MLP(), 6, ENV, key)
        leaves, tree = jax.tree.flatten(agent)
        keys = jax.random.split(key, len(leaves))
        return jax.tree.unflatten(
            tree,
            [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)],
        )

    population = jax.vmap(drawn)(KEY[None])
    reading = state_readings.read(ENV, population, condition, True)
    return subjects.of_reading(ENV, condition, population, reading, 0)


@pytest.fixture(scope="module")
def seen(condition):
    """Its features are what the agent sees."""
    return subject(condition, encoders.FlatEncoder(features=SIZE))


@pytest.fixture(scope="module")
def learnt(condition):
    return subject(condition, encoders.MLPEncoder(widths=(8,)), value.OracleGated())


def planes(features):
    return features.reshape(-1, *ENV.observation_shape)


def test_pairs_differ_in_the_floor_alone(seen):
    rows = matched_states.draw(seen, ~seen.held_out, 20, KEY)
    assert not seen.held_out[rows].any()
    assert len(set(rows.tolist())) == 20
    pairs = matched_states.by_context(seen, rows)
    floor = [ENV.plane("floor 0"), ENV.plane("floor 1")]
    others = [i for i in range(ENV.observation_shape[-1]) if i not in floor]
    a, b = planes(pairs.a), planes(pairs.b)
    np.testing.assert_array_equal(a[..., others], b[..., others])
    np.testing.assert_array_equal(a[..., floor], b[..., floor[::-1]])
    np.testing.assert_array_equal(pairs.context_a, np.tile([1, 0], (20, 1)))
    np.testing.assert_array_equal(pairs.context_b, np.tile([0, 1], (20, 1)))
    # one side is the state that was read
    own = np.where((seen.context[rows] == 0)[:, None], pairs.a, pairs.b)
    np.testing.assert_array_equal(own, seen.features[rows])


def test_pairs_differ_in_the_cue_alone(seen):
    cue = matched_states.has_cue(seen)
    assert 0 < cue.mean() < 1
    rows = matched_states.draw(seen, cue, 12, KEY)
    pairs = matched_states.by_cue(seen, rows)
    np.testing.assert_array_equal(pairs.a, seen.features[rows])
    at = ENV.plane("cue")
    a, b = planes(pairs.a), planes(pairs.b)
    assert (a[..., at].sum(axis=(1, 2)) == 1).all()
    assert (b[..., at] == 0).all()
    others = [i for i in range(ENV.observation_shape[-1]) if i != at]
    np.testing.assert_array_equal(a[..., others], b[..., others])


@pytest.mark.parametrize(
    "of",
    [
        "policy",
        *(pytest.param(x, marks=pytest.mark.slow) for x in ("value", "planted")),
    ],
)
def test_read_directions_gives_every_row(learnt, of):
    tool = tools.ReadDirections(
        of=of, ranks=(1, 2), states=64, number=4, steps=3, draws=2
    )
    found = tool.measure(learnt, KEY)
    assert tuple(found) == ("", *tool.ROWS)
    assert found[""] == found["singular"]
    applies = {"policy": "_collisions", "planted": "_planted"}.get(of)
    for name, number in found.items():
        end = next((e for e in ("_collisions", "_planted") if name.endswith(e)), None)
        if end in (None, applies):
            assert 0 <= number <= 1.001, name
        else:
            assert np.isnan(number), name
    again = tool.measure(learnt, KEY)
    assert repr(again) == repr(found)


def test_a_world_without_the_cue_gives_no_number(condition, learnt):
    boards = np.array(condition.levels.board)
    boards[..., ENV.plane("cue")] = 0
    bare = condition._replace(levels=condition.levels._replace(board=boards))
    tool = tools.ConceptDirections()
    found = tool.measure(learnt._replace(condition=bare), KEY)
    assert tuple(found) == ("", *tool.ROWS)
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize(
    "site",
    [
        pytest.param("hidden", marks=pytest.mark.slow),
        pytest.param("features", marks=pytest.mark.long),
    ],
)
def test_concept_directions_gives_every_row(learnt, site):
    tool = tools.ConceptDirections(
        site=site, pairs=16, steps=(1, 2, 3), restarts=2, annealed_restarts=2
    )
    found = tool.measure(learnt, KEY)
    assert tuple(found) == ("", *tool.ROWS)
    assert found[""] == found["cde"]
    for name, number in found.items():
        assert np.isfinite(number) != (name == "span"), name
    assert found["means_to_means"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"shares": (0.1, 0.3, 1.0)}, "shares"),
        ({"steps": (10, 5, 100)}, "steps"),
    ],
)
def test_what_is_refused(fields, line):
    with pytest.raises(ValueError, match=line):
        tools.ConceptDirections(**fields)
    with pytest.raises(ValueError, match="number: got 4; allowed: at least 8"):
        tools.ReadDirections(number=4)
