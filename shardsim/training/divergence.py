"""Divergence: what happens when the loss of an element of a population is not finite.

The element keeps its parameters from before that update. Without a sweep the run then
stops, because a comparison without some of its seeds would be biased. With a sweep the
other elements continue, because a learning rate that is too large at one point of the
sweep says nothing about the others.

Symbols: N elements, the seeds at each point of the sweep.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from shardsim.training import sweep


class Diverged(Exception):
    """A loss was not finite. The text names the arm, the seed and the update."""


def is_fatal(grid: sweep.Grid, failed: Int[np.ndarray, "N arms"]) -> bool:
    """Whether the run must stop.

    Without a sweep, one diverged element is enough; with a sweep, all elements of some
    arm must have diverged.

    Args:
      grid: values of the sweep; empty: no sweep.
      failed: update at which the loss of an element was first not finite; -1: never.
    """
    diverged = failed >= 0
    return bool(diverged.all(axis=0).any() if grid else diverged.any())


def raise_if_fatal(
    grid: sweep.Grid,
    num_seeds: int,
    names: Sequence[str],
    failed: Int[np.ndarray, "N arms"],
    first: int = 0,
) -> None:
    """Raise an error if the run must stop.

    Args:
      grid: values of the sweep; empty: no sweep.
      names: of the arms.
      failed: update at which the loss of an element was first not finite; -1: never.
      first: number of the first seed.

    Raises:
      Diverged: as `is_fatal` decides.
    """
    for name, updates in zip(names, failed.T, strict=True):
        if is_fatal(grid, updates[:, None]):
            element = _first(grid, num_seeds, updates, first)
            raise Diverged(
                f"loss not finite: arm {name}, {element}; the training up to this "
                "update is on disk"
            )


def as_metrics(failed: Int[np.ndarray, " N"]) -> tuple[int | None, ...] | None:
    """The field `diverged` of a line of metrics; None while all losses are finite."""
    if (failed < 0).all():
        return None
    return tuple(int(update) if update >= 0 else None for update in failed)


def describe(grid: sweep.Grid, num_seeds: int, diverged: Sequence[int | None]) -> str:
    """One line on how many elements of an arm diverged, and which was the first.

    Args:
      diverged: [N] the update at which each element diverged; None: it did not.
    """
    failed = np.asarray([-1 if update is None else update for update in diverged])
    count = int((failed >= 0).sum())
    return (
        f"{count} of {len(failed)} diverged and are not trained further, first "
        f"{_first(grid, num_seeds, failed)}"
    )


def _first(
    grid: sweep.Grid, num_seeds: int, failed: Int[np.ndarray, " N"], first: int = 0
) -> str:
    """The element that diverged first, and the update."""
    diverged = np.flatnonzero(failed >= 0)
    number = int(diverged[np.argmin(failed[diverged])])
    element = sweep.element(grid, num_seeds, number, first)
    return f"{element}, update {failed[number]}"
