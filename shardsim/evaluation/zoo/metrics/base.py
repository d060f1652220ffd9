"""What a metric of shardedness gets, and what it has to be.

Symbols: n states, D features, C contexts, K parts, U units.
"""

from typing import (
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    runtime_checkable,
)

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.agents import value

Of: TypeAlias = Literal["function", "weights"]
"""What a metric reads: V as a function of the features of E alone, or how V computes it
(hidden units, parts, weights)."""
Expected: TypeAlias = Literal["separates", "fails"]


class Subject(NamedTuple):
    """V of one member and seed in the reachable states of one battery."""

    head: value.ValueHead
    """V of the features; metrics of `weights` may read its layers."""
    features: Float[np.ndarray, "n D"]
    """Output of E, as V reads it."""
    given: Float[np.ndarray, "n C"]
    """The context that the gates of an oracle-gated head get."""
    context: Int[np.ndarray, " n"]
    """The true context, in [0, C)."""
    level: Int[np.ndarray, " n"]
    """The level of each state."""
    output: value.ValueOutput
    """V and its parts; leaves [n, ...]."""
    num_contexts: int
    """C."""

    @property
    def held_out(self) -> Bool[np.ndarray, " n"]:
        """Half of the levels, on which what was fitted to the others is tested."""
        return self.level % 2 == 1


@runtime_checkable
class MetricConfig(Protocol):
    """The config of a metric: frozen and hashable. Scores are higher with shards."""

    OF: ClassVar[Of]
    TITLE: ClassVar[str]
    """The score in a few words."""

    @property
    def kind(self) -> str:
        """Name of the kind of metric."""
        ...

    @property
    def expected(self) -> Expected:
        """What it was expected to do on the zoo, stated before it was run."""
        ...

    def score(self, subject: Subject, key: Key[Array, ""]) -> float:
        """Shardedness of one member and seed; NaN where the metric does not apply."""
        ...


def rows(subject: Subject, count: int, key: Key[Array, ""]) -> Int[np.ndarray, " m"]:
    """At most `count` states, drawn without replacement."""
    order = np.asarray(jax.random.permutation(key, len(subject.context)))
    return order[:count]


def parts(head: Any) -> int:
    """K, the number of parts that a head is built of."""
    return int(np.max(np.asarray(head.unit_shard))) + 1
