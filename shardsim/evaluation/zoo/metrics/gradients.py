"""Metrics of the gradient of V with respect to the features of E."""

import functools
from typing import ClassVar, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from pydantic import PositiveInt

from shardsim.agents import value
from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation.zoo.metrics import base
from shardsim.inspection.shards import context_gradients, dictionary


@fields.record(kw_only=True)
class ContextGradients:
    """Are the context gradients of V parallel or orthogonal, and nothing between?"""

    OF: ClassVar[base.Of] = "function"
    TITLE: ClassVar[str] = "bimodality of |cos| of context gradients, less random"
    kind: Literal["context_gradients"] = "context_gradients"
    expected: base.Expected
    """Whether it was expected to separate members with shards from those without."""

    def score(self, subject: base.Subject, key: Key[Array, ""]) -> float:
        """`bimodality` - `bimodality_null` of whitened gradients."""
        del key
        found = context_gradients.fit(
            _gradients(subject), subject.context, subject.num_contexts
        )
        return float(found.bimodality - found.bimodality_null)


@fields.record(kw_only=True)
class Dictionary:
    """Do the gradients of V in single states lie on as many lines as contexts?"""

    OF: ClassVar[base.Of] = "function"
    TITLE: ClassVar[str] = "gap of mixed gradients less gap of gradients, C atoms"
    kind: Literal["dictionary"] = "dictionary"
    expected: base.Expected
    """Whether it was expected to separate members with shards from those without."""
    states: PositiveInt = 256
    """States whose gradients are coded; no more than that are drawn."""
    restarts: PositiveInt = 8
    """Starts of the search for atoms."""

    def score(self, subject: base.Subject, key: Key[Array, ""]) -> float:
        """`null` - `gap`, with one atom for each context."""
        at = base.rows(subject, self.states, key)
        stack = _gradients(subject)[at]
        if not bool(jnp.any(stack != 0)):
            return 0.0
        return float(_difference(stack, key, subject.num_contexts, self.restarts))


@functools.partial(jit, static_argnums=(2, 3))
def _difference(
    stack: Float[Array, "n D"], key: Key[Array, ""], atoms: int, restarts: int
) -> Float[Array, ""]:
    """`null` - `gap`, as one program for all members."""
    found = dictionary.fit(stack, key, counts=(atoms,), restarts=restarts, draws=2)
    return found.null[0] - found.gap[0]


def _gradients(subject: base.Subject) -> Float[Array, "n D"]:
    """Gradients in coordinates in which the features have covariance 1."""
    return _whitened(subject.head, subject.features, subject.given)


@jit
def _whitened(
    head: value.ValueHead, features: Float[Array, "n D"], given: Float[Array, "n C"]
) -> Float[Array, "n D"]:
    gradients = context_gradients.value_gradients(head, features, given)
    return context_gradients.whitened(gradients, features)
