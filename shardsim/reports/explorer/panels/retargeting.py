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

from shardsim.evaluation import battery
from shardsim.inspection.fields import reachability
from shardsim.reports.explorer import activations, forward
from shardsim.reports.explorer.activations import Inside, Sample
from shardsim.reports.explorer.forward import Boards
from shardsim.reports.explorer.load import Gathered
from shardsim.reports.explorer.panels import reachability as reachability_panel
from shardsim.reports.explorer.panels import shapley

UNITS = 12
"""Features that are clamped."""
MAGNITUDES = (0.0, 1.0, 2.0, 4.0, 8.0)
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
    if condition.optimal.shape[1] > reachability_panel.MOST_SOLVED:
        return None
    goals = [goal(gathered.world, condition, boards, m) for m in range(count)]
    if any(one is None for one in goals):
        return None
    chosen = tuple(one for one in goals if one is not None)
    levels = jax.tree.map(
        lambda old, *new: np.concatenate([np.stack(new), np.asarray(old)[count:]]),
        condition.levels,
        *(one.level for one in chosen),
    )
    found, _ = activations.encoded(gathered.world, inner.networks, levels)
    placed = np.nan_to_num(np.asarray(found)[:, :count])
    base = inner.features[:, :count]
    clamped, magnitudes = _clamped(base, placed, condition.reachable[:count], sample)
    return Plan(chosen, placed, clamped, magnitudes)


def goal(
    world: Any, condition: battery.Condition, boards: Boards, m: int
) -> Goal | None:
    """Moves the thing in the cell that pays most to the free cell farthest from it."""
    level = jax.tree.map(lambda leaf: np.asarray(leaf)[m], condition.levels)
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[m], condition.table)
    things = shapley.on_board(world, level)
    ends = np.flatnonzero(reachability_panel.goal(table, condition.reachable[m]))
    position = np.asarray(battery.positions(world, condition.levels))[m]
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
    moved = level._replace(board=board)
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


def pieces(
    planned: Plan, inner: Inside, seed: int, states: int
) -> tuple[Float[np.ndarray, "B M X D"], Float[np.ndarray, "B M X C"]]:
    """All states of one seed, cut into pieces of as many as a page holds of a maze.

    Clamped, as they are, and with the thing in its new place: V is asked of all.
    """
    count = len(planned.goals)
    base, context = inner.features[seed, :count], inner.context[:count]
    every = np.concatenate(
        [planned.clamped[seed], base[None], planned.placed[seed, None]]
    )
    around = np.broadcast_to(context, (len(every), *context.shape))
    return _cut(every, states), _cut(around, states)


def _cut(x: Float[np.ndarray, "B M S D"], states: int) -> np.ndarray:
    """[B, M, S, D] to [pieces B, M, X, D]; the last states are filled up with 0."""
    many = -(-x.shape[2] // states)
    full = np.pad(x, [(0, 0), (0, 0), (0, many * states - x.shape[2]), (0, 0)])
    parts = full.reshape(*x.shape[:2], many, states, x.shape[3])
    return np.moveaxis(parts, 2, 0).reshape(-1, x.shape[1], states, x.shape[3])


def _joined(said: Float[np.ndarray, "N B M X"], states: int) -> np.ndarray:
    """The other way round: [N, pieces B, M, X] to [N, B, M, S]."""
    seeds, rows, mazes, some = said.shape
    many = -(-states // some)
    parts = said.reshape(seeds, many, rows // many, mazes, some)
    whole = np.moveaxis(parts, 1, 3).reshape(seeds, rows // many, mazes, -1)
    return whole[..., :states]


def told(
    planned: Plan,
    inner: Inside,
    condition: battery.Condition,
    boards: Boards,
    how: battery.ActingRule,
    said: Float[np.ndarray, "N B M X"],
) -> dict[str, Any]:
    """V under the clamps, and the chance that the agent comes to the target."""
    count, mazes = len(MAGNITUDES), len(planned.goals)
    value = _joined(said, condition.optimal.shape[1])
    base = inner.features[:, None, :mazes]
    every = np.concatenate([planned.clamped, base, planned.placed[:, None]], axis=1)
    said_by_d = activations.logits(inner.networks.decoder, jnp.asarray(every))
    logits = np.nan_to_num(np.asarray(said_by_d))
    prior = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    level = forward.some(condition, 0, mazes)
    chosen = battery.policy(np.nan_to_num(value), prior, level, how)
    scores = np.stack(
        [
            _arrives(chosen[:, :, m], condition, boards, m, one.states)
            for m, one in enumerate(planned.goals)
        ],
        axis=-1,
    ).astype(np.float32)
    scores[~np.isfinite(value).all(axis=(1, 2, 3))] = np.nan
    absent, there = scores[:, -2], scores[:, -1]
    shown = activations.shown(value, boards, 2)
    return {
        "things": [one.thing for one in planned.goals],
        "cells": [list(one.cell) for one in planned.goals],
        "units": min(UNITS, base.shape[-1] // 2),
        "times": list(MAGNITUDES),
        "magnitudes": planned.magnitudes,
        "scores": np.moveaxis(scores[:, :count], 1, -1),
        "random scores": np.moveaxis(scores[:, count:-2], 1, -1),
        "absent": absent,
        "placed": there,
        "share": _share(scores[:, :count], absent, there).astype(np.float32),
        "clamped": shown[:, :count],
        "random clamped": shown[:, count : 2 * count],
        "placed value": shown[:, -1],
    }


def _share(scores: np.ndarray, absent: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(score - absent) / (placed - absent), [N, M, Q]; NaN where it makes no odds."""
    room = there - absent
    room = np.where(np.abs(room) < 1e-6, np.nan, room)
    return np.moveaxis((scores - absent[:, None]) / room[:, None], 1, -1)


def _arrives(
    policy: Float[np.ndarray, "N B S A"],
    condition: battery.Condition,
    boards: Boards,
    m: int,
    states: Bool[np.ndarray, " S"],
) -> Float[np.ndarray, "N B"]:
    """Chance to come to the target, mean over the cells of the maze as it is.

    From the start alone most chances would be 0 or 1: what pays is often nearer.
    """
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[m], condition.table)
    found = reachability.reach_probability(
        table.successor, policy, table.terminated, states
    )
    drawn = boards.kept[m][boards.cell[m][boards.cell[m] >= 0]]
    drawn = drawn[~states[drawn]]
    return np.asarray(found.probability)[..., drawn].mean(axis=-1)
