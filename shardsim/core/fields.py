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

A rule across fields is a method with `rule`. All faults of a config are listed at once.

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
import unicodedata
from collections.abc import Callable, Iterable, Mapping
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
from pydantic_core import ArgsKwargs, PydanticCustomError, core_schema

from shardsim.core import choices, field_errors, yaml_text
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


def _is_label(name: str) -> str:
    if not (0 < len(name) <= 64 and name.isprintable() and name == name.strip()):
        raise PydanticCustomError("allowed", LABEL)
    return name


LABEL = "printable text in one line, 64 letters at most"
Label = Annotated[str, AfterValidator(_is_label), Allowed(LABEL)]
"""A name that reports and error texts print."""

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
      ConfigError: a line for each fault: the field, its value and what is allowed.

    Examples:
      >>> @shardsim.record
      ... class Rate:
      ...     updates: pydantic.PositiveInt = 1
      >>> Rate(updates=0)
      Traceback (most recent call last):
      shardsim.core.field_errors.ConfigError: updates: got 0; allowed: at least 1
    """
    if cls is None:
        return functools.partial(_record, kw_only=kw_only, leaves=LEAVES[float64])
    return _record(cls, kw_only, LEAVES[float64])


R = TypeVar("R", bound=Callable[[Any], Iterable[str]])


def rule(*reads: str) -> Callable[[R], R]:
    """Decorator of a method of a record: a rule across fields.

    The method yields a line for each fault: "field: got X; allowed: Y". It runs once
    the fields that it reads are right, whatever is wrong with the others.

    Args:
      reads: names of these fields.
    """

    def mark(method: R) -> R:
        method.reads = frozenset(reads)  # type: ignore[attr-defined]
        return method

    return mark


def _rules(cls: Any) -> list[Any]:
    """The rules of a record, those of the records that it extends first."""
    members: dict[str, Any] = {}
    for each in reversed(cls.__mro__):
        members |= vars(each)
    methods = [x for x in members.values() if isinstance(x, types.FunctionType)]
    return [method for method in methods if hasattr(method, "reads")]


def _follow_rules(record: Any) -> None:
    field_errors.refuse(line for each in _rules(type(record)) for line in each(record))


def faults(cls: Any, data: Any, place: str = "") -> list[str]:
    """What the rules across fields refuse in a config some of whose fields are wrong.

    Args:
      cls: a record.
      data: it as nested dictionaries.
      place: its dotted field.
    """
    if not isinstance(data, Mapping):
        return []
    right: dict[str, Any] = {}
    lines: list[str] = []
    for field in dataclasses.fields(cls):
        hint = field_errors.types_of(cls)[field.name]
        if field.name in data:
            try:
                got = data[field.name]
                right[field.name] = pydantic.TypeAdapter(hint).validate_python(got)
            except pydantic.ValidationError:
                lines += _faults_inside(hint, got, field_errors.join(place, field.name))
        elif field.default is not dataclasses.MISSING:
            right[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            right[field.name] = field.default_factory()
    record = object.__new__(cls)
    vars(record).update(right)
    for method in _rules(cls):
        if method.reads <= right.keys():
            lines += [field_errors.join(place, line) for line in method(record)]
    return lines


def _faults_inside(hint: Any, data: Any, place: str) -> list[str]:
    """The same of the records that a value of this type is made of."""
    base = field_errors.bare(hint)[0]
    inner = typing.get_args(base)
    items: dict[Any, Any] = {}
    if typing.get_origin(base) is dict and isinstance(data, Mapping):
        items, base = dict(data), inner[1]
    elif typing.get_origin(base) is tuple and isinstance(data, list):
        items, base = dict(enumerate(data)), inner[0]
    elif isinstance(data, Mapping):
        kinds = field_errors.records_by_kind(hint)
        cls = kinds.get(str(data.get("kind"))) if kinds else base
        return faults(cls, data, place) if dataclasses.is_dataclass(cls) else []
    return [
        line
        for key, each in items.items()
        for line in _faults_inside(base, each, field_errors.join(place, key))
    ]


def _record(cls: type[Any], kw_only: bool, leaves: "Leaves") -> Any:
    if _rules(cls):
        cls.__post_init__ = _follow_rules
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
    checked: Any = decorate(cls)

    @functools.wraps(checked.__init__)
    def init(self: Any, *args: Any, **values: Any) -> None:
        if not checked.__pydantic_complete__:  # at the first use, not at import
            pydantic.dataclasses.rebuild_dataclass(checked)
            checked.__init__ = init  # pydantic has put its own there
        check = checked.__pydantic_validator__.validate_python
        try:
            check(ArgsKwargs(args, values), self_instance=self)
        except pydantic.ValidationError as error:
            lines = field_errors.lines(checked, error)
            raise ConfigError(field_errors.joined(lines)) from None

    checked.__init__ = init
    _RECORDS.append(checked)
    return checked


_RECORDS: list[Any] = []
"""All records, in the order of their definition."""
BUILT = (
    "__pydantic_core_schema__",
    "__pydantic_serializer__",
    "__pydantic_validator__",
)
"""What pydantic has made of a record, as attributes of it."""


def rebuild() -> None:
    """Let every record be built anew at its next use: a union may have grown."""
    for record in _RECORDS:
        for name in BUILT:
            if name in vars(record):
                delattr(record, name)
        record.__pydantic_complete__ = False
    _adapter.cache_clear()
    for clear in ON_REBUILDING:
        clear()


ON_REBUILDING: list[Callable[[], object]] = []
"""What else was made of records, and has to be forgotten with it."""

Leaves: TypeAlias = Mapping[type, tuple[Any, ...]]
"""What is asked of each number and text, by its type."""


def _checked(hint: Any, leaves: Leaves, default: Any = None) -> Any:
    """A type with what this module asks of every number, text and union."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in leaves:
        return Annotated[hint, *leaves[hint]]
    if origin is Annotated and inner[0] in leaves:
        return Annotated[*inner, *leaves[inner[0]]]
    if origin is Annotated and _has_names(inner[0]):
        return Annotated[_checked_items(inner[0], leaves), *inner[1:], DISTINCT]
    if origin is Annotated:
        return Annotated[_checked(inner[0], leaves), *inner[1:]]
    if origin in (types.UnionType, typing.Union):
        return _checked_union(inner, leaves, default)
    if _has_names(hint):
        return Annotated[_checked_items(hint, leaves), DISTINCT]
    return _checked_items(hint, leaves) if origin in (tuple, dict) else hint


def _has_names(hint: Any) -> bool:
    """Whether a mapping goes by names of the user."""
    is_dict = typing.get_origin(hint) is dict
    return is_dict and typing.get_args(hint)[0] in (Name, Label)


def _checked_items(hint: Any, leaves: Leaves) -> Any:
    inner = typing.get_args(hint)
    checked = tuple(x if x is ... else _checked(x, leaves) for x in inner)
    return typing.get_origin(hint)[checked]


def _checked_union(members: tuple[Any, ...], leaves: Leaves, default: Any) -> Any:
    records: list[Any] = [m for m in members if dataclasses.is_dataclass(m)]
    others = [_checked(m, leaves) for m in members if m not in records]
    if len(records) < 2:
        return typing.Union[tuple([*records, *others])]  # noqa: UP007
    kinds = [field_errors.kind_of(member) for member in records]
    if len(set(kinds)) < len(kinds):
        names = ", ".join(member.__name__ for member in records)
        raise TypeError(f"{names}: got kinds {kinds}; allowed: different ones")
    tagged: Any = typing.Union[tuple(records)]  # noqa: UP007
    tagged = Annotated[tagged, _Kinds(tuple(records))]
    kind = getattr(default, "kind", None)
    if kind is not None:
        tagged = Annotated[tagged, BeforeValidator(functools.partial(fill_kind, kind))]
    return typing.Union[tuple([tagged, *others])]  # noqa: UP007


@dataclasses.dataclass(frozen=True)
class _Kinds:
    """Metadata of a union of records: one is told apart by its `kind`.

    What has joined the union counts when the union is first used, not at import.
    """

    records: tuple[Any, ...]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        del source
        members = (*self.records, *choices.joined(self.records))
        union: Any = typing.Union[members]  # noqa: UP007
        schema: core_schema.CoreSchema = handler.generate_schema(
            Annotated[union, Field(discriminator="kind")]
        )
        return schema


def _distinct(named: dict[str, Any]) -> dict[str, Any]:
    """Names have to differ where case or dashes do not count: in files and in flags."""
    by_plain: dict[str, str] = {}
    for name in named:
        plain = unicodedata.normalize("NFKC", name).casefold().replace("-", "_")
        other = by_plain.setdefault(plain, name)
        if other != name:
            raise PydanticCustomError(
                "alike",
                "got {one} and {two}; allowed: names that differ in more than case, "
                "- and _",
                {"one": repr(other), "two": repr(name)},
            )
    return named


DISTINCT = AfterValidator(_distinct)


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


def _plain_float(value: Any) -> Any:
    """Numbers of a file as Python's."""
    return float(value) if isinstance(value, yaml_text.WrittenFloat) else value


def _as_written(value: Any) -> Any:
    """Text that a file could mean as a number: `1e3` is the name 1e3."""
    return getattr(value, "written", value)


def _fits_whole(value: int) -> int:
    if abs(value) > MOST_WHOLE:
        raise PydanticCustomError("allowed", "at most 2**32 in size")
    return value


def _fits(value: float) -> float:
    if value != 0 and not LEAST <= abs(value) <= MOST and math.isfinite(value):
        raise PydanticCustomError("allowed", f"0, or {LEAST:.1e} to {MOST:.1e} in size")
    return value


_ANY_SIZE: Leaves = {
    int: (Strict(), BeforeValidator(_plain_int)),
    float: (Strict(), BeforeValidator(_plain_float)),
    str: (Strict(), BeforeValidator(_as_written)),
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
