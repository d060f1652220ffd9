"""`shardsim contest` from the command line: made, continued, refused, opened."""

import json

import pytest

from shardsim import cli
from shardsim.contest import folder, results, run, training
from shardsim.contest import config as contests
from shardsim.core import config as configs
from tests.helpers import documents, run_folders, tiny_contest

FILE = documents.ROOT / "experiments/contest/contest.yaml"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_contest.TEXT)
    return path


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--pipelines.histories", "[[A, C]]"], "pipelines.histories.0.1: got 'C'"),
        (["--env.size", "1500"], "evaluation.conditions.in_distribution: got 2250000"),
        (["--agent.value-params", "166"], "agent.value_params: got 166"),
        (["--seeds", "1-2"], "seeds: got '1-2'; allowed: FIRST-LAST or one number"),
        (["--seeds", "-1"], "seeds"),
        (["--judging.arm", "exact"], "judging.arm: got 'exact'; allowed: mlp, random"),
        (
            ["--judging.gates.gated", "oracle_gated"],
            "judging.gates.gated: got 'oracle_gated'; allowed: mlp, random",
        ),
        (
            ["--judging.gates.exact", "mlp"],
            "judging.gates.exact: got 'mlp', an arm; allowed: another",
        ),
        (["--forecasters.mine.kind", "habit"], "forecasters.mine.kind: got 'habit'"),
    ],
)
def test_faults_are_one_line_before_anything_is_written(
    flags, line, file, tmp_path, capsys
):
    out = tmp_path / "out"
    assert cli.main(["contest", str(file), "--out", str(out), *flags]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()


def test_files_and_folders_of_other_kinds_are_refused(file, tmp_path, capsys):
    quickstart = str(documents.ROOT / "experiments/quickstart.yaml")
    assert cli.main(["contest", quickstart]) == 2
    assert "pipelines: missing" in capsys.readouterr().err
    for command in ("run", "train", "zoo", "study"):
        assert cli.main([command, str(file), "--out", str(tmp_path / "a")]) == 2
        assert "pipelines" in capsys.readouterr().err or command == "study"
    (tmp_path / "note.txt").write_text("mine")
    assert cli.main(["contest", str(file), "--out", str(tmp_path)]) == 2
    assert "which is no contest" in capsys.readouterr().err
    out = tmp_path / "out"
    folder.begin(out, tiny_contest.contest())
    assert (
        cli.main(
            ["contest", str(file), "--out", str(out), "--train.phases.0.updates", "4"]
        )
        == 2
    )
    assert "a contest of other agents" in capsys.readouterr().err


def test_a_text_that_was_changed_is_not_replaced(file, tmp_path, capsys):
    out = tmp_path / "out"
    folder.begin(out, tiny_contest.contest())
    folder.save_text(out, folder.TABLES, "# tables")
    (out / folder.TABLES).write_text("my notes")
    assert cli.main(["contest", str(file), "--out", str(out)]) == 2
    assert "was changed since the contest wrote it" in capsys.readouterr().err
    assert (out / folder.TABLES).read_text() == "my notes"


def test_inspect_asks_which_agents_of_a_contest(tmp_path, capsys):
    out = tmp_path / "out"
    folder.begin(out, tiny_contest.contest())
    page = ["--out", str(tmp_path / "page.html")]
    assert cli.main(["inspect", str(out), *page]) == 2
    assert "history: got" in capsys.readouterr().err
    for options, line in (
        (["--history", "B.B.B"], "history: got 'B.B.B'; allowed: A, B"),
        (["--history", "A", "--condition", "x"], "condition: got 'x'; allowed"),
    ):
        words = ["inspect", str(out), "--arms", "mlp", *page, *options]
        assert cli.main(words) == 2
        assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", sorted(FILE.parent.glob("*.yaml")), ids=lambda p: p.stem
)
def test_the_shipped_contests_are_what_their_comments_say(path, capsys):
    assert cli.main(["config", str(path)]) == 0
    capsys.readouterr()


@pytest.mark.slow
def test_a_contest_that_was_killed_ends_as_one_that_was_not(file, tmp_path):
    """In processes of their own, the second one stopped while it trains."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_folders.shardsim("contest", file, "--out", whole)
    assert not (whole / "states").exists()
    # one seed by itself is what another machine would have trained
    run_folders.shardsim("contest", file, "--out", stopped, "--seeds", "1")
    assert {p.name for p in stopped.rglob("*.npz")} == {"001.npz"}
    next((stopped / "weights/mlp").glob("A*/001.npz")).unlink()
    run_folders.shardsim("contest", file, "--out", stopped)
    names = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    assert names == sorted(
        p.relative_to(stopped) for p in stopped.rglob("*") if p.is_file()
    )
    for name in names:
        if name.name == results.FILE:  # which names the folder of its agents
            texts = [
                (place / name).read_text().replace(str(place), "")
                for place in (whole, stopped)
            ]
            assert texts[0] == texts[1]
        elif name.suffix == ".npz":
            assert (whole / name).read_bytes() == (stopped / name).read_bytes()
    said = json.loads((whole / results.FILE).read_text())
    assert set(said["arms"]) == {"mlp", "random", "exact"}
    entropy = said["arms"]["mlp"]["forecasters"]["oracle"]["score"]
    assert abs(entropy["excess"]["estimate"]) < 1e-6
