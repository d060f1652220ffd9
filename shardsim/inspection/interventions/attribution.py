"""Attribution of V to its input: integrated gradients and object occlusion.

f is any function of one float array: V of an observation or of features, or all shard
contributions at once. If f returns an array, each of its numbers has an attribution.
Both tools are linear in f, so the attributions of the contributions add up to that of
V.

Symbols: X numbers of the input, O of the output (any shapes), b baselines, m nodes,
n objects.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.inspection import validation
from shardsim.inspection.validation import Input, Numbers


class Nodes(NamedTuple):
    """A quadrature rule on [0, 1]."""

    positions: Float[np.ndarray, " m"]
    """Where the gradient is evaluated, in [0, 1]."""
    weights: Float[np.ndarray, " m"]
    """Weight of each position; they sum to 1."""


def gauss_legendre(m: int) -> Nodes:
    """Gauss-Legendre rule, for smooth f; exact for polynomials of degree 2m - 1."""
    validation.at_least("m", m, 1)
    x, w = np.polynomial.legendre.leggauss(m)
    return Nodes((x + 1) / 2, w / 2)


def midpoint(m: int) -> Nodes:
    """Midpoint rule; for f with kinks, where its error falls steadily as m grows."""
    validation.at_least("m", m, 1)
    return Nodes((np.arange(m) + 0.5) / m, np.full(m, 1 / m))


class IntegratedGradients(NamedTuple):
    """Attribution relative to each baseline, and its completeness."""

    attribution: Float[Array, "b ..."]
    """Attribution of each output to each number of the input, [b, *X, *O]."""
    total: Float[Array, "b *O"]
    """Sum of the attribution over the input."""
    change: Float[Array, "b *O"]
    """f(x) - f(baseline), which `total` should equal (completeness)."""
    residual: Float[Array, "b *O"]
    """total - change: the error of the quadrature."""

    def summary(self) -> str:
        return (
            f"integrated gradients from {len(self.total)} baselines: attributions sum "
            f"to {_range(self.total)}, f changed by {_range(self.change)}; "
            f"largest residual {float(np.abs(np.asarray(self.residual)).max()):.2g}"
        )


def integrated_gradients(
    f: Callable[[Float[Array, "*X"]], Float[Array, "*O"]],
    x: Annotated[Numbers, "*X"],
    baselines: Annotated[Numbers, "b *X"],
    nodes: Nodes,
) -> IntegratedGradients:
    """Integrated gradients, (x - x') int_0^1 f'(x' + t (x - x')) dt per baseline x'.

    Args:
      f: a function of one float array. The caller casts integer observations.
      x: the input to explain.
      baselines: the same state in other layouts, e.g. with a fruit removed or moved.
        The attribution explains the difference of V from there. A black board is a poor
        baseline, since no agent ever sees one.
      nodes: of `gauss_legendre` or `midpoint`; more nodes make the residual smaller.

    Returns:
      For each baseline the attribution, its sum, the change of f and the residual. All
      are 0 for a baseline equal to x, and the attribution to a number is 0 where the
      baseline has the same number.

    Raises:
      ValueError: a wrong shape, a number that is not finite, an input that is not
        float, or no baseline.

    Reference: Sundararajan, Taly & Yan, Axiomatic Attribution for Deep Networks,
    arXiv 1703.01365.
    """
    x, baselines = _as_inputs(x, baselines, "baselines")
    validation.shaped("nodes.weights", nodes.weights, len(nodes.positions))
    jacobian = jax.jacrev(f)
    output = f(x)
    positions, weights = (jnp.asarray(column, x.dtype) for column in nodes)

    def attribute(baseline: Array) -> tuple[Array, Array, Array]:
        def add(total: Array, node: tuple[Array, Array]) -> tuple[Array, None]:
            t, weight = node
            return total + weight * jacobian(baseline + t * (x - baseline)), None

        start = jnp.zeros((*output.shape, *x.shape), output.dtype)
        mean, _ = jax.lax.scan(add, start, (positions, weights))
        step = jnp.broadcast_to(x - baseline, mean.shape)
        # a number that does not change has no part in the change of f, also where f
        # has no finite slope by it: 0 times NaN is NaN
        attribution = jnp.where(step == 0, 0, mean * step)
        total = attribution.reshape(*output.shape, -1).sum(axis=-1)
        input_axes_first = (*range(output.ndim, mean.ndim), *range(output.ndim))
        return attribution.transpose(input_axes_first), total, output - f(baseline)

    attribution, total, change = jax.vmap(attribute)(baselines)
    return IntegratedGradients(attribution, total, change, total - change)


class Occlusion(NamedTuple):
    """Change of f when one object is removed and all others stay."""

    effect: Float[Array, "n *O"]
    """f(x) - f(x without the object)."""
    output: Float[Array, "*O"]
    """f(x)."""

    def summary(self) -> str:
        size = np.abs(np.asarray(self.effect)).reshape(len(self.effect), -1).sum(axis=1)
        return (
            f"occlusion of {len(size)} objects: object {int(size.argmax())} changes f "
            f"most, by {size.max():.4g}, in the median {np.median(size):.4g}"
        )


def occlusion(
    f: Callable[[Float[Array, "*X"]], Float[Array, "*O"]],
    x: Annotated[Numbers, "*X"],
    without: Annotated[Numbers, "n *X"],
) -> Occlusion:
    """f(x) - f(x without object i) for each object.

    Effects do not add up if objects interact: two objects that replace each other both
    have effect 0. `shapley.exact` divides their joint value between them.

    Args:
      f: a function of one float array.
      x: the input to explain.
      without: for each object, the input without it. Draw it as the environment would
        (`remove`), not as a grey square.

    Raises:
      ValueError: a wrong shape, a number that is not finite, an input that is not
        float, or no object.
    """
    x, without = _as_inputs(x, without, "without")
    output = f(x)
    return Occlusion(output[None] - jax.vmap(f)(without), output)


def remove(
    x: Annotated[Numbers, "*X"],
    background: Annotated[Numbers, "*X"],
    masks: Annotated[Numbers, "n *X"],
    present: Annotated[Numbers, "n"],
) -> Float[Array, "..."]:
    """Remove objects from an input by drawing the background in their place.

    A pixel that a removed and a remaining object share stays as it is.

    Args:
      x: the input with all objects.
      background: the same state without any of the objects.
      masks: booleans, true where an object is drawn.
      present: booleans, true for the objects that remain.

    Raises:
      ValueError: shapes differ, or a mask is not boolean.
    """
    shape = np.shape(x)
    validation.shaped("background", background, *shape)
    masks = jnp.asarray(validation.mask("masks", masks, None, *shape))
    present = jnp.asarray(validation.mask("present", present, len(masks)))
    x, background = (
        a if isinstance(a, jax.Array) else jnp.asarray(a) for a in (x, background)
    )
    remains = present.reshape(-1, *(1 for _ in shape))
    removed = jnp.any(masks & ~remains, axis=0) & ~jnp.any(masks & remains, axis=0)
    return jnp.where(removed, background, x)


def _as_inputs(
    x: Numbers, others: Numbers, name: str
) -> tuple[Float[Array, "*X"], Float[Array, "n *X"]]:
    dtype = x.dtype if isinstance(x, jax.Array) else np.asarray(x).dtype
    if dtype.kind in "biu":
        raise ValueError(f"x: got dtype {dtype}; allowed: float")
    validation.finite("x", x)
    validation.shaped(name, others, None, *np.shape(x))
    validation.finite(name, others)
    validation.at_least(f"number of {name}", np.shape(others)[0], 1)
    x = validation.floating(x)
    return x, validation.floating(others).astype(x.dtype)


def _range(numbers: Input) -> str:
    """One number, or the smallest and the largest of several."""
    array = np.asarray(numbers, np.float64).reshape(-1)
    if len(array) == 1:
        return f"{array[0]:.4g}"
    return f"{array.min():.4g} to {array.max():.4g}"
