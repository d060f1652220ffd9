"""The JSON Schema and `--explain`: made from the records, and true of them."""

import copy
import json
import random
import re
import typing
from pathlib import Path

import jsonschema
import pytest

from shardsim import cli
from shardsim.commands import config as config_command
from shardsim.core import config, config_files, config_schema, field_errors
from shardsim.evaluation.experiment import Experiment
from shardsim.training.standalone import Training

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "experiments").rglob("*.yaml"))
NAMED = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")
QUICKSTART = ROOT / "experiments" / "quickstart.yaml"


@pytest.fixture(scope="module")
def validators():
    """By name, the schemas that are made from the records."""
    found = {}
    for name in config_command.ROOTS:
        schema = json.loads(config_command.schema(name))
        jsonschema.Draft202012Validator.check_schema(schema)
        found[name] = jsonschema.Draft202012Validator(schema)
    return found


def schema_of(data):
    for field, kind in (("members", "zoo"), ("pipelines", "contest")):
        if field in data:
            return kind
    if "experiments" in data:
        return "study"
    return "experiment" if "predictions" in data else "training"


@pytest.mark.parametrize("name", config_command.ROOTS)
def test_the_schema_in_the_tree_is_that_of_the_records(name):
    path = ROOT / "docs" / "schemas" / f"{name}.json"
    assert path.read_text() == config_command.schema(name), (
        f"shardsim config --schema {name} > {path.relative_to(ROOT)}"
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_shipped_files_name_their_schema_and_satisfy_it(file, validators):
    data = config_files.read_yaml(file)
    named = NAMED.match(file.read_text())
    assert named, "the first line names the schema"
    path = (file.parent / named[1]).resolve()
    assert path == ROOT / "docs" / "schemas" / f"{schema_of(data)}.json"
    assert [e.message for e in validators[schema_of(data)].iter_errors(data)] == []


def test_a_resolved_config_satisfies_the_schema(validators):
    resolved = config.to_dict(
        config.build(Experiment, config_files.read_yaml(QUICKSTART))
    )
    validators["experiment"].validate(resolved)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("train.num_seeds", "0"),
        ("train.num_seeds", "true"),
        ("train.num_seeds", "'8'"),
        ("train.num_sed", "8"),
        ("train.discount", "1"),
        ("train.optimizer", "{learning_rate: 0}"),
        ("arms.sharded.head", "{kind: shard}"),
        ("arms.sharded.head", "{num_shards: 4}"),  # a kind is asked for
        ("arms.sharded.head", "{kind: mlp, num_shards: 4}"),
        ("arms", "{a b: {head: {kind: mlp}}}"),
        ("train.phases", "[]"),
    ],
)
def test_schema_and_command_refuse_the_same(flag, value, validators):
    data = config_files.override(
        config_files.read_yaml(QUICKSTART), [f"--{flag}={value}"]
    )
    assert list(validators["experiment"].iter_errors(data))
    with pytest.raises(config.ConfigError):
        config.build(Experiment, data)


def test_a_kind_may_be_left_out_where_a_field_has_a_default(validators):
    flags = ["--train.action_selection", "{temperature: 0.5}"]
    data = config_files.override(config_files.read_yaml(QUICKSTART), flags)
    validators["experiment"].validate(data)
    assert config.build(Experiment, data).train.action_selection.temperature == 0.5
    flags = ["--train.action_selection", "{simulations: 3}"]  # of another kind
    data = config_files.override(config_files.read_yaml(QUICKSTART), flags)
    assert list(validators["experiment"].iter_errors(data))


def test_what_the_command_accepts_the_schema_accepts(validators):
    rng, accepted = random.Random(0), 0
    values = [None, True, 0, 1, 2, 0.5, -1, 1e39, "a", "1", [], [1], {}, {"kind": "x"}]
    files = [config_files.read_yaml(file) for file in FILES if file.stem != "cartpole"]
    for _ in range(300):
        data = copy.deepcopy(rng.choice(files))
        holder, key = rng.choice(list(places(data)))
        holder[key] = rng.choice(values)
        errors = list(validators[schema_of(data)].iter_errors(data))
        try:
            config.build(config_command.ROOTS[schema_of(data)], data)
        except config.ConfigError:
            continue
        accepted += 1
        assert errors == []
    assert accepted > 10


def places(data):
    """Every (mapping or list, key) of a nested config."""
    for key in list(data) if isinstance(data, dict) else range(len(data)):
        yield data, key
        if isinstance(data[key], dict | list):
            yield from places(data[key])


def records(hint, found):
    """All records that a config may hold."""
    base, _ = field_errors.bare(hint)
    if typing.get_origin(base) in (dict, tuple) or field_errors.is_union(base):
        for inner in typing.get_args(base):
            records(inner, found)
    elif hasattr(base, "__dataclass_fields__") and base not in found:
        found[base] = None
        for inner in field_errors.types_of(base).values():
            records(inner, found)
    return found


RECORDS = [*records(Training, records(Experiment, {}))]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_record_and_field_says_what_it_means(record):
    assert hasattr(record, "__pydantic_complete__"), "not a fields.record"
    assert len(config_schema.summary(record)) > 15
    # a kind is explained by the record's own docstring, unless it is a choice
    told = {"kind", *config_schema.meanings(record)}
    assert {*field_errors.types_of(record)} <= told


@pytest.mark.parametrize(
    ("field", "lines"),
    [
        (
            "train.num_seeds",
            ["seeds", "  allowed: a whole number, at least 1", "  default: 8"],
        ),
        ("train.precision", ["allowed: 'float32' or 'bfloat16'", "default: float32"]),
        ("arms.head.load_balance", ["allowed: a number, at least 0", "default: 0.0"]),
        ("arms.head", ["  kinds:\n    mlp", "    sharded  ", "default: none"]),
        ("arms.sharded.head", ["  kinds:\n    mlp", "    sharded  "]),
        ("train.phases", ["allowed: a list of one or more", "    updates  "]),
        ("train.phases.1.updates", ["allowed: a whole number, at least 1"]),
        ("train.phases.losses.value.encoder", ["allowed: a number, at least 0"]),
        ("train.optimizer.clip-norm", ["allowed: a number, more than 0"]),
        ("", ["    train  ", "    arms  ", "An experiment"]),
    ],
)
def test_a_field_is_explained(field, lines):
    text = config_command.explain(field)
    for line in lines:
        assert line in text
    assert max(map(len, text.splitlines())) <= 88


def test_a_field_of_several_kinds_is_explained_for_each():
    text = config_command.explain("env.size")
    assert "of context_fruits:" in text
    assert "  allowed: a whole number, odd, 5 to 25\n" in text
    one = config_command.explain("env.size", config_files.read_yaml(QUICKSTART))
    assert "of context_fruits:" not in one


def test_a_file_says_the_kind_and_the_value(capsys):
    words = ["config", str(QUICKSTART), "--explain", "train.num_seeds"]
    assert cli.main([*words, "--train.num-seeds", "20"]) == 0
    assert capsys.readouterr().out.endswith("default: 8\n  here: 20\n")


def test_a_field_of_trainings_alone_is_known():
    assert "gymnasium" in config_command.explain("env.id")


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("train.num_sed", "train.num_sed: unknown key; .* (did you mean num_seeds?)"),
        ("arms.hed", "arms.hed: unknown key; allowed: head, .* (did you mean head?)"),
        ("train.seed.x", "train.seed: got x; allowed: no fields"),
        ("trian.seed", "trian: unknown key; .* (did you mean train?)"),
    ],
)
def test_a_field_that_is_none_is_refused_with_the_nearest(field, line, capsys):
    assert cli.main(["config", "--explain", field]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (got,) = captured.err.splitlines()
    assert re.fullmatch("shardsim: " + re.escape(line).replace(r"\.\*", ".*"), got)


def test_schema_is_printed_and_no_file_is_refused(capsys):
    assert cli.main(["config", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Experiment"
    assert cli.main(["config", "--schema", "training"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Training"
    assert cli.main(["config"]) == 2
    assert capsys.readouterr().err == (
        "shardsim: file: got nothing; allowed: a YAML file\n"
    )


@pytest.mark.parametrize(
    ("flag", "fits"),
    [
        ("--train.phases.0.env={cue_probability: 0.5}", True),
        ("--train.phases.0.env={cue_probability: 2}", False),
        ("--train.phases.0.env={size: 9}", False),  # no phase may change it
        ("--evaluation.conditions={a: {rewards: [[1, 0], [0, 1]]}}", True),
        ("--evaluation.conditions={a: {rewards: 1}}", False),
        ("--evaluation.conditions={a: {reward: x}}", False),
    ],
)
def test_the_schema_knows_what_may_change_in_an_env(flag, fits, validators):
    data = config_files.override(config_files.read_yaml(QUICKSTART), [flag])
    assert (not [*validators["experiment"].iter_errors(data)]) == fits
