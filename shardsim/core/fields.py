"""Config records: frozen dataclasses that check their own fields.

    @fields.record
    class Lookahead:
        kind: Literal["lookahead"] = "lookahead"
        temperature: PositiveFloat = 0.01
        \"\"\"tau, in units of reward.\"\"\"

Meaning, default and range of a field stand in the class and nowhere else: errors, the
JSON Schema and `--explain` are made from them. A union of records with a `kind` is told
apart by it. A mapping in the place of a record may leave the kind out if the field has
a default; it is then the default's.

Numbers are strict. True and "1" are not numbers, 2.0 is not a whole number, and NaN,
infinity and what 32 bits can't hold are refused: a size below theirs would be computed
with as 0, and one above them as infinity or as another number.
"""

import dataclasses
import functools
import inspect
import math
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

import pydantic
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    Strict,
    WithJsonSchema,
)
from pydantic_core import ArgsKwargs, PydanticCustomError

from shardsim.core import field_errors
from shardsim.core.field_errors import Allowed, ConfigError

T = TypeVar("T")

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A probability or a share."""
Decay = Annotated[float, Field(ge=0, lt=1)]
"""A factor of a geometric series."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What a JAX key is made from; it takes 32 bits."""
Sizes = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
"""Sizes of one or more layers."""
Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"),
    Allowed("letters, digits, - and _, 64 at most"),
]
"""A name that is also the name of a file."""

ENV_CHANGES = "x-env-changes"
"""Mark in an unfinished JSON Schema: fields of the env that may change."""
EnvChanges = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", ENV_CHANGES: True})
]
"""Fields of an env by name, with other values; those in its `SCHEDULED` may change."""

MOST_WHOLE = 2**32
LEAST, MOST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
"""Smallest normal and largest number of float32."""


@typing.overload
def record(cls: type[T]) -> type[T]: ...
@typing.overload
def record(
    *, kw_only: bool = False, float64: bool = False
) -> Callable[[type[T]], type[T]]: ...
@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(
    cls: type[Any] | None = None, *, kw_only: bool = False, float64: bool = False
) -> Any:
    """Class decorator: a frozen, hashable dataclass whose fields are checked.

    Args:
      kw_only: whether fields are given by name alone.
      float64: whether numbers may have any finite size, as in results on disk. Those
        of a config have to fit into 32 bits, for they are computed with.

    Raises, when an instance is made:
      ConfigError: one line with the field, its value and what is allowed.
    """
    if cls is None:
        return functools.partial(_record, kw_only=kw_only, leaves=LEAVES[float64])
    return _record(cls, kw_only, LEAVES[float64])


def _record(cls: type[Any], kw_only: bool, leaves: "Leaves") -> Any:
    cls.__annotations__ = {
        name: _checked(hint, leaves, cls.__dict__.get(name))
        for name, hint in inspect.get_annotations(cls).items()
    }
    config = pydantic.ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        defer_build=True,
        arbitrary_types_allowed=True,
    )
    decorate = pydantic.dataclasses.dataclass(
        frozen=True, kw_only=kw_only, config=config
    )
    made: Any = decorate(cls)

    @functools.wraps(made.__init__)
    def init(self: Any, *args: Any, **values: Any) -> None:
        if not made.__pydantic_complete__:  # at the first use, not at import
            pydantic.dataclasses.rebuild_dataclass(made)
            made.__init__ = init  # pydantic has put its own there
        check = made.__pydantic_validator__.validate_python
        try:
            check(ArgsKwargs(args, values), self_instance=self)
        except pydantic.ValidationError as error:
            raise ConfigError(field_errors.line(made, error)) from None

    made.__init__ = init
    return made


Leaves: TypeAlias = Mapping[type, tuple[Any, ...]]
"""What is asked of each number and text, by its type."""


def _checked(hint: Any, leaves: Leaves, default: Any = None) -> Any:
    """A type with what this module asks of every number, text and union."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in leaves:
        return Annotated[hint, *leaves[hint]]
    if origin is Annotated and inner[0] in leaves:
        return Annotated[*inner, *leaves[inner[0]]]
    if origin is Annotated:
        return Annotated[_checked(inner[0], leaves), *inner[1:]]
    if origin in (types.UnionType, typing.Union):
        return _checked_union(inner, leaves, default)
    if origin in (tuple, dict):
        return origin[tuple(x if x is ... else _checked(x, leaves) for x in inner)]
    return hint


def _checked_union(members: tuple[Any, ...], leaves: Leaves, default: Any) -> Any:
    records = [m for m in members if dataclasses.is_dataclass(m)]
    others = [_checked(m, leaves) for m in members if m not in records]
    if len(records) < 2:
        return typing.Union[tuple([*records, *others])]  # noqa: UP007
    tagged: Any = typing.Union[tuple(records)]  # noqa: UP007
    tagged = Annotated[tagged, Field(discriminator="kind")]
    kind = getattr(default, "kind", None)
    if kind is not None:
        tagged = Annotated[tagged, BeforeValidator(functools.partial(fill_kind, kind))]
    return typing.Union[tuple([tagged, *others])]  # noqa: UP007


def admits(hint: Any, value: Any) -> bool:
    """Whether a value may stand in a field of this type."""
    try:
        _adapter(hint).validate_python(value)
    except pydantic.ValidationError:
        return False
    return True


@functools.cache
def _adapter(hint: Any) -> pydantic.TypeAdapter:
    config = pydantic.ConfigDict(allow_inf_nan=False)
    return pydantic.TypeAdapter(_checked(hint, LEAVES[False]), config=config)


def fill_kind(kind: str, data: Any) -> Any:
    """Fields given without a kind are those of the default's kind."""
    return {"kind": kind, **data} if isinstance(data, Mapping) else data


def _plain_int(value: Any) -> Any:
    """NumPy's whole numbers as Python's."""
    other = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return int(value) if other else value


def _fits_whole(value: int) -> int:
    if abs(value) > MOST_WHOLE:
        raise PydanticCustomError("size", "at most 2**32 in size")
    return value


def _fits(value: float) -> float:
    if value != 0 and not LEAST <= abs(value) <= MOST and math.isfinite(value):
        raise PydanticCustomError("size", f"0, or {LEAST:.1e} to {MOST:.1e} in size")
    return value


_ANY_SIZE: Leaves = {
    int: (Strict(), BeforeValidator(_plain_int)),
    float: (Strict(),),
    str: (Strict(),),
    bool: (Strict(),),
}
LEAVES: Mapping[bool, Leaves] = {
    True: _ANY_SIZE,
    False: {
        **_ANY_SIZE,
        int: (*_ANY_SIZE[int], AfterValidator(_fits_whole)),
        float: (*_ANY_SIZE[float], AfterValidator(_fits)),
    },
}
"""Whether numbers have 64 bits -> what is asked of them."""
