"""Chromium driven through its own protocol on a pipe, without a library."""

import contextlib
import json
import os
import shutil
import subprocess
import time

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SIZES = {"desktop": (1400, 900), "phone": (400, 800)}


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
