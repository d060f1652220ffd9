"""CDE: the directions that carry a concept's effect through a read-out.

Swap what two samples have along d_1..d_k, and the read-out should swap. This asks what
the read-out reads, where a probe asks what is written.

Symbols: n pairs, d features, k directions, A outputs, N keys, T steps.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import optimizers, validation
from shardsim.inspection.concepts import concept, readouts
from shardsim.inspection.concepts.readouts import Distance, ReadOut

Objective: TypeAlias = Callable[
    [Float[Array, "k d"], ReadOut, Distance, Float[Array, "n d"], Float[Array, "n d"]],
    Float[Array, ""],
]
"""What is made small: of orthonormal rows, the read-out, and the pairs."""


def swap_loss(
    basis: Float[Array, "k d"],
    read_out: ReadOut,
    distance: Distance,
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
) -> Float[Array, ""]:
    """Mean distance of each mixed run to the clean run whose component it has.

    (distance(f(a), f(mix(a, b))) + distance(f(b), f(mix(b, a)))) / 2 over the pairs.
    """
    f, gap = jax.vmap(read_out), jax.vmap(distance)
    one = gap(f(a), f(readouts.mix_component(basis, basis, a, b)))
    other = gap(f(b), f(readouts.mix_component(basis, basis, b, a)))
    return jnp.mean(one + other) / 2


def destruction(controls: Float[Array, "m d"], weight: float = 1.0) -> Objective:
    """An objective that wipes the difference out instead of swapping it.

    mean distance(f(a), f(b)) with the directions set to their mean over the controls,
    plus weight times the mean distance that this moves the controls: the concept is to
    go, the rest to stay.
    """
    controls = concept.floats("controls", controls, None, None)
    validation.at_least("weight", weight, 0)

    def objective(
        basis: Array, read_out: ReadOut, distance: Distance, a: Array, b: Array
    ) -> Array:
        f, gap = jax.vmap(read_out), jax.vmap(distance)
        middle = jnp.mean(controls, axis=0)[None, :]

        def without(x: Array) -> Array:
            return x - (x - middle) @ basis.T @ basis

        kept = jnp.mean(gap(f(controls), f(without(controls))))
        return jnp.mean(gap(f(without(a)), f(without(b)))) + weight * kept

    return objective


class CDE(NamedTuple):
    """Directions, the loss they reached, and whether that means anything."""

    basis: Float[Array, "k d"]
    """Orthonormal rows."""
    loss: Float[Array, ""]
    """Over all pairs."""
    untouched: Float[Array, ""]
    """The loss of no directions at all."""
    read_loss: Float[Array, ""]
    """The loss of the k directions that the read-out reads most, chosen without
    looking at the concept."""
    read_cosine: Float[Array, ""]
    """Smallest cosine of principal angles between those and the basis."""
    read_rank: Int[Array, ""]
    """Directions that the read-out reads at all."""
    pair_rank: Int[Array, ""]
    """Directions that the pairs differ along."""
    degenerate: Bool[Array, ""]
    """read_rank <= k: what the read-out reads swaps *any* pair exactly, and says
    nothing of the concept. Always so for a linear V of one output."""
    ambiguous: Bool[Array, ""]
    """pair_rank <= k: the pairs' own difference swaps everything, and many other
    directions may do so as well, so that seeds need not agree."""
    trace: Float[Array, " T"]
    """Loss of each step's batch."""

    def summary(self) -> str:
        notes = ""
        if bool(self.degenerate):
            notes += "; degenerate: any concept gives the read-out's own directions"
        if bool(self.ambiguous):
            notes += "; ambiguous: the pairs differ along too few directions"
        return (
            f"CDE: loss {float(self.loss):.3g} of {float(self.untouched):.3g} "
            f"untouched, {float(self.read_loss):.3g} by the read-out alone{notes}"
        )


def fit(
    read_out: ReadOut,
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
    key: Key[Array, ""],
    *,
    k: int = 1,
    distance: Distance = readouts.squared,
    objective: Objective = swap_loss,
    steps: int = 400,
    batch: int = 128,
    rate: float = 0.1,
) -> CDE:
    """min over orthonormal d_1..d_k of an objective over pairs, by default `swap_loss`.

    Adam along the sphere (the gradient is projected, the step brought back by QR),
    from a random start, with a budget that is fixed so that seeds can be compared: no
    early stop. `rate` is about the angle of the first steps, in radians; it falls to 0
    by a cosine.

    Answers at the edges: pairs that do not differ in the output have loss 0 for every
    direction, and the start is returned (`untouched` is 0). See `degenerate` and
    `ambiguous` for the two cases in which loss 0 means little. A sign is free, and for
    k > 1 so is a rotation: compare spans.

    Not under `jax.vmap` (it decomposes matrices): see `fit_many`. 100,000 pairs of 512
    features take 8 s of processor time, compiling included, and 0.4 GB beside them.

    Args:
      read_out: from an activation [d] to an output. Give the same function each time:
        a new one compiles anew.
      a: activations of one side of the pairs.
      b: of the other.
      key: for the start and the batches.
      k: 1 to d.
      steps: at least 1.
      batch: pairs a step; all of them where there are no more.
      rate: above 0.

    Raises:
      ValueError: a wrong shape, or numbers that are not finite.

    Reference: Roger and simeon_c, Extracting and Evaluating Causal Direction in LLMs'
    Activations, 2022.
    """
    a, b = _checked(a, b, k, steps, batch, rate)
    return _fit(read_out, a, b, key, k, distance, objective, steps, batch, rate)


def fit_many(
    read_out: ReadOut,
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
    keys: Key[Array, " N"],
    **settings: Any,
) -> CDE:
    """`fit` from each key, one after the other in one program; a leading axis N.

    Args:
      settings: those of `fit`.
    """
    return jax.lax.map(lambda key: fit(read_out, a, b, key, **settings), keys)


def _checked(
    a: Any, b: Any, k: int, steps: int, batch: int, rate: float
) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    a = concept.floats("a", a, None, None)
    b = concept.floats("b", b, *a.shape).astype(a.dtype)
    for name, got in (("n", len(a)), ("k", k), ("steps", steps), ("batch", batch)):
        validation.at_least(name, got, 1)
    if k > a.shape[1]:
        raise ValueError(f"k: got {k}; allowed: at most {a.shape[1]}")
    if not rate > 0:
        raise ValueError(f"rate: got {rate}; allowed: above 0")
    return a, b


@functools.partial(jax.jit, static_argnums=(0, 4, 5, 6, 7, 8))
def _fit(
    read_out: ReadOut,
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
    key: Key[Array, ""],
    k: int,
    distance: Distance,
    objective: Objective,
    steps: int,
    batch: int,
    rate: float,
) -> CDE:
    begin, draw = jax.random.split(key)
    d = a.shape[1]
    nothing = jnp.zeros((k, d), a.dtype)
    untouched = objective(nothing, read_out, distance, a, b)
    unit = jnp.where(untouched > 0, untouched, 1.0)

    def loss(basis: Array, number: Array) -> Array:
        pick = jax.random.randint(jax.random.fold_in(draw, number), (batch,), 0, len(a))
        one, other = (a, b) if len(a) <= batch else (a[pick], b[pick])
        return objective(basis, read_out, distance, one, other) / unit

    first = orthonormal(jax.random.normal(begin, (k, d), a.dtype))
    # every coordinate moves by about the rate: sqrt(d) of them by that angle
    basis, losses = optimizers.adam(
        loss,
        first,
        steps,
        rate / d**0.5,
        "cosine",
        b2=0.99,
        eps=1e-12,
        tangent=lambda basis, pull: pull - pull @ basis.T @ basis,
        retract=orthonormal,
    )
    reads, read_rank = readouts.top_eigenvectors(
        readouts.jacobian_moment(read_out, distance, a, b), k
    )
    _, pair_rank = readouts.top_eigenvectors((a - b).T @ (a - b) / len(a), k)
    return CDE(
        basis,
        objective(basis, read_out, distance, a, b),
        untouched,
        objective(reads, read_out, distance, a, b),
        jnp.linalg.svd(basis @ reads.T, compute_uv=False)[-1],
        read_rank,
        pair_rank,
        read_rank <= k,
        pair_rank <= k,
        losses * unit,
    )


def orthonormal(rows: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """Rows made orthonormal by QR, each turned to its own side."""
    q, r = jnp.linalg.qr(rows.T)
    side = jnp.where(jnp.diag(r) < 0, -1.0, 1.0).astype(rows.dtype)
    return (q * side[None, :]).T
