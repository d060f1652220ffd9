"""How many truth-like features are there? Counted exactly, on the host.

A feature is truth-like if it calls one side of every pair true: a vector of signs, one
a pair, that some direction w gives, sign(w . (x+ - x-)). Each is a candidate for the
truth, and log2 of their number is how many bits of supervision it takes to pick the
right one. A feature and its opposite are counted as two.

Where too many features stand to be listed (in trained encoders), a search is started
many times and the different answers are counted, as one counts species (`estimate`).
Its expectation is a lower bound, for restarts fall into wide basins more often than
into narrow ones; one estimate can lie above the truth.

Symbols: N pairs, d features, F sign vectors found, R restarts.
"""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import scipy.optimize
from jaxtyping import Bool, Float, Int

from shardsim.inspection import validation

SMALL = 1e-7
"""Margins below this, relative to the longest difference, are taken for none."""
RIDGE = 3e-7
"""Its square, 1e-13, is lost beside SMALL; from 1e-8 down the solver fails again."""


class Features(NamedTuple):
    """Every sign vector that a direction gives, and how clearly it does."""

    signs: Bool[np.ndarray, "F N"]
    """Whether the positive side of each pair is called true."""
    margins: Float[np.ndarray, " F"]
    """max over unit w of min_i s_i w . (x+_i - x-_i), in units of the features."""
    directions: Float[np.ndarray, "F d"]
    """The unit w that reaches the margin."""

    def count(self, margin: float = 0.0) -> int:
        """How many have at least this margin. It does not grow with the margin."""
        return int(np.sum(self.margins >= margin))

    def bits(self, margin: float = 0.0) -> float:
        """log2 of the count: yes-no answers needed to single one out."""
        return bits(self.count(margin))

    def summary(self) -> str:
        number, pairs = self.signs.shape
        if not number:
            return f"no truth-like feature on {pairs} pairs"
        return (
            f"{number} truth-like features on {pairs} pairs, {self.bits():.1f} bits; "
            f"margins from {self.margins.min():.3g} to {self.margins.max():.3g}"
        )


def bits(count: int) -> float:
    """log2 of a count of any size; none gives -inf."""
    return math.log2(count) if count > 0 else -math.inf


def cover(pairs: int, d: int) -> int:
    """Truth-like features on N pairs in general position: C(N, d).

    C(N, d) = 2 sum_{k < d} binom(N - 1, k): 2^N as long as N <= d, and about
    (e N / d)^d for many pairs. Exact, of any size.

    Args:
      pairs: N, at least 1.
      d: number of features, at least 1.

    Raises:
      ValueError: a number below 1.

    Reference: Cover, Geometrical and Statistical Properties of Systems of Linear
    Inequalities, 1965.
    """
    validation.at_least("pairs", pairs, 1)
    validation.at_least("d", d, 1)
    return 2 * sum(math.comb(pairs - 1, k) for k in range(min(d, pairs)))


def one_hot(d: int, centred: bool = False) -> int:
    """Truth-like features on d facts that share nothing: 2^d.

    After each side's mean is taken 2^d - 2: the two that call all positive sides alike
    say 0 on every pair.
    """
    validation.at_least("d", d, 1)
    return 2**d - 2 if centred else 2**d


def margin(
    signed: Float[np.ndarray, "N d"],
) -> tuple[float, Float[np.ndarray, " d"]]:
    """The unit direction whose least product with any row is largest.

    That product is the distance of the rows' convex hull from the origin, and the
    nearest point of the hull is the direction. Non-negative least squares finds it: the
    x >= 0 that minimises |rows' x|^2 + (sum x - 1)^2 is that point's weights up to
    scale. If the origin lies in the hull no direction has a positive margin: 0, zeros.

    Dependent rows share a point among many weights, and SciPy's solver may then end far
    from the least; RIDGE^2 |x|^2 is added, which leaves one solution.
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
    differences: Float[np.ndarray, "N d"],
    least_margin: float = 0.0,
    limit: int = 20_000,
) -> Features:
    """Every truth-like feature of these very pairs.

    Built a pair at a time: a sign vector that no direction gives on the first pairs is
    given by none on all, so that the work grows with the number found, not with 2^N.
    Half of them are looked for; the others are their opposites.

    A pair whose sides don't differ has no sign: no feature. Equal pairs share a sign.

    Args:
      differences: x+ - x- of each pair, after whatever normalisation.
      least_margin: features below it are left out, in units of the features.
      limit: refuse to begin if more could be found.

    Raises:
      ValueError: not a matrix of finite numbers, no pairs or no features of theirs, a
        negative margin, more than `limit` features possible by Cover's count.
    """
    validation.shaped("differences", differences, None, None)
    validation.finite("differences", differences)
    validation.at_least("least_margin", least_margin, 0)
    x = np.asarray(differences, np.float64)
    pairs, d = x.shape
    validation.at_least("differences.shape[0]", pairs, 1)
    validation.at_least("differences.shape[1]", d, 1)
    possible = cover(pairs, d)
    if possible > limit:
        raise ValueError(
            f"differences: got up to {possible} features; allowed: {limit}, "
            "so take fewer pairs or raise the limit"
        )
    found: list[tuple[tuple[bool, ...], float, np.ndarray]]
    found = [((True,), *margin(x[:1]))]
    for stop in range(2, pairs + 1):
        found = [
            (signs, *margin(np.where(signs, 1.0, -1.0)[:, None] * x[:stop]))
            for known, width, _ in found
            if width > 0 and width >= least_margin
            for signs in ((*known, True), (*known, False))
        ]
    kept = [each for each in found if each[1] > 0 and each[1] >= least_margin]
    signs = np.array([each[0] for each in kept], bool).reshape(-1, pairs)
    margins = np.array([each[1] for each in kept])
    directions = np.array([each[2] for each in kept]).reshape(-1, d)
    return Features(
        np.concatenate([signs, ~signs]),
        np.concatenate([margins, margins]),
        np.concatenate([directions, -directions]),
    )


def approximate(signs: Bool[np.ndarray, "F N"], mistakes: int) -> int:
    """How many sign vectors some direction gives up to a few mistakes.

    The size of the union of Hamming balls around the exact ones; larger than the exact
    count, and the number to hold against a truth that no direction tells perfectly.

    Args:
      signs: the exact ones, as `enumerate_features` lists them, for N <= 24 pairs.
      mistakes: pairs that may be wrong, in [0, N].

    Raises:
      ValueError: not a matrix, more than 24 pairs, mistakes out of range.
    """
    validation.shaped("signs", signs, None, None)
    pairs = signs.shape[1]
    validation.one_of("signs.shape[1]", pairs, range(1, 25))
    validation.one_of("mistakes", mistakes, range(pairs + 1))
    codes = np.unique(np.asarray(signs, bool) @ (1 << np.arange(pairs)))
    seen = np.zeros(2**pairs, bool)
    for size in range(mistakes + 1):
        for wrong in combinations(range(pairs), size):
            seen[codes ^ sum(1 << i for i in wrong)] = True
    return int(seen.sum())


def mistakes_of(
    signs: Bool[np.ndarray, "F N"], label: Bool[np.ndarray, " N"]
) -> Int[np.ndarray, " F"]:
    """On how many pairs each feature differs from the labels, with its own sign."""
    validation.shaped("signs", signs, None, None)
    validation.shaped("label", label, np.shape(signs)[1])
    return np.sum(np.asarray(signs) != np.asarray(label)[None], axis=1)


class Estimate(NamedTuple):
    """Different answers among restarts; a feature and its opposite count as one."""

    signs: Bool[np.ndarray, "F N"]
    """Each answer once, its first pair that is told called true. False where a pair's
    sides don't differ."""
    counts: Int[np.ndarray, " F"]
    """Restarts that ended there, most first."""
    kept: int
    """Restarts whose loss was within the tolerance."""
    chao1: float
    """At least so many exist: seen + once (once - 1) / (2 (twice + 1))."""
    coverage: float
    """1 - once / kept: chance that a further restart ends at a known answer."""

    @property
    def seen(self) -> int:
        return len(self.counts)

    @property
    def bits(self) -> float:
        """log2 of twice the bound: opposites are two, as in `counting`."""
        return bits(round(2 * self.chao1)) if self.seen else -np.inf

    def summary(self) -> str:
        return (
            f"{self.seen} different answers among {self.kept} good restarts, at least "
            f"{self.chao1:.0f} by Chao's bound ({self.bits:.1f} bits with signs); a "
            f"further restart finds a known one {self.coverage:.0%} of the time"
        )


def estimate(
    directions: Float[np.ndarray, "R d"],
    losses: Float[np.ndarray, " R"],
    differences: Float[np.ndarray, "N d"],
    tolerance: float = 0.01,
) -> Estimate:
    """Count different sign vectors among restarts about as good as the best.

    Restarts within `tolerance` of the lowest loss are kept. Chao's bound takes from how
    many answers came once and twice how many never came. It assumes that restarts are
    independent, and holds from below however unequal the basins are. If every answer
    came once it grows with R and says only "many": look at the coverage.

    Args:
      directions: where restarts ended, as `ccs.CCS.directions`.
      losses: of each restart, at one norm.
      differences: normalised differences on which answers are told apart; more pairs
        tell more answers apart.
      tolerance: how much worse than the best a restart may be.

    Raises:
      ValueError: arrays that don't fit or are not finite, a negative tolerance.

    Reference: Chao, Nonparametric estimation of the number of classes in a population,
    1984, in the bias-corrected form.
    """
    validation.shaped("directions", directions, None, None)
    validation.shaped("losses", losses, len(directions))
    validation.shaped("differences", differences, None, np.shape(directions)[1])
    for name, got in (
        ("directions", directions),
        ("losses", losses),
        ("differences", differences),
    ):
        validation.finite(name, got)
    validation.at_least("directions.shape[0]", len(directions), 1)
    validation.at_least("differences.shape[0]", len(differences), 1)
    validation.at_least("tolerance", tolerance, 0)
    losses = np.asarray(losses)
    good = losses <= losses.min() + tolerance
    scores = np.asarray(directions)[good] @ np.asarray(differences).T
    # by the first pair that is told: one whose sides don't differ turns nothing round
    told = np.argmax(scores != 0, axis=1)[:, None]
    signs = scores * np.take_along_axis(scores, told, axis=1) > 0
    found, counts = np.unique(signs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    bound = len(found) + once * (once - 1) / (2 * (twice + 1))
    kept = int(good.sum())
    return Estimate(found[order], counts[order], kept, bound, 1 - once / kept)


def orthogonal_count(
    accuracies: Float[np.ndarray, " M"], threshold: float = 0.9
) -> int:
    """How many orthogonal probes in a row are at least so good, either sign.

    Args:
      accuracies: of recursive probes in the order they were found, in [0, 1].
      threshold: of max(accuracy, 1 - accuracy).
    """
    validation.shaped("accuracies", accuracies, None)
    validation.finite("accuracies", accuracies)
    right = np.asarray(accuracies)
    short = np.flatnonzero(np.maximum(right, 1 - right) < threshold)
    return int(short[0]) if len(short) else len(right)
