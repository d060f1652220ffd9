"""Exact values by dynamic programming over an environment's own `step`.

Every state of a level is stepped once with every action, which gives a transition
table. The rest is arithmetic on the table, so the rules of the environment are written
in one place only.

Two kinds of randomness are treated exactly. An action may `slip`, that is, be replaced
by a uniformly random action. After a step, independent coins may fall, and each of them
turns the state into another state. No other randomness can be tabulated.

Symbols: S states, A actions, N coins. A table takes (9 A + 4 N + 4) S bytes per level.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import returns
from shardsim.core.types import Environment, Level, Params, Scalar

MAX_STATES = 2_000_000
"""Largest number of states of a level for which a table is made."""
STATES_PER_BATCH = 65_536
"""States stepped at once, to bound the memory needed besides the table."""


class TransitionTable(NamedTuple):
    """The transitions of one level."""

    successor: Int[Array, "S A"]
    """Index of the next state, before coins are tossed."""
    reward: Float[Array, "S A"]
    """Expected reward."""
    terminated: Bool[Array, "S A"]
    """True where the step ends the episode."""
    start: Int[Array, ""]
    """Index of the first state."""
    slip: Float[Array, " S"]
    """Probability that the action is replaced by a uniformly random one."""
    coin_successor: Int[Array, "S N"]
    """Index of the state that a state becomes if coin n falls. Coins are tossed in
    order."""
    coin_prob: Float[Array, "*S N"]
    """Probability that each coin falls: one for all states, or one for each."""


def tabulate(env: Environment, level: Level, params: Params) -> TransitionTable:
    """Step every state of a level with every action.

    Args:
      env: an environment whose states can be enumerated.
      level: the level.
      params: of the environment.

    Raises:
      ValueError: the states cannot be enumerated or are more than `MAX_STATES`.
    """
    check_enumerable(env)
    actions = jnp.arange(env.num_actions)
    coin_prob: list[float] = []

    def row(number):  # type: ignore[no-untyped-def]
        state = env.state_at(level, number)

        def step(action):  # type: ignore[no-untyped-def]
            out = env.step(None, state, action, params)
            return env.index(level, out.state), out.reward, out.terminated

        tossed = [env.coin(coin, state) for coin in range(env.num_coins)]
        coin_successor = [env.index(level, after_coin) for after_coin, _ in tossed]
        probs = [prob for _, prob in tossed]
        by_state = tuple(probs) if any(isinstance(p, jax.Array) for p in probs) else ()
        coin_prob[:] = [] if by_state else probs
        out = jax.vmap(step)(actions)
        return (*out, env.slip(state), tuple(coin_successor), by_state)

    numbers = jnp.arange(env.num_states, dtype=jnp.int32)
    if env.num_states <= STATES_PER_BATCH:
        rows = jax.vmap(row)(numbers)
    else:
        rows = jax.lax.map(row, numbers, batch_size=STATES_PER_BATCH)
    successor, reward, terminated, slip, coins, by_state = rows
    coin_successor = (
        jnp.stack(coins, axis=-1)
        if coins
        else jnp.zeros((env.num_states, 0), jnp.int32)
    )
    prob = jnp.asarray(coin_prob, jnp.float32)
    if by_state:
        prob = jnp.stack(by_state, axis=-1)
    _, start = env.reset_to(level, params)
    return TransitionTable(
        successor,
        reward,
        terminated,
        env.index(level, start),
        slip,
        coin_successor,
        prob,
    )


def check_enumerable(env: Environment) -> None:
    """Refuse an environment whose states cannot be enumerated or are too many.

    Raises:
      ValueError: the error says why.
    """
    if env.unlisted:
        raise ValueError(
            f"env: got states that can't be enumerated ({env.unlisted}); allowed: an "
            "environment that enumerates its states, where exact values are computed"
        )
    if env.num_states > MAX_STATES:
        raise ValueError(
            f"env: got {env.num_states} states per level; allowed: at most "
            f"{MAX_STATES} where exact values are computed"
        )


def why_not_enumerable(env: Environment) -> str:
    """Why no exact values are computed in an environment; empty if they are."""
    if env.unlisted:
        return env.unlisted
    if env.num_states > MAX_STATES:
        return f"{env.num_states} states per level, at most {MAX_STATES} are"
    return ""


def q_values(
    table: TransitionTable, value: Float[Array, " S"], discount: Scalar
) -> Float[Array, "S A"]:
    """Q of one step, bootstrapped from V and averaged over slips and coins.

      Q0(s, a) = r(s, a) + gamma (1 - terminated) E[V(s')]
      Q(s, a) = (1 - slip(s)) Q0(s, a) + slip(s) mean_b Q0(s, b)

    Args:
      table: transitions of a level.
      value: V of each state, in units of reward.
      discount: gamma in [0, 1].
    """
    coins = table.coin_successor.shape[1]

    def toss(number: Int[Array, ""], value: Float[Array, " S"]) -> Float[Array, " S"]:
        # the expectation runs backwards: the coin tossed last is averaged first
        coin = coins - 1 - number
        prob = table.coin_prob[..., coin]
        return (1 - prob) * value + prob * value[table.coin_successor[:, coin]]

    if coins:
        # a loop, because unrolled V appears twice per coin and XLA may compute a chain
        # of N coins 2^N times
        value = jax.lax.fori_loop(0, coins, toss, value)
    next_value = value[table.successor]
    q = returns.one_step_return(table.reward, table.terminated, next_value, discount)
    mean = q.mean(axis=-1, keepdims=True)
    return jnp.where(table.slip[:, None] > 0, q + table.slip[:, None] * (mean - q), q)


def optimal_value(
    table: TransitionTable, discount: Scalar, steps: int | Int[Array, ""]
) -> Float[Array, " S"]:
    """The optimal discounted return within `steps` steps, from every state.

      V_0 = 0, V_n(s) = max_a Q[V_{n-1}](s, a)

    Iterates until nothing changes or n = steps. With at least `horizon` steps the
    result is V*.

    Args:
      table: transitions of a level.
      discount: gamma in [0, 1].
      steps: largest number of iterations.
    """

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        step, value, _ = carry
        new = q_values(table, value, discount).max(axis=-1)
        return step + 1, new, jnp.any(new != value)

    def continues(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[0] < steps) & carry[2]

    zero = jnp.zeros(table.successor.shape[0], jnp.float32)
    start = (jnp.int32(0), zero, jnp.bool_(True))
    return jax.lax.while_loop(continues, sweep, start)[1]


def horizon(env: Environment, discount: float) -> int:
    """Number of steps after which the optimal return equals V* in float32.

    The path to the last reward is shorter than the number of states. If rewards recur,
    a reward n steps away counts gamma^n, which must be below 1e-8.

    Args:
      env: an environment whose states can be enumerated.
      discount: gamma in [0, 1).

    Raises:
      ValueError: the discount is out of range.
    """
    if not 0 <= discount < 1:
        raise ValueError(f"discount: got {discount}; allowed: at least 0, below 1")
    negligible = math.ceil(math.log(1e-8) / math.log(discount)) if discount > 0 else 1
    return max(env.num_states, negligible)


def policy_value(
    table: TransitionTable,
    policy: Float[Array, "S A"],
    discount: Scalar,
    steps: int | Int[Array, ""],
) -> Float[Array, " S"]:
    """Expected discounted return of a policy within `steps` steps, from every state.

    If `steps` is the time limit of the environment, this is exactly the mean return of
    its episodes, without sampling any.

    Args:
      table: transitions of a level.
      policy: pi(a|s); each row sums to 1.
      discount: gamma in [0, 1].
      steps: length of an episode.
    """

    def sweep(_: Int[Array, ""], value: Float[Array, " S"]) -> Float[Array, " S"]:
        return (policy * q_values(table, value, discount)).sum(axis=-1)

    zero = jnp.zeros(table.successor.shape[0], jnp.float32)
    return jax.lax.fori_loop(0, steps, sweep, zero)


def reachable(table: TransitionTable) -> Bool[Array, " S"]:
    """Whether the agent can be in a state while the episode continues.

    Events of probability 0 do not happen: a coin that never falls leads nowhere, and
    one that always falls leaves no state as it was.
    """
    states = table.successor.shape[0]

    def spread(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        reached, _ = carry
        continues = reached[:, None] & ~table.terminated
        # index `states` collects everything that leads nowhere
        target = jnp.where(continues, table.successor, states)
        hit = jnp.zeros(states + 1, bool).at[target.reshape(-1)].set(True)
        for coin in range(table.coin_successor.shape[1]):
            prob, falls = table.coin_prob[..., coin], table.coin_successor[:, coin]
            after_coin = jnp.where(hit[:states] & (prob > 0), falls, states)
            stays = jnp.append(jnp.broadcast_to(prob < 1, (states,)), True)
            hit = (hit & stays).at[after_coin].set(True)
        new = reached | hit[:states]
        return new, jnp.any(new != reached)

    start = jnp.arange(states) == table.start
    return jax.lax.while_loop(lambda c: c[1], spread, (start, jnp.bool_(True)))[0]
