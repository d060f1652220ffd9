"""`shardsim list`: list the runs in a folder."""

import argparse
from collections.abc import Sequence

from shardsim.commands import listings, tables
from shardsim.core import files
from shardsim.storage import run_files


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Print one row for each run below a folder."""
    del flags
    if not options.root.is_dir():
        near = files.suggestion(options.root)
        raise run_files.RunError(
            f"root: got {options.root}; allowed: a folder of runs{near}"
        )
    if options.format == "table":
        print(tables.run_list(options.root))
    else:
        found = listings.runs(options.root)
        print(listings.text(options.format, found, listings.run_rows(found)))
    return 0
