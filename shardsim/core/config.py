"""Nested frozen dataclasses <-> YAML, flags and dictionaries; digest and diff.

A config is data: a choice is a union of dataclasses told apart by `kind`, a default
stands in the dataclass alone. Whatever is wrong is one line that names the dotted
field, the value and what is allowed.
"""

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from shardsim.core import hints, leaves

T = TypeVar("T")


class ConfigError(ValueError):
    """A config that can't be run; its text is one line for the user."""


class _Loader(yaml.SafeLoader):
    """YAML in which a field said twice is an error, and not the last one's."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # not when it is constructed: by then others may be merged into it
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"{key.value}: said twice", key.start_mark
                )
            seen.add(str(key.value))
        return node


def build(cls: type[T], data: Mapping[str, Any]) -> T:
    """The dataclass that a nested dictionary describes.

    Raises:
      ConfigError: an unknown key, a wrong type or an impossible value.
    """
    built: T = _build(cls, data, "")
    return built


def _build(hint: Any, data: Any, place: str) -> Any:
    options = hints.dataclasses_of(hint)
    if data is None and type(None) in typing.get_args(hint):
        return None
    if options:
        return _build_dataclass(options, data, place)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if (
        origin is dict
        and hints.dataclasses_of(arguments[1])
        and isinstance(data, Mapping)
    ):
        return {
            str(key): _build(arguments[1], inner, _join(place, key))
            for key, inner in data.items()
        }
    if origin is tuple and hints.dataclasses_of(arguments[0]) and _is_list(data):
        return tuple(
            _build(arguments[0], inner, _join(place, index))
            for index, inner in enumerate(data)
        )
    return _leaf(hint, data, place)


def _build_dataclass(options: tuple[type, ...], data: Any, place: str) -> Any:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{place}: got {data!r}; allowed: a mapping of fields")
    chosen = _choose(options, data, place)
    fields = {f.name: f for f in dataclasses.fields(chosen)}
    types_of = typing.get_type_hints(chosen)
    for key in data:
        if key not in fields:
            allowed = ", ".join(fields)
            raise ConfigError(f"{_join(place, key)}: unknown key; allowed: {allowed}")
    for name, field in fields.items():
        no_default = field.default is field.default_factory is dataclasses.MISSING
        if no_default and name not in data:
            raise ConfigError(
                f"{_join(place, name)}: missing, and has no default; allowed: "
                + hints.wanted(types_of[name])
            )
    values = {
        key: _build(types_of[key], _of_kind(fields[key], inner), _join(place, key))
        for key, inner in data.items()
    }
    try:
        return chosen(**values)
    except ConfigError:
        raise
    except ValueError as error:
        # a check of the dataclass's own: its text begins with the field's name
        raise ConfigError(_join(place, error)) from None


def _of_kind(field: dataclasses.Field[Any], data: Any) -> Any:
    """Fields given without a kind are those of the default's kind."""
    kind = getattr(field.default, "kind", None)
    if kind is not None and isinstance(data, Mapping):
        return {"kind": kind, **data}
    return data


def _leaf(hint: Any, data: Any, place: str) -> Any:
    try:
        for said in leaves.misread(hint, data, place):
            raise ConfigError(said)
        return _adapter(hint).validate_python(data)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        named = typing.get_origin(hint) is dict  # else words are pydantic's own
        steps = [step for step in first["loc"] if named or isinstance(step, int)]
        inner = ".".join(map(str, steps))
        allowed = str(first["msg"]).replace("a valid tuple", "a list")
        raise ConfigError(
            f"{_join(place, inner) if inner else place}: got {first['input']!r}; "
            f"allowed: {allowed.removeprefix('Input should be ')}"
        ) from None


@functools.cache
def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    finite = pydantic.ConfigDict(allow_inf_nan=False)
    return pydantic.TypeAdapter(hint, config=finite)


def _choose(options: tuple[type, ...], data: Mapping[str, Any], place: str) -> type:
    if len(options) == 1:
        return options[0]
    kinds = {hints.kind_of(option): option for option in options}
    if str(data.get("kind")) not in kinds:
        got = repr(data["kind"]) if "kind" in data else "nothing"
        raise ConfigError(
            f"{_join(place, 'kind')}: got {got}; allowed: {', '.join(kinds)}"
        )
    return kinds[data["kind"]]


def _is_list(data: Any) -> bool:
    return isinstance(data, Sequence) and not isinstance(data, str)


def _join(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)


def to_dict(config: Any) -> Any:
    """Plain dictionaries, lists, numbers and strings: what YAML and JSON hold."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {
            f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)
        }
    if isinstance(config, Mapping):
        return {str(key): to_dict(inner) for key, inner in config.items()}
    if isinstance(config, list | tuple):
        return [to_dict(inner) for inner in config]
    return config


def to_yaml(config: Any) -> str:
    """The resolved config as YAML that `build` reads back."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, width=88)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a dictionary.

    Raises:
      ConfigError: no such file, no YAML, or no mapping at its top.
    """
    try:
        data = yaml.load(path.read_text(), _Loader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; allowed: a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: allowed: a mapping of fields to values")
    try:
        json.dumps(data, default=str)
    except (TypeError, ValueError) as error:  # a key that is no text, a loop of anchors
        raise ConfigError(f"{path}: allowed: fields and values ({error})") from None
    return data


def override(data: dict[str, Any], flags: Sequence[str]) -> dict[str, Any]:
    """`--a.b-c value` over a nested dictionary; the last of two equal flags wins.

    Values are read as YAML: `--train.num-seeds 20`, `--env.contexts_shown "[[0], [1]]"`. A
    list is reached by number: `--train.phases.1.updates 100`.

    Raises:
      ConfigError: a flag without a value, or something that is no flag.
    """
    data = _copied(data)
    words = list(flags)
    while words:
        flag = words.pop(0)
        if not flag.startswith("--"):
            raise ConfigError(f"{flag}: not a flag; allowed: --dotted.field VALUE")
        name, equals, text = flag[2:].partition("=")
        name = name.replace("-", "_")
        if not equals:
            if not words:
                raise ConfigError(f"{name}: no value; allowed: --{name} VALUE")
            text = words.pop(0)
        try:
            _set(data, name, yaml.load(text, _Loader))
        except yaml.YAMLError as error:
            line = " ".join(str(error).split())
            raise ConfigError(f"{name}: got {text!r}; allowed: YAML ({line})") from None
    return data


def _copied(data: Any) -> Any:
    """The same to change, with every key a string."""
    if isinstance(data, dict):
        return {str(key): _copied(inner) for key, inner in data.items()}
    return [_copied(inner) for inner in data] if isinstance(data, list) else data


def _set(data: Any, name: str, value: Any) -> None:
    steps = name.split(".")
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        place = ".".join(steps[: depth + 1])
        if isinstance(data, list):
            if not (step.isdigit() and int(step) < len(data)):
                held = (
                    f"0 to {len(data) - 1}" if data else "none, for the list is empty"
                )
                raise ConfigError(f"{place}: got {step}; allowed: {held}")
            key: Any = int(step)
        elif isinstance(data, dict):
            # names of arms and predictions are the user's: spelt as in the file
            key = next((k for k in data if k.replace("-", "_") == step), step)
        else:
            raise ConfigError(
                f"{place}: unknown key; {'.'.join(steps[:depth])} is a leaf"
            )
        if last:
            data[key] = value
        else:
            if isinstance(data, dict):
                data.setdefault(key, {})
            data = data[key]


def digest(config: Any) -> str:
    """Twelve hexadecimal digits that change when anything in the config does.

    The order too: the first condition and the first arm have a part of their own.
    """
    text = json.dumps(to_dict(config))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _numbered(data: Any) -> Any:
    """A list of dictionaries as a dictionary by number, to be looked into."""
    nested = isinstance(data, list) and any(isinstance(x, dict) for x in data)
    return dict(enumerate(data)) if nested else data


def diff(a: Any, b: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted fields in which two configs differ, with both values.

    Where only the order of names differs, it is told under the field that holds them.
    """
    a, b = _numbered(to_dict(a)), _numbered(to_dict(b))
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return {} if a == b else {place: (a, b)}
    found: dict[str, tuple[Any, Any]] = {}
    orders = [k for k in a if k in b], [k for k in b if k in a]
    if orders[0] != orders[1]:
        found[_join(place, "order")] = orders
    for key in [*a, *(k for k in b if k not in a)]:
        found |= diff(a.get(key), b.get(key), _join(place, key))
    return found
