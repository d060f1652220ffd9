"""How many truth-like features are there? An exact count, on the host.

A feature is truth-like if it calls one side of every pair true: a vector of signs, one
per pair, that some direction w produces, sign(w . (x+ - x-)). Each one is a candidate
for the truth. log2 of their number is how many bits of supervision it takes to pick the
right one. A feature and its opposite count as two.

Trained encoders have too many features to enumerate. Then a search is restarted many
times, and the different results are counted like species (`estimate`). The expectation
of this estimate is a lower bound, because restarts end in wide basins more often than
in narrow ones. A single estimate can exceed the true number.

Symbols: N pairs, d features, F sign vectors, R restarts.
"""

import math
from itertools import combinations
from typing import Annotated, NamedTuple

import numpy as np
import scipy.optimize
from jaxtyping import Array, Bool, Float, Int

from shardsim.inspection import validation
from shardsim.inspection.validation import Integer, Numbers

SMALL = 1e-7
"""Margins below this, relative to the longest difference, count as 0."""
RIDGE = 3e-7
"""Its square, 1e-13, is negligible next to SMALL. From 1e-8 downwards the solver fails
again."""


class Features(NamedTuple):
    """Every sign vector that a direction produces, and its margin."""

    signs: Bool[np.ndarray, "F N"]
    """Whether the positive side of each pair is called true."""
    margins: Float[np.ndarray, " F"]
    """max over unit w of min_i s_i w . (x+_i - x-_i), in the unit of the features."""
    directions: Float[np.ndarray, "F d"]
    """The unit w that reaches the margin."""

    def count(self, margin: float = 0.0) -> int:
        """How many have at least this margin; it decreases with the margin."""
        return int(np.sum(self.margins >= margin))

    def bits(self, margin: float = 0.0) -> float:
        """log2 of the count: yes-no answers needed to single one out."""
        return bits(self.count(margin))

    def summary(self) -> str:
        """The number of features, in bits, and the range of margins."""
        number, pairs = self.signs.shape
        if not number:
            return f"no truth-like feature on {pairs} pairs"
        return (
            f"{number} truth-like features on {pairs} pairs, {self.bits():.1f} bits; "
            f"margins from {self.margins.min():.3g} to {self.margins.max():.3g}"
        )


def bits(count: int) -> float:
    """log2 of a count of any size; -inf for 0."""
    return math.log2(count) if count > 0 else -math.inf


def cover_count(pairs: Integer, d: Integer) -> int:
    """Truth-like features on N pairs in general position, by Cover's theorem.

      C(N, d) = 2 sum_{k < d} binom(N - 1, k)

    This is 2^N as long as N <= d, and about (e N / d)^d for many pairs. Exact for any
    size.

    Args:
      pairs: N, at least 1.
      d: number of features, at least 1.

    Raises:
      ValueError: a number is below 1.

    Reference: Cover, Geometrical and Statistical Properties of Systems of Linear
    Inequalities, 1965.
    """
    pairs = validation.integer("pairs", pairs, 1)
    d = validation.integer("d", d, 1)
    return 2 * sum(math.comb(pairs - 1, k) for k in range(min(d, pairs)))


def independent_count(d: Integer, *, centred: bool = False) -> int:
    """Truth-like features on d independent facts: 2^d.

    If each side's mean is removed there are 2^d - 2: the two features that call all
    positive sides alike are 0 on every pair.

    Args:
      d: number of facts, at least 1; see `pairs.independent_facts`.
      centred: whether each side's mean is removed.
    """
    d = validation.integer("d", d, 1)
    return 2**d - 2 if centred else 2**d


def margin(
    signed: Float[np.ndarray | Array, "N d"],
) -> tuple[float, Float[np.ndarray, " d"]]:
    """The unit direction whose smallest product with any row is largest.

    That product is the distance of the rows' convex hull from the origin, and the
    nearest point of the hull gives the direction. Non-negative least squares finds it:
    the x >= 0 that minimises |rows' x|^2 + (sum x - 1)^2 holds that point's weights up
    to scale. If the hull contains the origin, no direction has a positive margin, and
    the result is 0 and zeros.

    If rows are dependent, many weights give the same point, and SciPy's solver may then
    stop far from the minimum. The term RIDGE^2 |x|^2 makes the solution unique.

    Args:
      signed: [N, d] differences, each times its sign.

    Returns:
      The smallest product, and the direction.
    """
    signed = np.asarray(signed, np.float64)
    scale = np.abs(signed).max(initial=0.0)
    if scale == 0:
        return 0.0, np.zeros(signed.shape[1])
    pairs, d = signed.shape
    rows = np.concatenate(
        [signed.T / scale, np.ones((1, pairs)), RIDGE * np.eye(pairs)]
    )
    weights, _ = scipy.optimize.nnls(rows, np.eye(len(rows))[d])
    nearest = rows[:d] @ (weights / weights.sum())
    length = float(np.linalg.norm(nearest))
    if length <= SMALL:
        return 0.0, np.zeros(signed.shape[1])
    direction = nearest / length
    return float((signed @ direction).min()), direction


def enumerate_features(
    differences: Annotated[Numbers, "N d"],
    *,
    least_margin: float = 0.0,
    limit: int = 20_000,
) -> Features:
    """Every truth-like feature of the given pairs.

    The list grows pair by pair: a sign vector that no direction produces on the first
    pairs cannot occur on all pairs, so the work grows with the number of features, not
    with 2^N. Only half of the features are searched; the others are their opposites.

    A pair whose sides do not differ has no sign, and then there is no feature. Equal
    pairs share a sign.

    Args:
      differences: [N, d] x+ - x- of each pair, after any normalisation.
      least_margin: features with a smaller margin are left out, in the unit of the
        features, at least 0.
      limit: refuse the input if more features than this are possible.

    Raises:
      ValueError: `differences` is not a matrix of finite numbers or has no pairs or
        columns, `least_margin` is negative, or Cover's count exceeds `limit`.
    """
    validation.shaped("differences", differences, None, None)
    validation.finite("differences", differences)
    validation.at_least("least_margin", least_margin, 0)
    x = np.asarray(differences, np.float64)
    pairs, d = x.shape
    validation.at_least("differences.shape[0]", pairs, 1)
    validation.at_least("differences.shape[1]", d, 1)
    possible = cover_count(pairs, d)
    if possible > limit:
        raise ValueError(
            f"differences: got up to {possible} features; allowed: {limit}, "
            "so take fewer pairs or raise the limit"
        )
    candidates: list[tuple[tuple[bool, ...], float, np.ndarray]]
    candidates = [((True,), *margin(x[:1]))]
    for stop in range(2, pairs + 1):
        candidates = [
            (signs, *margin(np.where(signs, 1.0, -1.0)[:, None] * x[:stop]))
            for prefix, gap, _ in candidates
            if gap > 0 and gap >= least_margin
            for signs in ((*prefix, True), (*prefix, False))
        ]
    features = [
        feature
        for feature in candidates
        if feature[1] > 0 and feature[1] >= least_margin
    ]
    signs = np.array([feature[0] for feature in features], bool).reshape(-1, pairs)
    margins = np.array([feature[1] for feature in features])
    directions = np.array([feature[2] for feature in features]).reshape(-1, d)
    return Features(
        np.concatenate([signs, ~signs]),
        np.concatenate([margins, margins]),
        np.concatenate([directions, -directions]),
    )


def approximate(signs: Annotated[Numbers, "F N"], mistakes: Integer) -> int:
    """How many sign vectors some direction produces up to a few mistakes.

    This is the size of the union of Hamming balls around the exact sign vectors. It
    exceeds the exact count, and it is the number to use for a truth that no direction
    matches perfectly.

    Args:
      signs: [F, N] the exact ones, as listed by `enumerate_features`, for N <= 24
        pairs.
      mistakes: number of pairs that may be wrong, in [0, N].

    Raises:
      ValueError: `signs` is not a matrix or has more than 24 pairs, or `mistakes` is
        out of range.
    """
    validation.shaped("signs", signs, None, None)
    table = np.asarray(validation.mask("signs", signs, None, None))
    pairs = table.shape[1]
    validation.one_of("signs.shape[1]", pairs, range(1, 25))
    mistakes = validation.integer("mistakes", mistakes, 0, pairs)
    codes = np.unique(table @ (1 << np.arange(pairs)))
    is_covered = np.zeros(2**pairs, bool)
    for size in range(mistakes + 1):
        for flipped in combinations(range(pairs), size):
            is_covered[codes ^ sum(1 << i for i in flipped)] = True
    return int(is_covered.sum())


class Estimate(NamedTuple):
    """Different results of restarts; a feature and its opposite count as one."""

    signs: Bool[np.ndarray, "F N"]
    """Each result once. The sign makes the first pair that is not tied true. False
    where a pair's sides do not differ."""
    counts: Int[np.ndarray, " F"]
    """Number of restarts that ended there, largest first."""
    num_good: int
    """Number of restarts whose loss is within the tolerance."""
    chao1: float
    """Lower bound on how many exist: seen + once (once - 1) / (2 (twice + 1))."""
    coverage: float
    """1 - once / num_good: probability that one more restart ends at a known result."""

    @property
    def seen(self) -> int:
        """Number of different results."""
        return len(self.counts)

    @property
    def bits(self) -> float:
        """log2 of twice the bound, because here an opposite counts as a feature too."""
        return bits(round(2 * self.chao1)) if self.seen else -np.inf

    def summary(self) -> str:
        """Number of different results, the bound, and the coverage."""
        return (
            f"{self.seen} different results of {self.num_good} good restarts, at least "
            f"{self.chao1:.0f} by Chao's bound ({self.bits:.1f} bits with signs); one "
            f"more restart ends at a known result {self.coverage:.0%} of the time"
        )


def estimate(
    directions: Annotated[Numbers, "R d"],
    losses: Annotated[Numbers, "R"],
    differences: Annotated[Numbers, "N d"],
    *,
    tolerance: float = 0.01,
) -> Estimate:
    """Count different sign vectors among restarts that are about as good as the best.

    Only restarts within `tolerance` of the lowest loss count. Chao's bound infers from
    the numbers of results seen once and twice how many were never seen. It assumes
    independent restarts, and it is a lower bound however unequal the basins are. If
    every result was seen once, the bound grows with R and only says "many": check the
    coverage.

    Args:
      directions: [R, d] where the restarts ended, as `ccs.CCS.directions`.
      losses: [R] of each restart, all at one norm.
      differences: [N, d] normalised differences that tell results apart; more pairs
        tell more results apart.
      tolerance: how far above the lowest loss a restart may end, at least 0.

    Raises:
      ValueError: the arrays do not fit or are not finite, or `tolerance` is negative.

    Reference: Chao, Nonparametric estimation of the number of classes in a population,
    1984, in the bias-corrected form.
    """
    validation.shaped("directions", directions, None, None)
    validation.shaped("losses", losses, len(directions))
    validation.shaped("differences", differences, None, np.shape(directions)[1])
    for name, array in (
        ("directions", directions),
        ("losses", losses),
        ("differences", differences),
    ):
        validation.finite(name, array)
    validation.at_least("directions.shape[0]", len(directions), 1)
    validation.at_least("differences.shape[0]", len(differences), 1)
    validation.at_least("tolerance", tolerance, 0)
    losses = np.asarray(losses)
    is_good = losses <= losses.min() + tolerance
    scores = np.asarray(directions)[is_good] @ np.asarray(differences).T
    # the first pair whose sides differ sets the sign; the others have no sign to set
    first_untied = np.argmax(scores != 0, axis=1)[:, None]
    signs = scores * np.take_along_axis(scores, first_untied, axis=1) > 0
    results, counts = np.unique(signs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    chao1 = len(results) + once * (once - 1) / (2 * (twice + 1))
    num_good = int(is_good.sum())
    return Estimate(results[order], counts[order], num_good, chao1, 1 - once / num_good)


def orthogonal_count(
    accuracies: Annotated[Numbers, "M"], *, threshold: float = 0.9
) -> int:
    """How many orthogonal probes in a row reach the threshold, with either sign.

    Args:
      accuracies: [M] of recursive probes in the order of their search, in [0, 1].
      threshold: on max(accuracy, 1 - accuracy).
    """
    validation.shaped("accuracies", accuracies, None)
    validation.finite("accuracies", accuracies)
    accuracy = np.asarray(accuracies)
    below = np.flatnonzero(np.maximum(accuracy, 1 - accuracy) < threshold)
    return int(below[0]) if len(below) else len(accuracy)
