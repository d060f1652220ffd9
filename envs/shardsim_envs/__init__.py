"""Small grid worlds in pure JAX, most with exact values. The union `World` lists them.

`import shardsim_envs` registers every world with Gymnasium as `shardsim/NAME-v0`. The
actions of all worlds are 0 up, 1 right, 2 down, 3 left.
"""

import typing
from typing import TypeAlias

from shardsim.core import choices
from shardsim_envs.adapters import gymnasium_vector
from shardsim_envs.worlds.absent_supervisor import AbsentSupervisor
from shardsim_envs.worlds.boat_race import BoatRace
from shardsim_envs.worlds.context_fruits import ContextFruits
from shardsim_envs.worlds.corner_maze import CornerMaze
from shardsim_envs.worlds.diamond_ghost import DiamondGhost
from shardsim_envs.worlds.dish_maze import DishMaze
from shardsim_envs.worlds.drug_then_study import DrugThenStudy
from shardsim_envs.worlds.follow_me import FollowMe
from shardsim_envs.worlds.friend_foe import FriendFoe
from shardsim_envs.worlds.fruit_mini import FruitMini
from shardsim_envs.worlds.keys_and_chests import KeysAndChests
from shardsim_envs.worlds.lava_land import LavaLand
from shardsim_envs.worlds.monster_world import MonsterWorld
from shardsim_envs.worlds.reskin import Reskin
from shardsim_envs.worlds.reward_button import RewardButton
from shardsim_envs.worlds.tomato_watering import TomatoWatering
from shardsim_envs.worlds.tree_gridworld import TreeGridworld
from shardsim_envs.worlds.two_routes import TwoRoutes
from shardsim_envs.worlds.whisky_gold import WhiskyGold

World: TypeAlias = (
    ContextFruits
    | CornerMaze
    | DishMaze
    | FollowMe
    | KeysAndChests
    | LavaLand
    | MonsterWorld
    | TreeGridworld
    | DiamondGhost
    | FruitMini
    | WhiskyGold
    | AbsentSupervisor
    | TomatoWatering
    | BoatRace
    | FriendFoe
    | TwoRoutes
    | RewardButton
    | Reskin
    | DrugThenStudy
)

__all__ = [
    "AbsentSupervisor",
    "BoatRace",
    "ContextFruits",
    "CornerMaze",
    "DiamondGhost",
    "DishMaze",
    "DrugThenStudy",
    "FollowMe",
    "FriendFoe",
    "FruitMini",
    "KeysAndChests",
    "LavaLand",
    "MonsterWorld",
    "Reskin",
    "RewardButton",
    "TomatoWatering",
    "TreeGridworld",
    "TwoRoutes",
    "WhiskyGold",
    "World",
]

gymnasium_vector.register(typing.get_args(World))
choices.declare("worlds", World, lambda world: gymnasium_vector.register((world,)))
