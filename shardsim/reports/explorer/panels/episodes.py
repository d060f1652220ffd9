"""One episode of every seed in every maze, at the last checkpoint.

Episodes are walked on the table of transitions, with the same chance for both sides.
Symbols: N seeds, M mazes, T steps, R states of all episodes of a side, each counted
once for its seed and maze, A actions, K shards.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.core import jit
from shardsim.core.dynamic_programming import TransitionTable
from shardsim.evaluation import exact_policies
from shardsim.reports.episodes import ARROWS
from shardsim.reports.explorer import forward
from shardsim.reports.explorer.forward import Predictions
from shardsim.reports.explorer.panels import base
from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.world import GridWorld

MOST_STEPS = 64
"""Steps after which an episode is cut off, so that the page stays small."""


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something on the board."""

    name: str
    row: int
    column: int


@dataclasses.dataclass(frozen=True)
class Episodes:
    """Episodes of one side."""

    steps: Int[np.ndarray, "N M"]
    """Steps of each episode."""
    ends: list[list[str]]
    """How each ends, by seed and maze: terminated, truncated or cut off."""
    row: Int[np.ndarray, "N M T_1"]
    """The state before each step, and after the last, as a row of what follows; -1
    after the end."""
    action: Int[np.ndarray, "N M T_1"]
    """The action of each step; -1 after the last."""
    reward: Float[np.ndarray, "N M T_1"]
    """Reward of the step that led to the state."""
    value: Float[np.ndarray, " R"]
    exact: Float[np.ndarray, " R"]
    """V*."""
    gates: Float[np.ndarray, "R K"]
    contributions: Float[np.ndarray, "R K"]
    """g_k v_k."""
    policy: Float[np.ndarray, "R A"]
    bids: Float[np.ndarray, "R A"]
    """Q(s, a) less its mean over actions."""
    shard_bids: Float[np.ndarray, "R K A"]
    """gamma (1 - terminated) g_k(s') v_k(s') less its mean over actions."""
    things: Int[np.ndarray, " R"]
    """What is on the board, as an index of `boards`."""
    boards: list[list[Thing]]
    actions: list[str]
    """Names of the actions, [A]."""


def compute(context: base.PanelContext) -> Episodes | None:
    """None where V is not finite."""
    count, env = context.num_mazes, context.inputs.env
    condition = forward.select_levels(context.condition, 0, count)
    last = Predictions(*(leaf[-1][:, :count] for leaf in context.predictions))
    if not all(np.isfinite(leaf).all() for leaf in last):
        return None
    acting = context.inputs.acting
    policies = exact_policies.policy(last.value, last.log_decoder, condition, acting)
    walks = [
        [
            _walk(_table(condition.table, m), policies[n, m], env.max_steps, m)
            for m in range(count)
        ]
        for n in range(context.side.num_seeds)
    ]
    rows: dict[tuple[int, int, int], int] = {}
    longest = max(len(walk.states) for of_seed in walks for walk in of_seed)
    shape = (len(walks), count, longest)
    row, action = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
    reward = np.zeros(shape, np.float32)
    for n, of_seed in enumerate(walks):
        for m, walk in enumerate(of_seed):
            for t, state in enumerate(walk.states):
                row[n, m, t] = rows.setdefault((n, m, state), len(rows))
            action[n, m, : len(walk.actions)] = walk.actions
            reward[n, m, 1 : len(walk.actions) + 1] = walk.rewards
    n, m, s = np.asarray(list(rows), np.int32).T
    q = exact_policies.q_values(last.value, condition, acting.discount)[n, m, s]
    contributions = last.gates * last.shard_values
    after = np.asarray(condition.table.successor)[m, s]
    goes_on = 1 - np.asarray(condition.table.terminated, np.float32)[m, s]
    ahead = (
        acting.discount
        * goes_on[..., None]
        * contributions[n[:, None], m[:, None], after]
    )
    shard_bids = np.swapaxes(ahead - ahead.mean(axis=1, keepdims=True), 1, 2)
    things, boards = _boards(context, m, s)
    return Episodes(
        steps=np.asarray([[len(w.actions) for w in own] for own in walks], np.int32),
        ends=[[walk.end for walk in own] for own in walks],
        row=row,
        action=action,
        reward=reward,
        value=last.value[n, m, s],
        exact=np.asarray(condition.optimal)[m, s],
        gates=last.gates[n, m, s],
        contributions=contributions[n, m, s],
        policy=policies[n, m, s].astype(np.float32),
        bids=(q - q.mean(axis=-1, keepdims=True)).astype(np.float32),
        shard_bids=shard_bids.astype(np.float32),
        things=things,
        boards=boards,
        actions=_names(env),
    )


@dataclasses.dataclass
class _Walk:
    """One episode: numbers of its states, and what happened."""

    states: list[int]
    actions: list[int]
    rewards: list[float]
    end: str


def _table(table: TransitionTable, maze: int) -> TransitionTable:
    one: TransitionTable = jax.tree.map(lambda leaf: np.asarray(leaf)[maze], table)
    return one


def _walk(
    table: TransitionTable, policy: Float[np.ndarray, "S A"], limit: int, maze: int
) -> _Walk:
    """One episode by a policy. Rewards that depend on chance are expected ones."""
    draws = np.random.default_rng(maze)
    state = int(table.start)
    walk = _Walk([state], [], [], "truncated" if limit <= MOST_STEPS else "cut off")
    for _ in range(min(limit, MOST_STEPS)):
        # as many draws for each step of every side, so that their chance is the same
        draw, slip, other = draws.random(3)
        falls = draws.random(table.coin_successor.shape[1])
        last = policy.shape[1] - 1
        action = min(int((policy[state].cumsum() < draw).sum()), last)
        done = (
            min(int(other * (last + 1)), last) if slip < table.slip[state] else action
        )
        walk.actions.append(action)
        walk.rewards.append(float(table.reward[state, done]))
        is_over = bool(table.terminated[state, done])
        state = int(table.successor[state, done])
        for coin, fall in enumerate(falls):
            by_state = table.coin_prob[..., coin]
            probability = by_state[state] if by_state.ndim else by_state
            if not is_over and fall < probability:
                state = int(table.coin_successor[state, coin])
        walk.states.append(state)
        if is_over:
            walk.end = "terminated"
            break
    return walk


def _names(env: Any) -> list[str]:
    """An arrow for each move on a board; numbers in other worlds."""
    if isinstance(env, GridWorld):
        return [ARROWS[name] for name in grid.ACTIONS]
    return [str(action) for action in range(env.num_actions)]


def _boards(
    context: base.PanelContext, mazes: np.ndarray, states: np.ndarray
) -> tuple[np.ndarray, list[list[Thing]]]:
    """What is on the board in some states; boards that are alike are listed once."""
    env = context.inputs.env
    known: dict[tuple[tuple[str, int, int], ...], int] = {}
    index = np.zeros(len(states), np.int32)
    most = max(len(np.unique(states[mazes == m])) for m in np.unique(mazes))
    for m in np.unique(mazes).tolist():
        level = context.maze_level(m)
        own = np.unique(states[mazes == m])
        padded = np.pad(own, (0, most - len(own)), mode="edge")  # one program for all
        visited = jax.device_get(_states(env, level, jnp.asarray(padded)))
        for number, state in enumerate(own):
            shown = _things(env, level, jax.tree.map(lambda x, i=number: x[i], visited))
            place = known.setdefault(shown, len(known))
            index[(mazes == m) & (states == state)] = place
    return index, [[Thing(*each) for each in shown] for shown in known]


@functools.partial(jit.jit, static_argnums=0)
def _states(env: Any, level: Any, numbers: Int[Array, " X"]) -> Any:
    return jax.vmap(lambda number: env.state_at(level, number))(numbers)


def _things(env: Any, level: Any, state: Any) -> tuple[tuple[str, int, int], ...]:
    """Names and cells of the things on the board, and of the agent."""
    if hasattr(level, "_replace") and hasattr(state, "board"):
        level = level._replace(board=np.asarray(state.board))
    cells = env.glyphs(level)
    row, column = np.asarray(env.position(state)).tolist()
    things = [(name, *at) for name, at in cells.items() if name != "start"]
    return (*things, ("agent", row, column))
