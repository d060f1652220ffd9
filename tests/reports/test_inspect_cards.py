"""The whole page, whose second seed of A has come to be no numbers, and its cards.

Its programs take minutes to compile: all of it is slow but what needs no page.
"""

import json
import shutil

import numpy as np
import pytest

from shardsim.reports.explorer import make
from shardsim.storage import run_folder
from tests.helpers import chromium, explorer_page

pytestmark = pytest.mark.slow
needs_browser = pytest.mark.skipif(chromium.BROWSER is None, reason="no chromium here")


@pytest.fixture(scope="module")
def whole_page(tmp_path_factory, tiny_run):
    folder = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(tiny_run, folder)
    last = sorted((folder / "snapshots" / "mlp").glob("*.npz"))[-1]
    arrays = {name: leaf.copy() for name, leaf in run_folder.read_arrays(last).items()}
    for leaf in arrays.values():
        if leaf.dtype.kind == "f":
            leaf[1] = np.nan
    run_folder.write_arrays(last, arrays)
    out = folder.parent / "page.html"
    make.inspect([folder], out, mazes=2)
    return out


@pytest.fixture(scope="module")
def told(whole_page):
    return json.loads(whole_page.with_suffix(".results.json").read_text())


def numbers(leaf):
    """Null is NaN."""
    return np.asarray(leaf, float)


def test_every_number_of_every_card_is_in_the_results(whole_page, told):
    explorer_page.same(explorer_page.data_of(whole_page), told)


def test_moves_by_nothing_change_nothing_and_lost_seeds_say_so(told):
    for s, side in enumerate(told["sides"]):
        found = side["steering"]
        base = numbers(side["read"]["value"])[-1]
        nothing = found["coefficients"].index(0.0)
        fine = [0] if s == 0 else [0, 1]
        for name in ("added", "random added"):
            added = numbers(found[name])[:, :, nothing]
            for seed in fine:
                wide = np.broadcast_to(base[seed], added[seed].shape)
                np.testing.assert_allclose(added[seed], wide, atol=1e-5)
        # far along a direction is farther than near: the moves are in order
        moved = numbers(found["added"])[0] - base[0][None, None]
        size = np.sqrt(np.square(moved).mean(axis=(2, 3)))
        assert (size[:, nothing + 3] > size[:, nothing + 1]).all()
    assert np.isnan(numbers(told["sides"][0]["steering"]["added"])[1]).all()


def test_methods_agree_with_themselves_in_every_seed(told):
    for s, side in enumerate(told["sides"]):
        found = side["steering"]
        for seed in [0] if s == 0 else [0, 1]:
            table = numbers(found["agreement"])[seed]
            np.testing.assert_allclose(np.diag(table), 1, atol=1e-5)
            np.testing.assert_allclose(table, table.T, atol=1e-6)
            own, samples = numbers(found["own"])[seed], found["samples"]
            for i, mine in enumerate(own):
                rows = slice(i * samples, (i + 1) * samples)
                block = table[rows, rows][~np.eye(samples, dtype=bool)]
                assert mine == pytest.approx(block.mean(), abs=1e-6)
            assert own[0] > found["null"]
            # LEACE writes along the class means, so that it is the mean difference
            assert table[4 * samples, 0] > 0.999
            assert numbers(found["gauge"])[seed].min() > found["converged"]
    lost = told["sides"][0]["steering"]
    assert np.isnan(numbers(lost["own"])[1]).all()
    # the mean is that of the seeds that are left
    mean = lost["own over seeds"][0]["estimate"]
    assert mean == pytest.approx(lost["own"][0][0], abs=1e-6)


def test_tails_things_and_experts_are_there(told):
    for s, side in enumerate(told["sides"]):
        tails = side["tails"]
        assert tails["groups"][0] == "pooled"
        shape = numbers(tails["shape"])
        assert shape.shape == (2, len(tails["groups"]))
        over = tails["shape over seeds"][0]["estimate"]
        assert over == pytest.approx(np.nanmean(shape[:, 0]), rel=1e-5)
        assert np.isnan(shape[1]).all() == (s == 0)
        assert len(tails["drawn"][0]) == len(tails["groups"])
        assert (tails["reading"][1] == "no distribution") == (s == 0)
        for things in side["things"]:
            assert len(things["value"]) == len(things["names"])
        assert bool(side["fitted"]) == (side["parts"] == 1)
    fitted = told["sides"][0]["fitted"]
    assert sum(fitted["share"]) == pytest.approx(1, abs=1e-5)


@pytest.fixture(scope="module", params=chromium.SIZES.values(), ids=chromium.SIZES)
def shown(request, whole_page, tmp_path_factory):
    with chromium.tab(tmp_path_factory.mktemp("chrome"), *request.param) as page:
        page.open(whole_page.as_uri())
        yield page


@pytest.fixture
def page(shown):
    """Everything as it was when the page came up."""
    shown.js("STATE.fit.forEach((f) => f.clear())")
    shown.js("set({step: STEPS.length - 1, seed: 0, maze: 0, cell: null})")
    shown.settle()
    return shown


def text_of(page, selector):
    found = page.js(f"document.querySelector({json.dumps(selector)}).textContent")
    return found.replace("\u2212", "-")


@needs_browser
def test_every_card_draws_for_every_seed_without_a_word_of_nan(page):
    for seed in (0, 1):
        for mode in ("ablated", "added", "retarget"):
            page.js(f"set({{seed: {seed}}}); push({{mode: '{mode}'}})")
            page.settle()
            text = page.js("document.body.innerText")
            for word in ("NaN", "undefined", "object HTML", "null"):
                assert word not in text, (seed, mode, word)
    assert page.js("document.documentElement.scrollWidth <= innerWidth")
    assert page.said == []
    ids = "[...document.querySelectorAll('main > section')].map((n) => n.id)"
    assert {"interventions", "directions", "tails", "worth"} <= set(page.js(ids))


@needs_browser
def test_directions_follow_the_seed(page, told):
    found = told["sides"][1]
    shots = []
    for seed in (0, 1):
        page.js(f"set({{seed: {seed}}})")
        page.settle()
        logits = numbers(found["weights"]["logits"])[seed]
        tiles = "[...document.querySelectorAll('[data-logits=B] .amount')]"
        row = page.js(f"{tiles}.map((n) => Number(n.title))")
        np.testing.assert_allclose(row, logits.reshape(-1), rtol=1e-6)
        before = numbers(found["weights"]["before"])[seed][0, 0]
        assert f"{before:.2f}" in text_of(page, "[data-collisions=B] tbody tr")
        bold = "[data-directions=B] [data-restart^='{}.']"
        place = page.js(
            f"document.querySelectorAll({json.dumps(bold.format(seed))})"
            "[0].getAttribute('r')"
        )
        assert float(place) > 3  # the seed that is chosen is drawn larger
        restarts = page.js(
            f"document.querySelectorAll({json.dumps(bold.format(seed))}).length"
        )
        assert restarts == found["truths"]["restarts"]
        own = numbers(found["steering"]["own"])[seed]
        hint = text_of(page, f"[data-directions=B] [data-own='{seed}.0'] title")
        assert float(hint.split()[-1]) == pytest.approx(own[0], abs=2e-3)
        shots.append(row)
    assert shots[0] != shots[1]
    over = found["steering"]["own over seeds"][0]["estimate"]
    assert over == pytest.approx(numbers(found["steering"]["own"])[:, 0].mean())
    gauges = "document.querySelectorAll('[data-directions=A] [data-gauge]').length"
    assert page.js(gauges) == 1  # the other seed is lost
    merged = found["weights"]["merged"][0][0]
    items = "document.querySelectorAll('[data-merged=B] li').length"
    page.js("set({seed: 0})")
    page.settle()
    assert page.js(items) == max(1, len(merged))


@needs_browser
def test_tails_follow_the_seed(page, told):
    tails, shapes = told["sides"][1]["tails"], []
    for seed in (0, 1):
        page.js(f"set({{seed: {seed}, tail: 'pooled'}})")
        page.settle()
        place = seed * len(tails["groups"])
        about = "SIDES[1].tails"
        shape = page.js(
            f"triple({about}.shape[{place}], {about}['shape interval'], {place})"
        )
        said = text_of(page, "[data-tails=B] .note")
        assert f"\u03b2 {shape}" in said.replace("-", "\u2212")
        shapes.append(shape)
    assert shapes[0] != shapes[1]
    assert "no distribution" in text_of(page, "[data-tails=A] h3")


@needs_browser
def test_retargeting_shows_its_numbers(page, told):
    page.js("push({side: 1, mode: 'retarget', clamp: 4})")
    page.settle()
    found = told["sides"][1]["steering"]["retarget"]
    said = text_of(page, "#pushed")
    for name in ("scores", "random scores"):
        assert f"{100 * numbers(found[name])[0, 0, 4]:.1f}%" in said
    for name in ("absent", "placed"):
        assert f"{100 * numbers(found[name])[0, 0]:.1f}%" in said
    x = told["boards"]["cell"][0]
    place = next(i for row in x for i in row if i >= 0)
    for control, name in ((False, "clamped"), (True, "random clamped")):
        want = found[name][0][4][0][place]
        got = page.js(f"steered({place}, {str(control).lower()})")
        assert got == pytest.approx(want, abs=1e-6)
    link = page.js("location.hash")
    assert "push=1.0.retarget.4" in link
    page.js("push({clamp: 0}); push({mode: 'added', method: 2, coefficient: 6})")
    page.settle()
    added = told["sides"][1]["steering"]["added"]
    got = page.js(f"steered({place})")
    assert got == pytest.approx(added[0][2][6][0][place], abs=1e-6)


@needs_browser
def test_an_expert_is_switched_off_where_it_was_fitted(page, told):
    fitted, cell = told["sides"][0]["fitted"], page.js("cellShown()")
    x = told["boards"]["cell"][0][cell[0]][cell[1]]
    each = numbers(fitted["gates"])[0, x] * numbers(fitted["parts"])[0, x]
    k = int(np.abs(each).argmax())
    gone = each[k]
    value = told["sides"][0]["read"]["value"][-1][0][0][x]
    assert "fitted, not built in" in text_of(page, "[data-experts=A] h3")
    page.click(f"[data-expert=A{k}]")
    got = page.js("told(...cellShown()).sides[0]")
    assert got["value"] == pytest.approx(value - gone, abs=1e-6)
    assert abs(gone) > 1e-4
    assert f"fitA={k}" in page.js("location.hash")
    page.js("set({step: 0})")  # another checkpoint has no experts
    page.settle()
    got = page.js("told(...cellShown()).sides[0]")
    assert got["value"] == pytest.approx(got["whole"], abs=1e-7)
    assert page.js(f"document.querySelector('[data-expert=A{k}]').disabled")


@needs_browser
@pytest.mark.parametrize("media", ["print", "dark"])
def test_print_and_dark_paint_other_colours(page, media):
    ink = "getComputedStyle(document.body).backgroundColor"
    before = page.js(ink)
    if media == "print":
        page.call("Emulation.setEmulatedMedia", media="print")
        assert page.js("getComputedStyle(byId('controls')).display") == "none"
    else:
        page.js("set({theme: 'dark'})")
        page.settle()
        tile = "document.querySelector('#mazes canvas')"
        pixel = f"[...{tile}.getContext('2d').getImageData(2, 2, 1, 1).data]"
        dark = page.js(pixel)
        page.js("set({theme: 'light'})")
        page.settle()
        assert page.js(pixel) != dark
        page.js("set({theme: 'dark'})")
        page.settle()
    assert page.js(ink) != before
    page.call("Emulation.setEmulatedMedia", media="")
    page.js("set({theme: ''})")
    page.settle()
    assert page.js(ink) == before
