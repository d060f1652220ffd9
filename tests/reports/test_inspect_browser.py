"""The page in a browser: the mouse, the slider, the keys, and what they show."""

import json

import pytest

from tests.helpers import chromium

pytestmark = pytest.mark.skipif(chromium.BROWSER is None, reason="no chromium here")


@pytest.fixture(scope="module", params=chromium.SIZES.values(), ids=chromium.SIZES)
def shown(request, tiny_page, tmp_path_factory):
    """The page, open, and its numbers."""
    with chromium.tab(tmp_path_factory.mktemp("chrome"), *request.param) as page:
        page.open(tiny_page.as_uri())
        yield page, json.loads(tiny_page.with_suffix(".results.json").read_text())


def fresh(page):
    """Everything as it was when the page came up."""
    page.js("location.hash = ''; STATE.off.forEach((o) => o.clear())")
    page.js(
        "set({step: STEPS.length - 1, seed: 0, maze: 0, cell: null, quantity: 'value'})"
    )
    page.settle()


def told(page):
    """The numbers in the card of the cell, unrounded, and as they are read."""
    return page.js(
        "({...told(...cellShown()), read: Object.fromEntries("
        "[...document.querySelectorAll('[data-told]')]"
        ".map((n) => [n.dataset.told, n.textContent]))})"
    )


def wanted(results, side, cell, step=-1, seed=0, maze=0):
    """The same numbers from results.json."""
    read = results["sides"][side]["read"]
    x = results["boards"]["cell"][maze][cell[0]][cell[1]]
    return {
        name: read[name][step][seed][maze][x] for name in ("value", "gates", "parts")
    }


def test_the_mouse_shows_a_cell_and_a_switch_takes_its_shard_away(shown):
    page, results = shown
    fresh(page)
    side = len(results["boards"]["cell"][0])
    row, column = next(
        (r, c)
        for r in range(side)
        for c in range(side)
        if results["boards"]["cell"][0][r][c] >= 0
    )
    place = ((column + 0.5) / side, (row + 0.5) / side)
    page.hover(".panel canvas", *place)
    found, want = told(page), wanted(results, 1, (row, column))
    assert [found["row"], found["column"]] == [row, column]
    assert found["sides"][1]["value"] == pytest.approx(want["value"], abs=1e-6)
    assert found["sides"][1]["gates"] == pytest.approx(want["gates"], abs=1e-6)
    assert abs(found["sides"][1]["residual"]) < 1e-5
    assert float(found["read"]["valueB"].replace("\u2212", "-")) == pytest.approx(
        want["value"], rel=2e-3, abs=1e-3
    )
    page.click("[data-switch=B1]")
    page.hover(".panel canvas", *place)
    without = want["value"] - want["gates"][1] * want["parts"][1]
    found = told(page)
    assert found["sides"][1]["off"] == [1]
    assert found["sides"][1]["value"] == pytest.approx(without, abs=1e-6)
    assert found["sides"][0]["off"] == []
    assert "offB=1" in page.js("location.hash")
    page.click("[data-switch=B1]")
    page.hover(".panel canvas", *place)
    assert told(page)["sides"][1]["value"] == pytest.approx(want["value"], abs=1e-6)


def test_the_slider_moves_and_the_numbers_with_it(shown):
    page, results = shown
    fresh(page)
    cell = page.js("cellShown()")
    page.click("#step")  # its middle
    step = page.js("STATE.step")
    updates = results["sides"][1]["updates"]
    assert 0 < step < len(updates) - 1
    found = told(page)
    assert found["sides"][1]["update"] == updates[step]
    want = wanted(results, 1, cell, step)
    assert found["sides"][1]["value"] == pytest.approx(want["value"], abs=1e-6)
    page.press("ArrowRight", "ArrowRight")
    assert page.js("STATE.step") == step + 1
    page.press("s", "KeyS")
    page.press("m", "KeyM")
    assert page.js("[STATE.seed, STATE.maze]") == [1, 1]
    cell = page.js("cellShown()")
    want = wanted(results, 0, cell, step + 1, seed=1, maze=1)
    assert told(page)["sides"][0]["value"] == pytest.approx(want["value"], abs=1e-6)


def test_a_link_shows_the_same_view(shown, tiny_page):
    page, _ = shown
    link = "#step=0&seed=1&maze=1&quantity=gate&shard=1&offB=0&theme=dark"
    page.js(f"location.hash = {json.dumps(link)}")
    page.settle()
    state = "['step', 'seed', 'maze', 'quantity', 'shard'].map((k) => STATE[k])"
    state = f"[...{state}, [...STATE.off[1]]]"
    assert page.js(state) == [0, 1, 1, "gate", 1, [0]]
    assert page.js("document.documentElement.dataset.theme") == "dark"
    again = page.js("toHash()")
    fresh(page)
    page.js(f"location.hash = {json.dumps(again)}")
    page.settle()
    assert page.js(state) == [0, 1, 1, "gate", 1, [0]]
    # what makes no sense is left out
    page.js("location.hash = '#step=99&seed=-4&quantity=toString&offB=7.x&cell=1'")
    page.settle()
    assert page.js("STATE.step") == page.js("STEPS.length - 1")
    assert page.js("STATE.quantity") in ("gate", "value")


def test_it_fits_is_quiet_and_asks_nobody(shown):
    page, results = shown
    fresh(page)
    for quantity in page.js("Object.keys(QUANTITIES)"):
        page.js(f"set({{quantity: {json.dumps(quantity)}, arrows: 'components'}})")
        page.settle()
    assert page.js("document.documentElement.scrollWidth <= innerWidth")
    assert page.said == []
    assert {url.partition(":")[0] for url in page.asked} <= {"file", "data", "blob"}
    text = page.js("document.body.innerText")
    assert "object HTML" not in text
    assert "NaN" not in text
    assert "undefined" not in text
    assert "null" not in text
    assert results["about"]["question"] in text


def test_the_table_downloads_what_the_page_shows(shown):
    page, results = shown
    fresh(page)
    head, first, *_ = page.js("cellRows()")
    assert head[:4] == ["row", "column", "exact", "A value"]
    want = wanted(results, 0, (first[0], first[1]))
    assert first[3] == pytest.approx(want["value"], abs=1e-6)


def test_a_click_in_the_training_card_goes_there(shown):
    page, _ = shown
    fresh(page)
    page.click("#training figure .zone")
    assert page.js("STATE.step") == 0
    names = page.js(
        "[...document.querySelectorAll('#training figcaption b')]"
        ".map((n) => n.textContent)"
    )
    assert {"V error", "gate entropy", "policy and V agree"} <= set(names)
    assert "V alike over seeds" in names


def test_downloads_hold_what_is_shown(shown):
    page, results = shown
    fresh(page)
    got = (
        "window.__saved = []; save = (name, content, type) => __saved.push([name, "
        "type, typeof content === 'string' ? content : content.size])"
    )
    page.js(got)
    page.js("saveCells(); saveView(); saveTable(); savePicture()")
    page.js("new Promise((r) => setTimeout(r, 500))")
    saved = {
        name.rpartition(".")[2]: content
        for name, _, content in page.js("__saved")
        if "table" not in name
    }
    assert saved["csv"].startswith("row,column,exact,A value")
    assert json.loads(saved["json"])["hash"] == page.js("toHash()")
    assert saved["png"] > 1000
    assert results["table"][0]["name"] in page.js("__saved[2][2]")


def test_the_console_is_heard(shown):
    """The control: a page that throws is seen to throw."""
    page, _ = shown
    before = len(page.said)
    page.js("setTimeout(() => { throw new Error('heard') }, 0)")
    page.settle()
    assert any("heard" in line for line in page.said[before:])
