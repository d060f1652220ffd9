"""V after a direction was removed from E's features, or added to them.

The control is a random direction that moves the features as far. Last checkpoint.

Symbols: N seeds, P methods, Q coefficients, M mazes, X states of a maze, D features.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from shardsim.reports.explorer import activations
from shardsim.reports.explorer.activations import Sample
from shardsim.reports.explorer.panels import base, concepts
from shardsim.reports.explorer.panels.concepts import METHODS, Runs

COEFFICIENTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Of the direction, in standard deviations of the features along it."""


@dataclasses.dataclass(frozen=True)
class Interventions:
    """V of every seed; NaN for a seed whose features are not finite."""

    concept: str
    methods: list[str]
    coefficients: list[float]
    ablated: Float[np.ndarray, "N P M X"]
    added: Float[np.ndarray, "N P Q M X"]
    random_ablated: Float[np.ndarray, "N P M X"]
    random_added: Float[np.ndarray, "N P Q M X"]
    fits: list[base.Fits]
    """Searches for the directions."""


def compute(context: base.PanelContext) -> Interventions | None:
    """None where the concept is the same in all states."""
    runs = context.once(concepts.search)
    if runs is None:
        return None
    count = context.num_mazes
    shown = activations.in_mazes(context.activations.context[:count], context.mazes, 0)
    values = []
    for seed, features in enumerate(context.maze_features):
        moved = move(runs, seed, context.sample, features)
        inputs = np.broadcast_to(shown, (len(moved), *shown.shape))
        values.append(activations.values(context.activations, seed, moved, inputs))
    shape = (2, len(METHODS), 1 + len(COEFFICIENTS))
    both = np.stack(values).reshape(len(values), *shape, *values[0].shape[1:])
    return Interventions(
        concept=context.sample.concept,
        methods=list(METHODS),
        coefficients=list(COEFFICIENTS),
        ablated=both[:, 0, :, 0],
        added=both[:, 0, :, 1:],
        random_ablated=both[:, 1, :, 0],
        random_added=both[:, 1, :, 1:],
        fits=concepts.fits(runs, context.activations.finite),
    )


def move(
    runs: Runs, seed: int, sample: Sample, features: Float[np.ndarray, "M X D"]
) -> Float[np.ndarray, "B M X D"]:
    """Features of one seed with each direction removed and added.

    For each method a random direction gets the same amounts, state by state.

    Returns:
      B = 2 P (1 + Q) versions: for each method the direction removed, then added with
      each coefficient; then the same along the random directions.
    """
    units = np.nan_to_num(runs.write[seed, :-1, 0])
    read = np.nan_to_num(runs.read[seed, :-1, 0])
    mean = sample.x[seed].mean(axis=0)
    spread = np.std((sample.x[seed] - mean) @ units.T, axis=0)
    rng = np.random.default_rng(3 + seed)
    random = rng.normal(size=units.shape)
    random = random / np.linalg.norm(random, axis=1, keepdims=True)
    along = np.einsum("mxd,pd->pmx", features - mean, read)
    steps = np.asarray(COEFFICIENTS, np.float32)[:, None] * spread[None]
    added = np.broadcast_to(
        steps.T[:, :, None, None], (len(units), len(steps), *along.shape[1:])
    )
    amounts = np.concatenate([-along[:, None], added], axis=1)
    moved = [
        features + amounts[..., None] * rows[:, None, None, None].astype(np.float32)
        for rows in (units, random)
    ]
    return np.stack(moved).reshape(-1, *features.shape).astype(np.float32)
