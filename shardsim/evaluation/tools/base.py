"""What a tool is that agents are asked by, and what several tools share.

Symbols: n states, K parts.
"""

from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Int, Key

from shardsim.evaluation.subjects import Subject

Of: TypeAlias = Literal["function", "weights"]
"""What a tool reads: V as a function of the features of E alone, or how V computes it
(hidden units, parts, weights)."""
STATISTIC: Final = ""
"""Name of the statistic itself among the numbers of a tool."""


@runtime_checkable
class ToolConfig(Protocol):
    """The config of a tool: frozen and hashable.

    It may declare more (see the functions below): `ROWS`, `NEEDS`, `NEEDS_AGENT`,
    `ABOUT`. A tool that costs little more on resamples of the levels has
    `measure_on_levels(subject, key, counts)` too, which returns the numbers for each
    row of counts [B, L].
    """

    OF: ClassVar[Of]
    TITLE: ClassVar[str]
    """The statistic in a few words. It is higher with shards."""
    UNIT: ClassVar[str]

    @property
    def kind(self) -> str:
        """Name of the kind of tool."""
        ...

    def measure(self, subject: Subject, key: Key[Array, ""]) -> dict[str, float]:
        """The statistic of one agent under `STATISTIC`, and that of each extra row.

        NaN where the tool does not apply.
        """
        ...


def extra_rows(tool: Any) -> tuple[str, ...]:
    """Names of the numbers that a tool gives beside its statistic (`ROWS`)."""
    return getattr(tool, "ROWS", ())


def needs_agent(tool: Any) -> bool:
    """Whether a tool asks E or D too, not V of the features alone (`NEEDS_AGENT`)."""
    return getattr(tool, "NEEDS_AGENT", False)


def draw(subject: Subject, count: int, key: Key[Array, ""]) -> Int[np.ndarray, " m"]:
    """At most `count` states, drawn without replacement."""
    order = np.asarray(jax.random.permutation(key, len(subject.context)))
    return order[:count]


def parts(head: Any) -> int:
    """K, the number of parts that a head is built of."""
    return int(np.max(np.asarray(head.unit_shard))) + 1
