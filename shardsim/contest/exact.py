"""Agents that act by the exact values of one utility: a control of the contest.

They need no training: after a history, the utility is the rewards of its last event,
in whatever condition they are asked. Where no context is shown, a source is worth the
mean over contexts. Whoever forecasts by one utility has to win on them, or nothing is
claimed.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.contest import planning
from shardsim.contest.evidence import (
    AgentEvidence,
    Behaviour,
    Evidence,
    Situations,
)
from shardsim.contest.planning import Board
from shardsim.core.jit import jit


def agents(
    like: Evidence, arm: str, temperature: float, discount: float, max_steps: int
) -> tuple[AgentEvidence, ...]:
    """One exact agent in the place of each agent of the evidence.

      pi(a | s) ~ exp(Q*(s, a) / temperature)

    Args:
      like: agents with their histories and seeds, and the conditions.
      arm: the name of the control.
      temperature: in units of reward.
      discount: above 0, below 1.
      max_steps: time limit of an episode.
    """
    layout = planning.layout_of(like.situations)
    behaviour: dict[tuple[bytes, str], Behaviour] = {}
    made = []
    for agent in like.agents:
        own = {}
        for condition in agent.behaviour:
            given = like.situations[condition]
            rewards = np.asarray(agent.history.events[-1].rewards, np.float32)
            key = (rewards.tobytes(), condition)
            if key not in behaviour:
                behaviour[key] = _behave(
                    given, layout, rewards, temperature, discount, max_steps
                )
            own[condition] = behaviour[key]
        made.append(agent._replace(arm=arm, behaviour=own))
    return tuple(made)


def _behave(
    given: Situations,
    layout: planning.Layout,
    rewards: Float[np.ndarray, "C F"],
    temperature: float,
    discount: float,
    max_steps: int,
) -> Behaviour:
    board = planning.boards_of({"": given}, layout.states)
    shown = given.shown[:, :, None] > 0
    best = np.where(shown, rewards[None], -np.inf).max(axis=1)
    weights = np.where(np.isfinite(best), best, rewards.mean(axis=0))
    q = np.asarray(
        _values(
            board,
            jnp.asarray(weights, jnp.float32),
            discount,
            (layout.one_take, layout.sweeps),
        ),
        np.float64,
    )
    logits = (q - q.max(axis=-1, keepdims=True)) / temperature
    own = np.exp(logits)
    own /= own.sum(axis=-1, keepdims=True)
    levels, states, actions = given.successor.shape
    policy = np.full((levels, states, actions), 1 / actions)
    policy[:, layout.states] = own
    occupancy = planning.occupancy(
        given.successor, given.terminated, given.start, policy, max_steps
    )
    return Behaviour(policy, occupancy)


@functools.partial(jit, static_argnums=(2, 3))
def _values(
    board: Board,
    weights: Float[Array, "L F"],
    discount: float,
    plan: tuple[bool, int],
) -> Float[Array, "L S A"]:
    def one(board: Board, weights: Array) -> Array:
        return planning.utility_values(board, weights, discount, *plan)

    return jax.vmap(one)(board, weights)
