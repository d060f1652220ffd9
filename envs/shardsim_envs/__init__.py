"""Small worlds with exact answers, in pure JAX. The union is the only list."""

from typing import TypeAlias

from shardsim_envs.context_fruits import ContextFruits
from shardsim_envs.corner_maze import CornerMaze

World: TypeAlias = ContextFruits | CornerMaze

__all__ = ["ContextFruits", "CornerMaze", "World"]
