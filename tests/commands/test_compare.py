"""`shardsim compare`: tables in the terminal, and a page with overlaid curves."""

import re
import shutil

import numpy as np
import pytest
import yaml

from shardsim import cli
from shardsim.reports import differences
from shardsim.reports.charts import overlay, render
from shardsim.reports.verdicts import comparison


@pytest.fixture(scope="module")
def other_run(tiny_run, tmp_path_factory):
    """A copy of the small run whose config has another arm and no prediction."""
    folder = tmp_path_factory.mktemp("other") / "run <b>"
    shutil.copytree(tiny_run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["arms"]["film"] = config["arms"]["mlp"]
    config["arms"]["sharded"]["head"]["num_shards"] = 3
    config["train"]["td_lambda"] = 0.5
    config["predictions"] = {}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


def test_what_differs_is_one_table_without_python(tiny_run, other_run, capsys):
    assert cli.main(["compare", str(tiny_run), str(other_run)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) < 60
    assert not re.search(r"\{'|': |None|True", text)
    assert sum("field that differs" in line for line in lines) == 1
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert rows["train.td_lambda"] == ["0.9", "0.5"]
    assert rows["arms.sharded.head.num_shards"] == ["2", "3"]
    assert rows["arms.film"][:2] == ["-", "{head:"]
    assert rows["predictions.VE"][-1] == "-"
    # the verdicts stand side by side, with effects, intervals and units
    assert (
        len(re.findall(r"[-+]\d\.\d{3} \[[-+]\d\.\d{3}, [-+]\d\.\d{3}\] sd", text)) == 2
    )


def test_values_are_written_as_yaml_would_have_them():
    a = {"x": 1, "flag": True, "none": None, "list": [1, [2.5]], "long": {}}
    b = {"x": 2, "flag": False, "none": "a\nb", "list": [], "entry": {"kind": "x" * 99}}
    rows = {row.field: row.values for row in differences.of_configs([a, b, a])}
    assert rows["x"] == ("1", "2", "1")
    assert rows["flag"] == ("true", "false", "true")
    assert rows["none"] == ("-", "a b", "-")
    assert rows["list"] == ("[1, [2.5]]", "[]", "[1, [2.5]]")
    assert rows["entry"][0] == "-"
    assert len(rows["entry"][1]) == differences.LONGEST
    assert differences.of_configs([a, a]) == []
    near = differences.of_configs([{"rate": 0.1}, {"rate": 0.1 + 1e-9}])[0].values
    assert near[0] != near[1]


def test_a_page_overlays_the_curves_and_is_never_written_over(
    tiny_run, other_run, tmp_path, capsys
):
    out = tmp_path / "compare.html"
    words = ["compare", str(tiny_run), str(other_run), "--out", str(out)]
    assert cli.main(words) == 0
    assert str(out) in capsys.readouterr().out
    page = out.read_text()
    assert "run &lt;b&gt;" in page
    assert "<b>" not in page
    assert "train.td_lambda" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|srcset|href)=[\"'](?!data:)", page)
    before = out.read_bytes()
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "out:" in line
    assert "exists" in line
    assert out.read_bytes() == before


@pytest.mark.parametrize("place", ["", "file/page.html"])
def test_a_page_needs_a_place_for_a_file(tiny_run, tmp_path, capsys, place):
    (tmp_path / "file").write_text("no folder")
    assert cli.main(["compare", str(tiny_run), "--out", str(tmp_path / place)]) == 2
    assert capsys.readouterr().out == ""


def curve(*rows, first=3):
    updates = tuple(range(first, first + len(rows)))
    return overlay.Curve(updates, np.asarray(rows, float))


def test_overlaid_rows_are_means_and_ranges_over_seeds_by_run():
    by_run = {
        "one": curve([1.0, 3.0], [2.0, np.nan]),
        "two": curve([np.nan, np.nan], [5.0, 7.0]),
    }
    assert overlay.rows_of(by_run) == [
        {"run": "one", "update": 3, "mean": 2.0, "low": 1.0, "high": 3.0},
        {"run": "one", "update": 4, "mean": 2.0, "low": 2.0, "high": 2.0},
        {"run": "two", "update": 4, "mean": 6.0, "low": 5.0, "high": 7.0},
    ]
    svg = render.svg(overlay.training({"return": {"mlp": by_run}}, 330))["light"]
    for text in ("one", "two", "mlp", "updates after update 3"):
        assert f">{text}<" in svg


def test_arms_that_several_runs_have_are_overlaid():
    one = curve([1.0])
    metrics = {"return": {"mlp": {"a": one, "b": one}, "film": {"b": one}}}
    assert comparison.shared(metrics) == (
        {"return": {"mlp": {"a": one, "b": one}}},
        True,
    )
    alone = {"return": {"mlp": {"a": one}, "film": {"b": one}}}
    assert comparison.shared(alone) == (alone, False)


def test_where_no_seed_has_a_number_nothing_is_drawn():
    assert not overlay.has_rows({"return": {"mlp": {"a": curve([np.nan])}}})
    assert overlay.has_rows({"return": {"mlp": {"a": curve([np.nan, 1.0])}}})


@pytest.mark.slow
def test_trainings_are_overlaid_by_what_they_earn(training_yaml, tmp_path, capsys):
    folder = tmp_path / "trained"
    assert cli.main(["train", str(training_yaml()), "--out", str(folder)]) == 0
    again, out = tmp_path / "again", tmp_path / "page.html"
    shutil.copytree(folder, again)
    assert cli.main(["compare", str(folder), str(again), "--out", str(out)]) == 0
    assert "Verdicts" not in out.read_text()
    capsys.readouterr()


def test_a_run_is_not_compared_with_itself(tiny_run, tmp_path, capsys):
    """The table had two columns of it and the page one."""
    link = tmp_path / "link"
    link.symlink_to(tiny_run)
    for other in (tiny_run, link):
        words = [
            "compare",
            str(tiny_run),
            str(other),
            "--out",
            str(tmp_path / "p.html"),
        ]
        assert cli.main(words) == 2
        out, error = capsys.readouterr()
        assert error == (
            f"shardsim: runs: got {other} twice; allowed: different runs\n"
        )
        assert out == ""
    assert not (tmp_path / "p.html").exists()
