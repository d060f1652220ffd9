"""What the tests of several files need: small worlds, a second opinion on distances."""

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import shardsim_envs
from shardsim_envs import ContextFruits, CornerMaze

UNREACHED = -1
STEPS = 17
"""Time limit of the small worlds: no way on their boards is longer."""
PAY = ((1.0, -0.5, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.5))
CASES: list[tuple[shardsim_envs.World, dict[str, Any]]] = [
    (
        ContextFruits(size=3, bites=2, view="agent", max_steps=STEPS),
        {"rewards": ((0, 0.5), (1, 0)), "shown": ((0, 1),), "cue_probability": 0.0},
    ),
    (
        ContextFruits(
            size=4, contexts=3, fruits=3, rewards=PAY, view="board", max_steps=STEPS
        ),
        {"rewards": PAY[::-1], "shown": ((0, 2), (1,)), "cue_probability": 1.0},
    ),
    (
        CornerMaze(size=7, region=2, view="board", max_steps=STEPS),
        {"region": 5, "reward": 0.0},
    ),
    (
        CornerMaze(size=7, region=5, view="agent", max_steps=STEPS),
        {"region": 1, "reward": 0.5},
    ),
]
"""Small worlds, each with another value for all that a schedule may change in it."""

NAMES = [f"{world.kind}-{world.view}" for world, _ in CASES]


@pytest.fixture(params=CASES, ids=NAMES, scope="session")
def case(request):
    """A world, and another value for all that a schedule may change in it."""
    return request.param


@pytest.fixture(scope="session")
def env(case):
    return case[0]


@pytest.fixture(scope="session")
def worlds():
    return [world for world, _ in CASES]


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
