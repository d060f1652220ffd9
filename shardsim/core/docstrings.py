"""Docstrings that results or packages need, also in python -OO, which drops them."""

import ast
import functools
import inspect
import sys
import textwrap
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
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


def keep(package: str) -> None:
    """Let a package that fails without its docstrings be imported with them."""
    if sys.flags.optimize >= 2:
        sys.meta_path.insert(0, _Finder(package))


class _Loader(SourceFileLoader):
    """Compiles a module with its docstrings."""

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        code: types.CodeType = compile(
            self.get_data(path), path, "exec", dont_inherit=True, optimize=1
        )
        return code


class _Finder(MetaPathFinder):
    """Finds the modules of one package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec
