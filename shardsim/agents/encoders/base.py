"""What an encoder offers, and how its sizes are solved from a budget.

An encoder is a `chain` of stages: the first one reads the observation, the last one
gives the features. Symbols: H, W, P board and planes; D features.
"""

from collections.abc import Callable
from typing import Protocol, Self, TypeVar, runtime_checkable

from jaxtyping import Array, Float

from shardsim.agents import chain

TOLERANCE = 0.02
"""How far an encoder may be from its budget, as a fraction of it."""


@runtime_checkable
class Encoder(chain.Chain, Protocol):
    """E: a pure function of one observation, with its insides as data.

    Stages compute in the type of the weights; the features are float32.
    """

    def __call__(self, observation: Array) -> Float[Array, " D"]:
        """The last activation."""
        ...


class Sizable(Protocol):
    """A config of an encoder: frozen, hashable."""

    @property
    def kind(self) -> str: ...

    @property
    def budget(self) -> int | None: ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """The inner sizes that a budget scales; never D."""
        ...

    def resized(self, sizes: tuple[int, ...]) -> Self:
        """The same with other inner sizes and no budget."""
        ...

    def parameters(self, observation_shape: tuple[int, ...]) -> int:
        """How many there are at these sizes, whatever the budget."""
        ...


T = TypeVar("T", bound=Sizable)


def board_of(kind: str, observation_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """H, W, P of the observations, for the encoders that read boards.

    Raises:
      ValueError: observations that are no board.
    """
    if len(observation_shape) != 3:
        raise ValueError(
            f"kind: got {kind!r}, which reads boards [H, W, P], for observations of "
            f"shape {observation_shape}; allowed: 'mlp'"
        )
    height, width, planes = observation_shape
    return height, width, planes


def to_budget(config: T, observation_shape: tuple[int, ...]) -> T:
    """The config with the inner sizes at which its parameters are its budget.

    All sizes are scaled by one factor, as far as the budget lasts; what is left over
    goes to single sizes, those that cost most per unit first.

    Raises:
      ValueError: no sizes come within `TOLERANCE` of the budget.
    """
    if config.budget is None:
        return config
    budget, given = config.budget, config.sizes

    def count(sizes: tuple[int, ...]) -> int:
        return config.resized(sizes).parameters(observation_shape)

    def scaled(unit: int) -> tuple[int, ...]:
        return tuple(max(1, round(unit * size / given[0])) for size in given)

    sizes = tuple(1 for _ in given)
    if sizes and count(sizes) < budget:
        sizes = scaled(_most(lambda unit: count(scaled(unit)), 1, budget))
        # rounding up a ratio may cost more than the least that there is
        sizes = sizes if count(sizes) <= budget else tuple(1 for _ in given)
        sizes = _filled(count, sizes, budget)
    met = count(sizes)
    if abs(met - budget) > TOLERANCE * budget:
        raise ValueError(
            f"budget: got {budget}, which an encoder of kind {config.kind!r} can't "
            f"meet for observations of shape {observation_shape} (nearest: {met}); "
            f"allowed: within {TOLERANCE:.0%} of what it can"
        )
    return config.resized(sizes)


def _most(count: Callable[[int], int], least: int, budget: int) -> int:
    """The largest number >= least whose count is within the budget, or least."""
    step = 1
    while count(least + step) <= budget:
        step *= 2
    low, high = least + step // 2, least + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return low


def _filled(
    count: Callable[[tuple[int, ...]], int], sizes: tuple[int, ...], budget: int
) -> tuple[int, ...]:
    """Sizes grown one after another, the dearest first; the last one to the nearest."""

    def grown(index: int, size: int) -> tuple[int, ...]:
        return (*sizes[:index], size, *sizes[index + 1 :])

    cost = [count(grown(i, size + 1)) for i, size in enumerate(sizes)]
    order = sorted(range(len(sizes)), key=lambda i: -cost[i])
    for index in order:

        def along(size: int, index: int = index) -> int:
            return count(grown(index, size))

        sizes = grown(index, _most(along, sizes[index], budget))
    last = order[-1]
    more = grown(last, sizes[last] + 1)
    return more if count(more) - budget < budget - count(sizes) else sizes
