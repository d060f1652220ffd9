"""Flags of the command line: where they may stand, and what they do to a config."""

import pytest

from shardsim import cli
from shardsim.core import config_files, yaml_text

QUICKSTART = "experiments/quickstart.yaml"


def printed(capsys, *words):
    assert cli.main(["config", *map(str, words)]) == 0
    return yaml_text.load(capsys.readouterr().out)


def lines(capsys):
    return [
        line.removeprefix("shardsim: ")
        for line in capsys.readouterr().err.strip().splitlines()
    ]


def test_flags_may_stand_before_the_file(training_yaml, tmp_path, capsys):
    path = str(training_yaml())
    flags = ["--train.num-seeds", "3", "--name=on"]
    for words in ([*flags, path], [path, *flags], [*flags[:2], path, *flags[2:]]):
        data = printed(capsys, *words)
        assert (data["train"]["num_seeds"], data["name"]) == (3, "on")
    out = ["--out", str(tmp_path / "run")]
    words = ["--train.phases.0.updates", "1", *out, "--train.num-seeds", "1", path]
    assert cli.main(["train", *words]) == 0
    data = config_files.read_yaml(tmp_path / "run" / "config.yaml")
    assert (data["train"]["num_seeds"], data["train"]["phases"][0]["updates"]) == (1, 1)


def test_a_misspelt_option_is_said_to_be_read_as_a_field(training_yaml, capsys):
    path = str(training_yaml())
    for command in ("train", "run"):
        with pytest.raises(SystemExit) as caught:
            cli.main([command, "--overwrit", path])
        assert caught.value.code == 2
        line = lines(capsys)[-1]
        assert f"read as fields of the config: --overwrit {path}" in line
    assert cli.main(["config", "--overwrit", path]) == 2
    assert lines(capsys)[0] == (
        f"file: got nothing; allowed: a YAML file (read as fields: --overwrit {path})"
    )
    with pytest.raises(SystemExit):
        cli.main(["list", "--name", "x"])
    assert "unrecognized arguments: --name" in lines(capsys)[-1]


@pytest.mark.parametrize(
    ("flags", "place", "fields"),
    [
        (["--env.kind", "corner_maze"], ["env"], {"kind", "layout", "region"}),
        (["--agent.encoder.kind", "identity"], ["agent", "encoder"], {"kind"}),
        (["--arms.sharded.head.kind", "film"], ["arms", "sharded", "head"], {"rank"}),
        (["--train.algorithm.kind", "td"], ["train", "algorithm"], {"kind"}),
        (
            ["--train.action_selection.kind", "value_only"],
            ["train", "action_selection"],
            {"kind", "temperature"},
        ),
        (
            ["--train.optimizer.schedule.kind", "cosine"],
            ["train", "optimizer", "schedule"],
            {"kind"},
        ),
    ],
)
def test_another_kind_by_a_flag_drops_the_old_fields(
    training_yaml, capsys, flags, place, fields
):
    path = training_yaml()
    data = config_files.read_yaml(path)
    data["agent"]["encoder"] = {"kind": "mlp", "widths": [16]}
    data["train"]["optimizer"] = {"schedule": {"kind": "linear", "final": 0.5}}
    data["train"]["action_selection"] = {"kind": "lookahead", "temperature": 0.5}
    path.write_text(yaml_text.dump(data))
    if place == ["agent", "encoder"]:
        flags = [*flags, "--agent.encoder.features", "99"]  # told which is allowed
        assert cli.main(["config", str(path), *flags]) == 2
        (line,) = lines(capsys)
        assert line.startswith("agent.encoder.features: got 99; allowed with kind 'id")
        return
    got = printed(capsys, path, *flags)
    for step in place:
        got = got[step]
    assert fields <= got.keys()
    assert got["kind"] == flags[-1]


def test_null_removes_an_arm_and_a_prediction(tiny_yaml, capsys):
    flags = ["--arms.untrained", "null", "--predictions.VE", "null"]
    data = printed(capsys, *flags, tiny_yaml)
    assert list(data["arms"]) == ["mlp", "sharded"]
    assert data["predictions"] == {}
    assert cli.main(["config", str(tiny_yaml), "--predictions.P6", "null"]) == 2
    assert lines(capsys) == ["predictions.P6: got null; allowed: VE"]


def test_every_fault_is_listed_in_one_try(tiny_yaml, tmp_path, capsys):
    """A wrong number hides neither another nor what does not fit together."""
    out = tmp_path / "out"
    flags = [
        *("--train.discount", "7", "--train.num-sed", "3"),
        *("--agent.encoder.widths", "16", "--arms.sharded", "null"),
        *("--evaluation.conditions", "{a: {size: 9}, b: {nothing: 1}}"),
        *("--min_return_phase", "erne", "--env.max_steps", "0"),
        *("--train.phases.1.losses.value.decoder", "1"),
    ]
    assert cli.main(["run", str(tiny_yaml), "--out", str(out), *flags]) == 2
    got = {line.partition(":")[0]: line for line in lines(capsys)}
    assert set(got) == {
        "env.max_steps",
        "train.phases.1.losses.value.decoder",
        "train.discount",
        "train.num_sed",
        "agent.encoder.widths",
        "predictions.VE.rule.contrast.arm",
        "predictions.VE.measure",
        "omnibus.contrast.arm",
        "omnibus.conditions",
    }
    assert not out.exists()
    # what waits for the env and the training
    rest = ["--evaluation.conditions", "{in_distribution: {}, b: {nothing: 1}}"]
    flags = [*rest, "--min_return_phase", "erne", "--arms.sharded", "null"]
    assert cli.main(["run", str(tiny_yaml), "--out", str(out), *flags]) == 2
    got = {line.partition(":")[0]: line for line in lines(capsys)}
    assert set(got) == {
        "evaluation.conditions.b.env.nothing",
        "min_return_phase",
        "predictions.VE.rule.contrast.arm",
        "omnibus.contrast.arm",
    }
    assert "got phase 'erne'; allowed: look, earn" in got["min_return_phase"]


def test_every_arm_that_misses_the_budget_is_listed(tiny_yaml, capsys):
    assert cli.main(["config", str(tiny_yaml), "--agent.value_params", "7"]) == 2
    arms = [line.rpartition("(")[2] for line in lines(capsys)]
    assert arms == ["arm mlp)", "arm sharded)", "arm untrained)"]
