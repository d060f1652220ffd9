"""The config of a study: the cells that it makes, and what it refuses."""

import copy
import re

import pytest
import yaml

from shardsim import cli
from shardsim.core import config, config_files, yaml_text
from shardsim.core.field_errors import ConfigError
from shardsim.evaluation import study as studies
from tests.helpers import documents

K = {"field": "arms.sharded.head.num_shards", "values": [2, 3]}
BOARD = {
    "levels": {
        "small": {"env.size": 3},
        "large": {"env": {"size": 4}, "train.discount": 0.9},
    }
}


@pytest.fixture
def write(tiny, tmp_path):
    """Writes a study of the tiny experiment beside it; fields replace its own."""

    def made(**given):
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny, sort_keys=False))
        plain = {
            "name": "small",
            "question": "?",
            "experiments": {"tiny": "tiny.yaml"},
            "axes": {"board": BOARD, "K": K},
            "settings": {"train": {"num_seeds": 3}},
        }
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump({**plain, **given}, sort_keys=False))
        return path

    return made


def built(path, *flags):
    cells = studies.cells(studies.read(path, flags))
    return cells, studies.build(cells)


def test_every_combination_is_a_cell(write):
    cells, experiments = built(write())
    assert [cell.name for cell in cells] == [
        *("board-small_K-2", "board-small_K-3", "board-large_K-2", "board-large_K-3")
    ]
    assert cells[2].label == "board large, K 2"
    got = experiments["board-large_K-3"]
    assert (got.env.size, got.train.discount, got.train.num_seeds) == (4, 0.9, 3)
    assert got.arms["sharded"].head.num_shards == 3
    assert experiments["board-small_K-2"].train.discount == 0.95


def test_several_experiments_are_an_axis(write, tiny):
    other = {**copy.deepcopy(tiny), "name": "other"}
    path = write(experiments={"tiny": "tiny.yaml", "other": other}, axes={"K": K})
    cells, experiments = built(path)
    assert [cell.name for cell in cells] == [
        *("tiny_K-2", "tiny_K-3", "other_K-2", "other_K-3")
    ]
    assert cells[2].label == "other, K 2"
    assert experiments["other_K-2"].name == "other"


def test_names_of_cells_can_be_those_of_folders(write):
    """What a folder cannot have is told apart by a digest of the levels."""
    axis = {"field": "agent.encoder.widths", "values": [[16], [16, 16]]}
    names = {"levels": {"A/b": {}, "a b": {"train.discount": 0.9}}}
    cells, _ = built(write(axes={"E": axis, "d": names}))
    folders = [cell.name for cell in cells]
    assert folders[0].startswith("E-16_d-A-b_")
    assert folders[3].startswith("E-16-16_d-a-b_")
    assert len({name.lower() for name in folders}) == 4
    assert not any("/" in name or " " in name for name in folders)


def test_combinations_are_excluded(write):
    cells, _ = built(write(exclude=[{"board": "large", "K": "3"}]))
    assert [cell.name for cell in cells] == [
        *("board-small_K-2", "board-small_K-3", "board-large_K-2")
    ]


def test_a_fraction_is_chosen_once(write):
    """The resolved study names its cells, so that no machine chooses others."""
    discount = {"field": "train.discount", "values": [0.9, 0.95]}
    axes = {"board": BOARD, "K": K, "gamma": discount}
    path = write(
        axes={**axes, "board": {"field": "env.size", "values": [3, 4]}},
        design={"kind": "fractional", "cells": 4},
    )
    study = studies.read(path)
    assert len(study.design.chosen) == 4
    again = config.build(studies.Study, config.to_dict(study))
    assert [c.name for c in studies.cells(again)] == [
        cell.name for cell in studies.cells(study)
    ]
    for axis in study.levels:
        levels = [each[axis] for each in study.design.chosen]
        assert sorted(levels) == sorted(study.levels[axis] * 2)


def test_flags_change_a_study(write):
    flags = ("--settings.train.num-seeds", "5", "--axes.K.values", "[2, 4]")
    cells, experiments = built(
        write(settings={"arms.sharded.match_params": False}), *flags
    )
    assert [cell.levels["K"] for cell in cells[:2]] == ["2", "4"]
    assert {each.train.num_seeds for each in experiments.values()} == {5}
    cells, _ = built(write(), "--axes.K", "null")
    assert len(cells) == 2


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"settings": {"train.num_seeds": 0}},
            "cells.board-small_K-2.train.num_seeds: got 0; allowed: at least 1",
        ),
        (
            {"axes": {"K": {"field": "arms.sharded.head.num_shard", "values": [1, 2]}}},
            "cells.K-1.arms.sharded.head.num_shard: unknown key; allowed: ",
        ),
        (
            {"axes": {"n": {"field": "train.phases.7.updates", "values": [1, 2]}}},
            "cells.n-1.train.phases.7: got 7; allowed: 0 to 1",
        ),
        ({"axes": {}}, "axes: got 1 combinations; allowed: 2 to 10,000"),
        (
            {"axes": {"K": {"field": "env.size"}}},
            "axes.K.values: got 0; allowed: values with a field",
        ),
        (
            {"axes": {"K": {"field": "env.size", "values": [3]}}},
            "axes.K.values: got 1; allowed: two levels or more",
        ),
        (
            {"axes": {"K": {"field": "env.size", "values": [3, 3]}}},
            "axes.K.values: got 3, 3; allowed: different ones",
        ),
        (
            {"axes": {"K": {**K, "levels": {"a": {}, "b": {}}}}},
            "axes.K.field: got none or both; allowed: field and values, or levels",
        ),
        (
            {"axes": {"experiment": K}},
            "axes: got 'experiment'; allowed: any other name, this axis are the base "
            "experiments",
        ),
        (
            {"exclude": [{"bord": "small"}]},
            "exclude.0: got axis 'bord'; allowed: board, K (did you mean board?)",
        ),
        (
            {"exclude": [{"board": "tiny"}]},
            "exclude.0.board: got 'tiny'; allowed: small, large",
        ),
        (
            {"exclude": [{"board": "small"}, {"board": "large"}]},
            "exclude: got all combinations; allowed: some",
        ),
        (
            {"design": {"kind": "fractional", "cells": 2}},
            "design.cells: got 2; allowed: 3 to 4, so that the effect of each axis can "
            "be told",
        ),
        (
            {"experiments": {"tiny": "other.yaml"}},
            "experiments.tiny: ",
        ),
        (
            {"axes": {"K": {"levels": {"a": {}, "b": {"env.size": 3}}}}},
            "axes: got the same experiment in K-a and K-b; allowed: levels that change "
            "something",
        ),
        (
            {
                "axes": {
                    "K": {
                        "field": "predictions.VE.rule.direction",
                        "values": ["less", "greater"],
                    }
                }
            },
            "cells.K-greater.predictions.VE: got another measure, contrast or "
            "direction than in K-less; allowed: the same in all cells, or another name",
        ),
    ],
)
def test_bad_studies_are_refused_in_a_line(write, given, line, capsys, tmp_path):
    out = tmp_path / "out"
    words = ["study", str(write(**given)), "--out", str(out)]
    assert cli.main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"shardsim: {line}")
    assert not out.exists()


def test_all_cells_are_checked_before_anything_is_written(write, capsys, tmp_path):
    """A fault of one cell alone, and one that only this machine has."""
    out = tmp_path / "out"
    axis = {"field": "arms.sharded.head.num_shards", "values": [2, 3, 900]}
    words = ["study", str(write(axes={"K": axis})), "--out", str(out)]
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cells.K-900.agent.value_params: got 600" in line
    huge = {"field": "evaluation.levels", "values": [4, 2**31]}
    words = ["study", str(write(axes={"levels": huge})), "--out", str(out)]
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cells.levels-2147483648.evaluation.levels" in line
    assert not out.exists()


@pytest.mark.parametrize("command", ["run", "train", "collect"])
def test_other_commands_say_that_a_study_is_one(write, command, capsys, tmp_path):
    out = tmp_path / "out.npz"
    assert cli.main([command, str(write()), "--out", str(out)]) == 2
    assert "experiments: unknown key" in capsys.readouterr().err
    assert not out.exists()


def test_a_study_in_python_names_the_field(tiny):
    study = studies.Study(
        name="s",
        question="?",
        experiments={"tiny": "tiny.yaml"},
        axes={"K": studies.Axis(**K)},
    )
    with pytest.raises(ConfigError, match=r"experiments.tiny: got the file tiny.yaml"):
        studies.cells(study)


@pytest.mark.skipif(not documents.DOCS.exists(), reason="no docs beside the tests")
def test_the_axes_of_the_how_to_page_make_cells():
    (text,) = re.findall(
        r"```text\n(axes:.*?)```",
        (documents.DOCS / "how-to/study.md").read_text(),
        re.S,
    )
    quickstart = config_files.read_yaml(documents.ROOT / "experiments/quickstart.yaml")
    data = {"name": "s", "question": "?", "experiments": {"quickstart": quickstart}}
    study = config.build(studies.Study, {**data, **yaml_text.load(text)})
    experiments = studies.build(studies.cells(study))
    assert len(experiments) == study.design.cells
    assert set(study.levels) == {"K", "contexts", "encoder", "width", "acting"}
