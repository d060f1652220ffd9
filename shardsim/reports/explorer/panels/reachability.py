"""Does the agent get to the best reward, and along a shortest path?

Symbols: C checkpoints, N seeds, M mazes, X states of a maze, S states.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from shardsim.core import jit
from shardsim.inspection.fields import reachability
from shardsim.reports.explorer import forward
from shardsim.reports.explorer.forward import Predictions
from shardsim.reports.explorer.panels import base

MOST_STATES = 600
"""Largest level for which reaching the goal is solved exactly."""


@dataclasses.dataclass(frozen=True)
class Reachability:
    """From every state of the mazes; NaN where V is not finite."""

    reach: Float[np.ndarray, "C N M X"]
    """Probability to reach the best reward."""
    path: Float[np.ndarray, "C N M X"]
    """Geometric mean of the probability per step along shortest paths to it."""


def compute(context: base.PanelContext) -> Reachability | None:
    """None for levels that are too large."""
    if context.condition.optimal.shape[1] > MOST_STATES:
        return None
    count = context.num_mazes
    condition = forward.select_levels(context.condition, 0, count)
    predictions = Predictions(*(leaf[:, :, :count] for leaf in context.predictions))
    policies = forward.policy(predictions, condition, context.inputs.acting)
    reach, path = [], []
    for m in range(count):
        table = jax.tree.map(lambda leaf, m=m: np.asarray(leaf[m]), condition.table)
        goal = best_ends(table, condition.reachable[m])
        raw = policies[:, :, m].astype(np.float64)
        # where V is not finite there is no policy, and the page shows a dash
        is_lost = np.asarray(~np.isfinite(raw).all(axis=(-2, -1)))[..., None]
        policy = np.where(is_lost[..., None], 0, raw)
        states = np.maximum(context.mazes.states[m], 0)
        reached = reachability.reach_probability(
            table.successor, policy, table.terminated, goal
        )
        paths = _path_probability(table, policy, goal)
        reach.append(np.where(is_lost, np.nan, reached.probability[..., states]))
        path.append(np.where(is_lost, np.nan, paths[..., states]))
    return Reachability(
        np.stack(reach, axis=2).astype(np.float32),
        np.stack(path, axis=2).astype(np.float32),
    )


def best_ends(table: Any, reachable: Bool[np.ndarray, " S"]) -> Bool[np.ndarray, " S"]:
    """States in which an episode ends with the largest final reward."""
    ends = np.where(table.terminated & reachable[:, None], table.reward, -np.inf)
    best = np.where(ends >= max(ends.max(), 1e-6) - 1e-6)
    goal = np.zeros(len(reachable), bool)
    goal[table.successor[best]] = True
    return goal


@jit.jit
def _geometric_means(successor: Any, policy: Any, terminated: Any, goal: Any) -> Any:
    def one(policy: Any) -> Any:
        return reachability.path_probability(
            successor, policy, terminated, goal
        ).geometric

    return jax.vmap(jax.vmap(one))(policy)


def _path_probability(table: Any, policy: np.ndarray, goal: np.ndarray) -> np.ndarray:
    arrays = (table.successor, policy.astype(np.float32), table.terminated, goal)
    return np.asarray(_geometric_means(*map(jnp.asarray, arrays)))
