"""Retargeting: clamp the features that say where the goal is, and see where V points.

The thing that pays most is put on a free cell far from where it stands. The features
that rise most by that, in their own standard deviations, are then clamped in every
state of the maze as it is: does the agent go where nothing is? The control clamps as
many other features to the same magnitudes. `inspection.retargeting` does the same at
any site and for any score. Last checkpoint, every seed. Symbols: N seeds, Q
magnitudes, M mazes, S states, X of them on the page, D features, A actions.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from shardsim.comparison import battery
from shardsim.inspection import ways
from shardsim.viewer import inside, objects, routes
from shardsim.viewer.gather import Gathered
from shardsim.viewer.inside import Inside, Sample
from shardsim.viewer.reading import Boards

UNITS = 4
"""Features that are clamped."""
MAGNITUDES = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Times the mean of the clamped features with the thing in its new place."""


class Goal(NamedTuple):
    """What is moved in one maze, and to where."""

    thing: str
    cell: tuple[int, int]
    level: Any
    """With the thing in its new place."""
    states: Bool[np.ndarray, " S"]
    """The agent stands on the cell."""


class Plan(NamedTuple):
    """Clamped features, and what is needed to judge them."""

    goals: tuple[Goal, ...]
    placed: Float[np.ndarray, "N M S D"]
    clamped: Float[np.ndarray, "N B M S D"]
    """B = 2 Q: the chosen features, then the control's."""
    magnitudes: Float[np.ndarray, "N M Q"]


def plan(
    gathered: Gathered,
    condition: battery.Condition,
    boards: Boards,
    inner: Inside,
    sample: Sample,
) -> Plan | None:
    """None for a world without a board, or where no thing ends the episode."""
    count = len(gathered.mazes)
    if condition.optimal.shape[1] > routes.MOST_SOLVED:
        return None
    goals = [goal(gathered.world, condition, boards, m) for m in range(count)]
    if any(one is None for one in goals):
        return None
    chosen = tuple(one for one in goals if one is not None)
    levels = jax.tree.map(
        lambda old, *new: jnp.asarray(old).at[:count].set(jnp.stack(new)),
        condition.levels,
        *(one.level for one in chosen),
    )
    found, _ = inside.encoded(gathered.world, inner.networks.encoder, levels)
    placed = np.nan_to_num(np.asarray(found)[:, :count])
    base = inner.features[:, :count]
    clamped, magnitudes = _clamped(base, placed, condition.reachable[:count], sample)
    return Plan(chosen, placed, clamped, magnitudes)


def goal(
    world: Any, condition: battery.Condition, boards: Boards, m: int
) -> Goal | None:
    """Moves the thing in the cell that pays most to the free cell farthest from it."""
    level = jax.tree.map(lambda leaf: leaf[m], condition.levels)
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[m], condition.table)
    things = objects.on_board(world, level)
    ends = np.flatnonzero(routes.goal(table, condition.reachable[m]))
    position = np.asarray(inside.places(world, level))
    there = {tuple(cell) for cell in position[ends].tolist()}
    chosen = next((n for n, (r, c, _) in things.items() if (r, c) in there), None)
    if chosen is None:
        return None
    row, column, plane = things[chosen]
    taken = {(r, c) for r, c, _ in things.values()} | there
    taken.add(tuple(position[int(table.start)].tolist()))
    cells = [(r, c) for r, c in np.argwhere(boards.cell[m] >= 0).tolist()]
    free = [cell for cell in cells if cell not in taken]
    if not free:
        return None
    far = max(free, key=lambda cell: abs(cell[0] - row) + abs(cell[1] - column))
    board = np.array(level.board)
    board[far[0], far[1], plane] = board[row, column, plane]
    board[row, column, plane] = 0
    moved = level._replace(board=jnp.asarray(board))
    return Goal(chosen, far, moved, (position == np.asarray(far)).all(axis=-1))


def _clamped(
    base: Float[np.ndarray, "N M S D"],
    placed: Float[np.ndarray, "N M S D"],
    mask: Bool[np.ndarray, "M S"],
    sample: Sample,
) -> tuple[np.ndarray, np.ndarray]:
    """Features with the units of each maze at each magnitude, and the magnitudes."""
    spread = sample.x.std(axis=1)
    spread = np.where(spread > 0, spread, np.inf)
    rng = np.random.default_rng(5)
    out = np.repeat(base[:, None], 2 * len(MAGNITUDES), axis=1)
    sizes = np.zeros((*base.shape[:2], len(MAGNITUDES)), np.float32)
    units = min(UNITS, base.shape[-1] // 2)
    for seed, m in np.ndindex(base.shape[:2]):
        before, after = (x[seed, m, mask[m]].mean(axis=0) for x in (base, placed))
        order = np.argsort(-(after - before) / spread[seed], kind="stable")
        unit, other = order[:units], rng.choice(order[units:], units, replace=False)
        sizes[seed, m] = np.asarray(MAGNITUDES) * np.abs(after[unit]).mean()
        for q, size in enumerate(sizes[seed, m]):
            out[seed, q, m][:, unit] = size
            out[seed, q + len(MAGNITUDES), m][:, other] = size
    return out, sizes


def told(
    planned: Plan,
    inner: Inside,
    condition: battery.Condition,
    said: Float[np.ndarray, "N B M X"],
) -> dict[str, Any]:
    """V under the clamps, and the chance that D's own policy comes to the target."""
    count = len(MAGNITUDES)
    base = inner.features[:, None, : len(planned.goals)]
    every = np.concatenate([planned.clamped, base, planned.placed[:, None]], axis=1)
    logits = np.asarray(
        inside.logits(inner.networks.decoder, jnp.asarray(every)), np.float64
    )
    chance = np.exp(logits - logits.max(axis=-1, keepdims=True))
    chance = np.nan_to_num(chance / chance.sum(axis=-1, keepdims=True))
    scores = np.stack(
        [
            _arrives(chance[:, :, m], condition, m, one.states)
            for m, one in enumerate(planned.goals)
        ],
        axis=-1,
    )
    scores[~inner.finite] = np.nan
    absent, there = scores[:, -2], scores[:, -1]
    return {
        "things": [one.thing for one in planned.goals],
        "cells": [list(one.cell) for one in planned.goals],
        "units": min(UNITS, base.shape[-1] // 2),
        "times": list(MAGNITUDES),
        "magnitudes": planned.magnitudes,
        "scores": np.moveaxis(scores[:, :count], 1, -1).astype(np.float32),
        "random scores": np.moveaxis(scores[:, count:-2], 1, -1).astype(np.float32),
        "absent": absent.astype(np.float32),
        "placed": there.astype(np.float32),
        "share": _share(scores[:, :count], absent, there).astype(np.float32),
        "clamped": said[:, :count],
        "random clamped": said[:, count : 2 * count],
        "placed value": said[:, -1],
    }


def _share(scores: np.ndarray, absent: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(score - absent) / (placed - absent), [N, M, Q]; NaN where it makes no odds."""
    room = there - absent
    room = np.where(np.abs(room) < 1e-6, np.nan, room)
    return np.moveaxis((scores - absent[:, None]) / room[:, None], 1, -1)


def _arrives(
    policy: Float[np.ndarray, "N B S A"],
    condition: battery.Condition,
    m: int,
    states: Bool[np.ndarray, " S"],
) -> Float[np.ndarray, "N B"]:
    """Chance to come to the target from the start, in the maze as it is."""
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[m], condition.table)
    found = ways.reach_probability(table.successor, policy, table.terminated, states)
    return np.asarray(found.probability)[..., int(table.start)]
