"""README and docs keep their word: commands run, files exist, tables are current."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from shardsim import cli
from shardsim.commands import devices
from shardsim.core import config, config_files
from shardsim.evaluation import experiment
from tests.helpers import documents
from tests.helpers.whole_trainings import answers

ROOT, README = documents.ROOT, documents.README
pytestmark = pytest.mark.skipif(
    not documents.there(README), reason="no README beside the tests"
)
VERDICTS = documents.read(documents.RESULTS)
COMMANDS = documents.commands(README)
RUNS = {
    folder: stem
    for line in documents.first_commands()
    for stem, folder in re.findall(
        r"experiments/(\w+)\.(?:yaml|py) --out runs/(\w+)", line
    )
}
"""Experiments of the first pages' commands, by the run folder that they write."""
NOT_RUN = re.compile("Seen: +not run")
"""What the lab note of an experiment says that is fixed and has no verdicts yet."""
EXPERIMENTS = sorted(
    path.stem
    for path in (ROOT / "experiments").glob("*.py")
    if not NOT_RUN.search(path.read_text())
)


def named(path):
    return str(path.relative_to(ROOT))


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


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150


def called(line):
    """The words of a command of shardsim, else none.

    The command that sets everything up ends with one; a script and its config are one
    call, which tests/experiments shows.
    """
    words = shlex.split(line.rpartition("&&")[2])
    if words[:1] == ["python"] and words[1].startswith("experiments/"):
        words = ["shardsim", "run", words[1].replace(".py", ".yaml"), *words[2:]]
    return words[1:] if Path(words[0]).name == "shardsim" else []


def test_the_first_pages_show_every_command():
    shown = {words[0] for line in documents.first_commands() if (words := called(line))}
    assert shown == {
        *("run", "train", "collect", "config", "resume", "compare", "report"),
        *("inspect", "watch", "list", "show", "play", "export", "verdicts"),
    }
    assert len(documents.first_commands()) >= 20
    assert len(RUNS) >= 3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("page", documents.FIRST, ids=named)
def test_every_command_runs(page, small, tmp_path, monkeypatch, capsys):
    """In the order of the page, made small, in a folder of its own."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    made = []
    for line in documents.commands(page):
        words = called(line)
        if not words or words[0] == "play":
            continue  # playing needs a terminal: tests/commands/test_play.py has one
        if words[0] == "train":
            if "minigrid" in line and importlib.util.find_spec("minigrid") is None:
                continue
            phases = config_files.read_yaml(Path(words[1]))["train"]["phases"]
            words += [f"--train.phases.{n}.updates=2" for n in range(len(phases))]
        if words[0] == "inspect":
            words += ["--quick"]  # the whole page: tests/test_walkthrough.py
        if words[0] in ("train", "collect"):
            words += ["--train.num-seeds=2"]
        if "--train.devices" in words:  # has to be known before JAX begins
            command = [sys.executable, "-m", "shardsim.cli", *words]
            env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
            assert subprocess.run(command, env=env).returncode == 0, line
            continue
        if words[0] == "run":
            words += [
                *small,
                "--agent.encoder.widths=[16]",
                "--agent.value-params=2048",
            ]
            stem = Path(words[1]).stem
            out = (
                words[words.index("--out") + 1] if "--out" in words else f"runs/{stem}"
            )
            made.append((stem, tmp_path / out))
        assert cli.main(words) == 0, line
    assert made
    for stem, folder in made:
        assert (folder / "report.html").is_file()
        data = config_files.read_yaml(ROOT / "experiments" / f"{stem}.yaml")
        answers(folder, config.build(experiment.Experiment, data))
    capsys.readouterr()


@pytest.mark.parametrize(
    "page", sorted((documents.DOCS / "results").glob("*.md")), ids=named
)
def test_commands_of_results_are_configs_that_can_be_run(page, monkeypatch, capsys):
    """All of them resolve; each experiment is run small by tests/experiments."""
    monkeypatch.chdir(ROOT)
    # this process has started JAX with one device; a command splits the CPU in two
    two = devices.jax.devices()[:1] * 2
    monkeypatch.setattr(devices.jax, "devices", lambda: two)
    lines = documents.commands(page)
    assert lines
    for line in lines:
        program, command, *words = shlex.split(line)
        assert program == "shardsim"
        assert command in {"run", "train", "zoo", "contest", "extend", "study"}
        if command == "extend":  # of the run of a line before
            continue
        if "--out" in words:
            del words[(place := words.index("--out")) : place + 2]
        assert cli.main(["config", *words]) == 0, line
    capsys.readouterr()


def row(text, prediction):
    (found,) = re.findall(rf"^\| {prediction} .*$", text, re.M)
    return split(found)


def split(line):
    cells = re.split(r"(?<!\\)\|", line.strip("|"))
    return [cell.strip() for cell in cells]


def named_row(text, prediction):
    """The row of a prediction, by the first word of the heading of each column."""
    lines = text.splitlines()
    (place,) = (n for n, x in enumerate(lines) if x.startswith(f"| {prediction} "))
    (head,) = (
        lines[n - 1]
        for n in range(place, 0, -1)
        if lines[n].startswith("|--")
        and not any(each.startswith("|--") for each in lines[n + 1 : place])
    )
    titles = [re.sub(r"\W.*", "", cell) for cell in split(head)]
    return dict(zip(titles, split(lines[place]), strict=True))


def test_the_table_of_verdicts_has_a_row_for_each_prediction():
    for name in EXPERIMENTS:
        found = config.build(
            experiment.Experiment,
            config_files.read_yaml(ROOT / "experiments" / f"{name}.yaml"),
        )
        assert f"shardsim run experiments/{name}.yaml" in VERDICTS
        for prediction, entry in found.predictions.items():
            margin = named_row(VERDICTS, prediction)["margin"].partition(",")[0]
            # a share of the planted effect is known once that was measured
            assert entry.rule.margin in (None, float(margin))


def test_the_readme_says_what_the_table_of_verdicts_says():
    text = README.read_text()
    rows = re.findall(r"^\| (P\d+[a-z]?|tails) .*$", text, re.M)
    assert 4 <= len(rows) <= 8
    for prediction in rows:
        short, whole = named_row(text, prediction), named_row(VERDICTS, prediction)
        assert short["effect"] == whole["50"]
        assert short["verdict"].replace("*", "") == whole["verdict"]
        assert short["oracle"] == whole["oracle"]


def test_links_and_paths_lead_somewhere():
    for page in documents.pages():
        text = page.read_text()
        for name in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text):
            path = (page.parent / name).resolve()
            assert path in documents.GENERATED or path.exists(), f"{page}: {name}"
        folders = "shardsim|envs|experiments|tests|docs|benchmarks"
        for name in re.findall(rf"`((?:{folders})/[\w./]+)`", text):
            if not re.search("NAME|TOPIC|ARM", name):
                assert (ROOT / name).exists(), f"{page}: {name}"


def test_the_lab_notes_and_the_table_give_the_same_verdicts():
    for name in EXPERIMENTS:
        note = (ROOT / "experiments" / f"{name}.py").read_text()
        seen = note.partition("Seen:")[2].partition('"""')[0]
        asked = config_files.read_yaml(ROOT / "experiments" / f"{name}.yaml")
        names = "|".join(asked["predictions"])
        verdicts = dict(
            re.findall(
                rf"({names}): (no difference|no claim|[a-z]+)", " ".join(seen.split())
            )
        )
        assert verdicts
        for prediction, verdict in verdicts.items():
            assert verdict == named_row(VERDICTS, prediction)["verdict"]


def test_the_list_of_predictions_is_whole():
    text = documents.read(documents.DOCS / "predictions.md")
    for number in range(1, 26):
        assert len(row(text, f"P{number}")) == 7


def test_constraints_hold_no_address():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert re.search(r"^jax==", text, re.M)
