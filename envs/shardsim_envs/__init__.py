"""Small worlds with exact answers, in pure JAX. The union is the only list.

Importing this registers every world with Gymnasium, as `shardsim/NAME-v0`.
"""

import typing
from typing import TypeAlias

from shardsim_envs import gym_vector
from shardsim_envs.absent_supervisor import AbsentSupervisor
from shardsim_envs.boat_race import BoatRace
from shardsim_envs.context_fruits import ContextFruits
from shardsim_envs.corner_maze import CornerMaze
from shardsim_envs.diamond_ghost import DiamondGhost
from shardsim_envs.dish_maze import DishMaze
from shardsim_envs.drug_then_study import DrugThenStudy
from shardsim_envs.follow_me import FollowMe
from shardsim_envs.friend_foe import FriendFoe
from shardsim_envs.fruit_mini import FruitMini
from shardsim_envs.keys_and_chests import KeysAndChests
from shardsim_envs.lava_land import LavaLand
from shardsim_envs.monster_world import MonsterWorld
from shardsim_envs.reskin import Reskin
from shardsim_envs.reward_button import RewardButton
from shardsim_envs.tomato_watering import TomatoWatering
from shardsim_envs.tree_gridworld import TreeGridworld
from shardsim_envs.two_routes import TwoRoutes
from shardsim_envs.whisky_gold import WhiskyGold

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

gym_vector.register(typing.get_args(World))
