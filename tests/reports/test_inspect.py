"""The page as a file: its numbers, its size, names from files, and edge cases."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import yaml

from shardsim import cli
from shardsim.evaluation import results
from shardsim.reports.charts import render
from shardsim.reports.explorer import data, html, load, make
from shardsim.reports.explorer.panels import base, truth
from shardsim.storage import run_files
from tests.helpers.explorer_page import data_of, numbers, same


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Pages are written where the user is, and one of theirs may be there already."""
    monkeypatch.chdir(tmp_path)


def changed(tiny_run, tmp_path, change):
    """A copy of the run whose config says something else."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


def test_every_number_of_the_page_is_in_the_results(tiny_page):
    same(data_of(tiny_page), numbers(tiny_page))


def test_contributions_add_up_and_the_value_is_that_of_the_run(tiny_page, tiny_run):
    found = numbers(tiny_page)
    maps = run_files.read_arrays(tiny_run / "maps.npz")
    place = f"in_distribution/{found['mazes'][0]['level']}"
    cell = np.asarray(found["boards"]["state_at"][0])
    for side in found["sides"]:
        outputs = {name: np.asarray(x) for name, x in side["outputs"].items()}
        whole = (outputs["gates"] * outputs["shard_values"]).sum(axis=-1)
        np.testing.assert_allclose(whole, outputs["value"], atol=1e-5)
        mine = outputs["value"][-1, 0, 0][cell]
        wanted = maps[f"{side['arm']}/{place}/value"]
        np.testing.assert_allclose(mine[cell >= 0], wanted[cell >= 0], atol=1e-5)
    exact = np.asarray(found["boards"]["optimal"])[0][cell]
    np.testing.assert_allclose(
        exact[cell >= 0], maps[f"{place}/optimal"][cell >= 0], atol=1e-6
    )


def metrics_of(side):
    return side["panels"]["curves"]["metrics"]


def test_the_curves_end_where_the_run_measured(tiny_page, tiny_run):
    """16 levels at most; this run has 4, so that means are over the same ones."""
    curves = results.read_run(tiny_run).curves
    for side in numbers(tiny_page)["sides"]:
        np.testing.assert_allclose(
            metrics_of(side)["return"],
            curves[side["arm"]].return_fraction,
            rtol=1e-4,
        )
        assert tuple(side["updates"]) == curves[side["arm"]].update


def test_the_run_s_verdicts_are_those_of_its_report(tiny_page, tiny_run):
    (told,) = numbers(tiny_page)["verdicts"]
    entry = results.read_run(tiny_run).predictions["VE"]
    assert told["name"] == "VE"
    reason = "no claim stands: return of mlp, sharded too low"
    assert told["verdict"] == f"{entry.verdict}; {reason}"
    assert told["controls"] == "return too low"


def test_it_is_offline_and_small(tiny_page):
    text = tiny_page.read_text()
    assert len(text.encode()) < html.MOST_BYTES
    # a browser that keeps to it asks nobody for anything, whatever scripts try
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)[1]
    sources = dict(part.split(" ", 1) for part in policy.split("; "))
    assert sources.pop("default-src") == "'none'"
    assert sources.pop("img-src") == "data: blob:"
    assert all("http" not in allowed for allowed in sources.values())
    # the library that draws charts is as it was installed; the rest is the page's own
    library = re.search(r'<script id="library">(.*?)</script>', text, re.DOTALL)[1]
    assert library == render.library()
    text = text.replace(library, "")
    addresses = set(re.findall(r"https?://[\w./-]+", text))
    assert addresses <= {"https://vega.github.io/schema/vega/v6.json"}
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", text)
    assert "@import" not in text
    assert "innerHTML" not in text


def test_names_from_files_are_escaped(tiny_run, tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

    def rename(config):
        config["question"] = evil
        config["arms"] = {
            "mlp": config["arms"]["mlp"],
            "sharded": config["arms"]["sharded"],
        }

    folder = changed(tiny_run, tmp_path, rename)
    page = data.compute(load.load([folder], None, 1, 1), data.Clock(), quick=True)
    page.seconds["all"] = 0.0
    (run,) = page.about.runs
    about = dataclasses.replace(
        page.about, runs=[dataclasses.replace(run, name=evil, versions={evil: evil})]
    )
    first = dataclasses.replace(page.sides[0], arm=evil, unusual={evil: evil})
    sides = [first, *page.sides[1:]]
    text = html.html(dataclasses.replace(page, about=about, sides=sides))
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert text.count("</script>") == 4
    assert "&lt;/script&gt;" in text  # the title


@pytest.mark.parametrize("arms", [["sharded"], ["mlp"], ["untrained", "sharded"]])
@pytest.mark.slow
def test_one_shard_one_checkpoint_one_seed_one_side(tiny_run, tmp_path, arms):
    def one(config):
        config["train"]["num_seeds"] = 1

    folder = changed(tiny_run, tmp_path, one)
    for file in (folder / "weights").glob("*.npz"):
        run_files.write_arrays(
            file, {k: v[:1] for k, v in run_files.read_arrays(file).items()}
        )
    out = tmp_path / "page.html"
    make.inspect([folder], out, arms=arms, mazes=1, checkpoints=1, quick=True)
    found = numbers(out)
    assert [side["arm"] for side in found["sides"]] == arms
    assert all(len(side["updates"]) == 1 for side in found["sides"])
    # no other seed to compare
    assert found["comparison"][-1]["sides"][0]["estimate"] is None


@pytest.mark.slow
def test_two_runs_stand_side_by_side(tiny_run, tmp_path, capsys):
    def other(config):
        config["train"]["td_lambda"] = 0.5
        config["arms"]["sharded"]["head"]["td_error"] = "per_shard"

    folder = changed(tiny_run, tmp_path, other)
    out, results = tmp_path / "two.html", tmp_path / "numbers.json"
    words = ["inspect", str(tiny_run), str(folder), "--out", str(out)]
    assert cli.main([*words, "--results", str(results), "--mazes", "1", "--quick"]) == 0
    found = json.loads(results.read_text())
    assert [side["arm"] for side in found["sides"]] == ["sharded", "sharded"]
    difference = {"field": "train.td_lambda", "a": "0.9", "b": "0.5"}
    assert difference in found["about"]["differences"]
    mine, theirs = (side["unusual"] for side in found["sides"])
    assert theirs == {**mine, "td_error": "per_shard"} != mine
    assert "MB in" in capsys.readouterr().out


def test_a_page_that_is_too_big_shows_fewer_checkpoints(
    tiny_run, tiny_page, tmp_path, monkeypatch
):
    monkeypatch.setattr(html, "MOST_BYTES", tiny_page.stat().st_size - 5_000)
    out = tmp_path / "page.html"
    make.inspect([tiny_run], out, quick=True)
    found = numbers(out)["sides"][0]
    whole = len(list((tiny_run / "snapshots" / "mlp").iterdir())) + 1
    assert found["num_left_out"] == whole - len(found["updates"]) > 0
    assert len(metrics_of(found)["return"]) == len(found["updates"])
    assert found["updates"][-1] == 13


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arms", "nobody"], "arms: got 'nobody'; allowed in"),
        (["--arms", "mlp", "mlp", "mlp"], "arms: got 3; allowed: 1 or 2"),
        (["--mazes", "0"], "mazes: got 0; allowed: at least 1"),
        (["--checkpoints", "0"], "checkpoints: got 0; allowed: at least 1"),
    ],
)
def test_bad_input_is_one_line(tiny_run, tmp_path, capsys, words, said):
    out = tmp_path / "page.html"
    assert cli.main(["inspect", str(tiny_run), "--out", str(out), *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not out.exists()


def refused(capsys, *words):
    assert cli.main(["inspect", *map(str, words)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert "no run here" in refused(capsys, tmp_path)


@pytest.mark.parametrize("field", ["out", "results"])
@pytest.mark.parametrize("name", ["results.json", "config.yaml", "weights/mlp.npz"])
def test_a_run_s_own_files_are_never_touched(tiny_run, capsys, field, name):
    before = (tiny_run / name).read_bytes()
    line = refused(capsys, tiny_run, f"--{field}", tiny_run / name)
    assert f"{field}: got {tiny_run / name}, which is the run's own" in line
    assert (tiny_run / name).read_bytes() == before


def test_where_a_page_cannot_be_is_told_before_it_is_made(tiny_run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "out: got" in refused(capsys, tiny_run, "--out", tmp_path / "file" / "page")
    for folder in (tmp_path, tiny_run, tiny_run / "weights"):
        line = refused(capsys, tiny_run, "--out", folder)
        assert f"out: got {folder}, a folder; allowed: a file" in line
    same = ["--out", tmp_path / "one", "--results", tmp_path / "one"]
    assert "another file than out" in refused(capsys, tiny_run, *same)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_runs_that_differ_in_what_is_exact_are_refused(tiny_run, tmp_path, capsys):
    def other(config):
        config["env"]["max_steps"] = 9

    folder = changed(tiny_run, tmp_path / "world", other)
    assert "differs in max_steps" in refused(capsys, tiny_run, folder)

    def short(config):
        config["train"]["discount"] = 0.5

    folder = changed(tiny_run, tmp_path / "discount", short)
    assert "a run that differs in discount; all" in refused(capsys, tiny_run, folder)


def test_a_run_with_a_grid_is_refused(tiny_run, tmp_path, capsys):
    """Its elements are no seeds, and they need not act alike."""

    def gridded(config):
        for field in config.keys() - {"name", "env", "agent", "arms", "train"}:
            del config[field]
        config["train"]["sweep"] = {"td_lambda": [0.0, 1.0]}

    folder = changed(tiny_run, tmp_path, gridded)
    assert "train.sweep: got values; allowed: none on a page" in refused(capsys, folder)


def test_snapshots_of_other_seeds_are_named(tiny_run, tmp_path, capsys):
    folder = changed(tiny_run, tmp_path, lambda config: None)
    last = folder / "weights" / "sharded.npz"
    run_files.write_arrays(
        last, {k: v[:1] for k, v in run_files.read_arrays(last).items()}
    )
    assert f"{last.name}: 1 seeds; allowed: 2" in refused(capsys, folder)


def test_arms_of_an_unfinished_run_are_set_side_by_side_where_both_are(
    tiny_unfinished, tmp_path
):
    folder = changed(tiny_unfinished, tmp_path, lambda config: None)
    files = sorted((folder / "snapshots" / "sharded").glob("*.npz"))
    files[-1].unlink()
    found = load.load([folder], ["mlp", "sharded"], 1, None)
    a, b = (side.updates for side in found.sides)
    assert a == b == tuple(int(file.stem) for file in files[:-1])
    alone = load.load([folder], ["mlp"], 1, None)
    assert alone.sides[0].updates[-1] == int(files[-1].stem)
    for file in files[1:-1]:
        file.unlink()  # of an arm that has only just begun
    found = load.load([folder], ["mlp", "sharded"], 1, None)
    assert [side.updates for side in found.sides] == [(int(files[0].stem),)] * 2
    beside = load.load([folder], ["mlp", "untrained"], 1, None)
    assert len(beside.sides[0].updates) == len(files)


def test_a_panel_says_which_of_its_fits_have_not_converged(tiny_run):
    """In words on the page, in its own section, with the side and the seeds."""
    inputs = load.load([tiny_run], None, 1, 1)
    page = data.compute(inputs, data.Clock(), quick=True)
    page.seconds["all"] = 1.0
    assert "Not converged" not in html.html(page)
    stopped = base.Fits("restart of <CCS>", 24, 5, [0, 1])
    other = base.Fits("restart of <CCS>", 24, 1, [1])
    fine = base.Fits("grouping", 2, 0, [])
    panels = [truth_panel([fine, stopped]), truth_panel([other])]
    sides = [
        dataclasses.replace(side, panels={**side.panels, "truth": panel})
        for side, panel in zip(page.sides, panels, strict=True)
    ]
    text = html.html(dataclasses.replace(page, sides=sides))
    section = text[text.index('<section id="truth"') :]
    section = section[: section.index("</section>")]
    plain = " ".join(re.sub("<[^>]*>", "", section).split())
    assert (
        "Not converged. More steps may change numbers of this panel: "
        "A 5 of 24: restart of &lt;CCS&gt; (seeds 0, 1), "
        "B 1 of 24: restart of &lt;CCS&gt; (seed 1)."
    ) in plain
    assert text.count("Not converged") == 1


def truth_panel(fits):
    numbers = np.zeros((2, 12), np.float32)
    return truth.Truth(
        num_pairs=8,
        num_test_pairs=8,
        num_restarts=12,
        constant=0.2,
        losses=numbers,
        accuracy=numbers,
        random=numbers[:, :2],
        labelled=numbers[:, 0],
        answers=[None, None],
        fits=fits,
    )


@pytest.mark.long
def test_the_whole_page_of_one_seed_one_checkpoint_one_side(tiny_run, tmp_path):
    def one(config):
        config["train"]["num_seeds"] = 1

    folder = changed(tiny_run, tmp_path, one)
    for file in (folder / "weights").glob("*.npz"):
        run_files.write_arrays(
            file, {k: v[:1] for k, v in run_files.read_arrays(file).items()}
        )
    out = tmp_path / "page.html"
    make.inspect([folder], out, arms=["sharded"], mazes=1, checkpoints=1)
    found = numbers(out)
    same(data_of(out), found)
    (side,) = found["sides"]
    assert side["num_seeds"] == len(side["panels"]["concepts"]["own"]) == 1
    for name in ("weights", "truth", "tails", "interventions"):
        assert side["panels"][name], name
