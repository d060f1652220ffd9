"""Habits of the command line: completion, nearest names, formats, exports."""

import csv
import io
import json
import shutil
import subprocess
import zipfile

import pytest

import shardsim
from shardsim import cli
from shardsim.commands import completion, config
from shardsim.evaluation import results
from tests.helpers import run_folders


def said(capsys, *words, code=0):
    """What a command prints; `code` is its exit code."""
    try:
        got = cli.main(list(map(str, words)))
    except SystemExit as error:
        got = error.code
    assert got == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def completed(script, *words):
    """What bash offers for the last word."""
    code = (
        f"source {script}\nCOMP_WORDS=({' '.join(words)})\n"
        f"COMP_CWORD={len(words) - 1}\n_shtab_shardsim\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, check=True)
    return done.stdout.decode().split()


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_completes_commands_options_worlds_and_fields(tmp_path, capsys):
    script = tmp_path / "completion"
    script.write_text(said(capsys, "completion", "bash"))
    assert completed(script, "shardsim", "ins") == ["inspect"]
    assert completed(script, "shardsim", "show", "corn") == ["corner_maze"]
    assert completed(script, "shardsim", "compare", "--format", "c") == ["csv"]
    found = completed(script, "shardsim", "run", "--train.num-s")
    assert "--train.num-seeds" in found
    (tmp_path / "my_config.yaml").touch()
    assert completed(script, "shardsim", "run", f"{tmp_path}/my_") == [
        f"{tmp_path}/my_config.yaml"
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_every_shell_is_one(shell, tmp_path, capsys):
    script = tmp_path / "completion"
    script.write_text(said(capsys, "completion", shell))
    assert "shardsim" in script.read_text()
    if shutil.which(shell):
        subprocess.run([shell, "-n", script], check=True)


def test_fields_of_a_config_are_completed_to_the_last():
    for name in ("experiment", "training"):
        found = completion.fields(config.ROOTS[name])
        assert {"train.phases", "agent.encoder.widths", "env.size"} <= set(found)
        assert len(found) == len(set(found)) > 100


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["rnu"], "did you mean run?"),
        (["compare", "x", "--fromat", "json"], "did you mean --format?"),
        (["run", "no.yaml", "--executor", "lcoal"], "did you mean local?"),
        (["show", "corner_mase"], "did you mean corner_maze?"),
        (["collect", "{yaml}", "--out", "a.npz", "--updats", "2"], "option --updates?"),
        (["run", "{yaml}", "--overwrit"], "did you mean the option --overwrite?"),
        (["run", "{yaml}", "--train.num-sedes", "2"], "did you mean num_seeds?"),
        (["run", "{yaml}", "--arms.shraded.head.num-shards", "3"], "sharded?"),
        (["run", "{parent}/tinny.yaml"], "did you mean {yaml}?"),
        (["list", "{parent}/runn"], "did you mean {parent}/run?"),
        (["report", "{parent}/runn"], "did you mean {parent}/run?"),
        (["inspect", "{run}", "--arms", "shraded"], "did you mean sharded?"),
        (["collect", "{run}", "--out", "a.npz", "--arm", "shraded"], "sharded?"),
    ],
)
def test_what_was_meant_is_said(
    words, meant, tiny_yaml, tiny_run, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    places = {"yaml": tiny_yaml, "parent": tiny_yaml.parent, "run": tiny_run}
    told = said(capsys, *(word.format(**places) for word in words), code=2)
    assert meant.format(**places) in told


def test_a_run_is_looked_for_where_runs_lie(tiny_run, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "tiny").symlink_to(tiny_run)
    monkeypatch.chdir(tmp_path)
    assert "(did you mean runs/tiny?)" in said(capsys, "report", "tiny", code=2)


def test_a_field_with_help_is_explained(tiny_yaml, capsys):
    told = said(capsys, "run", tiny_yaml, "--train.num-seeds", "--help")
    assert told.startswith("train.num_seeds\n")
    assert "the unit of every statistic" in told
    assert "here: 2" in told
    other = said(capsys, "train", "--train.num_seeds", "-h")
    assert other.splitlines() == [x for x in told.splitlines() if "here" not in x]
    assert "usage" in said(capsys, "run", "--help")


def test_a_list_for_other_programs(tiny_run, tiny_unfinished, capsys):
    root = tiny_run.parent
    found = json.loads(said(capsys, "list", root, "--format", "json"))
    by_run = {row["run"]: row for row in found}
    assert by_run[str(tiny_unfinished)] == {
        "run": str(tiny_unfinished),
        "state": "unfinished",
    }
    result = results.read_run(tiny_run)
    row = by_run[str(tiny_run)]
    assert row["digest"] == result.digest
    assert row["verdicts"]["VE"]["verdict"] == result.predictions["VE"].verdict
    text = said(capsys, "list", root, "--format", "csv")
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(text))}
    assert rows[str(tiny_unfinished)]["seeds"] == ""
    assert rows[str(tiny_run)]["seeds"] == "2"
    verdict = row["verdicts"]["VE"]["verdict"]
    assert rows[str(tiny_run)]["verdicts"] == f"VE: {verdict} (no claim stands)"


def test_a_comparison_for_other_programs(tiny_run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_run, copy)
    text = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text.replace("td_lambda: 0.9", "td_lambda: 0.5"))
    found = json.loads(said(capsys, "compare", tiny_run, copy, "--format", "json"))
    result = results.read_run(tiny_run)
    first = found["arms"][0]
    assert first["run"] == str(tiny_run)
    assert first["mean_value_error"] == result.arms["mlp"].mean_value_error
    assert found["predictions"][1]["effect"] == result.predictions["VE"].effect.estimate
    assert [row["value"] for row in found["fields"]] == ["0.9", "0.5"]
    text = said(capsys, "compare", tiny_run, copy, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    (error,) = [
        row["value"]
        for row in rows
        if (row["run"], row["name"], row["column"])
        == (str(copy), "mlp", "mean_value_error")
    ]
    assert float(error) == first["mean_value_error"]


def test_a_run_as_one_file(tiny_run, tmp_path, capsys):
    out = tmp_path / "run.zip"
    assert said(capsys, "export", tiny_run, "--out", out).startswith(f"{out}: ")
    assert zipfile.is_zipfile(out)
    assert shardsim.load(out).results == shardsim.load(tiny_run).results
    assert "exists" in said(capsys, "export", tiny_run, "--out", out, code=2)
    assert ".zip" in said(capsys, "export", tiny_run, "--out", tmp_path / "a", code=2)
    assert "no run" in said(capsys, "export", tmp_path, "--out", out, code=2)


@pytest.mark.slow
@pytest.mark.few(2, rest="long")
@pytest.mark.parametrize(
    ("kind", "start"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_figures_in_every_format(kind, start, tiny_run, tmp_path, capsys):
    words = ("export", tiny_run, "--figures", kind, "--out", tmp_path)
    paths = said(capsys, *words).split()
    names = {path.stem for path in (tiny_run / "figures").glob("*.svg")}
    assert {path.stem for path in tmp_path.iterdir()} == names
    assert len(paths) == len(names)
    assert all(p.read_bytes().startswith(start) for p in tmp_path.iterdir())
    assert "exists" in said(capsys, *words, code=2)


@pytest.mark.slow
def test_the_folder_of_a_run_is_its_first_and_last_line(tiny_yaml, tmp_path):
    out = tmp_path / "out"
    with run_folders.start(
        "run", tiny_yaml, "--out", out, stdout=subprocess.PIPE
    ) as process:
        lines = process.communicate()[0].decode().splitlines()
    assert lines[0] == lines[-1] == str(out)
    assert lines[-2] == str(out / "report.html")
