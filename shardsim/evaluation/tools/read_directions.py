"""Tool: what singular directions and others keep of what V or D does with features.

Symbols: n states, D features, C contexts, E = D + C, A actions.
"""

import functools
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from pydantic import Field, PositiveFloat, PositiveInt

from shardsim.agents import chain, decoders, layers, value
from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation.subjects import Subject
from shardsim.evaluation.tools import base, weights
from shardsim.inspection.concepts import leace
from shardsim.inspection.weights import bases, families

NAMES = (*families.NAMES, "leace")


@fields.record(kw_only=True)
class ReadDirections:
    """Which directions of the features hold what V, or D, does with them?"""

    OF: ClassVar[base.Of] = "weights"
    NEEDS_AGENT: ClassVar[bool] = True
    TITLE: ClassVar[str] = "kept by the leading singular directions"
    UNIT: ClassVar[str] = "share of variance"
    ROWS: ClassVar[tuple[str, ...]] = (
        *NAMES,
        *(f"{name}_collisions" for name in NAMES),
        *(f"{name}_planted" for name in NAMES),
        "all",
        "all_collisions",
    )
    kind: Literal["read_directions"] = "read_directions"
    of: Literal["value", "policy", "planted"] = "value"
    """The layer that reads the features: the first of V, the first of D, or one that is
    put there, which reads four known directions."""
    ranks: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 4, 8)
    """Numbers of directions, in rising order; the numbers of a row are means over
    them."""
    states: Annotated[int, Field(ge=20)] = 512
    """States that are read; no more than that are drawn."""
    number: PositiveInt = 16
    """Components of the layer, at least the largest rank."""
    cost: PositiveFloat = 0.03
    """Weight of the importances of components in their loss."""
    steps: PositiveInt = 600
    """Steps of the search for components, whether it has converged or not."""
    batch: PositiveInt = 64
    """States of such a step."""
    draws: PositiveInt = 4
    """Draws of random directions."""

    @fields.rule("ranks", "number")
    def _rising(self) -> Iterator[str]:
        if list(self.ranks) != sorted(set(self.ranks)):
            yield f"ranks: got {self.ranks}; allowed: rising numbers"
        elif self.number < self.ranks[-1]:
            yield f"number: got {self.number}; allowed: at least {self.ranks[-1]}"

    def measure(self, subject: Subject, key: Key[Array, ""]) -> dict[str, float]:
        """mean over k of the share of variance that k directions keep.

          max(0, 1 - mean |f(x_k) - f(x)|^2 / mean |f(x) - mean f|^2)

        x are the features, x_k their mean plus their first k directions, and f is V,
        the log-probabilities of D, or the planted units. The statistic and the row
        `singular` are for the singular directions of the layer; the other rows for
        directions weighted by the data, of the stacked Jacobians of f, of LEACE for
        (context, preferred action), of the components of the layer (stochastic
        parameter decomposition), and random ones; `all` is for all D directions, which
        keep everything.

        `_collisions`: mean total variation between D's policies at x and at the
        features that differ from x in the sign of the part outside of the k directions;
        only for D. `_planted`: mean largest |cos| of a planted read to one of the first
        directions, as many as there are planted reads; only for planted ones.
        """
        assert subject.agent is not None  # `NEEDS_AGENT`
        assert subject.policy_logits is not None
        draw_key, fit_key = jax.random.split(key)
        at = base.draw(subject, self.states, draw_key)
        actions = subject.policy_logits.shape[1]
        situation = subject.context * actions + subject.policy_logits.argmax(axis=1)
        labels = np.eye(subject.num_contexts * actions, dtype=np.float32)[situation]
        # no other part of the agent, so that arms share programs where they can
        part = {
            "value": subject.agent.value,
            "policy": subject.agent.decoder,
            "planted": None,
        }
        by_family = _compared(
            part[self.of],
            subject.features[at],
            subject.given[at],
            labels[at],
            fit_key,
            self,
        )
        return _rows(jax.tree.map(np.asarray, by_family))


class _ByFamily(NamedTuple):
    """By family; NaN where a number does not apply."""

    shares: dict[str, Float[Array, ""]]
    collisions: dict[str, Float[Array, ""]]
    planted: dict[str, Float[Array, ""]]


@functools.partial(jit, static_argnums=5)
def _compared(
    part: Any,
    features: Float[Array, "n D"],
    given: Float[Array, "n C"],
    labels: Float[Array, "n c"],
    key: Array,
    config: ReadDirections,
) -> _ByFamily:
    context = jnp.concatenate([features, given], axis=1)
    planted = None
    if config.of == "value":
        layer = _of_value(part, features.shape[1])
    elif config.of == "policy":
        layer = _of_policy(part)
    else:
        key, plant_key = jax.random.split(key)
        layer, planted = families.plant(features, plant_key)
    eraser = leace.fit(features, labels)
    erased = bases.Basis(eraser.correlation, eraser.read, eraser.write)
    fitted = families.fit(
        layer,
        features,
        context,
        {"leace": erased},
        key,
        ranks=config.ranks,
        number=config.number,
        cost=config.cost,
        steps=config.steps,
        batch=config.batch,
        draws=config.draws,
    )
    nan = jnp.full((), jnp.nan, features.dtype)
    nothing = dict.fromkeys(fitted.kept, nan)

    def policy(x: Array, rest: Array) -> Float[Array, " A"]:
        del rest
        return jax.nn.softmax(part(x))

    collisions, cosines = nothing, nothing
    if config.of == "policy":
        collisions = {
            name: families.collisions(
                basis, policy, features, context, config.ranks
            ).mean()
            for name, basis in fitted.bases.items()
        }
    if planted is not None:
        cosines = {
            name: families.recovered(rows, planted)
            for name, rows in fitted.rows.items()
        }
    shares = {name: x.mean() for name, x in fitted.kept.items()}
    return _ByFamily(shares, collisions, cosines)


def _of_value(head: value.ValueHead, width: int) -> families.Layer:
    w, units = weights.first_layer(head, width)

    def read_out(x: Array, rest: Array) -> Float[Array, " 1"]:
        return head(x, rest[width:]).value[None]

    return families.Layer(w, units, read_out)


def _of_policy(decoder: decoders.ActionDecoder) -> families.Layer:
    first = decoder.hidden_layers[0]
    assert first.bias is not None  # layers of D have one
    bias = first.bias[...]
    later = decoder.stages()[1:]
    activation = layers.ACTIVATIONS[decoder.activation]

    def after(pre: Array, rest: Array) -> Float[Array, " A"]:
        del rest
        hidden = activation(pre + bias)
        return jax.nn.log_softmax(chain.run(later, hidden))

    def policy(x: Array, rest: Array) -> Float[Array, " A"]:
        del rest
        return jax.nn.log_softmax(decoder(x))

    return families.Layer(first.kernel[...].T, after, policy)


def _rows(by_family: _ByFamily) -> dict[str, float]:
    """The numbers by the names of rows."""
    parts = {
        "": by_family.shares,
        "_collisions": by_family.collisions,
        "_planted": by_family.planted,
    }
    rows: dict[str, Any] = {base.STATISTIC: by_family.shares["singular"]}
    for end, numbers in parts.items():
        rows |= {name + end: numbers[name] for name in NAMES}
    # x_k is x itself
    rows |= {"all": 1.0, "all_collisions": 0 * by_family.collisions["singular"]}
    return {name: float(x) for name, x in rows.items()}
