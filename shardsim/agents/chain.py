"""Networks as chains of stages, whose activations can be read and replaced.

Activation i is stage i of activation i - 1; stage 0 reads the input, and the last
activation is what the network returns. E, D and the way from features to the hidden
units of V are such chains: their forward pass stands in `stages()` alone.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array

Stage: TypeAlias = Callable[[Array], Array]


@runtime_checkable
class Chain(Protocol):
    """A network whose forward pass is its stages, one after the other."""

    def stages(self) -> tuple[Stage, ...]:
        """At least one; the last one gives what the network returns."""
        ...


def joined(first: Stage, second: Stage) -> Stage:
    """One stage in place of two."""
    return lambda x: second(first(x))


def run(stages: Sequence[Stage], x: Array) -> Array:
    """The last activation."""
    for stage in stages:
        x = stage(x)
    return x


def activations(stages: Sequence[Stage], x: Array) -> tuple[Array, ...]:
    """z_i = f_i(z_{i-1}) for every stage i, from z_{-1} = x."""
    found = []
    for stage in stages:
        x = stage(x)
        found.append(x)
    return tuple(found)


def run_from(stages: Sequence[Stage], activation: Array, number: int) -> Array:
    """The last activation if activation `number` were the one given.

    Raises:
      ValueError: there is no stage of that number.
    """
    if not 0 <= number < len(stages):
        raise ValueError(f"number: got {number}; allowed: 0 to {len(stages) - 1}")
    return run(stages[number + 1 :], activation)
