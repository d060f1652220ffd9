"""Do two runs of a method find the same directions?

Symbols: N seeds, B bootstrap samples, R = N B runs, k directions, d features.
"""

import math
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept as concepts
from shardsim.inspection.concepts import methods, projection
from shardsim.inspection.validation import Integer, Numbers


class Consistency(NamedTuple):
    """Agreement of runs, its chance level, and the loss of each run."""

    agreement: Float[np.ndarray, ""]
    """Mean over pairs of runs: |cos| for k = 1, mean squared cosine of the principal
    angles for k > 1."""
    low: Float[np.ndarray, ""]
    """Lower end of a bootstrap interval of the agreement over runs."""
    high: Float[np.ndarray, ""]
    """Upper end."""
    chance: Float[np.ndarray, ""]
    """Agreement of random directions: about sqrt(2 / (pi d)) for k = 1, else k / d."""
    over_seeds: Float[np.ndarray, ""]
    """Agreement of runs on the same samples: below 1 the optimisation varies, or the
    optimum is not unique. NaN for one seed."""
    over_samples: Float[np.ndarray, ""]
    """Agreement of runs on different samples. NaN for one sample."""
    pairwise: Float[np.ndarray, "R R"]
    """Agreement of each pair of runs."""
    losses: Float[np.ndarray, " R"]
    """Loss that each run reached; NaN if the method has none."""
    degenerate: Float[np.ndarray, ""]
    """Share of runs whose result is the same for every concept."""
    ambiguous: Float[np.ndarray, ""]
    """Share of runs whose optimum is not unique."""
    converged: Float[np.ndarray, ""]
    """Share of runs whose search converged; below 1, disagreement may be a search that
    was too short."""

    def summary(self) -> str:
        """Agreement with its interval and chance level, range of losses, warnings."""
        warnings = ""
        if self.degenerate > 0:
            warnings += f"; degenerate in {self.degenerate:.0%} of runs"
        if self.ambiguous > 0:
            warnings += f"; ambiguous in {self.ambiguous:.0%} of runs"
        if self.converged < 1:
            warnings += f"; NOT CONVERGED in {1 - self.converged:.0%} of runs"
        losses = ""
        if np.isfinite(self.losses).all():
            losses = f", losses {self.losses.min():.4g} to {self.losses.max():.4g}"
        return (
            f"agreement {self.agreement:.3f} [{self.low:.3f}, {self.high:.3f}], chance "
            f"{self.chance:.3f}{losses}{warnings}"
        )


def chance_agreement(k: Integer, d: Integer) -> float:
    """Agreement of two random spans of k directions in d dimensions.

      k = 1: E|cos| = Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)), about sqrt(2 / (pi d))
      k > 1: the mean squared cosine, k / d

    Args:
      k: at least 1.
      d: at least k.
    """
    k = validation.integer("k", k, 1)
    d = validation.integer("d", d, k)
    if k > 1:
        return k / d
    return math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)


def pairwise_agreement(bases: Annotated[Numbers, "R k d"]) -> Float[np.ndarray, "R R"]:
    """|cos| for k = 1, else sum of squared cosines of the principal angles / k.

    Args:
      bases: [R, k, d] orthonormal rows of each run; a row of 0 agrees with nothing.
    """
    validation.shaped("bases", bases, None, None, None)
    validation.finite("bases", bases)
    bases = np.asarray(bases, np.float64)
    products = np.einsum("ikd,jld->ijkl", bases, bases)
    if bases.shape[1] == 1:
        return np.abs(products[:, :, 0, 0])
    return np.sum(products**2, axis=(2, 3)) / bases.shape[1]


def consistency(
    bases: Annotated[Numbers, "R k d"],
    sample: Annotated[Numbers, "R"] | None = None,
    losses: Annotated[Numbers, "R"] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: Integer = 0,
) -> Consistency:
    """Agreement over pairs of runs, with a bootstrap interval.

    The bootstrap resamples runs, not pairs, because pairs that share a run are
    dependent. A run is never paired with itself. With fewer than 10 runs the interval
    is too narrow.

    Args:
      bases: [R, k, d] orthonormal rows of each run, at least 2 runs.
      sample: [R] label of the bootstrap sample that each run used; None if all used
        the same.
      losses: [R] that each run reached; NaN if None.
      level: of the interval, in (0, 1).
      resamples: at least 20.
      seed: of the bootstrap.

    Raises:
      ValueError: a shape does not fit, there are fewer than two runs, or a number is
        not finite or out of range.
    """
    kernel = pairwise_agreement(bases)
    runs, k, d = np.shape(bases)
    validation.at_least("runs", runs, 2)
    resamples = validation.integer("resamples", resamples, 20)
    seed = validation.integer("seed", seed, 0)
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}; allowed: between 0 and 1")
    sample = np.zeros(runs, int) if sample is None else sample
    sample = np.asarray(validation.labels("sample", sample, runs).index)
    losses = np.full(runs, np.nan) if losses is None else np.asarray(losses)
    validation.shaped("losses", losses, runs)
    off_diagonal = ~np.eye(runs, dtype=bool)
    same_sample = sample[:, None] == sample[None, :]
    counts = np.random.default_rng(seed).multinomial(
        runs, np.full(runs, 1 / runs), resamples
    )
    weights = np.einsum("si,sj->sij", counts, counts)[:, off_diagonal].astype(float)
    # a resample that repeats a single run has no pair
    weights = weights[weights.sum(axis=1) > 0]
    means = weights @ kernel[off_diagonal] / weights.sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    zero = np.zeros(())
    return Consistency(
        np.asarray(kernel[off_diagonal].mean()),
        np.asarray(low),
        np.asarray(high),
        np.asarray(chance_agreement(k, d)),
        _mean(kernel[off_diagonal & same_sample]),
        _mean(kernel[~same_sample]),
        kernel,
        losses,
        zero,
        zero,
        np.ones(()),
    )


def _mean(values: Float[np.ndarray, " pairs"]) -> np.ndarray:
    """Mean of the values; NaN if there are none."""
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

    The first sample is the original one. The others are drawn with replacement: labels
    within their class, so that no class is lost, and pairs as pairs.

    Args:
      method: see `methods.find`.
      concept: samples, and for some methods pairs and a readout.
      key: for the seeds and the bootstrap.
      seeds: N, at least 1.
      samples: B, at least 1; N B at least 2.

    Raises:
      ValueError: as `methods.find`, or there are fewer than two runs.
    """
    validation.integer("seeds", seeds, 1)
    validation.integer("samples", samples, 1)
    validation.at_least("seeds * samples", seeds * samples, 2)
    bootstrap_key, seed_key = jax.random.split(key)
    rng = np.random.default_rng(int(jax.random.bits(bootstrap_key)))
    results: list[projection.Directions] = []
    for number in range(samples):
        sample = concept if number == 0 else resampled(concept, rng)
        keys = jax.random.split(jax.random.fold_in(seed_key, number), seeds)
        results += [methods.find(method, sample, run_key) for run_key in keys]
    runs = jax.tree.map(lambda *parts: jnp.stack(parts), *results)
    sample_of_run = np.repeat(np.arange(samples), seeds)
    result = consistency(runs.write, sample_of_run, runs.loss)
    return result._replace(
        degenerate=np.asarray(runs.degenerate.mean()),
        ambiguous=np.asarray(runs.ambiguous.mean()),
        converged=np.asarray(runs.converged.mean()),
    )


def resampled(concept: concepts.Concept, rng: np.random.Generator) -> concepts.Concept:
    """A bootstrap sample of the samples, class by class, and of the pairs."""
    concept = concept._replace(x=concepts.as_samples(concept.x))
    z = np.asarray(concept.z)
    labels = z if z.ndim == 1 else np.argmax(z, axis=1)
    index = rng.integers(0, len(z), len(z))
    if concepts.is_labels(z) or z.ndim == 2:
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            index[members] = rng.choice(members, len(members))
    resample = concept._replace(x=jnp.asarray(concept.x)[index], z=z[index])
    if concept.a is None or concept.b is None:
        return resample
    pair_index = rng.integers(0, len(concept.a), len(concept.a))
    a, b = jnp.asarray(concept.a)[pair_index], jnp.asarray(concept.b)[pair_index]
    return resample._replace(a=a, b=b)
