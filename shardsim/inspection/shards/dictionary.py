"""Do the rows of a matrix lie on a few lines, or do they fill a subspace?

Gradients of K shards lie on K lines: a code with one atom per row loses no more than
the best K dimensions do. Rows that mix K directions lie in K dimensions but on no
lines, and a code with one atom per row loses much more. The difference is the gap.

Symbols: C rows (contexts or states), d features, K atoms, Z numbers of atoms, R
restarts.
"""

import functools
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import arrays, optimizers, validation
from shardsim.inspection.validation import Numbers

TOLERANCE = 1e-4
"""Relative change of the atoms in one step at which they count as converged."""


class DictionaryGap(NamedTuple):
    """Fraction of the squared norm that is lost at each number of atoms."""

    counts: Int[Array, " Z"]
    """Numbers of atoms K."""
    lines: Float[Array, " Z"]
    """Loss of the best code found with one of K atoms per row."""
    plane: Float[Array, " Z"]
    """Loss of the best K-dimensional subspace (PCA without centring); at most
    `lines`."""
    gap: Float[Array, " Z"]
    """lines - plane: near 0 for K shards, large for mixtures of K directions."""
    atoms: Float[Array, "Z K d"]
    """Unit atoms of the best code; 0 beyond the count."""
    row_atom: Int[Array, "Z C"]
    """The atom of each row."""
    null: Float[Array, " Z"]
    """Mean gap of rows that are mixed at random, with the same singular values: what
    rows without lines give. NaN for 0 draws."""
    converged: Bool[Array, " Z"]
    """Whether the last step of the best code changed no atom by more than
    `TOLERANCE`."""

    def summary(self) -> str:
        """Both losses at each number of atoms, and that of mixed rows."""
        rows = zip(
            self.counts.tolist(),
            self.lines.tolist(),
            self.plane.tolist(),
            (self.plane + self.null).tolist(),
            strict=True,
        )
        warning = "" if bool(self.converged.all()) else "; NOT CONVERGED"
        return (
            "; ".join(
                f"{k} atoms lose {lines:.3f} ({mixed:.3f} of mixed rows), {k} "
                f"dimensions {plane:.3f}"
                for k, lines, plane, mixed in rows
            )
            + warning
        )


def fit(
    stack: Annotated[Numbers, "C d"],
    key: Key[Array, ""],
    *,
    counts: Sequence[int] = (1, 2, 3, 4),
    restarts: int = 20,
    max_steps: int = 2_000,
    draws: int = 5,
) -> DictionaryGap:
    """Compare lines with planes for several numbers of atoms in one program.

      lines = 1 - max over unit atoms a of sum_c max_k (a_k . g_c)^2 / ||G||^2

    The maximisation alternates: each row chooses its nearest line, then each line takes
    a step of the power iteration on its rows. No step increases the loss. It ends where
    a step changes nothing. The best of all restarts is returned.

    The null has the same planes: its rows are Q G, with Q a random rotation of the C
    rows, so that every row mixes all directions. With C <= K, or rows in one dimension,
    it has no gap either, and the gap cannot tell lines from mixtures.

    Args:
      stack: rows g_c, e.g. context gradients; not all 0.
      key: for the rows at which atoms start (rows far from earlier atoms are likelier),
        and for the rotations.
      counts: K, each from 1 to C.
      restarts: R, at least 1.
      max_steps: alternations, at least 1.
      draws: rotations for the null, at least 0.

    Raises:
      ValueError: a wrong shape, a number that is not finite, a count out of range, or
        rows that are all 0.

    Reference: Tseng, Nearest q-flat to m points, 2000 (K lines); Aharon, Elad and
    Bruckstein, K-SVD, 2006.
    """
    rows = validation.floats("stack", stack, None, None)
    validation.sized("stack", stack)
    validation.at_least("number of counts", len(counts), 1)
    counts = [validation.integer("counts", one, 1, len(rows)) for one in counts]
    restarts = validation.integer("restarts", restarts, 1)
    max_steps = validation.integer("max_steps", max_steps, 1)
    draws = validation.integer("draws", draws, 0)
    # the loss is scale-free, but fourth powers of small numbers underflow
    rows = rows / arrays.or_one(jnp.abs(rows).max())
    square = jnp.square(rows).sum()
    if not isinstance(square, jax.core.Tracer) and not square > 0:
        raise ValueError("stack: got only zeros; allowed: at least one nonzero number")
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    spectrum = jnp.maximum(jnp.linalg.eigvalsh(gram)[::-1], 0.0)
    explained = jnp.cumsum(jnp.pad(spectrum, (0, max(counts))))[jnp.asarray(counts) - 1]
    plane = jnp.maximum(1 - explained / square, 0.0)
    search = (jnp.asarray(counts), max(counts), restarts, max_steps)
    lines, atoms, row_atom, converged = _lines(rows, key, *search)
    null = jnp.full_like(lines, jnp.nan)
    if draws:

        def mixed(key: Key[Array, ""]) -> Float[Array, " Z"]:
            rotation_key, start_key = jax.random.split(key)
            square = jax.random.normal(rotation_key, (len(rows), len(rows)), rows.dtype)
            return _lines(jnp.linalg.qr(square)[0] @ rows, start_key, *search)[0]

        keys = jax.random.split(jax.random.fold_in(key, restarts), draws)
        null = jax.lax.map(mixed, keys).mean(axis=0) - plane
    optimizers.warn_unconverged("dictionary", converged, "allow more max_steps")
    return DictionaryGap(
        jnp.asarray(counts),
        lines,
        plane,
        lines - plane,
        atoms,
        row_atom,
        null,
        converged,
    )


def _start(
    rows: Float[Array, "C d"], key: Key[Array, ""], max_count: int
) -> Float[Array, "K d"]:
    """Start atoms at rows, drawn in proportion to what earlier atoms do not explain."""

    def draw(
        unexplained: Float[Array, " C"], key: Key[Array, ""]
    ) -> tuple[Float[Array, " C"], Float[Array, " d"]]:
        log_odds = jnp.log(jnp.maximum(unexplained, jnp.finfo(unexplained.dtype).tiny))
        row = rows[jax.random.categorical(key, log_odds)]
        atom = row / jnp.maximum(jnp.sqrt(jnp.square(row).sum()), 1e-30)
        rest = jnp.square(rows).sum(axis=1) - jnp.square(rows @ atom)
        return jnp.minimum(unexplained, jnp.maximum(rest, 0.0)), atom

    first = jnp.square(rows).sum(axis=1)
    return jax.lax.scan(draw, first, jax.random.split(key, max_count))[1]


def _alternate(
    rows: Float[Array, "C d"], atoms: Float[Array, "K d"]
) -> Float[Array, "K d"]:
    """Assign each row to its nearest line, then move each line by one power step."""
    projection = rows @ atoms.T
    assigned = jax.nn.one_hot(
        jnp.argmax(jnp.square(projection), axis=1), len(atoms), dtype=rows.dtype
    )
    moved = (projection * assigned).T @ rows
    length = jnp.linalg.norm(moved, axis=1, keepdims=True)
    return jnp.where(length > 0, arrays.unit(moved), atoms)


def _lines(
    rows: Float[Array, "C d"],
    key: Key[Array, ""],
    counts: Int[Array, " Z"],
    max_count: int,
    restarts: int,
    max_steps: int,
) -> tuple[
    Float[Array, " Z"], Float[Array, "Z K d"], Int[Array, "Z C"], Bool[Array, " Z"]
]:
    """The best code of each count. Atoms beyond the count are 0 and explain nothing."""

    def fit_one(
        key: Key[Array, ""], count: Int[Array, ""]
    ) -> tuple[
        Float[Array, ""], Float[Array, "K d"], Int[Array, " C"], Bool[Array, ""]
    ]:
        exists = (jnp.arange(max_count) < count).astype(rows.dtype)
        atoms = _start(rows, key, max_count) * exists[:, None]
        atoms, converged = optimizers.iterate(
            functools.partial(_alternate, rows), atoms, max_steps, tolerance=TOLERANCE
        )
        explained = jnp.square(rows @ atoms.T)
        loss = 1 - explained.max(axis=1).sum() / jnp.square(rows).sum()
        row_atom = jnp.argmax(explained, axis=1)
        return jnp.maximum(loss, 0.0), atoms, row_atom, converged

    keys = jax.random.split(key, restarts)
    fits = jax.vmap(lambda c: jax.vmap(lambda k: fit_one(k, c))(keys))(counts)
    best = fits[0].argmin(axis=1)
    index = jnp.arange(len(counts))
    loss, atoms, row_atom, converged = (leaf[index, best] for leaf in fits)
    return loss, atoms, row_atom, converged
