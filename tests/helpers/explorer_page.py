"""The numbers of an explorer page, read back from its HTML."""

import base64
import json
import re

import numpy as np


def numbers(page):
    return json.loads(page.with_suffix(".results.json").read_text())


def data_of(page):
    text = page.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found[1])


def decoded(leaf):
    array = np.frombuffer(base64.b64decode(leaf["data"]), "<" + leaf["$"])
    return array.reshape(leaf["shape"])


def same(a, b, place=""):
    """Every array of the page is in results.json, and nothing else differs."""
    if isinstance(a, dict) and "$" in a:
        wanted = np.asarray(b, float) if b else np.zeros(a["shape"])
        found = decoded(a).astype(float)
        found[~np.isfinite(found)] = np.nan  # JSON has no infinity: null
        np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=place)
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            same(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), place
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{place}.{i}")
    else:
        assert a == b, place
