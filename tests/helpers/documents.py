"""The pages of the project, and the commands that they give to a reader."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
RESULTS = DOCS / "results" / "index.md"
GENERATED = tuple(DOCS / "reference" / f"{n}.md" for n in ("config", "command-line"))
"""Pages that docs/build.py writes."""
FIRST = (README, DOCS / "index.md", DOCS / "get-started.md")
"""Pages whose commands run in one folder each, in the order of the page."""


def there(path: Path) -> bool:
    """Whether a page lies beside the tests, as in a clone; beside a wheel none does."""
    return path.is_file()


def read(path: Path) -> str:
    return path.read_text() if there(path) else ""


def pages() -> list[Path]:
    """README, CONTRIBUTING and all pages of docs that somebody has written."""
    written = [page for page in DOCS.rglob("*.md") if page not in GENERATED]
    return [p for p in (README, ROOT / "CONTRIBUTING.md", *sorted(written)) if there(p)]


def commands(path: Path) -> list[str]:
    """The lines of a page's sh blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", read(path), re.S)
    return [line for block in blocks for line in block.strip().splitlines()]


def first_commands() -> list[str]:
    """Of all pages whose commands a test runs in the order of the page."""
    return [line for path in FIRST for line in commands(path)]
