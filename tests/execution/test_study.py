"""A study: what two cells share is trained once, and every cell is a run of its own."""

import copy
import dataclasses
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from shardsim import cli
from shardsim.commands import study as command
from shardsim.core import config
from shardsim.evaluation import preregistration, study, study_results
from shardsim.evaluation.experiment import Experiment
from shardsim.execution import study as execution
from shardsim.storage import run_layout
from shardsim.storage import trained as trained_arms
from shardsim.training import divergence, loop, metric_records, parts
from tests.execution.test_parts import chunk_line, killed_before
from tests.helpers import run_folders

K = {"field": "arms.sharded.head.num_shards", "values": [2, 3]}


@pytest.fixture(scope="session")
def learns_little(tiny):
    """The tiny experiment, whose claims stand whatever it learns."""
    data = {**copy.deepcopy(tiny), "min_return": 0}
    data["arms"]["sharded"]["match_params"] = False
    return data


@pytest.fixture(scope="session")
def study_file(learns_little, tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    data = {"name": "small", "question": "Does <it> matter?", "axes": {"K": K}}
    data["experiments"] = {"tiny": learns_little}
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


@pytest.fixture
def experiment(tiny):
    """Builds the tiny experiment with other fields."""

    def made(arms=None, **train):
        data = copy.deepcopy(tiny)
        data["train"] |= train
        data["arms"] = arms or data["arms"]
        return config.build(Experiment, data)

    return made


def wanted(experiment, folder, first=0):
    return execution.Wanted("", folder, experiment, first)


def test_the_key_is_all_that_decides_the_bits_of_an_arm(experiment, tiny):
    plain = experiment()
    key = execution.key_of(plain)
    more_shards = dataclasses.replace(plain.arms["sharded"])
    arms = {**plain.arms, "other": more_shards}
    same = (
        experiment(num_seeds=9, devices=3, snapshots="full"),
        dataclasses.replace(plain, arms=arms, name="other", min_return=0.5),
        dataclasses.replace(
            plain, evaluation=dataclasses.replace(plain.evaluation, levels=9)
        ),
    )
    assert {execution.key_of(each) for each in same} == {key}
    turned = dict(reversed(plain.arms.items()))
    others = (
        *(experiment(discount=0.5), experiment(num_snapshots=4), experiment(seed=1)),
        # the shared phases run with the head of the first trained arm
        dataclasses.replace(plain, arms=turned),
        experiment(data="tandem"),
        experiment(data="tandem", behaviour_arm="sharded"),
    )
    assert len({key, *map(execution.key_of, others)}) == len(others) + 1


QUESTIONS = Path(__file__).parents[2] / "experiments" / "studies" / "questions.yaml"


@pytest.mark.skipif(not QUESTIONS.is_file(), reason="no experiments beside the tests")
def test_the_questions_share_one_training():
    built = study.build(study.cells(study.read(QUESTIONS)))
    assert len(built) == 6
    assert len({execution.key_of(each) for each in built.values()}) == 1
    names = [set(execution.names_in_pool(each).values()) for each in built.values()]
    assert max(map(len, names)) == len(set.union(*names)) == 5


def test_arms_are_named_by_what_they_are(experiment, tiny):
    arms = {**tiny["arms"], "twin": tiny["arms"]["mlp"]}
    names = execution.names_in_pool(experiment(arms))
    assert names["mlp"] == names["twin"]
    assert names["mlp"].startswith("mlp-")
    assert len({*names.values()}) == 3  # an untrained one is another
    together = execution.names_in_pool(experiment(arms, data="tandem"))
    assert together["twin"] == f"{names['mlp']}-1"


def places(pool):
    job = pool.job(lambda *_: None)
    return [part.place for part in pool.parts(job)]


def test_blocks_end_where_the_seeds_of_a_cell_do(experiment, tmp_path):
    """Two cells of 3 and 5 seeds, and one whose first 3 seeds are there."""
    few, more = experiment(num_seeds=3), experiment(num_seeds=5)
    cells = [wanted(few, tmp_path / "a"), wanted(more, tmp_path / "b")]
    supplies = execution.supplies(tmp_path, cells, [], None)
    (pool,) = supplies.pools.values()
    assert [str(block) for block in pool.plan.blocks] == ["0-2", "3-4"]
    assert [str(b) for b in supplies.plan_of(cells[0]).blocks] == ["0-2"]
    assert len(places(pool)) == 2 * 3
    longer = [wanted(more, tmp_path / "a", first=3)]
    (pool,) = execution.supplies(tmp_path, longer, [], 1).pools.values()
    assert [str(block) for block in pool.plan.blocks] == ["3-3", "4-4"]
    # what is begun stays as it is
    execution.begin(pool)
    (pool,) = execution.supplies(
        tmp_path, [wanted(experiment(num_seeds=7), tmp_path / "a", 3)], [], None
    ).pools.values()
    assert [str(block) for block in pool.plan.blocks] == ["3-3", "4-4", "5-6"]


def test_a_finished_cell_supplies_what_it_has(experiment, tiny, tmp_path):
    have = execution.Finished(tmp_path / "have", experiment(num_seeds=4))
    arms = copy.deepcopy(tiny["arms"])
    arms["sharded"]["head"]["num_shards"] = 3
    new = experiment(arms, num_seeds=4)
    cells = [wanted(new, tmp_path / "new")]
    (pool,) = execution.supplies(tmp_path, cells, [have], None).pools.values()
    names = execution.names_in_pool(new)
    # the shared phases again: a finished run has no checkpoint of them
    assert places(pool) == ["0-3/shared", f"0-3/{names['sharded']}"]
    # its snapshots are outputs in other levels than the new cell needs
    other = dataclasses.replace(
        new, evaluation=dataclasses.replace(new.evaluation, levels=9)
    )
    cells = [wanted(other, tmp_path / "new")]
    (pool,) = execution.supplies(tmp_path, cells, [have], None).pools.values()
    assert len(places(pool)) == 3


def test_lines_of_some_seeds_are_the_reverse_of_a_join():
    one, other = chunk_line((0.0, 1.0)), chunk_line((2.0,), diverged=(3,))
    joined = parts.join_records([one, other], [2, 1], 1)
    assert parts.of_seeds(joined, 0, 2) == one
    assert parts.of_seeds(joined, 2, 3) == other
    snapshot = metric_records.SnapshotMetrics(arm="mlp", update=3)
    assert parts.of_seeds(snapshot, 0, 1) == snapshot


@pytest.fixture(scope="module")
def finished(study_file):
    """A study that was killed three times, and the chunks that it trained."""
    folder, chunks, chunk = study_file.parent / "out", [], loop._chunk
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_chunk", lambda *args: chunks.append(1) or chunk(*args))
        words = ["study", study_file, "--out", folder]
        killed_before(trained_arms, "write", 2, words)
        killed_before(parts, "join", 1, ["resume", folder])
        killed_before(command.records, "write", 2, ["resume", folder])
        assert cli.main(["resume", str(folder)]) == 0
    return folder, len(chunks)


@pytest.mark.slow
def test_what_two_cells_share_is_trained_once(finished):
    """Through kills: the shared phases, mlp, and two numbers of shards."""
    folder, count = finished
    cells = [folder / run_layout.CELLS / name for name in ("K-2", "K-3")]
    lines = [metric_records.chunks(cell) for cell in cells]
    once = len(lines[0]) + sum(line.arm == "sharded" for line in lines[1])
    assert count == once
    assert not (folder / run_layout.POOLS).exists()
    weights = [(cell / "weights" / "mlp.npz").read_bytes() for cell in cells]
    assert weights[0] == weights[1]
    for cell in cells:
        assert not (cell / run_layout.PARTS).exists()
        assert (cell / "report.html").exists()


@pytest.mark.slow
def test_a_study_has_a_table_and_a_page(finished, capsys):
    folder, _ = finished
    result = study_results.read(folder)
    assert list(result.cells) == ["K-2", "K-3"]
    assert result.num_claims == 3
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "Does &lt;it&gt; matter?" in text
    for name in result.cells:
        assert f'href="cells/{name}/report.html"' in text
    assert result.models["VE"].axes["K"].levels.keys() == {"2", "3"}
    assert (folder / "table.csv").read_text().count("\n") == 3
    before = run_folders.files(folder)
    assert cli.main(["resume", str(folder)]) == 0
    assert "K 3" in capsys.readouterr().out
    assert cli.main(["report", str(folder)]) == 0
    assert run_folders.files(folder) == before
    assert cli.main(["list", str(folder.parent)]) == 0
    assert "2 cells" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--axes.K.values", "[3, 4]"], "which has the cell K-2; allowed"),
        (["--settings.train.discount", "0.5"], "whose cell K-2 has train.discount"),
        (["--settings.train.num-seeds", "1"], "whose cell K-2 has 2 seeds and not 1"),
    ],
)
def test_a_study_that_has_changed_is_refused(finished, study_file, words, line, capsys):
    folder, _ = finished
    before = run_folders.files(folder)
    command = ["study", str(study_file), "--out", str(folder), *words]
    assert cli.main(command) == 2
    (text,) = capsys.readouterr().err.splitlines()
    assert line in text
    assert run_folders.files(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["inspect"], ["compare"], ["extend", "--num-seeds=2"]]
)
def test_other_commands_say_what_they_take(
    finished, words, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder, _ = finished
    name, *rest = words
    assert cli.main([name, str(folder), *rest]) == 2
    (text,) = capsys.readouterr().err.splitlines()
    if name == "extend":
        assert text.endswith("got 2; allowed: more than 2, which the study has")
    else:
        assert "got a study; allowed: a run, such as those in" in text


@pytest.mark.slow
def test_a_part_that_fails_stops_only_the_cells_that_need_it(
    study_file, tmp_path, monkeypatch, capsys
):
    folder, train = tmp_path / "out", command.training.train_part

    def fails(run, job, part):
        if part.name == names["sharded"]:
            raise divergence.Diverged("loss not finite: seed 1, update 7")
        train(run, job, part)

    planned = command.config.read_study(study_file, ())
    names = execution.names_in_pool(planned.experiments["K-3"])
    monkeypatch.setattr(command.training, "train_part", fails)
    words = ["study", str(study_file), "--out", str(folder)]
    assert cli.main(words) == 1
    text = capsys.readouterr().err
    assert "1 of 4 parts failed; the others are on disk" in text
    assert f"shardsim resume {folder}" in text
    assert (folder / run_layout.CELLS / "K-2" / "report.html").exists()
    assert not (folder / run_layout.CELLS / "K-3" / "report.html").exists()
    assert not (folder / "report.html").exists()


def plain(cell, out):
    """The run that `shardsim run` makes of the config of a cell."""
    path = out.with_suffix(".yaml")
    path.write_bytes((cell / run_layout.CONFIG_FILE).read_bytes())
    run_folders.shardsim("run", path, "--out", out)
    return out


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_cells_are_runs_like_any_other_and_grow(study_file, tmp_path):
    """From 2 seeds to 3, then by a level: each cell is, bit for bit, a run."""
    folder = tmp_path / "out"
    words = ["study", study_file, "--out", folder]
    run_folders.shardsim(*words)
    cells = folder / run_layout.CELLS
    runs = plain(cells / "K-3", tmp_path / "two")
    run_folders.assert_same(cells / "K-3", runs, but=["report.html"])
    run_folders.shardsim("extend", folder, "--num-seeds", 3, "--executor", "local")
    runs = plain(cells / "K-3", tmp_path / "three")
    run_folders.assert_same(cells / "K-3", runs, but=["report.html"])
    looks = preregistration.read(cells / "K-3").looks
    assert [look.num_seeds for look in looks] == [2]
    before = run_folders.files(cells / "K-2")
    grown = ["--settings.train.num-seeds", 3, "--axes.K.values", "[2, 3, 4]"]
    errors = run_folders.shardsim(*words, *grown)
    assert "shardsim: 2 parts to train" in errors  # not mlp
    assert run_folders.files(cells / "K-2") == before
    runs = plain(cells / "K-4", tmp_path / "four")
    run_folders.assert_same(cells / "K-4", runs, but=["report.html"])
    assert study_results.read(folder).models["VE"].num_cells == 3


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_arms_that_learn_together_share_nothing(study_file, tmp_path):
    folder = tmp_path / "out"
    tandem = ["--settings.train.data", "tandem", "--settings.train.behaviour-arm"]
    words = ["study", study_file, "--out", folder, *tandem, "sharded"]
    errors = run_folders.shardsim(*words, "--block-seeds", 1)
    assert "8 parts to train, for 2 groups of cells" in errors
    cell = folder / run_layout.CELLS / "K-3"
    run_folders.assert_same(cell, plain(cell, tmp_path / "plain"), but=["report.html"])


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_kills_at_random_moments_lose_nothing(study_file, tmp_path):
    folder, kills = tmp_path / "out", int(os.environ.get("SHARDSIM_KILLS", "5"))
    chance, done = random.Random(kills), 0
    words = ["study", study_file, "--out", folder, "--executor", "local"]
    while done < kills:
        with run_folders.start(*words, stderr=subprocess.DEVNULL) as process:
            time.sleep(chance.uniform(5, 40))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            done += 1
    run_folders.shardsim(*words)
    cell = folder / run_layout.CELLS / "K-2"
    run_folders.assert_same(cell, plain(cell, tmp_path / "plain"), but=["report.html"])
