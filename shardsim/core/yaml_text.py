"""The YAML of configs: what a word of a file or a flag is read as.

Numbers, `true`, `false` and `null` are written as in JSON; `.inf` and `.nan` are
numbers too. Every other word is text, just as it is written: `on`, `yes`, `0x1F`,
`1_000`, `007`, `12:30:00` and `2025-02-30`. A key is always text as it is written, and
a key that is given twice is refused. Anchors, aliases and merge keys (`<<`) are read.

PyYAML follows YAML 1.1, which reads `on` as true, `010` as 8 and `12:30:00` as 45000.
"""

import re
from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

MOST_LEVELS = 64
"""Deepest nesting; the deepest config of this project has 8 levels."""
MOST_VALUES = 1_000_000
"""Most values with all aliases written out, to bound the memory."""
MOST_DIGITS = 1_000
"""Most digits of a whole number; Python refuses to read 4,301."""
DIGITS = r"(0|[1-9][0-9]*)"
INTEGER = re.compile(rf"[-+]?{DIGITS}\Z")
FLOAT = re.compile(
    rf"[-+]?(\.[0-9]+|{DIGITS}(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z"
    r"|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z"
)
BOOL = re.compile(r"(true|True|TRUE|false|False|FALSE)\Z")
NULL = re.compile(r"(~|null|Null|NULL|)\Z")
TAG = "tag:yaml.org,2002:"


class WrittenInt(int):
    """A whole number that a field for text reads as it is written."""

    written: str

    def __new__(cls, written: str) -> "WrittenInt":
        number = super().__new__(cls, written)
        number.written = written
        return number

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (self.written,)

    def __repr__(self) -> str:
        return self.written


class WrittenFloat(float):
    """A number that a field for text reads as it is written: `1e3` is no `1000.0`."""

    written: str

    def __new__(cls, written: str) -> "WrittenFloat":
        number = super().__new__(cls, re.sub(r"\.(?=[iInN])", "", written))
        number.written = written
        return number

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (self.written,)

    def __repr__(self) -> str:
        return self.written


class _Loader(yaml.SafeLoader):
    """The words of this module, and a YAMLError for whatever is no tree of fields."""

    # not those that PyYAML's own loader has collected
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]
    yaml_constructors: ClassVar[dict[str | None, Any]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._open_anchors: set[str] = set()
        self._counts: dict[int, int] = {}
        """Values below each node, with those of every alias counted again."""

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        anchor = getattr(event, "anchor", None) or ""
        if self._level == MOST_LEVELS:
            raise _error(f"nested more than {MOST_LEVELS} levels deep", event)
        if isinstance(event, yaml.AliasEvent) and anchor in self._open_anchors:
            raise _error(f"*{anchor} stands inside of &{anchor}", event)
        self._level += 1
        self._open_anchors.add(anchor)
        node = super().compose_node(parent, index)
        self._open_anchors.discard(anchor)
        self._level -= 1
        if node is not None and self._count(node) > MOST_VALUES:
            raise _error(f"more than {MOST_VALUES:,} values", event)
        return node

    def _count(self, node: yaml.Node) -> int:
        if id(node) not in self._counts:
            inner = [node.value] if isinstance(node, yaml.SequenceNode) else []
            inner = node.value if isinstance(node, yaml.MappingNode) else inner
            below = sum(self._counts[id(each)] for part in inner for each in part)
            self._counts[id(node)] = 1 + below
        return self._counts[id(node)]

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # not when it is constructed: by then others may be merged into it
        node = super().compose_mapping_node(anchor)
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a key that is no text", key)
            if key.value in keys:
                raise _error(f"{key.value}: given twice", key)
            keys.add(key.value)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _error("got no mapping with the tag of one", node)
        self.flatten_mapping(node)  # merge keys
        return {
            key.value: self.construct_object(inner, deep=deep)
            for key, inner in node.value
        }


def _error(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, problem, at.start_mark)


def _null(loader: _Loader, node: Any) -> None:
    _text_of(node, NULL, "null")


def _bool(loader: _Loader, node: Any) -> bool:
    return _text_of(node, BOOL, "true or false").lower() == "true"


def _int(loader: _Loader, node: Any) -> WrittenInt:
    written = _text_of(node, INTEGER, "a whole number")
    if len(written) > MOST_DIGITS:
        raise _error(f"a number of more than {MOST_DIGITS} digits", node)
    return WrittenInt(written)


def _float(loader: _Loader, node: Any) -> WrittenFloat:
    return WrittenFloat(_text_of(node, FLOAT, "a number"))


def _str(loader: _Loader, node: Any) -> str:
    return _text_of(node, None, "text")


def _text_of(node: Any, pattern: re.Pattern[str] | None, noun: str) -> str:
    """The text of a node; only one with a tag of its own can be something else."""
    if not isinstance(node, yaml.ScalarNode):
        raise _error(f"got a list or a mapping with the tag of {noun}", node)
    if pattern is not None and not pattern.match(node.value):
        raise _error(f"got {node.value!r} with the tag of {noun}", node)
    return str(node.value)


def _refuse(loader: _Loader, node: Any) -> None:
    raise _error(f"got the tag {node.tag!r}; allowed: none", node)


class _Dumper(yaml.SafeDumper):
    """Quotes text that `_Loader` or a reader of YAML 1.1 takes for something else."""


for _each in (_Loader, _Dumper):
    _each.add_implicit_resolver(f"{TAG}null", NULL, ["", *"~nN"])
    _each.add_implicit_resolver(f"{TAG}bool", BOOL, list("tTfF"))
    _each.add_implicit_resolver(f"{TAG}int", INTEGER, list("-+0123456789"))
    _each.add_implicit_resolver(f"{TAG}float", FLOAT, list("-+.0123456789"))
    _each.add_implicit_resolver(f"{TAG}merge", re.compile(r"<<\Z"), ["<"])
for _name, _constructor in {
    **{"null": _null, "bool": _bool, "int": _int, "float": _float, "str": _str},
    "merge": _str,  # `<<` as a value
    "seq": yaml.SafeLoader.construct_yaml_seq,
    "map": yaml.SafeLoader.construct_yaml_map,
}.items():
    _Loader.add_constructor(f"{TAG}{_name}", _constructor)
_Loader.add_constructor(None, _refuse)
_Dumper.add_multi_representer(int, lambda dumper, x: dumper.represent_int(int(x)))
_Dumper.add_multi_representer(float, lambda dumper, x: dumper.represent_float(float(x)))


def load(text: str) -> Any:
    """Dictionaries, lists, numbers and words of a YAML text.

    Raises:
      ValueError: it is no YAML, or no tree of fields; the text is one line.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def dump(data: Any, *, flow: bool = False) -> str:
    """YAML that `load` reads back, in ASCII.

    Args:
      flow: whether all stands in one line, as in JSON.
    """
    return yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=flow,
        width=10**6 if flow else 88,
    )
