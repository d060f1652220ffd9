"""Ways to what pays most: the chance to get there, and along a shortest path.

Symbols: C checkpoints, N seeds, M mazes, X states of a maze.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from shardsim.core import jit
from shardsim.evaluation import battery
from shardsim.inspection.fields import reachability
from shardsim.reports.explorer import forward
from shardsim.reports.explorer.forward import Boards, Whole
from shardsim.reports.explorer.load import Gathered

MOST_SOLVED = 600
"""States of a level up to which ways to the goal are solved for exactly."""


def chances(
    gathered: Gathered, whole: Whole, condition: battery.Condition, boards: Boards
) -> dict[str, np.ndarray]:
    """Chance to get to what pays most, and along a shortest path a step."""
    states = condition.optimal.shape[1]
    if states > MOST_SOLVED:
        return {}
    count = len(gathered.mazes)
    mazes = forward.some(condition, 0, count)
    mazed = Whole(*(leaf[:, :, :count] for leaf in whole))
    chosen = forward.policy(mazed, mazes, gathered.how)
    reach, path = [], []
    for m in range(count):
        table = jax.tree.map(lambda leaf, m=m: np.asarray(leaf[m]), mazes.table)
        there = goal(table, mazes.reachable[m])
        raw = chosen[:, :, m].astype(np.float64)
        # where V is no number nobody goes anywhere, and the page says so
        lost = np.asarray(~np.isfinite(raw).all(axis=(-2, -1)))[..., None]
        policy = np.where(lost[..., None], 0, raw)
        kept = np.maximum(boards.kept[m], 0)
        found = reachability.reach_probability(
            table.successor, policy, table.terminated, there
        )
        reach.append(np.where(lost, np.nan, found.probability[..., kept]))
        path.append(np.where(lost, np.nan, _paths(table, policy, there)[..., kept]))
    return {
        "reach": np.stack(reach, axis=2).astype(np.float32),
        "path": np.stack(path, axis=2).astype(np.float32),
    }


def goal(table: Any, reachable: np.ndarray) -> np.ndarray:
    """States in which an episode ends with the most that an end pays."""
    ends = np.where(table.terminated & reachable[:, None], table.reward, -np.inf)
    best = np.where(ends >= max(ends.max(), 1e-6) - 1e-6)
    goal = np.zeros(len(reachable), bool)
    goal[table.successor[best]] = True
    return goal


@jit.program
def _walked(successor: Any, policy: Any, terminated: Any, goal: Any) -> Any:
    def one(policy: Any) -> Any:
        return reachability.path_probability(
            successor, policy, terminated, goal
        ).geometric

    return jax.vmap(jax.vmap(one))(policy)


def _paths(table: Any, policy: np.ndarray, goal: np.ndarray) -> np.ndarray:
    arrays = (table.successor, policy.astype(np.float32), table.terminated, goal)
    return np.asarray(_walked(*map(jnp.asarray, arrays)))
