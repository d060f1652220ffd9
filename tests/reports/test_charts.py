"""Charts hold the numbers that they are given, whatever names a config may hold."""

import dataclasses
import json
import re
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest

from shardsim.evaluation import results, rules
from shardsim.reports import maps
from shardsim.reports.charts import (
    board_cells,
    board_sheet,
    boards,
    curves,
    effect_curves,
    render,
    theme,
    verdicts,
)
from shardsim.reports.explorer.panels import PANELS
from tests.helpers.made_results import interval, prediction, sensitivity


def asked(margin=0.1, direction="greater", **fields):
    """A prediction of one seed."""
    contrast = rules.Contrast("sharded", "mlp")
    usual = {
        "rule": rules.Rule(contrast, direction, margin),
        "effect": interval(0.1),
        "values": {"sharded": (0.2,), "mlp": (0.1,)},
        "means": {"sharded": interval(0.2), "mlp": interval(0.1)},
    }
    return prediction(**{**usual, **fields})


def text_of(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize("name", ["cost $\\frac{$", 'it\'s "P1" & <b>', "\\', 1, [0]"])
def test_names_are_written_as_they_are(name):
    entries = {name: asked()}
    for chart in (verdicts.effects({name: entries}), verdicts.seeds(entries, ["mlp"])):
        svg = render.svg(chart)["light"]
        words = [w.replace("&amp;", "&").replace("&lt;", "<") for w in text_of(svg)]
        assert any(name in word.replace("&gt;", ">") for word in words)


@pytest.mark.parametrize("direction", ["greater", "less"])
def test_effects_are_in_units_of_the_margin_and_shard_is_to_the_right(direction):
    entry = asked(0.5, direction, effect=interval(-0.5, -1.0, 0.25))
    oracle = sensitivity(effect=interval(1.0, 0.5, 1.5))
    both = {"P1": entry, "P2": dataclasses.replace(entry, sensitivity=oracle)}
    rows = verdicts.effect_rows(both)
    sign = 1 if direction == "greater" else -1
    learned = {"low": -2.0 * sign, "effect": -1.0 * sign, "high": 0.5 * sign}
    for row in rows[:2]:
        assert {key: row[key] for key in learned} == learned
    assert [row["kind"] for row in rows] == ["learned", "learned", "planted"]
    assert [rows[2][key] * sign for key in learned] == [1.0, 2.0, 3.0]
    # the planted effect is below the learned effect of its own prediction
    assert [row["row"] for row in rows[:2]] == [0, 1]
    assert 1 < rows[2]["row"] < 1.5
    (invalid,) = verdicts.effect_rows({"P": asked(is_valid=False)})
    assert invalid["kind"] == "no claim"


def test_seeds_that_are_not_judged_are_marked():
    values = {"mlp": (0.1, 0.2, 0.3), "sharded": (0.1, 0.2, 0.3), "exact": (1.0,)}
    means = dict.fromkeys(values, interval(0.1))
    entry = asked(values=values, means=means, judged_seeds=(0, 2))
    rows = verdicts.seed_rows(entry)
    assert [(row["value"], row["judged"]) for row in rows] == [
        (0.1, True),
        (0.2, False),
        (0.3, True),
        (0.1, True),
        (0.2, False),
        (0.3, True),
        (1.0, True),  # V* is no seed
    ]
    everyone = verdicts.seed_rows(asked(values=values, means=means))
    assert all(row["judged"] for row in everyone)
    # seeds of one arm are spread around its row, in order
    places = [row["row"] for row in rows[:3]]
    assert places == sorted(places)
    assert sum(places) == pytest.approx(0)


def curve(**fields):
    usual = {
        "update": (3, 5),
        "return_fraction": ((0.5, 0.7),) * 2,
        "value_error": ((1.0, 2.0),) * 2,
        "shards_in_use": ((1.0, 1.0),) * 2,
    }
    return results.CurveResult(**{**usual, **fields})


def data_of(chart):
    """All rows of a chart, from all of its layers."""
    spec, rows = chart.to_dict(), []

    def walk(tree):
        if isinstance(tree, dict):
            if isinstance(tree.get("data"), dict):
                rows.extend(tree["data"].get("values", []))
            for inner in tree.values():
                walk(inner)
        elif isinstance(tree, list):
            for inner in tree:
                walk(inner)

    walk(spec)
    for values in spec.get("datasets", {}).values():
        rows.extend(values)
    return rows


def test_curves_are_means_and_ranges_of_seeds_after_the_first_snapshot():
    still = curve(
        update=(5,),
        return_fraction=((0.2, 0.4),),
        value_error=((3.0, 5.0),),
        shards_in_use=((1.0, 1.0),),
    )
    chart = curves.training({"mlp": curve(), "still": still}, 0.9, {})
    rows = data_of(chart)
    trained = [row for row in rows if row.get("arm") == "mlp" and "low" in row]
    assert {"arm": "mlp", "update": 0, "mean": 0.6, "low": 0.5, "high": 0.7} in [
        {k: round(v, 9) if isinstance(v, float) else v for k, v in row.items()}
        for row in trained
    ]
    assert {row["update"] for row in trained} == {0, 2}
    flat = [row for row in rows if row.get("arm") == "still"]
    assert all("update" not in row for row in flat)
    assert any(row["mean"] == pytest.approx(0.3) for row in flat)
    lost = curve(return_fraction=((None, 0.5),) * 2)
    missing = data_of(curves.training({"mlp": lost}, 0.9, {}))
    assert None in [row.get("mean") for row in missing]


def test_shards_in_use_are_one_line_per_seed_where_there_are_shards():
    some = curve(shards_in_use=((2.0, 2.0), (1.0, None)))
    late = curve(shards_in_use=((None, None), (2.0, 2.0)))
    arms = {"sharded": some, "mlp": curve(), "late": late}
    lines = [r for r in data_of(curves.training(arms, 0.9, {})) if "shards" in r]
    assert {row["arm"] for row in lines} == {"sharded", "late"}
    first = [r["shards"] for r in lines if r["seed"] == "sharded 0"]
    second = [r["shards"] for r in lines if r["seed"] == "sharded 1"]
    assert (first, second) == ([2.0, 1.0], [2.0, None])
    lost = curve(shards_in_use=((None, None),) * 2)
    chart = curves.training({"mlp": curve(), "lost": lost}, 0.9, {})
    assert not [row for row in data_of(chart) if "shards" in row]


def test_one_two_and_four_shards_in_use_are_labelled():
    """Also where all numbers are between two of them."""
    some = curve(shards_in_use=((3.1, 2.2), (2.9, 2.4)))
    svg = render.svg(curves.training({"sharded": some}, 0.9, {}))["light"]
    end = text_of(svg)[text_of(svg).index("updates after update 3") :]
    assert {"1", "2", "4"} <= set(end)


def test_a_line_marks_where_each_phase_begins():
    phases = {"look": 3, "earn": 10, "rest": 20}
    chart = curves.training({"mlp": curve(update=(3, 20))}, 0.9, phases)
    borders = [row for row in data_of(chart) if "phase" in row]
    # the first phase ends where the axis begins
    assert {(row["update"], row["phase"]) for row in borders} == {(7, "rest")}


def test_the_goal_of_v_is_a_line():
    drawn = data_of(curves.training({"mlp": curve()}, 0.9, {}, max_value_error=0.25))
    assert [row["goal"] for row in drawn if "goal" in row] == [0.9, 0.25]


def effect_curve():
    ends = [(0.2, 0.1, 0.3), (-0.1, -0.2, 0.0), (None, None, None)]
    effects = tuple(interval(*end) for end in ends)
    return results.EffectCurve((3, 5, 9), effects, (2.0, 0.3, 0.2))


@pytest.mark.parametrize(("direction", "sign"), [("greater", 1), ("less", -1)])
def test_effects_stand_over_the_error_of_v(direction, sign):
    """In units of the margin, as SHARD expects upwards; no number has no dot."""
    rule = rules.Rule(rules.Contrast("sharded", "mlp"), direction, 0.1)
    entry = prediction(rule=rule)
    found = effect_curves.rows(effect_curve(), entry)
    assert [row["error"] for row in found] == [2.0, 0.3]
    assert [row["effect"] for row in found] == pytest.approx([2 * sign, -sign])
    assert [row["low"] for row in found] == pytest.approx([sign, -2 * sign])
    chart = effect_curves.effects({"P": effect_curve()}, {"P": entry}, 0.25)
    goals = [r for r in data_of(chart) if set(r) == {"error"}]
    assert goals == [{"error": 0.25}]
    assert "error of V / SD of V*" in text_of(render.svg(chart)["light"])
    without = dataclasses.replace(
        rule, margin=None, share_of_planted=0.2, positive_control="planted"
    )
    lost = prediction(rule=without)
    assert effect_curves.rows(effect_curve(), lost) == []
    assert effect_curves.effects({"P": effect_curve()}, {"P": lost}, None) is not None


def level_of(optimal, walls, reachable, move, glyphs=(), **arms):
    """A level whose arms all move in one way."""
    shape = np.shape(optimal)
    nothing = np.zeros((*shape, 1))
    return maps.LevelMaps(
        scene=maps.Scene("c", 0, (), dict.fromkeys(glyphs, (0, 0))),
        optimal=optimal,
        walls=walls,
        reachable=reachable,
        arms={
            arm: maps.ArmMaps(
                value=np.broadcast_to(value, shape),
                policy=nothing,
                move=move,
                gates=nothing,
                shard_values=nothing,
            )
            for arm, value in {"exact": np.zeros(()), **arms}.items()
        },
    )


def empty(glyphs):
    """A level of one cell."""
    cell = np.zeros((1, 1))
    return level_of(cell, cell > 0, cell == 0, np.zeros((1, 1, 2)), glyphs)


def test_what_is_below_zero_is_drawn(monkeypatch):
    """Where steps cost, values and returns are negative too."""
    value = np.array([[-2.0, -1.0]])
    free, move = np.ones((1, 2), bool), np.zeros((1, 2, 2))
    scales, scale = [], board_cells.Scale

    def noted(*ends):
        scales.append(ends)
        return scale(*ends)

    monkeypatch.setattr(boards, "Scale", noted)
    boards.values([level_of(value, ~free, free, move, mlp=value)], ["mlp"])
    assert [ends[:2] for ends in scales] == [(-2.0, -1.0)]


def test_walls_are_black_and_cells_without_v_are_grey_and_arrows_are_in_their_cells():
    value = np.array([[0.0, 0.5, 1.0], [0.25, 0.75, 2.0]])
    walls = np.array([[False, True, False], [False, False, False]])
    reachable = np.array([[True, True, True], [True, False, True]])
    move = np.zeros((2, 3, 2))
    move[1, 2] = (0.25, -0.25)  # down and to the left
    level = level_of(value, walls, reachable, move, mlp=value / 2)
    scale = board_cells.Scale(0.0, 2.0, ("#000000", "#ff0000"))
    board = board_cells.Board(0, 0, level, value, scale, move)
    pixels = board_cells.painted(board)
    assert pixels[0, 1].tolist() == [0, 0, 0]
    assert pixels[1, 1].tolist() == [0xBB] * 3
    assert pixels[0, 2].tolist() == [128, 0, 0]
    assert pixels[1, 2].tolist() == [255, 0, 0]
    arrows = board_cells.arrows(board)
    assert {(a["row"], a["column"]) for a in arrows} == {(0, 0), (0, 2), (1, 0), (1, 2)}
    (moved,) = [a for a in arrows if a["length"] > 0]
    assert (moved["row"], moved["column"], moved["angle"]) == (1, 2, 135.0)
    assert moved["length"] == pytest.approx(0.25 * 2**0.5)
    # and on the sheet: the second row of boards is one side further down
    rows = data_of(boards.values([level], ["mlp"]))
    side = 3 * (1 + board_sheet.GAP)
    corner = ((side - 3) / 2, (side - 2) / 2)
    images = [(row["x"], row["y"]) for row in rows if "url" in row]
    assert images == [corner, (corner[0], corner[1] + side)]
    at = [(row["x"], row["y"]) for row in rows if row.get("size", 0) > 0]
    first = (corner[0] + 2.5, corner[1] + 1.5)
    assert at == [first, (first[0], first[1] + side)]


def test_things_have_symbols_of_their_own():
    names = ("start", "fruit 0", "fruit 1", "cue")
    assert board_cells.symbols([empty(names)]) == {
        "start": "S",
        "fruit 0": "F0",
        "fruit 1": "F1",
        "cue": "C",
    }
    alike = ("coin", "cheese", "start", "star")
    assert board_cells.symbols([empty(alike)]) == {
        "coin": "Coin",
        "cheese": "Chees",
        "start": "Start",
        "star": "Star",
    }


def size_of(svg):
    return [float(x) for x in re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups()]


@pytest.mark.parametrize("width", [330, 880])
def test_charts_are_as_wide_as_they_are_asked_to_be(width):
    value, free = np.zeros((3, 3)), np.ones((3, 3), bool)
    arms = {"mlp": value, "sharded": value, "film": value, "untrained": value}
    levels = [level_of(value, ~free, free, np.zeros((3, 3, 2)), **arms)] * 4
    several = {name: asked() for name in ("P1", "P2")}
    for chart in (
        boards.values(levels, list(arms), width, is_transposed=width > 500),
        curves.training({"mlp": curve(), "sharded": curve()}, 0.9, {}, width),
        verdicts.effects({"": several}, width=width),
        verdicts.seeds(several, ["mlp"], width),
    ):
        wide, _ = size_of(render.svg(chart)["light"])
        assert 0.75 * width < wide < 1.1 * width


def test_a_sheet_is_transposed():
    """Levels have rows, and arms columns, in the same places of the other axis."""
    value, free = np.zeros((2, 2)), np.ones((2, 2), bool)
    level = level_of(value, ~free, free, np.zeros((2, 2, 2)), mlp=value)

    def places(is_transposed):
        chart = boards.values([level, level], ["mlp"], None, is_transposed)
        rows = data_of(chart)
        return {(r["x"], r["y"]) for r in rows if "url" in r}, {
            tuple(r["lines"]) for r in rows if "lines" in r and "x" in r
        }

    images, heads = places(is_transposed=False)
    swapped, others = places(is_transposed=True)
    assert swapped == {(y, x) for x, y in images}
    assert heads == {("c",)}
    assert others == {("V*",), ("mlp",)}


def test_an_image_of_a_board_has_sharp_cells():
    stops = ("#000000", "#ffffff")
    values = np.array([[0.0, 1.0]])
    free = np.ones((1, 2), bool)
    level = level_of(values, ~free, free, np.zeros((1, 2, 2)))
    board = board_cells.Board(0, 0, level, values, board_cells.Scale(0.0, 1.0, stops))
    assert board_cells.painted(board).tolist() == [[[0] * 3, [255] * 3]]
    assert board_sheet._png(board_cells.painted(board)).startswith(
        "data:image/png;base64,"
    )


def test_static_charts_hold_no_name_of_a_colour_and_ask_nobody():
    chart = verdicts.effects({"": {"P": asked()}})
    light, dark = (render.svg(chart)[scheme] for scheme in theme.SCHEMES)
    assert "var(--" not in light + dark
    assert theme.ARMS["light"][0] in light
    assert theme.ARMS["dark"][0] in dark
    assert set(re.findall(r"https?://([\w.]+)", light)) <= {"www.w3.org"}
    assert light == render.svg(chart)["light"]
    both = render.adaptive_svg(chart)
    for scheme in theme.SCHEMES:
        colours = theme.variables(scheme)
        used = set(re.findall(r"var\(--([\w-]+)\)", both))
        assert used
        assert all(f"--{name}:{colours[name]};" in both for name in used)
    xml.etree.ElementTree.fromstring(both)


def test_the_same_boards_give_the_same_text():
    """Colour bars have identifiers, which the library numbers on and on."""
    value, free = np.array([[0.0, 1.0]]), np.ones((1, 2), bool)
    level = level_of(value, ~free, free, np.zeros((1, 2, 2)), mlp=value)
    first, second = (render.svg(boards.values([level], ["mlp"])) for _ in range(2))
    assert first == second
    assert re.search(r' id="\w*0"', first["light"])


def test_the_palettes_have_the_same_colours():
    light, dark = (theme.variables(scheme) for scheme in theme.SCHEMES)
    assert light.keys() == dark.keys()
    assert len(set(theme.ARMS["light"])) == len(theme.ARMS["light"])


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".svg", b"<svg"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".json", b"{")],
)
def test_a_chart_is_saved_without_a_browser(tmp_path, suffix, start):
    path = tmp_path / f"chart{suffix}"
    render.save(verdicts.effects({"": {"P": asked()}}), path)
    assert path.read_bytes().startswith(start)


def test_other_formats_are_refused(tmp_path):
    chart = verdicts.effects({"": {"P": asked()}})
    with pytest.raises(ValueError, match=r"path: got .*chart\.gif; allowed: a name in"):
        render.save(chart, tmp_path / "chart.gif")


CHARTS = {name: chart for panel in PANELS for name, chart in panel.charts.items()}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_of_the_page_takes_the_rows_and_parameters_that_it_describes(name):
    made = CHARTS[name]()
    spec = render.compiled(made)
    assert spec["$schema"].startswith("https://vega.github.io/schema/vega/")
    described = CHARTS[name].__doc__
    sources = {
        s["name"] for s in spec["data"] if "source" not in s and "values" not in s
    }
    assert sources, "it has no rows"
    for source in sources:
        assert f"`{source}`" in described
    for param in made.to_dict().get("params", []):
        assert f"`{param['name']}`" in described
    # colours are left to the page
    colours = re.findall(r"#[0-9a-fA-F]{6}\b", json.dumps(spec))
    assert set(colours) <= set(theme.SEQUENTIAL)


def test_training_imports_no_plotting_library():
    modules = ("commands.run", "commands.tables", "training.standalone")
    code = (
        f"import sys, {', '.join(f'shardsim.{name}' for name in modules)}\n"
        "print({'altair', 'vl_convert', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_chart_is_shown_in_a_notebook_as_it_is_saved():
    """Jupyter asks for a bundle: names of colours must not be in it."""
    chart = verdicts.effects({"": {"P": asked()}})
    shown = render.displayable(chart)
    spec = shown.to_dict()
    assert "var(--" not in json.dumps(spec)
    assert spec["config"]["axis"]["labelColor"] == theme.PALETTES["light"]["soft"]
