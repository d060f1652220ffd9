"""What the type of a config's field says: its dataclasses, and its words for a user."""

import dataclasses
import types
import typing
from typing import Any


def kind_of(cls: Any) -> str:
    """The `kind` by which a dataclass of a union is named in a file."""
    return str({f.name: f.default for f in dataclasses.fields(cls)}["kind"])


def dataclasses_of(hint: Any) -> tuple[type, ...]:
    """The dataclasses a value may be: one, a union of several, or none."""
    if dataclasses.is_dataclass(hint):
        return (hint,)  # type: ignore[return-value]
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return ()
    members = [a for a in typing.get_args(hint) if a is not type(None)]
    return tuple(members) if all(map(dataclasses.is_dataclass, members)) else ()


def wanted(hint: Any) -> str:
    """What a field of this type holds, for who left it out."""
    choices = dataclasses_of(hint)
    if len(choices) == 1:
        fields = dataclasses.fields(choices[0])
        return f"a mapping of {', '.join(f.name for f in fields)}"
    if choices:
        return f"a mapping, its kind {' | '.join(map(kind_of, choices))}"
    origin = typing.get_origin(hint)
    members = [each for each in typing.get_args(hint) if each is not type(None)]
    if origin is typing.Literal:
        return " | ".join(map(str, members))
    if origin is dict:
        return f"a mapping of names, each to {wanted(members[1])}"
    if origin is tuple:
        return f"a list, each {wanted(members[0])}"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "a switch"}
    return " or ".join(map(wanted, members)) or words.get(hint, "a value")
