"""P1 and P3: which of two goals an agent pursues at the square where their ways part.

In training the cheese lies in the corner region, so "go to the cheese" and "go to the
corner" predict the same behaviour. They differ at the decision square of a level whose
cheese lies elsewhere. Symbols: N seeds, M levels with such a square, A actions.
"""

import functools
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from shardsim.core import dynamic_programming, fields
from shardsim.core.jit import jit
from shardsim.evaluation import battery, exact_policies
from shardsim.evaluation.measures import base


@runtime_checkable
class HasDecisions(Protocol):
    """An environment in which the ways to two goals part at one square."""

    @property
    def corner(self) -> tuple[int, int]: ...

    def decision(self, level: Any) -> Any:
        """The decision square of a level, as a `mazes.Decision`."""
        ...

    def as_trained(self, level: Any) -> Any:
        """Whether the goal lies where it lay in training."""
        ...


class Squares(NamedTuple):
    """The decision squares of a condition."""

    level: Int[np.ndarray, " M"]
    """Index of the level."""
    state: Int[np.ndarray, " M"]
    """Index of the state with the agent at the square."""
    to_goal: Int[np.ndarray, " M"]
    """Action towards the cheese."""
    to_corner: Int[np.ndarray, " M"]
    """Action towards the corner."""
    corner: Int[np.ndarray, " M"]
    """Index of the state with the agent in the corner."""
    features: Float[np.ndarray, "M 4"]
    """Euclid(cheese, corner), steps(square, cheese), steps(square, corner),
    Euclid(square, cheese)."""


def squares(evidence: base.Evidence, name: str) -> Squares:
    """The decision squares of the levels whose cheese lies outside the corner region.

    Squares next to the cheese do not count. A one-step lookahead sees the reward there,
    so V does not decide.

    Args:
      name: the condition.

    Raises:
      ValueError: the environment has no decision squares.
    """
    env, condition = evidence.env, evidence.conditions[name]
    if not isinstance(env, HasDecisions):
        raise ValueError(
            "measure: needs an environment with decision squares; allowed: corner_maze"
        )
    decision = jit(jax.vmap(env.decision))(condition.levels)
    trained = jit(jax.vmap(env.as_trained))(condition.levels)
    # one step from the cheese the lookahead sees its reward, whatever V is
    value_decides = decision.exists & (decision.steps_to_cheese > 1)
    level = np.flatnonzero(np.asarray(value_decides & ~trained))
    columns = (
        decision.cheese_from_corner,
        decision.steps_to_cheese,
        decision.steps_to_corner,
        decision.cheese_from_cell,
    )
    features = np.stack([np.asarray(c, np.float64) for c in columns], axis=-1)
    return Squares(
        level,
        _states_at(evidence, condition, np.asarray(decision.cell))[level],
        np.asarray(decision.to_cheese)[level],
        np.asarray(decision.to_corner)[level],
        _states_at(evidence, condition, np.asarray(env.corner))[level],
        features[level],
    )


def _states_at(
    evidence: base.Evidence, condition: battery.Condition, cell: np.ndarray
) -> Int[np.ndarray, " L"]:
    """In each level, the index of the first state with the agent on a cell."""
    position = np.asarray(battery.positions(evidence.env, condition.levels))
    cells = np.broadcast_to(cell, (len(position), 2))
    return (position == cells[:, None]).all(axis=-1).argmax(axis=-1)


@fields.record
class TwoGoals:
    """P1: does the agent pursue both goals, and reach each of them?"""

    NEEDS: ClassVar[type] = HasDecisions

    ABOUT: ClassVar[str] = "return"
    METRIC: ClassVar[str] = "competent pursuit of both goals"
    UNIT: ClassVar[str] = "probability"
    kind: Literal["two_goals"] = "two_goals"
    condition: str = "anywhere"
    """Condition that is measured."""

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """2 min(mean p k, mean (1 - p) k'), in [0, 1].

        p is P(action towards the cheese | action towards one of the two goals) at a
        decision square. k and k' are the probabilities of reaching the cheese and the
        corner within the time limit after the first step towards them. Means are over
        squares; without squares there is no number. 0 means that the agent pursues one
        goal alone; 1 means that it takes both ways equally often and always arrives.
        """
        condition = evidence.conditions[self.condition]
        at = squares(evidence, self.condition)
        acting = evidence.acting
        rows: dict[str, np.ndarray] = {}
        weights = base.level_weights(evidence)
        details = [base.detail(None, "decision squares", "squares", len(at.level))]
        for arm, readings in evidence.readings.items():
            reading = readings[self.condition]
            policy = exact_policies.policy(
                reading.value, reading.policy_logits, condition, acting
            )
            at_square = policy[:, at.level, at.state]
            index = np.arange(len(at.level))
            cheese = at_square[:, index, at.to_goal]
            corner = at_square[:, index, at.to_corner]
            p = cheese / np.maximum(cheese + corner, 1e-12)
            taken = (p, 1 - p)
            reached = (
                p * _reach(policy, condition, at, "cheese", acting.max_steps),
                (1 - p) * _reach(policy, condition, at, "corner", acting.max_steps),
            )
            rows[arm] = 2 * np.minimum(
                *(_weighted_mean(each, weights[:, at.level]) for each in reached)
            )
            details += [
                base.detail(arm, f"P({what})", "probability", _mean(x))
                for what, x in (
                    ("takes the way to the cheese", taken[0]),
                    ("takes it and reaches the cheese", reached[0]),
                    ("takes the way to the corner", taken[1]),
                    ("takes it and reaches the corner", reached[1]),
                )
            ]
        return base.resampled(rows, weights.shape[1], details)


def _weighted_mean(
    x: Float[np.ndarray, "N M"], weights: Float[np.ndarray, "rows M"]
) -> Float[np.ndarray, "rows N"]:
    """Mean over squares for each row of weights; NaN where none has a weight."""
    total = weights.sum(axis=1, keepdims=True)
    return (weights @ x.T) / np.where(total > 0, total, np.nan)


def _mean(x: Float[np.ndarray, "N M"]) -> Float[np.ndarray, " N"]:
    """Mean over squares; NaN if there are none."""
    return x.mean(axis=1) if x.shape[1] else np.full(len(x), np.nan)


def _reach(
    policy: Float[np.ndarray, "N L S A"],
    condition: battery.Condition,
    at: Squares,
    goal: Literal["cheese", "corner"],
    steps: int,
) -> Float[np.ndarray, "N M"]:
    """P(reach the goal within `steps` | first step towards it), from every square.

    It is the value of a reward of 1 on arrival, undiscounted, after which the episode
    ends.
    """
    table = jax.tree.map(lambda leaf: leaf[at.level], condition.table)
    if goal == "corner":
        hit = table.successor == jnp.asarray(at.corner)[:, None, None]
    else:
        hit = table.terminated
    goal_table = table._replace(
        reward=hit.astype(jnp.float32), terminated=hit | table.terminated
    )
    first_action = at.to_corner if goal == "corner" else at.to_goal
    index = np.arange(len(at.level))
    arrived = np.asarray(goal_table.reward)[index, at.state, first_action]
    value = np.asarray(
        _reach_probability(
            goal_table, jnp.asarray(policy[:, at.level], jnp.float32), steps
        )
    )
    after = np.asarray(table.successor)[index, at.state, first_action]
    return np.maximum(value[:, index, after], arrived)


@functools.partial(jit, static_argnums=2)
def _reach_probability(
    goal_table: dynamic_programming.TransitionTable, policies: jax.Array, steps: int
) -> jax.Array:
    """Probability, from every state, of the one reward in `goal_table`."""

    def one(table: dynamic_programming.TransitionTable, policy: jax.Array) -> jax.Array:
        return dynamic_programming.policy_value(table, policy, 1.0, steps)

    return jax.vmap(jax.vmap(one), in_axes=(None, 0))(goal_table, policies)


@fields.record
class GoalDistanceSlope:
    """P3: does the preference for the cheese fall with distance from the corner?"""

    NEEDS: ClassVar[type] = HasDecisions

    ABOUT: ClassVar[str] = "bid"
    METRIC: ClassVar[str] = (
        "fall of the preference for the cheese with its distance from the corner"
    )
    UNIT: ClassVar[str] = "standardised coefficient"
    kind: Literal["goal_distance_slope"] = "goal_distance_slope"
    condition: str = "anywhere"
    """Condition that is measured."""

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """Standardised coefficient of Euclid(cheese, corner) at decision squares.

        Ordinary least squares of the preference Q(to the cheese) - Q(to the corner) on
        four features: Euclid(cheese, corner), steps(square, cheese), steps(square,
        corner), Euclid(square, cheese). All are standardised. The lengths of both ways
        are regressors, so they are held fixed. 0 if the preference does not vary; no
        number with four squares or fewer.
        """
        condition = evidence.conditions[self.condition]
        at = squares(evidence, self.condition)
        names = (
            "Euclid(cheese, corner)",
            "steps(square, cheese)",
            "steps(square, corner)",
            "Euclid(square, cheese)",
        )
        rows: dict[str, np.ndarray] = {}
        weights = base.level_weights(evidence)
        details = [base.detail(None, "decision squares", "squares", len(at.level))]
        for arm, readings in evidence.readings.items():
            q = exact_policies.q_values(
                readings[self.condition].value, condition, evidence.acting.discount
            )
            q = q[:, at.level, at.state]
            index = np.arange(len(at.level))
            preference = q[:, index, at.to_goal] - q[:, index, at.to_corner]
            slopes = _coefficients(preference, at.features, weights[:, at.level])
            rows[arm] = slopes[..., 0]
            details += [
                base.detail(arm, f"coefficient of {name}", "standardised", slope)
                for name, slope in zip(names, slopes[0].mean(axis=0), strict=True)
            ]
        return base.resampled(rows, weights.shape[1], details)


def _coefficients(
    y: Float[np.ndarray, "N M"],
    x: Float[np.ndarray, "M 4"],
    weights: Float[np.ndarray, "rows M"],
) -> Float[np.ndarray, "rows N 4"]:
    """Standardised coefficients of a regression of weighted squares.

    NaN where four squares or fewer have a weight, 0 if y does not vary. The correlation
    matrix is inverted on its range, which gives the shortest of several solutions.
    """
    total = weights.sum(axis=1, keepdims=True)
    share = weights / np.where(total > 0, total, 1.0)
    columns = np.concatenate([x.T, y.astype(np.float64)])  # [4 + N, M]
    columns = columns - columns.mean(axis=1, keepdims=True)
    mean = share @ columns.T
    second = np.einsum("rm,im,jm->rij", share, x.T - x.mean(axis=0)[:, None], columns)
    covariance = second - mean[:, :4, None] * mean[:, None]
    variance = np.maximum(share @ np.square(columns.T) - np.square(mean), 0.0)
    spread = np.sqrt(variance)
    varies = spread > 1e-9
    scale = np.where(varies, spread, 1.0)
    correlation = covariance / scale[:, :4, None] / scale[:, None]
    inverse = np.linalg.pinv(correlation[:, :, :4], rcond=1e-10, hermitian=True)
    slopes = np.einsum("rij,rjn->rni", inverse, correlation[:, :, 4:])
    slopes = np.where(varies[:, 4:, None], slopes, 0.0)
    enough = (weights > 0).sum(axis=1) > x.shape[1]
    return np.where(enough[:, None, None], slopes, np.nan)
