"""Observations as row numbers: which rows of a first layer's weights they add up.

A dense first layer computes W'x. If x is a sum of a few fixed patterns of zeros and
ones, x = sum_j P[r_j], then W'x is the sum of the same few rows of the table P W, and
the numbers r_j can stand for x. On a CPU this takes a thirtieth of the time, forwards
and backwards: a board of 13 x 13 cells and 5 planes has 845 inputs, and 5 patterns.

There are two kinds of patterns: a single cell of a plane, whose row of P W is a row of
W, and a rectangle in which a plane is 1 everywhere, such as a board seen in a window.
Symbols: H, W, P height, width and planes of an observation; I = H W P inputs; M single
cells; E places of the rectangle; U planes that show it.
"""

import dataclasses
from typing import Any, Protocol, cast, runtime_checkable

from jaxtyping import Array, Int, Key

from shardsim.core.types import Params, State, TimeStep, Trainable, Whole


@dataclasses.dataclass(frozen=True)
class Patterns:
    """The patterns that the observations of an environment consist of. Static."""

    shape: tuple[int, int, int]
    """H, W and P."""
    num_cells: int
    """M, the number of single cells that an observation names."""
    area: tuple[int, int]
    """Height and width of the rectangle, at most H and W."""
    area_planes: tuple[int, ...]
    """The U planes that are the same in the whole rectangle, and 0 outside it."""

    @property
    def num_inputs(self) -> int:
        """I, the number of inputs of the dense layer."""
        height, width, planes = self.shape
        return height * width * planes

    @property
    def num_rows(self) -> int:
        """M + U, the numbers that stand for an observation."""
        return self.num_cells + len(self.area_planes)

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns of the E places that the rectangle's corner may have."""
        return (self.shape[0] - self.area[0] + 1, self.shape[1] - self.area[1] + 1)


@runtime_checkable
class SparseEnvironment(Protocol):
    """An environment whose observations may consist of a few patterns."""

    @property
    def patterns(self) -> Patterns | None:
        """The patterns; None if there are too many, so that a layer is dense."""
        ...

    def rows(self, state: State) -> Int[Array, " rows"]:
        """The observation of a state as M + U numbers, int32.

        The first M are single cells: numbers of inputs in [0, I), or I where there is
        nothing. Then, for each plane u that shows the rectangle, e U + u for its place
        e, counted row by row, or E U where the plane is 0 everywhere.
        """
        ...


@dataclasses.dataclass(frozen=True)
class RowView:
    """An environment with the same rules, whose observations are row numbers.

    Everything else is the environment's own: states, rewards, parameters.
    """

    env: Any
    """A `Trainable` and `SparseEnvironment` with patterns."""

    def __getattr__(self, name: str) -> Any:
        if name == "env" or name.startswith("__"):  # a copy that is not filled yet
            raise AttributeError(name)
        return getattr(self.env, name)

    # what `Trainable` lists is written out: Python 3.12 looks for no other members
    @property
    def SCHEDULED(self) -> tuple[str, ...]:
        return tuple(self.env.SCHEDULED)

    @property
    def num_actions(self) -> int:
        return int(self.env.num_actions)

    @property
    def num_contexts(self) -> int:
        return int(self.env.num_contexts)

    @property
    def max_steps(self) -> int:
        return int(self.env.max_steps)

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return tuple(self.env.reward_sources)

    def params(self) -> Params:
        return self.env.params()

    def context(self, state: State) -> Array:
        context: Array = self.env.context(state)
        return context

    @property
    def observation_shape(self) -> tuple[int, ...]:
        patterns: Patterns = self.env.patterns
        return (patterns.num_rows,)

    def observe(self, state: State) -> Int[Array, " rows"]:
        rows: Array = self.env.rows(state)
        return rows

    def reset(self, key: Key[Array, ""], params: Params) -> tuple[Array, State]:
        _, state = self.env.reset(key, params)
        return self.observe(state), state

    def step(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Whole,
        params: Params,
    ) -> TimeStep:
        # the dense observation is not read, so that a compiled program never makes it
        step: TimeStep = self.env.step(key, state, action, params)
        return step._replace(observation=self.observe(step.state))


def row_view(env: Trainable) -> Trainable:
    """The environment with row numbers as observations, if it has patterns."""
    if not isinstance(env, SparseEnvironment) or env.patterns is None:
        return env
    return cast(Trainable, RowView(env))


def patterns_of(env: Trainable) -> Patterns | None:
    """The patterns that the observations number; None if they are dense."""
    return env.env.patterns if isinstance(env, RowView) else None


def board_view(env: Trainable) -> Trainable:
    """The environment itself, whose observations are boards."""
    return cast(Trainable, env.env) if isinstance(env, RowView) else env
