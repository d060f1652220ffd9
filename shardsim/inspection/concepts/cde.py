"""CDE: the directions that carry a concept's effect through a readout.

If two samples swap their components along d_1..d_k, their outputs should swap. This
asks what the readout uses, whereas a probe asks what the activations contain.

Symbols: n pairs, m controls, d features, k directions, A outputs, N keys.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import optimizers, validation
from shardsim.inspection.concepts import concept, readouts
from shardsim.inspection.concepts.readouts import Distance, ReadOut
from shardsim.inspection.validation import Numbers

TOLERANCE = 1e-6
"""Share of the initial loss, per radian: a slope or gain below it ends the search."""

Objective: TypeAlias = Callable[
    [Float[Array, "k d"], ReadOut, Distance, Float[Array, " d"], Float[Array, " d"]],
    Float[Array, ""],
]
"""What `fit` minimises, as a mean over pairs: from orthonormal rows, the readout, the
distance and one pair."""


def swap_loss(
    basis: Float[Array, "k d"],
    read_out: ReadOut,
    distance: Distance,
    a: Float[Any, " d"],
    b: Float[Any, " d"],
) -> Float[Array, ""]:
    """Distance of each mixed output to the clean output whose component it has.

      (distance(f(a), f(mix(a, b))) + distance(f(b), f(mix(b, a)))) / 2

    mix(a, b) has the component of a and everything else of b.

    Args:
      basis: [k, d] orthonormal rows.
      read_out: f, from an activation [d] to an output.
      distance: between two outputs.
      a: [d] one side of a pair.
      b: [d] the other side.
    """
    a_loss = distance(read_out(a), read_out(readouts.mix_component(basis, basis, a, b)))
    b_loss = distance(read_out(b), read_out(readouts.mix_component(basis, basis, b, a)))
    return (a_loss + b_loss) / 2


def ablation_objective(
    controls: Annotated[Numbers, "m d"], *, weight: float = 1.0
) -> Objective:
    """An objective that removes the difference of the pairs instead of swapping it.

      distance(f(a'), f(b')) + weight * mean distance(f(c), f(c'))

    where x' is x with the directions set to their mean over the controls c. The concept
    should disappear, and everything else should stay.

    Args:
      controls: [m, d] activations whose output should not change.
      weight: at least 0.

    Raises:
      ValueError: `controls` is not a matrix of finite numbers, or `weight` is negative.
    """
    controls = concept.as_floats("controls", controls, None, None)
    validation.at_least("weight", weight, 0)

    def objective(
        basis: Float[Array, "k d"],
        read_out: ReadOut,
        distance: Distance,
        a: Float[Any, " d"],
        b: Float[Any, " d"],
    ) -> Float[Array, ""]:
        mean = jnp.mean(controls, axis=0)

        def ablated(x: Float[Any, " d"]) -> Array:
            return read_out(x - (x - mean) @ basis.T @ basis)

        # the same for every pair, so that a map over pairs computes it once
        control_losses = jax.vmap(lambda c: distance(read_out(c), ablated(c)))(controls)
        return distance(ablated(a), ablated(b)) + weight * jnp.mean(control_losses)

    return objective


class CDE(NamedTuple):
    """Directions, the loss they reached, and whether the loss is informative."""

    basis: Float[Array, "k d"]
    """Orthonormal rows."""
    loss: Float[Array, ""]
    """Of `basis`, over all pairs."""
    initial_loss: Float[Array, ""]
    """Loss without any directions."""
    read_loss: Float[Array, ""]
    """Loss of the k directions to which the readout is most sensitive. Their choice
    does not use the concept."""
    read_cosine: Float[Array, ""]
    """Smallest cosine of principal angles between those and `basis`."""
    read_rank: Int[Array, ""]
    """Number of directions to which the readout is sensitive at all."""
    pair_rank: Int[Array, ""]
    """Number of directions along which the pairs differ."""
    degenerate: Bool[Array, ""]
    """read_rank <= k: the directions that the readout uses swap *any* pair exactly, and
    say nothing about the concept. Always true for a linear V with one output."""
    ambiguous: Bool[Array, ""]
    """pair_rank <= k: the difference of the pairs swaps everything, and many other
    directions may do so as well, so seeds need not agree."""
    converged: Bool[Array, ""]
    """Whether more steps would not lower the loss; see `optimizers.Descent`."""
    steps: Int[Array, ""]
    """Steps that were taken."""

    def summary(self) -> str:
        """Loss, next to no directions and those of the readout, and warnings."""
        warnings = ""
        if not bool(self.converged):
            warnings += f"; NOT CONVERGED after {int(self.steps)} steps"
        if bool(self.degenerate):
            warnings += (
                "; degenerate: every concept gives the directions of the readout"
            )
        if bool(self.ambiguous):
            warnings += "; ambiguous: the pairs differ along too few directions"
        return (
            f"CDE: loss {float(self.loss):.3g} (no directions "
            f"{float(self.initial_loss):.3g}, those of the readout "
            f"{float(self.read_loss):.3g}){warnings}"
        )


def fit(
    read_out: ReadOut,
    a: Annotated[Numbers, "n d"],
    b: Annotated[Numbers, "n d"],
    key: Key[Array, ""],
    *,
    k: int = 1,
    distance: Distance = readouts.squared,
    objective: Objective = swap_loss,
    steps: int = 50,
    max_steps: int = 1_600,
) -> CDE:
    """min over orthonormal d_1..d_k of an objective over pairs, by default `swap_loss`.

    L-BFGS over all pairs, through the QR decomposition that makes rows orthonormal. The
    start is random. After `steps` a round follows that is as long as all before it, and
    so on until a round gains nothing (`optimizers.lbfgs`). Differences that all pairs
    share make a long flat valley, in which Adam, the optimiser of the reference, needs
    thousands of steps and this one a few hundred. A fit that reaches `max_steps` first
    says so in `converged`, and warns unless it is compiled into another program.

    Edge cases: pairs whose outputs do not differ have loss 0 for every direction, and
    the start is returned (`initial_loss` is 0). `degenerate` and `ambiguous` mark the
    two cases in which loss 0 means little. The sign is arbitrary, and for k > 1 so is a
    rotation: compare spans.

    Do not call it under `jax.vmap`, because it decomposes matrices: see `fit_many`.
    A step of a linear readout takes about 8 n d additions and multiplications.

    Args:
      read_out: from an activation [d] to an output. Pass the same function each time: a
        new one compiles again.
      a: [n, d] activations of one side of the pairs.
      b: [n, d] of the other.
      key: for the start.
      k: number of directions, 1 to d.
      distance: between two outputs.
      objective: what to minimise, from one pair.
      steps: of the first round, at least 1.
      max_steps: of all rounds, at least `steps`.

    Raises:
      ValueError: a shape does not fit, or a number is not finite or out of range.

    Reference: Roger and simeon_c, Extracting and Evaluating Causal Direction in LLMs'
    Activations, 2022.
    """
    a, b = _check_input(a, b, k, steps, max_steps)
    result = _fit(read_out, a, b, key, k, distance, objective, steps, max_steps)
    optimizers.warn_unconverged("CDE", result.converged, "allow more max_steps")
    return result


def fit_many(
    read_out: ReadOut,
    a: Annotated[Numbers, "n d"],
    b: Annotated[Numbers, "n d"],
    keys: Key[Array, " N"],
    **settings: Any,
) -> CDE:
    """`fit` for each key in turn, in one program; the result has a leading axis N.

    Args:
      read_out: from an activation [d] to an output.
      a: [n, d] activations of one side of the pairs.
      b: [n, d] of the other.
      keys: [N] for the start.
      settings: keyword arguments of `fit`.
    """
    result = jax.lax.map(lambda key: fit(read_out, a, b, key, **settings), keys)
    optimizers.warn_unconverged("CDE", result.converged, "allow more max_steps")
    return result


def _check_input(
    a: Any, b: Any, k: int, steps: int, max_steps: int
) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    a = concept.as_floats("a", a, None, None)
    b = concept.as_floats("b", b, *a.shape).astype(a.dtype)
    validation.at_least("n", len(a), 1)
    for name, number in (("k", k), ("steps", steps)):
        validation.integer(name, number, 1)
    validation.at_least("max_steps", max_steps, steps)
    if k > a.shape[1]:
        raise ValueError(f"k: got {k}; allowed: at most {a.shape[1]}")
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
    max_steps: int,
) -> CDE:
    d = a.shape[1]

    def mean_loss(basis: Array) -> Array:
        losses = jax.vmap(lambda a, b: objective(basis, read_out, distance, a, b))
        return jnp.mean(losses(a, b))

    initial_loss = mean_loss(jnp.zeros((k, d), a.dtype))
    unit = jnp.where(initial_loss > 0, initial_loss, 1.0)
    descent = optimizers.lbfgs(
        lambda basis: mean_loss(basis) / unit,
        orthonormal(jax.random.normal(key, (k, d), a.dtype)),
        steps,
        max_steps,
        TOLERANCE,
        retract=orthonormal,
    )
    basis = descent.parameters
    read_basis, read_rank = readouts.top_eigenvectors(
        readouts.jacobian_moment(read_out, distance, a, b), k
    )
    _, pair_rank = readouts.top_eigenvectors((a - b).T @ (a - b) / len(a), k)
    return CDE(
        basis,
        mean_loss(basis),
        initial_loss,
        mean_loss(read_basis),
        jnp.linalg.svd(basis @ read_basis.T, compute_uv=False)[-1],
        read_rank,
        pair_rank,
        read_rank <= k,
        pair_rank <= k,
        descent.converged,
        descent.steps,
    )


def orthonormal(rows: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """Rows made orthonormal by QR, each with its original sign."""
    q, r = jnp.linalg.qr(rows.T)
    sign = jnp.where(jnp.diag(r) < 0, -1.0, 1.0).astype(rows.dtype)
    return (q * sign[None, :]).T
