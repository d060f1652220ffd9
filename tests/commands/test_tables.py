"""Tables for a terminal: names as they are, dashes for what is no number."""

import shutil

from shardsim.commands import tables
from shardsim.storage import run_folder

NAME = "[/red] [bold] :smile:"


def test_names_are_no_markup_and_an_optimum_of_nothing_is_a_dash(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    results = run_folder.read_json(folder / "results.json")
    results["predictions"] = {NAME: results["predictions"]["VE"]}
    results["arms"]["mlp"]["mean return fraction"] = None
    run_folder.write_json(folder / "results.json", results)
    for told in (tables.table(results), tables.side_by_side([folder])):
        assert all(word in told for word in NAME.split())
        row = next(line for line in told.splitlines() if "mlp" in line)
        assert row.split()[1] == "-"


def test_trainings_are_set_side_by_side_by_what_they_earned(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, mean in zip(folders, (0.25, None), strict=True):
        run_folder.create(folder, "name: a\n", overwrite=False)
        told = {"arms": {"mlp": {"mean": mean}}, "predictions": {}}
        run_folder.write_json(folder / "results.json", told)
    lines = tables.side_by_side(folders).splitlines()
    row = next(line for line in lines if "mlp" in line)
    assert row.split() == ["mlp", "0.250", "reward", "per", "episode", "-"]
    # nothing of what they do not know
    assert not any(w in line for line in lines for w in ("optimum", "prediction"))
