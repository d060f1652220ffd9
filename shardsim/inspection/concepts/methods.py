"""One interface for all methods that find the directions of a concept.

A method is a frozen dataclass that holds its settings. `find` gives the same samples to
each.

Symbols: n samples, m pairs, d features, c classes, k directions.
"""

import dataclasses
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from shardsim.inspection import validation
from shardsim.inspection.concepts import (
    cde,
    inlp,
    leace,
    probes,
    readouts,
    rlace,
)
from shardsim.inspection.concepts import (
    concept as concepts,
)
from shardsim.inspection.concepts.projection import Directions, orthogonal


@dataclasses.dataclass(frozen=True)
class MeanDifference:
    """The span of the differences of class means: c - 1 directions.

    For numbers: the span of Cov(x, z). For two classes this is the optimum of RLACE.
    """

    kind: Literal["mean_difference"] = "mean_difference"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        columns = concepts.as_columns(concept.x, concept.z)
        mean, centred = concepts.centre(concept.x)
        if concepts.is_labels(concept.z) or columns.shape[1] > 1:
            cross = concepts.class_means(centred, columns)
            count = max(columns.shape[1] - 1, 1)
        else:
            cross, count = columns.T @ centred / len(centred), 1
        return orthogonal(concepts.orthonormal_span(cross)[0][:count], mean)


@dataclasses.dataclass(frozen=True)
class Logistic:
    """The directions that a logistic probe reads: c - 1 of them."""

    decay: float | None = None
    """None is chosen on held-out samples."""
    steps: int = 100
    kind: Literal["logistic"] = "logistic"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        z = concepts.as_one_hot(concept.x, concept.z)
        probe = probes.logistic(
            concept.x, z, decay=self.decay, groups=concept.groups, steps=self.steps
        )
        rows = inlp.row_space(probe.weights, max(z.shape[1] - 1, 1))
        directions = orthogonal(rows, probe.mean, loss=probe.loss)
        return directions._replace(converged=probe.converged)


@dataclasses.dataclass(frozen=True)
class Inlp:
    """The directions that successive probes read: rounds (c - 1) of them."""

    rounds: int = 1
    decay: float | None = None
    """None is chosen on held-out samples."""
    kind: Literal["inlp"] = "inlp"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        z = concepts.as_one_hot(concept.x, concept.z)
        result = inlp.fit(
            concept.x,
            z,
            rounds=self.rounds,
            groups=concept.groups,
            decay=self.decay,
        )
        _, entropy = concepts.class_shares(z)
        directions = orthogonal(
            result.basis, result.mean, loss=result.losses[-1], best_loss=entropy
        )
        return directions._replace(converged=result.converged.all())


@dataclasses.dataclass(frozen=True)
class Rlace:
    """The k directions whose removal hurts a linear probe most."""

    k: int = 1
    steps: int = 40
    max_steps: int = 640
    decay: tuple[float, float] = (1.0, 1e-3)
    kind: Literal["rlace"] = "rlace"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        result = rlace.fit(
            concept.x,
            concept.z,
            key,
            k=self.k,
            steps=self.steps,
            max_steps=self.max_steps,
            decay=self.decay,
        )
        directions = orthogonal(
            result.basis, result.mean, loss=result.loss, best_loss=result.ceiling
        )
        return directions._replace(ambiguous=~result.unique, converged=result.converged)


@dataclasses.dataclass(frozen=True)
class Leace:
    """LEACE's oblique projection: writes along class means, reads by S^-1 of them."""

    kind: Literal["leace"] = "leace"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        columns = concepts.as_columns(concept.x, concept.z)
        eraser = leace.fit(concept.x, columns)
        count = min(columns.shape[1], len(eraser.mean))
        if concepts.is_labels(concept.z) or bool((columns.sum(axis=1) == 1).all()):
            count = max(min(columns.shape[1] - 1, count), 1)
        left, size, right = jnp.linalg.svd(eraser.write.T, full_matrices=False)
        eps = float(jnp.finfo(size.dtype).eps)
        is_used = ((size > 8 * eps * size[0]) & (size > 0))[:count, None]
        read = (eraser.read.T @ right.T * size[None, :]).T[:count]
        write = jnp.where(is_used, left.T[:count], 0.0)
        directions = orthogonal(write, eraser.mean)
        return directions._replace(read=jnp.where(is_used, read, 0.0))


@dataclasses.dataclass(frozen=True)
class Cde:
    """The k directions whose swap exchanges the outputs of the pairs."""

    k: int = 1
    steps: int = 50
    max_steps: int = 1_600
    kind: Literal["cde"] = "cde"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        read_out, a, b = concepts.pairs(concept)
        result = cde.fit(
            read_out,
            a,
            b,
            key,
            k=self.k,
            distance=concept.distance,
            steps=self.steps,
            max_steps=self.max_steps,
        )
        mean = concepts.centre(jnp.concatenate([a, b]))[0]
        best_loss = jnp.zeros((), result.loss.dtype)
        directions = orthogonal(
            result.basis, mean, loss=result.loss, best_loss=best_loss
        )
        return directions._replace(
            degenerate=result.degenerate,
            ambiguous=result.ambiguous,
            converged=result.converged,
        )


@dataclasses.dataclass(frozen=True)
class Gradient:
    """The k directions to which the readout is most sensitive at the pairs.

    Sensitivity is a mean square over pairs. The directions are the same for every
    concept, which makes them a control.
    """

    k: int = 1
    kind: Literal["gradient"] = "gradient"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        read_out, a, b = concepts.pairs(concept)
        rows, rank = readouts.top_eigenvectors(
            readouts.jacobian_moment(read_out, concept.distance, a, b), self.k
        )
        mean = concepts.centre(jnp.concatenate([a, b]))[0]
        rows = jnp.where((jnp.arange(self.k) < rank)[:, None], rows, 0.0)
        return orthogonal(rows, mean)._replace(degenerate=jnp.ones((), bool))


@dataclasses.dataclass(frozen=True)
class Random:
    """k random directions: the control for all other methods."""

    k: int = 1
    kind: Literal["random"] = "random"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        mean, _ = concepts.centre(concept.x)
        rows = jax.random.normal(key, (self.k, len(mean)), mean.dtype)
        return orthogonal(cde.orthonormal(rows), mean)


Method: TypeAlias = (
    MeanDifference | Logistic | Inlp | Rlace | Leace | Cde | Gradient | Random
)
METHODS: dict[str, type[Method]] = {
    method.kind: method
    for method in (
        MeanDifference,
        Logistic,
        Inlp,
        Rlace,
        Leace,
        Cde,
        Gradient,
        Random,
    )
}


def by_name(kind: str) -> Method:
    """A method with its default settings.

    Args:
      kind: one of `METHODS`.

    Raises:
      ValueError: an unknown name.
    """
    validation.one_of("method", kind, METHODS)
    return METHODS[kind]()


def find(
    method: Method | str, concept: concepts.Concept, key: Key[Array, ""]
) -> Directions:
    """The directions of a concept, found by one method.

    Edge cases of all methods: a concept of one class, or numbers that are all equal,
    raise an error, because there is nothing to find. Copies of features and n <= d are
    allowed (see each method), but with n <= d the directions may mean nothing on other
    samples. Signs are arbitrary, and so are rotations within a span of k > 1.

    Args:
      method: one of `Method`, or its name for the default settings.
      concept: samples, and for CDE and the gradient also pairs and a readout.
      key: for the methods with a random start; the others are deterministic.

    Raises:
      ValueError: a shape does not fit, the name is unknown, a number is not finite,
        there is one class, or pairs are missing.
    """
    method = by_name(method) if isinstance(method, str) else method
    x = concepts.as_samples(concept.x)
    columns = concepts.as_columns(x, concept.z)
    if not isinstance(columns, jax.core.Tracer) and bool(
        (columns.max(axis=0) == columns.min(axis=0)).all()
    ):
        raise ValueError("z: got the same for all samples; allowed: two or more values")
    return method(concept._replace(x=x), key)
