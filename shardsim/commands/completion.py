"""`shardsim completion`: what a shell completes besides commands and their options.

Files and folders, the names of worlds, and the fields of configs as flags.
"""

import argparse
import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shtab

from shardsim.commands import config, play
from shardsim.core import field_errors

ROOTS = {
    **dict.fromkeys(("run", "collect", "config"), "experiment"),
    "train": "training",
    "study": "study",
}
"""The commands that take fields of a config as flags, and whose config that is."""
FOLDERS = ("run", "runs", "root")
"""Arguments that are folders."""


def prepare(parser: argparse.ArgumentParser) -> None:
    """Add to the parser what its script completes; it parses no more afterwards."""
    (commands,) = (
        action.choices
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    for name, command in commands.items():
        for action in command._actions:
            if action.type is Path:
                kind = shtab.DIRECTORY if action.dest in FOLDERS else shtab.FILE
                action.complete = kind
            if action.dest == "name":
                action.choices = _worlds()
        if name in ROOTS:
            for field in fields(config.ROOTS[ROOTS[name]]):
                command.add_argument(f"--{field.replace('_', '-')}")


def _worlds() -> list[str]:
    hint = field_errors.types_of(play.EnvConfig)["env"]
    return [field_errors.kind_of(world) for world in _records((hint,))]


def fields(root: Any) -> list[str]:
    """Dotted names of all fields of a config, but for those inside names of users."""
    return list(dict.fromkeys(_inside(root, "")))


def _inside(hint: Any, place: str) -> Iterator[str]:
    for record in _records((hint,)):
        for name, inner in field_errors.types_of(record).items():
            field = field_errors.join(place, name)
            yield field
            yield from _inside(inner, field)


def _records(hints: tuple[Any, ...]) -> Iterator[Any]:
    """The records that a value of some types may be; none of a list or a mapping."""
    for hint in hints:
        base = field_errors.bare(hint)[0]
        if dataclasses.is_dataclass(base):
            yield base
        elif field_errors.is_union(base):
            yield from _records(typing.get_args(base))
