"""All panels of a page, where the second seed of A is not finite.

Their programs take minutes to compile, so that these tests are slow.
"""

import json
import shutil

import numpy as np
import pytest

from shardsim.reports.explorer import make
from shardsim.reports.explorer.panels import PANELS
from shardsim.storage import run_files
from tests.helpers import chromium, explorer_page

pytestmark = pytest.mark.slow
needs_browser = pytest.mark.skipif(chromium.BROWSER is None, reason="no chromium here")


@pytest.fixture(scope="module")
def whole_page(tmp_path_factory, tiny_run):
    folder = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(tiny_run, folder)
    last = folder / "weights" / "mlp.npz"
    arrays = {name: leaf.copy() for name, leaf in run_files.read_arrays(last).items()}
    for leaf in arrays.values():
        if leaf.dtype.kind == "f":
            leaf[1] = np.nan
    run_files.write_arrays(last, arrays)
    out = folder.parent / "page.html"
    make.inspect([folder], out, mazes=2)
    return out


@pytest.fixture(scope="module")
def results(whole_page):
    return json.loads(whole_page.with_suffix(".results.json").read_text())


def numbers(leaf):
    """Null is NaN."""
    return np.asarray(leaf, float)


def panels(results, s):
    return results["sides"][s]["panels"]


def test_every_number_of_every_panel_is_in_the_results(whole_page, results):
    explorer_page.same(explorer_page.data_of(whole_page), results)


def test_moves_by_nothing_change_nothing_and_lost_seeds_say_so(results):
    for s, side in enumerate(results["sides"]):
        found = side["panels"]["interventions"]
        base = numbers(side["outputs"]["value"])[-1]
        nothing = found["coefficients"].index(0.0)
        fine = [0] if s == 0 else [0, 1]
        for name in ("added", "random_added"):
            added = numbers(found[name])[:, :, nothing]
            for seed in fine:
                wide = np.broadcast_to(base[seed], added[seed].shape)
                np.testing.assert_allclose(added[seed], wide, atol=1e-5)
        # far along a direction is farther than near: the moves are in order
        moved = numbers(found["added"])[0] - base[0][None, None]
        size = np.sqrt(np.square(moved).mean(axis=(2, 3)))
        assert (size[:, nothing + 3] > size[:, nothing + 1]).all()
    assert np.isnan(numbers(panels(results, 0)["interventions"]["added"])[1]).all()


def test_methods_agree_with_themselves_in_every_seed(results):
    for s in (0, 1):
        found = panels(results, s)["concepts"]
        for seed in [0] if s == 0 else [0, 1]:
            table = numbers(found["agreement"])[seed]
            np.testing.assert_allclose(np.diag(table), 1, atol=1e-5)
            np.testing.assert_allclose(table, table.T, atol=1e-6)
            own, samples = numbers(found["own"])[seed], found["num_samples"]
            for i, mine in enumerate(own):
                rows = slice(i * samples, (i + 1) * samples)
                block = table[rows, rows][~np.eye(samples, dtype=bool)]
                assert mine == pytest.approx(block.mean(), abs=1e-6)
            assert own[0] > found["chance"]
            # LEACE writes along the class means, so that it is the mean difference
            assert table[4 * samples, 0] > 0.999
            assert numbers(found["convergence"])[seed].min() > found["converged"]
    lost = panels(results, 0)["concepts"]
    assert np.isnan(numbers(lost["own"])[1]).all()
    # the mean is that of the seeds that are left
    mean = lost["own_over_seeds"][0]["estimate"]
    assert mean == pytest.approx(lost["own"][0][0], abs=1e-6)


def test_every_panel_has_numbers_for_every_seed(results):
    for s, side in enumerate(results["sides"]):
        found = side["panels"]
        tails = found["tails"]
        assert tails["groups"][0] == "all contexts"
        shape = numbers(tails["shape"])
        assert shape.shape == (2, len(tails["groups"]))
        over = tails["shape_over_seeds"][0]["estimate"]
        assert over == pytest.approx(np.nanmean(shape[:, 0]), rel=1e-5)
        assert np.isnan(shape[1]).all() == (s == 0)
        assert len(tails["histograms"][0]) == len(tails["groups"])
        assert (tails["summary"][1] == "no distribution") == (s == 0)
        for maze in found["shapley"]["mazes"]:
            assert len(maze["value"]) == len(maze["names"])
        assert (found["distillation"] is not None) == (side["num_shards"] == 1)
    fitted = panels(results, 0)["distillation"]
    assert sum(fitted["share"]) == pytest.approx(1, abs=1e-5)


@pytest.fixture(scope="module", params=chromium.SIZES.values(), ids=chromium.SIZES)
def shown(request, whole_page, tmp_path_factory):
    with chromium.tab(tmp_path_factory.mktemp("chrome"), *request.param) as page:
        page.open(whole_page.as_uri())
        yield page


@pytest.fixture
def page(shown):
    """Everything as it was when the page came up."""
    shown.js("STATE.expertsOff.forEach((off) => off.clear())")
    shown.js("set({step: STEPS.length - 1, seed: 0, maze: 0, cell: null})")
    shown.settle()
    return shown


def text_of(page, selector):
    found = page.js(f"document.querySelector({json.dumps(selector)}).textContent")
    return found.replace("\u2212", "-")


def labels_of(page, selector):
    """What marks of a chart say on hover and to screen readers."""
    return page.js(
        f"[...document.querySelectorAll({json.dumps(selector)})]"
        ".map((n) => n.getAttribute('aria-label'))"
    )


@needs_browser
def test_every_panel_is_drawn_for_every_seed_without_a_word_of_nan(page):
    for seed in (0, 1):
        for kind in ("ablated", "added"):
            page.js(f"set({{seed: {seed}}}); setIntervention({{kind: '{kind}'}})")
            page.settle()
            text = page.js("document.body.innerText")
            for word in ("NaN", "undefined", "object HTML", "null"):
                assert word not in text, (seed, kind, word)
    assert page.js("document.documentElement.scrollWidth <= innerWidth")
    assert page.said == []
    ids = set(
        page.js("[...document.querySelectorAll('main > section')].map((n) => n.id)")
    )
    # two panels are of other worlds, and of tools from outside
    absent = {"reachability", "extensions"}
    assert {panel.name for panel in PANELS if panel.name not in absent} <= ids
    assert "reach" in page.js("Object.keys(QUANTITIES)")
    # every panel that is shown has something to show
    empty = (
        "[...document.querySelectorAll('main .body')].filter((n) => !n.children.length)"
    )
    assert page.js(f"{empty}.length") == 0
    charts = "[...document.querySelectorAll('.chart')]"
    assert page.js(f"{charts}.every((n) => n.querySelector('svg'))")


@needs_browser
def test_directions_and_weights_follow_the_seed(page, results):
    found, chosen = panels(results, 1), []
    directions, weights, truth = (found[n] for n in ("concepts", "weights", "truth"))
    for seed in (0, 1):
        page.js(f"set({{seed: {seed}}})")
        page.settle()
        logits = numbers(weights["logits"])[seed]
        tiles = "[...document.querySelectorAll('[data-logits=B] .amount')]"
        row = page.js(f"{tiles}.map((n) => Number(n.title))")
        np.testing.assert_allclose(row, logits.reshape(-1), rtol=1e-6)
        before = numbers(weights["cosine_before"])[seed][0, 0]
        assert f"{before:.2f}" in text_of(page, "[data-collisions=B] tbody tr")
        marks = f"[data-truth=B] [aria-label^='seed {seed}, restart']"
        assert len(labels_of(page, marks)) == truth["num_restarts"]
        # the seed that is chosen is drawn larger than the other
        wide = "document.querySelector({}).getBBox().width"
        other = marks.replace(f"seed {seed}", f"seed {1 - seed}")
        mine, less = (page.js(wide.format(json.dumps(m))) for m in (marks, other))
        assert mine > less
        own = numbers(directions["own"])[seed]
        (hint,) = labels_of(
            page, f"[data-concepts=B] [aria-label^='mean difference, seed {seed}:']"
        )
        assert float(hint.split()[-1]) == pytest.approx(own[0], abs=2e-3)
        chosen.append(row)
    assert chosen[0] != chosen[1]
    over = directions["own_over_seeds"][0]["estimate"]
    assert over == pytest.approx(numbers(directions["own"])[:, 0].mean())
    gauge = "[data-chart='concepts.convergence'] .gauge_marks path"
    assert len(labels_of(page, f"[data-concepts=A] {gauge}")) == 1  # the other is lost
    merged = weights["merged"][0][0]
    items = "document.querySelectorAll('[data-merged=B] li').length"
    page.js("set({seed: 0})")
    page.settle()
    assert page.js(items) == max(1, len(merged))


@needs_browser
def test_a_click_on_a_seed_chooses_it(page):
    page.click("[data-concepts=B] [aria-label^='logistic, seed 1:']")
    assert page.js("STATE.seed") == 1


@needs_browser
def test_tails_follow_the_seed(page, results):
    tails, shapes = panels(results, 1)["tails"], []
    for seed in (0, 1):
        page.js(f"set({{seed: {seed}, tails: 'pooled'}})")
        page.settle()
        found = "panel(1, 'tails')"
        shape = page.js(
            f"tailInterval(at({found}.shape, {seed}, 0), "
            f"{found}.shape_interval, {seed}, 0)"
        )
        said = text_of(page, "[data-tails=B] .statistics")
        assert f"\u03b2 {shape}" in said.replace("-", "\u2212")
        assert shape.startswith(f"{numbers(tails['shape'])[seed, 0]:.2g}"[:3])
        shapes.append(shape)
    assert shapes[0] != shapes[1]
    assert "no distribution" in text_of(page, "[data-tails=A] h3")


@needs_browser
def test_retargeting_shows_its_numbers(page, results):
    page.js("setClamp({side: 1, strength: 4})")
    page.settle()
    found = panels(results, 1)["retargeting"]
    said = text_of(page, "#retargeting-summary")
    for name in ("clamped_reach", "control_reach"):
        assert f"{100 * numbers(found[name])[0, 0, 4]:.1f}%" in said
    for name in ("original_reach", "moved_reach"):
        assert f"{100 * numbers(found[name])[0, 0]:.1f}%" in said
    x = results["boards"]["state_at"][0]
    state = next(i for row in x for i in row if i >= 0)
    for control, name in ((False, "clamped_value"), (True, "control_value")):
        want = found[name][0][4][0][state]
        got = page.js(f"clampedValue({state}, {str(control).lower()})")
        assert got == pytest.approx(want, abs=1e-6)
    assert "clamp=1.4" in page.js("location.hash")


@needs_browser
def test_an_intervention_shows_its_numbers(page, results):
    page.js("setIntervention({side: 1, kind: 'added', method: 2, strength: 6})")
    page.settle()
    x = results["boards"]["state_at"][0]
    state = next(i for row in x for i in row if i >= 0)
    added = panels(results, 1)["interventions"]["added"]
    got = page.js(f"intervenedValue({state})")
    assert got == pytest.approx(added[0][2][6][0][state], abs=1e-6)
    assert "intervention=1.added.2.6" in page.js("location.hash")


@needs_browser
def test_an_expert_is_switched_off_where_it_was_fitted(page, results):
    fitted, cell = panels(results, 0)["distillation"], page.js("shownCell()")
    x = results["boards"]["state_at"][0][cell[0]][cell[1]]
    each = numbers(fitted["gates"])[0, x] * numbers(fitted["expert_values"])[0, x]
    k = int(np.abs(each).argmax())
    value = results["sides"][0]["outputs"]["value"][-1][0][0][x]
    assert "fitted, not built in" in text_of(page, "[data-experts=A] h3")
    page.click(f"[data-expert=A{k}]")
    got = page.js("cellNumbers(...shownCell()).sides[0]")
    assert got["value"] == pytest.approx(value - each[k], abs=1e-6)
    assert abs(each[k]) > 1e-4
    assert f"expertsOffA={k}" in page.js("location.hash")
    page.js("set({step: 0})")  # another checkpoint has no experts
    page.settle()
    got = page.js("cellNumbers(...shownCell()).sides[0]")
    assert got["value"] == pytest.approx(got["full_value"], abs=1e-7)
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
