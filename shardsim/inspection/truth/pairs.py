"""Contrast pairs: two sides of one question, one of which is true.

A question has two answers, x+ and x-. For a language model they are "yes" and "no". For
an agent they are a state s and its counterpart s' (mirrored, or with the goals
swapped), and the true side is the one that V prefers.

Symbols: n pairs, d features. The order of the two sides must be independent of the
label. Otherwise the order itself is the first thing that any method finds.
"""

from typing import Annotated, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Integer, Numbers

Normalise = Literal["none", "mean", "mean+scale"]
"""What `learn_sides` removes from each side; another string is refused by name."""


class Sides(NamedTuple):
    """The normalisation of each side, learned on the train pairs."""

    positive_mean: Float[Array, " d"]
    negative_mean: Float[Array, " d"]
    positive_scale: Float[Array, ""]
    negative_scale: Float[Array, ""]

    def apply(
        self, positive: Annotated[Numbers, "n d"], negative: Annotated[Numbers, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """(x - mean) / scale for each side, with the statistics of the train pairs.

        Args:
          positive: [n, d] activations of x+.
          negative: [n, d] activations of x-.
        """
        positive, negative = validation.wide(positive), validation.wide(negative)
        return (
            (positive - self.positive_mean[None]) / self.positive_scale,
            (negative - self.negative_mean[None]) / self.negative_scale,
        )

    def differences(
        self, positive: Annotated[Numbers, "n d"], negative: Annotated[Numbers, "n d"]
    ) -> Float[Array, "n d"]:
        """x+ - x- of the normalised sides.

        Args:
          positive: [n, d] activations of x+.
          negative: [n, d] activations of x-.
        """
        first, second = self.apply(positive, negative)
        return first - second


class ValuePairs(NamedTuple):
    """Paired states of an agent, and which one V prefers."""

    positive: Float[Array | np.ndarray, "n d"]
    """Features of s."""
    negative: Float[Array | np.ndarray, "n d"]
    """Features of the counterpart s'."""
    label: Bool[Array | np.ndarray, " n"]
    """Whether V(s) > V(s')."""
    gap: Float[Array | np.ndarray, " n"]
    """V(s) - V(s')."""
    tied: Bool[Array | np.ndarray, " n"]
    """Whether |gap| is at most `tie`; then the label has no meaning."""

    def decided(self) -> "ValuePairs":
        """The pairs that are not tied. Host only: the number of pairs changes."""
        return ValuePairs(*(field[~self.tied] for field in self))

    def summary(self) -> str:
        """The number of pairs, and the shares of labels and ties."""
        return (
            f"{self.label.shape[0]} pairs: V prefers the first side in "
            f"{float(jnp.mean(self.label)):.0%}, ties {float(jnp.mean(self.tied)):.0%}"
        )


def check_pairs(
    positive: Annotated[Numbers, "n d"],
    negative: Annotated[Numbers, "n d"],
) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    """Both sides as floats; sides that do not fit each other are refused.

    Args:
      positive: [n, d] activations of x+.
      negative: [n, d] activations of x-.

    Raises:
      ValueError: names the side, what it is and what is allowed.
    """
    first = validation.floats("positive", positive, None, None)
    second = validation.floats("negative", negative, *first.shape)
    validation.sized("positive", positive)
    validation.sized("negative", negative)
    return first, second


def learn_sides(
    positive: Annotated[Numbers, "n d"],
    negative: Annotated[Numbers, "n d"],
    *,
    normalise: Normalise | str = "mean",
) -> Sides:
    """Mean and scale of each side.

      none:        x
      mean:        x - mean of the side, so a linear probe cannot separate the sides
      mean+scale:  the same, divided by the side's root mean square over pairs and
        features

    A single pair has nothing left without its mean, so it is refused. A side without
    spread is divided by 1.

    Args:
      positive: [n, d] activations of x+.
      negative: [n, d] activations of x-.
      normalise: one of the three above.

    Raises:
      ValueError: the sides do not fit, `normalise` is unknown, or there are too few
        pairs.
    """
    positive, negative = check_pairs(positive, negative)
    validation.one_of("normalise", normalise, get_args(Normalise))
    least = 1 if normalise == "none" else 2
    validation.at_least("positive.shape[0]", positive.shape[0], least)
    one = jnp.ones((), positive.dtype)
    if normalise == "none":
        zero = jnp.zeros_like(positive[0])
        return Sides(zero, zero, one, one)
    first, second = positive.mean(axis=0), negative.mean(axis=0)
    if normalise == "mean":
        return Sides(first, second, one, one)
    return Sides(
        first,
        second,
        arrays.or_one(root_mean_square(positive - first[None])),
        arrays.or_one(root_mean_square(negative - second[None])),
    )


def root_mean_square(x: Float[Array, "n d"]) -> Float[Array, ""]:
    """sqrt(mean x^2), over samples and features."""
    return jnp.sqrt(jnp.mean(jnp.square(x)))


def from_values(
    features: Annotated[Numbers, "n d"],
    other_features: Annotated[Numbers, "n d"],
    value: Annotated[Numbers, "n"],
    other_value: Annotated[Numbers, "n"],
    *,
    tie: float = 0.0,
) -> ValuePairs:
    """Contrast pairs of an agent: "true" is the state of two that V prefers.

      label = V(s) > V(s')

    If the first side always wins (cheese, no cheese) there is one class, which teaches
    nothing: put such pairs in a random order with `swap_sides`.

    Args:
      features: [n, d] activations at s, from any layer of E or V.
      other_features: [n, d] activations at the counterpart s' of each s.
      value: [n] V(s).
      other_value: [n] V(s').
      tie: largest |V(s) - V(s')| that counts as a tie, in the unit of V, at least 0.

    Raises:
      ValueError: the arrays do not fit or are not finite, or `tie` is negative.
    """
    first, second = check_pairs(features, other_features)
    value, other_value = (
        validation.floats(name, values, len(first))
        for name, values in (("value", value), ("other_value", other_value))
    )
    validation.at_least("tie", tie, 0)
    gap = value - other_value.astype(value.dtype)
    return ValuePairs(first, second, gap > 0, gap, jnp.abs(gap) <= tie)


def swap_sides(pairs: ValuePairs, key: Key[Array, ""]) -> ValuePairs:
    """The same pairs, with the two sides of each pair in a random order."""
    swap = jax.random.bernoulli(key, 0.5, pairs.label.shape)
    return ValuePairs(
        jnp.where(swap[:, None], pairs.negative, pairs.positive),
        jnp.where(swap[:, None], pairs.positive, pairs.negative),
        jnp.where(swap, ~pairs.label & (pairs.gap != 0), pairs.label),
        jnp.where(swap, -pairs.gap, pairs.gap),
        pairs.tied,
    )


def independent_facts(
    d: Integer, *, scale: float = 1.0
) -> tuple[Float[Array, "d d"], ...]:
    """d independent facts: x+ = scale e_i, x- = -scale e_i.

    All 2^d sign vectors are truth-like here. If each side's mean is removed, 2^d - 2
    are.

    Args:
      d: number of facts, at least 1.
      scale: length of each side.
    """
    d = validation.integer("d", d, 1)
    facts = scale * jnp.eye(d)
    return facts, -facts
