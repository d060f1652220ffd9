"""The reference of all config fields, written from the dataclasses themselves.

A table row needs no text of its own: meaning, type, default and range are read from
the field, so that the page cannot say anything else than the code.
"""

import ast
import dataclasses
import enum
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

import annotated_types

from shardsim.core import docstrings

SYMBOLS = {
    annotated_types.Ge: (">=", "ge"),
    annotated_types.Gt: (">", "gt"),
    annotated_types.Le: ("<=", "le"),
    annotated_types.Lt: ("<", "lt"),
}
WORDS = {int: "integer", float: "number", str: "text", bool: "true or false"}


def page(roots: dict[str, type]) -> str:
    """The whole page: a section for each dataclass that a config can hold.

    Args:
      roots: command -> the dataclass of its config file.
    """
    lines = [
        "# Config fields",
        "",
        "Every field of a config file, read from the code when this site is built. In",
        "a file, write fields as YAML; on the command line, join them with dots:",
        "`--train.num-seeds 20`. A field without a default must be given. Where",
        "several kinds are possible, `kind` chooses one.",
        "",
    ]
    for command, root in roots.items():
        lines += [f"- `shardsim {command}` reads {_link(root)}."]
    classes: dict[type, None] = {}
    for root in roots.values():
        _walk(root, classes)
    for cls in classes:
        lines += ["", f"## {title(cls)}", "", _summary(cls), ""]
        lines += _table(cls)
    return "\n".join(lines) + "\n"


def _table(cls: type) -> list[str]:
    """A row per field but `kind`, which the title holds; no column without an entry."""
    fields = [field for field in dataclasses.fields(cls) if field.name != "kind"]
    if not fields:
        return ["No other fields."]
    rows: list[tuple[str, ...]] = [("field", "meaning", "type", "default", "range")]
    rows += [_row(cls, field) for field in fields]
    columns = [c for c in range(len(rows[0])) if any(row[c] for row in rows[1:])]
    rows = [tuple(row[c] for c in columns) for row in rows]
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return [head, "|" + "---|" * len(columns), *body]


def title(cls: type) -> str:
    """The name of a section: the kind if there is one, and the class."""
    kind = _kind(cls)
    return f"{cls.__name__} (kind: {kind})" if kind else cls.__name__


def _kind(cls: type) -> str | None:
    hint = typing.get_type_hints(cls).get("kind")
    return (
        typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Literal else None
    )


def _link(cls: type) -> str:
    anchor = title(cls).lower()
    anchor = "".join(c for c in anchor if c.isalnum() or c in " _-").replace(" ", "-")
    return f"[`{_kind(cls) or cls.__name__}`](#{anchor})"


def _summary(cls: type) -> str:
    return docstrings.of(cls).partition("\n\n")[0]


def _walk(cls: type, classes: dict[type, None]) -> None:
    """All dataclasses below one, in the order in which a file would hold them."""
    if cls in classes:
        return
    classes[cls] = None
    for hint in typing.get_type_hints(cls).values():
        for inner in _leaves(hint):
            if dataclasses.is_dataclass(inner):
                _walk(inner, classes)


def _leaves(hint: Any) -> Iterator[type]:
    arguments = typing.get_args(hint)
    if not arguments and isinstance(hint, type):
        yield hint
    if typing.get_origin(hint) is not typing.Literal:
        for inner in arguments:
            yield from _leaves(inner)


def _row(cls: type, field: dataclasses.Field[Any]) -> tuple[str, ...]:
    hint = typing.get_type_hints(cls, include_extras=True)[field.name]
    info = getattr(cls, "__pydantic_fields__", {}).get(field.name)
    meaning = getattr(info, "description", None) or meanings(cls).get(field.name, "")
    extras = [*_metadata(hint), *getattr(info, "metadata", [])]
    cells = (
        f"`{field.name}`",
        " ".join(meaning.split()),
        _words(hint),
        _default(field, info),
        ", ".join(dict.fromkeys(_bound(extra) for extra in extras if _bound(extra))),
    )
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _metadata(hint: Any) -> list[Any]:
    """What is attached to a type by `Annotated`, at any depth."""
    metadata = list(getattr(hint, "__metadata__", ()))
    if typing.get_origin(hint) is not typing.Literal:
        for inner in typing.get_args(hint):
            metadata += _metadata(inner)
    return [x for extra in metadata for x in (extra, *getattr(extra, "metadata", ()))]


def _bound(extra: Any) -> str:
    for cls, (symbol, name) in SYMBOLS.items():
        if isinstance(extra, cls):
            return f"{symbol} {getattr(extra, name)}"
    if isinstance(extra, annotated_types.MinLen):
        return f"at least {extra.min_length} entries"
    return ""


def _words(hint: Any) -> str:
    """A type in words, with links to the sections of dataclasses."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _words(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(inner) for inner in arguments)
    if origin is tuple:
        several = arguments[-1] is Ellipsis
        inner = dict.fromkeys(map(_words, arguments[:-1] if several else arguments))
        return ("list of " if several else f"{len(arguments)} of ") + ", ".join(inner)
    if origin is dict:
        return f"mapping from {_words(arguments[0])} to {_words(arguments[1])}"
    if hint is type(None):
        return "null"
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _link(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    return WORDS.get(hint, "anything" if hint is Any else str(hint))


def _default(field: dataclasses.Field[Any], info: Any) -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if info is not None:
        value = info.get_default(call_default_factory=True)
        if info.is_required():
            value = dataclasses.MISSING
    if value is dataclasses.MISSING:
        return "required"
    return f"`{_written(value)}`"


def _written(value: Any) -> str:
    """A default as it would stand in YAML."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = getattr(value, "kind", None)
        fields = dataclasses.fields(value)
        given = {f.name: getattr(value, f.name) for f in fields if f.name == "kind"}
        return _written(given) if kind else "{}"
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {_written(x)}" for key, x in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if value != "" else '""'


def meanings(cls: type) -> dict[str, str]:
    """Field -> the string that follows it in the class body."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, after in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                texts[statement.target.id] = str(after.value.value)
    return texts
