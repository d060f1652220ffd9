"""`shardsim compare`: several runs side by side, in the terminal or as a page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import tables
from shardsim.storage import run_folder


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Print returns, effects and verdicts, and how the configs differ."""
    del flags
    folders = [run_folder.open_run(run) for run in options.runs]
    if options.out is not None:
        _check(options.out)
    print(tables.side_by_side(folders))
    if options.out is not None:
        # the page needs a plotting library, and a table does not
        from shardsim.reports.verdicts import comparison

        comparison.write(folders, options.out)
        print(options.out)
    return 0


def _check(out: Path) -> None:
    """Refuse a file that exists, or a folder that does not, before any work."""
    if out.exists() or out.is_symlink():
        raise run_folder.RunError(f"out: {out} exists; allowed: a new file")
    if not out.parent.is_dir():
        raise run_folder.RunError(f"out: got {out}; allowed: a file in a folder")
