"""Can V of one context be removed alone, by a linear edit of V's hidden units?

V is the sum of the contributions u of its units. An edit subtracts a linear function
b . u from V. Since V is one number, every edit of the last hidden layer, of whatever
rank, acts as one such function. The capacity of an edit is therefore the number of
directions r that it may read: b lies in the span of r directions, chosen for the
context by partial least squares. A free choice finds an edit in almost any features, so
the same family is fitted to random units as well.

Symbols: n samples, U units, C contexts, R ranks.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.validation import Numbers


class Removal(NamedTuple):
    """How well V of each context is removed alone, at each capacity."""

    ranks: Int[np.ndarray, " R"]
    """Directions r that an edit may read."""
    score: Float[np.ndarray, "C R"]
    """1 - |edit - V in c|^2 / |V in c|^2 on held-out samples, where `V in c` is V in
    context c and 0 elsewhere: 1 if V of c is gone and nothing else has changed, 0 for
    no edit, below 0 where it does more harm than that."""
    random: Float[np.ndarray, "C R"]
    """The same from random units: what the capacity alone gives."""

    @property
    def area(self) -> float:
        """Mean over contexts and ranks of score - random: the area between both
        curves."""
        return float((self.score - self.random).mean())

    def summary(self) -> str:
        """Both curves, as means over contexts."""
        rows = zip(
            self.ranks.tolist(),
            self.score.mean(axis=0).tolist(),
            self.random.mean(axis=0).tolist(),
            strict=True,
        )
        return "; ".join(
            f"{rank} directions remove {score:.3f} of one context alone ({random:.3f} "
            "from random units)"
            for rank, score, random in rows
        )


def fit(
    contributions: Annotated[Numbers, "n U"],
    features: Annotated[Numbers, "n D"],
    context: Annotated[Numbers, "n"],
    held_out: Annotated[Numbers, "n"],
    key: Key[jax.Array, ""],
    *,
    ranks: Sequence[int] = (1, 2, 4, 8),
    draws: int = 4,
) -> Removal:
    """Fit an edit for each context at each capacity, and test it on held-out samples.

      b_c(r) = argmin over b in K_r of |U b - V 1[context = c]|^2,
      K_r = span(U'y, (U'U) U'y, ..., (U'U)^(r - 1) U'y),  y = V 1[context = c]

    K_r is the subspace of partial least squares with r components. Random units are
    relu(W z + a) of the features, with standard normal W / sqrt(D) and a on
    standardised features, and as many as V has.

    Args:
      contributions: u of every unit; their sum is V. Multiplied by any gates.
      features: z, what V reads.
      context: a label of each sample's context, at least two different ones.
      held_out: booleans; samples on which edits are tested. Split by level.
      key: for the random units.
      ranks: r, each from 1 to U, in ascending order.
      draws: of the random units, whose mean score counts; at least 1.

    Raises:
      ValueError: shapes differ, a number is not finite, a rank is out of range, fewer
        than two contexts, or one that a side of the split lacks.

    Reference: Wold et al., The collinearity problem in linear regression, 1984 (partial
    least squares); Phatak & de Hoog, Exploiting the connection between PLS, Lanczos
    methods and conjugate gradients, 2002.
    """
    u = np.asarray(validation.floats("contributions", contributions, None, None))
    z = np.asarray(validation.floats("features", features, len(u), None))
    labels = validation.labels("context", context, len(u))
    test = np.asarray(validation.mask("held_out", held_out, len(u)))
    draws = validation.integer("draws", draws, 1)
    ranks = [validation.integer("ranks", r, 1, u.shape[1]) for r in ranks]
    if not ranks or ranks != sorted(set(ranks)):
        raise ValueError(f"ranks: got {tuple(ranks)}; allowed: ascending numbers")
    validation.at_least("contexts", labels.count, 2)
    own = np.eye(labels.count)[labels.index]
    for name, side in (("used for fitting", ~test), ("held out", test)):
        if not own[side].any(axis=0).all():
            raise ValueError(
                f"held_out: got a context without samples that are {name}; allowed: "
                "samples of every context on both sides"
            )
    u = u.astype(np.float64)
    targets = u.sum(axis=1)[:, None] * own
    score = _scores(u, targets, test, ranks)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).astype(np.uint64))
    random = [
        _scores(random_units(z, u.shape[1], rng), targets, test, ranks)
        for _ in range(draws)
    ]
    return Removal(np.asarray(ranks), score, np.mean(random, axis=0))


def random_units(
    z: Float[np.ndarray, "*batch D"], units: int, rng: np.random.Generator
) -> Float[np.ndarray, "*batch {units}"]:
    """relu(W z + a) with standard normal W / sqrt(D) and a, on standardised features.

    Args:
      z: features of samples.
      units: U.
      rng: draws W, then a.
    """
    flat = z.reshape(-1, z.shape[-1])
    sd = flat.std(axis=0)
    scaled = (z - flat.mean(axis=0)) / np.where(sd > 0, sd, 1)
    weights = rng.standard_normal((z.shape[-1], units)) / np.sqrt(z.shape[-1])
    return np.maximum(scaled @ weights + rng.standard_normal(units), 0)


def partial_least_squares(
    u: Float[np.ndarray, "n U"],
    targets: Float[np.ndarray, "n C"],
    ranks: Sequence[int],
) -> Float[np.ndarray, "R U C"]:
    """b of `fit` for every rank and target: argmin over K_r of |U b - y|^2.

    Step r of conjugate gradients on the normal equations minimises it over K_r.

    Args:
      u: of the samples that are fitted to.
      targets: y, one in each column.
      ranks: r, in ascending order.
    """
    gram, residual = u.T @ u, u.T @ targets
    b, direction = np.zeros_like(residual), residual.copy()
    # relative to what is there at the start; below it only rounding is left
    least = 1e-20 * np.square(residual).sum(axis=0)
    found = []
    for rank in range(1, ranks[-1] + 1):
        square = np.square(residual).sum(axis=0)
        goes_on = square > least
        image = gram @ direction
        curvature = (direction * image).sum(axis=0)
        size = np.where(goes_on, square / np.where(goes_on, curvature, 1), 0)
        b, residual = b + size * direction, residual - size * image
        ratio = np.square(residual).sum(axis=0) / np.where(goes_on, square, 1)
        direction = residual + np.where(goes_on, ratio, 0) * direction
        if rank in ranks:
            found.append(b)
    return np.stack(found)


def _scores(
    u: Float[np.ndarray, "n U"],
    targets: Float[np.ndarray, "n C"],
    test: Bool[np.ndarray, " n"],
    ranks: Sequence[int],
) -> Float[np.ndarray, "C R"]:
    """`Removal.score`."""
    total = np.square(targets[test]).sum(axis=0)
    total = np.where(total > 0, total, 1)
    scores = [
        1 - np.square(targets[test] - u[test] @ b).sum(axis=0) / total
        for b in partial_least_squares(u[~test], targets[~test], ranks)
    ]
    return np.stack(scores, axis=1)
