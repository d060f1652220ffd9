"""Who may import whom, how long files and functions are: read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "shardsim").rglob("*.py"))
WORLDS = sorted((ROOT / "envs" / "shardsim_envs").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FLOORS = {
    "types": 0,
    "programs": 0,
    "provenance": 0,
    "hints": 0,
    "leaves": 0,
    "config": 0,
    "returns": 1,
    "statistics": 1,
    "exact": 1,
    "autoreset": 1,
    "layers": 1,
    "metrics": 1,
    "value": 2,
    "losses": 2,
    "hyper": 0,
    "learning": 2,
    "encoders": 2,
    "decoders": 2,
    "agent": 2,
    "acting": 2,
    "rollout": 3,
    "lessons": 3,
    "objective": 3,
    "stored": 3,
    "grids": 3,
    "divergence": 3,
    "optimize": 3,
    "train": 3,
    "phases": 3,
    "population": 3,
    "schedule": 3,
    "runs": 3,
    "snapshots": 3,
    "checkpoints": 3,
    "loop": 3,
    "host": 3,
    "signals": 0,
    "outside": 2,
    "arms": 4,
    "inspection": 4,
    "comparison": 5,
    "experiment": 6,
    "training": 6,
    "collecting": 6,
    "play": 6,
    "viewer": 6,
    "results": 6,
    "stages": 6,
    "progress": 6,
    "cli": 6,
}

pytestmark = pytest.mark.skipif(
    not (ROOT / "shardsim").is_dir(), reason="the source tree is not beside the tests"
)


def imports(path):
    """Dotted names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name):
    """The part of shardsim that a dotted name belongs to, or None."""
    steps = name.split(".")
    if steps[0] != "shardsim" or len(steps) < 2 or steps[1] not in FLOORS:
        return None
    return steps[1]


def home(path):
    steps = path.relative_to(ROOT / "shardsim").with_suffix("").parts
    return steps[0]


def ids(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_imports_go_downwards(path):
    own = home(path)
    if own == "__init__":
        return
    floor = FLOORS[own]
    for name in imports(path):
        other = part(name)
        if other is not None:
            assert FLOORS[other] <= floor, f"{path}: {name} lies above floor {floor}"
        if name.split(".")[0] == "shardsim_envs":
            assert floor == 6, f"{path}: only floor 6 may know the worlds"
        if name.split(".")[0] in ("gymnasium", "gymnax"):
            assert own in ("host", "outside")
        if name.split(".")[0] == "optax":
            assert own == "optimize"
        if name.split(".")[0] == "matplotlib":
            assert path.parent.name == "comparison"
        assert name.split(".")[0] not in ("experiments", "tests")


def test_no_circle_on_any_floor():
    graph = {}
    for path in FILES:
        own = home(path)
        found = {part(name) for name in imports(path)} - {None, own}
        graph.setdefault(own, set()).update(found)

    def reach(start):
        seen, todo = set(), [start]
        while todo:
            for step in graph.get(todo.pop(), ()):
                if step not in seen:
                    seen.add(step)
                    todo.append(step)
        return seen

    for own in graph:
        assert own not in reach(own), f"{own} imports itself in a circle"


@pytest.mark.parametrize("path", WORLDS, ids=ids)
def test_worlds_see_only_types_and_returns(path):
    for name in imports(path):
        if name.split(".")[0] == "shardsim":
            assert name.startswith(("shardsim.types", "shardsim.returns"))


@pytest.mark.parametrize("path", [*FILES, *WORLDS, *EXPERIMENTS, *TESTS], ids=ids)
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert text.count("\n") <= 300, "split it by idea"

    def walk(node, depth):
        for child in ast.iter_child_nodes(node):
            deeper = depth
            if isinstance(child, ast.FunctionDef):
                deeper = depth + 1
                assert child.end_lineno - child.lineno < 60, child.name
                assert deeper <= 3, f"{child.name}: defs nested more than 2 deep"
            walk(child, deeper)

    walk(ast.parse(text), 0)


@pytest.mark.parametrize("path", [*FILES, *WORLDS], ids=ids)
def test_every_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
