"""What a forecaster knows of a level: how far each source is, and what a utility plans.

A level is a deterministic graph: successor, what a step takes, whether it ends the
episode. Everything here is exact and differentiable in weights and discount, so that a
forecaster can be fitted through it.

Symbols: B boards (a level of a condition), L levels, S states that an episode can be
in, A actions, C contexts, F sources of reward.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.contest.evidence import Situations
from shardsim.core.types import Scalar


class Board(NamedTuple):
    """One level, in the states that an episode can be in.

    The leaves of several boards have a leading axis B.
    """

    successor: Int[Array, "*B S A"]
    """The state that follows; 0 where the step ends the episode."""
    taken: Float[Array, "*B S A F"]
    """1 where the step takes source f."""
    terminated: Bool[Array, "*B S A"]
    steps: Float[Array, "*B S A F"]
    """Steps, this one included, until source f is first taken, on the shortest path
    that goes on until then; 0: no path takes it."""
    shown: Float[Array, "*B C"]
    """1 for each context that the level shows."""


class Layout(NamedTuple):
    """What the boards of a contest have in common."""

    states: Int[np.ndarray, " S"]
    """Which states of the situations the boards hold."""
    one_take: bool
    """Whether exactly the steps that take something end the episode, and another step
    is always possible: a plan then takes once, or never."""
    sweeps: int
    """Sweeps after which the value of a utility is exact, where no source recurs."""


def layout_of(situations: Mapping[str, Situations]) -> Layout:
    """The layout that holds all levels of all conditions.

    Raises:
      ValueError: conditions differ in their number of levels or states.
    """
    merged = _merged(situations)
    reachable = merged["reachable"]
    board = boards_of(situations, np.flatnonzero(reachable.any(axis=0)))
    states = np.flatnonzero(reachable.any(axis=0))
    takes = np.asarray(board.taken > 0).any(axis=-1)
    ends_by_taking = (np.asarray(board.terminated) == takes).all(axis=-1)
    goes_on = ~takes.all(axis=-1)
    one_take = bool((ends_by_taking & goes_on)[reachable[:, states]].all())
    longest = int(np.asarray(board.steps).max(initial=0))
    sources = board.taken.shape[-1]
    return Layout(states, one_take, max(1, longest * (1 if one_take else sources)))


def boards_of(
    situations: Mapping[str, Situations], states: Int[np.ndarray, " S"]
) -> Board:
    """The levels of all conditions: board b is level b // D in condition b % D of D.

    Args:
      situations: by condition; all have the same number of levels and states.
      states: which states to hold: all that an episode can be in.

    Raises:
      ValueError: conditions differ in their number of levels or states.
    """
    merged = _merged(situations)
    place = np.zeros(merged["successor"].shape[1], np.int32)
    place[states] = np.arange(len(states))
    taken = merged["taken"][:, states].astype(np.float32)
    follows = merged["successor"][:, states]
    # a state that no episode is in may lead anywhere: it counts as an end
    reached = np.take_along_axis(
        merged["reachable"], follows.reshape(len(follows), -1), axis=1
    ).reshape(follows.shape)
    terminated = merged["terminated"][:, states] | ~reached
    successor = np.where(terminated, 0, place[follows]).astype(np.int32)
    return Board(
        jnp.asarray(successor),
        jnp.asarray(taken),
        jnp.asarray(terminated),
        jnp.asarray(_steps(successor, taken, terminated)),
        jnp.asarray(merged["shown"], jnp.float32),
    )


def _merged(situations: Mapping[str, Situations]) -> dict[str, np.ndarray]:
    """Fields of all conditions, [B, ...], level by level: the first levels of all
    conditions come first."""
    each = list(situations.values())
    shapes = {one.successor.shape for one in each}
    if len(shapes) != 1:
        raise ValueError(
            f"conditions: got shapes [L, S, A] {sorted(shapes)}; allowed: the same for "
            "all conditions"
        )
    return {
        field: np.stack([getattr(one, field) for one in each], axis=1).reshape(
            -1, *getattr(each[0], field).shape[1:]
        )
        for field in ("successor", "taken", "terminated", "reachable", "shown")
    }


def _steps(
    successor: Int[np.ndarray, "B S A"],
    taken: Float[np.ndarray, "B S A F"],
    terminated: Bool[np.ndarray, "B S A"],
) -> Float[np.ndarray, "B S A F"]:
    """Steps until a source is first taken; 0 where it never is."""
    never = np.float32(np.inf)
    level = np.arange(len(successor))[:, None, None]
    steps = np.where(taken > 0, np.float32(1), never)
    while True:
        after = steps.min(axis=2)[level, successor] + 1
        after[terminated] = never
        new = np.minimum(steps, after)
        if (new == steps).all():
            break
        steps = new
    return np.where(np.isfinite(steps), steps, 0).astype(np.float32)


def goal_values(board: Board, discount: Scalar) -> Float[Array, "S A F"]:
    """Q of each source as the only goal, with reward 1 when it is first taken.

      Q_f(s, a) = discount^(steps_f(s, a) - 1), 0 where it can't be taken

    Args:
      discount: above 0, below 1.
    """
    powers = jnp.exp(jnp.log(discount) * (board.steps - 1.0))
    return jnp.where(board.steps > 0, powers, 0.0)


def utility_values(
    board: Board,
    weights: Float[Array, " F"],
    discount: Scalar,
    one_take: bool,
    sweeps: int,
) -> Float[Array, "S A"]:
    """Q* of one utility, which pays weights[f] whenever source f is taken.

      Q(s, a) = sum_f taken_f(s, a) w_f + discount (1 - end) max_b Q(s', b)

    Where a plan takes once or never, the best of all plans is known in closed form: the
    source that is worth most when its distance is discounted, or none.

    Args:
      board: one level.
      weights: of any sign.
      discount: above 0, below 1.
      one_take: of the boards.
      sweeps: of value iteration, where `one_take` is False.
    """
    now = board.taken @ weights
    if one_take:
        plans = (goal_values(board, discount) * weights[None, None]).max(axis=-1)
        return jnp.where(board.terminated, now, jnp.maximum(plans, 0.0))

    def sweep(q: Array, _: None) -> tuple[Array, None]:
        value = q.max(axis=-1)
        later = jnp.where(board.terminated, 0.0, value[board.successor])
        return now + discount * later, None

    return jax.lax.scan(sweep, now, None, length=sweeps)[0]


def occupancy(
    successor: Int[np.ndarray, "L S A"],
    terminated: Bool[np.ndarray, "L S A"],
    start: Int[np.ndarray, " L"],
    policy: Float[np.ndarray, "L S A"],
    steps: int,
) -> Float[np.ndarray, "L S"]:
    """Expected share of the decisions of an episode that are made in each state.

    Args:
      policy: probabilities over actions.
      steps: time limit of an episode.

    Returns:
      Sums to 1 in every level.
    """
    levels, states, _ = successor.shape
    level = np.arange(levels)
    there = np.zeros((levels, states))
    there[level, start] = 1.0
    total = np.zeros_like(there)
    flat = (successor + level[:, None, None] * states).reshape(-1)
    for _ in range(steps):
        total += there
        moved = np.where(terminated, 0.0, there[:, :, None] * policy).reshape(-1)
        there[:] = np.bincount(flat, moved, levels * states).reshape(there.shape)
    return total / total.sum(axis=1, keepdims=True)
