"""Do restarts of RLACE and of CDE find one direction, and what does it depend on?

Both search from a random start, so two runs on the same samples may differ: because the
search was too short, because the optimiser is a poor one, or because many directions
are equally good. Pairs whose two sides show different states tell the last reason from
the others, since then the sides differ in everything and not only in the concept.

Symbols: n pairs, m test pairs, d features, N restarts, W shares of mismatched pairs, T
numbers of steps.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.concepts import (
    cde,
    concept,
    direction_scores,
    projection,
    readouts,
    rlace,
    rlace_descent,
)
from shardsim.inspection.validation import Numbers

SPAN = 8
"""Directions of `Comparison.span`."""
PRINCIPAL = 48
"""Principal directions of the samples in which `rlace.fit` searches: of 128 features of
a trained encoder they hold all but 1e-4 of the variance, in a twentieth of the time."""


PLANTED_IN = 16
"""Leading principal directions of the samples that planted directions are made of."""


class Restarts(NamedTuple):
    """How far restarts of one method agree, and what their directions do."""

    agreement: Float[Array, "..."]
    """Mean |cos| over pairs of restarts; 1 for a closed form."""
    to_means: Float[Array, "..."]
    """Mean |cos| to the difference of the class means, the optimum of RLACE."""
    swap: Float[Array, "..."]
    """`direction_scores.swap_success` on test pairs of the concept."""
    other_swap: Float[Array, "..."]
    """The same on pairs of another concept; it should be small."""

    @property
    def specificity(self) -> Any:
        """swap - other_swap."""
        return self.swap - self.other_swap

    def summary(self) -> str:
        return (
            f"agreement {np.mean(self.agreement):.3f}, |cos| to the class means "
            f"{np.mean(self.to_means):.3f}, swap {np.mean(self.swap):.3f} (another "
            f"concept {np.mean(self.other_swap):.3f})"
        )


class Comparison(NamedTuple):
    """The methods on the same pairs."""

    published: Restarts
    """RLACE by its published optimiser; leaves [W, T]."""
    annealed: Restarts
    """RLACE by `rlace.fit`, on pairs that match; leaves []."""
    cde: Restarts
    """CDE; leaves [W]."""
    means: Restarts
    """The difference of the class means of the pairs that match."""
    random: Restarts
    """Random directions."""
    span: Restarts
    """The `SPAN` directions along which matching pairs differ most; no agreement."""
    cde_converged: Float[Array, " W"]
    """Share of the restarts of CDE that converged."""
    cde_to_read: Float[Array, " W"]
    """Mean |cos| of CDE's direction to that to which the readout is most sensitive."""
    cde_other: Float[Array, ""]
    """|cos| of CDE's direction for the concept to its direction for the other concept:
    1 means that CDE does not depend on the concept."""
    of_planted: Float[Array, "2"]
    """Agreement of CDE for a planted readout, one direction, and pairs that differ
    along another one alone where they match: for the first and the last share."""
    of_planted_to_read: Float[Array, "2"]
    """Mean |cos| of these to the planted direction."""

    def summary(self) -> str:
        return (
            f"RLACE as published {np.asarray(self.published.agreement).round(2)} "
            f"(pairs by steps), annealed {float(self.annealed.agreement):.2f}, CDE "
            f"{np.asarray(self.cde.agreement).round(2)} (pairs), random "
            f"{float(self.random.agreement):.2f}"
        )


def mismatched(
    b: Annotated[Numbers, "n d"], share: float, key: Key[Array, ""]
) -> Float[Array, "n d"]:
    """One side of pairs, of which a share now belongs to other pairs.

    Args:
      b: [n, d].
      share: of the pairs whose sides are exchanged among each other, in [0, 1]; one
        single pair cannot be.
      key: for the pairs and the exchange.

    Raises:
      ValueError: a shape does not fit, or `share` is out of range.
    """
    b = concept.as_floats("b", b, None, None)
    validation.between("share", share, 0, 1)
    count = round(share * len(b))
    if count < 2:
        return b
    first, second = jax.random.split(key)
    chosen = jax.random.permutation(first, len(b))[:count]
    return b.at[chosen].set(b[chosen[arrays.derangement(count, second)]])


def compare(
    read_out: readouts.ReadOut,
    pairs: tuple[Annotated[Numbers, "n d"], Annotated[Numbers, "n d"]],
    test: tuple[Annotated[Numbers, "m d"], Annotated[Numbers, "m d"]],
    other: tuple[Annotated[Numbers, "m d"], Annotated[Numbers, "m d"]],
    key: Key[Array, ""],
    *,
    distance: readouts.Distance = readouts.squared,
    shares: Sequence[float] = (0.0, 0.3, 1.0),
    steps: Sequence[int] = (10, 100, 1_000),
    restarts: int = 4,
    annealed_restarts: int = 2,
    scored: int = 2,
    cde_steps: int = 200,
    annealed_steps: int = 40,
) -> Comparison:
    """Directions of a concept from several starts, by method and quality of the pairs.

    RLACE gets both sides of the pairs as samples, with the side as their label; CDE
    gets the pairs. The starts are the same for every share of mismatched pairs.

    For the planted readout x' . r, b is a + q where pairs match. r is a mixture of the
    leading principal directions of the samples, and q another one, as long as b - a is
    on average, with a cosine of 1/2 to r. CDE then has a whole surface of optima if all
    pairs match, and r alone otherwise.

    Args:
      read_out: from an activation to an output, for CDE and the swaps.
      pairs: [n, d] each, matching pairs that differ in the concept.
      test: [m, d] each, such pairs that no direction was found on.
      other: [m, d] each, pairs that differ in another concept.
      key: for the starts.
      distance: between two outputs.
      shares: W shares of pairs that are mismatched, the first one 0.
      steps: T numbers of steps of the published optimiser, rising.
      restarts: N, at least 2.
      annealed_restarts: of `rlace.fit`, at least 2.
      scored: restarts whose swaps are computed, 1 to `restarts`.
      cde_steps: most steps of CDE.
      annealed_steps: of `rlace.fit`, whether it has converged or not.

    Raises:
      ValueError: a shape does not fit, or a setting is out of range.
    """
    a, b = (concept.as_floats("pairs", x, None, None) for x in pairs)
    validation.shaped("pairs", b, *a.shape)
    n, d = a.shape
    for name, number in (
        ("restarts", restarts),
        ("annealed_restarts", annealed_restarts),
    ):
        validation.integer(name, number, 2)
    validation.integer("scored", scored, 1)
    shares = [float(share) for share in shares]
    if not shares or shares[0] != 0:
        raise ValueError(f"shares: got {shares}; allowed: the first one 0")
    labels = np.repeat([0, 1], n)
    key, mix_key, plant_key, random_key = jax.random.split(key, 4)
    keys = jax.random.split(key, restarts)
    sides = jnp.stack([mismatched(b, share, mix_key) for share in shares])

    def directions(rows: Array) -> projection.Directions:
        return projection.orthogonal(rows, jnp.zeros(d, rows.dtype))

    def scores(bases: Float[Array, "N k d"], toward: Float[Array, " d"]) -> Restarts:
        def swaps(rows: Array) -> tuple[Array, Array]:
            success = [
                direction_scores.swap_success(directions(rows), read_out, *each).success
                for each in (test, other)
            ]
            return success[0], success[1]

        own, others = jax.lax.map(swaps, bases[:scored])
        cosines = jnp.abs(bases[:, 0] @ toward)
        return Restarts(
            _agreement(bases[:, 0]), cosines.mean(), own.mean(), others.mean()
        )

    def found(
        read_out: readouts.ReadOut, distance: readouts.Distance, a: Array, b: Array
    ) -> cde.CDE:
        return cde.fit_many(
            read_out,
            a,
            b,
            keys,
            distance=distance,
            steps=max(cde_steps // 2, 1),
            max_steps=cde_steps,
        )

    toward = arrays.unit((b - a).mean(axis=0))

    def at_share(b: Float[Array, "n d"]) -> Any:
        samples = jnp.concatenate([a, b])
        path = rlace_descent.fit_many(samples, labels, keys, steps=steps)
        published = jax.lax.map(lambda bases: scores(bases, toward), path.basis)
        result = found(read_out, distance, a, b)
        return (
            published,
            scores(result.basis, toward),
            result.converged.mean(dtype=a.dtype),
            result.read_cosine.mean(),
            result.basis[0, 0],
        )

    published, by_cde, converged, to_read, first = jax.lax.map(at_share, sides)
    samples = jnp.concatenate([a, b])
    _, _, axes = jnp.linalg.svd(concept.centre(samples)[1], full_matrices=False)
    axes = axes[:PRINCIPAL]
    annealed = rlace.fit_many(
        samples @ axes.T,
        labels,
        keys[:annealed_restarts],
        steps=annealed_steps,
        max_steps=annealed_steps,
    )
    # rows of 0 where pairs differ along fewer directions
    along, _ = concept.orthonormal_span(b - a)
    rows = jax.random.normal(random_key, (restarts, 1, d), a.dtype)
    others = (concept.as_floats("other", x, None, d) for x in other)
    of_other = found(read_out, distance, *others)
    read, planted_side = _plant(a, b, axes[:PLANTED_IN], plant_key)

    def at_planted(share_side: Array) -> tuple[Array, Array]:
        result = found(lambda x: x @ read, readouts.squared, a, share_side)
        basis = result.basis[:, 0]
        return _agreement(basis), jnp.abs(basis @ read).mean()

    planted = jnp.stack(
        [mismatched(planted_side, share, mix_key) for share in (shares[0], shares[-1])]
    )
    planted_agreement, planted_to_read = jax.lax.map(at_planted, planted)
    return Comparison(
        published,
        scores(annealed.basis @ axes, toward),
        by_cde,
        scores(toward[None, None], toward),
        scores(arrays.unit(rows), toward),
        scores(along[None, :SPAN], toward)._replace(
            agreement=jnp.asarray(jnp.nan, a.dtype)
        ),
        converged,
        to_read,
        jnp.abs(first[0] @ of_other.basis[0, 0]),
        planted_agreement,
        planted_to_read,
    )


def _agreement(rows: Float[Array, "N d"]) -> Float[Array, ""]:
    """Mean |cos| over pairs of different rows; 1 for a single row."""
    count = len(rows)
    if count == 1:
        return jnp.ones((), rows.dtype)
    cosines = jnp.abs(rows @ rows.T)
    return (cosines.sum() - jnp.trace(cosines)) / (count * (count - 1))


def _plant(
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
    axes: Float[Array, "p d"],
    key: Key[Array, ""],
) -> tuple[Float[Array, " d"], Float[Array, "n d"]]:
    """A direction r that is read, and the other side of pairs that differ along q."""
    rows = arrays.unit(jax.random.normal(key, (2, len(axes)), a.dtype) @ axes)
    read = rows[0]
    aside = arrays.unit(rows[1] - (rows[1] @ read) * read)
    length = jnp.linalg.norm(b - a, axis=1).mean()
    q = length * (0.5 * read + 0.75**0.5 * aside)
    return read, a + q[None]
