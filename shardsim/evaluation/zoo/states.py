"""Listed states with their exact values: a pool to train on, batteries to measure on.

Symbols: C contexts, L levels, S states of a level, n reachable states of all levels,
m states that metrics
read, F sources of reward, r row numbers of an observation (see `core.sparse`).
"""

import dataclasses
import functools
from typing import NamedTuple, cast

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.core import config as configs
from shardsim.core import sparse
from shardsim.core.jit import jit
from shardsim.core.types import Level
from shardsim.evaluation import battery, exact_policies
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim_envs import ContextFruits


class Pool(NamedTuple):
    """The reachable states of some boards, each board in every context."""

    rows: Int[np.ndarray, "C n r"]
    """Observations."""
    value: Float[np.ndarray, "C n"]
    """V*."""
    sources: Float[np.ndarray, "C n F"]
    """Value of each source of reward under the optimal policy; their sum is V*."""
    level: Int[np.ndarray, " n"]
    """The board of each state."""


class Battery(NamedTuple):
    """Levels of the world, with one context each."""

    condition: battery.Condition
    rows: Int[np.ndarray, "L S r"]
    """Observations of all states."""
    context: Int[np.ndarray, " L"]
    """The context of each level, in [0, C)."""
    level: Int[np.ndarray, " m"]
    """The level of each state that metrics read."""
    state: Int[np.ndarray, " m"]
    """Its number in the level."""


def pool(config: ZooConfig) -> Pool:
    """The states that members are trained on. The same boards show every context."""
    conditions = [
        # one above the seed of training, so that no level has a key of training
        _in_context(config, context, config.boards, config.seed + 1)
        for context in range(config.env.contexts)
    ]
    reachable = conditions[0].reachable
    level = np.broadcast_to(np.arange(len(reachable))[:, None], reachable.shape)
    return Pool(
        np.stack(
            [np.asarray(_rows(config.env, c.levels))[reachable] for c in conditions]
        ),
        np.stack([c.optimal[reachable] for c in conditions]),
        np.stack(
            [
                source_values(config.env, c, config.discount)[reachable]
                for c in conditions
            ]
        ),
        level[reachable],
    )


def measured(config: ZooConfig, seed: int) -> Battery:
    """The levels of one battery, as many of each context."""
    contexts = config.env.contexts
    each = [
        # boards of one context show no other: their seeds differ
        _in_context(config, context, config.levels // contexts, seed + context)
        for context in range(contexts)
    ]
    joined = jax.tree.map(
        lambda *leaves: np.concatenate([np.asarray(x) for x in leaves]),
        *(condition._replace(params=()) for condition in each),
    )
    condition = joined._replace(params=config.env.params())
    rows = np.asarray(_rows(config.env, condition.levels))
    context = condition.context[:, 0].argmax(axis=-1)
    level, state = np.nonzero(condition.reachable)
    if len(level) < config.states:
        raise configs.ConfigError(
            f"states: got {config.states}; allowed: at most {len(level)}, the "
            f"reachable states of {config.levels} levels"
        )
    # as many of each battery, so that no program is compiled for one of them alone
    drawn = np.random.default_rng(seed).permutation(len(level))[: config.states]
    return Battery(condition, rows, context, level[drawn], state[drawn])


def _in_context(
    config: ZooConfig, context: int, levels: int, seed: int
) -> battery.Condition:
    """Levels with one context on their floor; the same boards in every context."""
    shown = dataclasses.replace(config.env, contexts_shown=((context,),))
    evaluation = battery.EvaluationConfig(levels=levels, seed=seed)
    return battery.build(config.env, shown.params(), evaluation, config.discount)


@functools.partial(jit, static_argnums=0)
def _rows(env: ContextFruits, levels: Level) -> Int[Array, "L S r"]:
    view = cast(ContextFruits, sparse.RowView(env))

    def of_level(level: Level) -> Array:
        return jax.vmap(view.observe)(env.states(level))

    return jax.vmap(of_level)(levels)


def source_values(
    env: ContextFruits, condition: battery.Condition, discount: float
) -> Float[np.ndarray, "L S F"]:
    """Value of each source of reward under the greedy policy of V*.

      U_f(s) = r_f(s, a) + gamma (1 - terminated) U_f(s'),  a = argmax_a Q*(s, a)

    The sum over sources is V*. An episode ends with its first bite, so that the source
    of a reward is the fruit on the cell that the step leads to.
    """
    table = condition.table
    successor, terminated = np.asarray(table.successor), np.asarray(table.terminated)
    q = exact_policies.q_values(condition.optimal, condition, discount)
    best = q.argmax(axis=-1)[..., None]
    at, ends, reward = (
        np.take_along_axis(x, best, axis=-1)[..., 0]
        for x in (successor, terminated, np.asarray(table.reward))
    )
    level = np.arange(len(at))[:, None]
    position = np.asarray(battery.positions(env, condition.levels))
    cell = position[level, at]
    fruits = np.asarray(condition.levels.board)[..., : env.fruits]
    eaten = fruits[level, cell[..., 0], cell[..., 1]].astype(np.float32)
    own = eaten * reward[..., None]
    value = np.zeros_like(own)
    for _ in range(env.size**2):
        after = value[level, at] * (discount * ~ends[..., None])
        value = (own + after).astype(np.float32)
    return value
