"""The command line as a user meets it: one line and exit code 2, or a run."""

import json
import re
import shutil

import pytest
import yaml
from jax.errors import JaxRuntimeError

from shardsim import cli
from shardsim.commands import run
from shardsim.storage import run_folder, run_layout
from shardsim.training import divergence, loop, standalone
from tests.helpers import run_folders


def lines(capsys):
    return capsys.readouterr().err.strip().splitlines()


@pytest.mark.parametrize(
    ("flags", "field", "value", "allowed"),
    [
        (
            ["--arms.sharded.head.num_shards", "0"],
            "arms.sharded.head.num_shards",
            "0",
            "least",
        ),
        (["--train.num-seeds", "two"], "train.num_seeds", "'two'", "whole"),
        (["--train.speed", "2"], "train.speed", "", "num_envs"),
        (["--agent.encoder.widths", "16"], "agent.encoder.widths", "16", "a list"),
        (["--train.devices", "3"], "train.devices", "3", "divisor"),
        (["--train.num-seeds", "64", "--train.devices", "64"], "devices", "64", "1 to"),
        (["--env.kind", "chess"], "env.kind", "'chess'", "corner_maze"),
        (["--env.size", "1"], "env.size", "1", "allowed"),
        (["--agent.value_params", "7"], "agent.value_params", "7", "nearest"),
        (
            ["--train.action_selection.temperature", "0"],
            "temperature",
            "0",
            "more than 0",
        ),
        (["--train.phases.0.env.size", "9"], "phases.0.env.size", "", "shown"),
        (["--predictions.VE.rule.contrast.arm", "x"], "predictions.VE", "'x'", "mlp"),
        (["--train.phases.7.updates", "1"], "train.phases.7", "", "0 to 1"),
        (["train.num-seeds", "2"], "train.num-seeds", "", "--dotted.field"),
        (
            ["--predictions.VE.rule.controls.0.arm", "mlp/known"],
            "predictions.VE",
            "'mlp/known'",
            "no row but ARM",
        ),
        (
            ["--predictions.VE.measure", "{kind: two_goals, condition: x}"],
            "predictions.VE.measure",
            "'two_goals'",
            "suit the env 'context_fruits'",
        ),
        (["--omnibus.contrast.arm", "exact"], "omnibus", "'exact'", "mlp"),
        (["--name", "../x"], "name", "'../x'", "letters"),
        (["--name", "n" * 65], "name", "nnn", "64 at most"),
        (
            [f"--arms.{'a' * 65}", "{head: {kind: mlp}}"],
            "arms",
            "aaa",
            "64 at most",
        ),
        (
            [
                *("--train.data", "tandem"),
                *(f"--arms.{c * 64}={{head: {{kind: mlp}}}}" for c in "abc"),
            ],
            "arms",
            "names of 206 letters",
            "200",
        ),
        (["--env", "{kind: tree_gridworld}"], "min_return", "any cell", "null"),
        (
            ["--env", "{kind: keys_and_chests, most_keys: 9, most_chests: 9}"],
            "env",
            "44302336 states",
            "at most 2000000",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    tiny_yaml, tmp_path, capsys, flags, field, value, allowed
):
    out = tmp_path / "out"
    assert cli.main(["run", str(tiny_yaml), "--out", str(out), *flags]) == 2
    told = lines(capsys)
    assert any(field in x and value in x and allowed in x for x in told), told
    assert all(re.match(r"shardsim: [^ ]+: .*allowed: .", x) for x in told), told
    assert not out.exists()


def test_a_maze_smaller_than_its_region_is_refused(tmp_path, tiny_yaml, capsys):
    flags = ["--env", "{kind: corner_maze, size: 7, region: 6}"]
    assert cli.main(["run", str(tiny_yaml), "--out", str(tmp_path / "o"), *flags]) == 2
    (line,) = lines(capsys)
    assert "env.region: got 6; allowed: 1 to 5" in line


def test_files_that_are_no_config(tmp_path, capsys):
    assert cli.main(["run", str(tmp_path / "none.yaml")]) == 2
    torn = tmp_path / "torn.yaml"
    torn.write_text("a: [1,")
    assert cli.main(["config", str(torn)]) == 2
    torn.write_text("just words")
    assert cli.main(["config", str(torn)]) == 2
    missing, no_yaml, words = lines(capsys)
    assert "none.yaml" in missing
    assert "no YAML" in no_yaml
    assert "mapping" in words


def test_config_prints_what_it_reads_back(tiny_yaml, tmp_path, capsys):
    flags = ["--train.num-seeds", "5", "--arms.sharded.head.num_shards=3"]
    assert cli.main(["config", str(tiny_yaml), *flags]) == 0
    text = capsys.readouterr().out
    data = yaml.safe_load(text)
    assert data["train"]["num_seeds"] == 5
    assert data["arms"]["sharded"]["head"]["num_shards"] == 3
    assert data["train"]["td_lambda"] == 0.9  # defaults are printed too
    again = tmp_path / "again.yaml"
    again.write_text(text)
    assert cli.main(["config", str(again)]) == 0
    assert capsys.readouterr().out == text


def test_a_run_folder_holds_everything(tiny_run):
    for name in (
        "config.yaml",
        "provenance.json",
        "shardsim_run.json",
        "metrics.jsonl",
        "metrics.npz",
        "snapshots/mlp/0000003.npz",
        "trained.json",
        "weights/mlp.npz",
        "weights/untrained.npz",
        "results.json",
        "report.html",
        "figures/curves.svg",
        "timing.json",
    ):
        assert (tiny_run / name).exists(), name


def test_a_finished_run_has_no_checkpoints_and_its_last_update_once(
    tiny_run, tiny_unfinished
):
    assert (tiny_unfinished / "checkpoints" / "mlp").is_dir()
    assert (tiny_unfinished / "snapshots" / "mlp" / "0000013.npz").is_file()
    assert not (tiny_run / "checkpoints").exists()
    assert not (tiny_run / "snapshots" / "mlp" / "0000013.npz").exists()


def test_the_names_in_a_run_folder_are_listed(tiny_run, tiny_unfinished):
    """So that nothing else is written over them."""
    folders = (tiny_run, tiny_unfinished)
    names = {path.name for folder in folders for path in folder.iterdir()}
    # of a training in parts, of a study, and of a run with trackers
    names |= {run_layout.PARTS, run_layout.CELLS, run_layout.POOLS, "table.csv"}
    names.add("trackers")
    assert names == set(run_layout.RESERVED_NAMES)


def test_an_old_run_is_kept_unless_told(tiny_yaml, tiny_run, tmp_path, capsys):
    before = (tiny_run / "results.json").read_bytes()
    assert cli.main(["run", str(tiny_yaml), "--out", str(tiny_run)]) == 2
    (line,) = lines(capsys)
    assert "--overwrite" in line
    assert (tiny_run / "results.json").read_bytes() == before
    # what is no run is never deleted
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("years")
    words = ["run", str(tiny_yaml), "--out", str(other), "--overwrite"]
    assert cli.main(words) == 2
    assert (other / "chapter.tex").read_text() == "years"


def test_compare_list_and_report(tiny_run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["train"]["td_lambda"] = 0.5
    (copy / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (copy / "report.html").unlink()
    shutil.rmtree(copy / "figures")
    assert cli.main(["compare", str(tiny_run), str(copy)]) == 0
    text = capsys.readouterr().out
    assert "VE" in text
    assert "td_lambda" in text
    assert cli.main(["list", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "copy" in "".join(text.split())
    assert "finished" in text
    assert cli.main(["report", str(copy)]) == 0
    assert capsys.readouterr().out.strip() == str(copy / "report.html")
    assert (copy / "figures" / "curves.svg").exists()


@pytest.mark.parametrize("command", ["compare", "report", "resume", "list"])
def test_no_run_there(command, tmp_path, capsys):
    assert cli.main([command, str(tmp_path / "nothing")]) == 2
    (line,) = lines(capsys)
    assert "nothing" in line


def test_results_torn_or_missing_are_one_line(tiny_run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    (copy / "results.json").write_text('{"name": ')
    assert cli.main(["compare", str(copy)]) == 2
    (copy / "results.json").unlink()
    assert cli.main(["report", str(copy)]) == 2
    torn, missing = lines(capsys)
    assert "no JSON" in torn
    assert "results.json" in missing
    assert cli.main(["list", str(tmp_path)]) == 0
    assert "unfinished" in capsys.readouterr().out


def test_a_torn_run_hides_no_other_in_a_list(tmp_path, capsys):
    for name, text in (("a", '{"na'), ("b", "{}"), ("c", None)):
        folder = run_folder.create(tmp_path / name, "", overwrite=False)
        if text:
            (folder / "results.json").write_text(text)
    assert cli.main(["list", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.count("results damaged") == 2
    assert text.count("unfinished") == 1


def test_a_verdict_that_does_not_stand_is_told_as_none(tiny_run, tmp_path, capsys):
    """The small run's arms miss the goal, so that no claim of theirs stands."""
    (tmp_path / "run").symlink_to(tiny_run)
    assert cli.main(["compare", str(tmp_path / "run")]) == 0
    assert "(no claim stands)" in capsys.readouterr().out
    assert cli.main(["list", str(tmp_path)]) == 0  # links among them
    assert "no claim stands" in " ".join(capsys.readouterr().out.split())


@pytest.mark.long
def test_the_same_config_gives_the_same_bytes(tiny_yaml, command_run, tmp_path):
    again = tmp_path / "again"
    # compiled anew, not read from the cache of programs
    words = ["run", tiny_yaml, "--out", again]
    text = run_folders.shardsim(*words, SHARDSIM_CACHE="off")
    # where nobody watches, a line for everything that begins, and no more
    beginnings = [line.split(" ", 2)[2] for line in text.splitlines()]
    assert beginnings == [
        "exact values of 1 conditions",
        "shared: phase 'look', update 0 of 13 (compiling)",
        "mlp: phase 'earn', update 3 of 13 (compiling)",
        "sharded: phase 'earn', update 3 of 13 (compiling)",
        "evaluating 3 arms in 1 conditions",
        "judging 1 predictions",
        "drawing maps",
        "writing the report",
    ]
    for name in ("results.json", "metrics.jsonl", "maps.json", "figures/curves.svg"):
        assert (again / name).read_bytes() == (command_run / name).read_bytes(), name


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "resume goes on from the last checkpoint"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (loop.Interrupted("stopped by signal 15"), 130, "by signal 15"),
        (divergence.Diverged("loss not finite: arm a"), 1, "loss not finite"),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out\nof memory"), 1, "Out of memory"),
        (MemoryError(), 1, "out of memory"),
        (OverflowError("value 4000000000"), 1, "value 4000000000"),
    ],
)
def test_what_ends_a_run_is_one_line(
    tiny_yaml, tmp_path, capsys, monkeypatch, error, code, told
):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(run, "run", fail)
    assert cli.main(["run", str(tiny_yaml), "--out", str(tmp_path / "run")]) == code
    (line,) = lines(capsys)
    assert told in line


@pytest.mark.parametrize("command", ["run", "train"])
def test_until_all_is_written_nobody_else_works_there(
    tiny_yaml, training_yaml, tmp_path, capsys, monkeypatch, command
):
    """Not while weights, results and the report are written either."""

    def another(found, folder, progress):
        with run_folder.lock(folder):
            raise AssertionError

    module, path = run, tiny_yaml
    if command == "train":
        module, path = standalone, training_yaml()
    monkeypatch.setattr(module, "run", another)
    assert cli.main([command, str(path), "--out", str(tmp_path / "run")]) == 2
    (line,) = lines(capsys)
    assert "another process is at work here" in line


@pytest.mark.slow
def test_another_seed_gives_other_numbers(tiny_yaml, tiny_run, tmp_path):
    out = tmp_path / "out"
    words = ["run", str(tiny_yaml), "--out", str(out), "--train.seed", "1"]
    assert cli.main(words) == 0
    one, two = (json.loads((p / "results.json").read_text()) for p in (tiny_run, out))
    assert one["curves"]["mlp"] != two["curves"]["mlp"]
