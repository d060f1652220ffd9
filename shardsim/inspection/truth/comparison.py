"""All methods on the same contrast pairs, and whether a distractor fools them.

Symbols: n pairs, d features, M methods, R random probes, G strengths of a distractor.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.truth import baselines, ccs, pairs

METHODS = ("CCS", "principal", "k-means", "logistic", "mean difference")
"""The order of every axis M. The first three see no label."""
UNSUPERVISED = 3


class Comparison(NamedTuple):
    """One direction a method, what it gets right on held-out pairs, and the null."""

    directions: Float[Array, "M d"]
    """Unit length; zeros where a method found nothing."""
    accuracy: Float[Array, " M"]
    """Share right on test pairs, with the sign as found; a tie counts half. The sign of
    unsupervised methods is free, so that 1 - accuracy is as good a claim."""
    cosines: Float[Array, "M M"]
    """|cos| between the directions of the methods."""
    random_accuracy: Float[Array, " R"]
    """max(accuracy, 1 - accuracy) of directions at random."""
    loss: Float[Array, ""]
    """That CCS reached on the train pairs."""
    positive_share: Float[Array, ""]
    """Share of test pairs whose positive side is true: 0 or 1 is one class."""

    @property
    def either_sign(self) -> Float[Array, " M"]:
        """max(accuracy, 1 - accuracy): with the better sign, which labels chose."""
        return jnp.maximum(self.accuracy, 1 - self.accuracy)

    @property
    def random_band(self) -> Float[Array, "2"]:
        """Mean of the random probes less and plus two standard deviations."""
        mean, sd = self.random_accuracy.mean(), self.random_accuracy.std()
        return jnp.stack([mean - 2 * sd, mean + 2 * sd])

    def summary(self) -> str:
        said = ", ".join(
            f"{name} {float(right):.2f}"
            for name, right in zip(METHODS, self.either_sign, strict=True)
        )
        low, high = (float(x) for x in self.random_band)
        return f"right with the better sign: {said}; random {low:.2f} to {high:.2f}"


class Distraction(NamedTuple):
    """What each method finds when a random bit is written beside the concept."""

    strengths: Float[Array, " G"]
    concept: Float[Array, "G M"]
    """max(accuracy, 1 - accuracy) on the labels, held out."""
    distractor: Float[Array, "G M"]
    """The same on the random bit."""

    @property
    def fooled(self) -> Bool[Array, "G M"]:
        """Whether the method tells the random bit better than the concept."""
        return self.distractor > self.concept

    def summary(self) -> str:
        said = []
        for index, name in enumerate(METHODS):
            at = self.strengths[self.fooled[:, index]]
            said.append(
                f"{name} from {float(at.min()):g}" if at.size else f"{name} never"
            )
        return "follows a random bit of strength: " + ", ".join(said)


def mean_difference(
    differences: Float[Array, "n d"], label: Bool[Array, " n"]
) -> Float[Array, " d"]:
    """Mean of the differences, each turned to point from false to true; unit length."""
    turned = jnp.where(label[:, None], differences, -differences)
    return arrays.unit(turned.mean(axis=0))


def accuracies(
    directions: Float[Array, "M d"],
    differences: Float[Array, "n d"],
    label: Bool[Array, " n"],
) -> Float[Array, " M"]:
    """Share of labels right by the sign of direction . difference; ties half."""
    scores = differences @ directions.T
    return jax.vmap(baselines.share_right, in_axes=(1, None))(scores, label)


def compare(
    train: tuple[Float[Array, "n d"], Float[Array, "n d"], Bool[Array, " n"]],
    test: tuple[Float[Array, "m d"], Float[Array, "m d"], Bool[Array, " m"]],
    key: Key[Array, ""],
    *,
    restarts: int = 10,
    steps: int = 300,
    random: int = 100,
    normalise: pairs.Normalise = "mean",
) -> Comparison:
    """Fit every method on train pairs, score it on test pairs with the train means.

    Split by maze or episode, not by state, before calling. If the two sides share their
    noise, every probe is perfect, random ones too: look at the random band first.

    Args:
      train: x+, x- and whether x+ is true.
      test: the same of held-out pairs.
      key: draws restarts and random probes.
      restarts: of CCS and of k-means.
      steps: of CCS.
      random: R, how many random probes.
      normalise: see `pairs.learn_sides`.

    Raises:
      ValueError: pairs that don't fit or are not finite, numbers that are too small.
    """
    positive, negative, label = train
    pairs.check_pairs(*train)
    pairs.check_pairs(*test)
    validation.shaped("test", test[0], None, positive.shape[1])
    validation.at_least("pairs of test", len(test[0]), 1)
    search, cluster, null = jax.random.split(key, 3)
    how = {"restarts": restarts, "steps": steps}
    found = ccs.fit(positive, negative, search, normalise=normalise, **how)
    differences = found.sides.differences(positive, negative)
    directions = jnp.stack(
        [
            found.direction,
            baselines.principal(differences),
            baselines.kmeans(differences, cluster, restarts=restarts),
            baselines.logistic(differences, label),
            mean_difference(differences, label),
        ]
    )
    probes = baselines.random_directions(null, random, positive.shape[1])
    held_out = found.sides.differences(test[0], test[1])
    by_chance = accuracies(probes.astype(directions.dtype), held_out, test[2])
    return Comparison(
        directions=directions,
        accuracy=accuracies(directions, held_out, test[2]),
        cosines=jnp.abs(directions @ directions.T),
        random_accuracy=jnp.maximum(by_chance, 1 - by_chance),
        loss=found.loss,
        positive_share=test[2].astype(directions.dtype).mean(),
    )


def distract(
    positive: Float[Array, "n d"],
    negative: Float[Array, "n d"],
    label: Bool[Array, " n"],
    key: Key[Array, ""],
    strengths: Float[Array, " G"],
    *,
    restarts: int = 10,
    steps: int = 300,
    normalise: pairs.Normalise = "mean",
) -> Distraction:
    """Append a feature that is a random bit times the side, and see who follows it.

    x+ gets strength * bit, x- the opposite, bit = +-1: consistent, confident and
    meaningless. A method that finds the truth rather than what stands out must not
    follow it. The first half of the pairs trains, the second is held out.

    Args:
      strengths: of the appended feature, in units of the features.

    Raises:
      ValueError: as `compare`; fewer than four pairs; a negative strength.

    Reference: Farquhar et al., Challenges with unsupervised LLM knowledge discovery,
    arXiv 2312.10029.
    """
    pairs.check_pairs(positive, negative, label)
    validation.at_least("positive.shape[0]", positive.shape[0], 4)
    validation.shaped("strengths", strengths, None)
    validation.at_least("number of strengths", len(strengths), 1)
    validation.finite("strengths", strengths)
    if not isinstance(strengths, jax.core.Tracer):
        validation.at_least("strengths", float(jnp.min(strengths)), 0)
    positive, negative = validation.wide(positive), validation.wide(negative)
    strengths = validation.wide(strengths)
    drawn, search = jax.random.split(key)
    bit = jax.random.bernoulli(drawn, 0.5, label.shape)
    half = label.shape[0] // 2

    def one(strength: Array) -> tuple[Array, Array]:
        extra = jnp.where(bit, strength, -strength).astype(positive.dtype)[:, None]
        x = jnp.concatenate([positive, extra], axis=1)
        y = jnp.concatenate([negative, -extra], axis=1)
        train = (x[:half], y[:half], label[:half])
        test = (x[half:], y[half:], label[half:])
        got = compare(
            train, test, search, restarts=restarts, steps=steps, normalise=normalise
        )
        sides = pairs.learn_sides(x[:half], y[:half], normalise)
        held_out = sides.differences(x[half:], y[half:])
        on_bit = accuracies(got.directions, held_out, bit[half:])
        return got.either_sign, jnp.maximum(on_bit, 1 - on_bit)

    concept, distractor = jax.lax.map(one, strengths)
    return Distraction(strengths, concept, distractor)
