"""Scores of directions: do they swap, ablate and guard the concept, and only it?

Symbols: n samples, m pairs, d features, c classes, k directions, A outputs.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept as concepts
from shardsim.inspection.concepts import probes, projection, readouts
from shardsim.inspection.concepts.projection import Directions
from shardsim.inspection.validation import Numbers


class DirectionEffect(NamedTuple):
    """How much of the difference of two outputs an intervention transfers."""

    success: Float[Array, ""]
    """1 minus the mean ratio, in [0, 1]; NaN if no output differs."""
    counted: Float[Array, ""]
    """Share of the outputs that differ, and so have a ratio."""

    def summary(self) -> str:
        """Success, and the share of outputs that count."""
        return f"{float(self.success):.3f} over {float(self.counted):.0%} of outputs"


def swap_success(
    directions: Directions,
    read_out: readouts.ReadOut,
    a: Annotated[Numbers, "m d"],
    b: Annotated[Numbers, "m d"],
) -> DirectionEffect:
    """1 minus the confusion ratio of swapped pairs.

      confusion = mean of clip((clean - mixed) / (clean - worst), 0, 1)

    over outputs, pairs and both orders, where clean is f(a), mixed is f of the
    component of a with the rest of b, and worst is f(b). A mixed output beyond the
    clean one counts as a full swap, one beyond the worst as none.

    An output that is equal for a and b (0/0) has no ratio and is left out; `counted` is
    the share that remains.

    Args:
      directions: to score.
      read_out: V, or log-probabilities of answers.
      a: [m, d] one side of pairs that differ in the concept.
      b: [m, d] the other side.

    Raises:
      ValueError: a shape does not fit, or a number is not finite.
    """
    a, b = _pairs(directions, a, b)
    f = jax.vmap(read_out)
    f_a, f_b = f(a), f(b)
    into_b = _ratio(f_a - f(directions.swap(a, b)), f_a - f_b, f_a)
    into_a = _ratio(f_b - f(directions.swap(b, a)), f_b - f_a, f_a)
    both = [jnp.stack(parts) for parts in zip(into_b, into_a, strict=True)]
    return _effect(both[0], both[1])


def ablation_success(
    directions: Directions,
    read_out: readouts.ReadOut,
    a: Annotated[Numbers, "m d"],
    b: Annotated[Numbers, "m d"],
) -> DirectionEffect:
    """How much of the difference of a pair disappears when both are erased.

      success = 1 - mean of clip(|f(a') - f(b')| / |f(a) - f(b)|, 0, 1)

    with a' and b' the erased activations. A direction can swap well without being
    necessary; this measures whether it is. 0/0 is left out. Arguments and errors are
    those of `swap_success`.
    """
    a, b = _pairs(directions, a, b)
    f = jax.vmap(read_out)
    before = f(a) - f(b)
    after = f(directions.erase(a)) - f(directions.erase(b))
    ratio, valid = _ratio(jnp.abs(after), jnp.abs(before), f(a))
    return _effect(ratio, valid)


class Guardedness(NamedTuple):
    """Accuracy of a linear probe on held-out samples before and after erasing."""

    before: Float[Array, ""]
    """Accuracy before erasing."""
    after: Float[Array, ""]
    """Accuracy after erasing."""
    majority: Float[Array, ""]
    """Accuracy of predicting the largest class of the training samples."""
    converged: Bool[Array, ""]
    """Whether both probes converged."""

    @property
    def above_majority(self) -> Float[Array, ""]:
        """Accuracy above the majority after erasing; 0 means guarded."""
        return self.after - self.majority

    def summary(self) -> str:
        """Held-out accuracy before and after, and of the majority class."""
        return (
            f"held-out accuracy {float(self.before):.3f} -> {float(self.after):.3f} "
            f"(majority {float(self.majority):.3f})"
            + ("" if bool(self.converged) else "; NOT CONVERGED")
        )


def guardedness(
    directions: Directions,
    x: Annotated[Numbers, "n d"],
    z: Any,
    held_out: Annotated[Numbers, "n"],
    *,
    groups: Annotated[Numbers, "n"] | None = None,
    decay: float | None = None,
) -> Guardedness:
    """Fit a probe to erased training samples, and test it on erased held-out samples.

    The directions must have been found without the held-out samples, because erasing is
    exact only on the samples that the directions were found on.

    Args:
      directions: to score.
      x: [n, d] activations.
      z: labels [n], or one-hot columns [n, c].
      held_out: [n] bool, True for test samples; both sides need some. Split by maze,
        not by state: see `control_tasks.by_group`.
      groups: [n] labels, such as the maze; where a decay is chosen, the samples of a
        group are held out together.
      decay: of the probes; None is chosen for each, see `probes.logistic`.

    Raises:
      ValueError: a shape does not fit, a number is not finite, or one side is empty.
    """
    x = concepts.as_samples(x)
    validation.shaped("directions.write", directions.write, None, x.shape[1])
    z = concepts.as_one_hot(x, z)
    train, test = concepts.split_indices(held_out, len(x))
    train_shares = z[train].mean(axis=0)
    majority = z[test][:, jnp.argmax(train_shares)].mean()

    train_groups = None
    if groups is not None:
        train_groups = validation.labels("groups", groups, len(x)).index[train]

    def accuracy(features: Array) -> tuple[Array, Array]:
        probe = probes.logistic(
            features[train], z[train], decay=decay, groups=train_groups
        )
        return probe.accuracy(features[test], z[test]), probe.converged

    (before, first), (after, second) = accuracy(x), accuracy(directions.erase(x))
    return Guardedness(before, after, majority, first & second)


class Scores(NamedTuple):
    """All scores of one set of directions."""

    swap: DirectionEffect
    """See `swap_success`."""
    ablation: DirectionEffect
    """See `ablation_success`."""
    specificity: Float[Array, ""]
    """1 minus the swap success on pairs of another concept: 1 leaves it unchanged. NaN
    without such pairs."""
    dormant: Float[Array, ""]
    """Share of the squared length of the directions to which the readout is not
    sensitive at the pairs. A swap through a half-dormant direction may use a mechanism
    that the agent does not use."""
    guard: Guardedness
    """See `guardedness`."""
    swap_null: Float[Array, ""]
    """Mean swap success of as many random directions."""
    ablation_null: Float[Array, ""]
    """Mean ablation success of as many random directions."""

    def summary(self) -> str:
        """Swap, ablation, specificity and guardedness."""
        return (
            f"swap {float(self.swap.success):.3f} (random "
            f"{float(self.swap_null):.3f}), ablation "
            f"{float(self.ablation.success):.3f} (random "
            f"{float(self.ablation_null):.3f}), specificity "
            f"{float(self.specificity):.3f}, {self.guard.summary()}"
        )


def score(
    directions: Directions,
    concept: concepts.Concept,
    held_out: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    other: tuple[Annotated[Numbers, "m d"], Annotated[Numbers, "m d"]] | None = None,
    draws: int = 20,
) -> Scores:
    """All scores of one set of directions, beside those of random ones.

    Args:
      directions: to score.
      concept: samples, and pairs that the directions were not found on.
      held_out: [n] bool, samples that the directions were not found on.
      key: for the random directions.
      other: pairs that differ in an unrelated concept, for the specificity.
      draws: number of random directions, at least 1.

    Reference: Makelov et al., arXiv 2311.17030, on dormant directions.
    """
    read_out, a, b = concepts.pairs(concept)
    specificity = jnp.full((), jnp.nan, a.dtype)
    if other is not None:
        specificity = 1 - swap_success(directions, read_out, *other).success
    rows, rank = readouts.top_eigenvectors(
        readouts.jacobian_moment(read_out, concept.distance, a, b), a.shape[1]
    )
    sensitive = jnp.where((jnp.arange(len(rows)) < rank)[:, None], rows, 0.0)
    draws = validation.integer("draws", draws, 1)
    size, dtype = directions.write.shape, directions.write.dtype

    def random(key: Key[Array, ""]) -> tuple[Array, Array]:
        drawn, _ = jnp.linalg.qr(jax.random.normal(key, size[::-1], dtype))
        chance = projection.orthogonal(drawn.T, directions.mean)
        return (
            swap_success(chance, read_out, a, b).success,
            ablation_success(chance, read_out, a, b).success,
        )

    nulls = jax.lax.map(random, jax.random.split(key, draws))
    length = jnp.sum(jnp.square(directions.write))
    share = jnp.sum(jnp.square(directions.write @ sensitive.T))
    return Scores(
        swap_success(directions, read_out, a, b),
        ablation_success(directions, read_out, a, b),
        specificity,
        1 - share / jnp.where(length > 0, length, 1.0),
        guardedness(directions, concept.x, concept.z, held_out, groups=concept.groups),
        nulls[0].mean(),
        nulls[1].mean(),
    )


def _pairs(
    directions: Directions, a: Any, b: Any
) -> tuple[Float[Array, "m d"], Float[Array, "m d"]]:
    d = directions.write.shape[1]
    a = concepts.as_floats("a", a, None, d).astype(directions.write.dtype)
    return a, concepts.as_floats("b", b, *a.shape).astype(a.dtype)


def _ratio(part: Array, whole: Array, scale: Array) -> tuple[Array, Array]:
    """clip(part / whole, 0, 1), and whether whole exceeds rounding."""
    rounding = 64 * float(jnp.finfo(whole.dtype).eps) * jnp.abs(scale).max()
    valid = jnp.abs(whole) > rounding
    return jnp.clip(part / jnp.where(valid, whole, 1.0), 0.0, 1.0), valid


def _effect(ratio: Array, valid: Array) -> DirectionEffect:
    count = valid.sum()
    divisor = jnp.maximum(count, 1).astype(ratio.dtype)
    mean = jnp.sum(jnp.where(valid, ratio, 0.0)) / divisor
    success = jnp.where(count > 0, 1 - mean, jnp.nan).astype(ratio.dtype)
    return DirectionEffect(success, valid.mean(dtype=ratio.dtype))
