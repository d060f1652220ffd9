"""What a choice in a config is made of: the records of shardsim, and those of others.

A union of records, such as the heads, may be joined by records from outside. They count
wherever the union stands: in files, flags, errors, schemas and `--explain`.
"""

import typing
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

Group: TypeAlias = typing.Literal[
    "heads", "worlds", "encoders", "measures", "tools", "forecasters"
]
GROUPS: Final[tuple[Group, ...]] = typing.get_args(Group)
"""Choices that others may join."""

_own: dict[Group, tuple[Any, ...]] = {}
_added: dict[Group, list[Any]] = {name: [] for name in GROUPS}
_on_joining: dict[Group, Callable[[Any], object]] = {}


def declare(
    group: Group, union: Any, on_joining: Callable[[Any], object] | None = None
) -> None:
    """Declare the union that a group of choices is.

    Args:
      union: of records; None: the group stands in no config.
      on_joining: called with every record that joins.
    """
    _own[group] = typing.get_args(union)
    if on_joining is not None:
        _on_joining[group] = on_joining
        for record in _added[group]:
            on_joining(record)


def join(group: Group, record: Any) -> None:
    """Let a record join a group; one of the same kind that joined before makes way."""
    _added[group] = [r for r in _added[group] if r.kind != record.kind]
    _added[group].append(record)
    if group in _on_joining:
        _on_joining[group](record)


def added(group: Group) -> tuple[Any, ...]:
    """The records from outside in a group."""
    return tuple(_added[group])


def own(group: Group) -> tuple[Any, ...]:
    """The records of shardsim itself in a group."""
    return _own[group]


def joined(records: Iterable[Any]) -> list[Any]:
    """What has joined a union of records, by the groups that are in it as a whole."""
    inside = set(records)
    return [
        record
        for group, members in _own.items()
        if members and inside.issuperset(members)
        for record in _added[group]
    ]
