"""Contrast pairs: two sides of one question, and which of them is the true one.

A question has two answers, x+ and x-. For a language model they are "yes" and "no";
for an agent they are a state s and its counterpart s' (mirrored, or with the goals
swapped), and the true side is the one that V prefers.

Symbols: n pairs, d features. The sides of a pair come in an order that knows nothing of
the label, else the order itself is the first thing that any method finds.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import arrays, validation

Normalise = Literal["none", "mean", "mean+scale"]


class Sides(NamedTuple):
    """How each side of the pairs is normalised, learned on the train pairs."""

    positive_mean: Float[Array, " d"]
    negative_mean: Float[Array, " d"]
    positive_scale: Float[Array, ""]
    negative_scale: Float[Array, ""]

    def apply(
        self, positive: Float[Array, "n d"], negative: Float[Array, "n d"]
    ) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
        """(x - mean) / scale, side by side, with the numbers of the train pairs."""
        positive, negative = validation.wide(positive), validation.wide(negative)
        return (
            (positive - self.positive_mean[None]) / self.positive_scale,
            (negative - self.negative_mean[None]) / self.negative_scale,
        )

    def differences(
        self, positive: Float[Array, "n d"], negative: Float[Array, "n d"]
    ) -> Float[Array, "n d"]:
        """x+ - x- of the normalised sides."""
        first, second = self.apply(positive, negative)
        return first - second


class ValuePairs(NamedTuple):
    """Paired states of an agent, and which one V prefers."""

    positive: Float[Array, "n d"]
    """Features of s."""
    negative: Float[Array, "n d"]
    """Features of s', the counterpart."""
    label: Bool[Array, " n"]
    """Whether V(s) > V(s')."""
    gap: Float[Array, " n"]
    """V(s) - V(s')."""
    tied: Bool[Array, " n"]
    """Whether |gap| is at most the tie allowed: there the label says nothing."""

    def decided(self) -> "ValuePairs":
        """The pairs that are no ties. Host side: the number of pairs changes."""
        return ValuePairs(*(field[~self.tied] for field in self))

    def summary(self) -> str:
        return (
            f"{self.label.shape[0]} pairs: V prefers the first side in "
            f"{float(jnp.mean(self.label)):.0%}, ties {float(jnp.mean(self.tied)):.0%}"
        )


def check_pairs(positive: Array, negative: Array, label: Array | None = None) -> None:
    """Refuse sides that don't fit each other, or numbers that are of no use.

    Raises:
      ValueError: names the side, what it is and what is allowed.
    """
    validation.shaped("positive", positive, None, None)
    validation.shaped("negative", negative, *positive.shape)
    validation.finite("positive", positive)
    validation.finite("negative", negative)
    validation.sized("positive", positive)
    validation.sized("negative", negative)
    if label is not None:
        validation.shaped("label", label, positive.shape[0])
        validation.one_of("label.dtype", str(label.dtype), ("bool",))


def learn_sides(
    positive: Float[Array, "n d"],
    negative: Float[Array, "n d"],
    normalise: Normalise = "mean",
) -> Sides:
    """Mean and scale of each side.

    `mean` takes from each side its own mean, so that which side an answer stands on
    can't be read off linearly. `mean+scale` also divides by one number a side: the root
    mean square of what is left, over pairs and features. `none` leaves all as it is.

    One pair has nothing left after its mean is taken, so it is refused. A side without
    spread is divided by 1.

    Raises:
      ValueError: sides that don't fit, an unknown `normalise`, no pair, one and a mean.
    """
    check_pairs(positive, negative)
    validation.one_of("normalise", normalise, get_args(Normalise))
    least = 1 if normalise == "none" else 2
    validation.at_least("positive.shape[0]", positive.shape[0], least)
    positive, negative = validation.wide(positive), validation.wide(negative)
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
        arrays.or_one(spread(positive - first[None])),
        arrays.or_one(spread(negative - second[None])),
    )


def spread(x: Float[Array, "n d"]) -> Float[Array, ""]:
    """sqrt(mean x^2), over samples and features."""
    return jnp.sqrt(jnp.mean(jnp.square(x)))


def from_values(
    features: Float[Array, "n d"],
    other_features: Float[Array, "n d"],
    value: Float[Array, " n"],
    other_value: Float[Array, " n"],
    tie: float = 0.0,
) -> ValuePairs:
    """Contrast pairs of an agent: "truth" is which of two paired states V prefers.

    label = V(s) > V(s'). Pairs whose first side always wins (cheese there, cheese gone)
    have one class and teach nothing: put them in a random order with `swap_sides`.

    Args:
      features: activations at s, from any layer of E or V.
      other_features: activations at the counterpart s' of each s.
      value: V(s).
      other_value: V(s').
      tie: largest |V(s) - V(s')| that counts as a tie, in units of V.

    Raises:
      ValueError: arrays that don't fit or are not finite, a negative tie.
    """
    check_pairs(features, other_features)
    for name, got in (("value", value), ("other_value", other_value)):
        validation.shaped(name, got, features.shape[0])
        validation.finite(name, got)
    validation.at_least("tie", tie, 0)
    gap = value - other_value
    return ValuePairs(features, other_features, gap > 0, gap, jnp.abs(gap) <= tie)


def swap_sides(pairs: ValuePairs, key: Key[Array, ""]) -> ValuePairs:
    """The same pairs, the two sides of each put in a random order."""
    swap = jax.random.bernoulli(key, 0.5, pairs.label.shape)
    return ValuePairs(
        jnp.where(swap[:, None], pairs.negative, pairs.positive),
        jnp.where(swap[:, None], pairs.positive, pairs.negative),
        jnp.where(swap, ~pairs.label & (pairs.gap != 0), pairs.label),
        jnp.where(swap, -pairs.gap, pairs.gap),
        pairs.tied,
    )


def one_hot(d: int, scale: float = 1.0) -> tuple[Float[Array, "d d"], ...]:
    """d facts that share nothing: x+ = scale e_i, x- = -scale e_i.

    All 2^d sign vectors are truth-like here; after each side's mean is taken, 2^d - 2.
    """
    validation.at_least("d", d, 1)
    facts = scale * jnp.eye(d)
    return facts, -facts
