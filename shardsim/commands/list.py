"""`shardsim list`: list the runs in a folder."""

import argparse
from collections.abc import Sequence

from shardsim.commands import tables
from shardsim.storage import run_files


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Print one row for each run below a folder."""
    del flags
    if not options.root.is_dir():
        raise run_files.RunError(f"root: got {options.root}; allowed: a folder of runs")
    print(tables.run_list(options.root))
    return 0
