"""Networks as chains of stages, whose activations can be read and replaced.

Activation i is stage i applied to activation i - 1. Stage 0 reads the input; the last
activation is the output of the network. E, D and the hidden layers of V are such
chains: `stages()` is the only definition of their forward pass.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array

Stage: TypeAlias = Callable[[Array], Array]


@runtime_checkable
class Chain(Protocol):
    """A network whose forward pass is a sequence of stages."""

    def stages(self) -> tuple[Stage, ...]:
        """At least one stage; the last one computes the output of the network."""
        ...


def joined(first: Stage, second: Stage) -> Stage:
    """The composition second(first(x)), as one stage."""
    return lambda x: second(first(x))


def run(stages: Sequence[Stage], x: Array) -> Array:
    """The last activation, f_n(... f_0(x))."""
    for stage in stages:
        x = stage(x)
    return x


def run_from(stages: Sequence[Stage], activation: Array, number: int) -> Array:
    """The last activation, computed from a given activation `number`.

    Args:
      activation: replaces the output of stage `number`.
      number: in [0, number of stages).

    Raises:
      ValueError: there is no stage of that number.
    """
    if not 0 <= number < len(stages):
        raise ValueError(f"number: got {number}; allowed: 0 to {len(stages) - 1}")
    return run(stages[number + 1 :], activation)
