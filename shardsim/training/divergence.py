"""What becomes of a population when the loss of one of its elements is not finite.

An element stays as it was before that update. Without a grid the run ends there, for
seeds that are left out would bias a comparison; with one the other elements go on, as a
learning rate that is too large for one point says nothing of the others.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from shardsim.training import sweep


class Diverged(Exception):
    """A loss was not finite; its text names the arm, the seed and the update."""


def is_fatal(grid: sweep.Grid, failed: Int[np.ndarray, "N arms"]) -> bool:
    """Whether nothing can come of some arm any more."""
    lost = failed >= 0
    return bool(lost.all(axis=0).any() if grid else lost.any())


def raise_if_fatal(
    grid: sweep.Grid,
    num_seeds: int,
    names: Sequence[str],
    failed: Int[np.ndarray, "N arms"],
) -> None:
    """Go on, or raise where nothing can come of it.

    Args:
      failed: the update in which an element's loss stopped to be finite; -1: it is.

    Raises:
      Diverged: an element of a run without a grid, or all elements of an arm.
    """
    for name, when in zip(names, failed.T, strict=True):
        if is_fatal(grid, when[:, None]):
            raise Diverged(
                f"loss not finite: arm {name}, {_first(grid, num_seeds, when)}; "
                "what was learnt before it is on disk"
            )


def as_metrics(failed: Int[np.ndarray, " N"]) -> tuple[int | None, ...] | None:
    """What a line of metrics says of it; None while all losses are finite."""
    if (failed < 0).all():
        return None
    return tuple(int(when) if when >= 0 else None for when in failed)


def describe(grid: sweep.Grid, num_seeds: int, diverged: Sequence[int | None]) -> str:
    """One line of how many of an arm's elements diverged, and which was the first."""
    when = np.asarray([-1 if update is None else update for update in diverged])
    lost = int((when >= 0).sum())
    return (
        f"{lost} of {len(when)} diverged and stay as they were, the first of them "
        f"{_first(grid, num_seeds, when)}"
    )


def _first(grid: sweep.Grid, num_seeds: int, when: Int[np.ndarray, " N"]) -> str:
    lost = np.flatnonzero(when >= 0)
    first = int(lost[np.argmin(when[lost])])
    return f"{sweep.element(grid, num_seeds, first)}, update {when[first]}"
