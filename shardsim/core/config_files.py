"""YAML files and command-line flags as nested dictionaries, and configs as YAML."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from shardsim.core import config, files
from shardsim.core.config import ConfigError

FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+\Z")
"""A number with an exponent as in JSON; PyYAML would read 1e-3 as text."""


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number and a field that is given twice is an error."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # not when it is constructed: by then others may be merged into it
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"{key.value}: given twice", key.start_mark
                )
            seen.add(str(key.value))
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes the text that `_Loader` would read as a number."""


for _each in (_Loader, _Dumper):
    _each.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def to_yaml(built: Any) -> str:
    """The resolved config as YAML that `build` reads back."""
    return yaml.dump(config.to_dict(built), Dumper=_Dumper, sort_keys=False, width=88)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a dictionary.

    Raises:
      ConfigError: no such file, no YAML, or no mapping at its top.
    """
    try:
        data = yaml.load(files.read_text(path), _Loader)
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

    Values are read as YAML: `--train.num-seeds 20`, `--agent.encoder.widths "[8, 8]"`.
    An item of a list is reached by its number: `--train.phases.1.updates 100`.

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
