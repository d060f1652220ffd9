"""P1 and P3: what an agent does where the ways to two goals part.

In training the cheese lies in the corner region, so that "go to the cheese" and "go to
the corner" can't be told apart; at a decision square of a level whose cheese lies
elsewhere they can. Symbols: M levels with such a square, A actions.
"""

import functools
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from shardsim.core import dynamic_programming, fields
from shardsim.core.jit import jit
from shardsim.evaluation import battery
from shardsim.evaluation.measures import base


@runtime_checkable
class HasDecisions(Protocol):
    """A world in which the ways to two goals part at one square."""

    @property
    def corner(self) -> tuple[int, int]: ...

    def decision(self, level: Any) -> Any:
        """The decision square of a level; see `squares` for what is read of it."""
        ...

    def as_trained(self, level: Any) -> Any:
        """Whether the goal lies where it lay in training."""
        ...


class Squares(NamedTuple):
    """The levels of a condition in which there is something to decide."""

    level: Int[np.ndarray, " M"]
    """Which level of the condition."""
    state: Int[np.ndarray, " M"]
    """Index of the state at the square."""
    to_goal: Int[np.ndarray, " M"]
    """The action towards the cheese."""
    to_corner: Int[np.ndarray, " M"]
    corner: Int[np.ndarray, " M"]
    """Index of the state in the corner."""
    features: Float[np.ndarray, "M 4"]
    """Euclid(cheese, corner), steps(square, cheese), steps(square, corner),
    Euclid(square, cheese)."""


def squares(evidence: base.Evidence, name: str) -> Squares:
    """The decision squares of levels whose cheese lies outside the region.

    Squares next to the cheese are left out: V does not decide there.
    """
    env, condition = evidence.env, evidence.conditions[name]
    if not isinstance(env, HasDecisions):
        raise ValueError(
            "measure: needs a world with decision squares; allowed: corner_maze"
        )
    found = jit(jax.vmap(env.decision))(condition.levels)
    trained = jit(jax.vmap(env.as_trained))(condition.levels)
    # one step from the cheese the look ahead sees its reward, whatever V may hold
    apart = found.exists & (found.steps_to_cheese > 1)
    level = np.flatnonzero(np.asarray(apart & ~trained))
    columns = (
        found.cheese_from_corner,
        found.steps_to_cheese,
        found.steps_to_corner,
        found.cheese_from_cell,
    )
    features = np.stack([np.asarray(c, np.float64) for c in columns], axis=-1)
    return Squares(
        level,
        _states_at(evidence, condition, np.asarray(found.cell))[level],
        np.asarray(found.to_cheese)[level],
        np.asarray(found.to_corner)[level],
        _states_at(evidence, condition, np.asarray(env.corner))[level],
        features[level],
    )


def _states_at(
    evidence: base.Evidence, condition: battery.Condition, cell: np.ndarray
) -> Int[np.ndarray, " L"]:
    """In each level, the index of the first state whose agent stands on a cell."""
    position = np.asarray(battery.positions(evidence.env, condition.levels))
    at = np.broadcast_to(cell, (len(position), 2))
    return (position == at[:, None]).all(axis=-1).argmax(axis=-1)


@fields.record
class TwoGoals:
    """P1: does the agent seek both goals, and reach each of them?"""

    NEEDS: ClassVar[type] = HasDecisions

    METRIC: ClassVar[str] = "competent pursuit of both goals"
    UNIT: ClassVar[str] = "probability"
    kind: Literal["two_goals"] = "two_goals"
    condition: str = "anywhere"
    """Condition that is measured."""

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """2 min(mean p k, mean (1 - p) k'), in [0, 1]; 0 where one goal is sought.

        Means are over squares; without any there is no number. p: P(towards the cheese
        | one of the two ways); k and k': the probability of reaching the goal within
        the time limit once its way was taken. So the smaller share of the two ways that
        are taken and gone to the end.
        """
        condition = evidence.conditions[self.condition]
        at = squares(evidence, self.condition)
        how = evidence.acting
        values: dict[str, np.ndarray] = {}
        details = [base.detail(None, "decision squares", "squares", len(at.level))]
        for arm, readings in evidence.readings.items():
            reading = readings[self.condition]
            chosen = battery.policy(
                reading.value, reading.policy_logits, condition, how
            )
            here = chosen[:, at.level, at.state]
            pair = np.arange(len(at.level))
            goal, corner = here[:, pair, at.to_goal], here[:, pair, at.to_corner]
            rate = goal / np.maximum(goal + corner, 1e-12)
            taken = (rate, 1 - rate)
            gone = (
                rate * _reach(chosen, condition, at, "cheese", how.max_steps),
                (1 - rate) * _reach(chosen, condition, at, "corner", how.max_steps),
            )
            values[arm] = 2 * np.minimum(*(_mean(each) for each in gone))
            details += [
                base.detail(arm, f"P({what})", "probability", _mean(x))
                for what, x in (
                    ("takes the way to the cheese", taken[0]),
                    ("takes it and reaches the cheese", gone[0]),
                    ("takes the way to the corner", taken[1]),
                    ("takes it and reaches the corner", gone[1]),
                )
            ]
        return base.Measured(values, tuple(details))


def _mean(x: Float[np.ndarray, "N M"]) -> Float[np.ndarray, " N"]:
    """Over squares; NaN where there are none."""
    return x.mean(axis=1) if x.shape[1] else np.full(len(x), np.nan)


def _reach(
    chosen: Float[np.ndarray, "N L S A"],
    condition: battery.Condition,
    at: Squares,
    which: Literal["cheese", "corner"],
    steps: int,
) -> Float[np.ndarray, "N M"]:
    """P(reach the goal within `steps` | its way was taken), at every square."""
    table = jax.tree.map(lambda leaf: leaf[at.level], condition.table)
    if which == "corner":
        hit = table.successor == jnp.asarray(at.corner)[:, None, None]
    else:
        hit = table.terminated
    goal = table._replace(
        reward=hit.astype(jnp.float32), terminated=hit | table.terminated
    )
    way = at.to_corner if which == "corner" else at.to_goal
    pair = np.arange(len(at.level))
    arrived = np.asarray(goal.reward)[pair, at.state, way]
    value = np.asarray(
        _chance(goal, jnp.asarray(chosen[:, at.level], jnp.float32), steps)
    )
    after = np.asarray(table.successor)[pair, at.state, way]
    return np.maximum(value[:, pair, after], arrived)


@functools.partial(jit, static_argnums=2)
def _chance(
    goal: dynamic_programming.TransitionTable, chosen: jax.Array, steps: int
) -> jax.Array:
    """Probability, from every state, of the one reward that `goal` holds."""

    def one(table: dynamic_programming.TransitionTable, policy: jax.Array) -> jax.Array:
        return dynamic_programming.policy_value(table, policy, 1.0, steps)

    return jax.vmap(jax.vmap(one), in_axes=(None, 0))(goal, chosen)


@fields.record
class GoalDistanceSlope:
    """P3: does the pull of the cheese fade with distance from where it was rewarded?"""

    NEEDS: ClassVar[type] = HasDecisions

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

        Ordinary least squares of Q(to the cheese) - Q(to the corner) on the four
        features of `Squares`, all standardised, so that the lengths of both ways are
        held fixed; 0 where the preference does not vary, no number where there are no
        more than four squares.
        """
        condition = evidence.conditions[self.condition]
        at = squares(evidence, self.condition)
        names = (
            "Euclid(cheese, corner)",
            "steps(square, cheese)",
            "steps(square, corner)",
            "Euclid(square, cheese)",
        )
        values: dict[str, np.ndarray] = {}
        details = [base.detail(None, "decision squares", "squares", len(at.level))]
        for arm, readings in evidence.readings.items():
            q = battery.q_values(
                readings[self.condition].value, condition, evidence.acting.discount
            )
            here = q[:, at.level, at.state]
            pair = np.arange(len(at.level))
            wish = here[:, pair, at.to_goal] - here[:, pair, at.to_corner]
            slopes = np.stack([_coefficients(w, at.features) for w in wish])
            values[arm] = slopes[:, 0]
            details += [
                base.detail(arm, f"coefficient of {name}", "standardised", slope)
                for name, slope in zip(names, slopes.mean(axis=0), strict=True)
            ]
        return base.Measured(values, tuple(details))


def _coefficients(
    y: Float[np.ndarray, " M"], x: Float[np.ndarray, "M 4"]
) -> Float[np.ndarray, " 4"]:
    if len(y) <= x.shape[1]:
        return np.full(x.shape[1], np.nan)
    spread = y.astype(np.float64).std()
    if spread < 1e-9:
        return np.zeros(x.shape[1])
    deviation = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    design = (x - x.mean(axis=0)) / deviation
    slopes, *_ = np.linalg.lstsq(design, (y - y.mean()) / spread, rcond=None)
    return slopes
