"""The benchmark runs, without peers too, and draws what it measured."""

import importlib
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.training import population
from shardsim_envs import CornerMaze

FOLDER = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "speed.py").is_file(), reason="no benchmark beside the tests"
)


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("speed")
    for name, small in {"BATCH": 4, "STEPS": 3, "GENERATED": 1, "VECTOR": 2}.items():
        monkeypatch.setattr(module, name, small)
    monkeypatch.setattr(module.timing, "ROUNDS", 1)
    train = module.speed_train
    small = {
        "SEEDS": (1, 2),
        "ENVS": (4,),
        "STEPS": 512,
        "CURVE_SEEDS": 2,
        "CURVE_UPDATES": 10,
        "POPULATION": (1, 1),
        "SIDE": 64,
        "SEARCH_ENVS": 4,
        "SEARCH_STEPS": 4,
        "SIZES": (1, 2, 3),
    }
    for name, value in small.items():
        monkeypatch.setattr(train, name, value)
    monkeypatch.setattr(train.speed_corner, "LEVELS", 2)
    monkeypatch.setattr(train.speed_corner, "STEPS", 4)
    monkeypatch.delenv("PEERS", raising=False)
    monkeypatch.chdir(FOLDER)
    yield module
    for name in [n for n in sys.modules if n == "timing" or "speed_" in n]:
        sys.modules.pop(name)


def test_a_row_tells_the_ratio(speed, capsys):
    row = speed.timing.Row("x", "steps/s", [4e6, 6e6], "peer", [2e6, 2e6])
    assert row.ratios == [2, 3]
    assert "5 M steps/s   peer" in str(row)
    assert "ratio  2.50  [2.00, 3.00]" in str(row)
    capsys.readouterr()


def test_a_figure_is_drawn_where_there_are_peers(speed, tmp_path, capsys):
    rows = [
        speed.timing.Row("alone", "steps/s", [1.0]),
        speed.timing.Row("x", "steps/s", [4e6, 6e6], "peer", [2e6, 2e6]),
    ]
    out = tmp_path / "deep" / "speed.png"
    speed.timing.draw(rows, out)
    assert out.is_file()
    speed.timing.draw(rows[:1], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    assert "no peer is installed" in capsys.readouterr().out


@pytest.mark.slow
def test_it_runs_without_peers(speed, tmp_path, capsys, monkeypatch):
    for peer in speed.timing.PEERS:
        monkeypatch.setitem(sys.modules, peer, None)
    assert speed.main(["worlds", "--out", str(tmp_path / "speed.png")]) == 0
    text = capsys.readouterr().out
    assert "jax " in text
    assert "is skipped" in text
    for row in ("CornerMaze, observed", "MonsterWorld, levels", "Gymnasium, one"):
        assert row in text


def test_a_return_is_the_mean_over_episodes_the_cut_one_too(speed):
    # pays 1 in step 2 of an episode of 2, then an episode of 1 that the end cuts
    reward = jnp.asarray([[0.0], [1.0], [0.0]])
    ended = jnp.asarray([[0.0], [1.0], [0.0]])
    found = speed.speed_train.speed_corner.returns(reward, ended, 0.5)
    np.testing.assert_allclose(found, [(0.5 + 0.0) / 2])


def test_nothing_paid_after_an_end_counts_before_it(speed):
    reward = jnp.asarray([[0.0, 1.0], [4.0, 4.0]])
    ended = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])
    found = speed.speed_train.speed_corner.returns(reward, ended, 0.5)
    np.testing.assert_allclose(found, [(0 + 4) / 2, 1 + 2])


@pytest.mark.slow
def test_the_best_return_is_that_of_the_shortest_way(speed):
    world = CornerMaze(size=5, layout="open")
    board = np.zeros((2, 5, 5, 3), np.uint8)
    wall, cheese = world.plane("wall"), world.plane("cheese")
    board[..., wall] = np.pad(np.zeros((3, 3), np.uint8), 1, constant_values=1)
    board[1, 1:3, 2, wall] = 1  # the way around takes 6 steps, not 2
    board[:, 1, 3, cheese] = 1
    level = world.generate(jax.random.key(0), world.params())
    _, state = world.reset_to(level, world.params())
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state)
    states = states._replace(
        board=jnp.asarray(board), position=jnp.asarray([[1, 1], [1, 1]])
    )
    found = speed.speed_train.speed_corner.best(world, states)
    np.testing.assert_allclose(found, [0.995**1, 0.995**5], rtol=1e-6)


def test_flops_by_hand(speed):
    """E 507-128-128, D 128-128-4, V 128-128-1 on a 13 x 13 x 3 board."""
    ours = speed.speed_train.speed_ours
    task = ours.grown(ours.corner(), num_seeds=2, num_envs=4, num_steps=8, epochs=3)
    seen = int(np.prod(task.world.observation_shape))
    e, d, v = seen * 128 + 128**2, 128**2 + 128 * 4, 128**2 + 128
    one = 2 * (e + d) + 4 * (e + v) + 3 * (6 * (e + d + v) - 2 * seen * 128)
    assert ours.flops(task) == 2 * 4 * 8 * one


def test_cartpole_is_set_up_as_purejaxrl_does(speed):
    pytest.importorskip("gymnax")
    ours = speed.speed_train.speed_ours
    task = ours.cartpole(1, 4, 2)
    carry = population.init.compiled.eval_shape(*ours._ingredients(task))
    agent = carry.learners[0].agent
    assert not ours._weights(agent.encoder)
    assert sorted(ours._weights(agent.decoder)) == [64 * 2, 4 * 64, 64 * 64]
    assert sorted(ours._weights(agent.value)) == [64, 4 * 64, 64 * 64]


def test_absent_peers_are_skipped_with_a_word(speed, monkeypatch, capsys):
    for name in ("jaxgmg", "jaxgmg.baselines", "jaxgmg.baselines.experience"):
        monkeypatch.setitem(sys.modules, name, None)
    peers = speed.speed_train.speed_peers
    assert peers.purejaxrl() is None
    assert peers.jaxgmg() is None
    text = capsys.readouterr().out
    assert "PureJaxRL is skipped" in text
    assert "jaxgmg is skipped" in text


def test_costs_are_drawn(speed, tmp_path):
    costs = {"num_envs": ([1, 10, 100], [0.1, 0.5, 4.0])}
    speed.speed_train.draw_costs(costs, tmp_path / "deep" / "cost.png")
    assert (tmp_path / "deep" / "cost.png").is_file()


ROWS = {
    "ppo": "PPO 4 x 128, 2 seeds, compile",
    "curves": "CartPole return by tenths, ours, 2 seeds",
    "corner": "corner maze: 0.829 was not reached",
    "population": "ratio",
    "search": "search, 16 simulations",
    "cost": "slope of the last decade",
}


@pytest.mark.parametrize("row", ["ppo", "curves", "cost", "memory"])
def test_rows_on_cartpole_are_skipped_without_gymnax(
    speed, row, tmp_path, capsys, monkeypatch
):
    train = speed.speed_train
    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: None)
    out = tmp_path / "speed.png"
    assert speed.main(["train", "--only", row, "--out", str(out)]) == 0
    assert f"{row} is skipped: gymnax is not installed" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("row", sorted(ROWS))
def test_every_row_runs_alone_and_without_peers(
    speed, row, tmp_path, capsys, monkeypatch
):
    if row in ("ppo", "curves", "cost"):
        pytest.importorskip("gymnax")
    train = speed.speed_train
    monkeypatch.setattr(train.speed_peers, "jaxgmg", lambda: None)
    small = train.speed_ours.grown(
        train.speed_ours.corner(), num_envs=4, num_steps=4, num_reset_states=2
    )
    for name in ("corner", "curve"):
        monkeypatch.setattr(train.speed_ours, name, lambda *_: small)
    one_try = train.speed_corner.ours
    monkeypatch.setattr(train.speed_corner, "ours", lambda _: one_try(0.0, 1))
    out = tmp_path / "speed.png"
    assert speed.main(["train", "--only", row, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert ROWS[row] in text
    if row in ("ppo", "curves"):
        assert "PureJaxRL is skipped" in text
    if row == "cost":
        assert out.with_stem("speed_cost").is_file()
