"""YAML files and command-line flags as nested dictionaries, and configs as YAML.

Files and flags are read by the same rules (`yaml_text`).
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shardsim.core import config, field_errors, files, yaml_text
from shardsim.core.config import ConfigError


def to_yaml(built: Any) -> str:
    """The resolved config as YAML that `build` reads back."""
    return yaml_text.dump(config.to_dict(built))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a dictionary.

    Raises:
      ConfigError: no such file, no YAML, or no mapping at its top.
    """
    try:
        data = yaml_text.load(files.read_text(path))
    except OSError as error:
        near = "" if path.exists() else files.suggestion(path)
        raise ConfigError(
            f"{path}: {error.strerror}; allowed: a YAML file{near}"
        ) from None
    except ValueError as error:  # and its subclass of bytes that are not UTF-8
        raise ConfigError(f"{path}: no YAML ({error})") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: allowed: a mapping of fields to values")
    return data


class _Flag(NamedTuple):
    """`--a.b value`."""

    steps: tuple[str, ...]
    """Names on the way to the field, as they are written."""
    value: Any

    @property
    def name(self) -> str:
        return ".".join(self.steps)


def override(
    data: dict[str, Any], flags: Sequence[str], root: Any = None
) -> dict[str, Any]:
    """`--a.b-c value` over a nested dictionary; the last of two equal flags wins.

    Values are read as YAML: `--train.num-seeds 20`, `--agent.encoder.widths "[8, 8]"`.
    An item of a list is reached by its number: `--train.phases.1.updates 100`. Another
    `kind` drops the fields of the old one, but none that a flag gives. Null removes an
    entry that has a name, such as an arm.

    Args:
      root: the record that the dictionary describes, or None. It says which names are
        those of fields and which are the user's, which fields have kinds, and which
        entries can be removed.

    Raises:
      ConfigError: flags without a value, or what is no flag, a line each.
    """
    words, parsed, faults = list(flags), list[_Flag](), list[str]()
    while words:
        try:
            parsed.append(_next_flag(words))
        except ConfigError as error:
            faults.append(str(error))
    return _with_flags(data, parsed, root, faults)


def changed(
    data: dict[str, Any], changes: Mapping[str, Any], root: Any = None
) -> dict[str, Any]:
    """The same for changes in Python: nested dictionaries over nested dictionaries.

    Args:
      changes: fields by their names, also dotted ones. Dictionaries that are not empty
        change the fields inside; any other value replaces a field.
      root: as in `override`.

    Raises:
      ConfigError: as `override`.
    """
    return _with_flags(data, list(_leaves(changes)), root, [])


def _leaves(
    changes: Mapping[str, Any], steps: tuple[str, ...] = ()
) -> Iterator["_Flag"]:
    """The values inside, each with the names on the way to it."""
    for name, value in changes.items():
        # names of fields may be dotted; those inside are whole, for users choose some
        inside = (*steps, name) if steps else tuple(name.split("."))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, inside)
        else:
            yield _Flag(inside, value)


def _with_flags(
    data: dict[str, Any], parsed: Sequence["_Flag"], root: Any, faults: list[str]
) -> dict[str, Any]:
    """Flags over a nested dictionary, which stays as it is."""
    data, top = _copied(data), _Field(root, None)
    # the last kind counts, and what flags give besides it is not dropped
    kinds = {f.steps[:-1]: f.value for f in parsed if f.steps[-1] == "kind"}
    for steps, kind in kinds.items():
        _drop_other_kind(data, top, steps, kind)
    for flag in parsed:
        faults += field_errors.faults("", _set, data, top, flag)
    field_errors.refuse(faults)
    return data


def _next_flag(words: list[str]) -> _Flag:
    """The first flag of the words, which is taken from them with its value."""
    word = words.pop(0)
    if not word.startswith("--") or word == "--":
        word = word if word.isprintable() else repr(word)
        raise ConfigError(f"{word}: not a flag; allowed: --dotted.field VALUE")
    name, equals, text = word[2:].partition("=")
    if not equals:
        if not words:
            raise ConfigError(f"{_as_field(name)}: no value; allowed: --{name} VALUE")
        text = words.pop(0)
    try:
        return _Flag(tuple(name.split(".")), yaml_text.load(text))
    except ValueError as error:
        raise ConfigError(
            f"{_as_field(name)}: got {text!r}; allowed: YAML ({error})"
        ) from None


def _as_field(name: str) -> str:
    """Fields are written with underscores in files, and with either in flags."""
    return name.replace("-", "_")


def _copied(data: Any) -> Any:
    """The same, to be changed."""
    if isinstance(data, dict):
        return {str(key): _copied(inner) for key, inner in data.items()}
    return [_copied(inner) for inner in data] if isinstance(data, list) else data


class _Field(NamedTuple):
    """What is known of the value at some place of a config."""

    hint: Any
    """Its type; None if it is not known."""
    default_kind: str | None
    """The kind of a mapping that says none."""

    @property
    def has_names(self) -> bool:
        """Whether it is a mapping whose keys are names of the user."""
        base = field_errors.bare(self.hint)[0]
        # the fields of an env that a phase changes have values of any type
        return typing.get_origin(base) is dict and typing.get_args(base)[1] is not Any

    def kind(self, data: Any) -> str | None:
        """The kind of a value, as it says itself or by default."""
        given = data.get("kind") if isinstance(data, Mapping) else None
        return given if isinstance(given, str) else self.default_kind

    def inner(self, data: Any, key: str | int) -> "_Field":
        """The same of a value inside."""
        base = field_errors.bare(self.hint)[0]
        arguments = typing.get_args(base)
        if typing.get_origin(base) is dict:
            return _Field(arguments[1], None)
        if typing.get_origin(base) is tuple:
            return _Field(arguments[0], None)
        kinds = field_errors.records_by_kind(self.hint)
        cls = (
            base if dataclasses.is_dataclass(base) else kinds.get(str(self.kind(data)))
        )
        if cls is None or key not in (types := field_errors.types_of(cls)):
            return _Field(None, None)
        (default,) = (f.default for f in dataclasses.fields(cls) if f.name == key)
        return _Field(types[key], getattr(default, "kind", None))


def _key(data: Any, field: _Field, step: str) -> str:
    """A step of a flag as it is spelt in the config.

    Raises:
      ConfigError: two names in the config differ from it in dashes alone.
    """
    if step in data:
        return step
    near = [key for key in data if _as_field(key) == _as_field(step)]
    if len(near) > 1:
        raise ConfigError(f"{step}: got a name of two; allowed: {', '.join(near)}")
    if near:
        return str(near[0])
    return step if field.has_names else _as_field(step)


def _index(data: Sequence[Any], step: str, place: str) -> int:
    if step.isascii() and step.isdigit() and int(step) < len(data):
        return int(step)
    allowed = f"0 to {len(data) - 1}" if data else "none, for the list is empty"
    raise ConfigError(f"{place}: got {step}; allowed: {allowed}")


def _drop_other_kind(
    data: Any, field: _Field, steps: tuple[str, ...], kind: Any
) -> None:
    """Empty the mapping at the end of the steps if it is of another kind."""
    for step in steps:
        try:
            listed = isinstance(data, list)
            key: Any = _index(data, step, "") if listed else _key(data, field, step)
            data, field = data[key], field.inner(data, key)
        except (ConfigError, LookupError, TypeError):
            return  # nothing there yet; what is wrong is said when the flag is set
    old = field.kind(data)
    if isinstance(data, dict) and old not in (None, kind) and _has_kinds(field):
        data.clear()


def _has_kinds(field: _Field) -> bool:
    return len(field_errors.records_by_kind(field.hint)) > 1


def _set(data: Any, field: _Field, flag: _Flag) -> None:
    place = ""
    for depth, step in enumerate(flag.steps):
        outer, place = place, field_errors.join(place, step)
        if isinstance(data, list):
            key: Any = _index(data, step, place)
        elif isinstance(data, dict):
            key = _key(data, field, step)
            place = field_errors.join(outer, key)
        else:
            raise ConfigError(f"{place}: unknown key; {outer} is a leaf")
        if depth < len(flag.steps) - 1:
            if isinstance(data, dict) and data.get(key) is None:
                data[key] = {}
            data, field = data[key], field.inner(data, key)
        elif flag.value is None and field.has_names and isinstance(data, dict):
            if key not in data:
                allowed = field_errors.one_of(data, key)
                raise ConfigError(f"{place}: got null; allowed: {allowed}")
            del data[key]
        else:
            data[key] = flag.value
