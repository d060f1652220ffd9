"""P2: does V count the straight distance of a goal beside the length of the way?"""

from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Bool, Float
from pydantic import PositiveFloat

from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation import battery
from shardsim.evaluation.measures import base


@runtime_checkable
class HasCheese(Protocol):
    """An environment with one goal, whose value falls with the length of the way."""

    def cheese(self, level: Any) -> Any:
        """The cell of the goal of a level."""
        ...


@fields.record
class StraightDistance:
    """P2: slope of V on the straight distance of the goal, at equal path lengths.

    The row `ARM/planted` is the slope of a V to which a slope of known size was added:
    a positive control of the statistic.
    """

    NEEDS: ClassVar[type] = HasCheese
    ROWS: ClassVar[tuple[str, ...]] = ("planted",)

    ABOUT: ClassVar[str] = "V"
    METRIC: ClassVar[str] = "slope of V on straight distance, at equal path lengths"
    UNIT: ClassVar[str] = "sd of V* per sd of distance"
    kind: Literal["straight_distance"] = "straight_distance"
    condition: str = "in_distribution"
    """Condition that is measured."""
    planted: PositiveFloat = 0.2
    """How much the V of `ARM/planted` falls with each sd of distance, in sd of V*."""

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """b = sum_i (x_i - x_i') V_i / sum_i (x_i - x_i')^2 * sd(x) / sd(V*).

        x_i is the Euclidean distance of the agent from the goal, and x_i' its mean over
        the states of the same level from which the way is equally long, as V* says. So
        only states are compared between which V* makes no difference. sd(x) is the root
        mean square of x_i - x_i'. Sums are over reachable states. Below 0 a goal is
        worth more if it is near in a straight line; one utility gives 0. No number if
        no two states of a level are equally far.
        """
        condition = evidence.conditions[self.condition]
        weights = base.level_weights(evidence)
        mask = condition.reachable
        matched = _matched_distance(evidence, condition)
        optimal = condition.optimal[None].astype(np.float64)
        mean = base.level_mean(optimal, mask, weights)
        # around the mean of the battery: small numbers square without loss
        centred = optimal - mean[0]
        first = base.level_mean(centred, mask, weights)
        second = base.level_mean(centred**2, mask, weights)
        spread = np.sqrt(np.maximum(second - first**2, 0.0))
        square = base.level_mean(matched[None] ** 2, mask, weights)
        scale = np.sqrt(square) * spread
        rows: dict[str, np.ndarray] = {}
        planted = self.planted * spread[0, 0] / max(float(np.sqrt(square[0, 0])), 1e-12)
        for arm, readings in evidence.readings.items():
            value = readings[self.condition].value.astype(np.float64)
            for row, v in (
                (arm, value),
                (f"{arm}/planted", value - planted * matched),
            ):
                product = base.level_mean(v * matched, mask, weights)
                rows[row] = product / np.where(scale > 1e-12, scale, np.nan)
        details = [
            base.detail(
                None,
                "states of a level with another one equally far",
                "share of states",
                float((matched != 0)[mask].mean()),
            )
        ]
        return base.resampled(rows, weights.shape[1], details)


def _matched_distance(
    evidence: base.Evidence, condition: battery.Condition
) -> Float[np.ndarray, "L S"]:
    """Distance from the goal less its mean over states of the level with the same V*.

    0 in states that cannot be reached.
    """
    position = np.asarray(battery.positions(evidence.env, condition.levels))
    cheese = np.asarray(jit(jax.vmap(evidence.env.cheese))(condition.levels))  # type: ignore[attr-defined]
    distance = np.linalg.norm(position - cheese[:, None], axis=-1)
    return np.stack(
        [
            _centred(x, value, mask)
            for x, value, mask in zip(
                distance, condition.optimal, condition.reachable, strict=True
            )
        ]
    )


def _centred(
    x: Float[np.ndarray, " S"],
    value: Float[np.ndarray, " S"],
    mask: Bool[np.ndarray, " S"],
) -> Float[np.ndarray, " S"]:
    """x less its mean over the states of the mask with the same value; 0 elsewhere."""
    # lengths of ways differ by a factor of the discount, rounding by far less
    _, group = np.unique(
        np.round(value[mask].astype(np.float64), 6), return_inverse=True
    )
    count = np.bincount(group)
    mean = np.bincount(group, weights=x[mask]) / count
    centred = np.zeros_like(x)
    centred[mask] = x[mask] - mean[group]
    return centred
