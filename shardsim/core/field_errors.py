"""What is wrong with a config, a line a field: its dotted name, value, what is allowed.

All faults are listed at once. Only a rule across fields waits until each field is
right.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import pydantic

from shardsim.core import choices

LONGEST = 160
"""Letters of a value that are shown."""
MOST_LINES = 40
"""Most faults that are listed; a long list of bad numbers says no more."""


class ConfigError(ValueError):
    """A config that can't be run; its text has one line for each fault."""


class Allowed(NamedTuple):
    """Metadata of a field's type: its range in words, where they can't be derived."""

    text: str


class Place(NamedTuple):
    """Where in a config an error lies."""

    path: str
    """Dotted field."""
    hint: Any
    """Its type."""
    owner: Any
    """The record whose field it is, or None."""


def lines(
    root: Any, error: pydantic.ValidationError, data: Mapping[str, Any] | None = None
) -> list[str]:
    """Everything that is wrong, a line for each field.

    Args:
      data: the config, for the names of its arms, predictions and so on.
    """
    errors = [_by_name(root, each) for each in error.errors(include_url=False)]
    unknown = [each["loc"] for each in errors if _is_unknown(each)]
    # a list is also called too short where none of its members is valid
    inside = {each["loc"][:-1] for each in errors}
    errors = [e for e in errors if e["type"] != "too_short" or e["loc"] not in inside]
    by_path: dict[str, str] = {}
    for each in errors:
        if each["type"] != "missing" or not _is_misspelt(each["loc"], unknown):
            path = _locate(root, each["loc"]).path
            meant = _meant_name(root, each, data or {})
            by_path.setdefault(path, _text(root, each) + meant)
    return [line for text in by_path.values() for line in text.splitlines()]


def joined(faults: Iterable[str]) -> str:
    """The text of an error: each fault once."""
    lines = list(dict.fromkeys(faults))
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES} more"]
    return "\n".join(lines)


def _is_misspelt(field: tuple[Any, ...], unknown: Sequence[tuple[Any, ...]]) -> bool:
    """Whether one of the unknown keys may have been meant for this field."""
    names = [other[-1] for other in unknown if other[:-1] == field[:-1]]
    return any(suggestion(name, field[-1:]) for name in names)


def _meant_name(root: Any, error: Any, data: Mapping[str, Any]) -> str:
    """The name that may have been meant where what it stands for is incomplete.

    A flag with a misspelt name, `--arms.shraded.head.num-shards 2`, adds an arm that
    lacks all the rest.
    """
    if error["type"] not in ("missing", "union_tag_not_found"):
        return ""
    inside: Any = data
    for count, step in enumerate(error["loc"]):
        hint = bare(_locate(root, error["loc"][:count]).hint)[0]
        if isinstance(inside, Mapping) and step in inside:
            if typing.get_origin(hint) is dict:
                meant = suggestion(step, [name for name in inside if name != step])
                if meant:
                    return meant
            inside = inside[step]
        elif isinstance(inside, list | tuple) and step in range(len(inside)):
            inside = inside[step]
    return ""


def _text(root: Any, error: Any) -> str:
    at = _locate(root, error["loc"])
    got = error["input"]
    match error["type"]:
        case _ if _is_unknown(error):
            allowed = keys_of((at.owner,), error["loc"][-1])
            return f"{at.path}: unknown key; allowed: {allowed}"
        case "missing" if isinstance(error["loc"][-1], str):
            allowed = describe(at.hint)
            return f"{at.path}: missing, and has no default; allowed: {allowed}"
        case "missing":  # from a list of a given length
            at = _locate(root, error["loc"][:-1])
            allowed = describe(at.hint)
        case "union_tag_not_found" | "union_tag_invalid" if isinstance(got, Mapping):
            kind = shown(got["kind"]) if "kind" in got else "nothing"
            allowed = one_of(records_by_kind(at.hint), got.get("kind"))
            return f"{join(at.path, 'kind')}: got {kind}; allowed: {allowed}"
        case "value_error":  # of the record's own: it begins with the field's name
            return prefixed(at.path, error["ctx"]["error"])
        case "unexpected_positional_argument":
            count = len(dataclasses.fields(root))
            return f"{root.__name__}: got {shown(got)}; allowed: {count} values"
        case "invalid_key":
            allowed = "names of fields"
        case "alike":
            return f"{at.path}: {error['msg']}"
        case "finite_number":
            allowed = "a finite number"
        case "allowed":
            allowed = error["msg"]
        case "literal_error" if error["loc"][-1] == "[key]":
            allowed = one_of(typing.get_args(at.hint), got)
            return f"{join(at.path, got)}: unknown key; allowed: {allowed}"
        case "literal_error":
            allowed = describe(at.hint) + suggestion(got, typing.get_args(at.hint))
        case kind if kind in RANGES:
            allowed = range_of(at.hint) or describe(at.hint)
        case _:
            allowed = describe(at.hint)
    return f"{at.path}: got {shown(got)}; allowed: {allowed}"


def _by_name(root: Any, error: Any) -> Any:
    """Fields that are given by their order are named."""
    first, *rest = error["loc"] or ("",)
    names = [field.name for field in dataclasses.fields(root)]
    if isinstance(first, int) and first < len(names):
        return {**error, "loc": (names[first], *rest)}
    return error


def _is_unknown(error: Any) -> bool:
    return error["type"] in ("unexpected_keyword_argument", "extra_forbidden")


def shown(got: Any) -> str:
    """A value in one line, cut where it is long."""
    text = repr(got)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def refuse(faults: Iterable[str]) -> None:
    """Raise all faults at once.

    Raises:
      ConfigError: there are any.
    """
    text = joined(faults)
    if text:
        raise ConfigError(text)


def faults(place: str, check: Callable[..., Any], *arguments: Any) -> list[str]:
    """What a check refuses, a line each, with the dotted field in front; or nothing."""
    try:
        check(*arguments)
    except ValueError as error:
        return prefixed(place, error).splitlines()
    return []


def prefixed(place: str, error: ValueError) -> str:
    """The lines of an error with the dotted field that holds its fields."""
    return "\n".join(join(place, line) for line in str(error).splitlines())


def join(path: str, key: object) -> str:
    """A dotted field."""
    return f"{path}.{key}" if path and str(key) else f"{path}{key}"


def one_of(names: Iterable[str], got: object) -> str:
    """All names, and the one that may have been meant."""
    names = tuple(names)
    return ", ".join(names) + suggestion(got, names)


def keys_of(owners: Sequence[Any], got: object) -> str:
    """All fields of some records, and the one that may have been meant.

    Where none of their own is near, fields of the records inside them are tried.
    """
    own = dict.fromkeys(f.name for each in owners for f in dataclasses.fields(each))
    inner = {
        field: join(name, field)
        for each in owners
        for name, hint in types_of(each).items()
        if dataclasses.is_dataclass(bare(hint)[0])
        for field in types_of(bare(hint)[0])
    }
    meant = suggestion(got, own)
    if not meant and str(got) in inner:
        meant = f" (did you mean {inner[str(got)]}?)"
    return ", ".join(own) + meant


def suggestion(got: object, names: Iterable[object]) -> str:
    """` (did you mean ...?)`, or nothing where no name is near."""
    near = difflib.get_close_matches(str(got), map(str, names), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _locate(root: Any, steps: tuple[int | str, ...]) -> Place:
    """Where pydantic's location lies; the kinds in it are no fields."""
    at = outer = Place("", root, None)
    for step in steps:
        kinds = records_by_kind(at.hint)
        hint, owner = bare(at.hint)[0], None
        if len(kinds) > 1 and step in kinds:
            at = at._replace(hint=kinds[str(step)])
            continue
        inner = typing.get_args(hint)
        if step == "[key]":  # the name itself is at fault, not what it stands for
            at = Place(outer.path, typing.get_args(bare(outer.hint)[0])[0], None)
            continue
        if dataclasses.is_dataclass(hint):
            owner, child = hint, types_of(hint).get(str(step), Any)
        elif typing.get_origin(hint) is dict:
            child = inner[1]
        elif typing.get_origin(hint) is tuple:
            child = inner[0 if inner[-1] is ... else min(int(step), len(inner) - 1)]
        else:
            child = Any
        name = step if str(step).isprintable() else repr(step)
        at, outer = Place(join(at.path, name), child, owner), at
    return at


RANGES = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
    "string_pattern_mismatch",
    "string_too_short",
    "too_long",
    "too_short",
}
"""Errors of values whose type is right."""
NOUNS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def types_of(cls: Any) -> dict[str, Any]:
    """Type of each field of a record, with its range."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def bare(hint: Any) -> tuple[Any, list[Any]]:
    """A type without `| None` and metadata, and the metadata."""
    if typing.get_origin(hint) is Annotated:
        inner, *metadata = typing.get_args(hint)
        hint, more = bare(inner)
        flat = [x for m in metadata for x in getattr(m, "metadata", [m])]
        return hint, [*more, *flat]
    if is_union(hint):
        members = [m for m in typing.get_args(hint) if m is not type(None)]
        if len(members) == 1:
            return bare(members[0])
    return hint, []


def is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def kind_of(cls: Any) -> str:
    """The `kind` by which a record of a union is named in a file.

    Raises:
      TypeError: the record has none.
    """
    kinds = [f.default for f in dataclasses.fields(cls) if f.name == "kind"]
    if not kinds or not isinstance(kinds[0], str):
        name = cls.__name__.lower()
        raise TypeError(
            f"{cls.__name__}: has no field `kind` with a default; allowed in a union: "
            f'`kind: Literal["{name}"] = "{name}"`'
        )
    return kinds[0]


def records_by_kind(hint: Any) -> dict[str, Any]:
    """Members of a union of records, by kind; none for another type."""
    hint, _ = bare(hint)
    if not is_union(hint):
        return {}
    members = [bare(m)[0] for m in typing.get_args(hint) if m is not type(None)]
    records = [m for m in members if dataclasses.is_dataclass(m)]
    return {kind_of(m): m for m in [*records, *choices.joined(records)]}


def describe(hint: Any) -> str:
    """What a field of this type holds."""
    nullable = is_union(hint) and type(None) in typing.get_args(hint)
    return _described(hint) + (" or null" if nullable else "")


def _described(hint: Any) -> str:
    base, _ = bare(hint)
    kinds, inner = records_by_kind(hint), typing.get_args(base)
    origin, limits = typing.get_origin(base), range_of(hint)
    if kinds:
        return f"a mapping, its kind {' | '.join(kinds)}"
    if dataclasses.is_dataclass(base):
        names = [field.name for field in dataclasses.fields(base)]
        return f"a mapping of {', '.join(names)}"
    if origin is typing.Literal:
        *most, last = map(repr, inner)
        return f"{', '.join(most)} or {last}" if most else last
    if is_union(base):
        return " or ".join(_described(m) for m in inner if m is not type(None))
    many = f" of {limits}" if limits else ""
    if origin is dict:
        keys = f"{limits} names" if limits else "names"
        return f"a mapping of {keys}, each to {describe(inner[1])}"
    if origin is tuple and inner[-1] is ...:
        return f"a list{many}, each {describe(inner[0])}"
    if origin is tuple:
        return f"a list of {len(inner)}, each {describe(inner[0])}"
    noun = NOUNS.get(base, "a value")
    return f"{noun}, {limits}" if limits else noun


def range_of(hint: Any) -> str:
    """The range of a number or the length of a list in words; empty where any is."""
    base, metadata = bare(hint)
    ranges = [each.text for each in metadata if isinstance(each, Allowed)]
    if ranges:
        return ranges[-1]
    limits: dict[str, Any] = {}
    for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
        for each in metadata:
            if getattr(each, name, None) is not None:
                limits[name] = getattr(each, name)
    if base is int:
        limits["ge"] = limits.pop("gt") + 1 if "gt" in limits else limits.get("ge")
        limits["le"] = limits.pop("lt") - 1 if "lt" in limits else limits.get("le")
    return _range_text(*map(limits.get, ("ge", "gt", "le", "lt")), **_lengths(limits))


def _lengths(limits: Mapping[str, Any]) -> dict[str, Any]:
    return {"fewest": limits.get("min_length"), "most": limits.get("max_length")}


def _range_text(ge: Any, gt: Any, le: Any, lt: Any, fewest: Any, most: Any) -> str:
    if fewest is not None:
        words = {1: "one or more", 2: "two or more"}.get(fewest, f"{fewest} or more")
        return words if most is None else f"{fewest} to {most}"
    if ge is not None:
        upper = f" to {_number(le)}" if le is not None else ""
        upper = f" to less than {_number(lt)}" if lt is not None else upper
        return f"{_number(ge)}{upper}" if upper else f"at least {_number(ge)}"
    low = f"more than {_number(gt)}" if gt is not None else ""
    bound = "up to" if low else "at most"
    high = f"{bound} {_number(le)}" if le is not None else ""
    high = f"less than {_number(lt)}" if lt is not None else high
    return " and ".join(filter(None, (low, high)))


def _number(value: Any) -> str:
    """A bound as a reader knows it: 2**32 - 1, and not ten digits."""
    if isinstance(value, int) and value > 2**16 and (value & (value + 1)) == 0:
        return f"2**{value.bit_length()} - 1"
    return f"{value:g}" if isinstance(value, float) else str(value)
