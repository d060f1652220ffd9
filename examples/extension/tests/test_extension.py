"""The laws that shardsim's own heads, worlds, measures and tools keep."""

from pathlib import Path

from shardsim_example.heads import TwoNetworks
from shardsim_example.measures import MeanValue
from shardsim_example.tools import Optimism
from shardsim_example.worlds import Corridor

import shardsim
from shardsim import testing
from shardsim.inspection import extensions


def test_head():
    testing.check_head(TwoNetworks())


def test_world():
    testing.check_world(Corridor(length=5, max_steps=10))


def test_measure():
    testing.check_measure(MeanValue(), Corridor(length=5))


def test_tool():
    testing.check_tool(Optimism())


def test_configs_and_pages_know_all_four_once_the_package_is_installed():
    config = shardsim.config(Path(__file__).parents[1] / "corridor.yaml")
    assert isinstance(config.env, Corridor)
    assert isinstance(config.arms["two"].head, TwoNetworks)
    assert isinstance(config.predictions["mean"].measure, MeanValue)
    assert any(isinstance(tool, Optimism) for tool in extensions.tools())
