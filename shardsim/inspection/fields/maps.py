"""V and the policy in every state of a level.

Maps over the board, arrows of the policy, differences between two layouts, agreement of
V and policy, and V against exact V. `reachability` computes paths to a goal.

States whose mask is false are left out: walls, states after an end, cells that only one
of two layouts has. Symbols: S states, A actions, H, W board, B bins.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import returns
from shardsim.inspection import validation
from shardsim.inspection.validation import Numbers


class BoardMap(NamedTuple):
    """One number per cell of the board."""

    mean: Float[Array, "H W"]
    """Mean over the states on a cell; NaN on a cell without states."""
    states: Int[Array, "H W"]
    """Number of states on a cell."""

    def summary(self) -> str:
        cells = int((self.states > 0).sum())
        return f"{cells} cells, mean {float(jnp.nanmean(self.mean)):.3g}"


class PolicyField(NamedTuple):
    """The direction in which the policy moves from every state.

    A net arrow is short because the policy stays, because its moves cancel, or both;
    the fields separate these causes. If all moves have length 1, then
    |net| + opposed + stay = 1.
    """

    net: Float[Array, "S 2"]
    """sum_a pi(a|s) move(s, a), in rows and columns."""
    components: Float[Array, "S A"]
    """pi(a|s) for actions that move the agent, 0 for the others."""
    opposed: Float[Array, " S"]
    """sum_a pi(a|s) |move(s, a)| - |net|: the length that cancels."""
    stay: Float[Array, " S"]
    """Probability of an action that does not move the agent."""

    def summary(self) -> str:
        length = jnp.linalg.norm(self.net, axis=-1).mean()
        return (
            f"{len(self.stay)} states: mean arrow {float(length):.3g}, opposed "
            f"{float(self.opposed.mean()):.3g}, stay {float(self.stay.mean()):.3g}"
        )


class Difference(NamedTuple):
    """Layout B minus layout A over the states that both have."""

    policy: Float[Array, "S A"]
    """pi_B - pi_A; NaN in states that are not common."""
    value: Float[Array, " S"]
    """V_B - V_A; NaN in states that are not common."""
    total_variation: Float[Array, " S"]
    """(1/2) sum_a |pi_B - pi_A|; NaN in states that are not common."""
    mean_variation: Float[Array, ""]
    """Mean of `total_variation` over the common states; NaN if there are none."""
    common: Int[Array, ""]
    """Number of common states."""

    def summary(self) -> str:
        return (
            f"total variation {float(self.mean_variation):.3g} over "
            f"{int(self.common)} common states"
        )


class PolicyValueAgreement(NamedTuple):
    """Whether the most probable action is among the best actions by V."""

    q: Float[Array, "S A"]
    """r(s, a) + gamma V(s'); r(s, a) alone where the step ends the episode."""
    best: Bool[Array, "S A"]
    """Actions within `tie` of the largest q."""
    agrees: Float[Array, " S"]
    """Probability that an action drawn evenly from the policy's most probable ones is
    in `best`. It is 0 or 1 where one action is most probable; a uniform policy gets no
    credit for its ties."""
    fraction: Float[Array, ""]
    """Mean of `agrees` over the mask; NaN if the mask is empty."""

    def summary(self) -> str:
        return f"policy and value agree in {float(self.fraction):.1%} of the states"


class Calibration(NamedTuple):
    """V compared with exact V."""

    error: Float[Array, " S"]
    """V - exact V; NaN outside of the mask."""
    bias: Float[Array, ""]
    """Mean error."""
    rmse: Float[Array, ""]
    """Root mean squared error."""
    relative: Float[Array, ""]
    """rmse / sd of exact V: 1 for the best constant guess. NaN if exact V is
    constant."""
    slope: Float[Array, ""]
    """Slope of the regression of exact V on V: 1 if calibrated. NaN if V is
    constant."""
    intercept: Float[Array, ""]
    """Intercept of that regression: 0 if calibrated. NaN if V is constant."""
    correlation: Float[Array, ""]
    """Correlation of V and exact V; NaN if either is constant."""
    bin_value: Float[Array, " B"]
    """Mean V in each bin of V; all bins have the same width. NaN in empty bins."""
    bin_exact: Float[Array, " B"]
    """Mean exact V of the same states."""
    bin_count: Int[Array, " B"]
    """Number of states in each bin."""

    def summary(self) -> str:
        return (
            f"V minus exact V: bias {float(self.bias):+.3g}, rmse "
            f"{float(self.rmse):.3g}, {float(self.relative):.3g} sd of exact V, slope "
            f"{float(self.slope):.3g}"
        )


def board_map(
    numbers: Annotated[Numbers, "S"],
    position: Annotated[Numbers, "S 2"],
    mask: Annotated[Numbers, "S"],
    shape: tuple[int, int],
) -> BoardMap:
    """Average a number over the states on each cell of the board.

    Args:
      numbers: one finite number per state.
      position: row and column of each state, inside the board.
      mask: states to include. Several states may share a cell, e.g. with and without a
        key in hand; to see only some of them, mask the others.
      shape: H, W.

    Raises:
      ValueError: shapes differ, a number is not finite, a position is off the board.
    """
    numbers = validation.floats("numbers", numbers, None)
    mask = validation.mask("mask", mask, len(numbers))
    position = position if hasattr(position, "dtype") else np.asarray(position)
    validation.shaped("position", position, len(numbers), 2)
    validation.kind("position", position, "iu", "integers")
    rows, columns = (validation.integer("shape", size, 1) for size in shape)
    # on the host where it is possible, because 32 bits wrap around
    on_host = isinstance(position, np.ndarray) and not isinstance(mask, jax.core.Tracer)
    where: Any = np.where if on_host else jnp.where
    included = where(mask[:, None], position, 0)
    for axis, size in enumerate((rows, columns)):
        validation.between("position", included[:, axis], 0, size - 1)
    included = jnp.asarray(included)
    cell = included[:, 0] * columns + included[:, 1]
    cell = jnp.where(mask, cell, rows * columns)
    count = jnp.zeros(rows * columns + 1, jnp.int32).at[cell].add(1)[:-1]
    total = jnp.zeros(rows * columns + 1, numbers.dtype).at[cell].add(numbers)[:-1]
    divisor = jnp.maximum(count, 1).astype(total.dtype)
    mean = jnp.where(count > 0, total / divisor, jnp.nan)
    return BoardMap(mean.reshape(rows, columns), count.reshape(rows, columns))


def policy_field(
    policy: Annotated[Numbers, "S A"], moves: Annotated[Numbers, "S A 2"]
) -> PolicyField:
    """Net and component arrows of a policy, net = sum_a pi(a|s) move(s, a).

    Args:
      policy: pi(a|s); each row sums to 1.
      moves: rows and columns by which each action moves the agent; 0 against a wall.

    Raises:
      ValueError: shapes differ, or a probability is not finite.
    """
    policy = validation.floats("policy", policy, None, None)
    moves = validation.floats("moves", moves, *policy.shape, 2).astype(policy.dtype)
    distance = jnp.linalg.norm(moves, axis=-1)
    net = jnp.einsum("sa,sad->sd", policy, moves)
    components = jnp.where(distance > 0, policy, 0)
    opposed = (policy * distance).sum(axis=-1) - jnp.linalg.norm(net, axis=-1)
    stay = jnp.where(distance > 0, 0, policy).sum(axis=-1)
    return PolicyField(net, components, jnp.maximum(opposed, 0), stay)


def difference(
    policy_a: Annotated[Numbers, "S A"],
    policy_b: Annotated[Numbers, "S A"],
    value_a: Annotated[Numbers, "S"],
    value_b: Annotated[Numbers, "S"],
    common: Annotated[Numbers, "S"],
) -> Difference:
    """Subtract layout A from layout B over the states that both have.

    mean_variation = sum_{s common} (1/2) sum_a |pi_B(a|s) - pi_A(a|s)| / #common

    Args:
      policy_a: pi_A(a|s); each row sums to 1.
      policy_b: pi_B(a|s); each row sums to 1.
      value_a: V_A, in units of reward.
      value_b: V_B, in units of reward.
      common: true for states that both layouts have.

    Returns:
      The differences; the mean variation is in [0, 1].

    Raises:
      ValueError: shapes differ, or a probability is not finite.
    """
    policy_a = validation.floats("policy_a", policy_a, None, None)
    policy_b = validation.floats("policy_b", policy_b, *policy_a.shape)
    for name, array in (("value_a", value_a), ("value_b", value_b)):
        validation.shaped(name, array, len(policy_a))
    # V may be anything in the states that one layout does not have
    value_a, value_b = validation.wide(value_a), validation.wide(value_b)
    common = jnp.asarray(validation.mask("common", common, len(policy_a)))
    change = policy_b - policy_a
    variation = jnp.abs(change).sum(axis=-1) / 2
    count = common.sum()
    return Difference(
        jnp.where(common[:, None], change, jnp.nan),
        jnp.where(common, value_b - value_a, jnp.nan),
        jnp.where(common, variation, jnp.nan),
        _mean(variation, common),
        count,
    )


def agreement(
    value: Annotated[Numbers, "S"],
    policy: Annotated[Numbers, "S A"],
    successor: Annotated[Numbers, "S A"],
    reward: Annotated[Numbers, "S A"],
    terminated: Annotated[Numbers, "S A"],
    mask: Annotated[Numbers, "S"],
    discount: float,
    *,
    tie: float = 1e-6,
) -> PolicyValueAgreement:
    """Is argmax_a pi(a|s) in argmax_a [r(s, a) + gamma V(s')]?

    Where a step ends the episode only its reward counts, whatever V is in the next
    state. Exact V and its greedy policy agree in every state.

    Args:
      value: V, in units of reward.
      policy: pi(a|s); each row sums to 1.
      successor: index of the next state.
      reward: r(s, a).
      terminated: true where the step ends the episode.
      mask: states that count in `fraction`.
      discount: gamma in [0, 1].
      tie: an action within this of the largest q, in units of reward, is also best.

    Raises:
      ValueError: shapes differ, a number is not finite or out of range.
    """
    policy = validation.floats("policy", policy, None, None)
    states = len(policy)
    value = validation.floats("value", value, states)
    reward = validation.floats("reward", reward, *policy.shape)
    successor = jnp.asarray(
        validation.indices("successor", successor, states, *policy.shape)
    )
    terminated = jnp.asarray(validation.mask("terminated", terminated, *policy.shape))
    mask = jnp.asarray(validation.mask("mask", mask, states))
    validation.at_least("tie", tie, 0)
    validation.between("discount", discount, 0, 1)
    q = returns.one_step_return(reward, terminated, value[successor], discount)
    best = q >= q.max(axis=-1, keepdims=True) - tie
    top = policy >= policy.max(axis=-1, keepdims=True)
    agrees = best.astype(policy.dtype).mean(axis=-1, where=top)
    return PolicyValueAgreement(q, best, agrees, _mean(agrees, mask))


def calibration(
    value: Annotated[Numbers, "S"],
    exact: Annotated[Numbers, "S"],
    mask: Annotated[Numbers, "S"],
    *,
    bins: int = 10,
) -> Calibration:
    """Error and calibration of V against exact V.

    slope = Cov(V, V*) / Var(V); intercept = mean V* - slope mean V.

    Args:
      value: V, in units of reward.
      exact: V*, in units of reward.
      mask: states to include.
      bins: B, at least 1. Bins have equal width between the smallest and the largest V
        in the mask.

    Raises:
      ValueError: shapes differ, a number is not finite, no state, no bin.
    """
    value = validation.floats("value", value, None)
    exact = validation.floats("exact", exact, len(value))
    mask = jnp.asarray(validation.mask("mask", mask, len(value)))
    validation.at_least("states", len(value), 1)
    bins = validation.integer("bins", bins, 1)
    error = value - exact
    v, e = value - _mean(value, mask), exact - _mean(exact, mask)
    vv, ee, ve = _mean(v * v, mask), _mean(e * e, mask), _mean(v * e, mask)
    slope = jnp.where(_varies(value, mask), ve / vv, jnp.nan)
    both_vary = _varies(value, mask) & _varies(exact, mask)
    rmse = jnp.sqrt(_mean(error * error, mask))
    low = jnp.where(mask, value, jnp.inf).min()
    width = jnp.where(mask, value, -jnp.inf).max() - low
    bin_ = jnp.floor((value - low) / jnp.where(width > 0, width, 1) * bins)
    # masked states go to an extra bin that is cut off
    bin_ = jnp.where(mask, jnp.clip(bin_, 0, bins - 1), bins).astype(jnp.int32)
    count = jnp.zeros(bins + 1, jnp.int32).at[bin_].add(1)[:bins]
    divisor = jnp.maximum(count, 1).astype(value.dtype)

    def bin_mean(x: Float[Array, " S"]) -> Float[Array, " B"]:
        total = jnp.zeros(bins + 1, x.dtype).at[bin_].add(x)[:bins]
        return jnp.where(count > 0, total / divisor, jnp.nan)

    return Calibration(
        jnp.where(mask, error, jnp.nan),
        _mean(error, mask),
        rmse,
        jnp.where(_varies(exact, mask), rmse / jnp.sqrt(ee), jnp.nan),
        slope,
        _mean(exact, mask) - slope * _mean(value, mask),
        jnp.where(both_vary, ve / jnp.sqrt(vv * ee), jnp.nan),
        bin_mean(value),
        bin_mean(exact),
        count,
    )


def _mean(x: Float[Array, " S"], mask: Bool[Array, " S"]) -> Float[Array, ""]:
    """Mean over the mask; NaN if it is empty."""
    count = mask.sum()
    mean = jnp.where(mask, x, 0).sum() / jnp.maximum(count, 1).astype(x.dtype)
    return jnp.where(count > 0, mean, jnp.nan)


def _varies(x: Float[Array, " S"], mask: Bool[Array, " S"]) -> Bool[Array, ""]:
    """Whether the numbers in the mask differ; a computed variance may be rounding."""
    high = jnp.where(mask, x, -jnp.inf).max()
    return high > jnp.where(mask, x, jnp.inf).min()
