"""Tools for the gradient of V with respect to the features of E."""

import functools
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from pydantic import PositiveInt

from shardsim.agents import value
from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation.tools import base
from shardsim.inspection.shards import context_gradients, dictionary


@fields.record(kw_only=True)
class ContextGradients:
    """Are the context gradients of V parallel or orthogonal, and nothing between?"""

    OF: ClassVar[base.Of] = "function"
    TITLE: ClassVar[str] = "bimodality of |cos| of context gradients, less random"
    UNIT: ClassVar[str] = "bimodality"
    ROWS: ClassVar[tuple[str, ...]] = ("own", "random")
    kind: Literal["context_gradients"] = "context_gradients"

    def measure(self, subject: base.Subject, key: Key[Array, ""]) -> dict[str, float]:
        """`bimodality` - `bimodality_null` of whitened gradients; the rows are both."""
        del key
        directions = context_gradients.fit(
            _gradients(subject), subject.context, subject.num_contexts
        )
        own, random = directions.bimodality, directions.bimodality_null
        return {
            base.STATISTIC: float(own - random),
            "own": float(own),
            "random": float(random),
        }


@fields.record(kw_only=True)
class Dictionary:
    """Do the gradients of V in single states lie on as many lines as contexts?"""

    OF: ClassVar[base.Of] = "function"
    TITLE: ClassVar[str] = "gap of mixed gradients less gap of gradients, C atoms"
    UNIT: ClassVar[str] = "share of norm"
    kind: Literal["dictionary"] = "dictionary"
    states: PositiveInt = 256
    """States whose gradients are coded; no more than that are drawn."""
    restarts: PositiveInt = 8
    """Starts of the search for atoms."""

    def measure(self, subject: base.Subject, key: Key[Array, ""]) -> dict[str, float]:
        """`null` - `gap`, with one atom for each context."""
        at = base.draw(subject, self.states, key)
        stack = _gradients(subject)[at]
        if not bool(jnp.any(stack != 0)):
            return {base.STATISTIC: 0.0}
        difference = _difference(stack, key, subject.num_contexts, self.restarts)
        return {base.STATISTIC: float(difference)}


@functools.partial(jit, static_argnums=(2, 3))
def _difference(
    stack: Float[Array, "n D"], key: Key[Array, ""], atoms: int, restarts: int
) -> Float[Array, ""]:
    """`null` - `gap`, as one program for all members."""
    fitted = dictionary.fit(stack, key, counts=(atoms,), restarts=restarts, draws=2)
    return fitted.null[0] - fitted.gap[0]


def _gradients(subject: base.Subject) -> Float[Array, "n D"]:
    """Gradients in coordinates in which the features have covariance 1."""
    return _whitened(subject.head, subject.features, subject.given)


@jit
def _whitened(
    head: value.ValueHead, features: Float[Array, "n D"], given: Float[Array, "n C"]
) -> Float[Array, "n D"]:
    gradients = context_gradients.value_gradients(head, features, given)
    return context_gradients.whitened(gradients, features)
