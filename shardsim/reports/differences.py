"""In what the configs of several runs differ, field by field."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shardsim.core import config

LONGEST = 32
"""Letters of an entry that are shown."""


class Difference(NamedTuple):
    """A field that is not the same in all runs."""

    field: str
    """With dots: `train.num_seeds`."""
    values: tuple[str, ...]
    """In each run, as YAML would have it; a dash where a run has no such field."""


def of_configs(configs: Sequence[Any]) -> list[Difference]:
    """The fields in which some configs differ from the first.

    An entry that one config lacks, such as an arm, is one field, whose value is cut
    after `LONGEST` letters.
    """
    first, *others = configs
    diffs = [config.diff(first, other) for other in others]
    rows = []
    for field in dict.fromkeys(field for diff in diffs for field in diff):
        mine = next(diff[field][0] for diff in diffs if field in diff)
        values = [mine, *(diff.get(field, (mine, mine))[1] for diff in diffs)]
        rows.append(Difference(field, tuple(text(value) for value in values)))
    return rows


def text(value: Any) -> str:
    """A value in one line, as YAML would have it."""
    line = "-" if value is None else _flow(value)
    is_long = isinstance(value, Mapping) and len(line) > LONGEST
    return f"{line[: LONGEST - 3]}..." if is_long else line


def _flow(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key}: {_flow(own)}" for key, own in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_flow, value))}]"
    return " ".join(str(value).split())
