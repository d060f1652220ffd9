"""A run that is trained in parts is, bit for bit, the one that is trained at once."""

import copy
import dataclasses
import shutil

import pytest
import yaml

from shardsim import cli
from shardsim.core.field_errors import ConfigError
from shardsim.execution import training
from shardsim.storage import run_files, run_folder, run_layout
from shardsim.storage import trained as trained_arms
from shardsim.training import arms as training_arms
from shardsim.training import divergence, loop, metric_records, parts
from tests.helpers import run_folders

LEARN = {"value": {"encoder": 1, "value": 1}}
CASES = {
    "own": {},
    "tandem": {"data": "tandem", "behaviour_arm": "sharded"},
    "sweep": {"sweep": {"learning_rate": [0.003, 0.001]}},
}
PHASES = [
    {
        "name": "look",
        "collect": "random_walker",
        "updates": 2,
        "losses": {"action": {"encoder": 1, "decoder": 1}},
    },
    {"name": "earn", "updates": 3, "losses": LEARN},
]


@pytest.fixture
def config_file(tiny, tmp_path):
    """Writes a training with two trained arms, an untrained one, and shared phases."""

    def write(**train):
        data = {n: copy.deepcopy(tiny[n]) for n in ("name", "env", "agent", "arms")}
        data["train"] = {**tiny["train"], "num_seeds": 4, "phases": PHASES, **train}
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return write


def trained(path, out, *flags):
    assert cli.main(["train", str(path), "--out", str(out), *flags]) == 0
    return out


def test_seeds_are_divided_evenly():
    def sizes(plan):
        return [(block.first, block.num_seeds) for block in plan.blocks]

    assert sizes(parts.divide(range(8), 3)) == [(0, 3), (3, 2), (5, 3)]
    assert sizes(parts.divide(range(8, 20), 6)) == [(8, 6), (14, 6)]
    assert sizes(parts.divide(range(3, 4), 9)) == [(3, 1)]
    with pytest.raises(ConfigError, match="blocks: got 4-4 after 0-1; allowed"):
        parts.Plan((parts.Block(0, 2), parts.Block(4, 1)))


def test_what_arms_share_is_one_part_of_a_block(config_file):
    config = training.load.read(training.load.read_file(config_file()))
    plan = parts.divide(range(4), 2)
    todo = parts.parts_of(plan, config.sized_arms(), config.train)
    assert [part.place for part in todo] == [
        *("0-1/shared", "2-3/shared"),
        *("0-1/mlp", "0-1/sharded", "2-3/mlp", "2-3/sharded"),
    ]
    assert todo[0].arms == (training_arms.SHARED_PHASES, "untrained")
    assert [part.needs_shared for part in todo] == [False] * 2 + [True] * 4
    assert [parts.num_updates(part, config.train) for part in todo[1:3]] == [2, 3]
    tandem = dataclasses.replace(config.train, data="tandem", behaviour_arm="sharded")
    todo = parts.parts_of(plan, config.sized_arms(), tandem)
    assert [part.name for part in todo][2:] == ["sharded+mlp"] * 2


@pytest.mark.slow
@pytest.mark.few(1, rest="long")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", CASES)
def test_parts_make_the_run_of_one_training(config_file, tmp_path, case):
    path = config_file(**CASES[case])
    whole, joined = tmp_path / "whole", tmp_path / "joined"
    run_folders.shardsim("train", path, "--out", whole)
    run_folders.shardsim("train", path, "--out", joined, "--block-seeds", 1)
    run_folders.assert_same(joined, whole)
    assert not (joined / run_layout.PARTS).exists()
    assert [line.arm for line in metric_records.chunks(joined)].count("shared") == 1


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_blocks_of_two_and_three_seeds_make_the_same_run(config_file, tmp_path):
    path, whole, joined = config_file(num_seeds=5), tmp_path / "w", tmp_path / "j"
    run_folders.shardsim("train", path, "--out", whole)
    run_folders.shardsim("train", path, "--out", joined, "--block-seeds", 3)
    run_folders.assert_same(joined, whole)


class Killed(BaseException):
    """The process is gone."""


def killed_before(module, name, count, command):
    """Run a command that is killed before the n-th call of a function."""
    calls, real = [], getattr(module, name)

    def counted(*args, **keywords):
        calls.append(args)
        if len(calls) == count:
            raise Killed
        return real(*args, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, counted)
        with pytest.raises(Killed):
            cli.main(list(map(str, command)))


STEPS = [
    *((run_files, "write_lines", 1), (parts, "_join_arrays", 1)),
    *((parts, "_join_arrays", 9), (loop, "mark_trained", 1)),
    *((trained_arms, "write", 1), (trained_arms, "write", 3)),
    *((parts, "delete", 1), (run_folder, "delete", 1), (run_folder, "delete", 3)),
    *((run_folder, "remove_empty", 2), (loop, "finish", 1)),
]
"""What changes the disk after all parts are trained, and which call of it."""


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_kill_anywhere_loses_nothing_and_trains_nothing_twice(
    config_file, tmp_path, monkeypatch
):
    """While parts are marked as finished, and at every step of the join."""
    path, words = config_file(), ["--block-seeds", "2"]
    whole = trained(path, tmp_path / "whole", *words)
    out = tmp_path / "first"
    chunks, chunk = [], loop._chunk
    monkeypatch.setattr(loop, "_chunk", lambda *args: chunks.append(1) or chunk(*args))
    command = ["train", path, "--out", out, *words]
    for module, name, count in (
        *((trained_arms, "write", 1), (trained_arms, "write", 2)),
        *((trained_arms, "write_weights", 2), (parts, "join", 1)),
    ):
        killed_before(module, name, count, command)
        command = ["resume", out]
    # two blocks: the chunks of the shared phases and of two arms, each once
    assert len(chunks) == 2 * len(metric_records.chunks(whole))
    for number, step in enumerate(STEPS):
        copy = tmp_path / str(number)
        shutil.copytree(out, copy)
        killed_before(*step, ["resume", copy])
        assert cli.main(["resume", str(copy)]) == 0
        run_folders.assert_same(copy, whole)
    assert len(chunks) == 2 * len(metric_records.chunks(whole))


def test_another_config_is_refused_while_there_are_parts(
    config_file, tmp_path, monkeypatch, capsys
):
    path, out = config_file(), tmp_path / "run"
    monkeypatch.setattr(training, "train_part", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", str(path), "--out", str(out), "--block-seeds", "2"])
    text = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(text.replace("discount: 0.95", "discount: 0.9"))
    before = run_folders.files(out)
    assert cli.main(["resume", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "config.yaml: train.discount: got 0.9; allowed: 0.95, with which parts of the "
        "run were trained"
    )
    assert run_folders.files(out) == before


def test_a_run_replaces_one_that_was_left_in_parts(config_file, tmp_path, monkeypatch):
    path, out = config_file(), tmp_path / "run"
    words = ["train", str(path), "--out", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run", lambda job: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            cli.main([*words, "--block-seeds", "2"])
    part = out / run_layout.PARTS / "0-1" / "shared"
    assert (part / "config.yaml").exists()
    (part / "notes").write_text("mine")
    shutil.rmtree(part / "checkpoints", ignore_errors=True)
    run_folder.create(out, "another", overwrite=True)
    assert {path.name for path in (out / run_layout.PARTS).rglob("*")} == {
        *("0-1", "shared", "notes")
    }


def chunk_line(numbers, diverged=None):
    rows = {"reward": numbers, "episodes": numbers, "truncated": numbers}
    named = {"reward_per_episode": numbers, "loss": numbers, "gradient_norm": numbers}
    return metric_records.ChunkMetrics(
        **{"arm": "mlp", "phase": "earn", "update": 3, "terms": {"entropy": numbers}},
        **{**rows, **named, "diverged": diverged},
        rewards=tuple((x, x) for x in numbers),
    )


def test_lines_are_joined_at_every_point_of_a_sweep():
    """Two points: seeds 0 and 1 of both, then seed 2 of both."""
    one = chunk_line((0.0, 1.0, 10.0, 11.0))
    other = chunk_line((2.0, None), diverged=(None, 3))
    joined = parts.join_records([one, other], [2, 1], 2)
    numbers = (0.0, 1.0, 2.0, 10.0, 11.0, None)
    assert joined == chunk_line(numbers, diverged=(None,) * 5 + (3,))
    assert parts.join_records([one], [2], 2) == one


def test_an_arm_diverges_only_where_all_its_seeds_do(config_file, tmp_path):
    """A block of a sweep whose seeds all diverged stops nobody; the whole does."""
    path = config_file(sweep={"learning_rate": [0.003, 0.001]}, num_seeds=1)
    config = training.load.read(training.load.read_file(path))
    job = training.whole_job(config, tmp_path, lambda *_: None)
    parts._raise_if_diverged(job, [chunk_line((0.0, 0.0), diverged=(None, 3))])
    with pytest.raises(divergence.Diverged, match="arm mlp, seed 0 at learning_rate"):
        parts._raise_if_diverged(job, [chunk_line((0.0, 0.0), diverged=(4, 3))])


def test_a_block_names_the_seed_that_diverged():
    failed = divergence.np.asarray([[-1], [7]])
    with pytest.raises(divergence.Diverged, match="arm mlp, seed 9, update 7"):
        divergence.raise_if_fatal({}, 2, ["mlp"], failed, first=8)
