"""An agent of somebody else is asked as one of ours is, and checked then."""

import json

import jax
import numpy as np
import pytest

import shardsim
import shardsim_envs
from shardsim import cli
from shardsim.core.field_errors import ConfigError
from shardsim.evaluation.measures import ValueAccuracy
from tests.helpers import chromium

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
    assert calls == [9]  # every cell
    assert value_map.shape == (3, 3)
    np.testing.assert_allclose(agent.policy(BOARD), np.full(4, 0.25))  # no logits


def test_it_is_not_asked_about_states_that_cannot_be():
    world = shardsim_envs.CornerMaze(size=5, region=2, max_steps=8)
    calls = []

    def value(board):
        row, column = np.argwhere(board[..., -1])[0]
        assert not board[row, column, world.plane("wall")]
        calls.append((row, column))
        return 0.5

    agent = shardsim.wrap(value, world=world)
    levels = shardsim.levels(world, count=2)
    maps = agent.maps(levels).value
    assert (np.isnan(maps) == levels.walls).all()
    assert len(calls) == (~levels.walls).sum()
    agent.measure(ValueAccuracy(), levels=2)
    # a wrong answer in a state that can be counts
    with pytest.raises(ConfigError, match="value: got NaN"):
        shardsim.wrap(lambda board: np.nan, world=world).maps(levels)


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


@pytest.mark.slow
def test_the_page_shows_v_beside_the_exact_one(trained, tmp_path, monkeypatch, capsys):
    code = f"""
import numpy as np
import shardsim
import shardsim_envs

world = {trained.env!r}
agent = shardsim.wrap(lambda board: 0.25, world=world, name="constant")
"""
    module = tmp_path / "constant_agent.py"
    module.write_text(code.replace("world = ", "world = shardsim_envs."))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["inspect", "--agent", "constant_agent:agent", "--out", "page.html"]
    assert cli.main([*words, "--mazes", "2"]) == 0
    numbers = json.loads((tmp_path / "page.results.json").read_text())
    (side,) = numbers["sides"]
    assert side["arm"] == "constant"
    assert side["num_parameters"] is None
    value = np.asarray(side["outputs"]["value"])
    assert (value == 0.25).all()
    # a constant is off by the spread of V*, and by its own distance to the mean
    assert side["panels"]["curves"]["ends"]["value_error"]["estimate"] >= 1
    assert side["panels"]["reachability"] is not None
    for panel in ("concepts", "weights", "clusters", "shapley"):
        assert side["panels"][panel] is None
    assert "not of shardsim" in (tmp_path / "page.html").read_text()
    if chromium.BROWSER is not None:
        with chromium.tab(tmp_path / "chrome", *chromium.SIZES["desktop"]) as page:
            page.open((tmp_path / "page.html").as_uri())
            bars = "[...document.querySelectorAll('.bar')]"
            ends = page.js(f"{bars}.slice(0, 2).map((bar) => bar.textContent)")
        assert ends[0] == ends[1] != ""  # one scale for V and V*
    refused = {
        "constant_agent:nothing": "has no attribute 'nothing'",
        "no_module:agent": "ModuleNotFoundError",
        "constant_agent:world": "not callable",
    }
    capsys.readouterr()
    for place, message in refused.items():
        assert cli.main(["inspect", "--agent", place, "--out", "b.html"]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["inspect", "--out", "b.html"]) == 2
    assert "runs: got 0; allowed: 1 or 2" in capsys.readouterr().err
    with pytest.raises(shardsim.RunError, match="can be enumerated"):
        shardsim.wrap(lambda board: 0.0, world="tree_gridworld").inspect()
