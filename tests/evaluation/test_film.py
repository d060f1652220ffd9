"""What a finished run keeps: the same page and later judgements, nothing twice."""

import json
import shutil

import numpy as np
import pytest
import yaml

from shardsim import cli
from shardsim.evaluation import battery, film, load, results
from shardsim.evaluation.battery import EvaluationConfig
from shardsim.storage import checkpoint_files, run_files, snapshots, trained
from shardsim.training import loop


def copied(folder, tmp_path, change=None):
    """A copy of a run whose config says something else."""
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    if change is not None:
        change(config)
    (copy / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return copy


def all_files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def kept(folder, arm="sharded"):
    """By update, what a snapshot keeps."""
    return {
        update: snapshots.keeps_values(
            run_files.read_arrays(snapshots.place(folder, arm, update))
        )
        for update in snapshots.updates(folder, arm)
    }


def page(folder, out, *words):
    assert cli.main(["inspect", str(folder), "--out", str(out), "--quick", *words]) == 0
    found = json.loads(out.with_suffix(".results.json").read_text())
    return {name: found[name] for name in found if name not in ("about", "seconds")}


@pytest.fixture(scope="module")
def full_run(tiny_unfinished, tmp_path_factory):
    """The tiny run with E, D and V of all snapshots."""

    def full(config):
        config["train"]["snapshots"] = "full"

    folder = copied(tiny_unfinished, tmp_path_factory.mktemp("full"), full)
    assert cli.main(["resume", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_a_finished_run_keeps_outputs_or_agents_as_its_config_says(tiny_run, full_run):
    assert kept(tiny_run) == {3: True, 4: True, 6: True}
    assert kept(full_run) == {3: False, 4: False, 6: False}
    for arm in ("mlp", "sharded"):
        one, other = (trained.place(run, arm) for run in (tiny_run, full_run))
        assert one.read_bytes() == other.read_bytes()
    one, other = (results.read_run(run) for run in (tiny_run, full_run))
    assert one.predictions == other.predictions
    assert one.curves == other.curves


@pytest.mark.slow
def test_the_page_is_the_same(tiny_run, full_run, tmp_path):
    """Of outputs that were kept, and of agents that are evaluated again."""
    mine = page(tiny_run, tmp_path / "values.html")
    whole = page(full_run, tmp_path / "full.html")
    assert [side["updates"] for side in mine["sides"]] == [[3, 4, 6, 13]] * 2
    alike(mine, whole)


def alike(one, other):
    """The same but for rounding: outputs were computed in another program."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            alike(one[name], other[name])
    elif isinstance(one, list) and one and isinstance(one[0], dict | list | str):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            alike(a, b)
    elif isinstance(one, list | float):
        numbers = (np.asarray(x, np.float64) for x in (one, other))
        np.testing.assert_allclose(*numbers, rtol=1e-4, atol=1e-5)
    else:
        assert one == other


def test_levels_that_were_not_kept_are_left_out_and_said(tiny_run, tmp_path, capsys):
    """The last update is evaluated anywhere."""

    def elsewhere(config):
        config["evaluation"]["seed"] = 1

    folder = copied(tiny_run, tmp_path, elsewhere)
    found = page(folder, tmp_path / "page.html")
    assert [side["updates"] for side in found["sides"]] == [[13], [13]]
    assert "3 checkpoints of mlp are left out: their outputs are kept in" in (
        capsys.readouterr().err
    )


def test_fewer_mazes_are_the_first_of_more(tiny_run):
    """So a page of few mazes finds them among those that are kept."""
    experiment = load.load(tiny_run)

    condition = battery.build(
        experiment.env, experiment.env.params(), experiment.evaluation, 0.9
    )

    def showing(*contexts):
        seen = np.asarray(contexts, np.float32)[:, None, None]
        return condition._replace(context=np.concatenate([seen, 1 - seen], axis=-1))

    conditions = {"a": showing(0, 0, 1), "b": showing(1, 1), "c": showing(0)}
    most = film.mazes(conditions, film.MOST_MAZES)
    assert len(most) == 6  # there are no more
    for number in range(1, 7):
        few = film.mazes(dict(list(conditions.items())[: max(number, 1)]), number)
        assert set(few) <= set(most)
    assert film.conditions(experiment, 4) == ("in_distribution",)


def test_a_level_is_known_by_what_it_follows_from():
    evaluation, mazes = EvaluationConfig(levels=4), (film.Maze("a", 3),)

    def ids(config=evaluation, **fields):
        return film.level_ids(config, {"a": fields}, mazes)

    assert ids() == ids()
    assert ids(size=3) != ids() != ids(EvaluationConfig(levels=5))
    assert ids(EvaluationConfig(levels=4, seed=2)) != ids()


def test_a_damaged_film_is_named(tiny_run, tmp_path):
    path = snapshots.place(tiny_run, "sharded", 4)
    arrays = run_files.read_arrays(path)
    ids = arrays[film.LEVELS].tolist()
    outputs = film.outputs_of(path, arrays, ids[:1], 100)
    assert outputs.value.shape == (2, 1, 100)
    assert film.outputs_of(path, arrays, ["another"], 100) is None
    for broken in ({film.STATE: arrays[film.STATE] + 1000}, {film.LEVEL: np.zeros(2)}):
        with pytest.raises(run_files.RunError, match=r"0000004\.npz: damaged"):
            film.outputs_of(path, {**arrays, **broken}, ids, 100)


def test_a_rule_that_changes_is_judged_again_without_training(
    tiny_run, tmp_path, capsys, monkeypatch
):
    def stricter(config):
        config["predictions"]["VE"]["rule"]["margin"] = 0.9

    folder = copied(tiny_run, tmp_path, stricter)
    monkeypatch.setattr(loop, "_train", None)
    assert cli.main(["resume", str(folder)]) == 0
    before, after = (results.read_run(run) for run in (tiny_run, folder))
    assert after.predictions["VE"].rule.margin == 0.9
    assert after.predictions["VE"].effect == before.predictions["VE"].effect
    assert after.curves == before.curves
    assert cli.main(["report", str(folder)]) == 0


def test_a_judgement_of_agents_that_were_not_kept_is_refused(
    tiny_run, full_run, tmp_path, capsys
):
    """A phase is read of a run that keeps its agents, as one does that is told to."""

    def look_back(config):
        config["min_return_phase"] = "look"

    folder = copied(tiny_run, tmp_path / "values", look_back)
    before = all_files(folder)
    assert cli.main(["resume", str(folder)]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "0000003.npz: keeps outputs of the agents at the end of phase 'look'" in line
    assert "with train.snapshots full" in line
    assert all_files(folder) == before
    folder = copied(full_run, tmp_path / "full", look_back)
    assert cli.main(["resume", str(folder)]) == 0
    assert results.read_run(folder).min_return_phase == "look"


@pytest.mark.slow
def test_what_a_phase_reading_needs_is_kept(tiny_unfinished, tmp_path):
    def look_back(config):
        config["min_return_phase"] = "look"

    folder = copied(tiny_unfinished, tmp_path, look_back)
    assert cli.main(["resume", str(folder)]) == 0
    assert kept(folder) == {3: False, 4: True, 6: True}
    assert cli.main(["resume", str(folder)]) == 0  # it can be read again
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["min_return_phase"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert cli.main(["resume", str(folder)]) == 0  # and another time, if asked again
    assert kept(folder) == {3: False, 4: True, 6: True}


@pytest.mark.slow
@pytest.mark.parametrize("place", ["values", "checkpoints"])
def test_a_kill_while_a_run_is_thinned_out_loses_nothing(
    tiny_run, tiny_unfinished, tmp_path, monkeypatch, place
):
    folder = copied(tiny_unfinished, tmp_path)
    calls = []

    def killed(*args):
        calls.append(args)
        if len(calls) == 2:
            raise SystemExit
        return write(*args)

    with monkeypatch.context() as patch:
        module, name = {
            "values": (snapshots, "write_values"),
            "checkpoints": (checkpoint_files, "remove"),
        }[place]
        write = getattr(module, name)
        patch.setattr(module, name, killed)
        with pytest.raises(SystemExit):
            cli.main(["resume", str(folder)])
    assert cli.main(["resume", str(folder)]) == 0
    # a resumed run has its own times, and its lines in another order
    skipped = {"metrics.jsonl", "metrics.npz", "run_files.jsonl", "timing.json"}
    mine, whole = all_files(folder), all_files(tiny_run)
    assert mine.keys() == whole.keys()
    for name in mine.keys() - skipped - {"config.yaml"}:
        assert mine[name] == whole[name], name
    lines = (set(files["metrics.jsonl"].splitlines()) for files in (mine, whole))
    assert next(lines) == next(lines)


@pytest.mark.slow
def test_files_of_the_user_stay(tiny_unfinished, tmp_path):
    folder = copied(tiny_unfinished, tmp_path)
    mine = {
        "snapshots/mlp/0000005.npz": b"mine",
        "snapshots/mlp/notes.txt": b"mine",
        "checkpoints/notes.txt": b"mine",
    }
    for name, text in mine.items():
        (folder / name).write_bytes(text)
    assert cli.main(["resume", str(folder)]) == 0
    assert {name: (folder / name).read_bytes() for name in mine} == mine


def test_weights_of_another_config_or_hand_are_refused(tiny_run, tmp_path, capsys):
    """In one line, and nothing is written; a new arm trains alone."""

    def longer(config):
        config["train"]["td_lambda"] = 0.5

    folder = copied(tiny_run, tmp_path / "config", longer)
    before = all_files(folder)
    assert cli.main(["resume", str(folder)]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "arm 'untrained' was trained to the end with another config" in line
    assert all_files(folder) == before
    folder = copied(tiny_run, tmp_path / "weights")
    path = trained.place(folder, "mlp")
    np.savez(path, **run_files.read_arrays(path))
    assert cli.main(["resume", str(folder)]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line == (
        f"shardsim: {path}: was changed since the run wrote it; allowed: the file as "
        "the run wrote it, or a new run"
    )


@pytest.mark.slow
def test_an_arm_that_is_added_to_a_finished_run_trains_alone(
    tiny_run, tmp_path, capsys
):
    def one_more(config):
        config["arms"]["copy"] = config["arms"]["mlp"]

    folder = copied(tiny_run, tmp_path, one_more)
    assert cli.main(["resume", str(folder)]) == 0
    assert "mlp: phase" not in capsys.readouterr().err
    added, first = (
        run_files.read_arrays(trained.place(folder, arm)) for arm in ("copy", "mlp")
    )
    for name, leaf in first.items():
        np.testing.assert_array_equal(leaf, added[name])
