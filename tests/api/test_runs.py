"""Runs, agents and levels in Python say what the command line's own parts say."""

import json
import shutil
import subprocess
import sys
import zipfile

import jax
import matplotlib
import numpy as np
import pytest

import shardsim
from shardsim.core.field_errors import ConfigError
from shardsim.evaluation import exact_policies, snapshot_metrics, state_readings
from shardsim.storage import archive, run_files
from shardsim_envs.worlds.corner_maze import CornerMaze
from shardsim_envs.worlds.fruit_mini import FruitMini
from tests.helpers import run_folders

matplotlib.use("Agg")

BOARD = """
    @..
    .1.
    0.q
    everywhere: floor 1
"""
BAR = '''
import shardsim
run = shardsim.load("runs/tiny").seed(1).ablate(shard=1)
board = """@..
           .1.
           0..
           everywhere: floor 0"""
run.plot.value("sharded", board).figure.savefig("value.png")
'''
"""V of a seed of the sharded arm over a drawn board, without a shard, as a picture."""


@pytest.fixture(scope="module")
def run(tiny_run):
    return shardsim.load(tiny_run)


@pytest.fixture(scope="module")
def condition(run):
    return snapshot_metrics.condition(run.config, "in_distribution")


@pytest.fixture(scope="module")
def states(run, condition):
    """All states of all levels of the evaluation, leaves [L, S, ...]."""
    return jax.vmap(run.config.env.states)(condition.levels)


def test_the_bar_of_six_lines(tiny_run, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "tiny").symlink_to(tiny_run)
    monkeypatch.chdir(tmp_path)
    # the drawing takes as many lines as the board has rows; it counts as one
    code = BAR.strip().splitlines()
    board = [n for n, line in enumerate(code) if '"""' in line]
    assert len(code) - (board[1] - board[0]) <= 6
    exec(BAR, {})
    assert (tmp_path / "value.png").read_bytes().startswith(b"\x89PNG")


def test_outputs_are_those_of_the_evaluation(run, condition, states):
    for arm in ("mlp", "sharded"):
        agents = run.agents(arm)
        reading = state_readings.read(
            run.config.env, agents.network.population, condition
        )
        out = agents.outputs(states)
        for name in ("value", "shard_values", "gates"):
            np.testing.assert_allclose(
                getattr(out, name), getattr(reading, name), atol=1e-6
            )
        np.testing.assert_allclose(out.logits, reading.policy_logits, atol=1e-6)
        expected = exact_policies.policy(
            reading.value, reading.policy_logits, condition, agents.acting
        )
        running = np.broadcast_to(condition.reachable, reading.value.shape)
        np.testing.assert_allclose(
            agents.policy(states)[running], expected[running], atol=1e-4
        )


def test_forms_of_one_state_agree(run):
    env, agents = run.config.env, run.agents("sharded")
    levels = run.levels(BOARD)
    state = jax.tree.map(lambda leaf: leaf[0], levels.states)
    observation = env.observe(state)
    expected = agents.value(BOARD)
    assert expected.shape == (2,)
    np.testing.assert_allclose(agents.value(levels)[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(agents.value(state), expected, rtol=1e-5)
    np.testing.assert_allclose(agents.value(observation), expected, rtol=1e-5)
    np.testing.assert_allclose(
        agents.value(np.asarray(observation, float)[None, None])[:, 0, 0],
        expected,
        rtol=1e-5,
    )
    np.testing.assert_allclose(agents.seed(1).value(BOARD), expected[1], rtol=1e-5)
    # the map has the board's own state where the agent is drawn
    np.testing.assert_allclose(agents.maps(BOARD).value[:, 0, 0], expected, rtol=1e-5)
    moved = BOARD.replace("@..", "..@")
    np.testing.assert_allclose(
        agents.maps(BOARD).value[:, 0, 2], agents.value(moved), atol=1e-6
    )


def test_a_shard_that_is_off_is_missing_from_v_alone(run):
    levels, agents = run.levels(count=3), run.agents("sharded")
    out, without = agents.outputs(levels), agents.ablate(shard=0).outputs(levels)
    bids = out.gates * out.shard_values
    assert np.abs(bids[..., 0]).max() > 1e-4
    np.testing.assert_allclose(without.value, bids[..., 1], atol=1e-6)
    assert (without.shard_values[..., 0] == 0).all()
    for name in ("gates", "logits"):
        np.testing.assert_array_equal(getattr(without, name), getattr(out, name))
    nothing = agents.ablate(shard=(0, 1))
    assert (nothing.value(levels) == 0).all()
    # a V of 0 leaves Q = r
    state, params = levels.states, agents.env.params()
    one = jax.tree.map(lambda leaf: leaf[0], state)
    reward = [float(agents.env.step(None, one, a, params).reward) for a in range(4)]
    np.testing.assert_allclose(nothing.seed(0).q_values(levels)[0], reward)
    view = run.ablate(shard=0).seed(1).agents("sharded")
    np.testing.assert_array_equal(view.value(levels), without.value[1])


@pytest.mark.slow
def test_actions_are_drawn_from_the_policy(run):
    agents, levels = run.agents("mlp"), run.levels(count=2)
    policy = agents.policy(levels)
    np.testing.assert_allclose(policy.sum(axis=-1), 1, atol=1e-6)
    drawn = np.stack([agents.act(levels, seed=n) for n in range(300)])
    shares = np.stack([(drawn == a).mean(axis=0) for a in range(4)], axis=-1)
    np.testing.assert_allclose(shares, policy, atol=0.1)
    np.testing.assert_array_equal(
        agents.act(levels, seed=5), agents.act(levels, seed=5)
    )


def test_a_map_has_no_value_in_walls():
    maze = shardsim.levels(CornerMaze(size=5), count=2)
    states = maze.everywhere()
    assert states.board.shape[:3] == (2, 5, 5)
    assert (np.asarray(states.board)[..., -1].sum(axis=(-1, -2)) == 1).all()
    assert maze.walls[:, 0].all()
    assert not maze.walls[:, 3, 1].any()


def test_levels_as_text_and_back():
    drawn = shardsim.levels("fruit_mini", count=3, seed=7)
    again = shardsim.levels("FruitMini", *map(str, drawn))
    np.testing.assert_array_equal(again.data.board, drawn.data.board)
    assert [str(each) for each in drawn] == [str(drawn[n]) for n in range(3)]
    assert str(drawn[-1]) == str(drawn[2])
    assert len(drawn[1:]) == 2
    assert drawn._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(IndexError, match=r"index: got 3; allowed: below 3"):
        drawn[3]


def test_metrics_are_those_of_the_arrays(run, tiny_run):
    table = run.metrics()
    assert len({len(column) for column in table.values()}) == 1
    arrays = np.load(tiny_run / "metrics.npz")
    for metric in ("reward", "rewards.fruit 1", "return_fraction", "loss"):
        rows = (table["arm"] == "mlp") & (table["metric"] == metric)
        kind = "snapshot" if metric == "return_fraction" else "chunk"
        name = metric.partition(".")[0]
        expected = arrays[f"mlp/{kind}/{name}"]
        expected = expected[..., 1] if "fruit" in metric else expected
        np.testing.assert_allclose(table["value"][rows], expected.ravel())
        np.testing.assert_array_equal(
            table["update"][rows], np.repeat(arrays[f"mlp/{kind}/update"], 2)
        )
    one = run.seed(1).metrics()
    assert set(one["seed"]) == {1}
    assert len(one["seed"]) == len(table["seed"]) / 2
    assert not {"kind", "arm", "update"} & set(table["metric"].tolist())


def test_what_a_plot_shows(run):
    view = run.seed(0)
    axes = view.plot.value("sharded", BOARD)
    shown = axes.images[0].get_array()
    np.testing.assert_allclose(shown, run.agents("sharded").maps(BOARD).value[0])
    gates = view.ablate(shard=1).plot.gates("sharded", BOARD)
    assert [each.get_title() for each in gates[0]] == ["shard 0", "shard 1 (off)"]
    np.testing.assert_allclose(
        gates[0, 1].images[0].get_array(),
        run.agents("sharded").maps(BOARD).gates[0, ..., 1],
    )
    curves = run.plot.curves()
    assert curves.get_legend_handles_labels()[1] == [*("mlp", "sharded", "untrained")]
    (mean,) = [line for line in curves.lines if line.get_label() == "mlp"]
    table = run.metrics()
    last = (table["arm"] == "mlp") & (table["metric"] == "return_fraction")
    last &= table["update"] == 13
    assert mean.get_ydata()[-1] == pytest.approx(table["value"][last].mean())
    # measured once, it is no curve
    (once,) = [line for line in curves.lines if line.get_label() == "untrained"]
    assert once.get_linestyle() == "--"
    assert once.get_xdata() == [0, 1]  # from side to side
    matplotlib.pyplot.close("all")


def test_an_archive_is_the_run(run, tiny_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    (copy / "mine.txt").write_text("not the run's")
    file = tmp_path / "run.zip"
    archive.pack(copy, file)
    loaded = shardsim.load(file)
    assert loaded.folder.name == "copy"
    inside = {p.relative_to(loaded.folder) for p in loaded.folder.rglob("*")}
    whole = {
        path.relative_to(tiny_run)
        for path in tiny_run.rglob("*")
        if path.is_file() or any(path.iterdir())
    }
    assert inside == whole
    assert all(
        (loaded.folder / p).read_bytes() == (tiny_run / p).read_bytes()
        for p in inside
        if (tiny_run / p).is_file()
    )
    np.testing.assert_array_equal(
        loaded.agents("mlp").value(BOARD), run.agents("mlp").value(BOARD)
    )
    again = tmp_path / "again.zip"
    archive.pack(copy, again)
    assert again.read_bytes() == file.read_bytes()
    with pytest.raises(ValueError, match="exists"):
        archive.pack(copy, again)
    folder = loaded.folder
    del loaded
    assert not folder.exists()


def zipped(path, *entries):
    with zipfile.ZipFile(path, "w") as file:
        for entry in entries:
            file.writestr(*entry)
    return path


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("../evil.txt", "x")], r"got the entry '\.\./evil.txt'; allowed"),
        ([("run/../../evil.txt", "x")], "evil"),
        ([("/tmp/evil.txt", "x")], "evil"),
        ([("run\\..\\evil.txt", "x")], "got the entry"),
        ([("C:/evil.txt", "x")], "got the entry"),
        ([(link("run/link"), "/etc/passwd")], "run/link"),
        ([("run/a", "x"), ("run/A", "y")], "twice"),
        ([("run/a", "x")], "got 0 runs"),
        ([("a/shardsim_run.json", "{}"), ("b/shardsim_run.json", "{}")], "got 2 runs"),
    ],
)
def test_a_hostile_archive_is_refused_whole(tmp_path, entries, message):
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    file = zipped(tmp_path / "evil.zip", *entries)
    with pytest.raises(run_files.RunError, match=message):
        archive.unpack(file, into)
    assert not list(tmp_path.rglob("evil.txt"))
    if "got the entry" in message or "twice" in message:
        assert not list(into.iterdir())


def test_what_is_no_run_is_one_line(tiny_run, tmp_path):
    def refused(path):
        with pytest.raises(ValueError, match=r"allowed|damaged|missing") as error:
            shardsim.load(path).agents("mlp").value(BOARD)
        (line,) = str(error.value).splitlines()
        return line

    nothing = tmp_path / "nothing.zip"
    nothing.write_text("no archive")
    assert "no archive" in refused(nothing)
    assert "no run here" in refused(tmp_path)
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    weights = folder / "weights" / "mlp.npz"
    arrays = run_files.read_arrays(weights)
    name = next(iter(arrays))
    np.savez(weights, **{**arrays, name: arrays[name][..., :1]})
    assert f"weights: {name}: got" in refused(folder)
    np.savez(weights, **{**arrays, name: arrays[name][:1]})
    assert "got parameters of [(1,), (2,)] agents" in refused(folder)
    np.savez(weights, **{k: x[:1] for k, x in arrays.items()})
    assert "got 1 seeds; allowed: 2" in refused(folder)
    objects = np.empty(1, object)
    objects[0] = lambda: None
    with weights.open("wb") as file:
        np.savez(file, **{**arrays, name: np.array([{1: 2}], object)})
    assert "damaged" in refused(folder)
    assert "allow_pickle" in refused(folder)
    (folder / "shardsim_run.json").write_text(json.dumps({"format": 99, "version": ""}))
    assert "format 99" in refused(folder)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.agents("shraded"), "did you mean sharded"),
        (lambda run: run.agents("mlp", update=5), r"update: got 5; allowed .*: 3, "),
        (lambda run: run.agents("mlp", update=3), "outputs alone; allowed .*: 13,"),
        (lambda run: run.agents("mlp", phase="eran"), "did you mean earn"),
        (lambda run: run.agents("mlp", phase="earn", update=13), "update 13"),
        (lambda run: run.seed(2), "seed: got 2; allowed: 0 to 1"),
        (lambda run: run.ablate(5).agents("sharded"), "shard: got 5; allowed in arm"),
        (lambda run: run.ablate(1).agents("mlp"), "allowed in arm 'mlp': 0 to 0"),
        (lambda run: run.agents("mlp").value("@"), "text: got 1 rows"),
        (lambda run: run.agents("mlp").value(np.ones(3)), "observations: got float64"),
        (lambda run: run.agents("mlp").value((1, 2)), "states: got tuple"),
        (
            lambda run: run.agents("mlp").value(shardsim.levels("fruit_mini", count=1)),
            "levels: got <1 level of fruit_mini>",
        ),
        (
            lambda run: run.agents("mlp").policy(
                run.agents("mlp").env.observe(
                    jax.tree.map(lambda x: x[0], run.levels(count=1).states)
                )
            ),
            "observations: got some where a step",
        ),
        (lambda run: run.plot.curves("retrun_fraction"), "did you mean return_frac"),
        (lambda run: run.plot.curves(arms=("mpl",)), "did you mean mlp"),
        (lambda run: run.levels(), "texts: got 0 drawings and count None"),
        (lambda run: run.levels(BOARD, count=1), "texts: got 1 drawings and count 1"),
        (lambda run: run.levels(count=0), "count: got 0"),
        (lambda run: shardsim.levels("corner_mase", count=1), "did you mean corner_m"),
        (lambda run: run.ablate(1).inspect(), "inspect: got a view"),
    ],
)
def test_a_wrong_request_is_one_line(run, ask, message):
    with pytest.raises(ValueError, match=message) as error:
        ask(run)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.slow
def test_a_head_with_the_true_context_is_asked_for_states(tiny_yaml, tmp_path):
    oracle = {"head": {"kind": "oracle_gated"}, "match_params": False}
    changes = {"arms": {"oracle": oracle}, "train": {"num_seeds": 2}}
    config = shardsim.config(tiny_yaml, **changes)
    assert list(config.arms) == ["mlp", "sharded", "untrained", "oracle"]
    run = shardsim.run(config, tmp_path / "oracle")
    agents = run.agents("oracle")
    gates = agents.gates(run.levels(BOARD))
    np.testing.assert_array_equal(gates[0, 0], [0, 1])
    with pytest.raises(ConfigError, match="whose gates are given the true context"):
        agents.value(np.zeros(run.config.env.observation_shape, np.uint8))


@pytest.mark.slow
def test_a_training_has_metrics_and_agents(training_yaml, tmp_path):
    file = training_yaml(sweep={"learning_rate": [0.001, 0.01]})
    run = shardsim.run(file, tmp_path / "out", train={"num_seeds": 3})
    assert repr(run) == "<run 'tiny': 3 seeds of mlp, sharded; finished>"
    agents = run.agents("mlp")
    assert agents.value(BOARD).shape == (6,)
    table = run.seed(4).metrics()
    assert set(table["seed"]) == {1}
    assert set(table["learning_rate"]) == {0.01}
    assert run.plot.curves().get_ylabel() == "reward_per_episode"
    with pytest.raises(shardsim.RunError, match="overwrite=True"):
        shardsim.run(file, tmp_path / "out")
    again = shardsim.run(file, tmp_path / "out", overwrite=True)
    np.testing.assert_array_equal(again.seed(0).agents("mlp").value(BOARD).shape, ())


def test_an_unfinished_run_has_its_newest_agents(tiny_unfinished):
    run = shardsim.load(tiny_unfinished)
    assert "unfinished" in repr(run)
    assert run.agents("mlp").update == run.updates("mlp")[-1]
    with pytest.raises(shardsim.RunError, match="not finished"):
        _ = run.results


def test_configs_in_python_follow_the_rules_of_flags(tiny_yaml):
    config = shardsim.config(
        tiny_yaml,
        **{"train.phases.1.updates": 7},
        arms={"untrained": None, "mlp": {"head": {"kind": "linear"}}},
        env=FruitMini(),
    )
    assert config.train.phases[1].updates == 7
    assert list(config.arms) == ["mlp", "sharded"]
    assert config.arms["mlp"].head.kind == "linear"
    assert config.env == FruitMini()
    assert shardsim.config(config) == config
    with pytest.raises(ConfigError, match=r"train.num_sedes.*did you mean num_seeds"):
        shardsim.config(tiny_yaml, train={"num_sedes": 4})
    with pytest.raises(ConfigError, match="did you mean untrained"):
        shardsim.config(tiny_yaml, arms={"untraind": None})


def test_importing_is_quick_and_takes_nothing_along():
    code = (
        "import sys, time; start = time.perf_counter(); import shardsim; "
        "dir(shardsim); took = time.perf_counter() - start; "
        "assert not {'jax', 'numpy', 'pydantic', 'matplotlib'} & set(sys.modules); "
        "assert took < .3, took"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_of_the_user_s_keeps_its_settings(tiny_run):
    """Settings of JAX change while we compute, and are the user's afterwards."""
    code = f"""
import jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_default_matmul_precision", "bfloat16")
import shardsim
value = shardsim.load({str(tiny_run)!r}).agents("mlp").value('''{BOARD}''')
assert value.dtype == "float32", value.dtype
assert jax.config.jax_enable_x64
assert jax.config.jax_default_matmul_precision == "bfloat16"
assert jax.config.jax_compilation_cache_dir is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_run_in_python_has_the_bits_of_the_command(tiny_yaml, command_run, tmp_path):
    folder = tmp_path / command_run.name
    code = f"""
import shardsim
shardsim.load({str(command_run)!r}).agents("mlp").value('''{BOARD}''')
shardsim.run({str(tiny_yaml)!r}, {str(folder)!r})
"""
    env = run_folders.ENVIRONMENT
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
    # which tells when the questions were fixed
    run_folders.assert_same(folder, command_run, but=["report.html"])
