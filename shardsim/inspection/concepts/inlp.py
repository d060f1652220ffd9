"""INLP: fit a linear probe, remove what it reads, and repeat.

Symbols: n samples, m held-out samples, d features, c classes, R rounds,
r = R (c - 1) directions at most.
"""

import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.inspection import optimizers, regularisation, validation
from shardsim.inspection.concepts import concept, probes
from shardsim.inspection.validation import Numbers
from shardsim.inspection.weights import bases

STEPS = 100
"""Gradient steps of the probe in each round; more only until it has converged."""
SINE_CUT = 1e-2
"""A row at a smaller sine to the span of earlier rows adds nothing: rounds are
orthogonal to each other up to rounding."""


class INLP(NamedTuple):
    """What was removed, and what the probe could still read before each round."""

    basis: Float[Array, "r d"]
    """Orthonormal rows in the order of the rounds; a row of 0 stands for no
    direction."""
    mean: Float[Array, " d"]
    """Mean activation."""
    removed: Float[Array, "d d"]
    """Projection that is removed: the erased sample is x - (x - mean) removed."""
    rank: Int[Array, ""]
    """Number of removed directions."""
    losses: Float[Array, " R+1"]
    """Loss of the probe before each round and after the last, in nats."""
    accuracies: Float[Array, " R+1"]
    """On the held-out samples if there are any, else on all samples."""
    majority: Float[Array, ""]
    """Accuracy of predicting the largest class of the samples of `accuracies`."""
    converged: Bool[Array, " R+1"]
    """Whether the probe of each round has converged."""
    decays: Float[Array, " R+1"]
    """Of the probe of each round: given, or chosen."""

    def rounds_needed(self, slack: float = 0.0) -> int:
        """Rounds until the accuracy is at most the majority plus `slack`; -1 if never.

        With more samples the slack can be smaller: chance changes an accuracy by
        1/sqrt(n).
        """
        reached = jnp.flatnonzero(self.accuracies <= self.majority + slack)
        return int(reached[0]) if len(reached) else -1

    def summary(self) -> str:
        """Number of directions, and accuracy before and after."""
        warning = "" if bool(self.converged.all()) else "; NOT CONVERGED"
        return (
            f"INLP: {int(self.rank)} directions, accuracy "
            f"{float(self.accuracies[0]):.3f} -> {float(self.accuracies[-1]):.3f} "
            f"(majority {float(self.majority):.3f}){warning}"
        )


def fit(
    x: Annotated[Numbers, "n d"],
    z: Any,
    *,
    rounds: int = 1,
    held_out: Annotated[Numbers, "n"] | None = None,
    groups: Annotated[Numbers, "n"] | None = None,
    decay: float | None = None,
) -> INLP:
    """Repeat R times: fit a logistic probe to the rest of x, and remove its row space.

    The removed space is the range of sum_i R_i, with R_i the projection on the row
    space of round i (Ben-Israel: the intersection of nullspaces is the nullspace of the
    sum). A product of projections would accumulate rounding errors. c classes give c -
    1 rows per round.

    INLP removes more than RLACE or LEACE need, because a probe's direction differs from
    that of the class means unless the features are white.

    Edge cases: one class, or constant x, gives no directions (rank 0). Once nothing can
    be read, the probe fits noise, and a round removes a meaningless direction: see
    `rounds_needed`. If n <= d the first rounds separate any labels: use held-out
    samples.

    Do not call it under `jax.vmap`, because it decomposes matrices. It is
    deterministic.

    Args:
      x: [n, d] activations.
      z: labels [n], or one-hot columns [n, c].
      rounds: R, at least 1.
      held_out: [n] booleans, true for samples that no probe is fitted to, on which the
        accuracies are measured; None fits and measures all. Split by maze, not by
        state: see `control_tasks.by_group`.
      groups: [n] labels, such as the maze of a state; the samples of a group are on one
        side wherever a decay is chosen.
      decay: of the probes; None chooses it anew in every round, see `probes.logistic`.

    Raises:
      ValueError: a shape does not fit, a number is not finite, or a side of the split
        is empty.

    Reference: Ravfogel et al., Null It Out, 2020, aclanthology.org/2020.acl-main.647.
    """
    x = concept.as_samples(x)
    validation.sized("x", x)
    z = concept.as_one_hot(x, z)
    validation.integer("rounds", rounds, 1)
    if decay is not None:
        validation.at_least("decay", decay, 0)
    given = None if decay is None else jnp.asarray(decay, x.dtype)
    fold = regularisation.folds(len(x), groups)
    test_x, test_z = (x, z)
    if held_out is not None:
        train, test = concept.split_indices(held_out, len(x))
        (x, test_x), (z, test_z) = (x[train], x[test]), (z[train], z[test])
        fold = fold[train]
    result = _fit(x, z, test_x, test_z, rounds, given, fold)
    optimizers.warn_unconverged("INLP", result.converged, "use a larger decay")
    return result


@functools.partial(jax.jit, static_argnames="rounds")
def _fit(
    x: Float[Array, "n d"],
    z: Float[Array, "n c"],
    test_x: Float[Array, "m d"],
    test_z: Float[Array, "m c"],
    rounds: int,
    decay: Float[Array, ""] | None,
    fold: Int[Array | np.ndarray, " n"],
) -> INLP:
    d, rows = x.shape[1], min(max(z.shape[1] - 1, 1), x.shape[1])
    eye = jnp.eye(d, dtype=x.dtype)

    def one_round(carry: Any, number: Array) -> tuple[Any, Any]:
        rows_so_far, removed = carry
        keep = eye - removed
        chosen = probes.choose_decay(x, z, keep, fold) if decay is None else decay
        probe = probes.fit_logistic(x, z, keep, chosen, STEPS)
        # the last round only measures what remains
        new = jnp.where(number < rounds, row_space(probe.weights, rows), 0.0)
        rows_so_far = jax.lax.dynamic_update_slice(rows_so_far, new, (number * rows, 0))
        # eigenvalues of the sum are squared singular values of the stacked rows
        basis, _ = concept.orthonormal_span(rows_so_far, SINE_CUT)
        accuracy = probe.accuracy(test_x, test_z)
        metrics = probe.loss, accuracy, probe.converged, probe.decay
        return (rows_so_far, basis.T @ basis), metrics

    initial = jnp.zeros(((rounds + 1) * rows, d), x.dtype), jnp.zeros((d, d), x.dtype)
    (rows_so_far, removed), metrics = jax.lax.scan(
        one_round, initial, jnp.arange(rounds + 1)
    )
    losses, accuracies, converged, decays = metrics
    return INLP(
        bases.gram_schmidt(rows_so_far[: rounds * rows], SINE_CUT)[1],
        x.mean(axis=0),
        removed,
        jnp.round(jnp.trace(removed)).astype(int),
        losses,
        accuracies,
        test_z.mean(axis=0).max(),
        converged,
        decays,
    )


def row_space(weights: Float[Array, "d c"], rows: int) -> Float[Array, "rows d"]:
    """Orthonormal rows spanning the differences of logits; 0 if there are fewer."""
    centred = weights - weights.mean(axis=1, keepdims=True)
    return concept.orthonormal_span(centred.T, 1e-3)[0][:rows]
