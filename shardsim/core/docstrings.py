"""Docstrings that are part of the results: read from the source, also in python -OO."""

import ast
import functools
import inspect
import textwrap
from typing import Any


@functools.cache
def of(documented: Any) -> str:
    """The docstring of a class or function, without its indentation.

    Python drops docstrings with -OO, and gives a dataclass that has none another text.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(documented)))
    (node,) = tree.body
    assert isinstance(node, ast.ClassDef | ast.FunctionDef)
    return ast.get_docstring(node) or ""
