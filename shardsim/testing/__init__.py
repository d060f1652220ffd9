"""Checks of extensions: the laws that shardsim's own heads, worlds and measures keep.

One call in a test of a package of one's own checks a head, a world, a measure or a
tool. What breaks a law raises an `AssertionError` that says which.
"""

from shardsim.testing.heads import check_head
from shardsim.testing.measures import check_measure
from shardsim.testing.tools import check_tool
from shardsim.testing.worlds import check_world

__all__ = ["check_head", "check_measure", "check_tool", "check_world"]
