"""Clamp the features that encode the goal elsewhere: does the agent go there?

The object with the best reward is moved to a free cell far away. The features that
rise most, in their own standard deviations, are then clamped in every state of the
original maze. The control clamps as many other features to the same magnitudes.
`inspection.interventions.retargeting` does the same at any site and for any score.
Every seed, last checkpoint.

Symbols: N seeds, Q magnitudes, M mazes, S states, X of them on the page, D features,
A actions.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from shardsim.evaluation import battery, exact_policies
from shardsim.inspection.fields import reachability
from shardsim.reports.explorer import activations, forward
from shardsim.reports.explorer.activations import Activations, Sample
from shardsim.reports.explorer.forward import Mazes
from shardsim.reports.explorer.panels import base, shapley
from shardsim.reports.explorer.panels import reachability as reachability_panel

UNITS = 12
"""Features that are clamped."""
MAGNITUDES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Times the mean of the clamped features after the move."""


class Goal(NamedTuple):
    """The object that is moved in one maze, and where to."""

    name: str
    cell: tuple[int, int]
    level: Any
    """After the move."""
    states: Bool[np.ndarray, " S"]
    """Whether the agent is on the cell."""


class Plan(NamedTuple):
    """Features after the move and with clamps."""

    goals: tuple[Goal, ...]
    moved: Float[np.ndarray, "N M S D"]
    clamped: Float[np.ndarray, "N B M S D"]
    """B = 2 Q: the chosen features, then the control's."""
    magnitudes: Float[np.ndarray, "N M Q"]


@dataclasses.dataclass(frozen=True)
class Retargeting:
    """V and behaviour under the clamps; NaN for a seed whose V is not finite.

    `reach` is the probability to reach the marked cell: mean over the start cells of
    the original maze. From the start alone most would be 0 or 1, as the real goal is
    often nearer.
    """

    objects: list[str]
    cells: list[list[int]]
    """Marked cell of each maze."""
    num_units: int
    """Features that are clamped."""
    times: list[float]
    magnitudes: Float[np.ndarray, "N M Q"]
    clamped_reach: Float[np.ndarray, "N M Q"]
    control_reach: Float[np.ndarray, "N M Q"]
    original_reach: Float[np.ndarray, "N M"]
    """Features untouched."""
    moved_reach: Float[np.ndarray, "N M"]
    """With the object really moved."""
    share: Float[np.ndarray, "N M Q"]
    """Part of the effect of moving the object that the clamp achieves."""
    clamped_value: Float[np.ndarray, "N Q M X"]
    control_value: Float[np.ndarray, "N Q M X"]
    moved_value: Float[np.ndarray, "N M X"]


def compute(context: base.PanelContext) -> Retargeting | None:
    """None where `plan` is."""
    planned = plan(context)
    if planned is None:
        return None
    states = context.mazes.states.shape[1]
    values = []
    for seed in range(context.side.num_seeds):
        features, shown = cut(planned, context.activations, seed, states)
        values.append(activations.values(context.activations, seed, features, shown))
    return summarise(planned, context, np.stack(values))


def plan(context: base.PanelContext) -> Plan | None:
    """The move of each maze, and clamped features.

    None for an environment without a board, for levels that are too large, and where
    no object ends the episode.
    """
    count, condition = context.num_mazes, context.condition
    if condition.optimal.shape[1] > reachability_panel.MOST_STATES:
        return None
    env = context.inputs.env
    goals = [goal(env, condition, context.mazes, m) for m in range(count)]
    if any(one is None for one in goals):
        return None
    chosen = tuple(one for one in goals if one is not None)
    levels = jax.tree.map(
        lambda old, *new: np.concatenate([np.stack(new), np.asarray(old)[count:]]),
        condition.levels,
        *(one.level for one in chosen),
    )
    inner = context.activations
    encoded, _ = activations.encode(env, inner.networks, levels)
    moved = np.nan_to_num(np.asarray(encoded)[:, :count])
    clamped, magnitudes = clamp(
        inner.features[:, :count], moved, condition.reachable[:count], context.sample
    )
    return Plan(chosen, moved, clamped, magnitudes)


def goal(env: Any, condition: battery.Condition, mazes: Mazes, m: int) -> Goal | None:
    """Moves the object with the best reward to the free cell farthest from it."""
    level = jax.tree.map(lambda leaf: np.asarray(leaf)[m], condition.levels)
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[m], condition.table)
    objects = shapley.objects_of(env, level)
    ends = np.flatnonzero(reachability_panel.best_ends(table, condition.reachable[m]))
    position = np.asarray(battery.positions(env, condition.levels))[m]
    best = {tuple(cell) for cell in position[ends].tolist()}
    chosen = next((n for n, (r, c, _) in objects.items() if (r, c) in best), None)
    if chosen is None:
        return None
    row, column, plane = objects[chosen]
    taken = {(r, c) for r, c, _ in objects.values()} | best
    taken.add(tuple(position[int(table.start)].tolist()))
    cells = [(r, c) for r, c in np.argwhere(mazes.state_at[m] >= 0).tolist()]
    free = [cell for cell in cells if cell not in taken]
    if not free:
        return None
    far = max(free, key=lambda cell: abs(cell[0] - row) + abs(cell[1] - column))
    board = np.array(level.board)
    board[far[0], far[1], plane] = board[row, column, plane]
    board[row, column, plane] = 0
    moved = level._replace(board=board)
    return Goal(chosen, far, moved, (position == np.asarray(far)).all(axis=-1))


def clamp(
    original: Float[np.ndarray, "N M S D"],
    moved: Float[np.ndarray, "N M S D"],
    mask: Bool[np.ndarray, "M S"],
    sample: Sample,
) -> tuple[np.ndarray, np.ndarray]:
    """Features with some clamped to each magnitude, and the magnitudes.

    Chosen are the features that rise most when the object is moved.
    """
    spread = sample.x.std(axis=1)
    spread = np.where(spread > 0, spread, np.inf)
    rng = np.random.default_rng(5)
    out = np.repeat(original[:, None], 2 * len(MAGNITUDES), axis=1)
    sizes = np.zeros((*original.shape[:2], len(MAGNITUDES)), np.float32)
    units = min(UNITS, original.shape[-1] // 2)
    for seed, m in np.ndindex(original.shape[:2]):
        before, after = (x[seed, m, mask[m]].mean(axis=0) for x in (original, moved))
        order = np.argsort(-(after - before) / spread[seed], kind="stable")
        unit, other = order[:units], rng.choice(order[units:], units, replace=False)
        sizes[seed, m] = np.asarray(MAGNITUDES) * np.abs(after[unit]).mean()
        for q, size in enumerate(sizes[seed, m]):
            out[seed, q, m][:, unit] = size
            out[seed, q + len(MAGNITUDES), m][:, other] = size
    return out, sizes


def cut(
    planned: Plan, inner: Activations, seed: int, states: int
) -> tuple[Float[np.ndarray, "B M X D"], Float[np.ndarray, "B M X C"]]:
    """All features of one seed, in pieces of as many states as a page stores of a maze.

    Clamped, untouched, and after the move; with the context input.
    """
    count = len(planned.goals)
    base, context = inner.features[seed, :count], inner.context[:count]
    every = np.concatenate(
        [planned.clamped[seed], base[None], planned.moved[seed, None]]
    )
    shown = np.broadcast_to(context, (len(every), *context.shape))
    return _pieces(every, states), _pieces(shown, states)


def _pieces(x: Float[np.ndarray, "B M S D"], states: int) -> np.ndarray:
    """[B, M, S, D] to [pieces B, M, X, D], padded with 0."""
    many = -(-x.shape[2] // states)
    full = np.pad(x, [(0, 0), (0, 0), (0, many * states - x.shape[2]), (0, 0)])
    parts = full.reshape(*x.shape[:2], many, states, x.shape[3])
    return np.moveaxis(parts, 2, 0).reshape(-1, x.shape[1], states, x.shape[3])


def _joined(values: Float[np.ndarray, "N B M X"], states: int) -> np.ndarray:
    """The inverse: [N, pieces B, M, X] to [N, B, M, S]."""
    seeds, rows, mazes, some = values.shape
    many = -(-states // some)
    parts = values.reshape(seeds, many, rows // many, mazes, some)
    whole = np.moveaxis(parts, 1, 3).reshape(seeds, rows // many, mazes, -1)
    return whole[..., :states]


def summarise(
    planned: Plan,
    context: base.PanelContext,
    pieces: Float[np.ndarray, "N B M X"],
) -> Retargeting:
    """V under the clamps, and the probability to reach the marked cell."""
    count, mazes = len(MAGNITUDES), len(planned.goals)
    inner, condition = context.activations, context.condition
    value = _joined(pieces, condition.optimal.shape[1])
    original = inner.features[:, None, :mazes]
    every = np.concatenate([planned.clamped, original, planned.moved[:, None]], axis=1)
    logits = activations.logits(inner.networks.decoder, jnp.asarray(every))
    logits = np.nan_to_num(np.asarray(logits))
    log_decoder = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    level = forward.select_levels(condition, 0, mazes)
    policy = exact_policies.policy(
        np.nan_to_num(value), log_decoder, level, context.inputs.acting
    )
    reach = np.stack(
        [
            _reach(policy[:, :, m], condition, context.mazes, m, one.states)
            for m, one in enumerate(planned.goals)
        ],
        axis=-1,
    ).astype(np.float32)
    reach[~np.isfinite(value).all(axis=(1, 2, 3))] = np.nan
    clamped, control = reach[:, :count], reach[:, count:-2]
    without, moved = reach[:, -2], reach[:, -1]
    shown = activations.in_mazes(value, context.mazes, 2)
    return Retargeting(
        objects=[one.name for one in planned.goals],
        cells=[list(one.cell) for one in planned.goals],
        num_units=min(UNITS, original.shape[-1] // 2),
        times=list(MAGNITUDES),
        magnitudes=planned.magnitudes,
        clamped_reach=np.moveaxis(clamped, 1, -1),
        control_reach=np.moveaxis(control, 1, -1),
        original_reach=without,
        moved_reach=moved,
        share=_share(clamped, without, moved).astype(np.float32),
        clamped_value=shown[:, :count],
        control_value=shown[:, count : 2 * count],
        moved_value=shown[:, -1],
    )


def _share(reach: np.ndarray, without: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """(reach - without) / (moved - without), [N, M, Q]; NaN if moving does nothing."""
    effect = moved - without
    effect = np.where(np.abs(effect) < 1e-6, np.nan, effect)
    return np.moveaxis((reach - without[:, None]) / effect[:, None], 1, -1)


def _reach(
    policy: Float[np.ndarray, "N B S A"],
    condition: battery.Condition,
    mazes: Mazes,
    m: int,
    target: Bool[np.ndarray, " S"],
) -> Float[np.ndarray, "N B"]:
    """Probability to reach the target, mean over the cells of the original maze."""
    table = jax.tree.map(lambda leaf: np.asarray(leaf)[m], condition.table)
    reached = reachability.reach_probability(
        table.successor, policy, table.terminated, target
    )
    drawn = mazes.states[m][mazes.state_at[m][mazes.state_at[m] >= 0]]
    drawn = drawn[~target[drawn]]
    return np.asarray(reached.probability)[..., drawn].mean(axis=-1)
