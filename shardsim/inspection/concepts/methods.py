"""One way to ask for the directions of a concept, whichever method finds them.

A method is a frozen dataclass that holds its own settings; `find` gives all of them
the same samples. Symbols: n samples, m pairs, d features, c classes, k directions.
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
    """The span of the differences of class means, c - 1 directions.

    Of numbers: the span of Cov(x, z). For two classes this is RLACE's optimum.
    """

    kind: Literal["mean_difference"] = "mean_difference"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        columns = concepts.columns(concept.x, concept.z)
        mean, away = concepts.centre(concept.x)
        if concepts.is_labels(concept.z) or columns.shape[1] > 1:
            cross = concepts.class_means(away, columns)
            count = max(columns.shape[1] - 1, 1)
        else:
            cross, count = columns.T @ away / len(away), 1
        return orthogonal(concepts.span(cross)[0][:count], mean)


@dataclasses.dataclass(frozen=True)
class Logistic:
    """What a logistic probe reads, c - 1 directions."""

    decay: float = 1e-3
    steps: int = 100
    kind: Literal["logistic"] = "logistic"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        z = concepts.classes(concept.x, concept.z)
        probe = probes.logistic(concept.x, z, decay=self.decay, steps=self.steps)
        rows = inlp.row_space(probe.weights, max(z.shape[1] - 1, 1))
        return orthogonal(rows, probe.mean, probe.loss)


@dataclasses.dataclass(frozen=True)
class Inlp:
    """What probes read, round after round: rounds (c - 1) directions."""

    rounds: int = 1
    decay: float = 1e-3
    kind: Literal["inlp"] = "inlp"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        z = concepts.classes(concept.x, concept.z)
        found = inlp.fit(concept.x, z, rounds=self.rounds, decay=self.decay)
        _, most = concepts.shares(z)
        return orthogonal(found.basis, found.mean, found.losses[-1], most)


@dataclasses.dataclass(frozen=True)
class Rlace:
    """The k directions whose removal leaves a linear probe worst off."""

    k: int = 1
    steps: int = 40
    decay: tuple[float, float] = (1.0, 1e-3)
    kind: Literal["rlace"] = "rlace"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        found = rlace.fit(
            concept.x, concept.z, key, k=self.k, steps=self.steps, decay=self.decay
        )
        made = orthogonal(found.basis, found.mean, found.loss, found.ceiling)
        return made._replace(ambiguous=~found.unique)


@dataclasses.dataclass(frozen=True)
class Leace:
    """LEACE's oblique projection: writes along class means, reads by S^-1 of them."""

    kind: Literal["leace"] = "leace"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        del key
        columns = concepts.columns(concept.x, concept.z)
        eraser = leace.fit(concept.x, columns)
        count = min(columns.shape[1], concept.x.shape[1])
        if concepts.is_labels(concept.z) or bool((columns.sum(axis=1) == 1).all()):
            count = max(min(columns.shape[1] - 1, count), 1)
        left, size, right = jnp.linalg.svd(eraser.write, full_matrices=False)
        eps = float(jnp.finfo(size.dtype).eps)
        some = ((size > 8 * eps * size[0]) & (size > 0))[:count, None]
        read = (eraser.read @ right.T * size[None, :]).T[:count]
        write = jnp.where(some, left.T[:count], 0.0)
        made = orthogonal(write, eraser.mean)
        return made._replace(read=jnp.where(some, read, 0.0))


@dataclasses.dataclass(frozen=True)
class Cde:
    """The k directions that swap what the read-out says of the pairs."""

    k: int = 1
    steps: int = 400
    batch: int = 128
    rate: float = 0.1
    kind: Literal["cde"] = "cde"

    def __call__(self, concept: concepts.Concept, key: Key[Array, ""]) -> Directions:
        read_out, a, b = concepts.pairs(concept)
        found = cde.fit(
            read_out,
            a,
            b,
            key,
            k=self.k,
            distance=concept.distance,
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
        )
        mean = concepts.centre(jnp.concatenate([a, b]))[0]
        least = jnp.zeros((), found.loss.dtype)
        made = orthogonal(found.basis, mean, found.loss, least)
        return made._replace(degenerate=found.degenerate, ambiguous=found.ambiguous)


@dataclasses.dataclass(frozen=True)
class Gradient:
    """The k directions that the read-out feels most at the pairs, in mean square.

    They are the same for every concept, which is what makes them a control.
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
    """k directions of no meaning: the control of all others."""

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
    made.kind: made
    for made in (
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


def named(kind: str) -> Method:
    """A method with its own settings, by name.

    Raises:
      ValueError: an unknown name.
    """
    validation.one_of("method", kind, METHODS)
    return METHODS[kind]()


def find(
    method: Method | str, concept: concepts.Concept, key: Key[Array, ""]
) -> Directions:
    """The directions of a concept by one method.

    Answers at the edges, for all methods: a concept of one class, or numbers that are
    all the same, raise, for there is nothing to find. Copies of features and n <= d
    are answered (see each method), the latter with directions that may mean nothing on
    other samples. Signs are free, and so are rotations within a span of k > 1.

    Args:
      method: one of `Method`, or its name for the settings it comes with.
      concept: samples, and for CDE and the gradient pairs with a read-out.
      key: for the methods that start at random; the others are deterministic.

    Raises:
      ValueError: a wrong shape, an unknown name, NaN, one class, or no pairs.
    """
    method = named(method) if isinstance(method, str) else method
    x = concepts.samples(concept.x)
    columns = concepts.columns(x, concept.z)
    if not isinstance(columns, jax.core.Tracer) and bool(
        (columns.max(axis=0) == columns.min(axis=0)).all()
    ):
        raise ValueError("z: got the same for all samples; allowed: two or more values")
    return method(concept._replace(x=x), key)
