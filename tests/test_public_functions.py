"""Every public function has a user: the package, an experiment, a script or a page."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"shardsim": ROOT / "shardsim", "shardsim_envs": ROOT / "envs/shardsim_envs"}
USERS = [ROOT / name for name in ("experiments", "benchmarks", "docs")]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BY_NAME = r"shardsim\.commands\.\w+\.main"
"""The command line imports the module of a command by its name."""

pytestmark = pytest.mark.skipif(
    not all(folder.is_dir() for folder in USERS),
    reason="the source tree is not beside the tests",
)


def dotted(package, folder, path):
    """The name of the module in a file, e.g. shardsim.core.jit."""
    parts = [package, *path.relative_to(folder).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed():
    """The code of the packages by the name of its module, and that of all others."""
    modules = {
        dotted(package, folder, path): ast.parse(path.read_text())
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*.py")
    }
    scripts = [ast.parse(p.read_text()) for d in USERS for p in d.rglob("*.py")]
    snippets = [
        ast.parse("".join(re.findall(r"```python\n(.*?)```", p.read_text(), re.DOTALL)))
        for p in PAGES
    ]
    return modules, [*scripts, *snippets]


def public(tree):
    """Names of the functions and classes that a module defines for others."""
    for node in tree.body:
        if not getattr(node, "name", "_").startswith("_"):
            yield node.name


def uses(tree, module=None):
    """Dotted names that a file imports or reads.

    `from a import b` and then `b.c` use a.b and a.b.c. In the module a the name d uses
    a.d, also in a text (of an annotation), but not within d itself.
    """
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    yield from aliases.values()
    for top in tree.body:
        for node in ast.walk(top):
            name = getattr(node, "id", getattr(node, "value", None))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                yield f"{aliases.get(node.value.id)}.{node.attr}"
            elif isinstance(name, str) and name != getattr(top, "name", None):
                yield f"{module}.{name}"


def unused(modules, others, texts=()):
    """Public names of the modules that nothing uses.

    Args:
      modules: trees by the name of the module.
      others: further trees that may use them.
      texts: templates and the like; any word in them counts.
    """
    used = {name for module, tree in modules.items() for name in uses(tree, module)}
    used |= {name for tree in others for name in uses(tree)}
    words = set(re.findall(r"\w+", " ".join(texts)))
    for module, tree in modules.items():
        parent = module.rpartition(".")[0]
        for name in public(tree):
            # what a package hands on is used there by this name
            known = {f"{module}.{name}", f"{parent}.{name}"}
            if not (known & used or name in words):
                yield f"{module}.{name}"


def test_every_public_function_has_a_user():
    modules, others = parsed()
    templates = (ROOT / "shardsim").rglob("*.html")
    found = unused(modules, others, [path.read_text() for path in templates])
    assert [name for name in found if not re.fullmatch(BY_NAME, name)] == []


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("", ["p.a.f", "p.a.g"]),
        ("from p import a\na.f()", ["p.a.g"]),
        ("from p.a import f, g", []),
        ("from p import b\nb.f()", ["p.a.f", "p.a.g"]),
        ("f, g", ["p.a.f", "p.a.g"]),
    ],
)
def test_the_scan_by_hand(use, expected):
    code = "def f(): f()\ndef g(): pass\ndef _h(): pass"
    assert list(unused({"p.a": ast.parse(code)}, [ast.parse(use)])) == expected
    assert list(unused({"p.a": ast.parse(f"{code}\ng()")}, [])) == ["p.a.f"]
