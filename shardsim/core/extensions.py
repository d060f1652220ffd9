"""Extensions from outside: heads, worlds, measures, tools and more of other people.

They come from installed packages, by entry points, or from a file that is named on the
command line. A config never names code: one from a stranger must not run any.
"""

import importlib.metadata
import importlib.util
import os
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from shardsim.core import choices, field_errors, fields, files
from shardsim.core.choices import GROUPS, Group
from shardsim.core.field_errors import ConfigError

T = TypeVar("T", bound=type)

VARIABLE: Final = "SHARDSIM_PLUGINS"
"""Environment variable by which a command hands files of plugins to its workers."""


def register(group: str) -> Callable[[T], T]:
    """Decorate the config of an extension of one's own, such as a head or a tool.

    It can then be named by its `kind` in every config of this process. A tool is on
    every page.

    Args:
      group: "heads", "worlds", "encoders", "measures", "tools" or "forecasters".

    Raises:
      ConfigError: no such group, no config with a `kind`, or a kind of shardsim's own.

    Examples:
      >>> from shardsim.agents.value import MLP
      >>> @shardsim.register("heads")
      ... @shardsim.record
      ... class Wide(MLP):
      ...     '''One wide network.'''
      ...
      ...     kind: typing.Literal["wide"] = "wide"
      >>> config = shardsim.config(file, arms={"mlp": {"head": {"kind": "wide"}}})
      >>> config.arms["mlp"].head
      Wide(kind='wide', hidden=(), activation='relu')
    """
    if group not in GROUPS:
        allowed = field_errors.one_of(GROUPS, group)
        raise ConfigError(f"group: got {group!r}; allowed: {allowed}")

    known = typing.cast(Group, group)

    def add(record: T) -> T:
        _check(known, record)
        choices.join(known, record)
        fields.rebuild()
        return record

    return add


def _check(group: Group, record: Any) -> None:
    try:
        kind = field_errors.kind_of(record)
    except TypeError:
        raise ConfigError(
            f"{group}: got {record!r}; allowed: a class with `shardsim.record` and a "
            'field `kind: Literal["name"] = "name"`'
        ) from None
    if kind in map(field_errors.kind_of, choices.own(group)):
        raise ConfigError(
            f"{group}: got kind {kind!r}, which shardsim has; allowed: another"
        )


def load_installed() -> list[str]:
    """Register what installed packages offer by entry points, e.g. `shardsim.heads`.

    Returns:
      A line for each entry point that cannot be loaded; the others are.
    """
    problems = []
    for group in GROUPS:
        for entry in importlib.metadata.entry_points(group=f"shardsim.{group}"):
            try:
                register(group)(entry.load())
            except Exception as error:  # of the code of somebody else
                line = " ".join(f"{type(error).__name__}: {error}".split())
                problems.append(f"{entry.value} ({entry.group}) is left out: {line}")
    return problems


def load_files(paths: list[Path]) -> None:
    """Run files of plugins, whose `shardsim.register` takes effect.

    Args:
      paths: named on the command line; those of the process that started this one come
        first.

    Raises:
      ConfigError: no Python file, or an error in it.
    """
    inherited = os.environ.get(VARIABLE, "")
    given = [Path(name) for name in inherited.split(os.pathsep) if name]
    every = list(dict.fromkeys(path.absolute() for path in (*given, *paths)))
    for path in every:
        _run(path)
    if every:
        os.environ[VARIABLE] = os.pathsep.join(map(str, every))


def _run(path: Path) -> None:
    name = f"shardsim_plugin_{path.stem}"
    if name in sys.modules and sys.modules[name].__file__ == str(path):
        return
    spec = None
    if path.suffix == ".py" and path.is_file():
        spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        near = files.suggestion(path)
        raise ConfigError(f"plugin: got {path}; allowed: a Python file{near}")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # of the code of somebody else
        del sys.modules[name]
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"plugin: {path}: {line}") from None
