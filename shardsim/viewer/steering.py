"""Directions of a concept in E's features, and what V says when they are moved.

The concept is which context a level shows or, in a world of one context, whether exact
V is above its median. One seed is looked at, the first, in the last checkpoint: seeds
have features of their own, so that directions are compared over resampled states.
Symbols: n states, D features, R runs, P methods, Q coefficients, M mazes, X states.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.comparison import battery
from shardsim.inspection import concepts, consistency, directions
from shardsim.viewer.gather import Gathered, Side
from shardsim.viewer.reading import Boards

METHODS = ("mean_difference", "logistic", "inlp", "rlace", "leace", "cde")
SAMPLES = 3
"""Runs of each method: on all states, then on states drawn again."""
COEFFICIENTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Of what is added, in standard deviations of the features along the direction."""
MOST_STATES = 512


def cards(
    gathered: Gathered,
    side: Side,
    condition: battery.Condition,
    boards: Boards,
    mazes: int,
) -> dict[str, Any]:
    """Consistency, gauge, spectrum, and the triptychs of every method."""
    one = jax.tree.map(lambda leaf: leaf[-side.seeds], side.networks)
    encoded, context = features(gathered.world, one.encoder, condition.levels)
    rest = np.asarray(condition.reachable[mazes:])
    x = np.asarray(encoded)[mazes:][rest]
    labels, said = _labels(condition, mazes, rest)
    pick = np.random.default_rng(0).permutation(len(x))[:MOST_STATES]
    x, labels = x[pick], labels[pick]
    if len(np.unique(labels)) < 2:
        return {}
    seen = np.asarray(context)[mazes:][rest][pick]
    concept = _concept(one, x, labels, seen)
    runs, read, losses = _runs(concept)
    shown = np.take_along_axis(
        np.asarray(encoded)[:mazes], np.maximum(boards.kept, 0)[..., None], axis=1
    )
    around = np.take_along_axis(
        np.asarray(context)[:mazes], np.maximum(boards.kept, 0)[..., None], axis=1
    )
    moved = _moved(one, shown, around, runs[::SAMPLES], read[::SAMPLES], concept)
    pairs = consistency.agreements(runs[:, None])
    count = len(METHODS) + 1
    gauge = pairs[METHODS.index("rlace") * SAMPLES, 0]
    hidden = np.asarray(getattr(one.value, "hidden", one.value).kernel[...])
    spectrum = np.linalg.svd(hidden.astype(np.float64), compute_uv=False)
    return {
        "concept": said,
        "states": len(x),
        "features": x.shape[1],
        "methods": [*METHODS, "random"],
        "samples": SAMPLES,
        "agreement": pairs.astype(np.float32),
        "own": [_own(pairs, i) for i in range(count)],
        "losses": losses,
        "null": consistency.null(1, x.shape[1]),
        "gauge": float(gauge),
        "spectrum": spectrum[:32].astype(np.float32),
        "coefficients": list(COEFFICIENTS),
        **moved,
    }


def _own(pairs: np.ndarray, method: int) -> float:
    """Mean agreement of a method's own runs."""
    block = slice(method * SAMPLES, (method + 1) * SAMPLES)
    own = pairs[block, block]
    return float(own[~np.eye(SAMPLES, dtype=bool)].mean())


@functools.partial(jax.jit, static_argnums=0)
def features(world: Any, encoder: Any, levels: Any) -> tuple[Array, Array]:
    """E's features [L, S, D], and the context shown [L, S, C], in all states."""

    def one(state: Any) -> tuple[Array, Array]:
        return encoder(world.observe(state)), world.context(state)

    return jax.lax.map(lambda level: jax.vmap(one)(world.states(level)), levels)


def _labels(
    condition: battery.Condition, mazes: int, rest: np.ndarray
) -> tuple[np.ndarray, str]:
    _, names = np.unique(condition.context[mazes:][rest], axis=0, return_inverse=True)
    names = names.reshape(-1)
    if len(np.unique(names)) > 1:
        return (names == names.max()).astype(np.int32), "the context that is shown"
    optimal = condition.optimal[mazes:][rest]
    return (optimal > np.median(optimal)).astype(np.int32), "exact V above its median"


def _concept(
    networks: Any, x: np.ndarray, labels: np.ndarray, context: np.ndarray
) -> concepts.Concept:
    """Labels, and pairs of one state of each class for CDE."""
    rng = np.random.default_rng(1)
    off, on = (np.flatnonzero(labels == label) for label in (0, 1))
    count = min(256, 4 * min(len(off), len(on)))
    a, b = rng.choice(off, count), rng.choice(on, count)
    fixed = jnp.asarray(context.mean(axis=0))

    def read_out(h: Array) -> Array:
        # only the planted control reads a context; it is held at the mean
        return networks.value(h, fixed).value

    return concepts.Concept(
        jnp.asarray(x), labels, jnp.asarray(x[a]), jnp.asarray(x[b]), read_out
    )


def _runs(
    concept: concepts.Concept,
) -> tuple[Float[np.ndarray, "R D"], Float[np.ndarray, "R D"], list[float]]:
    """What each method and sample writes along and reads, towards the concept."""
    rng = np.random.default_rng(2)
    drawn = [concept] + [consistency.resampled(concept, rng) for _ in range(1, SAMPLES)]
    z = np.asarray(concept.z)
    x = np.asarray(concept.x)
    apart = x[z == 1].mean(axis=0) - x[z == 0].mean(axis=0)
    rows, reads, losses = [], [], []
    for number, method in enumerate((*METHODS, "random")):
        for sample, one in enumerate(drawn):
            key = jax.random.fold_in(jax.random.key(number), sample)
            found = directions.find(method, one, key)
            row = np.asarray(found.write[0])
            sign = 1.0 if row @ apart >= 0 else -1.0
            rows.append(sign * row)
            reads.append(sign * np.asarray(found.read[0]))
            losses.append(float(np.asarray(found.loss).mean()))
    write, read = (np.stack(part).astype(np.float32) for part in (rows, reads))
    return write, read, losses


def _moved(
    networks: Any,
    shown: Float[np.ndarray, "M X D"],
    context: Float[np.ndarray, "M X C"],
    units: Float[np.ndarray, "P D"],
    read: Float[np.ndarray, "P D"],
    concept: concepts.Concept,
) -> dict[str, np.ndarray]:
    """V with a direction ablated and added; the control is random, of equal norm.

    Of each method another random direction moves the features as far: along it the same
    lengths are added, and taken away, state by state.
    """
    mean = np.asarray(concept.x).mean(axis=0)
    spread = np.std((np.asarray(concept.x) - mean) @ units.T, axis=0)
    rng = np.random.default_rng(3)
    random = rng.normal(size=units.shape)
    random = (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)
    along = np.einsum("mxd,pd->pmx", shown - mean, read)
    steps = np.asarray(COEFFICIENTS, np.float32)[:, None] * spread[None]
    added = np.broadcast_to(
        steps.T[:, :, None, None], (len(units), len(steps), *along.shape[1:])
    )
    amounts = np.concatenate([-along[:, None], added], axis=1).astype(np.float32)
    found = [
        np.asarray(_steered(networks, shown, context, amounts, rows))
        for rows in (units, random)
    ]
    return {
        "ablated": found[0][:, 0],
        "added": found[0][:, 1:],
        "random ablated": found[1][:, 0],
        "random added": found[1][:, 1:],
    }


@jax.jit
def _steered(
    networks: Any, shown: Array, context: Array, amounts: Array, rows: Array
) -> Float[Array, "P Q M X"]:
    over = jax.vmap(jax.vmap(lambda h, c: networks.value(h, c).value))

    def one(pair: tuple[Array, Array]) -> Array:
        amount, row = pair
        moved = shown[None] + amount[..., None] * row[None, None, None, :]
        return jax.lax.map(lambda h: over(h, context), moved)

    return jax.lax.map(one, (amounts, rows))
