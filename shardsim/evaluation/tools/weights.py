"""Tools for the weights of V: what the parts of its first layer are needed for.

Symbols: n states, D features, C contexts, E = D + C, K components, O hidden units.
"""

import functools
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key
from pydantic import PositiveFloat, PositiveInt

from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation.tools import base
from shardsim.inspection.weights import components


@fields.record(kw_only=True)
class Components:
    """Are the rank-one components of V's first layer needed in one context alone?"""

    OF: ClassVar[base.Of] = "weights"
    TITLE: ClassVar[str] = "share of components' use in one context, less chance"
    UNIT: ClassVar[str] = "share of importance"
    kind: Literal["components"] = "components"
    number: PositiveInt = 32
    """K, components of the layer."""
    cost: PositiveFloat = 0.03
    """Weight of the importances in the loss."""
    steps: PositiveInt = 600
    """Steps, whether it has converged or not."""
    batch: PositiveInt = 128
    """States of a step."""

    def measure(self, subject: base.Subject, key: Key[Array, ""]) -> dict[str, float]:
        """`components.selectivity` of the importances, by the true contexts."""
        importance = _importance(
            subject.head, subject.features, subject.given, key, self
        )
        selectivity = components.selectivity(importance, subject.context)
        return {base.STATISTIC: selectivity}


@functools.partial(jit, static_argnums=4)
def _importance(
    head: Any,
    features: Float[Array, "n D"],
    given: Float[Array, "n C"],
    key: Key[Array, ""],
    config: Components,
) -> Float[Array, "n K"]:
    """Importances of components that keep the contribution of every unit."""
    weights, units = first_layer(head, features.shape[1])
    decomposition = components.fit(
        units,
        weights,
        features,
        jnp.concatenate([features, given], axis=1),
        key,
        components=config.number,
        cost=config.cost,
        steps=config.steps,
        max_steps=config.steps,
        batch=config.batch,
    )
    return decomposition.importance


def first_layer(
    head: Any, width: int
) -> tuple[Float[Array, "O D"], Callable[[Array, Array], Array]]:
    """The weights of the layer of V that reads the features, and what follows it.

    Args:
      head: V.
      width: D.

    Returns:
      W, and the contribution of every unit, from W x and what else V reads [E]: the
      features and the context that gates get.
    """
    layers = [owner.hidden for owner in _owners(head)]
    weights = jnp.concatenate([layer.kernel[...].T for layer in layers])
    bias = jnp.concatenate([layer.bias[...] for layer in layers])
    graph, state = nnx.split(head)

    def units(pre: Float[Array, " O"], rest: Float[Array, " E"]) -> Array:
        copy, start = nnx.merge(graph, state), 0
        for owner, layer in zip(_owners(copy), layers, strict=True):
            count = layer.bias[...].shape[0]
            owner.hidden = _Given((pre + bias)[start : start + count])
            start += count
        contributions: Array = copy(rest[:width], rest[width:]).units
        return contributions

    return weights, units


class _Given(NamedTuple):
    """In place of the layer that reads the features: its output, whatever it reads."""

    output: Float[Array, " O"]

    def __call__(self, features: Float[Array, " D"]) -> Float[Array, " O"]:
        del features
        return self.output


def _owners(head: Any) -> list[Any]:
    """The heads that a head is built of, or itself."""
    return [head.first, head.second] if hasattr(head, "first") else [head]
