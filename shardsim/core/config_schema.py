"""What may stand in a config, for editors (JSON Schema) and for readers (`--explain`).

Both are made from the records alone: types and ranges from the annotations, meanings
from the strings below the fields.
"""

import ast
import dataclasses
import functools
import inspect
import itertools
import json
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pydantic
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from shardsim.core import config, docstrings, field_errors, fields, yaml_text

WIDTH = 88
ENV_CHANGES = "EnvChanges"
"""Definition of the fields of an env that a phase or a condition may change."""
DEFAULT_KIND = "x-default-kind"
"""Mark in an unfinished schema: the kind of a mapping that says none."""


@functools.cache
def meanings(cls: Any) -> dict[str, str]:
    """The string below each field of a record, in one line.

    A record has those of the records that it extends too. One that has no file, such as
    one of a notebook, may have none of its own.
    """
    inherited: dict[str, str] = {}
    for base in reversed(cls.__bases__):
        if dataclasses.is_dataclass(base):
            inherited |= meanings(typing.cast(Any, base))
    return inherited | _own_meanings(cls)


def _own_meanings(cls: Any) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):
        return {}
    body = typing.cast(ast.ClassDef, tree.body[0]).body
    names = {field.name for field in dataclasses.fields(cls)}
    texts = {}
    for field, text in itertools.pairwise(body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str() as meaning)
            ) if name in names:
                texts[name] = " ".join(meaning.split())
    return texts


def summary(cls: Any) -> str:
    """The first paragraph of a record's docstring, in one line."""
    return " ".join(docstrings.of(cls).partition("\n\n")[0].split())


def json_schema(cls: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `config.build` reads."""
    adapter = pydantic.TypeAdapter(cls)
    schema = adapter.json_schema(schema_generator=_Generator)
    schema["$defs"][ENV_CHANGES] = {
        "type": "object",
        "properties": _env_changes(cls, schema["$defs"]),
        "additionalProperties": False,
    }
    _finish(schema, schema["$defs"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def to_json(cls: Any) -> str:
    """The schema as a file."""
    return json.dumps(json_schema(cls), indent=1, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """pydantic's, with meanings of the fields and the kinds of the defaults."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> dict[str, Any]:
        record = super().dataclass_schema(schema)
        cls: Any = schema["cls"]
        meaning = meanings(cls)
        for name, field in record.get("properties", {}).items():
            if name in meaning:
                field["description"] = meaning[name]
        record["description"] = summary(cls)
        kind = record.get("properties", {}).get("kind", {})
        if "const" in kind:
            kind["description"] = record["description"]
            record["required"] = sorted({"kind", *record.get("required", [])})
        return record

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> dict[str, Any]:
        inner = super().function_before_schema(schema)
        function: Any = schema["function"]["function"]
        if getattr(function, "func", None) is fields.fill_kind:
            inner = {**inner, DEFAULT_KIND: function.args[0]}
        return inner

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def _env_changes(cls: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The fields that some env lets change, by name, with the types that they have."""
    env = field_errors.types_of(cls).get("env")
    types_by_name: dict[str, list[Any]] = {}
    worlds = [*field_errors.records_by_kind(env).values()]
    alone = field_errors.bare(env)[0]  # a config of one world has no choice
    for member in worlds or [alone] * hasattr(alone, "SCHEDULED"):
        for name in member.SCHEDULED:
            field = definitions[member.__name__]["properties"][name]
            field = {key: x for key, x in field.items() if key != "default"}
            types = types_by_name.setdefault(name, [])
            if field not in types:
                types.append(field)
    return {
        name: types[0] if len(types) == 1 else {"anyOf": types}
        for name, types in types_by_name.items()
    }


def _finish(schema: Any, definitions: dict[str, Any]) -> None:
    """Say it as editors understand it: default kinds by `if`, lists by their length."""
    for inner in [*schema.values()] if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            _finish(inner, definitions)
    if not isinstance(schema, dict):
        return
    if schema.pop(fields.ENV_CHANGES, False):
        schema["$ref"] = f"#/$defs/{ENV_CHANGES}"
    prefix = schema.get("prefixItems")
    if isinstance(prefix, list) and all(item == prefix[0] for item in prefix):
        schema["items"] = schema.pop("prefixItems")[0]
    if "patternProperties" in schema:  # names that are spelt otherwise are refused
        schema["additionalProperties"] = False
    if not isinstance(schema.get("discriminator"), dict):
        return
    kinds = schema.pop("discriminator")["mapping"]
    default = schema.pop(DEFAULT_KIND, None)
    if default is not None:
        plain = definitions[kinds[default].rpartition("/")[2]]
        others = [name for name in plain["required"] if name != "kind"]
        schema["if"] = {"required": ["kind"]}
        schema["then"] = {"oneOf": schema.pop("oneOf")}
        schema["else"] = {**plain, "required": others}


class Hit(NamedTuple):
    """A field that a dotted path leads to."""

    owner: Any
    """Its record; None for what has no field of its own: an arm, a kind."""
    name: str
    hint: Any


def explain(root: Any, path: str, data: Any = None) -> str:
    """Meaning, type, default, range and choices of a field.

    Args:
      root: the record at the top.
      path: dotted field. Names of arms and the like and numbers of lists may be left
        out: `arms.head.load_balance`. Empty for the top.
      data: a config as nested dictionaries; it says kinds and values.

    Raises:
      ConfigError: no such field; the nearest is suggested.
    """
    if not path:
        return "\n".join([*_paragraph(summary(root)), *_contents(root)])
    steps = path.replace("-", "_").split(".")
    hits = list(_hits(root, steps, data, ""))
    texts: dict[str, list[str]] = {}
    for hit in hits:
        texts.setdefault("\n".join(_explained(hit)), []).append(_kind_label(hit.owner))
    lines = [path]
    for text, kinds in texts.items():
        if len(texts) > 1:
            lines += textwrap.wrap(f"of {', '.join(kinds)}:", WIDTH)
        lines.append(text)
    held = _held(data, steps)
    if held is not None:
        lines.append(f"  here: {_flow(held)}")
    return "\n".join(lines)


def _kind_label(owner: Any) -> str:
    if owner is None:
        return ""
    names = [field.name for field in dataclasses.fields(owner)]
    return field_errors.kind_of(owner) if "kind" in names else owner.__name__


def _hits(hint: Any, steps: Sequence[str], data: Any, place: str) -> Iterator[Hit]:
    """What lies at the end of the path: a field for each kind that has it."""
    if not steps:
        yield Hit(None, "", hint)
        return
    records = _records(hint)
    if not records:
        raise fields.ConfigError(f"{place}: got {'.'.join(steps)}; allowed: no fields")
    step, rest = steps[0], steps[1:]
    base, _ = field_errors.bare(hint)
    if typing.get_origin(base) in (dict, tuple):
        listed = typing.get_origin(base) is tuple
        inner = typing.get_args(base)[0 if listed else 1]
        held = _held(data, [step])
        known = {f.name for r in records for f in dataclasses.fields(r)}
        if step.isdigit() if listed else held or (rest and step not in known):
            yield from _hits(inner, rest, held, field_errors.join(place, step))
        elif isinstance(data, Mapping) and not listed and step not in known:
            allowed = field_errors.one_of(map(str, data), step)
            at = field_errors.join(place, step)
            raise fields.ConfigError(f"{at}: no such entry; allowed: {allowed}")
        else:  # the name or the number is left out
            yield from _hits(inner, steps, None, place)
        return
    kinds = field_errors.records_by_kind(hint)
    if step in kinds:  # a kind in the place of a name
        yield from _hits(kinds[step], rest, None, field_errors.join(place, step))
        return
    if isinstance(data, Mapping) and data.get("kind") in kinds:
        records = (kinds[data["kind"]],)
    owners = [each for each in records if step in field_errors.types_of(each)]
    place = field_errors.join(place, step)
    if not owners:
        allowed = field_errors.keys_of(records, step)
        raise fields.ConfigError(f"{place}: unknown key; allowed: {allowed}")
    for owner in owners:
        inner = field_errors.types_of(owner)[step]
        if rest:
            yield from _hits(inner, rest, _held(data, [step]), place)
        else:
            yield Hit(owner, step, inner)


def _held(data: Any, steps: Sequence[str]) -> Any:
    """What a config says there; None where it says nothing."""
    for step in steps:
        if isinstance(data, list) and step.isdigit() and int(step) < len(data):
            data = data[int(step)]
        elif isinstance(data, Mapping):
            data = {str(key).replace("-", "_"): x for key, x in data.items()}.get(step)
        else:
            return None
    return data


def _records(hint: Any) -> tuple[Any, ...]:
    """The records that a value of this type is made of, below names and lists."""
    base, _ = field_errors.bare(hint)
    if dataclasses.is_dataclass(base):
        return (base,)
    if typing.get_origin(base) is dict:
        return _records(typing.get_args(base)[1])
    if typing.get_origin(base) is tuple:
        return _records(typing.get_args(base)[0])
    return tuple(field_errors.records_by_kind(base).values())


def _explained(hit: Hit) -> list[str]:
    if hit.owner is None:
        records = _records(hit.hint)
        text = _paragraph(summary(records[0])) if len(records) == 1 else []
        return text + _contents(hit.hint)
    lines = _paragraph(meanings(hit.owner).get(hit.name, ""))
    if hit.name == "kind":
        lines += _paragraph(summary(hit.owner))
    lines += _paragraph(f"allowed: {field_errors.describe(hit.hint)}")
    lines += _paragraph(f"default: {_default(hit.owner, hit.name)}")
    return lines + _contents(hit.hint)


def _default(owner: Any, name: str) -> str:
    field = next(f for f in dataclasses.fields(owner) if f.name == name)
    if field.default is not dataclasses.MISSING:
        return _flow(config.to_dict(field.default))
    if field.default_factory is not dataclasses.MISSING:
        return _flow(config.to_dict(field.default_factory()))
    return "none, it has to be given"


def _flow(value: Any) -> str:
    """In one line, as it would stand in a file."""
    return yaml_text.dump(value, flow=True).removesuffix("...\n").strip()


def _contents(hint: Any) -> list[str]:
    """Fields of a record, or kinds of a union, a line each."""
    records = _records(hint)
    if len(records) > 1:
        rows = {field_errors.kind_of(each): summary(each) for each in records}
        return ["  kinds:", *_table(rows)]
    if not records:
        return []
    texts = meanings(records[0])
    rows = {
        name: texts.get(name, "") or field_errors.describe(hint)
        for name, hint in field_errors.types_of(records[0]).items()
    }
    return ["  fields:", *_table(rows)]


def _table(rows: Mapping[str, str]) -> list[str]:
    side = max(map(len, rows)) + 2
    return [
        line
        for name, text in rows.items()
        for line in textwrap.wrap(
            f"    {name:<{side}}{text}", WIDTH, subsequent_indent=" " * (side + 4)
        )
    ]


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False
    )
