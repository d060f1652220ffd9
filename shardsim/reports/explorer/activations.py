"""E's features at the end of training, of all seeds, and the states looked at.

Symbols: N seeds, L levels (the mazes first), S states, D features, C contexts, M mazes,
X states of a maze that the page holds, n states that are sampled.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.evaluation import battery
from shardsim.reports.explorer.forward import Boards
from shardsim.reports.explorer.load import Gathered, Side

MOST_STATES = 512


class Inside(NamedTuple):
    """The last checkpoint of a side."""

    networks: Any
    """Leaves [N, ...]."""
    features: Float[np.ndarray, "N L S D"]
    """0 for a seed whose features are not finite."""
    context: Float[np.ndarray, "L S C"]
    finite: Bool[np.ndarray, " N"]


class Sample(NamedTuple):
    """Reachable states of the levels of the curves; the same for every seed."""

    x: Float[np.ndarray, "N n D"]
    context: Float[np.ndarray, "n C"]
    labels: Int[np.ndarray, " n"]
    """Of the concept, 0 or 1."""
    concept: str
    level: Int[np.ndarray, " n"]
    optimal: Float[np.ndarray, " n"]


def look(gathered: Gathered, side: Side, levels: Any) -> Inside:
    """Features of every seed in every state."""
    # on the host: a slice of each shape would be a program of its own
    last = jax.tree.map(lambda leaf: np.asarray(leaf)[-side.seeds :], side.networks)
    found, context = encoded(gathered.world, last, levels)
    features = np.asarray(found)
    finite = np.isfinite(features).all(axis=(1, 2, 3))
    features = np.where(finite[:, None, None, None], features, np.float32(0))
    return Inside(last, features, np.asarray(context), finite)


@functools.partial(jit.jit, static_argnums=0)
def encoded(world: Any, networks: Any, levels: Any) -> tuple[Array, Array]:
    """E's features [N, L, S, D], and the context shown [L, S, C], in all states."""
    out = battery.outputs(world, networks, levels, batch_size=1)
    return out.features, battery.observed(world, levels)[1]


def shown(of: Float[np.ndarray, "..."], boards: Boards, axis: int) -> np.ndarray:
    """The states that the page holds: [..., L, S, ...] to [..., M, X, ...].

    Args:
      axis: of the levels.
    """
    safe = np.maximum(boards.kept, 0)
    maze = np.arange(len(safe))[:, None]
    return of[(*[slice(None)] * axis, maze, safe)]


def sample(condition: battery.Condition, inside: Inside, mazes: int) -> Sample:
    """Draw states; the concept is the context that is shown or, in a world of one
    context, whether exact V is above its median."""
    mask = np.asarray(condition.reachable[mazes:])
    levels = np.broadcast_to(np.arange(len(mask))[:, None], mask.shape)[mask]
    labels, said = _labels(condition, mazes, mask)
    pick = np.random.default_rng(0).permutation(len(labels))[:MOST_STATES]
    return Sample(
        inside.features[:, mazes:][:, mask][:, pick],
        inside.context[mazes:][mask][pick],
        labels[pick],
        said,
        levels[pick],
        condition.optimal[mazes:][mask][pick],
    )


def _labels(
    condition: battery.Condition, mazes: int, rest: np.ndarray
) -> tuple[np.ndarray, str]:
    _, names = np.unique(condition.context[mazes:][rest], axis=0, return_inverse=True)
    names = names.reshape(-1)
    if len(np.unique(names)) > 1:
        return (names == names.max()).astype(np.int32), "the context that is shown"
    optimal = condition.optimal[mazes:][rest]
    return (optimal > np.median(optimal)).astype(np.int32), "exact V above its median"


@jit.jit
def answers(
    value: Any, features: Float[Array, "B M X D"], context: Float[Array, "B M X C"]
) -> Float[Array, "B M X"]:
    """V of one seed where its features were changed in B ways."""
    over = jax.vmap(jax.vmap(lambda h, c: value(h, c).value))
    return jax.lax.map(lambda one: over(*one), (features, context))


@jit.jit
def logits(
    decoders: Any, features: Float[Array, "N B M S D"]
) -> Float[Array, "N B M S A"]:
    """What D says, seed by seed."""

    def seed(pair: tuple[Any, Array]) -> Array:
        decoder, h = pair
        flat = h.reshape(-1, h.shape[-1])
        return jax.vmap(lambda one: decoder(one))(flat).reshape(*h.shape[:-1], -1)

    return jax.lax.map(seed, (decoders, features))


def of_seed(tree: Any, seed: int) -> Any:
    """The networks of one seed."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[seed], tree)
