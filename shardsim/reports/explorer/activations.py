"""E's features of all seeds at the last checkpoint, and a sample of states.

Symbols: N seeds, L levels (the mazes first), S states, D features, C contexts, M mazes,
X states of a maze that the page stores, n sampled states.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.evaluation import battery, state_readings
from shardsim.reports.explorer.forward import Mazes
from shardsim.reports.explorer.load import PageInputs, Side

MOST_STATES = 512
BLOCK = 96
"""Versions of the features that are computed together."""


class Activations(NamedTuple):
    """Networks and features of the last checkpoint of a side."""

    networks: Any
    """Leaves [N, ...]."""
    features: Float[np.ndarray, "N L S D"]
    """0 for a seed whose features are not all finite."""
    context: Float[np.ndarray, "L S C"]
    finite: Bool[np.ndarray, " N"]


class Sample(NamedTuple):
    """Reachable states of the levels of the curves: the same for every seed."""

    x: Float[np.ndarray, "N n D"]
    context: Float[np.ndarray, "n C"]
    labels: Int[np.ndarray, " n"]
    """Of the concept: 0 or 1."""
    concept: str
    """What the labels mean."""
    level: Int[np.ndarray, " n"]
    cell: Int[np.ndarray, " n"]
    """Number of the cell on which the agent stands."""
    optimal: Float[np.ndarray, " n"]


def record(inputs: PageInputs, side: Side, levels: Any) -> Activations:
    """Features of every seed in every state."""
    # on the host: a slice of each shape would be a program of its own
    last = jax.tree.map(lambda leaf: np.asarray(leaf)[-side.num_seeds :], side.networks)
    encoded, context = encode(inputs.env, last, levels)
    features = np.asarray(encoded)
    finite = np.isfinite(features).all(axis=(1, 2, 3))
    features = np.where(finite[:, None, None, None], features, np.float32(0))
    return Activations(last, features, np.asarray(context), finite)


@functools.partial(jit.jit, static_argnums=0)
def encode(env: Any, networks: Any, levels: Any) -> tuple[Array, Array]:
    """E's features [N, L, S, D] and the context input [L, S, C] in all states."""
    outputs = state_readings.outputs(env, networks, levels, batch_size=1)
    return outputs.features, battery.observed(env, levels)[1]


def in_mazes(x: Float[np.ndarray, "..."], mazes: Mazes, axis: int) -> np.ndarray:
    """The states that the page stores: [..., L, S, ...] to [..., M, X, ...].

    Args:
      axis: position of the axis of levels.
    """
    states = np.maximum(mazes.states, 0)
    maze = np.arange(len(states))[:, None]
    return x[(*[slice(None)] * axis, maze, states)]


def sample(
    env: Any, condition: battery.Condition, activations: Activations, mazes: int
) -> Sample:
    """Draw states and label them with a concept.

    The concept is the context or, in an environment with one context, whether V* is
    above its median.
    """
    mask = np.asarray(condition.reachable[mazes:])
    levels = np.broadcast_to(np.arange(len(mask))[:, None], mask.shape)[mask]
    position = np.asarray(battery.positions(env, condition.levels))[mazes:][mask]
    labels, concept = _labels(condition, mazes, mask)
    pick = np.random.default_rng(0).permutation(len(labels))[:MOST_STATES]
    return Sample(
        activations.features[:, mazes:][:, mask][:, pick],
        activations.context[mazes:][mask][pick],
        labels[pick],
        concept,
        levels[pick],
        np.unique(position[pick], axis=0, return_inverse=True)[1].reshape(-1),
        condition.optimal[mazes:][mask][pick],
    )


def _labels(
    condition: battery.Condition, mazes: int, rest: np.ndarray
) -> tuple[np.ndarray, str]:
    _, names = np.unique(condition.context[mazes:][rest], axis=0, return_inverse=True)
    names = names.reshape(-1)
    if len(np.unique(names)) > 1:
        return (names == names.max()).astype(np.int32), "the context"
    optimal = condition.optimal[mazes:][rest]
    return (optimal > np.median(optimal)).astype(np.int32), "V* above its median"


@jit.jit
def _values(
    value: Any, features: Float[Array, "B M X D"], context: Float[Array, "B M X C"]
) -> Float[Array, "B M X"]:
    over = jax.vmap(jax.vmap(lambda h, c: value(h, c).value))
    return jax.lax.map(lambda one: over(*one), (features, context))


def values(
    activations: Activations,
    seed: int,
    features: Float[np.ndarray, "B M X D"],
    context: Float[np.ndarray, "B M X C"],
) -> Float[np.ndarray, "B M X"]:
    """V of one seed for B versions of its features; NaN if they were not finite.

    Computed in blocks of one size, so that one program serves every panel.
    """
    if not activations.finite[seed]:
        return np.full(features.shape[:-1], np.nan, np.float32)
    value = of_seed(activations.networks.value, seed)
    blocks = []
    for start in range(0, len(features), BLOCK):
        block = [x[start : start + BLOCK] for x in (features, context)]
        count = len(block[0])
        padding = [(0, BLOCK - count), (0, 0), (0, 0), (0, 0)]
        padded = [jnp.asarray(np.pad(x, padding)) for x in block]
        blocks.append(np.asarray(_values(value, *padded))[:count])
    return np.concatenate(blocks)


@jit.jit
def logits(
    decoders: Any, features: Float[Array, "N B M S D"]
) -> Float[Array, "N B M S A"]:
    """Logits of D, seed by seed."""

    def seed(pair: tuple[Any, Array]) -> Array:
        decoder, h = pair
        flat = h.reshape(-1, h.shape[-1])
        return jax.vmap(lambda one: decoder(one))(flat).reshape(*h.shape[:-1], -1)

    return jax.lax.map(seed, (decoders, features))


def of_seed(tree: Any, seed: int) -> Any:
    """The networks of one seed."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[seed], tree)
