"""Tools of other people: what they are given, and what they return.

A tool is a frozen record with a `kind` and `fit(outputs)`. It is registered by
`shardsim.register("tools")` or an entry point `shardsim.tools`, and the page then shows
its readings. Symbols: N seeds, L levels, S states, A actions, K shards, C contexts.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from shardsim.core import choices


class Outputs(NamedTuple):
    """What agents of an arm put out in all states of some levels, and the truth."""

    value: Float[np.ndarray, "N L S"]
    """V, in units of reward."""
    shard_values: Float[np.ndarray, "N L S K"]
    """Value of each shard without its gate."""
    gates: Float[np.ndarray, "N L S K"]
    log_decoder: Float[np.ndarray, "N L S A"]
    """Log-probabilities of D."""
    optimal: Float[np.ndarray, "L S"]
    """V*."""
    reachable: Bool[np.ndarray, "L S"]
    """Whether an episode that has not ended can be in the state."""
    context: Float[np.ndarray, "L S C"]
    """1 where a context is present."""


class ToolReading(NamedTuple):
    """A number of every seed, beside its value where there is nothing to see."""

    name: str
    meaning: str
    """What it is, in one sentence."""
    values: Float[np.ndarray, " N"]
    """NaN for a seed that has none."""
    nothing: float | Float[np.ndarray, " N"]
    """Its value if there is nothing to see."""
    nothing_meaning: str
    """What `nothing` is measured on."""


@runtime_checkable
class Tool(Protocol):
    """A tool of somebody else."""

    @property
    def kind(self) -> str: ...

    def fit(self, outputs: Outputs) -> tuple[ToolReading, ...]:
        """The readings of one arm."""
        ...


choices.declare("tools", None)


def tools() -> tuple[Any, ...]:
    """The tools that have been registered, with their defaults."""
    return tuple(record() for record in choices.added("tools"))
