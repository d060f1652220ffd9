"""Which parts of what is seen V rests on: integrated gradients and object occlusion.

f is any function of one float array: V of an observation or of features, or all shard
contributions at once. With a vector of outputs every attribution is one of each, and
since both tools are linear in f those of the contributions add up to that of V.

Symbols: X numbers of the input, O of the output (any shapes), b baselines, m nodes,
n objects.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.inspection import validation


class Nodes(NamedTuple):
    """Where on the way from 0 to 1 the gradient is taken, and how much it counts."""

    positions: Float[np.ndarray, " m"]
    weights: Float[np.ndarray, " m"]


def gauss_legendre(m: int) -> Nodes:
    """Exact for polynomials up to degree 2m - 1; for a smooth f."""
    validation.at_least("m", m, 1)
    x, w = np.polynomial.legendre.leggauss(m)
    return Nodes((x + 1) / 2, w / 2)


def midpoint(m: int) -> Nodes:
    """Equal steps; for an f with kinks, where its error falls as surely as m grows."""
    validation.at_least("m", m, 1)
    return Nodes((np.arange(m) + 0.5) / m, np.full(m, 1 / m))


class IntegratedGradients(NamedTuple):
    """Attribution from each baseline, and whether it is complete."""

    attribution: Float[Array, "b ..."]
    """[b, *X, *O]."""
    total: Float[Array, "b *O"]
    """The sum of the attribution over the input."""
    change: Float[Array, "b *O"]
    """f(x) - f(baseline), which the total must be."""
    residual: Float[Array, "b *O"]
    """total - change: the error of the integral."""

    def summary(self) -> str:
        return (
            f"integrated gradients from {len(self.total)} baselines: attributions sum "
            f"to {_said(self.total)}, f changed by {_said(self.change)}; "
            f"largest residual {float(np.abs(np.asarray(self.residual)).max()):.2g}"
        )


def integrated_gradients(
    f: Callable[[Float[Array, "*X"]], Float[Array, "*O"]],
    x: Float[Array, "*X"],
    baselines: Float[Array, "b *X"],
    nodes: Nodes,
) -> IntegratedGradients:
    """(x - x') int_0^1 f'(x' + t (x - x')) dt for each baseline x'.

    Args:
      f: of one float array; an observation of integers is to be cast by the caller.
      x: the input that is explained.
      baselines: the same state under other layouts (a fruit gone or elsewhere): what
        is asked is why V isn't what it would be there. Black boards are seen nowhere.
      nodes: of `gauss_legendre` or `midpoint`; more of them make the residual smaller.

    Returns:
      Per baseline the attribution, its sum, f's change and the residual. A baseline
      equal to x gives 0 throughout.

    Raises:
      ValueError: a wrong shape, NaN, an input that isn't float, no baseline.

    Reference: Sundararajan, Taly & Yan, Axiomatic Attribution for Deep Networks,
    arXiv 1703.01365.
    """
    _check_inputs(x, baselines, "baselines")
    validation.shaped("nodes.weights", nodes.weights, len(nodes.positions))
    slope = jax.jacrev(f)
    whole = f(x)
    ways = list(zip(*(jnp.asarray(n, x.dtype) for n in nodes), strict=True))
    positions = jnp.stack([t for t, _ in ways])
    weights = jnp.stack([w for _, w in ways])

    def one(baseline: Array) -> tuple[Array, Array, Array]:
        def add(total: Array, node: tuple[Array, Array]) -> tuple[Array, None]:
            t, w = node
            return total + w * slope(baseline + t * (x - baseline)), None

        start = jnp.zeros((*whole.shape, *x.shape), whole.dtype)
        mean, _ = jax.lax.scan(add, start, (positions, weights))
        attribution = mean * jnp.broadcast_to(x - baseline, mean.shape)
        total = attribution.reshape(*whole.shape, -1).sum(axis=-1)
        order = (*range(whole.ndim, mean.ndim), *range(whole.ndim))
        return attribution.transpose(order), total, whole - f(baseline)

    attribution, total, change = jax.vmap(one)(baselines)
    return IntegratedGradients(attribution, total, change, total - change)


class Occlusion(NamedTuple):
    """What each object is worth when it alone is taken away."""

    effect: Float[Array, "n *O"]
    """f(x) - f(x without the object)."""
    whole: Float[Array, "*O"]
    """f(x)."""

    def summary(self) -> str:
        size = np.abs(np.asarray(self.effect)).reshape(len(self.effect), -1).sum(axis=1)
        return (
            f"occlusion of {len(size)} objects: object {int(size.argmax())} moves f "
            f"most, by {size.max():.4g}, in the median {np.median(size):.4g}"
        )


def occlusion(
    f: Callable[[Float[Array, "*X"]], Float[Array, "*O"]],
    x: Float[Array, "*X"],
    without: Float[Array, "n *X"],
) -> Occlusion:
    """f(x) - f(x without object i) for each object.

    Effects don't add up when objects matter together: two that replace one another
    have effect 0 each. `shapley.exact` shares such value out.

    Args:
      without: for each object, the same state with that object gone: as the world
        would draw it (`remove`), not a grey square.

    Raises:
      ValueError: a wrong shape, NaN, an input that isn't float, no object.
    """
    _check_inputs(x, without, "without")
    whole = f(x)
    return Occlusion(whole[None] - jax.vmap(f)(without), whole)


def remove(
    x: Float[Array, "*X"],
    background: Float[Array, "*X"],
    masks: Array,
    present: Array,
) -> Float[Array, "*X"]:
    """The input with only some objects: background where an absent one stood.

    Args:
      background: the same state without any of the objects.
      masks: [n, *X], true where an object is drawn.
      present: [n], true for the objects that stay.
    """
    shape = np.shape(x)
    validation.shaped("background", background, *shape)
    validation.shaped("masks", masks, None, *shape)
    validation.shaped("present", present, np.shape(masks)[0])
    keep = present.reshape(-1, *(1 for _ in shape))
    gone = jnp.any(masks & ~keep, axis=0) & ~jnp.any(masks & keep, axis=0)
    return jnp.where(gone, background, x)


def _check_inputs(x: Array, others: Array, name: str) -> None:
    if not jnp.issubdtype(jnp.asarray(x).dtype, jnp.floating):
        raise ValueError(f"x: got dtype {jnp.asarray(x).dtype}; allowed: float")
    validation.finite("x", x)
    validation.shaped(name, others, None, *np.shape(x))
    validation.finite(name, others)
    validation.at_least(f"number of {name}", np.shape(others)[0], 1)


def _said(numbers: Array) -> str:
    array = np.asarray(numbers, np.float64).reshape(-1)
    if len(array) == 1:
        return f"{array[0]:.4g}"
    return f"{array.min():.4g} to {array.max():.4g}"
