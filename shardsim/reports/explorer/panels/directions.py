"""Directions of a concept in E's features, and what V says when they are moved.

Every seed has features of its own: methods are compared within a seed, over states
that are drawn again, and how well they agree is a number of each seed. Last checkpoint.
Symbols: N seeds, B samples, n states, m pairs, D features, P methods, R = P B runs of a
seed, Q coefficients, M mazes, X states.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.core import jit
from shardsim.inspection.concepts import (
    concept as concepts,
)
from shardsim.inspection.concepts import (
    consistency,
    leace,
    methods,
)
from shardsim.reports.explorer import activations
from shardsim.reports.explorer.activations import Inside, Sample
from shardsim.reports.explorer.panels import curves

METHODS = ("mean_difference", "logistic", "inlp", "rlace", "leace", "cde")
FOUND: tuple[methods.Method, ...] = (
    methods.MeanDifference(),
    methods.Logistic(),
    methods.Inlp(),
    methods.Rlace(steps=20),
    methods.Random(),
)
"""All but LEACE and CDE, which are asked in other ways."""
CDE = methods.Cde(steps=200, batch=64)
MANY_SEEDS = 4
"""With more of them there are two samples each, and not three."""
COEFFICIENTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Of what is added, in standard deviations of the features along the direction."""
MOVES = 2 * len(METHODS) * (1 + len(COEFFICIENTS))
"""Ablated, then added, along each direction and a random one."""
MOST_PAIRS = 256
CONVERGED = 0.99
"""|cos| to the mean difference from which RLACE counts as having arrived."""


class Runs(NamedTuple):
    """Towards the concept; P of METHODS and random."""

    write: Float[np.ndarray, "N P B D"]
    read: Float[np.ndarray, "N P B D"]
    losses: Float[np.ndarray, "N P B"]


def found(inner: Inside, sample: Sample) -> Runs | None:
    """What each method writes along and reads, in every seed and sample; None where
    the concept is the same in all states."""
    if len(np.unique(sample.labels)) < 2:
        return None
    states, pairs = _drawn(sample.labels, 3 if len(inner.finite) <= MANY_SEEDS else 2)
    x = sample.x[:, states]
    z = np.eye(2, dtype=np.float32)[sample.labels[states]]
    seeds, samples, n, d = x.shape
    keys = jax.random.split(jax.random.key(0), (seeds, samples))
    wide = np.broadcast_to(z[None], (seeds, *z.shape))
    linear = _linear(
        jnp.asarray(x.reshape(-1, n, d)),
        jnp.asarray(wide.reshape(-1, n, 2)),
        keys.reshape(-1),
    )
    a, b = (jnp.asarray(sample.x[:, side]) for side in (pairs[0], pairs[1]))
    # only the planted control reads a context; it is held at the mean
    fixed = jnp.asarray(sample.context.mean(axis=0))
    swapped = _swapped(inner.networks.value, a, b, fixed, keys)
    joined = []
    for first, second in zip(linear, swapped, strict=True):
        many = np.asarray(first).reshape(seeds, samples, *first.shape[1:])
        one = np.asarray(second)[:, :, None]
        joined.append(np.concatenate([many[:, :, :-1], one, many[:, :, -1:]], axis=2))
    write, read, losses = (np.swapaxes(part, 1, 2) for part in joined)
    apart = _apart(sample)
    sign = np.where(np.einsum("npbd,nd->npb", write, apart) < 0, -1, 1)[..., None]
    return Runs(sign * write, sign * read, losses)


def _apart(sample: Sample) -> Float[np.ndarray, "N D"]:
    """From the mean features without the concept to those with it."""
    off, on = (sample.x[:, sample.labels == label].mean(axis=1) for label in (0, 1))
    return on - off


def _drawn(
    labels: Int[np.ndarray, " n"], samples: int
) -> tuple[Int[np.ndarray, "B n"], Int[np.ndarray, "2 B m"]]:
    """States of each sample, drawn again within their class, and pairs of one state of
    each class; the first sample holds every state once."""
    rng = np.random.default_rng(1)
    off, on = (np.flatnonzero(labels == label) for label in (0, 1))
    count = min(MOST_PAIRS, 4 * min(len(off), len(on)))
    states, pairs = [], []
    for number in range(samples):
        again = np.arange(len(labels))
        if number:
            for own in (off, on):
                again[own] = rng.choice(own, len(own))
        states.append(again)
        pairs.append([rng.choice(off, count), rng.choice(on, count)])
    return np.stack(states), np.swapaxes(np.stack(pairs), 0, 1)


@jit.jit
def _linear(
    x: Float[Array, "R n D"], z: Float[Array, "R n 2"], keys: Array
) -> tuple[Array, Array, Array]:
    """Directions that look at features alone; one run after the other, for matrices
    are decomposed."""

    def one(run: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, z, key = run
        concept = concepts.Concept(x, z)
        rows = []
        for number, method in enumerate(FOUND):
            made = methods.find(method, concept, jax.random.fold_in(key, number))
            rows.append((made.write[0], made.read[0], made.loss))
        eraser = leace.fit(x, z[:, :1])
        write, read = eraser.write[:, 0], eraser.read[:, 0]
        size = jnp.linalg.norm(write)
        unit = write / jnp.where(size > 0, size, 1)
        rows.insert(-1, (unit, read * size, jnp.full((), jnp.nan, x.dtype)))
        return tuple(jnp.stack(part) for part in zip(*rows, strict=True))  # type: ignore[return-value]

    return jax.lax.map(one, (x, z, keys))


@jit.jit
def _swapped(
    value: Any,
    a: Float[Array, "N B m D"],
    b: Float[Array, "N B m D"],
    context: Float[Array, " C"],
    keys: Array,
) -> tuple[Array, Array, Array]:
    """CDE: directions that swap what V says of the pairs."""

    def one(run: tuple[Any, Array, Array, Array]) -> tuple[Array, Array, Array]:
        value, a, b, keys = run

        def read_out(h: Array) -> Array:
            return value(h, context).value

        def sample(run: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            a, b, key = run
            made = CDE(concepts.Concept(a, None, a, b, read_out), key)
            return made.write[0], made.read[0], made.loss

        return jax.lax.map(sample, (a, b, keys))

    return jax.lax.map(one, (value, a, b, keys))


def card(runs: Runs, inner: Inside, sample: Sample) -> dict[str, Any]:
    """Agreement of methods and samples, and RLACE's gauge, in every seed."""
    seeds, count, samples, d = runs.write.shape
    rows = runs.write.reshape(seeds, count * samples, d)
    fine = inner.finite & np.isfinite(rows).all(axis=(1, 2))
    pairs = np.stack(
        [consistency.pairwise_agreement(np.nan_to_num(one)[:, None]) for one in rows]
    )
    pairs = np.where(fine[:, None, None], pairs, np.nan)
    blocks = pairs.reshape(seeds, count, samples, count, samples)
    apart = ~np.eye(samples, dtype=bool)
    own = np.stack(
        [blocks[:, i, :, i][:, apart].mean(axis=1) for i in range(count)], axis=1
    )
    # a run stands beside the mean difference of its own sample
    gauge = np.stack(
        [blocks[:, METHODS.index("rlace"), b, 0, b] for b in range(samples)], axis=1
    )
    return {
        "concept": sample.concept,
        "states": len(sample.labels),
        "features": d,
        "methods": [*METHODS, "random"],
        "samples": samples,
        "agreement": pairs.astype(np.float32),
        "own": own.astype(np.float32),
        "own over seeds": [_over(own[:, i]) for i in range(count)],
        "losses": runs.losses,
        "null": consistency.chance_agreement(1, d),
        "gauge": gauge.astype(np.float32),
        "gauge over seeds": _over(gauge.min(axis=1)),
        "converged": CONVERGED,
    }


def _over(x: Float[np.ndarray, " N"]) -> dict[str, float]:
    """Mean and interval over the seeds that have numbers."""
    kept = x[np.isfinite(x)]
    return curves.interval(kept if len(kept) else x)


def moves(
    runs: Runs, seed: int, sample: Sample, shown: Float[np.ndarray, "M X D"]
) -> Float[np.ndarray, "B M X D"]:
    """Features with each direction ablated and added; the control is random.

    B = 2 P (1 + Q): ablated, then added, of each method; then along random directions.

    Of each method another random direction moves the features as far: along it the same
    lengths are added, and taken away, state by state.
    """
    units = np.nan_to_num(runs.write[seed, :-1, 0])
    read = np.nan_to_num(runs.read[seed, :-1, 0])
    mean = sample.x[seed].mean(axis=0)
    spread = np.std((sample.x[seed] - mean) @ units.T, axis=0)
    rng = np.random.default_rng(3 + seed)
    random = rng.normal(size=units.shape)
    random = random / np.linalg.norm(random, axis=1, keepdims=True)
    along = np.einsum("mxd,pd->pmx", shown - mean, read)
    steps = np.asarray(COEFFICIENTS, np.float32)[:, None] * spread[None]
    added = np.broadcast_to(
        steps.T[:, :, None, None], (len(units), len(steps), *along.shape[1:])
    )
    amounts = np.concatenate([-along[:, None], added], axis=1)
    moved = [
        shown + amounts[..., None] * rows[:, None, None, None].astype(np.float32)
        for rows in (units, random)
    ]
    return np.stack(moved).reshape(-1, *shown.shape).astype(np.float32)


def told(said: Float[np.ndarray, "N B M X"]) -> dict[str, Any]:
    """V under the moves, by what was done."""
    shape = (len(said), 2, len(METHODS), 1 + len(COEFFICIENTS), *said.shape[2:])
    both = said.reshape(shape)
    return {
        "coefficients": list(COEFFICIENTS),
        "ablated": both[:, 0, :, 0],
        "added": both[:, 0, :, 1:],
        "random ablated": both[:, 1, :, 0],
        "random added": both[:, 1, :, 1:],
    }


def moved(
    inner: Inside, seed: int, features: np.ndarray, context: np.ndarray
) -> Float[np.ndarray, "B M X"]:
    """V of one seed under its moves; NaN for a seed without numbers."""
    if not inner.finite[seed]:
        return np.full(features.shape[:-1], np.nan, np.float32)
    value = activations.of_seed(inner.networks.value, seed)
    said = activations.answers(value, jnp.asarray(features), jnp.asarray(context))
    return np.asarray(said)
