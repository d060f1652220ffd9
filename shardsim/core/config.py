"""Config records <-> nested dictionaries; digest and diff of configs.

A config is data: nested records (see `fields`), where a choice is a union of records
told apart by `kind`. Every error has a line for each fault, with the dotted field, its
value and what is allowed. Files and flags: see `config_files`.
"""

import dataclasses
import functools
import hashlib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import pydantic

from shardsim.core import field_errors, fields, json_text
from shardsim.core.field_errors import ConfigError

__all__ = ["ConfigError", "build", "diff", "digest", "to_dict"]

T = TypeVar("T")


def build(cls: type[T], data: Mapping[str, Any]) -> T:
    """The record that a nested dictionary describes.

    Raises:
      ConfigError: unknown keys, wrong types and impossible values, a line each.
    """
    try:
        built: T = _adapter(typing.cast(Any, cls)).validate_python(data)
    except pydantic.ValidationError as error:
        lines = [*field_errors.lines(cls, error, data), *fields.faults(cls, data)]
        raise ConfigError(field_errors.joined(lines)) from None
    return built


@functools.cache
def _adapter(cls: Any) -> pydantic.TypeAdapter:
    return pydantic.TypeAdapter(cls)


fields.ON_REBUILDING.append(_adapter.cache_clear)


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


def _stated(config: Any) -> Any:
    """The same, without fields that are null and null by default."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {
            f.name: _stated(value)
            for f in dataclasses.fields(config)
            if (value := getattr(config, f.name)) is not None or f.default is not None
        }
    if isinstance(config, Mapping):
        return {str(key): _stated(inner) for key, inner in config.items()}
    if isinstance(config, list | tuple):
        return [_stated(inner) for inner in config]
    return config


def digest(config: Any) -> str:
    """Twelve hexadecimal digits that change when anything in the config does.

    The order too: the first condition and the first arm have a part of their own. The
    fields that the config names in `WITHOUT_EFFECT`, on which no result depends, are
    left out. So are fields that are null by default and null: what a new field like
    that adds to configs of before leaves their digests, and runs go on.
    """
    data = _stated(config)
    for name in getattr(config, "WITHOUT_EFFECT", ()):
        data.pop(name, None)
    text = json_text.dumps(data)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _numbered(data: Any) -> Any:
    """A list of dictionaries as a dictionary by number, to be looked into."""
    nested = isinstance(data, list) and any(isinstance(x, dict) for x in data)
    return dict(enumerate(data)) if nested else data


def diff(a: Any, b: Any, place: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted fields in which two configs differ, with both values.

    Where only the order of names differs, it stands under `order` of their field.
    """
    values = to_dict(a), to_dict(b)
    a, b = map(_numbered, values)
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return {} if a == b else {place: values}
    differences: dict[str, tuple[Any, Any]] = {}
    orders = [k for k in a if k in b], [k for k in b if k in a]
    if orders[0] != orders[1]:
        differences[field_errors.join(place, "order")] = orders
    for key in [*a, *(k for k in b if k not in a)]:
        differences |= diff(a.get(key), b.get(key), field_errors.join(place, key))
    return differences
