"""What weights do to features: spectra, action logits, and pairs that collide.

D's first weights read E's features; the rest of D is folded into a read-out by its mean
Jacobian, so that all here is of first order. Last checkpoint, every seed. Symbols: N
seeds, n states, D features, A actions, m hidden units, r singular directions, T of
them, M mazes, X states of a maze, c directions, p pairs of states.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.agents import chain, layers
from shardsim.core import jit
from shardsim.inspection.weights import svd, weight_action
from shardsim.reports.explorer.activations import Inside, Sample
from shardsim.reports.explorer.forward import Boards

TOP = 5
"""Singular directions whose logits are shown."""
MOST_VALUES = 48
"""Singular values that are shown."""
STATES = 128
"""At which D's slopes are taken."""
COLLIDING = 3
"""Directions that are kept, and that are lost."""
PAIRS = 6
"""Pairs of states of a maze that are shown."""
LOOKED = 200
"""Pairs among which they are looked for: some are of states that are not drawn."""

_spectrum = jit.jit(svd.fit)


class Through(NamedTuple):
    """D, to first order."""

    directions: svd.SingularDirections
    logits: Float[Array, "N r A"]
    """That a unit step along each direction writes, centred over actions."""
    jacobian: Float[Array, "N A D"]
    """Mean slope of the logits, centred over actions."""


def card(
    inner: Inside, sample: Sample, shown: Float[np.ndarray, "N M X D"], boards: Boards
) -> dict[str, Any]:
    """Spectra of V and of D, logits of D's directions, and collisions."""
    head = inner.networks.value
    kernel = getattr(head, "hidden", head).kernel[...]
    told: dict[str, Any] = {"of V": _values(_spectrum(_finite(kernel)))}
    if not hasattr(inner.networks.decoder, "readout"):
        return told
    decoder = jax.tree.map(_finite, inner.networks.decoder)
    through = _through(decoder, jnp.asarray(sample.x[:, :STATES]))
    count = min(TOP, through.logits.shape[1])
    reads = np.asarray(through.directions.reads)[:, :count]
    spread = np.std(np.einsum("nsd,ntd->nts", sample.x, reads), axis=-1)
    mean = sample.x.mean(axis=1)
    told["of D"] = _values(through.directions)
    # a step is one standard deviation of the features along the direction
    told["logits"] = np.asarray(through.logits)[:, :count] * spread[..., None]
    away = shown - mean[:, None, None]
    told["read"] = np.einsum("nmxd,ntd->ntmx", away, reads).astype(np.float32)
    return told | _collisions(through, sample, away, boards)


def _finite(leaf: Any) -> np.ndarray:
    """Numbers as they are; 0 for what is none, so that a matrix can be decomposed."""
    return np.nan_to_num(np.asarray(leaf), posinf=0.0, neginf=0.0)


def _values(directions: svd.SingularDirections) -> dict[str, Any]:
    """Singular values [N, r], the gap beside each, and near-ties by number."""
    return {
        "values": np.asarray(directions.values)[:, :MOST_VALUES],
        "gaps": np.asarray(directions.gaps)[:, :MOST_VALUES],
        "blocks": np.asarray(directions.blocks)[:, :MOST_VALUES],
        "all": directions.values.shape[-1],
    }


@jit.jit
def _through(decoders: Any, x: Float[Array, "N n D"]) -> Through:
    def seed(pair: tuple[Any, Array]) -> tuple[Array, Array]:
        decoder, x = pair
        first, act = decoder.hidden_layers[0], layers.ACTIVATIONS[decoder.activation]

        def rest(before: Array) -> Array:
            return chain.run_from(decoder.stages(), act(before), 0)

        slopes = jax.vmap(jax.jacrev(rest))(jax.vmap(first)(x))
        return first.kernel[...].T, slopes.mean(axis=0)

    weight, readout = jax.lax.map(seed, (decoders, x))
    weight, readout = (part.astype(jnp.float32) for part in (weight, readout))
    directions = svd.fit(weight)
    jacobian = jnp.einsum("nam,nmd->nad", readout, weight)
    return Through(
        directions,
        svd.action_logits(directions, readout),
        jacobian - jacobian.mean(axis=1, keepdims=True),
    )


def _collisions(
    through: Through,
    sample: Sample,
    away: Float[np.ndarray, "N M X D"],
    boards: Boards,
) -> dict[str, Any]:
    """Steps k + n and k - n, and states of a maze, that D hardly tells apart."""
    states = away.shape[2]
    looked = min(LOOKED, states * (states - 1) // 2)
    count = min(COLLIDING, away.shape[-1])
    if looked < 1:
        return {}
    found = _collided(
        through.jacobian,
        jnp.asarray(sample.x),
        jnp.asarray(away),
        count,
        looked,
    )
    before, after, places, was, now = map(np.asarray, found)
    cells = np.zeros(boards.kept.shape, bool)
    for m, cell in enumerate(boards.cell):
        cells[m, cell[cell >= 0]] = True
    return {
        "before": before,
        "after": after,
        "merged": [
            [
                _merged(cells[m], places[seed, m], was[seed, m], now[seed, m])
                for m in range(len(cells))
            ]
            for seed in range(len(places))
        ],
    }


def _merged(
    drawn: np.ndarray,
    places: Int[np.ndarray, "p 2"],
    was: Float[np.ndarray, " p"],
    now: Float[np.ndarray, " p"],
) -> list[dict[str, Any]]:
    """The pairs of drawn states whose cosine rises most, towards one effect."""
    good = drawn[places].all(axis=1) & (now > np.abs(was))
    return [
        {"states": places[i].tolist(), "before": float(was[i]), "after": float(now[i])}
        for i in np.flatnonzero(good)[:PAIRS]
    ]


@functools.partial(jit.jit, static_argnames=("count", "looked"))
def _collided(
    jacobian: Float[Array, "N A D"],
    x: Float[Array, "N n D"],
    away: Float[Array, "N M X D"],
    count: int,
    looked: int,
) -> tuple[Array, ...]:
    """Cosines of k_i + n_j and k_i - n_j; pairs of states, their cosines."""

    def maze(weight: Array, features: Array) -> tuple[Array, ...]:
        action = weight_action.fit(weight, features)
        pairs, _ = weight_action.top_merges(action, looked)
        low, high = pairs[:, 0], pairs[:, 1]
        return pairs, action.before[low, high], action.after[low, high]

    def seed(one: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        weight, x, away = one
        found = weight_action.collisions(weight, x, count)
        pairs = jax.lax.map(lambda features: maze(weight, features), away)
        return found.before, found.after, *pairs

    return jax.lax.map(seed, (jacobian, x, away))
