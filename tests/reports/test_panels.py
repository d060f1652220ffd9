"""A panel has one name on every floor."""

import dataclasses
import importlib
import importlib.resources
import pkgutil
import re

import pytest

from shardsim import inspection
from shardsim.inspection.interventions import shapley
from shardsim.reports.explorer import html
from shardsim.reports.explorer.panels import PANELS
from shardsim.reports.explorer.panels import shapley as shapley_panel

ASSETS = importlib.resources.files("shardsim.reports.explorer") / "assets"
NOT_INSPECTED = {"curves", "episodes"}
"""What training leaves behind, and what agents do: tools of the evaluation."""


def subjects():
    """Packages of `inspection`, and the modules in them."""
    found = set()
    for package in pkgutil.iter_modules(inspection.__path__):
        found.add(package.name)
        if package.ispkg:
            place = importlib.resources.files(f"shardsim.inspection.{package.name}")
            found |= {path.stem for path in place.iterdir() if path.suffix == ".py"}
    return found


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_a_panel_has_one_name_in_inspection_panels_data_and_assets(panel):
    module = f"shardsim.reports.explorer.panels.{panel.name}"
    assert panel.compute.__module__ == module
    assert panel.name in subjects() | NOT_INSPECTED
    script = (ASSETS / f"{panel.name}.js").read_text()
    assert f'panel(s, "{panel.name}")' in script or f'"{panel.name}")' in script
    assert (ASSETS / f"{panel.name}.html").is_file()
    for chart in panel.charts:
        assert chart.partition(".")[0] == panel.name
        assert f'"{chart}"' in script or f"`{panel.name}.$" in script


def test_every_statistic_of_the_tails_has_a_legend():
    names = re.findall(r'statistic\(\s*"([^"]*)"', (ASSETS / "tails.js").read_text())
    assert len(names) == 4
    legend = (ASSETS / "tails.html").read_text()
    for name in names:
        assert name.replace("\\u03b2", "").split()[0] in legend, name


BY_GROUP_ALONE = {"reflection"}
"""Panels that take from a module of fits only what does not fit."""


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_a_panel_with_iterative_fits_says_whether_they_converged(panel):
    module = importlib.import_module(panel.compute.__module__)
    tools = [
        tool
        for tool in vars(module).values()
        if getattr(tool, "__name__", "").startswith("shardsim.inspection.")
    ]
    searches = any(
        "converged" in getattr(record, "__annotations__", ())
        for tool in tools
        for record in vars(tool).values()
    )
    if panel.name in BY_GROUP_ALONE or not searches:
        return
    returned = panel.compute.__annotations__["return"]
    (record,) = set(getattr(returned, "__args__", (returned,))) - {type(None)}
    assert "fits" in record.__dataclass_fields__, panel.name


def test_some_panels_have_iterative_fits():
    with_fits = {
        panel.name
        for panel in PANELS
        for record in getattr(panel.compute.__annotations__["return"], "__args__", ())
        if "fits" in getattr(record, "__dataclass_fields__", ())
    }
    assert with_fits == {
        *("clusters", "concepts", "context_gradients", "distillation"),
        *("interventions", "truth"),
    }


def test_panels_are_frozen_records_with_names_of_their_own():
    assert len({panel.name for panel in PANELS}) == len(PANELS)
    scripts = {*html.BEFORE_PANELS, *html.AFTER_PANELS, *(p.name for p in PANELS)}
    files = {path.name for path in ASSETS.iterdir() if path.name.endswith(".js")}
    assert files == {f"{name}.js" for name in scripts}
    for panel in PANELS:
        returned = panel.compute.__annotations__["return"]
        (record,) = set(getattr(returned, "__args__", (returned,))) - {type(None)}
        assert dataclasses.is_dataclass(record)
        assert record.__dataclass_params__.frozen
        assert record.__name__.lower() == panel.name.replace("_", "")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_object_removed_alone_is_the_coalition_of_all_others(count):
    coalitions = shapley.coalitions(count)
    for number, place in enumerate(shapley_panel._without_one(count)):
        assert not coalitions[place][number]
        assert coalitions[place].sum() == count - 1
