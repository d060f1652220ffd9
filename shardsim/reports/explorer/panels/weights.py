"""What weights do to features: spectra, action logits, and collisions.

D's first weights read E's features; the rest of D is replaced by its mean Jacobian, so
that everything here is a first-order approximation. Last checkpoint, every seed.

Symbols: N seeds, n states, D features, A actions, m hidden units, r singular
directions, T of them, M mazes, X states of a maze, c directions, p pairs of states.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.agents import chain, layers
from shardsim.core import jit
from shardsim.inspection.weights import bootstrap, polar, svd, weight_action
from shardsim.reports.explorer.activations import Activations, Sample
from shardsim.reports.explorer.forward import Mazes
from shardsim.reports.explorer.panels import base

TOP = 5
"""Singular directions whose logits are shown."""
MOST_VALUES = 48
"""Singular values that are shown."""
STATES = 128
"""States at which D's Jacobian is taken."""
COLLIDING = 3
"""Directions of either kind: those that D reads most, and those it ignores."""
RESAMPLES = 6
"""Bootstrap samples of levels."""
PAIRS = 6
"""Pairs of states of a maze that are shown."""
CANDIDATES = 200
"""Pairs that are searched: some are of states that are not drawn."""

_decompose = jit.jit(svd.fit)


class LinearDecoder(NamedTuple):
    """D to first order."""

    directions: svd.SingularDirections
    logits: Float[Array, "N r A"]
    """Change by a unit step along each direction, centred over actions."""
    jacobian: Float[Array, "N A D"]
    """Mean Jacobian of the logits, centred over actions."""


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Singular values of the weights that read E's features."""

    values: Float[np.ndarray, "N r"]
    gaps: Float[np.ndarray, "N r"]
    """To the next value, as a fraction of the largest."""
    blocks: Int[np.ndarray, "N r"]
    """Values of one number are nearly equal: their directions are not determined."""
    size: int
    """How many there are."""


@dataclasses.dataclass(frozen=True)
class Merged:
    """Two states whose features differ and move D's logits alike."""

    states: list[int]
    before: float
    """Cosine of their features."""
    after: float
    """Cosine of their logits."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """Spectra of V and D; the rest is None if D is not an MLP."""

    value: Spectrum
    decoder: Spectrum | None = None
    logits: Float[np.ndarray, "N T A"] | None = None
    """By a step of one SD of the features along each direction."""
    projections: Float[np.ndarray, "N T M X"] | None = None
    """Of the features of every cell, less their mean, on each direction."""
    cosine_before: Float[np.ndarray, "N c c"] | None = None
    """Of k + n and k - n; D reads k most and ignores n."""
    cosine_after: Float[np.ndarray, "N c c"] | None = None
    """Of the logits that they cause."""
    merged: list[list[list[Merged]]] | None = None
    """By seed and maze."""
    readings: list[base.Reading] = dataclasses.field(default_factory=list)


def compute(context: base.PanelContext) -> Weights:
    """Spectra, logits of D's singular directions, and collisions."""
    return summarise(
        context.activations, context.sample, context.maze_features, context.mazes
    )


def summarise(
    activations: Activations,
    sample: Sample,
    features: Float[np.ndarray, "N M X D"],
    mazes: Mazes,
) -> Weights:
    """The same of arrays.

    Args:
      features: in the states of the mazes.
    """
    head = activations.networks.value
    kernel = getattr(head, "hidden", head).kernel[...]
    value = _spectrum(_decompose(_finite(kernel)))
    readings = _layer(activations.networks.encoder)
    if not hasattr(activations.networks.decoder, "readout"):
        return Weights(value, readings=readings)
    decoder = jax.tree.map(_finite, activations.networks.decoder)
    linear = _linearise(decoder, jnp.asarray(sample.x[:, :STATES]))
    count = min(TOP, linear.logits.shape[1])
    reads = np.asarray(linear.directions.reads)[:, :count]
    spread = np.std(np.einsum("nsd,ntd->nts", sample.x, reads), axis=-1)
    mean = sample.x.mean(axis=1)
    # a step is one standard deviation of the features along the direction
    logits = np.asarray(linear.logits)[:, :count] * spread[..., None]
    centred = features - mean[:, None, None]
    before, after, merged = _collisions(linear, sample, centred, mazes)
    return Weights(
        value,
        _spectrum(linear.directions),
        logits,
        np.einsum("nmxd,ntd->ntmx", centred, reads).astype(np.float32),
        cosine_before=before,
        cosine_after=after,
        merged=merged,
        readings=[*_stability(decoder, sample, activations.finite), *readings],
    )


def _stability(
    decoder: Any, sample: Sample, is_finite: Bool[np.ndarray, " N"]
) -> list[base.Reading]:
    """Would other levels give the same singular directions of D?"""
    weight = np.swapaxes(np.asarray(decoder.hidden_layers[0].kernel), -1, -2)
    outputs, inputs = weight.shape[1:]
    if outputs > inputs or len(np.unique(sample.level)) < 2:
        return []
    each = _alone(_finite(weight), sample.x, tuple(sample.level.tolist()))
    alone = np.asarray(each)[:, :, : min(TOP, outputs)].mean(axis=(1, 2))
    alone = np.where(is_finite, alone, np.nan)
    return [
        base.reading(
            "stability of D's directions",
            f"Squared cosine of the first {min(TOP, outputs)} directions that D reads, "
            "weighted by how features vary, between all levels and resampled levels.",
            alone,
            1 / outputs,
            "random directions",
        )
    ]


@functools.partial(jit.jit, static_argnames="level")
def _alone(
    weight: Float[Array | np.ndarray, "N m D"],
    x: Float[Array | np.ndarray, "N n D"],
    level: tuple[int, ...],
) -> Float[Array, "N B m"]:
    """Squared cosine of each direction of a seed to that of resampled levels."""

    def seed(pair: tuple[Array, Array]) -> Array:
        weight, x = pair
        key, groups = jax.random.key(0), np.asarray(level)
        fit = bootstrap.bootstrap(weight, x, key, groups=groups, resamples=RESAMPLES)
        return fit.alone

    return jax.lax.map(seed, (weight, x))


def _layer(encoder: Any) -> list[base.Reading]:
    """What E's last layer does besides stretching, where its weights are square."""
    stack = getattr(encoder, "layers", None)
    if not stack:
        return []
    kernel = np.asarray(stack[-1].kernel, np.float64)
    if kernel.ndim != 3 or kernel.shape[1] != kernel.shape[2]:
        return []
    is_finite = np.isfinite(kernel).all(axis=(1, 2))
    random = np.random.default_rng(0).normal(size=kernel.shape[1:])
    share, nothing = (
        polar.fit(matrix).rotation_share for matrix in (np.nan_to_num(kernel), random)
    )
    return [
        base.reading(
            "rotation in E's last layer",
            "Share of the weights of E's last layer that is lost if they only "
            "stretched: 0 for a pure stretch, 1.41 for a turn by 90 degrees.",
            np.where(is_finite, share, np.nan),
            nothing,
            "a matrix of random numbers",
        )
    ]


def _finite(leaf: Any) -> np.ndarray:
    """The leaf with 0 for numbers that are not finite, so that it can be decomposed."""
    return np.nan_to_num(np.asarray(leaf), posinf=0.0, neginf=0.0)


def _spectrum(directions: svd.SingularDirections) -> Spectrum:
    return Spectrum(
        np.asarray(directions.values)[:, :MOST_VALUES],
        np.asarray(directions.gaps)[:, :MOST_VALUES],
        np.asarray(directions.blocks)[:, :MOST_VALUES],
        directions.values.shape[-1],
    )


@jit.jit
def _linearise(decoders: Any, x: Float[Array, "N n D"]) -> LinearDecoder:
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
    return LinearDecoder(
        directions,
        svd.action_logits(directions, readout),
        jacobian - jacobian.mean(axis=1, keepdims=True),
    )


def _collisions(
    linear: LinearDecoder,
    sample: Sample,
    centred: Float[np.ndarray, "N M X D"],
    mazes: Mazes,
) -> tuple[np.ndarray, np.ndarray, list[list[list[Merged]]]] | tuple[None, None, None]:
    """Cosines before and after D, and the states of each maze that D merges."""
    states = centred.shape[2]
    candidates = min(CANDIDATES, states * (states - 1) // 2)
    count = min(COLLIDING, centred.shape[-1])
    if candidates < 1:
        return None, None, None
    searched = _search(
        linear.jacobian,
        jnp.asarray(sample.x),
        jnp.asarray(centred),
        count,
        candidates,
    )
    before, after, pairs, pair_before, pair_after = map(np.asarray, searched)
    is_drawn = np.zeros(mazes.states.shape, bool)
    for m, states_at in enumerate(mazes.state_at):
        is_drawn[m, states_at[states_at >= 0]] = True
    merged = [
        [
            _merged(
                is_drawn[m], pairs[seed, m], pair_before[seed, m], pair_after[seed, m]
            )
            for m in range(len(is_drawn))
        ]
        for seed in range(len(pairs))
    ]
    return before, after, merged


def _merged(
    is_drawn: np.ndarray,
    pairs: Int[np.ndarray, "p 2"],
    before: Float[np.ndarray, " p"],
    after: Float[np.ndarray, " p"],
) -> list[Merged]:
    """The pairs of drawn states whose cosine rises most, towards one effect."""
    is_shown = is_drawn[pairs].all(axis=1) & (after > np.abs(before))
    return [
        Merged(pairs[i].tolist(), float(before[i]), float(after[i]))
        for i in np.flatnonzero(is_shown)[:PAIRS]
    ]


@functools.partial(jit.jit, static_argnames=("count", "candidates"))
def _search(
    jacobian: Float[Array, "N A D"],
    x: Float[Array, "N n D"],
    centred: Float[Array, "N M X D"],
    count: int,
    candidates: int,
) -> tuple[Array, ...]:
    """Cosines of k_i + n_j and k_i - n_j; pairs of states, their cosines."""

    def maze(weight: Array, features: Array) -> tuple[Array, ...]:
        action = weight_action.fit(weight, features)
        pairs, _ = weight_action.top_merges(action, candidates)
        low, high = pairs[:, 0], pairs[:, 1]
        return pairs, action.before[low, high], action.after[low, high]

    def seed(one: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        weight, x, centred = one
        cosines = weight_action.collisions(weight, x, count=count)
        pairs = jax.lax.map(lambda features: maze(weight, features), centred)
        return cosines.before, cosines.after, *pairs

    return jax.lax.map(seed, (jacobian, x, centred))
