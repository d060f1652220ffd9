"""Episodes of an agent, with what it puts out at every step.

Symbols: T steps, A actions, K shards, R reward sources.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.core import dynamic_programming, returns
from shardsim.core.jit import jit
from shardsim.core.types import Environment, Level, Params, State, TimeStep
from shardsim.evaluation import networks
from shardsim.evaluation.exact_policies import ActingRule

EXACT_STATES = 50_000
"""Most states of a level for which the exact V is computed beside an episode."""
MOST_STEPS = 300
"""Steps after which an episode is cut off: some worlds have no end of their own."""


class Player(NamedTuple):
    """Who plays: one agent, and how it acts."""

    name: str
    """As pictures call it."""
    network: networks.Network
    """Of one seed: its outputs have N = 1."""
    acting: ActingRule


class Thoughts(NamedTuple):
    """What an agent puts out in the states of an episode, the last one among them."""

    value: Float[np.ndarray, " T_1"]
    """V, in units of reward."""
    shard_values: Float[np.ndarray, "T_1 K"]
    gates: Float[np.ndarray, "T_1 K"]
    policy: Float[np.ndarray, "T_1 A"]
    """Probability of each action, as the agent acts."""
    q: Float[np.ndarray, "T_1 A"]
    """Q(s, a) = r + gamma (1 - terminated) V(s'), one step ahead without chance."""
    shard_bids: Float[np.ndarray, "T_1 K A"]
    """What shard k adds to the bid of an action, less its mean over actions:
    gamma (1 - terminated) g_k(s') v_k(s')."""

    @property
    def bids(self) -> Float[np.ndarray, "T_1 A"]:
        """Bid of V for each action: Q(s, a) less its mean over actions."""
        centred: np.ndarray = self.q - self.q.mean(axis=-1, keepdims=True)
        return centred


class Episode(NamedTuple):
    """One episode of one agent."""

    name: str
    """Of the agent."""
    states: State
    """Leaves [T + 1, ...]: before each step, and after the last."""
    actions: Int[np.ndarray, " T"]
    reward: Float[np.ndarray, " T"]
    """Reward of each step."""
    rewards: Float[np.ndarray, "T R"]
    """The same by source."""
    ending: str
    """`terminated` by the world, `truncated` by its time limit, or `cut off`."""
    discount: float
    """gamma in [0, 1)."""
    thoughts: Thoughts
    exact: Float[np.ndarray, " T_1"] | None
    """V*; None where the states of the world are not listed, or are too many."""

    @property
    def steps(self) -> int:
        """T."""
        return len(self.actions)

    def total(self, step: int) -> float:
        """Discounted reward of the first `step` steps, in units of reward."""
        weights = self.discount ** np.arange(min(step, self.steps))
        return float((weights * self.reward[: len(weights)]).sum())


def play(
    env: Environment,
    player: Player,
    level: Level,
    params: Params,
    key: Key[Array, ""],
    greedy: bool = False,
    most_steps: int = MOST_STEPS,
) -> Episode:
    """Play one episode from the start of a level.

    Two players with the same key meet the same chance, step by step.

    Args:
      env: a world with boards.
      player: who plays.
      level: where.
      params: of the environment.
      key: of actions and of chance.
      greedy: take the most likely action instead of drawing one.
      most_steps: steps after which the episode is cut off, at least 1.
    """
    _, state = _reset_to(env, level, params)
    states: list[State] = [state]
    steps: list[TimeStep] = []
    thoughts: list[Thoughts] = []
    actions: list[int] = []
    while True:
        thoughts.append(_think(env, player, state, params))
        ending = _ending(steps, most_steps)
        if ending:
            break
        now = jax.random.fold_in(key, len(steps))
        action_key, step_key = jax.random.split(now)
        probabilities = thoughts[-1].policy
        # one uniform number for every player, so that alike agents walk alike
        draw = float(jax.random.uniform(action_key))
        drawn = int((probabilities.cumsum() < draw).sum())
        action = int(probabilities.argmax()) if greedy else drawn
        actions.append(min(action, env.num_actions - 1))
        out = _step(env, step_key, state, jnp.int32(actions[-1]), params)
        steps.append(out)
        state = out.state
        states.append(state)
    joined: Any = jax.tree.map(lambda *x: np.stack(list(map(np.asarray, x))), *states)
    return Episode(
        name=player.name,
        states=joined,
        actions=np.asarray(actions, np.int32),
        reward=np.asarray([float(out.reward) for out in steps], np.float32),
        rewards=np.stack([np.asarray(out.info["rewards"]) for out in steps]),
        ending=ending,
        discount=player.acting.discount,
        thoughts=Thoughts(*(np.stack(x) for x in zip(*thoughts, strict=True))),
        exact=_exact(env, level, params, joined, player.acting.discount),
    )


def _ending(steps: list[TimeStep], most: int) -> str:
    """How an episode has ended; empty if it goes on."""
    if steps and bool(steps[-1].terminated):
        return "terminated"
    if steps and bool(steps[-1].truncated):
        return "truncated"
    return "cut off" if len(steps) >= most else ""


def _think(env: Environment, player: Player, state: State, params: Params) -> Thoughts:
    """What the agent puts out in one state; leaves without the axis of steps."""
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state)
    here = networks.observed(env, one)
    ahead = networks.ahead(env, one, params)
    reward, terminated, observation, context = (np.asarray(x)[0] for x in ahead)
    out = player.network(
        np.concatenate([np.asarray(here[0]), observation]),
        np.concatenate([np.asarray(here[1]), context]),
    )
    value, shard_values, gates, logits = (np.asarray(leaf)[0] for leaf in out)
    q = np.asarray(
        returns.one_step_return(reward, terminated, value[1:], player.acting.discount)
    )
    acts = player.acting.value_acts
    policy = networks.policy(logits[0], q if acts else None, player.acting)
    goes_on = np.where(terminated, 0.0, player.acting.discount)[:, None]
    bids = (goes_on * gates[1:] * shard_values[1:]).T
    bids = bids - bids.mean(axis=-1, keepdims=True)
    return Thoughts(value[0], shard_values[0], gates[0], policy, q, bids)


@functools.partial(jit, static_argnums=0)
def _reset_to(env: Environment, level: Level, params: Params) -> tuple[Array, State]:
    return env.reset_to(level, params)


@functools.partial(jit, static_argnums=0)
def _step(
    env: Environment, key: Key[Array, ""], state: State, action: Array, params: Params
) -> TimeStep:
    return env.step(key, state, action, params)


def _exact(
    env: Environment, level: Level, params: Params, states: State, discount: float
) -> np.ndarray | None:
    """V* of the states of an episode, 0 after its end."""
    if env.unlisted or env.num_states > EXACT_STATES:
        return None
    return np.asarray(_exact_values(env, discount, level, params, states))


@functools.partial(jit, static_argnums=(0, 1))
def _exact_values(
    env: Environment, discount: float, level: Level, params: Params, states: State
) -> Float[Array, " T_1"]:
    table = dynamic_programming.tabulate(env, level, params)
    steps = dynamic_programming.horizon(env, discount)
    value = dynamic_programming.optimal_value(table, discount, steps)
    index = jax.vmap(lambda state: env.index(level, state))(states)
    ended: Bool[Array, " T_1"] = states.terminated
    return jnp.where(ended, 0.0, value[index])
