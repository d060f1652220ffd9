"""One atom a row against a plane for all: does a stack lie on lines or fill a space?

Rows of K shards lie on K lines: a code with one atom a row loses no more than the best
K dimensions do. Rows that mix the same K directions lie in the same K dimensions but on
no lines, and the code with one atom loses much more. The difference is the gap.

Symbols: C rows (contexts or states), d features, K atoms, Z numbers of atoms tried,
R restarts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import arrays, validation


class DictionaryGap(NamedTuple):
    """Share of the squared size that is lost at each number of atoms."""

    counts: Int[Array, " Z"]
    """K."""
    lines: Float[Array, " Z"]
    """Lost by the best code found with one of K atoms a row."""
    plane: Float[Array, " Z"]
    """Lost by the best K dimensions through 0 (PCA, not centred); at most `lines`."""
    gap: Float[Array, " Z"]
    """lines - plane: near 0 at K for K shards, large for a mixture of K directions."""
    atoms: Float[Array, "Z K d"]
    """Unit atoms of the best code, those in use first; 0 beyond the count."""
    owner: Int[Array, "Z C"]
    """The atom of each row."""

    def summary(self) -> str:
        """The losses at each number of atoms."""
        rows = zip(
            self.counts.tolist(), self.lines.tolist(), self.plane.tolist(), strict=True
        )
        return "; ".join(
            f"{k} atoms lose {lines:.3f}, {k} dimensions {plane:.3f}"
            for k, lines, plane in rows
        )


def fit(
    key: Key[Array, ""],
    stack: Float[Array, "C d"],
    counts: Sequence[int] = (1, 2, 3, 4),
    restarts: int = 20,
    steps: int = 50,
) -> DictionaryGap:
    """Lines against planes, for several numbers of atoms in one program.

    lines = 1 - max over unit atoms a of sum_c max_k (a_k . g_c)^2 / ||G||^2, by turns:
    each row takes its nearest line, each line a step of the power iteration on its
    rows. A turn never loses; the best of the restarts is kept.

    Args:
      key: for the rows that atoms begin at; far ones are likelier.
      stack: rows, e.g. context gradients; not all 0.
      counts: K, each from 1 to C.
      restarts: R.
      steps: turns.

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite, a count out of
        range, rows that are all 0.

    Reference: Tseng, Nearest q-flat to m points, 2000 (K lines); Aharon, Elad and
    Bruckstein, K-SVD, 2006.
    """
    validation.shaped("stack", stack, None, None)
    validation.finite("stack", stack)
    validation.at_least("number of counts", len(counts), 1)
    for count in counts:
        validation.one_of("counts", count, range(1, len(stack) + 1))
    validation.at_least("restarts", restarts, 1)
    validation.at_least("steps", steps, 1)
    validation.sized("stack", stack)
    rows = validation.wide(stack)
    # the loss has no unit, but fourth powers of what is short would be 0
    rows = rows / arrays.or_one(jnp.abs(rows).max())
    power = jnp.square(rows).sum()
    if not isinstance(power, jax.core.Tracer) and not power > 0:
        raise ValueError("stack: got only zeros; allowed: rows of some length")
    short = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    spectrum = jnp.maximum(jnp.linalg.eigvalsh(short)[::-1], 0.0)
    held = jnp.cumsum(jnp.pad(spectrum, (0, max(counts))))[jnp.asarray(counts) - 1]
    plane = jnp.maximum(1 - held / power, 0.0)
    lost, atoms, owner = _lines(
        key, rows, jnp.asarray(counts), max(counts), restarts, steps
    )
    return DictionaryGap(jnp.asarray(counts), lost, plane, lost - plane, atoms, owner)


def _start(
    key: Key[Array, ""], rows: Float[Array, "C d"], most: int
) -> Float[Array, "K d"]:
    """Atoms at rows drawn by what the atoms before them leave unexplained."""

    def draw(left: Array, k: Array) -> tuple[Array, Array]:
        odds = jnp.log(jnp.maximum(left, jnp.finfo(left.dtype).tiny))
        row = rows[jax.random.categorical(k, odds)]
        atom = row / jnp.maximum(jnp.sqrt(jnp.square(row).sum()), 1e-30)
        rest = jnp.square(rows).sum(axis=1) - jnp.square(rows @ atom)
        return jnp.minimum(left, jnp.maximum(rest, 0.0)), atom

    first = jnp.square(rows).sum(axis=1)
    return jax.lax.scan(draw, first, jax.random.split(key, most))[1]


def _turn(rows: Float[Array, "C d"], atoms: Float[Array, "K d"]) -> Float[Array, "K d"]:
    """Each row to its nearest line, each line one power step over its rows."""
    along = rows @ atoms.T
    taken = jax.nn.one_hot(
        jnp.argmax(jnp.square(along), axis=1), len(atoms), dtype=rows.dtype
    )
    moved = (along * taken).T @ rows
    length = jnp.linalg.norm(moved, axis=1, keepdims=True)
    return jnp.where(length > 0, arrays.unit(moved), atoms)


def _lines(
    key: Key[Array, ""],
    rows: Float[Array, "C d"],
    counts: Int[Array, " Z"],
    most: int,
    restarts: int,
    steps: int,
) -> tuple[Float[Array, " Z"], Float[Array, "Z K d"], Int[Array, "Z C"]]:
    """The best code of each count; an atom of 0 beyond it is never taken for good."""

    def one(k: Array, count: Array) -> tuple[Array, Array, Array]:
        there = (jnp.arange(most) < count).astype(rows.dtype)
        atoms = _start(k, rows, most) * there[:, None]
        atoms = jax.lax.fori_loop(0, steps, lambda _, a: _turn(rows, a), atoms)
        along = jnp.square(rows @ atoms.T)
        lost = 1 - along.max(axis=1).sum() / jnp.square(rows).sum()
        return jnp.maximum(lost, 0.0), atoms, jnp.argmax(along, axis=1)

    keys = jax.random.split(key, restarts)
    tried = jax.vmap(lambda c: jax.vmap(lambda k: one(k, c))(keys))(counts)
    best = tried[0].argmin(axis=1)
    take = jnp.arange(len(counts))
    lost, atoms, owner = (leaf[take, best] for leaf in tried)
    return lost, atoms, owner
