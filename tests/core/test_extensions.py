"""Extensions from outside are choices like others; a config alone runs no code."""

import json
import os
import textwrap
import typing

import jax.numpy as jnp
import pytest
import yaml
from flax import nnx

import shardsim
from shardsim import testing
from shardsim.agents import value
from shardsim.core import config, config_schema, extensions
from shardsim.evaluation import measures
from shardsim.evaluation.experiment import Experiment
from shardsim.inspection.extensions import ToolReading
from shardsim_envs import ContextFruits, CornerMaze, FruitMini, World
from tests.helpers import run_folders, tiny_run

PLUGIN = '''
import typing
import shardsim
from shardsim.agents.value import MLP

@shardsim.register("heads")
@shardsim.record
class Wide(MLP):
    """One wide network."""

    kind: typing.Literal["wide"] = "wide"
    slope: float = 0.5
    """What is only here."""
'''


pytestmark = pytest.mark.usefixtures("no_extensions")


@pytest.fixture(autouse=True)
def no_inherited(monkeypatch):
    monkeypatch.setenv(extensions.VARIABLE, "")


def with_wide(**own):
    arms = {**tiny_run.TINY["arms"], "mine": {"head": {"kind": "wide", **own}}}
    return {**tiny_run.TINY, "arms": arms}


def test_a_head_joins_at_any_time_and_leaves_the_others(tmp_path):
    with pytest.raises(config.ConfigError, match=r"arms.mine.head.kind: got 'wide'"):
        config.build(Experiment, with_wide())
    before = config.build(Experiment, tiny_run.TINY)
    (tmp_path / "mine.py").write_text(PLUGIN)
    extensions.load_files([tmp_path / "mine.py"])
    built = config.build(Experiment, with_wide(slope=2.0))
    assert built.arms["mine"].head.slope == 2.0
    assert built.arms["mlp"] == before.arms["mlp"]
    assert config.build(Experiment, config.to_dict(built)) == built
    # errors, schema and explanation know its fields
    with pytest.raises(config.ConfigError, match=r"did you mean slope"):
        config.build(Experiment, with_wide(slop=2.0))
    assert "What is only here." in config_schema.explain(
        Experiment, "arms.mine.head.slope", with_wide()
    )
    assert '"wide"' in config_schema.to_json(Experiment)
    assert os.environ[extensions.VARIABLE] == str(tmp_path / "mine.py")


def test_a_world_joins_where_worlds_stand():
    @shardsim.register("worlds")
    @shardsim.record
    class Small(FruitMini):
        """Another name."""

        kind: typing.Literal["small"] = "small"

    data = {"name": "t", "env": {"kind": "small"}}
    training = {name: tiny_run.TINY[name] for name in ("arms", "agent", "train")}
    built = shardsim.config({**data, **training})
    assert isinstance(built.env, Small)
    assert len(shardsim.levels("small", count=2)) == 2


@pytest.mark.parametrize(
    ("group", "record", "message"),
    [
        ("haeds", FruitMini, "did you mean heads"),
        ("heads", int, "allowed: a class with `shardsim.record`"),
        ("heads", value.MLP, "got kind 'mlp', which shardsim has"),
    ],
)
def test_what_cannot_join_is_one_line(group, record, message):
    with pytest.raises(config.ConfigError, match=message):
        extensions.register(group)(record)


def test_a_file_that_is_no_plugin_is_one_line(tmp_path):
    for text, message in (("1/0", "ZeroDivisionError"), (None, "allowed: a Python")):
        path = tmp_path / f"{message[:3]}.py"
        if text:
            path.write_text(text)
        with pytest.raises(config.ConfigError, match=message):
            extensions.load_files([path])
    with pytest.raises(config.ConfigError, match=r"did you mean .*Zer\.py\?"):
        extensions.load_files([tmp_path / "Zerr.py"])


def installed(folder, entries, code):
    """A folder with an installed package, as pip leaves it."""
    info = folder / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(textwrap.dedent(entries))
    (folder / "mine.py").write_text(code)
    return folder


def test_what_is_installed_is_there_and_what_is_broken_is_left_out(
    tmp_path, monkeypatch
):
    code = PLUGIN.replace('@shardsim.register("heads")\n', "")
    entries = """
        [shardsim.heads]
        wide = mine:Wide
        gone = mine:Gone
        """
    monkeypatch.syspath_prepend(installed(tmp_path / "site", entries, code))
    (problem,) = extensions.load_installed()
    assert problem.startswith("mine:Gone (shardsim.heads) is left out: AttributeError")
    assert config.build(Experiment, with_wide()).arms["mine"].head.kind == "wide"


@pytest.mark.long
def test_a_plugin_trains_in_workers_and_a_config_alone_runs_nothing(tmp_path):
    plugin, file, out = tmp_path / "mine.py", tmp_path / "t.yaml", tmp_path / "out"
    plugin.write_text(PLUGIN + f"\nopen({str(tmp_path / 'ran')!r}, 'w').close()\n")
    file.write_text(yaml.safe_dump(with_wide(), sort_keys=False))
    errors = run_folders.shardsim("run", file, "--out", out, code=2)
    assert "arms.mine.head.kind: got 'wide'" in errors
    assert not (tmp_path / "ran").exists()
    run_folders.shardsim(
        *("run", file, "--out", out, "--plugin", plugin, "--executor", "local"),
        *("--workers", "2"),
    )
    assert (tmp_path / "ran").exists()
    found = json.loads((out / "results.json").read_text())
    assert found["arms"]["mine"]["head"]["slope"] == 0.5
    errors = run_folders.shardsim("resume", out, code=2)
    assert "ungated, or a kind from outside (--plugin FILE" in errors
    run_folders.shardsim("report", out, "--plugin", plugin)


@pytest.mark.parametrize("head", typing.get_args(value.Head), ids=lambda h: h.__name__)
@pytest.mark.few(2)
def test_our_heads_keep_the_laws(head):
    testing.check_head(head())


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "world", typing.get_args(World), ids=lambda world: world.__name__
)
def test_our_worlds_keep_the_laws(world):
    testing.check_world(world(max_steps=12), seeds=2)


@pytest.mark.parametrize(
    ("measure", "world"),
    [
        (measures.ValueAccuracy(), ContextFruits(size=3, max_steps=8)),
        (measures.SelectiveAblation(), ContextFruits(size=3, max_steps=8)),
        (measures.TwoGoals(condition="shifted"), CornerMaze(size=5, max_steps=8)),
    ],
    ids=lambda x: x.kind,
)
def test_our_measures_keep_the_laws(measure, world):
    testing.check_measure(measure, world, {"shifted": {"region": 3}})


class BadHead(value.MLP().build(6, 2, 5, nnx.Rngs(0)).__class__):
    """A network whose V has something that its units do not have."""

    def __call__(self, features, context):
        out = super().__call__(features, context)
        return out._replace(value=out.value + 0.1 * jnp.sum(self.kernel[...]))


@shardsim.record
class Bad(value.MLP):
    """Its config."""

    kind: typing.Literal["bad"] = "bad"

    def build(self, features, contexts, width, rngs):
        return BadHead(self, features, width, rngs)


@shardsim.record
class Bare:
    """A config that builds no head."""

    kind: typing.Literal["bare"] = "bare"

    def build(self, features, contexts, width, rngs):
        return {}


@shardsim.record
class Endless(FruitMini):
    """A world that pays after its end."""

    kind: typing.Literal["endless"] = "endless"

    def step(self, key, state, action, params):
        out = super().step(key, state, action, params)
        rewards = out.info["rewards"] + 1.0
        return out._replace(reward=rewards.sum(), info={**out.info, "rewards": rewards})


@shardsim.record
class Forgetful(FruitMini):
    """A world that lists its states and gives the first for all of them."""

    kind: typing.Literal["forgetful"] = "forgetful"

    def state_at(self, level, number):
        return super().state_at(level, 0 * number)


@shardsim.record
class Restless(FruitMini):
    """A world whose time has no limit."""

    kind: typing.Literal["restless"] = "restless"

    def step(self, key, state, action, params):
        out = super().step(key, state, action, params)
        return out._replace(truncated=out.truncated & False)


@shardsim.record
class Sorted(measures.ValueAccuracy):
    """A measure that loses which seed is which."""

    kind: typing.Literal["sorted"] = "sorted"

    def measure(self, evidence):
        """sort(error)."""
        found = super().measure(evidence)
        return found._replace(values={k: sorted(x) for k, x in found.values.items()})


@pytest.mark.parametrize(
    ("check", "arguments", "message"),
    [
        (testing.check_head, (Bad(),), "V is not the sum of gates"),
        (testing.check_head, (value.Sharded(stop_gate_gradient=True),), "slope of V"),
        (testing.check_world, (Restless(max_steps=6),), "goes on after max_steps"),
        (
            testing.check_world,
            (Endless(fruits=1, max_steps=400),),
            "pays after the end",
        ),
        (
            testing.check_world,
            (Forgetful(fruits=1, max_steps=20),),
            "`state_at` of `index` is another state",
        ),
        (
            testing.check_measure,
            (Sorted(), ContextFruits(size=3, max_steps=8)),
            "the order of the seeds counts",
        ),
        (
            testing.check_measure,
            (measures.TwoGoals(), ContextFruits(size=3)),
            "does not suit the world",
        ),
        (testing.check_head, (FruitMini(),), "has no `build`"),
        (testing.check_head, (Bare(),), "gives dict: has no `unit_shard`"),
        (testing.check_measure, (value.MLP(), ContextFruits(size=3)), "no `measure`"),
        (testing.check_tool, (value.MLP(),), "has no `fit`"),
    ],
)
def test_what_breaks_a_law_is_found(check, arguments, message):
    with pytest.raises(AssertionError, match=message) as error:
        check(*arguments)
    assert len(str(error.value).splitlines()) == 1


def test_a_tool_is_on_the_page_and_one_that_fails_is_a_line(request, tmp_path):
    folder = request.getfixturevalue("tiny_run")  # the module has the same name

    @shardsim.register("tools")
    @shardsim.record
    class Highest:
        """The highest V."""

        kind: typing.Literal["highest"] = "highest"

        def fit(self, outputs):
            highest = outputs.value.max(axis=(1, 2))
            return (ToolReading("highest V", "over all states", highest, 1.0, "V*"),)

    @shardsim.register("tools")
    @shardsim.record
    class Broken(Highest):
        """It fails."""

        kind: typing.Literal["broken"] = "broken"

        def fit(self, outputs):
            raise ZeroDivisionError("no\nway")

    testing.check_tool(Highest())
    # a tool stands in no config, also where a union is looked up
    assert config.build(Experiment, tiny_run.TINY).name == "tiny"
    page = shardsim.load(folder).inspect(tmp_path / "page.html", quick=True)
    data = json.loads(page.results.read_text())
    for side in data["sides"]:
        good, bad = side["panels"]["extensions"]["tools"]
        (reading,) = good["readings"]
        values = side["outputs"]["value"][-1]
        assert reading["values"][0] >= max(max(row) for row in values[0]) - 1e-6
        assert (good["about"], good["problem"]) == ("The highest V.", "")
        assert bad["problem"] == "ZeroDivisionError: no way"


@pytest.mark.parametrize(
    ("fit", "says"),
    [
        (lambda outputs: (), "returns no readings"),
        (lambda outputs: [("a", "b", outputs.value, 0.0, "c")], "has shape"),
        (lambda outputs: [("a", "b", [1.0, 2.0, 3.0], 0.0, "c")], "order of the seeds"),
        (lambda outputs: [("a", "b", [float("inf")] * 3, 0.0, "c")], "is infinite"),
        (lambda outputs: [("a", "", [1.0] * 3, 0.0, "c")], "is no text"),
    ],
)
def test_a_tool_that_breaks_a_law_is_refused(fit, says):
    @shardsim.record
    class Odd:
        """Odd."""

        kind: typing.Literal["odd"] = "odd"

        def fit(self, outputs):
            return tuple(ToolReading._make(each) for each in fit(outputs))

    with pytest.raises(AssertionError, match=says):
        testing.check_tool(Odd())
