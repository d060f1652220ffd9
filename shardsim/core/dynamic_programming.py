"""Exact values by dynamic programming over a world's own `step`.

Every state of a level is stepped with every action once; what follows is
arithmetic on that table, so rules live in one place. Symbols: S states, A actions,
N coins. Memory of a table is (9 A + 4 N + 4) S bytes a level.

Chance enters in two ways, each exact: an action may `slip` (be replaced by one drawn
with equal chances), and after a step independent coins may fall, each of which turns
the state into another one. What a world's chance does beyond that can't be listed.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import returns
from shardsim.core.types import Environment, Level, Params

MOST_STATES = 2_000_000
"""States of a level beyond which no table is made."""
CHUNK = 65_536
"""States stepped at a time: what is held besides the table."""


class TransitionTable(NamedTuple):
    """The transitions of one level."""

    successor: Int[Array, "S A"]
    """Before any coin falls."""
    reward: Float[Array, "S A"]
    """Expected over chance."""
    terminated: Bool[Array, "S A"]
    start: Int[Array, ""]
    """Index of the state the level starts from."""
    slip: Float[Array, " S"]
    """Chance that the action is replaced by one drawn with equal chances."""
    coin_successor: Int[Array, "S N"]
    """What a state becomes if a coin falls; coins are tossed in order."""
    coin_prob: Float[Array, " N"]
    """Chance that each coin falls."""


def tabulate(env: Environment, level: Level, params: Params) -> TransitionTable:
    """Step every state of `level` with every action.

    Raises:
      ValueError: a world with more states than can be listed.
    """
    check_enumerable(env)
    actions = jnp.arange(env.num_actions)
    chances = [0.0] * env.num_coins

    def row(number):  # type: ignore[no-untyped-def]
        state = env.state_at(level, number)

        def one(action):  # type: ignore[no-untyped-def]
            out = env.step(None, state, action, params)
            return env.index(level, out.state), out.reward, out.terminated

        fallen = []
        for coin in range(env.num_coins):
            other, chances[coin] = env.coin(coin, state)
            fallen.append(env.index(level, other))
        return (*jax.vmap(one)(actions), env.slip(state), *fallen)

    numbers = jnp.arange(env.num_states, dtype=jnp.int32)
    if env.num_states <= CHUNK:
        rows = jax.vmap(row)(numbers)
    else:
        rows = jax.lax.map(row, numbers, batch_size=CHUNK)
    successor, reward, terminated, slip, *coins = rows
    fallen = (
        jnp.stack(coins, axis=-1)
        if coins
        else jnp.zeros((env.num_states, 0), jnp.int32)
    )
    _, start = env.reset_to(level, params)
    first = env.index(level, start)
    chance = jnp.asarray(chances, jnp.float32)
    return TransitionTable(successor, reward, terminated, first, slip, fallen, chance)


def check_enumerable(env: Environment) -> None:
    """Refuse a world whose states are too many for a table."""
    if env.unlisted:
        raise ValueError(
            f"env: got states that can't be listed ({env.unlisted}); allowed: a "
            "world with a list of states where exact values are asked for"
        )
    if env.num_states > MOST_STATES:
        raise ValueError(
            f"env: got {env.num_states} states a level; allowed: at most "
            f"{MOST_STATES} where exact values are asked for"
        )


def q_values(
    table: TransitionTable, value: Float[Array, " S"], discount: float
) -> Float[Array, "S A"]:
    """Q(s, a) = r(s, a) + gamma (1 - terminated) E[V(s')], mixed over slips.

    Q'(s, a) = (1 - slip) Q(s, a) + slip mean_b Q(s, b).
    """
    coins = table.coin_successor.shape[1]

    def toss(coin: Array, value: Array) -> Array:
        # E over coins tossed in order: the last one tossed is nearest to V
        last = coins - 1 - coin
        chance = table.coin_prob[last]
        return (1 - chance) * value + chance * value[table.coin_successor[:, last]]

    if coins:
        # a loop: a chain in which V is used twice a coin may be worked out 2^N times
        value = jax.lax.fori_loop(0, coins, toss, value)
    beyond = value[table.successor]
    q = returns.one_step_return(table.reward, table.terminated, beyond, discount)
    mean = q.mean(axis=-1, keepdims=True)
    return jnp.where(table.slip[:, None] > 0, q + table.slip[:, None] * (mean - q), q)


def optimal_value(
    table: TransitionTable, discount: float, steps: int
) -> Float[Array, " S"]:
    """The best discounted return within `steps` steps, from every state.

    V_0 = 0 and V_n = max_a Q[V_{n-1}], until nothing changes or n = steps. Within
    `horizon` steps this is V*, for then no longer one earns more.
    """

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        step, value, _ = carry
        new = q_values(table, value, discount).max(axis=-1)
        return step + 1, new, jnp.any(new != value)

    def more(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[0] < steps) & carry[2]

    zero = jnp.zeros(table.successor.shape[0], jnp.float32)
    start = (jnp.int32(0), zero, jnp.bool_(True))
    return jax.lax.while_loop(more, sweep, start)[1]


def horizon(env: Environment, discount: float) -> int:
    """Steps within which V* is earned, to the precision of float32.

    The way to the last reward is shorter than there are states; where reward recurs, a
    step n away counts gamma^n, which has to be below 1e-8.

    Raises:
      ValueError: a discount outside of [0, 1), without which there is no such number.
    """
    if not 0 <= discount < 1:
        raise ValueError(f"discount: got {discount}; allowed: at least 0, below 1")
    forever = math.ceil(math.log(1e-8) / math.log(discount)) if discount > 0 else 1
    return max(env.num_states, forever)


def policy_value(
    table: TransitionTable, policy: Float[Array, "S A"], discount: float, steps: int
) -> Float[Array, " S"]:
    """Expected discounted return of `policy` within `steps` steps.

    With `steps` the world's time limit this is exactly what episodes return on
    average, without sampling one.
    """

    def sweep(_: int, value: Array) -> Array:
        return (policy * q_values(table, value, discount)).sum(axis=-1)

    zero = jnp.zeros(table.successor.shape[0], jnp.float32)
    return jax.lax.fori_loop(0, steps, sweep, zero)


def reachable(table: TransitionTable) -> Bool[Array, " S"]:
    """Whether the agent can stand in a state while the episode goes on."""
    states = table.successor.shape[0]

    def spread(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        seen, _ = carry
        going = seen[:, None] & ~table.terminated
        target = jnp.where(going, table.successor, states)
        hit = jnp.zeros(states + 1, bool).at[target.reshape(-1)].set(True)
        for coin in range(table.coin_successor.shape[1]):
            fell = jnp.where(hit[:states], table.coin_successor[:, coin], states)
            hit = hit.at[fell].set(True)
        new = seen | hit[:states]
        return new, jnp.any(new != seen)

    start = jnp.arange(states) == table.start
    return jax.lax.while_loop(lambda c: c[1], spread, (start, jnp.bool_(True)))[0]
