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
    page.js("location.hash = ''; STATE.shardsOff.forEach((off) => off.clear())")
    page.js(
        "set({step: STEPS.length - 1, seed: 0, maze: 0, cell: null, quantity: 'value'})"
    )
    page.settle()


def shown_numbers(page):
    """The numbers of the cell, unrounded, and as the page writes them."""
    return page.js(
        "({...cellNumbers(...shownCell()), read: Object.fromEntries("
        "[...document.querySelectorAll('[data-number]')]"
        ".map((n) => [n.dataset.number, n.textContent]))})"
    )


def wanted(results, side, cell, step=-1, seed=0, maze=0):
    """The same numbers from results.json."""
    outputs = results["sides"][side]["outputs"]
    x = results["boards"]["state_at"][maze][cell[0]][cell[1]]
    return {
        name: outputs[name][step][seed][maze][x]
        for name in ("value", "gates", "shard_values")
    }


def test_the_mouse_shows_a_cell_and_a_switch_takes_its_shard_away(shown):
    page, results = shown
    fresh(page)
    side = len(results["boards"]["state_at"][0])
    row, column = next(
        (r, c)
        for r in range(side)
        for c in range(side)
        if results["boards"]["state_at"][0][r][c] >= 0
    )
    place = ((column + 0.5) / side, (row + 0.5) / side)
    page.hover(".board canvas", *place)
    found, want = shown_numbers(page), wanted(results, 1, (row, column))
    assert [found["row"], found["column"]] == [row, column]
    assert found["sides"][1]["value"] == pytest.approx(want["value"], abs=1e-6)
    assert found["sides"][1]["gates"] == pytest.approx(want["gates"], abs=1e-6)
    assert abs(found["sides"][1]["residual"]) < 1e-5
    assert float(found["read"]["valueB"].replace("\u2212", "-")) == pytest.approx(
        want["value"], rel=2e-3, abs=1e-3
    )
    page.click("[data-switch=B1]")
    page.hover(".board canvas", *place)
    without = want["value"] - want["gates"][1] * want["shard_values"][1]
    found = shown_numbers(page)
    assert found["sides"][1]["shards_off"] == [1]
    assert found["sides"][1]["value"] == pytest.approx(without, abs=1e-6)
    assert found["sides"][0]["shards_off"] == []
    assert "shardsOffB=1" in page.js("location.hash")
    page.click("[data-switch=B1]")
    page.hover(".board canvas", *place)
    assert shown_numbers(page)["sides"][1]["value"] == pytest.approx(
        want["value"], abs=1e-6
    )


def test_the_slider_moves_and_the_numbers_with_it(shown):
    page, results = shown
    fresh(page)
    cell = page.js("shownCell()")
    page.click("#step")  # its middle
    step = page.js("STATE.step")
    updates = results["sides"][1]["updates"]
    assert 0 < step < len(updates) - 1
    found = shown_numbers(page)
    assert found["sides"][1]["update"] == updates[step]
    want = wanted(results, 1, cell, step)
    assert found["sides"][1]["value"] == pytest.approx(want["value"], abs=1e-6)
    page.press("ArrowRight", "ArrowRight")
    assert page.js("STATE.step") == step + 1
    page.press("s", "KeyS")
    page.press("m", "KeyM")
    assert page.js("[STATE.seed, STATE.maze]") == [1, 1]
    cell = page.js("shownCell()")
    want = wanted(results, 0, cell, step + 1, seed=1, maze=1)
    assert shown_numbers(page)["sides"][0]["value"] == pytest.approx(
        want["value"], abs=1e-6
    )


def test_a_link_shows_the_same_view(shown, tiny_page):
    page, _ = shown
    link = "#step=0&seed=1&maze=1&quantity=gate&shard=1&shardsOffB=0&theme=dark"
    page.js(f"location.hash = {json.dumps(link)}")
    page.settle()
    state = "['step', 'seed', 'maze', 'quantity', 'shard'].map((k) => STATE[k])"
    state = f"[...{state}, [...STATE.shardsOff[1]]]"
    assert page.js(state) == [0, 1, 1, "gate", 1, [0]]
    assert page.js("document.documentElement.dataset.theme") == "dark"
    again = page.js("toHash()")
    fresh(page)
    page.js(f"location.hash = {json.dumps(again)}")
    page.settle()
    assert page.js(state) == [0, 1, 1, "gate", 1, [0]]
    # what makes no sense is left out
    page.js(
        "location.hash = '#step=99&seed=-4&quantity=toString&shardsOffB=7.x&cell=1'"
    )
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


def test_a_click_on_a_curve_goes_to_that_checkpoint(shown):
    page, _ = shown
    fresh(page)
    page.click("#curves figure .zone_marks path")
    assert page.js("STATE.step") == 0
    names = page.js(
        "[...document.querySelectorAll('#curves figcaption b')]"
        ".map((n) => n.textContent)"
    )
    assert {"error of V", "gate entropy", "policy and V agree"} <= set(names)
    assert "similarity of seeds" in names


def test_charts_show_their_numbers_and_follow_the_scheme(shown):
    page, results = shown
    fresh(page)
    metrics = results["sides"][1]["panels"]["curves"]["metrics"]
    end = sum(metrics["return"][-1]) / len(metrics["return"][-1])
    last = "document.querySelector('#curves .zone_marks path:last-child')"
    label = page.js(f"{last}.getAttribute('aria-label')")
    assert label.startswith(f"update {results['sides'][1]['updates'][-1]}: mlp ")
    assert float(label.split()[-1]) == pytest.approx(end, abs=2e-3)
    page.hover("#curves .zone_marks path:last-child", 0.4, 0.5)
    assert page.js("byId('tip').textContent") == label
    line = "document.querySelector('#curves .mark-line path')"
    inks = []
    for theme in ("light", "dark"):
        page.js(f"set({{theme: '{theme}'}})")
        page.settle()
        inks.append(page.js(f"getComputedStyle({line}).stroke"))
    page.js("set({theme: ''})")
    page.settle()
    assert inks == ["rgb(0, 114, 178)", "rgb(86, 180, 233)"]  # --a of the palettes


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
    assert results["comparison"][0]["name"] in page.js("__saved[2][2]")


def test_the_console_is_heard(shown):
    """The control: a page that throws is seen to throw."""
    page, _ = shown
    before = len(page.said)
    page.js("setTimeout(() => { throw new Error('heard') }, 0)")
    page.settle()
    assert any("heard" in line for line in page.said[before:])


def test_nothing_is_cut_off_in_the_middle(shown):
    """Neither rows of what differs nor cells of tables that are read."""
    page, _ = shown
    fresh(page)
    cut = "[...document.querySelectorAll('.diff .scroll')].filter("
    assert page.js(f"{cut} (n) => n.scrollHeight > n.clientHeight + 1).length") == 0
    right = "[...document.querySelectorAll('#comparison td')].map("
    assert page.js(f"Math.max(...{right} (n) => n.getBoundingClientRect().right))") <= (
        page.js("innerWidth")
    )
    text = page.js("document.body.innerText")
    for legend in ("D alone: those of the action decoder", "g·v: its contribution"):
        assert legend in text
