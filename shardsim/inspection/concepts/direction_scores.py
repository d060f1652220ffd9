"""What directions are worth: do they swap, wipe out, guard, and only that?

Symbols: n samples, m pairs, d features, c classes, k directions, A outputs.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept as concepts
from shardsim.inspection.concepts import probes, readouts
from shardsim.inspection.concepts.projection import Directions


class DirectionEffect(NamedTuple):
    """How much of a difference between two outputs an intervention takes along."""

    success: Float[Array, ""]
    """1 less the mean ratio, in [0, 1]; NaN where no output differs."""
    counted: Float[Array, ""]
    """Share of the outputs that differ at all, and so have a ratio."""

    def summary(self) -> str:
        return f"{float(self.success):.3f} over {float(self.counted):.0%} of outputs"


def swap_success(
    directions: Directions,
    read_out: readouts.ReadOut,
    a: Float[Array, "m d"],
    b: Float[Array, "m d"],
) -> DirectionEffect:
    """1 less the confusion ratio of swapped runs.

    confusion = mean of clip((clean - mixed) / (clean - worst), 0, 1) over outputs,
    pairs and both orders: clean is f(a), mixed has the component of a and the rest of
    b, worst is f(b). Going further than the clean run counts as a full swap, going the
    other way as none.

    0/0, an output that is the same for a and b, has no ratio and is left out; `counted`
    says how many are left.

    Args:
      directions: as found.
      read_out: V, or log-probabilities of answers.
      a, b: pairs that differ in the concept.

    Raises:
      ValueError: a wrong shape, or numbers that are not finite.
    """
    a, b = _pairs(directions, a, b)
    f = jax.vmap(read_out)
    one, other = f(a), f(b)
    there = _ratio(one - f(directions.swap(a, b)), one - other, one)
    back = _ratio(other - f(directions.swap(b, a)), other - one, one)
    both = [jnp.stack(parts) for parts in zip(there, back, strict=True)]
    return _effect(both[0], both[1])


def ablation_success(
    directions: Directions,
    read_out: readouts.ReadOut,
    a: Float[Array, "m d"],
    b: Float[Array, "m d"],
) -> DirectionEffect:
    """How much of the difference of a pair goes when the directions are erased in both.

    success = 1 - mean of clip(|f(a') - f(b')| / |f(a) - f(b)|, 0, 1). A direction can
    swap well without being needed; this asks whether it is. 0/0 is left out.

    Args, Raises: those of `swap_success`.
    """
    a, b = _pairs(directions, a, b)
    f = jax.vmap(read_out)
    before = f(a) - f(b)
    after = f(directions.erase(a)) - f(directions.erase(b))
    ratio, valid = _ratio(jnp.abs(after), jnp.abs(before), f(a))
    return _effect(ratio, valid)


class Guard(NamedTuple):
    """What a linear probe still finds on held-out samples."""

    before: Float[Array, ""]
    after: Float[Array, ""]
    majority: Float[Array, ""]
    """Accuracy of always naming the class that is largest on the training samples."""

    @property
    def left(self) -> Float[Array, ""]:
        """Accuracy above the majority after erasing; 0 is guarded."""
        return self.after - self.majority

    def summary(self) -> str:
        return (
            f"held-out accuracy {float(self.before):.3f} -> {float(self.after):.3f} "
            f"(majority {float(self.majority):.3f})"
        )


def guardedness(
    directions: Directions,
    x: Float[Array, "n d"],
    z: Any,
    held_out: Bool[Any, " n"],
    decay: float = 1e-3,
) -> Guard:
    """Fit a probe to erased training samples, and judge it by erased held-out ones.

    The directions must have been found without the held-out samples. Their erasing is
    exact on the samples they were found on only.

    Args:
      x, z: activations, and labels or one-hot columns.
      held_out: true for the samples to judge by; some of each are asked for. Split by
        maze, not by state: see `control_tasks.by_group`.

    Raises:
      ValueError: a wrong shape, NaN, or a split with one side empty.
    """
    x = concepts.samples(x)
    validation.shaped("directions.write", directions.write, None, x.shape[1])
    z = concepts.classes(x, z)
    train, test = sides(held_out, len(x))
    start = z[train].mean(axis=0)
    majority = z[test][:, jnp.argmax(start)].mean()

    def accuracy(features: Array) -> Array:
        probe = probes.logistic(features[train], z[train], decay=decay)
        return probe.accuracy(features[test], z[test])

    return Guard(accuracy(x), accuracy(directions.erase(x)), majority)


def sides(held_out: Any, n: int) -> tuple[Array, Array]:
    """Places of the training samples and of the held-out ones."""
    validation.shaped("held_out", held_out, n)
    validation.kind("held_out", held_out, "b", "booleans")
    test = jnp.flatnonzero(jnp.asarray(held_out, bool))
    train = jnp.flatnonzero(~jnp.asarray(held_out, bool))
    if not (len(test) and len(train)):
        raise ValueError(f"held_out: got {len(test)} of {n} held out; allowed: some")
    return train, test


class Scores(NamedTuple):
    """All of it for one set of directions."""

    swap: DirectionEffect
    ablation: DirectionEffect
    specificity: Float[Array, ""]
    """1 less the swap success on pairs of another concept: 1 leaves it alone. NaN
    without such pairs."""
    dormant: Float[Array, ""]
    """Share of the directions' length that the read-out does not feel at the pairs. A
    swap that works through a half-dormant direction may rest on nothing the agent
    does."""
    guard: Guard

    def summary(self) -> str:
        return (
            f"swap {float(self.swap.success):.3f}, ablation "
            f"{float(self.ablation.success):.3f}, specificity "
            f"{float(self.specificity):.3f}, {self.guard.summary()}"
        )


def score(
    directions: Directions,
    concept: concepts.Concept,
    held_out: Bool[Any, " n"],
    other: tuple[Float[Array, "m d"], Float[Array, "m d"]] | None = None,
) -> Scores:
    """Every score of one set of directions; put those of `Random` beside it.

    Args:
      concept: samples, and pairs that the directions were not found on.
      held_out: samples that they were not found on.
      other: pairs that differ in an unrelated concept, for specificity.

    Reference: Makelov et al., arXiv 2311.17030, on dormant directions.
    """
    read_out, a, b = concepts.pairs(concept)
    unrelated = jnp.full((), jnp.nan, a.dtype)
    if other is not None:
        unrelated = 1 - swap_success(directions, read_out, *other).success
    rows, rank = readouts.top_eigenvectors(
        readouts.jacobian_moment(read_out, concept.distance, a, b), a.shape[1]
    )
    felt = jnp.where((jnp.arange(len(rows)) < rank)[:, None], rows, 0.0)
    length = jnp.sum(jnp.square(directions.write))
    share = jnp.sum(jnp.square(directions.write @ felt.T))
    return Scores(
        swap_success(directions, read_out, a, b),
        ablation_success(directions, read_out, a, b),
        unrelated,
        1 - share / jnp.where(length > 0, length, 1.0),
        guardedness(directions, concept.x, concept.z, held_out),
    )


def _pairs(
    directions: Directions, a: Any, b: Any
) -> tuple[Float[Array, "m d"], Float[Array, "m d"]]:
    d = directions.write.shape[1]
    a = concepts.floats("a", a, None, d).astype(directions.write.dtype)
    return a, concepts.floats("b", b, *a.shape).astype(a.dtype)


def _ratio(part: Array, whole: Array, scale: Array) -> tuple[Array, Array]:
    """clip(part / whole, 0, 1), and where whole is more than rounding."""
    rounding = 64 * float(jnp.finfo(whole.dtype).eps) * jnp.abs(scale).max()
    valid = jnp.abs(whole) > rounding
    return jnp.clip(part / jnp.where(valid, whole, 1.0), 0.0, 1.0), valid


def _effect(ratio: Array, valid: Array) -> DirectionEffect:
    count = valid.sum()
    many = jnp.maximum(count, 1).astype(ratio.dtype)
    mean = jnp.sum(jnp.where(valid, ratio, 0.0)) / many
    success = jnp.where(count > 0, 1 - mean, jnp.nan).astype(ratio.dtype)
    return DirectionEffect(success, valid.mean(dtype=ratio.dtype))
