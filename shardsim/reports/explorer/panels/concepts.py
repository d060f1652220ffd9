"""Directions of a concept in E's features, and how well methods agree on them.

Every seed has features of its own: methods are compared within a seed, over resampled
sets of states. Last checkpoint.

Symbols: N seeds, B samples, n states, m pairs, D features, P methods, R = P B runs of a
seed.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.inspection.concepts import concept as labelled
from shardsim.inspection.concepts import (
    consistency,
    control_tasks,
    direction_scores,
    leace,
    methods,
    projection,
)
from shardsim.reports.explorer.activations import Activations, Sample
from shardsim.reports.explorer.panels import base

METHODS = ("mean_difference", "logistic", "inlp", "rlace", "leace", "cde")
LINEAR: tuple[methods.Method, ...] = (
    methods.MeanDifference(),
    methods.Logistic(),
    methods.Inlp(),
    methods.Rlace(steps=20),
    methods.Random(),
)
"""All but LEACE and CDE, which have other inputs."""
CDE = methods.Cde()
MANY_SEEDS = 4
"""With more seeds there are two samples of states, not three."""
ITERATIVE = ("logistic", "inlp", "rlace", "cde")
"""The methods that search; the others are closed forms."""
CONTROLS = 2
"""Control tasks of a probe."""
MOST_PAIRS = 256
CONVERGED = 0.99
"""|cos| to the mean difference from which RLACE counts as converged."""


class Runs(NamedTuple):
    """Directions towards the concept: those of METHODS, then a random one."""

    write: Float[np.ndarray, "N P B D"]
    read: Float[np.ndarray, "N P B D"]
    losses: Float[np.ndarray, "N P B"]
    converged: Bool[np.ndarray, "N P B"]


@dataclasses.dataclass(frozen=True)
class Concepts:
    """Agreement of methods and samples, and convergence of RLACE, in every seed."""

    concept: str
    num_states: int
    num_features: int
    methods: list[str]
    """The last is random."""
    num_samples: int
    agreement: Float[np.ndarray, "N R R"]
    """|cosine| of every pair of runs."""
    own: Float[np.ndarray, "N P"]
    """Mean |cosine| of a method between samples."""
    own_over_seeds: list[base.Estimate]
    losses: Float[np.ndarray, "N P B"]
    chance: float
    """Expected |cosine| of random directions."""
    convergence: Float[np.ndarray, "N B"]
    """|cosine| of RLACE to the mean difference of the same sample: its optimum."""
    convergence_over_seeds: base.Estimate
    converged: float
    """Threshold of `convergence`."""
    swap: Float[np.ndarray, "N P"]
    """Part of the difference of V that swapping the direction between two states of
    different classes carries over, 0 to 1."""
    erased: Float[np.ndarray, "N P"]
    """Part of the difference of V that goes where the direction is erased in both."""
    readings: list[base.Reading]
    fits: list[base.Fits]


def compute(context: base.PanelContext) -> Concepts | None:
    """None where the concept is the same in all states."""
    runs = context.once(search)
    if runs is None:
        return None
    return summarise(runs, context.activations, context.sample)


def search(context: base.PanelContext) -> Runs | None:
    """The directions of one side."""
    return find(context.activations, context.sample)


def find(activations: Activations, sample: Sample) -> Runs | None:
    """The direction of each method in every seed and sample.

    None where the concept is the same in all states.
    """
    if len(np.unique(sample.labels)) < 2:
        return None
    samples = 3 if len(activations.finite) <= MANY_SEEDS else 2
    states, pairs = _resample(sample.labels, samples)
    x = sample.x[:, states]
    z = np.eye(2, dtype=np.float32)[sample.labels[states]]
    levels = np.unique(sample.level, return_inverse=True)[1].reshape(-1)[states]
    seeds, samples, n, d = x.shape
    keys = jax.random.split(jax.random.key(0), (seeds, samples))
    wide = np.broadcast_to(z[None], (seeds, *z.shape))
    linear = _linear(
        jnp.asarray(x.reshape(-1, n, d)),
        jnp.asarray(wide.reshape(-1, n, 2)),
        jnp.asarray(np.tile(levels, (seeds, 1))),
        keys.reshape(-1),
    )
    a, b = (jnp.asarray(sample.x[:, side]) for side in (pairs[0], pairs[1]))
    # only a head that is given the context reads it; it is held at the mean
    fixed = jnp.asarray(sample.context.mean(axis=0))
    swapped = _swapped(activations.networks.value, a, b, fixed, keys)
    joined = []
    for first, second in zip(linear, swapped, strict=True):
        many = np.asarray(first).reshape(seeds, samples, *first.shape[1:])
        one = np.asarray(second)[:, :, None]
        joined.append(np.concatenate([many[:, :, :-1], one, many[:, :, -1:]], axis=2))
    write, read, losses, converged = (np.swapaxes(part, 1, 2) for part in joined)
    towards = _mean_difference(sample)
    sign = np.where(np.einsum("npbd,nd->npb", write, towards) < 0, -1, 1)[..., None]
    return Runs(sign * write, sign * read, losses, converged)


def _mean_difference(sample: Sample) -> Float[np.ndarray, "N D"]:
    """From the mean features without the concept to those with it."""
    off, on = (sample.x[:, sample.labels == label].mean(axis=1) for label in (0, 1))
    return on - off


def _resample(
    labels: Int[np.ndarray, " n"], samples: int
) -> tuple[Int[np.ndarray, "B n"], Int[np.ndarray, "2 B m"]]:
    """States of each sample, resampled within their class, and pairs of both classes.

    The first sample holds every state once.
    """
    rng = np.random.default_rng(1)
    off, on = (np.flatnonzero(labels == label) for label in (0, 1))
    count = min(MOST_PAIRS, 4 * min(len(off), len(on)))
    states, pairs = [], []
    for number in range(samples):
        sample = np.arange(len(labels))
        if number:
            for own in (off, on):
                sample[own] = rng.choice(own, len(own))
        states.append(sample)
        pairs.append([rng.choice(off, count), rng.choice(on, count)])
    return np.stack(states), np.swapaxes(np.stack(pairs), 0, 1)


@jit.jit
def _linear(
    x: Float[Array, "R n D"],
    z: Float[Array, "R n 2"],
    levels: Int[Array, "R n"],
    keys: Array,
) -> tuple[Array, ...]:
    """Methods that read features alone.

    One run after the other, because batched decompositions of matrices can deadlock.
    """

    def one(run: tuple[Array, ...]) -> tuple[Array, ...]:
        x, z, levels, key = run
        concept = labelled.Concept(x, z, groups=levels)
        rows = []
        for number, method in enumerate(LINEAR):
            fit = methods.find(method, concept, jax.random.fold_in(key, number))
            rows.append((fit.write[0], fit.read[0], fit.loss, fit.converged))
        eraser = leace.fit(x, z[:, :1])
        write, read = eraser.write[0], eraser.read[0]
        size = jnp.linalg.norm(write)
        unit = write / jnp.where(size > 0, size, 1)
        no_loss, closed_form = jnp.full((), jnp.nan, x.dtype), jnp.ones((), bool)
        rows.insert(-1, (unit, read * size, no_loss, closed_form))
        return tuple(jnp.stack(part) for part in zip(*rows, strict=True))

    linear: tuple[Array, ...] = jax.lax.map(one, (x, z, levels, keys))
    return linear


@jit.jit
def _swapped(
    value: Any,
    a: Float[Array, "N B m D"],
    b: Float[Array, "N B m D"],
    context: Float[Array, " C"],
    keys: Array,
) -> tuple[Array, ...]:
    """CDE: directions that swap V between the states of a pair."""

    def one(run: tuple[Any, Array, Array, Array]) -> tuple[Array, ...]:
        value, a, b, keys = run

        def read_out(h: Array) -> Array:
            return value(h, context).value

        def sample(run: tuple[Array, Array, Array]) -> tuple[Array, ...]:
            a, b, key = run
            fit = CDE(labelled.Concept(a, None, a, b, read_out), key)
            return fit.write[0], fit.read[0], fit.loss, fit.converged

        samples: tuple[Array, ...] = jax.lax.map(sample, (a, b, keys))
        return samples

    swapped: tuple[Array, ...] = jax.lax.map(one, (value, a, b, keys))
    return swapped


def summarise(runs: Runs, activations: Activations, sample: Sample) -> Concepts:
    """Agreement of all runs; NaN for a seed whose features are not finite."""
    seeds, count, samples, d = runs.write.shape
    readings, of_probes = _control_task(activations, sample)
    rows = runs.write.reshape(seeds, count * samples, d)
    is_finite = activations.finite & np.isfinite(rows).all(axis=(1, 2))
    pairs = np.stack(
        [consistency.pairwise_agreement(np.nan_to_num(one)[:, None]) for one in rows]
    )
    pairs = np.where(is_finite[:, None, None], pairs, np.nan)
    blocks = pairs.reshape(seeds, count, samples, count, samples)
    is_pair = ~np.eye(samples, dtype=bool)
    own = np.stack(
        [blocks[:, i, :, i][:, is_pair].mean(axis=1) for i in range(count)], axis=1
    )
    # a run is compared with the mean difference of its own sample
    convergence = np.stack(
        [blocks[:, METHODS.index("rlace"), b, 0, b] for b in range(samples)], axis=1
    )
    return Concepts(
        concept=sample.concept,
        num_states=len(sample.labels),
        num_features=d,
        methods=[*METHODS, "random"],
        num_samples=samples,
        agreement=pairs.astype(np.float32),
        own=own.astype(np.float32),
        own_over_seeds=[_over_seeds(own[:, i]) for i in range(count)],
        losses=runs.losses,
        chance=consistency.chance_agreement(1, d),
        convergence=convergence.astype(np.float32),
        convergence_over_seeds=_over_seeds(convergence.min(axis=1)),
        converged=CONVERGED,
        **_effects(runs, activations, sample),
        readings=readings,
        fits=[*fits(runs, activations.finite), *of_probes],
    )


def fits(runs: Runs, is_finite: Bool[np.ndarray, " N"]) -> list[base.Fits]:
    """The searches of the methods."""
    return [
        base.fits(name.replace("_", " "), runs.converged[:, number], is_finite)
        for number, name in enumerate(METHODS)
        if name in ITERATIVE
    ]


def _effects(
    runs: Runs, activations: Activations, sample: Sample
) -> dict[str, Float[np.ndarray, "N P"]]:
    """What swapping and erasing each direction of the first sample do to V.

    The pairs are not those that CDE was fitted to.
    """
    rng = np.random.default_rng(2)
    off, on = (np.flatnonzero(sample.labels == label) for label in (0, 1))
    count = min(MOST_PAIRS, 4 * min(len(off), len(on)))
    pairs = [jnp.asarray(sample.x[:, rng.choice(own, count)]) for own in (off, on)]
    scores = _scores(
        activations.networks.value,
        jnp.asarray(np.nan_to_num(runs.write[:, :, 0])),
        jnp.asarray(np.nan_to_num(runs.read[:, :, 0])),
        jnp.asarray(sample.x.mean(axis=1)),
        *pairs,
        jnp.asarray(sample.context.mean(axis=0), jnp.float32),
    )
    is_finite = activations.finite[:, None]
    names = ("swap", "erased")
    return {
        name: np.where(is_finite, np.asarray(score), np.nan).astype(np.float32)
        for name, score in zip(names, scores, strict=True)
    }


@jit.jit
def _scores(
    value: Any,
    write: Float[Array, "N P D"],
    read: Float[Array, "N P D"],
    mean: Float[Array, "N D"],
    a: Float[Array, "N m D"],
    b: Float[Array, "N m D"],
    context: Float[Array, " C"],
) -> tuple[Float[Array, "N P"], Float[Array, "N P"]]:
    def seed(one: tuple[Any, ...]) -> tuple[Array, Array]:
        value, write, read, mean, a, b = one

        def read_out(h: Array) -> Array:
            return value(h, context).value

        def method(rows: tuple[Array, Array]) -> tuple[Array, Array]:
            write, read = rows
            plain = projection.orthogonal(write[None], mean)
            directions = plain._replace(read=read[None])
            return (
                direction_scores.swap_success(directions, read_out, a, b).success,
                direction_scores.ablation_success(directions, read_out, a, b).success,
            )

        swap, erased = jax.lax.map(method, (write, read))
        return swap, erased

    swap, erased = jax.lax.map(seed, (value, write, read, mean, a, b))
    return swap, erased


def _control_task(
    activations: Activations, sample: Sample
) -> tuple[list[base.Reading], list[base.Fits]]:
    """Does a linear probe read the concept, or could it learn any labels by heart?"""
    if len(np.unique(sample.level)) < 2:
        return [], []
    held_out = control_tasks.by_group(sample.level)
    accuracy, control = np.full((2, len(sample.x)), np.nan)
    converged = np.ones(len(sample.x), bool)
    # a decay is chosen over groups of the training states
    is_several = len(np.unique(sample.level[~held_out])) > 1
    if len(np.unique(sample.labels[~held_out])) < 2:
        return [], []
    for seed in np.flatnonzero(activations.finite):
        fit = control_tasks.fit(
            x=sample.x[seed],
            z=sample.labels,
            types=sample.cell,
            held_out=held_out,
            controls=CONTROLS,
            groups=sample.level if is_several else None,
        )
        accuracy[seed], control[seed] = fit.accuracy, fit.control.mean()
        converged[seed] = fit.converged
    readings = [
        base.reading(
            "accuracy of a probe",
            f"Share of states of other levels in which a linear probe on E's features "
            f"reads {sample.concept}.",
            accuracy,
            control,
            "a random class for each cell of the board, which a probe can only learn "
            "by heart",
        )
    ]
    name = "probe of the control task"
    return readings, [base.fits(name, converged, activations.finite)]


def _over_seeds(x: Float[np.ndarray, " N"]) -> base.Estimate:
    """Mean and interval over the seeds that have numbers."""
    finite = x[np.isfinite(x)]
    return base.estimate(finite if len(finite) else x)
