"""What the tests of several files need: a second opinion on distances."""

import collections
from collections.abc import Callable

import numpy as np
import pytest

UNREACHED = -1


@pytest.fixture(scope="session")
def steps() -> Callable[[np.ndarray, tuple[int, int]], np.ndarray]:
    """Steps from a cell over the free ones, by a queue; -1 where there is no way."""

    def search(walls: np.ndarray, start: tuple[int, int]) -> np.ndarray:
        found = np.full(walls.shape, UNREACHED)
        found[start] = 0
        queue = collections.deque([start])
        while queue:
            row, column = queue.popleft()
            for cell in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                inside = all(0 <= x < n for x, n in zip(cell, walls.shape, strict=True))
                if inside and not walls[cell] and found[cell] == UNREACHED:
                    found[cell] = found[row, column] + 1
                    queue.append(cell)
        return found

    return search
