"""The interface of encoders, and the solution of their sizes from a parameter budget.

An encoder is a `chain` of stages: the first one reads the observation, the last one
returns the features. Symbols: H, W, P height, width and planes of the board;
D features.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Array, Float

from shardsim.agents import chain

TOLERANCE = 0.02
"""Largest relative difference between the parameters of an encoder and its budget."""


@runtime_checkable
class Encoder(chain.Chain, Protocol):
    """E: a pure function of one observation, whose activations can be read.

    Stages compute in the type of the weights; the features are float32.
    """

    def __call__(self, observation: Array) -> Float[Array, " D"]:
        """The features, which are the last activation."""
        ...


T = TypeVar("T", bound="Sizable")


@runtime_checkable
class Sizable(Protocol):
    """The config of an encoder: frozen and hashable."""

    @property
    def kind(self) -> str:
        """Name of the kind of encoder."""
        ...

    @property
    def budget(self) -> int | None:
        """Number of parameters to reach; None: the sizes are as given."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """The inner sizes that a budget scales; D is not among them."""
        ...

    def resized(self: T, sizes: tuple[int, ...]) -> T:
        """The config with other inner sizes and without a budget."""
        ...

    def parameters(self, observation_shape: tuple[int, ...]) -> int:
        """Number of parameters at these sizes, regardless of the budget."""
        ...


def board_of(kind: str, observation_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """H, W and P of the observations, for encoders that read boards.

    Raises:
      ValueError: the observations are not boards [H, W, P].
    """
    if len(observation_shape) != 3:
        raise ValueError(
            f"kind: got {kind!r}, which reads boards [H, W, P], for observations of "
            f"shape {observation_shape}; allowed: 'mlp'"
        )
    height, width, planes = observation_shape
    return height, width, planes


def to_budget(config: T, observation_shape: tuple[int, ...]) -> T:
    """Solve the inner sizes of an encoder from its parameter budget.

    All sizes are scaled by the largest common factor that the budget allows. The rest
    of the budget enlarges single sizes, those with the most parameters per unit first.

    Args:
      config: without a budget, it is returned as it is.
      observation_shape: shape of one observation.

    Raises:
      ValueError: no sizes come within `TOLERANCE` of the budget.
    """
    if config.budget is None:
        return config
    budget, initial = config.budget, config.sizes

    def count(sizes: tuple[int, ...]) -> int:
        return config.resized(sizes).parameters(observation_shape)

    def scaled(unit: int) -> tuple[int, ...]:
        return tuple(max(1, round(unit * size / initial[0])) for size in initial)

    smallest = tuple(1 for _ in initial)
    sizes = smallest
    if sizes and count(sizes) < budget:
        sizes = scaled(_largest(lambda unit: count(scaled(unit)), 1, budget))
        # the ratio is rounded up, which may exceed the budget even for the first unit
        sizes = sizes if count(sizes) <= budget else smallest
        sizes = _spend_rest(count, sizes, budget)
    nearest = count(sizes)
    if abs(nearest - budget) > TOLERANCE * budget:
        raise ValueError(
            f"budget: got {budget}, which an encoder of kind {config.kind!r} can't "
            f"meet for observations of shape {observation_shape} (nearest: {nearest}); "
            f"allowed: within {TOLERANCE:.0%} of what it can meet"
        )
    return config.resized(sizes)


def _largest(count: Callable[[int], int], start: int, budget: int) -> int:
    """The largest size >= start whose count is within the budget; else start."""
    step = 1
    while count(start + step) <= budget:
        step *= 2
    low, high = start + step // 2, start + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= budget else (low, middle)
    return low


def _spend_rest(
    count: Callable[[tuple[int, ...]], int], sizes: tuple[int, ...], budget: int
) -> tuple[int, ...]:
    """Enlarge one size after another, the one with the most parameters per unit first.

    The last one gets one unit more if that comes nearer to the budget.
    """

    def with_size(index: int, size: int) -> tuple[int, ...]:
        return (*sizes[:index], size, *sizes[index + 1 :])

    cost = [count(with_size(i, size + 1)) for i, size in enumerate(sizes)]
    order = sorted(range(len(sizes)), key=lambda i: -cost[i])
    for index in order:

        def count_at(size: int, index: int = index) -> int:
            return count(with_size(index, size))

        sizes = with_size(index, _largest(count_at, sizes[index], budget))
    last = order[-1]
    larger = with_size(last, sizes[last] + 1)
    return larger if count(larger) - budget < budget - count(sizes) else sizes
