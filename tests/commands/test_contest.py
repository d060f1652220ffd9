"""`shardsim contest` from the command line: made, continued, refused, opened."""

import json
from pathlib import Path

import numpy as np
import pytest

from shardsim import cli
from shardsim.contest import folder, opening, results
from shardsim.core import config_files
from shardsim.storage import marked_folder, run_files
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
    for command in ("run", "train", "zoo"):
        assert cli.main([command, str(file), "--out", str(tmp_path / "a")]) == 2
        assert "(for a contest: shardsim contest)" in capsys.readouterr().err
    (tmp_path / "note.txt").write_text("mine")
    assert cli.main(["contest", str(file), "--out", str(tmp_path)]) == 2
    assert "which is no contest" in capsys.readouterr().err
    out = tmp_path / "out"
    with folder.opened(out, tiny_contest.contest()):
        pass
    assert (
        cli.main(
            ["contest", str(file), "--out", str(out), "--train.phases.0.updates", "4"]
        )
        == 2
    )
    assert "a contest of other agents" in capsys.readouterr().err


def test_a_text_that_was_changed_is_not_replaced(file, tmp_path, capsys):
    out = tmp_path / "out"
    with folder.opened(out, tiny_contest.contest()):
        pass
    folder.save_text(out, folder.TABLES, "# tables")
    (out / folder.TABLES).write_text("my notes")
    assert cli.main(["contest", str(file), "--out", str(out)]) == 2
    assert "was changed since the contest wrote it" in capsys.readouterr().err
    assert (out / folder.TABLES).read_text() == "my notes"


def test_one_process_at_a_time_unless_they_share_the_training(file, tmp_path, capsys):
    out, contest = tmp_path / "out", tiny_contest.contest()
    with folder.opened(out, contest):
        folder.save_text(out, folder.TABLES, "# tables")  # which frees no lock
        for words in ([], ["--seeds", "0"]):
            assert cli.main(["contest", str(file), "--out", str(out), *words]) == 2
            assert "another process is at work here" in capsys.readouterr().err
    with (
        folder.opened(out, contest, shared=True),
        folder.opened(out, contest, shared=True),
    ):
        assert cli.main(["contest", str(file), "--out", str(out)]) == 2
        assert "another process is at work here" in capsys.readouterr().err
    assert (out / folder.TABLES).read_text() == "# tables"


def test_inspect_asks_which_agents_of_a_contest(tmp_path, capsys):
    out = tmp_path / "out"
    with folder.opened(out, tiny_contest.contest()):
        pass
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


QUICK = (
    *("--standard=false", "--forecasters.constant.kind=constant"),
    *("--arms.random=null", "--judging.gates.random=null"),
    "--judging.gates.exact=null",
    *(f"--evaluation.conditions.{n}=null" for n in ("extinction", "moved", "blind")),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_contest_in_pieces_is_the_whole_and_its_agents_are_trainings(file, tmp_path):
    """In processes of their own: seeds apart, one agent lost, and the training loop."""
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    run_folders.shardsim("contest", file, *QUICK, "--out", whole)
    assert not (whole / "states").exists()
    run_folders.shardsim("contest", file, *QUICK, "--out", pieces, "--seeds", "1")
    assert {path.name for path in pieces.rglob("*.npz")} == {"001.npz"}
    (pieces / "weights/mlp/A.B/001.npz").unlink()
    run_folders.shardsim("contest", file, *QUICK, "--out", pieces)
    files = [
        {p.relative_to(at): p.read_bytes() for p in at.rglob("*") if p.is_file()}
        for at in (whole, pieces)
    ]
    assert files[0].keys() == files[1].keys()
    # these name the folder of the agents, and the last one has their digests
    texts = (results.FILE, folder.PAGE, folder.TABLES, marked_folder.WRITTEN)
    named = {*map(Path, texts)}
    for name in files[0].keys() - named:
        assert files[0][name] == files[1][name], name
    texts = [
        (at / results.FILE).read_text().replace(str(at), "") for at in (whole, pieces)
    ]
    assert texts[0] == texts[1]
    said = json.loads(texts[0])
    assert set(said["arms"]) == {"mlp"}
    oracle = said["arms"]["mlp"]["forecasters"]["oracle"]["score"]
    assert abs(oracle["excess"]["estimate"]) < 1e-6
    # the mapped program of the tree, against the loop that trains all other runs
    config = opening.as_training(
        tiny_contest.contest(), "mlp", ("A", "B"), "in_distribution"
    )
    (tmp_path / "alone.yaml").write_text(config_files.to_yaml(config))
    run_folders.shardsim("train", tmp_path / "alone.yaml", "--out", tmp_path / "alone")
    alone = run_files.read_arrays(tmp_path / "alone/weights/mlp.npz")
    for seed in (0, 1):
        own = run_files.read_arrays(folder.weights(whole, "mlp", ("A", "B"), seed))
        assert own.keys() == alone.keys()
        for name, array in own.items():
            np.testing.assert_array_equal(array, alone[name][seed])
