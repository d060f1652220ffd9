"""An agent of somebody else is asked as one of ours is, and checked then."""

import jax
import numpy as np
import pytest

import shardsim
from shardsim.core.field_errors import ConfigError

BOARD = """
    @..
    .1.
    0..
    everywhere: floor 1
"""


@pytest.fixture(scope="module")
def trained(tiny_run):
    return shardsim.load(tiny_run).seed(1).agents("sharded")


def functions(agents):
    """The functions of a trained agent, as somebody else would write them."""
    one = jax.tree.map(lambda leaf: leaf[1], agents.network.population)
    context = np.zeros(2, np.float32)

    def said(board):
        return one(jax.numpy.asarray(board), jax.numpy.asarray(context))

    return {
        "value": lambda board: said(board).value.value,
        "logits": lambda board: said(board).policy_logits + 7,  # logits, up to a sum
        "gates": lambda board: said(board).value.gates,
        "shard_values": lambda board: said(board).value.shard_values,
    }


def test_a_wrapped_agent_says_what_it_says_itself(trained):
    world, acting = trained.env, trained.acting
    mine = shardsim.wrap(
        **functions(trained),
        world=world,
        temperature=acting.temperature,
        discount=acting.discount,
    )
    levels = shardsim.levels(world, BOARD, BOARD.replace("@..", "..@"))
    expected, got = trained.outputs(levels), mine.outputs(levels)
    for name in expected._fields:
        np.testing.assert_allclose(
            getattr(got, name), getattr(expected, name), atol=1e-5
        )
    np.testing.assert_allclose(mine.policy(levels), trained.policy(levels), atol=1e-3)
    np.testing.assert_allclose(
        mine.ablate(shard=1).value(BOARD),
        trained.ablate(shard=1).value(BOARD),
        atol=1e-5,
    )
    assert repr(mine).startswith("<agent of seed 0 of 'wrapped'")


def test_a_batched_function_is_called_once(trained):
    calls = []

    def value(boards):
        calls.append(len(boards))
        return boards.reshape(len(boards), -1).sum(axis=1)

    agent = shardsim.wrap(value, world=trained.env, batched=True)
    value_map = agent.maps(BOARD).value
    assert calls == [9]
    assert value_map.shape == (3, 3)
    np.testing.assert_allclose(agent.policy(BOARD), np.full(4, 0.25))  # no logits


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"value": lambda x: np.ones(3)}, r"value: got shape \(3,\); allowed: \(\)"),
        ({"value": lambda x: np.nan}, "value: got NaN or infinity"),
        (
            {"value": lambda x: 0.0, "logits": lambda x: np.ones(3)},
            r"logits: got shape \(3,\); allowed: \(4,\)",
        ),
        (
            {"value": lambda x: 0.0, "logits": lambda x: np.full(4, -np.inf)},
            "logits: got no distribution",
        ),
        (
            {"value": lambda x: 0.0, "logits": lambda x: [0, 0, 0, np.nan]},
            "logits: got NaN",
        ),
        (
            {
                "value": lambda x: 1.0,
                "gates": lambda x: [0.5, 0.5],
                "shard_values": lambda x: [1.0, 2.0],
            },
            r"value: got one that is up to 0\.5 from the sum",
        ),
        (
            {"gates": lambda x: [0.5, 0.5], "shard_values": lambda x: [1.0, 2.0, 3.0]},
            r"shard_values: got shape \(3,\); allowed: \(2,\)",
        ),
        ({"gates": lambda x: [1.0]}, "got one of gates and shard_values"),
        ({}, "value: got None"),
        ({"value": lambda x: 0.0, "discount": 1.0}, "discount: got 1.0"),
        ({"value": lambda x: 0.0, "temperature": 0.0}, "temperature: got 0.0"),
    ],
)
def test_what_is_no_agent_gets_one_line(trained, given, message):
    with pytest.raises(ConfigError, match=message) as error:
        shardsim.wrap(**given, world=trained.env).value(BOARD)
    assert len(str(error.value).splitlines()) == 1


def test_an_impossible_action_has_probability_0(trained):
    agent = shardsim.wrap(
        lambda x: 0.0, lambda x: [0.0, 0.0, -np.inf, 0.0], world=trained.env
    )
    np.testing.assert_allclose(agent.policy(BOARD), [1 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)
