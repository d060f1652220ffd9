"""Figures of a report draw whatever a config may hold."""

import numpy as np
from matplotlib import colors

from shardsim.comparison import boards, figures


def test_figures_take_names_as_they_are():
    """Dollars begin a formula in matplotlib, and what is none ends in an error."""
    effect = {"estimate": 0.1, "low": None, "high": None}
    entry = {
        "rule": {"direction": "greater", "margin": 0.1},
        "effect": effect,
        "stands": True,
        "values": {"mlp": [0.1]},
        "levels": {"mlp": effect},
    }
    asked = {r"cost $\frac{$": entry}
    for picture in (figures.forest(asked), figures.seeds(asked, ["mlp"])):
        assert picture.startswith("<?xml")


def test_what_is_below_zero_is_drawn(monkeypatch):
    """Where steps cost, values and returns are negative too."""
    level = {"place": "c/0", "condition": "c", "context": [], "glyphs": {}}
    value = np.array([[-2.0, -1.0]])
    fine, move = np.ones((1, 2), bool), np.zeros((1, 2, 2))
    found = {"c/0/optimal": value, "c/0/walls": ~fine, "c/0/reachable": fine}
    found |= {"exact/c/0/move": move, "mlp/c/0/move": move, "mlp/c/0/value": value}
    norms = []

    def noted(*ends):
        norms.append(ends)
        return colors.Normalize(*ends)

    monkeypatch.setattr(boards, "Normalize", noted)
    boards.values(found, [level], ["mlp"])
    assert norms == [(-2.0, -1.0)]
