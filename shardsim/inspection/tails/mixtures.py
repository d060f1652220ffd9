"""Mixtures of normals by expectation maximisation, in a fixed number of steps.

Weights are as in `fitting`. Symbols: n samples, k components.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from shardsim.inspection import validation
from shardsim.inspection.tails import families, fitting
from shardsim.inspection.tails.families import Sample


@partial(jax.jit, static_argnames=("room", "steps"))
def _mixture(
    x: Sample, weights: Sample, components: Array, room: int, steps: int
) -> families.Mixture:
    """`components` of them in `room` places; places that stay empty have share 0."""
    whole = fitting.normal(x, weights)
    order = jnp.argsort(x)
    up_to = jnp.cumsum(weights[order])
    place = jnp.arange(room, dtype=x.dtype)
    level = jnp.minimum((place + 0.5) / components, 1.0)
    at = jnp.minimum(jnp.searchsorted(up_to, level * up_to[-1]), x.shape[0] - 1)
    # unequal widths, so that peaks and tails over one middle can come apart
    width = whole.scale * (0.5 + 0.5 * place / jnp.maximum(components - 1, 1.0))
    least = jnp.maximum(0.01 * whole.scale, fitting.least_scale(x, weights))
    share = jnp.where(place < components, 1 / components, 0.0)
    total = jnp.where(up_to[-1] == 0, 1.0, up_to[-1])
    tiny = jnp.finfo(x.dtype).tiny

    def step(_: Array, now: families.Mixture) -> families.Mixture:
        belongs = jax.nn.softmax(now.joint(x), axis=-1) * weights[:, None]
        count = belongs.sum(axis=0)
        mean = x @ belongs / jnp.maximum(count, tiny)
        square = jnp.sum(belongs * jnp.square(x[:, None] - mean[None]), axis=0)
        scale = jnp.maximum(jnp.sqrt(square / jnp.maximum(count, tiny)), least)
        return families.Mixture(count / total, mean, scale)

    start = families.Mixture(share, x[order][at], width)
    return jax.lax.fori_loop(0, steps, step, start)


def fit(
    x: Sample, components: int, weights: Sample | None = None, steps: int = 200
) -> families.Mixture:
    """Expectation maximisation from quantiles, the widths unequal at the start.

    A component is at least 1% as wide as all numbers together: without a floor the
    likelihood has no maximum. `steps` are enough for 1e-3 in the mean log density where
    components overlap little.

    Args:
      components: k, from 1 to 8.

    Raises:
      ValueError: as `normal`; a number of components out of range.
    """
    validation.one_of("components", components, range(1, 9))
    number = jnp.full((), components, x.dtype)
    return _mixture(x, fitting.ready(x, weights), number, components, steps)


def fit_to(
    x: Sample, most: int, weights: Sample | None = None, steps: int = 200
) -> tuple[families.Mixture, ...]:
    """Mixtures of 2, 3 and so on to `most` components, side by side in one program.

    All have room for `most`; the places that a smaller one leaves empty have share 0.
    """
    validation.one_of("most", most, range(2, 9))
    weights = fitting.ready(x, weights)
    numbers = jnp.arange(2, most + 1, dtype=x.dtype)
    found = jax.vmap(lambda k: _mixture(x, weights, k, most, steps))(numbers)
    return tuple(
        families.Mixture(found.share[i], found.mean[i], found.scale[i])
        for i in range(most - 1)
    )
