"""Trackers show what metrics.jsonl has, and never stop a run."""

import dataclasses
import importlib
import json
import shutil
import sys

import numpy as np
import pytest

import shardsim
from shardsim import cli
from shardsim.commands import trackers
from shardsim.core import config as configs
from shardsim.evaluation import results
from shardsim.storage import run_layout


@pytest.fixture
def finished(tiny_run, tmp_path):
    """A copy of the small run, and its config with other trackers."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    config = shardsim.load(folder).config

    def following(*names):
        return trackers.following(dataclasses.replace(config, log=names), folder)

    return folder, following


class Fake:
    """Remembers what it is shown, and fails where it is told to."""

    def __init__(self, *, fails=None):
        self.fails, self.lines, self.end = fails, [], None

    def log(self, arm, update, numbers):
        self.lines.append((arm, update, numbers))
        if self.fails == "log":
            raise OSError("no network\nat all")

    def finish(self, texts, final, figures):
        self.end = texts, final, figures
        if self.fails == "finish":
            raise ValueError("no more")

    def close(self):
        if self.fails == "close":
            raise RuntimeError("cannot close")


def use(monkeypatch, fake, name="wandb"):
    monkeypatch.setitem(trackers._KINDS, name, lambda *_: fake)
    return fake


def test_a_tracker_is_shown_every_line_once(finished, monkeypatch):
    folder, following = finished
    fake = use(monkeypatch, Fake())
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    with following("wandb") as follower:
        path.write_text("".join(lines[:4]) + lines[4][:20])  # one is half written
        follower.update()
        assert len(fake.lines) == 4
        path.write_text("".join(lines[:2]))  # resumed: the last lines come again
        follower.update()
        path.write_text("".join(lines))
        follower.finish(results.read(folder))
    assert len(fake.lines) == len(lines)
    row = json.loads(lines[0])
    arm, update, numbers = fake.lines[0]
    assert (arm, update) == (row["arm"], row["update"])
    np.testing.assert_allclose(numbers["train/reward"], row["reward"])
    assert numbers["train/env_steps"] == [row["update"] * 16]  # 4 environments x 4
    texts, final, figures = fake.end
    assert "| VE |" in texts["verdicts"]
    prediction = results.read(folder).predictions["VE"]
    assert not prediction.is_valid
    assert final["VE/verdict"] == f"{prediction.verdict} (no claim stands)"
    assert final["mlp/return_fraction"] > 0
    assert all(content.startswith(b"\x89PNG") for content in figures.values())
    assert {"effects", "curves"} <= figures.keys()


@pytest.mark.parametrize("place", ["log", "finish", "close"])
def test_one_that_fails_is_left_out_and_the_others_go_on(
    place, finished, monkeypatch, capsys
):
    folder, following = finished
    bad, good = use(monkeypatch, Fake(fails=place)), Fake()
    use(monkeypatch, good, "tensorboard")
    with following("wandb", "tensorboard") as follower:
        follower.finish(results.read(folder))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("shardsim: log: wandb is left out, and the run goes on: ")
    assert good.end is not None
    assert len(bad.lines) == (1 if place == "log" else len(good.lines))


@pytest.mark.parametrize("name", sorted(trackers.EXTRA))
def test_one_that_is_not_installed_is_one_line(name, finished, monkeypatch, capsys):
    folder, following = finished
    for module in ("wandb", "tensorboardX"):
        monkeypatch.setitem(sys.modules, module, None)
    with following(name) as follower:
        follower.finish(results.read(folder))
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f'pip install "shardsim[{name}]"' in said


def test_no_tracker_is_asked_for_and_none_is_imported(finished):
    folder, following = finished
    with following() as follower:
        follower.finish(results.read(folder))
    assert not (folder / run_layout.TRACKERS).exists()


def test_an_unknown_tracker_is_refused(tiny_yaml, tmp_path, capsys):
    words = ["run", str(tiny_yaml), "--out", str(tmp_path / "new"), "--log", "[mlflow]"]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "log.0: got 'mlflow'; allowed: 'tensorboard' or 'wandb'" in error
    assert not (tmp_path / "new").exists()


def test_trackers_are_no_part_of_what_results_depend_on(tiny_yaml):
    config = shardsim.config(tiny_yaml)
    logged = shardsim.config(tiny_yaml, log=["wandb"])
    assert configs.digest(config) == configs.digest(logged)
    assert configs.digest(config) != configs.digest(
        shardsim.config(tiny_yaml, name="b")
    )


def test_tensorboard_has_the_means_the_seeds_and_the_verdicts(finished):
    pytest.importorskip("tensorboardX")
    folder, following = finished
    accumulator = importlib.import_module(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    for _ in range(2):  # a resumed run shows all of it anew, and nothing twice
        with following("tensorboard") as follower:
            follower.finish(results.read(folder))
    place = folder / run_layout.TRACKERS / "tensorboard"

    def events(run):
        read = accumulator.EventAccumulator(str(place / run))
        read.Reload()
        return read

    table = shardsim.load(folder).metrics()
    is_metric = (table["arm"] == "mlp") & (table["metric"] == "value_error")
    mean = {
        update: table["value"][is_metric & (table["update"] == update)].mean()
        for update in np.unique(table["update"][is_metric])
    }
    shown = events("mlp").Scalars("evaluation/value_error")
    assert [event.step for event in shown] == sorted(mean)
    for event in shown:
        assert event.value == pytest.approx(mean[event.step], rel=1e-5)
    seed = events("mlp/seed_1").Scalars("evaluation/value_error")
    wanted = table["value"][is_metric & (table["seed"] == 1)]
    np.testing.assert_allclose([event.value for event in seed], wanted, rtol=1e-5)
    run = events("run")
    assert "verdicts/text_summary" in run.Tags()["tensors"]
    assert {"effects", "curves"} <= set(run.Tags()["images"])


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_an_offline_run(finished, monkeypatch, capsys):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder, following = finished
    with following("wandb") as follower:
        follower.finish(results.read(folder))
        summary = dict(follower.trackers["wandb"].run.summary)
    assert "left out" not in capsys.readouterr().err
    place = folder / run_layout.TRACKERS
    token = (place / "wandb_run_2.txt").read_text()
    (run,) = (place / "wandb").glob(f"offline-run-*-{token}")
    content = (run / f"run-{token}.wandb").read_bytes()
    assert b"value_error" in content
    result = results.read(folder)
    verdict = result.predictions["VE"].verdict
    assert summary["final/VE/verdict"] == f"{verdict} (no claim stands)"
    mean = result.arms["mlp"].mean_value_error
    assert summary["mlp/evaluation/value_error"] == pytest.approx(mean)
    assert summary["mlp/train/env_steps"] == 13 * 16
    assert list((run / "files/media/images/figures").glob("effects*.png"))
