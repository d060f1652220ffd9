"""How many truth-like features do restarts meet? An estimate for trained encoders.

Where too many features stand to be listed, a search is started many times and the
different answers are counted, as one counts species. Its expectation is a lower bound,
for restarts fall into wide basins more often than into narrow ones; one estimate can
lie above the truth.

Symbols: R restarts, N pairs, d features, F different answers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from shardsim.inspection import validation
from shardsim.inspection.truth import counting


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
        return counting.bits(round(2 * self.chao1)) if self.seen else -np.inf

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
