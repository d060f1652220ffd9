"""Exact values by dynamic programming over a world's own `step`.

Every state of a level is stepped with every action once; what follows is
arithmetic on that table, so rules live in one place. Symbols: S states, A actions.
Memory of a table is 13 bytes x S x A a level. Worlds are deterministic given the
action; a world with noise of its own would need the expectation over it here.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shardsim.types import Environment, Level, Params


class Table(NamedTuple):
    """The transitions of one level."""

    successor: Int[Array, "S A"]
    reward: Float[Array, "S A"]
    terminated: Bool[Array, "S A"]
    start: Int[Array, ""]
    """Index of the state the level starts from."""


def tabulate(env: Environment, level: Level, params: Params) -> Table:
    """Step every state of `level` with every action."""
    states = env.states(level)
    actions = jnp.arange(env.num_actions)
    key = jax.random.key(0)

    def one(state, action):  # type: ignore[no-untyped-def]
        out = env.step(key, state, action, params)
        return env.index(out.state), out.reward, out.terminated

    each_action = jax.vmap(one, in_axes=(None, 0))
    successor, reward, terminated = jax.vmap(each_action, in_axes=(0, None))(
        states, actions
    )
    _, start = env.reset_to(level, params)
    return Table(successor, reward, terminated, env.index(start))


def lookahead(
    table: Table, value: Float[Array, " S"], discount: float
) -> Float[Array, "S A"]:
    """Q(s, a) = r(s, a) + gamma (1 - terminated) V(s')."""
    beyond = jnp.where(table.terminated, 0.0, value[table.successor])
    return table.reward + discount * beyond


def optimal_value(table: Table, discount: float, steps: int) -> Float[Array, " S"]:
    """The best discounted return within `steps` steps, from every state.

    V_0 = 0 and V_n = max_a Q[V_{n-1}]. With `steps` at least the longest way to the
    last reward this is V*, for then no longer horizon earns more.
    """

    def sweep(_: int, value: Array) -> Array:
        return lookahead(table, value, discount).max(axis=-1)

    zero = jnp.zeros(table.successor.shape[0], jnp.float32)
    return jax.lax.fori_loop(0, steps, sweep, zero)


def policy_value(
    table: Table, policy: Float[Array, "S A"], discount: float, steps: int
) -> Float[Array, " S"]:
    """Expected discounted return of `policy` within `steps` steps.

    With `steps` the world's time limit this is exactly what episodes return on
    average, without sampling one.
    """

    def sweep(_: int, value: Array) -> Array:
        return (policy * lookahead(table, value, discount)).sum(axis=-1)

    zero = jnp.zeros(table.successor.shape[0], jnp.float32)
    return jax.lax.fori_loop(0, steps, sweep, zero)


def reachable(table: Table) -> Bool[Array, " S"]:
    """Whether the agent can stand in a state while the episode goes on."""
    states = table.successor.shape[0]

    def spread(_: int, seen: Array) -> Array:
        going = seen[:, None] & ~table.terminated
        target = jnp.where(going, table.successor, states)
        hit = jnp.zeros(states + 1, bool).at[target.reshape(-1)].set(True)
        return seen | hit[:states]

    start = jnp.arange(states) == table.start
    return jax.lax.fori_loop(0, states, spread, start)
