"""`shardsim watch`: episodes with V, gates and bids, as text, films and on the page."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import shardsim
from shardsim import cli
from shardsim.reports import episodes as pictures
from tests.helpers import terminals

BOARD = """
    @..
    .1.
    0..
    everywhere: floor 1
"""


@pytest.fixture(scope="module")
def run(tiny_run):
    return shardsim.load(tiny_run)


@pytest.fixture(scope="module")
def film(run):
    """Both arms of seed 1 on one level."""
    return run.seed(1).watch("mlp", "sharded", levels=BOARD)


def test_an_episode_says_what_the_agents_say_in_its_states(run, film):
    for arm, episode in zip(("mlp", "sharded"), film.episodes[0], strict=True):
        agents, thoughts = run.agents(arm).seed(1), episode.thoughts
        out = agents.outputs(episode.states)
        np.testing.assert_allclose(thoughts.value, out.value, atol=1e-6)
        np.testing.assert_allclose(thoughts.gates, out.gates, atol=1e-6)
        policy = agents.policy(episode.states)
        np.testing.assert_allclose(thoughts.policy, policy, atol=1e-4)
        np.testing.assert_allclose(
            thoughts.q, agents.q_values(episode.states), atol=1e-5
        )


def test_bids_of_shards_and_reward_add_up_to_those_of_v(film):
    episode = film.episodes[0][1]
    thoughts = episode.thoughts
    frame = pictures.frame(film.world, episode, 0)
    rows = {row.name: row.actions for row in frame.rows}
    assert list(rows) == ["shard 0", "shard 1", "reward", "V", "policy"]
    total = rows["shard 0"] + rows["shard 1"] + rows["reward"]
    np.testing.assert_allclose(total, rows["V"], atol=1e-6)
    np.testing.assert_allclose(thoughts.bids.sum(axis=-1), 0, atol=1e-5)
    # the reward itself, less its mean over actions
    paid = thoughts.q - thoughts.shard_bids.sum(1)
    assert paid.shape == thoughts.q.shape


def test_rewards_exact_values_and_return_belong_together(run, film):
    gamma = run.config.train.discount
    for episode in film.episodes[0]:
        np.testing.assert_allclose(episode.rewards.sum(1), episode.reward, atol=1e-6)
        steps = np.arange(episode.steps)
        total = float((gamma**steps * episode.reward).sum())
        assert episode.total(episode.steps) == pytest.approx(total)
        # no episode earns more than V*, which is gamma^steps to the paying fruit
        assert total <= episode.exact[0] + 1e-6
        powers = np.log(episode.exact[: episode.steps]) / np.log(gamma)
        np.testing.assert_allclose(powers, powers.round(), atol=1e-3)


def test_without_a_shard_v_loses_its_part(run, film):
    whole = film.episodes[0][1].thoughts
    part = run.seed(1).ablate(shard=0).watch("sharded", levels=BOARD)
    (episode,) = part.episodes[0]
    left = whole.gates[0, 1] * whole.shard_values[0, 1]
    assert episode.thoughts.value[0] == pytest.approx(left, abs=1e-6)
    assert "without shard 0" in episode.name


def test_greedy_takes_the_most_likely_action_and_seeds_draw(run):
    (episode,) = run.seed(0).watch("untrained", levels=BOARD, greedy=True).episodes[0]
    likeliest = episode.thoughts.policy[:-1].argmax(-1)
    assert (episode.actions == likeliest).all()


def test_an_agent_of_somebody_else_is_watched():
    agent = shardsim.wrap(lambda board: 0.5, world="tree_gridworld", name="other")
    film = agent.watch(steps=3)
    (episode,) = film.episodes[0]
    assert (episode.steps, episode.ending) == (3, "cut off")
    assert episode.exact is None  # too many states
    assert "V 0.500" in str(film)
    with pytest.raises(shardsim.ConfigError, match="arms: got 3; allowed: 1 or 2"):
        shardsim.Run.watch(None, "a", "b", "c")


def test_a_log_has_every_step_of_both_arms(tiny_run, capsys):
    assert cli.main(["watch", str(tiny_run), "--seed", "1"]) == 0
    text = capsys.readouterr().out
    assert "mlp, seed 1, update 13" in text
    assert "sharded, seed 1, update 13" in text
    numbers = [int(n) for n in re.findall(r"step (\d+) of 8", text)]
    assert max(numbers) + 1 == len(set(numbers))
    assert "terminated" in text or "truncated" in text


def test_side_by_side_where_there_is_room(film):
    wide = pictures.text(film.world, film.episodes[0], 0, columns=200)
    narrow = pictures.text(film.world, film.episodes[0], 0, columns=80)
    assert len(wide.splitlines()) < len(narrow.splitlines())
    assert max(map(len, narrow.splitlines())) <= 80


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_a_film_shows_every_step(ending, film, tmp_path):
    path = film.save(tmp_path / f"new/film{ending}", fps=10)
    last = pictures.length(film.episodes[0]) - 1
    with Image.open(path) as picture:
        assert picture.n_frames > last
        first = np.asarray(picture.convert("RGB"))
    expected = pictures.picture(film.world, film.episodes[0], 0)
    assert first.shape == expected.shape
    assert np.abs(first.astype(int) - expected).mean() < 3
    with pytest.raises(shardsim.ConfigError, match="exists"):
        film.save(path)
    assert film._repr_html_().startswith('<img src="data:image/webp;base64,')


def test_a_film_as_mp4_needs_ffmpeg(film, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "_imageio", lambda: None)
    with pytest.raises(shardsim.ConfigError, match=r"allowed: \.gif or \.webp, or"):
        film.save(tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
def test_a_film_as_mp4(film, tmp_path):
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    path = film.save(tmp_path / "film.mp4")
    with imageio.get_reader(path) as reader:
        assert reader.count_frames() > pictures.length(film.episodes[0])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["RUN", "--arm", "shardde"], "arm: got 'shardde'; allowed: mlp"),
        (["RUN", "--arm", "mlp", "mlp", "mlp"], "arm: got 3; allowed: 1 or 2"),
        (["RUN", "--seed", "2"], "seed: got 2; allowed: 0 to 1"),
        (["RUN", "--ablate", "2", "--arm", "sharded"], "ablate: got 2; allowed in"),
        (["RUN", "--level-seed", "-1"], "level-seed: got -1; allowed: 0 to"),
        (["RUN", "--level", "nothing"], "level: got nothing (No such file"),
        (["RUN", "--update", "5"], "update: got 5; allowed for arm 'mlp'"),
        (["RUN", "--out", "film.png"], "out: got 'film.png'; allowed: a name"),
        (["RUN", "--out", "film.gif", "--fps", "99"], "fps: got 99.0; allowed: 0.1"),
        (["RUN", "--fps", "0"], "fps: got 0.0; allowed: 0.1 to 50"),
        (["RUN", "--steps", "0"], "steps: got 0; allowed: at least 1"),
        (["RUN", "--episodes", "0"], "episodes: got 0; allowed: 1 to 100"),
        (["RUN", "--agent", "a:b"], "run: got a run and an agent; allowed"),
        ([], "run: got none; allowed: a run folder, or --agent"),
        (["nowhere"], "nowhere: no run here"),
    ],
)
def test_what_cannot_be_watched_is_one_line(words, says, tiny_run, tmp_path, capsys):
    words = [str(tiny_run) if word == "RUN" else word for word in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert cli.main(["watch", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_level_of_ones_own(tiny_run, tmp_path, capsys):
    path = tmp_path / "level.txt"
    path.write_text("..@\n1..\n..0\neverywhere: floor 0\n")
    words = ["watch", str(tiny_run), "--arm", "mlp", "--level", str(path)]
    assert cli.main(words) == 0
    assert "..@\n1..\n..0\nfloor 0" in capsys.readouterr().out
    path.write_text("..@\n1.Z\n..0\n")
    assert cli.main(words) == 2
    assert "level: " in capsys.readouterr().err


def test_the_page_plays_the_same_agents(run, tiny_page):
    numbers = json.loads(tiny_page.with_suffix(".results.json").read_text())
    for side in numbers["sides"]:
        data = {
            name: rows if name in ("boards", "ends", "actions") else np.asarray(rows)
            for name, rows in side["panels"]["episodes"].items()
        }
        row, steps = data["row"], data["steps"]
        assert row.shape[:2] == steps.shape == (2, len(numbers["mazes"]))
        assert ((row >= 0).sum(-1) == steps + 1).all()
        assert ((data["action"] >= 0).sum(-1) == steps).all()
        if data["gates"].shape[1] > 1:
            np.testing.assert_allclose(
                data["contributions"].sum(-1), data["value"], atol=1e-5
            )
        ahead = data["bids"] - data["shard_bids"].sum(1)  # of the reward alone
        assert np.abs(ahead).max() <= 1
        board = numbers["boards"]
        start = row[:, :, 0]
        for m in range(len(numbers["mazes"])):
            agent = data["boards"][data["things"][start[0, m]]][-1]
            cell = next(
                thing
                for thing in numbers["mazes"][m]["objects"]
                if thing["name"] == "start"
            )
            assert agent == {**cell, "name": "agent"}
            x = board["state_at"][m][cell["row"]][cell["column"]]
            shown = np.asarray(side["outputs"]["value"])[-1, :, m, x]
            np.testing.assert_allclose(data["value"][start[:, m]], shown, atol=1e-6)


@pytest.mark.slow
def test_watching_in_a_terminal(tiny_run):
    with terminals.opened("watch", tiny_run) as viewer:
        viewer.screen("step 1 of 8")
        viewer.press(b"\x1b[D\x1b[D")
        viewer.screen("step 0 of 8")
        viewer.press(b"n")
        viewer.screen("step 0 of 8")
        viewer.press(b"q")
