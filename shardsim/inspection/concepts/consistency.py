"""Do two runs of a method find the same directions?

Symbols: N seeds, B bootstrap samples, R = N B runs, k directions, d features.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept as concepts
from shardsim.inspection.concepts import methods, projection


class Consistency(NamedTuple):
    """Agreement of runs, what chance gives, and the loss each run reached."""

    agreement: Float[np.ndarray, ""]
    """Mean over pairs of runs: |cos| for k = 1, mean squared cosine of the principal
    angles for k > 1."""
    low: Float[np.ndarray, ""]
    high: Float[np.ndarray, ""]
    """Bootstrap interval of the agreement, over runs."""
    null: Float[np.ndarray, ""]
    """The same of random directions; near sqrt(2 / (pi d)) for k = 1, k / d else."""
    over_seeds: Float[np.ndarray, ""]
    """Between runs on the same samples: what falls short of 1 is optimisation, or an
    optimum that is not unique. NaN for one seed."""
    over_samples: Float[np.ndarray, ""]
    """Between runs on different samples. NaN for one sample."""
    pairwise: Float[np.ndarray, "R R"]
    losses: Float[np.ndarray, " R"]
    degenerate: Float[np.ndarray, ""]
    """Share of runs that would have found the same whatever the concept."""
    ambiguous: Float[np.ndarray, ""]
    """Share of runs whose optimum is not unique."""

    def summary(self) -> str:
        notes = ""
        if self.degenerate > 0:
            notes += f"; degenerate in {self.degenerate:.0%} of runs"
        if self.ambiguous > 0:
            notes += f"; ambiguous in {self.ambiguous:.0%} of runs"
        spread = ""
        if np.isfinite(self.losses).all():
            spread = f", losses {self.losses.min():.4g} to {self.losses.max():.4g}"
        return (
            f"agreement {self.agreement:.3f} [{self.low:.3f}, {self.high:.3f}], chance "
            f"{self.null:.3f}{spread}{notes}"
        )


def null(k: int, d: int) -> float:
    """Agreement of two random spans of k directions among d.

    k = 1: E|cos| = Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)), which nears
    sqrt(2 / (pi d)). k > 1: the mean squared cosine is k / d.
    """
    validation.at_least("k", k, 1)
    validation.at_least("d", d, k)
    if k > 1:
        return k / d
    return math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)


def agreements(bases: Float[Any, "R k d"]) -> Float[np.ndarray, "R R"]:
    """|cos| for k = 1, else sum of squared cosines of the principal angles / k.

    Rows must be orthonormal; one of 0 is no direction and agrees with nothing.
    """
    validation.shaped("bases", bases, None, None, None)
    validation.finite("bases", bases)
    bases = np.asarray(bases, np.float64)
    products = np.einsum("ikd,jld->ijkl", bases, bases)
    if bases.shape[1] == 1:
        return np.abs(products[:, :, 0, 0])
    return np.sum(products**2, axis=(2, 3)) / bases.shape[1]


def consistency(
    bases: Float[Any, "R k d"],
    sample: Int[Any, " R"] | None = None,
    losses: Float[Any, " R"] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Consistency:
    """Agreement over pairs of runs, with a bootstrap interval.

    Runs are drawn again with replacement, and a run is never paired with itself: pairs
    share runs, so that they can't be drawn as if they were independent. With fewer than
    10 runs the interval is too narrow.

    Args:
      bases: orthonormal rows of each run, at least 2 runs.
      sample: which bootstrap sample each run saw; all the same if None.
      losses: what each reached; NaN if None.
      level: of the interval, in (0, 1).
      resamples: at least 20.

    Raises:
      ValueError: a wrong shape, fewer than two runs, or numbers that are not finite.
    """
    kernel = agreements(bases)
    runs, k, d = np.shape(bases)
    validation.at_least("runs", runs, 2)
    validation.at_least("resamples", resamples, 20)
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}; allowed: between 0 and 1")
    sample = np.zeros(runs, int) if sample is None else np.asarray(sample)
    validation.shaped("sample", sample, runs)
    losses = np.full(runs, np.nan) if losses is None else np.asarray(losses)
    validation.shaped("losses", losses, runs)
    apart = ~np.eye(runs, dtype=bool)
    same = sample[:, None] == sample[None, :]
    counts = np.random.default_rng(seed).multinomial(
        runs, np.full(runs, 1 / runs), resamples
    )
    weights = np.einsum("si,sj->sij", counts, counts)[:, apart].astype(float)
    # a resample of one run alone has no pair
    weights = weights[weights.sum(axis=1) > 0]
    means = weights @ kernel[apart] / weights.sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    zero = np.zeros(())
    return Consistency(
        np.asarray(kernel[apart].mean()),
        np.asarray(low),
        np.asarray(high),
        np.asarray(null(k, d)),
        _mean(kernel[apart & same]),
        _mean(kernel[~same]),
        kernel,
        losses,
        zero,
        zero,
    )


def _mean(values: Float[np.ndarray, " pairs"]) -> np.ndarray:
    return np.asarray(values.mean() if len(values) else np.nan)


def repeat(
    method: methods.Method | str,
    concept: concepts.Concept,
    key: Key[Array, ""],
    *,
    seeds: int = 4,
    samples: int = 5,
) -> Consistency:
    """Run a method from several seeds on several bootstrap samples, and compare.

    The first sample is the samples as they are. Others are drawn with replacement,
    labels within their class, so that no class is lost, and pairs as pairs.

    Args:
      method: see `methods.find`.
      seeds: N, at least 1.
      samples: B, at least 1; N B at least 2.

    Raises:
      ValueError: what `methods.find` refuses, or fewer than two runs.
    """
    validation.at_least("seeds", seeds, 1)
    validation.at_least("samples", samples, 1)
    validation.at_least("seeds * samples", seeds * samples, 2)
    draw, begin = jax.random.split(key)
    rng = np.random.default_rng(int(jax.random.bits(draw)))
    found: list[projection.Directions] = []
    for number in range(samples):
        seen = concept if number == 0 else resampled(concept, rng)
        starts = jax.random.split(jax.random.fold_in(begin, number), seeds)
        found += [methods.find(method, seen, start) for start in starts]
    runs = jax.tree.map(lambda *parts: jnp.stack(parts), *found)
    which = np.repeat(np.arange(samples), seeds)
    result = consistency(runs.write, which, runs.loss)
    return result._replace(
        degenerate=np.asarray(runs.degenerate.mean()),
        ambiguous=np.asarray(runs.ambiguous.mean()),
    )


def resampled(concept: concepts.Concept, rng: np.random.Generator) -> concepts.Concept:
    """A bootstrap sample of the samples, class by class, and of the pairs."""
    z = np.asarray(concept.z)
    names = z if z.ndim == 1 else np.argmax(z, axis=1)
    pick = rng.integers(0, len(z), len(z))
    if concepts.is_labels(z) or z.ndim == 2:
        for name in np.unique(names):
            own = np.flatnonzero(names == name)
            pick[own] = rng.choice(own, len(own))
    drawn = concept._replace(x=jnp.asarray(concept.x)[pick], z=z[pick])
    if concept.a is None or concept.b is None:
        return drawn
    pair = rng.integers(0, len(concept.a), len(concept.a))
    a, b = jnp.asarray(concept.a)[pair], jnp.asarray(concept.b)[pair]
    return drawn._replace(a=a, b=b)
