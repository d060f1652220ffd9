"""Fields over the states of a level: what V and the policy say everywhere at once.

Maps over the board, arrows of the policy, differences of two layouts, agreement of V
and policy, and V against exact V. Ways to a goal are in `ways`. Symbols: S states,
A actions, H, W board, B bins. A state is left out where its mask is false: walls,
states past an end, cells that only one of two layouts has.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import returns
from shardsim.inspection import validation


class BoardMap(NamedTuple):
    """A number of every state, laid on the board."""

    mean: Float[Array, "H W"]
    """Over the states that stand on a cell; NaN where none does."""
    states: Int[Array, "H W"]
    """How many stand on a cell."""

    def summary(self) -> str:
        cells = int((self.states > 0).sum())
        return f"{cells} cells, mean {float(jnp.nanmean(self.mean)):.3g}"


class PolicyField(NamedTuple):
    """Where the policy goes from every state.

    A short net arrow has three causes, told apart here: the policy stays, it goes in
    opposite directions, or both. With length |net|: |net| + opposed + stay = 1 where
    moves have length 1.
    """

    net: Float[Array, "S 2"]
    """sum_a pi(a) move(a), rows and columns."""
    components: Float[Array, "S A"]
    """pi(a) of actions that move the agent, 0 of those that don't."""
    opposed: Float[Array, " S"]
    """sum_a pi(a) |move(a)| - |net|: what cancels."""
    stay: Float[Array, " S"]
    """Chance of an action that moves nothing."""

    def summary(self) -> str:
        length = jnp.linalg.norm(self.net, axis=-1).mean()
        return (
            f"{len(self.stay)} states: mean arrow {float(length):.3g}, opposed "
            f"{float(self.opposed.mean()):.3g}, stay {float(self.stay.mean()):.3g}"
        )


class Difference(NamedTuple):
    """Two fields over the states that both layouts have."""

    policy: Float[Array, "S A"]
    """B - A; NaN in states that are not common."""
    value: Float[Array, " S"]
    """V_B - V_A; NaN in states that are not common."""
    total_variation: Float[Array, " S"]
    """(1/2) sum_a |pi_B - pi_A|; NaN in states that are not common."""
    mean_variation: Float[Array, ""]
    """Mean over the common states; NaN if there is none."""
    common: Int[Array, ""]

    def summary(self) -> str:
        return (
            f"total variation {float(self.mean_variation):.3g} over "
            f"{int(self.common)} common states"
        )


class PolicyValueAgreement(NamedTuple):
    """Whether the policy's best action is one of the best by V."""

    q: Float[Array, "S A"]
    """r(s, a) + gamma V(s'); r alone where the step ends the episode."""
    best: Bool[Array, "S A"]
    """Actions within `tie` of the best by Q."""
    agrees: Float[Array, " S"]
    """Chance that one of the policy's best actions, drawn evenly, is among `best`: 0
    or 1 where the policy has one best action. A uniform policy gets no credit."""
    fraction: Float[Array, ""]
    """Mean over the mask; NaN if the mask is empty."""

    def summary(self) -> str:
        return f"policy and value agree in {float(self.fraction):.1%} of the states"


class Calibration(NamedTuple):
    """V against exact V."""

    error: Float[Array, " S"]
    """V - exact V; NaN outside of the mask."""
    bias: Float[Array, ""]
    rmse: Float[Array, ""]
    relative: Float[Array, ""]
    """rmse / sd of exact V: 1 for the best constant guess. NaN if exact V is
    constant."""
    slope: Float[Array, ""]
    """Of exact V regressed on V: 1 if calibrated. NaN if V is constant."""
    intercept: Float[Array, ""]
    """0 if calibrated. NaN if V is constant."""
    correlation: Float[Array, ""]
    """NaN if either is constant."""
    bin_value: Float[Array, " B"]
    """Mean V of each bin of V, of equal widths; NaN in empty bins."""
    bin_exact: Float[Array, " B"]
    """Mean exact V of the same states."""
    bin_count: Int[Array, " B"]

    def summary(self) -> str:
        return (
            f"V less exact V: bias {float(self.bias):+.3g}, rmse "
            f"{float(self.rmse):.3g}, {float(self.relative):.3g} sd of exact V, slope "
            f"{float(self.slope):.3g}"
        )


def board_map(
    numbers: Float[Array, " S"],
    position: Int[Array, "S 2"],
    mask: Bool[Array, " S"],
    shape: tuple[int, int],
) -> BoardMap:
    """Mean of a number over the states that stand on each cell.

    Args:
      position: row and column of each state, inside of the board.
      mask: states to be laid down. Where several states share a cell (a key in hand or
        not), mask all but one slice to see that slice alone.
      shape: H, W.
    """
    validation.shaped("numbers", numbers, None)
    validation.shaped("position", position, len(numbers), 2)
    validation.shaped("mask", mask, len(numbers))
    validation.finite("numbers", numbers)
    rows, columns = shape
    at = jnp.where(mask[:, None], position, 0)
    for axis, size in enumerate(shape):
        validation.between("position", at[:, axis], 0, size - 1)
    cell = jnp.where(mask, position[:, 0] * columns + position[:, 1], rows * columns)
    count = jnp.zeros(rows * columns + 1, jnp.int32).at[cell].add(1)[:-1]
    total = jnp.zeros(rows * columns + 1, numbers.dtype).at[cell].add(numbers)[:-1]
    some = jnp.maximum(count, 1).astype(total.dtype)
    mean = jnp.where(count > 0, total / some, jnp.nan)
    return BoardMap(mean.reshape(shape), count.reshape(shape))


def policy_field(
    policy: Float[Array, "S A"], moves: Float[Array, "S A 2"]
) -> PolicyField:
    """Net and component arrows, net = sum_a pi(a|s) move(s, a).

    Args:
      policy: rows sum to 1.
      moves: rows and columns by which each action moves the agent; 0 against a wall.
    """
    validation.shaped("policy", policy, None, None)
    validation.shaped("moves", moves, *policy.shape, 2)
    validation.finite("policy", policy)
    moves = jnp.asarray(moves, policy.dtype)
    far = jnp.linalg.norm(moves, axis=-1)
    net = jnp.einsum("sa,sad->sd", policy, moves)
    components = jnp.where(far > 0, policy, 0)
    opposed = (policy * far).sum(axis=-1) - jnp.linalg.norm(net, axis=-1)
    stay = jnp.where(far > 0, 0, policy).sum(axis=-1)
    return PolicyField(net, components, jnp.maximum(opposed, 0), stay)


def difference(
    policy_a: Float[Array, "S A"],
    policy_b: Float[Array, "S A"],
    value_a: Float[Array, " S"],
    value_b: Float[Array, " S"],
    common: Bool[Array, " S"],
) -> Difference:
    """B less A over the states that both layouts have.

    mean = sum_{s common} (1/2) sum_a |pi_B(a|s) - pi_A(a|s)| / #common, in [0, 1].
    """
    validation.shaped("policy_a", policy_a, None, None)
    validation.shaped("policy_b", policy_b, *policy_a.shape)
    for name, array in (("value_a", value_a), ("value_b", value_b), ("common", common)):
        validation.shaped(name, array, len(policy_a))
    for name, array in (("policy_a", policy_a), ("policy_b", policy_b)):
        validation.finite(name, array)
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
    value: Float[Array, " S"],
    policy: Float[Array, "S A"],
    successor: Int[Array, "S A"],
    reward: Float[Array, "S A"],
    terminated: Bool[Array, "S A"],
    mask: Bool[Array, " S"],
    discount: float,
    tie: float = 1e-6,
) -> PolicyValueAgreement:
    """Is argmax_a pi(a|s) in argmax_a [r(s, a) + gamma V(s')]?

    Where a step ends the episode its reward counts alone, whatever V says of the state
    behind. Exact V and its greedy policy agree everywhere.

    Args:
      discount: gamma, 0 to 1.
      tie: actions within this of the best, in units of reward, are best too.
    """
    validation.shaped("policy", policy, None, None)
    validation.shaped("value", value, len(policy))
    arrays = {"successor": successor, "reward": reward, "terminated": terminated}
    for name, array in arrays.items():
        validation.shaped(name, array, *policy.shape)
    validation.shaped("mask", mask, len(policy))
    validation.at_least("tie", tie, 0)
    validation.between("discount", discount, 0, 1)
    validation.between("successor", successor, 0, len(policy) - 1)
    for name, array in (("value", value), ("policy", policy), ("reward", reward)):
        validation.finite(name, array)
    q = returns.one_step_return(reward, terminated, value[successor], discount)
    best = q >= q.max(axis=-1, keepdims=True) - tie
    top = policy >= policy.max(axis=-1, keepdims=True)
    agrees = best.astype(policy.dtype).mean(axis=-1, where=top)
    return PolicyValueAgreement(q, best, agrees, _mean(agrees, mask))


def calibration(
    value: Float[Array, " S"],
    exact: Float[Array, " S"],
    mask: Bool[Array, " S"],
    bins: int = 10,
) -> Calibration:
    """How far V lies from exact V, and whether what it says can be taken at its word.

    slope = Cov(V, V*) / Var(V); intercept = mean V* - slope mean V.

    Args:
      bins: of equal width between the smallest and the largest V of the mask.
    """
    validation.shaped("value", value, None)
    validation.shaped("exact", exact, len(value))
    validation.shaped("mask", mask, len(value))
    validation.at_least("states", len(value), 1)
    validation.at_least("bins", bins, 1)
    for name, array in (("value", value), ("exact", exact)):
        validation.finite(name, array)
    error = value - exact
    v, e = value - _mean(value, mask), exact - _mean(exact, mask)
    vv, ee, ve = _mean(v * v, mask), _mean(e * e, mask), _mean(v * e, mask)
    slope = jnp.where(_varies(value, mask), ve / vv, jnp.nan)
    both = _varies(value, mask) & _varies(exact, mask)
    rmse = jnp.sqrt(_mean(error * error, mask))
    low = jnp.where(mask, value, jnp.inf).min()
    width = jnp.where(mask, value, -jnp.inf).max() - low
    place = jnp.floor((value - low) / jnp.where(width > 0, width, 1) * bins)
    place = jnp.where(mask, jnp.clip(place, 0, bins - 1), bins).astype(jnp.int32)
    count = jnp.zeros(bins + 1, jnp.int32).at[place].add(1)[:bins]
    some = jnp.maximum(count, 1).astype(value.dtype)

    def binned(x: Array) -> Array:
        total = jnp.zeros(bins + 1, x.dtype).at[place].add(x)[:bins]
        return jnp.where(count > 0, total / some, jnp.nan)

    return Calibration(
        jnp.where(mask, error, jnp.nan),
        _mean(error, mask),
        rmse,
        jnp.where(_varies(exact, mask), rmse / jnp.sqrt(ee), jnp.nan),
        slope,
        _mean(exact, mask) - slope * _mean(value, mask),
        jnp.where(both, ve / jnp.sqrt(vv * ee), jnp.nan),
        binned(value),
        binned(exact),
        count,
    )


def _mean(x: Float[Array, " S"], mask: Bool[Array, " S"]) -> Float[Array, ""]:
    """Over the mask; NaN if it is empty."""
    count = mask.sum()
    mean = jnp.where(mask, x, 0).sum() / jnp.maximum(count, 1).astype(x.dtype)
    return jnp.where(count > 0, mean, jnp.nan)


def _varies(x: Float[Array, " S"], mask: Bool[Array, " S"]) -> Bool[Array, ""]:
    """Whether numbers of the mask differ at all: rounding alone makes no variance."""
    high = jnp.where(mask, x, -jnp.inf).max()
    return high > jnp.where(mask, x, jnp.inf).min()
