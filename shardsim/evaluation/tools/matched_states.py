"""Pairs of states that differ in one thing: the floor of the board, or its cue.

Symbols: m pairs, D features, C contexts.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.agents import encoders
from shardsim.core.jit import jit
from shardsim.evaluation.subjects import Subject
from shardsim_envs import ContextFruits
from shardsim_envs.gridworld.records import Level, State

Edit: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Of boards [m, H, W, P], which it leaves as they are."""


class Matched(NamedTuple):
    """What E says of the two sides of m pairs, and the contexts that they show."""

    a: Float[np.ndarray, "m D"]
    b: Float[np.ndarray, "m D"]
    context_a: Float[np.ndarray, "m C"]
    context_b: Float[np.ndarray, "m C"]


def draw(
    subject: Subject, among: Bool[np.ndarray, " n"], count: int, key: Key[Array, ""]
) -> Int[np.ndarray, " m"]:
    """At most `count` of the states of a subject that a mask selects."""
    index = np.flatnonzero(among)
    return index[np.asarray(jax.random.permutation(key, len(index)))[:count]]


def has_cue(subject: Subject) -> Bool[np.ndarray, " n"]:
    """Whether the level of a state has the cue."""
    env = _world(subject)
    boards = np.asarray(subject.condition.levels.board)
    present = boards[..., env.plane("cue")].sum(axis=(1, 2)) > 0
    return np.asarray(present[subject.level])


def by_context(
    subject: Subject, rows: Int[np.ndarray, " m"], one: int = 0, other: int = 1
) -> Matched:
    """The same states on the floor of one context and on that of another."""
    env = _world(subject)
    eye = np.eye(env.num_contexts, dtype=np.uint8)
    first = env.plane("floor 0")

    def edited(boards: np.ndarray, context: int) -> np.ndarray:
        boards = boards.copy()
        boards[..., first : first + env.num_contexts] = eye[context]
        return boards

    return _matched(subject, rows, lambda x: edited(x, one), lambda x: edited(x, other))


def by_cue(subject: Subject, rows: Int[np.ndarray, " m"]) -> Matched:
    """The same states with the cue of their level and without it."""
    cue = _world(subject).plane("cue")

    def without(boards: np.ndarray) -> np.ndarray:
        boards = boards.copy()
        boards[..., cue] = 0
        return boards

    return _matched(subject, rows, lambda x: x, without)


def _world(subject: Subject) -> ContextFruits:
    if not isinstance(subject.env, ContextFruits):
        raise ValueError(
            f"env: got {type(subject.env).__name__}; allowed: ContextFruits"
        )
    return subject.env


def _matched(
    subject: Subject, rows: Int[np.ndarray, " m"], one: Edit, other: Edit
) -> Matched:
    assert subject.agent is not None  # `NEEDS_AGENT`
    env = _world(subject)
    states = _states(env, subject.condition.levels)
    at = subject.level[rows], subject.state[rows]
    chosen = jax.tree.map(lambda x: np.asarray(x)[at], states)
    sides = []
    for edit in (one, other):
        edited = chosen._replace(board=edit(chosen.board))
        sides.append(_features(env, subject.agent.encoder, edited))
    (a, context_a), (b, context_b) = jax.tree.map(np.asarray, sides)
    return Matched(a, b, context_a, context_b)


@functools.partial(jit, static_argnums=0)
def _states(env: ContextFruits, levels: Level) -> State:
    """All states of every level, leaves [L, S, ...]."""
    return jax.vmap(env.states)(levels)


@functools.partial(jit, static_argnums=0)
def _features(
    env: ContextFruits, encoder: encoders.Encoder, states: State
) -> tuple[Float[Array, "m D"], Float[Array, "m C"]]:
    def one(state: State) -> tuple[Array, Array]:
        return encoder(env.observe(state)), env.context(state)

    return jax.vmap(one)(states)
