"""Reachability of a goal: path probability, reach probability, discounted occupancy.

All functions take the arrays of a level's table, `successor` and `terminated` [S, A],
and a policy. An action that ends the episode reaches another state only if it ends in
the goal. Randomness of the environment: mix slips into the policy by `slipped`; coins
are left out. Symbols: S states, A actions.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.inspection import validation
from shardsim.inspection.validation import Integer, Numbers


class PathProbability(NamedTuple):
    """The shortest paths from every state to the goal."""

    probability: Float[Array, " S"]
    """Probability that the policy follows a shortest path: the sum over these paths of
    prod pi. 1 in the goal (the empty product), 0 where no path leads to it."""
    geometric: Float[Array, " S"]
    """probability^(1 / length): the mean per step, which makes near and far states
    comparable. 1 in the goal by convention, 0 where no path leads to it."""
    length: Float[Array, " S"]
    """Steps of a shortest path; inf where there is none."""
    paths: Float[Array, " S"]
    """Number of shortest paths. Two paths differ if any action differs."""

    def summary(self) -> str:
        connected = np.isfinite(self.length)
        geometric = np.asarray(self.geometric)[connected]
        mean = geometric.mean() if connected.any() else 0.0
        return (
            f"goal within reach of {int(connected.sum())} of {len(connected)} states; "
            f"mean path probability per step {float(mean):.3g}"
        )


class Reach(NamedTuple):
    """Where the policy ends up, computed without sampling episodes."""

    probability: Float[np.ndarray, "... S"]
    """Probability of ever reaching the goal, from every state."""

    def summary(self) -> str:
        return f"mean reach probability {float(np.mean(self.probability)):.3g}"


def slipped(
    policy: Annotated[Numbers, "S A"], slip: Annotated[Numbers, "S"]
) -> Float[Array, "S A"]:
    """The policy that results if actions slip.

    pi'(a|s) = (1 - slip(s)) pi(a|s) + slip(s) / A

    Args:
      policy: pi(a|s); each row sums to 1.
      slip: probability in [0, 1] that an action is replaced by a random one.

    Raises:
      ValueError: shapes differ, or a probability is out of range.
    """
    policy = validation.floats("policy", policy, None, None)
    slip = validation.floats("slip", slip, len(policy)).astype(policy.dtype)
    validation.between("slip", slip, 0, 1)
    mixed = (1 - slip[:, None]) * policy
    return mixed + slip[:, None] * policy.mean(axis=-1, keepdims=True)


def path_probability(
    successor: Annotated[Numbers, "S A"],
    policy: Annotated[Numbers, "S A"],
    terminated: Annotated[Numbers, "S A"],
    goal: Annotated[Numbers, "S"],
) -> PathProbability:
    """Probability of the shortest paths to the goal, and its geometric mean per step.

    w(s) = 1 in the goal, else sum_a pi(a|s) w(s') over the actions that lead one step
    nearer; geometric(s) = w(s)^(1 / d(s)) with d(s) the length of a shortest path. The
    computation is in logarithms: w(s) is 0 only if every path has a factor of 0.

    Args:
      successor: index of the next state.
      policy: pi(a|s); each row sums to 1.
      terminated: true where the step ends the episode.
      goal: true for the states that make up the goal.

    Raises:
      ValueError: shapes differ, a number is not finite or out of range.
    """
    policy = validation.floats("policy", policy, None, None)
    states = len(policy)
    successor = jnp.asarray(
        validation.indices("successor", successor, states, *policy.shape)
    )
    terminated = jnp.asarray(validation.mask("terminated", terminated, *policy.shape))
    goal = jnp.asarray(validation.mask("goal", goal, states))
    passable = (~terminated | goal[successor]) & ~goal[:, None]
    dtype = policy.dtype
    first = jnp.where(goal, 0, jnp.inf).astype(dtype)

    def relax(length: Float[Array, " S"]) -> Float[Array, " S"]:
        step = jnp.where(passable, length[successor] + 1, jnp.inf).min(axis=-1)
        return jnp.where(goal, 0, step)

    length = _fixed_point(relax, first)
    nearer = passable & (length[successor] == length[:, None] - 1)
    nearer = nearer & jnp.isfinite(length)[:, None]
    log_policy = jnp.log(policy)

    def sum_paths(
        log_w: Float[Array, " S"], log_factor: Float[Array, "S A"]
    ) -> Float[Array, " S"]:
        terms = jnp.where(nearer, log_factor + log_w[successor], -jnp.inf)
        return jnp.where(goal, 0, jax.nn.logsumexp(terms, axis=-1))

    log_start = jnp.where(goal, 0, -jnp.inf).astype(dtype)
    log_w = _fixed_point(lambda w: sum_paths(w, log_policy), log_start)
    log_paths = _fixed_point(
        lambda w: sum_paths(w, jnp.zeros_like(log_policy)), log_start
    )
    steps = jnp.where(jnp.isfinite(length) & (length > 0), length, 1)
    return PathProbability(
        jnp.exp(log_w), jnp.exp(log_w / steps), length, jnp.exp(log_paths)
    )


def reach_probability(
    successor: Annotated[Numbers, "S A"],
    policy: Annotated[Numbers, "... S A"],
    terminated: Annotated[Numbers, "S A"],
    goal: Annotated[Numbers, "S"],
) -> Reach:
    """Probability of reaching the goal, by an absorbing Markov chain.

    r = (I - T_QQ)^{-1} T_Qg

    Q holds the states outside of the goal from which the goal can be reached at all.
    Elsewhere r = 0: I - T may be singular there, because the policy can loop forever.

    Steps with a probability below 64 times the precision of float64 are rounding error
    and count as impossible. The same small probability leaks out of every step, which
    keeps the system solvable. Runs on the host and solves all policies in one stacked
    call, O(S^3) each.

    Args:
      successor: index of the next state.
      policy: pi(a|s), with any leading axes (seeds, checkpoints). Rows are rescaled to
        sum to 1.
      terminated: true where the step ends the episode.
      goal: true for the states that make up the goal.

    Raises:
      ValueError: shapes differ, a number is not finite or out of range.

    Reference: Kemeny and Snell, Finite Markov Chains, 1960, chapter 3.
    """
    rows = _host_policy(policy)
    dtype, rows = rows.dtype, rows.astype(np.float64)
    goal = np.asarray(validation.mask("goal", goal, rows.shape[-2]))
    rows = rows / np.maximum(rows.sum(axis=-1, keepdims=True), 1e-30)
    moved, ended = _transition(successor, rows, terminated, goal)
    leak = 64 * np.finfo(moved.dtype).eps
    moved, ended = np.where(moved < leak, 0, moved), np.where(ended < leak, 0, ended)
    arrives = ended + (moved * goal[None, :]).sum(axis=-1)
    transient = moved * ~goal[None, :] * ~goal[:, None]
    in_q = arrives > 0
    while True:
        grown = in_q | (transient @ in_q[..., None].astype(transient.dtype) > 0)[..., 0]
        if (grown == in_q).all():
            break
        in_q = grown
    # rows are rescaled in float64 because a float32 softmax sums to 1 only within 1e-7,
    # an error as large as the probability of a rare exit
    t_qq = (1 - leak) * transient * in_q[..., :, None] * in_q[..., None, :]
    system = np.eye(len(goal), dtype=moved.dtype) - t_qq
    t_qg = np.where(in_q & ~goal, arrives, 0)
    r = np.linalg.solve(system, t_qg[..., None])[..., 0]
    return Reach(np.where(goal, 1, np.clip(r, 0, 1)).astype(dtype))


def occupancy(
    successor: Annotated[Numbers, "S A"],
    policy: Annotated[Numbers, "... S A"],
    terminated: Annotated[Numbers, "S A"],
    start: Integer,
    discount: float,
) -> Float[np.ndarray, "... S"]:
    """Expected discounted number of visits to each state.

    d = e_start (I - gamma T)^{-1}

    The start is visited once at step 0. A step that ends the episode visits no state.

    Args:
      successor: index of the next state.
      policy: pi(a|s), with any leading axes (seeds, checkpoints).
      terminated: true where the step ends the episode.
      start: index of the first state, in [0, S).
      discount: gamma in [0, 1).

    Returns:
      d; it sums to 1 / (1 - gamma) if no step ends the episode.

    Raises:
      ValueError: shapes differ, a number is not finite or out of range.
    """
    if not 0 <= discount < 1:
        raise ValueError(f"discount: got {discount}; allowed: 0 to less than 1")
    rows = _host_policy(policy)
    states = rows.shape[-2]
    moved, _ = _transition(successor, rows, terminated, np.zeros(states, bool))
    start = validation.integer("start", start, 0, states - 1)
    system = np.eye(states, dtype=moved.dtype) - discount * moved
    e_start = np.zeros((*system.shape[:-1], 1), moved.dtype)
    e_start[..., start, 0] = 1
    return np.linalg.solve(np.swapaxes(system, -1, -2), e_start)[..., 0]


def _host_policy(policy: Annotated[Numbers, "... S A"]) -> np.ndarray:
    """A policy with any leading axes, as floats on the host."""
    policy = np.asarray(policy)
    if policy.ndim < 2:
        raise ValueError(
            f"policy: got shape {policy.shape}; allowed: (..., states, actions)"
        )
    validation.finite("policy", policy)
    if not jnp.issubdtype(policy.dtype, jnp.floating):
        policy = policy.astype(np.float64)
    return policy


def _transition(
    successor: Annotated[Numbers, "S A"],
    policy: Float[np.ndarray, "... S A"],
    terminated: Annotated[Numbers, "S A"],
    goal: Annotated[Numbers, "S"],
) -> tuple[Float[np.ndarray, "... S S"], Float[np.ndarray, "... S"]]:
    """T(s, s') of steps that continue, and the probability of ending in the goal."""
    states, actions = policy.shape[-2:]
    successor = np.asarray(
        validation.indices("successor", successor, states, states, actions)
    )
    terminated = np.asarray(validation.mask("terminated", terminated, states, actions))
    goal = np.asarray(validation.mask("goal", goal, states))
    moved = np.zeros((*policy.shape[:-1], states), policy.dtype)
    row = np.arange(states)
    for action in range(actions):
        continues = np.where(terminated[:, action], 0, policy[..., action])
        moved[..., row, successor[:, action]] += continues
    ended = np.where(terminated & goal[successor], policy, 0).sum(axis=-1)
    return moved, ended.astype(policy.dtype)


def _fixed_point(
    step: Callable[[Float[Array, " S"]], Float[Array, " S"]], first: Float[Array, " S"]
) -> Float[Array, " S"]:
    """Apply `step` until nothing changes, at most S + 1 times: NaN always changes."""

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, before, _ = carry
        after = step(before)
        return count + 1, after, jnp.any(after != before)

    def continues(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[0] <= len(first)) & carry[2]

    start = (jnp.int32(0), first, jnp.bool_(True))
    return jax.lax.while_loop(continues, sweep, start)[1]
