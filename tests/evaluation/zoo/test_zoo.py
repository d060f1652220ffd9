"""A tiny zoo from its config to its table: made, continued, refused."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim import cli
from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation import load
from shardsim.evaluation.zoo import (
    calibration,
    config,
    folder,
    making,
    measuring,
    nets,
    ordinary,
    run,
    states,
)
from tests.helpers import documents

FILE = documents.ROOT / "experiments/zoo/zoo.yaml"
TINY = (
    *("--num-seeds", "2", "--boards", "64", "--levels", "16", "--states", "192"),
    *("--encoder.widths", "[32, 16]", "--value-params", "1160"),
    *("--fit-encoder.steps", "400", "--fit-encoder.batch", "128"),
    *("--fit-members.steps", "200", "--fit-members.batch", "128"),
)
METRICS = ("context_gradients", "removal")
"""Those that compile in a moment."""


def words(keep=("Z1", "Z4", "Z6", "Z8"), metrics=METRICS):
    data = config_files.read_yaml(FILE)
    return [
        *TINY,
        *(
            w
            for n in data["members"]
            if n not in keep
            for w in (f"--members.{n}", "null")
        ),
        *(
            w
            for n in data["metrics"]
            if n not in metrics
            for w in (f"--metrics.{n}", "null")
        ),
    ]


def built(*changes, **settings):
    data = config_files.read_yaml(FILE)
    flags = [*words(**settings), *changes]
    return configs.build(
        config.ZooConfig, config_files.override(data, flags, config.ZooConfig)
    )


def test_the_members_of_the_file_have_equally_many_parameters():
    """Within the 2 % of all heads; a component has half."""
    zoo = configs.build(config.ZooConfig, config_files.read_yaml(FILE))
    runner = run._Zoo(zoo, Path("nowhere"))
    for name, member in zoo.members.items():
        share = 0.5 if member.shards == "component" else 1.0
        count = runner.parameters(name)
        assert count == pytest.approx(share * zoo.value_params, rel=0.02), name


def test_a_context_is_no_source_in_the_file():
    """Each fruit is best in two contexts and second in two, with four cosines."""
    rewards = np.array(config_files.read_yaml(FILE)["env"]["rewards"])
    assert (rewards.sum(axis=0) == 3).all()
    assert (rewards.sum(axis=1) == 1.5).all()
    assert ((rewards == 1).sum(axis=0) == 2).all()
    cosines = rewards @ rewards.T / 1.25
    off = cosines[~np.eye(8, dtype=bool)]
    np.testing.assert_allclose(np.unique(off.round(6)), [0, 0.2, 0.4, 0.8])


@pytest.fixture(scope="module")
def tiny():
    zoo = built("--boards", "8")
    return zoo, states.pool(zoo)


def test_values_of_sources_add_up_to_the_exact_value(tiny):
    _, pool = tiny
    np.testing.assert_allclose(pool.sources.sum(axis=-1), pool.value, atol=1e-5)
    # one bite ends an episode, so that one source has all of the value
    assert ((pool.sources > 0).sum(axis=-1) <= 1).all()
    # the same boards in all contexts: with cosine .8 the best fruit is the same one
    assert pool.value.shape[0] == 8
    assert (pool.rows[0][..., :5] == pool.rows[1][..., :5]).all()
    assert (pool.rows[0] != pool.rows[1]).any()


def test_batteries_have_as_many_levels_of_each_context_and_other_boards(tiny):
    zoo, _ = tiny
    first, second = (states.measured(zoo, seed) for seed in zoo.batteries)
    for battery in (first, second):
        assert np.bincount(battery.context).tolist() == [2] * 8
        assert len(battery.level) == zoo.states
        assert battery.condition.reachable[battery.level, battery.state].all()
    assert (first.rows != second.rows).any()
    with pytest.raises(configs.ConfigError, match="states: got 4000; allowed: at most"):
        states.measured(built("--states", "4000"), 0)


def random_net(zoo, name, key):
    net = making.untrained(zoo, zoo.members[name], {}.__getitem__, 0)
    leaves, tree = jax.tree.flatten(net)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        tree, [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
    )


@pytest.mark.parametrize("name", ["Z1", "Z2", "Z4", "Z5", "Z6"])
def test_a_rotation_is_undone_by_v(name, key):
    zoo = built(keep=("Z1", "Z2", "Z4", "Z5", "Z6"))
    net = random_net(zoo, name, key)
    turned = nets.rotated(net, 16, jax.random.fold_in(key, 1))
    z, context = jax.random.normal(key, (16,)), jnp.eye(8)[3]
    np.testing.assert_allclose(
        turned(z, context, context).value, net(z, context, context).value, rtol=2e-4
    )
    read = turned.adapter(z, context)
    assert not np.allclose(read, z)
    np.testing.assert_allclose(jnp.linalg.norm(read), jnp.linalg.norm(z), rtol=1e-5)
    # the mutant that turns the features alone is another V
    assert not np.allclose(
        net.head(read, context).value, net.head(z, context).value, rtol=1e-2
    )


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_a_blend_is_the_weighted_sum_of_both_values(weight, key):
    zoo = built(keep=("Z1", "half_gated", "half_network", "Z6"))
    first, second = (
        random_net(zoo, name, jax.random.fold_in(key, i))
        for i, name in enumerate(("half_gated", "half_network"))
    )
    head = nets.BlendedHead(first.head, second.head, weight)
    z, context = jax.random.normal(key, (16,)), jnp.eye(8)[2]
    one, other = (net.head(z, context).value for net in (first, second))
    output = head(z, context)
    np.testing.assert_allclose(
        output.value, weight * one + (1 - weight) * other, rtol=1e-4
    )
    np.testing.assert_allclose(output.units.sum(), output.value, rtol=1e-4, atol=1e-5)
    assert output.units.shape == head.unit_shard.shape


def test_modules_are_open_in_their_own_context_alone(key):
    zoo = built(keep=("Z1", "Z10"))
    net = random_net(zoo, "Z10", key)
    z = jax.random.normal(key, (16,))
    for context in range(8):
        read = net.adapter(z, jnp.eye(8)[context]).reshape(8, 2)
        assert (np.delete(np.asarray(read), context, axis=0) == 0).all()


def test_gate_information():
    """Two groups of four contexts: log 2 of log 8 nats; one gate for all: nothing."""
    subject = measuring.Subject(*[None] * 6, 8, *[None] * 3)._replace(
        context=np.arange(8)
    )
    gates = np.eye(2)[np.arange(8) // 4]
    output = measuring.value.ValueOutput(None, None, gates, None)
    found = measuring.gate_information(subject._replace(output=output))
    assert found == pytest.approx(1 / 3)
    same = output._replace(gates=np.tile([1.0, 0.0], (8, 1)))
    assert measuring.gate_information(subject._replace(output=same)) == pytest.approx(0)
    assert np.isnan(
        measuring.gate_information(
            subject._replace(output=output._replace(gates=np.ones((8, 1))))
        )
    )


def test_order_in_lambda_by_hand():
    zoo = built(
        keep=("Z1", "Z6", "half_gated", "half_network", "Z3_000", "Z3_050", "Z3_100")
    )
    rising = {
        n: np.full(3, w) for n, w in (("Z3_000", 0.1), ("Z3_050", 0.4), ("Z3_100", 0.5))
    }
    assert calibration.order(zoo, rising).estimate == pytest.approx(1)
    falling = {name: -x for name, x in rising.items()}
    assert calibration.order(zoo, falling).estimate == pytest.approx(-1)
    flat = {name: 0 * x for name, x in rising.items()}
    assert calibration.order(zoo, flat).estimate == 0
    # ranks 1 3 2: 1 - 6 (0 + 1 + 1) / (3 * 8)
    bent = rising | {"Z3_050": np.full(3, 0.6)}
    assert calibration.order(zoo, bent).estimate == pytest.approx(0.5)


def test_retest_by_hand():
    """Members differ by 10 in both batteries, seeds of a member by noise alone."""
    scores = {
        "Z1": np.array([[10.0, 11, 12], [12.0, 11, 10]]),
        "Z6": np.array([[0.0, 1, 2], [2.0, 1, 0]]),
    }
    whole, within = calibration.retest(scores)
    assert whole > 0.9
    assert within == pytest.approx(-1)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--env.contexts-shown", "[[0, 1]]"], "env.contexts_shown: got several"),
        (["--levels", "24"], "levels: got 24; allowed: a multiple of 16"),
        (["--encoder.widths", "[32, 12]"], "encoder.widths: got 12 features"),
        (["--batteries", "[5, 5]"], "batteries: got one seed twice"),
        (["--members.Z1.shards", "no"], "members: got none with shards 'yes'"),
        (["--members.Z6.teacher", "Z9"], "members.Z6.teacher: got 'Z9'; allowed"),
        (["--members.Z4.head.num-parts", "3"], "members.Z4.head: got 'ungated' with 3"),
        (["--members.Z6.competition", "0.5"], "members.Z6.competition: got 0.5"),
        (["--num-seeds", "1"], "num_seeds: got 1; allowed: at least 2"),
    ],
)
def test_faults_are_one_line_before_anything_is_written(flags, line, tmp_path, capsys):
    out = tmp_path / "zoo"
    assert cli.main(["zoo", str(FILE), *words(), *flags, "--out", str(out)]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()


def test_files_of_other_kinds_are_refused(tmp_path, capsys):
    quickstart = str(documents.ROOT / "experiments/quickstart.yaml")
    assert cli.main(["zoo", quickstart]) == 2
    assert "members: missing" in capsys.readouterr().err
    assert cli.main(["run", str(FILE), "--out", str(tmp_path / "a")]) == 2
    assert "members: unknown key" in capsys.readouterr().err
    (tmp_path / "note.txt").write_text("mine")
    assert cli.main(["zoo", str(FILE), "--out", str(tmp_path)]) == 2
    assert "which is no zoo" in capsys.readouterr().err
    assert (tmp_path / "note.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_tiny_zoo_is_made_continued_and_judged(tmp_path, capsys, monkeypatch):
    out = tmp_path / "zoo"
    command = ["zoo", str(FILE), *words(), "--out", str(out)]
    # stopped in one of the seeds that are made side by side: what is made stays
    make, calls = making.make, []

    def killed(*args):
        calls.append(args[1])
        if len(calls) == 6:
            raise KeyboardInterrupt
        return make(*args)

    monkeypatch.setattr(making, "make", killed)
    assert cli.main(command) == 130
    kept = {p: p.read_bytes() for p in out.rglob("*.npz")}
    # E of both seeds, five members, and what the other seed was at
    assert 2 + 5 <= len(kept) < 2 + 8
    assert not (out / folder.RESULTS).exists()
    calls.clear()
    monkeypatch.setattr(making, "make", make)
    assert cli.main(command) == 0
    assert all(p.read_bytes() == data for p, data in kept.items())
    printed = capsys.readouterr().out
    assert "Metrics that may be quoted" in printed
    result = json.loads((out / folder.RESULTS).read_text())
    assert set(result["members"]) == {"Z1", "Z4", "Z6", "Z8"}
    assert len(result["metrics"]["removal"]["scores"]["Z1"]) == 2
    assert result["metrics"]["removal"]["auroc"]["estimate"] > 0.9
    assert (out / folder.FIGURE).read_text().startswith("<svg")
    assert "| removal | weights |" in (out / folder.TABLES).read_text()
    # again: nothing is made, and the same is said
    first = (out / folder.RESULTS).read_bytes()

    def refuse(*args):
        raise AssertionError("made again")

    monkeypatch.setattr(making, "make", refuse)
    assert cli.main(command) == 0
    assert (out / folder.RESULTS).read_bytes() == first
    # while another process makes it: refused
    with folder.opened(out, built()):
        assert cli.main(command) == 2
        assert "another process is at work here" in capsys.readouterr().err
    # other members: refused. A changed result: refused, and left as it is
    assert cli.main([*command, "--boards", "65"]) == 2
    assert "a zoo of other members" in capsys.readouterr().err
    (out / folder.TABLES).write_text("my notes")
    assert cli.main(command) == 2
    assert "was changed since the zoo wrote it" in capsys.readouterr().err
    assert (out / folder.TABLES).read_text() == "my notes"
    # an interrupted zoo ends as one that was not
    other = tmp_path / "other"
    monkeypatch.setattr(making, "make", make)
    assert cli.main([*command[:-1], str(other)]) == 0
    assert (other / folder.RESULTS).read_bytes() == first


TRAINING = """
name: plain
env: {env}
agent: {{encoder: {{kind: mlp, widths: [16]}}, value_params: 1160}}
arms: {{mlp: {{head: {{kind: mlp}}}}}}
train:
  num_seeds: 3
  num_envs: 4
  num_steps: 4
  discount: 0.9
  phases: [{{name: earn, updates: 2, losses: {{value: {{encoder: 1, value: 1}}}}}}]
"""


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """A training in the world of the zoo."""
    path = tmp_path_factory.mktemp("ordinary")
    env = json.dumps(config_files.read_yaml(FILE)["env"])
    (path / "plain.yaml").write_text(TRAINING.format(env=env))
    assert cli.main(["train", str(path / "plain.yaml"), "--out", str(path / "r")]) == 0
    return path / "r"


@pytest.mark.slow
def test_ordinary_agents_stand_beside_the_members(plain_run, tmp_path, capsys):
    out = tmp_path / "zoo"
    asked = ["--agents.plain.run", str(plain_run), "--agents.plain.arm", "mlp"]
    settings = words(metrics=("context_gradients",), keep=("Z1", "Z6"))
    command = ["zoo", str(FILE), *settings, "--out", str(out)]
    assert cli.main(command) == 0
    alone = json.loads((out / folder.RESULTS).read_text())
    assert cli.main([*command, *asked]) == 0
    assert "| plain | 1,1" in (out / folder.TABLES).read_text()
    both = json.loads((out / folder.RESULTS).read_text())
    # they count for no AUROC, and nothing of the members is made again
    assert both["members"] == alone["members"]
    found = both["metrics"]["context_gradients"]
    assert found["auroc"] == alone["metrics"]["context_gradients"]["auroc"]
    place = found["agents"]["plain"]
    assert len(place["scores"][0]) == 3
    assert all(0 <= place[a]["estimate"] <= 1 for a in ("above_no", "above_yes"))
    # V* says what the error is: that of a V of 0 is as large as V* is
    agent = ordinary_agents(plain_run)
    zoo = built(keep=("Z1", "Z6"))
    battery = states.measured(zoo, zoo.batteries[0])
    one = jax.tree.map(lambda leaf: leaf[0], agent.population)
    subject, values = ordinary.subject_of(zoo, one, battery)
    np.testing.assert_array_equal(
        subject.output.value, values[battery.level, battery.state]
    )
    np.testing.assert_array_equal(subject.context, battery.context[battery.level])
    reread = one.value(jnp.asarray(subject.features[0]), jnp.asarray(subject.given[0]))
    np.testing.assert_allclose(reread.value, subject.output.value[0], rtol=1e-5)


def ordinary_agents(path, **changes):
    data = config_files.read_yaml(FILE)
    flags = [*words(), "--agents.plain.run", str(path), "--agents.plain.arm", "mlp"]
    flags += [w for name, value in changes.items() for w in (f"--{name}", str(value))]
    zoo = configs.build(
        config.ZooConfig, config_files.override(data, flags, config.ZooConfig)
    )
    return ordinary.read(zoo, "plain", load.load(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"agents.plain.arm": "mpl"}, "agents.plain.arm: got 'mpl'; allowed: mlp"),
        ({"discount": 0.8}, "train.discount 0.9; allowed: 0.8"),
        ({"env.max_steps": 30}, "whose env differs in max_steps"),
    ],
)
def test_agents_that_cannot_be_asked_are_refused(plain_run, changes, message):
    with pytest.raises(configs.ConfigError, match=message):
        ordinary_agents(plain_run, **changes)


def test_agents_have_names_of_their_own():
    with pytest.raises(configs.ConfigError, match="agents: got 'Z1'; allowed: other"):
        built("--agents.Z1.run", "runs/x", "--agents.Z1.arm", "mlp")
