"""Tables for a terminal: names as they are, dashes for what is no number."""

import dataclasses
import shutil
import sys

import pytest

from shardsim.commands import tables
from shardsim.evaluation import results
from shardsim.storage import records, run_folder
from shardsim.training.results import TrainedArm, TrainingResult

NAME = "[/red] [bold] :smile:"


def test_names_are_no_markup_and_an_optimum_of_nothing_is_a_dash(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    whole = results.read_run(folder)
    mlp = dataclasses.replace(whole.arms["mlp"], mean_return_fraction=None)
    result = dataclasses.replace(
        whole,
        predictions={NAME: whole.predictions["VE"]},
        arms={**whole.arms, "mlp": mlp},
    )
    records.write(folder / results.FILE, result)
    for told in (tables.table(result), tables.side_by_side([folder])):
        assert all(word in told for word in NAME.split())
        assert "sd of V*" in told
        row = next(line for line in told.splitlines() if "mlp" in line)
        assert row.split()[1].strip(",") == "-"


@pytest.mark.parametrize(("columns", "width"), [(70, 70), (300, 110), (20, 60)])
def test_a_table_is_as_wide_as_the_terminal_and_names_are_whole(
    tiny_run, monkeypatch, columns, width
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    whole = results.read_run(tiny_run)
    name = "no-shard-wants-it-alone"
    renamed = dataclasses.replace(whole, predictions={name: whole.predictions["VE"]})
    lines = tables.table(renamed).splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith(f"  {name} ") for line in lines)


def test_trainings_are_set_side_by_side_by_what_they_earned(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, mean in zip(folders, (0.25, None), strict=True):
        run_folder.create(folder, "name: a\n", overwrite=False)
        arm = TrainedArm(
            reward_per_episode=(mean,),
            mean_reward_per_episode=mean,
            point_mean_reward_per_episode=(mean,),
            diverged=(None,),
        )
        training = TrainingResult(
            name="a", digest="", num_seeds=1, sweep=({},), arms={"mlp": arm}
        )
        records.write(folder / results.FILE, training)
    lines = tables.side_by_side(folders).splitlines()
    row = next(line for line in lines if "mlp" in line)
    assert row.split() == ["mlp", "0.250", "reward", "per", "episode", "-"]
    # nothing of what they do not know
    assert not any(w in line for line in lines for w in ("optimum", "prediction"))
