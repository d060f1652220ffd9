"""What training can do with a head besides fitting V.

A config of a head offers a capability by its fields. Nothing asks for the class of a
head, so that a head of one's own is trained like those of this package.
"""

from typing import Any, Protocol, runtime_checkable

from shardsim.agents.value.sharded import Routing
from shardsim.agents.value.ungated import Labels


@runtime_checkable
class ShardErrors(Protocol):
    """Each shard can have a TD error of its own; its gates then sum to 1."""

    @property
    def td_error(self) -> str:
        """`joint` or `per_shard`."""
        ...


@runtime_checkable
class Balanced(Protocol):
    """The gates can pay for uneven use of the shards."""

    @property
    def load_balance(self) -> float:
        """Loss weight of the cost."""
        ...

    @property
    def shares_move(self) -> bool:
        """Whether the cost has a gradient."""
        ...


@runtime_checkable
class Routed(Protocol):
    """Labelled rewards can train the shard of their source alone."""

    @property
    def num_shards(self) -> int: ...

    @property
    def routing(self) -> Routing | None:
        """None: rewards have no labels."""
        ...


@runtime_checkable
class Labelled(Protocol):
    """Labelled rewards can train the part of their source on the return of it alone."""

    @property
    def num_parts(self) -> int: ...

    @property
    def labels(self) -> Labels | None:
        """None: rewards have no labels."""
        ...


def has_shard_errors(head: Any) -> bool:
    """Whether a head asks for one TD error for each shard."""
    return isinstance(head, ShardErrors) and head.td_error == "per_shard"


def load_balance(head: Any) -> float:
    """The load-balance weight in the config of a head; 0 for a head without one."""
    return head.load_balance if isinstance(head, Balanced) else 0.0


def routing(head: Any) -> Routing | None:
    """How labelled rewards train a head; None where they do not."""
    return head.routing if isinstance(head, Routed) else None


def source_parts(head: Any) -> Labels | None:
    """Which labels train each part on the return of its source; None where none do."""
    return head.labels if isinstance(head, Labelled) else None


def labels(head: Any) -> Routing | Labels | None:
    """Which rewards come with a label that a head reads; None where none do."""
    return routing(head) or source_parts(head)
