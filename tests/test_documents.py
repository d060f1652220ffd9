"""The README keeps its word: commands run, files exist, the table is current."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shardsim import cli
from shardsim.core import config
from shardsim.evaluation import experiment
from tests.helpers.whole_trainings import answers

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
pytestmark = pytest.mark.skipif(
    not README.is_file(), reason="no README beside the tests"
)
TEXT = README.read_text() if README.is_file() else ""
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S)
    for line in block.strip().splitlines()
]
RUNS = {
    folder: stem
    for line in COMMANDS
    for stem, folder in re.findall(
        r"experiments/(\w+)\.(?:yaml|py) --out runs/(\w+)", line
    )
}
"""Experiments of its commands, by the run folder that they write."""
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))


def test_two_commands_do_all_the_set_up():
    """Each makes a venv, installs and ends with what it is for, in one line."""
    long = [line for line in COMMANDS if line.startswith("python3 -m venv")]
    assert len(long) == 2
    for line, end in zip(
        long,
        (["shardsim", "run", "experiments/quickstart.yaml"], ["pytest"]),
        strict=True,
    ):
        venv, install, last = (shlex.split(part) for part in line.split("&&"))
        assert venv == ["python3", "-m", "venv", ".venv"]
        assert install[:2] == [".venv/bin/pip", "install"]
        assert (ROOT / install[install.index("-c") + 1]).is_file()
        assert Path(last[0]).parts[:2] == (".venv", "bin")
        assert [Path(last[0]).name, *last[1:]][-len(end) :] == end


def test_ci_calls_the_readme_s_test_command():
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"sed -n 's/(.*?)/\\1/p' README", script).group(1)
    wanted = re.compile(pattern.replace(r"\(", "(").replace(r"\)", ")"))
    assert len([line for line in COMMANDS if wanted.match(line)]) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_runs(small, tmp_path, monkeypatch, capsys):
    """In the order of the page, made small, in a folder of its own."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    seen = 0
    for line in COMMANDS:
        words = shlex.split(line)
        if words[:1] == ["python"] and words[1].startswith("experiments/"):
            # script and config are one call: tests/experiments shows it
            words = ["shardsim", "run", words[1].replace(".py", ".yaml"), *words[2:]]
        if words[0] != "shardsim" or words[1] == "play":
            continue  # playing needs a terminal: tests/shardsim/test_play.py has one
        if words[1] == "train":
            if "minigrid" in line and importlib.util.find_spec("minigrid") is None:
                continue
            phases = config.read_yaml(Path(words[2]))["train"]["phases"]
            words += [f"--train.phases.{n}.updates=2" for n in range(len(phases))]
        if words[1] == "inspect":
            words += ["--quick"]  # the whole page: tests/test_walkthrough.py
        if words[1] in ("train", "collect"):
            words += ["--train.num-seeds=2"]
        if "--train.devices" in words:  # has to be told before JAX begins
            command = [sys.executable, "-m", "shardsim.cli", *words[1:]]
            env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
            assert subprocess.run(command, env=env).returncode == 0, line
            continue
        if words[1] == "run":
            words += [
                *small,
                "--agent.encoder.widths=[16]",
                "--agent.value_params=2048",
            ]
        assert cli.main(words[1:]) == 0, line
        seen += 1
    assert seen >= 7
    assert len(RUNS) >= 3
    for name, stem in RUNS.items():
        folder = tmp_path / "runs" / name
        assert (folder / "report.html").is_file()
        data = config.read_yaml(ROOT / "experiments" / f"{stem}.yaml")
        answers(folder, config.build(experiment.Experiment, data))
    capsys.readouterr()


def test_the_table_of_verdicts_has_a_row_for_each_prediction():
    for name in EXPERIMENTS:
        found = config.build(
            experiment.Experiment,
            config.read_yaml(ROOT / "experiments" / f"{name}.yaml"),
        )
        for prediction in found.predictions:
            assert re.search(rf"^\| {prediction} ", TEXT, re.M), prediction
    assert "shardsim run experiments/quickstart.yaml" in TEXT


def test_files_that_it_names_exist():
    for name in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:shardsim|envs|experiments|tests)/[\w./]+)`", TEXT):
        if "NAME" not in name:
            assert (ROOT / name).exists(), name


def test_the_lab_notes_and_the_readme_tell_the_same_verdicts():
    for name in EXPERIMENTS:
        note = (ROOT / "experiments" / f"{name}.py").read_text()
        seen = note.partition("Seen:")[2].partition('"""')[0]
        told = dict(
            re.findall(
                r"(P\d+[a-z]?|VE): (no difference|[a-z]+)", " ".join(seen.split())
            )
        )
        assert told
        for prediction, verdict in told.items():
            (row,) = re.findall(rf"^\| {prediction} .*$", TEXT, re.M)
            assert f"| {verdict} |" in row


def test_constraints_hold_no_address():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert re.search(r"^jax==", text, re.M)
