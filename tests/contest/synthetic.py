"""Small worlds and synthetic agents: what a forecaster, with drawn parameters, does."""

import itertools
from typing import NamedTuple

import jax
import numpy as np

from shardsim.contest import fitting, planning
from shardsim.contest.evidence import (
    AgentEvidence,
    Behaviour,
    Event,
    Evidence,
    History,
    Situations,
)

SIZE = 4
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))
REWARDS = ((1.0, 0.0), (0.0, 1.0))
EVENTS = {
    "A": Event("A", REWARDS, ((0,),), 60),
    "B": Event("B", REWARDS, ((1,),), 60),
    "both": Event("both", REWARDS, ((0,), (1,)), 60),
    "swapped": Event("swapped", ((0.0, 1.0), (1.0, 0.0)), ((0,), (1,)), 60),
    "extinct A": Event("extinct A", ((0.0, 0.0), (0.0, 0.0)), ((0,),), 60),
    "extinct B": Event("extinct B", ((0.0, 0.0), (0.0, 0.0)), ((1,),), 60),
}
CONDITIONS = {
    "both": ((1, 0), (0, 1)),
    "only A": ((1, 0),),
    "only B": ((0, 1),),
    "conflict": ((1, 1),),
}
LIMIT = 20
"""Steps of an episode."""


def situations(levels, shown, seed=0):
    """Boards of 4 x 4 with two fruits, of which one is eaten; state = cell."""
    rng = np.random.default_rng(seed)
    cells = SIZE * SIZE
    places = np.stack([rng.permutation(cells)[:3] for _ in range(levels)])
    row, column = np.divmod(np.arange(cells), SIZE)
    successor = np.zeros((levels, cells, len(MOVES)), np.int32)
    for action, (down, right) in enumerate(MOVES):
        new_row = np.clip(row + down, 0, SIZE - 1)
        new_column = np.clip(column + right, 0, SIZE - 1)
        successor[:, :, action] = new_row * SIZE + new_column
    fruits = places[:, :2]
    # waiting on a cell is no bite, and no episode goes on from a fruit
    taken = (successor[..., None] == fruits[:, None, None]).astype(np.float32)
    reachable = ~(np.arange(cells)[None, :, None] == fruits[:, None]).any(axis=-1)
    context = np.asarray(shown, np.float32)[np.arange(levels) % len(shown)]
    observation = np.zeros((levels, cells, 1, 1, 1), np.uint8)
    return Situations(
        observation,
        context,
        successor,
        taken,
        taken.any(axis=-1),
        reachable,
        places[:, 2],
        np.arange(levels),
    )


def history(*events):
    return History("-".join(events), tuple(EVENTS[name] for name in events))


def words(names, *lengths):
    """All histories of some lengths."""
    return [history(*w) for n in lengths for w in itertools.product(names, repeat=n)]


class World(NamedTuple):
    situations: dict
    histories: list
    frame: fitting.Frame


def world(levels=8, histories=None, conditions=CONDITIONS):
    histories = histories or words(("A", "B", "both", "extinct A"), 1, 2)
    given = {name: situations(levels, shown) for name, shown in conditions.items()}
    return World(given, histories, fitting.frame_of(given, histories))


def drawn(forecaster, frame, seed, noise=0.7):
    """The forecaster with drawn parameters, away from where fits start."""
    start_key, *keys = jax.random.split(jax.random.key(seed), 40)
    leaves, tree = jax.tree.flatten(forecaster.start(start_key, frame.sizes))
    moved = [
        np.asarray(leaf + noise * jax.random.normal(key, leaf.shape))[None]
        for leaf, key in zip(leaves, keys, strict=False)
    ]
    parameters = jax.tree.unflatten(tree, moved)
    return fitting.Fitted(forecaster, parameters, np.ones(1), frame, 0.0, 0)


def agents(of, world, arm="mlp", seeds=1):
    """Agents that do what a fitted or drawn forecaster expects, one for each seed."""
    behaviour = {}
    for name, given in world.situations.items():
        policies = fitting.forecasts(of, given, world.histories)
        for each, policy in zip(world.histories, policies, strict=True):
            behaviour.setdefault(each.name, {})[name] = acting(given, policy)
    return tuple(
        AgentEvidence(arm, each, seed, behaviour[each.name])
        for each in world.histories
        for seed in range(seeds)
    )


def acting(given, policy):
    occupancy = planning.occupancy(
        given.successor, given.terminated, given.start, policy, LIMIT
    )
    return Behaviour(policy, occupancy)


def evidence(of, world, **settings):
    return Evidence(world.situations, agents(of, world, **settings))
