"""The page in a browser: the mouse, the slider, the keys, and what they show.

Chromium is driven through its own protocol on a pipe, without a library.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SIZES = {"desktop": (1400, 900), "phone": (400, 800)}

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium here")


class Tab:
    """One page; what its console said and what it asked the network for."""

    def __init__(self, read, write):
        self.read, self.write = read, write
        self.rest, self.count, self.session = b"", 0, None
        self.said, self.asked = [], []

    def call(self, method, **params):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self.count:
                assert "error" not in found, found
                return found["result"]
            self._event(found)

    def _next(self):
        while b"\0" not in self.rest:
            chunk = os.read(self.read, 1 << 20)
            assert chunk, "the browser went away"
            self.rest += chunk
        first, self.rest = self.rest.split(b"\0", 1)
        return json.loads(first)

    def _event(self, found):
        method, params = found.get("method"), found.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.said.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.said.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.said.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])

    def js(self, code):
        """The value of an expression; promises are awaited."""
        out = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in out, out["exceptionDetails"]
        return out["result"].get("value")

    def settle(self):
        """Let what was asked for be drawn."""
        self.js("new Promise(r => requestAnimationFrame(() => setTimeout(r, 60)))")

    def open(self, url):
        self.call("Page.navigate", url=url)
        for _ in range(400):
            if self.js("document.documentElement?.dataset.ready") is not None:
                return self.settle()
            time.sleep(0.05)
        raise AssertionError(f"never ready: {self.said}")

    def at(self, selector, x=0.5, y=0.5):
        """A place inside an element, scrolled into view."""
        return self.js(
            f"(() => {{ const n = document.querySelector({json.dumps(selector)});"
            "n.scrollIntoView({block: 'center'}); const b = n.getBoundingClientRect();"
            f"return [b.left + {x} * b.width, b.top + {y} * b.height]; }})()"
        )

    def mouse(self, kind, place, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **more)

    def click(self, selector):
        self.hover(selector, 0.5, 0.5)
        place = self.at(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, place, button="left", clickCount=1)
        self.settle()

    def hover(self, selector, x, y):
        self.mouse("mouseMoved", self.at(selector, x, y))
        self.settle()

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code)
        self.settle()


@contextlib.contextmanager
def tab(folder, width, height):
    """A fresh headless browser with one page of a size."""
    there, out = os.pipe()
    back, here = os.pipe()
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu"]
    words += ["--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
    words += [f"--window-size={width},{height}", "about:blank"]
    # the protocol speaks on descriptors 3 and 4
    script = f'exec "$@" 3<&{there} 4>&{here}'
    process = subprocess.Popen(
        ["bash", "-c", script, "sh", *words],
        pass_fds=(there, here),
        stderr=subprocess.DEVNULL,
    )
    os.close(there)
    os.close(here)
    page = Tab(back, out)
    try:
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.call(
            "Target.attachToTarget", targetId=target, flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        yield page
    finally:
        process.terminate()
        process.wait(20)
        os.close(out)
        os.close(back)


@pytest.fixture(scope="module", params=SIZES.values(), ids=SIZES)
def shown(request, tiny_page, tmp_path_factory):
    """The page, open, and its numbers."""
    with tab(tmp_path_factory.mktemp("chrome"), *request.param) as page:
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
    assert results["about"]["question"] in text


def test_the_table_downloads_what_the_page_shows(shown):
    page, results = shown
    fresh(page)
    head, first, *_ = page.js("cellRows()")
    assert head[:4] == ["row", "column", "exact", "A value"]
    want = wanted(results, 0, (first[0], first[1]))
    assert first[3] == pytest.approx(want["value"], abs=1e-6)


def test_the_console_is_heard(shown):
    """The control: a page that throws is seen to throw."""
    page, _ = shown
    before = len(page.said)
    page.js("setTimeout(() => { throw new Error('heard') }, 0)")
    page.settle()
    assert any("heard" in line for line in page.said[before:])
