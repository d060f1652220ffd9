"""All methods on the same contrast pairs, and whether a distractor fools them.

Symbols: n pairs, d features, M methods, R random probes, G strengths of a distractor.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import arrays, optimizers, validation
from shardsim.inspection.truth import baselines, ccs, pairs
from shardsim.inspection.validation import Numbers

METHODS = ("CCS", "principal", "k-means", "logistic", "mean difference")
"""The order of every axis M. The first three use no labels."""
UNSUPERVISED = 3
ALPHA = 0.05
"""How often a sentence may claim what is not there."""


class Comparison(NamedTuple):
    """One direction per method, its accuracy on held-out pairs, and the null."""

    directions: Float[Array, "M d"]
    """Unit length; zeros if a method has no direction."""
    accuracy: Float[Array, " M"]
    """Accuracy on test pairs with the sign of the fit; a tie counts half. The sign of
    unsupervised methods is arbitrary, so 1 - accuracy is an equally valid claim."""
    cosines: Float[Array, "M M"]
    """|cos| between the directions of the methods."""
    random_accuracy: Float[Array, " R"]
    """max(accuracy, 1 - accuracy) of random directions."""
    loss: Float[Array, ""]
    """CCS loss on the train pairs."""
    positive_share: Float[Array, ""]
    """Share of test pairs whose positive side is true; 0 or 1 means one class."""
    converged: Bool[Array, " M"]
    """Whether the search of each method converged; true for a closed form."""

    @property
    def either_sign(self) -> Float[Array, " M"]:
        """max(accuracy, 1 - accuracy): the labels choose the better sign."""
        return jnp.maximum(self.accuracy, 1 - self.accuracy)

    @property
    def random_band(self) -> Float[Array, "2"]:
        """Mean of the random accuracies minus and plus two standard deviations."""
        mean, sd = self.random_accuracy.mean(), self.random_accuracy.std()
        return jnp.stack([mean - 2 * sd, mean + 2 * sd])

    def summary(self) -> str:
        """Accuracy of each method with the better sign, and the random band."""
        accuracies = ", ".join(
            f"{name} {float(accuracy):.2f}"
            for name, accuracy in zip(METHODS, self.either_sign, strict=True)
        )
        low, high = (float(x) for x in self.random_band)
        stopped = [
            name
            for name, flag in zip(METHODS, self.converged.tolist(), strict=True)
            if not flag
        ]
        warning = f"; NOT CONVERGED: {', '.join(stopped)}" if stopped else ""
        return (
            f"accuracy, better sign: {accuracies}; random {low:.2f} to {high:.2f}"
            f"{warning}"
        )


class Distraction(NamedTuple):
    """What each method follows when a random bit is added as a feature."""

    strengths: Float[Array, " G"]
    """Size of the added feature, in the unit of the features."""
    concept: Float[Array, "G M"]
    """max(accuracy, 1 - accuracy) on the labels of held-out pairs."""
    distractor: Float[Array, "G M"]
    """The same for the random bit."""
    p: Float[Array, "G M"]
    """p-value of following the random bit, and following it rather than the concept:
    the larger of two sign tests over the held-out pairs."""
    num_pairs: int
    """Held-out pairs."""
    converged: Bool[Array, "G M"]
    """Whether the search of each method converged."""

    @property
    def fooled(self) -> Bool[Array, "G M"]:
        """Whether it is shown that the method follows the random bit.

        All G M tests together claim it falsely in at most 5 % of draws (Bonferroni).
        """
        return self.p * self.p.size <= ALPHA

    def summary(self) -> str:
        """The lowest strength at which each method is shown to follow the bit."""
        if 2.0 ** (1 - self.num_pairs) * self.p.size > ALPHA:
            return (
                f"{self.num_pairs} held-out pairs are too few to show that a method "
                "follows a random bit"
            )
        shown, others = [], []
        for index, name in enumerate(METHODS):
            strengths = self.strengths[self.fooled[:, index]]
            if strengths.size:
                shown.append(f"{name} from {float(strengths.min()):g}")
            else:
                others.append(name)
        parts = [f"follow a random bit, by strength: {', '.join(shown)}"] * bool(shown)
        parts += [f"not shown for {', '.join(others)}"] * bool(others)
        if not shown:
            parts = ["no method is shown to follow a random bit"]
        stopped = int((~self.converged).sum())
        parts += [f"{stopped} searches NOT CONVERGED"] * bool(stopped)
        return "; ".join(parts)


def mean_difference(
    differences: Float[Array, "n d"], label: Bool[Array | np.ndarray, " n"]
) -> Float[Array, " d"]:
    """Mean of the differences, each pointing from false to true, at unit length.

    Args:
      differences: [n, d] x+ - x- of normalised pairs.
      label: [n] bool, whether the positive side is true.
    """
    oriented = jnp.where(label[:, None], differences, -differences)
    return arrays.unit(oriented.mean(axis=0))


def accuracies(
    directions: Float[Array, "M d"],
    differences: Float[Array, "n d"],
    label: Bool[Array | np.ndarray, " n"],
) -> Float[Array, " M"]:
    """Accuracy of the sign of direction . difference; a tie counts half.

    Args:
      directions: [M, d].
      differences: [n, d] x+ - x- of normalised pairs.
      label: [n] bool, whether the positive side is true.
    """
    scores = differences @ directions.T
    return jax.vmap(baselines.sign_accuracy, in_axes=(1, None))(scores, label)


def _follows(
    directions: Float[Array, "M d"],
    differences: Float[Array, "n d"],
    bit: Bool[Array, " n"],
    label: Bool[Array | np.ndarray, " n"],
) -> Float[Array, " M"]:
    """p-value of following a bit, each with the better sign; see `Distraction.p`."""
    scores = (differences @ directions.T).T

    def right(target: Array) -> Bool[Array, "M n"]:
        # a tie is a mistake for either sign, and the better sign is then counted twice
        is_right = (scores > 0) == target[None]
        is_better = is_right.mean(axis=1, keepdims=True) >= 0.5
        return jnp.where(is_better, is_right, ~is_right) & (scores != 0)

    of_bit, of_label = right(bit), right(jnp.asarray(label))
    n = jnp.full(len(scores), len(bit))
    gains, losses = (
        (a & ~b).sum(axis=1) for a, b in ((of_bit, of_label), (of_label, of_bit))
    )
    chance = _sign_test(of_bit.sum(axis=1), n)
    return jnp.maximum(chance, _sign_test(gains, gains + losses))


def _sign_test(count: Int[Array, " M"], n: Int[Array, " M"]) -> Float[Array, " M"]:
    """2 P(X >= count) for X ~ Binomial(n, 1/2), at most 1: the sign was chosen."""
    k, m = count.astype(float), n.astype(float)
    tail = jax.scipy.special.betainc(jnp.maximum(k, 1.0), m - k + 1, 0.5)
    return jnp.where(count > 0, jnp.minimum(2 * tail, 1.0), 1.0)


def compare(
    train: tuple[
        Annotated[Numbers, "n d"], Annotated[Numbers, "n d"], Annotated[Numbers, "n"]
    ],
    test: tuple[
        Annotated[Numbers, "m d"], Annotated[Numbers, "m d"], Annotated[Numbers, "m"]
    ],
    key: Key[Array, ""],
    *,
    restarts: int = 10,
    steps: int = 300,
    random: int = 100,
    normalise: pairs.Normalise | str = "mean",
) -> Comparison:
    """Fit every method on train pairs, and score it on test pairs.

    Test pairs are normalised by the means of the train pairs. Split by maze or episode
    before calling, not by state. If the two sides share their noise, every probe is
    perfect, even a random one: check the random band first.

    Args:
      train: x+ [n, d], x- [n, d] and whether x+ is true [n].
      test: the same for held-out pairs, m of them.
      key: for restarts and random probes.
      restarts: of CCS and of k-means.
      steps: of the first round of CCS.
      random: R, number of random probes.
      normalise: see `pairs.learn_sides`.

    Raises:
      ValueError: the pairs do not fit, or a number is not finite or too small.
    """
    positive, negative = pairs.check_pairs(*train[:2])
    label = validation.mask("label of train", train[2], len(positive))
    validation.shaped("test", test[0], None, positive.shape[1])
    test_sides = pairs.check_pairs(*test[:2])
    test_label = jnp.asarray(
        validation.mask("label of test", test[2], len(test_sides[0]))
    )
    validation.at_least("pairs of test", len(test_label), 1)
    search, cluster, null = jax.random.split(key, 3)
    settings = {"restarts": restarts, "steps": steps}
    probe = ccs.fit(positive, negative, search, normalise=normalise, **settings)
    differences = probe.sides.differences(positive, negative)
    clusters = baselines.kmeans(differences, cluster, restarts=restarts)
    logistic = baselines.logistic(differences, label)
    directions = jnp.stack(
        [
            probe.direction,
            baselines.principal(differences),
            clusters.direction,
            logistic.direction,
            mean_difference(differences, label),
        ]
    )
    closed_form = jnp.ones((), bool)
    converged = (
        probe.converged[jnp.argmin(probe.losses)],
        closed_form,
        clusters.converged,
        logistic.converged,
        closed_form,
    )
    probes = baselines.random_directions(random, positive.shape[1], null)
    held_out = probe.sides.differences(*test_sides)
    random_accuracy = accuracies(probes.astype(directions.dtype), held_out, test_label)
    return Comparison(
        directions=directions,
        accuracy=accuracies(directions, held_out, test_label),
        cosines=jnp.abs(directions @ directions.T),
        random_accuracy=jnp.maximum(random_accuracy, 1 - random_accuracy),
        loss=probe.loss,
        positive_share=test_label.astype(directions.dtype).mean(),
        converged=jnp.stack(converged),
    )


def distract(
    positive: Annotated[Numbers, "n d"],
    negative: Annotated[Numbers, "n d"],
    label: Annotated[Numbers, "n"],
    strengths: Annotated[Numbers, "G"],
    key: Key[Array, ""],
    *,
    restarts: int = 10,
    steps: int = 300,
    normalise: pairs.Normalise | str = "mean",
) -> Distraction:
    """Add a random bit as a feature, and measure which methods follow it.

    x+ gets strength * bit and x- gets -strength * bit, bit = +-1. This feature is
    consistent, confident and meaningless. A method that finds the truth rather than the
    most salient feature must not follow it. The first half of the pairs trains, the
    second half tests.

    Args:
      positive: [n, d] activations of x+, n >= 4.
      negative: [n, d] activations of x-.
      label: [n] bool, whether x+ is true.
      strengths: [G] of the added feature, at least 0, in the unit of the features.
      key: for the bits, restarts and random probes.
      restarts: of CCS and of k-means.
      steps: of the first round of CCS.
      normalise: see `pairs.learn_sides`.

    Raises:
      ValueError: as `compare`; fewer than four pairs; a negative strength.

    Reference: Farquhar et al., Challenges with unsupervised LLM knowledge discovery,
    arXiv 2312.10029.
    """
    positive, negative = pairs.check_pairs(positive, negative)
    label = validation.mask("label", label, len(positive))
    validation.at_least("positive.shape[0]", positive.shape[0], 4)
    strengths = validation.floats("strengths", strengths, None)
    validation.at_least("number of strengths", len(strengths), 1)
    validation.between("strengths", strengths, 0)
    bit_key, search = jax.random.split(key)
    bit = jax.random.bernoulli(bit_key, 0.5, label.shape)
    half = label.shape[0] // 2

    def at_strength(strength: Array) -> tuple[Array, ...]:
        extra = jnp.where(bit, strength, -strength).astype(positive.dtype)[:, None]
        x = jnp.concatenate([positive, extra], axis=1)
        y = jnp.concatenate([negative, -extra], axis=1)
        train = (x[:half], y[:half], label[:half])
        test = (x[half:], y[half:], label[half:])
        result = compare(
            train, test, search, restarts=restarts, steps=steps, normalise=normalise
        )
        sides = pairs.learn_sides(x[:half], y[:half], normalise=normalise)
        held_out = sides.differences(x[half:], y[half:])
        on_bit = accuracies(result.directions, held_out, bit[half:])
        followed = jnp.maximum(on_bit, 1 - on_bit)
        p = _follows(result.directions, held_out, bit[half:], label[half:])
        return result.either_sign, followed, p, result.converged

    concept, distractor, p, converged = jax.lax.map(at_strength, strengths)
    optimizers.warn_unconverged("distract", converged, "allow more steps")
    return Distraction(strengths, concept, distractor, p, len(label) - half, converged)
