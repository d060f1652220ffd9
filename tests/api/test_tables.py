"""Worlds given as tables: exact values with chance, and agents of others in them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shardsim
from shardsim import cli
from shardsim.core import dynamic_programming
from shardsim.core.field_errors import ConfigError
from shardsim.core.types import Environment
from shardsim.evaluation.measures import AgreementShift, ValueAccuracy

GAMMA = 0.9


def iterated(transitions, rewards, terminal):
    """V* by value iteration, written anew."""
    value = np.zeros(len(terminal))
    for _ in range(500):
        q = (transitions * (rewards + GAMMA * value * ~terminal)).sum(-1)
        value = np.where(terminal, 0, q.max(-1))
    return value


@pytest.fixture(scope="module")
def chancy():
    """Six states, three actions, every next state possible or not at random."""
    rng = np.random.default_rng(0)
    transitions = rng.random((6, 3, 6)) * (rng.random((6, 3, 6)) < 0.6)
    transitions[..., 0] += 0.05
    transitions /= transitions.sum(-1, keepdims=True)
    rewards = rng.normal(size=(6, 3, 6))
    return transitions, rewards, np.arange(6) == 5


@pytest.fixture(scope="module")
def world(chancy):
    transitions, rewards, terminal = chancy
    return shardsim.table(transitions, rewards, terminal=terminal)


@pytest.fixture(scope="module")
def exact(chancy):
    return iterated(*chancy)


def test_exact_values_take_chance_into_account(world, exact):
    assert isinstance(world, Environment)
    level = world.generate(jax.random.key(0), ())
    table = dynamic_programming.tabulate(world, level, ())
    value = dynamic_programming.optimal_value(table, GAMMA, 1000)
    np.testing.assert_allclose(value[:6], exact, atol=1e-4)
    reachable = np.asarray(dynamic_programming.reachable(table))
    assert not reachable[6:].any()  # nobody stays between two states


def test_steps_are_drawn_from_the_probabilities(world, chancy):
    transitions, _, terminal = chancy
    state = jax.tree.map(lambda leaf: leaf[2], world.all_states())
    keys = jax.random.split(jax.random.key(1), 4000)
    out = jax.vmap(lambda key: world.step(key, state, jnp.int32(1), ()))(keys)
    counts = np.bincount(np.asarray(out.state.number), minlength=6) / len(keys)
    np.testing.assert_allclose(counts, transitions[2, 1], atol=0.03)
    ended = np.asarray(out.terminated)
    assert (ended == terminal[np.asarray(out.state.number)]).all()


def test_a_table_without_chance_and_a_time_limit():
    world = shardsim.table(
        [[0, 1], [0, 2], [2, 2]],
        {"left": [[1, 0], [0, 0], [0, 0]], "right": [[0, 0], [0, 2], [0, 0]]},
        terminal=[False, False, True],
        max_steps=3,
    )
    assert world.num_states == 3
    level = world.generate(jax.random.key(0), ())
    table = dynamic_programming.tabulate(world, level, ())
    value = dynamic_programming.optimal_value(table, GAMMA, 1000)
    # staying left for ever pays 1 / (1 - gamma); the right end pays 2 once
    np.testing.assert_allclose(value, [10, 9, 0], rtol=1e-4)
    _, state = world.reset(jax.random.key(0), ())
    for time in range(1, 4):
        out = world.step(jax.random.key(0), state, 0, ())
        state = out.state
        assert bool(out.truncated) == (time == 3)
        np.testing.assert_array_equal(out.info["rewards"], [1, 0])


def test_measures_of_an_agent_in_a_table(world, exact):
    right = shardsim.wrap(
        lambda seen: seen @ exact.astype(np.float32), world=world, discount=GAMMA
    )
    assert right.measure(ValueAccuracy(), levels=2)["wrapped"][0] < 1e-4
    constant = shardsim.wrap(lambda seen: 0.5, world=world, discount=GAMMA)
    assert constant.measure(ValueAccuracy(), levels=2)["wrapped"][0] >= 1
    states = world.all_states()
    np.testing.assert_allclose(right.value(states), exact, atol=1e-5)
    assert right.policy(states).shape == (6, 3)
    with pytest.raises(ConfigError, match="allowed for 'agreement': also conflict"):
        right.measure(AgreementShift())
    with pytest.raises(ConfigError, match="which has no boards"):
        right.watch()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"transitions": [[0.5, 1]]}, r"transitions: got float64 of shape \(1, 2\)"),
        ({"transitions": [[0, 2], [0, 1]]}, r"at \[0, 1\]; allowed: 0 to 1"),
        ({"transitions": np.full((2, 2, 2), 0.4)}, "probabilities that sum to 1"),
        ({"rewards": [[0.0]]}, r"rewards: got shape \(1, 1\) for 'reward'; allowed"),
        ({"rewards": [[0.0, np.nan], [0, 0]]}, r"rewards: .*at \[0, 1\]; allowed: fin"),
        ({"terminal": [1, 0]}, "terminal: got int64; allowed: booleans"),
        ({"terminal": [True]}, r"terminal: got shape \(1,\); allowed: \(2,\)"),
        ({"observations": np.ones((3, 2))}, r"observations: .*allowed: numbers \[2,"),
        ({"observations": [[1, np.inf], [0, 0]]}, "allowed: finite numbers"),
        ({"start": 2}, "start: got 2; allowed: 0 to 1"),
        ({"start": [0.5, 0.4]}, "allowed: the number of a state, or probabilities"),
        ({"terminal": [True, False]}, "start: got a terminal state"),
        ({"cells": [[0, 0]]}, "cells: got int64 of shape"),
        ({"walls": [[True]]}, "walls: got shape"),
        ({"things": {"key": (5, 0)}}, "things.key: got"),
        ({"pictures": np.zeros((2, 4, 4, 3))}, "pictures: got float64"),
        ({"pictures": np.zeros((2, 4, 4, 4), np.uint8)}, r"allowed: uint8 \[2, h"),
        ({"max_steps": 0}, "max_steps: got 0; allowed: at least 1"),
        ({"transitions": [[0, 1], [0]]}, r"transitions: got no array \("),
        ({"rewards": [["a", "b"], [0, 0]]}, r"rewards: got no array \("),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(changes, says):
    fits = {"transitions": [[0, 1], [0, 1]], "rewards": np.zeros((2, 2))}
    with pytest.raises(ConfigError, match=says) as error:
        shardsim.table(**{**fits, **changes})
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
def test_the_page_of_an_agent_in_a_table(tmp_path, monkeypatch):
    module = tmp_path / "corridor_agent.py"
    module.write_text(
        "import numpy as np, shardsim\n"
        "world = shardsim.table([[0, 1], [0, 2], [2, 2]], [[0, 0], [0, 1.0], [0, 0]],\n"
        "    terminal=[False, False, True], cells=[[0, 0], [0, 1], [0, 2]],\n"
        "    things={'cheese': (0, 2)},\n"
        "    pictures=np.zeros((3, 4, 4, 3), np.uint8))\n"
        "agent = shardsim.wrap(lambda s: s @ [0.9, 1, 0], lambda s: [0, 9],\n"
        "    world=world, discount=0.9, name='right')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert cli.main(["inspect", "--agent", "corridor_agent:agent"]) == 0
    data = json.loads((tmp_path / "page.results.json").read_text())
    (side,) = data["sides"]
    ends = side["panels"]["curves"]["ends"]
    assert ends["value_error"]["estimate"] < 1e-3
    assert ends["return"]["estimate"] > 0.99
    assert side["panels"]["episodes"]["ends"][0][0] == "terminated"
    assert data["mazes"][0]["image"].startswith("data:image/png")
    names = {thing["name"] for thing in data["mazes"][0]["objects"]}
    assert names == {"cheese", "start"}
