"""Ways to a goal: path probability, reach probability, discounted occupancy.

The arrays are those of a level's table: `successor`, `terminated` [S, A] and a policy.
An action that ends the episode leads on only if it ends in the goal. Chance besides
the policy: mix slips into the policy (`slipped`); coins are left out. Symbols: S
states, A actions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.inspection import validation


class PathProbability(NamedTuple):
    """The shortest ways from every state to the goal."""

    probability: Float[Array, " S"]
    """Chance that the policy walks one of the shortest paths: the sum over them of
    prod pi. 1 in the goal (the empty product), 0 where no way leads there."""
    geometric: Float[Array, " S"]
    """probability^(1 / length): per step, so that near and far can be compared. 1 in
    the goal by choice (the empty product), 0 where no way leads there."""
    length: Float[Array, " S"]
    """Steps of a shortest path; infinite where there is none."""
    paths: Float[Array, " S"]
    """How many shortest paths there are, actions told apart."""

    def summary(self) -> str:
        there = np.isfinite(self.length)
        mean = np.asarray(self.geometric)[there].mean() if there.any() else 0.0
        return (
            f"goal within reach of {int(there.sum())} of {len(there)} states; "
            f"mean path probability a step {float(mean):.3g}"
        )


class Reach(NamedTuple):
    """Where the policy ends up, without sampling an episode."""

    probability: Float[np.ndarray, "... S"]
    """Chance to get to the goal ever, from every state."""

    def summary(self) -> str:
        return f"mean reach probability {float(np.mean(self.probability)):.3g}"


def slipped(
    policy: Float[Array, "S A"], slip: Float[Array, " S"]
) -> Float[Array, "S A"]:
    """The policy with each action replaced, with chance `slip`, by one at random."""
    validation.shaped("policy", policy, None, None)
    validation.shaped("slip", slip, len(policy))
    validation.between("slip", slip, 0, 1)
    mixed = (1 - slip[:, None]) * policy
    return mixed + slip[:, None] * policy.mean(axis=-1, keepdims=True)


def path_probability(
    successor: Int[Array, "S A"],
    policy: Float[Array, "S A"],
    terminated: Bool[Array, "S A"],
    goal: Bool[Array, " S"],
) -> PathProbability:
    """Geometric mean of the policy along the shortest paths.

    w(s) = 1 in the goal, else sum_a pi(a|s) w(s') over the actions that come one step
    nearer; geometric(s) = w(s)^(1 / d(s)) with d(s) the number of steps. Computed in
    logarithms: 0 only if a factor of every path is 0.

    Args:
      goal: states that count as arrived.
    """
    validation.shaped("policy", policy, None, None)
    validation.shaped("successor", successor, *policy.shape)
    validation.shaped("terminated", terminated, *policy.shape)
    validation.shaped("goal", goal, len(policy))
    validation.finite("policy", policy)
    validation.between("successor", successor, 0, len(policy) - 1)
    open_ = (~terminated | goal[successor]) & ~goal[:, None]
    dtype = policy.dtype
    first = jnp.where(goal, 0, jnp.inf).astype(dtype)

    def nearer(length: Array) -> Array:
        step = jnp.where(open_, length[successor] + 1, jnp.inf).min(axis=-1)
        return jnp.where(goal, 0, step)

    length = _settle(nearer, first)
    onward = open_ & (length[successor] == length[:, None] - 1)
    onward = onward & jnp.isfinite(length)[:, None]
    log_policy = jnp.log(policy)

    def walked(chance: Array, each: Array) -> Array:
        terms = jnp.where(onward, each + chance[successor], -jnp.inf)
        return jnp.where(goal, 0, jax.nn.logsumexp(terms, axis=-1))

    nothing = jnp.where(goal, 0, -jnp.inf).astype(dtype)
    chance = _settle(lambda w: walked(w, log_policy), nothing)
    paths = _settle(lambda w: walked(w, jnp.zeros_like(policy)), nothing)
    steps = jnp.where(jnp.isfinite(length) & (length > 0), length, 1)
    return PathProbability(
        jnp.exp(chance), jnp.exp(chance / steps), length, jnp.exp(paths)
    )


def reach_probability(
    successor: Int[np.ndarray, "S A"],
    policy: Float[np.ndarray, "... S A"],
    terminated: Bool[np.ndarray, "S A"],
    goal: Bool[np.ndarray, " S"],
) -> Reach:
    """Chance to reach the goal, by the absorbing chain: r = (I - T_QQ)^{-1} T_Qg.

    Q are the states that are not the goal and from which it can be reached at all;
    elsewhere r = 0, for there I - T may be singular (a loop for ever). A step whose
    chance rounding can't tell from none, below 64 times the precision of float64,
    counts as none, and as much leaks out of every step, so that the system can be
    solved. Rows of the policy are made to sum to 1. Runs on the host, for all policies
    in one stacked solve: O(S^3) each.

    Args:
      policy: any leading axes (seeds, checkpoints).

    Reference: Kemeny and Snell, Finite Markov Chains, 1960, chapter 3.
    """
    validation.finite("policy", policy)
    given = np.asarray(policy)
    policy = given.astype(np.float64)
    policy = policy / np.maximum(policy.sum(axis=-1, keepdims=True), 1e-30)
    moved, ended = _transition(successor, policy, terminated, goal)
    least = 64 * np.finfo(moved.dtype).eps
    moved, ended = np.where(moved < least, 0, moved), np.where(ended < least, 0, ended)
    arrived = ended + (moved * goal[None, :]).sum(axis=-1)
    going = moved * ~goal[None, :] * ~goal[:, None]
    seen = arrived > 0
    while True:
        more = seen | (going @ seen[..., None].astype(going.dtype) > 0)[..., 0]
        if (more == seen).all():
            break
        seen = more
    # a float32 softmax sums to 1 but for 1e-7, which a rare exit would not survive
    inside = (1 - least) * going * seen[..., :, None] * seen[..., None, :]
    system = np.eye(len(goal), dtype=moved.dtype) - inside
    right = np.where(seen & ~goal, arrived, 0)
    r = np.linalg.solve(system, right[..., None])[..., 0]
    return Reach(np.where(goal, 1, np.clip(r, 0, 1)).astype(given.dtype))


def occupancy(
    successor: Int[np.ndarray, "S A"],
    policy: Float[np.ndarray, "... S A"],
    terminated: Bool[np.ndarray, "S A"],
    start: int,
    discount: float,
) -> Float[np.ndarray, "... S"]:
    """Expected discounted visits, d = e_start (I - gamma T)^{-1}.

    The start counts as visited; a step that ends the episode visits nothing more. The
    sum is 1 / (1 - gamma) where no episode ends.

    Args:
      discount: gamma, 0 to less than 1.
    """
    if not 0 <= discount < 1:
        raise ValueError(f"discount: got {discount}; allowed: 0 to less than 1")
    states = np.shape(policy)[-2]
    nowhere = np.zeros(states, bool)
    moved, _ = _transition(successor, policy, terminated, nowhere)
    if not 0 <= start < states:
        raise ValueError(f"start: got {start}; allowed: 0 to {states - 1}")
    system = np.eye(states, dtype=moved.dtype) - discount * moved
    begin = np.zeros((*system.shape[:-1], 1), moved.dtype)
    begin[..., start, 0] = 1
    return np.linalg.solve(np.swapaxes(system, -1, -2), begin)[..., 0]


def _transition(
    successor: Int[np.ndarray, "S A"],
    policy: Float[np.ndarray, "... S A"],
    terminated: Bool[np.ndarray, "S A"],
    goal: Bool[np.ndarray, " S"],
) -> tuple[Float[np.ndarray, "... S S"], Float[np.ndarray, "... S"]]:
    """Chances of steps that go on, and of steps that end the episode in the goal."""
    policy, successor = np.asarray(policy), np.asarray(successor)
    terminated, goal = np.asarray(terminated), np.asarray(goal)
    if policy.ndim < 2:
        raise ValueError(
            f"policy: got shape {policy.shape}; allowed: (..., states, actions)"
        )
    validation.shaped("successor", successor, *policy.shape[-2:])
    validation.shaped("terminated", terminated, *policy.shape[-2:])
    validation.shaped("goal", goal, policy.shape[-2])
    validation.finite("policy", policy)
    states = policy.shape[-2]
    validation.between("successor", successor, 0, states - 1)
    moved = np.zeros((*policy.shape[:-1], states), policy.dtype)
    row = np.arange(states)
    for action in range(policy.shape[-1]):
        chance = np.where(terminated[:, action], 0, policy[..., action])
        moved[..., row, successor[:, action]] += chance
    ended = np.where(terminated & goal[successor], policy, 0).sum(axis=-1)
    return moved, ended.astype(policy.dtype)


def _settle(step, first):  # type: ignore[no-untyped-def]
    """Apply `step` until nothing changes; NaN, which never settles, ends after S."""

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, before, _ = carry
        after = step(before)
        return count + 1, after, jnp.any(after != before)

    def more(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[0] <= len(first)) & carry[2]

    start = (jnp.int32(0), first, jnp.bool_(True))
    return jax.lax.while_loop(more, sweep, start)[1]
