"""INLP: take out what a linear probe reads, again and again.

Symbols: n samples, d features, c classes, R rounds, r = R (c - 1) directions at most.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept, probes
from shardsim.inspection.weights import bases

STEPS = 100
"""Of the probe, each round."""
SAME = 1e-2
"""Sine below which a row is one that was there before: rounds are orthogonal to each
other but for rounding."""


class INLP(NamedTuple):
    """What was taken out, and what the probe could still read before each round."""

    basis: Float[Array, "r d"]
    """Orthonormal rows in the order of the rounds; a row of 0 is a direction that no
    probe asked for."""
    mean: Float[Array, " d"]
    removed: Float[Array, "d d"]
    """Projection that is taken away: erased is x - (x - mean) removed."""
    rank: Int[Array, ""]
    losses: Float[Array, " R+1"]
    """Of the probe before each round, and after the last, nats."""
    accuracies: Float[Array, " R+1"]
    """On the held-out samples where there are some, else on the same ones."""
    majority: Float[Array, ""]
    """Accuracy of the largest class on the samples that `accuracies` are of."""

    def rounds_needed(self, slack: float = 0.0) -> int:
        """Rounds until the accuracy is at most the majority and `slack`; -1 if never.

        More samples ask for less slack: chance moves an accuracy by 1/sqrt(n).
        """
        enough = jnp.flatnonzero(self.accuracies <= self.majority + slack)
        return int(enough[0]) if len(enough) else -1

    def summary(self) -> str:
        return (
            f"INLP: {int(self.rank)} directions, accuracy "
            f"{float(self.accuracies[0]):.3f} -> {float(self.accuracies[-1]):.3f} "
            f"(majority {float(self.majority):.3f})"
        )


def fit(
    x: Float[Array, "n d"],
    z: Any,
    *,
    rounds: int = 1,
    held_out: tuple[Any, Any] | None = None,
    decay: float = 1e-3,
) -> INLP:
    """Repeat: fit a logistic probe to what is left of x, take its row space away.

    Taken away is the range of sum_i R_i, R_i the projection on the row space of round
    i (Ben-Israel: the intersection of nullspaces is the nullspace of the sum), and not
    a product of projections, whose rounding adds up. c classes have c - 1 rows a round.

    It takes away more than RLACE or LEACE need, for a probe's direction is not that of
    the class means unless the features are white.

    Answers at the edges: one class gives no directions (rank 0), as does x that does
    not move. Once nothing can be read the probe reads noise, and a round removes a
    direction of no meaning: see `rounds_needed`. With n <= d the first rounds separate
    any labels; look at held-out samples.

    Not under `jax.vmap` (it decomposes matrices); it is deterministic.

    Args:
      x: activations.
      z: labels [n], or one-hot columns [n, c].
      rounds: at least 1.
      held_out: activations and one-hot columns, or labels of the same classes.
      decay: of the probe; see `probes.logistic`.

    Raises:
      ValueError: a wrong shape, numbers that are not finite, held-out labels that are
        not those of z.

    Reference: Ravfogel et al., Null It Out, 2020, aclanthology.org/2020.acl-main.647.
    """
    x = concept.samples(x)
    validation.sized("x", x)
    labels, z = z, concept.classes(x, z)
    validation.at_least("rounds", rounds, 1)
    validation.at_least("decay", decay, 0)
    other, answers = (x, z)
    if held_out is not None:
        other = concept.floats("held_out", held_out[0], None, x.shape[1])
        other = other.astype(x.dtype)
        _known(held_out[1], labels)
        answers = concept.classes(other, held_out[1])
        validation.shaped("held_out", answers, len(other), z.shape[1])
    return _fit(x, z, other, answers, rounds, jnp.asarray(decay, x.dtype))


def _known(held_out: Any, z: Any) -> None:
    """Refuse held-out labels that no column stands for: labels go by their order."""
    if not concept.is_labels(held_out) or isinstance(held_out, jax.core.Tracer):
        return
    names = np.unique(z) if concept.is_labels(z) else np.arange(np.shape(z)[1])
    strange = np.setdiff1d(held_out, names)
    if len(strange):
        listed = ", ".join(map(str, names))
        raise ValueError(f"held_out: got the label {strange[0]}; allowed: {listed}")


@functools.partial(jax.jit, static_argnames="rounds")
def _fit(
    x: Float[Array, "n d"],
    z: Float[Array, "n c"],
    other: Float[Array, "m d"],
    answers: Float[Array, "m c"],
    rounds: int,
    decay: Float[Array, ""],
) -> INLP:
    d, rows = x.shape[1], min(max(z.shape[1] - 1, 1), x.shape[1])
    eye = jnp.eye(d, dtype=x.dtype)

    def play(carry: Any, number: Array) -> tuple[Any, Any]:
        found, removed = carry
        probe = probes.descend(x, z, eye - removed, decay, STEPS)
        # the last look only sees what is left
        new = jnp.where(number < rounds, row_space(probe.weights, rows), 0.0)
        found = jax.lax.dynamic_update_slice(found, new, (number * rows, 0))
        # eigenvalues of the sum are the squared singular values of the rows on end
        spanned, _ = concept.span(found, SAME)
        seen = probe.loss, probe.accuracy(other, answers)
        return (found, spanned.T @ spanned), seen

    empty = jnp.zeros(((rounds + 1) * rows, d), x.dtype), jnp.zeros((d, d), x.dtype)
    (found, removed), (losses, accuracies) = jax.lax.scan(
        play, empty, jnp.arange(rounds + 1)
    )
    return INLP(
        bases.in_order(found[: rounds * rows], SAME)[1],
        x.mean(axis=0),
        removed,
        jnp.round(jnp.trace(removed)).astype(int),
        losses,
        accuracies,
        answers.mean(axis=0).max(),
    )


def row_space(weights: Float[Array, "d c"], rows: int) -> Float[Array, "rows d"]:
    """Orthonormal rows that the logits differ by; 0 where there are fewer."""
    apart = weights - weights.mean(axis=1, keepdims=True)
    return concept.span(apart.T, 1e-3)[0][:rows]
